"""Which servers write to a database, and whether they are alive."""

from __future__ import annotations

import os
import platform
import random
from collections.abc import Callable

import msgspec
from sqlalchemy import Connection

from supportbot.transcripts import statements
from supportbot.transcripts.batch import Change
from supportbot.transcripts.statements import Statements

LEASE = 15.0
"""Seconds for which a server counts as alive after it was heard of."""
REFRESH = 5.0
"""Seconds between two signs of life."""


class Server(msgspec.Struct, frozen=True):
    """A process that writes.

    Attributes:
        number: chosen anew by each; from 1, below 2**31.
        place: the machine, and on Linux the boot and the room for process ids in it.
        pid: within the place.
    """

    number: int
    place: str
    pid: int

    def key(self, append: int) -> int:
        """What marks the events of one append.

        Args:
            append: which one, from 1; they may go on for 2**32.
        """
        return self.number << 32 | append & 0xFFFFFFFF

    def wrote(self, key: int) -> bool:
        """Whether an event with this key is ours."""
        return key >> 32 == self.number

    def sign(self, now: float) -> Change:
        """Says that we are alive, and removes those that are not."""
        row = {
            "number": self.number,
            "place": self.place,
            "pid": self.pid,
            "alive_until": now + LEASE,
        }

        def do(connection: Connection, writing: Statements) -> None:
            connection.execute(statements.bury, {"now": now})
            connection.execute(writing.refresh, row)

        return Change(do)

    def leave(self) -> Change:
        """Says that we are gone."""

        def do(connection: Connection, writing: Statements) -> None:
            connection.execute(statements.unregister, {"this": self.number})

        return Change(do)

    def alive(
        self,
        connection: Connection,
        number: int,
        now: float,
        runs: Callable[[int], bool],
    ) -> bool:
        """Whether another server lives.

        Args:
            runs: whether there is a process with this id at our place.
        """
        row = connection.execute(statements.server, {"number": number}).one_or_none()
        if row is None or row.alive_until < now or number == self.number:
            return False
        # One with our own id is dead too: the id was given again, to us.
        return row.place != self.place or (row.pid != self.pid and runs(row.pid))


def this_server(rng: random.Random | None = None) -> Server:
    """This process, with a new number."""
    rng = rng or random.SystemRandom()
    return Server(rng.randrange(1, 2**31), _place(), os.getpid())


def runs(pid: int) -> bool:
    """Whether there is a process with this id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _place() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return platform.node()
