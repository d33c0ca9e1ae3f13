"""The facts of a conversation: what a transcript is made of.

Each event is stored before it is shown and has a number, `seq`, counted from 1 within
its conversation. On the wire and in a store an event is a JSON object whose `type`
names its class.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec

Format = Literal["html", "markdown", "plain"]
"""How a paragraph's text is meant: `html` is `<p>…</p>` as the service sent it."""


class Outcome(StrEnum):
    """How a reply ended."""

    COMPLETE = "complete"
    CUT = "cut"
    """The service broke, and asking again did not help."""
    STOPPED = "stopped"
    """The customer stopped it, or left."""
    REFUSED = "refused"
    """A limit or a rule of ours."""
    FAILED = "failed"
    """Our own fault."""


class Fact(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag_field="type"):
    """What all events share.

    Attributes:
        seq: the event's number within its conversation, from 1.
        at: when it happened, in seconds of UTC.
    """

    seq: int
    at: float


class CustomerSaid(
    Fact, frozen=True, gc=False, tag="customer_said", omit_defaults=True
):
    """The customer's message, as typed but for a PIN, which nobody sees.

    Attributes:
        message_id: chosen by whoever sent it; the same id is the same message.
        system_message: what the client wants the language model to keep to from here
            on. The client's word, as the text is, and no rule of ours.
        model: the language model that the client would like; empty for ours.
        id_chosen: the conversation's id was chosen by a client, so others may know it.
    """

    text: str
    message_id: str
    system_message: str = ""
    model: str = ""
    id_chosen: bool = False


class ReplyStarted(Fact, frozen=True, gc=False, tag="reply_started"):
    """A service began to answer.

    Attributes:
        service: its name in the settings.
        intent: the words that chose it; empty where none matched.
        to: `seq` of the message that is answered.
    """

    service: str
    intent: str
    to: int


class ParagraphSaid(Fact, frozen=True, gc=False, tag="paragraph_said"):
    """A finished paragraph of the reply that is under way."""

    text: str
    format: Format


class ReplyRevised(Fact, frozen=True, gc=False, tag="reply_revised"):
    """A retry tells a different story.

    Attributes:
        keep: of this reply only so many paragraphs, from the first, still stand.
    """

    keep: int


class ReplyEnded(Fact, frozen=True, gc=False, tag="reply_ended"):
    """The reply is over.

    Attributes:
        detail: one line for the customer; empty for a complete reply.
        unavailable: whether the service, and not the answer, was the trouble.
    """

    outcome: Outcome
    detail: str = ""
    unavailable: bool = False


class Called(StrEnum):
    """How the call of a tool went."""

    OK = "ok"
    FAILED = "failed"
    """The tool said so, or there is no such tool, or the arguments don't fit."""
    REFUSED = "refused"
    """A rule of ours."""
    LOST = "lost"
    """Nobody knows: the answer did not come, or could not be read."""


class ToolCalled(Fact, frozen=True, gc=False, tag="tool_called"):
    """A tool was called for the reply that is under way.

    Attributes:
        name: of the tool.
        arguments: JSON, without secrets and without what we fill in ourselves.
        outcome: how that went.
        result: what the language model was told, shortened; empty where no model was.
        round: calls with the same number were asked for together, from 1.
    """

    name: str
    arguments: str
    outcome: Called
    result: str = ""
    round: int = 1


class ModelAsked(Fact, frozen=True, gc=False, tag="model_asked"):
    """What a question to a language model took.

    Attributes:
        model: its name.
        read, written: tokens.
        cost: dollars.
    """

    model: str
    read: int
    written: int
    cost: float


class CustomerVerified(Fact, frozen=True, gc=False, tag="customer_verified"):
    """The customer has proven who they are."""

    customer_id: str
    name: str
    email: str


class CustomerLoggedOut(Fact, frozen=True, gc=False, tag="customer_logged_out"):
    """From here on the customer is nobody in particular."""


class OrderLine(msgspec.Struct, frozen=True, gc=False):
    """Some of one product.

    Attributes:
        unit_price: decimal, such as `166.85`.
        currency: of ISO 4217.
    """

    sku: str
    name: str
    quantity: int
    unit_price: str
    currency: str = "USD"


class OrderProposed(Fact, frozen=True, tag="order_proposed"):
    """The customer was shown what would be ordered, and asked for a yes.

    It holds for this customer and until the next message.

    Attributes:
        total: of all lines, decimal.
    """

    customer_id: str
    lines: tuple[OrderLine, ...]
    total: str


class OrderSent(Fact, frozen=True, tag="order_sent"):
    """An order is about to be sent to the shop.

    Attributes:
        to: `seq` of the message that asks for it, or says yes to it.
        known: ids of the customer's orders before it.
    """

    customer_id: str
    lines: tuple[OrderLine, ...]
    total: str
    to: int
    known: tuple[str, ...] = ()


class OrderSettled(Fact, frozen=True, gc=False, tag="order_settled"):
    """How that went.

    Attributes:
        sent: `seq` of the event that said it would be sent.
        order_id: in the shop; empty if nothing was ordered.
    """

    sent: int
    order_id: str = ""


class ConversationReset(
    Fact, frozen=True, gc=False, tag="conversation_reset", omit_defaults=True
):
    """All that was said before is forgotten, and the login. The numbers go on.

    Attributes:
        id_chosen: as in `CustomerSaid`.
    """

    id_chosen: bool = False


Event = (
    CustomerSaid
    | ReplyStarted
    | ParagraphSaid
    | ReplyRevised
    | ReplyEnded
    | ToolCalled
    | ModelAsked
    | CustomerVerified
    | CustomerLoggedOut
    | OrderProposed
    | OrderSent
    | OrderSettled
    | ConversationReset
)
