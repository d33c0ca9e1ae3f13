"""The HTTP API, and the server beneath it."""
