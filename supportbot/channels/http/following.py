"""A session's events as a stream: from any number on, and live afterwards."""

from __future__ import annotations

from functools import partial

from twisted.internet.defer import Deferred

from supportbot.channels.http.shapes import Delta, End
from supportbot.channels.http.sse import Stream, frame
from supportbot.channels.markup import presentable
from supportbot.context import Logger
from supportbot.conversation import Conversation
from supportbot.events import Event
from supportbot.follower import Follower

_log = Logger()


class Followed:
    """A viewer that sends what there is, and then what comes.

    Args:
        conversation: that is followed.
        stream: takes the events.
        after: the client has those up to this number.
        live: whether to stay when no answer is under way.
    """

    __slots__ = ("_conversation", "_follower", "_last", "_live", "_stream")

    def __init__(
        self, conversation: Conversation, stream: Stream, after: int, *, live: bool
    ) -> None:
        self._conversation, self._stream, self._live = conversation, stream, live
        self._follower: Follower = conversation.follow(self, after)
        self._last: int | None = None  # the number of the last event, once it is known
        if self._conversation.lasting:
            self._stream.beat = partial(look, conversation)
        self._stream.open(self._follower)
        self._follower.catch_up()
        if not self._live:
            self._conversation.idle().addCallback(self._idle)

    def event(self, event: Event) -> None:
        tag = event.__struct_config__.tag
        self._stream.send(frame(presentable(event), str(tag), str(event.seq)))
        if self._last is not None and event.seq >= self._last:
            self._end("idle")

    def delta(self, text: str) -> None:
        self._stream.send(frame(Delta(text), "delta"))

    def notice(self, text: str) -> None:
        self._stream.send(frame(Delta(text), "notice"))

    def lost(self) -> None:
        self._stream.end()  # the client comes back with its number

    def over(self) -> None:
        self._end("deleted")

    def drain(self) -> None:
        """This process ends; when all is answered the client may go to another."""
        self._conversation.idle().addCallback(lambda _: self._stream.bye())

    def _idle(self, _: object) -> None:
        self._last = self._conversation.last_seq
        if self._follower.after >= self._last:
            self._end("idle")

    def _end(self, reason: str) -> None:
        self._stream.send(frame(End(reason), "end"))
        self._stream.end()


def look(conversation: Conversation) -> None:
    """Look at what other processes have stored, or whether they erased it."""
    looking = Deferred.fromCoroutine(conversation.refresh())
    looking.addErrback(
        lambda why: _log.warn("can't look for events: {why}", why=str(why.value))
    )
