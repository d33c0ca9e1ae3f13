"""Measure servers round by round, and tell: what the comparisons have in common.

Each server runs in a process on a processor of its own; generator and upstream share
another one. A round measures every server once, in random order, each freshly started.
Ratios are those of one round, and the medians over all rounds are reported. The exit
status is 0 unless an answer was wrong. It needs Linux, and a machine that does nothing
else: a load in whose way other programs were is run again, and the share that they took
in the end is told.
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
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from benchmarks.http.figures import (
    Measures,
    Medians,
    Ratio,
    Sample,
    Target,
    lines_of,
    medians_of,
    ratios_of,
    tables_of,
)
from benchmarks.http.generator import Result
from benchmarks.http.loads import Outcome, WrongAnswers, undisturbed
from benchmarks.http.servers import Cores, Kind, Running, raise_descriptors, started

AnyKind = TypeVar("AnyKind", bound=Kind)

_SETTLING = 1.0  # seconds; what is freed late is not what a stream takes
_SHOWN = 3  # of the answers that were wrong


class Run(ABC, Generic[AnyKind]):
    """Measures one server in one round.

    Args:
        upstream: the service that runs for all.
        seed: of this round.
    """

    def __init__(self, cores: Cores, upstream: Running, number: int, seed: int) -> None:
        self._cores, self._upstream = cores, upstream
        self._number, self._seed = number, seed
        self._values: dict[str, float] = {}
        self._others = self._busy = 0.0

    def measure(self, kind: AnyKind, *, quick: bool) -> Sample:
        """Start the server, and measure it; what breaks is told in the sample."""
        wrong: tuple[str, ...] = ()
        try:
            self._measure(kind, quick=quick)
        except WrongAnswers as error:
            wrong, self._values = error.args, {}
        except RuntimeError as error:
            wrong, self._values = (str(error),), {}
        return Sample(kind, self._number, self._values, self._others, self._busy, wrong)

    @abstractmethod
    def _measure(self, kind: AnyKind, *, quick: bool) -> None:
        """Start the server, and note its values; quick, only see that all is right."""

    def _undisturbed(
        self, measured: Sequence[Running], load: Callable[[], Outcome]
    ) -> Outcome:
        """Run a load, again if other programs were in its way.

        Args:
            measured: servers that run before and after it, besides the upstream.
        """
        outcome, share = undisturbed(self._cores, [*measured, self._upstream], load)
        self._others = max(self._others, share)
        return outcome

    def _timed(
        self, server: Running, load: Callable[[], Result]
    ) -> tuple[Result, float]:
        """Run a load, again if other programs were in its way.

        Args:
            server: may be the upstream itself.

        Returns:
            How it went, and the server's processor time in seconds.
        """

        def timed() -> tuple[Result, float]:
            before = server.cpu()
            return load(), server.cpu() - before

        measured = [] if server is self._upstream else [server]
        result, took = self._undisturbed(measured, timed)
        self._busy = max(self._busy, result.busy)
        return result, took

    def _speeds(
        self,
        speeds: Mapping[int, int],
        talk: Callable[[int, int], tuple[Result, float]],
    ) -> None:
        """Note how many conversations go through a second, and what they take.

        Args:
            speeds: how many conversations, by how many at once.
            talk: holds them, given how many at once and how many; how it went, and the
                server's processor time in seconds.
        """
        for at_once, total in speeds.items():
            result, took = talk(at_once, total)
            self._values[f"speed {at_once}"] = total / result.seconds
            if at_once > 1:
                self._values[f"cpu {at_once}"] = took / total * 1_000

    def _memory(
        self, server: Running, streams: int, hold: Callable[[], tuple[Result, int]]
    ) -> None:
        """Note what a stream takes.

        Args:
            hold: has so many under way; how it went, and the server's memory then.
        """
        time.sleep(_SETTLING)
        before = server.resident()
        _, held = hold()
        self._values["memory"] = (held - before) / 1024 / streams


class Benchmark(msgspec.Struct, Generic[AnyKind], frozen=True, kw_only=True):
    """What is measured, and how it is shown.

    Attributes:
        name: of the package below `benchmarks`.
        seeded: what the seed decides.
        packages: whose versions are told.
        upstream: what all servers ask; it runs all the while.
        run: measures one server in one round; as `Run` is made.
        chosen: the servers, given those that `--only` names and whether it is quick.
        descriptors: how many files are open at the most.
        crowd: who need them, in words.
        measures: titles and formats of what is measured.
        targets: what has to be reached.
        shares: what is told of a sample's shares of the processors; the places are
            `generator` and `others`.
        remarks: below the tables; the same places, for the largest of all samples.
    """

    name: str
    seeded: str
    packages: Sequence[str]
    upstream: AnyKind
    run: Callable[[Cores, Running, int, int], Run[AnyKind]]
    chosen: Callable[[Sequence[str], bool], Sequence[AnyKind]]
    descriptors: int
    crowd: str
    measures: Measures
    targets: Callable[[Medians, Sequence[Ratio]], list[Target]] | None = None
    shares: str = "others {others:.0%}"
    remarks: str


class Report(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything that was measured, for `--json`; without targets if there are none."""

    python: str
    machine: str
    versions: dict[str, str]
    rounds: int
    seed: int
    medians: dict[str, Mapping[str, float]]
    ratios: list[Ratio]
    targets: list[Target] = msgspec.field(default_factory=list)
    samples: list[Sample]


