"""The chat as lines: on a terminal, through a pipe, or over TCP.

Lines wait in a queue and are taken one at a time, so that answers and commands come in
the order in which they were typed. Only what is urgent does not wait. Where too many
wait, or the client does not read, it is not read from either.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IDelayedCall,
    IHalfCloseableProtocol,
    IPushProducer,
    IReactorTime,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from supportbot.channels.chat import FAILED, Chat, Opening
from supportbot.channels.line_splitter import LineSplitter
from supportbot.channels.screen import Look, Screen
from supportbot.context import Logger
from supportbot.frontdesk import FrontDesk
from supportbot.settings import LinesSettings

INTERRUPTED = 130
"""Exit status after Ctrl-C."""

_PIECE = 65_536  # bytes that are cut into lines at a time
_LAST_WORDS = 0.3  # seconds that a client gets to take what was written in the end
_log = Logger()


class Manner(msgspec.Struct, frozen=True):
    """How the chat behaves towards a line client.

    Attributes:
        interactive: somebody is typing: Ctrl-C stops an answer and not the chat, and
            an answer that failed is no failure of the chat.
        echoed: the client sees what it types.
        idle: seconds without a line after which the chat ends; None for never.
        stall: seconds for which the client may not read; None for ever.
        address: of the client, for limits; empty if it has none.
        typed_ahead: tells whether a line is there that was not read yet. No prompt is
            shown then, for it would stand behind what was typed.
    """

    interactive: bool = False
    echoed: bool = False
    idle: float | None = None
    stall: float | None = None
    address: str = ""
    typed_ahead: Callable[[], bool] = lambda: False


@implementer(IHalfCloseableProtocol, IPushProducer)
class Lines(Protocol):
    """The protocol between a line client and its chat.

    Args:
        reactor: for the deadlines.
        desk: opens the conversation.
        settings: the limits.
        look: how the chat looks.
        manner: how it behaves.
        opening: how it begins, if it can be gone on with later.

    Attributes:
        finished: fires with the exit status when the connection is gone and nothing is
            under way any more.
        output_lost: the client stopped reading for good.
    """

    transport: Any  # at once transport, consumer of our output, producer of lines

    def __init__(
        self,
        reactor: IReactorTime,
        desk: FrontDesk,
        settings: LinesSettings,
        look: Look,
        manner: Manner,
        opening: Opening | None = None,
    ) -> None:
        self._clock, self._settings, self._manner = reactor, settings, manner
        self._screen = Screen(reactor, look, self._write)
        self._chat = Chat(reactor, desk, self._screen, opening, manner.address)
        self._recalls = opening is not None  # there is more to begin with than a prompt
        self._splitter = LineSplitter(settings.line)
        self._lines: deque[tuple[str | None, bool]] = deque()  # and: typed ahead
        self._busy = False  # a line is being taken
        self._held_up = False  # the client is not read from
        self._ending = False  # no more lines are wanted
        self._farewell = ""
        self._closing = self._gone = False
        self._status: int | None = None
        self._writable: Deferred[None] | None = None  # fires when the client reads
        self._idle: IDelayedCall | None = None
        self._stall: IDelayedCall | None = None
        self._patience: IDelayedCall | None = None
        self.output_lost = False
        self.finished: Deferred[int] = Deferred()

    def begin(self, line: str) -> None:
        """Take a line as if the client had typed it, and then end."""
        self._take(line)
        self.end()

    def end(self, farewell: str = "") -> None:
        """Want no more lines: answer those that wait, say farewell, then close."""
        self._ending, self._farewell = True, farewell
        if not self._busy:
            self._close()

    def drain(self, farewell: str) -> None:
        """Finish the answer that is under way only, say farewell, then close."""
        self._lines.clear()
        self.end(farewell)

    def stop(self) -> None:
        """Stop the answer that is under way."""
        self._chat.stop()

    def abort(self) -> None:
        """Drop the connection, and what was not taken of our output."""
        self.transport.abortConnection()

    def interrupt(self) -> None:
        """Ctrl-C: stop the answer; where nobody types or none comes, the chat too."""
        answering = self._chat.waits
        if answering:
            self._screen.interrupted()
        if not (answering and self._manner.interactive):
            self.terminate(INTERRUPTED, 0.0)
        self.stop()

    def terminate(self, status: int, grace: float) -> None:
        """Let the answer end that is under way, for so many seconds; then end.

        A client that does not read can't keep us from it.
        """
        if self._gone:
            return
        self._status = status
        _cancel(self._patience)
        self._patience = self._clock.callLater(grace, self._lose_patience)
        self.drain("")

    # IProtocol

    def connectionMade(self) -> None:
        self.transport.registerProducer(self, True)
        if self._recalls:
            self._busy = True
            Deferred.fromCoroutine(self._begin()).addErrback(self._broke)
        else:
            self._screen.prompt()
            self._await_line()

    def dataReceived(self, data: bytes) -> None:
        for start in range(0, len(data), _PIECE):
            for line in self._splitter.feed(data[start : start + _PIECE]):
                self._take(line)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        # What was written last may be lost while the connection is being closed.
        self.output_lost = self.output_lost or not reason.check(ConnectionDone)
        self._over()

    # IHalfCloseableProtocol

    def readConnectionLost(self) -> None:
        if not self._ending:
            for line in self._splitter.end():
                self._take(line)
            self.end(self._farewell)

    def writeConnectionLost(self) -> None:
        # With its writer gone StandardIO.loseConnection never leads to
        # connectionLost, so the end is announced here.
        self.output_lost = True
        self._over()

    # IPushProducer: our output

    def pauseProducing(self) -> None:
        if self._writable is None:
            self._writable = Deferred()
            self._chat.pause()
            self._expect_reading()

    def resumeProducing(self) -> None:
        if self._writable is not None:
            writable, self._writable = self._writable, None
            _cancel(self._stall)
            self._chat.resume()
            writable.callback(None)

    def stopProducing(self) -> None:
        """The transport is gone; `connectionLost` says so too."""

    # Lines

    def _take(self, line: str | None) -> None:
        if self._ending:
            return
        _cancel(self._idle)
        if self._busy and self._manner.echoed:
            self._screen.typed_ahead()
        if (
            line is not None
            and self._busy
            and self._chat.urgent(line, len(self._lines))
        ):
            return
        self._lines.append((line, self._busy))
        if len(self._lines) >= self._settings.high_water:
            self._hold_up()
        if not self._busy:
            self._busy = True  # before the start, which may be the end as well
            Deferred.fromCoroutine(self._work()).addErrback(self._broke)

    async def _begin(self) -> None:
        await self._chat.begin()
        if self._writable is not None:
            await self._writable
        await self._work()

    async def _work(self) -> None:
        while self._lines:
            line, ahead = self._lines.popleft()
            if self._held_up and len(self._lines) <= self._settings.high_water // 2:
                self._let_go()
            if line is None:
                self._chat.too_long(self._settings.line)
            elif not await self._chat.take(line, echoed=self._echoed(ahead)):
                self._lines.clear()
                self._ending = True
            if self._writable is not None:
                await self._writable
        self._busy = False
        if self._ending:
            self._close()
        else:
            if not self._manner.typed_ahead():
                self._screen.prompt()
            self._await_line()

    def _echoed(self, ahead: bool) -> bool:
        return self._manner.echoed and not ahead

    def _hold_up(self) -> None:
        if not self._held_up and not self._ending:
            self._held_up = True
            self.transport.pauseProducing()

    def _let_go(self) -> None:
        self._held_up = False
        if not self._gone:
            self.transport.resumeProducing()

    def _await_line(self) -> None:
        if self._manner.idle is not None and not self._gone:
            farewell = "Nothing was said for long; good-bye."
            self._idle = self._clock.callLater(self._manner.idle, self.end, farewell)

    # The end

    def _broke(self, why: Failure) -> None:
        _log.failure("the chat of a line client", failure=why)
        self._status = FAILED
        self._busy = False
        self.drain("Something went wrong on our side; this chat has to end.")

    def _close(self) -> None:
        if self._gone or self._closing:
            return
        self._closing = True
        if self._farewell:
            self._screen.quiet(self._farewell)
        self._screen.close()
        self._expect_reading()
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def _expect_reading(self) -> None:
        """Drop the client if it does not take what was written."""
        _cancel(self._stall)
        if self._manner.stall is not None:
            self._stall = self._clock.callLater(self._manner.stall, self.abort)

    def _lose_patience(self) -> None:
        self.stop()
        self._patience = self._clock.callLater(_LAST_WORDS, self._over)

    def _over(self) -> None:
        if self._gone:
            return
        self._gone = self._ending = True
        self._lines.clear()
        for call in (self._idle, self._stall, self._patience):
            _cancel(call)
        self._screen.close()
        if self._writable is not None:
            writable, self._writable = self._writable, None
            writable.callback(None)
        Deferred.fromCoroutine(self._finish()).addErrback(self._unfinished)

    async def _finish(self) -> None:
        await self._chat.close()
        status = self._chat.status if not self._manner.interactive else 0
        self.finished.callback(status if self._status is None else self._status)

    def _unfinished(self, why: Failure) -> None:
        _log.failure("closing the conversation of a line client", failure=why)
        self.finished.callback(FAILED)

    def _write(self, data: bytes) -> None:
        if not self._gone:
            self.transport.write(data)


def _cancel(call: IDelayedCall | None) -> None:
    if call is not None and call.active():
        call.cancel()
