"""What goes over the HTTP API: the bodies of requests and answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec

from supportbot.events import Called, Event, Outcome, ToolCalled
from supportbot.interfaces import Customer

SessionId = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[A-Za-z0-9._~-]{1,128}\Z",
        description="Names a session. Whoever knows it may read and write there.",
        examples=["2Sa9mRZyQ0uNfJ3wq8n4Xg"],
    ),
]
SessionInPath = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^([A-Za-z0-9._~-]{1,128}|@me)\Z",
        description="The session's id; or `@me`, and the header `Session-Id` has it, so"
        " that it stands in no address.",
        examples=["2Sa9mRZyQ0uNfJ3wq8n4Xg"],
    ),
]
MessageId = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[!-~]{1,128}\Z",
        description="Chosen by the client; the same id again is the same message.",
    ),
]
Message = Annotated[
    str,
    msgspec.Meta(
        min_length=1, description="What the customer says.", examples=["Hello"]
    ),
]
Seq = Annotated[
    int, msgspec.Meta(ge=0, le=2**31 - 1, description="The number of an event.")
]


class ChatRequest(msgspec.Struct, frozen=True):
    """A message from the customer.

    Attributes:
        session_id: where to say it; a new session is opened when it is not given.
        stream: whether the answer comes as server-sent events.
        message_id: as the header `Idempotency-Key`; this one wins.
    """

    message: Message
    session_id: SessionId | None = None
    stream: bool | None = False
    message_id: MessageId | None = None


class ChatQuery(msgspec.Struct, frozen=True):
    """The same in a URL, for `EventSource`."""

    message: Message
    session_id: SessionId | None = None
    message_id: MessageId | None = None


class MessageRequest(msgspec.Struct, frozen=True):
    """A message from the customer, in a session that there is.

    Attributes:
        message_id: as the header `Idempotency-Key`; this one wins.
    """

    message: Message
    message_id: MessageId | None = None


class EventsQuery(msgspec.Struct, frozen=True):
    """From where on, and for how long.

    Attributes:
        after: events numbered above it; `Last-Event-ID` wins.
        live: of a stream: whether to stay for what is said later. If not, the stream
            ends when no answer is under way; the status is 204 when there is nothing to
            tell.
        stream: whether they come as server-sent events. If not, those that there are
            come at once and as JSON.
        wait: without a stream: seconds to wait for the first event, or for a notice,
            if there is no event yet.
    """

    after: Seq = 0
    live: bool = True
    stream: bool = True
    wait: Annotated[int, msgspec.Meta(ge=0, le=30)] = 0


class SessionsQuery(msgspec.Struct, frozen=True):
    """Which part of the list.

    Attributes:
        limit: sessions, at the most.
        before: `next` of the answer before.
    """

    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 100
    before: str | None = None


class CalledTool(msgspec.Struct, frozen=True):
    """What the language model did.

    Attributes:
        arguments: as a JSON object; what is secret, or filled in by us, is left out.
        outcome: how that went.
    """

    name: str
    arguments: dict[str, Any]
    outcome: Called


def called(event: ToolCalled) -> CalledTool:
    """The call of a tool that an event tells of."""
    try:
        arguments = msgspec.json.decode(event.arguments, type=dict[str, Any])
    except msgspec.MsgspecError:  # as a model may write them
        arguments = {}
    return CalledTool(event.name, arguments, event.outcome)


class ChatAnswer(msgspec.Struct, frozen=True):
    """The whole answer to a message.

    Attributes:
        response: its paragraphs, in order; of HTML only what is harmless.
        tool_calls: what the language model did; null when it did nothing.
        outcome: how the answer ended.
        detail: a line for the customer when it is not complete.
    """

    response: str
    session_id: SessionId
    tool_calls: list[CalledTool] | None
    outcome: Outcome
    message_id: MessageId
    detail: str = ""


class Chunk(msgspec.Struct, frozen=True):
    """The next paragraph; all chunks together are the `response`."""

    chunk: str


class Replace(msgspec.Struct, frozen=True):
    """The service told a different story: of the chunks so far, only this stands."""

    replace: str


class Trouble(msgspec.Struct, frozen=True):
    """A line for the customer: the answer is not complete."""

    error: str


class Done(msgspec.Struct, frozen=True):
    """The answer is over."""

    session_id: SessionId
    outcome: Outcome
    message_id: MessageId
    done: bool = True


ChatStream = Chunk | Replace | Trouble | Done
"""`data` of the events of a streamed answer."""


class Delta(msgspec.Struct, frozen=True):
    """More of the paragraph that is growing; or a notice about the answer."""

    text: str


class End(msgspec.Struct, frozen=True):
    """No more comes on this stream.

    Attributes:
        reason: `idle`, `deleted`; or, with `bye`, `closing`: come back.
    """

    reason: str


EventStream = Event | Delta | End
"""`data` of the events of a followed session."""


class EventsPage(msgspec.Struct, frozen=True):
    """The next events of a session, in order.

    Attributes:
        more: whether there are more of them already.
        notice: about how the answer is coming along, to be shown quietly; or empty.
    """

    events: list[Event]
    more: bool
    notice: str = ""


class LoginRequest(msgspec.Struct, frozen=True):
    """What a customer gives to log in."""

    email: Annotated[
        str, msgspec.Meta(min_length=3, max_length=254, examples=["alice@example.com"])
    ]
    pin: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{4,8}\Z", examples=["1234"])]

    def __repr__(self) -> str:
        return "LoginRequest(…)"


class LoggedIn(msgspec.Struct, frozen=True):
    """The customer is logged in."""

    message: str
    session_id: SessionId
    customer_info: Customer
    status: str = "success"


class MessageStored(msgspec.Struct, frozen=True):
    """The message is stored, and will be answered.

    Attributes:
        seq: the number of its event.
    """

    message: str
    session_id: SessionId
    message_id: MessageId
    seq: Seq
    status: str = "success"


class SessionDone(msgspec.Struct, frozen=True):
    """What was asked for is done."""

    message: str
    session_id: SessionId
    status: str = "success"


class Turn(msgspec.Struct, frozen=True):
    """A text of the customer (`user`) or an answer (`assistant`)."""

    role: Annotated[str, msgspec.Meta(examples=["user", "assistant"])]
    content: str


class Session(msgspec.Struct, frozen=True):
    """A session and what was said.

    Attributes:
        history: the messages and the answers that have ended, in order.
        customer_info: who the customer is, once that is proven.
        last_seq: `history` tells of the events up to this number; go on behind it.
    """

    session_id: SessionId
    message_count: int
    history: list[Turn]
    is_authenticated: bool
    customer_info: Customer | None
    last_seq: int


class SessionSummary(msgspec.Struct, frozen=True):
    """A session in the operator's list."""

    session_id: SessionId
    message_count: int
    last_message: Turn | None
    is_authenticated: bool
    customer_name: str | None
    opened_at: float
    heard_at: float


