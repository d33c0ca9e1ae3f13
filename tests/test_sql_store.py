"""What a store in a database promises beyond the contract."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_twisted
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, DeferredList, gatherResults
from twisted.internet.task import Clock
from twisted.internet.threads import blockingCallFromThread, deferToThread

from supportbot.errors import StoreError, TranscriptGone, TranscriptMoved
from supportbot.events import CustomerSaid, Event, ParagraphSaid
from supportbot.interfaces import Known, Listed, TranscriptStore
from supportbot.settings import TranscriptsSettings
from supportbot.transcripts.database import Database, upgrade
from supportbot.transcripts.memory import MemoryStore
from supportbot.transcripts.servers import LEASE, Server, this_server
from tests.sql_stores import NOW, open_store, opened, sqlite_file, sqlite_url

pytest_plugins = ("tests.postgres_fixture",)

SECRET = "my-secret-address-17"


@pytest.fixture(params=("sqlite", "postgresql"))
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return sqlite_url(tmp_path)
    new: str = request.getfixturevalue("postgres_server").emptied()
    return new


def paragraph(seq: int, text: str = "<p>…</p>") -> ParagraphSaid:
    return ParagraphSaid(seq=seq, at=1.0, text=text, format="html")


def said(seq: int) -> CustomerSaid:
    return CustomerSaid(seq=seq, at=1.0, text="Hello.", message_id=f"m-{seq}")


async def seqs(store: TranscriptStore, name: str) -> list[int]:
    return [event.seq for event in await store.read(name, 0, 10_000)]


@pytest_twisted.ensureDeferred
async def test_transcripts_outlive_the_store(url: str) -> None:
    first = await opened(url)
    assert first.lasting
    await first.append("a", [paragraph(1), paragraph(2)])
    await first.close()
    second = await opened(url)
    assert await second.read("a", 0, 10) == [paragraph(1), paragraph(2)]
    assert await second.find("a") == Known(2, elsewhere=False)
    await second.append("a", [paragraph(3)])
    assert await second.find("a") == Known(3)
    await second.close()


@pytest_twisted.ensureDeferred
async def test_two_stores_see_each_other_and_do_not_take_a_number_twice(
    url: str,
) -> None:
    one = await opened(url)
    other = await opened(url)
    await one.append("a", [paragraph(1)])
    assert await seqs(other, "a") == [1]
    await other.append("a", [paragraph(2, "<p>other</p>")])
    mixed = [
        one.append("a", [paragraph(2, "<p>one</p>"), paragraph(3)]),
        one.append("b", [paragraph(1)]),
    ]
    results = await DeferredList(mixed, consumeErrors=True)
    assert [success for success, _ in results] == [False, True]
    with pytest.raises(TranscriptMoved):
        raise results[0][1].value
    assert await one.read("a", 1, 9) == [paragraph(2, "<p>other</p>")]
    await one.close()
    await other.close()


@pytest_twisted.ensureDeferred
async def test_what_one_store_erases_gets_nothing_more_from_another(url: str) -> None:
    one = await opened(url)
    other = await opened(url)
    await other.append("a", [paragraph(1)])
    await one.erase("a")
    results = await DeferredList(
        [
            other.append("a", [paragraph(2)]),
            other.append("b", [paragraph(1)]),
            other.append("a", [said(3)]),
        ],
        consumeErrors=True,
    )
    assert [success for success, _ in results] == [False, True, False]
    assert results[0][1].check(TranscriptGone)
    assert results[2][1].check(TranscriptGone)
    assert [page.conversation_id for page in await one.list(9)] == ["b"]
    await other.append("a", [paragraph(1)])  # it begins anew
    assert await seqs(one, "a") == [1]
    await one.close()
    await other.close()


@pytest_twisted.ensureDeferred
async def test_whoever_is_faster_nothing_is_left_of_what_is_erased(url: str) -> None:
    one = await opened(url)
    other = await opened(url)
    for number in range(12):
        names = [f"a{number}-{place}" for place in range(3)]
        for name in names:
            await one.append(name, [paragraph(1)])
        asked: list[Deferred[Any]] = []
        for seq in range(2, 12):
            for name in names:
                event = said(seq) if seq % 2 else paragraph(seq)
                asked.append(one.append(name, [event]))
            if seq == 2 + number % 9:
                asked += [other.erase(name) for name in reversed(names)]
            if number % 2:
                await turn()
        for success, result in await DeferredList(asked, consumeErrors=True):
            assert success or result.check(TranscriptGone)
        for name in names:
            assert await one.find(name) is None
            assert await seqs(one, name) == []
    await one.close()
    await other.close()


@pytest_twisted.ensureDeferred
async def test_of_those_who_want_one_number_at_once_one_gets_it(url: str) -> None:
    stores = [await opened(url) for _ in range(3)]
    for seq in range(1, 9):
        asked = [store.append("a", [paragraph(seq)]) for store in stores]
        results = await DeferredList(asked, consumeErrors=True)
        assert sorted(success for success, _ in results) == [False, False, True]
    assert await seqs(stores[0], "a") == [*range(1, 9)]
    for store in stores:
        await store.close()


@pytest_twisted.ensureDeferred
async def test_who_wrote_last_is_elsewhere_while_it_lives(url: str) -> None:
    time = [NOW]
    far = Server(number=7, place="another machine", pid=1)
    one = await opened(url, now=lambda: time[0])
    other = await opened(url, server=far, now=lambda: time[0])
    await other.append("a", [paragraph(1)])
    assert await one.find("a") == Known(1, elsewhere=True)
    assert await other.find("a") == Known(1, elsewhere=False)
    time[0] += LEASE + 1
    assert await one.find("a") == Known(1, elsewhere=False)
    await other.ready()  # which is a sign of life
    assert await one.find("a") == Known(1, elsewhere=True)
    await other.close()
    assert await one.find("a") == Known(1, elsewhere=False)
    await one.close()


@pytest_twisted.ensureDeferred
async def test_a_neighbour_that_has_died_is_dead_before_its_time(url: str) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    ours = this_server()
    one = await opened(url, server=ours)
    for number, (pid, alive) in enumerate(
        [(gone.pid, False), (os.getppid(), True), (os.getpid(), False)], 10
    ):
        neighbour = Server(number=number, place=ours.place, pid=pid)
        other = await opened(url, server=neighbour)
        await other.append(f"c{number}", [paragraph(1)])
        assert await one.find(f"c{number}") == Known(1, elsewhere=alive)
        await other.close()
    await one.close()


class _Patient:
    """The reactor, but that its time only passes when the test says so."""

    def __init__(self, reactor: Any) -> None:
        self.clock, self._reactor = Clock(), reactor
        self.seconds, self.callFromThread = self.clock.seconds, reactor.callFromThread

    def callLater(self, delay: float, *call: Any) -> Any:
        who = self.clock if delay else self._reactor
        return who.callLater(delay, *call)


@pytest_twisted.ensureDeferred
async def test_a_store_says_by_itself_that_it_is_alive(url: str) -> None:
    from twisted.internet import reactor

    patient: Any = _Patient(reactor)
    far = Server(number=7, place="another machine", pid=1)
    one = await opened(url, server=far)
    await one.append("a", [paragraph(1)])
    await one.close()  # its row is gone
    settings = TranscriptsSettings()
    other = await open_store(patient, url, settings, patient.clock.seconds, far)
    watcher = await opened(url, now=lambda: 17.0)
    assert await watcher.find("a") == Known(1, elsewhere=False)  # it was alive till 15
    for _ in range(5):
        patient.clock.advance(1)
    await other.open("b", 1.0)  # written behind the sign of life
    assert await watcher.find("a") == Known(1, elsewhere=True)
    await other.close()
    await watcher.close()
    assert not patient.clock.getDelayedCalls()


@pytest_twisted.ensureDeferred
async def test_what_no_database_takes_fails_alone(url: str) -> None:
    store = await opened(url)
    await store.open("big", 1.0)
    asked: list[Deferred[None]] = [
        store.append("a", [paragraph(1)]),
        store.append("n\0l", [paragraph(1)]),
        store.append("s", [paragraph(1, "\ud800")]),
        store.append("big", [paragraph(2**40)]),
        store.append("a", [paragraph(2)]),
    ]
    results = await DeferredList(asked, consumeErrors=True)
    wrong = [result for success, result in results[1:4] if not success]
    assert all(failure.check(StoreError) for failure in wrong)
    assert [success for success, _ in results[:3]] == [True, False, False]
    assert results[4][0]
    assert results[3][0] is url.startswith("sqlite")  # PostgreSQL's integers end
    assert await seqs(store, "a") == [1, 2]
    await store.close()


@pytest_twisted.ensureDeferred
async def test_asking_in_one_turn_is_one_transaction(tmp_path: Path) -> None:
    store = await opened(sqlite_url(tmp_path))
    other = sqlite_file(tmp_path)
    rows = [paragraph(seq) for seq in range(1, 101)]
    before = other.execute("PRAGMA data_version").fetchone()
    waiting = [store.append("a", [row]) for row in rows]
    counts = set()
    while not waiting[-1].called:
        counts.add(other.execute("SELECT count(*) FROM events").fetchone()[0])
        await turn()
    assert counts <= {0, 100}
    assert other.execute("PRAGMA data_version").fetchone() != before
    await gatherResults(waiting)
    other.close()
    await store.close()


@pytest_twisted.ensureDeferred
async def test_cancelling_does_not_change_what_is_stored(url: str) -> None:
    store = await opened(url)
    first = store.append("a", [paragraph(1)])
    first.addErrback(lambda failure: None)
    first.cancel()
    await store.append("a", [paragraph(2)])
    reading = store.read("a", 0, 1)
    reading.addErrback(lambda failure: None)
    reading.cancel()
    assert await seqs(store, "a") == [1, 2]
    await store.close()


@pytest_twisted.ensureDeferred
async def test_closing_does_what_was_asked_for_and_no_more(url: str) -> None:
    store = await opened(url)
    waiting = [store.append("a", [paragraph(seq)]) for seq in range(1, 700)]
    reading = store.read("a", 0, 1)
    closed = store.close()
    for late in (store.append("a", [paragraph(999)]), store.read("a", 0, 1)):
        with pytest.raises(StoreError):
            await late
    await closed
    assert all(one.called for one in [*waiting, reading])
    await store.close()
    again = await opened(url)
    assert await seqs(again, "a") == [*range(1, 700)]
    await again.close()


@pytest_twisted.ensureDeferred
async def test_what_waits_is_bounded(tmp_path: Path) -> None:
    store = await opened(sqlite_url(tmp_path))
    waiting = [store.append("a", [paragraph(seq)]) for seq in range(1, 10_001)]
    with pytest.raises(StoreError, match="wait"):
        await store.append("b", [paragraph(1)])
    await gatherResults(waiting)
    await store.append("b", [paragraph(1)])
    await store.close()


@pytest.mark.parametrize("way", ["erase", "forget", "expire"])
@pytest_twisted.ensureDeferred
async def test_what_is_erased_is_in_no_file(tmp_path: Path, way: str) -> None:
    store = await opened(sqlite_url(tmp_path))
    await store.append("b", [paragraph(1)])
    said = CustomerSaid(seq=1, at=1.0, text=SECRET, message_id="m")
    await store.append("a", [said, paragraph(2)])
    assert SECRET.encode() in _bytes(tmp_path)
    if way == "erase":
        await store.erase("a")
    elif way == "forget":
        await store.forget("a", 2)
    else:
        await store.expire(5.0)
    assert SECRET.encode() not in _bytes(tmp_path)
    await store.close()


@pytest_twisted.ensureDeferred
async def test_a_file_is_for_nobody_else_to_read(tmp_path: Path) -> None:
    store = await opened(sqlite_url(tmp_path))
    await store.append("a", [paragraph(1)])
    for file in tmp_path.iterdir():
        assert file.stat().st_mode & 0o077 == 0, file
    await store.close()


def test_sqlite_loses_nothing_when_the_power_fails(tmp_path: Path) -> None:
    upgrade(sqlite_url(tmp_path))
    database = Database(sqlite_url(tmp_path), patience=1.0)
    with database.writer() as connection:
        for pragma, value in (("journal_mode", "wal"), ("synchronous", 2)):
            found = connection.exec_driver_sql(f"PRAGMA {pragma}").scalar_one()
            assert found == value  # 2 is FULL: each commit is on the disk
    database.dispose()


_WRITER = """
import sys
from twisted.internet import defer, reactor, task
from tests.sql_stores import open_store, opened
from tests.test_sql_store import paragraph
async def write(name, store):
    for seq in range(1, 100_000):
        await store.append(name, [paragraph(seq)])
        print(name, seq, flush=True)
