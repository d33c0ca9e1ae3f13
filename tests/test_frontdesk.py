"""Conversations come and go, and all end when the process does."""

from __future__ import annotations

import base64
import gc
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from supportbot.conversation import Conversation
from supportbot.dispatcher import Dispatcher, Route
from supportbot.errors import (
    AnsweredElsewhere,
    ConversationClosed,
    ConversationErased,
    MessageIdTaken,
    StoreError,
)
from supportbot.events import Outcome, ReplyEnded
from supportbot.frontdesk import FrontDesk, new_id
from supportbot.interfaces import Known
from supportbot.services.signpost import Signpost
from supportbot.settings import ConversationSettings
from tests.fakes import HeldStore, RecordingViewer, ScriptedService


class LastingStore(HeldStore):
    """One whose transcripts outlive the process."""

    lasting = True
    elsewhere = False

    def find(self, conversation_id: str) -> Deferred[Known | None]:
        def found(known: Known | None) -> Known | None:
            return known and Known(known.last_seq, self.elsewhere)

        return super().find(conversation_id).addCallback(found)


class FrontDeskTestCase(SynchronousTestCase):
    kept = 1_000

    def setUp(self) -> None:
        self.clock, self.store = Clock(), LastingStore()
        self.service = ScriptedService("tech", "support service")
        self.ids = map(str, range(1_000))
        self.desk = self.another()

    def another(self) -> FrontDesk:
        """The desk of another process, or of this one later."""
        return FrontDesk(
            self.store,
            Dispatcher([Route("help", self.service)], Signpost([])),
            self.clock.seconds,
            ConversationSettings(kept=self.kept),
            self.ids.__next__,
        )

    def find(self, id: str) -> Deferred[Conversation | None]:
        return Deferred.fromCoroutine(self.desk.find(id))

    def found(self, id: str) -> Conversation | None:
        finding = self.find(id)
        self.store.settle()
        return self.successResultOf(finding)

    def find_or_open(self, id: str) -> Deferred[Conversation]:
        async def find_or_open() -> Conversation:
            return await self.desk.find(id) or self.desk.open(id)

        return Deferred.fromCoroutine(find_or_open())

    def erase(self, id: str) -> Deferred[None]:
        return Deferred.fromCoroutine(self.desk.erase(id))

    def told(self, id: str) -> list[str]:
        """The transcript: its kinds of events."""
        return [type(event).__name__ for event in self.store.transcripts.get(id, [])]

    def asked(self, conversation: Conversation) -> Deferred[ReplyEnded]:
        """A message that the service has begun to answer."""
        answered = conversation.say("help")
        self.store.settle()
        return answered

    def close(self, conversation: Conversation) -> Deferred[None]:
        return Deferred.fromCoroutine(self.desk.close(conversation))


class OpenTests(FrontDeskTestCase):
    def test_what_was_opened_is_found(self) -> None:
        first, second = self.desk.open(), self.desk.open()
        self.assertEqual((first.id, second.id), ("0", "1"))
        self.assertIs(self.found("0"), first)
        self.assertIs(self.found("1"), second)
        self.assertIsNone(self.found("2"))

    def test_conversations_have_transcripts_of_their_own(self) -> None:
        self.asked(self.desk.open())
        self.asked(self.desk.open())
        self.assertEqual(sorted(self.store.transcripts), ["0", "1"])
        self.assertEqual(len(self.service.asked), 2)

    def test_titles(self) -> None:
        self.assertEqual(self.desk.title("tech"), "support service")
        self.assertEqual(self.desk.title("signpost"), "front desk")

    def test_ids_can_not_be_guessed(self) -> None:
        ids = [new_id() for _ in range(1_000)]
        self.assertEqual(len(set(ids)), 1_000)
        for id in ids:
            self.assertRegex(id, r"\A[\w-]+\Z")
            self.assertEqual(len(base64.urlsafe_b64decode(id + "==")) * 8, 128)

    def test_ids_are_such_by_default(self) -> None:
        desk = FrontDesk(
            self.store,
            Dispatcher([], Signpost([])),
            self.clock.seconds,
            ConversationSettings(),
        )
        ids = {desk.open().id for _ in range(100)}
        self.assertEqual({len(id) for id in ids}, {22})
        self.assertEqual(len(ids), 100)

    def test_one_that_was_opened_durably_is_found_later(self) -> None:
        opening = Deferred.fromCoroutine(self.desk.open_durably())
        self.assertNoResult(opening)
        self.store.settle()
        conversation = self.successResultOf(opening)
        self.assertIs(self.found("0"), conversation)
        self.desk = self.another()
        found = self.found("0")
        assert found is not None
        self.assertEqual((found.id, found.last_seq), ("0", 0))

    def test_a_store_that_can_not_open(self) -> None:
        opening = Deferred.fromCoroutine(self.desk.open_durably())
        self.store.openings.pop().done.errback(StoreError("gone"))
        self.failureResultOf(opening, StoreError)
        self.assertIsNone(self.found("0"))


