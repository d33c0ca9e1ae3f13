"""The same chat by supportbot, FastAPI and aiohttp: how fast, how late, how large?

    python -m benchmarks.http
    python -m benchmarks.http --quick
    python -m benchmarks.http --only supportbot aiohttp/memory --rounds 5 --json FILE

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
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from benchmarks.http import wording
from benchmarks.http.figures import (
    OURS,
    Ratio,
    Sample,
    Target,
    lines_of,
    medians_of,
    ratios_of,
    targets_of,
)
from benchmarks.http.generator import Result
from benchmarks.http.loads import Generator, WrongAnswers, undisturbed
from benchmarks.http.servers import (
    MEMORY,
    SQLITE,
    Cores,
    Kind,
    Running,
    kinds_of,
    raise_descriptors,
    started,
)

_SPEEDS = {1: 300, 50: 2_000, 500: 2_000}  # conversations, by how many at once
_SLOW, _SLOW_TOTAL, _HELD = 500, 1_500, 2_000
_QUICK = 200
_SHOWN = 3  # of the answers that were wrong
_PACKAGES = (
    *("twisted", "msgspec", "fastapi", "starlette", "uvicorn", "httpx"),
    *("sse-starlette", "aiohttp", "aiosqlite", "uvloop", "httptools"),
)


class Report(msgspec.Struct, frozen=True):
    """Everything that was measured, for `--json`."""

    python: str
    machine: str
    versions: dict[str, str]
    rounds: int
    seed: int
    medians: dict[str, dict[str, float]]
    ratios: list[Ratio]
    targets: list[Target]
    samples: list[Sample]


class Run:
    """Measures one server in one round.

    Args:
        upstream: the service that runs for all.
    """

    def __init__(self, cores: Cores, upstream: Running, number: int, seed: int) -> None:
        self._cores, self._upstream = cores, upstream
        self._number, self._seed = number, seed
        self._generator = Generator(cores.rest, upstream.port)
        self._values: dict[str, float] = {}
        self._others = self._busy = 0.0

    def measure(self, kind: Kind, *, quick: bool) -> Sample:
        """Start the server, and measure it; what breaks is told in the sample."""
        upstream, core = self._upstream, self._cores.server
        wrong: tuple[str, ...] = ()
        try:
            with started(kind, core, upstream.port) as server:
                self._talk(server, 50, _QUICK)
                if not quick:
                    self._speeds(server)
                    self._delay(upstream if kind.name == "raw" else server)
            if not quick and kind.name != "raw":
                with started(kind, core, upstream.port) as server:
                    self._memory(server)
        except WrongAnswers as error:
            wrong, self._values = error.args, {}
        except RuntimeError as error:
            wrong, self._values = (str(error),), {}
        return Sample(kind, self._number, self._values, self._others, self._busy, wrong)

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
        result, memory = self._generator.run(
            server.port, pace, at_once, total, self._seed, held
        )
        if result.failed:
            raise WrongAnswers(*result.wrong)
        return result, memory

    def _undisturbed(
        self, server: Running, load: Callable[[], Result]
    ) -> tuple[Result, float]:
        """Run a load, again if other programs were in its way.

        Returns:
            How it went, and the server's processor time in seconds.
        """
        measured = [server] if server is self._upstream else [server, self._upstream]

        def timed() -> tuple[Result, float]:
            before = server.cpu()
            return load(), server.cpu() - before

        (result, took), share = undisturbed(self._cores, measured, timed)
        self._others = max(self._others, share)
        self._busy = max(self._busy, result.busy)
        return result, took

    def _speeds(self, server: Running) -> None:
        for at_once, total in _SPEEDS.items():
            result, took = self._undisturbed(
                server,
                lambda: self._talk(server, at_once, total),  # noqa: B023 # now
            )
            self._values[f"speed {at_once}"] = total / result.seconds
            if at_once > 1:
                self._values[f"cpu {at_once}"] = took / total * 1_000

    def _delay(self, server: Running) -> None:
        result, _ = self._undisturbed(
            server, lambda: self._run(server, "slow", _SLOW, _SLOW_TOTAL)[0]
        )
        self._values |= {"p50": result.p50, "p99": result.p99}

    def _memory(self, server: Running) -> None:
        self._talk(server, 10, 100)  # what is loaded late is not what a stream takes
        time.sleep(1.0)
        before = server.resident()
        _, held = self._run(server, wording.HOLD, _HELD, _HELD, server)
        self._values["memory"] = (held - before) / 1024 / _HELD


def _chosen(only: Sequence[str], *, quick: bool) -> list[Kind]:
    histories = (MEMORY,) if quick else (MEMORY, SQLITE)
    kinds = [Kind("raw"), *kinds_of((OURS, "fastapi", "aiohttp"), histories)]
    return [kind for kind in kinds if not only or {str(kind), kind.name} & set(only)]


def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in _PACKAGES}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, report; returns the exit status."""
    parser = argparse.ArgumentParser("python -m benchmarks.http")
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

    versions = _versions()
    descriptors, cores = raise_descriptors(), Cores.of_this_machine()
    say(f"Python {platform.python_version()}, {os.cpu_count()} processors")
    say(", ".join(f"{name} {version}" for name, version in versions.items()))
    if cores.server == cores.rest:
        say("There is only one processor: the generator is in the servers' way.")
    if descriptors < 2 * _HELD + 200 and not options.quick:
        say(f"{descriptors} descriptors are too few for {_HELD:,} streams.")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    dice, samples = random.Random(options.seed), list[Sample]()
    os.sched_setaffinity(0, {cores.rest})
    with started(Kind("raw"), cores.rest) as upstream:
        for number in range(1, rounds + 1):
            for kind in dice.sample(kinds, len(kinds)):
                run = Run(cores, upstream, number, options.seed + number)
                sample = run.measure(kind, quick=options.quick)
                samples.append(sample)
                told = ", ".join(f"{k} {v:.4g}" for k, v in sample.values.items())
                verdict = "wrong" if sample.wrong else told or "right"
                others = "" if options.quick else f"; others {sample.others:.0%}"
                say(f"round {number}, {kind}: {verdict}{others}")
                for wrong in sample.wrong[:_SHOWN]:
                    say(f"  wrong: {wrong}")
    if not options.quick:
        say("")
        for line in lines_of(samples):
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
            ratios_of(samples),
            targets_of(samples),
            samples,
        )
        Path(options.json).write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    return 1 if any(sample.wrong for sample in samples) else 0


if __name__ == "__main__":
    sys.exit(main())
