"""An HTTP client without sockets: it sends, reads, stops reading, and goes away."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IPushProducer,
    ITransport,
)
from twisted.internet.protocol import ServerFactory
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer


class Response(msgspec.Struct, frozen=True):
    """One response.

    Attributes:
        headers: by names in lower case; repeated ones are joined by commas.
        body: decoded.
        whole: it has come to its end.
    """

    status: int
    phrase: str
    headers: Mapping[str, str]
    body: bytes
    whole: bool

    @property
    def json(self) -> Any:
        """The body's value."""
        return msgspec.json.decode(self.body)


@implementer(ITransport, IConsumer, IPushProducer)
class HttpClient:
    """A client's end of a connection, and the transport between it and a server.

    It behaves as TCP does: that the connection is lost is told in a later turn of the
    reactor, and bytes that nobody listens to wait.

    Args:
        clock: has the turns.
        host: where it connects from; None for a unix socket.
        room: bytes that the client may leave unread before the server has to pause.

    Attributes:
        received: all bytes that the client has read.
        faults: calls that no protocol should make.
        half_closed: the server has said that it will send nothing more.
        closed: the connection is no more.
        aborted: by a reset.
        writes: how often the server has written.
    """

    def __init__(
        self, clock: Clock, host: str | None = "192.0.2.7", room: int = 65_536
    ) -> None:
        self._clock, self._host, self._room = clock, host, room
        self.protocol: Any = None
        self._producer: Any = None
        self._paused = self._closing = False
        self._reads = self._wanted = True
        self._unread = b""
        self._sent: list[bytes | None] = []  # and not yet received; None is the end
        self._methods: list[str] = []
        self._taken = 0
        self.received = b""
        self.faults: list[str] = []
        self.half_closed = self.closed = self.aborted = False
        self.writes = 0

    # What the client does

    def connect(self, server: ServerFactory[Any]) -> None:
        """Meet a server."""
        self.protocol = server.buildProtocol(self.getPeer())
        self.protocol.makeConnection(self)

    def send(self, data: bytes) -> None:
        """Send these bytes, all at once."""
        self._sent.append(data)
        self._deliver()

    def request(
        self,
        method: str = "GET",
        target: str = "/",
        headers: Iterable[tuple[str, str]] = (),
        body: bytes | None = None,
        host: str | None = "localhost",
        version: str = "1.1",
    ) -> None:
        """Send a request. A body is sent with its length."""
        lines = [f"{method} {target} HTTP/{version}"]
        if host is not None:
            lines.append(f"Host: {host}")
        lines += [f"{name}: {value}" for name, value in headers]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        self._methods.append(method)
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b""))

    def hang_up(self) -> None:
        """Close in good order, when all that was sent has been received."""
        self._sent.append(None)
        self._deliver()

    def vanish(self) -> None:
        """Be gone, all at once."""
        self._lost(ConnectionLost())

    def stop_reading(self) -> None:
        """Read nothing for a while."""
        self._reads = False

    def read_on(self) -> None:
        """Read what has come, and go on reading."""
        self._reads = True
        self.sip()

    def sip(self) -> None:
        """Read what has come, and nothing more if reading has stopped."""
        self.received, self._unread = self.received + self._unread, b""
        if self._paused:
            self._paused = False
            self._producer.resumeProducing()
        if self._closing and not self._unread:
            self._clock.callLater(0, self._lost, ConnectionDone())

    # What the client sees

    def take(self) -> list[Response]:
        """The responses that came since this was asked last.

        The last may not be whole; then it comes again the next time, longer.
        """
        responses = []
        while self._taken < len(self.received):
            method = self._methods[0] if self._methods else "GET"
            response, end = _parsed(self.received, self._taken, method, self.closed)
            if response is None:
                break
            responses.append(response)
            if not response.whole:
                break
            self._taken = end
            if response.status >= 200:
                del self._methods[:1]
        return responses

    def take_one(self) -> Response:
        """The one response that came since this was asked last."""
        (response,) = self.take()
        return response

    @property
    def heard(self) -> bool:
        """Whether the server reads what is sent."""
        return self._wanted

    # ITransport

    disconnecting = False

    def write(self, data: bytes) -> None:
        if self.half_closed:
            self.faults.append(f"written after the end: {data!r}")
        if self.closed or self.aborted:
            return
        self.writes += 1
        if self._reads:
            self.received += data
            return
        self._unread += data
        if len(self._unread) > self._room and self._producer is not None:
            self._paused = True
            self._producer.pauseProducing()  # with every write, as Twisted does

    def writeSequence(self, data: Iterable[bytes]) -> None:
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        if self._closing:
            return
        if self._producer is not None:
            self.faults.append("closed with a producer, which TLS waits for")
        self._closing, self._wanted = True, False
        if not self._unread:
            self._clock.callLater(0, self._lost, ConnectionDone())

    def loseWriteConnection(self) -> None:
        self.half_closed = True

    def abortConnection(self) -> None:
        self.aborted = True
        self._unread = b""
        self._clock.callLater(0, self._lost, ConnectionAborted())

    def getPeer(self) -> Any:
        if self._host is None:
            return _Nowhere()
        return IPv4Address("TCP", self._host, 50_000)

    def getHost(self) -> Any:
        return IPv4Address("TCP", "127.0.0.1", 8080)

    # IConsumer

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        if self._producer is not None or not streaming:
            self.faults.append("a wrong producer")
        self._producer = producer

    def unregisterProducer(self) -> None:
        self._producer, self._paused = None, False

    # IPushProducer

    def pauseProducing(self) -> None:
        self._wanted = False

    def resumeProducing(self) -> None:
        if not (self._closing or self._wanted):
            self._wanted = True
            self._clock.callLater(0, self._deliver)

    def stopProducing(self) -> None:
        self.loseConnection()

    def _deliver(self) -> None:
        while self._sent and self._wanted and not self.closed and not self.aborted:
            sent = self._sent.pop(0)
            if sent is not None:
                self.protocol.dataReceived(sent)
            else:
                self._lost(ConnectionDone())

    def _lost(self, why: Exception) -> None:
        if not self.closed:
            self.closed = True
            if self._producer is not None:
                self._producer.stopProducing()
            self.protocol.connectionLost(Failure(why))


