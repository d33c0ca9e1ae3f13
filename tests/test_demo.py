"""The simulated third parties, byte by byte and tick by tick."""

from __future__ import annotations

import io
import json
import re
from contextlib import redirect_stderr, redirect_stdout
from random import Random
from typing import Any

from twisted.internet.error import (
    CannotListenError,
    ConnectionDone,
    ConnectionRefusedError,
)
from twisted.internet.interfaces import IPushProducer, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import (
    MemoryReactorClock,
    RaisingMemoryReactor,
    StringTransport,
)
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from supportbot.demo import DemoServices, DemoSettings, answers
from supportbot.demo.__main__ import Options, main
from supportbot.demo.catalogue import customers
from supportbot.demo.request import Request, RequestReader, Unanswerable
from supportbot.demo.script import Lookup, Saying
from supportbot.settings import DEFAULT_SERVICES
from tests.http_client import HttpClient

SUPPORT, PRODUCTS, AGENT = 8081, 8082, 8083
ASSISTANT, SHOP = 8084, 8085
PORTS = {"tech-support": SUPPORT, "product-info": PRODUCTS, "real-agent": AGENT}
ALL_PORTS = {**PORTS, "assistant": ASSISTANT, "shop": SHOP}
NOW = 1_732_000_000.9
JSON_HEAD = b"HTTP/1.0 200 OK\r\nContent-type: application/json\r\n\r\n"
TEXT_HEAD = b"HTTP/1.0 200 OK\r\nContent-type: text/plain\r\n\r\n"
REFUSED = b"HTTP/1.0 501 Not Implemented\r\n\r\n"
KILOBYTE = b"0" * 1024
CHUNKED = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhelp\r\n0\r\n\r\n"


def post(text: str) -> bytes:
    body = text.encode()
    return b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def document(field: str, answer: str) -> bytes:
    return json.dumps({"timestamp": 1_732_000_000, field: answer}).encode()


def cut(whole: bytes) -> list[bytes]:
    """Ten slices, said in another way than the code does."""
    size = len(whole) // 10
    return [whole[n * size : (n + 1) * size if n < 9 else None] for n in range(10)]


class Client:
    """One connection, from the other end."""

    def __init__(self, factory: Any) -> None:
        self.transport = StringTransport()
        self.exchange = factory.buildProtocol(None)
        self.exchange.makeConnection(self.transport)

    def send(self, data: bytes) -> Client:
        self.exchange.dataReceived(data)
        return self

    def took(self) -> bytes:
        """What has come since the last call."""
        taken: bytes = self.transport.value()
        self.transport.clear()
        return taken

    @property
    def read(self) -> bool:
        """Whether the service reads what is sent."""
        return bool(self.transport.producerState == "producing")

    @property
    def closed(self) -> bool:
        return bool(self.transport.disconnecting)

    def leave(self) -> None:
        self.exchange.connectionLost(Failure(ConnectionDone()))


