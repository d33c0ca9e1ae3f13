"""Server-sent events out of bytes, as the WHATWG HTML standard (9.2.6) reads them.

A line is ended by LF, CR or CRLF, an event by an empty line. What a body that ends
leaves unfinished is no event. In one thing we are stricter than the standard: bytes
that are no UTF-8 are an error, and not replaced.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator

import msgspec

from supportbot.errors import BodyBroken, BodyRunaway


class ServerSent(msgspec.Struct, frozen=True):
    """One event.

    Attributes:
        event: its type; `message` if it was not named.
        text: its `data` lines, joined by LF; empty if they were.
        id: the last one that the stream has named so far; empty if it named none.
    """

    event: str
    text: str
    id: str

    def __repr__(self) -> str:  # the text may be anybody's
        return f"ServerSent({self.event!r}, {len(self.text)} characters)"


class EventStream:
    """Read a stream of events.

    Args:
        limit: the most characters of one line, and of one event's text.
    """

    def __init__(self, limit: int = 1_048_576) -> None:
        self._limit = limit
        self._character = b""  # the first bytes of one that a cut went through
        self._at_start = True
        self._after_cr = False  # so that an LF belongs to it
        self._line = ""  # the unfinished one
        self._event = self._id = ""
        self._text: str | None = None  # None in front of the first `data` line

    def feed(self, data: bytes) -> Iterator[ServerSent]:
        """Take more bytes; give the events that they finish.

        The iterator has to be run to its end.

        Raises:
            BodyBroken: while iterating, after the events in front of the broken place:
                the bytes are not UTF-8.
            BodyRunaway: likewise, a line or an event is too long.
        """
        data = self._character + data
        broken: BodyBroken | None = None
        try:
            text, used = codecs.utf_8_decode(data, "strict", False)
        except UnicodeDecodeError as error:
            broken = BodyBroken(f"invalid UTF-8: {error.reason}")
            text, used = data[: error.start].decode(), error.start
        held = self._character = data[used:]
        if broken is None and held[:1] == b"\xed" and held[1:] >= b"\xa0":
            # The codec waits for a third byte, though no character begins like this.
            broken = BodyBroken("invalid UTF-8: half of a surrogate pair")
        for line in self._lines(text):
            if line:
                self._take(line)
                continue
            if self._text is not None:
                yield ServerSent(self._event or "message", self._text, self._id)
            self._event, self._text = "", None
        if broken is not None:
            raise broken

    def _lines(self, text: str) -> Iterator[str]:
        if not text:
            return
        if self._at_start:
            self._at_start, text = False, text.removeprefix("\ufeff")
        if self._after_cr:
            text = text.removeprefix("\n")
        self._after_cr = text.endswith("\r")
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        *ends, rest = text.split("\n")
        for end in ends:
            line, self._line = self._line, ""
            line += end  # CPython lengthens in place what has no other reference
            yield self._checked(line)
        line, self._line = self._line, ""
        line += rest
        self._line = self._checked(line)

    def _take(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            text, self._text = self._text, None
            if text is None:
                text = value
            else:
                text += "\n"
                text += value
            self._text = self._checked(text)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value

    def _checked(self, text: str) -> str:
        if len(text) > self._limit:
            raise BodyRunaway(f"an event is longer than {self._limit} characters")
        return text
