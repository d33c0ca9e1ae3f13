"""The chat on this process's own input, output and signals."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Mapping
from types import FrameType
from typing import Any, cast

from twisted.internet.stdio import StandardIO

from supportbot.channels.chat import FAILED
from supportbot.channels.lines import Lines, Manner
from supportbot.channels.screen import Look

_IN, _OUT = 0, 1
_GRACE = 1.5  # seconds in which an answer may end when the process is told to


def fill_descriptors() -> None:
    """Open `/dev/null` where a standard descriptor is closed.

    One that is closed would be given to the reactor, and break it.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def appearance(
    environ: Mapping[str, str], *, plain: bool, batch: bool, one_shot: bool
) -> tuple[Look, Manner]:
    """How the chat looks and behaves on this process's input and output.

    Args:
        environ: for `NO_COLOR` and `TERM`.
        plain: paragraphs are shown for reading.
        batch: nobody types, even on a terminal.
        one_shot: there is one message, and it is not read from the input.
    """
    typed, seen = os.isatty(_IN), os.isatty(_OUT)
    asking = seen and not (batch or one_shot)
    able = seen and environ.get("TERM") not in {None, "", "dumb"}
    look = Look(
        prompt="> " if asking else "",
        indicator=able,
        color=able and not environ.get("NO_COLOR"),
        plain=plain,
        growing=able and not plain,
        spaced=not one_shot,
        width=_width,
    )
    manner = Manner(interactive=typed and asking, echoed=typed, typed_ahead=_readable)
    return look, manner


def _readable() -> bool:
    """Whether a line, or the end, is there to be read."""
    return bool(select.select([_IN], [], [], 0)[0])


def _width() -> int | None:
    """The columns of the terminal as it is now."""
    try:
        return os.get_terminal_size(_OUT).columns or None
    except OSError:
        return None


async def run(reactor: Any, lines: Lines, message: str | None) -> int:
    """Chat until the end.

    Args:
        reactor: the running one.
        lines: the protocol, not yet connected.
        message: the only one, or None to read from the input.

    Returns:
        The exit status.
    """
    _Signals(reactor, lines).install()
    if message is None:
        StandardIO(lines, reactor=reactor)
    else:
        nothing = os.open(os.devnull, os.O_RDONLY)
        cast(Any, StandardIO)(lines, stdin=nothing, reactor=reactor)
        lines.begin(message)
    status = await lines.finished
    if lines.output_lost and not _reader_is_gone():
        sys.stderr.write("supportbot: the output can't be written\n")
        return FAILED
    return status


def _reader_is_gone() -> bool:
    """Whether the output is a pipe that nobody reads, which is how `head` ends it."""
    try:
        os.write(_OUT, b"\n")
    except BrokenPipeError:
        return True
    except OSError:
        return False
    return True


class _Signals:
    """Ctrl-C interrupts the chat; the others end it, at once when they come again."""

    def __init__(self, reactor: Any, lines: Lines) -> None:
        self._reactor, self._lines = reactor, lines

    def install(self) -> None:
        """From now on signals come here."""
        signal.signal(signal.SIGINT, self._interrupt)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._end)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self._reactor.callFromThread(self._lines.interrupt)

    def _end(self, number: int, frame: FrameType | None) -> None:
        for again in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(again, lambda number, frame: os._exit(128 + number))
        self._reactor.callFromThread(self._lines.terminate, 128 + number, _GRACE)
