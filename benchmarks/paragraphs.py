"""How fast paragraphs come out of bytes, beside the fastest that could be hoped for.

Run it from a checkout, on a machine with nothing else to do:

    python -m benchmarks.paragraphs [--size 10] [--plot FILE.png] [--json FILE]

One JSON document, the six paragraphs of an answer over and over, goes through
`JsonParagraphs` in cuts of 1 byte to 64 KiB, with and without `Guard` in front. The
limit beside it has the whole document at once: `json.loads`, then one regular
expression that finds the same paragraphs. Times are CPU seconds of this process, the
best of several rounds; all figures that are compared come from the same rounds.

The exit status is 1 if a target is missed. `--quick` runs everything once on a little
document, to see that it runs: its figures mean nothing, and it always exits with 0.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import re
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from statistics import correlation

import msgspec

from supportbot.streaming.paragraphs import JsonParagraphs
from supportbot.streaming.runaway import Guard

CUTS = {"1 B": 1, "16 B": 16, "1 KiB": 1_024, "64 KiB": 65_536}
FIELD = "response"
ANSWER = (
    "<p>If you notice a flashing red light on your device, it is important to take"
    " immediate action to address the issue.</p>",
    "<p>This flashing light often indicates that there is a problem that needs to be"
    " resolved, and ignoring it could lead to further complications.</p>",
    "<p>To begin troubleshooting, unplug the device from the power source, wait for at"
    " least 30 seconds, and then plug it back in to see if the issue persists.</p>",
    "<p>After reconnecting the device, observe whether the red light continues to"
    " flash or if it returns to a normal state.</p>",
    "<p>If the light remains flashing, it may be necessary to consult the user manual"
    " or contact customer support for further assistance.</p>",
    "<p>In some cases, a flashing red light can signify a hardware failure, so it is"
    " crucial to address the situation promptly.</p>",
)
HOSTILE = {"only >": ">", "only \\\\": r"\\", "only </": "</", "only <p>": "<p>"}
LONGEST = 32_768  # characters of a paragraph, the default of the settings
NO_LIMIT = 1 << 40

_PARAGRAPH = re.compile(r"<[pP](?=[\s/>]).*?</[pP]\s{0,64}>", re.DOTALL)
_POINTS = 8  # of a line of time over size


class Speed(msgspec.Struct, frozen=True):
    """How fast one cut goes, in megabytes per second.

    Attributes:
        parser: `JsonParagraphs` alone.
        guarded: with `Guard` in front.
        slicing: a bare loop that does nothing but cut the bytes.
    """

    cut: str
    parser: float
    guarded: float
    slicing: float


class Line(msgspec.Struct, frozen=True):
    """Time over size.

    Attributes:
        text: what was parsed.
        sizes: in bytes.
        seconds: for each of the sizes.
        r_squared: how much of the time a straight line explains, 0 to 1.
    """

    text: str
    cut: str
    sizes: tuple[int, ...]
    seconds: tuple[float, ...]
    r_squared: float


class Memory(msgspec.Struct, frozen=True):
    """The most that the parser held.

    Attributes:
        ratio: to the longest paragraph, both in bytes; the chunk that is being fed is
            not counted, the paragraph that is being given is.
    """

    text: str
    cut: str
    ratio: float


class Target(msgspec.Struct, frozen=True):
    """What has to be reached.

    Attributes:
        bound: the least, or with `most` the most.
    """

    name: str
    measured: float
    bound: float
    most: bool = False

    @property
    def met(self) -> bool:
        """Whether it was reached."""
        if self.most:
            return self.measured <= self.bound
        return self.measured >= self.bound


class Report(msgspec.Struct, frozen=True):
    """Everything that was measured.

    Attributes:
        limit: megabytes per second of the whole document at once.
    """

    python: str
    machine: str
    megabytes: float
    limit: float
    speeds: tuple[Speed, ...]
    lines: tuple[Line, ...]
    memory: tuple[Memory, ...]
    targets: tuple[Target, ...]


def document_of(size: int, answer: Sequence[str] = ANSWER) -> bytes:
    """About `size` bytes of answers in one object."""
    text = "".join(answer)
    times = max(1, size // len(text))
    return json.dumps({"timestamp": 1732000000, FIELD: text * times}).encode()


def hostile_document_of(spelled: str, size: int) -> bytes:
    """About `size` bytes of nothing but one thing; it is in JSON's spelling."""
    return f'{{"{FIELD}": "{spelled * (size // len(spelled))}"}}'.encode()


def all_at_once(document: bytes) -> list[str]:
    """The paragraphs of a document that is there as a whole."""
    return _PARAGRAPH.findall(json.loads(document)[FIELD])


def feed(document: bytes, cut: int, limit: int = LONGEST) -> None:
    """Parse in cuts, and drop what is given.

    Args:
        limit: of a paragraph and of the envelope.
    """
    reader = JsonParagraphs(FIELD, limit, limit)
    for start in range(0, len(document), cut):
        for _ in reader.feed(document[start : start + cut]):
            pass
    for _ in reader.end():
        pass


