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
    """The customer's message, as typed.

    Attributes:
        message_id: chosen by whoever sent it; the same id is the same message.
        system_message: what the client wants the language model to keep to from here
            on. The client's word, as the text is, and no rule of ours.
        model: the language model that the client would like; empty for ours.
    """

    text: str
    message_id: str
    system_message: str = ""
    model: str = ""


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


class ConversationReset(Fact, frozen=True, gc=False, tag="conversation_reset"):
    """All that was said before is forgotten. The numbers go on."""


Event = (
    CustomerSaid
    | ReplyStarted
    | ParagraphSaid
    | ReplyRevised
    | ReplyEnded
    | ConversationReset
)
