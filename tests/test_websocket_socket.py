"""One WebSocket connection: messages, limits, signs of life, back-pressure, its end."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from typing import Any, cast

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from wsproto.frame_protocol import Opcode
from zope.interface.verify import verifyObject

from supportbot.channels.http.exchange import Exchange
from supportbot.channels.http.server import HttpServer
from supportbot.channels.websocket.deflate import Deflate
from supportbot.channels.websocket.frames import Close
from supportbot.channels.websocket.handshake import agree
from supportbot.channels.websocket.socket import Socket
from supportbot.settings import HttpSettings, WebSocketSettings
from tests.websocket_client import DEFLATE, WebSocketClient, closing, frame, text

LIMIT = 4096
SETTINGS = WebSocketSettings(message=LIMIT, frames=50, ping=20.0, pong=15.0, idle=300.0)
STALL = 30.0
AGREED = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
CODES = {1000, 1002, 1003, 1007, 1008, 1009, 1011, 1012}  # that we close with
THEIRS = {1001, 1005, 1010, 1013}  # that clients may close with besides; 1005 is none


class Recorder:
    """A user that keeps what it was told.

    Attributes:
        told: everything in order; messages as they are, the rest in brackets.
        upon: is called with each message; may return a Deferred, or raise.
    """

    def __init__(self, socket: Socket) -> None:
        self.socket = socket
        self.told: list[str] = []
        self.upon: Callable[[str], Any] = lambda message: None

    def message(self, text: str) -> Deferred[object] | None:
        self.told.append(text)
        return cast("Deferred[object] | None", self.upon(text))

    def pause(self) -> None:
        self.told.append("(pause)")

    def resume(self) -> None:
        self.told.append("(resume)")

    def drain(self) -> None:
        self.told.append("(drain)")

    def lost(self) -> None:
        self.told.append("(lost)")


class Joined(SynchronousTestCase):
    """A client, the socket that it speaks to, and the socket's user.

    In the end the client vanishes; then no timer may be left, and everybody must have
    been told once that it is over.
    """

    settings = SETTINGS

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_000_000)
        self.codes: list[int] = []
        self.join()

    def join(self, *, mute: bool = False, early: bytes = b"", **changes: Any) -> None:
        self.client = WebSocketClient(self.clock, mute=mute)
        self.socket = self.make(**changes)
        self.client.attach(self.socket, early)
        if self.socket._deflate:
            self.client.agree(AGREED)

    def make(self, *, compress: bool = False, **changes: Any) -> Socket:
        settings = msgspec.structs.replace(self.settings, **changes)
        extensions = [Deflate(settings.message)] if compress else []

        def user(socket: Socket) -> Recorder:
            self.user = Recorder(socket)
            return self.user

        return Socket(
            self.clock,
            settings,
            STALL,
            user,
            extensions,
            self.codes.append,
            jitter=lambda: 0.0,
        )

    def tearDown(self) -> None:
        self.client.vanish()
        self.clock.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.client.faults, [])
        self.assertEqual(self.user.told.count("(lost)"), 1)
        self.assertEqual(len(self.codes), 1)

    def turn(self) -> None:
        """Let the reactor turn."""
        self.clock.advance(0)

    def wait(self, seconds: float) -> None:
        """Let time pass, with some turns of the reactor in it."""
        for _ in range(int(seconds)):
            self.clock.advance(1)
        self.clock.advance(seconds % 1)

    def closed(self, code: int, reason: str | None = None) -> None:
        """See to it that the client was told this, and the user that it is over."""
        told = self.client.closed_with
        assert told is not None
        self.assertEqual(told[0], code)
        if reason is not None:
            self.assertEqual(told[1], reason)
        self.assertEqual(self.user.told[-1], "(lost)")
        self.assertTrue(self.socket.closing)


class MessageTests(Joined):
    def test_messages_go_both_ways(self) -> None:
        self.client.say("hällo")
        self.client.say("")
        self.assertEqual(self.user.told, ["hällo", ""])
        self.socket.send("wörld".encode())
        self.socket.send(b"")
        self.assertEqual(self.client.texts(), ["wörld", ""])

    def test_what_came_behind_the_request_is_read(self) -> None:
        self.client.vanish()
        self.codes.clear()
        self.join(early=text("one") + text("two")[:3])
        self.client.send(text("two")[3:])
        self.assertEqual(self.user.told, ["one", "two"])

    def test_frames_of_every_length_can_be_read(self) -> None:
        for length in (0, 1, 125, 126, 127, 65_535, 65_536, 70_000):
            self.socket.send(b"x" * length)
            self.assertEqual([len(one) for one in self.client.texts()], [length])

    def test_fragments_make_one_message(self) -> None:
        self.client.say("häl\r\nlo wörld " * 9, fragments=17)
        self.assertEqual(self.user.told, ["häl\r\nlo wörld " * 9])

    def test_control_frames_may_come_between_fragments(self) -> None:
        self.client.send(frame(Opcode.TEXT, b"one ", fin=False))
        self.client.ping(b"between")
        self.client.send(frame(Opcode.PONG, b"unasked"))
        self.client.send(frame(Opcode.CONTINUATION, b"two"))
        self.assertEqual(self.user.told, ["one two"])
        self.assertEqual(self.client.pongs, [b"between"])

    def test_compressed_messages_go_both_ways(self) -> None:
        self.client.vanish()
        self.codes.clear()
        self.join(compress=True)
        said = "all of this can be said with less " * 50
        self.client.say(said, compress=True)
        self.client.say(said, 5, compress=True)
        self.client.say("plain")
        self.assertEqual(self.user.told, [said, said, "plain"])
        before = len(self.client.received)
        self.socket.send(said.encode())
        self.socket.send(b"short")
        self.assertEqual(self.client.texts(), [said, "short"])
        self.assertLess(len(self.client.received) - before, 200)

    def test_it_is_a_streaming_producer(self) -> None:
        verifyObject(IPushProducer, self.socket)


class RefusalTests(Joined):
    """What breaks the rules is told so, and may read it in peace."""

    def refused(self, code: int, *pieces: bytes, compress: bool = False) -> None:
        self.client.vanish()
        self.codes.clear()
        self.join(mute=True, compress=compress)
        for piece in pieces:
            self.client.send(piece)
        self.closed(code)
        self.assertTrue(self.client.half_closed)
        self.assertFalse(self.client.aborted)
        self.assertTrue(self.client.heard)
        told = list(self.user.told)
        self.client.send(text("not any more"))
        self.client.send(closing())
        self.assertEqual(self.user.told, told)
        self.wait(1.9)
        self.assertFalse(self.client.aborted)
        self.wait(0.1)
        self.assertTrue(self.client.aborted)
        self.turn()
        self.assertEqual(self.codes, [code])

    def test_bytes_are_not_taken(self) -> None:
        self.refused(1003, frame(Opcode.BINARY, b"bytes"))
        self.refused(1003, frame(Opcode.BINARY, b"bytes", fin=False))
        self.refused(1003, frame(Opcode.BINARY, b""))

    def test_text_is_utf_8(self) -> None:
        for bad in (b"\xff", b"\xc3(", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"a\xc3"):
            self.refused(1007, text(bad))
        halves = frame(Opcode.TEXT, b"\xc3", fin=False)
        self.refused(1007, halves, frame(Opcode.CONTINUATION, b"x"))
        self.refused(1007, halves, frame(Opcode.CONTINUATION, b""))
        self.refused(1007, frame(Opcode.TEXT, b"x\xff", length=9))  # not whole yet

    def test_frames_are_as_the_rfc_has_them(self) -> None:
        part = frame(Opcode.TEXT, b"x", fin=False)
        for pieces in (
            [text("x", mask=None)],
            [text("x", rsv=4)],
            [text("x", rsv=2)],
            [text("x", rsv=1)],
            [frame(3)],
            [frame(7)],
            [frame(11)],
            [frame(15)],
            [frame(Opcode.CONTINUATION, b"x")],
            [part, text("x")],
            [frame(Opcode.PING, b"x" * 126)],
            [frame(Opcode.PING, b"x", fin=False)],
            [frame(Opcode.CLOSE, b"x")],
            [closing(999)],
            [closing(1004)],
            [closing(1005)],
            [closing(1006)],
            [closing(1015)],
            [closing(1016)],
            [closing(2999)],
            [closing(5000)],
            [b"\x81\xfe\x00\x05"],
            [b"\x81\xff" + struct.pack("!Q", 5)],
            [b"\x81\xff" + struct.pack("!Q", 1 << 63)],
            [b"GET / HTTP/1.1\r\n\r\n"],
        ):
            self.refused(1002, *pieces)
        self.refused(1007, frame(Opcode.CLOSE, b"\x03\xe8\xff"))

    def test_a_message_may_be_as_long_as_the_limit(self) -> None:
        self.client.say("x" * LIMIT)
        self.client.say("ä" * (LIMIT // 2), 3)
        self.client.say("x" * LIMIT, 3)
        self.assertEqual([len(one) for one in self.user.told], [4096, 2048, 4096])
        self.refused(1009, text("x" * (LIMIT + 1)))
        self.refused(1009, text("ä" * (LIMIT // 2) + "x"))

    def test_a_message_that_is_not_whole_counts_too(self) -> None:
        part = frame(Opcode.CONTINUATION, b"x" * 1024, fin=False)
        begun = frame(Opcode.TEXT, b"y" * 1024, fin=False)
        self.refused(1009, begun, part, part, part, part)
        endless = frame(Opcode.TEXT, b"x" * LIMIT, length=60_000_000)
        self.refused(1009, endless, b"x")

    def test_what_it_inflates_to_counts(self) -> None:
        deflator = zlib.compressobj(9, zlib.DEFLATED, -15)
        bomb = deflator.compress(b"x" * 10_000_000)
        bomb += deflator.flush(zlib.Z_SYNC_FLUSH)
        self.refused(1009, text(bomb, rsv=4), compress=True)
        self.refused(1007, text(b"\xff\xff\xff", rsv=4), compress=True)

    def test_so_many_frames_a_second_and_no_more(self) -> None:
        for kind in (
            text("x"),
            frame(Opcode.PING, b"x"),
            frame(Opcode.PONG, b"x"),
        ):
            self.refused(1008, kind * 51)
            self.refused(1008, *[kind] * 51)
        begun = frame(Opcode.TEXT, b"", fin=False)
        self.refused(1008, begun + frame(Opcode.CONTINUATION, b"x", fin=False) * 50)

    def test_frames_are_counted_anew_each_second(self) -> None:
        for second in range(3):
            self.client.send(text("x") * 50)
            self.assertEqual(len(self.user.told), 50 * (second + 1))
            self.clock.advance(1)
        self.assertIsNone(self.client.closed_with)

    def test_a_clock_that_is_set_back_does_no_harm(self) -> None:
        for _ in range(3):
            self.client.send(text("x") * 50)
            self.clock.rightNow -= 3600
        self.assertEqual(len(self.user.told), 150)

    def test_a_frame_is_counted_once_however_it_comes(self) -> None:
        for byte in text("x" * 300):
            self.client.send(bytes([byte]))
        self.assertEqual(self.user.told, ["x" * 300])

    def test_nothing_is_parsed_behind_what_is_refused(self) -> None:
        self.client.send(text("x") * 60)
        self.assertEqual(len(self.user.told), 51)
        self.closed(1008, "too many frames")

    def test_who_floods_on_is_not_read_any_more(self) -> None:
        self.client.mute = True
        self.client.send(frame(Opcode.BINARY))
        for _ in range(16):
            self.client.send(b"x" * 65_536)
        self.assertTrue(self.client.heard)
        self.client.send(b"x")
        self.assertFalse(self.client.heard)
        self.wait(2)
        self.assertTrue(self.client.aborted)

    def test_a_client_that_hangs_up_when_told_is_done_with(self) -> None:
        self.client.send(frame(Opcode.BINARY))
        self.turn()
        self.assertTrue(self.client.closed)
        self.assertFalse(self.client.aborted)
        self.assertEqual(self.codes, [1003])


class ClosingTests(Joined):
    def test_the_clients_goodbye_is_answered_and_the_server_hangs_up(self) -> None:
        for code in (1000, 1001, 1011, 1012, 3000, 4999):
            self.client.vanish()
            self.codes.clear()
            self.join()
            self.client.close(code, "that was all")
            self.closed(code, "")
            self.assertFalse(self.client.closed)
            self.turn()
            self.assertTrue(self.client.closed)
            self.assertFalse(self.client.aborted)
            self.assertEqual(self.codes, [code])

    def test_a_goodbye_without_a_code_gets_one_without(self) -> None:
        self.client.close(None)
        self.closed(1005)
        self.turn()
        self.assertTrue(self.client.closed)
        self.assertEqual(self.codes, [1005])

    def test_nothing_is_read_behind_the_clients_goodbye(self) -> None:
        self.client.send(closing() + text("more") + frame(Opcode.PING) + closing())
        self.closed(1000)
        self.assertEqual(self.user.told, ["(lost)"])
        self.assertEqual(self.client.pongs, [])
        held = self.socket._protocol._frame_decoder.buffer
        before = len(held)
        self.socket.received(b"x" * 1000)
        self.assertEqual(len(held), before)

    def test_our_goodbye_waits_for_the_clients(self) -> None:
        self.socket.close(Close.NORMAL, "enough")
        self.closed(1000, "enough")
        self.assertFalse(self.client.half_closed)
        self.turn()  # the client answers
        self.turn()
        self.assertTrue(self.client.closed)
        self.assertFalse(self.client.aborted)
        self.assertEqual(self.codes, [1000])

    def test_our_goodbye_does_not_wait_for_ever(self) -> None:
        self.client.mute = True
        self.socket.close()
        self.closed(1012, "the server is restarting")
        self.wait(1.9)
        self.assertFalse(self.client.aborted)
        self.wait(0.1)
        self.assertTrue(self.client.aborted)
        self.turn()
        self.assertEqual(self.codes, [1012])

    def test_behind_our_goodbye_only_the_clients_counts(self) -> None:
        self.client.mute = True
        self.socket.close(Close.POLICY)
        self.client.send(text("not heard") + frame(Opcode.PING, b"x"))
        self.client.send(frame(Opcode.BINARY, b"not heard either"))
        self.client.send(text("x" * 10_000))
        self.assertEqual(self.user.told, ["(lost)"])
        self.client.close(4000)
        self.turn()
        self.assertTrue(self.client.closed)
        self.assertFalse(self.client.aborted)
        self.assertEqual(self.client.pongs, [])
        self.assertEqual(self.codes, [1008])

    def test_what_is_no_frame_behind_our_goodbye_ends_the_wait(self) -> None:
        for nonsense in (b"\xff" * 9, text("x") * 51):
            self.client.vanish()
            self.codes.clear()
            self.join(mute=True)
            self.socket.close(Close.NORMAL)
            self.assertFalse(self.client.half_closed)
            self.client.send(nonsense)
            self.assertTrue(self.client.half_closed)
            self.closed(1000)
            self.wait(2)
            self.assertTrue(self.client.aborted)

    def test_a_long_reason_is_cut_between_characters(self) -> None:
        self.socket.close(Close.NORMAL, "ä" * 80)
        self.closed(1000, "ä" * 61)

    def test_closing_again_does_nothing(self) -> None:
        self.socket.close(Close.NORMAL, "first")
        self.socket.close(Close.POLICY, "second")
        self.socket.drain()
        self.closed(1000, "first")

    def test_what_is_sent_too_late_is_dropped(self) -> None:
        self.client.mute = True
        self.socket.close()
        self.socket.send(b"too late")
        self.assertIs(self.successResultOf(self.socket.probe(5)), False)
        self.client.vanish()
        self.socket.send(b"later still")
        self.socket.close()
        self.assertIs(self.successResultOf(self.socket.probe(5)), False)
        self.assertEqual(self.client.texts(), [])
        self.assertEqual(self.client.pings, [])

    def test_a_client_that_vanishes_leaves_no_code(self) -> None:
        self.client.send(text("half a mess")[:-3])
        self.client.vanish()
        self.assertEqual(self.user.told, ["(lost)"])
        self.assertEqual(self.codes, [1006])

    def test_one_that_is_gone_before_it_began_is_lost(self) -> None:
        socket, codes = self.make(), self.codes[:]
        socket.lost(Failure(ConnectionDone()))
        self.assertEqual((codes, self.codes), ([], [1006]))
        self.assertTrue(socket.closing)
        self.codes.clear()

    def test_the_server_asks_to_end_what_is_under_way(self) -> None:
        self.socket.drain()
        self.assertEqual(self.user.told, ["(drain)"])
        self.assertIsNone(self.client.closed_with)
        self.socket.close()
        self.closed(1012)


class SignsOfLifeTests(Joined):
    def test_a_client_is_pinged_and_answers(self) -> None:
        self.wait(19)
        self.assertEqual(self.client.pings, [])
        self.wait(1)
        self.assertEqual(len(self.client.pings), 1)
        self.wait(100)
        self.assertEqual(len(self.client.pings), 6)
        self.assertEqual(len(set(self.client.pings)), 6)
        self.assertIsNone(self.client.closed_with)

    def test_one_that_does_not_answer_is_let_go(self) -> None:
        self.client.mute = True
        self.wait(20 + 14.9)
        self.assertIsNone(self.client.closed_with)
        self.wait(0.1)
        self.closed(1008, "no pong")
        self.wait(2)
        self.assertTrue(self.client.aborted)

    def test_only_the_pong_that_was_asked_for_counts(self) -> None:
        self.client.mute = True
        self.wait(20)
        (ping,) = self.client.pings
        for payload in (b"", b"x", ping[::-1] + b"x", ping[:-1]):
            self.client.send(frame(Opcode.PONG, payload))
        self.wait(15)
        self.closed(1008)

    def test_a_pong_does_not_count_twice(self) -> None:
        self.wait(20)
        (ping,) = self.client.pings
        self.client.mute = True
        self.wait(21)
        self.client.send(frame(Opcode.PONG, ping))
        self.wait(15)
        self.closed(1008)

    def test_pongs_that_nobody_asked_for_put_nothing_off(self) -> None:
        for _ in range(20):
            self.client.send(frame(Opcode.PONG, b"") + frame(Opcode.PONG, b"x"))
            self.clock.advance(1)
        self.assertEqual(len(self.client.pings), 1)

    def test_pings_are_spread_a_little(self) -> None:
        self.socket._jitter = lambda: 1.0
        self.wait(20)  # the first was set before
        self.wait(17)
        self.assertEqual(len(self.client.pings), 1)
        self.wait(1.1)
        self.assertEqual(len(self.client.pings), 2)

    def test_silence_ends_the_connection(self) -> None:
        self.wait(299)
        self.assertIsNone(self.client.closed_with)
        self.wait(1)
        self.closed(1000, "idle")

    def test_a_message_of_either_side_breaks_the_silence(self) -> None:
        self.wait(200)
        self.client.say("still there")
        self.wait(200)
        self.socket.send(b"here too")
        self.wait(299)
        self.assertIsNone(self.client.closed_with)
        self.wait(1)
        self.closed(1000, "idle")

    def test_pings_and_pongs_are_no_messages(self) -> None:
        for _ in range(299):
            self.client.ping(b"x")
            self.clock.advance(1)
        self.wait(1)
        self.closed(1000, "idle")

    def test_a_probe_is_answered_by_its_own_pong(self) -> None:
        self.client.mute = True
        first, second = self.socket.probe(5), self.socket.probe(5)
        one, two = self.client.pings
        self.assertNotEqual(one, two)
        self.client.send(frame(Opcode.PONG, two))
        self.assertNoResult(first)
        self.assertIs(self.successResultOf(second), True)
        self.client.send(frame(Opcode.PONG, two))
        self.client.send(frame(Opcode.PONG, b""))
        self.assertNoResult(first)
        self.client.send(frame(Opcode.PONG, one))
        self.assertIs(self.successResultOf(first), True)

    def test_a_probe_without_an_answer_fails_in_time(self) -> None:
        self.client.mute = True
        probe = self.socket.probe(5)
        self.wait(4.9)
        self.assertNoResult(probe)
        self.wait(0.1)
        self.assertIs(self.successResultOf(probe), False)
        self.client.send(frame(Opcode.PONG, self.client.pings[0]))
        self.assertIsNone(self.client.closed_with)

    def test_a_probe_fails_with_the_connection(self) -> None:
        probe = self.socket.probe(5)
        self.client.vanish()
        self.assertIs(self.successResultOf(probe), False)
        self.assertEqual(self.user.told, ["(lost)"])

    def test_a_probe_can_be_cancelled(self) -> None:
        probe = self.socket.probe(5)
        probe.cancel()
        self.failureResultOf(probe, CancelledError)
        self.client.send(frame(Opcode.PONG, self.client.pings[0]))
        self.wait(6)
        self.assertIsNone(self.client.closed_with)


class OutputTests(Joined):
    """A client that does not read."""

    def clog(self) -> None:
        """Write more than the client leaves room for."""
        self.client.stop_reading()
        self.socket.send(b"x" * 70_000)
        self.assertEqual(self.user.told, ["(pause)"])

    def test_the_user_is_told_once_to_give_no_more(self) -> None:
        self.clog()
        for _ in range(3):
            self.socket.send(b"more")
        self.assertEqual(self.user.told, ["(pause)"])
        self.client.read_on()
        self.assertEqual(self.user.told, ["(pause)", "(resume)"])
        self.assertEqual(len(self.client.texts()), 4)
        self.client.read_on()
        self.assertEqual(self.user.told, ["(pause)", "(resume)"])

    def test_who_does_not_read_is_not_heard_until_it_does(self) -> None:
        self.clog()
        self.assertFalse(self.client.heard)
        self.client.say("not yet")
        self.client.ping(b"x")
        self.turn()
        self.assertEqual(self.user.told, ["(pause)"])
        self.client.read_on()
        self.turn()
        self.assertEqual(self.user.told, ["(pause)", "(resume)", "not yet"])
        self.assertEqual(self.client.pongs, [b"x"])

    def test_what_was_received_already_waits(self) -> None:
        self.client.stop_reading()
        self.user.upon = lambda message: self.socket.send(b"x" * 70_000)
        self.client.send(text("one") + frame(Opcode.PING, b"x") * 10 + text("two"))
        self.assertEqual(self.user.told, ["one", "(pause)"])
        writes = self.client.writes
        self.wait(5)
        self.assertEqual(self.client.writes, writes)
        self.user.upon = lambda message: None
        self.client.read_on()
        self.assertEqual(self.user.told, ["one", "(pause)", "(resume)", "two"])
        self.assertEqual(self.client.pongs, [b"x"] * 10)

    def test_what_is_received_all_the_same_waits(self) -> None:
        self.clog()
        self.socket.received(text("one") + text("two"))  # as TLS may have some left
        self.assertEqual(self.user.told, ["(pause)"])
        self.client.read_on()
        self.assertEqual(self.user.told, ["(pause)", "(resume)", "one", "two"])

    def test_one_that_never_reads_again_is_dropped(self) -> None:
        self.clog()
        self.wait(29.9)
        self.assertFalse(self.client.aborted)
        self.wait(0.1)
        self.assertTrue(self.client.aborted)
        self.turn()
        self.assertEqual(self.codes, [1006])

    def test_writing_more_does_not_win_it_time(self) -> None:
        self.clog()
        for _ in range(30):
            self.socket.send(b"more")
            self.clock.advance(1)
        self.assertTrue(self.client.aborted)

    def test_one_that_reads_in_time_is_kept(self) -> None:
        self.clog()
        self.wait(29)
        self.client.read_on()
        self.wait(60)
        self.assertFalse(self.client.aborted)
        self.assertIsNone(self.client.closed_with)
        self.assertGreater(len(self.client.pings), 1)

    def test_it_is_not_pinged_and_need_not_answer_meanwhile(self) -> None:
        self.client.mute = True
        self.wait(20)
        (ping,) = self.client.pings
        self.clog()
        self.wait(25)
        self.client.read_on()
        self.wait(14)
        self.assertEqual(self.client.pings, [ping])
        self.client.send(frame(Opcode.PONG, ping))
        self.client.mute = False
        self.wait(20)
        self.assertIsNone(self.client.closed_with)
        self.assertEqual(len(self.client.pings), 2)

    def test_afterwards_it_has_to_answer_again(self) -> None:
        self.client.mute = True
        self.wait(20)
        self.clog()
        self.wait(25)
        self.client.read_on()
        self.wait(15)
        self.closed(1008, "no pong")

    def test_our_goodbye_waits_behind_what_is_unread(self) -> None:
        self.clog()
        self.socket.close(Close.RESTART)
        self.wait(29)
        self.assertFalse(self.client.aborted)
        self.client.read_on()
        self.closed(1012)
        self.turn()
        self.turn()
        self.assertTrue(self.client.closed)
        self.assertFalse(self.client.aborted)
        self.assertEqual(self.user.told, ["(pause)", "(lost)"])

    def test_a_goodbye_that_is_too_much_waits_as_well(self) -> None:
        self.client.stop_reading()
        self.socket.send(b"x" * 65_520)
        self.socket.close(Close.RESTART)
        self.assertEqual(self.user.told, ["(lost)"])
        self.wait(29)
        self.assertFalse(self.client.aborted)
        self.client.read_on()
        self.closed(1012)
        self.assertEqual(self.user.told, ["(lost)"])

    def test_that_goodbye_waits_no_longer_than_the_rest(self) -> None:
        self.clog()
        self.socket.close(Close.RESTART)
        self.wait(30)
        self.assertTrue(self.client.aborted)

    def test_a_goodbye_that_is_read_must_be_answered(self) -> None:
        self.clog()
        self.client.mute = True
        self.socket.close(Close.RESTART)
        self.wait(20)
        self.client.read_on()
        self.wait(2)
        self.assertTrue(self.client.aborted)

    def test_pongs_don_t_pile_up(self) -> None:
        self.client.stop_reading()
        self.socket.send(b"x" * 65_000)
        for _ in range(20):
            self.client.send(frame(Opcode.PING, b"x" * 125) * 40)
            self.clock.advance(1)
        self.assertLess(len(self.client._unread), 65_536 + 1000)
        self.assertEqual(self.user.told, ["(pause)"])


class InputTests(Joined):
    """A user that takes its time."""

    def setUp(self) -> None:
        super().setUp()
        self.taking: list[Deferred[object]] = []
        self.user.upon = self.take

    def take(self, message: str) -> Deferred[object]:
        taken: Deferred[object] = Deferred()
        self.taking.append(taken)
        return taken

    def test_too_much_that_is_unfinished_stops_the_reading(self) -> None:
        self.client.send(text("x") * 32)
        self.assertTrue(self.client.heard)
        self.client.send(text("y") * 10)
        self.assertEqual(len(self.user.told), 33)
        self.assertFalse(self.client.heard)
        self.client.say("z")
        self.turn()
        self.assertEqual(len(self.user.told), 33)
        self.taking.pop(0).callback(None)
        self.assertEqual(len(self.user.told), 34)
        self.assertFalse(self.client.heard)
        while self.taking:
            self.taking.pop(0).callback(None)
        self.turn()
        self.assertTrue(self.client.heard)
        self.assertEqual(self.user.told, ["x"] * 32 + ["y"] * 10 + ["z"])

    def test_what_is_finished_at_once_stops_nothing(self) -> None:
        def take(message: str) -> Deferred[object]:
            taken: Deferred[object] = Deferred()
            taken.callback(None)
            return taken

        self.user.upon = take
        self.client.send(text("x") * 45)
        self.assertEqual(len(self.user.told), 45)
        self.assertTrue(self.client.heard)

    def test_a_pong_that_nobody_reads_is_not_missed(self) -> None:
        self.client.send(text("x") * 33)
        self.wait(20 + 15 + 20)
        self.assertEqual(len(self.client.pings), 1)
        self.assertIsNone(self.client.closed_with)
        self.taking.pop().callback(None)
        self.wait(21)
        self.assertEqual(len(self.client.pings), 2)
        self.assertIsNone(self.client.closed_with)

    def test_nor_is_that_to_a_probe(self) -> None:
        self.client.send(text("x") * 33)
        probe = self.socket.probe(5)
        self.wait(5)
        self.assertIs(self.successResultOf(probe), True)

    def test_it_is_missed_when_it_could_be_read(self) -> None:
        self.client.mute = True
        self.client.send(text("x") * 33)
        self.wait(50)
        self.taking.pop().callback(None)
        self.wait(15)
        self.closed(1008, "no pong")

    def test_it_has_all_its_time_when_it_can_be_read_again(self) -> None:
        self.client.mute = True
        self.client.send(text("x") * 33)
        self.wait(49)  # a second before it would have been missed for the second time
        (ping,) = self.client.pings
        self.taking.pop().callback(None)
        self.wait(14)
        self.assertIsNone(self.client.closed_with)
        self.client.send(frame(Opcode.PONG, ping))
        self.wait(10)
        self.assertIsNone(self.client.closed_with)

    def test_one_that_does_not_read_wins_no_time_by_what_is_taken(self) -> None:
        self.client.send(text("x") * 33)
        self.client.stop_reading()
        self.socket.send(b"x" * 70_000)
        self.wait(20)
        self.taking.pop().callback(None)
        self.wait(10)
        self.assertTrue(self.client.aborted)

    def test_both_have_to_end_before_it_reads_on(self) -> None:
        self.client.send(text("x") * 33)
        self.client.stop_reading()
        self.socket.send(b"x" * 70_000)
        self.client.say("later")
        for taken in self.taking[:2]:
            taken.callback(None)
        self.turn()
        self.assertFalse(self.client.heard)
        self.client.read_on()
        self.turn()
        self.assertTrue(self.client.heard)
        self.assertEqual(self.user.told[33:], ["(pause)", "(resume)", "later"])

    def test_our_goodbye_is_answered_even_then(self) -> None:
        self.client.send(text("x") * 33)
        self.socket.close(Close.RESTART)
        self.turn()
        self.turn()
        self.assertTrue(self.client.closed)
        self.assertFalse(self.client.aborted)

    def test_what_breaks_the_rules_behind_it_is_refused_in_its_turn(self) -> None:
        self.client.mute = True
        self.client.send(text("x") * 33 + frame(Opcode.BINARY))
        self.assertIsNone(self.client.closed_with)
        self.assertFalse(self.client.heard)
        self.taking.pop().callback(None)
        self.closed(1003)
        self.assertTrue(self.client.heard)  # else it would be reset before it reads

    def test_a_message_that_is_taken_too_late_does_no_harm(self) -> None:
        self.client.send(text("x") * 33)
        self.client.vanish()
        for taken in self.taking:
            taken.callback(None)
        self.assertEqual(self.codes, [1006])

    def test_one_that_is_not_wanted_any_more_is_no_failure(self) -> None:
        self.client.say("x")
        self.client.vanish()
        self.taking[0].cancel()
        self.assertEqual(self.flushLoggedErrors(), [])


class TurnTests(Joined):
    """More frames at a time than others could wait for."""

    settings = msgspec.structs.replace(SETTINGS, frames=1_000)

    def test_others_have_their_turns_between_them(self) -> None:
        self.client.send(text("x") * 150)
        self.client.say("y")
        self.assertEqual(self.user.told, ["x"] * 64)
        self.assertFalse(self.client.heard)
        self.turn()
        self.assertEqual(self.user.told, ["x"] * 150 + ["y"])
        self.assertTrue(self.client.heard)

    def test_what_was_not_read_when_the_client_left_is_lost_with_it(self) -> None:
        self.client.send(text("x") * 65)
        self.client.vanish()
        self.turn()
        self.assertEqual(self.user.told, ["x"] * 64 + ["(lost)"])

    def test_the_rules_hold_in_the_next_turn_as_well(self) -> None:
        self.client.mute = True
        self.client.send(text("x") * 70 + frame(Opcode.BINARY) + text("y"))
        self.assertIsNone(self.client.closed_with)
        self.turn()
        self.closed(1003)
        self.assertNotIn("y", self.user.told)

    def test_our_goodbye_is_answered_behind_them(self) -> None:
        self.client.send(text("x") * 150)
        self.socket.close(Close.RESTART)
        for _ in range(5):
            self.turn()
        self.assertEqual(self.user.told, ["x"] * 64 + ["(lost)"])
        self.assertTrue(self.client.closed)
        self.assertFalse(self.client.aborted)

    def test_a_client_that_does_not_read_has_no_further_turn(self) -> None:
        self.client.send(text("x") * 100)
        self.client.stop_reading()
        self.socket.send(b"x" * 70_000)
        self.turn()
        self.assertEqual(self.user.told, ["x"] * 64 + ["(pause)"])
        self.client.read_on()
        self.turn()
        self.assertEqual(self.user.told[65:], ["(resume)"] + ["x"] * 36)


class FailureTests(Joined):
    """Our own faults."""

    def failed(self) -> None:
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.closed(1011, "something went wrong on our side")

    def test_a_user_that_raises_ends_the_connection(self) -> None:
        self.user.upon = lambda message: 1 / 0
        self.client.send(text("x") + text("y"))
        self.assertEqual(self.user.told, ["x", "(lost)"])
        self.failed()

    def test_a_message_that_fails_later_does_too(self) -> None:
        taken: Deferred[object] = Deferred()
        self.user.upon = lambda message: taken
        self.client.say("x")
        taken.errback(ZeroDivisionError())
        self.failed()

    def test_a_message_that_has_failed_already_does_too(self) -> None:
        taken: Deferred[object] = Deferred()
        taken.errback(ZeroDivisionError())
        self.user.upon = lambda message: taken
        self.client.say("x")
        self.failed()

    def test_a_user_that_fails_at_other_times_does_too(self) -> None:
        def fail() -> None:
            raise ZeroDivisionError

        self.user.drain = fail  # type: ignore[method-assign]
        self.socket.drain()
        self.failed()

    def test_a_user_that_can_t_be_made_ends_it(self) -> None:
        self.client.vanish()
        self.codes.clear()
        user, client = self.user, WebSocketClient(self.clock)
        none: Any = lambda socket: 1 / 0  # noqa: E731
        socket = Socket(self.clock, SETTINGS, STALL, none, closed=self.codes.append)
        client.attach(socket, text("early"))
        self.assertEqual(client.closed_with, (1011, "something went wrong on our side"))
        socket.drain()
        client.vanish()
        self.assertEqual(self.codes, [1011])
        self.assertEqual(user.told, ["(lost)"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_fault_of_the_parser_ends_it_and_nothing_is_kept(self) -> None:
        def fail() -> None:
            raise ZeroDivisionError

        self.client.mute = True
        self.socket._protocol.received_frames = fail  # type: ignore[assignment,method-assign]
        self.client.say("x")
        self.failed()
        self.assertTrue(self.client.half_closed)
        held = self.socket._protocol._frame_decoder.buffer
        before = len(held)
        self.client.send(b"x" * 1000)
        self.assertEqual(len(held), before)


class ReentrantTests(Joined):
    """What is called in the middle of something else."""

    def test_a_user_may_close_while_it_takes_a_message(self) -> None:
        self.user.upon = lambda message: self.socket.close(Close.POLICY, "nonsense")
        self.client.send(text("x") + text("y") + frame(Opcode.PING, b"z"))
        self.assertEqual(self.user.told, ["x", "(lost)"])
        self.closed(1008, "nonsense")
        self.assertEqual(self.client.pongs, [])
        self.turn()
        self.turn()
        self.assertTrue(self.client.closed)

    def test_a_user_may_close_while_it_is_made(self) -> None:
        self.client.vanish()
        self.codes.clear()
        told: list[str] = []

        def user(socket: Socket) -> Recorder:
            recorder = self.user = Recorder(socket)
            recorder.told = told
            socket.send(b"sorry")
            socket.close(Close.POLICY)
            return recorder

        self.client = WebSocketClient(self.clock)
        self.socket = Socket(
            self.clock, SETTINGS, STALL, user, closed=self.codes.append
        )
        self.client.attach(self.socket, text("early"))
        self.assertEqual(self.client.texts(), ["sorry"])
        self.closed(1008)
        self.assertEqual(told, ["(lost)"])

    def test_the_connection_may_be_lost_while_something_is_written(self) -> None:
        doings: list[Callable[[], object]] = [
            lambda: self.socket.send(b"x"),
            lambda: self.socket.close(),
            lambda: self.socket.probe(5),
            lambda: self.client.ping(b"x"),
            lambda: self.client.send(frame(Opcode.BINARY)),
            lambda: self.client.send(closing()),
            lambda: self.client.say("answer") or self.clock.advance(20),  # type: ignore[func-returns-value]
        ]
        for do in doings:
            self.client.vanish()
            self.codes.clear()
            self.join()
            client, write = self.client, self.client.write
            self.user.upon = lambda message: self.socket.send(b"an answer")

            def fail(data: bytes, client: Any = client, write: Any = write) -> None:
                write(data)
                client.vanish()

            client.write = fail  # type: ignore[method-assign]
            do()
            self.turn()
            self.assertTrue(client.closed)
            self.assertFalse(client.half_closed)
            self.assertEqual(self.clock.getDelayedCalls(), [])
            self.assertEqual(self.user.told.count("(lost)"), 1)
            self.assertEqual(len(self.codes), 1)

    def test_being_paused_in_a_write_keeps_the_rest_for_later(self) -> None:
        self.client.stop_reading()
        self.user.upon = lambda message: self.socket.send(b"x" * 70_000)
        self.client.send(text("one") + text("two"))
        self.client.read_on()
        self.assertEqual(self.user.told, ["one", "(pause)", "(resume)", "two"])

    def test_a_message_is_taken_before_the_next_comes(self) -> None:
        def take(message: str) -> None:
            self.socket.pauseProducing()
            self.socket.resumeProducing()
            self.user.told.append(f"{message} taken")

        self.user.upon = take
        self.client.send(text("one") + text("two"))
        self.assertEqual(
            self.user.told,
            [
                *("one", "(pause)", "(resume)", "one taken"),
                *("two", "(pause)", "(resume)", "two taken"),
            ],
        )

    def test_a_close_when_paused_in_a_write(self) -> None:
        self.client.stop_reading()
        self.user.pause = lambda: self.socket.close(Close.POLICY)  # type: ignore[method-assign]
        self.socket.send(b"x" * 70_000)
        self.assertEqual(self.user.told, ["(lost)"])
        self.client.read_on()
        self.closed(1008)


class ServedTests(SynchronousTestCase):
    """The same through the HTTP server."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.codes: list[int] = []
        self.server = HttpServer(self.clock, HttpSettings())
        self.client = WebSocketClient(self.clock)
        self.client.connect(self.server.factory(self.answer))

    def tearDown(self) -> None:
        self.client.vanish()
        self.clock.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.client.faults, [])
        self.assertEqual(self.server.connections, 0)

    def answer(self, exchange: Exchange) -> None:
        agreement = agree(exchange, SETTINGS)

        def user(socket: Socket) -> Recorder:
            self.user = Recorder(socket)
            self.user.upon = lambda message: socket.send(message.encode())
            return self.user

        socket = Socket(
            self.clock,
            SETTINGS,
            STALL,
            user,
            agreement.extensions,
            self.codes.append,
        )
        exchange.upgrade(socket, agreement.headers)

    def test_a_conversation_from_beginning_to_end(self) -> None:
        response = self.client.open(extensions=DEFLATE, early=text('"early"'))
        assert response is not None
        self.assertEqual(response.status, 101)
        self.client.post({"said": "x" * 3000}, compress=True)
        self.assertEqual(self.client.take(), ["early", {"said": "x" * 3000}])
        for _ in range(100):
            self.clock.advance(1)
        self.assertGreater(len(self.client.pings), 3)
        self.client.close(1001)
        self.clock.advance(0)
        self.assertEqual(self.codes, [1001])
        self.assertTrue(self.client.closed)
        self.assertFalse(self.client.aborted)

    def test_the_server_can_end_it(self) -> None:
        self.client.open()
        drained = self.server.drain(10)
        self.assertEqual(self.user.told, ["(drain)"])
        self.clock.advance(9.9)
        self.assertIsNone(self.client.closed_with)
        self.clock.advance(0.1)
        self.assertEqual(self.client.closed_with, (1012, "the server is restarting"))
        for _ in range(2):
            self.clock.advance(0)
        self.successResultOf(drained)
        self.assertEqual(self.codes, [1012])


