"""What all command lines share."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from dotenv import dotenv_values
from platformdirs import user_state_path
from twisted.python.usage import Options

from supportbot import __version__
from supportbot.errors import StoreUnusable

FAILED, USAGE, INTERRUPTED, BAD_SETTINGS = 1, 2, 130, 78
"""Exit statuses; 130 is after Ctrl-C, and 78 is EX_CONFIG of sysexits."""

MEMORY = "memory"
"""In the place of a database's URL: nothing is stored."""


GROUPS = ("database", "logins", "transcripts")
"""The words that choose a group of operators' commands."""

SERVE = "serve"
"""The word that opens a port instead of a chat on this terminal."""


def default_url(folder: Path | None = None) -> str:
    """The URL of `transcripts.db` in the user's state folder, which is made.

    Raises:
        StoreUnusable: it can't be made.
    """
    folder = folder or user_state_path("supportbot")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnusable(f"{folder}: {error.strerror}; make it by hand") from error
    return f"sqlite:///{folder / 'transcripts.db'}"


class Program(Options):
    """The options of every command line that reads settings."""

    optParameters: Sequence[Sequence[str | None]] = (
        ("settings", "s", None, "A TOML file; otherwise SUPPORTBOT_SETTINGS names it."),
        (
            "database",
            None,
            None,
            "Where transcripts live: sqlite:///PATH, postgresql+psycopg://USER@HOST/"
            "NAME or memory; otherwise DATABASE_URL names it.",
        ),
    )

    def opt_version(self) -> None:
        """Show the version and exit."""
        sys.stdout.write(f"supportbot {__version__}\n")
        sys.exit(0)


def text(argument: str) -> str:
    """An argument with marks in the place of bytes that are no UTF-8."""
    return argument.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def environment() -> Mapping[str, str]:
    """The environment over what `.env` in the working directory adds to it."""
    added = {name: value or "" for name, value in dotenv_values(".env").items()}
    return added | dict(os.environ)


def fail(why: str, status: int) -> int:
    """Say in one line why the program ends; returns the exit status."""
    sys.stderr.write(f"supportbot: {why}\n")
    return status
