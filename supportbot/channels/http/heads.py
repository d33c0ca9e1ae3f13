"""The head of a request: strictly parsed, so that no two servers read it differently.

RFC 9112, without what it lets old clients get away with: no folded headers, no bare CR
or LF, no space before a colon, no two lengths.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import unquote_to_bytes

import msgspec
from twisted.web.http_headers import Headers, InvalidHeaderName

from supportbot.channels.http.problems import refused
from supportbot.channels.peers import plain

_LINE = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([!-~]+) HTTP/([0-9])\.([0-9])", re.DOTALL
)
_ABSOLUTE = re.compile(rb"https?://([^/?#@]*)([/?].*|)", re.IGNORECASE | re.DOTALL)
_CONTROLS = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|(?<!\r)\n")
_PERCENTS = re.compile(rb"(?:[^%]|%[0-9A-Fa-f]{2})*")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f]")
_HOST = re.compile(r"(?:\[([^\]]*)\]|([^:\[\]]*))(?::[0-9]{0,5})?")
_LONGEST_LENGTH = 18  # digits; nobody sends an exabyte


class Head(msgspec.Struct, frozen=True, eq=False):
    """The head of a valid request.

    Attributes:
        uri: the target as it was sent.
        path: of it, still encoded.
        target: the path, decoded; `*` if it is the server that is meant.
        query: what follows the `?`, as it was sent.
        version: `HTTP/1.0` or `HTTP/1.1`.
        length: bytes of the body; None if it comes in chunks.
        expects: the client waits for `100 Continue` before it sends the body.
        closes: the client sends no other request on this connection.
    """

    method: bytes
    uri: bytes
    path: bytes
    target: str
    query: bytes
    version: bytes
    headers: Headers
    length: int | None
    expects: bool
    closes: bool


class Hosts:
    """The names that we answer to: those given, `localhost`, and addresses in digits.

    A page of an attacker can make its own name point to us, but can't have the browser
    send another one.
    """

    def __init__(self, names: Collection[str]) -> None:
        self._names = {"localhost", *(name.lower().rstrip(".") for name in names)}
        self._good = b"localhost"  # the last that was asked for

    def check(self, host: bytes) -> None:
        """Refuse a host, with its port or without, that we don't answer to."""
        if host != self._good:
            if not self._known(host.decode("latin-1")):
                raise refused(421, "This name is not served here.")
            self._good = host

    def _known(self, host: str) -> bool:
        parts = _HOST.fullmatch(host)
        if parts is None:
            return False
        six, name = parts.groups()
        if six is not None:
            return ":" in six and plain(six) is not None
        name = name.lower().removesuffix(".")
        return name in self._names or plain(name) is not None


def parse_head(head: bytes, hosts: Hosts, most_headers: int, most_body: int) -> Head:
    """Parse the head of a request.

    Args:
        head: its lines, without the empty one.
        hosts: that are served.
        most_headers: how many it may have.
        most_body: bytes that its body may have.

    Raises:
        Refused: with the problem to answer.
    """
    if _CONTROLS.search(head):
        raise refused(400, "The head of the request has a control character in it.")
    lines = head.split(b"\r\n")
    line = _LINE.fullmatch(lines[0])
    if line is None:
        raise refused(400, "The first line is not METHOD TARGET HTTP/1.1.")
    method, uri, major, minor = line.groups()
    if major != b"1" or minor > b"1":
        raise refused(505, "Only HTTP/1.1 and HTTP/1.0 are spoken here.")
    if len(lines) - 1 > most_headers:
        raise refused(431, f"There are more than {most_headers} headers.")
    headers = Headers()
    try:
        for name, colon, value in map(_cut, lines[1:]):
            if not colon:
                raise refused(400, "A header has no colon.")
            headers.addRawHeader(name, value.strip(b" \t"))
    except InvalidHeaderName:  # among them, lines that are folded
        raise refused(400, "A header has a name that is none.") from None
    new = minor == b"1"
    path, _, query = _local(method, uri, hosts).partition(b"?")
    _check_host(headers, hosts, new)
    length = _length(headers, new)
    if length is None or length > 0:
        _check_body(headers, length, most_body)
    return Head(
        method,
        uri,
        path,
        _decoded(path),
        query,
        b"HTTP/1.1" if new else b"HTTP/1.0",
        headers,
        length,
        _expects(headers, new),
        not new or _closes(headers),
    )


def _cut(line: bytes) -> tuple[bytes, bytes, bytes]:
    return line.partition(b":")


def _local(method: bytes, uri: bytes, hosts: Hosts) -> bytes:
    """The target without scheme and authority."""
    if uri.startswith(b"/") or (uri == b"*" and method == b"OPTIONS"):
        return uri
    absolute = _ABSOLUTE.fullmatch(uri)
    if absolute is None:
        raise refused(400, "The target is no absolute path.")
    authority, path = absolute.groups()
    hosts.check(authority)
    return path if path.startswith(b"/") else b"/" + path


def _decoded(path: bytes) -> str:
    if b"%" in path:
        if not _PERCENTS.fullmatch(path):
            raise refused(400, "The path has a broken percent-encoding.")
        path = unquote_to_bytes(path)
    elif b"#" not in path:
        return path.decode("ascii")
    else:
        raise refused(400, "The target has a fragment.")
    try:
        target = path.decode("utf-8")
    except UnicodeDecodeError:
        raise refused(400, "The path is not in UTF-8.") from None
    if _UNPRINTABLE.search(target):
        raise refused(400, "The path has a control character in it.")
    return target


def _check_host(headers: Headers, hosts: Hosts, new: bool) -> None:
    given = headers.getRawHeaders(b"Host") or ()
    if len(given) > 1 or (new and not given):
        raise refused(400, "There must be exactly one Host header.")
    for host in given:
        hosts.check(host)


def _length(headers: Headers, new: bool) -> int | None:
    """Bytes of the body, or None if it comes in chunks."""
    codings = headers.getRawHeaders(b"Transfer-Encoding")
    lengths = headers.getRawHeaders(b"Content-Length")
    if codings is not None:
        if lengths is not None:
            raise refused(400, "There are Transfer-Encoding and Content-Length both.")
        if not new:
            raise refused(400, "There is no Transfer-Encoding in HTTP/1.0.")
        if len(codings) > 1:
            raise refused(400, "There is more than one Transfer-Encoding header.")
        if codings[0].lower() != b"chunked":
            raise refused(501, "The only Transfer-Encoding known here is chunked.")
        return None
    if lengths is None:
        return 0
    digits = lengths[0]
    if len(lengths) > 1 or not digits.isdigit() or len(digits) > _LONGEST_LENGTH:
        raise refused(400, "The Content-Length is no number of bytes.")
    return int(digits)


def _check_body(headers: Headers, length: int | None, most: int) -> None:
    if length is not None and length > most:
        raise refused(413, f"The body is longer than {most} bytes.")
    for coding in headers.getRawHeaders(b"Content-Encoding") or ():
        if coding.lower() != b"identity":
            raise refused(
                415, "Bodies are taken as they are.", (b"Accept-Encoding", b"identity")
            )


def _expects(headers: Headers, new: bool) -> bool:
    expected = headers.getRawHeaders(b"Expect")
    if expected is None or not new:
        return False
    if any(value.lower() != b"100-continue" for value in expected):
        raise refused(417, "The only Expect known here is 100-continue.")
    return True


def _closes(headers: Headers) -> bool:
    for value in headers.getRawHeaders(b"Connection") or ():
        if b"close" in {token.strip(b" \t") for token in value.lower().split(b",")}:
            return True
    return False