class FindTests(FrontDeskTestCase):
    """Conversations that only the store knows of."""

    def setUp(self) -> None:
        super().setUp()
        self.desk.open("c").say("help", "help")
        self.store.settle()
        self.service.asked.clear()
        self.desk = self.another()

    def test_it_is_taken_up(self) -> None:
        conversation = self.found("c")
        assert conversation is not None
        self.assertEqual(conversation.last_seq, 3)
        self.assertEqual(self.told("c"), ["CustomerSaid", "ReplyStarted", "ReplyEnded"])
        self.assertIs(self.found("c"), conversation)
        self.assertTrue(conversation.knows("help"))

    def test_many_find_the_same_one(self) -> None:
        finding: list[Deferred[Any]] = [self.find("c") for _ in range(3)]
        self.assertEqual(len(self.store.searches), 1)
        finding[0].cancel()
        self.failureResultOf(finding[0], CancelledError)
        finding += [self.find_or_open("c") for _ in range(2)]
        self.store.settle()
        finding.append(self.find_or_open("c"))
        self.store.settle()
        found = {id(self.successResultOf(one)) for one in finding[1:]}
        self.assertEqual(len(found), 1)
        self.assertEqual(self.told("c").count("ReplyEnded"), 1)

    def test_many_find_or_open_one_that_is_not_there(self) -> None:
        opening: list[Deferred[Any]] = [self.find_or_open("new") for _ in range(3)]
        opening.append(self.find("new"))
        self.store.settle()
        found = [self.successResultOf(one) for one in opening]
        self.assertEqual(len(set(map(id, found))), 1)
        self.assertEqual(found[0].id, "new")

    def test_a_store_that_fails(self) -> None:
        finding = [self.find("c"), self.find("c")]
        self.store.searches.pop().done.errback(StoreError("gone"))
        for one in finding:
            self.failureResultOf(one, StoreError)
        finding = [self.find("c"), self.find("c")]
        self.store.searches.pop().fire()
        self.store.reads.pop().done.errback(StoreError("gone"))
        for one in finding:
            self.failureResultOf(one, StoreError)
        self.assertIsNotNone(self.found("c"))

    def test_one_that_is_answered_elsewhere_is_looked_at_again(self) -> None:
        self.store.elsewhere = True
        conversation = self.found("c")
        assert conversation is not None
        self.failureResultOf(conversation.say("help"), AnsweredElsewhere)
        self.assertIs(self.found("c"), conversation)
        self.assertEqual(self.told("c"), ["CustomerSaid", "ReplyStarted"])
        self.store.elsewhere = False
        finding = [self.find("c") for _ in range(3)]
        self.store.settle()
        for one in finding:
            self.assertIs(self.successResultOf(one), conversation)
        self.assertEqual(self.told("c").count("ReplyEnded"), 1)
        self.asked(conversation)
        self.assertEqual(self.service.texts, ["help"])


