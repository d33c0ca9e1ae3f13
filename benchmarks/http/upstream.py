"""The service that is asked, as lean as can be: it must not be what is measured.

It answers `POST /` as a support service does, with a JSON object of six paragraphs that
ends with the connection. `POST /api/chat` is answered as a chat server would answer it,
only that nobody is asked: what this takes is what the benchmark itself takes.
`POST /release` lets all answers go on that are held back.
"""

from __future__ import annotations

import json
import time
from itertools import count

import msgspec

from benchmarks import exchanges
from benchmarks.exchanges import STREAM, chunk_of
from benchmarks.http import wording

_OK = b"200 OK\r\nConnection: close\r\nContent-Type: "
_SERVICE_HEAD = (
    b"HTTP/1.0 "
    + _OK
    + b'application/json\r\n\r\n{"timestamp": 1732000000, "response": "'
)
_EMPTY = b"HTTP/1.0 " + _OK + b"text/plain\r\n\r\n"
_WRONG = b"HTTP/1.0 400 Bad Request\r\nConnection: close\r\n\r\n"


class Asked(msgspec.Struct):
    """The body of a chat request."""

    message: str


class Exchange(exchanges.Exchange):
    """One connection."""

    _sessions = count(1)  # of all connections; none is kept
    _message, _chat, _place = "", False, 0

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
        head = STREAM if self._chat else _SERVICE_HEAD
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
        return chunk_of(end % next(self._sessions)) + b"0\r\n\r\n"

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()


if __name__ == "__main__":
    exchanges.main("benchmarks.http.upstream", Exchange)
