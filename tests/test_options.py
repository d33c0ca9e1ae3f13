"""The command lines, and what they start, on a reactor that has no sockets."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from twisted.application.service import IServiceMaker
from twisted.internet.testing import MemoryReactorClock
from twisted.plugin import getPlugins
from twisted.python.usage import UsageError

from supportbot import logs
from supportbot.command_line import environment
from supportbot.options import ChatOptions, Options, ServeOptions, makeService
from supportbot.transcripts.database import upgrade
from tests.program import environment as clean
from tests.program import served


def parsed(options: Any, *arguments: str) -> Any:
    options.parseOptions(list(arguments))
    return options


def test_a_message_may_be_many_words() -> None:
    assert parsed(ChatOptions(), "a", "product question").message == (
        "a product question"
    )
    assert parsed(ChatOptions()).message is None
    assert parsed(ChatOptions(), "-").message is None
    assert parsed(ChatOptions(), "-").batch


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--demo-delay", "soon"], "--demo-delay: expected seconds"),
        (["--demo-delay", "-1"], "expected delay to be .*seconds, 0 or more"),
        (["--demo-zeroes", "2"], "expected zeroes to be a number from 0 to 1"),
        (["--demo-seed", "x"], "--demo-seed: expected a whole number"),
        ([" "], "The message is empty"),
        (["--nonsense"], "option --nonsense not recognized"),
        (["--resume", "--database", "memory"], "--resume: what is kept in memory"),
    ],
)
def test_wrong_usage_says_what_was_expected(arguments: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parsed(ChatOptions(), *arguments)


@pytest.mark.parametrize("word", ["database", "transcripts"])
def test_a_word_chooses_an_operators_command(word: str) -> None:
    asked = parsed(ChatOptions(), "--database", "memory", word, "list", "--limit", "3")
    assert asked.command == (word, "list", "--limit", "3")
    assert (asked.message, asked.batch) == (None, False)
    for words in ((f"{word} list",), ("my", word), ("--", f"{word} ")):
        assert not parsed(ChatOptions(), *words).command
    assert parsed(ChatOptions(), f"{word} list").message == f"{word} list"


def test_a_word_opens_a_port_instead() -> None:
    asked = parsed(ChatOptions(), "--demo", "serve", "--port", "0")
    assert asked.command == ("serve", "--port", "0")
    assert (asked.message, asked.demo is None) == (None, False)
    assert parsed(ChatOptions(), "serve dinner").message == "serve dinner"


def test_where_to_serve_has_good_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PORT", raising=False)
    options = parsed(ServeOptions())
    assert (options.port, options["host"]) == (8000, "127.0.0.1")
    assert (options.log_format, options.demo) == (None, None)
    monkeypatch.setenv("PORT", "65535")
    assert parsed(ServeOptions()).port == 65_535
    assert parsed(ServeOptions(), "-p", "0", "--demo").port == 0
    monkeypatch.setenv("PORT", "")
    assert parsed(ServeOptions()).port == 8000


@pytest.mark.parametrize("port", ["65536", "-1", "8000 ", "1e3", "²", "100000"])
def test_a_port_is_a_number_of_sixteen_bits(port: str) -> None:
    with pytest.raises(UsageError, match="--port: expected a number from 0 to 65535"):
        parsed(ServeOptions(), f"--port={port}")


def test_the_demo_is_asked_for() -> None:
    assert parsed(ChatOptions()).demo is None
    demo = parsed(ChatOptions(), "--demo", "--demo-delay", "0.5", "--demo-seed=7").demo
    assert (demo.delay, demo.zeroes, demo.seed) == (0.5, 0.5, 7)


def test_the_service_needs_something_to_serve() -> None:
    with pytest.raises(UsageError, match="Nothing to serve"):
        parsed(Options())


def test_the_port_may_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PORT", "8000")
    assert parsed(Options())["http"] == "tcp:8000"
    assert parsed(Options(), "--http", "tcp:1")["http"] == "tcp:1"
    assert parsed(Options(), "--lines", "tcp:1")["http"] is None
    monkeypatch.setenv("PORT", "")
    with pytest.raises(UsageError, match="Nothing to serve"):
        parsed(Options())


def test_twist_is_told_how_to_log() -> None:
    twist: dict[str, Any] = {}
    options = Options()
    options.parent = twist  # type: ignore[assignment]
    parsed(options, "--lines", "tcp:1", "--log-format", "json")
    assert twist == {
        "fileLogObserverFactory": logs.json_lines,
        "logFormat": "json",
    }
    with pytest.raises(UsageError, match="--log-format: expected json or text"):
        parsed(Options(), "--lines", "tcp:1", "--log-format", "xml")


def test_the_environment_wins_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("SUPPORTBOT_ONE=file\nSUPPORTBOT_TWO=file\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SUPPORTBOT_TWO", "environment")
    found = environment()
    assert found["SUPPORTBOT_ONE"] == "file"
    assert found["SUPPORTBOT_TWO"] == "environment"
    assert "SUPPORTBOT_ONE" not in os.environ


def test_making_the_service_starts_nothing() -> None:
    reactor = MemoryReactorClock()
    options = parsed(Options(), "--lines", "tcp:8023", "--demo", "--database", "memory")
    service = makeService(options, reactor)
    assert not reactor.tcpServers
    service.privilegedStartService()
    service.startService()
    ports = [port for port, *_ in reactor.tcpServers]
    assert sorted(ports) == [0, 0, 0, 0, 0, 8023]


def ended(*arguments: str, start: bool = False) -> object:
    """The status with which a service ends that can't be made, or can't start."""

    def run() -> None:
        service = makeService(parsed(Options(), *arguments), MemoryReactorClock())
        if start:
            service.privilegedStartService()
            service.startService()

    with pytest.raises(SystemExit) as caught:
        run()
    return caught.value.code


@pytest.mark.parametrize(
    ("database", "words"),
    [
        ("mysql://me:secret@host/name", "expected sqlite:///PATH or postgresql"),
        ("nonsense", "the database's URL can't be read"),
        ("sqlite://", "names no file"),
    ],
)
def test_a_database_that_is_none_ends_it_with_78(
    database: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended("--http", "tcp:8000", "--database", database) == 78
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert "secret" not in line


def test_a_newer_schema_ends_it_with_78(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "newer.db"
    upgrade(url := f"sqlite:///{file}")
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    assert ended("--http", "tcp:8000", "--database", url, start=True) == 78
    (line,) = capsys.readouterr().err.splitlines()
    assert "its schema 9999 is newer than ours" in line


def test_a_port_that_is_none_ends_it_with_64(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PORT", "http")
    assert ended("--database", "memory") == 64
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_settings_that_are_wrong_end_it_with_78(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("[lines]\nprompt = 5\n")
    options = parsed(Options(), "--lines", "tcp:8023", "--settings", str(wrong))
    with pytest.raises(SystemExit) as caught:
        makeService(options, MemoryReactorClock())
    assert caught.value.code == 78
    expected = f"supportbot: {wrong}: lines.prompt: expected str, got int\n"
    assert capsys.readouterr().err == expected


def test_twist_knows_the_plugin() -> None:
    import twisted.plugins

    names = [plugin.tapname for plugin in getPlugins(IServiceMaker, twisted.plugins)]
    assert names.count("supportbot") == 1


def test_a_log_for_programs_tells_what_belongs_together(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'transcripts.db'}"
    arguments = ("--demo", "--demo-delay", "0", "--database", database)
    with served(*arguments, "--log-format", "json", env=clean()) as server:
        session = server.said("real person")["session_id"]
        server.stop()
        server.ended()
    lines = [json.loads(line) for line in server.log]
    assert all({"time", "level", "logger", "message"} <= set(line) for line in lines)
    (answered,) = [one for one in lines if " answered: " in one["message"]]
    assert answered["service"] == "real-agent"
    assert session.startswith(answered["conversation"])
    assert len(answered["conversation"]) < len(session)
    assert answered["request"]
