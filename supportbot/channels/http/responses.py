"""The head of a response, with the headers that guard whoever reads it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from twisted.web.http import datetimeToString

from supportbot.channels.http.problems import phrase

Header = tuple[bytes, bytes]

_GUARDS: dict[bytes, bytes] = {
    b"Cache-Control": b"no-store",
    b"Content-Security-Policy": b"default-src 'none'; frame-ancestors 'none'",
    b"Referrer-Policy": b"no-referrer",
    b"X-Content-Type-Options": b"nosniff",
}
_ALL_GUARDS = b"".join(b"%b: %b\r\n" % guard for guard in _GUARDS.items())
_UPGRADE = b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
_LOWER = {name.lower(): (name, value) for name, value in _GUARDS.items()}
_SAFE_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_UNSAFE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class Dates:
    """The Date header, made once a second."""

    def __init__(self) -> None:
        self._second = -1
        self._line = b""

    def line(self, now: float) -> bytes:
        """The header at this time, in seconds since the epoch."""
        second = int(now)
        if second != self._second:
            self._second = second
            self._line = b"Date: %b\r\n" % datetimeToString(second)
        return self._line


@lru_cache(maxsize=128)
def status_line(status: int) -> bytes:
    """The first line of a response."""
    return b"HTTP/1.1 %d %b\r\n" % (status, phrase(status).encode("ascii"))


def response_head(
    status: int,
    date: bytes,
    content_type: str | None,
    length: int | None,
    headers: Iterable[Header] = (),
    *,
    chunked: bool = False,
    close: bool = False,
) -> bytes:
    """The head of a response.

    Args:
        date: the line with the date.
        content_type: None for a response without a body.
        length: Content-Length, or None for none.
        headers: more of them. One that is named like a guard replaces it.
        chunked: the body comes in chunks.
        close: it is the last response on its connection.

    Raises:
        ValueError: a header would break out of its line.
    """
    pieces = [status_line(status), date]
    if content_type is not None:
        pieces.append(b"Content-Type: %b\r\n" % content_type.encode("latin-1"))
    if length is not None:
        pieces.append(b"Content-Length: %d\r\n" % length)
    if chunked:
        pieces.append(b"Transfer-Encoding: chunked\r\n")
    if close:
        pieces.append(b"Connection: close\r\n")
    named = set()
    for name, value in headers:
        pieces.append(_line(name, value))
        named.add(name.lower())
    if named.isdisjoint(_LOWER):
        pieces.append(_ALL_GUARDS)
    else:
        for lower, guard in _LOWER.items():
            if lower not in named:
                pieces.append(b"%b: %b\r\n" % guard)
    pieces.append(b"\r\n")
    return b"".join(pieces)


def upgrade_head(headers: Iterable[Header]) -> bytes:
    """The head behind which a connection speaks WebSocket.

    Args:
        headers: besides those that every such head has.

    Raises:
        ValueError: a header would break out of its line.
    """
    lines = (_line(name, value) for name, value in headers)
    return b"%b%b%b\r\n" % (status_line(101), _UPGRADE, b"".join(lines))


def _line(name: bytes, value: bytes) -> bytes:
    if not _SAFE_NAME.fullmatch(name) or _UNSAFE.search(value):
        raise ValueError(f"{name!r} has a value that is none")
    return b"%b: %b\r\n" % (name, value)