class DemoCase(SynchronousTestCase):
    """Services on a reactor without sockets."""

    def start(self, **settings: Any) -> None:
        settings = {"zeroes": 0.0} | settings
        self.reactor = MemoryReactorClock()
        self.services = DemoServices(
            self.reactor, DemoSettings(**settings), PORTS, now=lambda: NOW
        )
        self.services.startService()

    def client(self, port: int) -> Client:
        factories = {at: made for at, made, _, _ in self.reactor.tcpServers}
        return Client(factories[port])

    def whole(self, port: int, text: str) -> bytes:
        """An answer's body, without waiting for it."""
        client = self.client(port).send(post(text))
        self.reactor.pump([1.0] * 10)
        self.assertTrue(client.closed)
        client.leave()
        return client.took().partition(b"\r\n\r\n")[2]

    def no_timers(self) -> None:
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class AnswerTests(DemoCase):
    """What is answered."""

    def test_support(self) -> None:
        self.start()
        for term, answer in answers.SUPPORT.items():
            body = self.whole(SUPPORT, f"I need help: {term}, what now? é")
            self.assertEqual(body, document("response", answer))

    def test_products(self) -> None:
        self.start()
        for product, answer in answers.PRODUCTS.items():
            body = self.whole(PRODUCTS, f"a product question about {product}")
            self.assertEqual(body, document("product_info", answer))

    def test_unknown(self) -> None:
        self.start()
        body = self.whole(SUPPORT, "help")
        self.assertEqual(body, document("response", "No matching terms found."))
        body = self.whole(PRODUCTS, "")
        nothing = "<p>Product not found in catalog.</p>"
        self.assertEqual(body, document("product_info", nothing))

    def test_terms_are_case_sensitive(self) -> None:
        self.start()
        body = self.whole(SUPPORT, "Flashing red light")
        self.assertEqual(body, document("response", answers.SUPPORT_UNKNOWN))
        body = self.whole(PRODUCTS, "antigravity socks")
        self.assertEqual(body, document("product_info", answers.PRODUCT_UNKNOWN))

    def test_first_listed_term_wins(self) -> None:
        self.start()
        body = self.whole(SUPPORT, "device not responding, flashing red light")
        first = answers.SUPPORT["flashing red light"]
        self.assertEqual(body, document("response", first))
        body = self.whole(PRODUCTS, "Antigravity Socks or Space Basketball")
        first = answers.PRODUCTS["Space Basketball"]
        self.assertEqual(body, document("product_info", first))

    def test_texts(self) -> None:
        """They are whole paragraphs, and the known topics are those of the settings."""
        for known, count in ((answers.SUPPORT, {6}), (answers.PRODUCTS, {3})):
            for text in known.values():
                self.assertRegex(text, r"^(<p>[^<>]+</p>)+$")
                self.assertIn(text.count("<p>"), count)
        topics = {service.name: service.topics for service in DEFAULT_SERVICES}
        self.assertEqual(topics["tech-support"], tuple(answers.SUPPORT))
        self.assertEqual(topics["product-info"], tuple(answers.PRODUCTS))
        self.assertEqual(len(set(answers.SENTENCES)), 20)
        self.assertIn(
            "Excellence in service creates loyal customers.", answers.SENTENCES
        )

    def test_texts_of_the_challenge(self) -> None:
        light = answers.SUPPORT["flashing red light"]
        self.assertTrue(
            light.startswith("<p>If you notice a flashing red light on your device, it")
        )
        self.assertTrue(light.endswith("to address the situation promptly.</p>"))
        self.assertEqual(
            answers.PRODUCTS["Antigravity Socks"],
            "<p>Self-levitating socks that float gently in your drawer.</p>"
            "<p>Never lose a sock again - they actively seek their matching pair!</p>"
            "<p>WARNING: Do not wear during thunderstorms or solar flares.</p>",
        )

    def test_agent(self) -> None:
        self.start()
        heard = set()
        for _ in range(400):
            client = self.client(AGENT).send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            head, _, sentence = client.took().partition(b"\r\n\r\n")
            self.assertEqual(head + b"\r\n\r\n", TEXT_HEAD)
            self.assertTrue(client.closed)
            client.leave()
            heard.add(sentence.decode())
        self.assertEqual(heard, set(answers.SENTENCES))
        self.no_timers()


