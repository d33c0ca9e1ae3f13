"""Third parties and all that they can get wrong, without a socket."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import NamedTuple

from twisted.internet import error as net
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from supportbot.errors import (
    ServiceBusy,
    ServiceError,
    ServiceResting,
    ServiceUnreachable,
)
from supportbot.events import Format
from supportbot.interfaces import Question
from supportbot.services.http_stream import HTTP_STREAM
from supportbot.services.http_text import HTTP_TEXT
from supportbot.services.third_party import Dialect, ThirdParty
from supportbot.settings import Bounds, Retry, ServiceSettings
from tests.wire import ANSWER, TEXT, Connection, Endpoint

PARAGRAPHS = ["<p>One.</p>", "<p>Two.</p>", "<p>Three.</p>"]
DOCUMENT = json.dumps({"timestamp": 1_732_000_000, "response": "".join(PARAGRAPHS)})
WHOLE = ANSWER + DOCUMENT.encode()
ONCE = Retry(attempts=1)
CUT_IN_TWO = DOCUMENT.encode()[: DOCUMENT.index("Two")]


class Told:
    """A reply that keeps what it is given."""

    def __init__(self) -> None:
        self.paragraphs: list[str] = []
        self.formats: list[Format] = []
        self.notices: list[str] = []

    def paragraph(self, text: str, format: Format = "html") -> None:
        self.paragraphs.append(text)
        self.formats.append(format)

    def revise(self, keep: int) -> None:
        del self.paragraphs[keep:]

    def delta(self, text: str) -> None:
        raise AssertionError("third parties have no deltas")

    def notice(self, text: str) -> None:
        self.notices.append(text)


class ThirdPartyTestCase(SynchronousTestCase):
    """A service on a wire that the test holds."""

    def setUp(self) -> None:
        self.clock, self.told = Clock(), Told()
        self.endpoint = Endpoint(self.clock)
        self.logged: list[LogEvent] = []
        globalLogPublisher.addObserver(self.logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.logged.append)

    def service(self, dialect: Dialect = HTTP_STREAM, **changes: object) -> ThirdParty:
        settings = ServiceSettings(
            name="support",
            title="support service",
            intent="help",
            url="http://support.test:8081/ask",
            **changes,  # type: ignore[arg-type]
        )
        return ThirdParty(settings, dialect, self.clock, self.endpoint)

    def ask(
        self, service: ThirdParty, text: str = "help", told: Told | None = None
    ) -> Deferred[None]:
        question = Question(text, lambda: Deferred())
        return Deferred.fromCoroutine(service.answer(question, told or self.told))

    def assert_at_rest(self) -> None:
        """No timer is left, and no connection."""
        self.clock.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual([c for c in self.endpoint.connections if c.open], [])


class AskingTests(ThirdPartyTestCase):
    """What goes over the wire."""

    def test_posts_the_message_with_its_length(self) -> None:
        self.ask(self.service(), "help mé")
        head, _, body = self.endpoint.last.request.partition(b"\r\n\r\n")
        self.assertEqual(body, "help mé".encode())
        lines = head.lower().split(b"\r\n")
        self.assertEqual(lines[0], b"post /ask http/1.1")
        for line in (
            b"host: support.test:8081",
            b"content-length: 8",
            b"accept-encoding: identity",
            b"accept: application/json",
            b"connection: close",
        ):
            self.assertIn(line, lines)
        self.assertNotIn(b"transfer-encoding", head.lower())

    def test_visits_a_text_service(self) -> None:
        done = self.ask(self.service(HTTP_TEXT))
        self.assertTrue(self.endpoint.last.request.startswith(b"GET /ask HTTP/1.1"))
        self.assertNotIn(b"content-length", self.endpoint.last.request.lower())
        self.endpoint.last.answer(TEXT, b"At your service.")
        self.assertEqual(self.told.paragraphs, [])
        self.endpoint.last.finish()
        self.successResultOf(done)
        self.assertEqual(self.told.paragraphs, ["At your service."])
        self.assertEqual(self.told.formats, ["plain"])
        self.assert_at_rest()

    def test_sends_known_names_in_the_spelling_of_the_service(self) -> None:
        service = self.service(topics=("flashing red light",))
        self.ask(service, "HELP! My Flashing  RED lights!!")
        body = self.endpoint.last.request.partition(b"\r\n\r\n")[2]
        self.assertEqual(body, b"HELP! My flashing red light!!")

    def test_suggests_the_closest_known_names(self) -> None:
        service = self.service(topics=("Quantum Coffee Maker",), suggest=True)
        done = self.ask(service, "help with my quantum tea maker")
        self.endpoint.last.answer(ANSWER, b'{"response": "Nothing found."}')
        self.successResultOf(done)
        self.assertEqual(
            self.told.paragraphs,
            ["Nothing found.", "Did you mean “Quantum Coffee Maker”?"],
        )

    def test_suggests_nothing_to_who_named_something(self) -> None:
        service = self.service(
            topics=("Quantum Coffee Maker", "Coffee Pot"), suggest=True
        )
        done = self.ask(service, "help with my quantum coffee maker")
        self.endpoint.last.answer(WHOLE)
        self.successResultOf(done)
        self.assertEqual(self.told.paragraphs, PARAGRAPHS)


class AnsweringTests(ThirdPartyTestCase):
    """Answers that are all right."""

    def test_gives_a_paragraph_the_moment_its_last_byte_is_in(self) -> None:
        done = self.ask(self.service())
        for at, byte in enumerate(WHOLE):
            self.endpoint.last.answer(bytes([byte]))
            so_far = WHOLE[: at + 1].count(b"</p>")
            self.assertEqual(self.told.paragraphs, PARAGRAPHS[:so_far])
        self.successResultOf(done)
        self.assertEqual(self.told.formats, ["html"] * 3)
        self.assert_at_rest()

    def test_does_not_wait_for_the_end_of_the_connection(self) -> None:
        done = self.ask(self.service())
        self.endpoint.last.answer(WHOLE)
        self.successResultOf(done)
        self.assertTrue(self.endpoint.last.aborted)

    def test_takes_chunks_and_lengths_too(self) -> None:
        body = DOCUMENT.encode()
        for head, framed in (
            (b"Content-Length: %d" % len(body), body),
            (
                b"Transfer-Encoding: chunked",
                b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body),
            ),
        ):
            self.told = Told()
            done = self.ask(self.service())
            self.endpoint.last.answer(
                b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n", framed
            )
            self.successResultOf(done)
            self.assertEqual(self.told.paragraphs, PARAGRAPHS)

    def test_a_body_that_comes_with_its_headers_is_not_counted_as_headers(self) -> None:
        service = self.service(bounds=Bounds(head=len(ANSWER)))
        done = self.ask(service)
        self.endpoint.last.answer(WHOLE)
        self.successResultOf(done)
        self.assertEqual(self.told.paragraphs, PARAGRAPHS)
        done = self.ask(self.service(bounds=Bounds(head=len(ANSWER) - 1), retry=ONCE))
        self.endpoint.last.answer(WHOLE)
        self.clock.advance(0)
        error = self.failureResultOf(done, ServiceError).value
        self.assertEqual(str(error), "the headers are too long")
        self.assert_at_rest()

    def test_honest_text_is_no_runaway(self) -> None:
        table = "+" + "-" * 200 + "+\n|" + " " * 200 + "|"
        for text in (table, "serial 1000000000", "0" * 400, "<p>=====</p>" * 50):
            self.told = Told()
            done = self.ask(self.service())
            document = json.dumps({"response": text}).encode()
            self.endpoint.last.answer(ANSWER, document)
            self.successResultOf(done)
            self.assertEqual("".join(self.told.paragraphs), text)

    def test_stopping_closes_the_connection_at_once(self) -> None:
        stages: list[Callable[[Connection], None]] = [
            lambda c: None,
            lambda c: c.answer(ANSWER[:20]),
            lambda c: c.answer(ANSWER, CUT_IN_TWO),
        ]
        for reach in stages:
            done = self.ask(self.service())
            reach(self.endpoint.last)
            done.cancel()
            self.assertFalse(self.endpoint.last.open)
            self.clock.advance(0)
            self.failureResultOf(done, CancelledError)
            self.assert_at_rest()

    def test_stopping_while_it_connects_or_waits(self) -> None:
        service = self.service(at_once=1)
        self.endpoint.silent = True
        first, second = self.ask(service), self.ask(service)
        second.cancel()
        self.failureResultOf(second, CancelledError)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assert_at_rest()


class Fault(NamedTuple):
    """Something that a service does, and what is said about it.

    Attributes:
        does: what happens on the wire.
        logged: the class of the error in the operator's log.
        told: the customer's line if this goes on.
        again: whether it is asked again.
    """

    does: Callable[[ThirdPartyTestCase], None]
    logged: str
    told: str
    again: bool


def sends(*pieces: bytes, end: str = "") -> Callable[[ThirdPartyTestCase], None]:
    """A fault: the service sends these bytes, then finishes, resets or waits."""

    def does(test: ThirdPartyTestCase) -> None:
        connection = test.endpoint.last
        connection.answer(*pieces)
        if end:
            getattr(connection, end)()

    return does


def waits(seconds: float, *pieces: bytes) -> Callable[[ThirdPartyTestCase], None]:
    """A fault: the service sends these bytes, and then nothing for so long."""

    def does(test: ThirdPartyTestCase) -> None:
        test.endpoint.last.answer(*pieces)
        test.clock.advance(seconds)

    return does


def status(line: bytes, *headers: bytes) -> bytes:
    """A response without a body."""
    return b"\r\n".join([b"HTTP/1.1 " + line, *headers, b"Content-Length: 0", b"", b""])


def typed(media: bytes, body: bytes) -> bytes:
    """A response of this media type."""
    return b"HTTP/1.0 200 OK\r\nContent-Type: %s\r\n\r\n%s" % (media, body)


UNREACHABLE = "The support service can't be reached at the moment."
SLOW = "The support service takes too long to answer."
REFUSES = "The support service does not accept questions at the moment."
UNREADABLE = "The support service sent an answer that can't be read."
BROKE_OFF = "The support service broke off in the middle of its answer."
STUCK = "The support service got stuck in the middle of its answer."
EMPTY = "The support service gave an empty answer."
BOMB = gzip.compress(b"0" * 1_000_000)

FAULTS = {
    "closes without a word": Fault(
        sends(end="finish"), "ServiceUnreachable", UNREACHABLE, True
    ),
    "resets before the headers": Fault(
        sends(ANSWER[:9], end="reset"), "ServiceUnreachable", UNREACHABLE, True
    ),
    "accepts and is silent": Fault(waits(5.0), "ServiceTimedOut", SLOW, True),
    "trickles headers": Fault(waits(5.0, ANSWER[:20]), "ServiceTimedOut", SLOW, True),
    "speaks no HTTP": Fault(
        sends(b"220 smtp.test ESMTP\r\n\r\n"), "BodyBroken", UNREADABLE, True
    ),
    "sends endless headers": Fault(
        sends(b"HTTP/1.0 200 OK\r\n", *[b"X-Y: %s\r\n" % (b"z" * 9000)] * 9),
        "BodyBroken",
        UNREADABLE,
        True,
    ),
    "has an error of its own": Fault(
        sends(status(b"500 Oops")), "ServiceRefused", REFUSES, True
    ),
    "is overloaded": Fault(
        sends(status(b"503 Busy", b"Retry-After: 1")), "ServiceRefused", REFUSES, True
    ),
    "wants fewer questions": Fault(
        sends(status(b"429 Slow down")), "ServiceRefused", REFUSES, True
    ),
    "does not know the page": Fault(
        sends(status(b"404 Gone")), "ServiceRefused", REFUSES, False
    ),
    "wants a password": Fault(
        sends(status(b"401 Who")), "ServiceRefused", REFUSES, False
    ),
    "has nothing to say": Fault(
        sends(status(b"204 Nothing")), "ServiceRefused", REFUSES, False
    ),
    "redirects": Fault(
        sends(status(b"302 Found", b"Location: http://169.254.169.254/")),
        "ServiceRefused",
        REFUSES,
        False,
    ),
    "sends HTML": Fault(
        sends(typed(b"text/html", b"<html>")), "AnswerUnusable", UNREADABLE, False
    ),
    "compresses a bomb": Fault(
        sends(
            b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n"
            b"Content-Encoding: gzip, gzip\r\n\r\n" + BOMB
        ),
        "AnswerUnusable",
        UNREADABLE,
        False,
    ),
    "ends too early": Fault(
        sends(ANSWER, CUT_IN_TWO, end="finish"), "BodyCut", BROKE_OFF, True
    ),
    "resets in the body": Fault(
        sends(ANSWER, CUT_IN_TWO, end="reset"), "BodyCut", BROKE_OFF, True
    ),
    "promises more than it sends": Fault(
        sends(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            b"Content-Length: 9999\r\n\r\n" + CUT_IN_TWO,
            end="finish",
        ),
        "BodyCut",
        BROKE_OFF,
        True,
    ),
    "cuts a chunk": Fault(
        sends(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\nff\r\n" + CUT_IN_TWO,
            end="finish",
        ),
        "BodyCut",
        BROKE_OFF,
        True,
    ),
    "falls silent": Fault(
        waits(5.0, ANSWER, CUT_IN_TWO), "ServiceTimedOut", SLOW, True
    ),
    "switches to zeroes": Fault(
        sends(ANSWER, CUT_IN_TWO, b"0" * 1024), "ByteRepeated", STUCK, True
    ),
    "sends NULs": Fault(
        sends(ANSWER, CUT_IN_TWO, b"\0" * 1024), "BodyBroken", UNREADABLE, True
    ),
    "sends zeroes only": Fault(
        sends(ANSWER, b"0" * 1024), "BodyBroken", UNREADABLE, True
    ),
    "never ends a paragraph": Fault(
        sends(ANSWER, CUT_IN_TWO, b"so on " * 6_000), "ParagraphTooLong", STUCK, True
    ),
    "never ends its answer": Fault(
        sends(ANSWER, b'{"response": "', b"<p>on</p>" * 30_000),
        "BodyTooLong",
        STUCK,
        True,
    ),
    "sends invalid UTF-8": Fault(
        sends(ANSWER, CUT_IN_TWO, b"\xff</p>"), "BodyBroken", UNREADABLE, True
    ),
    "sends half a character": Fault(
        sends(ANSWER, CUT_IN_TWO, b"\\ud800</p>"), "BodyBroken", UNREADABLE, True
    ),
    "sends no JSON": Fault(
        sends(ANSWER, b"Sorry, try again"), "BodyBroken", UNREADABLE, True
    ),
    "has no such field": Fault(
        sends(ANSWER, b'{"answer": "<p>One.</p>"}'), "AnswerUnusable", UNREADABLE, False
    ),
    "has no text in the field": Fault(
        sends(ANSWER, b'{"response": null}'), "AnswerUnusable", UNREADABLE, False
    ),
    "sends an empty answer": Fault(
        sends(ANSWER, b'{"response": ""}'), "AnswerEmpty", EMPTY, False
    ),
    "sends an empty body": Fault(
        sends(ANSWER, end="finish"), "BodyCut", BROKE_OFF, True
    ),
}


class FaultTests(ThirdPartyTestCase):
    """Each fault has its line for the customer, and its entry for the operator."""

    def provoke(self, fault: Fault) -> ServiceError:
        """Let the service have the fault, once, and be asked once."""
        self.setUp()
        done = self.ask(self.service(retry=ONCE), "help, says Rumpelstilzchen")
        fault.does(self)
        self.clock.advance(0)
        error: ServiceError = self.failureResultOf(done, ServiceError).value
        return error

    def test_every_fault_is_told_and_logged(self) -> None:
        for name, fault in FAULTS.items():
            error = self.provoke(fault)
            told = error.told.format(service="support service")
            self.assertEqual((name, told), (name, fault.told))
            kinds = [event.get("kind") for event in self.logged if "kind" in event]
            self.assertEqual((name, kinds), (name, [fault.logged]))
            self.assertEqual((name, error.transient), (name, fault.again))

    def test_every_fault_leaves_nothing_open(self) -> None:
        for name, fault in FAULTS.items():
            self.provoke(fault)
            self.assertEqual((name, self.endpoint.last.open), (name, False))
            self.assert_at_rest()

    def test_no_fault_shows_half_a_paragraph(self) -> None:
        for name, fault in FAULTS.items():
            self.provoke(fault)
            whole = ["<p>One.</p>", "<p>on</p>"]
            odd = [text for text in self.told.paragraphs if text not in whole]
            self.assertEqual((name, odd), (name, []))

    def test_no_fault_puts_the_customers_words_into_the_log(self) -> None:
        for fault in FAULTS.values():
            self.provoke(fault)
            self.assertNotIn("Rumpelstilzchen", repr(self.logged))

    def test_after_every_fault_the_next_attempt_makes_it_whole(self) -> None:
        for name, fault in FAULTS.items():
            if not fault.again or name == "never ends its answer":
                continue
            self.setUp()
            done = self.ask(self.service())
            fault.does(self)
            self.clock.advance(0)
            self.assertNoResult(done)
            self.assertEqual((name, len(self.told.notices)), (name, 1))
            self.clock.advance(1.0)
            self.endpoint.last.answer(WHOLE)
            self.successResultOf(done)
            self.assertEqual((name, self.told.paragraphs), (name, PARAGRAPHS))
            self.assertEqual((name, len(self.endpoint.connections)), (name, 2))
            self.assert_at_rest()

    def test_what_would_be_the_same_again_is_not_asked_again(self) -> None:
        for name, fault in FAULTS.items():
            if not fault.again:
                self.setUp()
                done = self.ask(self.service())
                fault.does(self)
                self.clock.advance(0)
                self.failureResultOf(done, ServiceError)
                self.assertEqual((name, self.told.notices), (name, []))

    def test_garbage_costs_less_than_two_kibibytes(self) -> None:
        for start in range(len(DOCUMENT)):
            self.setUp()
            self.ask(self.service())
            self.endpoint.last.answer(ANSWER, DOCUMENT.encode()[:start])
            for _ in range(2048 // 64):
                self.endpoint.last.answer(b"0" * 64)
            self.assertFalse(self.endpoint.last.open, start)
            shown = DOCUMENT[:start].count("</p>")
            self.assertEqual(self.told.paragraphs, PARAGRAPHS[:shown])

    def test_a_bomb_is_not_inflated(self) -> None:
        self.provoke(FAULTS["compresses a bomb"])
        self.assertTrue(self.endpoint.last.aborted)
        self.assertEqual(self.told.paragraphs, [])

    def test_a_redirect_is_not_followed(self) -> None:
        self.provoke(FAULTS["redirects"])
        self.assertEqual(len(self.endpoint.connections), 1)

    def test_what_comes_after_the_end_is_ignored(self) -> None:
        done = self.ask(self.service())
        self.endpoint.last.answer(WHOLE + b"<p>More.</p>" + b"0" * 4096)
        self.successResultOf(done)
        self.assertEqual(self.told.paragraphs, PARAGRAPHS)


class ConnectingTests(ThirdPartyTestCase):
    """Services that can't be reached."""

    def test_refused_and_unknown_hosts(self) -> None:
        for refusal in (
            net.ConnectionRefusedError(),
            net.DNSLookupError(),
            net.ConnectBindError(),
            net.NoRouteError(),
        ):
            self.setUp()
            self.endpoint.refusal = refusal
            done = self.ask(self.service(retry=ONCE))
            error = self.failureResultOf(done, ServiceError).value
            self.assertEqual(error.told.format(service="support service"), UNREACHABLE)
            self.assertTrue(error.trips)
            self.assert_at_rest()

    def test_a_connection_that_never_stands(self) -> None:
        self.endpoint.silent = True
        done = self.ask(self.service(retry=ONCE))
        self.clock.advance(5.0)
        error = self.failureResultOf(done, ServiceError).value
        self.assertEqual((error.told.format(service="support service")), SLOW)
        self.assert_at_rest()

    def test_a_dead_service_is_left_alone_after_five_attempts(self) -> None:
        self.endpoint.refusal = net.ConnectionRefusedError()
        service = self.service()
        done = self.ask(service)
        self.clock.pump([1.0] * 20)
        self.failureResultOf(done, ServiceUnreachable)
        self.assertEqual(len(self.told.notices), 4)
        self.failureResultOf(self.ask(service), ServiceResting)
        self.assert_at_rest()


