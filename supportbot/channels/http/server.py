"""The HTTP server: makes connections up to the limits, and ends them all in the end."""

from __future__ import annotations

import resource
from collections import Counter
from collections.abc import Callable
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IProtocolNegotiationFactory,
    IReactorTime,
)
from twisted.internet.protocol import Protocol
from twisted.web import http
from zope.interface import implementer

from supportbot.channels.http.connection import Connection
from supportbot.channels.http.exchange import Exchange
from supportbot.channels.http.heads import Hosts
from supportbot.channels.http.responses import Dates
from supportbot.channels.peers import host_of, send_no_more
from supportbot.context import Logger
from supportbot.settings import HttpSettings

_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\n"
    b"Connection: close\r\n\r\n"
)
_RESERVED = 128  # descriptors that are not for clients: services, database, log files
_FRESH = 1.0  # seconds that a new connection gets for its request when we stop
_LAST_WORDS = 0.5  # seconds that closed connections get to take what was written,
# and WebSockets for their good-byes: half a round trip, and another half for the answer
_REFUSED_TIME = 1.0  # seconds that a refused client gets to read why
_MOST_REFUSED = 64  # that get them; others are dropped at once
_log = Logger()


class HttpServer:
    """Make a connection for each client, up to the limits.

    It may listen in several places, which share these.

    Args:
        reactor: for deadlines.
        settings: the limits.

    Attributes:
        draining: nothing new shall begin.
    """

    def __init__(self, reactor: IReactorTime, settings: HttpSettings) -> None:
        self.clock, self.settings = reactor, settings
        self.hosts = Hosts(settings.hosts)
        self.draining = False
        self._dates = Dates()
        self._open: dict[Connection, None] = {}
        self._hosts_open: Counter[str] = Counter()
        self._limit = min(settings.connections, _descriptors())
        self._refused: dict[Refusal, None] = {}
        self._untold = 0  # refusals that the log has not heard of
        self._told = float("-inf")
        self._drained: list[Deferred[None]] = []

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._open)

    def factory(self, answer: Callable[[Exchange], None]) -> HttpFactory:
        """What listens in one place.

        Args:
            answer: is called with each whole, valid request that comes in there. What
                it raises is answered as a problem.
        """
        return HttpFactory(self, answer)

    def meet(
        self, address: IAddress | None, answer: Callable[[Exchange], None]
    ) -> Connection | Refusal:
        """A connection for a new client, or what turns it away."""
        host = host_of(address)
        # Who comes through a unix socket stands on this machine, as a proxy does.
        trusted = not host or host in self.settings.proxies
        if len(self._open) >= self._limit or (
            not trusted and self._hosts_open[host] >= self.settings.per_address
        ):
            self._tell()
            refusal = Refusal(self.clock, len(self._refused) < _MOST_REFUSED)
            refusal.over = lambda: self._refused.pop(refusal, None)
            self._refused[refusal] = None
            return refusal
        connection = Connection(self, host, trusted, answer)
        self._open[connection] = None
        self._hosts_open[host] += 1
        return connection

    # Connections call these

    def date_line(self) -> bytes:
        """The Date header."""
        return self._dates.line(self.clock.seconds())

    def closed(self, connection: Connection) -> None:
        """Forget a connection."""
        if connection not in self._open:
            return
        del self._open[connection]
        self._hosts_open[connection.host] -= 1
        if not self._hosts_open[connection.host]:
            del self._hosts_open[connection.host]
        self._perhaps_drained()

    # The end

    def drain(self, seconds: float) -> Deferred[None]:
        """Let what is under way end, and close all connections.

        The port has been closed before. Connections without a request are closed at
        once; one that has not sent any yet is given a second. Requests that still come
        in on the others are answered. Whoever has taken a connection over is told at
        once, and when the time is up has to close it.

        Args:
            seconds: after which responses are cut off.

        Returns:
            Fires when no connection is left. If cancelled, they end all the same.
        """
        waiter: Deferred[None] = Deferred(self._forget)
        self._drained.append(waiter)
        if not self.draining:
            self.draining = True
            calls = [
                self.clock.callLater(_FRESH, self._each, Connection.hurry),
                self.clock.callLater(seconds, self._each, Connection.loseConnection),
                self.clock.callLater(
                    seconds + _LAST_WORDS, self._each, Connection.abort
                ),
            ]
            self._calls: list[IDelayedCall] = calls
            for refusal in list(self._refused):
                refusal.abort()
            self._each(Connection.drain)
        self._perhaps_drained()
        return waiter

    def _forget(self, waiter: Deferred[None]) -> None:
        if waiter in self._drained:
            self._drained.remove(waiter)

    def _each(self, do: Callable[[Connection], None]) -> None:
        for connection in list(self._open):
            do(connection)

    def _perhaps_drained(self) -> None:
        if not self.draining or self._open:
            return
        for call in self._calls:
            if call.active():
                call.cancel()
        waiters, self._drained = self._drained, []
        for waiter in waiters:
            waiter.callback(None)

    def _tell(self) -> None:
        """Log that a client was refused, once a second at most."""
        self._untold += 1
        now = self.clock.seconds()
        if now - self._told >= 1:
            _log.warn(
                "too many connections: {refused} refused, {open} are open",
                refused=self._untold,
                open=len(self._open),
            )
            self._told, self._untold = now, 0


@implementer(IProtocolNegotiationFactory)
class HttpFactory(http.HTTPFactory):
    """Listens in one place.

    Args:
        server: has the limits.
        answer: is called with each whole, valid request.
    """

    noisy = False

    def __init__(self, server: HttpServer, answer: Callable[[Exchange], None]) -> None:
        super().__init__(timeout=server.settings.idle, reactor=server.clock)
        self._server, self._answer = server, answer

    # Twisted calls these. There is no access log, and so no clock for its lines.

    def startFactory(self) -> None:
        """Nothing to do."""

    def stopFactory(self) -> None:
        """Nothing to do."""

    def acceptableProtocols(self) -> list[bytes]:
        """What is spoken over TLS; without it, clients that ask are turned away."""
        return [b"http/1.1"]

    def buildProtocol(self, addr: IAddress | None) -> Any:
        return self._server.meet(addr, self._answer)


class Refusal(Protocol):
    """Says that there are too many, and closes.

    Args:
        clock: for the time that the client gets to read it.
        patient: whether it gets any.

    Attributes:
        over: is called when the connection is lost.
    """

    over: Callable[[], object]

    def __init__(self, clock: IReactorTime, patient: bool) -> None:
        self._clock, self._patient = clock, patient
        self._call: IDelayedCall | None = None

    def connectionMade(self) -> None:
        transport = cast(Any, self.transport)
        if not self._patient:
            transport.abortConnection()
            return
        transport.write(_FULL)
        self._call = self._clock.callLater(_REFUSED_TIME, self.abort)
        send_no_more(transport)

    def connectionLost(self, reason: Any = None) -> None:
        if self._call is not None and self._call.active():
            self._call.cancel()
        self.over()

    def abort(self) -> None:
        """Wait no longer."""
        cast(Any, self.transport).abortConnection()


def _descriptors() -> int:
    """How many connections the limit of descriptors leaves room for."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return 1_000_000
    return max(soft - _RESERVED, 1)
