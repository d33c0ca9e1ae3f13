"""The steps, the oldest first in the chain of their `down_revision`."""
