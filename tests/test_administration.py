"""The operators' command lines, on real databases."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import insert

from supportbot.administration import administer
from supportbot.events import (
    CustomerSaid,
    Event,
    Outcome,
    ParagraphSaid,
    ReplyEnded,
    ReplyStarted,
)
from supportbot.guessing import Try
from supportbot.settings.shop import GuessSettings
from supportbot.transcripts.database import Database, upgrade
from supportbot.transcripts.guesses import count
from supportbot.transcripts.statements import Statements
from supportbot.transcripts.tables import conversations, events
from tests.program import PATIENCE, ROOT, environment

pytest_plugins = ("tests.postgres_fixture",)

NOTHING = {"settings": None, "database": None}
Run = Callable[..., tuple[int, list[str], list[str]]]


def talk(text: str = "help", answer: str = "<p>Yes.</p>") -> Sequence[Event]:
    """A message and its answer, which was cut."""
    return [
        CustomerSaid(seq=1, at=1000.0, text=text, message_id="m"),
        ReplyStarted(seq=2, at=1001.5, service="tech-support", intent="help", to=1),
        ParagraphSaid(seq=3, at=1002.0, text=answer, format="html"),
        ReplyEnded(seq=4, at=1003.0, outcome=Outcome.CUT, detail="It broke off."),
    ]


def fill(url: str, talks: dict[str, Sequence[Event]], heard_at: float = 1000.0) -> None:
    """Put conversations into a database, each heard a second before the last."""
    database = Database(url, 5.0)
    with database.writer() as connection, connection.begin():
        for number, (id, said) in enumerate(talks.items()):
            known = {"id": id, "opened_at": 1000.0, "heard_at": heard_at - number}
            connection.execute(insert(conversations), known)
            for event in said:
                body = msgspec.json.encode(event).decode()
                row = {"conversation": id, "seq": event.seq, "key": 1, "body": body}
                connection.execute(insert(events), row)
    database.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with our tables and nothing in them."""
    if request.param == "postgresql":
        emptied: str = request.getfixturevalue("postgres_server").emptied()
        return emptied
    file = f"sqlite:///{tmp_path / 'kept.db'}"
    upgrade(file)
    return file


