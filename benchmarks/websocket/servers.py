"""The servers that are measured, and the loads that are put on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from benchmarks.http import servers
from benchmarks.http.loads import Generating, WrongAnswers, generating
from benchmarks.http.servers import Running, uvicorn
from benchmarks.websocket.customers import Load
from benchmarks.websocket.generator import Failures, Opened, Talked

PING = 10
"""Seconds from one ping to the next, of all servers."""

_PLAIN = "-plain"
_LEGACY = "uvicorn-legacy"
_SETTINGS = f"""
[websocket]
frames = 1000000
ping = {PING}
"""


class Kind(servers.Kind, frozen=True):
    """A server that can be measured.

    Attributes:
        name: `supportbot`, `uvicorn` or `uvicorn-legacy`, with the older one of its two
            implementations that stand on websockets.
        history: where it keeps messages, `memory` or `sqlite`; with `-plain` behind
            it, clients do not offer to compress messages.
    """

    @property
    def deflate(self) -> bool:
        """Whether messages are compressed."""
        return not self.history.endswith(_PLAIN)

    def command(self, port: int, upstream: int, folder: Path) -> list[str]:
        """How it is started; what it needs is written to the folder."""
        if self.name.startswith("uvicorn"):
            implementation = "websockets" if self.name == _LEGACY else "auto"
            command = uvicorn("benchmarks.websocket.peer:create_app", port)
            own = ["--ws", implementation, "--ws-ping-interval", str(PING)]
            return [*command, *own]
        plain = msgspec.structs.replace(self, history=self.history.removesuffix(_PLAIN))
        return super(Kind, plain).command(port, upstream, folder)

    def settings(self, upstream: int) -> str:
        """The settings of supportbot."""
        return super().settings(upstream) + _SETTINGS


class Talk:
    """Customers at a server, step by step."""

    def __init__(self, generator: Generating) -> None:
        self._generator = generator

    def open(self) -> Opened:
        """Wait until all are connected."""
        return msgspec.json.decode(self._generator.hear(), type=Opened)

    def begin(self) -> Talked:
        """Let some talk; how it went."""
        return self._next(b"go on")

    def all(self) -> Talked:
        """Let each talk once; how it went."""
        return self._next(b"all")

    def leave(self) -> None:
        """Let them leave.

        Raises:
            WrongAnswers: something was not what it had to be.
        """
        self._generator.tell(b"leave")
        failures = msgspec.json.decode(self._generator.hear(), type=Failures)
        if failures.wrong:
            raise WrongAnswers(*failures.wrong)

    def _next(self, step: bytes) -> Talked:
        self._generator.tell(step)
        return msgspec.json.decode(self._generator.hear(), type=Talked)


class Generator:
    """Runs loads, each in a process of its own."""

    def __init__(self, core: int, upstream: int, seed: int) -> None:
        self._core, self._upstream, self._seed = core, upstream, seed

    @contextmanager
    def talk(
        self,
        server: Running,
        pace: str,
        at_once: int,
        total: int,
        *,
        connections: int,
        deflate: bool,
    ) -> Iterator[Talk]:
        """Open connections, to hold conversations on some of them."""
        load = Load(
            port=server.port,
            upstream=self._upstream,
            pace=pace,
            at_once=at_once,
            total=total,
            seed=self._seed,
            connections=connections,
            deflate=deflate,
        )
        with generating("benchmarks.websocket.generator", self._core, load) as running:
            yield Talk(running)
