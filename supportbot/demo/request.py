"""One HTTP request out of bytes, understood as narrowly as the originals do."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_DIGITS = 10  # of a length: enough for any that is allowed, too few to be a burden


class Unanswerable(Exception):
    """A request over which the original's handler dies without a word."""


class Request(msgspec.Struct, frozen=True):
    """What is asked; the path makes no difference.

    Attributes:
        method: of HTTP, as sent.
        text: the body, or empty for any other method than the expected one.
    """

    method: str
    text: str


class RequestReader:
    """Collect one request. What follows it is not looked at.

    Args:
        method: the only one whose body is read; `POST` has to have a body.
        head: most bytes of request line and headers.
        body: most bytes of the body.
    """

    def __init__(
        self, method: str, head: int = 64 * 1024, body: int = 1024 * 1024
    ) -> None:
        self._method, self._head_limit, self._body_limit = method, head, body
        self._held = bytearray()
        self._asked = ""  # the method that came, once the head is in
        self._length = 0  # of the body

    def feed(self, data: bytes) -> Request | None:
        """Take more bytes; returns the request once it is whole.

        Raises:
            Unanswerable: no HTTP, too long, a `POST` without a usable Content-Length,
                as a chunked upload is, or a body that is not UTF-8.
        """
        searched = len(self._held)
        self._held += data
        if not self._asked and not self._take_head(max(0, searched - 3)):
            return None
        if len(self._held) < self._length:
            return None
        try:
            text = self._held[: self._length].decode()
        except UnicodeDecodeError as error:
            raise Unanswerable("the body is not UTF-8") from error
        return Request(self._asked, text)

    def _take_head(self, start: int) -> bool:
        """Whether the head is in; it is cut off then."""
        end = _BLANK_LINE.search(self._held, start)
        if (end.start() if end else len(self._held)) > self._head_limit:
            raise Unanswerable("the head is too long")
        if end is None:
            return False
        lines = self._held[: end.start()].decode("latin-1").splitlines()
        del self._held[: end.end()]
        words = lines[0].split() if lines else []
        if len(words) != 3 or not words[2].startswith("HTTP/"):
            raise Unanswerable("no HTTP request")
        self._asked = words[0]
        if self._asked == self._method == "POST":
            self._length = self._content_length(lines[1:])
        return True

    def _content_length(self, lines: Sequence[str]) -> int:
        for line in lines:
            name, _, value = line.partition(":")
            if name.strip().lower() != "content-length":
                continue
            digits = value.strip()
            if not (digits.isascii() and digits.isdigit() and len(digits) <= _DIGITS):
                raise Unanswerable("the length is no number")
            if int(digits) > self._body_limit:
                raise Unanswerable("the body is too long")
            return int(digits)
        raise Unanswerable("no Content-Length")
