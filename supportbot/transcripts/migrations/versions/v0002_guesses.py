"""Tries at PINs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_name = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "guesses",
        sa.Column("key", _name, primary_key=True),
        sa.Column("times", sa.Text, nullable=False),
        sa.Column("forget_at", sa.Double, nullable=False),
    )
    op.create_index("guesses_by_forget_at", "guesses", ["forget_at"])
