"""JSON-RPC 2.0, as MCP speaks it: requests out, and out of a body their answers.

An answer is found by its request's id, whatever else the body holds: what the server
asks or tells in between is handed on, and the answers to others are passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from supportbot.errors import BodyBroken, BodyCut, CallRefused
from supportbot.streaming.sse import EventStream

Id = int | str

METHOD_NOT_FOUND = -32601
WRONG_VERSION = -32022  # of MCP, that the server does not speak


class Result(msgspec.Struct, frozen=True):
    """The server did what it was asked."""

    id: Id
    result: Mapping[str, Any]

    def __repr__(self) -> str:  # the result may be anybody's
        return f"Result({self.id!r})"


class Fault(msgspec.Struct, frozen=True):
    """The server did not; `id` is None where it could not even read who asks."""

    id: Id | None
    code: int


class Asked(msgspec.Struct, frozen=True):
    """The server asks us something."""

    id: Id
    method: str


class Told(msgspec.Struct, frozen=True):
    """The server tells us something."""

    method: str


def request(id: Id, method: str, params: Mapping[str, Any]) -> bytes:
    """Ask for something.

    Raises:
        UnicodeEncodeError: half a surrogate pair is no text.
    """
    return _encoded({"id": id, "method": method, "params": params})


def notification(method: str, params: Mapping[str, Any]) -> bytes:
    """Tell something."""
    return _encoded({"method": method, "params": params})


def response(asked: Asked) -> bytes:
    """Answer the server: we are there, and that is all that we can be asked."""
    if asked.method == "ping":
        return _encoded({"id": asked.id, "result": {}})
    error = {"code": METHOD_NOT_FOUND, "message": "Method not found"}
    return _encoded({"id": asked.id, "error": error})


def _encoded(message: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode({"jsonrpc": "2.0", **message})


class _Error(msgspec.Struct):
    code: int


class _Message(msgspec.Struct):
    jsonrpc: str
    id: Id | msgspec.UnsetType | None = msgspec.UNSET
    method: str | msgspec.UnsetType = msgspec.UNSET
    result: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    error: _Error | msgspec.UnsetType = msgspec.UNSET


_decoder = msgspec.json.Decoder(_Message)


def parsed(text: bytes | str) -> Result | Fault | Asked | Told:
    """One message.

    Raises:
        BodyBroken: it is none.
    """
    try:
        message = _decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise BodyBroken(f"no JSON-RPC: {type(error).__name__}") from error
    if message.jsonrpc != "2.0":
        raise BodyBroken("another JSON-RPC than 2.0")
    id, unset = message.id, msgspec.UNSET
    kinds = (message.method, message.result, message.error)
    if sum(kind is not unset for kind in kinds) != 1:
        raise BodyBroken("a JSON-RPC message of no kind, or of two")
    if message.method is not unset:
        if id is unset:
            return Told(message.method)
        if id is not None:
            return Asked(id, message.method)
    elif message.error is not unset:
        return Fault(None if id is unset else id, message.error.code)
    elif message.result is not unset and id is not unset and id is not None:
        return Result(id, message.result)
    raise BodyBroken("a JSON-RPC message without its id")


class Answered:
    """Read the body that answers one request.

    Args:
        id: of the request.
        stream: whether the body is a stream of events; otherwise it is one message.
        limit: the most characters of one event.

    Attributes:
        answer: None until it came.
    """

    def __init__(self, id: Id, *, stream: bool, limit: int) -> None:
        self._id, self._stream = id, stream
        self._events, self._held = EventStream(limit), bytearray()
        self.answer: Result | Fault | None = None

    @property
    def complete(self) -> bool:
        """Whether the answer came, so that nothing behind it matters."""
        return self.answer is not None

    def feed(self, data: bytes) -> Iterator[Asked | Told]:
        """Take bytes; give what the server asks and tells in front of its answer.

        Raises:
            BodyBroken, BodyRunaway: while iterating.
        """
        if not self._stream:
            self._held += data
            return
        for event in self._events.feed(data):
            if event.event != "message" or not event.text.strip():
                continue
            message = parsed(event.text)
            if isinstance(message, Asked | Told):
                yield message
            elif self._ours(message):
                self.answer = message
                return

    def end(self) -> Iterator[Asked | Told]:
        """The body has ended.

        Raises:
            BodyBroken: it is one message, but not the answer to our request.
        """
        if not self._stream and self._held:
            message = parsed(bytes(self._held))
            if not isinstance(message, Result | Fault) or not self._ours(message):
                raise BodyBroken("an answer to another request")
            self.answer = message
        return iter(())

    def result(self) -> Mapping[str, Any]:
        """What the server gave, now that the body is over.

        Raises:
            CallRefused: it gave an error.
            BodyCut: it gave nothing.
        """
        if self.answer is None:
            raise BodyCut("the body ended without an answer")
        if isinstance(self.answer, Fault):
            raise CallRefused(self.answer.code)
        return self.answer.result

    def _ours(self, message: Result | Fault) -> bool:
        # One request is sent at a time, so what nobody could read was ours.
        return message.id == self._id or message.id is None
