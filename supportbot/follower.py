"""A cursor on a transcript, for one viewer.

Nobody keeps a queue for a follower: what it has not shown yet stands in the
transcript, and it reads on from its number. So one that is far behind costs no more
than one that is not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from supportbot.context import Logger
from supportbot.events import CustomerSaid, Event
from supportbot.interfaces import Viewer

_Shown = TypeVar("_Shown")
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
        newest: the number of the newest event there is, where that is known.
        growing: the paragraph that grows behind that event, as far as it has come.
    """

    def __init__(
        self,
        viewer: Viewer,
        after: int,
        read: Callable[[int], Deferred[Sequence[Event]]],
        gone: Callable[[Follower], None],
        newest: int | None = None,
        growing: str = "",
    ) -> None:
        self._viewer, self._read, self._gone = viewer, read, gone
        self.after = after
        self._newest = max(after, newest or 0)  # number that it was told of, or read
        self._nothing_behind = newest is not None and newest <= after
        self._behind = False  # there are events that were not shown
        self._reading = self._paused = self._stopped = False
        self._growing = growing  # deltas that were not shown

    def announced(self, event: Event) -> None:
        """An event was stored."""
        self._nothing_behind = False
        self._heard(event)
        if event.seq == self.after + 1 and self._up_to_date:
            self._show(event)
        elif event.seq > self.after:
            self.catch_up()

    def delta(self, text: str) -> None:
        """A paragraph is growing, behind all that was announced."""
        if not self._stopped:
            self._growing += text
            self._grow()

    def notice(self, text: str) -> None:
        """Something can be said about the reply, which nobody needs to know later."""
        if self._up_to_date:
            self._tell(self._viewer.notice, text)

    def catch_up(self) -> None:
        """Show what the transcript has behind the cursor, and what grows there."""
        if self._nothing_behind:
            self._grow()
            return
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
        else:
            self._grow()

    def stopProducing(self) -> None:
        if not self._stopped:
            self._stopped = True
            self._gone(self)

    def end(self) -> None:
        """Nothing comes any more."""
        if not self._stopped:
            self.stopProducing()
            try:
                self._viewer.over()
            except Exception:  # its own trouble, as below
                _log.failure("telling a viewer that a conversation has ended")

    @property
    def _up_to_date(self) -> bool:
        """Whether what comes now may be shown now."""
        return not (self._reading or self._paused or self._stopped)

    async def _follow(self) -> None:
        try:
            while self._behind and not (self._paused or self._stopped):
                self._behind = False  # what is announced from now on sets it again
                for event in await self._read(self.after):
                    if self._paused or self._stopped:
                        self._behind = True
                        break
                    self._behind = True  # there may be more than was read at a time
                    self._heard(event)
                    self._show(event)
        finally:
            self._reading = False
        self._grow()

    def _heard(self, event: Event) -> None:
        if event.seq > self._newest:
            self._newest = event.seq
            if not isinstance(event, CustomerSaid):
                self._growing = ""  # the event says it all

    def _show(self, event: Event) -> None:
        self.after = event.seq
        self._tell(self._viewer.event, event)

    def _grow(self) -> None:
        if self._growing and self._up_to_date:
            growing, self._growing = self._growing, ""
            self._tell(self._viewer.delta, growing)

    def _tell(self, tell: Callable[[_Shown], None], what: _Shown) -> None:
        try:
            tell(what)
        except Exception:
            # Its own trouble: not that of the service, nor of the other viewers.
            _log.failure("showing a conversation to a viewer")
            self._lose()

    def _broke(self, why: Failure) -> None:
        _log.failure("reading a transcript for a follower", failure=why)
        self._lose()

    def _lose(self) -> None:
        if not self._stopped:
            self.stopProducing()
            self._viewer.lost()
