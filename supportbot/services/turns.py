"""Take turns at a service that answers only so many questions at a time."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import DeferredSemaphore
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from supportbot.errors import ServiceBusy


class Turns:
    """The queue in front of one service.

    Args:
        clock: for the wait.
        title: what customers call the service.
        at_once: how many questions, or calls, may be under way.
        seconds: that a question may wait for its turn.
    """

    def __init__(
        self, clock: IReactorTime, title: str, at_once: int, seconds: float
    ) -> None:
        self._clock, self._title, self._seconds = clock, title, seconds
        self._free = DeferredSemaphore(at_once)

    @property
    def waiting(self) -> int:
        """How many questions wait for their turn."""
        return len(self._free.waiting)

    async def take(self, notice: Callable[[str], None] = lambda line: None) -> None:
        """Wait for a turn. Who has taken one gives it back, whatever happens.

        Args:
            notice: is told, in a line for the customer, if it does not come at once.

        Raises:
            ServiceBusy: none came in time.
        """
        if self._free.tokens:
            await self._free.acquire()
            return
        notice(f"The {self._title} is busy; you are in line…")

        def late(_: object, seconds: float) -> Failure:
            return Failure(ServiceBusy(seconds))

        await self._free.acquire().addTimeout(self._seconds, self._clock, late)

    def give_back(self) -> None:
        """The turn is over."""
        self._free.release()
