"""Customers who talk to a chat server, and check every word of the answers."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from typing import Protocol, cast

import msgspec

from benchmarks.http import wording
from benchmarks.http.sse import Response

HOST = "127.0.0.1"
SLOWEST, FASTEST = 1_000, 200  # milliseconds between two paragraphs
AVERAGE = wording.COUNT * (SLOWEST + FASTEST) / 2_000  # seconds of a slow answer


class Load(msgspec.Struct, frozen=True):
    """What to do.

    Attributes:
        port: of the server.
        upstream: the port that lets answers go that are held back.
        pace: `at once`, `slow`: one paragraph each 0.2 s to 1 s, or `held back`.
        at_once: conversations at a time.
        total: conversations in all.
        first: number of the first message.
        seed: of the paces.
    """

    port: int
    upstream: int
    pace: str
    at_once: int
    total: int
    first: int = 1
    seed: int = 0


class Frame(msgspec.Struct):
    """The data of one event."""

    chunk: str | None = None
    done: bool = False
    session_id: str | None = None
    outcome: str | None = None
    error: str | None = None


class Asking(Protocol):
    """A customer, of whatever kind."""

    def ask(self) -> None:
        """Ask the next question, if there is one."""


class Crowd:
    """All customers of one load.

    Attributes:
        line: those who ask when an answer to another one has begun.
        begun: fires when as many answers have begun as there may be at once.
        ended: fires when the last answer is there, or when too much is wrong.
    """

    def __init__(self, load: Load, loop: asyncio.AbstractEventLoop) -> None:
        self.load, self.loop = load, loop
        self.line: Iterator[Asking] = iter(())
        self.delays: list[float] = []
        self.wrong: list[str] = []
        self.failed = 0
        self.ended: asyncio.Future[None] = loop.create_future()
        self.begun: asyncio.Future[None] = loop.create_future()
        self._random = random.Random(load.seed)
        self._next, self._left = load.first, load.total
        self._full = 0.0
        self._under_way = 0
        self._sessions: set[str] = set()

    def begin(self) -> None:
        """The first message comes now."""
        if self.load.pace == "slow":
            self._full = self.loop.time() + AVERAGE

    def message(self) -> str | None:
        """The next message, or None if there is none."""
        if self._next == self.load.first + self.load.total or self.ended.done():
            return None
        number, self._next = self._next, self._next + 1
        pace = self.load.pace
        if pace == "slow":
            pace = f"{self._random.randint(FASTEST, SLOWEST)} ms"
        return wording.message_of(number, pace)

    def started(self) -> None:
        """The paragraphs of an answer that come before it is held back are there."""
        self._under_way += 1
        self.next_asks()
        if self._under_way == self.load.at_once and not self.begun.done():
            self.begun.set_result(None)

    def next_asks(self) -> None:
        """The first of those in line asks."""
        for customer in self.line:
            customer.ask()
            break

    def arrived(self, now: float, written: float) -> None:
        """A paragraph is there; it counts while all customers are served."""
        if now >= self._full and self._next < self.load.first + self.load.total:
            self.delays.append(now - written)

    def session(self, session_id: str | None) -> bool:
        """Whether a session is a new one."""
        if session_id is None or session_id in self._sessions:
            return False
        self._sessions.add(session_id)
        return True

    def answered(self) -> None:
        """An answer is there."""
        self._left -= 1
        if self._left == 0 and not self.ended.done():
            self.ended.set_result(None)

    def complain(self, what: str) -> None:
        """An answer is wrong."""
        self.failed += 1
        self.wrong.append(what.partition("\r\n")[0][:500])
        if self.failed >= 10 and not self.ended.done():
            self.ended.set_result(None)
        self.answered()

    async def connect(self, customer: asyncio.Protocol) -> None:
        """Connect a customer."""
        try:
            await self.loop.create_connection(lambda: customer, HOST, self.load.port)
        except OSError as error:
            self.complain(f"no connection: {error}")


class Customer(asyncio.Protocol):
    """One who holds one conversation after the other, on one connection if it lasts."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._transport: asyncio.Transport | None = None
        self._message: str | None = None
        self._connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self._message is not None:
            self._write()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._message is None:
            self.ask()
        elif self._done and self._response.close():
            self._finish()
        else:
            self._fail(f"the connection ended after {self._place} paragraphs")

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        if self._message is None:
            return
        try:
            for frame in self._response.feed(data):
                if why := self._wrong(msgspec.json.decode(frame, type=Frame), now):
                    self._fail(why)
                    return
        except (ValueError, msgspec.MsgspecError) as error:
            self._fail(str(error))
            return
        if self._response.ended:
            if self._done:
                self._finish()
            else:
                self._fail("the answer ended without saying so")

    def ask(self) -> None:
        """Ask the next question, if there is one."""
        self._message = self._crowd.message()
        self._response, self._place, self._done = Response(), 0, False
        if self._message is None:
            if self._transport is not None:
                self._transport.close()
        elif self._transport is None:
            self._connecting = self._crowd.loop.create_task(self._crowd.connect(self))
        else:
            self._write()

    def _write(self) -> None:
        assert self._transport is not None
        body = b'{"message": "%b", "stream": true}' % cast(str, self._message).encode()
        self._transport.write(
            b"POST /api/chat HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
            b"Content-Type: application/json\r\nAccept: text/event-stream\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (self._crowd.load.port, len(body), body)
        )

    def _wrong(self, frame: Frame, now: float) -> str | None:
        """Check an event; returns what is wrong."""
        if self._done:
            return f"more after the end: {frame}"
        if frame.done:
            self._done = True
            if self._place < wording.COUNT or frame.outcome != "complete":
                return f"{frame} after {self._place} paragraphs"
            return (
                None if self._crowd.session(frame.session_id) else f"not new: {frame}"
            )
        if frame.chunk is None or self._place == wording.COUNT:
            return f"unexpected: {frame}"
        written = wording.stamp_of(frame.chunk, cast(str, self._message), self._place)
        if written is None:
            return f"not paragraph {self._place + 1} of {self._message}: {frame.chunk}"
        self._place += 1
        self._crowd.arrived(now, written)
        if self._place == wording.HELD_AFTER:
            self._crowd.started()
        return None

    def _finish(self) -> None:
        self._message = None
        self._crowd.answered()
        if self._transport is None or self._response.lasting:
            self.ask()
        else:
            self._transport.close()  # and ask when it is closed

    def _fail(self, why: str) -> None:
        self._crowd.complain(f"{self._message}: {why}")
        self._message = None
        if self._transport is None:
            self.ask()
        else:
            self._transport.abort()