class SliceTests(DemoCase):
    """How an answer is written."""

    def test_ten_slices(self) -> None:
        self.start(delay=2.0)
        slices = cut(document("product_info", answers.PRODUCTS["Telepathic Toaster"]))
        client = self.client(PRODUCTS).send(post("Telepathic Toaster"))
        self.assertEqual(client.took(), JSON_HEAD + slices[0])
        for expected in slices[1:]:
            self.assertFalse(client.closed)
            self.reactor.advance(1.9)
            self.assertEqual(client.took(), b"")
            self.reactor.advance(0.1)
            self.assertEqual(client.took(), expected)
        self.assertTrue(client.closed)
        self.assertIsNone(client.transport.producer)
        self.no_timers()

    def test_last_slice_takes_the_rest(self) -> None:
        script = Lookup(
            "response",
            {},
            "é" * 7,
            delay=1.0,
            zeroes=0.0,
            random=Random(1),
            now=lambda: 9.9,
        )
        pieces = list(script.pieces("?"))
        body = json.dumps({"timestamp": 9, "response": "é" * 7}).encode()
        self.assertEqual([piece.octets for piece in pieces], cut(body))
        self.assertEqual([piece.wait for piece in pieces], [0.0] + [1.0] * 9)

    def test_no_delay(self) -> None:
        self.start(delay=0.0)
        client = self.client(SUPPORT).send(post("help"))
        body = document("response", answers.SUPPORT_UNKNOWN)
        self.assertEqual(client.took(), JSON_HEAD + body)
        self.assertTrue(client.closed)
        self.no_timers()

    def test_many_clients_at_once(self) -> None:
        self.start()
        clients = [self.client(SUPPORT).send(post("help")) for _ in range(50)]
        self.reactor.pump([1.0] * 9)
        body = document("response", answers.SUPPORT_UNKNOWN)
        for client in clients:
            self.assertEqual(client.took(), JSON_HEAD + body)
            self.assertTrue(client.closed)
        self.no_timers()

    def test_gone_client(self) -> None:
        """The wait for the next slice ends with the connection."""
        self.start()
        client = self.client(SUPPORT).send(post("help"))
        client.leave()
        self.no_timers()
        self.successResultOf(client.exchange.ended)

    def test_more_bytes_are_not_looked_at(self) -> None:
        self.start()
        client = self.client(PRODUCTS).send(post("?") + b"POST")
        client.send(b"\0" * 100_000)
        self.reactor.pump([1.0] * 9)
        body = document("product_info", answers.PRODUCT_UNKNOWN)
        self.assertEqual(client.took(), JSON_HEAD + body)

    def test_broken_script(self) -> None:
        """A fault of ours is logged, and ends the conversation."""
        self.start()
        self.patch(Saying, "pieces", lambda self, text: 1 / 0)
        client = self.client(AGENT).send(b"GET / HTTP/1.0\r\n\r\n")
        self.assertTrue(client.closed)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class FloodTests(DemoCase):
    """Zeroes without end."""

    def flooded(self, delay: float = 1.0, **settings: Any) -> Client:
        """A client that the first zeroes have just reached."""
        self.start(zeroes=1.0, seed=4, delay=delay, **settings)
        client = self.client(SUPPORT).send(post("flashing red light"))
        self.reactor.pump([delay] * self.switch(4))
        return client

    def switch(self, seed: int) -> int:
        """After which slice the flood comes."""
        random = Random(seed)
        random.random()
        return random.randint(3, 7)

    def test_shape(self) -> None:
        client = self.flooded()
        slices = cut(document("response", answers.SUPPORT["flashing red light"]))
        honest = JSON_HEAD + b"".join(slices[: self.switch(4)])
        self.assertEqual(client.took(), honest + KILOBYTE)
        for _ in range(500):
            self.reactor.advance(0.09)
            self.assertEqual(client.took(), b"")
            self.reactor.advance(0.011)
            self.assertEqual(client.took(), KILOBYTE)
        self.assertFalse(client.closed)
        client.leave()

    def test_ends_with_the_client(self) -> None:
        client = self.flooded()
        client.took()
        client.leave()
        self.no_timers()
        self.reactor.advance(60.0)
        self.assertEqual(client.took(), b"")
        self.successResultOf(client.exchange.ended)

    def test_switches_after_slice_three_to_seven(self) -> None:
        told = set()
        for seed in range(100):
            script = Lookup(
                "f", {}, "?", delay=1.0, zeroes=1.0, random=Random(seed), now=float
            )
            pieces = script.pieces("")
            count = 0
            while next(pieces).octets != KILOBYTE:
                count += 1
            told.add(count)
        self.assertEqual(told, {3, 4, 5, 6, 7})

    def test_probability(self) -> None:
        random = Random(7)
        script = Lookup("f", {}, "?", delay=1.0, zeroes=0.25, random=random, now=float)
        stuck = 0
        for _ in range(1000):
            pieces = script.pieces("")
            stuck += any(next(pieces).octets == KILOBYTE for _ in range(10))
        self.assertTrue(200 < stuck < 300, stuck)

    def test_only_support_gets_stuck(self) -> None:
        self.start(zeroes=1.0)
        for _ in range(20):
            body = self.whole(PRODUCTS, "?")
            expected = document("product_info", answers.PRODUCT_UNKNOWN)
            self.assertEqual(body, expected)

    def test_seed(self) -> None:
        """The same seed gives the same course."""
        courses = []
        for _ in range(2):
            self.start(zeroes=0.5, seed=11)
            clients = [self.client(SUPPORT).send(post("help")) for _ in range(20)]
            self.reactor.pump([1.0] * 9)
            courses.append([client.took() for client in clients])
            for client in clients:
                client.leave()
        self.assertEqual(courses[0], courses[1])
        self.assertEqual({KILOBYTE in took for took in courses[0]}, {True, False})

    def test_no_delay_does_not_block(self) -> None:
        client = self.flooded(delay=0.0)
        self.assertTrue(client.took().endswith(KILOBYTE))
        self.reactor.pump([0.0] * 10)
        self.assertEqual(client.took(), b"")
        self.reactor.advance(0.0011)
        self.assertEqual(client.took(), KILOBYTE)
        client.leave()
        self.no_timers()

    def test_slow_reader(self) -> None:
        """Nothing is written, nor planned, for a client that does not read."""
        client = self.flooded()
        producer = client.transport.producer
        self.assertTrue(verifyObject(IPushProducer, producer))
        self.assertTrue(client.transport.streaming)
        client.took()
        producer.pauseProducing()
        producer.pauseProducing()
        self.reactor.pump([0.1] * 100)
        self.assertEqual(client.took(), b"")
        self.no_timers()
        producer.resumeProducing()
        self.assertEqual(client.took(), KILOBYTE)
        self.reactor.advance(0.11)
        self.assertEqual(client.took(), KILOBYTE)
        producer.resumeProducing()
        self.assertEqual(client.took(), b"")
        client.leave()
        self.no_timers()

    def test_slow_reader_leaves(self) -> None:
        for one_at_a_time in (False, True):
            client = self.flooded(one_at_a_time=one_at_a_time)
            client.transport.producer.pauseProducing()
            self.reactor.advance(0.11)
            client.transport.producer.stopProducing()
            client.leave()
            self.no_timers()
            self.successResultOf(client.exchange.ended)


