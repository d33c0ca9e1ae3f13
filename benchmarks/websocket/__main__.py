"""The same chat over WebSockets by supportbot and by FastAPI on uvicorn.

    python -m benchmarks.websocket
    python -m benchmarks.websocket --quick
    python -m benchmarks.websocket --only supportbot uvicorn/sqlite --json FILE

5,000 customers are connected to one process, each with a session: how large is an idle
connection? 500 of them are told slow answers while the others only answer pings: how
late is a paragraph? And how many conversations go through a second?

Answers are checked word by word. How servers are measured, `benchmarks.rounds` tells.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from functools import partial

from benchmarks import rounds
from benchmarks.http import loads, wording
from benchmarks.http.figures import OURS, Measures
from benchmarks.http.generator import Result
from benchmarks.http.loads import WrongAnswers
from benchmarks.http.servers import MEMORY, SQLITE, Cores, Running, started
from benchmarks.rounds import Benchmark, named
from benchmarks.websocket.generator import Talked
from benchmarks.websocket.servers import PING, Generator, Kind, Talk

_SPEEDS = {1: 300, 50: 2_000, 500: 2_000}  # conversations, by how many at once
_CONNECTIONS, _SLOW, _SLOW_TOTAL = 5_000, 500, 2_500
_SETTLING = 3.0  # seconds; what is freed late is not what a connection takes
_QUICK = 200
_RAW = Kind("raw")
_KINDS = (
    Kind(OURS, MEMORY),
    Kind(OURS, f"{MEMORY}-plain"),
    Kind(OURS, SQLITE),
    Kind("uvicorn", MEMORY),
    Kind("uvicorn", f"{MEMORY}-plain"),
    Kind("uvicorn", SQLITE),
)
_MORE = (Kind("uvicorn-legacy", MEMORY), Kind("uvicorn-legacy", f"{MEMORY}-plain"))
_PACKAGES = (
    *("twisted", "msgspec", "wsproto", "fastapi", "starlette", "uvicorn"),
    *("websockets", "aiohttp", "aiosqlite", "uvloop", "httptools"),
)
_MEASURES: Measures = {
    "idle": ("KiB, new", ".1f"),
    "talked": ("KiB, has talked", ".1f"),
    "opened": ("opened/s", ",.0f"),
    "cpu opened": ("CPU s/1,000", ".2f"),
    "p50": ("delay ms, p50", ".2f"),
    "p99": ("p99", ".2f"),
    "cpu slow": ("core, slow", ".2f"),
    "speed 1": ("conv/s, 1", ",.0f"),
    "speed 50": ("50", ",.0f"),
    "speed 500": ("500", ",.0f"),
    "cpu 50": ("CPU s/1,000, 50", ".2f"),
    "cpu 500": ("500", ".2f"),
}
_REMARKS = f"""\
{_CONNECTIONS:,} connections, each with a session; each is pinged every {PING} s.
KiB of an idle connection: when it is new, and after one conversation.
Delay: from the upstream's writing to the customer's reading, of {_SLOW} slow answers \
beside them.
raw: the delay of a generator that asks the upstream over HTTP.
-plain: the clients do not offer to compress messages, as browsers do.
Generator and upstream took at most {{generator:.0%}} of their processor,
and other programs at most {{others:.0%}} of the two in a run."""


class Run(rounds.Run[Kind]):
    """Measures one server in one round."""

    def __init__(self, cores: Cores, upstream: Running, number: int, seed: int) -> None:
        super().__init__(cores, upstream, number, seed)
        self._generator = Generator(cores.rest, upstream.port, seed)

    def _measure(self, kind: Kind, *, quick: bool) -> None:
        if kind == _RAW:
            self._floor()
            return
        with started(kind, self._cores.server, self._upstream.port) as server:
            self._talk(kind, server, 20, _QUICK, 48)
            if not quick:
                self._speeds(_SPEEDS, partial(self._speed, kind, server))
        if not quick:
            self._values |= self._undisturbed([], lambda: self._crowd(kind))

    def _floor(self) -> None:
        """The delay when the generator of the HTTP benchmark asks the upstream."""
        port, seed = self._upstream.port, self._seed
        generator = loads.Generator(self._cores.rest, port)
        result, _ = self._undisturbed(
            [], lambda: generator.run(port, "slow", _SLOW, _SLOW_TOTAL, seed)
        )
        self._values |= {"p50": result.p50, "p99": result.p99}

    def _talk(
        self,
        kind: Kind,
        server: Running,
        at_once: int,
        total: int,
        connections: int | None = None,
    ) -> tuple[Result, float]:
        """Hold conversations; how it went, and the server's processor time."""
        with self._generator.talk(
            server,
            wording.NOW,
            at_once,
            total,
            connections=connections or at_once,
            deflate=kind.deflate,
        ) as talk:
            talk.open()
            talked, took = self._begun(server, talk)
            talk.leave()
        return talked.result, took

    def _begun(self, server: Running, talk: Talk) -> tuple[Talked, float]:
        """Let some talk; how it went, and the server's processor time."""
        used, asked = server.cpu(), self._upstream.cpu()
        talked = talk.begin()
        asked = (self._upstream.cpu() - asked) / talked.result.seconds
        self._busy = max(self._busy, talked.result.busy + asked)
        return talked, server.cpu() - used

    def _speed(
        self, kind: Kind, server: Running, at_once: int, total: int
    ) -> tuple[Result, float]:
        return self._undisturbed(
            [server], lambda: self._talk(kind, server, at_once, total)
        )

    def _crowd(self, kind: Kind) -> dict[str, float]:
        """Connect very many, and let some of them be told slow answers."""
        with started(kind, self._cores.server, self._upstream.port) as server:
            self._talk(kind, server, 10, 100)  # what is loaded late is no connection's
            time.sleep(_SETTLING)
            held, used = server.resident(), server.cpu()

            def grown() -> float:
                time.sleep(_SETTLING)
                return (server.resident() - held) / 1024 / _CONNECTIONS

            with self._generator.talk(
                server,
                "slow",
                _SLOW,
                _SLOW_TOTAL,
                connections=_CONNECTIONS,
                deflate=kind.deflate,
            ) as talk:
                opened = talk.open()
                self._busy = max(self._busy, opened.busy)
                took = server.cpu() - used
                values = {
                    "opened": _CONNECTIONS / opened.seconds,
                    "cpu opened": took / _CONNECTIONS * 1_000,
                    "idle": grown(),
                }
                talked, took = self._begun(server, talk)
                talk.all()
                values["talked"] = grown()
                talk.leave()
        result = talked.result
        if talked.pings < _CONNECTIONS - _SLOW:
            raise WrongAnswers(f"only {talked.pings} pings in {result.seconds:.0f} s")
        share = took / result.seconds
        return values | {"p50": result.p50, "p99": result.p99, "cpu slow": share}


def _chosen(only: Sequence[str], quick: bool) -> list[Kind]:
    if only:
        return named([_RAW, *_KINDS, *_MORE], only)
    if quick:
        return [kind for kind in _KINDS if kind.history != SQLITE]
    return [_RAW, *_KINDS]


BENCHMARK = Benchmark(
    name="websocket",
    seeded="order and paces",
    packages=_PACKAGES,
    upstream=_RAW,
    run=Run,
    chosen=_chosen,
    descriptors=_CONNECTIONS + _SLOW + 200,
    crowd=f"{_CONNECTIONS:,} connections",
    measures=_MEASURES,
    shares="rest {generator:.0%}, others {others:.0%}",
    remarks=_REMARKS,
)


if __name__ == "__main__":
    sys.exit(rounds.main(BENCHMARK))
