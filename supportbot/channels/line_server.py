"""The chat for line clients over TCP, such as `nc`: a conversation a connection."""

from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Protocol, ServerFactory

from supportbot.channels.limits import household
from supportbot.channels.lines import Lines, Manner
from supportbot.channels.peers import notice_vanishing
from supportbot.channels.screen import Look
from supportbot.context import Logger
from supportbot.frontdesk import FrontDesk
from supportbot.settings import LinesSettings

_FULL = b"Too many people are asking at the moment; please try again later.\n"
_FAREWELL = "We are closing for a while; please come back later."
_LAST_WORDS = 2.0  # seconds that closed connections get to take what was written
_log = Logger()


class LineServer(ServerFactory):
    """Make a chat for each connection, up to the limits.

    Args:
        reactor: for deadlines.
        desk: opens the conversations.
        settings: the limits.
        look: how the chats look.
    """

    noisy = False

    def __init__(
        self,
        reactor: IReactorTime,
        desk: FrontDesk,
        settings: LinesSettings,
        look: Look,
    ) -> None:
        self._clock, self._desk = reactor, desk
        self._settings, self._look = settings, look
        self._open: dict[Lines, str] = {}

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        host = str(getattr(addr, "host", ""))
        settings, held = self._settings, Counter(self._open.values())
        if held.total() >= settings.connections or held[host] >= settings.per_address:
            _log.info("line client refused: {open} are open", open=held.total())
            return _Refusal()
        manner = Manner(
            interactive=True,
            echoed=True,
            idle=settings.idle,
            stall=settings.stall,
            address=household(host),
        )
        lines = _Connection(self._clock, self._desk, settings, self._look, manner)
        self._open[lines] = host
        lines.finished.addCallback(lambda _: self._open.pop(lines))
        return lines

    def drain(self, seconds: float) -> Deferred[None]:
        """Let answers that are under way end, and close; fires when all are closed.

        After so many seconds, answers are stopped; a client that does not take what
        was written to it is dropped.
        """
        gone: list[Deferred[None]] = []
        for lines in list(self._open):
            waiter: Deferred[None] = Deferred()
            gone.append(waiter)
            lines.finished.addBoth(_fire, waiter)
            lines.drain(_FAREWELL)
        calls = [
            self._clock.callLater(seconds, self._each, Lines.stop),
            self._clock.callLater(seconds + _LAST_WORDS, self._each, Lines.abort),
        ]

        def drained(_: object) -> None:
            for call in calls:
                if call.active():
                    call.cancel()

        return gatherResults(gone).addCallback(drained)

    def _each(self, do: Any) -> None:
        for lines in list(self._open):
            do(lines)


def _fire(result: Any, waiter: Deferred[None]) -> Any:
    waiter.callback(None)
    return result


class _Connection(Lines):
    """A chat over TCP."""

    def connectionMade(self) -> None:
        notice_vanishing(self.transport)
        super().connectionMade()


class _Refusal(Protocol):
    """Says that there are too many, and closes."""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(_FULL)
        self.transport.loseConnection()