class Sessions(msgspec.Struct, frozen=True):
    """Sessions, that with the newest message first.

    Attributes:
        count: how many are in this part of the list.
        next: for `before`, if there are more.
    """

    sessions: list[SessionSummary]
    count: int
    next: str | None = None


class Tool(msgspec.Struct, frozen=True):
    """Something that the language model may use."""

    name: str
    description: str
    parameters: Mapping[str, Any]


class Tools(msgspec.Struct, frozen=True):
    """All of them."""

    tools: list[Tool]


class Welcome(msgspec.Struct, frozen=True):
    """What a front end shows before anything was said, and has to know for later.

    Attributes:
        title: of the chat.
        greeting: plain text.
        suggestions: messages that customers can choose.
        services: what customers call each service, by the name in `reply_started`.
        can_log_in: whether there is a shop that knows its customers.
        login_seconds: after the last message, for which a customer stays logged in.
        proposal_seconds: for which an order that was proposed waits for its yes.
        message_limit: characters of a message.
    """

    title: str
    greeting: str
    suggestions: Sequence[str]
    services: Mapping[str, str]
    can_log_in: bool
    login_seconds: float
    proposal_seconds: float
    message_limit: int


class Health(msgspec.Struct, frozen=True):
    """The process answers."""

    version: str
    status: str = "healthy"


class Readiness(msgspec.Struct, frozen=True):
    """Whether customers can be served.

    Attributes:
        status: `ready`, `degraded` (a service is left alone) or `unready`.
        checks: each part with `ok` or what is wrong with it.
    """

    status: str
    checks: dict[str, str]
