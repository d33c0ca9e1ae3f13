"""`done` fires exactly once, whatever happens, and the connection is always closed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IProtocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseDone, ResponseFailed
from twisted.web.http import PotentialDataLoss
from zope.interface.verify import verifyObject

from supportbot.errors import (
    BodyBroken,
    BodyCut,
    BodyTooLong,
    ByteRepeated,
    NoProgress,
    ParagraphTooLong,
    ServiceTimedOut,
)
from supportbot.streaming.body import Body, Reader
from supportbot.streaming.paragraphs import JsonParagraphs
from supportbot.streaming.plain_text import PlainText
from supportbot.streaming.runaway import Guard
from tests.test_json_text import BROKEN, DOCUMENTS, FIELD, cut
from tests.test_paragraphs import right_paragraphs

ONE, TWO = "<p>One.</p>", "<p>Two.</p>"
HEAD, TAIL = b'{"response": "', b'"}'
WHOLE = HEAD + ONE.encode() + TWO.encode() + TAIL

DONE = Failure(ResponseDone())
MAYBE = Failure(PotentialDataLoss())
LOST = Failure(ResponseFailed([Failure(ConnectionLost())]))


class Listener:
    """A body and everything that comes out of it.

    Args:
        give: called with each paragraph after it was noted.
        hang_up: called after it was noted that the connection is closed.
    """

    def __init__(
        self,
        reader: Reader | None = None,
        guard: Guard | None = None,
        give: Callable[[str], None] = lambda paragraph: None,
        hang_up: Callable[[], None] = lambda: None,
    ) -> None:
        self.clock = Clock()
        self.given: list[str] = []
        self.results: list[object] = []
        self.hung_up = 0
        self._give, self._close = give, hang_up
        self.body = Body(
            self.clock,
            reader or JsonParagraphs(FIELD, limit=200),
            guard or Guard(repeated=20, body=2_000),
            self._take,
            self._hang_up,
            idle=5.0,
            progress=15.0,
            total=30.0,
        )
        self.body.done.addBoth(self._note)

    def _note(self, result: object) -> None:
        self.results.append(result)

    def _take(self, paragraph: str) -> None:
        self.given.append(paragraph)
        self._give(paragraph)

    def _hang_up(self) -> None:
        self.hung_up += 1
        self._close()


class ListenerTestCase(SynchronousTestCase):
    def assertOver(
        self, heard: Listener, given: Iterable[str], error: type[Exception] | None
    ) -> None:
        """It ended so, exactly once, and nothing can stir it again."""
        for _ in range(2):
            self.assertEqual(heard.given, list(given))
            self.assertEqual(len(heard.results), 1)
            if error is None:
                self.assertIsNone(heard.results[0])
            else:
                self.assertIsInstance(self.errorOf(heard), error)
            self.assertEqual(heard.hung_up, 1)
            self.assertEqual(heard.clock.getDelayedCalls(), [])
            heard.body.dataReceived(WHOLE)
            heard.body.dataReceived(b"0" * 100_000)
            heard.body.connectionLost(DONE)
            heard.body.connectionLost(LOST)
            heard.body.done.cancel()
            heard.clock.advance(1_000)

    def errorOf(self, heard: Listener) -> BaseException:
        (failure,) = heard.results
        assert isinstance(failure, Failure), failure
        assert failure.value is not None
        return failure.value

    def assertGoesOn(self, heard: Listener, given: Iterable[str]) -> None:
        self.assertEqual(heard.given, list(given))
        self.assertEqual(heard.results, [])
        self.assertEqual(heard.hung_up, 0)


class BodyTests(ListenerTestCase):
    def test_it_is_a_protocol(self) -> None:
        heard = Listener()
        verifyObject(IProtocol, heard.body)
        heard.body.done.cancel()

    def test_an_answer_that_is_whole_needs_no_end_of_the_connection(self) -> None:
        heard = Listener()
        for byte in WHOLE[:-1]:
            heard.body.dataReceived(bytes([byte]))
        self.assertGoesOn(heard, [ONE, TWO])
        heard.body.dataReceived(WHOLE[-1:])
        self.assertOver(heard, [ONE, TWO], None)

    def test_what_follows_the_answer_is_ignored(self) -> None:
        for behind in (b"}", b"0" * 1_999, b"0" * 100_000, WHOLE, b"\xff"):
            heard = Listener()
            heard.body.dataReceived(WHOLE + behind)
            self.assertOver(heard, [ONE, TWO], None)

    def test_the_end_of_the_connection_proves_nothing(self) -> None:
        for end in (DONE, MAYBE, LOST, Failure(ConnectionDone())):
            for size in (0, 5, len(HEAD) + len(ONE), len(WHOLE) - 1):
                heard = Listener()
                heard.body.dataReceived(WHOLE[:size])
                heard.body.connectionLost(end)
                self.assertOver(heard, heard.given, BodyCut)
                self.assertEqual(heard.given, [ONE, TWO][: len(heard.given)])

    def test_a_body_without_a_byte_is_cut(self) -> None:
        heard = Listener()
        heard.body.connectionLost(DONE)
        self.assertOver(heard, [], BodyCut)

    def test_nobody_says_how_the_connection_ended(self) -> None:
        heard = Listener(PlainText())
        heard.body.connectionLost()  # Twisted's default is ConnectionDone
        self.assertOver(heard, [], BodyCut)

    def test_what_the_end_gives_comes_before_done(self) -> None:
        for end in (DONE, MAYBE):
            heard = Listener(PlainText())
            heard.body.dataReceived(b"Excellence in service ")
            heard.body.dataReceived(b"creates loyal customers.\n")
            self.assertGoesOn(heard, [])
            heard.body.connectionLost(end)
            told = "Excellence in service creates loyal customers."
            self.assertOver(heard, [told], None)

    def test_plain_text_over_a_broken_connection_is_cut(self) -> None:
        heard = Listener(PlainText())
        heard.body.dataReceived(b"Excellence in")
        heard.body.connectionLost(LOST)
        self.assertOver(heard, [], BodyCut)

    def test_the_cause_of_a_cut_is_kept(self) -> None:
        heard = Listener()
        heard.body.connectionLost(LOST)
        error = self.errorOf(heard)
        self.assertEqual(str(error), "ResponseFailed")
        self.assertIs(error.__cause__, LOST.value)

    def test_what_is_no_json_ends_it(self) -> None:
        heard = Listener()
        heard.body.dataReceived(HEAD + ONE.encode() + b"\\q" + TWO.encode())
        self.assertOver(heard, [ONE], BodyBroken)

    def test_a_reader_may_fail_at_the_end(self) -> None:
        heard = Listener(PlainText())
        heard.body.dataReceived(b"caf\xc3")
        heard.body.connectionLost(DONE)
        self.assertOver(heard, [], BodyBroken)

    def test_a_paragraph_may_be_too_long(self) -> None:
        heard = Listener()
        heard.body.dataReceived(HEAD + ONE.encode() + b"<p>" + b"ha" * 200)
        self.assertOver(heard, [ONE], ParagraphTooLong)

    def test_the_guard_ends_it_after_what_stands_in_front(self) -> None:
        for flood, error in (
            (b"0" * 21, ByteRepeated),
            (b" ,.-" * 1_000, BodyTooLong),
        ):
            heard = Listener(JsonParagraphs(FIELD))
            heard.body.dataReceived(HEAD + ONE.encode() + flood + TWO.encode())
            self.assertOver(heard, [ONE], error)

    def test_the_guard_counts_across_pieces(self) -> None:
        heard = Listener()
        heard.body.dataReceived(HEAD + ONE.encode())
        for _ in range(20):
            heard.body.dataReceived(b"0")
        self.assertGoesOn(heard, [ONE])
        heard.body.dataReceived(b"0")
        self.assertOver(heard, [ONE], ByteRepeated)

    def test_whoever_takes_the_paragraphs_may_fail(self) -> None:
        def give(paragraph: str) -> None:
            raise ZeroDivisionError(paragraph)

        heard = Listener(give=give)
        heard.body.dataReceived(WHOLE)
        self.assertOver(heard, [ONE], ZeroDivisionError)
        heard = Listener(PlainText(), give=give)
        heard.body.dataReceived(b"text")
        heard.body.connectionLost(DONE)
        self.assertOver(heard, ["text"], ZeroDivisionError)

    def test_cancelling_hangs_up(self) -> None:
        heard = Listener()
        heard.body.dataReceived(HEAD + ONE.encode())
        heard.body.done.cancel()
        self.assertOver(heard, [ONE], CancelledError)

    def test_cancelling_by_whoever_takes_the_paragraphs(self) -> None:
        def give(paragraph: str) -> None:
            heard.body.done.cancel()

        for document in (WHOLE, WHOLE + b"0" * 100, WHOLE[:-4] + b"\xff"):
            heard = Listener(give=give)
            heard.body.dataReceived(document)
            self.assertOver(heard, [ONE], CancelledError)
        heard = Listener(PlainText(), give=give)
        heard.body.dataReceived(b"text")
        heard.body.connectionLost(DONE)
        self.assertOver(heard, ["text"], CancelledError)

    def test_hanging_up_may_end_the_connection_there_and_then(self) -> None:
        def hang_up() -> None:
            heard.body.dataReceived(TWO.encode())
            heard.body.connectionLost(LOST)

        for document, error in ((WHOLE, None), (b"[", BodyBroken)):
            heard = Listener(hang_up=hang_up)
            heard.body.dataReceived(document)
            self.assertOver(heard, [ONE, TWO] if error is None else [], error)

    def test_whoever_waits_may_come_back_there_and_then(self) -> None:
        heard = Listener()

        def come_back(result: object) -> None:
            heard.body.dataReceived(WHOLE)
            heard.body.connectionLost(DONE)

        heard.body.done.addBoth(come_back)
        heard.body.dataReceived(WHOLE)
        self.assertOver(heard, [ONE, TWO], None)
        self.assertIsNone(self.successResultOf(heard.body.done))


class DeadlineTests(ListenerTestCase):
    def drip(self, heard: Listener, pieces: Iterable[bytes], pause: float) -> None:
        for piece in pieces:
            heard.clock.advance(pause)
            heard.body.dataReceived(piece)

    def assertPhase(self, heard: Listener, phase: str, seconds: float) -> None:
        error = self.errorOf(heard)
        assert isinstance(error, ServiceTimedOut)
        self.assertEqual((error.phase, error.seconds), (phase, seconds))

    def test_nothing_comes(self) -> None:
        heard = Listener()
        heard.clock.advance(4.9)
        self.assertGoesOn(heard, [])
        heard.clock.advance(0.1)
        self.assertOver(heard, [], ServiceTimedOut)
        self.assertPhase(heard, "idle", 5.0)

    def test_the_idle_limit_counts_from_the_last_byte(self) -> None:
        heard = Listener()
        self.drip(heard, [HEAD, ONE.encode(), b"<p>"], 4.9)
        heard.clock.advance(4.9)
        self.assertGoesOn(heard, [ONE])
        heard.clock.advance(0.1)
        self.assertOver(heard, [ONE], ServiceTimedOut)
        self.assertPhase(heard, "idle", 5.0)

    def test_bytes_without_a_paragraph_are_no_progress(self) -> None:
        heard = Listener()
        self.drip(heard, [HEAD, ONE.encode(), *[b"ha"] * 3], 4.0)
        self.assertGoesOn(heard, [ONE])
        heard.clock.advance(2.9)  # 14.9 s after the paragraph
        self.assertGoesOn(heard, [ONE])
        heard.clock.advance(0.1)
        self.assertOver(heard, [ONE], NoProgress)

    def test_no_first_paragraph_is_no_progress_either(self) -> None:
        heard = Listener()
        self.drip(heard, [HEAD, b"<p>", b"a", b"b"], 3.7)
        heard.clock.advance(0.2)
        self.assertOver(heard, [], NoProgress)

    def test_a_slow_drip_ends_at_the_total(self) -> None:
        heard = Listener()
        pieces = [HEAD, *[ONE.encode()] * 6]
        self.drip(heard, pieces, 4.2)
        heard.clock.advance(0.5)
        self.assertGoesOn(heard, [ONE] * 6)
        heard.clock.advance(0.2)
        self.assertOver(heard, [ONE] * 6, ServiceTimedOut)
        self.assertPhase(heard, "total", 30.0)

    def test_hanging_up_late_may_end_the_connection_there_and_then(self) -> None:
        heard = Listener(hang_up=lambda: heard.body.connectionLost(LOST))
        heard.clock.advance(5.0)
        self.assertOver(heard, [], ServiceTimedOut)


def outcome_of(chunks: Iterable[bytes]) -> tuple[list[str], str | None]:
    """What comes of a body that ends as HTTP/1.0 bodies do."""
    heard = Listener(JsonParagraphs(FIELD), Guard())
    for chunk in chunks:
        heard.body.dataReceived(chunk)
    heard.body.connectionLost(MAYBE)
    assert heard.hung_up == 1
    assert heard.clock.getDelayedCalls() == []
    (result,) = heard.results
    if isinstance(result, Failure):
        return heard.given, type(result.value).__name__
    return heard.given, None


@given(cut(DOCUMENTS))
def test_an_answer_arrives_however_it_is_cut(
    document: tuple[bytes, list[bytes]],
) -> None:
    whole, chunks = document
    right = right_paragraphs(json.loads(whole)[FIELD]).given
    assert outcome_of([whole]) == (right, None)
    assert outcome_of(chunks) == (right, None)


@given(cut(BROKEN), st.integers(0, 400))
def test_a_broken_one_ends_the_same_however_it_is_cut(
    document: tuple[bytes, list[bytes]], flood: int
) -> None:
    whole, chunks = document
    zeroes = b"0" * flood
    assert outcome_of([*chunks, zeroes]) == outcome_of([whole + zeroes])
