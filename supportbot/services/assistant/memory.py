"""What the model remembers: a transcript as messages of the chat API.

A turn is a message of the customer and its latest answer, with the tools that were
called for it. Never is there a call without its result, or a result without its call:
the API would refuse that for ever.

What was said while a customer was logged in is remembered for this customer only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from supportbot.events import (
    ConversationReset,
    CustomerLoggedOut,
    CustomerSaid,
    CustomerVerified,
    Event,
    OrderLine,
    OrderSent,
    OrderSettled,
    Outcome,
    ParagraphSaid,
    ReplyEnded,
    ReplyRevised,
    ReplyStarted,
    ToolCalled,
)
from supportbot.ledger import Paragraphs
from supportbot.services.assistant.messages import (
    Message,
    asking,
    assistant,
    call,
    result,
    system,
    user,
)
from supportbot.services.assistant.window import Turn

_PRIVATE = "(left out: the customer is not logged in any more)"
_BROKEN = {Outcome.CUT, Outcome.FAILED}
_CODE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_PLACED = "The shop has placed this order: {order}. Its ID is {id}."
_NOT_PLACED = "This order was not placed: {order}."
_UNSETTLED = (
    "This order was sent to the shop, and it is not known yet whether it was placed:"
    " {order}."
)


class Past(NamedTuple):
    """What was said before a message.

    Attributes:
        turns: the oldest first.
        behind: messages that belong behind the message itself.
        model: that the client asked for last, of those that it may have; empty if none.
    """

    turns: Sequence[Turn]
    behind: Sequence[Message]
    model: str


def remembered(
    events: Iterable[Event],
    seq: int,
    customer_id: str | None,
    name: str,
    models: Iterable[str] = (),
) -> Past:
    """What is remembered when a message is answered.

    Args:
        events: of the transcript, at least up to the message.
        seq: number of the message; the replies to it are no part of the past.
        customer_id: of the customer who is logged in now, if one is.
        name: of the service that remembers.
        models: that a client may ask for.
    """
    reading = _Reading(name)
    for event in events:
        reading.tell(event)
    who = customer_id or reading.customer_id
    current = reading.turns.pop(seq, None)
    earlier = [
        turn
        for turn in sorted(reading.turns.values(), key=lambda turn: turn.began)
        if turn.began and turn.stands and turn.owners <= {who}
    ]
    behind: list[Message] = []
    if current is not None:
        behind = [system(current.system_message)] if current.system_message else []
        behind += map(note, current.orders if current.owners <= {who} else [])
    allowed, model = set(models), ""
    for at, said in reading.models.items():
        if at <= seq and said in allowed:
            model = said
    turns = [turn.told(private=customer_id not in turn.owners) for turn in earlier]
    return Past(turns, behind, model)


def note(order: tuple[OrderSent, OrderSettled | None]) -> Message:
    """What became of an order. Nothing of the shop's own words is in it."""
    sent, settled = order
    lines = ", ".join(map(_line, sent.lines))
    if settled is None:
        return system(_UNSETTLED.format(order=lines))
    if not settled.order_id:
        return system(_NOT_PLACED.format(order=lines))
    return system(_PLACED.format(order=lines, id=_code(settled.order_id)))


def _line(line: OrderLine) -> str:
    price = f"{_code(line.unit_price)} {_code(line.currency)}"
    return f"{line.quantity} x {_code(line.sku)} at {price}"


def _code(text: str) -> str:
    """What looks like a code; anything else is not repeated among our own words."""
    return text if _CODE.fullmatch(text) else "?"