class TurnTests(DemoCase):
    """One at a time."""

    def start(self, **settings: Any) -> None:
        super().start(one_at_a_time=True, **settings)

    def test_order(self) -> None:
        self.start()
        clients = [self.client(PRODUCTS) for _ in range(3)]
        self.assertEqual([client.read for client in clients], [True, False, False])
        clients[0].send(post("Space Basketball"))
        self.reactor.pump([1.0] * 8)
        self.assertEqual([client.read for client in clients], [True, False, False])
        self.reactor.advance(1.0)
        self.assertTrue(clients[0].closed)
        self.assertEqual([client.read for client in clients], [True, True, False])
        clients[1].send(post("Space Basketball"))
        self.assertTrue(clients[1].took().startswith(JSON_HEAD))
        self.assertEqual(clients[2].took(), b"")
        self.reactor.pump([1.0] * 9)
        self.assertTrue(clients[2].read)

    def test_services_do_not_wait_for_each_other(self) -> None:
        self.start()
        self.client(SUPPORT)
        self.assertTrue(self.client(PRODUCTS).read)

    def test_silent_client_holds_the_turn(self) -> None:
        """As the originals do; its end is noticed, since they are reading from it."""
        self.start()
        silent, waiting = self.client(SUPPORT), self.client(SUPPORT)
        self.reactor.advance(1_000.0)
        self.assertFalse(waiting.read)
        silent.leave()
        self.assertTrue(waiting.read)

    def test_end_is_only_noticed_when_a_piece_is_due(self) -> None:
        self.start()
        gone = self.client(SUPPORT).send(post("help"))
        waiting = self.client(SUPPORT)
        self.reactor.advance(1.0)
        gone.took()
        gone.leave()
        self.reactor.advance(0.9)
        self.assertFalse(waiting.read)
        self.reactor.advance(0.1)
        self.assertTrue(waiting.read)
        self.assertEqual(gone.took(), b"")
        self.successResultOf(gone.exchange.ended)
        self.no_timers()

    def test_end_in_the_flood(self) -> None:
        self.start(zeroes=1.0)
        gone = self.client(SUPPORT).send(post("help"))
        waiting = self.client(SUPPORT)
        self.reactor.pump([1.0] * 7)
        gone.leave()
        self.assertFalse(waiting.read)
        self.reactor.advance(0.11)
        self.assertTrue(waiting.read)
        self.no_timers()

    def test_a_waiting_client_leaves(self) -> None:
        self.start()
        first, second, third = (self.client(AGENT) for _ in range(3))
        second.leave()
        self.successResultOf(second.exchange.ended)
        first.send(b"GET / HTTP/1.0\r\n\r\n")
        self.assertTrue(third.read)
        third.send(b"GET / HTTP/1.0\r\n\r\n")
        self.assertTrue(third.took().startswith(TEXT_HEAD))

    def test_what_is_refused_or_killed_gives_the_turn_on(self) -> None:
        self.start()
        clients = [self.client(SUPPORT) for _ in range(3)]
        clients[0].send(b"GET / HTTP/1.0\r\n\r\n")
        clients[1].send(b"POST / HTTP/1.0\r\n\r\n")
        self.assertTrue(clients[2].read)

    def test_stop(self) -> None:
        """A client that is gone unnoticed is no reason to keep a timer."""
        self.start()
        self.client(SUPPORT).send(post("help")).leave()
        clients = [self.client(SUPPORT) for _ in range(3)]
        stopped = self.services.stopService()
        self.no_timers()
        for client in clients:
            self.assertTrue(client.transport.disconnected)
            client.leave()
        self.successResultOf(stopped)


