"""A connection that is given away: what its new owner gets, and how it ends."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest_twisted
import trustme
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    clientFromString,
    connectProtocol,
    serverFromString,
    wrapClientTLS,
)
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.ssl import (
    Certificate,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from supportbot.channels.http.deadlines import Deadline
from supportbot.channels.http.exchange import Exchange
from supportbot.channels.http.server import HttpServer
from supportbot.settings import HttpSettings
from tests.http_client import HttpClient

SETTINGS = HttpSettings(
    connections=6, per_address=3, head_time=10.0, idle=60.0, stall=30.0
)
ASKS = b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\r\n"
AGREED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
)


@implementer(IPushProducer)
class Taker:
    """Has a connection, and notes what it is told."""

    transport: Any = None

    def __init__(self) -> None:
        self.received_bytes = b""
        self.heard: list[str] = []
        self.on_begin: Callable[[], object] = lambda: None

    def begin(self, transport: Any, early: bytes) -> None:
        self.transport = transport
        self.heard.append("begin")
        self.received_bytes += early
        self.on_begin()

    def received(self, data: bytes) -> None:
        self.received_bytes += data

    def lost(self, reason: Failure) -> None:
        assert isinstance(reason, Failure)
        self.heard.append("lost")

    def drain(self) -> None:
        self.heard.append("drain")

    def close(self) -> None:
        self.heard.append("close")

    # IPushProducer

    def pauseProducing(self) -> None:
        self.heard.append("pause")

    def resumeProducing(self) -> None:
        self.heard.append("resume")

    def stopProducing(self) -> None:
        self.heard.append("stop")


class Upgrading(SynchronousTestCase):
    """Clients of a server; the test agrees in its own time."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.exchanges: list[Exchange] = []
        self.clients: list[HttpClient] = []
        self.server = HttpServer(self.clock, SETTINGS)
        self.answer: Callable[[Exchange], None] = self.exchanges.append
        self.factory = self.server.factory(lambda exchange: self.answer(exchange))

    def tearDown(self) -> None:
        for client in self.clients:
            client.vanish()
        self.clock.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual([one.faults for one in self.clients if one.faults], [])
        self.assertEqual(self.server.connections, 0)

    def join(self, host: str | None = "192.0.2.7") -> HttpClient:
        client = HttpClient(self.clock, host)
        client.connect(self.factory)
        self.clients.append(client)
        return client

    def asked(self, client: HttpClient) -> Exchange:
        """What a client asks that wants to speak WebSocket."""
        client.send(ASKS)
        (exchange,) = self.exchanges
        self.exchanges.clear()
        return exchange

    def upgraded(self, host: str | None = "192.0.2.7") -> tuple[HttpClient, Taker]:
        """A client that speaks it."""
        client, taker = self.join(host), Taker()
        self.asked(client).upgrade(taker)
        self.assertEqual(client.take_one().status, 101)
        return client, taker


