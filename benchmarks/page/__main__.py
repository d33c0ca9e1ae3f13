"""How fast the web page is there, and how smooth it stays with a long answer.

    python -m benchmarks.page
    python -m benchmarks.page --quick

Debian's Chromium, without a window, looks at the real program, whose services say what
they are told to. First it loads the page many times: in a browser that was never here,
and has to start a process for it, as the row with a line of text shows; and in one that
was, with nothing in its cache and with everything. Then it asks for long answers, each
in a new conversation: HTML of a third party and Markdown of a model, at once and piece
by piece; and comes back to them. All figures are the browser's own. A frame is late if
it comes 50 ms after the one before.

The exit status is 0 unless a paragraph was missing, doubled or out of order. It needs a
machine that does nothing else, and waits for that; on one that is busy,
`chrt --rr 5 python -m benchmarks.page --patience 0` puts it in front of the others.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
import statistics
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from playwright.async_api import Browser, async_playwright

from benchmarks.page.upstream import Asked, answer
from benchmarks.page.visitor import Painted, Smooth, visitor

_HOST = "127.0.0.1"
_CHROMIUM = "/usr/bin/chromium"
_ROOT = Path(__file__).parent.parent.parent
_SETTINGS = """
[[services]]
name = "upstream"
intent = "help"
url = "http://{host}:{upstream}/"

[assistant]
url = "http://{host}:{upstream}/v1"
api_key = "none"

[assistant.limits]
reply_tokens = 100_000_000
conversation_tokens = 100_000_000
reply_cost = 1000.0
conversation_cost = 1000.0

[http]
address_messages = 1_000_000
address_sessions = 1_000_000
"""
_VERSION = re.compile(r"-\d+\.\d")  # in the paths of what others wrote
_TARGET_CONTENT, _TARGET_FRAME = 200, 50  # milliseconds
_LOADS, _ROUNDS, _PARAGRAPHS, _PATIENCE = 20, 3, 300, 30.0
_IDLE = 0.1  # share of the processors that nothing takes completely
_HELD = 10.0  # seconds that the program gets to end


_LINE = "a line of text, first visit"
_WAYS = _FIRST, _UNCACHED, _CACHED = "first visit", "nothing cached", "all cached"


class Plan(NamedTuple):
    """What to do.

    Attributes:
        loads: of the page, in each way.
        rounds: of all answers.
        paragraphs: of each.
        patience: seconds to wait for a quiet machine, before each step.
    """

    loads: int
    rounds: int
    paragraphs: int
    patience: float


_QUICK = Plan(loads=2, rounds=1, paragraphs=30, patience=0.0)


class Case(NamedTuple):
    """A long answer.

    Attributes:
        name: what it is, for people.
        words: stand in front of what is asked for; they choose the service.
    """

    name: str
    words: str
    deltas: int
    pause: int


_CASES = (
    Case("HTML, all at once", "help: ", 1, 0),
    Case("HTML, a paragraph each 20 ms", "help: ", 1, 20),
    Case("Markdown, all at once", "", 1, 0),
    Case("Markdown, in 10 deltas a paragraph, all at once", "", 10, 0),
    Case("Markdown, in 10 deltas a paragraph, one each 4 ms", "", 10, 4),
)
_BACK = {  # the cases after which the page is loaded again
    "HTML, all at once": "HTML, on return",
    "Markdown, all at once": "Markdown, on return",
}


@asynccontextmanager
async def _served(folder: Path, upstream: int) -> AsyncIterator[str]:
    """The real program; gives the page's address."""
    settings = folder / "settings.toml"
    settings.write_text(_SETTINGS.format(host=_HOST, upstream=upstream))
    ours = ("SUPPORTBOT_", "OPENAI_", "MCP_", "DATABASE_URL")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(_ROOT / "main.py"), "serve", "--port", "0"),
        *("--settings", str(settings), "--database", "memory"),
        cwd=folder,
        env={**clean, "PYTHONPATH": str(_ROOT)},
        stdout=PIPE,
    )
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    try:
        if (found := re.search(r"http://\S+/", line)) is None:
            raise RuntimeError(f"the program does not start: {line!r}")
        yield found[0]
    finally:
        await _end(process)


async def _end(process: Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), _HELD)
    except TimeoutError:
        process.kill()
        await process.wait()