@pytest.fixture
def run(capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    """Runs a command; gives its status, and the lines of its output and its errors."""

    def run(
        *words: str, environ: dict[str, str] | None = None
    ) -> tuple[int, list[str], list[str]]:
        status = administer(words, NOTHING, environ or {})
        said = capfdbinary.readouterr()
        return status, said.out.decode().splitlines(), said.err.decode().splitlines()

    return run


# supportbot database


def test_the_schema_is_brought_up_to_date(tmp_path: Path, run: Run) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    status, said, _ = run("database", "upgrade", "--database", url)
    assert (status, len(said)) == (0, 1)
    assert said[0].startswith(f"{url}: was empty, upgraded to ")
    newest = said[0].rpartition(" ")[2]
    status, said, _ = run("database", "upgrade", environ={"DATABASE_URL": url})
    assert (status, said) == (0, [f"{url}: already up to date ({newest})"])


@pytest.mark.parametrize(
    ("database", "words"),
    [
        ("mysql://host/name", "expected sqlite:///PATH or postgresql"),
        ("sqlite:////nowhere/at/all.db", "there is no directory"),
        ("memory", "end with their process"),
        ("postgresql+psycopg://user:secret@127.0.0.1:1/name", "no connection"),
    ],
)
def test_a_database_that_can_not_be_upgraded_is_one_line(
    database: str, words: str, run: Run
) -> None:
    status, said, errors = run("database", "upgrade", "--database", database)
    assert (status, said, len(errors)) == (78, [], 1)
    assert words in errors[0]
    assert "secret" not in errors[0]


# supportbot transcripts


def test_conversations_are_listed_with_the_newest_message_first(
    url: str, run: Run
) -> None:
    fill(url, {"one": talk(), "two": [], "three": talk()[:1]})
    status, said, _ = run("transcripts", "list", "--database", url)
    assert status == 0
    assert [json.loads(line) for line in said] == [
        {
            "conversation_id": id,
            "opened_at": "1970-01-01T00:16:40.000Z",
            "heard_at": f"1970-01-01T00:16:{seconds}.000Z",
            "messages": messages,
            "last_seq": last_seq,
        }
        for id, seconds, messages, last_seq in (
            ("one", 40, 2, 4),
            ("two", 39, 0, 0),
            ("three", 38, 1, 1),
        )
    ]
    _, said, _ = run("transcripts", "list", "--database", url, "-n", "2")
    assert [json.loads(line)["conversation_id"] for line in said] == ["one", "two"]


def test_a_long_list_comes_in_pages(url: str, run: Run) -> None:
    ids = [f"c{number:03}" for number in range(250)]
    fill(url, dict.fromkeys(ids, ()))
    _, said, _ = run("transcripts", "list", "--database", url)
    assert [json.loads(line)["conversation_id"] for line in said] == ids
    _, said, _ = run("transcripts", "list", "--database", url, "--limit=120")
    assert [json.loads(line)["conversation_id"] for line in said] == ids[:120]
    assert run("transcripts", "list", "--database", url, "--limit", "0") == (0, [], [])


def test_a_conversation_is_shown_for_reading(url: str, run: Run) -> None:
    fill(url, {"one": talk("help\nme\x1b[2J", "<p>Do &amp;\x1b]0;x\x07 don't</p>")})
    status, said, _ = run("transcripts", "show", "one", "--database", url)
    assert (status, said) == (
        0,
        [
            "Conversation one",
            "opened 1970-01-01 00:16:40 UTC",
            "",
            "1970-01-01 00:16:40 UTC  customer",
            "  help",
            "  me[2J",
            "",
            "1970-01-01 00:16:41 UTC  tech-support, for “help”",
            "  Do &]0;x don't",
            "  [cut: It broke off.]",
        ],
    )


def test_an_answer_without_an_end_is_shown_as_such(url: str, run: Run) -> None:
    fill(url, {"one": talk()[:3], "two": talk()[2:]})
    _, said, _ = run("transcripts", "show", "one", "--database", url)
    assert said[-2:] == ["  Yes.", "  [has not ended]"]
    _, said, _ = run("transcripts", "show", "two", "--database", url)
    assert said[-3:] == ["an answer", "  Yes.", "  [cut: It broke off.]"]


def test_events_are_exported_as_on_the_wire(url: str, run: Run) -> None:
    long = [
        CustomerSaid(seq=seq, at=1.0, text=f"{seq}", message_id=f"{seq}")
        for seq in range(1, 1201)
    ]
    fill(url, {"b": talk(), "a": long})
    status, said, _ = run("transcripts", "export", "--database", url)
    assert status == 0
    lines = [json.loads(line) for line in said]
    assert lines == [
        {"conversation_id": id, **msgspec.to_builtins(event)}
        for id, events in (("a", long), ("b", talk()))
        for event in events
    ]
    status, said, _ = run("transcripts", "export", "b", "--database", url)
    assert (status, [json.loads(line)["seq"] for line in said]) == (0, [1, 2, 3, 4])


def test_all_conversations_are_exported_however_many_they_are(
    url: str, run: Run
) -> None:
    ids = [f"c{number:03}" for number in range(205)]
    fill(url, dict.fromkeys(ids, talk()[:1]))
    _, said, _ = run("transcripts", "export", "--database", url)
    assert [json.loads(line)["conversation_id"] for line in said] == ids


def test_conversations_are_erased(url: str, run: Run) -> None:
    fill(url, {"one": talk(), "two": talk(), "three": talk()})
    erased = run("transcripts", "erase", "one", "three", "one", "--database", url)
    assert erased == (0, ["2 conversations erased"], [])
    _, said, _ = run("transcripts", "export", "--database", url)
    assert {json.loads(line)["conversation_id"] for line in said} == {"two"}


def test_nothing_is_left_of_what_was_erased(tmp_path: Path, run: Run) -> None:
    url = f"sqlite:///{tmp_path / 'kept.db'}"
    upgrade(url)
    fill(url, {"one": talk("a secret of the customer")})
    assert b"a secret of" in b"".join(file.read_bytes() for file in tmp_path.iterdir())
    run("transcripts", "erase", "one", "--database", url)
    assert not any(b"a secret of" in file.read_bytes() for file in tmp_path.iterdir())


def test_what_can_not_be_wiped_yet_is_told(tmp_path: Path, run: Run) -> None:
    url = f"sqlite:///{tmp_path / 'kept.db'}"
    upgrade(url)
    fill(url, {"one": talk("a secret of the customer")})
    impatient = {"SUPPORTBOT_TRANSCRIPTS__PATIENCE": "0.1"}
    reader = sqlite3.connect(tmp_path / "kept.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM events").fetchall()
    erase = "transcripts", "erase", "one", "--database", url
    status, said, errors = run(*erase, environ=impatient)
    reader.close()
    assert (status, said, len(errors)) == (1, [], 1)
    assert "stands in the database's log while somebody reads" in errors[0]
    assert run(*erase)[0] == 1  # it is unknown by now
    assert not any(b"a secret of" in file.read_bytes() for file in tmp_path.iterdir())


def test_a_database_that_is_locked_is_waited_for(tmp_path: Path, run: Run) -> None:
    url = f"sqlite:///{tmp_path / 'kept.db'}"
    upgrade(url)
    fill(url, {"one": talk()})
    writer = sqlite3.connect(
        tmp_path / "kept.db", isolation_level=None, check_same_thread=False
    )
    writer.execute("BEGIN IMMEDIATE")
    impatient = {"SUPPORTBOT_TRANSCRIPTS__PATIENCE": "0.1"}
    listing = "transcripts", "list", "--database", url
    status, _, errors = run(*listing, environ=impatient)
    assert (status, len(errors)) == (78, 1)
    assert "another program holds the database locked" in errors[0]
    letting_go = threading.Timer(0.3, writer.execute, ["COMMIT"])
    letting_go.start()
    assert run(*listing)[0] == 0
    letting_go.join()
    writer.close()


def test_old_conversations_are_erased(url: str, run: Run) -> None:
    fill(url, {f"old{number}": talk() for number in range(150)})
    fill(url, {"new": talk()}, heard_at=time.time() - 86_400)
    erased = run("transcripts", "erase", "--older-than", "1.5", "--database", url)
    assert erased == (0, ["150 conversations erased"], [])
    erased = run("transcripts", "erase", "--older-than=0", "--database", url)
    assert erased == (0, ["1 conversation erased"], [])


def test_an_unknown_id_is_one_line(url: str, run: Run) -> None:
    fill(url, {"one": talk()})
    unknown = ["supportbot: there is no conversation x[m"]
    for command, said in (
        (["show", "x\x1b[m"], 0),
        (["export", "x\x1b[m", "one"], 4),
        (["erase", "x\x1b[m", "one"], 1),
    ):
        status, output, errors = run("transcripts", *command, "--database", url)
        assert (status, len(output), errors) == (1, said, unknown)


def test_an_id_of_ours_is_no_option(tmp_path: Path, run: Run) -> None:
    url = f"sqlite:///{tmp_path / 'kept.db'}"
    upgrade(url)
    id = "-nZ_" + "x" * 18
    fill(url, {id: talk(), "-n": talk()})
    assert run("transcripts", "show", id, "--database", url)[0] == 0
    assert run("transcripts", "show", "--database", url, "--", "-n")[0] == 0


@pytest.mark.parametrize("command", ["list", "show x", "export", "export x", "erase x"])
def test_a_database_that_is_not_there_is_not_made(
    command: str, tmp_path: Path, run: Run
) -> None:
    url = f"sqlite:///{tmp_path / 'none.db'}"
    status, said, errors = run("transcripts", *command.split(), "--database", url)
    assert (status, said) == (78, [])
    assert errors == [f"supportbot: {url}: there is no such database"]
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_is_empty_stays_so(tmp_path: Path, run: Run) -> None:
    (tmp_path / "empty.db").touch()
    url = f"sqlite:///{tmp_path / 'empty.db'}"
    status, _, errors = run("transcripts", "list", "--database", url)
    assert (status, len(errors)) == (78, 1)
    assert "it is empty; run `supportbot database upgrade`" in errors[0]


def test_an_event_of_a_newer_version_is_one_line(tmp_path: Path, run: Run) -> None:
    url = f"sqlite:///{tmp_path / 'kept.db'}"
    upgrade(url)
    fill(url, {"one": []})
    row = {"conversation": "one", "seq": 1, "key": 1, "body": '{"type":"new"}'}
    database = Database(url, 5.0)
    with database.writer() as connection, connection.begin():
        connection.execute(insert(events), row)
    status, _, errors = run("transcripts", "export", "--database", url)
    newer = "supportbot: an event can't be read; a newer version wrote it"
    assert (status, errors) == (1, [newer])


# supportbot logins


def guess(url: str, email: str) -> bool:
    """Try to log in with a wrong PIN; whether that may be tried."""
    database, one = Database(url, 5.0), Try(GuessSettings(), email, "s", "")
    with database.writer() as connection, connection.begin():
        wait = count(connection, Statements(database.dialect), one, time.time())
    database.dispose()
    return wait == 0.0


def test_a_customer_is_unlocked(url: str, run: Run) -> None:
    assert guess(url, "alice@example.com")
    assert not guess(url, "alice@example.com")
    unlock = "logins", "unlock", "Alice@Example.com", "--database", url
    assert run(*unlock) == (0, ["Alice@Example.com may log in again"], [])
    assert guess(url, "alice@example.com")
    assert run(*unlock)[0] == 0
    none = ["no wrong PIN is counted for Alice@Example.com"]
    assert run(*unlock) == (0, none, [])


def test_what_is_unlocked_is_shown_without_control_characters(
    url: str, run: Run
) -> None:
    _, said, _ = run("logins", "unlock", "x\x1b[m", "--database", url)
    assert said == ["no wrong PIN is counted for x[m"]


def test_nobody_is_unlocked_where_there_is_no_database(
    tmp_path: Path, run: Run
) -> None:
    url = f"sqlite:///{tmp_path / 'none.db'}"
    status, said, errors = run("logins", "unlock", "a@b.c", "--database", url)
    assert (status, said) == (78, [])
    assert errors == [f"supportbot: {url}: there is no such database"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("logins", "Expected a command: unlock."),
        ("logins unlock", "Expected one EMAIL."),
        ("logins unlock a@b.c d@e.f", "Expected one EMAIL."),
        ("database", "Expected a command: upgrade."),
        ("transcripts", "Expected a command: list, show, export, erase."),
        ("transcripts tell", "Unknown command: tell"),
        ("transcripts list --limit -1", "--limit: expected a whole number"),
        ("transcripts list --nonsense", "option --nonsense not recognized"),
        ("transcripts list one", "arguments"),
        ("transcripts show", "Expected one ID."),
        ("transcripts show one two", "Expected one ID."),
        ("transcripts erase", "Expected either IDs or --older-than."),
        ("transcripts erase one --older-than 1", "Expected either IDs or"),
        ("transcripts erase --older-than soon", "--older-than: expected days"),
    ],
)
def test_wrong_usage_says_what_was_expected(
    words: str, expected: str, run: Run
) -> None:
    status, said, errors = run(*words.split())
    assert (status, said, len(errors)) == (2, [], 1)
    assert expected in errors[0]
    assert errors[0].endswith("Try --help.")