class HandingOverTests(Upgrading):
    def test_the_client_reads_that_it_is_agreed(self) -> None:
        client, taker = self.join(), Taker()
        self.asked(client).upgrade(taker, [(b"Sec-WebSocket-Accept", b"x=")])
        self.assertEqual(client.received, AGREED + b"Sec-WebSocket-Accept: x=\r\n\r\n")
        self.assertIs(taker.transport, client)

    def test_it_is_agreed_before_anything_else_is_said(self) -> None:
        client, taker = self.join(), Taker()
        taker.on_begin = lambda: taker.transport.write(b"hello")
        self.asked(client).upgrade(taker)
        self.assertEqual(client.received, AGREED + b"\r\nhello")

    def test_a_header_that_is_none_is_our_fault(self) -> None:
        client, taker = self.join(), Taker()
        exchange = self.asked(client)
        for header in ((b"A", b"b\r\nC: d"), (b"A:", b"b")):
            with self.assertRaises(ValueError):
                exchange.upgrade(taker, [header])
        self.assertEqual((client.received, taker.heard), (b"", []))
        exchange.respond(200, b"", "a/b")
        self.assertEqual(client.take_one().status, 200)

    def test_bytes_go_both_ways(self) -> None:
        client, taker = self.upgraded()
        for piece in (b"one", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x16"):
            taker.received_bytes = b""
            client.send(piece)
            self.assertEqual(taker.received_bytes, piece)
        client.received = b""
        taker.transport.write(b"two")
        self.assertEqual(client.received, b"two")
        self.assertEqual(self.exchanges, [])

    def test_what_came_too_early_is_not_lost_when_agreeing_takes_time(self) -> None:
        client, taker = self.join(), Taker()
        exchange = self.asked(client)
        early = bytes(range(256)) * 100
        client.send(early)
        client.send(b"waits in the socket")
        self.assertFalse(client.heard)
        exchange.upgrade(taker)
        self.assertEqual(taker.received_bytes, early)
        self.clock.advance(0)
        self.assertEqual(taker.received_bytes, early + b"waits in the socket")

    def test_who_takes_it_over_may_stop_reading_at_once(self) -> None:
        client, taker = self.join(), Taker()
        taker.on_begin = lambda: taker.transport.pauseProducing()
        self.asked(client).upgrade(taker)
        self.assertFalse(client.heard)

    def test_back_pressure_is_the_new_owner_s(self) -> None:
        client, taker = self.join(), Taker()
        taker.on_begin = lambda: taker.transport.registerProducer(taker, True)
        self.asked(client).upgrade(taker)
        client.stop_reading()
        taker.transport.write(b"x" * 100_000)
        client.read_on()
        self.assertEqual(taker.heard, ["begin", "pause", "resume"])
        taker.transport.unregisterProducer()

    def test_nobody_hears_of_it_who_does_not_care(self) -> None:
        client, taker = self.upgraded()
        client.stop_reading()
        taker.transport.write(b"x" * 100_000)
        self.assertTrue(client.heard)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_deadline_of_http_is_left(self) -> None:
        client, taker = self.upgraded()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(100_000)
        self.assertFalse(client.closed or client.aborted)
        self.assertEqual(taker.heard, ["begin"])

    def test_nothing_of_http_is_kept(self) -> None:
        client, taker = self.join(), Taker()
        exchange = self.asked(client)
        exchange.on_gone(self.fail)
        exchange.on_drain(self.fail)
        exchange.upgrade(taker)
        reference = weakref.ref(exchange)
        del exchange
        gc.collect()
        self.assertIsNone(reference())
        self.assertEqual(vars(client.protocol), {})
        held = {type(one) for one in gc.get_referents(client.protocol)}
        self.assertTrue(held.isdisjoint({bytearray, Deadline, list}))

    def test_with_that_the_exchange_is_over(self) -> None:
        client, taker = self.join(), Taker()
        heard: list[str] = []
        exchange = self.asked(client)
        exchange.on_gone(lambda: heard.append("gone"))
        exchange.on_drain(lambda: heard.append("drain"))
        exchange.upgrade(taker)
        exchange.respond(200, b"late", "a/b")
        self.assertFalse(exchange.begin_stream("a/b"))
        exchange.send(b"late")
        exchange.finish()
        exchange.fail(Failure(ZeroDivisionError()))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(client.received, AGREED + b"\r\n")
        client.vanish()
        self.assertEqual((heard, taker.heard), ([], ["begin", "lost"]))

    def test_a_handler_that_fails_afterwards_does_no_harm(self) -> None:
        taker = Taker()

        def answer(exchange: Exchange) -> None:
            exchange.upgrade(taker)
            raise ZeroDivisionError

        self.answer = answer
        client = self.join()
        client.send(ASKS + b"early")
        client.send(b" and late")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(client.received, AGREED + b"\r\n")
        self.assertEqual(taker.received_bytes, b"early and late")


class TooLateTests(Upgrading):
    def test_a_client_that_is_gone_already(self) -> None:
        client, taker = self.join(), Taker()
        exchange = self.asked(client)
        client.vanish()
        exchange.upgrade(taker)
        self.assertEqual(taker.heard, ["lost"])

    def test_a_client_that_was_answered(self) -> None:
        client, taker, other = self.join(), Taker(), Taker()
        exchange = self.asked(client)
        exchange.begin_stream("text/plain")
        exchange.upgrade(taker)
        exchange.finish()
        exchange.upgrade(other)
        self.assertEqual((taker.heard, other.heard), (["lost"], ["lost"]))
        self.assertEqual(client.take_one().status, 200)

    def test_a_connection_has_one_owner(self) -> None:
        client, first, second = self.join(), Taker(), Taker()
        exchange = self.asked(client)
        exchange.upgrade(first)
        exchange.upgrade(second)
        client.send(b"x")
        self.assertEqual((first.heard, second.heard), (["begin"], ["lost"]))
        self.assertEqual(first.received_bytes, b"x")

    def test_a_connection_that_is_being_closed(self) -> None:
        client, taker = self.join(), Taker()
        client.stop_reading()
        self.asked(client).respond(200, b"not read yet", "a/b")
        exchange = self.asked(client)
        drained = self.server.drain(1.0)
        self.clock.advance(1.0)
        self.assertFalse(client.closed)
        exchange.upgrade(taker)
        self.assertEqual(taker.heard, ["lost"])
        client.read_on()
        self.clock.advance(0)
        self.assertEqual(client.take_one().body, b"not read yet")
        self.assertEqual(taker.heard, ["lost"])
        self.successResultOf(drained)


class LossTests(Upgrading):
    def test_it_counts_until_it_is_lost(self) -> None:
        clients = [self.upgraded() for _ in range(3)]
        self.assertEqual(self.server.connections, 3)
        self.assertEqual(self.join().take_one().status, 503)
        for (client, taker), leave in zip(
            clients,
            (HttpClient.vanish, HttpClient.hang_up, HttpClient.abortConnection),
            strict=True,
        ):
            leave(client)
            self.clock.advance(0)
            self.assertEqual(taker.heard, ["begin", "lost"])
        self.assertEqual(self.server.connections, 0)
        for _ in range(3):
            self.assertEqual(self.join().received, b"")
        self.assertEqual(self.join().take_one().status, 503)

    def test_the_owner_may_end_it(self) -> None:
        client, taker = self.upgraded()
        taker.transport.loseConnection()
        self.clock.advance(0)
        self.assertTrue(client.closed)
        self.assertEqual(taker.heard, ["begin", "lost"])
        client, taker = self.join(), Taker()
        taker.on_begin = lambda: taker.transport.abortConnection()
        self.asked(client).upgrade(taker)
        self.clock.advance(0)
        self.assertTrue(client.closed)
        self.assertEqual(taker.heard, ["begin", "lost"])
        self.assertEqual(self.server.connections, 0)

    def test_a_client_that_vanishes_in_the_same_turn(self) -> None:
        client, taker = self.join(), Taker()
        taker.on_begin = client.vanish
        self.server.drain(5.0)
        self.asked(client).upgrade(taker)
        self.assertEqual(taker.heard, ["begin", "lost"])
        self.assertEqual(self.server.connections, 0)

    def test_an_owner_that_can_not_begin_loses_it(self) -> None:
        client, taker = self.join(), Taker()

        def fail() -> None:
            raise ZeroDivisionError

        taker.on_begin = fail
        exchange = self.asked(client)
        exchange.upgrade(taker)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.clock.advance(0)
        self.assertTrue(client.aborted)
        self.assertEqual(taker.heard, ["begin", "lost"])

    def test_it_is_counted_out_even_if_the_owner_fails(self) -> None:
        client, taker = self.join(), Taker()

        def fail(reason: Failure) -> None:
            raise ZeroDivisionError

        self.asked(client).upgrade(taker)
        taker.lost = fail  # type: ignore[method-assign]
        with self.assertRaises(ZeroDivisionError):
            client.vanish()
        self.assertEqual(self.server.connections, 0)


class DrainTests(Upgrading):
    def test_the_owner_is_told_and_has_its_time(self) -> None:
        client, taker = self.upgraded()
        drained = self.server.drain(25.0)
        self.assertEqual(taker.heard, ["begin", "drain"])
        self.clock.advance(24.9)
        client.send(b"goes on")
        self.assertEqual(taker.received_bytes, b"goes on")
        self.assertEqual(taker.heard, ["begin", "drain"])
        self.assertNoResult(drained)
        taker.transport.loseConnection()
        self.clock.advance(0)
        self.successResultOf(drained)
        self.assertEqual(taker.heard, ["begin", "drain", "lost"])

    def test_then_it_has_to_close(self) -> None:
        client, taker = self.upgraded()
        drained = self.server.drain(25.0)
        self.clock.advance(25.0)
        self.assertEqual(taker.heard, ["begin", "drain", "close"])
        self.clock.advance(0.4)
        self.assertFalse(client.aborted)
        taker.transport.write(b"bye")
        client.send(b"bye")
        self.assertTrue(client.received.endswith(b"\r\n\r\nbye"))
        self.assertEqual(taker.received_bytes, b"bye")
        self.clock.advance(0.1)
        self.clock.advance(0)
        self.assertTrue(client.aborted)
        self.assertEqual(taker.heard, ["begin", "drain", "close", "lost"])
        self.successResultOf(drained)

    def test_who_comes_late_is_told_at_once(self) -> None:
        client, taker = self.join(), Taker()
        exchange = self.asked(client)
        drained = self.server.drain(25.0)
        self.clock.advance(3.0)
        exchange.upgrade(taker)
        self.assertEqual(taker.heard, ["begin", "drain"])
        self.clock.advance(22.0)
        self.assertEqual(taker.heard, ["begin", "drain", "close"])
        client.hang_up()
        self.successResultOf(drained)

    def test_who_goes_at_once_when_told(self) -> None:
        clients = [self.upgraded() for _ in range(3)]
        for client, taker in clients:
            taker.drain = client.vanish  # type: ignore[method-assign]
        self.successResultOf(self.server.drain(25.0))

    def test_who_takes_others_along(self) -> None:
        first, second = self.upgraded(), self.upgraded()
        first[1].drain = second[0].vanish  # type: ignore[method-assign]
        drained = self.server.drain(25.0)
        self.assertEqual(second[1].heard, ["begin", "lost"])
        first[1].close = first[0].vanish  # type: ignore[method-assign]
        third = self.join()
        self.clock.pump([25.0, 0.5, 0])
        self.assertTrue(third.closed)
        self.successResultOf(drained)

    def test_one_that_fails_does_not_keep_the_others_from_hearing(self) -> None:
        def fail() -> None:
            raise ZeroDivisionError

        (client, first), (_, second), (_, third) = (
            self.upgraded(host) for host in ("192.0.2.1", "192.0.2.2", "192.0.2.3")
        )
        first.drain = third.close = fail  # type: ignore[method-assign]
        drained = self.server.drain(25.0)
        self.assertEqual(second.heard, ["begin", "drain"])
        self.assertTrue(client.aborted)
        self.clock.advance(25.0)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.assertEqual(second.heard, ["begin", "drain", "close"])
        self.clock.pump([0.5, 0])
        self.successResultOf(drained)


BEFORE = b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n"
BODIES = (
    b"\r\n",
    b"Content-Length: 4\r\n\r\nbody",
    b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
)
BEHIND = b"\r\n\r\nGET /b HTTP/1.1\r\nHost: localhost\r\n\r\n\x16\x00\xff"


@given(
    st.sets(st.integers(0, 300), max_size=12),
    st.sampled_from(BODIES),
    st.booleans(),
    st.integers(0, 12),
)
def test_no_byte_is_lost_or_told_twice(
    cuts: set[int], body: bytes, first: bool, late: int
) -> None:
    """However the bytes are cut, and however late the client is agreed with."""
    waiting: list[Exchange] = []

    def answer(exchange: Exchange) -> None:
        if exchange.target == "/ws":
            waiting.append(exchange)
        else:
            exchange.respond(200, b"", "a/b")

    clock, taker = Clock(), Taker()
    server = HttpServer(clock, HttpSettings())
    client = HttpClient(clock)
    client.connect(server.factory(answer))
    asks = ASKS.removesuffix(b"\r\n") + body
    sent = (BEFORE if first else b"") + asks + BEHIND * 3
    edges = [0, *sorted(cut for cut in cuts if 0 < cut < len(sent)), len(sent)]
    for start, end in pairwise(edges):
        client.send(sent[start:end])
        if waiting and taker.transport is None:
            late -= 1
            if late < 0:
                waiting[0].upgrade(taker)
    if taker.transport is None:
        waiting[0].upgrade(taker)
    assert taker.received_bytes == BEHIND * 3
    assert taker.heard == ["begin"]
    assert [one.status for one in client.take()] == ([200] if first else []) + [101]
    assert len(waiting) == 1
    client.vanish()
    assert clock.getDelayedCalls() == []


class SharedTests(SynchronousTestCase):
    """Two places to listen, and one server."""

    def setUp(self) -> None:
        self.clock, self.takers = Clock(), list[Taker]()
        settings = msgspec.structs.replace(SETTINGS, connections=3)
        self.server = HttpServer(self.clock, settings)
        self.pages = self.server.factory(lambda e: e.respond(200, b"", "a/b"))
        self.sockets = self.server.factory(self.upgrade)

    def upgrade(self, exchange: Exchange) -> None:
        self.takers.append(Taker())
        exchange.upgrade(self.takers[-1])

    def asking(self, factory: Any) -> HttpClient:
        client = HttpClient(self.clock)
        client.connect(factory)
        client.send(ASKS)
        return client

    def test_each_has_answers_of_its_own(self) -> None:
        self.assertEqual(self.asking(self.pages).take_one().status, 200)
        self.assertEqual(self.asking(self.sockets).take_one().status, 101)

    def test_their_clients_are_counted_together(self) -> None:
        clients = [self.asking(self.pages), self.asking(self.sockets)]
        clients.append(self.asking(self.sockets))
        self.assertEqual(self.server.connections, 3)
        for factory in (self.pages, self.sockets):
            client = HttpClient(self.clock, "192.0.2.8")
            client.connect(factory)
            self.assertEqual(client.take_one().status, 503)
            client.vanish()
        clients[1].vanish()
        self.assertEqual(self.asking(self.pages).take_one().status, 200)

    def test_they_end_together(self) -> None:
        page, socket = self.asking(self.pages), self.asking(self.sockets)
        drained = self.server.drain(25.0)
        self.clock.advance(0)
        self.assertTrue(page.closed)
        self.assertNoResult(drained)
        self.assertEqual(self.takers[0].heard, ["begin", "drain"])
        socket.vanish()
        self.successResultOf(drained)


# Over real sockets: what a fake would have to promise


class Echo:
    """Sends back what it gets, until it is told to close."""

    def begin(self, transport: Any, early: bytes) -> None:
        self.transport = transport
        transport.registerProducer(self, True)
        transport.write(early)

    def received(self, data: bytes) -> None:
        self.transport.write(data)

    def lost(self, reason: Failure) -> None:
        """Nothing to do."""

    def drain(self) -> None:
        self.transport.write(b"!")

    def close(self) -> None:
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def pauseProducing(self) -> None:
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """Nothing to do."""


class Talker(Protocol):
    """Sends bytes, some of them together with its request, and awaits them again."""

    MANY = bytes(range(256)) * 8_000

    def __init__(self) -> None:
        self.heard = b""
        self.all_heard: Deferred[None] = Deferred()
        self.gone: Deferred[bytes] = Deferred()

    def connectionMade(self) -> None:
        transport = cast(Any, self.transport)
        transport.write(ASKS + self.MANY[:1_000])
        transport.write(self.MANY[1_000:])

    def dataReceived(self, data: bytes) -> None:
        before = len(self.heard)
        self.heard += data
        whole = len(AGREED) + 2 + len(self.MANY)
        if before < whole <= len(self.heard):
            self.all_heard.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.gone.callback(self.heard)


async def talked(listening: str, client: Any) -> None:
    """Have somebody talk to an echo, and the server stop."""
    from twisted.internet import reactor

    server = HttpServer(reactor, SETTINGS)
    factory = server.factory(lambda exchange: exchange.upgrade(Echo()))
    port = await serverFromString(reactor, listening).listen(factory)
    talker = Talker()
    await connectProtocol(client(reactor, port), talker)
    await talker.all_heard
    await port.stopListening()
    drained = server.drain(0.1)
    assert await talker.gone == AGREED + b"\r\n" + Talker.MANY + b"!"
    await drained
    assert server.connections == 0


@pytest_twisted.ensureDeferred
async def test_it_speaks_over_tcp() -> None:
    def client(reactor: Any, port: Any) -> Any:
        return clientFromString(reactor, f"tcp:127.0.0.1:{port.getHost().port}")

    await talked("tcp:0:interface=127.0.0.1", client)


@pytest_twisted.ensureDeferred
async def test_it_speaks_over_a_unix_socket(tmp_path: Path) -> None:
    def client(reactor: Any, port: Any) -> Any:
        return clientFromString(reactor, f"unix:{tmp_path / 'socket'}")

    await talked(f"unix:{tmp_path / 'socket'}", client)


@pytest_twisted.ensureDeferred
async def test_it_speaks_over_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    pem = tmp_path / "server.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(pem)
    trust = trustRootFromCertificates([Certificate.loadPEM(authority.cert_pem.bytes())])
    options = optionsForClientTLS("localhost", trust)

    def client(reactor: Any, port: Any) -> Any:
        tcp = clientFromString(reactor, f"tcp:127.0.0.1:{port.getHost().port}")
        return wrapClientTLS(options, tcp)

    listening = f"ssl:0:privateKey={pem}:certKey={pem}:interface=127.0.0.1"
    await talked(listening, client)
