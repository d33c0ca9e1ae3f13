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
from typing import Any, TypeVar, cast
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
from supportbot.settings import ServiceSettings

_LOST = (net.ConnectError, net.ConnectionClosed, net.DNSLookupError, OSError, TLSError)
_T = TypeVar("_T")
_US = f"supportbot/{__version__}"
_ATTEMPT_DELAY = 0.02  # seconds from `::1` to `127.0.0.1`; Twisted's 0.3 would be felt


class Answering(msgspec.Struct, frozen=True):
    """A response with status 200 whose body is still to come.

    Attributes:
        response: its body has to be delivered, or the call hung up.
        hang_up: closes the connection at once, on TLS too; harmless afterwards.
    """

    response: IResponse
    hang_up: Callable[[], None]


def endpoint_of(settings: ServiceSettings, reactor: object) -> IStreamClientEndpoint:
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


def _authorities(settings: ServiceSettings) -> list[Certificate]:
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
        settings: the service's.
        reactor: for the deadlines.
        endpoint: where to connect.
    """

    def __init__(
        self,
        settings: ServiceSettings,
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
            body: sent with its length, never in chunks, which some services don't take.

        Raises:
            ServiceUnreachable, ServiceTimedOut, ServiceRefused, BodyBroken,
            AnswerUnusable: the connection is closed then.
        """
        wire = Wire(self._endpoint, self._settings.bounds.head)
        headers = Headers({"accept": [accept], "user-agent": [_US]})
        if body is not None:
            headers.setRawHeaders("content-type", ["text/plain; charset=utf-8"])
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
            _check(response, accept)
        except (ServiceError, CancelledError):
            wire.abort()
            raise
        except net.TimeoutError as error:
            seconds = self._settings.deadlines.connect
            raise ServiceTimedOut("connect", seconds) from error
        except Exception as error:
            wire.abort()
            raise _translated(error, wire) from error
        return Answering(response, wire.abort)


def _check(response: IResponse, accept: str) -> None:
    if response.code != 200:
        wait = _first(response.headers, b"retry-after")
        raise ServiceRefused(response.code, _retry_after(wait))
    media = _first(response.headers, b"content-type").partition(";")[0].strip().lower()
    if media and media != accept:
        raise AnswerUnusable(f"content type {media!r} where {accept} was expected")


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
