"""Connections of services that are asked, as lean as can be.

They must not be what is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import cast

import uvloop

STREAM = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
    b"Content-Type: text/event-stream; charset=utf-8\r\n\r\n"
)
"""The head of an answer of server-sent events."""


def chunk_of(line: bytes) -> bytes:
    """An event as one chunk of a chunked body."""
    event = b"data: " + line + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(event), event)


class Held:
    """The answers that are held back."""

    def __init__(self) -> None:
        self._waiting: list[Exchange] = []

    def add(self, exchange: Exchange) -> None:
        """Hold one more."""
        self._waiting.append(exchange)

    def release(self) -> None:
        """Let all go on."""
        waiting, self._waiting = self._waiting, []
        for exchange in waiting:
            exchange.go_on()


class Exchange(asyncio.Protocol, ABC):
    """One connection; one question after the other.

    Args:
        held: the answers of all connections that are held back.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, held: Held) -> None:
        self._loop, self._held = loop, held
        self._transport: asyncio.Transport | None = None
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, blank, body = self._read.partition(b"\r\n\r\n")
        if not blank:
            return
        _, found, rest = head.lower().partition(b"content-length:")
        if len(body) >= (int(rest.partition(b"\r\n")[0]) if found else 0):
            self._read = b""
            self._answer(head.split(b" ", 2)[1], body)

    @abstractmethod
    def go_on(self) -> None:
        """Write what is left of the answer."""

    @abstractmethod
    def _answer(self, path: bytes, body: bytes) -> None:
        """Begin to answer a request."""

    def _write(self, piece: bytes) -> None:
        if self._transport is not None:
            self._transport.write(piece)


Connected = Callable[[asyncio.AbstractEventLoop, Held], Exchange]


async def _serve(connected: Connected, port: int) -> None:
    loop, held = asyncio.get_running_loop(), Held()
    server = await loop.create_server(
        partial(connected, loop, held), "127.0.0.1", port, backlog=4096
    )
    await server.serve_forever()


def main(module: str, connected: Connected) -> None:
    """Serve on a port of this machine until the process is ended.

    Args:
        module: what was started.
        connected: makes the exchange of a new connection.
    """
    parser = argparse.ArgumentParser(f"python -m {module}")
    parser.add_argument("port", type=int)
    port = parser.parse_args().port
    gc.freeze()
    gc.disable()  # no pauses; what it makes has no cycles, and it lives for minutes
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(connected, port))
