"""What our way from a language model to the customer costs, beside what people write.

    python -m benchmarks.assistant
    python -m benchmarks.assistant --quick
    python -m benchmarks.assistant --only supportbot fastapi --rounds 5 --json FILE

A model writes answers of 120 words, each a token, some to 200 customers at a time. They
ask over HTTP and read server-sent events: `delta`s of a session's events from
supportbot, which keeps each paragraph as it goes; `chunk`s from FastAPI with the
`openai` library, which keeps an answer at its end.

Every word of every answer is checked. How servers are measured, `benchmarks.rounds`
tells.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

from benchmarks import rounds
from benchmarks.assistant import wording
from benchmarks.assistant.generator import Asking
from benchmarks.assistant.servers import Kind
from benchmarks.http.figures import OURS, Measures
from benchmarks.http.generator import Result
from benchmarks.http.loads import converse
from benchmarks.http.servers import MEMORY, SQLITE, Cores, Running, started
from benchmarks.rounds import Benchmark, named

_SPEEDS = {1: 60, 50: 300, 200: 400}  # answers, by how many at once
_SLOW, _SLOW_TOTAL, _PACE = 100, 200, "50 ms"
_HELD = 500
_QUICK = 60
_RAW = Kind("raw")
_KINDS = (Kind(OURS, MEMORY), Kind(OURS, SQLITE), Kind("fastapi", MEMORY))
_PACKAGES = (
    *("twisted", "msgspec", "openai", "httpx", "pydantic"),
    *("fastapi", "starlette", "uvicorn", "uvloop", "httptools"),
)
_MEASURES: Measures = {
    "speed 1": ("answers/s, 1", ",.1f"),
    "speed 50": ("50", ",.1f"),
    "speed 200": ("200", ",.1f"),
    "cpu 50": ("CPU s/1,000, 50", ".1f"),
    "cpu 200": ("200", ".1f"),
    "p50": ("delay ms, p50", ".2f"),
    "p99": ("p99", ".2f"),
    "cpu slow": ("core, slow", ".2f"),
    "memory": ("KiB/stream", ".1f"),
}
_REMARKS = f"""\
Delay: from the model's writing to the customer's reading of a word, {_SLOW} answers \
at once, a word each {_PACE}.
raw: the model itself in the server's place; what can be shown at the most.
The generator took at most {{generator:.0%}} of its processor, which it shares
with the model; other programs took at most {{others:.0%}} of the two."""


class Run(rounds.Run[Kind]):
    """Measures one server in one round."""

    def __init__(self, cores: Cores, model: Running, number: int, seed: int) -> None:
        super().__init__(cores, model, number, seed)
        self._first = 1

    def _measure(self, kind: Kind, *, quick: bool) -> None:
        core, model = self._cores.server, self._upstream
        with started(kind, core, model.port) as server:
            self._ask(kind, server, wording.NOW, 20, _QUICK)
            if quick:
                self._ask(kind, server, "5 ms", 20, 20)
            else:
                self._speeds(_SPEEDS, partial(self._speed, kind, server))
                self._delay(kind, model if kind == _RAW else server)
        if not quick and kind != _RAW:
            with started(kind, core, model.port) as server:
                # what is loaded late is not what a stream takes
                self._ask(kind, server, wording.NOW, 10, 50)
                hold = partial(self._ask, kind, server, wording.HOLD, _HELD, _HELD)
                self._memory(server, _HELD, hold)

    def _ask(
        self,
        kind: Kind,
        server: Running,
        pace: str,
        at_once: int,
        total: int,
    ) -> tuple[Result, int]:
        """Hold conversations; how it went, and the memory while they are held back."""
        load = Asking(
            server.port,
            self._upstream.port,
            pace,
            at_once,
            total,
            self._first,
            follow=kind.name == OURS,
        )
        self._first += total
        return converse(
            "benchmarks.assistant.generator", self._cores.rest, load, server
        )

    def _speed(
        self, kind: Kind, server: Running, at_once: int, total: int
    ) -> tuple[Result, float]:
        return self._timed(
            server, lambda: self._ask(kind, server, wording.NOW, at_once, total)[0]
        )

    def _delay(self, kind: Kind, server: Running) -> None:
        result, took = self._timed(
            server, lambda: self._ask(kind, server, _PACE, _SLOW, _SLOW_TOTAL)[0]
        )
        self._values |= {"p50": result.p50, "p99": result.p99}
        self._values["cpu slow"] = took / result.seconds


def _chosen(only: Sequence[str], _quick: bool) -> list[Kind]:
    kinds = [_RAW, *_KINDS]
    return named(kinds, only) if only else kinds


BENCHMARK = Benchmark(
    name="assistant",
    seeded="the order",
    packages=_PACKAGES,
    upstream=_RAW,
    run=Run,
    chosen=_chosen,
    descriptors=3 * _HELD + 200,
    crowd=f"{_HELD:,} streams",
    measures=_MEASURES,
    remarks=_REMARKS,
)


if __name__ == "__main__":
    sys.exit(rounds.main(BENCHMARK))
