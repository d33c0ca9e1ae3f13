"""Start the servers, each on the processor that is kept for it, and stop them."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import msgspec

from benchmarks.http.customers import HOST
from benchmarks.http.wording import WORD

MEMORY, SQLITE = "memory", "sqlite"
TICK = os.sysconf("SC_CLK_TCK")
"""Of processor time, a second."""
_PAGE = resource.getpagesize()
_PATIENCE = 30.0  # seconds until a server listens

_SETTINGS = """
[[services]]
name = "upstream"
intent = "{word}"
url = "http://127.0.0.1:{upstream}/"
kind = "http-stream"
at_once = 2000
"""
LIMITS = """
deadlines = { connect = 60, headers = 60, idle = 120, progress = 120, total = 120 }

[http]
connections = 10000
per_address = 10000
messages = 1000000
address_messages = 100000000
address_sessions = 100000000
"""
"""What is far off in each load; it goes on with the table of who is asked."""


class Cores(msgspec.Struct, frozen=True):
    """Where processes run.

    Attributes:
        server: the processor of the server that is measured.
        rest: that of the generator and the upstream.
    """

    server: int
    rest: int

    @classmethod
    def of_this_machine(cls) -> Cores:
        """The first two that are ours; the same one twice if there is only one."""
        cores = sorted(os.sched_getaffinity(0))
        return cls(cores[0], cores[-1] if len(cores) == 1 else cores[1])


class Kind(msgspec.Struct, frozen=True):
    """A server that can be measured.

    Attributes:
        name: `supportbot`, `fastapi`, `aiohttp` or `raw`: the upstream itself, which
            answers at once, and shows what generator and machine are able to.
        history: where it keeps messages, `memory` or `sqlite`.
    """

    name: str
    history: str = MEMORY

    def __str__(self) -> str:
        return f"{self.name}/{self.history}"

    def command(self, port: int, upstream: int, folder: Path) -> list[str]:
        """How it is started; what it needs is written to the folder."""
        if self.name == "raw":
            return ["-m", "benchmarks.http.upstream", str(port)]
        if self.name == "aiohttp":
            return ["-m", "benchmarks.http.peers.aiohttp_chat", str(port)]
        if self.name == "fastapi":
            return uvicorn("benchmarks.http.peers.fastapi_chat:create_app", port)
        settings = folder / "settings.toml"
        settings.write_text(self.settings(upstream))
        database = (
            f"sqlite:///{folder / 'chat.db'}" if self.history == SQLITE else "memory"
        )
        twist = ["-m", "twisted", "--log-level", "warn"]  # as the peers do
        plugin = [*twist, "supportbot", "--settings", str(settings)]
        listen = ["--http", f"tcp:{port}:interface={HOST}:backlog=2048"]
        return [*plugin, *listen, "--database", database]

    def settings(self, upstream: int) -> str:
        """The settings of supportbot."""
        return _SETTINGS.format(word=WORD, upstream=upstream) + LIMITS

    def environment(self, upstream: int, folder: Path) -> dict[str, str]:
        """What the peers read."""
        added = {"UPSTREAM": f"http://{HOST}:{upstream}/", "HISTORY": ""}
        if self.history == SQLITE:
            added["HISTORY"] = str(folder / "chat.db")
        return dict(os.environ) | added


class Running:
    """A server that runs.

    Attributes:
        port: where it listens.
    """

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.port = port
        self._process = process

    def cpu(self) -> float:
        """Seconds of processor time that it took until now, all threads."""
        stat = Path(f"/proc/{self._process.pid}/stat").read_text()
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def resident(self) -> int:
        """Bytes of memory that it holds."""
        return (
            int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]) * _PAGE
        )


def uvicorn(app: str, port: int) -> list[str]:
    """How uvicorn is started, as fast as it can be.

    Args:
        app: what makes the application, as `module:function`.
    """
    fast = ["--loop", "uvloop", "--http", "httptools", "--no-access-log"]
    listen = ["--host", HOST, "--port", str(port), "--log-level", "warning"]
    return ["-m", "uvicorn", "--factory", app, *fast, *listen]


def raise_descriptors() -> int:
    """Let this process and its children open as many files as they may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listening:
        listening.bind((HOST, 0))
        port: int = listening.getsockname()[1]
        return port


@contextmanager
def started(kind: Kind, core: int, upstream: int = 0) -> Iterator[Running]:
    """Run a server; it listens, and it is gone afterwards.

    Args:
        upstream: the port of the service that it asks.

    Raises:
        RuntimeError: it does not start; carries what it wrote.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder, port = Path(name), free_port()
        with (folder / "log").open("w+b") as log:
            process = subprocess.Popen(
                [sys.executable, *kind.command(port, upstream, folder)],
                env=kind.environment(upstream, folder),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=partial(os.sched_setaffinity, 0, {core}),
            )
            try:
                if not _listens(process, port):
                    log.seek(0)
                    end = log.read()[-2_000:].decode(errors="replace")
                    raise RuntimeError(f"{kind} does not start:\n{end}")
                yield Running(process, port)
            finally:
                _stop(process)


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    end = time.monotonic() + _PATIENCE
    while process.poll() is None and time.monotonic() < end:
        try:
            socket.create_connection((HOST, port), 1.0).close()
        except OSError:
            time.sleep(0.05)
        else:
            return True
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def kinds_of(names: Sequence[str], histories: Sequence[str]) -> list[Kind]:
    """All servers with these names, with each of the histories."""
    return [Kind(name, history) for name in names for history in histories]
