"""What Alembic runs around the steps; `supportbot.transcripts.schema` calls it."""

from __future__ import annotations

from alembic import context


def run() -> None:
    """Run the steps in the transaction that the caller has begun and will end."""
    connection = context.config.attributes["connection"]
    context.configure(connection=connection, transactional_ddl=True)
    context.run_migrations()


if __name__ == "env_py":  # Alembic's name for it; importing it does nothing
    run()
