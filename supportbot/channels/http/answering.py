"""The answer to one message: whole, or as a stream of paragraphs."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from supportbot.channels.answer import Answer
from supportbot.channels.http.routing import DELETED
from supportbot.channels.http.shapes import Chunk, Done, Replace, Trouble
from supportbot.channels.http.sse import Stream, frame
from supportbot.conversation import Conversation
from supportbot.errors import ConversationBusy, ConversationErased
from supportbot.events import (
    Event,
    Outcome,
    ParagraphSaid,
    ReplyEnded,
    ReplyRevised,
    ReplyStarted,
)
from supportbot.ledger import Message

_LOST = (
    "The rest of this answer can't be shown at the moment. Nothing that was said is"
    " lost; please ask again in a few seconds."
)
_BROKE = "Something went wrong on our side; please ask again."


class Whole:
    """Waits for all of an answer.

    Attributes:
        done: fires with its end and its text, or fails.
    """

    def __init__(self, conversation: Conversation, message: Message) -> None:
        self.done: Deferred[tuple[ReplyEnded, str]] = Deferred()
        self.answer = Answer(conversation, message, self)

    def started(self, event: ReplyStarted) -> None:
        """It is asked for in the end."""

    def more(self, event: ParagraphSaid, added: str) -> None:
        """It is asked for in the end."""

    def revised(self, event: ReplyRevised, left: str) -> None:
        """It is asked for in the end."""

    def delta(self, text: str) -> None:
        """It is asked for in the end."""

    def ended(self, event: ReplyEnded) -> None:
        self.done.callback((event, self.answer.text))

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

    def started(self, event: ReplyStarted) -> None:
        if self._shown:  # what was sent before may be of an earlier answer
            self._send(Replace(""), event)

    def more(self, event: ParagraphSaid, added: str) -> None:
        self._send(Chunk(added), event)

    def revised(self, event: ReplyRevised, left: str) -> None:
        self._send(Replace(left), event)

    def delta(self, text: str) -> None:
        """Only finished paragraphs are sent."""

    def ended(self, event: ReplyEnded) -> None:
        trouble = event.outcome not in {Outcome.COMPLETE, Outcome.STOPPED}
        told = event.detail or _BROKE if trouble else ""
        self._finish(event.outcome, told, f"{self._id}{event.seq}")

    def failed(self, why: Failure) -> None:
        told = _LOST
        if isinstance(why.value, ConversationErased):
            told = DELETED
        elif isinstance(why.value, ConversationBusy):
            told = str(why.value)
        self._finish(Outcome.FAILED, told)

    def _send(self, what: Chunk | Replace, event: Event) -> None:
        """Send what an event means, unless it was sent before."""
        if event.seq > self._shown:
            self._stream.send(frame(what, id=f"{self._id}{event.seq}"))

    def _finish(self, outcome: Outcome, trouble: str, id: str = "") -> None:
        if trouble:
            self._stream.send(frame(Trouble(trouble)))
        done = Done(self._session_id, outcome, self._message.message_id)
        self._stream.send(frame(done, id=id))
        self._stream.end()
        del self._answer  # which has us: a circle less for the garbage collector