class ErasedElsewhereTests(FrontDeskTestCase):
    """Another program has erased a conversation that is in memory."""

    def setUp(self) -> None:
        super().setUp()
        self.conversation = self.desk.open("c")
        self.viewer = RecordingViewer()
        self.answered = self.asked(self.conversation)

    def end(self) -> None:
        self.service.last.end()
        self.store.settle()
        self.successResultOf(self.answered)

    def erase_elsewhere(self, id: str = "c") -> None:
        del self.store.transcripts[id]

    def test_it_is_not_found_any_more(self) -> None:
        self.end()
        self.conversation.follow(self.viewer).catch_up()
        self.assertIs(self.found("c"), self.conversation)
        self.erase_elsewhere()
        self.assertIsNone(self.found("c"))
        self.assertEqual(self.viewer.shown[-1], "(over)")
        self.failureResultOf(self.conversation.say("help"), ConversationErased)
        self.assertEqual(self.store.transcripts, {})
        self.assertEqual(self.desk.followers, 0)

    def test_its_id_may_be_chosen_again(self) -> None:
        self.end()
        self.erase_elsewhere()
        opening = self.find_or_open("c")
        self.store.settle()
        anew = self.successResultOf(opening)
        self.assertIsNot(anew, self.conversation)
        self.asked(anew)
        self.assertEqual(self.told("c"), ["CustomerSaid", "ReplyStarted"])
        self.assertIs(self.found("c"), anew)

    def test_the_successor_that_somebody_else_began_is_found(self) -> None:
        self.end()
        self.erase_elsewhere()
        here, self.desk = self.desk, self.another()
        self.asked(self.desk.open("c"))
        self.desk = here
        self.store.elsewhere = True
        anew = self.found("c")
        assert anew is not None
        self.assertIsNot(anew, self.conversation)
        self.assertEqual(anew.last_seq, 2)

    def test_in_the_middle_of_an_answer(self) -> None:
        self.erase_elsewhere()
        self.service.last.reply.paragraph("<p>One.</p>")
        self.store.settle()
        self.failureResultOf(self.answered, ConversationErased)
        self.assertTrue(self.service.last.cancelled)
        self.assertEqual(self.store.transcripts, {})
        self.assertIsNone(self.found("c"))
        self.assertEqual(self.desk.unanswered, 0)

    def test_one_in_which_nothing_was_said(self) -> None:
        opening = Deferred.fromCoroutine(self.desk.open_durably())
        self.store.settle()
        id = self.successResultOf(opening).id
        self.assertIsNotNone(self.found(id))
        self.erase_elsewhere(id)
        self.assertIsNone(self.found(id))

    def test_a_new_one_of_which_no_store_knows_stays(self) -> None:
        new = self.desk.open("new")
        self.assertIs(self.found("new"), new)
        self.assertIs(self.found("new"), new)

    def test_a_store_in_memory_is_not_asked(self) -> None:
        self.end()
        self.store.lasting = False
        self.assertIs(self.successResultOf(self.find("c")), self.conversation)

    def test_a_store_that_can_not_tell(self) -> None:
        self.end()
        finding = self.find("c")
        self.store.searches.pop().done.errback(StoreError("gone"))
        self.failureResultOf(finding, StoreError)
        self.assertIs(self.found("c"), self.conversation)


class KeptTests(FrontDeskTestCase):
    """Not all stay in memory."""

    kept = 2

    def answered(self, id: str, message_id: str = "m1") -> Conversation:
        """One with an answer, which has nothing to do any more."""
        conversation = self.found(id) or self.desk.open(id)
        conversation.say("help", message_id)
        self.store.settle()
        if self.service.asked and not self.service.last.cancelled:
            self.service.asked.pop().end()
        self.store.settle()
        return conversation

    def test_who_left_the_memory_is_found_again_with_all_that_is_known(self) -> None:
        first = self.answered("a")
        before = self.successResultOf(first.say("help", "m1"))
        for id in ("b", "c"):
            self.answered(id)
        self.failureResultOf(first.say("help"), ConversationClosed)
        self.failureResultOf(first.take("help"), ConversationClosed)
        again = self.found("a")
        assert again is not None
        self.assertIsNot(again, first)
        self.assertEqual(self.successResultOf(again.say("help", "m1")), before)
        self.failureResultOf(again.say("other", "m1"), MessageIdTaken)
        self.assertEqual(len(self.told("a")), 3)

    def test_the_one_that_was_used_last_stays(self) -> None:
        first, second = self.answered("a"), self.answered("b")
        self.assertIs(self.found("a"), first)
        self.answered("c")
        self.assertIs(self.found("a"), first)
        self.assertIsNot(self.found("b"), second)

    def test_who_has_something_to_do_stays(self) -> None:
        followed, asked = self.desk.open("f"), self.desk.open("a")
        followed.follow(RecordingViewer())
        self.asked(asked)
        resetting = self.answered("r")
        reset = Deferred.fromCoroutine(resetting.reset())
        for id in "wxyz":
            self.desk.open(id)
        self.store.settle()
        self.successResultOf(reset)
        for one in (followed, asked, resetting):
            self.assertIs(self.found(one.id), one)
        self.assertEqual(self.desk.followers, 1)
        self.assertEqual(self.desk.unanswered, 1)

    def test_who_is_looked_at_stays(self) -> None:
        self.asked(self.desk.open("a"))
        self.service.asked.clear()
        self.desk, self.store.elsewhere = self.another(), True
        first = self.found("a")
        finding = self.find("a")  # which looks whether it is still so
        for id in "wxyz":
            self.desk.open(id)
        self.store.settle()
        self.assertIs(self.successResultOf(finding), first)
        self.assertIs(self.found("a"), first)

    def test_one_that_is_opened_durably_while_others_come(self) -> None:
        opening = Deferred.fromCoroutine(self.desk.open_durably())
        for id in "wxyz":
            self.desk.open(id)
        self.store.settle()
        self.assertNoResult(self.successResultOf(opening).say("help"))

    def test_closing_one_that_has_left_harms_not_its_successor(self) -> None:
        first = self.answered("a")
        for id in ("b", "c"):
            self.answered(id)
        again = self.found("a")
        self.store.lasting = False
        closed = self.close(first)
        self.store.settle()
        self.successResultOf(closed)
        self.assertIs(self.found("a"), again)
        self.assertEqual(len(self.told("a")), 3)


