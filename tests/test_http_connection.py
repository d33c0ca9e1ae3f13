"""One HTTP connection: what it takes, what it refuses, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from supportbot.channels.http.exchange import Exchange
from supportbot.channels.http.problems import Problem, refused
from supportbot.channels.http.server import HttpServer
from supportbot.settings import HttpSettings
from tests.http_client import HttpClient, Response

SETTINGS = HttpSettings(
    hosts=("chat.example", "Shop.Example"),
    proxies=("10.0.0.1", "10.0.0.2"),
    head=1024,
    headers=10,
    body=1000,
    head_time=10.0,
    body_time=30.0,
    idle=60.0,
    stall=30.0,
)


class Connected(SynchronousTestCase):
    """Clients of a server; the test answers, in its own time.

    In the end all clients vanish, and no timer may be left.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_000_000)
        self.server = HttpServer(self.clock, SETTINGS)
        self.factory = self.server.factory(lambda exchange: self.answer(exchange))
        self.exchanges: list[Exchange] = []
        self.answer: Callable[[Exchange], None] = self.exchanges.append
        self.clients: list[HttpClient] = []
        self.client = self.join()

    def tearDown(self) -> None:
        for client in self.clients:
            client.vanish()
        self.clock.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual([client.faults for client in self.clients], [[]] * self.met)
        self.assertEqual(self.server.connections, 0)

    @property
    def met(self) -> int:
        return len(self.clients)

    def join(self, **kinds: Any) -> HttpClient:
        client = HttpClient(self.clock, **kinds)
        client.connect(self.factory)
        self.clients.append(client)
        return client

    def asked(self) -> Exchange:
        """The one request that is to be answered."""
        (exchange,) = self.exchanges
        self.exchanges.clear()
        return exchange

    def refused(self, status: int, client: HttpClient | None = None) -> Response:
        """The problem that a client was sent away with."""
        client = client or self.client
        response = client.take_one()
        self.assertEqual(response.status, status)
        self.assertEqual(response.headers["content-type"], "application/problem+json")
        self.assertEqual(response.headers["connection"], "close")
        self.assertEqual(response.json["status"], status)
        self.assertEqual(self.exchanges, [])
        self.assertTrue(client.half_closed)
        return response

    def reject(self, status: int, *requests: bytes) -> None:
        """See to it that all of these are refused."""
        for request in requests:
            client = self.join()
            client.send(request)
            self.refused(status, client)
            client.vanish()


