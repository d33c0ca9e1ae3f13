"""Has customers connect to a chat server, and some of them talk.

A process of its own. One line of JSON on standard input says what to do, see `Load`.
When all are connected, a line says so, see `Opened`; a line of input lets some talk,
and a line says how it went, see `Talked`. After a line `all`, each of them talks once,
and after any other they leave. The last line says what was wrong, see `Failures`.
"""

from __future__ import annotations

import asyncio
import sys
import time

import msgspec

from benchmarks.http import generator, wording
from benchmarks.http.customers import AVERAGE
from benchmarks.http.generator import Result, result_of
from benchmarks.websocket.customers import Crowd, Customer, Load

_AT_A_TIME = 50  # connections that are set up, or customers when all talk
_PATIENCE = 30.0  # seconds, for the goodbyes


class Opened(msgspec.Struct, frozen=True):
    """How the connections were opened.

    Attributes:
        seconds: that it took, until each had a session.
        busy: share of its processor that the generator took.
    """

    seconds: float
    busy: float


class Talked(msgspec.Struct, frozen=True):
    """How it went.

    Attributes:
        result: of the conversations.
        pings: that were answered while they went on.
    """

    result: Result
    pings: int


class Failures(msgspec.Struct, frozen=True):
    """What was not as it had to be.

    Attributes:
        wrong: the first of it.
    """

    wrong: tuple[str, ...]


async def run(load: Load) -> Failures:
    """Hold all conversations."""
    loop = asyncio.get_running_loop()
    crowd = Crowd(load, loop)
    customers = [Customer(crowd) for _ in range(load.connections)]
    start, used = time.monotonic(), time.process_time()
    await _open(customers)
    seconds = time.monotonic() - start
    _say(Opened(seconds, (time.process_time() - used) / seconds))
    await _hear()
    start, used = time.monotonic(), time.process_time()
    crowd.begin()
    pings = crowd.pings
    talking = customers[:: load.connections // load.at_once][: load.at_once]
    for place, customer in enumerate(talking):
        if load.pace == wording.NOW:
            customer.ask()
        else:
            loop.call_later(AVERAGE * place / load.at_once, customer.ask)
    result = await result_of(crowd, start, used)
    _say(Talked(result, crowd.pings - pings))
    if await _hear() == "all":
        start, used = time.monotonic(), time.process_time()
        crowd.begin_again(customers, _AT_A_TIME)
        _say(Talked(await result_of(crowd, start, used), crowd.pings))
        await _hear()
    for customer in customers:
        customer.leave()
    try:
        await asyncio.wait_for(crowd.gone, _PATIENCE)
    except TimeoutError:
        crowd.complain(f"not closed after {_PATIENCE:.0f} s")
    return Failures(tuple(crowd.wrong[:10]))


async def _open(customers: list[Customer]) -> None:
    """Open all connections, some at a time."""
    free = asyncio.Semaphore(_AT_A_TIME)

    async def open_one(customer: Customer) -> None:
        async with free:
            await customer.open()

    await asyncio.gather(*map(open_one, customers))


async def _hear() -> str:
    loop = asyncio.get_running_loop()
    line: str = await loop.run_in_executor(None, sys.stdin.readline)
    return line.strip()


def _say(line: msgspec.Struct) -> None:
    sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    generator.main(Load, run)
