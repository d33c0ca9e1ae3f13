"""The same chat by supportbot, FastAPI and aiohttp: how fast, how late, how large?

    python -m benchmarks.http
    python -m benchmarks.http --quick
    python -m benchmarks.http --only supportbot aiohttp/memory --rounds 5 --json FILE

Answers are checked word by word. How servers are measured, `benchmarks.rounds` tells.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

from benchmarks import rounds
from benchmarks.http import wording
from benchmarks.http.figures import OURS, Measures, targets_of
from benchmarks.http.generator import Result
from benchmarks.http.loads import Generator
from benchmarks.http.servers import (
    MEMORY,
    SQLITE,
    Cores,
    Kind,
    Running,
    kinds_of,
    started,
)
from benchmarks.rounds import Benchmark, named

_SPEEDS = {1: 300, 50: 2_000, 500: 2_000}  # conversations, by how many at once
_SLOW, _SLOW_TOTAL, _HELD = 500, 1_500, 2_000
_QUICK = 200
_RAW = Kind("raw")
_PACKAGES = (
    *("twisted", "msgspec", "fastapi", "starlette", "uvicorn", "httpx"),
    *("sse-starlette", "aiohttp", "aiosqlite", "uvloop", "httptools"),
)
_MEASURES: Measures = {
    "speed 1": ("conv/s, 1", ",.0f"),
    "speed 50": ("50", ",.0f"),
    "speed 500": ("500", ",.0f"),
    "cpu 50": ("CPU s/1,000, 50", ".2f"),
    "cpu 500": ("500", ".2f"),
    "p50": ("delay ms, p50", ".2f"),
    "p99": ("p99", ".2f"),
    "memory": ("KiB/stream", ".1f"),
}
_REMARKS = """\
raw: the upstream itself in the server's place; the most that this machine and the \
generator can show.
Its delay is that of the generator asking the upstream directly.
Other programs took at most {others:.0%} of the two processors in a run."""


class Run(rounds.Run[Kind]):
    """Measures one server in one round."""

    def __init__(self, cores: Cores, upstream: Running, number: int, seed: int) -> None:
        super().__init__(cores, upstream, number, seed)
        self._generator = Generator(cores.rest, upstream.port)

    def _measure(self, kind: Kind, *, quick: bool) -> None:
        upstream, core = self._upstream, self._cores.server
        with started(kind, core, upstream.port) as server:
            self._talk(server, 50, _QUICK)
            if not quick:
                self._speeds(_SPEEDS, partial(self._speed, server))
                self._delay(upstream if kind == _RAW else server)
        if not quick and kind != _RAW:
            with started(kind, core, upstream.port) as server:
                self._talk(server, 10, 100)  # what is loaded late is no stream's
                self._memory(server, _HELD, partial(self._hold, server))

    def _talk(self, server: Running, at_once: int, total: int) -> Result:
        return self._run(server, wording.NOW, at_once, total)[0]

    def _run(
        self,
        server: Running,
        pace: str,
        at_once: int,
        total: int,
        held: Running | None = None,
    ) -> tuple[Result, int]:
        return self._generator.run(server.port, pace, at_once, total, self._seed, held)

    def _speed(self, server: Running, at_once: int, total: int) -> tuple[Result, float]:
        return self._timed(server, lambda: self._talk(server, at_once, total))

    def _delay(self, server: Running) -> None:
        result, _ = self._timed(
            server, lambda: self._run(server, "slow", _SLOW, _SLOW_TOTAL)[0]
        )
        self._values |= {"p50": result.p50, "p99": result.p99}

    def _hold(self, server: Running) -> tuple[Result, int]:
        return self._run(server, wording.HOLD, _HELD, _HELD, server)


def _chosen(only: Sequence[str], quick: bool) -> list[Kind]:
    histories = (MEMORY,) if quick else (MEMORY, SQLITE)
    kinds = [_RAW, *kinds_of((OURS, "fastapi", "aiohttp"), histories)]
    return named(kinds, only) if only else kinds


BENCHMARK = Benchmark(
    name="http",
    seeded="order and paces",
    packages=_PACKAGES,
    upstream=_RAW,
    run=Run,
    chosen=_chosen,
    descriptors=2 * _HELD + 200,
    crowd=f"{_HELD:,} streams",
    measures=_MEASURES,
    targets=targets_of,
    remarks=_REMARKS,
)


if __name__ == "__main__":
    sys.exit(rounds.main(BENCHMARK))
