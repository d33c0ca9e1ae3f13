"""All transcripts of a database, for programs that do one thing and end.

There is no reactor and no thread here: every call blocks. Whoever reads is no server,
and beside servers that write, a transaction is as short as a page.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, Executable, delete, select

from supportbot.errors import StoreError, StoreUnusable
from supportbot.events import Event
from supportbot.interfaces import Listed
from supportbot.transcripts import statements
from supportbot.transcripts.database import Database, checkpoint
from supportbot.transcripts.faults import Broken, fault_of
from supportbot.transcripts.guesses import unlock
from supportbot.transcripts.statements import Statements
from supportbot.transcripts.tables import conversations

_T = TypeVar("_T")

_CONVERSATIONS, _EVENTS = 100, 500
"""How many are read, or erased, at a time."""
_PAUSE = 0.1  # seconds between two attempts

_decode = msgspec.json.Decoder(Event).decode


class Archive:
    """Transcripts to be listed, read and erased.

    Args:
        url: of the database, which is neither made nor upgraded.
        patience: seconds for which a database that is locked or gone is tried again.

    Raises:
        StoreUnusable: there is none, or none that we can work with.
    """

    def __init__(self, url: str, patience: float) -> None:
        self._database, self._patience = Database(url, patience), patience
        path = self._database.path
        if path is not None and not path.exists():
            raise StoreUnusable(f"{self._database.name}: there is no such database")
        self._prepare()

    def close(self) -> None:
        """Leave no connection open."""
        self._database.dispose()

    def listed(self, limit: int | None = None) -> Iterator[Listed]:
        """Conversations, that with the newest message first.

        Raises:
            StoreError: they can't be read.
        """
        before: Listed | None = None
        while limit is None or limit > 0:
            most = min(limit or _CONVERSATIONS, _CONVERSATIONS)
            query = statements.listing(most, before)
            page = self._read(partial(_listed, query=query))
            yield from page
            if len(page) < most:
                return
            before = page[-1]
            limit = None if limit is None else limit - len(page)

    def ids(self) -> Iterator[str]:
        """Every conversation's id, once, in an order that nothing said can change.

        Raises:
            StoreError: they can't be read.
        """
        after = ""
        while True:
            query = (
                select(conversations.c.id)
                .where(conversations.c.id > after)
                .order_by(conversations.c.id)
                .limit(_CONVERSATIONS)
            )
            page = self._read(partial(_scalars, query=query))
            yield from page
            if len(page) < _CONVERSATIONS:
                return
            after = page[-1]

    def find(self, id: str) -> Listed | None:
        """What is known of a conversation at a glance; None if there is none.

        Raises:
            StoreError: that can't be told.
        """
        query = statements.listing(1, None).where(conversations.c.id == id)
        row = self._read(lambda connection: connection.execute(query).one_or_none())
        return None if row is None else Listed(*row)

    def events(self, id: str) -> Iterator[Event]:
        """What happened in a conversation, in order; nothing in one that is unknown.

        Raises:
            StoreError: it can't be read, or a newer version wrote it.
        """
        after = 0
        while True:
            where = {"conversation": id, "after": after, "limit": _EVENTS}
            bodies: Sequence[str] = self._read(
                partial(_scalars, query=statements.read, where=where)
            )
            try:
                events = [_decode(body) for body in bodies]
            except msgspec.MsgspecError as error:
                line = "an event can't be read; a newer version wrote it"
                raise StoreError(line) from error
            yield from events
            if len(events) < _EVENTS:
                return
            after = events[-1].seq

    def erase(self, ids: Sequence[str]) -> Sequence[str]:
        """Leave nothing of these conversations; returns those that were there.

        Raises:
            StoreError: something may be left; it may be tried again.
        """

        def erase(connection: Connection) -> Sequence[str]:
            there = {id for id in sorted(set(ids)) if _erased(connection, id)}
            return [id for id in dict.fromkeys(ids) if id in there]

        erased = self._write(erase)
        self._clean()
        return erased

    def expire(self, heard_before: float) -> int:
        """Erase conversations in which nothing was said since; how many these were.

        Args:
            heard_before: in seconds of UTC.

        Raises:
            StoreError: some may be left; it may be tried again.
        """

        def expire(connection: Connection) -> int:
            which = {"heard_before": heard_before, "limit": _CONVERSATIONS}
            stale = connection.scalars(statements.stale, which).all()
            return sum(_erased(connection, id) for id in sorted(stale))

        expired = 0
        while True:  # other writers get their turn in between
            erased = self._write(expire)
            expired += erased
            if erased < _CONVERSATIONS:
                break
        self._clean()
        return expired

    def unlock(self, email: str) -> bool:
        """Let a customer log in at once; returns whether any wrong PIN was counted.

        Raises:
            StoreError: that can't be done.
        """
        writing = Statements(self._database.dialect)
        return self._write(lambda connection: unlock(connection, writing, email))

    def _prepare(self) -> None:
        """See that we can work with it; somebody may be writing just now."""
        deadline = time.monotonic() + self._patience
        while True:
            try:
                self._database.prepare(upgrade=False)
            except StoreUnusable as error:
                cause = error.__cause__
                passes = cause is not None and fault_of(cause).passes
                if not passes or time.monotonic() + _PAUSE > deadline:
                    raise
            else:
                return
            time.sleep(_PAUSE)

    def _read(self, query: Callable[[Connection], _T]) -> _T:
        def read() -> _T:
            with self._database.reader() as connection:
                return query(connection)

        return self._patiently(read, "read")

    def _write(self, change: Callable[[Connection], _T]) -> _T:
        def write() -> _T:
            with self._database.writer() as connection, connection.begin():
                return change(connection)

        return self._patiently(write, "written")

    def _clean(self) -> None:
        """Leave nothing in SQLite's log of what was erased."""
        if self._database.path is None:
            return
        deadline = time.monotonic() + self._patience

        def clean() -> bool:
            with self._database.writer() as connection:
                return checkpoint(connection)

        while not self._patiently(clean, "written"):
            if time.monotonic() > deadline:
                raise StoreError(
                    "all is erased, but stands in the database's log while somebody"
                    " reads there; do it again later"
                )
            time.sleep(_PAUSE)

    def _patiently(self, do: Callable[[], _T], done: str) -> _T:
        deadline = time.monotonic() + self._patience
        while True:
            try:
                return do()
            except Broken as error:
                fault = fault_of(error)
                if not fault.passes or time.monotonic() + _PAUSE > deadline:
                    line = f"the transcripts can't be {done}: {fault.reason}"
                    raise StoreError(f"{line}; {fault.cure}") from error
            time.sleep(_PAUSE)


def _erased(connection: Connection, id: str) -> bool:
    """Erase a conversation; returns whether there was one."""
    known = delete(conversations).where(conversations.c.id == id)
    erased = connection.execute(known).rowcount > 0
    connection.execute(statements.erase_events, {"conversation": id})
    return erased


def _listed(connection: Connection, query: Executable) -> list[Listed]:
    return [Listed(*row) for row in connection.execute(query)]


def _scalars(
    connection: Connection, query: Executable, where: dict[str, Any] | None = None
) -> Sequence[str]:
    return connection.execute(query, where).scalars().all()
