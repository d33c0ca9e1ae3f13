"""One request and its response."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from twisted.web import http
from zope.interface import implementer

from supportbot.channels.http import problems
from supportbot.channels.http.heads import Head
from supportbot.channels.http.problems import Problem, Refused, refused
from supportbot.channels.http.responses import Header, response_head, upgrade_head
from supportbot.context import Logger

_BODILESS = {204, 304}
_SLICE = 64 * 1024  # bytes of a large response that are written at a time
_log = Logger()


class Upgraded(Protocol):
    """What takes a connection over that speaks HTTP no more."""

    def begin(self, transport: Any, early: bytes) -> None:
        """Take it over.

        Args:
            transport: of the connection, without a producer.
            early: what the client has sent behind its request.
        """

    def received(self, data: bytes) -> None:
        """Take what the client has sent."""

    def lost(self, reason: Failure) -> None:
        """Hear, once, that the connection is no more, or could not be had."""

    def drain(self) -> None:
        """The server wants to stop: close when what is under way has ended."""

    def close(self) -> None:
        """The time for that is up: say good-bye, and close."""


class Exchange(http.Request):
    """A whole, valid request, and the way to answer it.

    Whatever is written when the client is gone, or when the response has ended, is
    dropped in silence.

    Args:
        channel: the connection.
        head: of the request.
        body: of the request.
        client: the client's address, or nothing if it has none.
        date_line: gives the Date header.

    Attributes:
        client: the client's address, as the proxies that we trust tell it.
        target: the decoded path.
        query: what follows the `?` in the target, as it was sent.
        body: whole.
        gone: the client has disconnected before the response ended.
    """

    client: str

    # In a dict that a Twisted class fills already, they would cost a kilobyte.
    __slots__ = (
        "_date_line",
        "_draining",
        "_drains",
        "_farewells",
        "_wire",
        "body",
        "gone",
        "query",
        "target",
    )

    def __init__(
        self,
        channel: Any,
        head: Head,
        body: bytes,
        client: str,
        date_line: Callable[[], bytes],
    ) -> None:
        super().__init__(channel)
        self._date_line = date_line
        self._wire: Any = self.transport
        self.requestHeaders = head.headers
        self.method, self.uri, self.path = head.method, head.uri, head.path
        self.clientproto = head.version
        self.target, self.query, self.body = head.target, head.query, body
        self.client = client
        self.args = {}
        self.gone = False
        self._farewells: list[Callable[[], object]] = []
        self._drains: list[Callable[[], object]] = []
        self._draining = False

    # The request

    def header(self, name: bytes) -> str | None:
        """The value of a header, or None if it was not sent.

        Raises:
            Refused: it was sent more than once.
        """
        values = self.requestHeaders.getRawHeaders(name)
        if values is None:
            return None
        if len(values) > 1:
            raise refused(400, f"There is more than one {name.decode()} header.")
        return values[0].decode("latin-1")

    # The response

    def respond(
        self,
        status: int,
        body: bytes,
        content_type: str,
        headers: Iterable[Header] = (),
    ) -> None:
        """Answer with a whole response.

        Args:
            body: of a GET, even if the method is HEAD; empty for 204 and 304.
            headers: more of them; one that is named like a guard replaces it.
        """
        if self.gone or self.finished or self.startedWriting:
            return
        bare = status in _BODILESS
        head = response_head(
            status,
            self._date_line(),
            None if bare else content_type,
            None if bare else len(body),
            headers,
            close=not self.channel.persistent,
        )
        self.startedWriting, self.code = 1, status
        if bare or self.method == b"HEAD":
            body = b""
        self.sentLength = len(body)
        if len(body) > _SLICE:
            self.channel.write(head)
            slices = _Slices(self, body)
            self.registerProducer(slices, True)
            slices.resumeProducing()
            return
        self.channel.writeSequence((head, body) if body else (head,))
        self.finish()

    def refuse(self, problem: Problem, headers: Iterable[Header] = ()) -> None:
        """Answer with a problem."""
        body = problem.encode()
        self.respond(problem.status, body, problems.CONTENT_TYPE, headers)

    def fail(self, failure: Failure | None = None) -> None:
        """Log what went wrong on our side, and let the client know.

        A `Refused` is answered with its problem. A response that has begun is cut off.

        Args:
            failure: what went wrong; the exception being handled when not given.
        """
        failure = failure or Failure()
        if isinstance(failure.value, Refused) and not self.startedWriting:
            self.refuse(failure.value.problem, failure.value.headers)
            return
        _log.failure("answering a request", failure)
        if not self.startedWriting:
            self.refuse(Problem(500, "Something went wrong on our side."))
        elif not (self.gone or self.finished):
            self.channel.loseConnection()

    def begin_stream(
        self, content_type: str, headers: Iterable[Header] = (), status: int = 200
    ) -> bool:
        """Begin a response that is sent piece by piece.

        Returns:
            Whether pieces are wanted. If not, the response is over: it was a HEAD, or
            the client is gone.
        """
        if self.gone or self.finished or self.startedWriting:
            return False
        new = self.clientproto == b"HTTP/1.1"
        head = response_head(
            status,
            self._date_line(),
            content_type,
            None,
            headers,
            chunked=new,
            close=not self.channel.persistent,
        )
        self.startedWriting, self.code = 1, status
        self.channel.write(head)
        if self.method == b"HEAD":
            self.finish()
            return False
        self.chunked = int(new)
        return True

    def send(self, piece: bytes) -> None:
        """Send one piece of a stream."""
        if self.gone or self.finished or not piece:
            return
        self.sentLength += len(piece)
        if self.chunked:
            self._wire.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        else:
            self._wire.write(piece)

    def write(self, data: bytes) -> None:
        """The same as `send`, as Twisted calls it."""
        self.send(data)

    def finish(self) -> None:
        """End the response."""
        if self.gone or self.finished:
            return
        if self.producer is not None:
            self.unregisterProducer()
        self._farewells, self._drains = [], []
        super().finish()

    def upgrade(self, protocol: Upgraded, headers: Iterable[Header] = ()) -> None:
        """Agree to speak WebSocket, and give the connection away with that.

        With this the exchange is over; nobody who asked is told how it went on. If the
        client is gone, or was answered before, `protocol` never begins, and hears that
        the connection is lost.

        Args:
            headers: more of them, besides `Upgrade` and `Connection`.

        Raises:
            ValueError: a header would break out of its line; nothing was sent.
        """
        head = upgrade_head(headers)
        over = self.gone or self.startedWriting
        channel: Any = None if over else self.channel
        if over or channel.closing:
            protocol.lost(Failure(ConnectionLost()))
            return
        self.startedWriting = self.finished = 1
        self.code = 101
        self._farewells, self._drains = [], []
        channel.upgrade(protocol, head)

    # What happens meanwhile

    def on_gone(self, farewell: Callable[[], object]) -> None:
        """Have this called once, when the client has disconnected before the end."""
        if self.gone:
            farewell()
        else:
            self._farewells.append(farewell)

    def on_drain(self, farewell: Callable[[], object]) -> None:
        """Have this called once, when the server wants to stop before the end."""
        if self._draining:
            farewell()
        else:
            self._drains.append(farewell)

    # For the connection

    def drain(self) -> None:
        """Say that the server wants to stop."""
        self._draining = True
        farewells, self._drains = self._drains, []
        self._call(farewells)

    def connectionLost(self, reason: Failure) -> None:
        """Say that the client is gone."""
        self.gone = True
        farewells, self._farewells, self._drains = self._farewells, [], []
        super().connectionLost(reason)
        self._call(farewells)

    def _call(self, farewells: list[Callable[[], object]]) -> None:
        for farewell in farewells:
            try:
                farewell()
            except Exception:
                _log.failure("telling whoever answers a request that it is over")


@implementer(IPushProducer)
class _Slices:
    """Writes a large body as the client takes it.

    A client that does not read costs a slice, and one that reads slowly is not taken
    for one that does not.

    Args:
        exchange: ends with the body.
    """

    def __init__(self, exchange: Exchange, body: bytes) -> None:
        self._exchange, self._left = exchange, memoryview(body)
        self._paused = False

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        exchange = self._exchange
        while self._left and not (self._paused or exchange.gone):
            piece, self._left = self._left[:_SLICE], self._left[_SLICE:]
            exchange.channel.write(bytes(piece))
        if not self._left:
            exchange.finish()

    def stopProducing(self) -> None:
        self._paused = True
