"""HTTP/1.1 for one request: one connection, one response, and the way to drop it.

Under treq stands an agent of our own. Services are not trusted, so no connection is
used twice, nothing is followed and no content coding is undone; and what a pool, a
state machine and a look at proxies would cost each question is saved.
"""

from __future__ import annotations

import re
from typing import Any, cast
from urllib.parse import urlsplit

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IPushProducer,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone, ResponseFailed
from twisted.web.http import (
    PotentialDataLoss,
    _ChunkedTransferDecoder,
    _MalformedChunkedDataError,
)
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from supportbot.errors import AnswerUnusable, BodyBroken

_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: ([^\r\n]*))?\r?\Z")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\r\n\0]*?)[ \t]*\r?\Z")
_END = re.compile(rb"\r?\n\r?\n")
_LENGTH = re.compile(rb"[0-9]{1,15}")
_FRAMING = {b"connection", b"content-length", b"host", b"transfer-encoding"}


@implementer(IAgent)
class Wire(Protocol):
    """The connection of one request, and the agent that makes it.

    Args:
        endpoint: where to connect.
        head: the most bytes of status line and headers, interim responses included.

    Attributes:
        connected: the connection stands, or stood.
        heard: the service said something.
    """

    transport: Any = None

    def __init__(self, endpoint: IStreamClientEndpoint, head: int) -> None:
        self._endpoint, self._left = endpoint, head
        self.connected = self.heard = False
        self._request: list[bytes] = []
        self._body: IBodyProducer | None = None
        self._bodiless = False
        self._connecting: Deferred[IProtocol] | None = None
        self._asked: Deferred[IResponse] = Deferred(self._cancel)
        self._head: bytearray | None = bytearray()  # None once the head is in
        self._response: _Response | None = None

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        """Send the request; fires when the response's headers are in. Once only."""
        target, host = _target(uri)
        self._bodiless = method == b"HEAD"
        lines = [
            b"%b %b HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n"
            b"Accept-Encoding: identity\r\n" % (method, target, host)
        ]
        for name, values in (headers or Headers()).getAllRawHeaders():
            if name.lower() not in _FRAMING and name.lower() != b"accept-encoding":
                lines += [b"%b: %b\r\n" % (name, value) for value in values]
        if bodyProducer is not None:
            if bodyProducer.length is UNKNOWN_LENGTH:
                return fail(ValueError("a body has to have a length"))
            lines.append(b"Content-Length: %d\r\n" % bodyProducer.length)
        self._request, self._body = [*lines, b"\r\n"], bodyProducer
        self._factory = _Factory(self)
        self._connecting = self._endpoint.connect(self._factory)
        self._connecting.addErrback(self._fail)
        return self._asked

    def abort(self) -> None:
        """Close at once; harmless afterwards."""
        if self.transport is not None:
            self.transport.abortConnection()
        elif self._connecting is not None:
            self._connecting.cancel()

    # IProtocol

    def connectionMade(self) -> None:
        self.connected, self._connecting = True, None
        self._factory.connector = getattr(self.transport, "connector", None)
        self.transport.writeSequence(self._request)
        if self._body is not None:
            self._body.startProducing(self.transport).addErrback(self._fail)

    def dataReceived(self, data: bytes) -> None:
        self.heard = True
        if self._head is None:
            if self._response is not None:
                self._response.feed(data)
            return
        self._head += data
        looked = max(0, len(self._head) - len(data) - 3)
        try:
            while (end := _END.search(self._head, looked)) is not None:
                if end.end() > self._left:
                    break
                response = self._parsed(bytes(self._head[: end.start()]))
                self._left -= end.end()
                del self._head[: end.end()]
                if response is not None:
                    self._begin(response)
                    return
                looked = 0  # that was an interim one; the real one follows
            if len(self._head) > self._left:
                raise BodyBroken("the headers are too long")
        except BodyBroken:
            self._fail(Failure())
            self.abort()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        response, self._response = self._response, None
        if response is not None:
            response.lost(reason)
        else:
            self._fail(reason)

    def _parsed(self, head: bytes) -> _Response | None:
        """The response that begins so; None if it is an interim one.

        Raises:
            BodyBroken: it is no HTTP.
            AnswerUnusable: its body has a content coding.
        """
        first, *rest = head.split(b"\n")
        if (status := _STATUS.fullmatch(first)) is None:
            raise BodyBroken("no HTTP")
        headers = Headers()
        for line in rest:
            if (field := _FIELD.fullmatch(line)) is None:
                raise BodyBroken("no HTTP: a broken header")
            headers.addRawHeader(field[1], field[2])
        code = int(status[2])
        if code == 101:
            raise BodyBroken("another protocol than HTTP")
        if code < 200:
            return None
        codings = headers.getRawHeaders(b"content-encoding") or []
        if any(coding.lower() not in {b"", b"identity"} for coding in codings):
            raise AnswerUnusable("the body has a content coding")
        response = _Response(self, (b"HTTP", 1, int(status[1])), code, status[3] or b"")
        response.headers = headers
        response.frame(bodiless=self._bodiless)
        return response

    def _begin(self, response: _Response) -> None:
        rest, self._head, self._response = self._head or b"", None, response
        response.pauseProducing()
        response.feed(bytes(rest))
        self._asked.callback(response)

    def _cancel(self, asked: Deferred[IResponse]) -> None:
        asked.errback(CancelledError())  # whatever the connection makes of it
        self.abort()

    def _fail(self, why: Failure) -> None:
        if not self._asked.called:
            self._asked.errback(why)


