"""A cursor on a transcript, for one viewer.

Nobody keeps a queue for a follower: what it has not shown yet stands in the
transcript, and it reads on from its number. So one that is far behind costs no more
than one that is not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from supportbot.events import Event
from supportbot.interfaces import Viewer

_log = Logger()


@implementer(IPushProducer)
class Follower:
    """Show a viewer every event once and in order.

    A push producer: register it with the viewer's transport, and it stops while the
    transport is full.

    Args:
        after: the viewer has seen everything up to this number.
        read: reads the events behind a number, some at a time.
        gone: is called once when the follower stops.
    """

    def __init__(
        self,
        viewer: Viewer,
        after: int,
        read: Callable[[int], Deferred[Sequence[Event]]],
        gone: Callable[[Follower], None],
    ) -> None:
        self._viewer, self._read, self._gone = viewer, read, gone
        self.after = after
        self._behind = False  # there are events that were not shown
        self._reading = self._paused = self._stopped = False
        self._missed_delta = ""

    def announced(self, event: Event) -> None:
        """An event was stored."""
        self._missed_delta = ""  # the event says it all
        idle = not (self._reading or self._paused or self._stopped or self._behind)
        if idle and event.seq == self.after + 1:
            self._show(event)
        elif event.seq > self.after:
            self.catch_up()

    def delta(self, text: str) -> None:
        """A paragraph is growing."""
        if self._paused or self._behind:
            self._missed_delta += text
        elif not self._stopped:
            self._viewer.delta(text)

    def notice(self, text: str) -> None:
        """Something can be said about the reply, which nobody needs to know later."""
        if not (self._paused or self._behind or self._stopped):
            self._viewer.notice(text)

    def catch_up(self) -> None:
        """Show what the transcript has behind the cursor."""
        self._behind = True
        if self._reading or self._paused or self._stopped:
            return
        self._reading = True
        Deferred.fromCoroutine(self._follow()).addErrback(self._broke)

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        if self._behind:
            self.catch_up()
        elif self._missed_delta:
            missed, self._missed_delta = self._missed_delta, ""
            self._viewer.delta(missed)

    def stopProducing(self) -> None:
        if not self._stopped:
            self._stopped = True
            self._gone(self)

    async def _follow(self) -> None:
        try:
            while self._behind and not (self._paused or self._stopped):
                self._behind = False  # what is announced from now on sets it again
                for event in await self._read(self.after):
                    if self._paused or self._stopped:
                        self._behind = True
                        break
                    self._behind = True  # there may be more than was read at a time
                    self._show(event)
        finally:
            self._reading = False

    def _show(self, event: Event) -> None:
        self.after = event.seq
        self._viewer.event(event)

    def _broke(self, why: Failure) -> None:
        _log.failure("reading a transcript for a follower", failure=why)
        self.stopProducing()
