"""A conversation whose service and store do what the test says, when it says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from supportbot.asked import Aside
from supportbot.context import conversation_id
from supportbot.conversation import Conversation
from supportbot.dispatcher import Dispatcher, Route
from supportbot.errors import (
    AnsweredElsewhere,
    BadRequest,
    BodyCut,
    ConversationBusy,
    ConversationClosed,
    ConversationErased,
    MessageEmpty,
    MessageIdTaken,
    MessageTooLong,
    ServiceUnreachable,
    StoreError,
    TooManyWaiting,
    TranscriptGone,
)
from supportbot.events import (
    ConversationReset,
    CustomerSaid,
    Event,
    Outcome,
    ParagraphSaid,
    ReplyEnded,
    ReplyRevised,
    ReplyStarted,
)
from supportbot.interfaces import Known, Reply, TranscriptStore
from supportbot.ledger import Message
from supportbot.services.signpost import Signpost
from supportbot.settings import ConversationSettings
from supportbot.transcripts.memory import MemoryStore
from tests.fakes import Asked, Held, HeldStore, RecordingViewer, ScriptedService

QUEUE = 4
OUR_FAULT = "Something went wrong on our side; please ask again."


class Scene:
    """A conversation, a customer who sees it, and the two that it leans on."""

    def __init__(
        self, service: ScriptedService | None = None, store: HeldStore | None = None
    ) -> None:
        self.clock, self.store = Clock(), store or HeldStore()
        self.clock.advance(1000.0)
        self.service = service or ScriptedService()
        person = Route("real person", ScriptedService("agent", "real agent"), True)
        self._dispatcher = Dispatcher(
            [person, Route("product question", self.service)], self.service
        )
        self.conversation = self.another()
        self.viewer = RecordingViewer()
        self.follower = self.conversation.follow(self.viewer)
        self.follower.catch_up()
        self.store.settle()

    def another(self) -> Conversation:
        """The same conversation, as another process sees it, or this one later."""
        return Conversation(
            "c",
            self.store,
            self._dispatcher,
            self.clock.seconds,
            ConversationSettings(message=10, queue=QUEUE, batch=2),
        )

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
    if isinstance(event, ConversationReset):
        return "reset"
    return str(event.outcome)


class ConversationTestCase(SynchronousTestCase):
    """Whatever happens, what is shown is what is stored, numbered without holes."""

    def scene(
        self, service: ScriptedService | None = None, store: HeldStore | None = None
    ) -> Scene:
        scene = Scene(service, store)
        self.addCleanup(self.check, scene)
        return scene

    def check(self, scene: Scene) -> None:
        scene.store.settle()
        numbers = [event.seq for event in scene.transcript]
        first = numbers[0] if numbers else 1
        self.assertEqual(numbers, list(range(first, first + len(numbers))))
        if first > 1:  # what was before is forgotten
            self.assertIsInstance(scene.transcript[0], ConversationReset)
            shown = [event for event in scene.viewer.events if event.seq >= first]
            self.assertEqual(shown, scene.transcript[: len(shown)])
            return
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

    def test_who_comes_in_the_middle_of_a_paragraph_sees_it_from_its_beginning(
        self,
    ) -> None:
        scene = self.scene()
        scene.asked()
        scene.reply.paragraph("One")
        scene.store.store()
        scene.reply.delta("Tw")
        late = RecordingViewer()
        scene.conversation.follow(late, after=scene.conversation.last_seq).catch_up()
        scene.reply.delta("o")
        self.assertEqual(late.shown, ["Tw", "o"])
        scene.reply.paragraph("Two")
        last = RecordingViewer()
        scene.conversation.follow(last, after=scene.conversation.last_seq).catch_up()
        scene.store.store()
        self.assertEqual(last.shown, [scene.transcript[-1]])

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

    def test_with_another_text_it_is_not_the_same(self) -> None:
        scene = self.scene()
        answered = scene.say("first", "m1")
        for _ in range(2):
            self.failureResultOf(scene.say("other", "m1"), MessageIdTaken)
            self.failureResultOf(scene.conversation.take("x", "m1"), MessageIdTaken)
            scene.store.settle()
            self.assertTrue(scene.conversation.knows("m1"))
        scene.service.last.end()
        scene.store.settle()
        self.failureResultOf(scene.say("other", "m1"), MessageIdTaken)
        self.assertEqual(self.outcome(answered), Outcome.COMPLETE)
        self.assertEqual(scene.told, ["said first", "started 1", "complete"])

    def test_it_is_asked_again_if_its_answer_was_not_complete(self) -> None:
        for error in (BodyCut(), ZeroDivisionError()):
            scene = self.scene()
            scene.say("Hi?", "m1")
            scene.store.settle()
            scene.service.last.fail(error)
            scene.store.settle()
            self.flushLoggedErrors(ZeroDivisionError)
            answered = [scene.say("Hi?", "m1"), scene.say("Hi?", "m1")]
            scene.store.settle()
            scene.service.last.end()
            scene.store.settle()
            for one in answered:
                self.assertEqual(self.outcome(one), Outcome.COMPLETE)
            self.assertEqual(scene.service.texts, ["Hi?", "Hi?"])
            self.assertEqual(scene.told[3:], ["started 1", "complete"])

    def test_what_was_stopped_stays_stopped(self) -> None:
        scene = self.scene()
        scene.say("Hi?", "m1")
        scene.store.settle()
        scene.conversation.stop()
        scene.store.settle()
        self.assertEqual(self.outcome(scene.say("Hi?", "m1")), Outcome.STOPPED)
        self.assertEqual(scene.service.texts, ["Hi?"])

    def test_another_try_is_refused_like_a_new_message(self) -> None:
        scene = self.scene()
        scene.say("Hi?", "m1")
        scene.store.settle()
        scene.service.last.fail(BodyCut())
        scene.store.settle()
        for _ in range(QUEUE):
            scene.say()
        self.failureResultOf(scene.say("Hi?", "m1"), TooManyWaiting)
        scene.conversation.close()
        scene.store.settle()
        self.failureResultOf(scene.say("Hi?", "m1"), ConversationClosed)


class TakeTests(ConversationTestCase):
    def take(self, scene: Scene, text: str = "Hi?", id: str = "m1") -> Message:
        taken = scene.conversation.take(text, id)
        scene.store.settle()
        return self.successResultOf(taken)

    def reply_to(self, scene: Scene, message: Message) -> list[str]:
        """What somebody is shown of it who follows from there."""
        viewer = RecordingViewer()
        follower = scene.conversation.follow(viewer, message.after)
        follower.catch_up()
        scene.store.settle()
        follower.stopProducing()
        shown, mine = [], False
        for event in viewer.events:
            if isinstance(event, ReplyStarted):
                mine = event.to == message.seq
            if mine:
                shown.append(in_words(event))
        return shown

    def test_it_fires_when_the_message_is_stored(self) -> None:
        scene = self.scene()
        taken = [scene.conversation.take(" Hi?", "m1") for _ in range(2)]
        self.assertNoResult(taken[0])
        scene.store.store()
        first, second = map(self.successResultOf, taken)
        self.assertIs(first, second)
        self.assertEqual((first.seq, first.message_id), (1, "m1"))
        self.assertIs(scene.conversation.message("m1"), first)
        answered = scene.conversation.answered(first)
        self.assertNoResult(answered)
        scene.store.settle()
        scene.service.last.end()
        scene.store.settle()
        self.assertEqual(self.outcome(answered), Outcome.COMPLETE)
        self.assertEqual(
            self.outcome(scene.conversation.answered(first)), Outcome.COMPLETE
        )

    def test_what_comes_with_the_message_is_stored_with_it(self) -> None:
        scene = self.scene()
        scene.conversation.take("a", "m1", Aside("Be brief.", "gpt-4o"))
        scene.conversation.take("a", "m1", Aside("Be rude.", "gpt-5"))  # it was said
        scene.conversation.take("b", "m2")
        scene.say("c", "m3")
        scene.store.settle()
        said = [
            (one.text, one.system_message, one.model)
            for one in scene.transcript
            if isinstance(one, CustomerSaid)
        ]
        self.assertEqual(
            said, [("a", "Be brief.", "gpt-4o"), ("b", "", ""), ("c", "", "")]
        )

    def test_which_messages_a_client_has_no_answers_to(self) -> None:
        scene = self.scene()
        messages = [self.take(scene, id=f"m{number}") for number in (1, 2)]
        taken = scene.conversation.take("Hi?", "m3")
        self.assertEqual(scene.conversation.messages(0), messages)
        scene.store.store()
        messages.append(self.successResultOf(taken))
        scene.service.last.end()
        self.assertEqual(scene.conversation.messages(9), messages)
        scene.store.settle()
        first = messages[0].ended
        assert first is not None
        self.assertEqual(scene.conversation.messages(first.seq - 1), messages)
        self.assertEqual(scene.conversation.messages(first.seq), messages[1:])
        later = scene.another()
        refreshed = Deferred.fromCoroutine(later.refresh())
        scene.store.settle()
        self.assertTrue(self.successResultOf(refreshed))
        ids = [one.message_id for one in later.messages(first.seq)]
        self.assertEqual(ids, ["m2", "m3"])

    def test_what_is_not_taken(self) -> None:
        scene = self.scene()
        self.failureResultOf(scene.conversation.take(" "), MessageEmpty)
        taken = scene.conversation.take("Hi?", "m1")
        scene.store.lose()
        self.failureResultOf(taken, StoreError)
        scene.conversation.close()
        self.failureResultOf(scene.conversation.take("Hi?"), ConversationClosed)

    def test_following_from_it_shows_the_latest_reply_and_no_other(self) -> None:
        scene = self.scene()
        self.take(scene, "before", "m0")
        message = self.take(scene)
        self.assertEqual(self.reply_to(scene, message), [])
        scene.service.last.end()
        scene.store.settle()
        scene.reply.paragraph("<p>1</p>")
        scene.store.settle()
        under_way = ["started 3", "<p>1</p>"]
        self.assertEqual(self.reply_to(scene, self.take(scene)), under_way)
        scene.service.last.fail(BodyCut())
        scene.store.settle()
        self.assertEqual(self.reply_to(scene, message), [*under_way, "cut"])
        taken = scene.conversation.take("Hi?", "m1")  # its start is not stored yet
        message = self.successResultOf(taken)
        first = RecordingViewer()
        scene.conversation.follow(first, message.after).catch_up()
        scene.store.settle()
        self.assertEqual(self.reply_to(scene, message), ["started 3"])
        scene.service.last.end()
        scene.store.settle()
        whole = ["started 3", "complete"]
        self.assertEqual(self.reply_to(scene, self.take(scene)), whole)
        self.assertEqual([in_words(event) for event in first.events], whole)

    def test_those_never_asked_come_before_one_that_is_asked_again(self) -> None:
        scene = self.scene()
        for number in range(2):
            self.take(scene, id=f"m{number}")
        scene.service.last.fail(BodyCut())
        scene.store.store()  # that it was cut, and nothing of the second
        later = scene.another()
        refreshed = Deferred.fromCoroutine(later.refresh())
        scene.store.searches.pop().fire()
        while scene.store.reads:
            scene.store.reads.pop().fire()
        self.assertTrue(self.successResultOf(refreshed))
        later.take("Hi?", "m0")
        told = [one.message_id for one in later.messages(0)]
        self.assertEqual(told, ["m1", "m0"])

    def test_who_waits_for_the_answer_is_always_told(self) -> None:
        for appends in (0, 1):  # that it began, or that it ended
            scene = self.scene()
            taken = scene.conversation.take("Hi?", "m1")
            scene.store.store()
            message = self.successResultOf(taken)
            answered = scene.conversation.answered(message)
            if appends:
                scene.store.store()
                scene.service.last.end()
            scene.store.lose()
            self.failureResultOf(answered, StoreError)
            self.failureResultOf(scene.conversation.answered(message), StoreError)

    def test_who_waits_when_the_process_ends(self) -> None:
        scene = self.scene()
        messages = [self.take(scene, id=f"m{number}") for number in range(2)]
        answered = list(map(scene.conversation.answered, messages))
        scene.conversation.suspend()
        self.failureResultOf(answered[1], ConversationClosed)
        again = scene.conversation.answered(messages[1])
        self.failureResultOf(again, ConversationClosed)
        scene.store.settle()
        self.assertEqual(self.outcome(answered[0]), Outcome.CUT)

    def test_who_waits_when_the_conversation_is_reset(self) -> None:
        scene = self.scene()
        messages = [self.take(scene, id=f"m{number}") for number in range(2)]
        answered = list(map(scene.conversation.answered, messages))
        reset = Deferred.fromCoroutine(scene.conversation.reset())
        self.failureResultOf(answered[1], ConversationBusy)
        scene.store.settle()
        self.successResultOf(reset)
        self.assertEqual(self.outcome(answered[0]), Outcome.STOPPED)


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
            def pick(self, text: str, *, claimed: bool = False) -> Route:
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
        scene.conversation.close()
        self.assertEqual(scene.viewer.shown, [*shown, "(over)"])
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


class SuspendTests(ConversationTestCase):
    """The process ends; another one goes on."""

    INTERRUPTED = "This answer was interrupted on our side; please ask again."

    def test_the_reply_is_interrupted_and_what_waits_is_left(self) -> None:
        scene = self.scene()
        answered = [scene.asked("a"), scene.asked("b"), scene.say("c")]
        suspended = scene.conversation.suspend()
        self.assertTrue(scene.service.last.cancelled)
        self.assertNoResult(suspended)
        scene.store.settle()
        self.successResultOf(suspended)
        ended = self.successResultOf(answered[0])
        self.assertEqual((ended.outcome, ended.detail), (Outcome.CUT, self.INTERRUPTED))
        for one in answered[1:]:
            self.failureResultOf(one, ConversationClosed)
        self.failureResultOf(scene.say(), ConversationClosed)
        self.assertEqual(scene.service.texts, ["a"])
        self.assertEqual(scene.told, ["said a", "started 1", "said b", "said c", "cut"])
        self.assertEqual(scene.viewer.events, scene.transcript)

    def test_with_a_store_that_never_waits(self) -> None:
        service, store = ScriptedService(), MemoryStore()
        conversation = Conversation(
            "c", store, Dispatcher([], service), lambda: 0.0, ConversationSettings()
        )
        for text in "abc":
            conversation.say(text).addErrback(lambda _: None)
        self.successResultOf(conversation.suspend())
        events = self.successResultOf(store.read("c", 0, 99))
        self.assertEqual(
            [in_words(event) for event in events],
            ["said a", "started 1", "said b", "said c", "cut"],
        )

    def test_a_reply_that_is_complete_and_being_stored(self) -> None:
        scene = self.scene()
        answered = scene.asked()
        scene.reply.paragraph("<p>1</p>")
        scene.service.last.end()
        scene.conversation.suspend()
        scene.store.settle()
        self.assertEqual(self.outcome(answered), Outcome.COMPLETE)

    def test_with_nothing_under_way(self) -> None:
        scene = self.scene()
        self.successResultOf(scene.conversation.suspend())
        self.successResultOf(scene.conversation.suspend())
        self.failureResultOf(scene.say(), ConversationClosed)

    def test_the_next_process_answers_what_waited(self) -> None:
        scene = self.scene()
        for text in ("a", "b", "c"):
            scene.say(text, text).addErrback(lambda _: None)
        scene.store.settle()
        scene.conversation.suspend()
        scene.store.settle()
        later = scene.another()
        Deferred.fromCoroutine(later.refresh())
        scene.store.settle()
        self.assertEqual(scene.service.texts, ["a", "b"])
        again = later.say("a", "a")  # whoever wants it, says it again
        for _ in range(3):
            scene.service.last.end()
            scene.store.settle()
        self.assertEqual(scene.service.texts, ["a", "b", "c", "a"])
        self.assertEqual(self.outcome(again), Outcome.COMPLETE)


class RefreshTests(ConversationTestCase):
    """Another object takes up a conversation that the store knows."""

    def refreshed(self, conversation: Conversation) -> Deferred[bool]:
        return Deferred.fromCoroutine(conversation.refresh())

    def test_one_that_is_not_known(self) -> None:
        scene = self.scene()
        refreshed = self.refreshed(scene.conversation)
        scene.store.settle()
        self.assertIs(self.successResultOf(refreshed), False)
        self.assertEqual(scene.store.reads, [])

    def test_all_is_known_that_was(self) -> None:
        scene = self.scene()
        first = scene.say("a", "m1")
        scene.store.settle()
        scene.service.last.end()
        scene.store.settle()
        later = scene.another()
        refreshed = self.refreshed(later)
        scene.store.settle()
        self.assertIs(self.successResultOf(refreshed), True)
        self.assertEqual(later.last_seq, 3)
        self.assertTrue(later.knows("m1"))
        self.assertEqual(
            self.successResultOf(later.say("a", "m1")), self.successResultOf(first)
        )
        self.failureResultOf(later.say("b", "m1"), MessageIdTaken)
        later.say("b", "m2")
        scene.store.settle()
        self.assertEqual(scene.told[3:], ["said b", "started 4"])

    def test_a_reply_that_was_under_way_is_ended_as_cut_once(self) -> None:
        scene = self.scene()
        scene.say("a", "m1")
        scene.store.settle()
        scene.reply.paragraph("<p>1</p>")
        scene.store.settle()
        later = scene.another()
        many = [self.refreshed(later) for _ in range(3)]
        self.assertEqual(len(scene.store.searches), 1)
        scene.store.searches.pop().fire()
        scene.store.give(2)
        many += [self.refreshed(later) for _ in range(3)]
        again = later.take("a", "m1")  # while that is being stored
        scene.store.settle()
        for one in many:
            self.assertIs(self.successResultOf(one), True)
        self.assertEqual(scene.told[2:], ["<p>1</p>", "cut", "started 1"])
        cut = scene.transcript[3]
        assert isinstance(cut, ReplyEnded)
        self.assertEqual(cut.detail, SuspendTests.INTERRUPTED)
        message = self.successResultOf(again)
        viewer = RecordingViewer()
        later.follow(viewer, message.after).catch_up()
        scene.store.settle()
        self.assertEqual([in_words(one) for one in viewer.events], ["started 1"])

    def test_what_was_never_asked_is_asked_in_order(self) -> None:
        scene = self.scene()
        for text in ("a", "b", "c"):
            scene.say(text, text)
        scene.store.settle()
        service, scene.service.asked = scene.service, []
        later = scene.another()
        many = [self.refreshed(later) for _ in range(3)]
        scene.store.settle()
        for one in many:
            self.successResultOf(one)
        self.assertEqual(later.unanswered, 2)
        waiting = later.say("c", "c")
        for text in ("b", "c"):
            self.assertEqual(service.last.question.text, text)
            service.last.end()
            scene.store.settle()
        self.assertEqual(service.texts, ["b", "c"])
        self.assertEqual(self.outcome(waiting), Outcome.COMPLETE)
        self.refreshed(later)
        scene.store.settle()
        self.assertEqual(service.texts, ["b", "c"])

    def test_nothing_is_taken_up_by_one_that_is_closed_meanwhile(self) -> None:
        for close in (Conversation.suspend, Conversation.close):
            scene = self.scene()
            for text in ("a", "b"):
                scene.say(text, text)
            scene.store.settle()
            told = list(scene.told)
            later = scene.another()
            self.refreshed(later)
            scene.store.searches.pop().fire()
            while scene.store.reads:
                scene.store.give()
            close(later)  # while the end of the reply is being stored
            scene.store.settle()
            self.assertEqual(scene.told, [*told, "cut"])
            self.assertEqual(scene.service.texts, ["a"])

    def test_nothing_is_read_where_nothing_is_new(self) -> None:
        scene = self.scene()
        scene.asked()
        self.refreshed(scene.conversation)
        scene.store.searches.pop().fire()
        self.assertEqual(scene.store.reads, [])

    def test_one_that_is_being_reset(self) -> None:
        scene = self.scene()
        lost = scene.asked()
        scene.service.last.end()
        scene.store.lose()  # the reply has no end
        self.failureResultOf(lost, StoreError)
        reset = Deferred.fromCoroutine(scene.conversation.reset())
        refreshed = self.refreshed(scene.conversation)
        scene.store.searches.pop().fire()
        scene.store.settle()
        self.successResultOf(reset)
        self.assertIs(self.successResultOf(refreshed), True)
        self.assertEqual(scene.told, ["reset"])

    def test_a_store_that_fails(self) -> None:
        scene = self.scene()
        scene.asked()
        for step in range(3):
            later = scene.another()
            refreshed = [self.refreshed(later), self.refreshed(later)]
            if step:
                scene.store.searches.pop().fire()
            if step > 1:
                while scene.store.reads:
                    scene.store.give()
            waiting: list[Any] = [
                *scene.store.searches,
                *scene.store.reads,
                *scene.store.appends,
            ]
            scene.store.searches, scene.store.reads = [], []
            scene.store.appends = []
            waiting[0].done.errback(StoreError("gone"))
            for one in refreshed:
                self.failureResultOf(one, StoreError)
            self.assertEqual(len(waiting), 1)
        again = self.refreshed(later)
        scene.store.settle()
        self.assertIs(self.successResultOf(again), True)
        self.assertEqual(scene.told, ["said Hi?", "started 1", "cut"])

    def test_who_gives_up_does_not_spoil_it_for_the_others(self) -> None:
        scene = self.scene()
        scene.asked()
        later = scene.another()
        first, second = self.refreshed(later), self.refreshed(later)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        scene.store.settle()
        self.assertIs(self.successResultOf(second), True)


class TwoProcesses(HeldStore):
    """What the test says about who wrote last."""

    lasting = shared = True
    elsewhere = False

    def find(self, conversation_id: str) -> Deferred[Known | None]:
        def found(known: Known | None) -> Known | None:
            return known and Known(known.last_seq, self.elsewhere)

        return super().find(conversation_id).addCallback(found)


class ElsewhereTests(ConversationTestCase):
    def refresh(self, scene: Scene, conversation: Conversation) -> None:
        refreshed = Deferred.fromCoroutine(conversation.refresh())
        scene.store.settle()
        self.assertIs(self.successResultOf(refreshed), True)

    def test_what_another_process_answers_is_left_to_it(self) -> None:
        store = TwoProcesses()
        scene = self.scene(store=store)
        scene.asked()
        told = list(scene.told)
        store.elsewhere = True
        other = scene.another()
        self.refresh(scene, other)
        self.assertTrue(other.elsewhere)
        self.assertEqual(scene.told, told)
        self.failureResultOf(other.say("b"), AnsweredElsewhere)
        self.failureResultOf(other.take("b"), AnsweredElsewhere)
        reset = Deferred.fromCoroutine(other.reset())
        self.failureResultOf(reset, AnsweredElsewhere)
        self.assertEqual(store.appends, [])
        store.elsewhere = False  # it died
        self.refresh(scene, other)
        self.assertFalse(other.elsewhere)
        self.assertEqual(scene.told, [*told, "cut"])
        other.say("b")
        scene.store.settle()
        self.assertEqual(scene.service.texts, ["Hi?", "b"])

    def test_an_answer_that_another_process_has_finished_is_in_nobodys_way(
        self,
    ) -> None:
        store = TwoProcesses()
        scene = self.scene(store=store)
        scene.asked()
        scene.service.last.end()
        store.settle()
        store.elsewhere = True
        other = scene.another()
        self.refresh(scene, other)
        self.assertFalse(other.elsewhere)
        other.say("b")
        store.settle()
        self.assertEqual(scene.service.texts, ["Hi?", "b"])

    def test_who_does_not_know_yet_interrupts_nobody(self) -> None:
        store = TwoProcesses()
        scene = self.scene(store=store)
        other = scene.another()
        first = scene.asked("a")
        late = other.say("b")
        store.settle()
        self.failureResultOf(late, AnsweredElsewhere)
        self.assertTrue(other.elsewhere)
        scene.reply.paragraph("<p>1</p>")
        scene.service.last.end()
        store.settle()
        self.assertEqual(self.outcome(first), Outcome.COMPLETE)
        self.assertEqual(scene.told, ["said a", "started 1", "<p>1</p>", "complete"])
        self.refresh(scene, other)
        self.assertFalse(other.elsewhere)

    def test_the_same_message_to_both(self) -> None:
        store = TwoProcesses()
        scene = self.scene(store=store)
        other = scene.another()
        first, second = scene.say("a", "m1"), other.say("a", "m1")
        store.settle()
        self.failureResultOf(second, AnsweredElsewhere)
        scene.service.last.end()
        store.settle()
        self.assertEqual(self.outcome(first), Outcome.COMPLETE)
        self.refresh(scene, other)
        self.assertEqual(self.outcome(other.say("a", "m1")), Outcome.COMPLETE)
        self.assertEqual(scene.told, ["said a", "started 1", "complete"])

    def test_the_same_message_to_both_before_its_answer_has_begun(self) -> None:
        store = TwoProcesses()
        scene = self.scene(store=store)
        other = scene.another()
        scene.say("a", "m1")
        second = other.say("a", "m1")
        store.store(2)  # the second is told that it has moved
        store.give(2)
        self.failureResultOf(second, AnsweredElsewhere)
        self.assertTrue(other.elsewhere)
        store.settle()
        self.assertEqual(scene.told, ["said a", "started 1"])

    def test_what_another_process_answers_is_not_reset(self) -> None:
        store = TwoProcesses()
        scene = self.scene(store=store)
        other = scene.another()
        scene.asked()
        reset = Deferred.fromCoroutine(other.reset())  # it does not know yet
        store.settle()
        self.failureResultOf(reset, AnsweredElsewhere)
        self.assertTrue(other.elsewhere)
        self.assertEqual(scene.told, ["said Hi?", "started 1"])

    def test_another_process_resets_while_a_message_is_stored(self) -> None:
        store = TwoProcesses()
        scene = self.scene(store=store)
        taken = scene.conversation.take("Hi?", "m1")
        store.appends[0].act()
        scene.transcript.append(ConversationReset(seq=2, at=0.0))
        del scene.transcript[0]
        refreshed = Deferred.fromCoroutine(scene.conversation.refresh())
        store.searches.pop().fire()
        while store.reads:
            store.give()
        self.successResultOf(refreshed)
        store.store()
        self.failureResultOf(taken, ConversationBusy)
        self.successResultOf(scene.conversation.idle())

    def test_another_process_answers_while_the_message_is_stored(self) -> None:
        store = TwoProcesses()
        scene = self.scene(store=store)
        answered = scene.say("Hi?", "m1")
        store.appends[0].act()
        ended = ReplyEnded(seq=3, at=0.0, outcome=Outcome.COMPLETE)
        scene.transcript.append(
            ReplyStarted(seq=2, at=0.0, service="s", intent="", to=1)
        )
        scene.transcript.append(ended)
        Deferred.fromCoroutine(scene.conversation.refresh())
        store.searches.pop().fire()
        while store.reads:
            store.give()
        store.store()
        self.assertIs(self.successResultOf(answered), ended)
        self.assertEqual(scene.service.asked, [])

    def test_two_messages_at_the_same_time(self) -> None:
        store = TwoProcesses()
        scene = self.scene(store=store)
        other = scene.another()
        answers = [scene.say("a"), other.say("b")]
        store.store(2)  # the second is told that it has moved
        while store.reads:
            store.give()
        store.settle()
        self.assertEqual(scene.told, ["said a", "started 1"])
        self.failureResultOf(answers[1], AnsweredElsewhere)
        self.assertNoResult(answers[0])

    def test_two_take_up_what_a_third_has_left(self) -> None:
        store = TwoProcesses()
        scene = self.scene(store=store)
        for text in ("a", "b"):
            scene.say(text, text)
        store.settle()
        both = [scene.another(), scene.another()]
        refreshed = [Deferred.fromCoroutine(one.refresh()) for one in both]
        store.settle()
        for one in refreshed:
            self.assertIs(self.successResultOf(one), True)
        self.assertEqual(scene.service.texts, ["a", "b"])
        self.assertEqual(
            scene.told, ["said a", "said b", "started 1", "cut", "started 2"]
        )

    def test_an_answer_that_was_taken_away_says_no_more(self) -> None:
        store = TwoProcesses()
        scene = self.scene(store=store)
        answered = scene.say("a", "m1")
        store.settle()
        other = scene.another()
        self.refresh(scene, other)  # it takes us for dead
        scene.reply.paragraph("<p>late</p>")
        store.settle()
        self.assertTrue(scene.service.last.cancelled)
        self.failureResultOf(answered, AnsweredElsewhere)
        self.assertEqual(scene.told, ["said a", "started 1", "cut"])
        self.assertEqual(scene.viewer.events, scene.transcript)
        self.assertEqual(self.flushLoggedErrors(), [])


class ResetTests(ConversationTestCase):
    def reset(self, scene: Scene) -> Deferred[None]:
        return Deferred.fromCoroutine(scene.conversation.reset())

    def test_when_nothing_is_under_way(self) -> None:
        scene = self.scene()
        scene.say("a", "m1")
        scene.store.settle()
        scene.service.last.end()
        scene.store.settle()
        reset = self.reset(scene)
        scene.store.store()
        self.assertNoResult(reset)
        self.assertEqual(scene.told[-1], "reset")
        scene.store.settle()
        self.successResultOf(reset)
        self.assertEqual(scene.told, ["reset"])
        self.assertEqual(scene.viewer.seqs, [1, 2, 3, 4])
        self.assertFalse(scene.conversation.knows("m1"))
        answered = scene.say("b", "m1")
        scene.store.settle()
        scene.service.last.end()
        scene.store.settle()
        self.assertEqual(self.outcome(answered), Outcome.COMPLETE)
        self.assertEqual(scene.told, ["reset", "said b", "started 5", "complete"])
        self.assertEqual(scene.viewer.seqs, [1, 2, 3, 4, 5, 6, 7])

    def test_the_service_reads_nothing_of_what_was_before_or_comes_later(self) -> None:
        scene = self.scene()
        scene.asked("a")
        reset = self.reset(scene)
        scene.store.settle()
        self.successResultOf(reset)
        scene.say("b")
        scene.say("c")
        scene.store.settle()
        question = scene.service.last.question
        self.assertEqual(question.text, "b")
        reading = Deferred.fromCoroutine(as_coroutine(question.transcript()))
        scene.store.settle()
        told = [in_words(event) for event in self.successResultOf(reading)]
        self.assertEqual(told, ["reset", "said b"])

    def test_what_is_under_way_and_what_waits_ends(self) -> None:
        scene = self.scene()
        answered = [scene.asked("a"), scene.asked("b"), scene.say("c")]
        reset = self.reset(scene)
        self.assertTrue(scene.service.last.cancelled)
        self.failureResultOf(answered[1], ConversationBusy)
        self.failureResultOf(scene.say("d"), ConversationBusy)
        scene.store.settle()
        self.successResultOf(reset)
        self.assertEqual(self.outcome(answered[0]), Outcome.STOPPED)
        self.failureResultOf(answered[2], ConversationBusy)
        self.assertEqual(scene.service.texts, ["a"])
        self.assertEqual(scene.told, ["reset"])

    def test_with_a_store_that_never_waits(self) -> None:
        service, store = ScriptedService(), MemoryStore()
        conversation = Conversation(
            "c", store, Dispatcher([], service), lambda: 0.0, ConversationSettings()
        )
        for text in "abc":
            conversation.say(text).addErrback(lambda _: None)
        self.successResultOf(Deferred.fromCoroutine(conversation.reset()))
        events = self.successResultOf(store.read("c", 0, 99))
        self.assertEqual([in_words(event) for event in events], ["reset"])
        self.assertEqual(service.texts, ["a"])

    def test_a_store_that_can_not_forget(self) -> None:
        scene = self.scene()
        reset = self.reset(scene)
        scene.store.store()
        scene.store.cuts.pop().done.errback(StoreError("gone"))
        self.failureResultOf(reset, StoreError)
        again = self.reset(scene)
        scene.store.settle()
        self.successResultOf(again)
        self.assertEqual(scene.told, ["reset"])
        self.assertEqual(scene.conversation.last_seq, 2)

    def test_a_store_that_can_not_even_say_so(self) -> None:
        scene = self.scene()
        reset = self.reset(scene)
        scene.store.lose()
        self.failureResultOf(reset, StoreError)
        self.assertNoResult(scene.say())

    def test_one_at_a_time(self) -> None:
        scene = self.scene()
        first, second = self.reset(scene), self.reset(scene)
        self.failureResultOf(second, ConversationBusy)
        self.failureResultOf(scene.say(), ConversationBusy)
        self.assertFalse(scene.conversation.at_rest)
        scene.store.settle()
        self.successResultOf(first)

    def test_one_that_is_closed(self) -> None:
        scene = self.scene()
        scene.conversation.close()
        self.failureResultOf(self.reset(scene), ConversationClosed)


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


class ErasedTests(ConversationTestCase):
    """Another program erases the transcript; nothing is added to it any more."""

    def check(self, scene: Scene) -> None:
        """What was shown is not there any more."""

    def is_over(self, scene: Scene) -> None:
        scene.store.settle()
        self.assertEqual(scene.store.transcripts, {})
        self.assertTrue(scene.conversation.erased)
        self.assertEqual(scene.viewer.shown[-1], "(over)")
        self.assertEqual(scene.viewer.shown.count("(over)"), 1)
        self.assertEqual(scene.conversation.unanswered, 0)
        self.assertEqual(scene.conversation.followers, 0)
        self.assertTrue(scene.conversation.at_rest)
        self.failureResultOf(scene.say(), ConversationErased)
        self.assertFalse(self.refreshed(scene))
        self.assertEqual(scene.store.searches, [])

    def refreshed(self, scene: Scene) -> bool:
        looking = Deferred.fromCoroutine(scene.conversation.refresh())
        scene.store.settle()
        return self.successResultOf(looking)

    def test_while_an_answer_comes(self) -> None:
        scene = self.scene()
        running, waiting = scene.asked(), scene.asked("b")
        again = scene.conversation.say("b", "m1")
        scene.store.settle()
        scene.store.transcripts.clear()
        scene.reply.paragraph("<p>0</p>")
        scene.reply.paragraph("<p>1</p>")
        scene.store.settle()
        for one in (running, waiting, again):
            self.failureResultOf(one, ConversationErased)
        self.assertTrue(scene.service.last.cancelled)
        self.assertEqual(len(scene.service.asked), 1)
        self.is_over(scene)

    def test_before_an_answer_has_begun(self) -> None:
        scene = self.scene()
        answered = scene.say()
        scene.store.store()
        scene.store.transcripts.clear()
        self.is_over(scene)
        self.failureResultOf(answered, ConversationErased)
        self.assertEqual(scene.service.asked, [])

    def test_before_the_end_of_an_answer(self) -> None:
        scene = self.scene()
        answered = scene.asked()
        scene.store.transcripts.clear()
        scene.service.last.end()
        self.is_over(scene)
        self.failureResultOf(answered, ConversationErased)

    def test_before_a_message(self) -> None:
        scene = self.scene()
        scene.asked()
        scene.service.last.end()
        scene.store.settle()
        scene.store.transcripts.clear()
        taken = scene.conversation.take("b")
        self.is_over(scene)
        self.failureResultOf(taken, ConversationErased)

    def test_before_a_reset(self) -> None:
        scene = self.scene()
        scene.asked()
        scene.service.last.end()
        scene.store.settle()
        scene.store.transcripts.clear()
        reset = Deferred.fromCoroutine(scene.conversation.reset())
        self.is_over(scene)
        self.failureResultOf(reset, TranscriptGone)

    def test_who_looks_at_the_store_notices(self) -> None:
        scene = self.scene()
        answered = scene.asked()
        scene.store.transcripts.clear()
        self.assertFalse(self.refreshed(scene))
        self.assertTrue(scene.service.last.cancelled)
        self.failureResultOf(answered, ConversationErased)
        self.is_over(scene)

    def test_who_takes_it_up_just_then(self) -> None:
        scene = self.scene()
        scene.asked()
        scene.service.asked.clear()
        later = scene.another()
        looking = Deferred.fromCoroutine(later.refresh())
        scene.store.searches.pop().fire()
        scene.store.give(2)
        (ended,) = scene.store.appends  # the end of the reply that is interrupted
        scene.store.transcripts.clear()
        ended.fire()
        scene.store.appends.clear()
        self.assertFalse(self.successResultOf(looking))
        self.assertTrue(later.erased)
        self.assertEqual(scene.store.transcripts, {})

    def test_one_that_was_begun_anew_is_another_one(self) -> None:
        scene = self.scene()
        answered = scene.asked()
        del scene.transcript[1:]  # as if that were another's
        self.assertFalse(self.refreshed(scene))
        self.failureResultOf(answered, ConversationErased)
        self.assertEqual(scene.told, ["said Hi?"])

    def test_who_reads_it_notices(self) -> None:
        scene = self.scene()
        answered = scene.say("Hi?", "m1")
        scene.store.settle()
        scene.service.last.end()
        scene.store.settle()
        ended = self.successResultOf(answered)
        scene.store.transcripts.clear()
        late = RecordingViewer()
        scene.conversation.follow(late).catch_up()
        scene.store.settle()
        self.assertEqual(late.shown, ["(over)"])
        self.assertEqual(ended.seq, 3)
        self.is_over(scene)
        later = RecordingViewer()
        scene.conversation.follow(later).catch_up()
        scene.store.settle()
        self.assertEqual(later.shown, ["(over)"])

    def test_an_empty_one_of_which_no_store_knows_is_new(self) -> None:
        scene = self.scene()
        self.assertFalse(self.refreshed(scene))
        self.assertFalse(scene.conversation.erased)
        self.assertNoResult(scene.asked())

    def test_an_answer_that_nobody_waits_for_is_told_of_as_erased(self) -> None:
        scene = self.scene()
        taking = scene.conversation.take("Hi?")
        scene.store.settle()
        message = self.successResultOf(taking)
        scene.store.transcripts.clear()
        scene.reply.paragraph("<p>0</p>")
        self.is_over(scene)
        self.failureResultOf(scene.conversation.answered(message), ConversationErased)


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
        self.assertEqual(scene.service.asked, [])
        self.assertFalse(scene.conversation.stop())
        self.assertEqual(scene.told, ["said Hi?"])
        self.goes_on(scene)

    def test_a_message_that_was_stored_after_all_is_said_once(self) -> None:
        for text, error in (("Hi?", None), ("other", MessageIdTaken)):
            scene = self.scene()
            lost = scene.say("Hi?", "m1")
            scene.store.appends[0].act()
            scene.store.lose()
            self.failureResultOf(lost, StoreError)
            self.assertEqual(scene.viewer.seqs, [])
            answered = scene.say(text, "m1")
            scene.store.settle()
            if error is not None:
                self.failureResultOf(answered, error)
                continue
            scene.service.last.end()
            scene.store.settle()
            self.assertEqual(self.outcome(answered), Outcome.COMPLETE)
            self.assertEqual(scene.told, ["said Hi?", "started 1", "complete"])
            self.assertEqual(scene.viewer.events, scene.transcript)

    def test_a_start_or_an_end_that_was_stored_after_all(self) -> None:
        for appends in (1, 2):
            scene = self.scene()
            lost = scene.say("a", "m1")
            scene.store.store(appends)
            if appends == 2:
                scene.service.last.end()
            scene.store.appends[0].act()
            scene.store.lose()
            self.failureResultOf(lost, StoreError)
            self.goes_on(scene)
            end = "complete" if appends == 2 else "cut"
            self.assertIn(end, scene.told[2:4])
            self.assertEqual(scene.told.count("started 1"), 1)

    def test_a_start_that_was_stored_after_all_with_others_in_the_queue(self) -> None:
        scene = self.scene()
        answered = [scene.asked(text) for text in ("a", "b", "c")]
        scene.service.last.end()
        scene.store.store()
        scene.store.appends[0].act()
        scene.store.lose()  # that the reply to b started
        self.failureResultOf(answered[1], StoreError)
        scene.store.settle()
        scene.service.last.end()
        scene.store.settle()
        self.assertEqual(self.outcome(answered[2]), Outcome.COMPLETE)
        self.assertEqual(
            scene.told[-5:], ["complete", "started 3", "cut", "started 4", "complete"]
        )

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
        self.goes_on(scene)

    def test_a_paragraph_of_an_answer_that_broke(self) -> None:
        scene = self.scene()
        answered = scene.asked()
        scene.reply.paragraph("<p>1</p>")
        scene.service.last.fail(BodyCut())
        scene.store.lose()
        scene.store.settle()
        self.assertEqual(self.outcome(answered), Outcome.FAILED)

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
        store.give()
        self.failureResultOf(answered, StoreError)  # its end is not stored either
        store.full = False
        self.assertNoResult(conversation.say("Hi?"))
        store.settle()
        self.assertEqual(
            [in_words(event) for event in store.transcripts["c"]],
            ["said Hi?", "started 1", "said Hi?", "cut", "started 3", "<p>1</p>"],
        )

    def test_a_paragraph_and_the_customer_stopped(self) -> None:
        scene = self.scene()
        answered = scene.asked()
        scene.reply.paragraph("<p>1</p>")
        scene.conversation.stop()
        scene.store.lose()
        scene.store.settle()
        self.assertEqual(self.outcome(answered), Outcome.FAILED)

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
        self.assertEqual(scene.told, ["said Hi?", "started 1"])
        self.assertFalse(scene.conversation.stop())
        self.goes_on(scene)

    def test_everything_while_closing(self) -> None:
        scene = self.scene()
        answered = [scene.asked("a"), scene.asked("b"), scene.say("c")]
        closed = scene.conversation.close()
        while scene.store.appends or scene.store.reads:
            if scene.store.appends:
                scene.store.lose()
            else:
                scene.store.give()
        for one in answered:
            self.failureResultOf(one, StoreError)
        self.successResultOf(closed)

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


class View:
    """The store that two processes share, as one of them sees it."""

    lasting = shared = True

    def __init__(self, store: HeldStore) -> None:
        self._store, self._mine = store, list[Event]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def append(self, conversation_id: str, events: Sequence[Event]) -> Deferred[None]:
        self._mine += events
        return self._store.append(conversation_id, events)

    def find(self, conversation_id: str) -> Deferred[Known | None]:
        def found(known: Known | None) -> Known | None:
            transcript = self._store.transcripts.get(conversation_id)
            if known is None or not transcript:
                return known
            mine = any(event is transcript[-1] for event in self._mine)
            return Known(known.last_seq, not mine)

        return self._store.find(conversation_id).addCallback(found)


class Process:
    """One of two that hold the same conversation."""

    def __init__(self, name: str, store: HeldStore) -> None:
        self.name = name
        self.service = ScriptedService()
        self.conversation = Conversation(
            "c",
            cast(TranscriptStore, View(store)),
            Dispatcher([], self.service),
            lambda: 0.0,
            ConversationSettings(queue=QUEUE, batch=2),
        )
        self.viewer = RecordingViewer()
        self.conversation.follow(self.viewer).catch_up()
        self.given = 0

    @property
    def under_way(self) -> Asked | None:
        """What the service has not ended."""
        asked = self.service.asked
        return asked[-1] if asked and not asked[-1].over else None


class Two:
    """Two processes, one conversation, and a store at which anything may fail."""

    def __init__(self) -> None:
        self.store = HeldStore()
        self.processes = [Process(name, self.store) for name in "AB"]
        self.waiting: list[Deferred[Any]] = []
        self.suspended = False

    def say(self, process: Process, number: int) -> None:
        self.waiting.append(process.conversation.say("Hi?", f"m{number}"))

    def take(self, process: Process, number: int) -> None:
        def taken(message: Message) -> Deferred[Any]:
            return process.conversation.answered(message)

        taking = process.conversation.take("Hi?", f"m{number}")
        self.waiting.append(taking.addCallback(taken))

    def refresh(self, process: Process, number: int = 0) -> None:
        refreshed = Deferred.fromCoroutine(process.conversation.refresh())
        self.waiting.append(refreshed)

    def reset(self, process: Process, number: int) -> None:
        if number == 5:
            reset = Deferred.fromCoroutine(process.conversation.reset())
            self.waiting.append(reset)

    def suspend(self, process: Process, number: int) -> None:
        if number == 5:
            self.suspended = True
            self.waiting.append(process.conversation.suspend())

    def stop(self, process: Process, number: int) -> None:
        process.conversation.stop()

    def paragraph(self, process: Process, number: int) -> None:
        if process.under_way is not None:
            process.given += 1
            process.under_way.reply.paragraph(f"{process.name}{process.given}")

    def end(self, process: Process, number: int = 0) -> None:
        if (asked := process.under_way) is not None:
            asked.end() if number < 4 else asked.fail(BodyCut())

    def store_one(self, process: Process, number: int) -> None:
        if held := self._one_of("appends", "searches", "cuts", number=number):
            held.fire()

    def lose_one(self, process: Process, number: int) -> None:
        names = ("appends", "reads", "searches", "cuts")
        if held := self._one_of(*names, number=number):
            held.done.errback(StoreError("the disk is full"))

    def do_one(self, process: Process, number: int) -> None:
        if self.store.appends:
            self.store.appends[number % len(self.store.appends)].act()

    def read_all(self, process: Process, number: int) -> None:
        while self.store.reads:
            self.store.give()

    def _one_of(self, *names: str, number: int) -> Held[Any] | None:
        """Something that the store was asked for; it is in the test's hands now."""
        queues: list[list[Held[Any]]] = [getattr(self.store, name) for name in names]
        all_of_it = [(queue, held) for queue in queues for held in queue]
        if not all_of_it:
            return None
        queue, held = all_of_it[number % len(all_of_it)]
        queue.remove(held)
        return held

    def come_to_an_end(self) -> None:
        for _ in range(3):
            self.store.settle()
            while any(one.conversation.unanswered for one in self.processes):
                for process in self.processes:
                    self.end(process)
                self.store.settle()
            for process in self.processes:
                self.refresh(process)
        self.store.settle()
        for process in self.processes:
            self.end(process)
        self.store.settle()


