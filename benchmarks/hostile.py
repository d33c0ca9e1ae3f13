"""Attacks on WebSockets, beside twenty clients that only talk: is anybody else hurt?

    python -m benchmarks.hostile
    python -m benchmarks.hostile --quick
    python -m benchmarks.hostile --only "ping flood"

One attack after the other, each by a process of its own that gives way to the others.
Meanwhile honest clients stream answers and check every word, a prober sends a little
message every few milliseconds and measures how long its answer takes, and the service,
which is the real program, notes how long each turn of its reactor takes. Of a turn,
CPU time is what the service did; the rest is a machine that has too little to give.

The exit status is 1 if an attack was not cut off, if somebody honest did not get the
right answer, if the service's memory grew by too much, or if it kept connections. How
long it was blocked is reported, and asserted unless `--quick` is given.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from benchmarks.attacks import (
    ATTACKS,
    START,
    UNKNOWN,
    Link,
    Outcome,
    frame,
    message,
    post,
)
from benchmarks.crowd import answer_to, upstream
from benchmarks.live import HOST, PATIENCE, Service
from benchmarks.websocket.frames import CLOSE, PING, PONG, Frames, request_of

_HONEST = 20
_TURN = 50.0  # milliseconds of CPU time that one turn of the reactor may take
_BOUND = 32 * 2**20  # bytes by which one attack may make the service grow
_SETTINGS = """
head_time = {wait}

