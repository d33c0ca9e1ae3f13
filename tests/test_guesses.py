"""Tries at PINs are counted in memory, SQLite and PostgreSQL alike."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
import pytest_twisted
from sqlalchemy import Connection
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogPublisher
from zope.interface import implementer

from supportbot.errors import StoreError
from supportbot.interfaces import Guesses
from supportbot.settings.shop import GuessSettings
from supportbot.transcripts.database import Database, upgrade
from supportbot.transcripts.guesses import SqlGuesses
from supportbot.transcripts.memory_guesses import MemoryGuesses
from supportbot.transcripts.sql import SqlStore
from supportbot.transcripts.statements import Statements
from tests.sql_stores import opened, sqlite_file, sqlite_url

_T = TypeVar("_T")

pytest_plugins = ("tests.postgres_fixture",)

DEFAULT = GuessSettings()
HOUR, DAY = 3_600.0, 86_400.0
START = 1_700_000_000.0
ALICE = ("alice@example.com", "session-of-alice", "192.0.2.77")
Make = Callable[[GuessSettings], Guesses]


@pytest_twisted.async_yield_fixture(params=("memory", "sqlite", "postgresql"))
async def make(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Make]:
    """Makes what counts."""
    if request.param == "memory":
        yield MemoryGuesses
        return
    store = await opened(url_of(request, tmp_path, request.param))
    yield lambda settings: SqlGuesses(store, settings)
    await store.close()


@pytest_twisted.async_yield_fixture(params=("sqlite", "postgresql"))
async def stores(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[list[SqlStore]]:
    """What two processes have of one database."""
    url = url_of(request, tmp_path, request.param)
    both = [await opened(url), await opened(url)]
    yield both
    for store in both:
        await store.close()


def url_of(request: pytest.FixtureRequest, folder: Path, dialect: str) -> str:
    if dialect == "sqlite":
        return sqlite_url(folder)
    new: str = request.getfixturevalue("postgres_server").migrated()
    return new


@implementer(ILogObserver)
class Warnings:
    """A log observer that keeps what is wrong."""

    def __init__(self) -> None:
        self.events: list[LogEvent] = []

    def __call__(self, event: LogEvent) -> None:
        if event["log_level"] >= LogLevel.warn:
            self.events.append(event)


@pytest.fixture
def warnings() -> Iterator[list[LogEvent]]:
    """What operators are told."""
    told = Warnings()
    globalLogPublisher.addObserver(told)
    yield told.events
    globalLogPublisher.removeObserver(told)


# What all of them promise


@pytest_twisted.ensureDeferred
async def test_a_wrong_pin_makes_the_customer_wait(make: Make) -> None:
    guesses = make(DEFAULT)
    assert await guesses.begin(*ALICE, START) == 0.0
    assert await guesses.begin(*ALICE, START + 0.5) == 1.5
    assert await guesses.begin(*ALICE, START + 2.0) == 0.0
    assert await guesses.begin(*ALICE, START + 6.0) == 0.0
    assert await guesses.begin(*ALICE, START + 6.0) == 900.0


@pytest_twisted.ensureDeferred
async def test_any_spelling_means_the_same_customer(make: Make) -> None:
    guesses = make(DEFAULT)
    await guesses.begin(*ALICE, START)
    assert await guesses.begin(" ALICE@example.com", "t", "", START) == 2.0


@pytest_twisted.ensureDeferred
async def test_to_ask_how_long_counts_nothing(make: Make) -> None:
    guesses = make(DEFAULT)
    assert await guesses.wait(*ALICE, START) == 0.0
    assert await guesses.begin(*ALICE, START) == 0.0
    assert await guesses.wait(*ALICE, START) == 2.0
    assert await guesses.wait(*ALICE, START + 2.0) == 0.0
    assert await guesses.begin(*ALICE, START + 2.0) == 0.0


@pytest_twisted.ensureDeferred
async def test_a_right_pin_lets_the_customer_begin_anew(make: Make) -> None:
    guesses = make(DEFAULT)
    for at in (0.0, 2.0, 6.0):
        assert await guesses.begin(*ALICE, START + at) == 0.0
    await guesses.right(*ALICE, START + 6.0)
    assert await guesses.begin(*ALICE, START + 6.0) == 0.0
    assert await guesses.wait(*ALICE, START + 6.0) == 2.0


@pytest_twisted.ensureDeferred
async def test_right_pins_never_fill_a_session(make: Make) -> None:
    guesses = make(DEFAULT)
    for number in range(30):
        assert await guesses.begin(*ALICE, START + number) == 0.0
        await guesses.right(*ALICE, START + number)


@pytest_twisted.ensureDeferred
async def test_somebodys_own_pin_clears_nothing_of_the_session(make: Make) -> None:
    guesses = make(DEFAULT)
    for number in range(5):
        assert await guesses.begin(f"{number}@b.c", "s", "", START + number) == 0.0
        if number < 4:
            assert await guesses.begin("me@b.c", "s", "", START + number) == 0.0
            await guesses.right("me@b.c", "s", "", START + number)
    assert await guesses.begin("me@b.c", "s", "", START + 5.0) == HOUR - 5.0


@pytest_twisted.ensureDeferred
async def test_what_nobody_could_tell_does_not_count(make: Make) -> None:
    guesses = make(DEFAULT)
    for number in range(30):
        assert await guesses.begin(*ALICE, START + number) == 0.0
        await guesses.void(*ALICE, START + number)


@pytest_twisted.ensureDeferred
async def test_a_customer_is_unlocked_and_the_session_is_not(make: Make) -> None:
    guesses = make(GuessSettings(session_tries=4))
    for at in (0.0, 2.0, 6.0):
        await guesses.begin(*ALICE, START + at)
    assert await guesses.unlock("bob@example.com") is False
    assert await guesses.unlock("Alice@Example.com") is True
    assert await guesses.unlock("alice@example.com") is False
    assert await guesses.begin(*ALICE, START + 7.0) == 0.0
    assert await guesses.unlock("alice@example.com") is True
    assert await guesses.begin(*ALICE, START + 7.0) == HOUR - 7.0


@pytest_twisted.ensureDeferred
async def test_nothing_is_left_to_unlock_after_a_right_pin(make: Make) -> None:
    guesses = make(DEFAULT)
    await guesses.begin(*ALICE, START)
    await guesses.right(*ALICE, START)
    assert await guesses.unlock(ALICE[0]) is False


@pytest_twisted.ensureDeferred
async def test_guesses_made_side_by_side_are_all_counted(make: Make) -> None:
    for settings, email, session, client, most in (
        (DEFAULT, "a@b.c", "s{}", "192.0.2.{}", 1),
        (DEFAULT, "{}@b.c", "s", "192.0.2.{}", 5),
        (DEFAULT, "{}@b.d", "t{}", "198.51.100.1", 10),
        (GuessSettings(all_tries=20), "{}@b.e", "u{}", "", 20),
    ):
        guesses, now = make(settings), START + most * HOUR
        waits = await gatherResults(
            [
                guesses.begin(
                    email.format(number),
                    session.format(number),
                    client.format(number),
                    now,
                )
                for number in range(50)
            ]
        )
        assert waits.count(0.0) == most


@pytest_twisted.ensureDeferred
async def test_a_flood_is_told_once_a_minute(
    make: Make, warnings: list[LogEvent]
) -> None:
    guesses = make(GuessSettings(all_tries=3))
    for number in range(2):
        await guesses.begin(f"{number}@b.c", f"{number}", "", START)
    assert warnings == []
    for number in range(2, 9):
        await guesses.begin(f"{number}@b.c", f"{number}", "", START + number)
    assert len(warnings) == 1
    assert warnings[0]["most"] == 3
    for number in range(9, 15):
        await guesses.begin(f"{number}@b.c", f"{number}", "", START + 70.0)
    assert len(warnings) == 2


# In memory


@pytest_twisted.ensureDeferred
async def test_memory_forgets_what_counts_no_more() -> None:
    guesses = MemoryGuesses(GuessSettings(all_tries=10**6))
    await guesses.begin(*ALICE, START + 3 * DAY)
    for number in range(3_000):
        await guesses.begin(f"{number}@b.c", f"{number}", "", START + 60.0 * number)
    assert len(guesses._counted) < 4_000  # 1,500 are not over
    assert await guesses.wait(*ALICE, START + 3 * DAY) > 0


# In a database


@pytest_twisted.ensureDeferred
async def test_processes_count_together(stores: list[SqlStore]) -> None:
    both = [SqlGuesses(store, DEFAULT) for store in stores]
    for email, session, client, most in (
        ("a@b.c", "s{}", "192.0.2.{}", 1),
        ("{}@b.c", "s", "192.0.2.{}", 5),
        ("{}@b.d", "t{}", "198.51.100.1", 10),
    ):
        waits = await gatherResults(
            [
                both[number % 2].begin(
                    email.format(number),
                    session.format(number),
                    client.format(number),
                    START + most * HOUR,
                )
                for number in range(50)
            ]
        )
        assert waits.count(0.0) == most


@pytest_twisted.ensureDeferred
async def test_nobody_waits_for_one_who_waits_for_them(stores: list[SqlStore]) -> None:
    wide = GuessSettings(session_tries=999, address_tries=999, all_tries=999)
    both = [SqlGuesses(store, wide) for store in stores]
    asked: list[Deferred[Any]] = []
    for number in range(200):
        guesses, name = both[number % 2], f"{number * 7 % 10}@b.c"
        where = (name, f"{number * 3 % 5}", f"{number % 3}", START + number)
        asked += [guesses.unlock(name), guesses.begin(*where), guesses.void(*where)]
        asked.append(guesses.right(f"{number % 10}@b.c", "s", "", START + number))
    await gatherResults(asked)


@pytest_twisted.ensureDeferred
async def test_what_was_counted_outlives_the_process(tmp_path: Path) -> None:
    for wait in (0.0, 2.0):
        store = await opened(sqlite_url(tmp_path))
        assert await SqlGuesses(store, DEFAULT).begin(*ALICE, START) == wait
        await store.close()


@pytest_twisted.ensureDeferred
async def test_nobodys_name_is_in_the_database(tmp_path: Path) -> None:
    store = await opened(sqlite_url(tmp_path))
    await SqlGuesses(store, DEFAULT).begin(*ALICE, START)
    await store.close()
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"session:" in stored
    for name in ALICE:
        assert name.encode() not in stored


@pytest_twisted.ensureDeferred
async def test_old_rows_are_removed_some_at_a_time(tmp_path: Path) -> None:
    store = await opened(sqlite_url(tmp_path))
    guesses = SqlGuesses(store, DEFAULT)
    for number in range(30):
        await guesses.begin(f"{number}@b.c", f"{number}", "", START + number)
    file = sqlite_file(tmp_path)

    def rows() -> int:
        count: int = file.execute("SELECT count(*) FROM guesses").fetchone()[0]
        return count

    assert rows() == 61
    late = START + 10 * DAY
    assert await guesses.begin(*ALICE, late) == 0.0
    assert rows() == 61 + 3 - 20
    for _ in range(5):
        await guesses.begin(*ALICE, late)
    assert rows() == 4
    assert await guesses.wait(*ALICE, late) == 2.0
    file.close()
    await store.close()


@pytest_twisted.ensureDeferred
async def test_a_store_that_is_closed_counts_nothing(tmp_path: Path) -> None:
    store = await opened(sqlite_url(tmp_path))
    guesses = SqlGuesses(store, DEFAULT)
    await store.close()
    for asked in (
        guesses.begin(*ALICE, START),
        guesses.wait(*ALICE, START),
        guesses.right(*ALICE, START),
        guesses.void(*ALICE, START),
        guesses.unlock(ALICE[0]),
    ):
        with pytest.raises(StoreError):
            await cast(Deferred[object], asked)


class Unsure:
    """A store that makes every change again, as after a commit without an answer."""

    def __init__(self, url: str) -> None:
        self._database = Database(url, 5.0)

    def change(self, do: Callable[[Connection, Statements], _T]) -> Deferred[_T]:
        writing = Statements(self._database.dialect)
        with self._database.writer() as connection:
            with connection.begin():
                do(connection, writing)
            with connection.begin():
                return succeed(do(connection, writing))

    def close(self) -> None:
        self._database.dispose()


@pytest_twisted.ensureDeferred
async def test_what_is_written_again_counts_once(tmp_path: Path) -> None:
    upgrade(url := sqlite_url(tmp_path))
    unsure = Unsure(url)
    guesses = SqlGuesses(cast(SqlStore, unsure), GuessSettings(session_tries=3))

    async def others(number: int) -> float:
        return await guesses.begin(f"{number}@b.c", ALICE[1], "", START + 1.0)

    assert await guesses.begin(*ALICE, START) == 0.0
    assert await others(1) == 0.0
    await guesses.void(*ALICE, START + 1.0)
    assert await others(2) == 0.0
    assert await guesses.begin(*ALICE, START + 2.0) == 0.0
    await guesses.right(*ALICE, START + 2.0)
    assert await others(3) == 0.0
    assert await others(4) > 0.0
    unsure.close()
