"""Transcripts in a database: SQLite or PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection
from twisted.internet.defer import Deferred, DeferredList, fail, succeed
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from supportbot.errors import StoreError
from supportbot.events import Event
from supportbot.interfaces import Known, Listed
from supportbot.transcripts import statements
from supportbot.transcripts.batch import Append, Change, Job
from supportbot.transcripts.database import READERS, Database
from supportbot.transcripts.faults import Broken, Fault, Outage, fault_of
from supportbot.transcripts.servers import REFRESH, Server, runs, this_server
from supportbot.transcripts.statements import Statements
from supportbot.transcripts.threads import Threads
from supportbot.transcripts.writer import ThreadedReactor, Writer

_T = TypeVar("_T")

_CHUNK = 100
"""Conversations that are erased in one transaction."""
_TICK = 1.0  # seconds
_PAUSE = 0.1  # seconds between two attempts to read

_decode = msgspec.json.Decoder(Event).decode


class SqlStore:
    """Keep events in a database; see `TranscriptStore`.

    It has to be prepared, then started.

    Args:
        url: `sqlite:///PATH` or `postgresql+psycopg://USER@HOST/NAME`.
        patience: seconds for which a database that is locked or gone is tried again.
        now: the time in seconds of UTC.
        server: who writes; this process when not given.

    Raises:
        StoreUnusable: the URL names nothing that we can work with.
    """

    lasting = True

    @property
    def shared(self) -> bool:
        return self._database.dialect != "sqlite"

    def __init__(
        self,
        reactor: ThreadedReactor,
        url: str,
        patience: float,
        now: Callable[[], float],
        server: Server | None = None,
    ) -> None:
        self._reactor, self._patience, self._now = reactor, patience, now
        self._database = Database(url, patience)
        self._server, self._appends = server or this_server(), count(1)
        self._writer = Writer(reactor, self._database, patience)
        self._readers = Threads(1, READERS, name="transcripts-reader")
        self._reading: set[Deferred[Any]] = set()
        self._ticks = LoopingCall(self._tick)
        self._ticks.clock = reactor
        self._signed_at = 0.0
        self._refreshing = self._closed = False
        self._outage = Outage(
            "transcripts can't be read from",
            "transcripts are read again",
            self._database.name,
        )

    def prepare(self) -> None:
        """See that we can work with the database; blocks.

        A SQLite file is made, or brought up to date, where needed.

        Raises:
            StoreUnusable: says in one line what, where, and how to mend it.
        """
        self._database.prepare(upgrade=self._database.dialect == "sqlite")

    def start(self) -> Deferred[None]:
        """Fires when we are known as one who writes."""
        self._writer.start()
        self._readers.start()
        signed = self._writer.ask(self._server.sign(self._now()))
        self._signed_at = self._reactor.seconds()
        self._ticks.start(_TICK, now=False)
        return signed

    def close(self) -> Deferred[None]:
        """Fires when all that was asked for is done, and nothing is left open."""
        if self._closed:
            return succeed(None)
        self._closed = True
        if self._ticks.running:
            self._ticks.stop()

        def stop(_: object) -> Deferred[None]:
            self._readers.stop()
            self._database.dispose()
            return self._writer.close(self._server.leave())

        return DeferredList(list(self._reading)).addCallback(stop)

    def open(self, conversation_id: str, at: float) -> Deferred[None]:
        row = {"id": conversation_id, "opened_at": at, "heard_at": at}

        def do(connection: Connection, writing: Statements) -> None:
            connection.execute(writing.open, row)

        return self._ask(Change(do))

    def append(self, conversation_id: str, events: Sequence[Event]) -> Deferred[None]:
        if not events:
            return succeed(None)
        try:
            key = self._server.key(next(self._appends))
            job = Append(conversation_id, events, key)
        except StoreError:
            return fail(Failure())
        return self._ask(job)

    def erase(self, conversation_id: str) -> Deferred[None]:
        where = {"conversation": conversation_id}

        def do(connection: Connection, writing: Statements) -> None:
            connection.execute(statements.erase, where)
            connection.execute(statements.erase_events, where)

        return self._ask(Change(do, erases=True))

    def forget(self, conversation_id: str, before: int) -> Deferred[None]:
        where = {"conversation": conversation_id, "before": before}

        def do(connection: Connection, writing: Statements) -> None:
            connection.execute(statements.forget, where)

        return self._ask(Change(do, erases=True))

    def expire(self, heard_before: float) -> Deferred[int]:
        return Deferred.fromCoroutine(self._expire(heard_before))

    async def _expire(self, heard_before: float) -> int:
        def do(connection: Connection, writing: Statements) -> int:
            which = {"heard_before": heard_before, "limit": _CHUNK}
            rows = connection.execute(statements.stale, which).all()
            names = [{"conversation": id} for id in sorted(row.id for row in rows)]
            if names:
                connection.execute(statements.erase, names)
                connection.execute(statements.erase_events, names)
            return len(names)

        expired = 0
        while True:  # other writers get their turn in between
            erased: int = await self._ask(Change(do, erases=True))
            expired += erased
            if erased < _CHUNK:
                return expired

    def change(self, do: Callable[[Connection, Statements], _T]) -> Deferred[_T]:
        """Write what is no part of a transcript.

        Args:
            do: makes the change within a transaction, in the writer's thread, and
                returns the result. Doing it twice must do no harm.
        """
        return self._ask(Change(do))

    def find(self, conversation_id: str) -> Deferred[Known | None]:
        now = self._now()

        def find(connection: Connection) -> Known | None:
            where = {"conversation": conversation_id}
            row = connection.execute(statements.newest, where).one_or_none()
            if row is None or row.seq is None:
                return None if row is None else Known(0)
            if self._server.wrote(row.key):
                return Known(row.seq)
            elsewhere = self._server.alive(connection, row.key >> 32, now, runs)
            return Known(row.seq, elsewhere)

        return self._read(find)

    def read(
        self, conversation_id: str, after: int, limit: int
    ) -> Deferred[Sequence[Event]]:
        where = {"conversation": conversation_id, "after": after, "limit": limit}

        def read(connection: Connection) -> Sequence[Event]:
            bodies = connection.execute(statements.read, where).scalars().all()
            return [_decode(body) for body in bodies]

        return self._read(read)

    def list(
        self, limit: int, before: Listed | None = None
    ) -> Deferred[Sequence[Listed]]:
        query = statements.listing(limit, before)

        def listed(connection: Connection) -> Sequence[Listed]:
            return [Listed(*row) for row in connection.execute(query)]

        return self._read(listed)

    def ready(self) -> Deferred[None]:
        signed = self._ask(self._server.sign(self._now()))
        bounded: Deferred[None] = Deferred()
        signed.addBoth(
            lambda result: None if bounded.called else bounded.callback(result)
        )

        def late(_: object, seconds: float) -> Failure:
            return Failure(StoreError(f"nothing could be written within {seconds:g} s"))

        return bounded.addTimeout(self._patience + 1, self._reactor, late)

    def _ask(self, job: Job) -> Deferred[Any]:
        if self._closed:
            return fail(StoreError("the transcripts are closed"))
        return self._writer.ask(job)

    def _tick(self) -> None:
        """End what hangs; say that we are alive, unless that still waits to be said."""
        self._database.lifelines.cut()
        now = self._reactor.seconds()
        if self._refreshing or now - self._signed_at < REFRESH:
            return
        self._refreshing, self._signed_at = True, now

        def over(_: object) -> None:  # the writer has told the operator
            self._refreshing = False

        self._writer.ask(self._server.sign(self._now())).addBoth(over)

    def _read(self, query: Callable[[Connection], _T]) -> Deferred[_T]:
        if self._closed:
            return fail(StoreError("the transcripts are closed"))
        asked = time.monotonic()
        reading = deferToThreadPool(
            self._reactor, self._readers, self._in_thread, query, asked
        )
        self._reading.add(reading)
        answer: Deferred[_T] = Deferred()

        def over(result: Any) -> None:
            self._reading.discard(reading)
            fault, value = result if isinstance(result, tuple) else (None, result)
            self._outage.tell(fault)
            answer.callback(value)

        reading.addBoth(over)
        return answer

    def _in_thread(
        self, query: Callable[[Connection], _T], asked: float
    ) -> tuple[Fault | None, _T | Failure]:
        while True:
            try:
                with (
                    self._database.reader() as connection,
                    self._database.lifelines.hold(connection),
                ):
                    return None, query(connection)
            except Broken as error:
                fault = fault_of(error)
                late = time.monotonic() + _PAUSE > asked + self._patience
                if late or not fault.passes:
                    failed = StoreError(
                        f"the transcripts can't be read: {fault.reason}"
                    )
                    cause = getattr(error, "orig", None) or error
                    failed.__cause__ = cause
                    return None if fault.single else fault, Failure(failed)
            except msgspec.MsgspecError as error:
                failed = StoreError("an event can't be read; a newer version wrote it")
                failed.__cause__ = error
                return None, Failure(failed)
            time.sleep(_PAUSE)
