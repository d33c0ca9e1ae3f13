"""Conversations come and go, and all end when the process does."""

from __future__ import annotations

import base64
import gc

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from supportbot.conversation import Conversation
from supportbot.dispatcher import Dispatcher, Route
from supportbot.errors import ConversationClosed, StoreError
from supportbot.events import Outcome, ReplyEnded
from supportbot.frontdesk import FrontDesk, new_id
from supportbot.services.signpost import Signpost
from supportbot.settings import ConversationSettings
from tests.fakes import HeldStore, RecordingViewer, ScriptedService


class FrontDeskTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.store = Clock(), HeldStore()
        self.service = ScriptedService("tech", "support service")
        dispatcher = Dispatcher([Route("help", self.service)], Signpost([]))
        ids = map(str, range(100))
        self.desk = FrontDesk(
            self.store,
            dispatcher,
            self.clock.seconds,
            ConversationSettings(),
            ids.__next__,
        )

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
        self.assertIs(self.desk.find("0"), first)
        self.assertIs(self.desk.find("1"), second)
        self.assertIsNone(self.desk.find("2"))

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


class CloseTests(FrontDeskTestCase):
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
        self.assertIsNone(self.desk.find(conversation.id))
        self.assertIs(self.desk.find(other.id), other)

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
        self.assertIs(self.desk.find(conversation.id), conversation)
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

    def test_past_the_deadline_answers_are_stopped(self) -> None:
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
        for one in (*answered, waiting):
            self.assertEqual(self.successResultOf(one).outcome, Outcome.STOPPED)
        for conversation in conversations:
            self.failureResultOf(conversation.say("help"), ConversationClosed)
        self.assertEqual(len(self.store.transcripts), 3)

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
        self.assertEqual(len(self.flushLoggedErrors(StoreError)), 1)
