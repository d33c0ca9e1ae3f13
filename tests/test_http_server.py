"""The HTTP server: limits, clients that vanish, and an orderly end."""

from __future__ import annotations

import resource
import socket
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import msgspec
import pytest_twisted
import trustme
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    clientFromString,
    connectProtocol,
    serverFromString,
    wrapClientTLS,
)
from twisted.internet.interfaces import (
    IProtocolFactory,
    IProtocolNegotiationFactory,
    ITCPTransport,
    IUNIXTransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.ssl import (
    Certificate,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import alsoProvides, implementer
from zope.interface.verify import verifyObject

from supportbot.channels.http.exchange import Exchange
from supportbot.channels.http.server import HttpServer
from supportbot.channels.peers import host_of, plain
from supportbot.settings import HttpSettings
from tests.http_client import HttpClient

SETTINGS = HttpSettings(connections=6, per_address=3, proxies=("10.0.0.1",))


class Served(SynchronousTestCase):
    """A server with clients; the test answers."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.exchanges: list[Exchange] = []
        self.clients: list[HttpClient] = []
        self.serve()

    def serve(self, **changes: Any) -> None:
        settings = msgspec.structs.replace(SETTINGS, **changes)
        self.server = HttpServer(self.clock, settings)
        self.factory = self.server.factory(self.exchanges.append)

    def tearDown(self) -> None:
        for client in self.clients:
            client.vanish()
        self.clock.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(
            [client.faults for client in self.clients if client.faults], []
        )
        self.assertEqual(self.server.connections, 0)

    def join(self, host: str | None = "192.0.2.7") -> HttpClient:
        client = HttpClient(self.clock, host)
        client.connect(self.factory)
        self.clients.append(client)
        return client

    def asked(self) -> Exchange:
        (exchange,) = self.exchanges
        self.exchanges.clear()
        return exchange

    def served(self) -> HttpClient:
        """A client that has been answered, and stays."""
        client = self.join()
        client.request()
        self.asked().respond(200, b"", "a/b")
        client.take()
        return client


class LimitTests(Served):
    def test_it_is_a_factory(self) -> None:
        verifyObject(IProtocolFactory, self.factory)
        verifyObject(IProtocolNegotiationFactory, self.factory)
        self.assertEqual(self.factory.acceptableProtocols(), [b"http/1.1"])
        self.assertFalse(self.factory.noisy)
        self.factory.doStart()
        self.factory.doStop()

    def test_connections_are_counted(self) -> None:
        first, second = self.join(), self.join()
        self.assertEqual(self.server.connections, 2)
        first.hang_up()
        second.vanish()
        self.assertEqual(self.server.connections, 0)

    def test_one_address_gets_so_many_connections(self) -> None:
        for _ in range(3):
            self.join()
        late = self.join()
        response = late.take_one()
        self.assertEqual(response.status, 503)
        self.assertEqual(response.headers["retry-after"], "5")
        self.assertTrue(late.half_closed)
        self.assertEqual(self.join("192.0.2.8").received, b"")
        self.clients[0].hang_up()
        self.assertEqual(self.join().received, b"")

    def test_a_refused_client_gets_a_second_to_read_why(self) -> None:
        for _ in range(3):
            self.join()
        patient, slow = self.join(), self.join()
        patient.send(b"GET / HTTP/1.1\r\n\r\n")
        patient.hang_up()
        self.assertFalse(patient.aborted)
        self.clock.advance(1)
        self.assertTrue(slow.aborted)

    def test_a_crowd_of_refused_clients_is_dropped_at_once(self) -> None:
        for _ in range(3 + 64):
            self.join()
        self.assertFalse(any(client.aborted for client in self.clients))
        last = self.join()
        self.assertTrue(last.aborted)
        self.assertEqual(last.received, b"")
        self.clock.pump([1, 0])
        self.assertEqual(self.join().take_one().status, 503)

    def test_proxies_and_unix_sockets_have_no_address_to_count(self) -> None:
        for host in ("10.0.0.1", None) * 3:
            self.assertEqual(self.join(host).received, b"")
        self.assertEqual(self.join("10.0.0.1").take_one().status, 503)  # the total

    def test_descriptors_are_kept_for_others(self) -> None:
        limits = (128 + 2, 10_000)
        with patch.object(resource, "getrlimit", return_value=limits):
            self.serve()
        self.join()
        self.join()
        self.assertEqual(self.join().take_one().status, 503)

    def test_refusals_don_t_flood_the_log(self) -> None:
        lines: list[LogEvent] = []
        observer = cast(ILogObserver, lines.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        for _ in range(30):
            self.join()
        self.clock.advance(1)
        self.join()
        told = [line["refused"] for line in lines if "refused" in line]
        self.assertEqual(told, [1, 27])


class DrainTests(Served):
    def test_nothing_to_drain_is_drained(self) -> None:
        self.successResultOf(self.server.drain(25.0))
        self.assertTrue(self.server.draining)

    def test_idle_connections_are_closed_at_once(self) -> None:
        client = self.served()
        drained = self.server.drain(25.0)
        self.assertNoResult(drained)
        self.clock.advance(0)
        self.assertTrue(client.closed)
        self.assertFalse(client.aborted)
        self.successResultOf(drained)

    def test_a_new_connection_gets_a_second_for_its_request(self) -> None:
        quick, slow = self.join(), self.join()
        drained = self.server.drain(25.0)
        self.clock.advance(0.5)
        quick.request()
        self.clock.pump([0.5, 0])
        self.assertTrue(slow.closed)
        self.asked().respond(200, b"in time", "a/b")
        response = quick.take_one()
        self.assertEqual(response.body, b"in time")
        self.assertEqual(response.headers["connection"], "close")
        self.clock.advance(0)
        self.assertTrue(quick.closed)
        self.successResultOf(drained)

    def test_a_request_that_has_begun_is_waited_for(self) -> None:
        head, body = self.served(), self.served()
        head.send(b"GET / HTTP/1.1\r\n")
        body.request("POST", headers=[("Content-Length", "4")])
        drained = self.server.drain(25.0)
        self.clock.advance(1)
        head.send(b"Host: localhost\r\n\r\n")
        self.asked().respond(200, b"1", "a/b")
        body.send(b"body")
        self.asked().respond(200, b"2", "a/b")
        self.clock.advance(0)
        self.assertEqual(head.take_one().headers["connection"], "close")
        self.assertEqual(body.take_one().headers["connection"], "close")
        self.successResultOf(drained)

    def test_a_response_under_way_is_waited_for(self) -> None:
        client = self.join()
        client.request()
        drained = self.server.drain(25.0)
        self.clock.advance(24)
        self.asked().respond(200, b"whole", "a/b")
        self.clock.advance(0)
        self.assertEqual(client.take_one().body, b"whole")
        self.successResultOf(drained)

    def test_streams_hear_of_it_and_say_good_bye(self) -> None:
        client = self.join()
        client.request()
        exchange = self.asked()
        exchange.begin_stream("text/event-stream")
        exchange.on_drain(lambda: exchange.send(b"bye"))
        exchange.on_drain(exchange.finish)
        drained = self.server.drain(25.0)
        response = client.take_one()
        self.assertEqual((response.body, response.whole), (b"bye", True))
        self.clock.advance(0)
        self.successResultOf(drained)

    def test_streams_that_begin_too_late_hear_of_it_at_once(self) -> None:
        client = self.join()
        self.server.drain(25.0)
        client.request()
        exchange, heard = self.asked(), list[str]()
        exchange.on_drain(lambda: heard.append("drain"))
        self.assertEqual(heard, ["drain"])
        self.assertTrue(exchange.begin_stream("a/b"))
        self.assertEqual(client.take_one().headers["connection"], "close")

    def test_what_takes_too_long_is_cut_off(self) -> None:
        client = self.join()
        client.request()
        exchange = self.asked()
        exchange.begin_stream("text/event-stream")
        exchange.send(b"one")
        drained = self.server.drain(25.0)
        self.clock.pump([24.9, 0.1, 0])
        self.assertTrue(client.closed)
        self.assertFalse(client.aborted)
        self.assertFalse(client.take_one().whole)
        self.assertTrue(exchange.gone)
        self.successResultOf(drained)

    def test_a_client_that_does_not_read_is_dropped(self) -> None:
        client = self.join()
        client.stop_reading()
        client.request()
        self.asked().respond(200, b"x", "a/b")
        drained = self.server.drain(25.0)
        self.clock.advance(25.4)
        self.assertFalse(client.aborted)
        self.clock.pump([0.1, 0])
        self.assertTrue(client.aborted)
        self.successResultOf(drained)

    def test_refused_clients_are_not_waited_for(self) -> None:
        clients = [self.join() for _ in range(4)]
        drained = self.server.drain(25.0)
        self.assertTrue(clients[3].aborted)
        self.clock.pump([1, 0])
        self.successResultOf(drained)

    def test_it_may_be_drained_twice(self) -> None:
        self.join()
        first, second, third = (self.server.drain(25.0) for _ in range(3))
        third.addErrback(lambda _: None)
        third.cancel()
        self.clock.pump([1, 0])
        self.successResultOf(first)
        self.successResultOf(second)


class Handle:
    """What is under a transport: a socket that keeps its options."""

    def __init__(self) -> None:
        self.options: dict[tuple[int, int], int] = {}

    def setsockopt(self, level: int, name: int, value: int) -> None:
        self.options[level, name] = value


@implementer(ITCPTransport)
class Wire(HttpClient):
    """A client whose transport says that it is TCP."""

    keep_alive = no_delay = False

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.handle = Handle()

    def getHandle(self) -> Any:
        return self.handle

    def setTcpKeepAlive(self, enabled: bool) -> None:
        self.keep_alive = enabled

    def getTcpKeepAlive(self) -> bool:
        return self.keep_alive

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.no_delay = enabled

    def getTcpNoDelay(self) -> bool:
        return self.no_delay


class PeerTests(Served):
    def test_peers_that_vanish_are_noticed(self) -> None:
        client = Wire(self.clock)
        client.connect(self.factory)
        self.clients.append(client)
        self.assertTrue(client.keep_alive)
        self.assertTrue(client.no_delay)
        options = client.handle.options
        self.assertEqual(options[socket.IPPROTO_TCP, socket.TCP_KEEPIDLE], 10)
        self.assertEqual(options[socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT], 20_000)

    def test_under_tls_the_socket_is_meant(self) -> None:
        beneath = Wire(self.clock)
        client = Wire(self.clock)
        client.transport = beneath  # type: ignore[attr-defined]
        client.connect(self.factory)
        self.clients.append(client)
        self.assertIn((socket.IPPROTO_TCP, socket.TCP_KEEPIDLE), beneath.handle.options)
        self.assertEqual(client.handle.options, {})

    def test_nobody_vanishes_from_a_unix_socket(self) -> None:
        client = Wire(self.clock)
        alsoProvides(client, IUNIXTransport)
        client.connect(self.factory)
        self.clients.append(client)
        self.assertEqual(client.handle.options, {})

    def test_addresses_are_written_in_one_way(self) -> None:
        self.assertEqual(plain("::FFFF:192.0.2.7"), "192.0.2.7")
        self.assertEqual(plain("2001:DB8:0::1"), "2001:db8::1")
        self.assertIsNone(plain("chat.example"))
        self.assertEqual(host_of(None), "")


def test_a_deferred_is_all_that_drain_gives() -> None:
    server = HttpServer(Clock(), SETTINGS)
    assert isinstance(server.drain(1.0), Deferred)


# Over real sockets: what a fake would have to promise


class Reader(Protocol):
    """A client that sends a request, and reads until the connection is closed."""

    def __init__(self, request: bytes) -> None:
        self.request, self.received = request, b""
        self.done: Deferred[bytes] = Deferred()

    def connectionMade(self) -> None:
        cast(Any, self.transport).write(self.request)

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.done.callback(self.received)


GET = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
BAD = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500000\r\n\r\n"


async def conversed(listening: str, client: Any) -> list[bytes]:
    """First lines of the responses to a good and to a bad request."""
    from twisted.internet import reactor

    def answer(exchange: Exchange) -> None:
        exchange.respond(200, b"{}", "application/json")

    server = HttpServer(reactor, SETTINGS)
    port = await serverFromString(reactor, listening).listen(server.factory(answer))
    lines = []
    for request in (GET, BAD + b"x" * 500_000):
        reader = Reader(request)
        await connectProtocol(client(reactor, port), reader)
        lines.append((await reader.done).partition(b"\r\n")[0])
    await port.stopListening()
    await server.drain(5.0)
    return lines


ANSWERS = [b"HTTP/1.1 200 OK", b"HTTP/1.1 413 Content Too Large"]


@pytest_twisted.ensureDeferred
async def test_it_speaks_tcp() -> None:
    def client(reactor: Any, port: Any) -> Any:
        return clientFromString(reactor, f"tcp:127.0.0.1:{port.getHost().port}")

    assert await conversed("tcp:0:interface=127.0.0.1", client) == ANSWERS


@pytest_twisted.ensureDeferred
async def test_it_speaks_over_a_unix_socket(tmp_path: Path) -> None:
    def client(reactor: Any, port: Any) -> Any:
        return clientFromString(reactor, f"unix:{tmp_path / 'socket'}")

    assert await conversed(f"unix:{tmp_path / 'socket'}", client) == ANSWERS


@pytest_twisted.ensureDeferred
async def test_it_speaks_tls_with_clients_that_negotiate(tmp_path: Path) -> None:
    authority = trustme.CA()
    pem = tmp_path / "server.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(pem)
    trust = trustRootFromCertificates([Certificate.loadPEM(authority.cert_pem.bytes())])
    options = optionsForClientTLS(
        "localhost", trust, acceptableProtocols=[b"h2", b"http/1.1"]
    )

    def client(reactor: Any, port: Any) -> Any:
        tcp = clientFromString(reactor, f"tcp:127.0.0.1:{port.getHost().port}")
        return wrapClientTLS(options, tcp)

    listening = f"ssl:0:privateKey={pem}:certKey={pem}:interface=127.0.0.1"
    assert await conversed(listening, client) == ANSWERS
