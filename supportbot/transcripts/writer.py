"""One thread that writes, and commits together what was asked for together.

What is asked for in one turn of the reactor is one transaction; what comes while that
is written is the next. Nothing fires before it is committed.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, NamedTuple

from sqlalchemy import Connection
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorFromThreads, IReactorTime
from twisted.python.failure import Failure

from supportbot.errors import StoreError
from supportbot.transcripts.batch import Batch, Job, Outcome, Unclear
from supportbot.transcripts.database import Database, checkpoint
from supportbot.transcripts.faults import Broken, Fault, Outage, fault_of
from supportbot.transcripts.statements import Statements
from supportbot.transcripts.threads import Threads

BATCH = 256
"""Most jobs of one transaction."""
WAITING = 10_000
"""Most jobs that wait to be written."""

_PAUSES = (0.01, 0.05, 0.1, 0.25)
"""Seconds between two attempts; the last one stands for all that follow."""


class ThreadedReactor(IReactorTime, IReactorFromThreads):
    """A reactor that keeps time, and can be called from threads."""


class _Written(NamedTuple):
    """What became of a batch.

    Attributes:
        outcomes: of its jobs, in their order; none if nothing of it was written.
        fault: why it was not.
        cause: what the database said.
    """

    outcomes: Sequence[Outcome] = ()
    fault: Fault | None = None
    cause: BaseException | None = None


class Writer:
    """Write jobs to a database, in the order in which they are asked for.

    Args:
        patience: seconds for which a job is tried again when the database is locked
            or gone.
        monotonic: the time in seconds, for the thread.
    """

    def __init__(
        self,
        reactor: ThreadedReactor,
        database: Database,
        patience: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reactor, self._database = reactor, database
        self._patience, self._monotonic = patience, monotonic
        self._statements = Statements(database.dialect)
        self._pool = Threads(1, 1, name="transcripts-writer")
        self._batches: SimpleQueue[list[Job] | None] = SimpleQueue()
        self._waiting: deque[Job] = deque()
        self._busy = self._due = self._closed = False
        self._outage = Outage(
            "transcripts can't be written to",
            "transcripts are written again",
            database.name,
        )
        self._stopped: Deferred[None] = Deferred()
        # What follows belongs to the thread.
        self._connection: Connection | None = None
        self._unclean = True

    def start(self) -> None:
        """Begin to write; what was asked for before has waited."""
        self._pool.start()
        self._pool.callInThread(self._work)

    def ask(self, job: Job) -> Deferred[Any]:
        """Have something written.

        Returns:
            Fires with the job's result when it is committed.
        """
        if self._closed:
            return fail(StoreError("the transcripts are closed"))
        if len(self._waiting) >= WAITING:
            return fail(StoreError(f"{WAITING} changes wait to be written already"))
        job.asked = self._monotonic()
        self._waiting.append(job)
        if not (self._busy or self._due):
            self._due = True
            self._reactor.callLater(0, self._turn)
        return job.done

    def close(self, last: Job) -> Deferred[None]:
        """Write what was asked for, and this; then stop."""
        self.ask(last).addErrback(lambda failure: failure.trap(StoreError) and None)
        self._closed = True
        return self._stopped

    def _turn(self) -> None:
        self._due = False
        self._next()

    def _next(self) -> None:
        if self._busy or self._due:
            return
        if self._waiting:
            self._busy = True
            most = min(BATCH, len(self._waiting))
            self._batches.put([self._waiting.popleft() for _ in range(most)])
        elif self._closed:
            self._busy = True
            self._batches.put(None)

    def _wrote(self, jobs: list[Job], written: _Written) -> None:
        """Back in the reactor's thread: say what became of a batch."""
        outcomes = written.outcomes
        if (fault := written.fault) is not None:
            latest = self._monotonic() - self._patience
            while self._waiting and self._waiting[0].asked < latest:
                jobs.append(self._waiting.popleft())  # waited as long as the others
            outcomes = [_failure(fault, written.cause) for _ in jobs]
        self._outage.tell(fault)
        for job, outcome in zip(jobs, outcomes, strict=True):
            job.done.callback(outcome)
        self._busy = False
        self._next()  # with all that came of it

    def _end(self) -> None:
        self._pool.stop()
        self._stopped.callback(None)

    # In the thread.

    def _work(self) -> None:
        while (jobs := self._batches.get()) is not None:
            try:
                written = self._write(jobs)
            except Exception as error:  # a fault of ours; nobody may wait for ever
                fault = Fault(type(error).__name__, "report it to supportbot")
                written = _Written(fault=fault, cause=error)
                self._drop()
            self._reactor.callFromThread(self._wrote, jobs, written)
        self._drop()
        self._reactor.callFromThread(self._end)

    def _write(self, jobs: list[Job]) -> _Written:
        deadline = jobs[0].asked + self._patience
        attempt = 0
        while True:
            try:
                outcomes = self._attempt(jobs)
            except Broken as error:
                self._drop()
                fault = fault_of(error)
                pause = _PAUSES[min(attempt, len(_PAUSES) - 1)]
                if not fault.passes or self._monotonic() + pause > deadline:
                    return _Written(fault=fault, cause=error)
                time.sleep(pause)
                attempt += 1
            else:
                self._clean()
                return _Written(outcomes)

    def _attempt(self, jobs: list[Job]) -> Sequence[Outcome]:
        """One transaction; a second one if the first can't tell whose fault it was."""
        if self._connection is not None and self._database.moved():
            self._drop()
        if self._connection is None:
            self._connection = self._database.writer()
        connection = self._connection
        batch = Batch(connection, self._statements)
        with self._database.lifelines.hold(connection):
            try:
                with connection.begin():
                    outcomes = batch.at_once(jobs)
            except Unclear:
                with connection.begin():
                    outcomes = batch.one_by_one(jobs)
        self._unclean = self._unclean or batch.erased
        return outcomes

    def _clean(self) -> None:
        """Leave nothing in SQLite's log of what was erased."""
        if not self._unclean or self._connection is None:
            return
        try:
            if self._database.path is None or checkpoint(self._connection):
                self._unclean = False
        except Broken:
            self._drop()  # what was asked for is done; this is tried again

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except Broken:
                connection.invalidate()


def _failure(fault: Fault, cause: BaseException | None) -> Failure:
    failed = StoreError(f"the transcripts can't be written: {fault.reason}")
    failed.__cause__ = getattr(cause, "orig", None) or cause
    return Failure(failed)
