"""Put loads on servers, each in a process of its own, and see who else is busy."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from benchmarks.http.customers import Load
from benchmarks.http.generator import Result
from benchmarks.http.servers import TICK, Cores, Running

Outcome = TypeVar("Outcome")

_DISTURBED, _TRIES = 0.1, 3  # share of others from which on a load is run again


class WrongAnswers(Exception):
    """Answers were not what they had to be; how fast they came means nothing."""


class Others:
    """What the processors do besides this benchmark."""

    def __init__(self, cores: Cores, measured: Sequence[Running]) -> None:
        self._cores, self._measured = cores, measured
        self._busy, self._ours = self._now()
        self._start = time.monotonic()

    def share(self) -> float:
        """Of the processors since the beginning, 0 to 1, at least about."""
        busy, ours = self._now()
        took = busy - self._busy - (ours - self._ours)
        cores = len({self._cores.server, self._cores.rest})
        return max(0.0, took / (time.monotonic() - self._start) / cores)

    def _now(self) -> tuple[float, float]:
        names = {f"cpu{core}" for core in (self._cores.server, self._cores.rest)}
        lines = map(str.split, Path("/proc/stat").read_text().splitlines())
        busy = sum(sum(map(int, at[1:4])) for at in lines if at[0] in names) / TICK
        own = sum(os.times()[:4])  # with the generators that have ended
        return busy, own + sum(running.cpu() for running in self._measured)


def undisturbed(
    cores: Cores, measured: Sequence[Running], load: Callable[[], Outcome]
) -> tuple[Outcome, float]:
    """Run a load, again if other programs were in its way.

    Args:
        measured: servers that run before and after it.

    Returns:
        What it gave, and the share of the processors that others took.
    """
    tries: list[tuple[float, Outcome]] = []
    while len(tries) < _TRIES:
        others, outcome = Others(cores, measured), load()
        tries.append((others.share(), outcome))
        if tries[-1][0] <= _DISTURBED:
            break
    share, outcome = min(tries, key=lambda each: each[0])
    return outcome, share


class Generating:
    """A generator at work."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def hear(self) -> bytes:
        """The next line that it says."""
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def tell(self, line: bytes) -> None:
        """Give it a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + b"\n")
        self._process.stdin.flush()


@contextmanager
def generating(module: str, core: int, load: Load) -> Iterator[Generating]:
    """Run a generator in a process of its own; it has ended afterwards.

    Raises:
        RuntimeError: it did not end well.
    """
    with subprocess.Popen(
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        preexec_fn=partial(os.sched_setaffinity, 0, {core}),
    ) as process:
        generator = Generating(process)
        generator.tell(msgspec.json.encode(load))
        yield generator
    if process.returncode:
        raise RuntimeError(f"the generator ended with {process.returncode}")


def converse(
    module: str, core: int, load: Load, held: Running | None = None
) -> tuple[Result, int]:
    """Run a generator that holds conversations.

    Args:
        held: whose memory is taken while all answers are held back.

    Returns:
        How it went, and the memory in bytes.

    Raises:
        WrongAnswers: answers were not what they had to be.
        RuntimeError: the generator did not end well.
    """
    memory = 0
    with generating(module, core, load) as generator:
        line = generator.hear()
        if held is not None and line == b"held\n":
            time.sleep(1.0)  # what is freed late is not what a stream takes
            memory = held.resident()
            generator.tell(b"go on")
            line = generator.hear()
    result = msgspec.json.decode(line, type=Result)
    if result.failed:
        raise WrongAnswers(*result.wrong)
    return result, memory


class Generator:
    """Runs loads, each in a process of its own.

    Attributes:
        upstream: its port.
    """

    def __init__(self, core: int, upstream: int) -> None:
        self.upstream = upstream
        self._core = core
        self._first = 1

    def run(
        self,
        port: int,
        pace: str,
        at_once: int,
        total: int,
        seed: int = 0,
        held: Running | None = None,
    ) -> tuple[Result, int]:
        """Hold conversations with a server; see `converse`."""
        load = Load(port, self.upstream, pace, at_once, total, self._first, seed)
        self._first += total
        return converse("benchmarks.http.generator", self._core, load, held)