class RefusalTests(DemoCase):
    """What gets no answer."""

    def test_not_implemented(self) -> None:
        self.start()
        for port, request in (
            (SUPPORT, b"GET / HTTP/1.1\r\n\r\n"),
            (PRODUCTS, b"GET /favicon.ico HTTP/1.1\r\n\r\n"),
            (PRODUCTS, b"HEAD / HTTP/1.1\r\n\r\n"),
            (AGENT, post("hello")),
            (AGENT, CHUNKED),
        ):
            client = self.client(port).send(request)
            self.assertEqual(client.took(), REFUSED)
            self.assertTrue(client.closed)
            client.leave()
            self.successResultOf(client.exchange.ended)

    def test_killed(self) -> None:
        """A chunked upload, and whatever else has no usable length, is closed."""
        self.start()
        for head in (
            CHUNKED,
            b"POST / HTTP/1.1\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: four\r\n\r\nhelp",
            b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\nhelp",
            b"POST / HTTP/1.1\r\nContent-Length: 1048577\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n\xff\xfe",
            b"POST /\r\n\r\n",
            b"help\r\n\r\n",
            b"\r\n\r\n",
            b"x" * 70_000,
        ):
            for port in (SUPPORT, PRODUCTS):
                client = self.client(port).send(head)
                self.assertEqual(client.took(), b"", head)
                self.assertTrue(client.closed, head)
                client.send(b"and more")
                client.leave()
                self.successResultOf(client.exchange.ended)
        self.no_timers()

    def test_client_leaves_in_mid_request(self) -> None:
        self.start()
        client = self.client(SUPPORT).send(post("help")[:-1])
        client.leave()
        self.assertEqual(client.took(), b"")
        self.successResultOf(client.exchange.ended)


