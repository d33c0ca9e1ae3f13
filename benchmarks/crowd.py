"""A thousand clients that never read, beside a hundred that do: is anybody else hurt?

    python -m benchmarks.crowd
    python -m benchmarks.crowd --quick

Those who never read have small buffers. A third of them asks for long answers, a third
follows a session that is full of them, a third asks for the same large file again and
again without waiting. The others talk to the service all the while, and check every
word. The exit status is 0 only if these got all answers whole, if the service's memory
did not grow by more than a bound for each of the first, and if those were dropped.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import resource
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.live import HOST, PATIENCE, TOKEN, Lost, Service, ask, stream

_BOUND = 768 * 1024  # bytes of memory, its long answer included, for one of those
_STALL = 5.0  # seconds until it is dropped
_RECEIVE = 4 * 1024  # bytes of its buffer; the system doubles them
_LARGE = "/static/redoc-2.5.4/redoc.standalone.js"
_FULL = "full"  # the session that is full of long answers
_WARM = 3.0  # seconds that only the honest ones talk
_REPORTED = 10
_QUESTION = re.compile(r"help (\d+) (\w+)")


def answer_to(question: int, size: str) -> list[str]:
    """The paragraphs that the upstream says to a question."""
    count, words = (10, 1500) if size == "long" else (6, 20)
    return [f"<p>{question}.{n} {'paragraph ' * words}</p>" for n in range(count)]


async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection to the service that answers."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
        message = (await reader.readexactly(int(length))).decode()
        asked = _QUESTION.search(message)
        assert asked is not None
        text = "".join(answer_to(int(asked[1]), asked[2]))
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n")
        writer.write(json.dumps({"response": text}).encode())
        await writer.drain()
    except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
        pass
    finally:
        writer.close()


class Honest:
    """One of those who read.

    Attributes:
        answered: how many answers were right.
        wrong: what was not.
        slowest: seconds of the slowest answer.
    """

    def __init__(self, port: int, number: int) -> None:
        self._port, self._next = port, number * 1_000_000
        self.answered, self.slowest = 0, 0.0
        self.wrong: list[str] = []

    async def talk(self, over: asyncio.Event) -> None:
        """Ask, one question after the other."""
        while not over.is_set():
            began = time.monotonic()
            try:
                await self._ask()
            except Lost as error:
                self.wrong.append(f"lost: {error}")
            self.slowest = max(self.slowest, time.monotonic() - began)
            await asyncio.sleep(0.2)

    async def _ask(self) -> None:
        self._next += 1
        body = {"message": f"help {self._next} short", "stream": True}
        opened = await stream(self._port, "POST", "/api/chat", body)
        try:
            if opened.status != 200:
                self.wrong.append(f"{opened.status} {(await opened.whole()).body!r}")
                return
            told = [one.data async for one in opened.events() if one.data is not None]
        finally:
            opened.close()
        chunks = [one.get("chunk") for one in told[:-1]]
        right = chunks == answer_to(self._next, "short")
        if right and told[-1].get("outcome") == "complete":
            self.answered += 1
        else:
            self.wrong.append(f"{self._next}: {told}")


def never_read(port: int, number: int) -> socket.socket:
    """Ask for more than fits, and leave it unread."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE)
    client.connect((HOST, port))
    host = f"Host: {HOST}\r\n"
    if number % 3 == 0:
        body = json.dumps({"message": f"help {number} long", "stream": True})
        request = f"POST /api/chat HTTP/1.1\r\n{host}Content-Type: application/json\r\n"
        request += f"Content-Length: {len(body)}\r\n\r\n{body}"
    elif number % 3 == 1:
        request = f"GET /api/session/{_FULL}/events HTTP/1.1\r\n{host}\r\n"
    else:
        request = f"GET {_LARGE} HTTP/1.1\r\n{host}\r\n" * 50
    client.sendall(request.encode())
    return client


async def connections(port: int) -> int:
    """How many the service has open, this one included."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    figures = (await ask(port, "GET", "/metrics", headers=headers)).body.decode()
    found = re.search(r"(?m)^supportbot_http_connections\S* (\S+)", figures)
    assert found is not None, figures
    return int(float(found[1]))


async def _run(silent: int, honest: int, folder: Path) -> list[str]:
    """All of it; returns what was wrong."""
    server = await asyncio.start_server(upstream, HOST, 0, backlog=4096)
    port: int = server.sockets[0].getsockname()[1]
    database = f"sqlite:///{folder / 'crowd.db'}"
    service = Service(folder, database, port, stall=_STALL, followers=silent)
    service.start()
    over, clients = asyncio.Event(), list[socket.socket]()
    try:
        await service.ready()
        for number in range(10):
            body = {"message": f"help {number} long", "session_id": _FULL}
            await ask(service.port, "POST", "/api/chat", body)
        talkers = [Honest(service.port, number) for number in range(1, honest + 1)]
        talking = asyncio.gather(*(one.talk(over) for one in talkers))
        await asyncio.sleep(_WARM)
        before = most = service.resident()
        for number in range(silent):
            clients.append(await asyncio.to_thread(never_read, service.port, number))
        came = time.monotonic()
        held = most_open = await connections(service.port)
        most = max(most, service.resident())
        while held > honest + 1 and time.monotonic() < came + PATIENCE:
            await asyncio.sleep(0.2)
            held = await connections(service.port)
            most, most_open = max(most, service.resident()), max(most_open, held)
        gone = time.monotonic() - came
        after = service.resident()
        over.set()
        await talking
    finally:
        for client in clients:
            client.close()
        service.kill()
        server.close()
    growth = (most - before) / silent
    wrong = [what for one in talkers for what in one.wrong]
    print(f"{sum(one.answered for one in talkers):>9} answers to {honest} who read")
    print(f"{max(one.slowest for one in talkers):9.2f} seconds for the slowest of them")
    print(f"{most_open:>9} connections at the most, {silent} of those never read")
    print(f"{gone:9.1f} seconds until they were dropped; the deadline is {_STALL:g}")
    print(f"{before / 2**20:9.1f} MiB before they came, {most / 2**20:.1f} at the most")
    print(f"{after / 2**20:9.1f} MiB when they were gone")
    print(f"{growth / 1024:9.1f} KiB for each")
    if held > honest + 1:
        wrong.append(f"{held} connections are still open")
    if growth > _BOUND:
        wrong.append("the memory grew by too much")
    if not all(one.answered for one in talkers):
        wrong.append("somebody was not answered at all")
    return wrong


def main(argv: Sequence[str] | None = None) -> int:
    """Run it, and print what came of it."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.crowd", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--silent", type=int, default=1000, help="who never read")
    parser.add_argument("--honest", type=int, default=100, help="who do")
    parser.add_argument("--quick", action="store_true", help="a tenth of both")
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.silent, arguments.honest = 100, 10
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory(prefix="crowd-") as folder:
        wrong = asyncio.run(_run(arguments.silent, arguments.honest, Path(folder)))
    for what in wrong[:_REPORTED]:
        print(f"WRONG: {what[:500]}")
    print(f"{len(wrong)} violations")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
