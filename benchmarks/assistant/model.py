"""The language model that is asked, as lean as can be: it is not what is measured.

It speaks the API of OpenAI, streamed: a token in an event, each in a write of its own.
`POST /api/chat` is answered as a chat server would answer it, only that no model is
asked: what this takes is what the benchmark itself takes. `POST /release` lets all
answers go on that are held back.
"""

from __future__ import annotations

import json
import time
from typing import Any

import msgspec

from benchmarks import exchanges
from benchmarks.assistant import wording
from benchmarks.exchanges import STREAM, chunk_of

_EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Type: text/plain\r\n\r\n"
_WRONG = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
_USAGE = {"prompt_tokens": 100, "completion_tokens": wording.COUNT, "total_tokens": 220}
_TOTAL = msgspec.json.encode(
    {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
)[:-1]


def _token(delta: bytes, reason: bytes = b"null") -> bytes:
    choice = b'{"index":0,"delta":%b,"logprobs":null,"finish_reason":%b}'
    return chunk_of(_TOTAL + b',"choices":[' + choice % (delta, reason) + b"]}")


class Exchange(exchanges.Exchange):
    """One connection."""

    _chat, _number, _place, _wait = False, 0, 0, 0.0

    def go_on(self) -> None:
        """Write what is left of the answer."""
        while self._place < wording.COUNT:
            self._word()

    def _answer(self, path: bytes, body: bytes) -> None:
        if path == b"/release":
            self._held.release()
            self._write(_EMPTY)
            return
        self._chat, self._place = path == b"/api/chat", 0
        try:
            asked: Any = msgspec.json.decode(body)
            message = asked["message"] if self._chat else _last(asked["messages"])
            self._number, pace = wording.asked_of(message)
        except (ValueError, KeyError, msgspec.MsgspecError):
            self._write(_WRONG)
            return
        self._write(STREAM)
        if not self._chat:
            self._write(_token(b'{"role":"assistant","content":"","refusal":null}'))
        if pace == wording.HOLD:
            while self._place < wording.HELD_AFTER:
                self._word()
            self._held.add(self)
            return
        self._wait = 0.0 if pace == wording.NOW else int(pace.split()[0]) / 1_000
        self._next()

    def _next(self) -> None:
        if self._transport is None:
            return
        self._word()
        if self._place == wording.COUNT:
            return
        if self._wait:
            self._loop.call_later(self._wait, self._next)
        else:
            self._loop.call_soon(self._next)

    def _word(self) -> None:
        word = wording.word_of(self._number, self._place, time.monotonic())
        text = json.dumps(word).encode()
        self._place += 1
        piece = b'{"chunk":%b}' if self._chat else b'{"content":%b}'
        made = chunk_of if self._chat else _token
        self._write(made(piece % text))
        if self._place == wording.COUNT:
            self._end()

    def _end(self) -> None:
        if self._chat:
            end = b'{"done":true,"session_id":"-","outcome":"complete"}'
            self._write(chunk_of(end) + b"0\r\n\r\n")
            return
        usage = b',"choices":[],"usage":%b}' % msgspec.json.encode(_USAGE)
        last = _token(b"{}", b'"stop"'), chunk_of(_TOTAL + usage), chunk_of(b"[DONE]")
        self._write(b"".join(last) + b"0\r\n\r\n")


def _last(messages: list[dict[str, str]]) -> str:
    """What the customer said last."""
    return next(one["content"] for one in messages[::-1] if one["role"] == "user")


if __name__ == "__main__":
    exchanges.main("benchmarks.assistant.model", Exchange)
