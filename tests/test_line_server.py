"""The chat for TCP clients: one conversation each, limits, and an orderly end."""

from __future__ import annotations

import socket
from typing import Any

import msgspec
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory, ITCPTransport
from zope.interface import implementer
from zope.interface.verify import verifyObject

from supportbot.channels.line_server import LineServer
from supportbot.channels.lines import Lines
from supportbot.settings import LinesSettings
from tests.line_fakes import TERMINAL, LineTestCase, Socket

FULL = "Too many people are asking at the moment; please try again later.\n"
FAREWELL = "We are closing for a while; please come back later.\n"
SETTINGS = LinesSettings(connections=5, per_address=3)


class Handle:
    """What is under a transport: a socket that keeps its options."""

    def __init__(self) -> None:
        self.options: dict[tuple[int, int], int] = {}

    def setsockopt(self, level: int, name: int, value: int) -> None:
        self.options[level, name] = value


@implementer(ITCPTransport)
class Wire(Socket):
    """A client whose transport says that it is TCP.

    Attributes:
        handle: what is under it.
        keep_alive: the peer is probed.
    """

    handle: Any = None
    keep_alive = False

    def getHandle(self) -> Any:
        return self.handle

    def setTcpKeepAlive(self, enabled: bool) -> None:
        self.keep_alive = enabled

    def getTcpKeepAlive(self) -> bool:
        return self.keep_alive

    def setTcpNoDelay(self, enabled: bool) -> None:
        pass

    def getTcpNoDelay(self) -> bool:
        return False

    def loseWriteConnection(self) -> None:
        pass


class LineServerTestCase(LineTestCase):
    def serve(self, **changes: Any) -> None:
        settings = msgspec.structs.replace(SETTINGS, **changes)
        self.server = LineServer(self.clock, self.desk, settings, TERMINAL)

    def setUp(self) -> None:
        super().setUp()
        self.serve()

    def join(self, host: str = "10.0.0.1", client: Socket | None = None) -> Socket:
        """A client from this address; its greeting is read."""
        client = client or Socket(self.clock)
        protocol = self.server.buildProtocol(IPv4Address("TCP", host, 50_000))
        if isinstance(protocol, Lines):
            self.watch(client, protocol)
        client.connect(protocol)
        if client.shown == b"> ":
            client.take()
        return client

    def drained(self) -> list[None]:
        """Begin to drain; gets an element when that is done."""
        done: list[None] = []
        draining: Deferred[None] = self.server.drain(25.0)
        draining.addCallback(done.append)
        return done


class ConnectionTests(LineServerTestCase):
    def test_it_is_a_factory(self) -> None:
        verifyObject(IProtocolFactory, self.server)
        verifyObject(ITCPTransport, Wire(self.clock))

    def test_limits_hold_for_the_client_s_address(self) -> None:
        client = self.join("2001:db8::7")
        client.type("help\n")
        self.assertEqual(self.support.last.question.client, "2001:db8::/64")
        self.answered(self.support.last, "<p>1</p>")

    def test_each_connection_is_a_conversation_of_its_own(self) -> None:
        one, two = self.join(), self.join()
        one.type("help\n")
        two.type("product question\n")
        self.support.last.reply.paragraph("<p>1</p>")
        self.answered(self.product.last, "<p>2</p>")
        self.assertEqual(one.take(), "\n<p>1</p>\n")
        self.assertEqual(two.take(), "\n<p>2</p>\n\n> ")
        two.type("/history\n/stop\n")
        self.assertEqual(
            two.take(),
            "> product question\n\n<p>2</p>\n\n> Nothing is under way.\n> ",
        )
        two.vanish()
        self.answered(self.support.last, "<p>3</p>")
        self.assertEqual(one.take(), "<p>3</p>\n\n> ")
        self.assertEqual(len(self.store.kept), 1)

    def test_nothing_of_it_is_left_behind(self) -> None:
        client = self.join()
        client.type("hello\nquit\n")
        self.turn()
        self.assertTrue(client.closed)
        self.assertEqual(self.store.kept, {})

    def test_a_client_that_sends_its_end_gets_its_answer(self) -> None:
        client = self.join()
        client.type("help")
        client.hang_up()
        self.answered(self.support.last, "<p>1</p>")
        self.turn()
        self.assertEqual(client.take(), "\n<p>1</p>\n\n")
        self.assertTrue(client.closed)

    def test_a_silent_client_is_told_good_bye(self) -> None:
        self.serve(idle=60.0)
        client = self.join()
        self.clock.advance(60.0)
        self.turn()
        self.assertEqual(client.take(), "\nNothing was said for long; good-bye.\n")
        self.assertTrue(client.closed)

    def test_a_client_that_does_not_read_is_dropped(self) -> None:
        self.serve(stall=30.0)
        client = self.join(client=Socket(self.clock, room=20))
        client.stop_reading()
        client.type("help\n")
        for _ in range(1_000):
            self.support.last.reply.paragraph("<p>and so on</p>")
        self.assertLess(len(client.unread), 40)
        self.clock.advance(30.0)
        self.turn()
        self.assertTrue(client.aborted)
        self.assertTrue(self.support.last.cancelled)

    def test_no_escape_sequence_is_ever_sent(self) -> None:
        client = self.join()
        client.type("help\n")
        self.support.last.reply.notice("It got stuck; asking again…")
        self.clock.advance(10.0)
        client.type("/status\n/nonsense\x1b[2J\n")
        self.answered(self.support.last, "<p>\x1b[2J</p>")
        self.assertNotIn("\x1b", client.take())

    def test_peers_that_vanish_without_a_word_are_noticed(self) -> None:
        client = Wire(self.clock)
        client.handle = Handle()
        self.join(client=client)
        self.assertTrue(client.keep_alive)
        options = client.handle.options
        for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT"):
            if hasattr(socket, name):
                self.assertIn((socket.IPPROTO_TCP, getattr(socket, name)), options)

    def test_tls_has_no_socket_to_set_that_on(self) -> None:
        client = Wire(self.clock)
        client.handle = object()
        self.join(client=client)
        client.type("help\n")
        self.answered(self.support.last)
        self.assertEqual(client.take(), "\n\n> ")


