"""A PostgreSQL server of the tests' own, with Debian's programs."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import psycopg
from sqlalchemy import make_url

from supportbot.transcripts.database import upgrade

PORT = 54329
"""It listens on no network; the number is part of its socket's name."""

_PROGRAMS = "/usr/lib/postgresql"
_SETTINGS = (
    "-c listen_addresses= -c fsync=off -c full_page_writes=off -c shared_buffers=16MB"
    " -c max_connections=60 -c logging_collector=off -c log_min_messages=panic"
)


class Cluster:
    """A running server.

    Args:
        folder: for its files and its socket.
        programs: where `initdb` and `pg_ctl` are.
        user: who runs it, or None for whoever runs the tests.
    """

    def __init__(self, folder: Path, programs: Path, user: str | None) -> None:
        self._folder, self._programs, self._user = folder, programs, user
        self._databases, self._shared = 0, cast("str | None", None)

    def start(self) -> None:
        """Fires up the server; it answers when this returns."""
        options = f"{_SETTINGS} -p {PORT} -k {self._folder}"
        self._run("pg_ctl", "-w", "-t", "30", "-l", "log", "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop it: `fast` ends all connections, `immediate` is a crash."""
        self._run("pg_ctl", "-w", "-t", "30", "-m", mode, "stop")

    def make(self) -> None:
        """Make its files."""
        self._run("initdb", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync")

    def sql(self, statement: str, url: str | None = None) -> list[tuple[object, ...]]:
        """What a statement gives, in a database or in none."""
        where = _conninfo(url) if url else {"host": str(self._folder), "port": PORT}
        connected = psycopg.connect(user="postgres", autocommit=True, **where)
        with connected as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def database(self) -> str:
        """The URL of a new, empty database."""
        self._databases += 1
        name = f"t{self._databases}"
        self.sql(f"CREATE DATABASE {name}")
        host = quote(str(self._folder), safe="")
        return f"postgresql+psycopg://postgres@/{name}?host={host}&port={PORT}"

    def migrated(self) -> str:
        """The URL of a new database with our tables."""
        url = self.database()
        upgrade(url)
        return url

    def emptied(self) -> str:
        """The URL of a database with nothing in our tables, which may have had much."""
        if self._shared is None:
            self._shared = self.migrated()
        self.sql("TRUNCATE conversations, events, guesses, servers", self._shared)
        return self._shared

    def kill_backends(self, url: str, sign: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal to those who serve a database; how many these were."""
        question = "SELECT pid FROM pg_stat_activity WHERE datname = '{dbname}'"
        pids = [row[0] for row in self.sql(question.format(**_conninfo(url)))]
        for pid in pids:
            assert isinstance(pid, int)
            os.kill(pid, sign)
        return len(pids)

    def freeze(self) -> None:
        """Stop all of it where it stands; it keeps its connections and says nothing."""
        os.kill(self._pid(), signal.SIGSTOP)
        self._signal_children(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        # The first process last: until it goes on, no child's number is given up.
        self._signal_children(signal.SIGCONT)
        os.kill(self._pid(), signal.SIGCONT)

    def _pid(self) -> int:
        lines = (self._folder / "files" / "postmaster.pid").read_text().splitlines()
        return int(lines[0])

    def _signal_children(self, sign: signal.Signals) -> None:
        tree = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self._pid())],
            capture_output=True,
            text=True,
        )
        for pid in tree.stdout.split():
            os.kill(int(pid), sign)

    def _run(self, program: str, *arguments: str) -> str:
        ran = subprocess.run(
            [str(self._programs / program), *arguments],
            env={**os.environ, "PGDATA": str(self._folder / "files")},
            cwd=self._folder,
            user=self._user,
            group=self._user,
            extra_groups=[] if self._user else None,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            # pg_ctl's server keeps what it inherits; a pipe would never end.
            stderr=subprocess.DEVNULL if program == "pg_ctl" else subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
        assert ran.returncode == 0, f"{program}: {ran.stdout} {ran.stderr}"
        return ran.stdout


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A new server, which is gone afterwards with all that was in it."""
    found = sorted(Path(_PROGRAMS).glob("*/bin/initdb"))
    assert found, "these tests need PostgreSQL: apt-get install postgresql"
    user = _somebody() if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="sb-pg-", dir="/tmp"))  # sockets: short names
    if user is not None:
        shutil.chown(folder, user, user)
    server = Cluster(folder, found[-1].parent, user)
    try:
        server.make()
        server.start()
        try:
            yield server
        finally:
            server.thaw()
            server.stop("immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _conninfo(url: str) -> dict[str, Any]:
    parsed = make_url(url)
    return {"dbname": parsed.database, **parsed.query}


def _somebody() -> str:
    """PostgreSQL does not run as root."""
    names: list[str] = [one.pw_name for one in pwd.getpwall()]
    return "postgres" if "postgres" in names else "nobody"
