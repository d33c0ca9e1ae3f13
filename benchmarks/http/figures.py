"""What was measured: medians, ratios of the same round, targets, and their tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median

import msgspec

from benchmarks.http.servers import MEMORY, SQLITE, Kind

OURS = "supportbot"
_NONE = "-"
Medians = Mapping[Kind, Mapping[str, float]]
"""Of each server, by the names of what is measured."""
Measures = Mapping[str, tuple[str, str]]
"""Titles and formats of what is measured, by its name."""


class Sample(msgspec.Struct, frozen=True):
    """One server in one round.

    Attributes:
        values: by the names of what is measured; conversations a second, seconds of
            processor time for 1,000 conversations, milliseconds, KiB.
        others: the largest share of the processors that other programs took meanwhile.
        generator: the largest share of its processor that the generator took.
        wrong: answers that were not what they had to be, the first of them.
    """

    kind: Kind
    round: int
    values: dict[str, float]
    others: float = 0.0
    generator: float = 0.0
    wrong: tuple[str, ...] = ()


class Ratio(msgspec.Struct, frozen=True):
    """Ours to a peer's, the median of the rounds in which both were measured.

    Attributes:
        least, most: of these rounds.
    """

    history: str
    peer: str
    measure: str
    value: float
    least: float
    most: float


class Target(msgspec.Struct, frozen=True):
    """What has to be reached.

    Attributes:
        measured: None if nothing was measured.
        bound: the least, or with `most` the most.
    """

    name: str
    measured: float | None
    bound: float
    most: bool

    @property
    def verdict(self) -> str:
        """Whether it was reached, in words."""
        if self.measured is None:
            return "not measured"
        met = self.measured <= self.bound if self.most else self.measured >= self.bound
        return "met" if met else "not met"


def medians_of(samples: Sequence[Sample]) -> Medians:
    """For each server the medians of all rounds."""
    values: dict[Kind, dict[str, list[float]]] = {}
    for sample in samples:
        of_kind = values.setdefault(sample.kind, {})
        for name, value in sample.values.items():
            of_kind.setdefault(name, []).append(value)
    return {
        kind: {name: median(each) for name, each in of_kind.items()}
        for kind, of_kind in values.items()
    }


def ratios_of(samples: Sequence[Sample], measures: Iterable[str]) -> list[Ratio]:
    """All ratios of ours to the peers'."""
    at = {
        (sample.kind.history, sample.kind.name, sample.round): sample.values
        for sample in samples
    }
    histories = sorted({history for history, _, _ in at})
    rounds = sorted({number for _, _, number in at})
    peers = sorted({name for _, name, _ in at} - {OURS, "raw"})
    ratios = []
    for history in histories:
        for peer in peers:
            for measure in measures:
                each = []
                for number in rounds:
                    ours = at.get((history, OURS, number), {}).get(measure)
                    theirs = at.get((history, peer, number), {}).get(measure)
                    if ours is not None and theirs:
                        each.append(ours / theirs)
                if each:
                    ratios.append(
                        Ratio(
                            history, peer, measure, median(each), min(each), max(each)
                        )
                    )
    return ratios


def targets_of(medians: Medians, ratios: Sequence[Ratio]) -> list[Target]:
    """What was reached, beside what has to be."""
    values = {(each.history, each.peer, each.measure): each.value for each in ratios}
    targets = []
    for history in (MEMORY, SQLITE):
        for measure, fastapi, aiohttp, most in (
            ("speed 50", 6.0, 1.0, False),
            ("speed 500", 6.0, 1.0, False),
            ("p99", 0.5, 1.0, True),
            ("memory", 0.25, 0.5, True),
        ):
            for peer, bound in (("fastapi", fastapi), ("aiohttp", aiohttp)):
                value = values.get((history, peer, measure))
                name = f"{history}: {measure}, of {peer}'s"
                targets.append(Target(name, value, bound, most))
        p99 = medians.get(Kind(OURS, history), {}).get("p99")
        targets.append(Target(f"{history}: p99 in ms", p99, 2.0, True))
    return targets


def lines_of(targets: Sequence[Target]) -> Iterator[str]:
    """A table of targets, below other tables; nothing if there are none."""
    if targets:
        yield ""
        yield f"{'target':36}measured   bound"
    for target in targets:
        measured = _NONE if target.measured is None else f"{target.measured:.2f}"
        sign = "≤" if target.most else "≥"
        bound = f"{sign} {target.bound:<5g}"
        yield f"{target.name:36}{measured:>8}  {bound} {target.verdict}"


def tables_of(
    medians: Medians,
    ratios: Sequence[Ratio],
    measures: Measures,
) -> Iterator[str]:
    """A table of medians, and one of ratios if there are any."""
    titles = "  ".join(f"{title:>15}" for title, _ in measures.values())
    yield f"{'medians':22}{titles}"
    for kind in sorted(medians, key=lambda kind: (kind.history, kind.name)):
        forms = {name: form for name, (_, form) in measures.items()}
        yield f"{kind!s:22}{_row(medians[kind], forms)}"
    if ratios:
        yield ""
        yield f"{'supportbot to':22}{titles}"
    of_peers: dict[str, dict[str, float]] = {}
    for ratio in ratios:
        row = of_peers.setdefault(f"{ratio.peer}/{ratio.history}", {})
        row[ratio.measure] = ratio.value
    for peer, values in of_peers.items():
        yield f"{peer:22}{_row(values, dict.fromkeys(measures, '.2f'))}"


def _row(values: Mapping[str, float], forms: Mapping[str, str]) -> str:
    return "  ".join(
        f"{values[name]:>15{form}}" if name in values else f"{_NONE:>15}"
        for name, form in forms.items()
    )
