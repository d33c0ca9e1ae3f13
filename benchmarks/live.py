"""The real service as a process that may be killed, and a client that may be lost.

The client is as plain as can be, so that what it saw is what came over the wire.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path
from random import SystemRandom
from typing import Any

import msgspec

HOST = "127.0.0.1"
PATIENCE = 60.0  # seconds until somebody who says nothing counts as stuck
TOKEN = "operator"
_PORTS = range(20_000, 30_000)
_ROOT = Path(__file__).parent.parent
_SETTINGS = """
drain = 5

[[services]]
name = "upstream"
intent = "help"
url = "http://{host}:{upstream}/"
at_once = 5000

[services.retry]
first = 0.02
most = 0.2

[services.breaker]
failures = 100000

[conversation]
followers = {followers}

[http]
admin_token = "{token}"
messages = 1000000
per_address = 10000
stall = {stall}
"""


class Lost(Exception):
    """The connection broke, or never stood."""


class Answer(msgspec.Struct, frozen=True):
    """A whole response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body's value."""
        return msgspec.json.decode(self.body)


class Told(msgspec.Struct, frozen=True):
    """A server-sent event.

    Attributes:
        id: empty if it has none.
        kind: its type.
        data: its JSON value; None for an event that is only an id.
    """

    id: str
    kind: str
    data: Any


class Stream:
    """A response that is read while it comes.

    Attributes:
        status: of the response.
        headers: by names in lower case.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._reader, self._writer = reader, writer
        self.status, self.headers = 0, dict[str, str]()

    async def begin(self) -> None:
        """Read the head."""
        head = await self._until(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split(" ")[1])
        fields = (line.partition(":") for line in lines if line)
        self.headers = {name.lower(): value.strip() for name, _, value in fields}

    async def whole(self) -> Answer:
        """All of it."""
        length = self.headers.get("content-length")
        if self.status == 204:
            body = b""
        elif length is not None:
            body = await self._wait(self._reader.readexactly(int(length)))
        else:
            body = b"".join([piece async for piece in self._pieces()])
        return Answer(self.status, self.headers, body)

    async def events(self) -> AsyncIterator[Told]:
        """Each event when it is there; ends where the response does."""
        held = b""
        async for piece in self._pieces():
            *blocks, held = (held + piece).split(b"\n\n")
            for block in blocks:
                fields = dict[bytes, bytes]()
                for line in block.split(b"\n"):
                    name, _, value = line.partition(b": ")
                    fields[name] = value
                if b"id" in fields or b"data" in fields:
                    data = fields.get(b"data")
                    yield Told(
                        fields.get(b"id", b"").decode(),
                        fields.get(b"event", b"message").decode(),
                        None if data is None else msgspec.json.decode(data),
                    )
        if held:
            raise Lost("the response ends within an event")

    def close(self) -> None:
        """Hang up."""
        self._writer.transport.abort()

    async def _pieces(self) -> AsyncIterator[bytes]:
        while size := int(await self._until(b"\r\n"), 16):
            piece: bytes = await self._wait(self._reader.readexactly(size + 2))
            yield piece[:-2]
        await self._until(b"\r\n")

    async def _until(self, end: bytes) -> bytes:
        line: bytes = await self._wait(self._reader.readuntil(end))
        return line[: -len(end)]

    async def _wait(self, reading: Any) -> Any:
        try:
            return await asyncio.wait_for(reading, PATIENCE)
        except (OSError, asyncio.IncompleteReadError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise Lost(str(error)) from error


async def stream(
    port: int,
    method: str,
    path: str,
    body: object = None,
    headers: Mapping[str, str] | None = None,
) -> Stream:
    """Ask, and return when the response has begun.

    Raises:
        Lost: it never did.
    """
    try:
        reader, writer = await asyncio.open_connection(HOST, port, limit=2**22)
    except OSError as error:
        raise Lost(str(error)) from error
    opened = Stream(reader, writer)
    head = f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n"
    for name, value in (headers or {}).items():
        head += f"{name}: {value}\r\n"
    sent = b""
    if body is not None:
        sent = msgspec.json.encode(body)
        head += f"Content-Type: application/json\r\nContent-Length: {len(sent)}\r\n"
    writer.write(head.encode() + b"\r\n" + sent)
    try:
        await opened.begin()
    except BaseException:
        opened.close()
        raise
    return opened


async def ask(
    port: int,
    method: str,
    path: str,
    body: object = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Ask, and return the whole response.

    Raises:
        Lost: it did not come to its end.
    """
    opened = await stream(port, method, path, body, headers)
    try:
        return await opened.whole()
    finally:
        opened.close()


class Service:
    """The real program.

    Args:
        folder: for its settings and its log.
        database: its URL.
        upstream: the port of the service that answers; messages say `help` to it.
        stall: seconds after which a client that does not read is dropped.
        followers: who may follow one session at a time.

    Attributes:
        port: where it listens, always the same.
        log: what it said, all starts together.
        process: the one that runs, or ran last.
        asked: those that were asked to end.
    """

    process: subprocess.Popen[bytes]

    def __init__(
        self,
        folder: Path,
        database: str,
        upstream: int,
        stall: float = 30.0,
        followers: int = 20,
    ) -> None:
        self.port, self.log = _free_port(), folder / "service.log"
        self.asked: set[subprocess.Popen[bytes]] = set()
        settings = folder / "settings.toml"
        settings.write_text(
            _SETTINGS.format(
                host=HOST,
                upstream=upstream,
                token=TOKEN,
                stall=stall,
                followers=followers,
            )
        )
        self._command = [
            *(sys.executable, "-m", "twisted", "supportbot"),
            *("--settings", str(settings), "--database", database),
            *("--http", f"tcp:{self.port}:interface={HOST}:backlog=2048"),
        ]

    def start(self) -> None:
        """Start it; returns at once."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("SUPPORTBOT_")}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command,
                cwd=_ROOT,
                env=clean,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def ready(self) -> float:
        """Wait until it answers; returns how many seconds that took.

        Raises:
            RuntimeError: it has ended instead.
        """
        began = time.monotonic()
        while time.monotonic() < began + PATIENCE:
            try:
                if (await ask(self.port, "GET", "/healthz")).status == 200:
                    return time.monotonic() - began
            except Lost:
                await asyncio.sleep(0.01)
            if (status := self.process.poll()) is not None:
                raise RuntimeError(f"it ended with {status}: {self.last_words()}")
        raise RuntimeError("it does not start")

    def kill(self) -> None:
        """End it where it stands."""
        self.process.kill()
        self.process.wait()

    def ask_to_end(self) -> None:
        """Returns at once; it finishes what it can."""
        self.asked.add(self.process)
        self.process.send_signal(signal.SIGTERM)

    async def stop(self) -> int:
        """Have it end; returns the exit status."""
        self.ask_to_end()
        return await asyncio.to_thread(self.process.wait, PATIENCE)

    def resident(self) -> int:
        """Bytes of memory."""
        status = Path(f"/proc/{self.process.pid}/statm").read_text()
        return int(status.split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def last_words(self) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-5:])


def _free_port() -> int:
    """A port that nobody listens on, and that no system gives to a client."""
    for port in SystemRandom().sample(_PORTS, len(_PORTS)):
        with suppress(OSError), socket.create_server((HOST, port)):
            return port
    raise RuntimeError("no port is free")