class EraseTests(FrontDeskTestCase):
    def test_nothing_is_left_although_transcripts_last(self) -> None:
        conversation = self.desk.open("c")
        viewer = RecordingViewer()
        conversation.follow(viewer).catch_up()
        answered = self.asked(conversation)
        erased = self.erase("c")
        self.assertTrue(self.service.last.cancelled)
        self.assertNoResult(erased)
        self.store.settle()
        self.successResultOf(erased)
        self.assertEqual(self.successResultOf(answered).outcome, Outcome.STOPPED)
        self.assertEqual(viewer.shown[-1], "(over)")
        self.assertEqual(self.store.transcripts, {})
        self.assertIsNone(self.found("c"))

    def test_who_follows_in_the_middle_of_it_is_told(self) -> None:
        conversation = self.desk.open("c")
        self.asked(conversation)
        erased, viewer = self.erase("c"), RecordingViewer()
        conversation.follow(viewer, 99).catch_up()
        self.store.settle()
        self.successResultOf(erased)
        self.assertEqual(viewer.shown, ["(over)"])

    def test_one_that_only_the_store_knows(self) -> None:
        self.asked(self.desk.open("c"))
        self.service.asked.clear()
        self.desk = self.another()
        erased = self.erase("c")
        self.store.settle()
        self.successResultOf(erased)
        self.assertEqual(self.store.transcripts, {})
        self.assertIsNone(self.found("c"))

    def test_one_that_nobody_knows(self) -> None:
        erased = self.erase("c")
        self.store.settle()
        self.successResultOf(erased)
        self.assertIsNone(self.found("c"))

    def test_who_finds_it_meanwhile_brings_it_not_back(self) -> None:
        self.asked(self.desk.open("c"))
        self.service.asked.clear()
        for known in (True, False):
            if not known:
                self.desk = self.another()
            erased = self.erase("c")
            finding: list[Deferred[Any]] = [self.find("c")]
            while self.store.appends:
                self.store.store()
            finding.append(self.find_or_open("c"))
            for one in finding:
                conversation = self.successResultOf(one)
                self.failureResultOf(conversation.say("help"), ConversationClosed)
            self.store.settle()
            self.successResultOf(erased)
            self.assertIsNone(self.found("c"))
            self.assertEqual(self.store.transcripts, {})
            self.asked(self.desk.open("c"))  # and may be used again

    def test_one_that_is_just_being_found(self) -> None:
        self.asked(self.desk.open("c"))
        self.desk = self.another()
        for fails in (True, False):
            finding, erased = self.find("c"), self.erase("c")
            if fails:
                self.store.searches.pop().done.errback(StoreError("gone"))
                self.failureResultOf(finding, StoreError)
                self.store.erasures.pop().done.errback(StoreError("gone"))
                self.failureResultOf(erased, StoreError)
        self.store.settle()
        self.successResultOf(erased)
        conversation = self.successResultOf(finding)
        assert conversation is not None
        self.failureResultOf(conversation.say("help"), ConversationClosed)
        self.assertEqual(self.store.transcripts, {})

    def test_a_store_that_fails(self) -> None:
        self.asked(self.desk.open("c"))
        erased = self.erase("c")
        while self.store.appends:
            self.store.store()
        self.store.erasures.pop().done.errback(StoreError("the disk is gone"))
        self.failureResultOf(erased, StoreError)
        again = self.found("c")
        assert again is not None
        self.assertEqual(len(self.told("c")), 3)
        erased = self.erase("c")
        self.store.settle()
        self.successResultOf(erased)
        self.assertEqual(self.store.transcripts, {})


