"""The answer to one message: whole, or as a stream of paragraphs."""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from supportbot.channels.http.problems import Refused, refused
from supportbot.channels.http.routing import DELETED
from supportbot.channels.http.shapes import Chunk, Done, Replace, Trouble
from supportbot.channels.http.sse import Stream, frame
from supportbot.conversation import Conversation
from supportbot.errors import ConversationBusy, ConversationErased, StoreError
from supportbot.events import (
    ConversationReset,
    Event,
    Outcome,
    ParagraphSaid,
    ReplyEnded,
    ReplyRevised,
    ReplyStarted,
)
from supportbot.follower import Follower
from supportbot.ledger import Message, Paragraphs

_LOST = (
    "The rest of this answer can't be shown at the moment. Nothing that was said is"
    " lost; please ask again in a few seconds."
)
_BROKE = "Something went wrong on our side; please ask again."


class Sink(Protocol):
    """Where an answer goes."""

    def started(self, seq: int) -> None:
        """It begins; `seq` is of the event, here and below."""

    def more(self, text: str, seq: int) -> None:
        """Another paragraph."""

    def replace(self, text: str, seq: int) -> None:
        """Of all that came, only this stands."""

    def ended(self, ended: ReplyEnded) -> None:
        """The answer is over."""

    def failed(self, why: Failure) -> None:
        """It has no end: StoreError, BadRequest or Refused."""


class Answer:
    """A viewer that picks the answer to one message out of its conversation.

    Args:
        conversation: took the message.
        message: that is answered, or will be.
        sink: gets the answer.
    """

    __slots__ = (
        "_conversation",
        "_follower",
        "_message",
        "_mine",
        "_over",
        "_reply",
        "_sink",
        "_waiting",
    )

    def __init__(
        self, conversation: Conversation, message: Message, sink: Sink
    ) -> None:
        self._conversation, self._message, self._sink = conversation, message, sink
        self._reply = Paragraphs()
        self._mine = self._over = False
        self._follower: Follower | None = conversation.follow(self, message.after)
        self._waiting: Deferred[object] | None = None

    def begin(self) -> None:
        """Give the sink what there is, and then what comes."""
        if self._follower is not None:
            self._follower.catch_up()
        if not self._over:
            waiting = self._conversation.answered(self._message)
            self._waiting = waiting.addErrback(self._not_answered)

    def event(self, event: Event) -> None:
        if self._over:
            return
        if isinstance(event, ReplyStarted):
            self._mine = event.to == self._message.seq
            if self._mine:
                self._sink.started(event.seq)
        elif isinstance(event, ConversationReset):
            self._fail(Failure(ConversationBusy()))
        elif not self._mine:
            return
        elif isinstance(event, ParagraphSaid):
            self._sink.more(self._reply.add(event), event.seq)
        elif isinstance(event, ReplyRevised):
            self._reply.keep(event.keep)
            self._sink.replace(self._reply.text, event.seq)
        elif isinstance(event, ReplyEnded):
            self._end()
            self._sink.ended(event)

    def delta(self, text: str) -> None:
        """Only finished paragraphs are given."""

    def notice(self, text: str) -> None:
        """Nor what is said about the answer."""

    def lost(self) -> None:
        self._fail(Failure(StoreError("the transcript can't be read")))

    def over(self) -> None:
        self._fail(Failure(refused(409, DELETED)))

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

    def _not_answered(self, why: Failure) -> None:
        if why.check(ConversationErased):
            self.over()
        elif not why.check(CancelledError):
            self._fail(why)

    def _fail(self, why: Failure) -> None:
        if not self._over:
            self._end()
            self._sink.failed(why)

    def _end(self) -> None:
        if self._over:
            return
        self._over = True
        follower, self._follower = self._follower, None
        if follower is not None:
            follower.stopProducing()
        if self._waiting is not None and not self._waiting.called:
            self._waiting.cancel()


class Whole:
    """Waits for all of an answer.

    Attributes:
        done: fires with its end and its text, or fails.
    """

    def __init__(self, conversation: Conversation, message: Message) -> None:
        self.done: Deferred[tuple[ReplyEnded, str]] = Deferred()
        self.answer = Answer(conversation, message, self)

    def started(self, seq: int) -> None:
        """It is asked for in the end."""

    def more(self, text: str, seq: int) -> None:
        """It is asked for in the end."""

    def replace(self, text: str, seq: int) -> None:
        """It is asked for in the end."""

    def ended(self, ended: ReplyEnded) -> None:
        self.done.callback((ended, self.answer.text))

    def failed(self, why: Failure) -> None:
        self.done.errback(why)


class Streamed:
    """Sends an answer as server-sent events.

    Args:
        stream: takes them.
        conversation: took the message.
        message: that is answered, or will be.
        shown: events up to this number were sent before.
    """

    __slots__ = ("_answer", "_id", "_message", "_session_id", "_shown", "_stream")

    def __init__(
        self,
        stream: Stream,
        conversation: Conversation,
        message: Message,
        shown: int = 0,
    ) -> None:
        self._stream, self._session_id = stream, conversation.id
        self._message, self._shown = message, shown
        self._id = f"{conversation.id}:{message.message_id}:"
        self._answer = Answer(conversation, message, self)

    def begin(self) -> None:
        """Open the stream and send."""
        self._stream.open(self._answer)
        # An id before the first word: who comes back will not ask again.
        self._stream.send(f"id: {self._id}{self._shown}\n\n".encode())
        self._answer.begin()

    def started(self, seq: int) -> None:
        if 0 < self._shown < seq:  # what was sent before is of an earlier answer
            self._stream.send(frame(Replace(""), id=f"{self._id}{seq}"))

    def more(self, text: str, seq: int) -> None:
        if seq > self._shown:
            self._stream.send(frame(Chunk(text), id=f"{self._id}{seq}"))

    def replace(self, text: str, seq: int) -> None:
        if seq > self._shown:
            self._stream.send(frame(Replace(text), id=f"{self._id}{seq}"))

    def ended(self, ended: ReplyEnded) -> None:
        trouble = ended.outcome not in {Outcome.COMPLETE, Outcome.STOPPED}
        told = ended.detail or _BROKE if trouble else ""
        self._finish(ended.outcome, told, f"{self._id}{ended.seq}")

    def failed(self, why: Failure) -> None:
        told = _LOST
        if isinstance(why.value, Refused):
            told = why.value.problem.detail
        elif isinstance(why.value, ConversationBusy):
            told = str(why.value)
        self._finish(Outcome.FAILED, told)

    def _finish(self, outcome: Outcome, trouble: str, id: str = "") -> None:
        if trouble:
            self._stream.send(frame(Trouble(trouble)))
        done = Done(self._session_id, outcome, self._message.message_id)
        self._stream.send(frame(done, id=id))
        self._stream.end()
        del self._answer  # which has us: a circle less for the garbage collector
