"""The tables, as the newest migration leaves them.

`key` says who wrote an event: the number of the writing server and which of its
appends it was. It is chosen before anything is sent, so that an append of which nobody
knows whether it was committed can be sent again.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
)

metadata = MetaData()
_name = Text().with_variant(Text(collation="C"), "postgresql")
"""Compared by code points everywhere, whatever the database's language is."""

conversations = Table(
    "conversations",
    metadata,
    Column("id", _name, primary_key=True),
    Column("opened_at", Double, nullable=False),
    Column("heard_at", Double, nullable=False),
)
Index("conversations_by_heard_at", conversations.c.heard_at.desc(), conversations.c.id)

events = Table(
    "events",
    metadata,
    Column("conversation", _name, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("key", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
)

servers = Table(
    "servers",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("place", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("alive_until", Double, nullable=False),
)

guesses = Table(
    "guesses",
    metadata,
    Column("key", _name, primary_key=True),
    Column("times", Text, nullable=False),
    Column("forget_at", Double, nullable=False),
)
"""`times` is JSON, `[seconds of UTC, …]`: the tries that count under the key."""
Index("guesses_by_forget_at", guesses.c.forget_at)
