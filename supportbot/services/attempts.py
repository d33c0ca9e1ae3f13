"""Ask again until the answer is whole.

A failed attempt is followed by another, after a jittered back-off and inside one time
budget. That nothing is said twice is for `Story` to see to.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from supportbot.context import Logger
from supportbot.errors import BodyRunaway, ServiceError, ServiceResting, ServiceTimedOut
from supportbot.settings import Breaking, Retry

Attempt = Callable[[], Coroutine[Deferred[Any], Any, None]]
"""One attempt at all of it."""

_log = Logger()


class Breaker:
    """Leave a service alone that failed again and again.

    After a rest one attempt is let through. If it reaches the service all is well;
    if not, the rest begins anew.
    """

    def __init__(self, clock: IReactorTime, settings: Breaking) -> None:
        self._clock, self._settings = clock, settings
        self._failures = 0
        self._rests_until = 0.0

    @property
    def open(self) -> bool:
        """Whether too many attempts failed in a row."""
        return self._failures >= self._settings.failures

    def check(self) -> None:
        """Raises ServiceResting while the service is left alone."""
        if not self.open:
            return
        if (left := self._rests_until - self._clock.seconds()) > 0:
            raise ServiceResting(left)
        self._rests_until = self._clock.seconds() + self._settings.rest

    def reached(self) -> None:
        """The service was there, whatever it said."""
        self._failures = 0

    def heard(self, error: ServiceError) -> None:
        """An attempt failed; whether the service was there, the error tells."""
        if error.trips:
            self._failures += 1
            self._rests_until = self._clock.seconds() + self._settings.rest
        elif not isinstance(error, ServiceTimedOut):  # our budget's end tells nothing
            self.reached()


class Attempts:
    """The patience with one service.

    Args:
        title: what customers call the service.
        jitter: a number from 0 to 1; shortens back-offs so that many don't come back
            at the same moment.
        observe: is told how each attempt went: None if it was whole.
    """

    def __init__(
        self,
        clock: IReactorTime,
        title: str,
        retry: Retry,
        breaker: Breaker,
        jitter: Callable[[], float] = random.random,
        observe: Callable[[ServiceError | None], None] = lambda error: None,
    ) -> None:
        self._clock, self._title, self._observe = clock, title, observe
        self._retry, self._breaker, self._jitter = retry, breaker, jitter

    async def make(self, attempt: Attempt, notice: Callable[[str], None]) -> None:
        """Make attempts until one is whole.

        Args:
            notice: is told, in a line for the customer, that another one follows.

        Raises:
            ServiceError: of the last attempt.
        """
        deadline = self._clock.seconds() + self._retry.budget
        troubles = 0
        for number in range(1, self._retry.attempts + 1):
            self._breaker.check()
            try:
                await self._one(attempt, deadline - self._clock.seconds())
            except ServiceError as error:
                _log.info(
                    "attempt {number} at the {title} failed: {kind}: {error}",
                    number=number,
                    title=self._title,
                    kind=type(error).__name__,
                    error=str(error),
                )
                self._observe(error)
                self._breaker.heard(error)
                # One that runs away is well but for that, and needs no longer rest.
                troubles += not isinstance(error, BodyRunaway)
                pause = self._pause(max(1, troubles), error)
                left = deadline - self._clock.seconds()
                last = number == self._retry.attempts or pause >= left
                if last or self._breaker.open or not error.transient:
                    raise
                notice(error.again.format(service=self._title))
                await deferLater(self._clock, pause)
            else:
                self._observe(None)
                self._breaker.reached()
                return

    async def _one(self, attempt: Attempt, seconds: float) -> None:
        def late(_: object, seconds: float) -> Failure:
            return Failure(ServiceTimedOut("budget", self._retry.budget))

        trying = Deferred.fromCoroutine(attempt())
        # Less than none are left when the machine slept between two attempts.
        await trying.addTimeout(max(0.0, seconds), self._clock, late)

    def _pause(self, troubles: int, error: ServiceError) -> float:
        """Seconds to wait before another attempt."""
        doubled = self._retry.first * 2.0 ** min(troubles - 1, 30)
        pause = min(self._retry.most, doubled) * (0.5 + 0.5 * self._jitter())
        asked: float = getattr(error, "retry_after", None) or 0.0
        return max(pause, min(asked, self._retry.retry_after))