async def main():
    store = await opened(sys.argv[1])
    await defer.gatherResults(
        [defer.Deferred.fromCoroutine(write(f"c{n}", store)) for n in range(5)]
    )
defer.Deferred.fromCoroutine(main())  # before the reactor runs
reactor.run()
"""


@pytest_twisted.ensureDeferred
async def test_what_was_acknowledged_survives_a_kill(url: str) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER, url], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    told = [writer.stdout.readline() for _ in range(300)]
    writer.kill()
    told += writer.stdout.readlines()
    writer.stdout.close()
    writer.wait()
    newest: dict[str, int] = {}
    for line in told:
        if line.endswith("\n"):
            name, seq = line.split()
            newest[name] = int(seq)
    store = await opened(url)
    for name, seq in newest.items():
        stored = await seqs(store, name)
        assert stored == [*range(1, len(stored) + 1)]
        assert len(stored) >= seq
        known = await store.find(name)
        assert known == Known(len(stored), elsewhere=False)  # its process is gone
    await store.close()


_names = st.sampled_from("abc")
_times = st.integers(0, 20).map(float)
_numbers = st.integers(0, 12)


def _events(name: str, first: int, kinds: list[bool], at: float) -> list[Event]:
    return [
        CustomerSaid(seq=seq, at=at, text=name, message_id="m")
        if said
        else paragraph(seq)
        for seq, said in enumerate(kinds, first)
    ]


_append = st.builds(
    lambda name, first, kinds, at: (
        lambda store: store.append(name, _events(name, first, kinds, at))
    ),
    _names,
    st.integers(1, 12),
    st.lists(st.booleans(), max_size=3),
    _times,
)
_steps = st.one_of(
    _append,
    _append,
    st.builds(lambda name, at: lambda store: store.open(name, at), _names, _times),
    st.builds(lambda name: lambda store: store.erase(name), _names),
    st.builds(lambda name, n: lambda store: store.forget(name, n), _names, _numbers),
    st.builds(lambda at: lambda store: store.expire(at), _times),
)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest_twisted.ensureDeferred
async def test_it_agrees_with_the_store_in_memory(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if kind == "sqlite":
        where = sqlite_url(tmp_path)
    else:
        where = request.getfixturevalue("postgres_server").emptied()
    store = await opened(where)

    from twisted.internet import reactor

    @settings(max_examples=60, suppress_health_check=list(HealthCheck))
    @given(turns=st.lists(st.lists(_steps, max_size=6), max_size=6))
    def agrees(
        turns: list[list[Callable[[TranscriptStore], Deferred[object]]]],
    ) -> None:
        blockingCallFromThread(
            reactor, lambda: Deferred.fromCoroutine(_compare(store, turns))
        )

    await deferToThread(agrees)
    await store.close()


async def _compare(
    store: TranscriptStore,
    turns: list[list[Callable[[TranscriptStore], Deferred[object]]]],
) -> None:
    memory = MemoryStore()
    for name in "abc":
        await store.erase(name)
    for steps in turns:
        waiting = [step(store) for step in steps]  # in one turn of the reactor
        expected = [await _result(step(memory)) for step in steps]
        assert [await _result(one) for one in waiting] == expected
    for name in "abc":
        assert await store.find(name) == await memory.find(name)
        for after, limit in ((0, 100), (3, 2)):
            found = await store.read(name, after, limit)
            assert found == await memory.read(name, after, limit)
    page: Listed | None = None
    while True:
        listed = await store.list(2, page)
        assert listed == await memory.list(2, page)
        if not listed:
            break
        page = listed[-1]


async def _result(asked: Deferred[object]) -> object:
    try:
        return await asked
    except StoreError as error:
        return type(error)


def _bytes(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())


def turn() -> Deferred[None]:
    """Fires in the reactor's next turn."""
    from twisted.internet import reactor
    from twisted.internet.interfaces import IReactorTime

    later: Deferred[None] = Deferred()
    cast(IReactorTime, reactor).callLater(0, later.callback, None)
    return later
