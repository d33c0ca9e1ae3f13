"""Has customers talk to a chat server.

A process of its own. One line of JSON on standard input says what to do, see `Load`;
the last line on standard output says how it went, see `Result`. With answers that are
held back, a line `held` says that all are under way, and a line of input lets them go.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Callable, Coroutine
from statistics import quantiles
from typing import Any, TypeVar

import msgspec
import uvloop

from benchmarks.http import wording
from benchmarks.http.customers import AVERAGE, HOST, Crowd, Customer, Load

AnyLoad = TypeVar("AnyLoad", bound=Load)

_SETTING_UP = 50  # connections, or answers that are held back, at a time
_PATIENCE = 180.0  # seconds


class Result(msgspec.Struct, frozen=True):
    """How it went.

    Attributes:
        seconds: from the first message to the last answer.
        wrong: the first answers that were not what they had to be.
        failed: how many there were.
        p50, p99, worst: milliseconds between writing and reading a paragraph.
        busy: share of its processor that the generator itself took.
    """

    seconds: float
    wrong: tuple[str, ...] = ()
    failed: int = 0
    p50: float = 0.0
    p99: float = 0.0
    worst: float = 0.0
    busy: float = 0.0


async def run(load: Load) -> Result:
    """Hold all conversations."""
    loop = asyncio.get_running_loop()
    crowd = Crowd(load, loop)
    customers = [Customer(crowd) for _ in range(load.at_once)]
    if load.pace == wording.NOW:
        await _connect(crowd, customers)
    start, used = time.monotonic(), time.process_time()
    crowd.begin()
    if load.pace == wording.HOLD:
        await _hold(crowd, customers)
    elif load.pace == wording.NOW:
        for customer in customers:
            customer.ask()
    else:
        for place, customer in enumerate(customers):
            loop.call_later(AVERAGE * place / load.at_once, customer.ask)
    return await result_of(crowd, start, used)


async def result_of(crowd: Crowd, start: float, used: float) -> Result:
    """Wait for the end; how it went.

    Args:
        start, used: the time, and this process's own time, at the first message.
    """
    try:
        await asyncio.wait_for(crowd.ended, _PATIENCE)
    except TimeoutError:
        crowd.complain(f"not ended after {_PATIENCE:.0f} s")
    seconds = time.monotonic() - start
    busy = (time.process_time() - used) / seconds
    wrong = tuple(crowd.wrong[:10])
    delays = [1_000 * each for each in crowd.delays] or [0.0]
    cuts = quantiles([*delays, delays[-1]], n=100)
    p50, p99, worst = cuts[49], cuts[98], max(delays)
    return Result(seconds, wrong, crowd.failed, p50, p99, worst, busy)


async def _connect(crowd: Crowd, customers: list[Customer]) -> None:
    """Connect all customers, before the time counts."""
    ready = asyncio.Semaphore(_SETTING_UP)

    async def connect(customer: Customer) -> None:
        async with ready:
            await crowd.connect(customer)

    await asyncio.gather(*map(connect, customers))


async def _hold(crowd: Crowd, customers: list[Customer]) -> None:
    """Have all answers under way, some being set up at a time; then let them go on."""
    crowd.line = iter(customers)
    for _ in range(_SETTING_UP):
        crowd.next_asks()
    await asyncio.wait(
        [crowd.begun, crowd.ended],
        timeout=_PATIENCE,
        return_when=asyncio.FIRST_COMPLETED,
    )
    sys.stdout.write("held\n")
    sys.stdout.flush()
    await crowd.loop.run_in_executor(None, sys.stdin.readline)
    reader, writer = await asyncio.open_connection(HOST, crowd.load.upstream)
    writer.write(b"POST /release HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
    await reader.read()
    writer.close()


def main(
    kind: type[AnyLoad], run: Callable[[AnyLoad], Coroutine[Any, Any, msgspec.Struct]]
) -> None:
    """Do what standard input says, and write how it went.

    Args:
        kind: of the load.
    """
    load = msgspec.json.decode(sys.stdin.readline(), type=kind)
    gc.freeze()
    gc.disable()  # no pauses; what it leaves behind is little, and it ends soon
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(run(load))
    sys.stdout.write(msgspec.json.encode(result).decode() + "\n")


if __name__ == "__main__":
    main(Load, run)
