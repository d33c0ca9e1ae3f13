"""The client's side of RFC 6455 and RFC 7692, as lean as can be, without a socket."""

from __future__ import annotations

import os
import struct
import zlib
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha1

CONTINUATION, TEXT, CLOSE, PING, PONG = 0, 1, 8, 9, 10
OFFER = b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
"""What browsers offer."""
_END = b"\x00\x00\xff\xff"  # of what is flushed; it does not travel
_KEY = b64encode(os.urandom(16))
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_ACCEPT = b64encode(sha1(_KEY + _GUID).digest())
_MASK = os.urandom(4)


def request_of(port: int, *, deflate: bool) -> bytes:
    """The request that opens a connection."""
    return (
        b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: Upgrade\r\n"
        b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: %b\r\n%b\r\n" % (port, _KEY, OFFER if deflate else b"")
    )


def frame_of(opcode: int, payload: bytes, *, deflate: bool = False) -> bytes:
    """A frame of the client, masked; with `deflate` compressed, and nothing kept.

    A window of 512 bytes and no memory of earlier messages are allowed whatever was
    agreed on, and thousands of clients find room in one process.
    """
    first = 0x80 | opcode
    if deflate:
        deflater = zlib.compressobj(6, zlib.DEFLATED, -9, 1)
        payload = deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH)
        first, payload = first | 0x40, payload.removesuffix(_END)
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", first, 0x80 | size)
    else:
        head = struct.pack("!BBH", first, 0x80 | 126, size)
    mask = (_MASK * (size // 4 + 1))[:size]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")
    return head + _MASK + masked.to_bytes(size, "big")


class Frames:
    """What a server sends on one connection.

    Attributes:
        begun: whether the connection is agreed on.
        deflate: whether messages may be compressed.
    """

    def __init__(self) -> None:
        self.begun = self.deflate = False
        self._held = b""
        self._parts: list[bytes] = []
        self._compressed = False

    def feed(self, piece: bytes) -> Iterator[tuple[int, bytes]]:
        """Take what arrived; give whole messages, pings and the like, by their opcodes.

        Raises:
            ValueError: what arrived is not what RFC 6455 allows.
            zlib.error: nor what RFC 7692 does.
        """
        self._held = self._held + piece if self._held else piece
        if not self.begun:
            head, blank, rest = self._held.partition(b"\r\n\r\n")
            if not blank:
                return
            self._begin(head)
            self._held = rest
        for first, payload in self._frames():
            opcode = first & 0x0F
            if opcode >= CLOSE:
                yield opcode, payload
                continue
            if (opcode == CONTINUATION) != bool(self._parts):
                raise ValueError("a fragment in the wrong place")
            if not self._parts:
                self._compressed = bool(first & 0x40)
            self._parts.append(payload)
            if first & 0x80:
                message = b"".join(self._parts)
                self._parts = []
                yield TEXT, self._inflated(message) if self._compressed else message

    def _begin(self, head: bytes) -> None:
        status, *lines = head.split(b"\r\n")
        fields = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(b":") for line in lines)
        }
        accepted = fields.get(b"sec-websocket-accept") == _ACCEPT
        if status.split(b" ", 2)[1] != b"101" or not accepted:
            raise ValueError(head.decode("latin-1"))
        self.begun = True
        agreed = fields.get(b"sec-websocket-extensions", b"")
        self.deflate = agreed.startswith(b"permessage-deflate")
        if self.deflate:
            self._inflater = zlib.decompressobj(-15)

    def _frames(self) -> Iterator[tuple[int, bytes]]:
        held, at = self._held, 0
        while len(held) >= at + 2:
            first, size, start = held[at], held[at + 1], at + 2
            allowed = (TEXT, CONTINUATION, CLOSE, PING, PONG)
            flags = 0x40 if self.deflate and first & 0x0F == TEXT else 0
            if first & 0x70 & ~flags or first & 0x0F not in allowed or size > 127:
                raise ValueError(f"no frame: {held[at : at + 20]!r}")
            if size == 126:
                size, start = int.from_bytes(held[start : start + 2], "big"), start + 2
            elif size == 127:
                size, start = int.from_bytes(held[start : start + 8], "big"), start + 8
            if len(held) < start + size:
                break
            at = start + size
            yield first, held[start:at]
        self._held = held[at:]

    def _inflated(self, message: bytes) -> bytes:
        text = self._inflater.decompress(message + _END)
        if self._inflater.eof:
            self._inflater = zlib.decompressobj(-15)
        return text
