"""Where logs go: never where somebody chats."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, cast

from platformdirs import user_log_path
from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    formatEvent,
    globalLogBeginner,
)
from twisted.python.logfile import LogFile
from zope.interface import provider

from supportbot.context import Logger

_SIZE = 1_000_000  # bytes of a log file before it is moved aside
_KEPT = 3
_LEGACY = {"system", "isError", "format"}  # what Twisted's old way to log adds
log = Logger()
"""The program's own logger, for what belongs to no part of it."""


def json_lines(file: IO[Any]) -> ILogObserver:
    """An observer that writes one JSON object per line.

    Besides `time`, `level`, `logger` and `message` it has what the event was told with:
    numbers, flags and texts.
    """

    @provider(ILogObserver)
    def observe(event: LogEvent) -> None:
        when = datetime.fromtimestamp(event.get("log_time", 0.0), UTC)
        line = {
            "time": when.isoformat(timespec="milliseconds"),
            "level": getattr(event.get("log_level"), "name", ""),
            "logger": str(event.get("log_namespace", "")),
            "message": formatEvent(event),
        }
        if (failure := event.get("log_failure")) is not None:
            line["failure"] = failure.getTraceback()
        for name, value in event.items():
            if name in _LEGACY or name.startswith("log_"):
                continue
            if isinstance(value, str | int | float):
                line.setdefault(name, value)
        file.write(json.dumps(line, ensure_ascii=False) + "\n")
        file.flush()

    return cast(ILogObserver, observe)


def to_file(path: str | None) -> None:
    """Log as JSON lines into a file that is moved aside when it is large.

    Args:
        path: the file; None for `chat.log` where the user's logs are. If it can't be
            written, that is said, and nothing is logged.
    """
    where = Path(path) if path else user_log_path("supportbot") / "chat.log"
    observers: list[ILogObserver] = []
    try:
        where.parent.mkdir(parents=True, exist_ok=True)
        file = LogFile(
            where.name, str(where.parent), rotateLength=_SIZE, maxRotatedFiles=_KEPT
        )
    except OSError as error:
        sys.stderr.write(f"supportbot: no log: {where}: {error.strerror}\n")
    else:
        observers.append(json_lines(cast(IO[Any], file)))
    globalLogBeginner.beginLoggingTo(observers, redirectStandardIO=False)


def to_stderr(observer: Callable[[IO[Any]], ILogObserver], *, everything: bool) -> None:
    """Log to the standard error.

    Args:
        observer: how; given the file, makes what writes there.
        everything: what goes on too, and not only what goes wrong.
    """
    level = LogLevel.info if everything else LogLevel.warn
    filtered = FilteringLogObserver(
        observer(sys.stderr), [LogLevelFilterPredicate(defaultLogLevel=level)]
    )
    globalLogBeginner.beginLoggingTo([filtered], redirectStandardIO=False)
