"""A conversation whose service and store do what the test says, when it says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from supportbot.conversation import Conversation, conversation_id
from supportbot.dispatcher import Dispatcher, Route
from supportbot.errors import (
    BodyCut,
    ConversationClosed,
    MessageEmpty,
    MessageTooLong,
    ServiceUnreachable,
    StoreError,
    TooManyWaiting,
)
from supportbot.events import (
    CustomerSaid,
    Event,
    Outcome,
    ParagraphSaid,
    ReplyEnded,
    ReplyRevised,
    ReplyStarted,
)
from supportbot.interfaces import Reply
from supportbot.services.signpost import Signpost
from supportbot.settings import ConversationSettings
from supportbot.transcripts.memory import MemoryStore
from tests.fakes import Asked, HeldStore, RecordingViewer, ScriptedService

QUEUE = 4
OUR_FAULT = "Something went wrong on our side; please ask again."


class Scene:
    """A conversation, a customer who sees it, and the two that it leans on."""

    def __init__(self, service: ScriptedService | None = None) -> None:
        self.clock, self.store = Clock(), HeldStore()
        self.clock.advance(1000.0)
        self.service = service or ScriptedService()
        person = Route("real person", ScriptedService("agent", "real agent"), True)
        self.conversation = Conversation(
            "c",
            self.store,
            Dispatcher([person, Route("product question", self.service)], self.service),
            self.clock.seconds,
            ConversationSettings(message=10, queue=QUEUE, batch=2),
        )
        self.viewer = RecordingViewer()
        self.follower = self.conversation.follow(self.viewer)
        self.follower.catch_up()
        self.store.settle()

    @property
    def transcript(self) -> list[Event]:
        """What is durable."""
        return self.store.transcripts.get("c", [])

    @property
    def told(self) -> list[str]:
        """The transcript in words."""
        return [in_words(event) for event in self.transcript]

    @property
    def reply(self) -> Reply:
        """Where the service puts its answer."""
        return self.service.last.reply

    def say(
        self, text: str = "Hi?", message_id: str | None = None
    ) -> Deferred[ReplyEnded]:
        return self.conversation.say(text, message_id)

    def asked(self, text: str = "Hi?") -> Deferred[ReplyEnded]:
        """A message that the service has begun to answer."""
        answered = self.say(text)
        self.store.settle()
        return answered


def in_words(event: Event) -> str:
    if isinstance(event, CustomerSaid):
        return f"said {event.text}"
    if isinstance(event, ReplyStarted):
        return f"started {event.to}"
    if isinstance(event, ParagraphSaid):
        return event.text
    if isinstance(event, ReplyRevised):
        return f"revised {event.keep}"
    return str(event.outcome)


class ConversationTestCase(SynchronousTestCase):
    """Whatever happens, what is shown is what is stored, numbered without holes."""

    def scene(self, service: ScriptedService | None = None) -> Scene:
        scene = Scene(service)
        self.addCleanup(self.check, scene)
        return scene

    def check(self, scene: Scene) -> None:
        scene.store.settle()
        numbers = [event.seq for event in scene.transcript]
        self.assertEqual(numbers, list(range(1, len(numbers) + 1)))
        seen = scene.viewer.events
        self.assertEqual(seen, scene.transcript[: len(seen)])

    def outcome(self, answered: Deferred[ReplyEnded]) -> Outcome:
        return self.successResultOf(answered).outcome


class SayTests(ConversationTestCase):
    def test_a_message_and_its_answer(self) -> None:
        scene = self.scene()
        answered = scene.asked(" Hi?\n")
        scene.clock.advance(2.5)
        scene.reply.paragraph("<p>One.</p>")
        scene.reply.paragraph("Two.", "plain")
        scene.service.last.end()
        scene.store.settle()
        ended = ReplyEnded(seq=5, at=1002.5, outcome=Outcome.COMPLETE)
        self.assertEqual(self.successResultOf(answered), ended)
        said = scene.transcript[0]
        assert isinstance(said, CustomerSaid)
        self.assertEqual(
            scene.transcript,
            [
                CustomerSaid(seq=1, at=1000.0, text="Hi?", message_id=said.message_id),
                ReplyStarted(seq=2, at=1000.0, service="product-info", intent="", to=1),
                ParagraphSaid(seq=3, at=1002.5, text="<p>One.</p>", format="html"),
                ParagraphSaid(seq=4, at=1002.5, text="Two.", format="plain"),
                ended,
            ],
        )
        self.assertEqual(scene.viewer.events, scene.transcript)

    def test_the_service_is_asked_by_intent_and_may_read_what_was_said(self) -> None:
        scene = self.scene()
        scene.asked("first")
        scene.reply.paragraph("<p>1</p>")
        scene.service.last.end()
        scene.store.settle()
        scene.asked("second")
        scene.asked("third")
        question = scene.service.last.question
        self.assertEqual(question.text, "second")
        reading = Deferred.fromCoroutine(as_coroutine(question.transcript()))
        scene.store.settle()
        self.assertEqual(
            [in_words(event) for event in self.successResultOf(reading)],
            ["said first", "started 1", "<p>1</p>", "complete", "said second"],
        )

    def test_the_intent_is_recorded(self) -> None:
        service = ScriptedService()
        conversation = Conversation(
            "c",
            store := MemoryStore(),
            Dispatcher([Route("hat", service)], Signpost([])),
            lambda: 0.0,
            ConversationSettings(),
        )
        conversation.say("A HAT, please")
        started = self.successResultOf(store.read("c", 1, 1))[0]
        self.assertEqual(
            started,
            ReplyStarted(seq=2, at=0, service="product-info", intent="hat", to=1),
        )

    def test_messages_are_answered_in_order_and_one_at_a_time(self) -> None:
        scene = self.scene()
        answered = [scene.say(text) for text in ("a", "b", "c")]
        for number in range(3):
            scene.store.settle()
            self.assertEqual(scene.service.texts, ["a", "b", "c"][: number + 1])
            self.assertNoResult(answered[number])
            scene.service.last.end()
            scene.store.settle()
            self.assertEqual(self.outcome(answered[number]), Outcome.COMPLETE)
        self.assertEqual(
            [event.to for event in scene.transcript if isinstance(event, ReplyStarted)],
            [1, 2, 3],
        )

    def test_the_next_is_asked_only_when_the_end_before_it_is_stored(self) -> None:
        scene = self.scene()
        scene.asked("a")
        scene.asked("b")
        scene.service.last.end()
        self.assertEqual(scene.service.texts, ["a"])
        scene.store.store(2)
        self.assertEqual(scene.service.texts, ["a", "b"])

    def test_say_fires_when_the_end_is_stored(self) -> None:
        scene = self.scene()
        answered = scene.asked()
        scene.service.last.end()
        self.assertNoResult(answered)
        scene.store.store()
        self.assertIs(self.successResultOf(answered), scene.viewer.events[-1])

    def test_the_end_waits_for_the_paragraphs(self) -> None:
        scene = self.scene()
        answered = scene.asked()
        scene.reply.paragraph("<p>1</p>")
        scene.service.last.end()
        self.assertEqual(len(scene.store.appends), 1)
        scene.store.store()
        self.assertNoResult(answered)
        scene.store.store()
        self.assertEqual(self.outcome(answered), Outcome.COMPLETE)

    def test_a_service_that_answers_at_once(self) -> None:
        def begin(reply: Reply) -> None:
            reply.paragraph("<p>1</p>")
            reply.paragraph("<p>2</p>")

        scene = self.scene(ScriptedService(begin=begin))
        scene.asked()
        self.assertEqual(scene.viewer.seqs, [1, 2, 3, 4])

    def test_many_messages_with_a_store_and_a_service_that_never_wait(self) -> None:
        store, dispatcher = MemoryStore(), Dispatcher([], Signpost([]))
        conversation = Conversation(
            "c", store, dispatcher, lambda: 0.0, ConversationSettings(queue=1)
        )

        async def talk() -> None:
            for _ in range(2_000):
                await conversation.say("Hi?")

        self.successResultOf(Deferred.fromCoroutine(talk()))
        self.assertEqual(self.successResultOf(store.read("c", 7_999, 9))[-1].seq, 8_000)

    def test_the_answering_code_knows_the_conversation(self) -> None:
        known: list[str] = []
        scene = self.scene(
            ScriptedService(begin=lambda _: known.append(conversation_id.get()))
        )
        scene.asked()
        self.assertEqual(known, ["c"])
        self.assertEqual(conversation_id.get(), "")


async def as_coroutine(awaited: Any) -> Any:
    return await awaited


class StoreFirstTests(ConversationTestCase):
    def test_nothing_is_shown_before_it_is_stored(self) -> None:
        scene = self.scene()
        scene.say()
        for shown in range(2):
            self.assertEqual(scene.viewer.seqs, list(range(1, shown + 1)))
            scene.store.appends[0].act()
            self.assertEqual(scene.viewer.seqs, list(range(1, shown + 1)))
            scene.store.store()
        scene.reply.paragraph("<p>1</p>")
        self.assertEqual(scene.viewer.seqs, [1, 2])
        scene.store.store()
        self.assertEqual(scene.viewer.seqs, [1, 2, 3])

    def test_the_service_is_asked_when_that_it_began_is_stored(self) -> None:
        scene = self.scene()
        scene.say()
        scene.store.store()
        self.assertEqual(scene.service.asked, [])
        scene.store.store()
        self.assertEqual(scene.service.texts, ["Hi?"])

    def test_order_holds_while_the_store_is_slow(self) -> None:
        scene = self.scene()
        scene.asked("a")
        scene.reply.paragraph("<p>1</p>")
        scene.say("b")
        scene.reply.paragraph("<p>2</p>")
        scene.reply.revise(0)
        scene.say("c")
        scene.reply.paragraph("<p>3</p>")
        scene.service.last.end()
        while scene.store.appends:
            before = len(scene.transcript)
            self.assertEqual(scene.viewer.seqs, list(range(1, before + 1)))
            scene.store.store()
            self.assertGreater(len(scene.viewer.seqs), before)
        self.assertEqual(
            " ".join(scene.told[2:8]),
            "<p>1</p> said b <p>2</p> revised 0 said c <p>3</p>",
        )

    def test_what_comes_while_an_append_is_under_way_goes_into_the_next(self) -> None:
        scene = self.scene()
        scene.asked()
        for number in range(5):
            scene.reply.paragraph(f"<p>{number}</p>")
        self.assertEqual(len(scene.store.appends), 1)
        scene.store.store()
        scene.store.store()
        self.assertEqual(len(scene.transcript), 7)
        self.assertEqual(scene.store.appends, [])

    def test_an_event_bears_the_time_at_which_it_happened(self) -> None:
        scene = self.scene()
        scene.asked()
        scene.reply.paragraph("<p>1</p>")
        scene.reply.paragraph("<p>2</p>")
        scene.clock.advance(10.0)
        scene.store.settle()
        self.assertEqual([event.at for event in scene.transcript], [1000.0] * 4)

    def test_deltas_and_notices_are_shown_and_not_stored(self) -> None:
        scene = self.scene()
        scene.asked()
        scene.reply.delta("On")
        scene.reply.notice("slow")
        scene.reply.delta("e")
        self.assertEqual(scene.viewer.texts, ["On", "(slow)", "e"])
        self.assertEqual(scene.store.appends, [])

    def test_a_delta_does_not_overtake_the_paragraph_before_it(self) -> None:
        scene = self.scene()
        scene.asked()
        scene.reply.paragraph("One")
        scene.reply.delta("Tw")
        scene.reply.delta("o")
        self.assertEqual(scene.viewer.texts, [])
        scene.store.store()
        self.assertEqual(scene.viewer.shown[-2:], [scene.transcript[-1], "Two"])

    def test_a_delta_whose_paragraph_is_there_before_it_was_shown(self) -> None:
        scene = self.scene()
        scene.asked()
        scene.reply.paragraph("One")
        scene.reply.delta("Two")
        scene.reply.paragraph("Two")
        scene.store.settle()
        self.assertEqual(scene.viewer.texts, [])

    def test_a_viewer_that_fails_harms_nobody_else(self) -> None:
        def fail(event: Event) -> None:
            raise ZeroDivisionError

        scene = self.scene()
        scene.conversation.follow(RecordingViewer(upon=fail))
        other = RecordingViewer()
        scene.conversation.follow(other)
        answered = scene.asked()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        scene.service.last.end()
        scene.store.settle()
        self.assertEqual(self.outcome(answered), Outcome.COMPLETE)
        self.assertEqual(other.seqs, [1, 2, 3])


class FollowTests(ConversationTestCase):
    def test_from_a_number(self) -> None:
        scene = self.scene()
        scene.asked()
        scene.reply.paragraph("<p>1</p>")
        scene.store.settle()
        late = RecordingViewer()
        scene.conversation.follow(late, after=2).catch_up()
        scene.store.settle()
        scene.service.last.end()
        scene.store.settle()
        self.assertEqual(late.seqs, [3, 4])

    def test_it_reads_no_more_than_a_batch_at_a_time(self) -> None:
        scene = self.scene()
        scene.asked()
        for number in range(5):
            scene.reply.paragraph(f"<p>{number}</p>")
        scene.store.settle()
        late = RecordingViewer()
        scene.conversation.follow(late).catch_up()
        while scene.store.reads:
            self.assertEqual(scene.store.reads[0].limit, 2)
            scene.store.give()
        self.assertEqual(late.seqs, scene.viewer.seqs)

    def test_one_that_stopped_is_forgotten(self) -> None:
        scene = self.scene()
        scene.follower.stopProducing()
        scene.asked()
        self.assertEqual(scene.viewer.shown, [])

    def test_reading_back(self) -> None:
        scene = self.scene()
        scene.asked()
        reading = scene.conversation.read(1)
        scene.store.settle()
        self.assertEqual([event.seq for event in self.successResultOf(reading)], [2])


class SameMessageTests(ConversationTestCase):
    def test_at_every_moment_it_is_one_message_with_one_answer(self) -> None:
        scene = self.scene()
        answered = [scene.say("first", "m1")]
        answered.append(scene.say("first", "m1"))  # is not stored yet
        scene.store.store()
        answered.append(scene.say("first", "m1"))  # its answer has not begun
        scene.store.settle()
        answered.append(scene.say("first", "m1"))  # is being answered
        scene.service.last.end()
        answered.append(scene.say("first", "m1"))  # the end is not stored yet
        for one in answered:
            self.assertNoResult(one)
        scene.store.settle()
        answered.append(scene.say("first", "m1"))  # has been answered
        self.assertEqual(scene.service.texts, ["first"])
        self.assertEqual(scene.told, ["said first", "started 1", "complete"])
        for one in answered:
            self.assertIs(self.successResultOf(one), scene.transcript[-1])

    def test_while_it_waits_in_the_queue(self) -> None:
        scene = self.scene()
        scene.asked("first")
        waiting = [scene.say("second", "m2"), scene.say("second", "m2")]
        scene.store.settle()
        waiting.append(scene.say("second", "m2"))
        scene.service.last.end()
        scene.store.settle()
        scene.service.last.end()
        scene.store.settle()
        self.assertEqual(scene.service.texts, ["first", "second"])
        for one in waiting:
            self.assertIs(self.successResultOf(one), scene.transcript[-1])

    def test_it_does_not_count_towards_the_bound(self) -> None:
        scene = self.scene()
        for number in range(QUEUE):
            scene.say("Hi?", f"m{number}")
        self.assertNoResult(scene.say("Hi?", "m0"))
        self.failureResultOf(scene.say("Hi?", "new"), TooManyWaiting)

    def test_a_closed_conversation_still_knows_its_answer(self) -> None:
        scene = self.scene()
        scene.say("Hi?", "m1")
        scene.store.settle()
        scene.conversation.close()
        scene.store.settle()
        self.assertEqual(self.outcome(scene.say("Hi?", "m1")), Outcome.STOPPED)

    def test_the_same_text_without_an_id_is_another_message(self) -> None:
        scene = self.scene()
        for message_id in (None, None, ""):
            scene.say("Hi?", message_id)
        scene.store.settle()
        said = [one for one in scene.transcript if isinstance(one, CustomerSaid)]
        self.assertEqual(len({one.message_id for one in said} - {""}), 3)


class RefusalTests(ConversationTestCase):
    def refused(self, scene: Scene, kind: type[Exception], text: str = "Hi?") -> str:
        failure = self.failureResultOf(scene.say(text), kind)
        self.assertEqual(scene.conversation.unanswered, len(scene.service.asked))
        return str(failure.value)

    def test_empty(self) -> None:
        for text in ("", "  \t\n", "\u3000"):
            line = self.refused(self.scene(), MessageEmpty, text)
            self.assertEqual(line, "The message is empty.")

    def test_too_long(self) -> None:
        scene = self.scene()
        line = self.refused(scene, MessageTooLong, "x" * 11)
        self.assertEqual(
            line, "That message is longer than 10 characters; please shorten it."
        )
        self.assertNoResult(scene.say(f" {'☕' * 10} \n"))
        scene.store.settle()
        self.assertEqual(scene.service.texts, ["☕" * 10])

    def test_too_many_waiting(self) -> None:
        scene = self.scene()
        for _ in range(QUEUE):
            self.assertNoResult(scene.say())
        failure = self.failureResultOf(scene.say(), TooManyWaiting)
        self.assertEqual(
            str(failure.value),
            f"{QUEUE} messages are still waiting for their answers;"
            " please send this one again later.",
        )
        scene.store.settle()
        self.failureResultOf(scene.say(), TooManyWaiting)
        scene.service.last.end()
        scene.store.settle()
        self.assertNoResult(scene.say())
        self.failureResultOf(scene.say(), TooManyWaiting)

    def test_closed(self) -> None:
        scene = self.scene()
        self.successResultOf(scene.conversation.close())
        line = self.refused(scene, ConversationClosed)
        self.assertEqual(line, "This conversation has ended; please start a new one.")

    def test_nothing_of_it_is_kept(self) -> None:
        scene = self.scene()
        self.failureResultOf(scene.say("", "m1"), MessageEmpty)
        answered = scene.say("Hi?", "m1")
        scene.store.settle()
        self.assertEqual(scene.service.texts, ["Hi?"])
        self.assertNoResult(answered)


class StopTests(ConversationTestCase):
    def test_with_nothing_under_way(self) -> None:
        scene = self.scene()
        self.assertFalse(scene.conversation.stop())
        answered = scene.asked()
        scene.service.last.end()
        scene.store.settle()
        self.assertFalse(scene.conversation.stop())
        self.assertEqual(self.outcome(answered), Outcome.COMPLETE)

    def test_before_the_service_was_asked(self) -> None:
        scene = self.scene()
        answered = scene.say()
        scene.store.store()
        self.assertTrue(scene.conversation.stop())
        scene.store.settle()
        self.assertEqual(scene.service.asked, [])
        self.assertEqual(self.outcome(answered), Outcome.STOPPED)
        self.assertEqual(scene.told, ["said Hi?", "started 1", "stopped"])

    def test_while_the_service_begins(self) -> None:
        scene: Scene
        scene = self.scene(
            ScriptedService(begin=lambda _: scene.conversation.stop() and None)
        )
        answered = scene.asked()
        self.assertTrue(scene.service.last.cancelled)
        self.assertEqual(self.outcome(answered), Outcome.STOPPED)

    def test_in_the_middle(self) -> None:
        scene = self.scene()
        answered = scene.asked()
        scene.reply.paragraph("<p>1</p>")
        scene.store.settle()
        self.assertTrue(scene.conversation.stop())
        self.assertTrue(scene.service.last.cancelled)
        self.assertNoResult(answered)
        scene.store.settle()
        ended = self.successResultOf(answered)
        self.assertEqual(ended, ReplyEnded(seq=4, at=1000.0, outcome=Outcome.STOPPED))
        self.assertFalse(scene.conversation.stop())

    def test_what_was_given_before_is_still_stored(self) -> None:
        scene = self.scene()
        answered = scene.asked()
        scene.reply.paragraph("<p>1</p>")
        scene.reply.paragraph("<p>2</p>")
        scene.conversation.stop()
        scene.store.settle()
        self.assertEqual(self.outcome(answered), Outcome.STOPPED)
        self.assertEqual(scene.told[2:], ["<p>1</p>", "<p>2</p>", "stopped"])

    def test_whatever_comes_late_is_ignored(self) -> None:
        scene = self.scene()
        scene.asked()
        scene.conversation.stop()
        scene.reply.paragraph("<p>late</p>")
        scene.store.settle()
        scene.reply.paragraph("<p>late</p>")
        scene.reply.revise(0)
        scene.reply.delta("late")
        scene.reply.notice("late")
        scene.store.settle()
        self.assertEqual(scene.told, ["said Hi?", "started 1", "stopped"])
        self.assertEqual(scene.viewer.texts, [])

    def test_a_delta_that_was_held_back_is_not_shown_afterwards(self) -> None:
        scene = self.scene()
        scene.asked()
        scene.reply.paragraph("<p>1</p>")
        scene.reply.delta("Tw")
        scene.conversation.stop()
        scene.store.settle()
        self.assertEqual(scene.viewer.texts, [])

    def test_a_service_that_speaks_while_it_is_cancelled(self) -> None:
        class Stubborn(ScriptedService):
            async def answer(self, question: Any, reply: Reply) -> None:
                try:
                    await super().answer(question, reply)
                except CancelledError:
                    reply.paragraph("<p>But!</p>")

        scene = self.scene(Stubborn())
        answered = scene.asked()
        scene.conversation.stop()
        scene.store.settle()
        self.assertEqual(self.outcome(answered), Outcome.STOPPED)
        self.assertEqual(scene.told, ["said Hi?", "started 1", "stopped"])

    def test_a_service_that_fails_since_it_is_cancelled(self) -> None:
        class Fragile(ScriptedService):
            async def answer(self, question: Any, reply: Reply) -> None:
                try:
                    await super().answer(question, reply)
                except CancelledError:
                    raise ServiceUnreachable from None

        scene = self.scene(Fragile())
        answered = scene.asked()
        scene.conversation.stop()
        scene.store.settle()
        self.assertEqual(self.outcome(answered), Outcome.STOPPED)

    def test_a_service_that_has_ended_by_itself(self) -> None:
        scene = self.scene()
        answered = scene.asked()
        scene.reply.paragraph("<p>1</p>")
        scene.service.last.end()
        self.assertTrue(scene.conversation.stop())  # is being stored
        scene.store.store()
        self.assertTrue(scene.conversation.stop())  # its end is
        scene.store.settle()
        self.assertFalse(scene.service.last.cancelled)
        self.assertEqual(self.outcome(answered), Outcome.COMPLETE)

    def test_only_the_reply_that_is_under_way(self) -> None:
        scene = self.scene()
        answered = [scene.asked("a"), scene.asked("b")]
        scene.conversation.stop()
        scene.store.settle()
        self.assertEqual(self.outcome(answered[0]), Outcome.STOPPED)
        scene.service.last.end()
        scene.store.settle()
        self.assertEqual(self.outcome(answered[1]), Outcome.COMPLETE)

    def test_by_one_who_waited_for_the_answer_before(self) -> None:
        scene = self.scene()
        stopped: list[bool] = []
        first, second = scene.asked("a"), scene.asked("b")
        first.addCallback(lambda _: stopped.append(scene.conversation.stop()))
        scene.service.last.end()
        scene.store.settle()
        self.assertEqual(stopped, [False])
        scene.service.last.end()
        scene.store.settle()
        self.assertEqual(self.outcome(second), Outcome.COMPLETE)

    def test_twice(self) -> None:
        scene = self.scene()
        answered = scene.asked()
        self.assertTrue(scene.conversation.stop())
        self.assertTrue(scene.conversation.stop())
        scene.store.settle()
        self.assertEqual(self.outcome(answered), Outcome.STOPPED)


class TroubleTests(ConversationTestCase):
    def test_a_service_that_breaks(self) -> None:
        scene = self.scene()
        answered = scene.asked()
        scene.reply.paragraph("<p>1</p>")
        scene.service.last.fail(BodyCut("at byte 17"))
        scene.store.settle()
        self.assertEqual(
            self.successResultOf(answered),
            ReplyEnded(
                seq=4,
                at=1000.0,
                outcome=Outcome.CUT,
                detail="The product service broke off in the middle of its answer."
                " Ask for a “real person” to talk to somebody, or try again.",
                unavailable=True,
            ),
        )

    def test_a_person_who_can_not_be_reached(self) -> None:
        scene = self.scene()
        service = ScriptedService("agent", "real agent")
        conversation = Conversation(
            "c",
            MemoryStore(),
            Dispatcher([Route("real person", service, True)], scene.service),
            lambda: 0.0,
            ConversationSettings(),
        )
        answered = conversation.say("A real person please")
        service.last.fail(ServiceUnreachable())
        self.assertEqual(
            self.successResultOf(answered).detail,
            "The real agent can't be reached at the moment. Please try again later.",
        )

    def test_our_own_fault(self) -> None:
        scene = self.scene()
        answered = [scene.asked("a"), scene.asked("b")]
        scene.service.last.fail(ZeroDivisionError("secret"))
        scene.store.settle()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        ended = self.successResultOf(answered[0])
        self.assertEqual(ended.outcome, Outcome.FAILED)
        self.assertEqual(ended.detail, OUR_FAULT)
        self.assertFalse(ended.unavailable)
        scene.service.last.end()
        scene.store.settle()
        self.assertEqual(self.outcome(answered[1]), Outcome.COMPLETE)

    def test_a_service_that_fails_at_once(self) -> None:
        def begin(reply: Reply) -> None:
            raise ZeroDivisionError

        scene = self.scene(ScriptedService(begin=begin))
        answered = scene.asked()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.outcome(answered), Outcome.FAILED)

    def test_a_service_that_cancels_itself(self) -> None:
        scene = self.scene()
        answered = scene.asked()
        scene.service.last.fail(CancelledError())
        scene.store.settle()
        self.assertEqual(len(self.flushLoggedErrors(CancelledError)), 1)
        self.assertEqual(self.outcome(answered), Outcome.FAILED)

    def test_a_dispatcher_that_fails(self) -> None:
        class Lost(Dispatcher):
            def pick(self, text: str) -> Route:
                raise ZeroDivisionError

        conversation = Conversation(
            "c",
            MemoryStore(),
            Lost([], ScriptedService()),
            lambda: 0.0,
            ConversationSettings(),
        )
        for _ in range(2):
            self.failureResultOf(conversation.say("Hi?"), ZeroDivisionError)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.successResultOf(conversation.idle())


class CloseTests(ConversationTestCase):
    def test_with_nothing_under_way(self) -> None:
        scene = self.scene()
        self.assertIsNone(self.successResultOf(scene.conversation.close()))
        self.assertIsNone(self.successResultOf(scene.conversation.close()))

    def test_everybody_is_told(self) -> None:
        scene = self.scene()
        idle = scene.conversation.idle()
        answered = [scene.asked("a"), scene.asked("b"), scene.say("c", "m")]
        answered.append(scene.say("c", "m"))
        closed = scene.conversation.close()
        self.assertTrue(scene.service.last.cancelled)
        again = scene.conversation.close()
        self.assertNoResult(closed)
        scene.store.settle()
        for one in answered:
            self.assertEqual(self.outcome(one), Outcome.STOPPED)
        for waiter in (idle, closed, again):
            self.assertIsNone(self.successResultOf(waiter))
        self.assertEqual(scene.service.texts, ["a"])
        self.assertEqual(scene.conversation.unanswered, 0)
        self.assertEqual(scene.told.count("stopped"), 3)

    def test_followers_are_stopped(self) -> None:
        scene = self.scene()
        scene.asked()
        shown = list(scene.viewer.shown)
        scene.conversation.close()
        scene.store.settle()
        self.assertEqual(scene.viewer.shown, shown)
        self.assertEqual(scene.told, ["said Hi?", "started 1", "stopped"])

    def test_with_a_message_that_is_being_stored(self) -> None:
        scene = self.scene()
        answered = scene.say()
        closed = scene.conversation.close()
        self.assertNoResult(closed)
        scene.store.settle()
        self.assertEqual(self.outcome(answered), Outcome.STOPPED)
        self.successResultOf(closed)
        self.assertEqual(scene.service.asked, [])

    def test_by_one_who_waited_for_an_answer(self) -> None:
        scene = self.scene()
        closed: list[Deferred[None]] = []
        first, second = scene.asked("a"), scene.asked("b")
        first.addCallback(lambda _: closed.append(scene.conversation.close()))
        scene.service.last.end()
        scene.store.settle()
        self.assertEqual(self.outcome(second), Outcome.STOPPED)
        self.successResultOf(closed[0])

    def test_it_never_fires_before_all_is_stored(self) -> None:
        scene = self.scene()
        scene.asked()
        scene.reply.paragraph("<p>1</p>")
        closed = scene.conversation.close()
        while scene.store.appends:
            self.assertNoResult(closed)
            scene.store.store()
        self.successResultOf(closed)


class IdleTests(ConversationTestCase):
    def test_at_once_when_nothing_was_said(self) -> None:
        self.assertIsNone(self.successResultOf(self.scene().conversation.idle()))

    def test_when_the_last_answer_has_ended(self) -> None:
        scene = self.scene()
        scene.asked("a")
        scene.asked("b")
        idle = [scene.conversation.idle(), scene.conversation.idle()]
        scene.service.last.end()
        scene.store.settle()
        self.assertNoResult(idle[0])
        self.assertEqual(scene.conversation.unanswered, 1)
        scene.service.last.end()
        scene.store.settle()
        for one in idle:
            self.assertIsNone(self.successResultOf(one))

    def test_while_a_message_is_being_stored(self) -> None:
        scene = self.scene()
        scene.say()
        idle = scene.conversation.idle()
        self.assertNoResult(idle)
        self.assertEqual(scene.conversation.unanswered, 1)

    def test_giving_up_on_it(self) -> None:
        scene = self.scene()
        answered = scene.asked()
        given_up, kept = scene.conversation.idle(), scene.conversation.idle()
        given_up.cancel()
        self.failureResultOf(given_up, CancelledError)
        scene.service.last.end()
        scene.store.settle()
        self.successResultOf(kept)
        self.successResultOf(answered)


class CancelTests(ConversationTestCase):
    """Who does not want to wait any more."""

    def test_the_message_stays(self) -> None:
        scene = self.scene()
        given_up = scene.say("Hi?", "m1")
        given_up.cancel()
        self.failureResultOf(given_up, CancelledError)
        scene.store.settle()
        self.assertEqual(scene.service.texts, ["Hi?"])
        answered = scene.say("Hi?", "m1")
        scene.service.last.end()
        scene.store.settle()
        self.assertEqual(self.outcome(answered), Outcome.COMPLETE)

    def test_in_the_middle_of_the_answer(self) -> None:
        scene = self.scene()
        given_up, next_one = scene.asked("a"), scene.asked("b")
        given_up.cancel()
        self.failureResultOf(given_up, CancelledError)
        self.assertFalse(scene.service.last.cancelled)
        scene.service.last.end()
        scene.store.settle()
        scene.service.last.end()
        scene.store.settle()
        self.assertEqual(self.outcome(next_one), Outcome.COMPLETE)

    def test_by_another_who_was_told_first(self) -> None:
        scene = self.scene()
        first, second = scene.say("Hi?", "m1"), scene.say("Hi?", "m1")
        first.addCallback(lambda _: second.cancel())
        scene.store.settle()
        scene.service.last.end()
        scene.store.settle()
        self.successResultOf(first)
        self.failureResultOf(second, CancelledError)

    def test_after_the_end(self) -> None:
        scene = self.scene()
        answered = scene.asked()
        scene.service.last.end()
        scene.store.settle()
        answered.cancel()
        self.assertEqual(self.outcome(answered), Outcome.COMPLETE)


class LostTests(ConversationTestCase):
    """The store fails."""

    def goes_on(self, scene: Scene) -> None:
        """The next message is answered as if nothing had been."""
        answered = scene.asked("next")
        scene.reply.paragraph("<p>fine</p>")
        scene.service.last.end()
        scene.store.settle()
        self.assertEqual(self.outcome(answered), Outcome.COMPLETE)
        self.assertEqual(scene.told[-2:], ["<p>fine</p>", "complete"])
        self.assertEqual(scene.viewer.events, scene.transcript)
        self.successResultOf(scene.conversation.idle())

    def test_the_message(self) -> None:
        scene = self.scene()
        answered = [scene.say("Hi?", "m1"), scene.say("Hi?", "m1")]
        idle = scene.conversation.idle()
        scene.store.lose()
        for one in answered:
            self.failureResultOf(one, StoreError)
        self.successResultOf(idle)
        self.assertEqual(scene.store.appends, [])
        self.assertEqual(scene.service.asked, [])
        self.assertEqual(scene.viewer.shown, [])
        self.goes_on(scene)

    def test_the_message_may_be_said_again(self) -> None:
        scene = self.scene()
        lost = scene.say("Hi?", "m1")
        scene.store.lose()
        self.failureResultOf(lost, StoreError)
        answered = scene.say("Hi?", "m1")
        scene.store.settle()
        scene.service.last.end()
        scene.store.settle()
        self.assertEqual(self.outcome(answered), Outcome.COMPLETE)

    def test_a_message_that_was_lost_was_never_said(self) -> None:
        scene = self.scene()
        lost = scene.say("Hi?", "m1")
        scene.store.lose()
        self.failureResultOf(lost, StoreError)
        self.assertNoResult(scene.say("Hello?", "m1"))
        scene.store.settle()
        self.assertEqual(scene.service.texts, ["Hello?"])
        self.assertEqual(scene.told, ["said Hello?", "started 1"])

    def test_messages_that_waited_behind_it(self) -> None:
        scene = self.scene()
        answered = [scene.say(text) for text in ("a", "b", "c")]
        scene.store.lose()
        for one in answered:
            self.failureResultOf(one, StoreError)
        self.assertEqual(scene.conversation.unanswered, 0)
        self.assertEqual(scene.told, [])
        self.goes_on(scene)

    def test_a_message_while_another_is_answered(self) -> None:
        scene = self.scene()
        answered = scene.asked("a")
        lost = scene.say("b")
        scene.store.lose()
        self.failureResultOf(lost, StoreError)
        scene.reply.paragraph("<p>1</p>")
        scene.service.last.end()
        scene.store.settle()
        self.assertEqual(self.outcome(answered), Outcome.COMPLETE)
        self.assertEqual(scene.told, ["said a", "started 1", "<p>1</p>", "complete"])
        self.goes_on(scene)

    def test_nobody_waits_for_the_message(self) -> None:
        scene = self.scene()
        given_up = scene.say()
        given_up.cancel()
        self.failureResultOf(given_up, CancelledError)
        scene.store.lose()
        self.goes_on(scene)

    def test_that_the_reply_started(self) -> None:
        scene = self.scene()
        answered = scene.say()
        scene.store.store()
        scene.store.lose()
        self.failureResultOf(answered, StoreError)
        self.assertEqual(len(self.flushLoggedErrors(StoreError)), 1)
        self.assertEqual(scene.service.asked, [])
        self.assertFalse(scene.conversation.stop())
        self.assertEqual(scene.told, ["said Hi?"])
        self.goes_on(scene)

    def test_that_the_reply_started_with_others_in_the_queue(self) -> None:
        scene = self.scene()
        first, second = scene.say("a"), scene.say("b")
        scene.store.store()  # a
        third = scene.say("c")
        scene.store.store()  # b, and that the reply to a started
        self.assertNoResult(first)
        scene.store.settle()
        scene.service.last.end()
        scene.store.store()  # its end
        scene.store.lose()  # that the reply to b started
        self.assertEqual(self.outcome(first), Outcome.COMPLETE)
        self.failureResultOf(second, StoreError)
        self.assertEqual(len(self.flushLoggedErrors(StoreError)), 1)
        scene.store.settle()
        self.assertEqual(scene.service.texts, ["a", "c"])
        scene.service.last.end()
        scene.store.settle()
        self.assertEqual(self.outcome(third), Outcome.COMPLETE)

    def test_what_was_not_answered_may_be_said_again_and_is_no_second_one(
        self,
    ) -> None:
        scene = self.scene()
        lost = scene.say("Hi?", "m1")
        scene.store.store()
        scene.store.lose()
        self.failureResultOf(lost, StoreError)
        self.flushLoggedErrors(StoreError)
        answered = [scene.say("Hi?", "m1"), scene.say("Hi?", "m1")]
        scene.store.settle()
        scene.service.last.end()
        scene.store.settle()
        for one in answered:
            self.assertEqual(self.outcome(one), Outcome.COMPLETE)
        self.assertEqual(scene.told, ["said Hi?", "started 1", "complete"])

    def test_what_was_not_answered_is_refused_when_all_is_over(self) -> None:
        scene = self.scene()
        lost = scene.say("Hi?", "m1")
        scene.store.store()
        scene.store.lose()
        self.failureResultOf(lost, StoreError)
        self.flushLoggedErrors(StoreError)
        self.successResultOf(scene.conversation.close())
        self.failureResultOf(scene.say("Hi?", "m1"), ConversationClosed)

    def test_a_paragraph(self) -> None:
        scene = self.scene()
        answered = scene.asked()
        scene.reply.paragraph("<p>1</p>")
        scene.store.store()
        scene.reply.paragraph("<p>2</p>")
        scene.store.lose()
        self.assertTrue(scene.service.last.cancelled)
        scene.reply.paragraph("<p>3</p>")
        scene.store.settle()
        ended = self.successResultOf(answered)
        self.assertEqual(ended.outcome, Outcome.FAILED)
        self.assertEqual(ended.detail, OUR_FAULT)
        self.assertEqual(len(self.flushLoggedErrors(StoreError)), 1)
        self.assertEqual(scene.told[2:], ["<p>1</p>", "failed"])
        self.assertEqual(scene.viewer.events, scene.transcript)
        self.goes_on(scene)

    def test_a_paragraph_with_others_behind_it(self) -> None:
        scene = self.scene()
        answered = scene.asked()
        for number in range(4):
            scene.reply.paragraph(f"<p>{number}</p>")
        scene.store.store()
        scene.store.lose()
        scene.store.settle()
        self.assertEqual(self.outcome(answered), Outcome.FAILED)
        self.assertEqual(len(self.flushLoggedErrors(StoreError)), 1)
        self.assertEqual(scene.told[2:], ["<p>0</p>", "failed"])
        self.goes_on(scene)

    def test_no_answer_has_a_hole(self) -> None:
        scene = self.scene()
        answered = scene.asked()
        scene.reply.paragraph("<p>1</p>")
        scene.reply.paragraph("<p>2</p>")  # waits behind it
        scene.store.lose()
        scene.store.settle()
        self.assertEqual(self.outcome(answered), Outcome.FAILED)
        self.flushLoggedErrors(StoreError)
        self.assertEqual(scene.told, ["said Hi?", "started 1", "failed"])

    def test_a_paragraph_of_an_answer_that_is_complete(self) -> None:
        scene = self.scene()
        answered = scene.asked()
        scene.reply.paragraph("<p>1</p>")
        scene.service.last.end()
        scene.store.lose()
        scene.store.settle()
        self.assertEqual(self.outcome(answered), Outcome.FAILED)
        self.assertFalse(scene.service.last.cancelled)
        self.flushLoggedErrors(StoreError)
        self.goes_on(scene)

    def test_a_paragraph_of_an_answer_that_broke(self) -> None:
        scene = self.scene()
        answered = scene.asked()
        scene.reply.paragraph("<p>1</p>")
        scene.service.last.fail(BodyCut())
        scene.store.lose()
        scene.store.settle()
        self.assertEqual(self.outcome(answered), Outcome.FAILED)
        self.flushLoggedErrors(StoreError)

    def test_a_paragraph_that_is_lost_while_the_service_begins(self) -> None:
        class Full(HeldStore):
            full = False

            def append(self, conversation_id: str, events: Any) -> Deferred[None]:
                if self.full:
                    raise StoreError("the disk is full")
                return super().append(conversation_id, events)

        def begin(reply: Reply) -> None:
            store.full = len(service.asked) == 1
            reply.paragraph("<p>1</p>")

        store, service = Full(), ScriptedService(begin=begin)
        conversation = Conversation(
            "c", store, Dispatcher([], service), lambda: 0.0, ConversationSettings()
        )
        answered = conversation.say("Hi?")
        store.store(2)
        self.assertTrue(service.last.cancelled)
        self.failureResultOf(answered, StoreError)  # its end is not stored either
        self.assertEqual(len(self.flushLoggedErrors(StoreError)), 2)
        store.full = False
        self.assertNoResult(conversation.say("Hi?"))
        store.settle()
        self.assertEqual(
            [event.seq for event in store.transcripts["c"]], [1, 2, 3, 4, 5]
        )

    def test_a_paragraph_and_the_customer_stopped(self) -> None:
        scene = self.scene()
        answered = scene.asked()
        scene.reply.paragraph("<p>1</p>")
        scene.conversation.stop()
        scene.store.lose()
        scene.store.settle()
        self.assertEqual(self.outcome(answered), Outcome.FAILED)
        self.flushLoggedErrors(StoreError)

    def test_that_the_reply_ended(self) -> None:
        scene = self.scene()
        answered = [scene.say("Hi?", "m1"), scene.say("Hi?", "m1")]
        scene.store.settle()
        scene.service.last.end()
        idle = scene.conversation.idle()
        scene.store.lose()
        for one in answered:
            self.failureResultOf(one, StoreError)
        self.successResultOf(idle)
        self.assertEqual(len(self.flushLoggedErrors(StoreError)), 1)
        self.assertEqual(scene.told, ["said Hi?", "started 1"])
        self.assertFalse(scene.conversation.stop())
        self.goes_on(scene)

    def test_everything_while_closing(self) -> None:
        scene = self.scene()
        answered = [scene.asked("a"), scene.asked("b"), scene.say("c")]
        closed = scene.conversation.close()
        while scene.store.appends:
            scene.store.lose()
        for one in answered:
            self.failureResultOf(one, StoreError)
        self.successResultOf(closed)
        self.assertEqual(len(self.flushLoggedErrors(StoreError)), 2)

    def test_with_an_error_that_is_not_one_of_ours(self) -> None:
        scene = self.scene()
        answered = scene.say()
        scene.store.appends.pop().done.errback(ZeroDivisionError())
        self.failureResultOf(answered, ZeroDivisionError)
        self.goes_on(scene)

    def test_a_read_of_the_transcript(self) -> None:
        scene = self.scene()
        answered = scene.asked()
        reading = Deferred.fromCoroutine(
            as_coroutine(scene.service.last.question.transcript())
        )
        scene.store.reads.pop().done.errback(StoreError("gone"))
        scene.service.last.fail(self.failureResultOf(reading, StoreError).value)
        scene.store.settle()
        self.assertEqual(self.outcome(answered), Outcome.FAILED)
        self.flushLoggedErrors(StoreError)


class Anything(Scene):
    """A conversation to which anything happens, at any time."""

    def __init__(self) -> None:
        super().__init__(ScriptedService(begin=self._begin))
        self.answers: list[Deferred[Any]] = []
        self.given: list[int] = []  # paragraphs, by each answer
        self.over: list[bool] = []  # the service has ended it
        self.gone = False
        self.closed: Deferred[None] = succeed(None)

    def _begin(self, reply: Reply) -> None:
        self.given.append(0)
        self.over.append(False)
        self._give(reply)

    def _give(self, reply: Reply) -> None:
        reply.paragraph(f"{len(self.given) - 1}.{self.given[-1]}")
        self.given[-1] += not self.over[-1]

    # What may happen.

    def say_something(self, number: int) -> None:
        self.answers.append(self.say("Hi?"))

    def say_it_again(self, number: int) -> None:
        self.answers.append(self.say("Hi?", f"m{number % 3}"))

    def give_up(self, number: int) -> None:
        if self.answers:
            self.answers[number % len(self.answers)].cancel()

    def paragraph(self, number: int) -> None:
        if self.given:
            self._give(self.reply)

    def delta(self, number: int) -> None:
        if self.given:
            self.reply.delta("Go")

    def end(self, number: int = 0) -> None:
        self._end(Asked.end)

    def fail(self, number: int) -> None:
        self._end(lambda asked: asked.fail(BodyCut()))

    def _end(self, how: Callable[[Asked], None]) -> None:
        if self.over and not self.over[-1] and not self.service.last.cancelled:
            self.over[-1] = True
            how(self.service.last)

    def stop(self, number: int) -> None:
        self.conversation.stop()

    def close(self, number: int) -> None:
        if number == 5:
            self.gone, self.closed = True, self.conversation.close()

    def pause(self, number: int) -> None:
        self.follower.pauseProducing()

    def resume(self, number: int) -> None:
        self.follower.resumeProducing()

    def stored(self, number: int) -> None:
        if self.store.appends:
            self.store.store()

    def lost(self, number: int) -> None:
        if self.store.appends:
            self.store.lose()

    def read(self, number: int) -> None:
        if self.store.reads:
            self.store.give()

    def come_to_an_end(self) -> None:
        self.follower.resumeProducing()
        self.store.settle()
        while self.conversation.unanswered:
            self.end()
            self.store.settle()


HAPPENINGS = [
    Anything.say_something,
    Anything.say_it_again,
    Anything.give_up,
    Anything.paragraph,
    Anything.paragraph,
    Anything.delta,
    Anything.end,
    Anything.fail,
    Anything.stop,
    Anything.close,
    Anything.pause,
    Anything.resume,
    Anything.stored,
    Anything.stored,
    Anything.stored,
    Anything.lost,
    Anything.read,
]


class AnythingTests(ConversationTestCase):
    @settings(deadline=None, max_examples=500)
    @given(
        st.lists(st.tuples(st.sampled_from(HAPPENINGS), st.integers(0, 5)), max_size=60)
    )
    def test_nobody_waits_for_ever_and_nothing_is_made_up(
        self, happenings: list[tuple[Callable[[Anything, int], None], int]]
    ) -> None:
        scene = Anything()
        for happen, number in happenings:
            happen(scene, number)
            self.assertLessEqual(len(scene.store.appends), 1)
        scene.come_to_an_end()
        self.flushLoggedErrors(StoreError)
        for answered in scene.answers:
            self.is_honest(scene, answered)
        self.successResultOf(scene.conversation.idle())
        self.successResultOf(scene.closed)
        self.check(scene)
        self.is_well_told(scene)
        if not scene.gone:
            self.assertEqual(scene.viewer.events, scene.transcript)

    def is_honest(self, scene: Scene, answered: Deferred[Any]) -> None:
        """It has fired, and with what the transcript says."""
        results: list[Any] = []
        answered.addBoth(results.append)
        self.assertEqual(len(results), 1)
        if isinstance(results[0], Failure):
            kinds = (StoreError, TooManyWaiting, ConversationClosed, CancelledError)
            self.assertTrue(results[0].check(*kinds), results[0])
        else:
            self.assertIn(results[0], scene.transcript)

    def is_well_told(self, scene: Anything) -> None:
        """Every answer stands in one piece from its beginning; whole if complete."""
        said = [e.message_id for e in scene.transcript if isinstance(e, CustomerSaid)]
        self.assertEqual(len(said), len(set(said)))
        answer: list[str] | None = None
        for event in scene.transcript:
            if isinstance(event, ReplyStarted):
                answer = []
            elif isinstance(event, ParagraphSaid):
                assert answer is not None
                answer.append(event.text)
                number = int(answer[0].partition(".")[0])
                wanted = [f"{number}.{at}" for at in range(len(answer))]
                self.assertEqual(answer, wanted)
            elif isinstance(event, ReplyEnded):
                assert answer is not None
                if event.outcome is Outcome.COMPLETE:
                    number = int(answer[0].partition(".")[0])
                    self.assertTrue(scene.over[number])
                    self.assertEqual(len(answer), scene.given[number])
                answer = None
