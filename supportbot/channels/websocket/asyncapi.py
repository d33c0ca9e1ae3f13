"""The AsyncAPI document: what goes over a WebSocket, made from the shapes of it.

It says 3.0.0: all that 3.1 has on top is a protocol of robots, and there are tools that
refuse it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, get_args

import msgspec

from supportbot import __version__
from supportbot.channels.http.operations import JSON, Operation
from supportbot.channels.http.routing import Call
from supportbot.channels.schemas import Schema, Schemas
from supportbot.channels.websocket.frames import Close
from supportbot.channels.websocket.shapes import (
    Action,
    Chunk,
    Delta,
    End,
    Error,
    Message,
    MessageChunk,
    MessageDelta,
    MessageRevised,
    Post,
    ProcessingEnd,
    ProcessingStart,
    Resume,
    Resumed,
    Revision,
    Sent,
    SessionEnd,
    SessionResume,
    SessionStart,
    Start,
    Started,
    Stop,
)
from supportbot.channels.websocket.telling import CLOSED, FAILED
from supportbot.docstrings import documentation
from supportbot.events import Outcome

_ABOUT = (
    "Start a session, say something, and get the answer: whole, or with `stream`"
    " paragraph by paragraph as it comes. Sessions of one connection are answered side"
    " by side; the messages of a session one after the other. A client that lost its"
    " connection goes on with its sessions on the next one."
)
_CHANNEL = (
    "Text messages, each a JSON object. One that is none of the client's messages below"
    " is not answered. When we close the connection, the code says why:"
)
_CLOSED: dict[Close, str] = {
    Close.NORMAL: "Nothing was said for a long time, or the client closed.",
    Close.PROTOCOL: "Something came that is no WebSocket frame, or out of order.",
    Close.BINARY: "A message was binary; only text is taken.",
    Close.NOT_UTF8: "A text was not UTF-8, or could not be inflated.",
    Close.POLICY: "Too many frames, too much that is no message, or no pong to a ping.",
    Close.TOO_BIG: "A message was longer than is taken.",
    Close.FAILED: "Something went wrong on our side.",
    Close.RESTART: "This process is about to end; connect again and resume.",
}
"""What codes mean that we close with. The others are never sent."""
_PATH, _NAME = "/ws", "ws"

_ANSWER = (
    ProcessingStart,
    MessageChunk,
    MessageDelta,
    MessageRevised,
    Message,
    ProcessingEnd,
    Error,
)
_REPLIES: dict[type, Sequence[type]] = {
    Start: (SessionStart, Error),
    Post: _ANSWER,
    End: (SessionEnd, Error),
    Resume: (SessionResume, *_ANSWER),
    Stop: (Error,),
}
"""What may come of an action."""

_SESSION = "41eb27a0-d382-40c4-ad38-fbd1cb629b7f"
_QUESTION = "I have a product question about Antigravity Socks"
_FIRST, _SECOND = "<p>They float.</p>", "<p>Wash them at 30 degrees.</p>"
_MARKS: dict[str, Any] = {"session_id": _SESSION, "message_id": "m1"}
_EXAMPLES: Sequence[Action | Sent] = (
    Start(),
    Start(gpt_model="gpt-4o-mini"),
    SessionStart(data=Started(_SESSION)),
    Post(_SESSION, _QUESTION),
    Post(_SESSION, _QUESTION, stream=True, message_id="m1"),
    ProcessingStart(),
    ProcessingStart(seq=1, **_MARKS),
    MessageDelta(data=Delta("<p>They fl"), **_MARKS),
    MessageChunk(data=Chunk(3, _FIRST, "html"), **_MARKS),
    MessageRevised(data=Revision(4, 0), **_MARKS),
    Message(data=_FIRST + _SECOND, seq=6),
    Message(data=_FIRST + _SECOND, seq=7, **_MARKS),
    Message(data=_FIRST, seq=5, outcome=Outcome.STOPPED, **_MARKS),
    ProcessingEnd(),
    ProcessingEnd(**_MARKS),
    Error(data=CLOSED),
    Error(data=FAILED, seq=5, outcome=Outcome.CUT, **_MARKS),
    Stop(_SESSION),
    Resume(_SESSION, after=3, stream=True),
    SessionResume(data=Resumed(_SESSION, 7)),
    End(_SESSION),
    SessionEnd(),
)
"""Of each message at least one."""


def document() -> dict[str, Any]:
    """The AsyncAPI document, always the same.

    Raises:
        Undocumented: a docstring of a shape speaks of what there is not.
    """
    asked, sent = get_args(Action), get_args(Sent)
    schemas = Schemas(asked, sent)
    channel = {
        "address": _PATH,
        "title": "WebSocket",
        "description": f"{_CHANNEL}\n\n{_closes()}",
        "messages": {
            _tag(shape): _message(shape, schemas.of(shape)) for shape in [*asked, *sent]
        },
        "bindings": {"ws": {"method": "GET", "bindingVersion": "0.1.0"}},
    }
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "supportbot", "version": __version__, "description": _ABOUT},
        "defaultContentType": JSON,
        "servers": {"plain": _server("ws"), "encrypted": _server("wss")},
        "channels": {_NAME: channel},
        "operations": {_tag(shape): _operation(shape) for shape in asked},
        "components": {"schemas": _dialect(schemas.components)},
    }


@cache  # wherever it is mounted, it is the same
def operation() -> Operation:
    """The row that serves the document."""
    described = msgspec.json.encode(document())

    async def asyncapi(call: Call) -> None:
        call.exchange.respond(200, described, JSON)

    here = "/asyncapi.json"
    return Operation(method="GET", path=here, name=here, answer=asyncapi, hidden=True)


def _server(protocol: str) -> dict[str, Any]:
    """This one; the standard has no word for where the document comes from."""
    host = {"description": "The host that this document comes from."}
    return {"host": "{host}", "protocol": protocol, "variables": {"host": host}}


def _message(shape: type[msgspec.Struct], payload: Schema) -> dict[str, Any]:
    tag = _tag(shape)
    return {
        "name": tag,
        "title": tag.replace("_", " ").capitalize(),
        **_about(shape),
        "payload": payload,
        "examples": [{"payload": example} for example in _examples(shape)],
    }


def _operation(shape: type[msgspec.Struct]) -> dict[str, Any]:
    channel = {"$ref": f"#/channels/{_NAME}"}
    replies = [_reference(reply) for reply in _REPLIES[shape]]
    return {
        "action": "receive",
        "channel": channel,
        **_about(shape),
        "messages": [_reference(shape)],
        "reply": {"channel": channel, "messages": replies},
    }


def _about(shape: type) -> dict[str, str]:
    """What a class says of itself: the first paragraph, and the others."""
    summary, _, more = documentation(shape)[0].partition("\n\n")
    about = {"summary": " ".join(summary.split()), "description": more}
    return {key: text for key, text in about.items() if text}


def _examples(shape: type) -> Iterator[dict[str, Any]]:
    """What is null in a message of a client can be left out, and is."""
    for example in _EXAMPLES:
        if type(example) is shape:
            plain = msgspec.to_builtins(example)
            yield {
                name: value
                for name, value in plain.items()
                if value is not None or isinstance(example, Sent)
            }


def _tag(shape: type[msgspec.Struct]) -> str:
    """What a class is called on the wire."""
    return str(shape.__struct_config__.tag)


def _reference(shape: type[msgspec.Struct]) -> dict[str, str]:
    return {"$ref": f"#/channels/{_NAME}/messages/{_tag(shape)}"}


def _closes() -> str:
    """The close codes as a table."""
    rows = [f"| {code.value} | {meant} |" for code, meant in _CLOSED.items()]
    return "\n".join(["| Code | Meaning |", "| --- | --- |", *rows])


def _dialect(node: Any) -> Any:
    """Schemas in the dialect of AsyncAPI, draft 7: nothing counts beside a `$ref`.

    The one value that a tag can have is a constant: from it tools see which is which.
    """
    match node:
        case {"$ref": reference, **rest} if rest:
            return {"allOf": [{"$ref": reference}], **rest}
        case {"type": "string", "enum": [only], **rest}:
            return {"type": "string", "const": only, **rest}
        case dict():
            return {key: _dialect(inner) for key, inner in node.items()}
        case list():
            return [_dialect(inner) for inner in node]
    return node
