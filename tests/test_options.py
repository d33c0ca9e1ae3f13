"""The command lines, and what they start, on a reactor that has no sockets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from twisted.application.service import IServiceMaker
from twisted.internet.testing import MemoryReactorClock
from twisted.plugin import getPlugins
from twisted.python.usage import UsageError

from supportbot.options import ChatOptions, Options, environment, makeService


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
    ],
)
def test_wrong_usage_says_what_was_expected(arguments: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parsed(ChatOptions(), *arguments)


def test_the_demo_is_asked_for() -> None:
    assert parsed(ChatOptions()).demo is None
    demo = parsed(ChatOptions(), "--demo", "--demo-delay", "0.5", "--demo-seed=7").demo
    assert (demo.delay, demo.zeroes, demo.seed) == (0.5, 0.5, 7)


def test_the_service_needs_something_to_serve() -> None:
    with pytest.raises(UsageError, match="Nothing to serve"):
        parsed(Options())


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
    service = makeService(parsed(Options(), "--lines", "tcp:8023", "--demo"), reactor)
    assert not reactor.tcpServers
    service.privilegedStartService()
    service.startService()
    ports = [port for port, *_ in reactor.tcpServers]
    assert sorted(ports) == [0, 0, 0, 8023]


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