class RequestTests(Connected):
    def test_a_request_is_handed_over_whole(self) -> None:
        self.client.request(
            "POST", "/api/caf%C3%A9?q=%20x", [("X-Thing", "a b")], b"hello"
        )
        exchange = self.asked()
        self.assertEqual(exchange.method, b"POST")
        self.assertEqual(exchange.target, "/api/café")
        self.assertEqual(exchange.path, b"/api/caf%C3%A9")
        self.assertEqual(exchange.query, b"q=%20x")
        self.assertEqual(exchange.body, b"hello")
        self.assertEqual(exchange.client, "192.0.2.7")
        self.assertEqual(exchange.header(b"x-thing"), "a b")
        self.assertIsNone(exchange.header(b"origin"))

    def test_a_request_may_come_byte_by_byte(self) -> None:
        for byte in b"\r\nPUT /x HTTP/1.1\r\nHost: localhost\r\n" + (
            b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
        ):
            self.assertEqual(self.exchanges, [])
            self.client.send(bytes([byte]))
        self.assertEqual(self.asked().body, b"abcde")

    def test_a_second_empty_line_is_none_too_many_to_be_ignored(self) -> None:
        self.client.send(b"\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.refused(400)

    def test_methods_are_not_judged(self) -> None:
        self.client.request("BREW")
        self.assertEqual(self.asked().method, b"BREW")

    def test_a_header_that_must_be_alone_is_refused_when_it_is_not(self) -> None:
        def answer(exchange: Exchange) -> None:
            exchange.header(b"authorization")

        self.answer = answer
        self.client.request(headers=[("Authorization", "a"), ("Authorization", "b")])
        response = self.client.take_one()
        self.assertEqual(response.status, 400)
        self.assertEqual(
            response.json["detail"], "There is more than one authorization header."
        )
        self.assertFalse(self.client.half_closed)

    def test_the_server_itself_may_be_asked_for_its_options(self) -> None:
        self.client.request("OPTIONS", "*")
        self.assertEqual(self.asked().target, "*")

    def test_a_target_may_be_absolute(self) -> None:
        self.client.request("GET", "HTTP://chat.example:81/a?b")
        exchange = self.asked()
        self.assertEqual((exchange.target, exchange.query), ("/a", b"b"))
        for target, found in (("http://localhost", "/"), ("http://localhost?x", "/")):
            client = self.join()
            client.request("GET", target)
            self.assertEqual(self.asked().target, found)

    def test_a_client_that_waits_is_told_to_continue(self) -> None:
        head = [("Expect", "100-continue"), ("Content-Length", "4")]
        self.client.request("POST", headers=head)
        self.assertEqual(self.client.take_one().status, 100)
        self.client.send(b"body")
        self.assertEqual(self.asked().body, b"body")

    def test_nobody_is_told_to_continue_with_what_is_not_taken(self) -> None:
        head = [("Expect", "100-continue"), ("Content-Length", "1001")]
        self.client.request("POST", headers=head)
        self.refused(413)
        client = self.join()
        client.request("POST", headers=[("Expect", "100-continue")], body=b"sent")
        self.asked()
        self.assertEqual(client.received, b"")  # nor when the body is there

    def test_pipelined_requests_are_answered_in_order(self) -> None:
        for target in ("/1", "/2", "/3"):
            self.client.request(target=target)
        for target in ("/1", "/2", "/3"):
            exchange = self.asked()
            self.assertEqual(exchange.target, target)
            exchange.respond(200, target.encode(), "text/plain")
        bodies = [response.body for response in self.client.take()]
        self.assertEqual(bodies, [b"/1", b"/2", b"/3"])

    def test_a_client_that_pipelines_without_end_is_not_read_from(self) -> None:
        self.client.request()
        self.client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 400)
        self.assertTrue(self.client.heard)
        self.client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 400)
        self.assertFalse(self.client.heard)
        self.asked().respond(200, b"", "text/plain")
        self.assertTrue(self.client.heard)

    def test_a_client_that_asks_and_never_reads_is_not_answered_on(self) -> None:
        self.answer = lambda exchange: exchange.respond(200, b"x" * 900, "a/b")
        client = self.join(room=1000)
        client.stop_reading()
        for _ in range(100):
            client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50)
        self.assertLessEqual(client.writes, 2)
        self.assertFalse(client.heard)
        client.read_on()
        self.clock.advance(0)
        self.assertEqual(len(client.take()), 5000)

    def test_requests_that_were_read_ahead_are_answered_when_it_reads(self) -> None:
        self.answer = lambda exchange: exchange.respond(200, b"x" * 900, "a/b")
        client = self.join(room=1000)
        client.stop_reading()
        client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3)
        client.sip()
        self.assertEqual(len(client.take()), 1)
        client.sip()
        self.assertEqual(len(client.take()), 1)
        client.read_on()
        self.assertEqual(len(client.take()), 1)

    def test_requests_answered_at_once_do_not_pile_up_on_the_stack(self) -> None:
        self.answer = lambda exchange: exchange.respond(200, b"", "a/b")
        self.client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 5000)
        self.assertEqual(len(self.client.take()), 5000)

    def test_many_small_chunks_are_a_body_like_any_other(self) -> None:
        self.client.request("POST", headers=[("Transfer-Encoding", "chunked")])
        self.client.send(b"1\r\na\r\n" * 1000 + b"0\r\n\r\n")
        self.assertEqual(self.asked().body, b"a" * 1000)


class ClientTests(Connected):
    def named(self, peer: str | None, *forwarded: str) -> str:
        client = self.join(host=peer)
        client.request(headers=[("X-Forwarded-For", value) for value in forwarded])
        return self.asked().client

    def test_a_proxy_names_its_client(self) -> None:
        self.assertEqual(self.named("10.0.0.1", "198.51.100.1"), "198.51.100.1")
        self.assertEqual(
            self.named("10.0.0.1", "203.0.113.9, 198.51.100.1", "10.0.0.2"),
            "198.51.100.1",
        )
        self.assertEqual(self.named("10.0.0.1", "2001:DB8::0:1"), "2001:db8::1")

    def test_others_name_nobody(self) -> None:
        self.assertEqual(self.named("192.0.2.7", "198.51.100.1"), "192.0.2.7")

    def test_what_is_no_address_is_not_believed(self) -> None:
        self.assertEqual(self.named("10.0.0.1", "198.51.100.1, <script>"), "10.0.0.1")
        self.assertEqual(self.named("10.0.0.1"), "10.0.0.1")

    def test_a_unix_socket_has_a_proxy_at_its_other_end(self) -> None:
        self.assertEqual(self.named(None, "198.51.100.1"), "198.51.100.1")
        self.assertEqual(self.named(None), "")

    def test_an_address_has_one_spelling(self) -> None:
        self.assertEqual(self.named("::ffff:192.0.2.7"), "192.0.2.7")


GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST / HTTP/1.1\r\nHost: localhost\r\n"


class RefusalTests(Connected):
    def test_what_is_no_request_is_refused(self) -> None:
        self.reject(
            400,
            b"GET /\r\n\r\n",
            b"GET  / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"G(T / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET / http/1.1\r\nHost: localhost\r\n\r\n",
            b"GET / HTTP/1.1 \r\nHost: localhost\r\n\r\n",
            b"GET / HTTP/1.1\nHost: localhost\r\n\r\n",
            b"GET /\xe4 HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET x HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET * HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"CONNECT localhost:1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
            GET + b"no colon\r\n\r\n",
            GET + b": no name\r\n\r\n",
            GET + b"A : b\r\n\r\n",
            GET + b"A: b\x00\r\n\r\n",
            GET + b"A: b\rc\r\n\r\n",
            GET + b"A: b\nC: d\r\n\r\n",
        )

    def test_folded_headers_are_refused(self) -> None:
        self.reject(400, GET + b"A: b\r\n c\r\n\r\n", GET + b"A: b\r\n\tc\r\n\r\n")

    def test_other_versions_are_refused(self) -> None:
        self.reject(
            505,
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
            b"GET / HTTP/1.2\r\nHost: localhost\r\n\r\n",
            b"GET / HTTP/0.9\r\nHost: localhost\r\n\r\n",
        )

    def test_tls_on_a_port_without_is_hung_up_on(self) -> None:
        self.client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        self.clock.advance(0)
        self.assertTrue(self.client.closed)
        self.assertEqual(self.client.received, b"")

    def test_exactly_one_host_must_be_named(self) -> None:
        self.reject(400, b"GET / HTTP/1.1\r\n\r\n", GET + b"Host: localhost\r\n\r\n")
        self.client.request(host=None, version="1.0")
        self.asked()

    def test_names_of_others_are_refused(self) -> None:
        for host in ("evil.example", "", "localhost.evil.example", "2130706433",
                     "chat.example:x", "chat.example@evil.example", "[localhost]",
                     "[::1", "1.2.3.4.5", "a b"):  # fmt: skip
            client = self.join()
            client.request(host=host)
            self.refused(421, client)
        client = self.join()
        client.request(target="http://evil.example/")
        self.refused(421, client)
        client = self.join()
        client.request(target="http://localhost@evil.example/")
        self.refused(400, client)

    def test_our_names_and_all_addresses_are_served(self) -> None:
        served = ["chat.example", "CHAT.example:8080", "shop.example.", "localhost"]
        served += ["127.0.0.1:1", "192.0.2.1", "[::1]", "[2001:db8::1]:443"]
        for host in served:
            client = self.join()
            client.request(host=host)
            self.asked()

    def test_a_body_has_one_length(self) -> None:
        self.reject(
            400,
            POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\nx",
            POST + b"Content-Length: 1, 1\r\n\r\nx",
            POST + b"Content-Length: +1\r\n\r\nx",
            POST + b"Content-Length: -1\r\n\r\nx",
            POST + b"Content-Length: 0x1\r\n\r\nx",
            POST + b"Content-Length:\r\n\r\n",
            POST + b"Content-Length: " + b"9" * 900 + b"\r\n\r\n",
            POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            POST + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
            POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n",
            POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n",
        )

    def test_only_chunked_is_a_coding_for_transfer(self) -> None:
        self.reject(
            501,
            POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
            POST + b"Transfer-Encoding: identity\r\n\r\n",
            POST + b"Transfer-Encoding: xchunked\r\n\r\n",
        )

    def test_chunks_must_be_well_formed(self) -> None:
        chunked = POST + b"Transfer-Encoding: chunked\r\n\r\n"
        self.reject(
            400,
            chunked + b"x\r\n",
            chunked + b"-1\r\n",
            chunked + b"0x1\r\nA\r\n",
            chunked + b"1\r\nABC",
            chunked + b"1;" + b"x" * 1100,
        )

    def test_bodies_are_taken_as_they_are(self) -> None:
        for coding in ("gzip", "br", "identity, gzip"):
            client = self.join()
            client.request("POST", headers=[("Content-Encoding", coding)], body=b"x")
            response = self.refused(415, client)
            self.assertEqual(response.headers["accept-encoding"], "identity")
        self.client.request("POST", headers=[("Content-Encoding", "identity")])
        self.asked()

    def test_other_expectations_are_not_met(self) -> None:
        self.reject(417, GET + b"Expect: coffee\r\n\r\n")

    def test_a_path_must_be_text(self) -> None:
        for path in ("/%00", "/%0a", "/a%7F", "/%C2%80", "/%ff%fe", "/%C3", "/%",
                     "/%1", "/%zz", "/a#b"):  # fmt: skip
            client = self.join()
            client.request(target=path)
            self.refused(400, client)

    def test_a_first_line_that_is_too_long_is_refused(self) -> None:
        self.reject(
            414,
            b"GET /" + b"x" * 1100,
            b"GET /" + b"x" * 1100 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        )

    def test_a_head_that_is_too_long_is_refused(self) -> None:
        self.reject(
            431, GET + b"A: " + b"x" * 1100, GET + b"A: " + b"x" * 1100 + b"\r\n\r\n"
        )

    def test_a_head_may_fill_its_bound(self) -> None:
        head = GET + b"A: "
        self.client.send(head + b"x" * (1024 - len(head)) + b"\r\n\r\n")
        self.asked()

    def test_too_many_headers_are_refused(self) -> None:
        self.reject(431, GET + b"A: b\r\n" * 10 + b"\r\n")
        self.client.send(GET + b"A: b\r\n" * 9 + b"\r\n")
        self.asked()

    def test_a_body_that_says_that_it_is_too_long_is_not_read(self) -> None:
        self.reject(413, POST + b"Content-Length: 1001\r\n\r\n")
        self.client.request("POST", body=b"x" * 1000)
        self.assertEqual(len(self.asked().body), 1000)

    def test_a_body_that_turns_out_too_long_is_refused(self) -> None:
        chunked = POST + b"Transfer-Encoding: chunked\r\n\r\n"
        self.reject(
            413,
            chunked + b"3e9\r\n" + b"x" * 1001,
            chunked + b"1f4\r\n" + b"x" * 500 + b"\r\n1f5\r\n" + b"x" * 501,
        )

    def test_a_body_that_is_all_wrapping_is_refused(self) -> None:
        self.client.request("POST", headers=[("Transfer-Encoding", "chunked")])
        for _ in range(40):
            self.client.send(b"1;" + b"x" * 1000 + b"\r\na\r\n")
        self.refused(413)

    def test_a_refused_client_may_go_on_sending_for_a_while(self) -> None:
        self.client.request("POST", headers=[("Content-Length", "9999999")])
        for _ in range(8):
            self.client.send(b"x" * 65_536)
            self.clock.advance(0.2)
        self.refused(413)
        self.assertTrue(self.client.heard)
        self.assertFalse(self.client.aborted)
        self.clock.advance(0.5)
        self.assertTrue(self.client.aborted)

    def test_a_refused_client_may_not_send_without_end(self) -> None:
        self.client.send(b"bad\r\n\r\n")
        for _ in range(17):
            self.client.send(b"x" * 65_536)
        self.assertFalse(self.client.heard)

    def test_a_refused_client_that_closes_is_done(self) -> None:
        self.client.send(b"bad\r\n\r\n")
        self.client.hang_up()
        self.assertTrue(self.client.closed)
        self.assertFalse(self.client.aborted)
        self.assertEqual(self.server.connections, 0)

    def test_nothing_behind_a_refused_request_is_answered(self) -> None:
        self.client.send(b"bad\r\n\r\n" + GET + b"\r\n")
        self.client.send(GET + b"\r\n")
        self.refused(400)


class DeadlineTests(Connected):
    def test_a_client_that_sends_nothing_is_hung_up_on(self) -> None:
        self.clock.pump([9.9, 0.1, 0])
        self.assertTrue(self.client.closed)
        self.assertEqual(self.client.received, b"")

    def test_a_head_that_trickles_in_is_too_late(self) -> None:
        for _ in range(79):
            self.client.send(b"G")
            self.clock.advance(0.125)
        self.assertEqual(self.client.received, b"")
        self.clock.advance(0.125)
        self.refused(408)

    def test_a_body_that_trickles_in_is_too_late(self) -> None:
        self.client.request("POST", headers=[("Content-Length", "1000")])
        for _ in range(29):
            self.client.send(b"x")
            self.clock.advance(1)
        self.assertEqual(self.client.received, b"")
        self.clock.advance(1)
        self.refused(408)

    def test_the_time_of_an_answer_is_nobodys_deadline(self) -> None:
        self.client.request()
        self.clock.pump([50] * 50)
        self.asked().respond(200, b"", "a/b")
        self.assertEqual(self.client.take_one().status, 200)

    def test_a_connection_may_idle_for_a_while(self) -> None:
        for _ in range(3):
            self.client.request()
            self.asked().respond(200, b"", "a/b")
            self.clock.advance(59.9)
        self.assertFalse(self.client.closed)
        self.clock.pump([0.1, 0.0])
        self.assertTrue(self.client.closed)
        self.assertEqual(len(self.client.take()), 3)

    def test_the_next_head_has_a_deadline_of_its_own(self) -> None:
        self.client.request()
        self.asked().respond(200, b"", "a/b")
        self.client.take()
        self.clock.advance(50)
        self.client.send(b"GET /")
        self.clock.advance(9.9)
        self.client.send(b"x")
        self.assertEqual(self.client.take(), [])
        self.clock.advance(0.1)
        self.refused(408)

    def test_a_response_that_is_not_taken_ends_the_connection(self) -> None:
        self.client.stop_reading()
        self.client.request()
        self.asked().respond(200, b"x" * 100_000, "a/b")
        self.clock.advance(29.9)
        self.assertFalse(self.client.aborted)
        self.clock.advance(0.1)
        self.assertTrue(self.client.aborted)

    def test_the_last_response_that_is_not_taken_ends_it_too(self) -> None:
        self.client.stop_reading()
        self.client.request(headers=[("Connection", "close")])
        self.asked().respond(200, b"x", "a/b")
        self.clock.pump([29.9, 0.1])
        self.assertTrue(self.client.aborted)

    def test_a_client_that_reads_slowly_is_served(self) -> None:
        self.client.stop_reading()
        for _ in range(5):
            self.client.request()
            self.asked().respond(200, b"x" * 100_000, "a/b")
            self.clock.advance(20)
            self.client.sip()
            self.clock.advance(0)
        self.assertEqual(len(self.client.take()), 5)
        self.assertFalse(self.client.aborted)


class ResponseTests(Connected):
    def test_a_response_has_its_length_its_date_and_its_guards(self) -> None:
        self.client.request()
        self.asked().respond(200, b"{}", "application/json", [(b"X-A", b"b")])
        response = self.client.take_one()
        self.assertEqual(response.phrase, "OK")
        self.assertEqual(response.body, b"{}")
        self.assertEqual(
            response.headers,
            {
                "date": "Mon, 12 Jan 1970 13:46:40 GMT",
                "content-type": "application/json",
                "content-length": "2",
                "x-a": "b",
                "cache-control": "no-store",
                "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
                "referrer-policy": "no-referrer",
                "x-content-type-options": "nosniff",
            },
        )
        self.assertEqual(self.client.writes, 1)

    def test_a_guard_may_be_replaced(self) -> None:
        self.client.request()
        headers = [(b"cache-control", b"max-age=60"), (b"Vary", b"a"), (b"Vary", b"b")]
        self.asked().respond(200, b"", "a/b", headers)
        response = self.client.take_one()
        self.assertEqual(response.headers["cache-control"], "max-age=60")
        self.assertEqual(response.headers["vary"], "a, b")
        self.assertEqual(response.headers["referrer-policy"], "no-referrer")

    def test_a_header_does_not_break_out_of_its_line(self) -> None:
        for header in ((b"A", b"b\r\nC: d"), (b"A\n", b"b"), (b"A", b"\x00")):
            client = self.join()
            client.request()
            with self.assertRaises(ValueError):
                self.asked().respond(200, b"", "a/b", [header])
            self.assertEqual(client.received, b"")

    def test_head_gets_no_body(self) -> None:
        self.client.request("HEAD")
        self.asked().respond(200, b"four", "a/b")
        self.assertTrue(self.client.received.endswith(b"\r\n\r\n"))
        self.assertEqual(self.client.take_one().headers["content-length"], "4")

    def test_some_statuses_have_no_body(self) -> None:
        self.client.request()
        self.asked().respond(204, b"", "a/b")
        response = self.client.take_one()
        self.assertNotIn("content-length", response.headers)
        self.assertNotIn("content-type", response.headers)

    def test_a_problem_is_no_end_of_the_connection(self) -> None:
        self.client.request()
        self.asked().refuse(Problem(404, "There is no such thing."))
        response = self.client.take_one()
        self.assertEqual(response.status, 404)
        self.assertEqual(response.json["detail"], "There is no such thing.")
        self.client.request()
        self.asked()

    def test_the_connection_closes_when_the_client_wants_it(self) -> None:
        for version, token in (("1.1", "close"), ("1.1", "x, Close"), ("1.0", "x")):
            client = self.join()
            client.request(headers=[("Connection", token)], version=version)
            self.asked().respond(200, b"x", "a/b")
            self.assertEqual(client.take_one().headers["connection"], "close")
            self.clock.advance(0)
            self.assertTrue(client.closed)
            self.assertFalse(client.aborted)

    def test_an_exception_is_answered_and_logged(self) -> None:
        def answer(exchange: Exchange) -> None:
            raise ZeroDivisionError("a secret")

        self.answer = answer
        self.client.request()
        response = self.client.take_one()
        self.assertEqual(response.status, 500)
        self.assertNotIn(b"secret", response.body)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_refusal_that_is_raised_is_answered(self) -> None:
        def answer(exchange: Exchange) -> None:
            raise refused(405, "Not here.", (b"Allow", b"GET"))

        self.answer = answer
        self.client.request()
        self.assertEqual(self.client.take_one().headers["allow"], "GET")

    def test_what_fails_later_is_answered_too(self) -> None:
        self.client.request()
        self.asked().fail(Failure(ZeroDivisionError()))
        self.assertEqual(self.client.take_one().status, 500)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_only_the_first_response_counts(self) -> None:
        self.client.request()
        exchange = self.asked()
        exchange.respond(200, b"first", "a/b")
        exchange.respond(200, b"second", "a/b")
        self.assertFalse(exchange.begin_stream("a/b"))
        exchange.send(b"third")
        exchange.finish()
        self.assertEqual(self.client.take_one().body, b"first")

    def test_a_client_that_has_gone_is_heard_of_once(self) -> None:
        self.client.request()
        exchange, heard = self.asked(), list[str]()
        exchange.on_gone(lambda: heard.append("first"))
        exchange.on_gone(lambda: 1 / 0)
        exchange.on_gone(lambda: heard.append("second"))
        self.assertFalse(exchange.gone)
        self.client.vanish()
        self.assertTrue(exchange.gone)
        self.assertEqual(heard, ["first", "second"])
        exchange.on_gone(lambda: heard.append("late"))
        self.assertEqual(heard, ["first", "second", "late"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_answers_to_nobody_are_dropped(self) -> None:
        self.client.request()
        exchange = self.asked()
        self.client.vanish()
        exchange.respond(200, b"", "a/b")
        self.assertFalse(exchange.begin_stream("a/b"))
        exchange.send(b"x")
        exchange.finish()
        exchange.refuse(Problem(500))

    def test_who_was_answered_is_not_told_of_as_gone(self) -> None:
        self.client.request()
        exchange, heard = self.asked(), list[str]()
        exchange.on_gone(lambda: heard.append("gone"))
        exchange.respond(200, b"", "a/b")
        self.client.vanish()
        self.assertEqual(heard, [])


@implementer(IPushProducer)
class Source:
    """Something that streams, and notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")


class StreamTests(Connected):
    def stream(self, client: HttpClient | None = None, **request: Any) -> Exchange:
        (client or self.client).request(**request)
        exchange = self.asked()
        self.assertTrue(exchange.begin_stream("text/event-stream"))
        return exchange

    def test_each_piece_is_one_write(self) -> None:
        exchange = self.stream()
        exchange.send(b"data: 1\n\n")
        exchange.send(b"")
        exchange.write(b"data: 2\n\n")
        self.assertEqual(self.client.writes, 3)
        response = self.client.take_one()
        self.assertEqual(response.headers["transfer-encoding"], "chunked")
        self.assertEqual(response.headers["cache-control"], "no-store")
        self.assertEqual(response.body, b"data: 1\n\ndata: 2\n\n")
        self.assertFalse(response.whole)
        exchange.finish()
        self.assertTrue(self.client.take_one().whole)
        self.client.request()
        self.asked()

    def test_old_clients_see_the_end_when_the_connection_closes(self) -> None:
        exchange = self.stream(version="1.0", host=None)
        exchange.send(b"one")
        exchange.finish()
        self.clock.advance(0)
        response = self.client.take_one()
        self.assertEqual(response.headers["connection"], "close")
        self.assertNotIn("transfer-encoding", response.headers)
        self.assertEqual((response.body, response.whole), (b"one", True))

    def test_head_of_a_stream_is_over_at_once(self) -> None:
        self.client.request("HEAD")
        self.assertFalse(self.asked().begin_stream("text/event-stream"))
        self.assertTrue(self.client.take_one().whole)
        self.client.request()
        self.asked()

    def test_a_stream_is_paused_and_resumed(self) -> None:
        exchange, source = self.stream(), Source()
        exchange.registerProducer(source, True)
        self.client.stop_reading()
        exchange.send(b"x" * 70_000)
        self.assertEqual(source.told, ["pause"])
        self.clock.advance(29)
        self.client.sip()
        self.assertEqual(source.told, ["pause", "resume"])
        self.clock.pump([100, 0])
        self.assertFalse(self.client.closed)
        exchange.finish()
        self.assertEqual(self.client.faults, [])

    def test_a_client_that_does_not_read_a_stream_is_dropped(self) -> None:
        exchange, source, heard = self.stream(), Source(), list[str]()
        exchange.registerProducer(source, True)
        exchange.on_gone(lambda: heard.append("gone"))
        self.client.stop_reading()
        for _ in range(30):  # it does not listen, but that buys no time
            exchange.send(b"x" * 70_000)
            self.clock.advance(1)
        self.clock.advance(0)
        self.assertTrue(self.client.aborted)
        self.assertEqual(heard, ["gone"])
        self.assertIn("stop", source.told)

    def test_a_stream_that_fails_is_cut_off(self) -> None:
        exchange = self.stream()
        exchange.send(b"one")
        exchange.fail(Failure(ZeroDivisionError()))
        self.clock.advance(0)
        self.assertTrue(self.client.closed)
        self.assertFalse(self.client.take_one().whole)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


REQUESTS = (
    b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n"
    b"POST /b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nGET /"
    b"\r\nPUT /c HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"2\r\n\r\n\r\n1\r\n0\r\n0\r\nA: b\r\n\r\n"
    b"GET /d HTTP/1.1\r\nHost: localhost\r\n\r\n"
)


@given(st.sets(st.integers(1, len(REQUESTS) - 1), max_size=12))
def test_requests_are_the_same_however_they_are_cut(cuts: set[int]) -> None:
    seen = []

    def answer(exchange: Exchange) -> None:
        seen.append((exchange.method, exchange.target, exchange.body))
        exchange.respond(200, b"", "a/b")

    client = HttpClient(Clock())
    client.connect(HttpServer(client._clock, HttpSettings()).factory(answer))
    edges = [0, *sorted(cuts), len(REQUESTS)]
    for start, end in pairwise(edges):
        client.send(REQUESTS[start:end])
    assert seen == [
        (b"GET", "/a", b""),
        (b"POST", "/b", b"GET /"),
        (b"PUT", "/c", b"\r\n0"),
        (b"GET", "/d", b""),
    ]
    assert len(client.take()) == 4


@given(st.binary(max_size=300), st.integers(1, 300))
def test_no_bytes_whatever_break_it(noise: bytes, cut: int) -> None:
    clock = Clock()
    server = HttpServer(clock, HttpSettings())
    factory = server.factory(lambda exchange: exchange.respond(200, b"", "a/b"))
    for prefix in (b"", b"GET ", GET, POST + b"Transfer-Encoding: chunked\r\n\r\n"):
        client = HttpClient(clock)
        client.connect(factory)
        client.send(prefix + noise[:cut])
        client.send(noise[cut:] + b"\r\n\r\n")
        for response in client.take():
            assert msgspec.json.decode(response.body or b"{}") is not None
        clock.pump([15, 31, 61, 3, 0])
        assert client.closed
    assert clock.getDelayedCalls() == []
