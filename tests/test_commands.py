"""Lines that are commands, lines that are messages, and lines that are neither."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supportbot.channels.commands import HELP, Command, UnknownCommand, command


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("/help", Command.HELP),
        ("/history", Command.HISTORY),
        ("/clear", Command.CLEAR),
        ("/stop", Command.STOP),
        ("/retry", Command.RETRY),
        ("/status", Command.STATUS),
        ("/quit", Command.QUIT),
        ("/exit", Command.QUIT),
        ("quit", Command.QUIT),
        ("exit", Command.QUIT),
        ("/HELP", Command.HELP),
        ("Exit", Command.QUIT),
        ("  /stop\t", Command.STOP),
        ("/quit, now", None),
        ("/quit now", Command.QUIT),
    ],
)
def test_commands(line: str, expected: Command | None) -> None:
    if expected is None:
        with pytest.raises(UnknownCommand):
            command(line)
    else:
        assert command(line) is expected


@pytest.mark.parametrize(
    "line",
    [
        "help",  # asks the technical support
        "stop",
        "clear",
        "exit now",
        "quit!",
        "how do I quit",
        "and/or",
        "\\help",
        "",
        "   ",
        "?",
    ],
)
def test_messages(line: str) -> None:
    assert command(line) is None


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("/", "/"),
        ("/nonsense", "/nonsense"),
        (" /nonsense and more", "/nonsense"),
        ("//help", "//help"),
        ("/helpme", "/helpme"),
        ("/hel", "/hel"),
    ],
)
def test_unknown_commands_are_named(line: str, word: str) -> None:
    with pytest.raises(UnknownCommand) as raised:
        command(line)
    assert (
        str(raised.value) == f"There is no command {word}; /help shows those there are."
    )


def test_a_long_unknown_command_is_not_repeated_whole() -> None:
    with pytest.raises(UnknownCommand) as raised:
        command("/" + "x" * 10_000)
    assert len(str(raised.value)) < 100


def test_every_command_is_explained() -> None:
    assert {name for name, _ in HELP} == set(Command)
    assert all(command(name) for name, _ in HELP)


@given(st.text())
def test_any_line_is_one_of_the_three(line: str) -> None:
    try:
        found = command(line)
    except UnknownCommand:
        assert line.strip().startswith("/")
    else:
        assert found is None or found in Command