[websocket]
ping = {wait}
pong = {wait}
"""
_WAIT, _QUICK_WAIT = 2.0, 0.4  # seconds for which the service is patient with clients
_PAUSE = 0.008  # seconds between two messages of the prober; it may send 200 a second
_RECORD = struct.Struct("ddd")


class Watched:
    """The system's poll, with an eye on how long the reactor takes between two.

    Args:
        poll: that of the reactor.
        records: a descriptor, to which when, how long, and how much CPU time is
            written of each turn that is not a short one.
    """

    _WORTH = 0.005  # seconds

    def __init__(self, poll: Any, records: int) -> None:
        self._poll, self._records = poll, records
        self._began = self._cpu = float("inf")

    def poll(self, *arguments: Any) -> Any:
        """Wait for what comes."""
        took = time.monotonic() - self._began
        if took > self._WORTH:
            cpu = time.thread_time() - self._cpu
            os.write(self._records, _RECORD.pack(self._began, took, cpu))
        ready = self._poll.poll(*arguments)
        self._began, self._cpu = time.monotonic(), time.thread_time()
        return ready

    def __getattr__(self, name: str) -> Any:
        return getattr(self._poll, name)


def serve(records: str, arguments: Sequence[str]) -> int:
    """Run `twist` with an eye on its reactor."""
    from twisted.application.twist._twist import Twist
    from twisted.internet import reactor

    written = os.open(records, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    watched: Any = reactor
    watched._poller = Watched(watched._poller, written)
    Twist.main(["twist", *arguments])
    return 0


def probe(port: int, records: str) -> int:
    """Say something every few milliseconds, and note how long the answer takes."""
    written = os.open(records, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    link, said = Link(port), message(UNKNOWN)
    while True:
        began = time.monotonic()
        link.send(said)
        link.heard.clear()
        if link.answers(2) < 2:
            return 1
        took = time.monotonic() - began
        os.write(written, _RECORD.pack(began, took, 0.0))
        time.sleep(_PAUSE)


class Records:
    """What a process writes down while it runs."""

    def __init__(self, path: Path) -> None:
        path.touch()
        self._file = path.open("rb")

    def news(self) -> list[tuple[float, float]]:
        """What was written since this was asked last, in milliseconds."""
        news = _RECORD.iter_unpack(self._file.read())
        return [(took * 1000, cpu * 1000) for _, took, cpu in news]


class Target(Service):
    """The service, whose reactor is watched.

    Args:
        folder: for all that it writes.
        upstream: the port of the service that answers.
        wait: seconds for which it is patient with clients.

    Attributes:
        turns: of its reactor.
    """

    def __init__(self, folder: Path, upstream: int, wait: float) -> None:
        database = f"sqlite:///{folder / 'hostile.db'}"
        super().__init__(folder, database, upstream, stall=wait)
        with (folder / "settings.toml").open("a") as settings:
            settings.write(_SETTINGS.format(wait=wait))
        records = folder / "turns"
        self.turns = Records(records)
        watched = ("-m", "benchmarks.hostile", "serve", str(records))
        at = self._command.index("-m")
        self._command[at : at + 2] = watched

    def sockets(self) -> int:
        """How many it has open; files of the database come and go as they like."""
        count = 0
        for descriptor in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                count += os.readlink(descriptor).startswith("socket:")
        return count


class Honest:
    """One who only talks.

    Attributes:
        answered: how many answers were right.
        wrong: what was not.
    """

    def __init__(self, port: int, number: int) -> None:
        self._port, self._next = port, number * 1_000_000
        self.answered = 0
        self.wrong: list[str] = []

    async def talk(self, over: asyncio.Event) -> None:
        """Ask, one question after the other."""
        try:
            self._reader, self._writer = await asyncio.open_connection(HOST, self._port)
            self._frames, self._heard = Frames(), list[Any]()
            self._writer.write(request_of(self._port, deflate=True) + message(START))
            session_id = (await self._hear())["data"]["session_id"]
            while not over.is_set():
                await self._ask(session_id)
                await asyncio.sleep(0.25)
            self._writer.close()
        except (OSError, ValueError, EOFError) as error:
            self.wrong.append(f"lost: {error!r}")

    async def _ask(self, session_id: str) -> None:
        self._next += 1
        self._writer.write(post(session_id, f"help {self._next} short", stream=True))
        told = [await self._hear()]
        while told[-1]["type"] not in {"processing_end", "error"}:
            told.append(await self._hear())
        paragraphs = answer_to(self._next, "short")
        chunks = [one["data"]["text"] for one in told[1:-2]]
        kinds = ["processing_start", *["message_chunk"] * len(paragraphs)]
        kinds += ["message", "processing_end"]
        right = [one["type"] for one in told] == kinds and chunks == paragraphs
        if right and told[-2]["data"] == "".join(paragraphs):
            self.answered += 1
        else:
            self.wrong.append(f"{self._next}: {told}")

    async def _hear(self) -> Any:
        while not self._heard:
            read = await asyncio.wait_for(self._reader.read(65_536), PATIENCE)
            if not read:
                raise EOFError
            for opcode, payload in self._frames.feed(read):
                if opcode == PING:
                    self._writer.write(frame(PONG, payload))
                elif opcode == CLOSE:
                    raise ValueError(f"closed: {payload!r}")
                else:
                    self._heard.append(json.loads(payload))
        return self._heard.pop(0)


class Row(msgspec.Struct):
    """What one attack came to.

    Attributes:
        turn: milliseconds of CPU time of the reactor's longest turn.
        wall: milliseconds that the longest took on the clock.
        delay: milliseconds of the prober's longest wait, and of its usual one.
        grown: bytes by which the service's memory grew.
        answers: that the honest got meanwhile.
    """

    name: str
    outcome: Outcome
    turn: float
    wall: float
    delay: tuple[float, float]
    grown: int
    answers: int

    def __str__(self) -> str:
        codes = ", ".join(
            code if count == 1 else f"{count} x {code}"
            for code, count in self.outcome.codes.items()
        )
        slowest = f"{self.outcome.slowest:.2f}" if self.outcome.slowest else ""
        longest, usual = self.delay
        return (
            f"{self.name:23}{codes:>18}{slowest:>8}{self.turn:8.1f}{self.wall:8.1f}"
            f"{longest:8.1f}{usual:7.1f}{self.grown / 2**20:8.1f}{self.answers:7}"
        )


_TITLES = (
    f"{'':23}{'':>18}{'cut':>8}{'longest turn':>16}{'prober waits':>15}{'':>8}\n"
    f"{'attack':23}{'code':>18}{'after s':>8}{'CPU ms':>8}{'ms':>8}"
    f"{'most ms':>8}{'usual':>7}{'MiB':>8}{'right':>7}"
)


class Scene:
    """The service, those who talk to it, and who attacks it.

    Args:
        folder: for all that is written.
        quick: a tenth of each attack is enough.
    """

    def __init__(self, folder: Path, quick: bool) -> None:
        self._folder, self._share = folder, 0.1 if quick else 1.0
        self._wait = _QUICK_WAIT if quick else _WAIT
        self._over = asyncio.Event()
        self._processes: list[asyncio.subprocess.Process] = []

    async def run(self, names: Sequence[str]) -> list[str]:
        """All of it; returns what was wrong."""
        answering = await asyncio.start_server(upstream, HOST, 0, backlog=4096)
        port = answering.sockets[0].getsockname()[1]
        self._target = target = Target(self._folder, port, self._wait)
        target.start()
        try:
            await target.ready()
            before = target.sockets()
            numbers = range(1, _HONEST + 1)
            self._talkers = [Honest(target.port, number) for number in numbers]
            talking = asyncio.gather(*(one.talk(self._over) for one in self._talkers))
            wrong = await self._attacked(names)
            self._over.set()
            await talking
            end = time.monotonic() + PATIENCE
            while (left := target.sockets() - before) > 0:
                await asyncio.sleep(0.1)
                if time.monotonic() > end:
                    wrong.append(f"{left} more sockets are open than before")
                    break
        finally:
            await self._ended()
            target.kill()
            answering.close()
        wrong += [what for one in self._talkers for what in one.wrong]
        if faults := target.log.read_text(errors="replace").count("Traceback"):
            wrong.append(f"{faults} tracebacks in the log")
        return wrong

    async def _attacked(self, names: Sequence[str]) -> list[str]:
        delays, target, wrong = self._folder / "delays", self._target, list[str]()
        self._delays = Records(delays)
        probe = ("benchmarks.hostile", "probe", str(target.port), str(delays))
        prober = await self._started(*probe)
        self._attacker = await self._started("benchmarks.attacks", str(target.port))
        print(_TITLES)
        # What comes first takes longer than it ever will again, and is not measured.
        await self._attack("nonsense")
        for name in ("nobody", *names):
            row = await self._measured(name)
            print(row, flush=True)
            wrong += _faults(row, self._share < 1)
        if prober.returncode is not None:
            wrong.append("the prober was cut off")
        await self._ended()
        return wrong

    async def _ended(self) -> None:
        for process in self._processes:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def _started(self, *command: str) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", *command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._processes.append(process)
        return process

    async def _attack(self, name: str) -> Outcome:
        taking, giving = self._attacker.stdin, self._attacker.stdout
        assert taking is not None
        assert giving is not None
        taking.write(f"{name} {self._share}\n".encode())
        said = await giving.readline()
        if not said:
            raise RuntimeError(f"the attacker failed at {name!r}")
        return msgspec.json.decode(said, type=Outcome)

    async def _measured(self, name: str) -> Row:
        """One attack, and what it came to."""
        self._target.turns.news()
        self._delays.news()
        before, answered = self._target.resident(), self._answered()
        if name in ATTACKS:
            outcome = await self._attack(name)
        else:
            await asyncio.sleep(5 * self._share)
            outcome = Outcome()
        grown = self._target.resident() - before
        await asyncio.sleep(self._share)  # what comes of it may come later
        turns = self._target.turns.news()
        waits = [took for took, _ in self._delays.news()]
        return Row(
            name,
            outcome,
            max((cpu for _, cpu in turns), default=0.0),
            max((took for took, _ in turns), default=0.0),
            (max(waits, default=0.0), median(waits or [0.0])),
            grown,
            self._answered() - answered,
        )

    def _answered(self) -> int:
        return sum(one.answered for one in self._talkers)


def _faults(row: Row, quick: bool) -> list[str]:
    """What is wrong with it."""
    wrong, one = list(row.outcome.wrong), ATTACKS.get(row.name)
    if one is not None and one.codes:
        codes = {int(code) for code in row.outcome.codes}
        if not codes <= one.codes:
            wrong.append(f"it was not cut off as it should be: {row.outcome.codes}")
        if row.outcome.slowest > one.within and not quick:
            wrong.append(f"that took {row.outcome.slowest:.1f} s")
    if row.grown > _BOUND:
        wrong.append(f"the memory grew by {row.grown / 2**20:.1f} MiB")
    if row.turn > _TURN and not quick:
        wrong.append(f"the service was blocked for {row.turn:.0f} ms")
    return [f"{row.name}: {what}" for what in wrong]


def main(argv: Sequence[str] | None = None) -> int:
    """Run it, and print what came of it."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv[:1] == ["serve"]:
        return serve(argv[1], argv[2:])
    if argv[:1] == ["probe"]:
        return probe(int(argv[1]), argv[2])
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.hostile", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--only", choices=ATTACKS, help="one attack")
    parser.add_argument("--quick", action="store_true", help="a tenth of each")
    arguments = parser.parse_args(argv)
    names = [arguments.only] if arguments.only else list(ATTACKS)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
        wrong = asyncio.run(Scene(Path(folder), arguments.quick).run(names))
    for what in wrong[:20]:
        print(f"WRONG: {what[:500]}")
    print(f"{len(wrong)} violations")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
