"""The service that is asked, as lean as can be: it must not be what is measured.

It answers `POST /` as a support service does, with a JSON object of six paragraphs that
ends with the connection. `POST /api/chat` is answered as a chat server would answer it,
only that nobody is asked: what this takes is what the benchmark itself takes.
`POST /release` lets all answers go on that are held back.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import time
from collections.abc import Sequence
from functools import partial
from typing import cast

import msgspec
import uvloop

from benchmarks.http import wording

_OK = b"200 OK\r\nConnection: close\r\nContent-Type: "
_SERVICE_HEAD = (
    b"HTTP/1.0 "
    + _OK
    + b'application/json\r\n\r\n{"timestamp": 1732000000, "response": "'
)
_CHAT_HEAD = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
    b"Content-Type: text/event-stream; charset=utf-8\r\n\r\n"
)
_EMPTY = b"HTTP/1.0 " + _OK + b"text/plain\r\n\r\n"
_WRONG = b"HTTP/1.0 400 Bad Request\r\nConnection: close\r\n\r\n"


class Asked(msgspec.Struct):
    """The body of a chat request."""

    message: str


def chunk_of(line: bytes) -> bytes:
    """An event as one chunk of a chunked body."""
    event = b"data: " + line + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(event), event)


class Held:
    """The answers that are held back."""

    def __init__(self) -> None:
        self._waiting: list[Exchange] = []
        self._sessions = 0

    def add(self, exchange: Exchange) -> None:
        """Hold one more."""
        self._waiting.append(exchange)

    def release(self) -> None:
        """Let all go on."""
        waiting, self._waiting = self._waiting, []
        for exchange in waiting:
            exchange.go_on()

    def session(self) -> int:
        """A number for a session that is not kept."""
        self._sessions += 1
        return self._sessions


class Exchange(asyncio.Protocol):
    """One connection."""

    def __init__(self, loop: asyncio.AbstractEventLoop, held: Held) -> None:
        self._loop, self._held = loop, held
        self._transport: asyncio.Transport | None = None
        self._read = b""
        self._message, self._chat, self._place = "", False, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, blank, body = self._read.partition(b"\r\n\r\n")
        if not blank:
            return
        _, found, rest = head.lower().partition(b"content-length:")
        if len(body) >= (int(rest.partition(b"\r\n")[0]) if found else 0):
            self._read = b""
            self._answer(head.split(b" ", 2)[1], body)

    def go_on(self) -> None:
        """Write what is left of the answer."""
        self._paragraphs(wording.COUNT)

    def _answer(self, path: bytes, body: bytes) -> None:
        if path == b"/release":
            self._held.release()
            self._write(_EMPTY)
            self._close()
            return
        self._chat, self._place = path == b"/api/chat", 0
        try:
            if self._chat:
                self._message = msgspec.json.decode(body, type=Asked).message
            else:
                self._message = body.decode()
            pace = wording.pace_of(self._message)
        except (ValueError, msgspec.MsgspecError):
            self._write(_WRONG)
            self._close()
            return
        head = _CHAT_HEAD if self._chat else _SERVICE_HEAD
        if pace == wording.NOW:
            self._paragraphs(wording.COUNT, head)
        elif pace == wording.HOLD:
            self._paragraphs(wording.HELD_AFTER, head)
            self._held.add(self)
        else:
            self._write(head)
            seconds = int(pace.partition(" ")[0]) / 1000
            self._loop.call_later(seconds, self._slowly, seconds)

    def _slowly(self, seconds: float) -> None:
        if self._transport is None:
            return
        self._paragraphs(self._place + 1)
        if self._place < wording.COUNT:
            self._loop.call_later(seconds, self._slowly, seconds)

    def _paragraphs(self, until: int, head: bytes = b"") -> None:
        """Write the paragraphs up to one, all with the time of now."""
        pieces, now = [head], time.monotonic()
        for place in range(self._place, until):
            text = json.dumps(wording.written(self._message, place, now)).encode()
            if self._chat:
                pieces.append(chunk_of(b'{"chunk": %b}' % text))
            else:
                pieces.append(text[1:-1])
        self._place = until
        if until == wording.COUNT:
            pieces.append(self._end())
        self._write(b"".join(pieces))
        if until == wording.COUNT and not self._chat:
            self._close()

    def _end(self) -> bytes:
        if not self._chat:
            return b'"}'
        end = b'{"done": true, "session_id": "%d", "outcome": "complete"}'
        return chunk_of(end % self._held.session()) + b"0\r\n\r\n"

    def _write(self, piece: bytes) -> None:
        if self._transport is not None:
            self._transport.write(piece)

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()


async def serve(port: int) -> None:
    """Serve until the process is ended."""
    loop, held = asyncio.get_running_loop(), Held()
    server = await loop.create_server(
        partial(Exchange, loop, held), "127.0.0.1", port, backlog=4096
    )
    await server.serve_forever()


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve on a port of this machine."""
    parser = argparse.ArgumentParser("python -m benchmarks.http.upstream")
    parser.add_argument("port", type=int)
    port = parser.parse_args(arguments).port
    gc.freeze()
    gc.disable()  # no pauses; what it makes has no cycles, and it lives for minutes
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(port))


if __name__ == "__main__":
    main()