def feed_guarded(document: bytes, cut: int) -> None:
    """The same with a guard in front."""
    reader, guard = JsonParagraphs(FIELD), Guard(body=NO_LIMIT)
    for start in range(0, len(document), cut):
        for _ in reader.feed(guard.admit(document[start : start + cut])):
            pass
    for _ in reader.end():
        pass


def slice_only(document: bytes, cut: int) -> None:
    """Only cut the bytes."""
    for start in range(0, len(document), cut):
        _ = document[start : start + cut]


def seconds_of(run: Callable[[], object]) -> float:
    """CPU seconds of one run, without the garbage collector."""
    gc.collect()
    gc.disable()
    try:
        start = time.process_time()
        run()
        return time.process_time() - start
    finally:
        gc.enable()


def best_of(runs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The fastest of several rounds; in each of them everything has its turn."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            taken[name].append(seconds_of(run))
    return {name: min(seconds) for name, seconds in taken.items()}


def check(document: bytes) -> None:
    """Make sure that everybody finds the same before anybody is timed."""
    expected = all_at_once(document)
    for cut in CUTS.values():
        reader, given = JsonParagraphs(FIELD), list[str]()
        for start in range(0, len(document), cut):
            given.extend(reader.feed(document[start : start + cut]))
        if given != expected or not reader.complete:
            raise AssertionError(f"cuts of {cut} bytes give other paragraphs")


def speeds_of(document: bytes, rounds: int) -> tuple[float, tuple[Speed, ...]]:
    """The speed of the whole document at once, and of each cut."""
    runs: dict[str, Callable[[], object]] = {"limit": partial(all_at_once, document)}
    for name, cut in CUTS.items():
        runs[f"parser {name}"] = partial(feed, document, cut)
        runs[f"guarded {name}"] = partial(feed_guarded, document, cut)
        runs[f"slicing {name}"] = partial(slice_only, document, cut)
    best = best_of(runs, rounds)
    fast = {name: len(document) / 1e6 / seconds for name, seconds in best.items()}
    return fast["limit"], tuple(
        Speed(
            name, *(fast[f"{how} {name}"] for how in ("parser", "guarded", "slicing"))
        )
        for name in CUTS
    )


def line_of(
    text: str, cut: str, size: int, make: Callable[[int], bytes], rounds: int
) -> Line:
    """Parse documents of growing size, with limits that nothing reaches."""
    documents = [make(size * point // _POINTS) for point in range(1, _POINTS + 1)]
    runs = {
        str(len(each)): partial(feed, each, CUTS[cut], NO_LIMIT) for each in documents
    }
    best = best_of(runs, rounds)
    sizes, seconds = tuple(map(int, best)), tuple(best.values())
    return Line(text, cut, sizes, seconds, correlation(sizes, seconds) ** 2)


def lines_of(size: int, rounds: int) -> Iterable[Line]:
    """A line for each text and each cut; hostile crumbs are slow, and get fewer."""
    for cut in CUTS:
        yield line_of("answers", cut, size, document_of, rounds)
    shares = {"1 B": 40, "16 B": 10}
    for name, spelled in HOSTILE.items():
        make = partial(hostile_document_of, spelled)
        for cut in CUTS:
            yield line_of(name, cut, size // shares.get(cut, 1), make, rounds)


def longest_paragraph(words: str) -> str:
    """A paragraph of these words that is as long as one may be."""
    inner = "".join(islice(cycle(words), LONGEST - len("<p></p>")))
    return f"<p>{inner}</p>"


def memory_of(text: str, words: str, cut: str, times: int) -> Memory:
    """The most that is held while long paragraphs are parsed and dropped."""
    longest = longest_paragraph(words)
    document = document_of(len(longest) * times, [longest])
    step = CUTS[cut]
    chunks = [document[at : at + step] for at in range(0, len(document), step)]
    gc.collect()
    tracemalloc.start()
    try:
        reader = JsonParagraphs(FIELD)
        for chunk in chunks:
            for paragraph in reader.feed(chunk):
                del paragraph
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return Memory(text, cut, peak / sys.getsizeof(longest))


def memories_of(times: int) -> Iterable[Memory]:
    """For plain text, and for text that is full of escapes."""
    plain = "".join(ANSWER).replace("<p>", "").replace("</p>", " ")
    texts = {"plain": plain, "line by line": plain.replace(", ", ",\n")}
    texts["accents"] = plain.replace("e", "é").replace("a", "☕")
    for name, words in texts.items():
        for cut in CUTS:
            yield memory_of(name, words, cut, times)


def targets_of(
    limit: float,
    speeds: Sequence[Speed],
    lines: Sequence[Line],
    memory: Sequence[Memory],
) -> tuple[Target, ...]:
    """What was reached, beside what has to be."""
    by_cut = {speed.cut: speed for speed in speeds}
    crumbs = by_cut["1 B"]
    crooked = min(lines, key=lambda line: line.r_squared)
    fat = max(memory, key=lambda each: each.ratio)
    return (
        Target("64 KiB cuts beside the limit", by_cut["64 KiB"].parser / limit, 1.5),
        Target("1 KiB cuts beside the limit", by_cut["1 KiB"].parser / limit, 1.0),
        Target("16 B cuts beside the limit", by_cut["16 B"].parser / limit, 0.12),
        Target("1 B cuts beside slicing", crumbs.parser / crumbs.slicing, 0.10),
        Target(
            f"R² at its worst: {crooked.text}, {crooked.cut}", crooked.r_squared, 0.99
        ),
        Target(
            f"memory at its worst: {fat.text}, {fat.cut}", fat.ratio, 2.0, most=True
        ),
    )


def measure(size: int, rounds: int, say: Callable[[str], None]) -> Report:
    """Run everything, and say each figure as soon as it is there.

    Args:
        size: of the document, in bytes.
        rounds: how often everything is timed.
        say: takes lines of text.
    """
    document = document_of(size)
    say(f"{len(document):,} bytes, Python {platform.python_version()}")
    check(document)
    limit, speeds = speeds_of(document, rounds)
    say(f"\nthe limit: {limit:.1f} MB/s, json.loads and one regular expression")
    say("    cut     MB/s   ratio   guarded   ratio   slicing")
    for speed in speeds:
        alone, guarded = speed.parser / limit, speed.guarded / limit
        share = speed.parser / speed.slicing
        say(
            f"{speed.cut:>7} {speed.parser:8.1f} {alone:7.3f}"
            f" {speed.guarded:9.1f} {guarded:7.3f} {share:9.1%}"
        )
    say("(slicing: how much of the speed of a loop that only cuts the bytes)")
    say("\ntime over size       cut       R²   ns/B, first      last")
    lines = []
    for line in lines_of(size, rounds):
        first, last = (line.seconds[at] / line.sizes[at] * 1e9 for at in (0, -1))
        name = f"{line.text:16} {line.cut:>7}"
        say(f"{name} {line.r_squared:8.5f} {first:13.2f} {last:9.2f}")
        lines.append(line)
    say("\npeak memory          cut   of the longest paragraph")
    memory = []
    for held in memories_of(4):
        say(f"{held.text:16} {held.cut:>7} {held.ratio:26.2f}")
        memory.append(held)
    targets = targets_of(limit, speeds, lines, memory)
    say(f"\n{'target':44} measured  bound")
    for target in targets:
        bound = f"{'≤' if target.most else '≥'} {target.bound:<4g}"
        verdict = "pass" if target.met else "fail"
        say(f"{target.name:44} {target.measured:8.3f}  {bound}  {verdict}")
    return Report(
        platform.python_version(),
        platform.machine(),
        len(document) / 1e6,
        limit,
        speeds,
        tuple(lines),
        tuple(memory),
        targets,
    )


def plot(report: Report, path: str) -> None:
    """Draw the speeds, and the lines of time over size.

    Raises:
        ImportError: matplotlib is not there.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    cuts = [speed.cut for speed in report.speeds]
    left.plot(cuts, [speed.slicing for speed in report.speeds], "^:", label="slicing")
    left.plot(cuts, [speed.parser for speed in report.speeds], "o-", label="parser")
    left.plot(cuts, [speed.guarded for speed in report.speeds], "s--", label="guarded")
    left.axhline(report.limit, color="black", label="whole document at once")
    left.set(yscale="log", xlabel="cut", ylabel="MB/s", title="Speed")
    left.legend()
    for line in report.lines:
        honest = line.text == "answers"
        right.plot(
            [size / line.sizes[-1] for size in line.sizes],
            [seconds / line.seconds[-1] for seconds in line.seconds],
            "o-" if honest else ":",
            label=f"{line.text}, {line.cut}",
        )
    right.set(xlabel="size", ylabel="time", title="Time over size, both of the largest")
    right.legend(fontsize="x-small", ncols=2)
    figure.savefig(path, dpi=120)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, report; returns the exit status."""
    parser = argparse.ArgumentParser("python -m benchmarks.paragraphs")
    parser.add_argument("--size", type=float, default=10.0, help="megabytes (10)")
    parser.add_argument("--plot", metavar="FILE.png", help="draw the figures")
    parser.add_argument("--json", metavar="FILE", help="write the figures")
    parser.add_argument("--quick", action="store_true", help="only see that it runs")
    options = parser.parse_args(arguments)
    if options.plot is not None:
        try:
            import matplotlib  # noqa: F401 # better known now than in some minutes
        except ImportError:
            parser.error("--plot needs matplotlib: pip install 'supportbot[dev]'")
    size, rounds = (60_000, 1) if options.quick else (int(options.size * 1e6), 3)

    def say(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    report = measure(size, rounds, say)
    if options.json is not None:
        Path(options.json).write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    if options.plot is not None:
        plot(report, options.plot)
    return 0 if options.quick or all(target.met for target in report.targets) else 1


if __name__ == "__main__":
    sys.exit(main())