# Whatever comes


class _Meeting:
    """A socket and its client for one example."""

    def __init__(self, compress: bool = False) -> None:
        self.clock = Clock()
        self.codes: list[int] = []
        self.users: list[Recorder] = []
        extensions = [Deflate(LIMIT)] if compress else []
        self.socket = Socket(
            self.clock, SETTINGS, STALL, self.user, extensions, self.codes.append
        )
        self.client = WebSocketClient(self.clock)
        self.client.attach(self.socket)

    def user(self, socket: Socket) -> Recorder:
        self.users.append(Recorder(socket))
        return self.users[0]

    def feed(self, data: bytes, cuts: list[int]) -> list[str]:
        """What the user is told; then all comes to its end."""
        start = 0
        for cut in [*sorted(cuts), len(data)]:
            if start < cut <= len(data):
                self.client.send(data[start:cut])
                start = cut
        self.clock.advance(0)
        self.end()
        return self.users[0].told

    def end(self) -> None:
        closed = self.client.closed_with
        if closed is not None:
            assert closed[0] in CODES | THEIRS or closed[0] >= 3000
            for _ in range(2):
                self.clock.advance(0)
            self.clock.advance(2)
        self.client.vanish()
        self.clock.advance(0)
        assert self.clock.getDelayedCalls() == []
        assert self.client.faults == []
        assert len(self.codes) == 1
        assert self.users[0].told.count("(lost)") == 1


