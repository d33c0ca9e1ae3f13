"""A database by its URL: how to connect to it, and whether it is one of ours."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from math import ceil
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import NullPool, QueuePool

from supportbot.errors import StoreUnusable
from supportbot.transcripts import schema
from supportbot.transcripts.faults import Broken, fault_of
from supportbot.transcripts.lifelines import Lifelines

READERS = 4
"""Connections, and threads, that read."""

_OLDEST_SQLITE = (3, 38)  # the first that knows ->>
_KNOWN = "expected sqlite:///PATH or postgresql+psycopg://USER@HOST/NAME"
_LOCK_WAIT = 0.25  # seconds in SQLite; then the writer looks whether to go on


def upgrade(url: str) -> tuple[str, str]:
    """Bring a database to our schema; blocks.

    Returns:
        The version that it had, and that it has; an empty database has ``.

    Raises:
        StoreUnusable: says in one line what, where, and how to mend it.
    """
    database = Database(url, patience=5.0)
    try:
        return database.prepare(upgrade=True)
    finally:
        database.dispose()


class Database:
    """A database, and the connections to it.

    Args:
        patience: seconds to wait for a lock or a connection.
        migrations: the folder with the steps to our schema.
        monotonic: the time in seconds.

    Attributes:
        name: the URL without its password.
        dialect: `sqlite` or `postgresql`.
        path: of SQLite's file; else None.
        lifelines: who uses a connection holds one.

    Raises:
        StoreUnusable: the URL names nothing that we can work with.
    """

    def __init__(
        self,
        url: str,
        patience: float,
        migrations: Path = schema.MIGRATIONS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = _parsed(url)
        self.dialect = self._url.get_backend_name()
        self.path = Path(self._url.database or "") if self.dialect == "sqlite" else None
        self.name = _shown(self._url)
        self._patience, self._migrations = patience, migrations
        self.lifelines = Lifelines(2 * patience, monotonic)
        self._identity: tuple[int, int] | None = None
        wait = min(patience, _LOCK_WAIT)
        self._writing = self._engine(NullPool, wait, begin="BEGIN IMMEDIATE")
        self._reading = self._engine(
            QueuePool, patience, "BEGIN", pool_size=READERS, max_overflow=0
        )

    def prepare(self, *, upgrade: bool) -> tuple[str, str]:
        """See that we can work with it; blocks.

        Args:
            upgrade: also bring its schema up to date.

        Returns:
            The schema's version before and after.

        Raises:
            StoreUnusable: we can't.
        """
        try:
            if self.path is not None:
                _make_file(self.path)
            with self.writer() as connection, connection.begin():
                return schema.prepare(
                    connection, self.name, self._migrations, upgrade=upgrade
                )
        except Broken as error:
            fault = fault_of(error)
            line = f"{self.name}: {fault.reason}; {fault.cure}"
            raise StoreUnusable(line) from error

    def writer(self) -> Connection:
        """A new connection, whose transactions take the write lock as they begin."""
        return self._writing.connect()

    def reader(self) -> Connection:
        """A connection to read; a used one if there is one."""
        return self._reading.connect()

    def moved(self) -> bool:
        """Whether another file lies where ours was; the connections are stale then."""
        if self.path is None or self._identity is None:
            return False
        try:
            moved = _identity(self.path) != self._identity
        except OSError:
            moved = True
        if moved:
            self._identity = None
            self._reading.dispose()
        return moved

    def dispose(self) -> None:
        """Close what is not in use."""
        self._reading.dispose()
        self._writing.dispose()

    def _engine(
        self, pool: type[NullPool | QueuePool], wait: float, begin: str, **options: Any
    ) -> Engine:
        if self.dialect == "postgresql":
            return self._postgresql(pool, options)
        engine = create_engine(
            "sqlite://",
            creator=lambda: self._sqlite(wait),
            poolclass=pool,
            hide_parameters=True,
            **options,
        )

        @event.listens_for(engine, "begin")
        def begins(connection: Connection) -> None:
            connection.exec_driver_sql(begin)

        return engine

    def _postgresql(
        self, pool: type[NullPool | QueuePool], options: dict[str, Any]
    ) -> Engine:
        milliseconds = ceil(self._patience * 1000)
        connecting = {
            "connect_timeout": max(2, ceil(self._patience)),
            "tcp_user_timeout": milliseconds,
            "keepalives_idle": max(1, ceil(self._patience)),
            "application_name": "supportbot",
        }
        query = self._url.query
        given = {key: value for key, value in connecting.items() if key not in query}
        try:
            engine = create_engine(
                self._url,
                poolclass=pool,
                connect_args=given,
                hide_parameters=True,
                **options,
            )
        except ModuleNotFoundError as error:
            line = f"{self.name}: psycopg is missing; install supportbot[postgresql]"
            raise StoreUnusable(line) from error

        @event.listens_for(engine, "connect")
        def connects(connection: Any, record: object) -> None:
            with connection.cursor() as cursor:
                cursor.execute(f"SET lock_timeout = {milliseconds}")
            connection.commit()

        return engine

    def _sqlite(self, wait: float) -> sqlite3.Connection:
        assert self.path is not None
        connection = sqlite3.connect(
            f"file:{quote(str(self.path))}?mode=rw",  # make no new one
            uri=True,
            timeout=wait,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            identity = _identity(self.path)
            for pragma in (
                "journal_mode = WAL",
                "synchronous = FULL",
                "secure_delete = ON",
            ):
                connection.execute(f"PRAGMA {pragma}").fetchall()
        except BaseException:
            connection.close()
            raise
        self._identity = identity
        return connection


def _parsed(text: str) -> URL:
    try:
        url = make_url(text)
        known = url.get_backend_name(), url.get_driver_name()
    except NoSuchModuleError as error:
        # The text of the error holds nothing but the scheme.
        raise StoreUnusable(f"database {url.drivername}://…: {_KNOWN}") from error
    except (ArgumentError, ValueError):
        raise StoreUnusable(f"the database's URL can't be read: {_KNOWN}") from None
    if url.drivername in {"postgres", "postgresql"}:
        return url.set(drivername="postgresql+psycopg")
    name = _shown(url)
    if known not in {("sqlite", "pysqlite"), ("postgresql", "psycopg")}:
        raise StoreUnusable(f"{name}: {_KNOWN}")
    if known[0] == "postgresql":
        return url
    if url.database in {None, "", ":memory:"}:
        raise StoreUnusable(f"{name}: names no file; say `memory` to store nothing")
    if url.query or url.host:
        raise StoreUnusable(f"{name}: expected sqlite:///PATH and nothing more")
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        oldest = ".".join(map(str, _OLDEST_SQLITE))
        raise StoreUnusable(
            f"{name}: SQLite {sqlite3.sqlite_version} is too old; use {oldest}"
        )
    return url


def _identity(path: Path) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _make_file(path: Path) -> None:
    """Make the file, for nobody else to read, unless there is one."""
    if path.is_dir():
        raise StoreUnusable(f"{path}: is a directory; name a file in it")
    if not path.parent.is_dir():
        raise StoreUnusable(f"{path}: there is no directory {path.parent}; make it")
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        reason = (error.strerror or "can't be opened").lower()
        cure = "let the user that runs supportbot write the file and its directory"
        raise StoreUnusable(f"{path}: {reason}; {cure}") from error


def checkpoint(connection: Connection) -> bool:
    """Move what is in SQLite's log into its file, and empty the log.

    Args:
        connection: outside of a transaction.

    Returns:
        Whether it could be done; somebody may still be reading there.
    """
    # Not through SQLAlchemy, which would begin a transaction.
    driver: Any = connection.connection.dbapi_connection
    row = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return bool(row[0] == 0)


def _shown(url: URL) -> str:
    """A URL without what may be secret in it."""
    return url.set(query={}).render_as_string(hide_password=True)