BY_EITHER = [
    Two.say,
    Two.say,
    Two.take,
    Two.refresh,
    Two.reset,
    Two.suspend,
    Two.stop,
    Two.paragraph,
    Two.paragraph,
    Two.end,
    Two.store_one,
    Two.store_one,
    Two.store_one,
    Two.store_one,
    Two.lose_one,
    Two.do_one,
    Two.read_all,
    Two.read_all,
]


class TwoTests(ConversationTestCase):
    @settings(deadline=None, max_examples=500)
    @given(
        st.lists(
            st.tuples(st.sampled_from(BY_EITHER), st.integers(0, 1), st.integers(0, 5)),
            max_size=80,
        )
    )
    def test_one_transcript_in_which_replies_follow_upon_each_other(
        self, happenings: list[tuple[Callable[[Two, Process, int], None], int, int]]
    ) -> None:
        two = Two()
        for happen, which, number in happenings:
            happen(two, two.processes[which], number)
        two.come_to_an_end()
        transcript = two.store.transcripts.get("c", [])
        unfinished = self.is_one_story(transcript)
        self.assertFalse(unfinished and not two.suspended, transcript)
        first = transcript[0].seq if transcript else 1
        for process in two.processes:
            self.assertEqual(process.viewer.texts, [])
            seqs = process.viewer.seqs
            self.assertEqual(seqs, sorted(set(seqs)))
            seen = [one for one in process.viewer.events if one.seq >= first]
            self.assertEqual(seen, transcript)
        for waiting in two.waiting:
            results: list[Any] = []
            waiting.addBoth(results.append)
            self.assertEqual(len(results), 1)
            if isinstance(results[0], Failure):
                self.assertTrue(results[0].check(StoreError, BadRequest), results[0])

    def is_one_story(self, transcript: list[Event]) -> bool:
        """It is in order; returns whether the last reply has no end."""
        numbers = [event.seq for event in transcript]
        start = numbers[0] if numbers else 1
        self.assertEqual(numbers, list(range(start, start + len(numbers))))
        ids, answer, by = set[str](), None, ""
        for event in transcript:
            if isinstance(event, ConversationReset):
                ids, answer = set(), None
            elif isinstance(event, CustomerSaid):
                self.assertNotIn(event.message_id, ids)
                ids.add(event.message_id)
            elif isinstance(event, ReplyStarted):
                self.assertIsNone(answer, transcript)
                answer, by = list[int](), ""
            else:
                assert answer is not None, transcript
                if isinstance(event, ParagraphSaid):
                    by = by or event.text[0]
                    self.assertEqual(event.text[0], by)
                    answer.append(int(event.text[1:]))
                    wanted = list(range(answer[0], answer[0] + len(answer)))
                    self.assertEqual(answer, wanted)
                elif isinstance(event, ReplyEnded):
                    answer = None
        return answer is not None
