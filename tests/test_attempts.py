"""Asking again, on a clock that only the tests advance."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from supportbot.errors import (
    AnswerEmpty,
    AnswerUnusable,
    BodyBroken,
    BodyCut,
    BodyTooLong,
    ByteRepeated,
    NoProgress,
    ParagraphTooLong,
    ServiceError,
    ServiceRefused,
    ServiceResting,
    ServiceTimedOut,
    ServiceUnreachable,
)
from supportbot.events import Format
from supportbot.services.attempts import Attempts, Breaker
from supportbot.services.story import Story
from supportbot.settings import Breaking, Retry
from tests.fakes import RecordingReply

FLOODS = (ByteRepeated(0x30, 512), BodyTooLong(9), ParagraphTooLong(9), NoProgress(9))
RETRY, BREAKING = Retry(), Breaking()
ABSENCES = (
    ServiceUnreachable(),
    ServiceTimedOut("connect", 3),
    ServiceTimedOut("headers", 5),
    ServiceTimedOut("idle", 5),
    ServiceTimedOut("total", 30),
    ServiceRefused(500),
    ServiceRefused(503),
)


class Try:
    """One attempt, in the test's hands.

    Attributes:
        at: when it began.
        cancelled: it was not wanted any more.
    """

    def __init__(self, at: float, give: Callable[[str, Format], None]) -> None:
        self.at, self._give = at, give
        self.cancelled = False
        self._ended: Deferred[None] = Deferred()

    def give(self, *paragraphs: str) -> None:
        for paragraph in paragraphs:
            self._give(paragraph, "html")

    def end(self, *paragraphs: str) -> None:
        """Give these paragraphs, and be whole."""
        self.give(*paragraphs)
        self._ended.callback(None)

    def fail(self, error: Exception) -> None:
        self._ended.errback(error)

    async def until_ended(self) -> None:
        try:
            await self._ended
        except CancelledError:
            self.cancelled = True
            raise


class Scene:
    """A service whose every attempt the test plays."""

    def __init__(
        self,
        retry: Retry = RETRY,
        breaking: Breaking = BREAKING,
        jitter: Sequence[float] = (),
    ) -> None:
        self.clock = Clock()
        self.clock.advance(1000.0)
        self.tries: list[Try] = []
        self.jitters = list(jitter)
        self.breaker = Breaker(self.clock, breaking)
        self.attempts = Attempts(
            self.clock, "product service", retry, self.breaker, self._jitter
        )
        self.reply = RecordingReply()

    def _jitter(self) -> float:
        return self.jitters.pop(0) if self.jitters else 1.0

    def answer(self) -> Deferred[None]:
        story = Story(self.reply)

        async def attempt() -> None:
            story.begin()
            self.tries.append(Try(self.clock.seconds(), story.give))
            await self.tries[-1].until_ended()
            story.end()

        making = self.attempts.make(attempt, self.reply.notice)
        return Deferred.fromCoroutine(making)

    @property
    def began(self) -> list[float]:
        """When each attempt began, in seconds from the first answer's beginning."""
        return [one.at - self.tries[0].at for one in self.tries]

    def fail(self, error: Exception, pause: float | None = None) -> None:
        """The attempt under way fails; the next one follows after so many seconds."""
        before = len(self.tries)
        self.tries[-1].fail(error)
        if pause is not None:
            self.clock.advance(pause)
            assert len(self.tries) == before + 1, "no attempt followed"


class AttemptsTestCase(SynchronousTestCase):
    def scene(
        self,
        retry: Retry = RETRY,
        breaking: Breaking = BREAKING,
        jitter: Sequence[float] = (),
    ) -> Scene:
        scene = Scene(retry, breaking, jitter)
        self.addCleanup(self.nothing_is_left, scene)
        return scene

    def nothing_is_left(self, scene: Scene) -> None:
        self.assertEqual(scene.clock.getDelayedCalls(), [])

    def open_breaker(self, scene: Scene) -> None:
        """Let five attempts in a row reach nothing."""
        answered = scene.answer()
        for pause in (0.25, 0.5, 1.0, 2.0):
            scene.fail(ServiceUnreachable(), pause)
        scene.fail(ServiceUnreachable())
        self.failureResultOf(answered, ServiceUnreachable)
        scene.tries.clear()


