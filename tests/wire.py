"""Connections without sockets: a test is the service, byte for byte."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import (
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    DNSLookupError,
)
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

ANSWER = b"HTTP/1.0 200 OK\r\nContent-type: application/json\r\n\r\n"
TEXT = b"HTTP/1.0 200 OK\r\nContent-type: text/plain\r\n\r\n"


class Connection(StringTransport):
    """One connection that was made to the service under test.

    As with a real one, a client that closes it is told so a moment later.

    Attributes:
        open: neither side has closed it.
        aborted: the client dropped it.
    """

    def __init__(self, clock: IReactorTime, protocol: IProtocol) -> None:
        super().__init__()
        self.open, self.aborted = True, False
        self._clock = clock
        self._client = protocol

    @property
    def request(self) -> bytes:
        """What the client sent."""
        return self.value()

    def answer(self, *pieces: bytes) -> None:
        """Send bytes, as long as the client listens."""
        for piece in pieces:
            if self.open:
                self._client.dataReceived(piece)

    def finish(self) -> None:
        """Close in good order."""
        self._end(Failure(ConnectionDone()))

    def reset(self) -> None:
        """Break the connection."""
        self._end(Failure(ConnectionLost()))

    def loseConnection(self) -> None:
        self._drop(Failure(ConnectionDone()))

    def abortConnection(self) -> None:
        self.aborted = True
        self._drop(Failure(ConnectionAborted()))

    def _drop(self, why: Failure) -> None:
        if self.open:
            self.open = False
            self._clock.callLater(0, self._client.connectionLost, why)

    def _end(self, why: Failure) -> None:
        if self.open:
            self.open = False
            self._client.connectionLost(why)


@implementer(IStreamClientEndpoint)
class Endpoint:
    """Where the service listens.

    Args:
        clock: the client's.

    Attributes:
        connections: all that were made, the oldest first.
        refusal: fails every attempt to connect.
        silent: attempts to connect have no end; cancelled, they fail as the look-up of
            a name does.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self.connections: list[Connection] = []
        self.refusal: Exception | None = None
        self.silent = False

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        if self.refusal is not None:
            return fail(self.refusal)
        if self.silent:
            return Deferred(lambda connecting: connecting.errback(DNSLookupError()))
        protocol = factory.buildProtocol(None)
        connection = Connection(self._clock, protocol)
        self.connections.append(connection)
        protocol.makeConnection(connection)
        return succeed(protocol)

    @property
    def last(self) -> Connection:
        """The newest connection."""
        return self.connections[-1]
