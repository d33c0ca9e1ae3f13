"""The answer to one message, as the messages of ours that it consists of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec
from msgspec import UNSET
from twisted.python.failure import Failure

from supportbot.channels.answer import Answer
from supportbot.channels.websocket.shapes import (
    Chunk,
    Delta,
    Error,
    Mark,
    Message,
    MessageChunk,
    MessageDelta,
    MessageRevised,
    ProcessingEnd,
    ProcessingStart,
    Revision,
    Sent,
    marked,
)
from supportbot.conversation import Conversation
from supportbot.errors import (
    ConversationClosed,
    ConversationErased,
    MessageEmpty,
    MessageIdTaken,
    MessageTooLong,
    TooManyWaiting,
    TooOften,
)
from supportbot.events import (
    Event,
    Outcome,
    ParagraphSaid,
    ReplyEnded,
    ReplyRevised,
    ReplyStarted,
)
from supportbot.ledger import Message as Said

FAILED = "Unable to process the request. Please try again later."
CLOSED = "The session is closed. Please start a new session."
_UNFIT = "Unexpected error occurred. Reason: {reason}"
_FIELDS = {"message": "user_message"}  # as they are called here


def unfit(reason: str) -> Error:
    """What a client is told that asks for something that can't be."""
    return Error(data=_UNFIT.format(reason=reason))


def refusal(why: BaseException) -> Error | None:
    """What a client is told whose message is not taken; None if that is our fault."""
    if isinstance(why, MessageEmpty | MessageTooLong | MessageIdTaken):
        return unfit(f"{_FIELDS.get(why.field, why.field)}: {why}")
    if isinstance(why, TooOften | TooManyWaiting):
        return unfit(str(why))
    return None


class Manner(msgspec.Struct, frozen=True):
    """How an answer is told.

    Attributes:
        stream: paragraph by paragraph, before the whole.
        mark: what our messages say they belong to; None if they don't say.
        shown: the client has what came with numbers up to this one.
    """

    stream: bool = False
    mark: Mark | None = None
    shown: int = 0


class Teller(Protocol):
    """Whose answers these are."""

    def send(self, what: Sent) -> None:
        """Send a message."""

    def told(self) -> None:
        """This answer is over."""

    def erased(self) -> None:
        """The conversation is no more, and nothing in it will be answered."""

    def interrupted(self) -> None:
        """This process will not give the answer; the next one may."""


class Telling:
    """Sends the answer to one message.

    Args:
        teller: sends, and goes on with what comes next.
        conversation: took the message.
        message: that is answered, or will be.
        after: it is the first answer behind this number.
        manner: how.
    """

    __slots__ = ("_answer", "_manner", "_message", "_teller")

    def __init__(
        self,
        teller: Teller,
        conversation: Conversation,
        message: Said,
        after: int,
        manner: Manner,
    ) -> None:
        self._teller, self._message, self._manner = teller, message, manner
        self._answer = Answer(conversation, message, self, after)

    def begin(self) -> None:
        """Send what there is, and then what comes."""
        seq = UNSET if self._manner.mark is None else self._message.seq
        self._send(ProcessingStart(seq=seq))
        self._answer.begin()

    def pause(self) -> None:
        """The client is full."""
        self._answer.pauseProducing()

    def resume(self) -> None:
        """It is not any more."""
        self._answer.resumeProducing()

    def leave(self) -> None:
        """Nobody wants it any more; it is finished and stored all the same."""
        self._answer.stopProducing()

    def close(self) -> None:
        """The session has ended."""
        self.leave()
        self._send(Error(data=CLOSED))

    # What the answer tells

    def started(self, event: ReplyStarted) -> None:
        if self._manner.shown > self._message.seq:
            # What was sent before may be of an earlier answer.
            self._stream(event, MessageRevised, Revision(event.seq, 0))

    def more(self, event: ParagraphSaid, added: str) -> None:
        self._stream(event, MessageChunk, Chunk(event.seq, event.text, event.format))

    def revised(self, event: ReplyRevised, left: str) -> None:
        self._stream(event, MessageRevised, Revision(event.seq, event.keep))

    def delta(self, text: str) -> None:
        if self._manner.stream:
            self._send(MessageDelta(data=Delta(text)))

    def ended(self, event: ReplyEnded) -> None:
        outcome = UNSET if event.outcome is Outcome.COMPLETE else event.outcome
        if event.outcome in {Outcome.COMPLETE, Outcome.STOPPED}:
            text = self._answer.text
            self._send(Message(data=text, seq=event.seq, outcome=outcome))
            self._send(ProcessingEnd())
        elif self._manner.mark is None:
            self._send(Error(data=FAILED))
        else:
            detail = event.detail or UNSET
            error = Error(data=FAILED, seq=event.seq, outcome=outcome, detail=detail)
            self._send(error)
        self._teller.told()

    def failed(self, why: Failure) -> None:
        if why.check(ConversationErased):
            self._send(Error(data=CLOSED))
            self._teller.erased()
        elif why.check(ConversationClosed):
            self._teller.interrupted()
        else:
            self._send(Error(data=FAILED))
            self._teller.told()

    def _stream(
        self,
        event: Event,
        kind: Callable[..., MessageChunk | MessageRevised],
        told: Chunk | Revision,
    ) -> None:
        """Send what an event means, if that is wanted and was not sent before."""
        if self._manner.stream and event.seq > self._manner.shown:
            self._send(kind(data=told))

    def _send(self, what: Sent) -> None:
        self._teller.send(marked(what, self._manner.mark))
