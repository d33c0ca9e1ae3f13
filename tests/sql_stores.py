"""Stores in databases of the tests' own."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import cast

from twisted.internet.threads import deferToThreadPool

from supportbot.errors import StoreError
from supportbot.settings import TranscriptsSettings
from supportbot.transcripts.servers import Server
from supportbot.transcripts.sql import SqlStore
from supportbot.transcripts.threads import Threads
from supportbot.transcripts.writer import ThreadedReactor

NOW = 1_000.0


def sqlite_url(folder: Path) -> str:
    """The URL of a file that may be there or not."""
    return f"sqlite:///{folder / 'transcripts.db'}"


def sqlite_file(folder: Path) -> sqlite3.Connection:
    """The same file, for another program."""
    return sqlite3.connect(folder / "transcripts.db", isolation_level=None, timeout=0)


async def open_store(
    reactor: ThreadedReactor,
    url: str,
    settings: TranscriptsSettings,
    now: Callable[[], float],
    server: Server | None = None,
) -> SqlStore:
    """A store that is prepared beside the reactor, and started."""
    store = SqlStore(reactor, url, settings.patience, now, server)
    opening = Threads(1, 1, name="opening")
    opening.start()
    try:
        await deferToThreadPool(reactor, opening, store.prepare)
    finally:
        opening.stop()
    try:
        await store.start()
    except StoreError:
        await store.close()
        raise
    return store


async def opened(
    url: str,
    patience: float = 5.0,
    server: Server | None = None,
    now: Callable[[], float] = lambda: NOW,
) -> SqlStore:
    """A store in a database; PostgreSQL's has our tables already."""
    from twisted.internet import reactor

    settings = TranscriptsSettings(patience=patience)
    return await open_store(cast(ThreadedReactor, reactor), url, settings, now, server)