class RetryTests(AttemptsTestCase):
    def test_an_answer_that_is_whole_at_once(self) -> None:
        scene = self.scene()
        answered = scene.answer()
        scene.tries[0].give("1")
        self.assertNoResult(answered)
        scene.tries[0].end("2")
        self.assertIsNone(self.successResultOf(answered))
        self.assertEqual(scene.reply.told, ["1", "2"])

    def test_pauses_double_up_to_the_most(self) -> None:
        scene = self.scene()
        answered = scene.answer()
        for pause in (0.25, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0):
            scene.tries[-1].fail(BodyCut())
            scene.clock.advance(pause - 0.001)
            tries = len(scene.tries)
            scene.clock.advance(0.001)
            self.assertEqual(len(scene.tries), tries + 1)
        scene.tries[-1].end()
        self.successResultOf(answered)
        times = [0.0, 0.25, 0.75, 1.75, 3.75, 7.75, 11.75, 15.75]
        for began, time in zip(scene.began, times, strict=True):
            self.assertAlmostEqual(began, time)

    def test_bodies_that_run_away_do_not_lengthen_the_pauses(self) -> None:
        scene = self.scene()
        answered = scene.answer()
        stuck, cut = ByteRepeated(0x30, 512), BodyCut()
        for error, pause in (
            (stuck, 0.25),
            (stuck, 0.25),
            (cut, 0.25),
            (stuck, 0.25),
            (cut, 0.5),
            (stuck, 0.5),
        ):
            scene.fail(error, pause)
        scene.tries[-1].end()
        self.successResultOf(answered)
        self.assertEqual(scene.began, [0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0])

    def test_jitter_shortens_a_pause_to_no_less_than_its_half(self) -> None:
        scene = self.scene(jitter=[0.0, 0.5, 1.0, 0.0, 0.25])
        answered = scene.answer()
        for pause in (0.125, 0.375, 1.0, 1.0, 2.5):
            scene.fail(BodyCut(), pause)
        scene.tries[-1].end()
        self.successResultOf(answered)
        self.assertEqual(scene.began, [0.0, 0.125, 0.5, 1.5, 2.5, 5.0])

    def test_a_service_may_ask_for_a_longer_pause(self) -> None:
        scene = self.scene()
        answered = scene.answer()
        scene.fail(ServiceRefused(429, 7.0), 7.0)
        scene.fail(ServiceRefused(429, 0.0), 0.5)
        scene.fail(ServiceRefused(429, 0.75), 1.0)  # ours is longer
        scene.fail(ServiceRefused(429), 2.0)
        scene.tries[-1].end()
        self.successResultOf(answered)
        self.assertEqual(scene.began, [0.0, 7.0, 7.5, 8.5, 10.5])

    def test_but_not_for_any_pause(self) -> None:
        scene = self.scene(Retry(retry_after=30.0))
        answered = scene.answer()
        scene.fail(ServiceRefused(503, 86_400.0), 30.0)
        scene.tries[-1].end()
        self.successResultOf(answered)

    def test_the_number_of_attempts_is_bounded(self) -> None:
        scene = self.scene(Retry(attempts=3))
        answered = scene.answer()
        scene.fail(BodyCut("first"), 0.25)
        scene.fail(BodyCut("second"), 0.5)
        scene.fail(BodyBroken("third"))
        failure = self.failureResultOf(answered, BodyBroken)
        self.assertEqual(str(failure.value), "third")
        self.assertEqual(len(scene.tries), 3)
        self.assertEqual(len(scene.reply.told), 2)

    def test_one_attempt_is_all(self) -> None:
        scene = self.scene(Retry(attempts=1))
        answered = scene.answer()
        scene.fail(BodyCut())
        self.failureResultOf(answered, BodyCut)
        self.assertEqual(scene.reply.told, [])

    def test_no_pause_is_begun_that_the_budget_does_not_outlast(self) -> None:
        for budget, tries in ((3.75, 4), (3.76, 5)):
            scene = self.scene(Retry(budget=budget))
            answered = scene.answer()
            for pause in (0.25, 0.5, 1.0):
                scene.fail(BodyCut(), pause)
            scene.fail(BodyCut("last"))
            scene.clock.advance(2.0)
            self.assertEqual(len(scene.tries), tries)
            if tries == 4:
                self.failureResultOf(answered, BodyCut)
            else:
                scene.tries[-1].end()
                self.successResultOf(answered)

    def test_the_budget_ends_an_attempt_that_is_under_way(self) -> None:
        scene = self.scene(Retry(budget=10.0))
        answered = scene.answer()
        scene.clock.advance(6.0)
        scene.fail(BodyCut(), 0.25)
        scene.clock.advance(3.74)
        self.assertNoResult(answered)
        scene.clock.advance(0.02)
        error = self.failureResultOf(answered, ServiceTimedOut).value
        self.assertEqual((error.phase, error.seconds), ("budget", 10.0))
        self.assertTrue(scene.tries[-1].cancelled)

    def test_what_would_be_the_same_again_is_not_asked_again(self) -> None:
        for error in (AnswerUnusable("no field"), AnswerEmpty(), ServiceRefused(404)):
            scene = self.scene()
            answered = scene.answer()
            scene.tries[0].give("1")
            scene.fail(error)
            self.assertIs(self.failureResultOf(answered).value, error)
            self.assertEqual(scene.reply.told, ["1"])

    def test_a_fault_of_ours_is_not_asked_again(self) -> None:
        scene = self.scene()
        answered = scene.answer()
        scene.fail(ZeroDivisionError())
        self.failureResultOf(answered, ZeroDivisionError)

    def test_every_attempt_that_follows_is_told_with_the_title(self) -> None:
        scene = self.scene()
        answered = scene.answer()
        for error, pause in [
            (ServiceUnreachable("ConnectionRefusedError"), 0.25),
            (ServiceTimedOut("headers", 5), 0.5),
            (BodyCut("at byte 7"), 1.0),
            (ByteRepeated(0x30, 512), 2.0),
            (ServiceRefused(503), 4.0),
            (BodyBroken("<script>"), 4.0),
        ]:
            scene.fail(error, pause)
        scene.tries[-1].end()
        self.successResultOf(answered)
        self.assertEqual(
            scene.reply.told,
            [
                "(The product service can't be reached; trying again…)",
                "(The product service does not react; asking again…)",
                "(The product service broke off; asking again…)",
                "(The product service got stuck; asking again…)",
                "(The product service is having trouble; asking again…)",
                "(The product service sent something unreadable; asking again…)",
            ],
        )

    def test_it_is_told_before_the_pause(self) -> None:
        scene = self.scene()
        answered = scene.answer()
        scene.fail(BodyCut())
        self.assertEqual(len(scene.reply.told), 1)
        self.assertEqual(len(scene.tries), 1)
        answered.cancel()
        self.failureResultOf(answered, CancelledError)