class LimitTests(LineServerTestCase):
    def assertRefused(self, client: Socket) -> None:
        self.turn()
        self.assertEqual(client.take(), FULL)
        self.assertTrue(client.closed)

    def test_there_is_a_limit_for_one_address(self) -> None:
        for _ in range(3):
            self.join("10.0.0.1")
        self.assertRefused(self.join("10.0.0.1"))
        client = self.join("10.0.0.2")
        client.type("help\n")
        self.assertEqual(client.take(), "\n")

    def test_there_is_a_limit_for_all(self) -> None:
        for number in range(5):
            self.join(f"10.0.0.{number}")
        self.assertRefused(self.join("10.0.0.9"))

    def test_who_leaves_makes_room(self) -> None:
        clients = [self.join() for _ in range(3)]
        self.assertRefused(self.join())
        for client in clients:
            client.vanish()
        for _ in range(3):
            self.assertEqual(self.join().take(), "")

    def test_who_is_refused_takes_no_room(self) -> None:
        self.join()
        self.join()
        last = self.join()
        for _ in range(10):
            self.assertRefused(self.join())
        last.vanish()
        self.assertEqual(self.join().take(), "")

    def test_those_that_have_not_finished_count(self) -> None:
        clients = [self.join() for _ in range(3)]
        clients[0].type("help\n")
        clients[0].hang_up()
        self.assertRefused(self.join())

    def test_a_client_without_an_address(self) -> None:
        protocol = self.server.buildProtocol(None)
        self.assertIsInstance(protocol, Lines)
        Socket(self.clock).connect(protocol)
        protocol.connectionLost()


class DrainTests(LineServerTestCase):
    def test_nobody_is_there(self) -> None:
        self.assertEqual(self.drained(), [None])

    def test_nobody_is_there_any_more(self) -> None:
        self.join().vanish()
        self.assertEqual(self.drained(), [None])

    def test_idle_clients_are_told_and_closed_at_once(self) -> None:
        clients = [self.join(), self.join()]
        done = self.drained()
        self.assertEqual(done, [])
        self.turn()
        self.assertEqual(done, [None])
        for client in clients:
            self.assertEqual(client.take(), f"\n{FAREWELL}")
            self.assertTrue(client.closed)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_busy_ones_after_their_answer(self) -> None:
        client = self.join()
        client.type("help\nhelp 2\n")
        self.support.last.reply.paragraph("<p>1</p>")
        done = self.drained()
        self.clock.advance(24.0)
        self.answered(self.support.last, "<p>2</p>")
        self.assertEqual(done, [])
        self.turn()
        self.assertEqual(client.take(), f"\n<p>1</p>\n<p>2</p>\n\n{FAREWELL}")
        self.assertEqual(self.support.texts, ["help"])
        self.assertEqual(done, [None])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_it_waits_for_all(self) -> None:
        clients = [self.join(), self.join(), self.join("10.0.0.2")]
        for client in clients[:2]:
            client.type("help\n")
        done = self.drained()
        self.turn()
        for asked in self.support.asked:
            self.assertEqual(done, [])
            asked.end()
            self.turn()
        self.assertEqual(done, [None])

    def test_what_takes_too_long_is_stopped(self) -> None:
        client = self.join()
        client.type("help\n")
        done = self.drained()
        self.clock.advance(24.9)
        self.assertFalse(self.support.last.cancelled)
        self.clock.advance(0.1)
        self.assertTrue(self.support.last.cancelled)
        self.turn()
        self.assertEqual(client.take(), f"\n(stopped)\n\n{FAREWELL}")
        self.assertEqual(done, [None])

    def test_who_does_not_take_the_last_words_is_dropped(self) -> None:
        idle, busy = self.join(), self.join(client=Socket(self.clock, room=9))
        idle.stop_reading()
        busy.stop_reading()
        busy.type("help\n")
        self.support.last.reply.paragraph("<p>1</p>")
        self.support.last.reply.paragraph("<p>2</p>")
        done = self.drained()
        self.clock.advance(25.0)
        self.assertTrue(self.support.last.cancelled)
        self.clock.advance(1.9)
        self.assertEqual((idle.aborted, busy.aborted, done), (False, False, []))
        self.clock.advance(0.1)
        self.assertEqual((idle.aborted, busy.aborted), (True, True))
        self.turn()
        self.assertEqual(done, [None])

    def test_who_vanishes_meanwhile_is_not_waited_for(self) -> None:
        client = self.join()
        client.type("help\n")
        done = self.drained()
        client.vanish()
        self.assertEqual(done, [None])
        self.assertTrue(self.support.last.cancelled)

    def test_who_was_leaving_already_is_not_told(self) -> None:
        client = self.join()
        client.stop_reading()
        client.type("help\nquit\n")
        self.answered(self.support.last)
        done = self.drained()
        client.read_on()
        self.turn()
        self.assertEqual(client.take(), "\n\n> quit\n")
        self.assertEqual(done, [None])
