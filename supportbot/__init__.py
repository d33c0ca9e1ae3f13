"""A customer-support chat engine that shows every finished paragraph once."""

__version__ = "0.1.0"
__all__ = ["__version__"]