@implementer(IAddress)
class _Nowhere:
    """The address of a peer that comes through a unix socket."""


def _parsed(
    data: bytes, start: int, method: str, closed: bool
) -> tuple[Response | None, int]:
    """The response that begins here, and where it ends."""
    stop = data.find(b"\r\n\r\n", start)
    if stop < 0:
        return None, start
    first, *lines = data[start:stop].decode("latin-1").split("\r\n")
    _, status, phrase = first.split(" ", 2)
    headers: dict[str, str] = {}
    for line in lines:
        name, value = line.split(": ", 1)
        name = name.lower()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    start = stop + 4
    number = int(status)
    if method == "HEAD" or number < 200 or number in {204, 304}:
        body, whole, end = b"", True, start
    elif headers.get("transfer-encoding") == "chunked":
        body, whole, end = _unchunked(data, start)
    elif "content-length" in headers:
        end = start + int(headers["content-length"])
        body, whole = data[start:end], len(data) >= end
    else:
        body, whole, end = data[start:], closed, len(data)
    return Response(number, phrase, headers, body, whole), end


def _unchunked(data: bytes, start: int) -> tuple[bytes, bool, int]:
    body = b""
    while (stop := data.find(b"\r\n", start)) >= 0:
        length, start = int(data[start:stop], 16), stop + 2
        body += data[start : start + length]
        if len(data) < start + length + 2:
            break
        assert data[start + length : start + length + 2] == b"\r\n"
        start += length + 2
        if length == 0:
            return body, True, start
    return body, False, start
