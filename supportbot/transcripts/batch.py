"""What is written in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import msgspec
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from supportbot.errors import StoreError, TranscriptGone, TranscriptMoved
from supportbot.events import CustomerSaid, Event
from supportbot.transcripts import statements
from supportbot.transcripts.faults import fault_of
from supportbot.transcripts.statements import Statements

Outcome = Any
"""A job's result, or a Failure."""

_encode = msgspec.json.Encoder().encode


class Unclear(Exception):
    """Not everything was written, and a batch does not tell what."""


class Job:
    """Something to be written.

    Attributes:
        asked: when, in seconds of the writer's clock.
        done: fires with its result.
    """

    asked: float = 0.0

    def __init__(self) -> None:
        self.done: Deferred[Any] = Deferred()


class Change(Job):
    """A change that is not an append; doing it twice must do no harm.

    Args:
        do: makes the change, and returns the result.
        erases: whether it may erase text.
    """

    def __init__(
        self, do: Callable[[Connection, Statements], Any], *, erases: bool = False
    ) -> None:
        super().__init__()
        self.do, self.erases = do, erases


class Append(Job):
    """Events to append, one at least.

    Args:
        key: that no other append has.

    Raises:
        StoreError: they hold what no database takes.
    """

    def __init__(self, conversation: str, events: Sequence[Event], key: int) -> None:
        super().__init__()
        self.conversation, self.key, self.count = conversation, key, len(events)
        self.first, self.last = events[0].seq, events[-1].seq
        self.opened_at = events[0].at
        said = [event.at for event in events if type(event) is CustomerSaid]
        self.heard_at = max(said) if said else None
        if "\0" in conversation:
            raise StoreError("an id holds a NUL")
        try:
            rows = [
                (conversation, event.seq, key, _encode(event).decode())
                for event in events
            ]
            self.rows = _encode(rows)[1:-1]  # of a longer list
        except (ValueError, TypeError) as error:
            raise StoreError("an event can't be written as JSON") from error


class Batch:
    """Write jobs within a transaction of the caller's.

    Attributes:
        erased: whether text may have been erased.
    """

    def __init__(self, connection: Connection, statements: Statements) -> None:
        self._connection, self._statements = connection, statements
        self.erased = False

    def at_once(self, jobs: Sequence[Job]) -> Sequence[Outcome]:
        """Write what follows upon each other with one statement.

        Raises:
            Unclear: it has to be done one by one, in another transaction.
        """
        outcomes: list[Outcome] = []
        try:
            for appends, group in groupby(jobs, key=lambda job: type(job) is Append):
                if appends:
                    outcomes += self._append(
                        [job for job in group if type(job) is Append]
                    )
                else:
                    outcomes += [self._change(job) for job in group]
        except SQLAlchemyError as error:
            if fault_of(error).single:
                raise Unclear from error
            raise
        return outcomes

    def one_by_one(self, jobs: Sequence[Job]) -> Sequence[Outcome]:
        """Write each with a savepoint of its own: one that fails is alone in that."""
        outcomes: list[Outcome] = []
        for job in jobs:
            savepoint = self._connection.begin_nested()
            try:
                outcome = self._alone(job)
            except (TranscriptGone, TranscriptMoved):
                outcome = Failure()
            except SQLAlchemyError as error:
                if not (fault := fault_of(error)).single:
                    raise
                failed = StoreError(f"this can't be written: {fault.reason}")
                failed.__cause__ = getattr(error, "orig", None) or error
                outcome = Failure(failed)
            if isinstance(outcome, Failure):
                savepoint.rollback()
            else:
                savepoint.commit()
            outcomes.append(outcome)
        return outcomes

    def _change(self, job: Job) -> Outcome:
        assert isinstance(job, Change)
        self.erased = self.erased or job.erases
        return job.do(self._connection, self._statements)

    def _alone(self, job: Job) -> Outcome:
        if type(job) is not Append:
            return self._change(job)
        try:
            self._append([job])
        except Unclear:
            if self._is_there(job):
                return None
            if not self._is_known(job):
                raise TranscriptGone from None
            message = "somebody else has written these numbers"
            raise TranscriptMoved(message) from None
        return None

    def _append(self, appends: Sequence[Append]) -> Sequence[None]:
        """Insert with one statement."""
        execute, newest = self._connection.execute, dict[str, int]()
        opened: dict[str, float] = {}
        heard: dict[str, float] = {}
        for job in appends:
            name = job.conversation
            if job.first <= newest.get(name, 0):
                raise Unclear
            newest[name] = job.last
            if job.heard_at is not None:
                heard[name] = max(heard.get(name, job.heard_at), job.heard_at)
            if job.first == 1:
                opened[name] = job.opened_at
        if opened:
            rows = [
                {"id": name, "opened_at": at, "heard_at": at}
                for name, at in sorted(opened.items())
            ]
            execute(self._statements.open, rows)
        if self._statements.hold is not None:
            execute(self._statements.hold, {"names": sorted(newest)}).all()
        if heard:
            rows = [{"name": name, "at": at} for name, at in sorted(heard.items())]
            execute(self._statements.hear, rows)
        text = b"[" + b",".join([job.rows for job in appends]) + b"]"
        inserted = execute(self._statements.append, {"rows": text.decode()}).rowcount
        if inserted != sum(job.count for job in appends):
            raise Unclear
        return [None] * len(appends)

    def _is_there(self, job: Append) -> bool:
        """Whether an append was committed already, although nobody told us."""
        where = {"conversation": job.conversation, "first": job.first, "last": job.last}
        rows = self._connection.execute(statements.keys_of, where).all()
        return len(rows) == job.count and all(row.key == job.key for row in rows)

    def _is_known(self, job: Append) -> bool:
        """Whether an append's conversation is there."""
        where = {"name": job.conversation}
        return self._connection.execute(statements.known, where).first() is not None
