"""What all command lines share."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

from dotenv import dotenv_values
from twisted.python.usage import Options

from supportbot import __version__

FAILED, USAGE, INTERRUPTED, BAD_SETTINGS = 1, 2, 130, 78
"""Exit statuses; 130 is after Ctrl-C, and 78 is EX_CONFIG of sysexits."""

MEMORY = "memory"
"""In the place of a database's URL: nothing is stored."""


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
