"""What both peers keep of a conversation."""

from __future__ import annotations

from collections import defaultdict
from typing import Protocol

import aiosqlite

_TABLE = """
CREATE TABLE IF NOT EXISTS messages (
    id INTEGER PRIMARY KEY,
    session_id TEXT NOT NULL,
    role TEXT NOT NULL,
    content TEXT NOT NULL,
    created TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
)
"""


class History(Protocol):
    """Where messages are kept."""

    async def open(self) -> None:
        """Before the first message."""

    async def add(self, session_id: str, role: str, content: str) -> None:
        """Keep a message; it is safe afterwards."""

    async def close(self) -> None:
        """After the last."""


class MemoryHistory:
    """Messages in a dictionary."""

    def __init__(self) -> None:
        self._sessions: dict[str, list[dict[str, str]]] = defaultdict(list)

    async def open(self) -> None:
        """Nothing to open."""

    async def add(self, session_id: str, role: str, content: str) -> None:
        """Keep a message until the process ends."""
        self._sessions[session_id].append({"role": role, "content": content})

    async def close(self) -> None:
        """Nothing to close."""


class SQLiteHistory:
    """Messages in a file, over one connection that all requests share.

    The journal is a write-ahead log, as SQLite's documentation recommends for servers,
    and as safe as it is by default: a commit is on the disk.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    async def open(self) -> None:
        """Connect, and make the table."""
        self._database = await aiosqlite.connect(self._path)
        await self._database.execute("PRAGMA journal_mode=WAL")
        await self._database.execute(_TABLE)
        await self._database.commit()

    async def add(self, session_id: str, role: str, content: str) -> None:
        """Insert a message and commit."""
        await self._database.execute(
            "INSERT INTO messages (session_id, role, content) VALUES (?, ?, ?)",
            (session_id, role, content),
        )
        await self._database.commit()

    async def close(self) -> None:
        """Disconnect."""
        await self._database.close()


def history_of(path: str) -> History:
    """A history in this file, or in memory if the path is empty."""
    return SQLiteHistory(path) if path else MemoryHistory()