class StoryTests(AttemptsTestCase):
    def test_what_was_given_is_skipped(self) -> None:
        scene = self.scene()
        answered = scene.answer()
        scene.tries[0].give("1", "2")
        scene.fail(BodyCut(), 0.25)
        scene.tries[1].give("1")
        scene.fail(BodyCut(), 0.5)
        scene.tries[2].end("1", "2", "3")
        self.successResultOf(answered)
        self.assertEqual([one for one in scene.reply.told if one[0] != "("], [*"123"])

    def test_its_place_counts_and_not_its_text(self) -> None:
        scene = self.scene()
        answered = scene.answer()
        scene.tries[0].give("la", "la")
        scene.fail(BodyCut(), 0.25)
        scene.tries[1].end("la", "la", "la", "la")
        self.successResultOf(answered)
        self.assertEqual(scene.reply.paragraphs, [("la", "html")] * 4)

    def test_another_format_is_another_paragraph(self) -> None:
        scene = self.scene()
        answered = scene.answer()
        scene.tries[0].give("1")
        scene.fail(BodyCut(), 0.25)
        scene.tries[1]._give("1", "plain")
        scene.tries[1].end()
        self.successResultOf(answered)
        self.assertEqual(scene.reply.paragraphs, [("1", "plain")])

    def test_a_different_story_is_told_from_where_it_differs(self) -> None:
        scene = self.scene()
        answered = scene.answer()
        scene.tries[0].give("1", "2", "3")
        scene.fail(BodyCut(), 0.25)
        scene.tries[1].give("1")
        self.assertEqual(scene.reply.told[4:], [])
        scene.tries[1].give("zwei")
        self.assertEqual(scene.reply.told[4:], ["revise 1", "zwei"])
        scene.tries[1].end("drei")
        self.successResultOf(answered)
        self.assertEqual(scene.reply.told[4:], ["revise 1", "zwei", "drei"])

    def test_a_story_that_differs_from_its_beginning(self) -> None:
        scene = self.scene()
        answered = scene.answer()
        scene.tries[0].give("1")
        scene.fail(BodyCut(), 0.25)
        scene.tries[1].end("eins")
        self.successResultOf(answered)
        self.assertEqual(scene.reply.told[2:], ["revise 0", "eins"])

    def test_a_story_that_differs_and_breaks_is_the_one_to_go_on_from(self) -> None:
        scene = self.scene()
        answered = scene.answer()
        scene.tries[0].give("1", "2")
        scene.fail(BodyCut(), 0.25)
        scene.tries[1].give("1", "zwei")
        scene.fail(BodyCut(), 0.5)
        scene.tries[2].end("1", "zwei", "3")
        self.successResultOf(answered)
        self.assertEqual(
            [text for text, _ in scene.reply.paragraphs], ["1", "zwei", "3"]
        )
        self.assertEqual(scene.reply.told.count("revise 1"), 1)

    def test_a_shorter_story_that_is_whole(self) -> None:
        scene = self.scene()
        answered = scene.answer()
        scene.tries[0].give("1", "2", "3")
        scene.fail(BodyCut(), 0.25)
        scene.tries[1].end("1")
        self.successResultOf(answered)
        self.assertEqual(scene.reply.told[4:], ["revise 1"])

    def test_a_shorter_story_that_breaks_takes_nothing_back(self) -> None:
        scene = self.scene(Retry(attempts=2))
        answered = scene.answer()
        scene.tries[0].give("1", "2", "3")
        scene.fail(BodyCut(), 0.25)
        scene.tries[1].give("1")
        scene.fail(BodyCut())
        self.failureResultOf(answered, BodyCut)
        self.assertEqual(len(scene.reply.paragraphs), 3)

    @settings(deadline=None)
    @given(
        broken=st.lists(st.lists(st.sampled_from("ab"), max_size=4), max_size=4),
        whole=st.lists(st.sampled_from("ab"), max_size=4),
    )
    def test_in_the_end_the_whole_story_stands(
        self, broken: list[list[str]], whole: list[str]
    ) -> None:
        scene = Scene()
        answered = scene.answer()
        for story in broken:
            scene.tries[-1].give(*story)
            told = [text for text, _ in scene.reply.paragraphs]
            self.assertEqual(told[: len(story)], story)
            scene.fail(BodyCut(), 4.0)
        scene.tries[-1].end(*whole)
        self.successResultOf(answered)
        self.assertEqual([text for text, _ in scene.reply.paragraphs], whole)
        # Nothing is taken back that the next story does not replace or leave out.
        for told, then in zip(scene.reply.told, scene.reply.told[1:], strict=False):
            if told.startswith("revise"):
                self.assertFalse(then.startswith("revise"))


