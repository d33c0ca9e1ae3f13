"""One question over HTTP to a service that is not trusted.

Each call has a connection of its own, so that no answer is taken for another one's;
nothing is followed, and nothing is inflated. The failures of Twisted and treq become
ours here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast
from urllib.parse import urlsplit

import msgspec
import treq.client
from hyperlink import EncodedURL
from OpenSSL.crypto import Error as PEMError
from OpenSSL.SSL import Error as TLSError
from treq.cookies import IndexableCookieJar
from twisted.internet import error as net
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
    wrapClientTLS,
)
from twisted.internet.interfaces import IConsumer, IReactorTime, IStreamClientEndpoint
from twisted.internet.ssl import (
    Certificate,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer, IResponse
from zope.interface import implementer

from supportbot import __version__
from supportbot.errors import (
    AnswerUnusable,
    BodyBroken,
    ServiceError,
    ServiceRefused,
    ServiceTimedOut,
    ServiceUnreachable,
    SettingsError,
)
from supportbot.services.wire import Wire
from supportbot.settings import Bounds, Deadlines
from supportbot.streaming.body import Body, Reader
from supportbot.streaming.octets import Octets
from supportbot.streaming.runaway import Guard

_LOST = (net.ConnectError, net.ConnectionClosed, net.DNSLookupError, OSError, TLSError)
_T = TypeVar("_T")
_US = f"supportbot/{__version__}"
_ATTEMPT_DELAY = 0.02  # seconds from `::1` to `127.0.0.1`; Twisted's 0.3 would be felt


class Peer(Protocol):
    """Whom we call, and how patient we are: what `ServiceSettings` says of these."""

    @property
    def url(self) -> str: ...
    @property
    def ca_file(self) -> str | None: ...
    @property
    def deadlines(self) -> Deadlines: ...
    @property
    def bounds(self) -> Bounds: ...


class Target(msgspec.Struct, frozen=True):
    """A peer that is no service of its own."""

    url: str
    ca_file: str | None
    deadlines: Deadlines
    bounds: Bounds


class Answering(msgspec.Struct, frozen=True):
    """A response whose body is still to come.

    Attributes:
        response: its body has to be delivered, or the call hung up.
        hang_up: closes the connection at once, on TLS too; harmless afterwards.
        asked_at: when it was asked for, by the clock of the deadlines.
    """

    response: IResponse
    hang_up: Callable[[], None]
    asked_at: float


def endpoint_of(settings: Peer, reactor: object) -> IStreamClientEndpoint:
    """Where the service listens.

    Raises:
        SettingsError: its authorities' certificates can't be read.
    """
    parts = urlsplit(settings.url)
    host = parts.hostname or ""
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    seconds = settings.deadlines.connect
    endpoint: IStreamClientEndpoint
    if isIPAddress(host):  # no name to look up, and no addresses to choose from
        endpoint = TCP4ClientEndpoint(reactor, host, port, timeout=seconds)
    elif isIPv6Address(host):
        endpoint = TCP6ClientEndpoint(reactor, host, port, timeout=seconds)
    else:
        endpoint = HostnameEndpoint(
            reactor, host, port, timeout=seconds, attemptDelay=_ATTEMPT_DELAY
        )
    if secure:
        trust = None
        if settings.ca_file is not None:
            trust = trustRootFromCertificates(_authorities(settings))
        endpoint = wrapClientTLS(optionsForClientTLS(host, trust), endpoint)
    return endpoint


def _authorities(settings: Peer) -> list[Certificate]:
    end = b"-----END CERTIFICATE-----"
    try:
        pems = Path(settings.ca_file or "").read_bytes().split(end)[:-1]
        certificates = [Certificate.loadPEM(pem + end + b"\n") for pem in pems]
    except (OSError, ValueError, PEMError) as error:
        raise SettingsError(str(settings.ca_file), "", "expected PEM") from error
    if not certificates:
        raise SettingsError(str(settings.ca_file), "", "expected a PEM certificate")
    return certificates


class Caller:
    """Calls one service.

    Args:
        settings: where the service is, and how patient we are.
        reactor: for the deadlines.
        endpoint: where to connect.
    """

    def __init__(
        self,
        settings: Peer,
        reactor: IReactorTime,
        endpoint: IStreamClientEndpoint,
    ) -> None:
        self._settings, self._reactor, self._endpoint = settings, reactor, endpoint
        self._url = _Address.from_text(settings.url)
        # A service gets no cookie back, least of all that of another customer.
        self._cookies = IndexableCookieJar(DefaultCookiePolicy(allowed_domains=[]))

    async def call(
        self, method: str, accept: str, body: bytes | None = None
    ) -> Answering:
        """Ask, and return when the headers are in and promise an answer.

        Args:
            method: of HTTP.
            accept: the media type that the answer has to have.
            body: of plain text.

        Raises:
            ServiceUnreachable, ServiceTimedOut, ServiceRefused, BodyBroken,
            AnswerUnusable: the connection is closed then.
        """
        headers = Headers({"accept": [accept]})
        if body is not None:
            headers.setRawHeaders("content-type", ["text/plain; charset=utf-8"])
        answering = await self.ask(method, headers, body)
        try:
            _check(answering.response, accept)
        except ServiceError:
            answering.hang_up()
            raise
        return answering

    async def ask(
        self, method: str, headers: Headers, body: bytes | None = None
    ) -> Answering:
        """Ask, and return when the headers are in, whatever they say.

        Args:
            method: of HTTP.
            headers: of the request, besides those that every request has.
            body: sent with its length, never in chunks, which some services don't take.

        Raises:
            ServiceUnreachable, ServiceTimedOut, BodyBroken, AnswerUnusable: the
                connection is closed then.
        """
        asked_at = self._reactor.seconds()
        wire = Wire(self._endpoint, self._settings.bounds.head)
        headers.setRawHeaders("user-agent", [_US])
        asked = treq.client.HTTPClient(wire, self._cookies).request(
            method,
            self._url,
            headers=headers,
            data=None if body is None else _Whole(body),
            allow_redirects=False,
            unbuffered=True,
            cookies=self._cookies,
            reactor=cast(Any, self._reactor),  # only ever asked for the time
        )

        def late(_: object, seconds: float) -> Failure:
            phase = "headers" if wire.connected else "connect"
            return Failure(ServiceTimedOut(phase, seconds))

        asked.addTimeout(self._settings.deadlines.headers, self._reactor, late)
        try:
            response = await asked
        except (ServiceError, CancelledError):
            wire.abort()
            raise
        except net.TimeoutError as error:
            seconds = self._settings.deadlines.connect
            raise ServiceTimedOut("connect", seconds) from error
        except Exception as error:
            wire.abort()
            raise _translated(error, wire) from error
        return Answering(response, wire.abort, asked_at)

    async def read(self, answering: Answering, most: int) -> bytes:
        """The whole body of a response that is not streamed.

        Args:
            most: bytes of it.

        Raises:
            ServiceError: it can't be had; the connection is closed then.
        """
        deadlines, whole = self._settings.deadlines, bytearray()
        body = Body(
            self._reactor,
            Octets(),
            Guard(most + 1, most),  # of equal bytes there may be as many as of others
            whole.extend,
            answering.hang_up,
            idle=deadlines.idle,
            progress=deadlines.total,
            total=deadlines.total,
        )
        answering.response.deliverBody(body)
        await body.done
        return bytes(whole)


def reading(
    clock: IReactorTime,
    deadlines: Deadlines,
    answering: Answering,
    reader: Reader[_T],
    give: Callable[[_T], None],
    guard: Guard,
) -> Body[_T]:
    """What a response's body has to be delivered to, to be read within the deadlines.

    The whole is counted from when it was asked for. See `Body`.
    """
    passed = clock.seconds() - answering.asked_at
    return Body(
        clock,
        reader,
        guard,
        give,
        answering.hang_up,
        idle=deadlines.idle,
        progress=deadlines.progress,
        total=max(0.0, deadlines.total - passed),
    )


def _check(response: IResponse, accept: str) -> None:
    if response.code != 200:
        raise ServiceRefused(response.code, retry_after(response.headers))
    media = media_type(response.headers)
    if media and media != accept:
        raise AnswerUnusable(f"content type {media!r} where {accept} was expected")


def media_type(headers: Headers) -> str:
    """Of a response's body, in lower case; empty if it is not named."""
    return _first(headers, b"content-type").partition(";")[0].strip().lower()


