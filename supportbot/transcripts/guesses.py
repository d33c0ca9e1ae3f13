"""Where tries at PINs are counted that outlive the process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec
from sqlalchemy import Connection
from twisted.internet.defer import Deferred

from supportbot.guessing import ALL, Times, Try, customer_key, is_flood
from supportbot.settings.shop import GuessSettings
from supportbot.transcripts import statements
from supportbot.transcripts.memory_guesses import Alarm
from supportbot.transcripts.sql import SqlStore
from supportbot.transcripts.statements import Statements

_T = TypeVar("_T")

_FORGOTTEN = 20
"""Old rows that are removed with each try; it adds four at the most."""

_encode = msgspec.json.encode
_decode = msgspec.json.Decoder(Times).decode


class SqlGuesses:
    """Count tries in a database, together with all who use it; see `Guesses`.

    A transaction takes hold of the row `all` first, then reads and writes: one after
    the other in all processes together, so that none misses another's try, and none
    waits for one that waits for it.

    Args:
        store: of the transcripts, which has the database.
    """

    def __init__(self, store: SqlStore, settings: GuessSettings) -> None:
        self._store, self._settings = store, settings
        self._alarm = Alarm(settings)

    def begin(
        self, email: str, conversation_id: str, client: str, now: float
    ) -> Deferred[float]:
        one = Try(self._settings, email, conversation_id, client)

        def do(connection: Connection, writing: Statements) -> tuple[float, bool]:
            wait = count(connection, writing, one, now)
            return wait, is_flood(self._settings, _read(connection, one))

        def begun(result: tuple[float, bool]) -> float:
            wait, flood = result
            if flood:
                self._alarm.ring(now)
            return wait

        return self._store.change(do).addCallback(begun)

    def wait(
        self, email: str, conversation_id: str, client: str, now: float
    ) -> Deferred[float]:
        one = Try(self._settings, email, conversation_id, client)

        def do(connection: Connection, writing: Statements) -> float:
            return one.wait(_read(connection, one), now)

        return self._store.change(do)

    def right(
        self, email: str, conversation_id: str, client: str, now: float
    ) -> Deferred[None]:
        one = Try(self._settings, email, conversation_id, client)
        return self._change(one, lambda counted: one.right(counted, now))

    def void(
        self, email: str, conversation_id: str, client: str, now: float
    ) -> Deferred[None]:
        one = Try(self._settings, email, conversation_id, client)
        return self._change(one, lambda counted: one.void(counted, now))

    def unlock(self, email: str) -> Deferred[bool]:
        def do(connection: Connection, writing: Statements) -> bool:
            return unlock(connection, writing, email)

        return self._store.change(do)

    def _change(
        self, one: Try, change: Callable[[Mapping[str, Times]], Mapping[str, Times]]
    ) -> Deferred[None]:
        def do(connection: Connection, writing: Statements) -> None:
            changed = change(_held(connection, writing, one))
            _keep(connection, writing, one, changed)

        return self._store.change(do)


def count(connection: Connection, writing: Statements, one: Try, now: float) -> float:
    """Count a try, unless it has to wait: the seconds of that. Forgets what is old."""
    wait, changed = one.begin(_held(connection, writing, one), now)
    _keep(connection, writing, one, changed)
    connection.execute(statements.forget_guesses, {"now": now, "limit": _FORGOTTEN})
    return wait


def unlock(connection: Connection, writing: Statements, email: str) -> bool:
    """Let a customer try again at once; whether there was anything to forget."""
    connection.execute(writing.hold_guesses, {"key": ALL})
    key = customer_key(email)
    counted = connection.execute(statements.guessed, {"keys": [key]}).one_or_none()
    connection.execute(statements.unlock, {"name": key})
    return counted is not None and bool(_decode(counted.times))


def _held(connection: Connection, writing: Statements, one: Try) -> Mapping[str, Times]:
    """What is counted, which nobody else changes before the transaction ends."""
    connection.execute(writing.hold_guesses, {"key": ALL})
    return _read(connection, one)


def _read(connection: Connection, one: Try) -> Mapping[str, Times]:
    rows = connection.execute(statements.guessed, {"keys": list(one.keys)})
    return {row.key: _decode(row.times) for row in rows}


def _keep(
    connection: Connection, writing: Statements, one: Try, changed: Mapping[str, Times]
) -> None:
    rows = [
        {
            "key": key,
            "times": _encode(times).decode(),
            "forget_at": one.forget_at(key, times),
        }
        for key, times in changed.items()
    ]
    if rows:
        connection.execute(writing.count_guesses, rows)
