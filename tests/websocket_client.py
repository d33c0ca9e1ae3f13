"""A WebSocket client without sockets, which can do what no honest client would."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

import msgspec
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import (
    Frame,
    FrameProtocol,
    Opcode,
    ParseFailed,
    RsvBits,
)

from supportbot.channels.http.exchange import Upgraded
from tests.http_client import HttpClient, Response, _parsed

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # to that key, as RFC 6455 has it in 1.3
DEFLATE = "permessage-deflate; client_max_window_bits"  # as browsers offer it


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = b"\x12\x34\x56\x78",
    length: int | None = None,
) -> bytes:
    """The bytes of one frame.

    Args:
        rsv: the reserved bits as a number; 4 says that the message is compressed.
        mask: None for none, which only servers may do.
        length: that is declared; by default that of the payload.
    """
    length = len(payload) if length is None else length
    masked = 0 if mask is None else 0x80
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    if length < 126:
        head += bytes([masked | length])
    elif length < 1 << 16:
        head += struct.pack("!BH", masked | 126, length)
    else:
        head += struct.pack("!BQ", masked | 127, length)
    if mask is None:
        return head + payload
    size = len(payload)
    stream = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    return head + mask + (int.from_bytes(payload, "big") ^ stream).to_bytes(size, "big")


def text(payload: str | bytes, **kinds: Any) -> bytes:
    """The bytes of a text message."""
    payload = payload.encode() if isinstance(payload, str) else payload
    return frame(Opcode.TEXT, payload, **kinds)


def closing(code: int | None = 1000, reason: str = "") -> bytes:
    """The bytes of a close frame; with no code, an empty one."""
    payload = b"" if code is None else struct.pack("!H", code) + reason.encode()
    return frame(Opcode.CLOSE, payload)


class WebSocketClient(HttpClient):
    """A client's end of a connection that becomes a WebSocket.

    `connect` to a server and `open`, or `attach` to what speaks WebSocket without HTTP
    before. Unless it is mute, it answers pings and the server's close frame, and hangs
    up when the server has said its last, in a later turn of the reactor.

    Args:
        clock, host, room: see `HttpClient`.
        mute: it does nothing by itself.

    Attributes:
        mute: as given; may be changed.
        response: to the handshake, when it came.
    """

    def __init__(
        self,
        clock: Clock,
        host: str | None = "192.0.2.7",
        room: int = 65_536,
        *,
        mute: bool = False,
    ) -> None:
        super().__init__(clock, host, room)
        self.mute = mute
        self.response: Response | None = None
        self._pings: list[bytes] = []
        self._pongs: list[bytes] = []
        self._closed_with: tuple[int, str] | None = None
        self._frames: FrameProtocol | None = None
        self._extension: PerMessageDeflate | None = None
        self._heard: list[str] = []
        self._partial = ""
        self._looking = self._done = False

    # Connecting

    def open(
        self,
        target: str = "/ws",
        headers: Iterable[tuple[str, str]] = (),
        *,
        extensions: str = "",
        early: bytes = b"",
    ) -> Response | None:
        """Send a handshake, and return the response if it is there already.

        Args:
            headers: more of them. One of the handshake's own replaces it; with an empty
                value it is left away.
            extensions: that are offered; see `DEFLATE`.
            early: bytes that are sent with it.
        """
        own = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": KEY,
            "Sec-WebSocket-Extensions": extensions,
        }
        given = list(headers)
        named = {name.lower() for name, _ in given}
        lines = [f"GET {target} HTTP/1.1", "Host: localhost"]
        for name, value in own.items():
            if value and name.lower() not in named:
                lines.append(f"{name}: {value}")
        lines += [f"{name}: {value}" for name, value in given if value]
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + early)
        self._look()
        return self.response

    def attach(self, socket: Upgraded, early: bytes = b"") -> None:
        """Meet what speaks WebSocket, with no HTTP before it."""
        self._frames = FrameProtocol(True, [])
        self.protocol = _Attached(socket, early)
        self.protocol.makeConnection(self)

    def agree(self, answer: str) -> None:
        """Take this to be the server's answer to the extensions that were offered."""
        self._extension = PerMessageDeflate()
        self._extension.finalize(answer)
        self._frames = FrameProtocol(True, [self._extension])

    # Sending

    def say(self, message: str, fragments: int = 1, *, compress: bool = False) -> None:
        """Send a text message, in so many frames."""
        payload, rsv = message.encode(), 0
        if compress:
            assert self._extension is not None, "compression was not agreed on"
            bare, none = RsvBits(False, False, False), FrameProtocol(True, [])
            _, payload = self._extension.frame_outbound(
                none, Opcode.TEXT, bare, payload, True
            )
            rsv = 4
        step = max(-(-len(payload) // fragments), 1)
        pieces = [payload[n : n + step] for n in range(0, len(payload), step)] or [b""]
        for number, piece in enumerate(pieces):
            last = number == len(pieces) - 1
            if number:
                self.send(frame(Opcode.CONTINUATION, piece, fin=last))
            else:
                self.send(frame(Opcode.TEXT, piece, fin=last, rsv=rsv))

    def post(self, message: object, *, compress: bool = False) -> None:
        """Send a message that is JSON."""
        self.say(msgspec.json.encode(message).decode(), compress=compress)

    def ping(self, payload: bytes = b"") -> None:
        """Send a ping."""
        self.send(frame(Opcode.PING, payload))

    def close(self, code: int | None = 1000, reason: str = "") -> None:
        """Send a close frame."""
        self._done = True
        self.send(closing(code, reason))

    # What the client sees

    def texts(self) -> list[str]:
        """The messages that came since this or `take` was asked last."""
        self._look()
        heard, self._heard = self._heard, []
        return heard

    def take(self) -> list[Any]:
        """The same, as the JSON values that they are."""
        return [msgspec.json.decode(message) for message in self.texts()]

    def take_one(self) -> Any:
        """The one message that came since it was asked last, as its JSON value."""
        (message,) = self.take()
        return message

    @property
    def pings(self) -> list[bytes]:
        """The payloads of the server's pings, oldest first."""
        self._look()
        return self._pings

    @property
    def pongs(self) -> list[bytes]:
        """The payloads of its pongs, oldest first."""
        self._look()
        return self._pongs

    @property
    def closed_with(self) -> tuple[int, str] | None:
        """Code and reason of its close frame, if it came; code 1005 if it had none."""
        self._look()
        return self._closed_with

    # How it works

    def write(self, data: bytes) -> None:
        super().write(data)
        self._later()

    def loseWriteConnection(self) -> None:
        super().loseWriteConnection()
        if not self.mute:
            self._clock.callLater(0, self.hang_up)

    def sip(self) -> None:
        super().sip()
        self._later()

    def _later(self) -> None:
        """Look at what has come when the server has come to rest, as on a network."""
        if not self._looking:
            self._looking = True
            self._clock.callLater(0, self._turn)

    def _turn(self) -> None:
        self._looking = False
        self._look()

    def _look(self) -> None:
        if self._frames is None and self.response is None:
            found, end = _parsed(self.received, 0, "GET", self.closed)
            if found is None:
                return
            self.response, self._taken = found, end
            if found.status == 101:
                self._frames = FrameProtocol(True, [])
                if answer := found.headers.get("sec-websocket-extensions"):
                    self.agree(answer)
        if self._frames is None:
            return
        news, self._taken = self.received[self._taken :], len(self.received)
        self._frames.receive_bytes(news)
        try:
            for one in self._frames.received_frames():
                self._see(one)
        except ParseFailed as why:
            self.faults.append(f"not WebSocket: {why}")
        if self._closed_with is not None and (
            rest := self._frames._frame_decoder.buffer.buffer
        ):
            self.faults.append(f"sent behind the close frame: {bytes(rest)!r}")

    def _see(self, seen: Frame) -> None:
        payload: Any = seen.payload
        if seen.opcode is Opcode.TEXT:
            self._partial += payload
            if seen.message_finished:
                self._heard.append(self._partial)
                self._partial = ""
        elif seen.opcode is Opcode.PING:
            self._pings.append(bytes(payload))
            self._reply(frame(Opcode.PONG, bytes(payload)))
        elif seen.opcode is Opcode.PONG:
            self._pongs.append(bytes(payload))
        elif seen.opcode is Opcode.CLOSE:
            code, reason = payload
            self._closed_with = int(code), reason
            if not self._done:
                self._reply(closing(None if code == 1005 else code))
        else:
            self.faults.append(f"no text: {seen}")

    def _reply(self, data: bytes) -> None:
        if not (self.mute or self.closed or self.aborted):
            self.send(data)


class _Attached(Protocol):
    """Stands where an HTTP connection does that was upgraded."""

    def __init__(self, socket: Upgraded, early: bytes) -> None:
        self._socket, self._early = socket, early

    def connectionMade(self) -> None:
        self._socket.begin(self.transport, self._early)

    def dataReceived(self, data: bytes) -> None:
        self._socket.received(data)

    def connectionLost(self, reason: Any = None) -> None:
        self._socket.lost(Failure(reason) if isinstance(reason, Exception) else reason)