class RequestReaderTests(SynchronousTestCase):
    """Requests out of bytes."""

    def test_any_cut(self) -> None:
        whole = (
            b"POST /any?x HTTP/1.1\r\nHost: a\r\ncontent-LENGTH:  9 \r\n"
            b"Content-Length: 3\r\n\r\n" + "grün ✓".encode()
        )
        for at in range(len(whole)):
            reader = RequestReader("POST")
            self.assertIsNone(reader.feed(whole[:at]))
            self.assertEqual(reader.feed(whole[at:]), Request("POST", "grün ✓"))

    def test_byte_by_byte(self) -> None:
        reader = RequestReader("POST")
        got = [reader.feed(bytes([octet])) for octet in post("help")]
        self.assertEqual(got[-1], Request("POST", "help"))
        self.assertEqual(set(got[:-1]), {None})

    def test_bare_line_feeds(self) -> None:
        reader = RequestReader("POST")
        request = reader.feed(b"POST / HTTP/1.0\nContent-Length: 4\n\nhelp")
        self.assertEqual(request, Request("POST", "help"))

    def test_bounds(self) -> None:
        head = b"POST / HTTP/1.0\r\nContent-Length: 4"
        for limit, passes in ((len(head), True), (len(head) - 1, False)):
            reader = RequestReader("POST", head=limit)
            if passes:
                self.assertIsNotNone(reader.feed(head + b"\r\n\r\nhelp"))
            else:
                self.assertRaises(Unanswerable, reader.feed, head + b"\r\n\r\nhelp")
        self.assertIsNotNone(RequestReader("POST", body=4).feed(post("help")))
        self.assertRaises(
            Unanswerable, RequestReader("POST", body=3).feed, post("help")
        )