class _Turn:
    """A message, and what came of it.

    Attributes:
        seq: of the message.
        began: number of its latest reply's start; 0 before the first.
        owners: who was logged in at some time of it.
        orders: that were sent in any of its replies, and what became of them.
        stands: whether it is worth remembering.
        system_message: what the client said with the message.
    """

    def __init__(self, said: CustomerSaid | None, seq: int) -> None:
        self._said, self.seq, self.began = said, seq, 0
        self.system_message = said.system_message.strip() if said is not None else ""
        self.owners: set[str] = set()
        self.orders: list[tuple[OrderSent, OrderSettled | None]] = []
        self._service = ""
        self._ended: Outcome | None = None
        self._facts: list[ParagraphSaid | ToolCalled | str] = []

    @property
    def stands(self) -> bool:
        return self._ended not in _BROKEN or bool(self.orders)

    def start(self, event: ReplyStarted, name: str) -> None:
        """A reply begins; an earlier one does not count any more."""
        self.began, self._ended, self._facts = event.seq, None, []
        self._service = "" if event.service == name else event.service

    def end(self, outcome: Outcome) -> None:
        """How the reply ended."""
        self._ended = outcome

    def add(self, fact: ParagraphSaid | ToolCalled | str) -> None:
        """The next of the reply; a text is a note of ours."""
        self._facts.append(fact)

    def keep(self, first: int) -> None:
        """Of the paragraphs, only so many stand. What was done, was done."""
        kept: list[ParagraphSaid | ToolCalled | str] = []
        for fact in self._facts:
            if isinstance(fact, ParagraphSaid):
                if not first:
                    continue
                first -= 1
            kept.append(fact)
        self._facts = kept

    def told(self, private: bool) -> Turn:
        """All of it.

        Args:
            private: results of tools are for somebody who is not there now.
        """
        messages: list[Message] = []
        if self._said is not None:
            messages.append(user(self._said.text))
        if self.system_message:
            messages.append(system(self.system_message))
        if self._service:
            messages.append(system(f"The service {self._service!r} answered:"))
        messages += self._answer(private and bool(self.owners))
        messages += map(note, self.orders)
        return Turn(messages, self.system_message)

    def _answer(self, private: bool) -> list[Message]:
        told: list[Message] = []
        text, calls = Paragraphs(), list[ToolCalled]()

        def flush() -> None:
            nonlocal text, calls
            words, text = text.text, Paragraphs()
            if calls:
                ids = [f"c{one.seq:08d}" for one in calls]  # some servers want 9
                pairs = [*zip(ids, calls, strict=True)]
                asked = [call(id, one.name, one.arguments) for id, one in pairs]
                told.append(asking(words, asked))
                for id, one in pairs:
                    told.append(result(id, _PRIVATE if private else one.result))
            elif words.strip():
                told.append(assistant(words))
            calls = []

        for fact in self._facts:
            if isinstance(fact, ToolCalled):
                if calls and calls[-1].round != fact.round:
                    flush()
                calls.append(fact)
                continue
            if calls or isinstance(fact, str):
                flush()
            if isinstance(fact, str):
                told.append(system(fact))
            else:
                text.add(fact)
        flush()
        return told


class _Reading:
    """Told every event in order, it knows the turns.

    Attributes:
        turns: by the numbers of their messages.
        customer_id: of the customer who logged in last, and did not log out.
        models: that the client asked for, by the numbers of the messages.
    """

    turns: dict[int, _Turn]
    customer_id: str | None
    models: dict[int, str]
    _turn: _Turn | None  # whose reply is under way

    def __init__(self, name: str) -> None:
        self._name = name
        self._forget()

    def tell(self, event: Event) -> None:
        """The next event."""
        turn = self._turn
        if isinstance(event, CustomerSaid):
            self.turns[event.seq] = _Turn(event, event.seq)
            if event.model:
                self.models[event.seq] = event.model
        elif isinstance(event, ReplyStarted):
            turn = self.turns.setdefault(event.to, _Turn(None, event.to))
            turn.start(event, self._name)
            if self.customer_id is not None:
                turn.owners.add(self.customer_id)
            self._turn = turn
        elif isinstance(event, CustomerVerified):
            self.customer_id = event.customer_id
            if turn is not None:
                turn.owners.add(event.customer_id)
                turn.add("The customer has logged in.")
        elif isinstance(event, CustomerLoggedOut):
            self.customer_id = None
            if turn is not None:
                turn.add("The customer has logged out.")
        elif isinstance(event, ConversationReset):
            self._forget()
        elif isinstance(event, OrderSettled):
            self._settle(event)
        elif turn is not None:
            self._of_reply(event, turn)

    def _of_reply(self, event: Event, turn: _Turn) -> None:
        if isinstance(event, ParagraphSaid):
            turn.add(event)
        elif isinstance(event, ReplyRevised):
            turn.keep(event.keep)
        elif isinstance(event, ToolCalled):
            if event.result:  # else no model has heard of it
                turn.add(event)
        elif isinstance(event, OrderSent):
            turn.orders.append((event, None))
        elif isinstance(event, ReplyEnded):
            turn.end(event.outcome)
            self._turn = None

    def _settle(self, event: OrderSettled) -> None:
        for turn in self.turns.values():
            turn.orders = [
                (sent, event if sent.seq == event.sent else settled)
                for sent, settled in turn.orders
            ]

    def _forget(self) -> None:
        self.turns, self.models = {}, {}
        self.customer_id = self._turn = None