class BreakerTests(AttemptsTestCase):
    def test_five_absences_in_a_row_open_it(self) -> None:
        for error in ABSENCES:
            scene = self.scene()
            answered = scene.answer()
            for pause in (0.25, 0.5, 1.0, 2.0):
                scene.fail(error, pause)
            scene.fail(error)
            self.assertEqual(len(scene.tries), 5)
            self.assertIs(self.failureResultOf(answered).value, error)
            self.assertEqual(len(scene.reply.told), 4)
            resting = self.failureResultOf(scene.answer(), ServiceResting).value
            self.assertEqual(resting.seconds, 20.0)

    def test_then_the_service_is_left_alone(self) -> None:
        scene = self.scene()
        self.open_breaker(scene)
        scene.clock.advance(19.5)
        resting = self.failureResultOf(scene.answer(), ServiceResting).value
        self.assertEqual(resting.seconds, 0.5)
        self.assertEqual(scene.tries, [])

    def test_nobody_is_told_to_wait_for_what_is_left_alone(self) -> None:
        scene = self.scene(breaking=Breaking(failures=1))
        answered = scene.answer()
        scene.fail(ServiceRefused(503, 30.0))
        self.failureResultOf(answered, ServiceRefused)
        self.assertEqual(scene.reply.told, [])

    def test_absences_of_all_customers_count_together(self) -> None:
        scene = self.scene(Retry(attempts=1))
        for _ in range(5):
            answered = scene.answer()
            scene.fail(ServiceUnreachable())
            self.failureResultOf(answered, ServiceUnreachable)
        self.failureResultOf(scene.answer(), ServiceResting)

    def test_it_opens_while_others_pause(self) -> None:
        scene = self.scene()
        pausing = scene.answer()
        scene.fail(ServiceRefused(429, 10.0))
        self.open_breaker(scene)
        scene.clock.advance(6.0)
        self.assertNoResult(pausing)
        scene.clock.advance(0.25)
        self.failureResultOf(pausing, ServiceResting)
        self.assertEqual(scene.tries, [])

    def test_floods_never_open_it(self) -> None:
        for error in (*FLOODS, BodyCut(), BodyBroken()):
            scene = self.scene()
            answered = scene.answer()
            for _ in range(19):
                scene.fail(error, 4.0)
            scene.fail(error)
            self.assertIs(self.failureResultOf(answered).value, error)

    def test_only_those_in_a_row_count(self) -> None:
        sorts: list[ServiceError] = [BodyCut(), ServiceRefused(429), FLOODS[0]]
        for reached in sorts:
            scene = self.scene()
            answered = scene.answer()
            for _ in range(4):
                scene.fail(ServiceUnreachable(), 4.0)
            scene.fail(reached, 4.0)
            for _ in range(4):
                scene.fail(ServiceUnreachable(), 4.0)
            scene.tries[-1].end()
            self.successResultOf(answered)

    def test_the_end_of_our_budget_says_nothing_about_the_service(self) -> None:
        scene = self.scene(Retry(attempts=5, budget=10.0))
        answered = scene.answer()
        for pause in (0.25, 0.5, 1.0, 2.0):
            scene.fail(ServiceUnreachable(), pause)
        scene.clock.advance(6.25)
        self.failureResultOf(answered, ServiceTimedOut)
        answered = scene.answer()
        scene.fail(ServiceUnreachable())  # the fifth in a row
        self.failureResultOf(answered, ServiceUnreachable)

    def test_after_the_rest_one_is_let_through(self) -> None:
        scene = self.scene()
        self.open_breaker(scene)
        scene.clock.advance(20.0)
        probe = scene.answer()
        self.assertEqual(len(scene.tries), 1)
        for _ in range(2):
            self.failureResultOf(scene.answer(), ServiceResting)
        scene.tries[0].end("1")
        self.successResultOf(probe)
        answered = [scene.answer(), scene.answer()]
        self.assertEqual(len(scene.tries), 3)
        for one in scene.tries[1:]:
            one.end()
        for another in answered:
            self.successResultOf(another)

    def test_if_that_one_fails_the_rest_begins_anew(self) -> None:
        scene = self.scene()
        self.open_breaker(scene)
        scene.clock.advance(20.0)
        probe = scene.answer()
        scene.clock.advance(3.0)
        scene.fail(ServiceTimedOut("connect", 3))
        self.failureResultOf(probe, ServiceTimedOut)
        scene.clock.advance(19.9)
        self.failureResultOf(scene.answer(), ServiceResting)
        scene.clock.advance(0.2)
        answered = scene.answer()
        scene.tries[-1].end()
        self.successResultOf(answered)

    def test_if_that_one_reaches_it_all_is_well_whatever_it_says(self) -> None:
        scene = self.scene()
        self.open_breaker(scene)
        scene.clock.advance(20.0)
        probe = scene.answer()
        scene.fail(FLOODS[0], 0.25)
        for pause in (0.5, 1.0, 2.0, 4.0):
            scene.fail(ServiceUnreachable(), pause)
        scene.tries[-1].end()
        self.successResultOf(probe)

    def test_if_that_one_is_given_up_another_is_let_through_later(self) -> None:
        scene = self.scene()
        self.open_breaker(scene)
        scene.clock.advance(20.0)
        probe = scene.answer()
        probe.cancel()
        self.failureResultOf(probe, CancelledError)
        self.failureResultOf(scene.answer(), ServiceResting)
        scene.clock.advance(20.0)
        answered = scene.answer()
        scene.tries[-1].end()
        self.successResultOf(answered)

    def test_closed_again_it_takes_five_more(self) -> None:
        scene = self.scene()
        self.open_breaker(scene)
        scene.clock.advance(20.0)
        answered = scene.answer()
        scene.tries[-1].end()
        self.successResultOf(answered)
        scene.tries.clear()
        self.open_breaker(scene)


