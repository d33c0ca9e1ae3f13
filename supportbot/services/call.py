"""One question over HTTP to a service that is not trusted.

Each call has a connection of its own, so that no answer is taken for another one's;
nothing is followed, and nothing is inflated. The failures of Twisted and treq become
ours here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import msgspec
import treq.client
from OpenSSL.crypto import Error as PEMError
from OpenSSL.SSL import Error as TLSError
from twisted.internet import error as net
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
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
from supportbot.services.wire import Wire, plain_agent
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
    endpoint: IStreamClientEndpoint = HostnameEndpoint(
        reactor,
        host,
        parts.port or (443 if secure else 80),
        timeout=settings.deadlines.connect,
        attemptDelay=_ATTEMPT_DELAY,
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
        wire = Wire(self._settings.bounds.head)
        agent = treq.client.HTTPClient(plain_agent(self._reactor, self._endpoint, wire))
        headers = Headers({"accept": [accept], "user-agent": [_US]})
        if body is not None:
            headers.setRawHeaders("content-type", ["text/plain; charset=utf-8"])
        asking = agent.request(
            method,
            self._settings.url,
            headers=headers,
            data=None if body is None else _Whole(body),
            allow_redirects=False,
            unbuffered=True,
            reactor=cast(Any, self._reactor),  # only ever asked for the time
        )

        def late(_: object, seconds: float) -> Failure:
            phase = "headers" if wire.connected else "connect"
            return Failure(ServiceTimedOut(phase, seconds))

        asked = _cancellable(asking)
        asked.addTimeout(self._settings.deadlines.headers, self._reactor, late)
        try:
            response = await asked
            wire.head_is_in()
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


def _cancellable(asking: Deferred[_T]) -> Deferred[_T]:
    """The same, but cancelling it is always a CancelledError, and at once.

    A name that is being looked up, and a request that is being written, turn the
    cancellation into failures of their own.
    """
    cancelled = False

    def relay(result: _T | Failure) -> None:
        if not cancelled:
            asked.callback(result)

    def cancel(_: object) -> None:
        nonlocal cancelled
        cancelled = True
        asking.cancel()

    asked: Deferred[_T] = Deferred(cancel)
    asking.addBoth(relay)
    return asked


def _translated(error: Exception, wire: Wire) -> ServiceError:
    """What a failure of the call means."""
    reasons = getattr(error, "reasons", None) or [Failure(error)]
    names = ", ".join(reason.type.__name__ for reason in reasons)
    if wire.overflowed:
        return BodyBroken("the headers are too long")
    if wire.heard and not any(reason.check(*_LOST) for reason in reasons):
        return BodyBroken(f"no HTTP: {names}")
    return ServiceUnreachable(names)


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