async def _idle(patience: float) -> None:
    """Wait until the machine does nothing else, so many seconds at the most."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        busy = _busy()
        await asyncio.sleep(0.5)
        if (_busy() - busy) / 0.5 / (os.cpu_count() or 1) < _IDLE:
            return


def _busy() -> float:
    """Seconds of all processors that were worked in."""
    fields = Path("/proc/stat").read_text().partition("\n")[0].split()
    return sum(map(int, fields[1:4])) / os.sysconf("SC_CLK_TCK")


async def _loads(browser: Browser, url: str, plan: Plan) -> dict[str, list[Painted]]:
    """Load the page in all ways, and one that is as good as empty."""
    times: dict[str, list[Painted]] = {name: [] for name in (_LINE, *_WAYS)}
    for _ in range(plan.loads):
        await _idle(plan.patience)
        one = await visitor(browser)
        times[_LINE].append(await one.load(f"{url}healthz"))
        await one.close()
        one = await visitor(browser)
        times[_FIRST].append(await one.load(url))
        times[_UNCACHED].append(await one.load(url, cached=False))
        times[_CACHED].append(await one.load(url))
        await one.close()
    return times


async def _round(browser: Browser, url: str, plan: Plan) -> dict[str, Smooth]:
    """Every long answer once; how smooth the page was."""
    smooth = dict[str, Smooth]()
    for case in _CASES:
        one = await visitor(browser)
        await one.load(url)
        await _idle(plan.patience)
        asked = Asked(plan.paragraphs, case.deltas, case.pause)
        smooth[case.name] = await one.ask(f"{case.words}{asked}", plan.paragraphs)
        if case.name in _BACK:
            await _idle(plan.patience)
            smooth[_BACK[case.name]] = await one.come_back(plan.paragraphs)
        await one.close()
    return smooth


async def _fetched(browser: Browser, url: str) -> dict[str, int]:
    one = await visitor(browser)
    await one.load(url)
    sizes = await one.fetched()
    await one.close()
    return sizes


def _tell_loads(name: str, loads: Sequence[Painted]) -> None:
    shown = [name]
    for field in Painted.__struct_fields__:
        times = sorted(getattr(one, field) for one in loads)
        late = times[min(len(times) - 1, int(len(times) * 0.95))]
        shown.append(f"{statistics.median(times):.0f}, {late:.0f}" if late else "")
    print(f"| {' | '.join(shown)} |")


def _tell_smooth(name: str, rounds: Sequence[Smooth]) -> None:
    longest = [one.longest for one in rounds]
    median = statistics.median(longest)
    work = max(one.longest_work for one in rounds)
    shown = [
        f"{median:.0f}, {max(longest):.0f}",
        f"{sum(one.late for one in rounds) / len(rounds):.1f}",
        f"{work:.0f}" if work else "< 50",
        f"{statistics.median(one.heap for one in rounds):.1f}",
        f"{statistics.median(one.nodes for one in rounds):.0f}",
    ]
    print(f"| {name} | {' | '.join(shown)} |")


def _tell_sizes(sizes: dict[str, int]) -> None:
    ours = {path: size for path, size in sizes.items() if not _VERSION.search(path)}
    for path, size in sorted(sizes.items(), key=lambda item: -item[1]):
        print(f"| `{path}` | {size:,} |")
    print(f"| ours | {sum(ours.values()):,} |")
    print(f"| all | {sum(sizes.values()):,} |")


def _target(words: str, value: float, target: float) -> None:
    print(f"{words}: {value:.0f} ms, target < {target}: ", end="")
    print("reached" if value < target else "missed")


async def _run(chromium: str, plan: Plan) -> list[str]:
    """All of it; returns what was wrong."""
    server = await asyncio.start_server(answer, _HOST, 0)
    upstream: int = server.sockets[0].getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="page-") as folder:
        async with _served(Path(folder), upstream) as url, async_playwright() as tools:
            browser = await tools.chromium.launch(
                executable_path=chromium, args=["--no-sandbox"]
            )
            print(f"Chromium {browser.version}\n")
            loads = await _loads(browser, url, plan)
            print("| milliseconds: median, p95 | first paint | first words | usable |")
            print("|---|---|---|---|")
            for name, times in loads.items():
                _tell_loads(name, times)
            taken = [await _round(browser, url, plan) for _ in range(plan.rounds)]
            print(
                "\n| answer | longest frame in ms, median, worst | late frames |",
                end="",
            )
            print(
                " longest work in ms | heap in MiB | nodes |\n|---|---|---|---|---|---|"
            )
            for name in taken[0]:
                _tell_smooth(name, [one[name] for one in taken])
            print("\n| file | bytes |\n|---|---|")
            _tell_sizes(await _fetched(browser, url))
            await browser.close()
    print()
    server.close()
    content = statistics.median(one.content for one in loads[_UNCACHED])
    _target("first words", content, _TARGET_CONTENT)
    longest = max(_medians(taken))
    _target("longest frame", longest, _TARGET_FRAME)
    return [f"{n}: {s.wrong}" for one in taken for n, s in one.items() if s.wrong]


def _medians(taken: Sequence[dict[str, Smooth]]) -> Iterable[float]:
    """The longest frame of each case, as it usually is."""
    for name in taken[0]:
        yield statistics.median(one[name].longest for one in taken)


def main(argv: Sequence[str] | None = None) -> int:
    """Run it, and print what came of it."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.page", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--loads", type=int, default=_LOADS, help="of the page")
    parser.add_argument("--rounds", type=int, default=_ROUNDS, help="of all answers")
    parser.add_argument("--paragraphs", type=int, default=_PARAGRAPHS, help="of each")
    parser.add_argument("--chromium", default=_CHROMIUM, help="the browser")
    parser.add_argument("--patience", type=float, default=_PATIENCE, help="seconds")
    parser.add_argument("--quick", action="store_true", help="only see that it works")
    given = parser.parse_args(argv)
    plan = Plan(given.loads, given.rounds, given.paragraphs, given.patience)
    wrong = asyncio.run(_run(given.chromium, _QUICK if given.quick else plan))
    for what in wrong:
        print(f"WRONG: {what}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
