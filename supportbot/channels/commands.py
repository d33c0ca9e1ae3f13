"""The lines that are not messages."""

from __future__ import annotations

from enum import StrEnum


class Command(StrEnum):
    """What a line client can ask the chat itself to do."""

    HELP = "/help"
    HISTORY = "/history"
    CLEAR = "/clear"
    STOP = "/stop"
    RETRY = "/retry"
    STATUS = "/status"
    QUIT = "/quit"


_SPELLINGS = {command.value: command for command in Command} | {
    "/exit": Command.QUIT,
    "exit": Command.QUIT,
    "quit": Command.QUIT,
}

HELP = (
    ("/help", "show this"),
    ("/history", "show the conversation so far"),
    ("/clear", "forget it, and begin a new one"),
    ("/stop", "stop the answer that is under way"),
    ("/retry", "ask the last message again"),
    ("/status", "tell what is under way"),
    ("/quit", "end; so do /exit, exit, quit and Ctrl-D"),
)
"""Each command and what it does, for people."""


class UnknownCommand(Exception):
    """A word with a slash that means nothing; `str()` of it is for the client."""

    def __init__(self, word: str) -> None:
        super().__init__(f"There is no command {word}; /help shows those there are.")


def command(line: str) -> Command | None:
    """The command that a line is, or None for a message.

    Raises:
        UnknownCommand: it begins with a slash, and is none.
    """
    text = line.strip()
    if text.startswith("/"):
        text = text.split()[0]
    found = _SPELLINGS.get(text.lower())
    if found is None and text.startswith("/"):
        raise UnknownCommand(text[:40])
    return found
