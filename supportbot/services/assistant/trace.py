"""How far a request came: whether any of it can have reached its server."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IHandshakeListener,
    INegotiated,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
    ITransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer


class Trace:
    """How far a request came.

    Attributes:
        sent: a part of it may have reached the server.
    """

    sent = False


@implementer(IStreamClientEndpoint)
class Line:
    """The way to the server for one request, which notes when something can leave.

    Attributes:
        wanted: a connection that comes later is not used any more.
    """

    def __init__(self, endpoint: IStreamClientEndpoint, trace: Trace) -> None:
        self._endpoint, self._trace = endpoint, trace
        self._trace.sent, self.wanted = False, True

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        connecting: Deferred[IProtocol] = self._endpoint.connect(
            _LineFactory(factory, self)
        )
        return connecting

    def opened(self) -> None:
        """From now on something may reach the server."""
        self._trace.sent = True


class _LineFactory(Factory):
    noisy = False

    def __init__(self, inner: IProtocolFactory, line: Line) -> None:
        self._inner: Any = inner
        self._line = line

    def doStart(self) -> None:
        self._inner.doStart()

    def doStop(self) -> None:
        self._inner.doStop()

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        if not self._line.wanted:
            return None
        inner: IProtocol | None = self._inner.buildProtocol(addr)
        return None if inner is None else _Opening(inner, self._line)


@implementer(IHandshakeListener)
class _Opening(Protocol):
    """In front of a connection's protocol: notes when the connection carries."""

    def __init__(self, inner: IProtocol, line: Line) -> None:
        self._inner, self._line = inner, line

    def makeConnection(self, transport: ITransport) -> None:
        if not INegotiated.providedBy(transport):
            self._line.opened()  # over TLS, nothing leaves before its handshake
        self._inner.makeConnection(transport)

    def handshakeCompleted(self) -> None:
        self._line.opened()

    def dataReceived(self, data: bytes) -> None:
        self._inner.dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._inner.connectionLost(reason)