class CancelTests(AttemptsTestCase):
    def given_up(self, answered: Deferred[None]) -> None:
        answered.cancel()
        self.failureResultOf(answered, CancelledError)

    def test_in_an_attempt(self) -> None:
        scene = self.scene()
        answered = scene.answer()
        scene.tries[0].give("1")
        self.given_up(answered)
        self.assertTrue(scene.tries[0].cancelled)
        self.nothing_is_left(scene)

    def test_in_a_pause(self) -> None:
        scene = self.scene()
        answered = scene.answer()
        scene.fail(BodyCut())
        self.given_up(answered)
        self.nothing_is_left(scene)
        scene.clock.advance(100.0)
        self.assertEqual(len(scene.tries), 1)

    def test_in_a_later_attempt(self) -> None:
        scene = self.scene()
        answered = scene.answer()
        scene.fail(BodyCut(), 0.25)
        self.given_up(answered)
        self.assertFalse(scene.tries[0].cancelled)
        self.assertTrue(scene.tries[1].cancelled)
        self.nothing_is_left(scene)

    def test_it_is_no_failure_of_the_service(self) -> None:
        scene = self.scene(breaking=Breaking(failures=1))
        self.given_up(scene.answer())
        answered = scene.answer()
        scene.tries[-1].end()
        self.successResultOf(answered)

    def test_nothing_is_left_after_any_end(self) -> None:
        scene = self.scene()
        answered = scene.answer()
        scene.tries[0].end()
        self.successResultOf(answered)
        self.nothing_is_left(scene)
        answered = scene.answer()
        scene.fail(AnswerEmpty())
        self.failureResultOf(answered, AnswerEmpty)
        self.nothing_is_left(scene)
