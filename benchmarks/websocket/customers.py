"""Customers who are connected to a chat server; some of them talk."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Sequence
from typing import cast

import msgspec

from benchmarks.http import customers, wording
from benchmarks.websocket.frames import (
    CLOSE,
    PING,
    PONG,
    TEXT,
    Frames,
    frame_of,
    request_of,
)

_GOODBYE = (1_000).to_bytes(2, "big")


class Load(customers.Load, frozen=True):
    """What to do.

    Attributes:
        at_once: customers who talk.
        connections: customers in all.
        deflate: whether they offer to compress messages.
    """

    connections: int = 0
    deflate: bool = False


class Piece(msgspec.Struct):
    """What a message of the server is about, if it is an object."""

    session_id: str | None = None
    seq: int = 0
    text: str = ""


class Said(msgspec.Struct):
    """One message of the server."""

    type: str
    data: Piece | str | None = None


class Crowd(customers.Crowd):
    """All customers of one load.

    Attributes:
        pings: that were answered.
        gone: fires when the last connection has ended.
    """

    load: Load

    def __init__(self, load: Load, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(load, loop)
        self.pings = 0
        self.gone: asyncio.Future[None] = loop.create_future()
        self._connected = 0
        self._once = False

    def begin_again(self, customers: Sequence[Customer], at_once: int) -> None:
        """Have each of these talk once; `ended` fires when all have."""
        self.load = msgspec.structs.replace(
            self.load, pace=wording.NOW, first=self._next, total=len(customers)
        )
        self._left, self._once = len(customers), True
        self.ended, self.line = self.loop.create_future(), iter(customers)
        for _ in range(at_once):
            self.next_asks()

    def go_on(self, customer: Customer) -> None:
        """Somebody asks when an answer is there: the same customer, or the next."""
        if self._once:
            self.next_asks()
        else:
            customer.ask()

    def connected(self) -> None:
        """One more is connected."""
        self._connected += 1

    def left(self) -> None:
        """And one less."""
        self._connected -= 1
        if self._connected == 0 and not self.gone.done():
            self.gone.set_result(None)


class Customer(asyncio.Protocol):
    """One who opens a session and may hold one conversation in it after the other.

    Attributes:
        ready: fires when the session is open, or when that has failed.
    """

    def __init__(self, crowd: Crowd) -> None:
        self.ready: asyncio.Future[None] = crowd.loop.create_future()
        self._crowd = crowd
        self._transport: asyncio.Transport | None = None
        self._frames = Frames()
        self._session: str | None = None
        self._message: str | None = None
        self._leaving = self._failed = self._echoed = False

    async def open(self) -> None:
        """Connect, and start a session."""
        await self._crowd.connect(self)
        if self._transport is None:
            self._failed = True  # it is told already
        else:
            await self.ready

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._crowd.connected()
        load = self._crowd.load
        self._transport.write(request_of(load.port, deflate=load.deflate))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not (self._echoed or self._failed):
            self._fail("the connection ended without a goodbye")
        self._crowd.left()

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        try:
            begun = self._frames.begun
            for opcode, payload in self._frames.feed(data):
                self._take(opcode, payload, now)
            if self._frames.begun and not begun:
                if self._frames.deflate is not self._crowd.load.deflate:
                    raise ValueError("what was offered was not agreed on")
                self._say({"action": "chatbot_session_start"})
        except (ValueError, msgspec.MsgspecError, zlib.error) as error:
            self._fail(str(error))

    def ask(self) -> None:
        """Ask the next question, if there is one."""
        self._message = None if self._failed else self._crowd.message()
        if self._message is None:
            return
        self._begun, self._whole = False, False
        self._shown: list[str] = []
        self._last = -1
        self._say(
            {
                "action": "chatbot_post_message",
                "session_id": self._session,
                "user_message": self._message,
                "stream": True,
            }
        )

    def leave(self) -> None:
        """Say goodbye; the connection ends when the server has said it too."""
        self._leaving = True
        self._write(frame_of(CLOSE, _GOODBYE))

    def _say(self, action: dict[str, object]) -> None:
        text = msgspec.json.encode(action)
        self._write(frame_of(TEXT, text, deflate=self._frames.deflate))

    def _write(self, frame: bytes) -> None:
        if self._transport is not None:
            self._transport.write(frame)

    def _take(self, opcode: int, payload: bytes, now: float) -> None:
        if opcode == TEXT:
            if why := self._wrong(msgspec.json.decode(payload, type=Said), now):
                raise ValueError(why)
        elif opcode == PING:
            self._crowd.pings += 1
            self._write(frame_of(PONG, payload))
        elif opcode == CLOSE:
            if not self._leaving or payload[:2] != _GOODBYE:
                raise ValueError(f"it was closed: {payload!r}")
            self._echoed = True

    def _wrong(self, said: Said, now: float) -> str | None:
        """Check a message of the server; returns what is wrong."""
        piece = said.data if isinstance(said.data, Piece) else Piece()
        if self._session is None:
            new = said.type == "session_start" and self._crowd.session(piece.session_id)
            if not new:
                return f"no new session: {said}"
            self._session = piece.session_id
            self.ready.set_result(None)
            return None
        if self._message is None:
            return f"nothing was asked: {said}"
        place, complete = len(self._shown), len(self._shown) == wording.COUNT
        if said.type == "message_chunk" and self._begun and not complete:
            written = wording.stamp_of(piece.text, self._message, place)
            if written is None or piece.seq <= self._last:
                return f"not paragraph {place + 1}: {said}"
            self._shown.append(piece.text)
            self._last = piece.seq
            self._crowd.arrived(now, written)
        elif said.type == "processing_start" and not self._begun:
            self._begun = True
        elif said.type == "message" and complete and not self._whole:
            if said.data != "".join(self._shown):
                return f"not what was streamed: {said}"
            self._whole = True
        elif said.type == "processing_end" and self._whole:
            self._message = None
            self._crowd.answered()
            self._crowd.go_on(self)
        else:
            return f"unexpected after {place} paragraphs: {said}"
        return None

    def _fail(self, why: str) -> None:
        if not self._failed:
            self._failed = True
            self._crowd.complain(f"{self._message}: {why}" if self._message else why)
        if not self.ready.done():
            self.ready.set_result(None)
        if self._transport is not None:
            self._transport.abort()
