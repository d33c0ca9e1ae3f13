"""Attacks on a WebSocket server, one process that commits them all.

    python -m benchmarks.attacks PORT

Each line of standard input is the name of an attack and how much of it is wanted, from
0 to 1; what became of it is a line of JSON.
"""

from __future__ import annotations

import json
import os
import random
import select
import socket
import struct
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import repeat
from typing import Any

import msgspec

from benchmarks.live import HOST, PATIENCE
from benchmarks.websocket.frames import (
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Frames,
    request_of,
)

LOST = 1006
"""The connection is gone, and no close frame came."""

UNKNOWN = {
    "action": "chatbot_post_message",
    "session_id": "nobody",
    "user_message": "x",
}
START = {"action": "chatbot_session_start"}
_RECEIVE = 4 * 1024  # bytes of the buffer of those who don't read
_END = b"\x00\x00\xff\xff"  # of what is flushed; it does not travel


# What is sent; all of it is made before an attack begins


def frame(opcode: int, payload: bytes, *, fin: bool = True, rsv: int = 0) -> bytes:
    """A frame of a client. Its mask is zero, and so costs nobody anything."""
    first, size = (0x80 if fin else 0) | rsv << 4 | opcode, len(payload)
    if size < 126:
        head = struct.pack("!BB", first, 0x80 | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", first, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, size)
    return head + bytes(4) + payload


def message(value: object) -> bytes:
    """A text message that is JSON."""
    return frame(TEXT, json.dumps(value).encode())


def post(session_id: str, text: str, **fields: object) -> bytes:
    """A message that asks something."""
    return message(
        {**UNKNOWN, "session_id": session_id, "user_message": text, **fields}
    )


def squeezed(text: bytes) -> bytes:
    """A text message, compressed."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    payload = deflater.compress(text) + deflater.flush(zlib.Z_SYNC_FLUSH)
    return frame(TEXT, payload.removesuffix(_END), rsv=4)


# The attackers


class Link:
    """One connection of an attacker.

    Args:
        port: of the service.
        deflate: whether messages may be compressed.
        mute: no ping is answered.
        receive: bytes of its buffer; the system's choice if None.

    Attributes:
        code: of the server's close frame; None while the connection stands.
        after: seconds until it came, since the attack began.
        heard: messages of the server.
    """

    def __init__(
        self,
        port: int,
        *,
        deflate: bool = False,
        mute: bool = False,
        receive: int | None = None,
    ) -> None:
        self.code: int | None = None
        self._mute = mute
        self.after = 0.0
        self._frames, self.heard = Frames(), list[Any]()
        self._socket = socket.socket()
        if receive is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        self._socket.connect((HOST, port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.settimeout(PATIENCE)
        self._socket.sendall(request_of(port, deflate=deflate))
        self.began = time.monotonic()
        while not self._frames.begun and self.code is None:
            self._hear()
        self.began = time.monotonic()

    def session(self) -> str:
        """Start a session; nothing else may have been asked for before."""
        self._socket.sendall(message(START))
        while not self.heard and self.code is None:
            self._hear()
        id: str = self.heard.pop()["data"]["session_id"]
        return id

    def flood(self, pieces: Iterable[bytes], seconds: float = PATIENCE) -> Link:
        """Send all that, and listen until the connection is closed."""
        self._socket.setblocking(False)
        poll, end = select.poll(), time.monotonic() + seconds
        left, rest = iter(pieces), memoryview(b"")
        while self.code is None and (wait := end - time.monotonic()) > 0:
            if not rest:
                rest = memoryview(next(left, b""))
            poll.register(self._socket, select.POLLIN | (select.POLLOUT if rest else 0))
            for _, events in poll.poll(wait * 1000):
                if events & ~select.POLLOUT:
                    self._hear()
                else:
                    try:
                        rest = rest[self._socket.send(rest) :]
                    except OSError:
                        self._end(LOST)
        return self

    def ignore(self, sent: bytes, seconds: float = PATIENCE) -> Link:
        """Send all that as far as it is taken, and read nothing."""
        self._socket.setblocking(False)
        with suppress(OSError):
            self._socket.send(sent)
        return self.wait_unread(seconds)

    def wait_unread(self, seconds: float) -> Link:
        """Wait until the connection is reset."""
        poll = select.poll()
        poll.register(self._socket, 0)
        if poll.poll(seconds * 1000):
            self._end(LOST)
        return self

    def answers(self, count: int, seconds: float = PATIENCE) -> int:
        """Wait for so many messages; returns how many came."""
        self._socket.settimeout(seconds)
        while len(self.heard) < count and self.code is None:
            try:
                self._hear()
            except TimeoutError:
                break
        return len(self.heard)

    def send(self, piece: bytes) -> None:
        """Send something, and wait until it is taken."""
        self._socket.settimeout(PATIENCE)
        self._socket.sendall(piece)

    def _hear(self) -> None:
        try:
            read = self._socket.recv(65_536)
        except (BlockingIOError, TimeoutError):
            raise
        except OSError:
            read = b""
        if not read:
            self._end(LOST)
            return
        for opcode, payload in self._frames.feed(read):
            if opcode == CLOSE:
                self._end(int.from_bytes(payload[:2], "big"))
            elif opcode == TEXT:
                self.heard.append(json.loads(payload))
            elif opcode == PING and not self._mute:
                with suppress(OSError):
                    self._socket.send(frame(PONG, payload))

    def _end(self, code: int) -> None:
        if self.code is None:
            self.code, self.after = code, time.monotonic() - self.began


class Outcome(msgspec.Struct):
    """What became of an attack.

    Attributes:
        codes: how often the server closed with each; 0 for never.
        slowest: seconds until the last of the connections was closed.
        wrong: what should not have been, in words.
    """

    codes: dict[str, int] = {}
    slowest: float = 0.0
    wrong: list[str] = []

    @classmethod
    def of(cls, *links: Link) -> Outcome:
        """That of these connections, each of which should have been closed."""
        codes = Counter(str(link.code or 0) for link in links)
        return cls(dict(codes), max(link.after for link in links))


def endless_frame(port: int, share: float) -> Outcome:
    """A message of 60 MB that never ends, in one frame."""
    head = struct.pack("!BBQ", 0x80 | TEXT, 0x80 | 127, 60_000_000) + bytes(4)
    return Outcome.of(Link(port).flood([head, *[b"x" * 65_536] * 1000]))


def endless_fragments(port: int, share: float) -> Outcome:
    """Another, in fragments."""
    more = frame(CONTINUATION, b"x" * 16_384, fin=False)
    first = frame(TEXT, b"x", fin=False)
    return Outcome.of(Link(port).flood([first, *[more] * 4000]))


def endless_slowly(port: int, share: float) -> Outcome:
    """Another, squeezed: nothing comes of it, for ever."""
    deflater = zlib.compressobj(0, zlib.DEFLATED, -15)
    nothing = deflater.flush(zlib.Z_SYNC_FLUSH) * 3000
    first = frame(TEXT, nothing, fin=False, rsv=4)
    more = frame(CONTINUATION, nothing, fin=False)
    return Outcome.of(Link(port, deflate=True).flood([first, *[more] * 1000]))


def tiny_fragments(port: int, share: float) -> Outcome:
    """10,000 fragments of one byte."""
    more = frame(CONTINUATION, b"x", fin=False) * 10_000
    return Outcome.of(Link(port).flood([frame(TEXT, b"x", fin=False), more]))


def empty_fragments(port: int, share: float) -> Outcome:
    """As many with nothing in them, and a ping between each two."""
    more = (frame(CONTINUATION, b"", fin=False) + frame(PING, b"")) * 10_000
    return Outcome.of(Link(port).flood([frame(TEXT, b"", fin=False), more]))


def tiny_frames(port: int, share: float) -> Outcome:
    """Messages of one byte, as fast as they go."""
    return Outcome.of(Link(port).flood(repeat(frame(TEXT, b"x") * 8_000, 1000)))


def byte_by_byte(port: int, share: float) -> Outcome:
    """Messages as large as they may be, each byte of them sent by itself."""
    links, sent = Link(port), post("nobody", "x" * 60_000)
    for at in range(int(share * len(sent))):
        links.send(sent[at : at + 1])
    links.send(sent[int(share * len(sent)) :])
    outcome = Outcome()
    if links.answers(2) != 2:
        outcome.wrong.append("it was not answered")
    return outcome


def bomb(port: int, share: float) -> Outcome:
    """60 KB that would be 60 MB."""
    sent = squeezed(bytes(60_000_000))
    return Outcome.of(Link(port, deflate=True).flood([sent]))


def bombs(port: int, share: float) -> Outcome:
    """The same on many connections at once."""
    sent = squeezed(bytes(60_000_000))
    links = [Link(port, deflate=True) for _ in range(int(100 * share))]
    for link in links:
        link.began = time.monotonic()
        link.send(sent)
    return Outcome.of(*(link.flood(()) for link in links))


def squeezed_nonsense(port: int, share: float) -> Outcome:
    """Messages of 64 bytes that are 64 KB of nonsense."""
    sent = squeezed(b"[" * 65_000)
    links = [Link(port, deflate=True) for _ in range(int(20 * share))]
    return Outcome.of(*(link.flood([sent * 150]) for link in links))


def never_reads(port: int, share: float) -> Outcome:
    """Who asks for long answers, and reads none of them."""
    links = list[Link]()
    for number in range(int(40 * share)):
        link = Link(port, receive=_RECEIVE)
        asked = post(link.session(), f"help {number} long", stream=True)
        link.began = time.monotonic()
        link.ignore(asked, 0)
        links.append(link)
    return Outcome.of(*(link.wait_unread(PATIENCE) for link in links))


def posts_and_never_reads(port: int, share: float) -> Outcome:
    """Who asks a hundred times at once, and reads nothing."""
    links = list[Link]()
    for number in range(int(20 * share)):
        link = Link(port, receive=_RECEIVE)
        asked = post(link.session(), f"help {number} long", stream=True)
        link.began = time.monotonic()
        link.ignore(asked * 100, 0)
        links.append(link)
    return Outcome.of(*(link.wait_unread(PATIENCE) for link in links))


def pings_and_never_reads(port: int, share: float) -> Outcome:
    """Who pings as often as is allowed, and reads no pong."""
    links = [Link(port, receive=_RECEIVE) for _ in range(int(20 * share))]
    for _ in range(100):
        for link in links:
            link.ignore(frame(PING, b"x" * 125) * 190, 0)
        if all(link.code is not None for link in links):
            break
        time.sleep(1.05)
    return Outcome.of(*links)


def never_pongs(port: int, share: float) -> Outcome:
    """Who reads, and shows no sign of life."""
    links = [Link(port, mute=True) for _ in range(int(100 * share))]
    return Outcome.of(*(link.flood(()) for link in links))


def ping_flood(port: int, share: float) -> Outcome:
    """Pings, as fast as they go."""
    return Outcome.of(Link(port).flood(repeat(frame(PING, b"x" * 125) * 500, 1000)))


def pong_flood(port: int, share: float) -> Outcome:
    """Pongs that nobody asked for."""
    return Outcome.of(Link(port).flood(repeat(frame(PONG, b"x" * 125) * 500, 1000)))


def half_handshakes(port: int, share: float) -> Outcome:
    """Handshakes of which half never comes."""
    sent = request_of(port, deflate=False)[:-40]
    clients, began = list[socket.socket](), time.monotonic()
    for _ in range(int(1000 * share)):
        client = socket.create_connection((HOST, port))
        client.sendall(sent)
        clients.append(client)
    outcome = Outcome()
    codes = Counter[str]()
    for client in clients:
        client.settimeout(PATIENCE)
        head = client.recv(1000)
        codes[head[9:12].decode() or "lost"] += 1
        client.close()
    outcome.codes, outcome.slowest = dict(codes), time.monotonic() - began
    return outcome


def garbage(port: int, share: float) -> Outcome:
    """Bytes that mean nothing, on many connections."""
    noise = random.Random(1)
    links = [Link(port, deflate=n % 2 == 0) for n in range(int(200 * share))]
    return Outcome.of(*(link.flood([noise.randbytes(5_000)]) for link in links))


def comings_and_goings(port: int, share: float) -> Outcome:
    """A thousand connections a second, reset as soon as they are agreed on."""
    sent, at_once = request_of(port, deflate=True), struct.pack("ii", 1, 0)
    outcome, end, count = Outcome(), time.monotonic() + 10 * share, 0
    began = time.monotonic()
    while (now := time.monotonic()) < end:
        if (ahead := count / 1000 - (now - began)) > 0:
            time.sleep(ahead)
        clients = [socket.create_connection((HOST, port)) for _ in range(20)]
        for client in clients:
            client.sendall(sent)
        for client in clients:
            client.recv(1000)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
            client.close()
        count += len(clients)
    outcome.codes = {f"{count / (time.monotonic() - began):.0f}/s": count}
    return outcome


def nonsense(port: int, share: float) -> Outcome:
    """Messages that are none of ours, no faster than is allowed."""
    pieces = repeat(frame(TEXT, b'{"action": "dance"}') * 101, 2)
    return Outcome.of(Link(port).flood(pieces))


def posts_at_once(port: int, share: float) -> Outcome:
    """200 messages in one piece; a hundred wait, and the others are refused."""
    link, outcome = Link(port), Outcome()
    sent = post(link.session(), "help 1 short") * 190
    link.send(sent)
    count = link.answers(100 * 3 + 90, 5.0)
    if link.code is not None:
        outcome.codes = {str(link.code): 1}
    if count < 100 * 3:
        outcome.wrong.append(f"only {count} messages came")
    return outcome


def sessions(port: int, share: float) -> Outcome:
    """A thousand sessions, started and ended."""
    outcome, links = Outcome(), [Link(port) for _ in range(10)]
    for _ in range(int(100 * share)):
        for link in links:
            end = {"action": "chatbot_session_end", "session_id": link.session()}
            link.send(message(end))
            if link.answers(1) != 1 or link.heard.pop()["type"] != "session_end":
                outcome.wrong.append("a session did not end")
        time.sleep(0.01)
    return outcome


class Attack(msgspec.Struct, frozen=True):
    """One way to be hostile.

    Attributes:
        do: gets the service's port, and how much of it shall be done, from 0 to 1.
        codes: with which it may be cut off; empty if it need not be.
        within: seconds, of a service that waits 2 s for slow clients.
    """

    do: Callable[[int, float], Outcome]
    codes: frozenset[int] = frozenset()
    within: float = 1.0


ATTACKS = {
    "endless frame": Attack(endless_frame, frozenset({1009})),
    "endless fragments": Attack(endless_fragments, frozenset({1009})),
    "endless nothing": Attack(endless_slowly, frozenset({1009})),
    "10,000 tiny fragments": Attack(tiny_fragments, frozenset({1008})),
    "empty fragments, pings": Attack(empty_fragments, frozenset({1008})),
    "one-byte messages": Attack(tiny_frames, frozenset({1008})),
    "byte by byte": Attack(byte_by_byte),
    "inflating bomb": Attack(bomb, frozenset({1009})),
    "many bombs": Attack(bombs, frozenset({1009}), 5.0),
    "squeezed nonsense": Attack(squeezed_nonsense, frozenset({1008}), 5.0),
    "never reads": Attack(never_reads, frozenset({LOST}), 8.0),
    "asks 100, never reads": Attack(posts_and_never_reads, frozenset({LOST}), 12.0),
    "pings, never reads": Attack(pings_and_never_reads, frozenset({LOST}), 60.0),
    "never pongs": Attack(never_pongs, frozenset({1008}), 8.0),
    "ping flood": Attack(ping_flood, frozenset({1008})),
    "pong flood": Attack(pong_flood, frozenset({1008})),
    "half handshakes": Attack(half_handshakes, frozenset({408}), 8.0),
    "garbage": Attack(garbage, frozenset({1002, 1003, 1007, 1008, 1009}), 5.0),
    "connects and resets": Attack(comings_and_goings),
    "nonsense": Attack(nonsense, frozenset({1008})),
    "200 posts at once": Attack(posts_at_once),
    "1000 sessions": Attack(sessions),
}


def main() -> int:
    """Be hostile as often as is asked for."""
    os.nice(10)
    for line in sys.stdin:
        name, share = line.rsplit(" ", 1)
        outcome = ATTACKS[name].do(int(sys.argv[1]), float(share))
        print(msgspec.json.encode(outcome).decode(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
