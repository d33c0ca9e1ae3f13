"""The connection under a call: counted until the headers are in, and dropped at once.

Body transports can't abort, and on TLS their `loseConnection` waits for the peer while
a flood goes on. So the connection itself is kept within reach.
"""

from __future__ import annotations

from typing import cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
    ITCPTransport,
)
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.web.client import URI, Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IAgentEndpointFactory, IBodyProducer, IResponse
from zope.interface import implementer

from supportbot.errors import AnswerUnusable


class Wire:
    """The connection of one call.

    Args:
        head: the most bytes of status line and headers.

    Attributes:
        connected: the connection stood at least once.
        heard: the service said something.
        overflowed: more came than status line and headers may have.
    """

    def __init__(self, head: int) -> None:
        self.connected = self.heard = self.overflowed = False
        self._left: int | None = head
        self._protocol: ProtocolWrapper | None = None

    def stands(self, protocol: ProtocolWrapper) -> None:
        """The connection is made."""
        self.connected, self._protocol = True, protocol

    def head_is_in(self) -> None:
        """From now on the body's own limits hold."""
        self._left = None

    def admit(self, data: bytes) -> bytes:
        """How much may be read of what came next; no more than the head may have."""
        self.heard = True
        if self._left is None:
            return data
        self.overflowed = self._left == 0
        admitted = data[: self._left]
        self._left -= len(admitted)
        return admitted

    def abort(self) -> None:
        """Close at once."""
        if self._protocol is not None:
            cast(ITCPTransport, self._protocol.transport).abortConnection()


def plain_agent(
    reactor: IReactorTime, endpoint: IStreamClientEndpoint, wire: Wire
) -> IAgent:
    """An agent for one call: its own connection, one endpoint, no content coding."""
    pool = HTTPConnectionPool(reactor, persistent=False)
    return _Plain(Agent.usingEndpointFactory(reactor, _Tapped(endpoint, wire), pool))


class _Counting(ProtocolWrapper):
    """Between the connection and HTTP."""

    factory: _CountingFactory

    def connectionMade(self) -> None:
        self.factory.wire.stands(self)
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        wire = self.factory.wire
        while data and not wire.overflowed:
            admitted = wire.admit(data)
            if admitted:  # and with it the head may be in
                super().dataReceived(admitted)
            data = data[len(admitted) :]
        if wire.overflowed:
            wire.abort()


class _CountingFactory(WrappingFactory):
    protocol = _Counting
    noisy = False

    def __init__(self, factory: IProtocolFactory, wire: Wire) -> None:
        super().__init__(factory)
        self.wire = wire


@implementer(IStreamClientEndpoint, IAgentEndpointFactory)
class _Tapped:
    """The one endpoint that a call connects to, with the wire in reach."""

    def __init__(self, endpoint: IStreamClientEndpoint, wire: Wire) -> None:
        self._endpoint, self._wire = endpoint, wire

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        return self

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        def http(counting: IProtocol) -> IProtocol:
            return cast(_Counting, counting).wrappedProtocol

        connecting = self._endpoint.connect(_CountingFactory(factory, self._wire))
        return connecting.addCallback(http)


@implementer(IAgent)
class _Plain:
    """Innermost: asks for no content coding, and refuses one before it is undone.

    298 bytes can inflate to gigabytes, and treq undoes a coding as often as the
    service says.
    """

    def __init__(self, agent: IAgent) -> None:
        self._agent = agent

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        headers = headers.copy() if headers else Headers()
        headers.setRawHeaders(b"accept-encoding", [b"identity"])
        asked = self._agent.request(method, uri, headers, bodyProducer)
        return asked.addCallback(self._check)

    def _check(self, response: IResponse) -> IResponse:
        codings = response.headers.getRawHeaders(b"content-encoding") or []
        if any(coding.strip().lower() not in {b"", b"identity"} for coding in codings):
            raise AnswerUnusable("the body has a content coding")
        return response