class _Factory(Factory):
    """Gives the endpoint the one protocol, and forgets it: connectors last longer.

    Attributes:
        connector: of a connection over TCP.
    """

    noisy = False

    def __init__(self, wire: Wire) -> None:
        self._wires = [wire]
        self.connector: Any = None

    def stopFactory(self) -> None:
        """The connection is over, and so is what held it in a circle.

        Thousands of these would stop everything for 0.1 s when they are collected.
        """
        if self.connector is not None:
            self.connector.transport = self.connector.factory = None

    def buildProtocol(self, addr: IAddress | None) -> Wire | None:
        return self._wires.pop() if self._wires else None


@implementer(IResponse, IPushProducer)
class _Response:
    """The response; and for whom its body is delivered to, the transport.

    Until then the connection is paused, but for what had come with the headers.
    """

    request = previousResponse = None

    headers: Headers

    def __init__(
        self, wire: Wire, version: tuple[bytes, int, int], code: int, phrase: bytes
    ) -> None:
        self._wire = wire
        self.version, self.code, self.phrase = version, code, phrase
        self.length: Any = UNKNOWN_LENGTH
        self._chunked: _ChunkedTransferDecoder | None = None
        self._left: int | None = None  # bytes of the body, if that is known
        self._protocol: IProtocol | None = None
        self._early: list[bytes] = []
        self._ended: Failure | None = None

    def frame(self, *, bodiless: bool) -> None:
        """See how the body ends (RFC 9112, 6.3).

        Raises:
            BodyBroken: nobody can tell.
        """
        codings = self.headers.getRawHeaders(b"transfer-encoding")
        lengths = self.headers.getRawHeaders(b"content-length")
        if bodiless or self.code in {204, 304}:
            self._left = self.length = 0
        elif codings is not None:
            if [coding.lower() for coding in codings] != [b"chunked"]:
                raise BodyBroken("an unknown transfer coding")
            self._chunked = _ChunkedTransferDecoder(self._give, self._last_chunk)
        elif lengths is not None:
            if len(set(lengths)) > 1 or not _LENGTH.fullmatch(lengths[0]):
                raise BodyBroken("the length of the body is none")
            self._left = self.length = int(lengths[0])

    def feed(self, data: bytes) -> None:
        """Bytes of the body, as they came."""
        if self._ended is not None:
            return  # what stands behind the body is nobody's
        if self._chunked is not None:
            try:
                self._chunked.dataReceived(data)
            except (_MalformedChunkedDataError, RuntimeError):
                self._end(Failure(ResponseFailed([Failure()])))
        elif self._left is None:
            self._give(data)
        else:
            mine = data[: self._left]
            self._left -= len(mine)
            self._give(mine)
            if not self._left:
                self._end(Failure(ResponseDone()))

    def lost(self, reason: Failure) -> None:
        """The connection is gone."""
        whole = self._chunked is None and self._left is None
        if whole and reason.check(ConnectionDone):
            self._end(Failure(PotentialDataLoss()))
        else:
            self._end(Failure(ResponseFailed([reason])))

    def deliverBody(self, protocol: IProtocol) -> None:
        """Hand the body on, and its end."""
        self._protocol = protocol
        protocol.makeConnection(cast(Any, self))
        early, self._early = self._early, []
        for data in early:
            protocol.dataReceived(data)
        if self._ended is not None:
            self._protocol = None
            protocol.connectionLost(self._ended)
        else:
            self.resumeProducing()

    def setPreviousResponse(self, response: IResponse) -> None:
        """Nothing is followed, so there is none."""

    def pauseProducing(self) -> None:
        self._wire.transport.pauseProducing()

    def resumeProducing(self) -> None:
        if self._ended is None:
            self._wire.transport.resumeProducing()

    def stopProducing(self) -> None:
        self._wire.abort()

    def loseConnection(self) -> None:
        """Close; nothing is sent that could still be on the way."""
        self._wire.abort()

    def _give(self, data: bytes) -> None:
        if not data:
            return
        if self._protocol is None:
            self._early.append(data)
        else:
            self._protocol.dataReceived(data)

    def _last_chunk(self, rest: bytes) -> None:
        self._end(Failure(ResponseDone()))

    def _end(self, why: Failure) -> None:
        if self._ended is None:
            self._ended = why
            protocol, self._protocol = self._protocol, None
            if protocol is not None:
                protocol.connectionLost(why)


def _target(uri: bytes) -> tuple[bytes, bytes]:
    """The request's target and host, of an absolute URL."""
    parts = urlsplit(uri)
    query = b"?" + parts.query if parts.query else b""
    return (parts.path or b"/") + query, parts.netloc
