"""A database comes to our schema, and never further."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from pathlib import Path

import pytest
import pytest_twisted
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import insert, select

from supportbot.command_line import default_url
from supportbot.errors import StoreUnusable
from supportbot.events import ParagraphSaid
from supportbot.settings import TranscriptsSettings
from supportbot.transcripts import schema
from supportbot.transcripts.database import Database, upgrade
from supportbot.transcripts.tables import conversations, events, guesses, metadata
from tests.postgres import Cluster
from tests.sql_stores import open_store, opened, sqlite_url

pytest_plugins = ("tests.postgres_fixture",)

NEXT = """
import sqlalchemy as sa
from alembic import op
revision, down_revision = "9999", "0002"
def upgrade():
    op.add_column("conversations", sa.Column("colour", sa.Text))
"""


@pytest.fixture(params=("sqlite", "postgresql"))
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return sqlite_url(tmp_path)
    new: str = request.getfixturevalue("postgres_server").database()
    return new


@pytest.fixture
def tomorrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The steps of a later version, which has one more."""
    later = tmp_path / "100 % later"
    shutil.copytree(schema.MIGRATIONS, later)
    (later / "versions" / "v9999_colour.py").write_text(NEXT)
    return later


def prepared(url: str, migrations: Path, *, change: bool) -> tuple[str, str]:
    database = Database(url, patience=1.0, migrations=migrations)
    try:
        return database.prepare(upgrade=change)
    finally:
        database.dispose()


def test_an_empty_database_gets_our_tables_once(url: str) -> None:
    assert upgrade(url) == ("", "0002")
    assert upgrade(url) == ("0002", "0002")


def test_the_steps_lead_to_the_tables_that_the_program_knows(url: str) -> None:
    upgrade(url)
    database = Database(url, patience=1.0)
    with database.reader() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, metadata) == []
    database.dispose()


def test_an_older_database_is_brought_up_to_date_with_what_is_in_it(
    url: str, tomorrow: Path
) -> None:
    upgrade(url)
    with pytest.raises(StoreUnusable, match=r"is 0002, not 9999; run `supportbot"):
        prepared(url, tomorrow, change=False)
    assert prepared(url, tomorrow, change=True) == ("0002", "9999")
    assert prepared(url, tomorrow, change=False) == ("9999", "9999")


def test_what_was_there_before_logins_were_counted_is_kept(
    url: str, tmp_path: Path
) -> None:
    first = tmp_path / "first"
    shutil.copytree(schema.MIGRATIONS, first)
    (first / "versions" / "v0002_guesses.py").unlink()
    assert prepared(url, first, change=True) == ("", "0001")
    database = Database(url, patience=1.0)
    known = {"id": "a", "opened_at": 1.0, "heard_at": 2.0}
    said = {"conversation": "a", "seq": 1, "key": 7, "body": "{}"}
    with database.writer() as connection, connection.begin():
        connection.execute(insert(conversations), known)
        connection.execute(insert(events), said)
    assert upgrade(url) == ("0001", "0002")
    with database.reader() as connection:
        assert connection.execute(select(conversations)).one()._asdict() == known
        assert connection.execute(select(events)).one()._asdict() == said
        assert connection.execute(select(guesses)).all() == []
    database.dispose()


def test_a_newer_database_is_left_alone(url: str, tomorrow: Path) -> None:
    prepared(url, tomorrow, change=True)
    for change in (False, True):
        with pytest.raises(StoreUnusable, match="9999 is newer than ours"):
            prepared(url, schema.MIGRATIONS, change=change)
    assert prepared(url, tomorrow, change=True) == ("9999", "9999")


def test_a_step_that_fails_changes_nothing(url: str, tomorrow: Path) -> None:
    upgrade(url)
    step = tomorrow / "versions" / "v9999_colour.py"
    step.write_text(NEXT + '    op.execute("SELECT nothing FROM nowhere")\n')
    with pytest.raises(StoreUnusable):
        prepared(url, tomorrow, change=True)
    step.write_text(NEXT)
    assert prepared(url, tomorrow, change=True) == ("0002", "9999")


@pytest_twisted.ensureDeferred
async def test_postgresql_is_only_changed_when_the_operator_says_so(
    postgres_server: Cluster,
) -> None:
    from twisted.internet import reactor

    url = postgres_server.database()
    with pytest.raises(StoreUnusable, match="empty; run `supportbot database upgrade`"):
        await open_store(reactor, url, TranscriptsSettings(), lambda: 1.0)
    tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
    assert postgres_server.sql(tables, url) == [(0,)]


@pytest_twisted.ensureDeferred
async def test_the_default_place_is_private(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "supportbot"
    url = default_url(folder)
    store = await opened(url)
    event = ParagraphSaid(seq=1, at=1.0, text="<p>Hi.</p>", format="html")
    await store.append("a", [event])
    await store.close()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "transcripts.db").stat().st_mode & 0o777 == 0o600
    assert default_url(folder) == url
    connection = sqlite3.connect(folder / "transcripts.db")
    assert connection.execute("SELECT count(*) FROM events").fetchone() == (1,)
    connection.close()


def test_postgresql_without_its_driver_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreUnusable, match=r"install supportbot\[postgresql\]"):
        upgrade("postgresql://me@host/x")
