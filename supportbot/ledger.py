"""What a transcript says about its messages: which are answered, and how that ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from supportbot.events import (
    ConversationReset,
    CustomerSaid,
    Event,
    Outcome,
    ParagraphSaid,
    ReplyEnded,
    ReplyRevised,
    ReplyStarted,
)

_SETTLED = {Outcome.COMPLETE, Outcome.STOPPED}


class Message:
    """One message of the customer.

    Attributes:
        message_id: as it was sent.
        text: the message; only until it is answered.
        seq: of the event; 0 until it is stored.
        again: number of the newest event when it was asked again; 0 if it was not.
        began: `seq` of the start of its latest reply; 0 before the first.
        ended: how its latest reply ended; None while it has not.
    """

    __slots__ = ("_digest", "again", "began", "ended", "message_id", "seq", "text")

    def __init__(self, message_id: str, text: str, seq: int = 0) -> None:
        self.message_id, self.text, self.seq = message_id, text, seq
        self._digest = hash(text)
        self.again = self.began = 0
        self.ended: ReplyEnded | None = None

    @property
    def settled(self) -> bool:
        """Whether saying it again brings the same answer, and not another try."""
        return self.ended is not None and self.ended.outcome in _SETTLED

    @property
    def after(self) -> int:
        """Its latest reply is the first to it behind this number."""
        return max(self.seq, self.again, self.began - 1)

    def says(self, text: str) -> bool:
        """Whether this is its text."""
        return hash(text) == self._digest


class Ledger:
    """Told every event in order, it knows what is still to be done.

    Attributes:
        messages: by their ids.
        under_way: the message whose reply has started and not ended.
    """

    def __init__(self) -> None:
        self.messages: dict[str, Message] = {}
        self.under_way: Message | None = None
        self._by_seq: dict[int, Message] = {}

    def tell(self, event: Event) -> None:
        """The next event."""
        if isinstance(event, CustomerSaid):
            message = Message(event.message_id, event.text, event.seq)
            self.messages[event.message_id] = self._by_seq[event.seq] = message
        elif isinstance(event, ReplyStarted):
            self.under_way = self._by_seq.get(event.to)
            if self.under_way is not None:
                self.under_way.began, self.under_way.ended = event.seq, None
        elif isinstance(event, ReplyEnded):
            if self.under_way is not None:
                self.under_way.ended, self.under_way.text = event, ""
            self.under_way = None
        elif isinstance(event, ConversationReset):
            self.messages.clear()
            self._by_seq.clear()
            self.under_way = None

    def unanswered(self, after: int) -> list[Message]:
        """Messages whose answers were not over at a number, as they were said."""
        return [
            one
            for one in self._by_seq.values()
            if one.ended is None or one.ended.seq > after
        ]

    @property
    def unasked(self) -> list[Message]:
        """Messages that no service was asked, in order."""
        messages = self._by_seq.values()
        return [one for one in messages if not one.began and one.ended is None]


class Text(msgspec.Struct, frozen=True):
    """What one side said.

    Attributes:
        customer: whether it was the customer.
        text: whole.
        seq: of the event that completes it.
    """

    customer: bool
    text: str
    seq: int


class Paragraphs:
    """The paragraphs of one reply that stand, as one text.

    Paragraphs of HTML stand together as they came; others have an empty line between
    them.
    """

    def __init__(self) -> None:
        self._standing: list[ParagraphSaid] = []

    def add(self, said: ParagraphSaid) -> str:
        """Another paragraph; returns what it adds to the text."""
        self._standing.append(said)
        return self._gap(len(self._standing) - 1) + said.text

    def keep(self, first: int) -> None:
        """Only so many still stand."""
        del self._standing[first:]

    @property
    def text(self) -> str:
        """All of it."""
        each = enumerate(self._standing)
        return "".join(self._gap(at) + said.text for at, said in each)

    def _gap(self, at: int) -> str:
        formats = {said.format for said in self._standing[max(0, at - 1) : at + 1]}
        return "" if not at or formats == {"html"} else "\n\n"


def told(events: Iterable[Event]) -> Iterator[Text]:
    """What was said by both sides, in order; a reply that has not ended is left out."""
    reply = Paragraphs()
    for event in events:
        if isinstance(event, CustomerSaid):
            yield Text(True, event.text, event.seq)
        elif isinstance(event, ReplyStarted):
            reply = Paragraphs()
        elif isinstance(event, ParagraphSaid):
            reply.add(event)
        elif isinstance(event, ReplyRevised):
            reply.keep(event.keep)
        elif isinstance(event, ReplyEnded) and reply.text:
            yield Text(False, reply.text, event.seq)
            reply = Paragraphs()
