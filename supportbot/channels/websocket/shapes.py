"""What goes over the WebSocket API: the messages of clients, and ours."""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from supportbot.channels.http.shapes import MessageId, Seq
from supportbot.events import Format, Outcome

SessionId = Annotated[
    str,
    msgspec.Meta(
        description="Names a session, which belongs to the connection that started it.",
        examples=["41eb27a0-d382-40c4-ad38-fbd1cb629b7f"],
    ),
]
Model = Annotated[
    str,
    msgspec.Meta(
        max_length=128,
        description="The language model that the client would like; null for ours.",
        examples=["gpt-4o-mini"],
    ),
]


class _Asked(msgspec.Struct, frozen=True, tag_field="action"):
    """What all messages of clients share. Fields that are not known are ignored."""


class Start(_Asked, frozen=True, tag="chatbot_session_start"):
    """Start a session."""

    gpt_model: Model | None = None


class Post(_Asked, frozen=True, tag="chatbot_post_message"):
    """Say something in a session.

    Attributes:
        user_message: what the customer says.
        system_message: instructions for the language model from here on, in this
            session only.
        gpt_model: replaces that of the session.
        stream: whether paragraphs are sent as soon as they are finished, before the
            whole answer.
    """

    session_id: SessionId
    user_message: str
    system_message: str | None = None
    gpt_model: Model | None = None
    stream: bool | None = False
    message_id: MessageId | None = None


class End(_Asked, frozen=True, tag="chatbot_session_end"):
    """End a session; what is being answered in it is stopped."""

    session_id: SessionId


class Resume(_Asked, frozen=True, tag="chatbot_session_resume"):
    """Go on with a session whose connection was lost.

    Attributes:
        after: what came with numbers up to this one is not sent again; answers that
            were not over then are.
        stream: as in a message, for these answers.
    """

    session_id: SessionId
    after: Seq = 0
    stream: bool | None = False


class Stop(_Asked, frozen=True, tag="chatbot_stop"):
    """Stop the reply that is under way; what there is of it is the answer."""

    session_id: SessionId


Action = Start | Post | End | Resume | Stop
"""A message of a client."""


class _Sent(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """What all our messages share.

    Attributes:
        session_id: where it belongs. It is there when the client streams, names its
            messages, or resumes.
        message_id: which message it is about, if the client has named it or resumes.
    """

    session_id: str | UnsetType = UNSET
    message_id: str | UnsetType = UNSET


class Started(msgspec.Struct, frozen=True):
    """A new session."""

    session_id: SessionId


class SessionStart(_Sent, frozen=True, tag="session_start"):
    """A session was started."""

    data: Started


class Resumed(msgspec.Struct, frozen=True):
    """A session that goes on.

    Attributes:
        last_seq: the number of its newest event.
    """

    session_id: SessionId
    last_seq: Seq


class SessionResume(_Sent, frozen=True, tag="session_resume"):
    """A session goes on here; what the client missed comes next."""

    data: Resumed


class SessionEnd(_Sent, frozen=True, tag="session_end"):
    """A session has ended."""

    data: None = None


class ProcessingStart(_Sent, frozen=True, tag="processing_start"):
    """A message is stored and its turn has come; its answer is next.

    Attributes:
        seq: of the customer's message; there when `session_id` is.
    """

    data: None = None
    seq: Seq | UnsetType = UNSET


class ProcessingEnd(_Sent, frozen=True, tag="processing_end"):
    """The answer is over."""

    data: None = None


class Chunk(msgspec.Struct, frozen=True):
    """A finished paragraph."""

    seq: Seq
    text: str
    format: Format


class MessageChunk(_Sent, frozen=True, tag="message_chunk"):
    """The next paragraph of the answer."""

    data: Chunk


class Delta(msgspec.Struct, frozen=True):
    """More of the paragraph that is growing; the chunk says all of it again."""

    text: str


class MessageDelta(_Sent, frozen=True, tag="message_delta"):
    """A piece of the paragraph that comes next, where the service has such pieces."""

    data: Delta


class Revision(msgspec.Struct, frozen=True):
    """What still stands.

    Attributes:
        keep: so many chunks of the answer, from its first.
    """

    seq: Seq
    keep: int


class MessageRevised(_Sent, frozen=True, tag="message_revised"):
    """The service told a different story: the chunks behind the first few are gone."""

    data: Revision


class Message(_Sent, frozen=True, tag="message"):
    """The whole answer.

    Attributes:
        data: its paragraphs, in order; of HTML only what is harmless.
        seq: the number that it is complete with.
        outcome: there when it is not `complete` but `stopped`.
    """

    data: str
    seq: Seq
    outcome: Outcome | UnsetType = UNSET


class Error(_Sent, frozen=True, tag="error"):
    """Something is not done; nothing else comes of it.

    Attributes:
        data: why, in a line.
        seq: the number that the answer ended with, if it has; there when `session_id`
            is, as are the next two.
        outcome: how it ended.
        detail: a line for the customer.
    """

    data: str
    seq: Seq | UnsetType = UNSET
    outcome: Outcome | UnsetType = UNSET
    detail: str | UnsetType = UNSET


Sent = (
    SessionStart
    | SessionResume
    | SessionEnd
    | ProcessingStart
    | MessageChunk
    | MessageDelta
    | MessageRevised
    | Message
    | ProcessingEnd
    | Error
)
"""A message of ours."""
_S = TypeVar("_S", bound=_Sent)


class Mark(msgspec.Struct, frozen=True):
    """What a message of ours belongs to.

    Attributes:
        message_id: as the client named it, if it did.
    """

    session_id: str
    message_id: str | UnsetType = UNSET


def mark_of(post: Post) -> Mark | None:
    """What is said of the answer to a message: nothing, if the client asks for none."""
    if not post.stream and post.message_id is None:
        return None
    return Mark(post.session_id, post.message_id or UNSET)


def marked(what: _S, mark: Mark | None) -> _S:
    """The same message, saying what it belongs to."""
    if mark is None:
        return what
    return msgspec.structs.replace(
        what, session_id=mark.session_id, message_id=mark.message_id
    )
