"""The same chat over WebSockets by supportbot and by FastAPI on uvicorn.

    python -m benchmarks.websocket
    python -m benchmarks.websocket --quick
    python -m benchmarks.websocket --only supportbot uvicorn/sqlite --json FILE

5,000 customers are connected to one process, each with a session: how large is an idle
connection? 500 of them are told slow answers while the others only answer pings: how
late is a paragraph? And how many conversations go through a second?

Each server runs in a process on a processor of its own; generator and upstream share
another one. A round measures every server once, in random order, each freshly started.
Ratios are those of one round, and the medians over all rounds are reported. Answers
are checked word by word; the exit status is 0 unless one was wrong. It needs Linux,
and a machine that does nothing else: a load in whose way other programs were is run
again, and the share that they took in the end is told.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from benchmarks.http import loads, wording
from benchmarks.http.figures import (
    OURS,
    Measures,
    Ratio,
    Sample,
    medians_of,
    ratios_of,
    tables_of,
)
from benchmarks.http.loads import Outcome, WrongAnswers, undisturbed
from benchmarks.http.servers import (
    MEMORY,
    SQLITE,
    Cores,
    Running,
    raise_descriptors,
    started,
)
from benchmarks.websocket.generator import Talked
from benchmarks.websocket.servers import PING, Generator, Kind, Talk

_SPEEDS = {1: 300, 50: 2_000, 500: 2_000}  # conversations, by how many at once
_CONNECTIONS, _SLOW, _SLOW_TOTAL = 5_000, 500, 2_500
_SETTLING = 3.0  # seconds; what is freed late is not what a connection takes
_QUICK = 200
_SHOWN = 3  # of the answers that were wrong
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


class Report(msgspec.Struct, frozen=True):
    """Everything that was measured, for `--json`."""

    python: str
    machine: str
    versions: dict[str, str]
    rounds: int
    seed: int
    medians: dict[str, dict[str, float]]
    ratios: list[Ratio]
    samples: list[Sample]


class Run:
    """Measures one server in one round.

    Args:
        upstream: the service that runs for all.
    """

    def __init__(self, cores: Cores, upstream: Running, number: int, seed: int) -> None:
        self._cores, self._upstream = cores, upstream
        self._number, self._seed = number, seed
        self._generator = Generator(cores.rest, upstream.port, seed)
        self._values: dict[str, float] = {}
        self._others = self._busy = 0.0

    def measure(self, kind: Kind, *, quick: bool) -> Sample:
        """Start the server, and measure it; what breaks is told in the sample."""
        core, port = self._cores.server, self._upstream.port
        wrong: tuple[str, ...] = ()
        try:
            if kind == _RAW:
                self._floor()
            else:
                with started(kind, core, port) as server:
                    self._talk(kind, server, 20, _QUICK, 48)
                    if not quick:
                        self._speeds(kind, server)
                if not quick:
                    self._values |= self._undisturbed([], lambda: self._crowd(kind))
        except WrongAnswers as error:
            wrong, self._values = error.args, {}
        except RuntimeError as error:
            wrong, self._values = (str(error),), {}
        return Sample(kind, self._number, self._values, self._others, self._busy, wrong)

    def _undisturbed(
        self, measured: Sequence[Running], load: Callable[[], Outcome]
    ) -> Outcome:
        running = [*measured, self._upstream]
        outcome, share = undisturbed(self._cores, running, load)
        self._others = max(self._others, share)
        return outcome

    def _floor(self) -> None:
        """The delay when the generator of the HTTP benchmark asks the upstream."""
        generator = loads.Generator(self._cores.rest, self._upstream.port)
        result, _ = self._undisturbed(
            [],
            lambda: generator.run(
                self._upstream.port, "slow", _SLOW, _SLOW_TOTAL, self._seed
            ),
        )
        if result.failed:
            raise WrongAnswers(*result.wrong)
        self._values |= {"p50": result.p50, "p99": result.p99}

    def _talk(
        self,
        kind: Kind,
        server: Running,
        at_once: int,
        total: int,
        connections: int | None = None,
    ) -> tuple[float, float]:
        """Hold conversations; the seconds, and the server's processor time."""
        with self._generator.talk(
            server,
            wording.NOW,
            at_once,
            total,
            connections=connections or at_once,
            deflate=kind.deflate,
        ) as talk:
            talk.open()
            talked, took = self._timed(server, talk)
            talk.leave()
        return talked.result.seconds, took

    def _timed(self, server: Running, talk: Talk) -> tuple[Talked, float]:
        used, asked = server.cpu(), self._upstream.cpu()
        talked = talk.begin()
        asked = (self._upstream.cpu() - asked) / talked.result.seconds
        self._busy = max(self._busy, talked.result.busy + asked)
        return talked, server.cpu() - used

    def _speeds(self, kind: Kind, server: Running) -> None:
        for at_once, total in _SPEEDS.items():
            seconds, took = self._undisturbed(
                [server],
                lambda: self._talk(kind, server, at_once, total),  # noqa: B023 # now
            )
            self._values[f"speed {at_once}"] = total / seconds
            if at_once > 1:
                self._values[f"cpu {at_once}"] = took / total * 1_000

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
                talked, took = self._timed(server, talk)
                talk.all()
                values["talked"] = grown()
                talk.leave()
        result = talked.result
        if talked.pings < _CONNECTIONS - _SLOW:
            raise WrongAnswers(f"only {talked.pings} pings in {result.seconds:.0f} s")
        share = took / result.seconds
        return values | {"p50": result.p50, "p99": result.p99, "cpu slow": share}


