"""How a database came to its shape, step by step; Alembic runs them."""