class CloseTests(FrontDeskTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.store.lasting = False

    def test_transcripts_that_last_stay(self) -> None:
        self.store.lasting = True
        conversation = self.desk.open()
        answered = self.asked(conversation)
        closed = self.close(conversation)
        self.store.settle()
        self.successResultOf(closed)
        self.assertEqual(self.successResultOf(answered).outcome, Outcome.STOPPED)
        self.assertEqual(len(self.told("0")), 3)
        self.assertIsNot(self.found("0"), conversation)

    def test_nothing_is_left(self) -> None:
        conversation, other = self.desk.open(), self.desk.open()
        self.asked(other)
        answered = self.asked(conversation)
        self.service.last.end()
        self.store.settle()
        self.successResultOf(answered)
        closed = self.close(conversation)
        self.assertNoResult(closed)
        self.store.settle()
        self.successResultOf(closed)
        self.assertEqual(list(self.store.transcripts), [other.id])
        self.assertIsNone(self.found(conversation.id))
        self.assertIs(self.found(other.id), other)

    def test_what_is_under_way_is_stopped_before(self) -> None:
        conversation = self.desk.open()
        viewer = RecordingViewer()
        conversation.follow(viewer).catch_up()
        answered = self.asked(conversation)
        self.service.last.reply.paragraph("<p>1</p>")
        closed = self.close(conversation)
        self.assertTrue(self.service.last.cancelled)
        while self.store.appends:
            self.assertEqual(self.store.erasures, [])
            self.store.store()
        self.assertEqual(self.successResultOf(answered).outcome, Outcome.STOPPED)
        self.assertNoResult(closed)
        self.store.settle()
        self.successResultOf(closed)
        self.assertEqual(self.store.transcripts, {})
        self.assertEqual(viewer.seqs, [1, 2])

    def test_it_is_said_that_it_has_ended(self) -> None:
        conversation = self.desk.open()
        self.close(conversation)
        self.failureResultOf(conversation.say("help"), ConversationClosed)

    def leave(self, id: str) -> Deferred[None]:
        return Deferred.fromCoroutine(self.desk.leave(id))

    def test_by_its_id(self) -> None:
        conversation, other = self.desk.open(), self.desk.open()
        answered, others = self.asked(conversation), self.asked(other)
        left = self.leave("0")
        self.assertNoResult(left)
        self.store.settle()
        self.successResultOf(left)
        self.assertEqual(self.successResultOf(answered).outcome, Outcome.STOPPED)
        self.assertNoResult(others)
        self.assertEqual(list(self.store.transcripts), ["1"])
        self.assertIsNone(self.found("0"))

    def test_by_its_id_when_it_is_not_in_memory(self) -> None:
        for lasting in (False, True):
            self.desk = self.another()
            conversation = self.desk.open("left")
            self.asked(conversation)
            self.service.last.end()
            self.store.settle()
            self.desk = self.another()
            self.store.lasting = lasting
            left = self.leave("left")
            self.assertEqual(len(self.store.erasures), 0 if lasting else 1)
            self.store.settle()
            self.successResultOf(left)
            self.assertEqual("left" in self.store.transcripts, lasting)

    def test_by_its_id_when_that_can_not_be_erased(self) -> None:
        left = self.leave("0")
        self.store.erasures.pop().done.errback(StoreError("the disk is gone"))
        self.failureResultOf(left, StoreError)

    def test_twice(self) -> None:
        conversation = self.desk.open()
        self.asked(conversation)
        closed = [self.close(conversation), self.close(conversation)]
        self.store.settle()
        closed.append(self.close(conversation))
        for one in closed:
            self.successResultOf(one)
        self.assertEqual(self.store.erasures, [])

    def test_a_store_that_can_not_erase(self) -> None:
        closed = self.close(self.desk.open())
        self.store.erasures.pop().done.errback(StoreError("the disk is gone"))
        self.failureResultOf(closed, StoreError)


class DrainTests(FrontDeskTestCase):
    def drained(self) -> Deferred[None]:
        self.addCleanup(self.nothing_is_left)
        return self.desk.drain(self.clock, 25.0)

    def nothing_is_left(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])
        gc.collect()  # would log what was lost
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_with_nobody_there(self) -> None:
        self.assertIsNone(self.successResultOf(self.drained()))

    def test_when_all_is_answered(self) -> None:
        answered = self.asked(self.desk.open())
        self.service.last.end()
        self.store.settle()
        self.successResultOf(answered)
        self.desk.open()
        self.assertIsNone(self.successResultOf(self.drained()))

    def test_no_conversation_is_opened_any_more(self) -> None:
        conversation = self.desk.open()
        self.asked(conversation)
        drained = self.drained()
        self.assertRaises(ConversationClosed, self.desk.open)
        self.assertIs(self.found(conversation.id), conversation)
        opening = Deferred.fromCoroutine(self.desk.open_durably())
        self.failureResultOf(opening, ConversationClosed)
        opening = self.find_or_open("new")
        self.store.settle()
        self.failureResultOf(opening, ConversationClosed)
        self.service.last.end()
        self.store.settle()
        self.successResultOf(drained)
        self.assertRaises(ConversationClosed, self.desk.open)

    def test_it_waits_for_every_answer(self) -> None:
        answered = [self.asked(self.desk.open()) for _ in range(3)]
        drained = self.drained()
        for asked in list(self.service.asked):
            self.assertNoResult(drained)
            self.clock.advance(8.0)
            asked.end()
            self.store.settle()
        self.assertIsNone(self.successResultOf(drained))
        for one in answered:
            self.assertEqual(self.successResultOf(one).outcome, Outcome.COMPLETE)

    def test_what_is_found_now_is_left_to_the_next_process(self) -> None:
        for text in ("help, a", "help, b"):
            conversation = self.found("c") or self.desk.open("c")
            conversation.say(text)
            self.store.settle()
        self.service.asked.clear()
        told = self.told("c")
        for late in (False, True):
            self.desk = self.another()
            if late:
                drained = self.drained()
            finding = self.find("c")
            if not late:
                drained = self.drained()
            self.store.settle()
            self.successResultOf(drained)
            found = self.successResultOf(finding)
            assert found is not None
            conversation = found
            self.assertEqual(conversation.last_seq, 3)
            self.failureResultOf(conversation.say("help"), ConversationClosed)
            self.assertEqual(self.told("c"), told)
            self.assertEqual(self.service.asked, [])

    def test_past_the_deadline_answers_are_interrupted(self) -> None:
        conversations = [self.desk.open() for _ in range(3)]
        answered = [self.asked(one) for one in conversations]
        waiting = conversations[0].say("help, again")
        drained = self.drained()
        self.clock.advance(24.9)
        self.assertFalse(any(asked.cancelled for asked in self.service.asked))
        self.clock.advance(0.2)
        self.assertTrue(all(asked.cancelled for asked in self.service.asked))
        self.assertNoResult(drained)
        self.store.settle()
        self.assertIsNone(self.successResultOf(drained))
        for one in answered:
            self.assertEqual(self.successResultOf(one).outcome, Outcome.CUT)
        self.failureResultOf(waiting, ConversationClosed)
        for conversation in conversations:
            self.failureResultOf(conversation.say("help"), ConversationClosed)
        self.assertEqual(len(self.store.transcripts), 3)
        self.assertEqual(
            self.told("0"),
            ["CustomerSaid", "ReplyStarted", "CustomerSaid", "ReplyEnded"],
        )

    def test_a_conversation_that_is_closed_meanwhile(self) -> None:
        conversation = self.desk.open()
        self.asked(conversation)
        drained = self.drained()
        closed = self.close(conversation)
        self.store.settle()
        self.successResultOf(closed)
        self.assertIsNone(self.successResultOf(drained))

    def test_a_store_that_fails_meanwhile(self) -> None:
        answered = self.asked(self.desk.open())
        drained = self.drained()
        self.service.last.end()
        self.store.lose()
        self.failureResultOf(answered, StoreError)
        self.assertIsNone(self.successResultOf(drained))
