"""Conversations, their events, and the servers that write them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_name = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "conversations",
        sa.Column("id", _name, primary_key=True),
        sa.Column("opened_at", sa.Double, nullable=False),
        sa.Column("heard_at", sa.Double, nullable=False),
    )
    op.create_index(
        "conversations_by_heard_at", "conversations", [sa.text("heard_at DESC"), "id"]
    )
    op.create_table(
        "events",
        sa.Column("conversation", _name, primary_key=True),
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("key", sa.BigInteger, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "servers",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("place", sa.Text, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("alive_until", sa.Double, nullable=False),
    )