def named(kinds: Sequence[AnyKind], names: Sequence[str]) -> list[AnyKind]:
    """Those of the servers that are named, with or without their history."""
    return [kind for kind in kinds if {str(kind), kind.name} & set(names)]


def main(benchmark: Benchmark[AnyKind], arguments: Sequence[str] | None = None) -> int:
    """Measure, report; returns the exit status."""
    parser = _parser(benchmark)
    options = parser.parse_args(arguments)
    kinds = benchmark.chosen(options.only, options.quick)
    if not kinds:
        parser.error(f"nothing is named {' '.join(options.only)}")
    rounds = 1 if options.quick else options.rounds
    versions = {name: importlib.metadata.version(name) for name in benchmark.packages}
    descriptors, cores = raise_descriptors(), Cores.of_this_machine()
    _say(f"Python {platform.python_version()}, {os.cpu_count()} processors")
    _say(", ".join(f"{name} {version}" for name, version in versions.items()))
    if cores.server == cores.rest:
        _say("There is only one processor: the generator is in the servers' way.")
    if descriptors < benchmark.descriptors and not options.quick:
        _say(f"{descriptors} descriptors are too few for {benchmark.crowd}.")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    os.sched_setaffinity(0, {cores.rest})
    samples = _measured(
        benchmark, cores, kinds, rounds, options.seed, quick=options.quick
    )
    medians, ratios = medians_of(samples), ratios_of(samples, benchmark.measures)
    targets = benchmark.targets(medians, ratios) if benchmark.targets else []
    if not options.quick:
        _say("")
        for line in tables_of(medians, ratios, benchmark.measures):
            _say(line)
        for line in lines_of(targets):
            _say(line)
        _say("")
        _say(
            benchmark.remarks.format(
                generator=max((each.generator for each in samples), default=0.0),
                others=max((each.others for each in samples), default=0.0),
            )
        )
    if options.json is not None:
        report = Report(
            python=platform.python_version(),
            machine=platform.machine(),
            versions=versions,
            rounds=rounds,
            seed=options.seed,
            medians={str(kind): each for kind, each in medians.items()},
            ratios=ratios,
            targets=targets,
            samples=samples,
        )
        Path(options.json).write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    return 1 if any(sample.wrong for sample in samples) else 0


def _parser(benchmark: Benchmark[AnyKind]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(f"python -m benchmarks.{benchmark.name}")
    parser.add_argument(
        "--quick", action="store_true", help="only see that all is right"
    )
    parser.add_argument("--only", nargs="+", default=(), metavar="NAME[/HISTORY]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1, help=f"of {benchmark.seeded}")
    parser.add_argument("--json", metavar="FILE", help="write the figures")
    return parser


def _measured(
    benchmark: Benchmark[AnyKind],
    cores: Cores,
    kinds: Sequence[AnyKind],
    rounds: int,
    seed: int,
    *,
    quick: bool,
) -> list[Sample]:
    """Measure all servers in every round, and tell of each at once."""
    dice, samples = random.Random(seed), list[Sample]()
    with started(benchmark.upstream, cores.rest) as upstream:
        for number in range(1, rounds + 1):
            for kind in dice.sample(kinds, len(kinds)):
                run = benchmark.run(cores, upstream, number, seed + number)
                samples.append(run.measure(kind, quick=quick))
                _tell(samples[-1], "" if quick else benchmark.shares)
    return samples


def _tell(sample: Sample, shares: str) -> None:
    values = ", ".join(f"{name} {value:.4g}" for name, value in sample.values.items())
    verdict = "wrong" if sample.wrong else values or "right"
    told = shares.format(generator=sample.generator, others=sample.others)
    end = f"; {told}" if told else ""
    _say(f"round {sample.round}, {sample.kind}: {verdict}{end}")
    for wrong in sample.wrong[:_SHOWN]:
        _say(f"  wrong: {wrong}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
