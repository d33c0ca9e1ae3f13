"""The HTTP/1.0 under the simulated services: a connection is one question, one answer.

An exchange waits for its turn, reads its request, and writes the pieces of its script.
Its end is the closed connection. While it waits for its turn nothing is read from it.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredSemaphore,
    gatherResults,
)
from twisted.internet.interfaces import IAddress, IPushProducer, IReactorTime
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from zope.interface import implementer

from supportbot.context import Logger
from supportbot.demo.request import Request, RequestReader, Unanswerable
from supportbot.demo.script import Script

_REFUSED = b"HTTP/1.0 501 Not Implemented\r\n\r\n"
_MANY = 10_000  # exchanges at a time, where the turns are not the point

_log = Logger()


@implementer(IPushProducer)
class Exchange(Protocol):
    """One connection.

    Args:
        clock: for the waits between pieces.
        script: what is said.
        turns: has to be acquired before the request is looked at.
        deaf: whether, between two pieces, the client's end is not noticed, so that the
            turn is kept until the next piece is due.

    Attributes:
        ended: fires when the connection is gone and no timer is left.
    """

    transport: Any  # at once transport, consumer of our pieces, producer of the request

    def __init__(
        self,
        clock: IReactorTime,
        script: Script,
        turns: DeferredSemaphore,
        *,
        deaf: bool,
    ) -> None:
        self._clock, self._script, self._turns = clock, script, turns
        self._deaf = deaf
        self._between_pieces = False
        self._gone = False
        self._lost: Deferred[None] = Deferred()
        self._reader: RequestReader | None = RequestReader(script.method)
        self._asked: Deferred[Request] = Deferred()
        self._room: Deferred[None] | None = None  # fires when the client reads again
        self.ended: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.transport.pauseProducing()
        self._serving = Deferred.fromCoroutine(self._serve()).addErrback(self._broke)
        both = gatherResults([self._serving, self._lost])
        both.addCallback(lambda _: self.ended.callback(None))

    def dataReceived(self, data: bytes) -> None:
        if self._reader is None:
            return  # the originals don't read on either
        try:
            request = self._reader.feed(data)
        except Unanswerable as error:
            self._reader = None
            self._asked.errback(error)
            return
        if request is not None:
            self._reader = None
            self._asked.callback(request)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._gone = True
        self._lost.callback(None)
        if not (self._deaf and self._between_pieces):
            self._serving.cancel()

    def pauseProducing(self) -> None:
        """The client does not read fast enough: the next piece waits."""
        if self._room is None:
            self._room = Deferred()

    def resumeProducing(self) -> None:
        """The client has read."""
        room, self._room = self._room, None
        if room is not None:
            room.callback(None)

    def stopProducing(self) -> None:
        """The transport is gone; `connectionLost` says so too."""

    def abort(self) -> None:
        """Hang up at once, and stop."""
        self.transport.abortConnection()
        self._serving.cancel()

    async def _serve(self) -> None:
        await self._turns.acquire()
        try:
            self.transport.resumeProducing()
            await self._answer(await self._asked)
        except Unanswerable as error:
            _log.debug("closed without an answer: {error}", error=str(error))
        finally:
            self.transport.loseConnection()
            self._turns.release()

    async def _answer(self, request: Request) -> None:
        if request.method != self._script.method:
            self.transport.write(_REFUSED)
            return
        # A flood for a client that does not read would fill the memory.
        self.transport.registerProducer(self, True)
        try:
            await self._write(request.text)
        finally:
            self.transport.unregisterProducer()

    async def _write(self, text: str) -> None:
        media = self._script.media
        self.transport.write(
            f"HTTP/1.0 200 OK\r\nContent-type: {media}\r\n\r\n".encode()
        )
        for piece in self._script.pieces(text):
            if piece.wait:
                self._between_pieces = True
                await deferLater(self._clock, piece.wait)
                self._between_pieces = False
            if self._gone:
                return
            if self._room is not None:
                await self._room
            self.transport.write(piece.octets)

    def _broke(self, why: Failure) -> None:
        if not why.check(CancelledError):
            _log.failure("an exchange", failure=why)


class Exchanges(ServerFactory):
    """Make an exchange for each connection.

    Args:
        clock: for the waits between pieces.
        script: what is said.
        one_at_a_time: later clients are accepted, and wait in the order in which they
            came; a client that is gone is only noticed when a piece is written to it.
    """

    noisy = False

    def __init__(
        self, clock: IReactorTime, script: Script, *, one_at_a_time: bool
    ) -> None:
        self._clock, self._script, self._deaf = clock, script, one_at_a_time
        self._turns = DeferredSemaphore(1 if one_at_a_time else _MANY)
        self._open: set[Exchange] = set()

    def buildProtocol(self, addr: IAddress | None) -> Exchange:
        exchange = Exchange(self._clock, self._script, self._turns, deaf=self._deaf)
        self._open.add(exchange)
        exchange.ended.addCallback(lambda _: self._open.discard(exchange))
        return exchange

    def abort(self) -> Deferred[None]:
        """Hang up on everybody; fires when all are gone and no timer is left."""
        gone: list[Deferred[None]] = []
        for exchange in list(self._open):
            gone.append(exchange.ended)
            exchange.abort()
        return gatherResults(gone).addCallback(lambda _: None)