def test_the_database_may_be_named_in_front(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'kept.db'}"
    assert administer(["database", "upgrade"], {**NOTHING, "database": url}, {}) == 0
    assert (tmp_path / "kept.db").exists()


def test_wrong_settings_are_one_line(run: Run) -> None:
    status, _, errors = run("transcripts", "list", "--settings", "/nowhere.toml")
    assert (status, errors) == (
        78,
        ["supportbot: /nowhere.toml: no such file or directory"],
    )


# As a program


def program(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", str(ROOT / "main.py"), *arguments],
        stderr=subprocess.PIPE,
        **options,
    )


def test_whoever_has_read_enough_ends_it_quietly(tmp_path: Path) -> None:
    upgrade(url := f"sqlite:///{tmp_path / 'kept.db'}")
    fill(url, {f"c{number}": talk("x" * 1000) for number in range(300)})
    reads, writes = os.pipe()
    ran = program("--database", url, "transcripts", "export", stdout=writes)
    os.close(writes)
    assert os.read(reads, 20) == b'{"conversation_id":"'
    os.close(reads)
    _, errors = ran.communicate(timeout=PATIENCE)
    assert (ran.returncode, errors) == (0, b"")


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    upgrade(url := f"sqlite:///{tmp_path / 'kept.db'}")
    fill(url, {"one": talk()})
    with open("/dev/full", "wb") as full:
        ran = program("transcripts", "export", "--database", url, stdout=full)
        _, errors = ran.communicate(timeout=PATIENCE)
    assert ran.returncode == 1
    assert (
        errors == b"supportbot: the output can't be written: No space left on device\n"
    )


def test_the_default_is_the_database_of_the_service(tmp_path: Path) -> None:
    env = environment(XDG_STATE_HOME=str(tmp_path))
    env.pop("DATABASE_URL", None)
    ran = program("database", "upgrade", stdout=subprocess.PIPE, env=env)
    said, errors = ran.communicate(timeout=PATIENCE)
    assert (ran.returncode, errors) == (0, b"")
    file = tmp_path / "supportbot" / "transcripts.db"
    assert said.startswith(f"sqlite:///{file}: was empty".encode())
    assert file.exists()