def retry_after(headers: Headers) -> float | None:
    """Seconds that a service asks us to wait; None if it does not."""
    milliseconds = _first(headers, b"retry-after-ms")  # of language models' servers
    if milliseconds.isascii() and milliseconds.isdigit() and len(milliseconds) <= 12:
        return int(milliseconds) / 1000
    return _retry_after(_first(headers, b"retry-after"))


def _first(headers: Headers, name: bytes) -> str:
    values = headers.getRawHeaders(name) or [b""]
    return values[0].decode("ascii", "replace")


def _retry_after(value: str) -> float | None:
    """Seconds from now, of seconds or a date (RFC 9110, 10.2.3); None if neither."""
    if value.isascii() and value.isdigit() and len(value) <= 9:
        return float(value)
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())


def _translated(error: Exception, wire: Wire) -> ServiceError:
    """What a failure of the call means."""
    name = type(error).__name__
    if wire.heard and not isinstance(error, _LOST):
        return BodyBroken(f"no HTTP: {name}")
    return ServiceUnreachable(name)


class _Address(EncodedURL):
    """A URL that is ASCII, as settings see to; it is not put together each time."""

    __slots__ = ("_text",)

    def to_uri(self) -> _Address:
        return self

    def to_text(self, with_password: bool = False) -> str:
        try:
            return self._text
        except AttributeError:
            self._text: str = super().to_text(with_password)
            return self._text


@implementer(IBodyProducer)
class _Whole:
    """A small request body: written at once, its length known."""

    def __init__(self, body: bytes) -> None:
        self._body, self.length = body, len(body)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:
        """It is all written."""

    resumeProducing = stopProducing = pauseProducing