class ServiceTests(DemoCase):
    """Listening and stopping."""

    def test_listens_on_ipv4_only(self) -> None:
        self.start()
        listening = [(at, interface) for at, _, _, interface in self.reactor.tcpServers]
        self.assertEqual(
            listening, [(port, "127.0.0.1") for port in (SUPPORT, PRODUCTS, AGENT)]
        )
        self.assertEqual(
            self.services.urls(),
            {name: f"http://127.0.0.1:{port}/" for name, port in PORTS.items()},
        )
        self.assertEqual(self.services.names, tuple(PORTS))

    def test_base_urls(self) -> None:
        reactor = MemoryReactorClock()
        services = DemoServices(reactor, DemoSettings())
        self.assertEqual(services.names, tuple(ALL_PORTS))
        services = DemoServices(reactor, DemoSettings(), ALL_PORTS)
        services.startService()
        self.assertEqual(
            services.urls(),
            {
                "tech-support": "http://127.0.0.1:8081/",
                "product-info": "http://127.0.0.1:8082/",
                "real-agent": "http://127.0.0.1:8083/",
                "assistant": "http://127.0.0.1:8084/v1",
                "shop": "http://127.0.0.1:8085/mcp",
            },
        )
        self.assertEqual({where for *_, where in reactor.tcpServers}, {"127.0.0.1"})
        connecting = services.endpoint("shop").connect(Factory.forProtocol(Protocol))
        self.assertEqual(reactor.tcpClients[0][:2], ("127.0.0.1", SHOP))
        connecting.cancel()
        self.failureResultOf(connecting)
        self.successResultOf(services.stopService())
        self.assertEqual(reactor.getDelayedCalls(), [])

    def test_builds_without_listening(self) -> None:
        reactor = MemoryReactorClock()
        services = DemoServices(reactor, DemoSettings(), ALL_PORTS)
        self.assertEqual(reactor.tcpServers, [])
        self.assertRaises(RuntimeError, services.urls)

    def test_listens_once(self) -> None:
        self.start()
        self.services.privilegedStartService()
        self.services.startService()
        self.assertEqual(len(self.reactor.tcpServers), 3)

    def test_some_only(self) -> None:
        reactor = MemoryReactorClock()
        services = DemoServices(reactor, DemoSettings(), {"real-agent": 1})
        services.privilegedStartService()
        self.assertEqual(services.urls(), {"real-agent": "http://127.0.0.1:1/"})
        self.assertRaises(KeyError, services.port, "tech-support")

    def test_unknown_name(self) -> None:
        with self.assertRaisesRegex(ValueError, "'oracle'.*tech-support.*shop"):
            DemoServices(MemoryReactorClock(), DemoSettings(), {"oracle": 1})

    def test_port_taken(self) -> None:
        """The error comes out, and no port is left open."""
        closed: list[int] = []

        class Taken(MemoryReactorClock):
            def listenTCP(
                self, port: int, factory: Any, backlog: int = 50, interface: str = ""
            ) -> Any:
                if port == AGENT:
                    raise CannotListenError(interface, port, OSError(98, "taken"))
                made = super().listenTCP(port, factory, backlog, interface)
                made.stopListening = lambda: closed.append(port)
                return made

        for start in ("startService", "privilegedStartService"):
            services = DemoServices(Taken(), DemoSettings(), PORTS)
            self.assertRaises(CannotListenError, getattr(services, start))
            self.assertEqual(sorted(closed), [SUPPORT, PRODUCTS])
            self.assertRaises(RuntimeError, services.urls)
            self.assertFalse(services.running)
            closed.clear()

    def test_stop(self) -> None:
        """It hangs up, leaves no timer, and fires when everybody is gone."""
        self.start(zeroes=1.0)
        clients = [
            self.client(SUPPORT),
            self.client(SUPPORT).send(post("help")),
            self.client(PRODUCTS).send(post("help")),
            self.client(AGENT).send(b"GET / HTTP"),
        ]
        self.reactor.advance(1.0)
        stopped = self.services.stopService()
        self.no_timers()
        for client in clients:
            self.assertNoResult(stopped)
            self.assertTrue(client.transport.disconnected)
            client.leave()
        self.successResultOf(stopped)
        self.assertRaises(RuntimeError, self.services.urls)

    def test_starts_again(self) -> None:
        self.start()
        self.successResultOf(self.services.stopService())
        self.services.startService()
        self.assertEqual(len(self.reactor.tcpServers), 6)
        self.assertTrue(self.services.urls())

    def test_endpoint(self) -> None:
        """It finds the port of the day, and is refused when there is none."""
        self.start()
        endpoint = self.services.endpoint("product-info")
        self.assertTrue(verifyObject(IStreamClientEndpoint, endpoint))
        connecting = endpoint.connect(Factory.forProtocol(Protocol))
        (host, port, *_), *others = self.reactor.tcpClients
        self.assertEqual((host, port, others), ("127.0.0.1", PRODUCTS, []))
        connecting.cancel()
        self.failureResultOf(connecting)
        self.successResultOf(self.services.stopService())
        refused = endpoint.connect(Factory.forProtocol(Protocol))
        self.failureResultOf(refused, ConnectionRefusedError)

    def talk(self, name: str, target: str, body: object) -> HttpClient:
        """A client that has asked one of the services of a path of their own."""
        factories = [made for _, made, _, _ in self.reactor.tcpServers]
        client = HttpClient(self.reactor, "127.0.0.1")
        client.connect(factories[-1 if name == "shop" else -2])
        headers = [
            ("Content-Type", "application/json"),
            ("Accept", "application/json, text/event-stream"),
        ]
        client.request("POST", target, headers, json.dumps(body).encode())
        self.reactor.advance(0)
        return client

    def test_words_of_the_model(self) -> None:
        """They take a fortieth of a slice's time, and end when the service stops."""
        self.reactor = MemoryReactorClock()
        ports = {"assistant": ASSISTANT, "shop": SHOP}
        self.services = DemoServices(self.reactor, DemoSettings(delay=4.0), ports)
        self.services.startService()
        hello = [{"role": "user", "content": "hello"}]
        body = {"model": "m", "messages": hello, "stream": True}
        client = self.talk("assistant", "/v1/chat/completions", body)
        self.reactor.pump([0.1] * 5)
        self.assertEqual(client.take_one().body.count(b"data: "), 6)
        stopped = self.services.stopService()
        self.reactor.pump([0, 0])
        self.successResultOf(stopped)
        self.assertTrue(client.closed)
        self.assertEqual(client.take_one().body.count(b"data: "), 6)
        self.no_timers()

    def test_orders_outlive_a_pause(self) -> None:
        self.reactor = MemoryReactorClock()
        ports = {"assistant": ASSISTANT, "shop": SHOP}
        self.services = DemoServices(self.reactor, DemoSettings(), ports)
        item = {"sku": "MON-0054", "quantity": 1, "unit_price": "166.85"}
        alice = customers()[0].id
        order = {"customer_id": alice, "items": [item]}
        for name, arguments, told in (
            ("create_order", order, b"Status: submitted"),
            ("get_product", {"sku": "MON-0054"}, b"Stock: 8 units"),
        ):
            self.services.startService()
            params = {"name": name, "arguments": arguments}
            body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
            client = self.talk("shop", "/mcp", body)
            self.assertIn(told, client.take_one().body)
            stopped = self.services.stopService()
            self.reactor.advance(0)
            self.successResultOf(stopped)
            self.assertTrue(client.closed)
            self.no_timers()

    def test_settings(self) -> None:
        for wrong in (
            {"delay": -0.1},
            {"delay": float("nan")},
            {"delay": float("inf")},
            {"zeroes": 1.01},
            {"zeroes": float("nan")},
        ):
            self.assertRaises(ValueError, lambda wrong=wrong: DemoSettings(**wrong))
        self.assertEqual(
            DemoSettings(),
            DemoSettings(delay=1.0, zeroes=0.5, one_at_a_time=False, seed=None),
        )


