"""The real service is killed again and again under load: is anything lost or made up?

    python -m benchmarks.crashes --kills 100 --seed 1
    python -m benchmarks.crashes --quick
    python -m benchmarks.crashes --database postgresql+psycopg://postgres@localhost/empty

Customers open sessions over HTTP and WebSocket, say things, follow what is said, and
come back when the connection is lost, while the service is killed at random moments,
some of them in its first second, or asked to end, and starts again on the same port. In
the end all that anybody ever saw is compared with the transcripts in the database. The
exit status is 0 only if all of it is there, once, in order, and with an end. The
database has to be empty.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from benchmarks.live import HOST, Service
from benchmarks.live_websocket import Talker, Talks, compare_ends, compare_told
from benchmarks.unharmed import Customer, Report, Seen, compare, open_all
from supportbot.transcripts.database import Database

_CUSTOMERS = 24  # at a time
_EARLY = 0.25  # of all kills, in the first seconds of a start
_ASKED = 4  # every so many times it is asked to end, and half of these killed then
_START = 2.5  # seconds that a start takes at the most, about
_LIFE = 1.5  # seconds, at the most, that the service is up before a late kill
_END = 30.0  # seconds until all are answered after the last kill
_QUICK = 5


class Upstream:
    """A service that never tells the same story twice.

    Attributes:
        stories: all of them, by their numbers: the paragraphs in order.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._numbers = count(1)
        self.stories: dict[int, list[str]] = {}

    async def answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """One connection."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
            writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n")
            await self._tell(writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort() if self._breaks() else writer.close()

    def _breaks(self) -> bool:
        return self._random.random() < 0.01

    async def _tell(self, writer: asyncio.StreamWriter) -> None:
        random, number = self._random, next(self._numbers)
        story = self.stories[number] = [
            f"<p>{number}.{n} {'äöü ' * random.choice((1, 5, 200))}</p>"
            for n in range(1, random.randint(2, 8))
        ]
        text = json.dumps({"timestamp": 0, "response": "".join(story)})
        sent = text.encode()
        if random.random() < 0.1:  # this attempt is cut
            sent = sent[: random.randrange(len(sent))]
        size = len(sent) // random.randint(1, 10) + 1
        slowest = random.choice((0.0, 0.02, 0.1))
        for at in range(0, len(sent), size):
            writer.write(sent[at : at + size])
            await writer.drain()
            await asyncio.sleep(random.uniform(0, slowest))


async def _live(
    service: Service,
    seen: Seen,
    talks: Talks,
    report: Report,
    random: Random,
    over: asyncio.Event,
) -> None:
    """Customers come, one after the other, this way or that, until it is over."""
    while not over.is_set():
        own = Random(random.random())
        customer: Customer | Talker
        if random.random() < 0.5:
            customer = Customer(service.port, seen, report, own)
        else:
            customer = Talker(service, seen, talks, report, own)
        await customer.visit(over)


async def _killing(service: Service, kills: int, random: Random, report: Report) -> int:
    """Kill it so often, and start it again; returns how many kills were early."""
    early = 0
    for number in range(1, kills + 1):
        if random.random() < _EARLY:
            await asyncio.sleep(random.uniform(0, _START))
            early += 1
        else:
            report.back.append(await service.ready())
            await asyncio.sleep(random.uniform(0, _LIFE))
        if (status := service.process.poll()) is not None:
            report.wrong(f"it ended with {status}: {service.last_words()}")
        if number % _ASKED == 2:
            await _ask_to_end(service, random, report)
        else:
            service.kill()
        service.start()
        if number % 10 == 0:
            print(f"{number} kills, {report.counts['events']} events seen", flush=True)
    report.back.append(await service.ready())
    return early


async def _ask_to_end(service: Service, random: Random, report: Report) -> None:
    """Have it end, and let it finish what it does, or kill it before it has."""
    report.counts["times it was asked to end"] += 1
    if random.random() < 0.5:
        service.ask_to_end()
        await asyncio.sleep(random.uniform(0, _LIFE))
        service.kill()
    elif (status := await service.stop()) not in {0, -signal.SIGTERM}:
        # twist ends by the signal it got
        report.wrong(f"asked to end: {status}, {service.last_words()}")


async def _births(folder: Path, upstream: int, kills: int, random: Random) -> None:
    """Kill it while it makes its database; the next one has to make do with that."""
    for number in range(kills):
        path = folder / f"birth{number}.db"
        service = Service(folder, f"sqlite:///{path}", upstream)
        service.start()
        until = time.monotonic() + _START
        while not path.exists() and time.monotonic() < until:
            await asyncio.sleep(0.001)
        await asyncio.sleep(random.choice((0.0, 0.02, 0.1)) * random.random())
        service.kill()
        service.start()
        try:
            await service.ready()
        finally:
            service.kill()


async def _run(arguments: argparse.Namespace, folder: Path) -> Report:
    random, report = Random(arguments.seed), Report()
    seen, talks = Seen(), Talks()
    upstream = Upstream(Random(arguments.seed))
    server = await asyncio.start_server(upstream.answer, HOST, 0, backlog=1024)
    port: int = server.sockets[0].getsockname()[1]
    url = arguments.database or f"sqlite:///{folder / 'crashes.db'}"
    if arguments.database:
        Database(url, 5.0).prepare(upgrade=True)
    births = max(1, arguments.kills // 10)
    await _births(folder, port, births, random)
    service, over = Service(folder, url, port), asyncio.Event()
    service.start()
    customers = asyncio.gather(
        *(
            _live(service, seen, talks, report, Random(random.random()), over)
            for _ in range(_CUSTOMERS)
        )
    )
    began = time.monotonic()
    try:
        killing = asyncio.create_task(
            _killing(service, arguments.kills - births, random, report)
        )
        both: set[asyncio.Future[Any]] = {killing, customers}
        await asyncio.wait(both, return_when="FIRST_COMPLETED")
        if not killing.done():
            killing.cancel()
            customers.result()  # one of them broke, and says how
        early = killing.result()
        over.set()
        try:
            await asyncio.wait_for(customers, _END)
        except TimeoutError:
            report.wrong(f"after {_END:g} s some still wait for their answers")
        await open_all(service.port, seen, report)
        await compare_told(service.port, seen, talks, report)
        status = await service.stop()
        if status not in {0, -signal.SIGTERM}:  # twist ends by the signal it got
            report.wrong(f"asked to end: {status}, {service.last_words()}")
    finally:
        if service.process.poll() is None:
            service.kill()
        server.close()
    report.counts["kills"] = arguments.kills
    report.counts["kills while it started"] = early + births
    report.counts["stories told by the upstream"] = len(upstream.stories)
    report.counts["seconds"] = round(time.monotonic() - began)
    compare_ends(service, talks, report)
    compare(url, seen, upstream.stories, report)
    return report


def main(argv: Sequence[str] | None = None) -> int:
    """Run it, and print what came of it."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.crashes", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", help="of an empty one; otherwise a new SQLite")
    parser.add_argument("--quick", action="store_true", help=f"{_QUICK} kills")
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.kills = _QUICK
    with tempfile.TemporaryDirectory(prefix="crashes-") as folder:
        report = asyncio.run(_run(arguments, Path(folder)))
    for name, number in sorted(report.counts.items()):
        print(f"{number:>8} {name}")
    print(
        f"{median(report.back):8.2f} seconds until it answers again; at the most"
        f" {max(report.back):.2f}"
    )
    for wrong in report.violations[:20]:
        print(f"WRONG: {wrong[:2000]}")
    print(f"{len(report.violations)} violations")
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
