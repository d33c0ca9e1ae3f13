"""What is said to the database: the same in SQLite and PostgreSQL but for two words."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Double,
    Integer,
    Select,
    and_,
    bindparam,
    cast,
    delete,
    func,
    insert,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import JSON

from supportbot.interfaces import Listed
from supportbot.transcripts.tables import conversations, events, guesses, servers


class Statements:
    """The statements that write.

    A batch's events go as one JSON text, `[[conversation, seq, key, body], …]`: the
    database takes them in one call, during which the interpreter is free. Row by row
    the writer would wait for the interpreter, and the reactor for the writer.

    Args:
        dialect: `sqlite` or `postgresql`.

    Attributes:
        append: inserts `rows`, but for those that are not above the newest, and those
            of unknown conversations.
        open: makes conversations known.
        hold: finds those of `names` that are known, and lets nobody erase these before
            the transaction ends; None where nobody could.
        hear: says when the customer was heard in a known conversation.
        refresh: says how long a server is alive.
        hold_guesses: makes sure that there is the row `key`, and that nobody else holds
            it before the transaction ends.
        count_guesses: says what is counted under a key.
    """

    def __init__(self, dialect: str) -> None:
        upsert: Any = sqlite.insert if dialect == "sqlite" else postgresql.insert
        rows: Any = bindparam("rows")
        row: Any
        if dialect == "sqlite":
            row = func.json_each(rows).table_valued("value", name="sent").c.value
            greater: Any = func.max
        else:
            array = func.json_array_elements(cast(rows, JSON))
            row = array.table_valued("value", name="sent").c.value
            greater = func.greatest
        item = [row.op("->>")(literal_column(str(place))) for place in range(4)]
        conversation, seq = item[0], cast(item[1], Integer)
        # Not EXISTS: PostgreSQL would join, and read the whole table.
        highest = select(func.max(events.c.seq)).where(
            events.c.conversation == conversation
        )
        known = select(conversations.c.id).where(conversations.c.id == conversation)
        self.append = (
            upsert(events)
            .from_select(
                ["conversation", "seq", "key", "body"],
                select(conversation, seq, cast(item[2], BigInteger), item[3]).where(
                    known.scalar_subquery().is_not(None),
                    seq > func.coalesce(highest.scalar_subquery(), 0),
                ),
            )
            .on_conflict_do_nothing()
            .execution_options(preserve_rowcount=True)
        )
        self.open = upsert(conversations).on_conflict_do_nothing()
        self.hold: Select[Any] | None = None
        if dialect == "postgresql":  # one writer at a time in SQLite
            self.hold = (
                select(conversations.c.id)
                .where(conversations.c.id.in_(bindparam("names", expanding=True)))
                .order_by(conversations.c.id)
                .with_for_update(read=True, key_share=True)
            )
        self.hear = (
            update(conversations)
            .where(conversations.c.id == bindparam("name"))
            .values(heard_at=greater(conversations.c.heard_at, bindparam("at")))
        )
        alive = upsert(servers)
        self.refresh = alive.on_conflict_do_update(
            index_elements=["number"],
            set_={"alive_until": alive.excluded.alive_until},
        )
        count: Any = upsert(guesses)
        self.hold_guesses = count.values(
            key=bindparam("key"), times="[]", forget_at=0.0
        ).on_conflict_do_update(
            index_elements=["key"], set_={"forget_at": guesses.c.forget_at}
        )
        self.count_guesses = count.on_conflict_do_update(
            index_elements=["key"],
            set_={
                "times": count.excluded.times,
                "forget_at": count.excluded.forget_at,
            },
        )


keys_of = select(events.c.seq, events.c.key).where(
    events.c.conversation == bindparam("conversation"),
    events.c.seq.between(bindparam("first"), bindparam("last")),
)
"""Who wrote these numbers."""

register = insert(servers)
unregister = delete(servers).where(servers.c.number == bindparam("this"))
bury = delete(servers).where(servers.c.alive_until < bindparam("now"))
"""Remove the servers whose time is over."""

erase_events = delete(events).where(events.c.conversation == bindparam("conversation"))
erase = delete(conversations).where(conversations.c.id == bindparam("conversation"))
forget = erase_events.where(events.c.seq < bindparam("before"))

stale = (
    select(conversations.c.id)
    .where(conversations.c.heard_at < bindparam("heard_before"))
    .order_by(conversations.c.heard_at)
    .limit(bindparam("limit"))
)
"""Conversations that nobody spoke in since, those that were silent longest first."""

read = (
    select(events.c.body)
    .where(
        events.c.conversation == bindparam("conversation"),
        events.c.seq > bindparam("after"),
    )
    .order_by(events.c.seq)
    .limit(bindparam("limit"))
)

known = select(conversations.c.id).where(conversations.c.id == bindparam("name"))

newest = (
    select(
        conversations.c.id,
        events.c.seq,
        events.c.key,
    )
    .select_from(
        conversations.outerjoin(events, events.c.conversation == conversations.c.id)
    )
    .where(conversations.c.id == bindparam("conversation"))
    .order_by(events.c.seq.desc())
    .limit(1)
)
"""A conversation, with its newest event if it has one."""

guessed = select(guesses.c.key, guesses.c.times).where(
    guesses.c.key.in_(bindparam("keys", expanding=True))
)
"""What is counted under these keys."""

forget_guesses = delete(guesses).where(
    guesses.c.key.in_(
        select(guesses.c.key)
        .where(guesses.c.forget_at < bindparam("now"))
        .limit(bindparam("limit"))
    )
)
"""Remove some of what counts no more."""

unlock = delete(guesses).where(guesses.c.key == bindparam("name"))

server = select(servers).where(servers.c.number == bindparam("number"))


def listing(limit: int, before: Listed | None) -> Select[Any]:
    """Conversations, that with the newest message first."""
    last = (
        select(func.max(events.c.seq))
        .where(events.c.conversation == conversations.c.id)
        .scalar_subquery()
    )
    query = select(conversations, func.coalesce(last, 0))
    if before is not None:
        heard_at = cast(before.heard_at, Double)
        query = query.where(
            conversations.c.heard_at <= heard_at,
            or_(
                conversations.c.heard_at < heard_at,
                and_(
                    conversations.c.heard_at == heard_at,
                    conversations.c.id > before.conversation_id,
                ),
            ),
        )
    order = conversations.c.heard_at.desc(), conversations.c.id
    return query.order_by(*order).limit(limit)
