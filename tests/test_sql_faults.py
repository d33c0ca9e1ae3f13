"""What a store in a database does when the database fails."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet.defer import DeferredList, gatherResults
from twisted.internet.threads import deferToThread
from twisted.logger import LogEvent, globalLogPublisher

from supportbot.errors import StoreError, StoreUnusable
from supportbot.events import ParagraphSaid
from supportbot.interfaces import TranscriptStore
from supportbot.transcripts.database import upgrade
from tests.postgres import Cluster, cluster
from tests.sql_stores import opened, sqlite_file, sqlite_url

pytest_plugins = ("tests.postgres_fixture",)


def paragraph(seq: int, size: int = 100) -> ParagraphSaid:
    return ParagraphSaid(seq=seq, at=1.0, text="word " * size, format="html")


async def seqs(store: TranscriptStore, name: str) -> list[int]:
    return [event.seq for event in await store.read(name, 0, 100_000)]


@contextmanager
def log() -> Iterator[list[str]]:
    """What the operator is told."""
    told: list[str] = []

    def observe(event: LogEvent) -> None:
        if event.get("log_namespace", "").startswith("supportbot."):
            told.append(str(event["log_format"]).format(**event))

    globalLogPublisher.addObserver(observe)
    yield told
    globalLogPublisher.removeObserver(observe)


@pytest_twisted.ensureDeferred
async def test_a_short_lock_is_waited_for(tmp_path: Path) -> None:
    store = await opened(sqlite_url(tmp_path))
    other = sqlite_file(tmp_path)
    other.execute("BEGIN IMMEDIATE")
    appended = store.append("a", [paragraph(1)])
    await store.read("a", 0, 1)  # which no lock stops
    assert not appended.called
    other.execute("COMMIT")
    await appended
    other.close()
    await store.close()


@pytest_twisted.ensureDeferred
async def test_a_long_lock_is_told_once_and_ends_by_itself(tmp_path: Path) -> None:
    store = await opened(sqlite_url(tmp_path), patience=0.2)
    other = sqlite_file(tmp_path)
    other.execute("BEGIN IMMEDIATE")
    with log() as told:
        for _ in range(2):
            with pytest.raises(StoreError, match="locked") as caught:
                await store.append("a", [paragraph(1)])
            assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
        with pytest.raises(StoreError):
            await store.ready()
        assert await seqs(store, "a") == []
        other.execute("COMMIT")
        await store.append("a", [paragraph(1)])
    assert len(told) == 2
    assert "locked" in told[0]
    assert told[1] == "transcripts are written again"
    other.close()
    await store.close()


@pytest_twisted.ensureDeferred
async def test_a_full_disk_refuses_at_once_and_is_forgiven(tmp_path: Path) -> None:
    store = await opened(sqlite_url(tmp_path))
    await store.append("a", [paragraph(1)])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    size = sum(file.stat().st_size for file in tmp_path.iterdir())
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        big = [store.append("b", [paragraph(seq, 60_000)]) for seq in range(1, 4)]
        results = await DeferredList(big, consumeErrors=True)
        assert [success for success, _ in results] == [False] * 3
        assert all(failure.check(StoreError) for _, failure in results)
        assert await seqs(store, "a") == [1]
        assert await seqs(store, "b") == []
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    await store.append("b", [paragraph(1, 60_000)])
    assert await seqs(store, "b") == [1]
    await store.close()


@pytest_twisted.ensureDeferred
async def test_a_file_that_is_moved_away_is_not_written_to(tmp_path: Path) -> None:
    store = await opened(sqlite_url(tmp_path))
    await store.append("a", [paragraph(1)])
    files = [*tmp_path.iterdir()]
    away = tmp_path / "away"
    away.mkdir()
    for file in files:
        file.rename(away / file.name)
    with pytest.raises(StoreError, match="opened"):
        await store.append("a", [paragraph(2)])
    for file in files:
        (away / file.name).rename(file)
    await store.append("a", [paragraph(2)])
    assert await seqs(store, "a") == [1, 2]
    await store.close()


def _writable(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE other (x)")
    connection.close()


async def _refused(path: Path) -> str:
    with pytest.raises(StoreUnusable) as caught:
        await opened(f"sqlite:///{path}")
    line = str(caught.value)
    assert "\n" not in line
    assert str(path) in line
    return line


@pytest_twisted.ensureDeferred
async def test_files_that_are_none_of_ours_are_refused_as_they_are(
    tmp_path: Path,
) -> None:
    good = tmp_path / "good.db"
    store = await opened(f"sqlite:///{good}")
    for seq in range(1, 30):
        await store.append("a", [paragraph(seq, 400)])
    await store.close()
    whole = good.read_bytes()
    other = tmp_path / "other.db"
    _writable(other)
    broken = {
        "text.db": (b"Dear diary, " * 500, "no SQLite database"),
        "torn.db": (whole[: len(whole) // 2], "damaged"),
        "short.db": (whole[:50], "damaged"),
        "noise.db": (whole[:100] + os.urandom(len(whole) - 100), "damaged"),
        "other.db": (other.read_bytes(), "another program"),
    }
    for name, (content, reason) in broken.items():
        path = tmp_path / name
        path.write_bytes(content)
        assert reason in await _refused(path), name
        if name != "other.db":  # that was a sound one, which became a WAL
            assert path.read_bytes() == content, name
    assert "directory" in await _refused(tmp_path)
    assert "no directory" in await _refused(tmp_path / "none" / "x.db")


@pytest_twisted.ensureDeferred
async def test_an_empty_file_is_new(tmp_path: Path) -> None:
    (tmp_path / "transcripts.db").touch()
    store = await opened(sqlite_url(tmp_path))
    await store.append("a", [paragraph(1)])
    await store.close()


@contextmanager
def without_rights() -> Iterator[None]:
    """Root may write everywhere; nobody may not."""
    if (user := os.geteuid()) == 0:
        os.seteuid(65534)
    yield
    os.seteuid(user)


def _refused_at_once(url: str) -> str:
    with without_rights(), pytest.raises(StoreUnusable) as caught:
        upgrade(url)
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_what_may_not_be_written_is_refused_at_the_start(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents[:-2]):
        folder.chmod(0o755)  # the way there is open
    upgrade(f"sqlite:///{tmp_path / 'good.db'}")
    file = tmp_path / "locked" / "x.db"
    file.parent.mkdir()
    file.parent.chmod(0o555)
    assert "permission denied" in _refused_at_once(f"sqlite:///{file}")
    file.parent.chmod(0o755)
    file.touch()
    file.chmod(0o444)
    file.parent.chmod(0o555)
    assert "permission denied" in _refused_at_once(f"sqlite:///{file}")
    file.chmod(0o666)
    assert "writ" in _refused_at_once(f"sqlite:///{file}")
    file.parent.chmod(0o755)


@pytest_twisted.ensureDeferred
async def test_urls_that_name_nothing_are_refused_without_their_secrets(
    tmp_path: Path,
) -> None:
    for url, reason in (
        ("sqlite://", "memory"),
        ("sqlite:///:memory:", "memory"),
        ("sqlite:///x.db?mode=ro", "nothing more"),
        ("mysql://me:S3cret@host/x", "expected"),
        ("nosuch://me:S3cret@host/x", "expected"),
        ("postgresql+asyncpg://me:S3cret@host/x", "expected"),
        ("postgresql://me:S3cret@host:port/x", "expected"),
        ("S3cret", "expected"),
    ):
        with pytest.raises(StoreUnusable, match=reason) as caught:
            await opened(url)
        assert "S3cret" not in str(caught.value)
    with pytest.raises(StoreUnusable, match="no connection") as caught:
        await opened("postgresql://me:S3cret@127.0.0.1:9/x?application_name=S3cret")
    assert "S3cret" not in str(caught.value)


@pytest_twisted.ensureDeferred
async def test_killed_backends_lose_and_double_nothing(
    postgres_server: Cluster,
) -> None:
    url = postgres_server.migrated()
    store = await opened(url)
    waiting = [store.append("a", [paragraph(seq)]) for seq in range(1, 2001)]
    for sign in (signal.SIGTERM, signal.SIGTERM, signal.SIGTERM):
        await deferToThread(postgres_server.kill_backends, url, sign)
    await gatherResults(waiting)
    assert await seqs(store, "a") == [*range(1, 2001)]
    await store.close()


@pytest_twisted.ensureDeferred
async def test_an_append_that_was_committed_unheard_is_not_done_twice(
    postgres_server: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres_server.migrated()
    store = await opened(url)
    commits: list[int] = []

    writing = store._database._writing  # the wire can't be cut at that moment otherwise
    do_commit = writing.dialect.do_commit

    def cut(connection: object) -> None:
        do_commit(connection)
        commits.append(1)
        if len(commits) == 1:
            postgres_server.kill_backends(url)
            connection.execute("SELECT 1")  # type: ignore[attr-defined]

    monkeypatch.setattr(writing.dialect, "do_commit", cut)
    both = [
        store.append("a", [paragraph(1), paragraph(2)]),
        store.append("b", [paragraph(1)]),
    ]
    await gatherResults(both)
    assert len(commits) > 1
    assert await seqs(store, "a") == [1, 2]
    await store.close()


@pytest_twisted.ensureDeferred
async def test_a_server_that_restarts_is_waited_for_one_that_freezes_is_given_up() -> (
    None
):
    with cluster() as server:
        url = server.migrated()
        store = await opened(url, patience=60.0)
        await store.append("a", [paragraph(1)])
        await deferToThread(server.stop, "immediate")
        waiting = store.append("a", [paragraph(2)])
        await deferToThread(server.start)
        await waiting
        assert await seqs(store, "a") == [1, 2]
        await store.close()
        store = await opened(url, patience=0.5)
        server.freeze()
        with log() as told:
            for asked in (store.append("a", [paragraph(3)]), store.read("a", 0, 1)):
                with pytest.raises(StoreError):
                    await asked
        assert len([line for line in told if "written" in line]) == 1
        server.thaw()
        await store.close()
        store = await opened(url)
        assert await seqs(store, "a") == [1, 2]
        await store.close()
