"""Ask again until the answer is whole, and say nothing twice.

A failed attempt is followed by another, after a jittered back-off and inside one time
budget. Position, not text, decides what was given already: a new attempt's paragraphs
are compared in order with those that were given, and skipped. If it tells a different
story, what was given from that place on is taken back first.
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
from supportbot.events import Format
from supportbot.interfaces import Reply
from supportbot.settings import Breaking, Retry

Give = Callable[[str, Format], None]
"""Takes a finished paragraph of one attempt."""

Attempt = Callable[[Give], Coroutine[Deferred[Any], Any, None]]
"""One attempt at the whole answer, from its first paragraph on."""

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

    async def answer(self, attempt: Attempt, reply: Reply) -> None:
        """Make attempts until one is whole.

        Raises:
            ServiceError: of the last attempt.
        """
        deadline = self._clock.seconds() + self._retry.budget
        story = _Story(reply)
        troubles = 0
        for number in range(1, self._retry.attempts + 1):
            self._breaker.check()
            try:
                await self._one(attempt, story, deadline - self._clock.seconds())
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
                reply.notice(error.again.format(service=self._title))
                await deferLater(self._clock, pause)
            else:
                self._observe(None)
                self._breaker.reached()
                return

    async def _one(self, attempt: Attempt, story: _Story, seconds: float) -> None:
        def late(_: object, seconds: float) -> Failure:
            return Failure(ServiceTimedOut("budget", self._retry.budget))

        story.begin()
        trying = Deferred.fromCoroutine(attempt(story.give))
        # Less than none are left when the machine slept between two attempts.
        await trying.addTimeout(max(0.0, seconds), self._clock, late)
        story.end()

    def _pause(self, troubles: int, error: ServiceError) -> float:
        """Seconds to wait before another attempt."""
        doubled = self._retry.first * 2.0 ** min(troubles - 1, 30)
        pause = min(self._retry.most, doubled) * (0.5 + 0.5 * self._jitter())
        asked: float = getattr(error, "retry_after", None) or 0.0
        return max(pause, min(asked, self._retry.retry_after))


class _Story:
    """What all attempts together have told."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._given: list[tuple[str, Format]] = []
        self._told = 0  # paragraphs of this attempt

    def begin(self) -> None:
        """Another attempt starts, from its first paragraph."""
        self._told = 0

    def give(self, text: str, format: Format) -> None:
        """The attempt's next paragraph."""
        paragraph = (text, format)
        if self._told < len(self._given):
            if self._given[self._told] == paragraph:
                self._told += 1
                return
            self._take_back()
        self._given.append(paragraph)
        self._told += 1
        self._reply.paragraph(text, format)

    def end(self) -> None:
        """The attempt is whole: what only others told does not stand."""
        if self._told < len(self._given):
            self._take_back()

    def _take_back(self) -> None:
        del self._given[self._told :]
        self._reply.revise(self._told)