class PatienceTests(ThirdPartyTestCase):
    """Customers who wait."""

    def test_a_slow_service_is_mentioned_once(self) -> None:
        self.ask(self.service(retry=Retry(slow=4.0)))
        self.endpoint.last.answer(ANSWER)
        for _ in range(3):
            self.endpoint.last.answer(b" ")
            self.clock.advance(4.0)
        self.assertEqual(
            self.told.notices,
            ["The support service is slow at the moment; still waiting…"],
        )

    def waits_for(self, retry_after: bytes) -> float:
        """Seconds until a service that asks for patience is asked again."""
        self.setUp()
        self.ask(self.service())
        self.endpoint.last.answer(status(b"503 Busy", b"Retry-After: " + retry_after))
        while len(self.endpoint.connections) == 1:
            self.clock.advance(0.5)
        return self.clock.seconds()

    def test_a_service_may_ask_for_patience(self) -> None:
        tomorrow = formatdate(time.time() + 86_400, usegmt=True).encode()
        long_ago = b"Sun, 06 Nov 1994 08:49:37 GMT"
        self.assertEqual(self.waits_for(b"7"), 7.0)
        self.assertEqual(self.waits_for(b"100000"), 30.0)
        self.assertEqual(self.waits_for(tomorrow), 30.0)
        for nothing in (b"0", long_ago, b"soon", b"-5", b"9" * 5_000, b"\xff"):
            self.assertEqual(self.waits_for(nothing), 0.5)

    def test_bytes_without_a_paragraph_are_no_progress(self) -> None:
        done = self.ask(self.service(retry=ONCE))
        self.endpoint.last.answer(ANSWER, b'{"response": "')
        for _ in range(15):
            self.assertNoResult(done)
            self.endpoint.last.answer(b"go on ")
            self.clock.advance(1.0)
        error = self.failureResultOf(done, ServiceError).value
        self.assertEqual(type(error).__name__, "NoProgress")

    def test_a_drip_of_paragraphs_ends_too(self) -> None:
        done = self.ask(self.service(retry=ONCE))
        self.endpoint.last.answer(ANSWER, b'{"response": "')
        for _ in range(30):
            self.assertNoResult(done)
            self.endpoint.last.answer(b"<p>on</p>")
            self.clock.advance(1.0)
        error = self.failureResultOf(done, ServiceError).value
        self.assertEqual(str(error), "total deadline of 30 s passed")

    def test_one_after_the_other_where_the_service_can_do_no_more(self) -> None:
        service = self.service(at_once=1)
        later = Told()
        first, second = self.ask(service), self.ask(service, told=later)
        self.assertEqual(len(self.endpoint.connections), 1)
        self.assertEqual(
            later.notices, ["The support service is busy; you are in line…"]
        )
        self.endpoint.last.answer(WHOLE)
        self.successResultOf(first)
        self.endpoint.last.answer(WHOLE)
        self.successResultOf(second)
        self.assertEqual(later.paragraphs, PARAGRAPHS)
        self.assert_at_rest()

    def test_nobody_waits_for_a_turn_for_ever(self) -> None:
        service = self.service(at_once=1, turn=4.0)
        self.endpoint.silent = True
        first, second = self.ask(service), self.ask(service)
        self.clock.advance(4.0)
        error = self.failureResultOf(second, ServiceBusy).value
        self.assertIn("too many questions", error.told)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assert_at_rest()

    def test_limits_are_settings(self) -> None:
        service = self.service(bounds=Bounds(repeated=4, paragraph=20), retry=ONCE)
        done = self.ask(service)
        self.endpoint.last.answer(ANSWER, b'{"response": "<p>00000')
        error = self.failureResultOf(done, ServiceError).value
        self.assertEqual(str(error), "byte 0x30 came more than 4 times in a row")
