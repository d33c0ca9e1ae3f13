"""Put loads on servers, each in a process of its own, and see who else is busy."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec

from benchmarks.http.customers import Load
from benchmarks.http.generator import Result
from benchmarks.http.servers import TICK, Cores, Running


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
        """Hold conversations with a server.

        Args:
            held: whose memory is taken while all answers are held back.

        Returns:
            How it went, and the memory in bytes.
        """
        load = Load(port, self.upstream, pace, at_once, total, self._first, seed)
        self._first += total
        with subprocess.Popen(
            [sys.executable, "-m", "benchmarks.http.generator"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=partial(os.sched_setaffinity, 0, {self._core}),
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(msgspec.json.encode(load) + b"\n")
            process.stdin.flush()
            memory = 0
            line = process.stdout.readline()
            if held is not None and line == b"held\n":
                time.sleep(1.0)  # what is freed late is not what a stream takes
                memory = held.resident()
                process.stdin.write(b"go on\n")
                process.stdin.flush()
                line = process.stdout.readline()
            process.stdin.close()
        if process.returncode:
            raise RuntimeError(f"the generator ended with {process.returncode}")
        return msgspec.json.decode(line, type=Result), memory
