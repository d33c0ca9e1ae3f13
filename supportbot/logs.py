"""Where logs go: never where somebody chats."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO, Any, cast

from platformdirs import user_log_path
from twisted.logger import (
    ILogObserver,
    LogEvent,
    Logger,
    globalLogBeginner,
    jsonFileLogObserver,
)
from twisted.python.logfile import LogFile
from zope.interface import implementer

from supportbot.conversation import conversation_id

_SIZE = 1_000_000  # bytes of a log file before it is moved aside
_KEPT = 3
log = Logger()
"""The program's own logger, for what belongs to no part of it."""


@implementer(ILogObserver)
class _InConversation:
    """Add to each event which conversation it is about.

    Only the beginning of its id: who knows the whole of one can read along.
    """

    def __init__(self, observer: ILogObserver) -> None:
        self._observer = observer

    def __call__(self, event: LogEvent) -> None:
        if about := conversation_id.get():
            event["conversation"] = about[:6]
        self._observer(event)


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
        observers.append(_InConversation(jsonFileLogObserver(cast(IO[Any], file), "")))
    globalLogBeginner.beginLoggingTo(observers, redirectStandardIO=False)
