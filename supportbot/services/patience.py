"""Tell the customer once if nothing comes for long."""

from __future__ import annotations

from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from supportbot.events import Event, Format
from supportbot.interfaces import Reply

_Event = TypeVar("_Event", bound=Event)


class Patience:
    """Hand a reply on, and watch for silence; see `Reply`.

    Args:
        clock: for the silence.
        title: what customers call the service.
        seconds: without a word, after which the customer is told so.
        reply: gets everything.
    """

    def __init__(
        self, clock: IReactorTime, title: str, seconds: float, reply: Reply
    ) -> None:
        self._reply, self._seconds = reply, seconds
        line = f"The {title} is slow at the moment; still waiting…"
        self._call = clock.callLater(seconds, reply.notice, line)

    def paragraph(self, text: str, format: Format = "html") -> None:
        self._heard()
        self._reply.paragraph(text, format)

    def revise(self, keep: int) -> None:
        self._reply.revise(keep)

    def delta(self, text: str) -> None:
        self._heard()
        self._reply.delta(text)

    def notice(self, text: str) -> None:
        self._heard()
        self._reply.notice(text)

    def record(self, kind: type[_Event], **fields: object) -> Deferred[_Event]:
        return self._reply.record(kind, **fields)

    def end(self) -> None:
        """The answer is over."""
        if self._call.active():
            self._call.cancel()

    def _heard(self) -> None:
        if self._call.active():
            self._call.reset(self._seconds)