def _chosen(only: Sequence[str], *, quick: bool) -> list[Kind]:
    if only:
        return [
            kind
            for kind in (_RAW, *_KINDS, *_MORE)
            if {str(kind), kind.name} & set(only)
        ]
    if quick:
        return [kind for kind in _KINDS if kind.history != SQLITE]
    return [_RAW, *_KINDS]


def _lines(samples: Sequence[Sample]) -> Iterator[str]:
    yield from tables_of(medians_of(samples), ratios_of(samples, _MEASURES), _MEASURES)
    yield ""
    yield (
        f"{_CONNECTIONS:,} connections, each with a session; each is pinged every"
        f" {PING} s."
    )
    yield "KiB of an idle connection: when it is new, and after one conversation."
    yield (
        f"Delay: from the upstream's writing to the customer's reading, of {_SLOW} slow"
        " answers beside them."
    )
    yield "raw: the delay of a generator that asks the upstream over HTTP."
    yield "-plain: the clients do not offer to compress messages, as browsers do."
    rest = max((sample.generator for sample in samples), default=0.0)
    others = max((sample.others for sample in samples), default=0.0)
    yield f"Generator and upstream took at most {rest:.0%} of their processor,"
    yield f"and other programs at most {others:.0%} of the two in a run."


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, report; returns the exit status."""
    parser = argparse.ArgumentParser("python -m benchmarks.websocket")
    parser.add_argument(
        "--quick", action="store_true", help="only see that all is right"
    )
    parser.add_argument("--only", nargs="+", default=(), metavar="NAME[/HISTORY]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1, help="of order and paces")
    parser.add_argument("--json", metavar="FILE", help="write the figures")
    options = parser.parse_args(arguments)
    kinds = _chosen(options.only, quick=options.quick)
    if not kinds:
        parser.error(f"nothing is named {' '.join(options.only)}")
    rounds = 1 if options.quick else options.rounds

    def say(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    descriptors, cores = raise_descriptors(), Cores.of_this_machine()
    say(f"Python {platform.python_version()}, {os.cpu_count()} processors")
    say(", ".join(f"{name} {version}" for name, version in versions.items()))
    if cores.server == cores.rest:
        say("There is only one processor: the generator is in the servers' way.")
    if descriptors < _CONNECTIONS + _SLOW + 200 and not options.quick:
        say(f"{descriptors} descriptors are too few for {_CONNECTIONS:,} connections.")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    dice, samples = random.Random(options.seed), list[Sample]()
    os.sched_setaffinity(0, {cores.rest})
    with started(_RAW, cores.rest) as upstream:
        for number in range(1, rounds + 1):
            for kind in dice.sample(kinds, len(kinds)):
                run = Run(cores, upstream, number, options.seed + number)
                sample = run.measure(kind, quick=options.quick)
                samples.append(sample)
                told = ", ".join(f"{k} {v:.4g}" for k, v in sample.values.items())
                verdict = "wrong" if sample.wrong else told or "right"
                shares = f"rest {sample.generator:.0%}, others {sample.others:.0%}"
                shares = "" if options.quick else f"; {shares}"
                say(f"round {number}, {kind}: {verdict}{shares}")
                for wrong in sample.wrong[:_SHOWN]:
                    say(f"  wrong: {wrong}")
    if not options.quick:
        say("")
        for line in _lines(samples):
            say(line)
    if options.json is not None:
        medians = {str(kind): each for kind, each in medians_of(samples).items()}
        report = Report(
            platform.python_version(),
            platform.machine(),
            versions,
            rounds,
            options.seed,
            medians,
            ratios_of(samples, _MEASURES),
            samples,
        )
        Path(options.json).write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    return 1 if any(sample.wrong for sample in samples) else 0


if __name__ == "__main__":
    sys.exit(main())
