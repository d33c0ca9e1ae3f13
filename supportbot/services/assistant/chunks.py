"""What a language model says, out of the bytes of its server's answer.

This is the format of OpenAI's Chat Completions, with the liberties that other servers
take: server-sent events with a chunk of JSON in each. Of several choices the first one
counts. The answer is whole when it says `[DONE]`, or when it has ended after it gave
the reason for that; what merely stops is not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import msgspec

from supportbot.errors import AnswerUnusable, BodyBroken, BodyCut
from supportbot.services.assistant.calls import Calls, ToolCall
from supportbot.services.assistant.refusal import failure
from supportbot.streaming.sse import EventStream

_HALF = re.compile("[\ud800-\udfff]")  # of a character, as UTF-16 cuts them
_FIRST_HALF = re.compile("[\ud800-\udbff]\\Z")
_ESCAPED_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_REASON = re.compile(r"[a-z_]{1,32}")
_SAME = {"function_call": "tool_calls", "model_length": "length"}
_MOST_TOKENS = 1_000_000_000  # who counts more can't count


class Completion(msgspec.Struct, frozen=True):
    """A whole answer of the model.

    Attributes:
        text: all of it, refusals included.
        calls: of tools; there may be some whatever `finish` says.
        finish: why it ended: `stop`, `length`, `tool_calls`, `content_filter`, `other`
            or another word; empty if the server did not say.
        read, written: tokens; 0 if the server did not say.
    """

    text: str
    calls: tuple[ToolCall, ...]
    finish: str
    read: int
    written: int

    def __repr__(self) -> str:  # the text is the customer's
        return f"Completion({len(self.text)} characters, {self.calls}, {self.finish!r})"


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: Any = None  # text, or from some servers the object itself


class _Fragment(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Delta(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[_Fragment] | None = None
    function_call: _Function | None = None
    reasoning: Any = None  # never shown, but it shows that something is going on
    reasoning_content: Any = None


class _Choice(msgspec.Struct):
    index: int | None = None
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: Any = None
    error: Any = None
    object: Any = None


class _WholeChoice(_Choice):
    delta: _Delta | None = msgspec.field(default=None, name="message")


class _Whole(msgspec.Struct):
    choices: list[_WholeChoice] | None = None
    usage: Any = None
    error: Any = None
    object: Any = None


_Answer = TypeVar("_Answer", _Chunk, _Whole)
_chunk = msgspec.json.Decoder(_Chunk)
_whole = msgspec.json.Decoder(_Whole)


class Chunks:
    """Read one answer.

    Pieces of its text are given as they come; an empty one is given for all else that
    gets the answer on, such as a fragment of a call.

    Args:
        new_id: makes an id for a call of a tool that came without one.
        calls: how many calls there may be.
        arguments: characters of their arguments, all together.

    Attributes:
        complete: nothing follows that matters.
        finish: why the answer ends; empty as long as that is not known.
    """

    def __init__(
        self, new_id: Callable[[], str], calls: int = 32, arguments: int = 65_536
    ) -> None:
        self.complete, self.finish = False, ""
        self._events = EventStream()
        self._text: list[str] = []
        self._half = ""  # of a character that some servers cut in two
        self._calls = Calls(new_id, calls, arguments)
        self._read = self._written = 0

    def feed(self, data: bytes) -> Iterator[str]:
        """Take bytes of a stream; give the pieces of text that they bring.

        Raises:
            BodyBroken: while iterating, after the pieces in front of the broken place:
                these are no chunks, or not Unicode.
            BodyRunaway: likewise, too much of something.
            ModelRefused, AnswerWithheld: likewise, the server says that it failed.
        """
        for event in self._events.feed(data):
            text = event.text
            if text.startswith("[DONE]"):
                self._end_text()
                self.complete = True
                return  # what else there is may even be broken
            if text and not text.isspace():
                if event.event == "error":
                    raise failure(text)
                chunk = _decoded(_chunk, text)
                yield from self._take(chunk.choices or (), chunk.usage)

    def end(self) -> Iterator[str]:
        """The stream has ended; there is nothing left to give.

        Raises:
            BodyCut: while iterating, the answer is not whole.
        """
        if not (self.complete or self.finish):
            raise BodyCut("the stream ended before the answer")
        return iter(())

    def whole(self, body: bytes) -> Iterator[str]:
        """Take an answer that is not streamed; give its text.

        Raises:
            AnswerUnusable: this is none.
            BodyBroken, BodyRunaway, ModelRefused, AnswerWithheld: as `feed`.
        """
        answer = _decoded(_whole, body)
        if not answer.choices:
            raise AnswerUnusable("the answer has no choices")
        for choice in answer.choices:
            calls = choice.delta.tool_calls if choice.delta else None
            for index, call in enumerate(calls or ()):
                call.index = index
        yield from self._take(answer.choices, answer.usage)
        self._end_text()
        self.complete = True

    def completion(self) -> Completion:
        """All that was read."""
        text, calls = "".join(self._text), self._calls.all()
        return Completion(text, calls, self.finish, self._read, self._written)

    def _take(self, choices: Iterable[_Choice], usage: object) -> Iterator[str]:
        if isinstance(usage, dict):
            self._read = _tokens(usage.get("prompt_tokens"), self._read)
            self._written = _tokens(usage.get("completion_tokens"), self._written)
            yield ""
        for choice in choices:
            if choice.index:
                continue
            if choice.delta is not None:
                yield from self._hear(choice.delta)
            if choice.finish_reason:
                self._finish(choice.finish_reason)
                yield ""

    def _hear(self, delta: _Delta) -> Iterator[str]:
        for piece in (delta.content, delta.refusal):
            if piece:
                piece = self._characters(piece)
                self._text.append(piece)
                yield piece
        for fragment in delta.tool_calls or ():
            yield from self._call(fragment.index, fragment.id, fragment.function)
        # Before there could be several.
        yield from self._call(0, None, delta.function_call)
        if delta.reasoning or delta.reasoning_content:
            yield ""

    def _call(
        self, index: int | None, id: str | None, what: _Function | None
    ) -> Iterator[str]:
        name = (what.name if what else None) or ""
        arguments = what.arguments if what else None
        if not isinstance(arguments, str):
            arguments = json.dumps(arguments) if arguments else ""
        if id or name or arguments:
            self._calls.take(index, id or "", name, _checked(arguments))
            yield ""

    def _characters(self, piece: str) -> str:
        """The piece, as far as its last character is whole."""
        piece, self._half = self._half + piece, ""
        if _HALF.search(piece):
            if _FIRST_HALF.search(piece):
                piece, self._half = piece[:-1], piece[-1]
            try:
                piece = piece.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
            except UnicodeDecodeError as error:
                raise BodyBroken("half a character") from error
        return _checked(piece)

    def _end_text(self) -> None:
        if self._half:
            raise BodyBroken("half a character at the end")

    def _finish(self, reason: str) -> None:
        if reason == "error":
            raise failure("")
        self._end_text()
        reason = _SAME.get(reason, reason)
        self.finish = reason if _REASON.fullmatch(reason) else "other"


def _decoded(decoder: msgspec.json.Decoder[_Answer], raw: str | bytes) -> _Answer:
    try:
        answer = decoder.decode(raw)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        answer = _decoded_with_halves(decoder.type, raw, error)
    if answer.error or answer.object == "error":
        raise failure(raw)
    return answer


def _decoded_with_halves(
    kind: type[_Answer], raw: str | bytes, wrong: Exception
) -> _Answer:
    """What may be broken only in that it has half a character."""
    text = raw if isinstance(raw, str) else raw.decode("utf-8", "replace")
    try:
        if not _ESCAPED_HALF.search(text):
            raise wrong
        return msgspec.convert(json.loads(text), kind)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise BodyBroken("what came is not of the format of answers") from error


def _tokens(count: object, before: int) -> int:
    known = isinstance(count, int) and 0 <= count <= _MOST_TOKENS
    return count if known else before  # type: ignore[return-value]


def _checked(text: str) -> str:
    if "\0" in text:
        raise BodyBroken("a NUL in the text")
    return text
