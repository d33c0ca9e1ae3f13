"""The thin protocol between a response's body and the parser that reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IReactorTime
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from zope.interface import implementer

from supportbot.errors import BodyCut, NoProgress, ServiceError, ServiceTimedOut
from supportbot.streaming.runaway import Guard

_T = TypeVar("_T")
_Given = TypeVar("_Given", covariant=True)


class Reader(Protocol[_Given]):
    """A parser: bytes in, finished values out, such as paragraphs."""

    @property
    def complete(self) -> bool:
        """Whether the answer is whole, so that nothing behind it matters."""

    def feed(self, data: bytes) -> Iterable[_Given]:
        """Take bytes; give what they finish, then raise what is wrong with them."""

    def end(self) -> Iterable[_Given]:
        """The body has ended: give what is left, raise if something is missing."""


@implementer(IProtocol)
class Body(TwistedProtocol, Generic[_T]):
    """Read one response's body.

    The end of a connection proves nothing: HTTP/1.0 reports a broken one just as a
    finished one. The reader knows whether the answer is whole.

    Args:
        clock: for the deadlines.
        reader: makes values of the bytes.
        guard: what does not pass it ends the body.
        give: is called with every finished value, in order.
        hang_up: closes the connection at once.
        idle, progress, total: seconds between two pieces of the body, between two
            finished values, and for all of it.

    Attributes:
        done: fires exactly once, after the last `give`: with None when the answer is
            whole, or with what broke it. Cancelling it hangs up.
    """

    def __init__(
        self,
        clock: IReactorTime,
        reader: Reader[_T],
        guard: Guard,
        give: Callable[[_T], None],
        hang_up: Callable[[], None],
        *,
        idle: float,
        progress: float,
        total: float,
    ) -> None:
        self._reader, self._guard, self._give = reader, guard, give
        self._hang_up = hang_up
        self._idle_limit, self._progress_limit = idle, progress
        self._over = False

        def deadline(seconds: float, error: type[ServiceError], *args: Any) -> Any:
            return clock.callLater(seconds, self._late, error, *args)

        self._idle = deadline(idle, ServiceTimedOut, "idle", idle)
        self._progress = deadline(progress, NoProgress, progress)
        self._total = deadline(total, ServiceTimedOut, "total", total)
        self.done: Deferred[None] = Deferred(lambda _: self._stop())

    def dataReceived(self, data: bytes) -> None:
        if self._over:
            return
        self._idle.reset(self._idle_limit)
        try:
            self._hand_on(self._reader.feed(self._guard.admit(data)))
            if self._guard.runaway is not None and not self._reader.complete:
                raise self._guard.runaway
        except Exception:
            self._end(Failure())
        else:
            if self._reader.complete:
                self._end(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._over:
            return
        try:
            if not reason.check(ResponseDone, PotentialDataLoss):
                raise BodyCut(type(reason.value).__name__) from reason.value
            self._hand_on(self._reader.end())
        except Exception:
            self._end(Failure())
        else:
            self._end(None)

    def _hand_on(self, values: Iterable[_T]) -> None:
        for value in values:
            self._progress.reset(self._progress_limit)
            self._give(value)
            if self._over:  # stopped by whoever it was given to
                return

    def _late(self, error: type[ServiceError], *args: Any) -> None:
        self._end(Failure(error(*args)))

    def _end(self, result: Failure | None) -> None:
        if self._over:
            return
        self._stop()
        if result is None:
            self.done.callback(None)
        else:
            self.done.errback(result)

    def _stop(self) -> None:
        self._over = True
        for call in (self._idle, self._progress, self._total):
            if call.active():
                call.cancel()
        self._hang_up()