class CommandLineTests(SynchronousTestCase):
    """`python3 -m supportbot.demo`."""

    def run_main(self, *argv: str, reactor: Any = None) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            status = main(argv, reactor or MemoryReactorClock())
        return status, out.getvalue(), err.getvalue()

    def test_defaults(self) -> None:
        options = Options()
        options.parseOptions([])
        self.assertEqual(options.settings, DemoSettings())
        self.assertEqual(options.ports, ALL_PORTS)

    def test_options(self) -> None:
        options = Options()
        ports = ["--support-port=0", "--product-port=1", "--agent-port", "65535"]
        ports += ["--assistant-port=2", "--shop-port=3"]
        manner = ["--delay", "0.5", "--zeroes=0", "--one-at-a-time", "--seed", "7"]
        options.parseOptions([*manner, *ports])
        self.assertEqual(
            options.settings,
            DemoSettings(delay=0.5, zeroes=0.0, one_at_a_time=True, seed=7),
        )
        self.assertEqual(list(options.ports.values()), [0, 1, 65535, 2, 3])

    def test_wrong_values(self) -> None:
        for argv in (
            ("--delay", "-1"),
            ("--delay", "soon"),
            ("--delay", "nan"),
            ("--zeroes", "1.5"),
            ("--zeroes", "half"),
            ("--seed", "1.5"),
            ("--agent-port", "65536"),
            ("--product-port", "-1"),
            ("--support-port", "http"),
            ("--assistant-port", "x"),
            ("--shop-port", "65536"),
            ("--agent-port",),
            ("--unheard-of",),
            ("word",),
        ):
            status, out, err = self.run_main(*argv)
            self.assertEqual((status, out, err.count("\n")), (2, "", 1), argv)
            named = argv[0].lstrip("-").partition("-")[0]
            self.assertRegex(err, rf"^supportbot\.demo: .*{re.escape(named)}", argv)

    def test_runs_and_stops(self) -> None:
        reactor = MemoryReactorClock()
        status, out, err = self.run_main("--agent-port", "9", reactor=reactor)
        self.assertEqual((status, err), (0, ""))
        lines = out.splitlines()
        self.assertEqual(len(lines), 6)
        self.assertEqual(lines[0], "technical support    http://127.0.0.1:8081/")
        self.assertEqual(lines[1], "product information  http://127.0.0.1:8082/")
        self.assertEqual(lines[2], "real agent           http://127.0.0.1:9/")
        self.assertEqual(lines[3], "language model       http://127.0.0.1:8084/v1")
        self.assertEqual(lines[4], "shop's tools (MCP)   http://127.0.0.1:8085/mcp")
        self.assertIn("curl", lines[5])
        [(stop, args, keywords)] = reactor.triggers["before"]["shutdown"]
        self.successResultOf(stop(*args, **keywords))

    def test_port_taken(self) -> None:
        taken = CannotListenError("127.0.0.1", 8081, OSError(98, "Address in use"))
        status, out, err = self.run_main(reactor=RaisingMemoryReactor(taken))
        self.assertEqual((status, out, err.count("\n")), (1, "", 1))
        self.assertIn("127.0.0.1:8081", err)

    def test_help_and_version(self) -> None:
        for flag, word in (("--help", "--one-at-a-time"), ("--version", "supportbot ")):
            out = io.StringIO()
            with redirect_stdout(out):
                ended = self.assertRaises(SystemExit, main, [flag])
            self.assertEqual(ended.code, 0)
            self.assertIn(word, out.getvalue())
