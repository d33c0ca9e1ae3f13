"""The answer to one message, picked out of its conversation."""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from supportbot.channels.markup import presentable
from supportbot.conversation import Conversation
from supportbot.errors import ConversationBusy, ConversationErased, StoreError
from supportbot.events import (
    ConversationReset,
    Event,
    ParagraphSaid,
    ReplyEnded,
    ReplyRevised,
    ReplyStarted,
    ToolCalled,
)
from supportbot.follower import Follower
from supportbot.ledger import Message, Paragraphs


class Sink(Protocol):
    """Where an answer goes."""

    def started(self, event: ReplyStarted) -> None:
        """It begins."""

    def more(self, event: ParagraphSaid, added: str) -> None:
        """Another paragraph, cleaned, and what it adds to the text of the answer."""

    def revised(self, event: ReplyRevised, left: str) -> None:
        """The service told a different story; the text that still stands."""

    def delta(self, text: str) -> None:
        """More of the paragraph that is growing."""

    def ended(self, event: ReplyEnded) -> None:
        """The answer is over."""

    def failed(self, why: Failure) -> None:
        """It has no end that can be shown: StoreError or BadRequest."""


class Answer:
    """A viewer that picks the answer to one message out of its conversation.

    Args:
        conversation: took the message.
        message: that is answered, or will be.
        sink: gets the answer.
        after: it is the first answer behind this number; the latest if not given.

    Attributes:
        tool_calls: what a language model did for it.
    """

    __slots__ = (
        "_after",
        "_conversation",
        "_follower",
        "_message",
        "_mine",
        "_reply",
        "_sink",
        "_waiting",
        "tool_calls",
    )

    def __init__(
        self,
        conversation: Conversation,
        message: Message,
        sink: Sink,
        after: int | None = None,
    ) -> None:
        self._conversation, self._message = conversation, message
        self._sink: Sink | None = sink  # until the end, so that no circle is left
        self._reply = Paragraphs()
        self.tool_calls: list[ToolCalled] = []
        self._mine = False
        self._after = message.after if after is None else after
        self._follower: Follower | None = conversation.follow(self, self._after)
        self._waiting: Deferred[object] | None = None

    def begin(self) -> None:
        """Give the sink what there is, and then what comes."""
        if self._follower is not None:
            self._follower.catch_up()
        if self._sink is not None:
            waiting = self._conversation.answered(self._message)
            self._waiting = waiting.addCallbacks(self._answered, self._not_answered)

    def event(self, event: Event) -> None:
        sink = self._sink
        if sink is None:
            return
        if isinstance(event, ReplyStarted):
            self._mine = event.to == self._message.seq
            self.tool_calls = []
            if self._mine:
                sink.started(event)
        elif isinstance(event, ConversationReset):
            self._fail(Failure(ConversationBusy()))
        elif not self._mine:
            return
        elif isinstance(event, ToolCalled):
            self.tool_calls.append(event)
        elif isinstance(event, ParagraphSaid):
            event = presentable(event)
            sink.more(event, self._reply.add(event))
        elif isinstance(event, ReplyRevised):
            self._reply.keep(event.keep)
            sink.revised(event, self._reply.text)
        elif isinstance(event, ReplyEnded):
            self._end()
            sink.ended(event)

    def delta(self, text: str) -> None:
        if self._mine and self._sink is not None:
            self._sink.delta(text)

    def notice(self, text: str) -> None:
        """What is said about the answer is not given."""

    def lost(self) -> None:
        self._fail(Failure(StoreError("the transcript can't be read")))

    def over(self) -> None:
        self._fail(Failure(ConversationErased()))

    @property
    def text(self) -> str:
        """What stands of it."""
        return self._reply.text

    # What feeds a stream

    def pauseProducing(self) -> None:
        if self._follower is not None:
            self._follower.pauseProducing()

    def resumeProducing(self) -> None:
        if self._follower is not None:
            self._follower.resumeProducing()

    def stopProducing(self) -> None:
        """Nobody wants it any more; it is finished and stored all the same."""
        self._end()

    def _answered(self, event: ReplyEnded) -> None:
        if event.seq <= self._after:  # a reply from before it was asked again
            self._fail(Failure(StoreError("the answer could not be stored")))

    def _not_answered(self, why: Failure) -> None:
        if why.check(ConversationErased):
            self.over()
        elif not why.check(CancelledError):
            self._fail(why)

    def _fail(self, why: Failure) -> None:
        if (sink := self._sink) is not None:
            self._end()
            sink.failed(why)

    def _end(self) -> None:
        self._sink = None
        follower, self._follower = self._follower, None
        if follower is not None:
            follower.stopProducing()
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.called:
            waiting.cancel()