_said = st.text(max_size=40)


@given(
    st.lists(
        st.tuples(_said, st.integers(1, 4), st.booleans(), st.booleans()), max_size=6
    ),
    st.lists(st.integers(0, 600), max_size=8),
)
def test_cuts_make_no_difference(
    messages: list[tuple[str, int, bool, bool]], cuts: list[int]
) -> None:
    data, expected = b"", []
    for said, fragments, compressed, pinged in messages:
        payload = said.encode()
        if compressed:
            deflator = zlib.compressobj(6, zlib.DEFLATED, -15)
            payload = deflator.compress(payload) + deflator.flush(zlib.Z_SYNC_FLUSH)
            payload = payload[:-4]
        step = len(payload) // fragments + 1
        pieces = [payload[n : n + step] for n in range(0, len(payload), step)] or [b""]
        for n, piece in enumerate(pieces):
            opcode = Opcode.CONTINUATION if n else Opcode.TEXT
            rsv = 4 if compressed and not n else 0
            data += frame(opcode, piece, fin=n == len(pieces) - 1, rsv=rsv)
            data += frame(Opcode.PING, b"ping") if pinged else b""
        expected.append(said)
    assert _Meeting(compress=True).feed(data, cuts) == [*expected, "(lost)"]


_frames = st.builds(
    frame,
    st.integers(0, 15),
    st.binary(max_size=20),
    fin=st.booleans(),
    rsv=st.sampled_from([0, 0, 0, 4, 1]),
    mask=st.sampled_from([b"abcd", b"abcd", b"abcd", None]),
    length=st.sampled_from([None, None, None, 1, 130, 70_000]),
)


@given(
    st.lists(_frames | st.binary(max_size=30), max_size=12),
    st.lists(st.integers(0, 200), max_size=5),
    st.booleans(),
)
def test_garbage_ends_with_a_known_code_or_not_at_all(
    pieces: list[bytes], cuts: list[int], compress: bool
) -> None:
    _Meeting(compress).feed(b"".join(pieces), cuts)


def test_a_storm_of_any_kind_ends_within_the_limits() -> None:
    source = random.Random(7)
    begun = frame(Opcode.TEXT, b"x", fin=False)
    for storm in (
        begun + frame(Opcode.CONTINUATION, b"x", fin=False) * 10_000,
        begun + frame(Opcode.CONTINUATION, b"", fin=False) * 10_000,
        frame(Opcode.PING, b"x" * 125) * 10_000,
        frame(Opcode.PONG) * 10_000,
        text("") * 10_000,
        source.randbytes(100_000),
    ):
        meeting = _Meeting()
        told = meeting.feed(storm, list(range(0, len(storm), 65_536)))
        assert meeting.codes[0] in CODES
        assert len(told) <= SETTINGS.frames + 1
        assert len(meeting.client.pongs) <= SETTINGS.frames
