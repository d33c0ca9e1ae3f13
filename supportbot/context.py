"""What the running code is about, for the logs.

Coroutines keep it: what a conversation or a request starts is told by their ids.
"""

from __future__ import annotations

from contextvars import ContextVar

from twisted.logger import Logger as _Logger
from twisted.logger import LogLevel

conversation_id: ContextVar[str] = ContextVar("conversation_id", default="")
"""The conversation; nothing where there is none."""

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The HTTP request; nothing where there is none."""

_SHOWN = 6  # characters of a conversation's id, or half: who knows it can read along


class Logger(_Logger):
    """Twisted's, with the ids of what the running code is about."""

    def emit(
        self, level: LogLevel, format: str | None = None, **kwargs: object
    ) -> None:
        if about := conversation_id.get():
            kwargs["conversation"] = about[: min(_SHOWN, len(about) // 2)]
        if about := request_id.get():
            kwargs["request"] = about
        super().emit(level, format, **kwargs)
