"""One connection of an HTTP client: reads requests, and guards against bad ones.

Twisted's channel is kept for what it knows of producers and consumers. Reading is our
own: a head is looked at as a whole, and each phase has one deadline, which bytes that
trickle in don't move.

    connected ──► head ──► body ──► answering ──► idle ──► head …
    any of them ──► closing, at once or after a refusal that the client may still read
    answering ──► upgraded: another protocol has the connection, until it is lost
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.interfaces import (
    IAddress,
    IReactorTime,
    ITCPTransport,
)
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.http import _ChunkedTransferDecoder, _MalformedChunkedDataError

from supportbot.channels.http import problems
from supportbot.channels.http.deadlines import Deadline
from supportbot.channels.http.exchange import Exchange, Upgraded
from supportbot.channels.http.heads import Head, Hosts, parse_head
from supportbot.channels.http.problems import Refused, refused
from supportbot.channels.http.responses import response_head
from supportbot.channels.peers import notice_vanishing, plain, send_no_more
from supportbot.context import Logger
from supportbot.settings import HttpSettings

_LINGER = 2.0  # seconds that a refused client gets to read why
_LINGER_BYTES = 1024 * 1024  # that it may go on sending meanwhile
_AHEAD = 16 * 1024  # bytes read ahead while a request is answered
_OVERHEAD = 8  # bytes of chunked coding for one byte of the body; honest ones need 6
_TLS_HANDSHAKE = 0x16
_log = Logger()


class Owner(Protocol):
    """What a connection needs of its server.

    Attributes:
        clock: for deadlines.
        settings: the limits.
        hosts: that are served.
        draining: nothing new shall begin.
    """

    clock: IReactorTime
    settings: HttpSettings
    hosts: Hosts
    draining: bool

    def date_line(self) -> bytes:
        """The Date header."""

    def closed(self, connection: Connection) -> None:
        """Hear that a connection is no more."""


class Connection(http.HTTPChannel):
    """One connection.

    Args:
        owner: the server.
        host: the peer's address, or nothing if it has none.
        trusted: the peer is a proxy, which names its clients.
        answer: is called with each whole, valid request.

    Attributes:
        host: as given.
        trusted: as given.
    """

    # In a dict that a Twisted class fills already, they would cost a kilobyte.
    __slots__ = (
        "_answer",
        "_begun",
        "_body",
        "_closing",
        "_coded",
        "_deadline",
        "_decoder",
        "_discarded",
        "_head",
        "_looked",
        "_owner",
        "_reading",
        "_served",
        "_settings",
        "_skipped",
        "_unread",
        "_upgraded",
        "_wire",
        "host",
        "trusted",
    )

    def __init__(
        self,
        owner: Owner,
        host: str,
        trusted: bool,
        answer: Callable[[Exchange], None],
    ) -> None:
        super().__init__()
        self.host, self.trusted = host, trusted
        self._owner, self._settings, self._answer = owner, owner.settings, answer
        self._wire: Any = None  # the transport, as a consumer and a producer
        self._deadline = Deadline(owner.clock)
        self._unread = bytearray()
        self._looked = 0  # bytes of it that have no end of a head in them
        self._skipped = False  # an empty line before the head
        self._head: Head | None = None  # of the request whose body is coming in
        self._body = bytearray()
        self._decoder: _ChunkedTransferDecoder | None = None
        self._coded = 0  # bytes of a chunked body, coding included
        self._served = False  # a request, at least
        self._begun = False  # the deadline for a head is set
        self._reading = False
        self._closing = False  # no request is read any more
        self._discarded = 0
        self._upgraded: Upgraded | None = None

    # Twisted calls these

    def connectionMade(self) -> None:
        transport: Any = self.transport
        if ITCPTransport.providedBy(transport):
            transport.setTcpNoDelay(True)
        notice_vanishing(transport)
        self._peer: IAddress = transport.getPeer()
        self._own: IAddress = transport.getHost()
        self._wire = self._networkProducer = transport
        transport.registerProducer(self, True)
        self._begun = True
        self._deadline.set(self._settings.head_time, self._late)

    def dataReceived(self, data: bytes) -> None:
        if self._closing:
            if self._upgraded is not None:
                self._upgraded.received(data)
                return
            self._discarded += len(data)
            if self._discarded > _LINGER_BYTES:
                self._wire.pauseProducing()
            return
        self._unread += data
        if not (self._handlingRequest or self._waitingForTransport):
            self._read()
        elif len(self._unread) > _AHEAD:
            self._wire.pauseProducing()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        if self._upgraded is not None:
            upgraded, self._upgraded = self._upgraded, None
            try:
                upgraded.lost(reason)
            finally:
                self._owner.closed(self)
            return
        self._closing = True
        self._deadline.stop()
        self._unread.clear()
        self._body.clear()
        self._decoder = None
        super().connectionLost(reason)
        self._owner.closed(self)

    def pauseProducing(self) -> None:
        """The client does not take what was written."""
        if not self._waitingForTransport:  # it is told again with every write
            self._deadline.set(self._settings.stall, self.abort)
        super().pauseProducing()

    def resumeProducing(self) -> None:
        """The client has taken all that was written."""
        super().resumeProducing()
        if self._closing or self._waitingForTransport:  # again, by what came next
            return
        if self._handlingRequest:
            self._deadline.clear()
        elif self._head is not None:
            self._deadline.set(self._settings.body_time, self._late)
        else:
            self._await_head()
            self._read()

    def requestDone(self, request: http.Request) -> None:
        """A response has been written."""
        self.requests.remove(request)
        self._served = True
        if not self.persistent:
            self.loseConnection()
        if self._closing:
            return
        self._handlingRequest = False
        if not self._waitingForTransport:
            self._wire.resumeProducing()
            self._await_head()
            self._read()

    def loseConnection(self) -> None:
        """Close, when what was written has been sent, or can't be."""
        if self._upgraded is not None:
            self._tell(self._upgraded.close)
        elif not self._closing:
            self._closing = True
            self._deadline.set(self._settings.stall, self.abort)
            super().loseConnection()

    def getPeer(self) -> IAddress:
        return self._peer

    def getHost(self) -> IAddress:
        return self._own

    # An exchange calls these

    @property
    def closing(self) -> bool:
        """Nothing more is read, or it is not HTTP."""
        return self._closing

    def upgrade(self, protocol: Upgraded, head: bytes) -> None:
        """Give the connection away; from now on it is only passed on what happens.

        Args:
            head: is written before.
        """
        transport, early = self._wire, bytes(self._unread)
        self._deadline.stop()
        self._upgraded, self._closing = protocol, True
        transport.unregisterProducer()
        self._forget()
        transport.write(head)
        transport.resumeProducing()  # it may have read too far ahead
        self._tell(lambda: protocol.begin(transport, early))
        if self._owner.draining and self._upgraded is not None:
            self._tell(protocol.drain)

    # The server calls these

    def abort(self) -> None:
        """Drop the connection, with all that has not been sent."""
        self._closing = True
        self._wire.abortConnection()

    def drain(self) -> None:
        """Close if nothing is under way, and otherwise when it has ended.

        A connection that was never used may have a request on the way; see `hurry`.
        """
        if self._upgraded is not None:
            self._tell(self._upgraded.drain)
        elif self._closing:
            return
        elif self._handlingRequest:
            self.persistent = False
            for request in list(self.requests):
                request.drain()
        elif self._served:
            self.hurry()

    def hurry(self) -> None:
        """Close if no request has begun."""
        if self._closing:
            return
        if not (self._handlingRequest or self._head or self._unread):
            self.loseConnection()

    # Reading

    def _await_head(self) -> None:
        self._begun = False
        self._deadline.set(self._settings.idle, self._late)

    def _read(self) -> None:
        """Read requests until there is none, or one that takes its time."""
        if self._reading:  # the loop below is at it, further up the stack
            return
        self._reading = True
        try:
            while (
                not self._closing
                and self._unread
                and not self._handlingRequest
                and not self._waitingForTransport
            ):
                enough = self._read_head() if self._head is None else self._read_body()
                if not enough:
                    break
        except Refused as why:
            self._refuse(why)
        finally:
            self._reading = False

    def _read_head(self) -> bool:
        """Read a head; whether there was a whole one."""
        unread, most = self._unread, self._settings.head
        if unread[0] == _TLS_HANDSHAKE:  # on a port without; no answer would help
            self.loseConnection()
            return False
        if not self._skipped and unread.startswith(b"\r\n"):
            self._skipped = True  # RFC 9112, 2.2: one too many behind the last body
            self._looked = 0
            del unread[:2]
            return True
        end = unread.find(b"\r\n\r\n", max(self._looked - 3, 0))
        if end > most or (end < 0 and len(unread) > most):
            if unread.find(b"\r\n", 0, most) < 0:
                raise refused(414, f"The first line is longer than {most} bytes.")
            raise refused(431, f"The head is longer than {most} bytes.")
        if end < 0:
            self._looked = len(unread)
            if not self._begun:
                self._begun = True
                self._deadline.set(self._settings.head_time, self._late)
            return False
        settings = self._settings
        head = parse_head(
            bytes(unread[:end]), self._owner.hosts, settings.headers, settings.body
        )
        del unread[: end + 4]
        self._looked, self._skipped = 0, False
        self.persistent = not head.closes
        if head.length == 0:
            self._receive(head, b"")
            return True
        self._head = head
        self._deadline.set(settings.body_time, self._late)
        if head.length is None:
            self._coded = 0
            self._decoder = _ChunkedTransferDecoder(self._take, self._whole)
        if head.expects and not unread:
            self._send100Continue()
        return True

    def _read_body(self) -> bool:
        """Read what there is of a body; whether it is whole."""
        head, unread = self._head, self._unread
        assert head is not None
        if self._decoder is not None:
            piece = bytes(unread)
            unread.clear()
            self._coded += len(piece)
            try:
                self._decoder.dataReceived(piece)
            except _MalformedChunkedDataError:
                raise refused(400, "The chunks of the body are malformed.") from None
            if self._head is None:
                return True
            if self._coded > _OVERHEAD * self._settings.body + _AHEAD:
                raise self._too_long()
            return False
        assert head.length is not None
        wanted = head.length - len(self._body)
        self._body += unread[:wanted]
        del unread[:wanted]
        if len(self._body) < head.length:
            return False
        self._whole(b"")
        return True

    def _take(self, piece: bytes) -> None:
        self._body += piece
        if len(self._body) > self._settings.body:
            raise self._too_long()

    def _too_long(self) -> Refused:
        return refused(413, f"The body is longer than {self._settings.body} bytes.")

    def _whole(self, rest: bytes) -> None:
        """The body is whole; `rest` belongs to the next request."""
        head, body = self._head, bytes(self._body)
        assert head is not None
        self._head = self._decoder = None
        self._body.clear()
        self._unread += rest
        self._receive(head, body)

    def _receive(self, head: Head, body: bytes) -> None:
        """Have a request answered."""
        owner = self._owner
        self._deadline.clear()
        self._handlingRequest = True
        if owner.draining:
            self.persistent = False
        client = self._client(head) if self.trusted else self.host
        exchange = Exchange(self, head, body, client, owner.date_line)
        self.requests.append(exchange)
        if owner.draining:
            exchange.drain()
        try:
            self._answer(exchange)
        except Exception:
            exchange.fail()

    def _client(self, head: Head) -> str:
        """The last of the addresses that were forwarded which is no proxy of ours."""
        client = self.host
        forwarded = head.headers.getRawHeaders(b"X-Forwarded-For") or ()
        for named in reversed(b",".join(forwarded).decode("latin-1").split(",")):
            address = plain(named.strip())
            if address is None:
                break
            client = address
            if client not in self._settings.proxies:
                break
        return client

    # Upgraded

    def _tell(self, what: Callable[[], object]) -> None:
        """Tell whoever has the connection; one that fails gets no second chance."""
        try:
            what()
        except Exception:
            _log.failure("telling whoever has taken a connection over")
            self.abort()

    def _forget(self) -> None:
        """Let go of all that HTTP wanted; thousands of these connections may idle."""
        vars(self).clear()
        del self._deadline, self._unread, self._body

    # Closing

    def _late(self) -> None:
        """A deadline of reading has passed."""
        if self._head is not None:
            self._refuse(refused(408, "The body did not come in time."))
        elif self._unread:
            self._refuse(refused(408, "The head did not come in time."))
        else:
            self.loseConnection()

    def _refuse(self, why: Refused) -> None:
        """Answer what is no valid request, and close without cutting the answer off.

        What the client still sends is thrown away for a while.
        """
        body = why.problem.encode()
        head = response_head(
            why.problem.status,
            self._owner.date_line(),
            problems.CONTENT_TYPE,
            len(body),
            why.headers,
            close=True,
        )
        transport: Any = self.transport
        transport.write(head + body)
        self._closing = True
        self._unread.clear()
        self._body.clear()
        self._deadline.set(_LINGER, self.abort)
        self._wire.unregisterProducer()
        self._wire.resumeProducing()
        send_no_more(transport)
