"""A session's events a page at a time, for clients that streams do not reach."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from supportbot.channels.http.finding import unknown
from supportbot.channels.http.following import look
from supportbot.channels.http.shapes import EventsPage
from supportbot.channels.markup import presentable
from supportbot.conversation import Conversation
from supportbot.errors import StoreError
from supportbot.events import Event
from supportbot.follower import Follower
from supportbot.settings import Settings

_FIRST_LOOK = 1.0  # seconds until other processes may have stored something


class Polled:
    """A viewer that takes the next events, or waits for the first one.

    What is there takes only as long as it is read. What comes later is given in the
    next turn of the reactor, since events seldom come alone.

    Args:
        clock: for the waiting.
        conversation: that is followed.
        after: the client has the events up to this number.
        wait: seconds to wait where there are none.
        settings: the limits.

    Attributes:
        page: fires with what came; or fails with Refused, if the conversation is
            erased, or with StoreError.
    """

    __slots__ = (
        "_clock",
        "_conversation",
        "_deadline",
        "_events",
        "_follower",
        "_looking",
        "_notice",
        "_pause",
        "_settings",
        "page",
    )

    def __init__(
        self,
        clock: IReactorTime,
        conversation: Conversation,
        after: int,
        wait: float,
        settings: Settings,
    ) -> None:
        self.page: Deferred[EventsPage] = Deferred(lambda _: self._stop())
        self._clock, self._conversation = clock, conversation
        self._settings = settings
        self._events: list[Event] = []
        self._notice = ""
        self._deadline: IDelayedCall | None = None  # not while something is there
        self._looking: IDelayedCall | None = None
        self._pause = _FIRST_LOOK
        self._follower: Follower = conversation.follow(self, after)
        if not self._more:
            if not wait:
                self.end()
                return
            self._deadline = clock.callLater(wait, self.end)
            if conversation.lasting:
                self._looking = clock.callLater(self._pause, self._look)
        self._follower.catch_up()

    def end(self) -> None:
        """Answer with what has come; the client may ask for the rest."""
        if not self.page.called:
            self._stop()
            self.page.callback(EventsPage(self._events, self._more, self._notice))

    def event(self, event: Event) -> None:
        self._events.append(presentable(event))
        if len(self._events) >= self._settings.conversation.batch:
            self.end()
        elif not self._more:
            self._soon()

    def delta(self, text: str) -> None:
        """Only what is finished is given."""

    def notice(self, text: str) -> None:
        self._notice = text
        self._soon()

    def lost(self) -> None:
        self._fail(StoreError("the transcript can't be read"))

    def over(self) -> None:
        self._fail(unknown(self._conversation.id))

    @property
    def _more(self) -> bool:
        return self._follower.after < self._conversation.last_seq

    def _soon(self) -> None:
        if self._deadline is None:
            self.end()
        else:
            self._deadline.reset(0)

    def _look(self) -> None:
        self._pause = min(2 * self._pause, self._settings.http.heartbeat)
        self._looking = self._clock.callLater(self._pause, self._look)
        look(self._conversation)

    def _fail(self, why: Exception) -> None:
        if not self.page.called:
            self._stop()
            self.page.errback(why)

    def _stop(self) -> None:
        self._follower.stopProducing()
        for call in (self._deadline, self._looking):
            if call is not None and call.active():
                call.cancel()
