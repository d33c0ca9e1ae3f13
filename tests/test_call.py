"""Calls over real sockets: TLS can't be shown without."""

from __future__ import annotations

import gc
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
import trustme
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import PrivateCertificate
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from supportbot.errors import ByteRepeated, ServiceUnreachable, SettingsError
from supportbot.interfaces import Question
from supportbot.services.call import endpoint_of
from supportbot.services.http_stream import HTTP_STREAM
from supportbot.services.third_party import ThirdParty
from supportbot.services.wire import Wire
from supportbot.settings import Retry, ServiceSettings
from tests.test_third_party import PARAGRAPHS, WHOLE, Told
from tests.wire import ANSWER


class Flood(Protocol):
    """Sends zeroes for as long as it can, whatever the client says."""

    def __init__(self) -> None:
        self.gone: Deferred[BaseException] = Deferred()
        self._stopped = True

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(ANSWER + b'{"response": "' + PARAGRAPHS[0].encode())
        self.transport.registerProducer(self, True)  # type: ignore[attr-defined]
        self.resumeProducing()

    def resumeProducing(self) -> None:
        self._stopped = False
        while not self._stopped and self.transport is not None:
            self.transport.write(b"0" * 1024)

    def pauseProducing(self) -> None:
        self._stopped = True

    stopProducing = pauseProducing

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._stopped = True
        self.gone.callback(reason.value)


class Honest(Protocol):
    """Answers well."""

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(WHOLE)
        self.transport.loseConnection()


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@asynccontextmanager
async def serving(
    protocol: Protocol, authority: trustme.CA, host: str
) -> AsyncIterator[str]:
    """A TLS server with a certificate for the host; gives its URL."""
    from twisted.internet import reactor as running

    reactor: Any = running
    issued = authority.issue_cert(host).private_key_and_cert_chain_pem.bytes()
    port = reactor.listenSSL(
        0,
        Factory.forProtocol(lambda: protocol),  # type: ignore[arg-type]
        PrivateCertificate.loadPEM(issued).options(),
        interface="127.0.0.1",
    )
    yield f"https://localhost:{port.getHost().port}/"
    await maybeDeferred(port.stopListening)


async def ask(url: str, ca_file: Path, told: Told) -> None:
    from twisted.internet import reactor as running

    reactor: Any = running
    settings = ServiceSettings(
        name="support",
        intent="help",
        url=url,
        ca_file=str(ca_file),
        retry=Retry(attempts=1),
    )
    service = ThirdParty(settings, HTTP_STREAM, reactor, endpoint_of(settings, reactor))
    try:
        await service.answer(Question("help", lambda: Deferred()), told)
    finally:
        await deferLater(reactor, 0)  # a connection that was dropped is told so


@pytest_twisted.ensureDeferred
async def test_an_answer_over_tls(authority: trustme.CA, tmp_path: Path) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    told = Told()
    async with serving(Honest(), authority, "localhost") as url:
        await ask(url, tmp_path / "ca.pem", told)
    assert told.paragraphs == PARAGRAPHS


@pytest_twisted.ensureDeferred
async def test_a_flood_over_tls_is_dropped_and_not_drained(
    authority: trustme.CA, tmp_path: Path
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    told, flood = Told(), Flood()
    async with serving(flood, authority, "localhost") as url:
        with pytest.raises(ByteRepeated):
            await ask(url, tmp_path / "ca.pem", told)
        reason = await flood.gone
    assert not isinstance(reason, ConnectionDone)  # no polite good-bye was waited for
    assert told.paragraphs == PARAGRAPHS[:1]


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("trusted", [True, False])
async def test_who_can_not_prove_who_they_are_is_not_asked(
    trusted: bool, authority: trustme.CA, tmp_path: Path
) -> None:
    known = authority if trusted else trustme.CA()
    known.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    host = "elsewhere.test" if trusted else "localhost"
    async with serving(Honest(), authority, host) as url:
        with pytest.raises(ServiceUnreachable):
            await ask(url, tmp_path / "ca.pem", Told())


@pytest_twisted.ensureDeferred
async def test_authorities_that_are_none_are_wrong_settings(tmp_path: Path) -> None:
    wrong = tmp_path / "ca.pem"
    wrong.write_text("-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n")
    for file in (wrong, tmp_path / "nothing.pem"):
        with pytest.raises(SettingsError, match="PEM"):
            await ask("https://localhost/", file, Told())


class Reading(Protocol):
    """Waits for the end of a body."""

    def __init__(self) -> None:
        self.ended: Deferred[None] = Deferred()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.callback(None)


@pytest_twisted.ensureDeferred
async def test_nothing_of_a_call_is_left_to_the_garbage_collector() -> None:
    from twisted.internet import reactor

    loop: Any = reactor
    port = loop.listenTCP(0, Factory.forProtocol(Honest), interface="127.0.0.1")
    endpoint = TCP4ClientEndpoint(loop, "127.0.0.1", port.getHost().port)

    async def call() -> weakref.ref[Any]:
        wire, reading = Wire(endpoint, 1_000), Reading()
        response = await wire.request(b"GET", b"http://localhost/")
        response.deliverBody(reading)
        await reading.ended
        return weakref.ref(wire.transport)

    gc.disable()
    try:
        transport = await call()
        for _ in range(500):
            if transport() is None:
                break
            await deferLater(loop, 0.01, lambda: None)
        assert transport() is None
    finally:
        gc.enable()
        await maybeDeferred(port.stopListening)
