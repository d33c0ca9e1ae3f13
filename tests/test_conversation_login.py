"""What a conversation makes of e-mail addresses and PINs, and of a yes."""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from supportbot.asked import Aside
from supportbot.conversation import Conversation
from supportbot.dispatcher import Dispatcher, Route
from supportbot.errors import (
    AnsweredElsewhere,
    AnswerLimited,
    BodyCut,
    ConversationBusy,
    ConversationClosed,
    MessageIdTaken,
    MessageTooLong,
)
from supportbot.events import (
    CustomerLoggedOut,
    CustomerSaid,
    CustomerVerified,
    OrderLine,
    OrderProposed,
    Outcome,
    ParagraphSaid,
    ReplyEnded,
    ReplyStarted,
)
from supportbot.interfaces import Customer, Question
from supportbot.settings import ConversationSettings
from supportbot.transcripts.memory import MemoryStore
from tests.fakes import HeldStore, ScriptedService

ALICE = Customer("c-1", "Alice Johnson", "alice@example.com")
BOTH = "My email is alice@example.com and PIN is 1234"
LINES = (OrderLine("MON-0054", "Monitor", 1, "166.85"),)


class ConversationLoginTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.store = Clock(), MemoryStore()
        self.clock.advance(1_000.0)
        self.assistant = ScriptedService("assistant", "assistant")
        self.support = ScriptedService("support", "support service")
        self.claims = True
        self.conversation = self.another()

    def another(self, intent: str = "help", **fields: Any) -> Conversation:
        """The same conversation, as it is taken up after a restart."""
        routes = [Route(intent, self.support)]
        return Conversation(
            "c",
            self.store,
            Dispatcher(routes, self.assistant, claims=self.claims),
            self.clock.seconds,
            ConversationSettings(),
            **fields,
        )

    def say(
        self, text: str, message_id: str | None = None, **aside: str
    ) -> Deferred[ReplyEnded]:
        return self.conversation.say(text, message_id, Aside(**aside))

    def refresh(self) -> None:
        """Let the conversation know what others stored."""
        refreshing = Deferred.fromCoroutine(self.conversation.refresh())
        self.assertTrue(self.successResultOf(refreshing))

    def asked(
        self, text: str, *answer: str, message_id: str | None = None, **aside: str
    ) -> Question:
        """What the assistant is asked; it answers in these paragraphs."""
        self.say(text, message_id, **aside)
        question = self.assistant.last.question
        self.assertEqual(question.seq, self.said[-1].seq)
        for paragraph in answer:
            self.assistant.last.reply.paragraph(paragraph, "plain")
        self.assistant.last.end()
        return question

    def given(self, text: str, *answer: str) -> tuple[str | None, str | None] | None:
        """The credentials that come with a message."""
        credentials = self.asked(text, *answer).credentials
        return credentials and (credentials.email, credentials.pin)

    @property
    def events(self) -> list[Any]:
        return list(self.successResultOf(self.store.read("c", 0, 1_000)))

    @property
    def said(self) -> list[CustomerSaid]:
        return [one for one in self.events if isinstance(one, CustomerSaid)]

    def verified(self) -> None:
        verifying = Deferred.fromCoroutine(self.conversation.verified(ALICE))
        self.assertIsNone(self.successResultOf(verifying))

    def proposed(self) -> None:
        """A message that was answered with a summary."""
        self.say("two of them")
        self.assistant.last.reply.record(
            OrderProposed, customer_id="c-1", lines=LINES, total="166.85"
        )
        self.assistant.last.end()

    # In one message or two

    def test_both_at_once(self) -> None:
        question = self.asked(BOTH)
        assert question.credentials is not None
        self.assertEqual(question.credentials.email, "alice@example.com")
        self.assertEqual(question.credentials.pin, "1234")
        self.assertNotIn("1234", question.text)
        self.assertIn("PIN ****", question.text)
        self.assertEqual(self.said[0].text, question.text)
        self.assertNotIn("1234", f"{question!r}{self.events!r}")

    def test_the_address_first(self) -> None:
        self.assertEqual(
            self.given("I am alice@example.com"), ("alice@example.com", None)
        )
        self.assertEqual(self.given("it's 1234"), ("alice@example.com", "1234"))
        self.assertNotIn("1234", repr(self.events))

    def test_the_pin_first(self) -> None:
        self.assertEqual(self.given("My PIN is 1234"), (None, "1234"))
        self.assertEqual(self.given("alice@example.com"), ("alice@example.com", "1234"))
        self.assertEqual(self.given("alice@example.com"), ("alice@example.com", None))
        self.assertNotIn("1234", repr(self.events))

    def test_the_pin_is_forgotten_after_a_while(self) -> None:
        self.given("My PIN is 1234")
        self.clock.advance(901)
        self.assertEqual(self.given("alice@example.com"), ("alice@example.com", None))

    def test_the_pin_is_forgotten_when_the_clock_is_set_back(self) -> None:
        self.given("My PIN is 1234")
        self.clock.rightNow -= 901
        self.assertEqual(self.given("alice@example.com"), ("alice@example.com", None))

    def test_the_pin_is_forgotten_just_not_yet(self) -> None:
        self.given("My PIN is 1234")
        self.clock.advance(900)
        self.assertEqual(self.given("alice@example.com"), ("alice@example.com", "1234"))

    def test_the_pin_is_forgotten_with_a_logout(self) -> None:
        self.given("My PIN is 1234")
        self.successResultOf(Deferred.fromCoroutine(self.conversation.log_out()))
        self.assertEqual(self.given("alice@example.com"), ("alice@example.com", None))

    def test_the_pin_is_forgotten_whoever_resets_or_logs_out(self) -> None:
        def reset(other: Conversation) -> Any:
            return other.reset()

        for leave in (reset, Conversation.log_out):
            self.given("My PIN is 1234")
            other = self.another()
            for step in (other.refresh, partial(leave, other)):
                self.successResultOf(Deferred.fromCoroutine(step()))
            self.refresh()
            self.assertEqual(
                self.given("alice@example.com"), ("alice@example.com", None)
            )

    def test_the_pin_is_forgotten_with_a_reset(self) -> None:
        self.given("My PIN is 1234")
        self.successResultOf(Deferred.fromCoroutine(self.conversation.reset()))
        self.assertEqual(self.given("alice@example.com"), ("alice@example.com", None))

    def test_the_address_and_the_pin_when_the_conversation_left_the_memory(
        self,
    ) -> None:
        self.given("I am alice@example.com")
        self.conversation = self.another()
        self.refresh()
        self.assertEqual(self.given("it's 1234"), ("alice@example.com", "1234"))
        self.assertNotIn("1234", repr(self.events))

    def test_the_pin_at_once_behind_the_address(self) -> None:
        held = HeldStore()
        self.store = held  # type: ignore[assignment]
        self.conversation = self.another()
        self.say("hello, I am alice@example.com")
        self.say("it's 1234")  # before the address is stored
        self.say("and 5678 of them")
        self.assertEqual(len(held.appends), 1)
        held.settle()
        self.assistant.last.end()
        held.settle()
        question = self.assistant.last.question
        assert question.credentials is not None
        self.assertEqual(
            (question.credentials.email, question.credentials.pin),
            ("alice@example.com", "1234"),
        )
        self.assertNotIn("1234", repr(held.transcripts))
        self.say("that's 9876")
        held.settle()
        self.assertNotIn("9876", repr(held.transcripts))
        for _ in range(3):
            self.assistant.last.end()
            held.settle()

    def test_a_message_that_waits_expects_no_pin(self) -> None:
        held = HeldStore()
        self.store = held  # type: ignore[assignment]
        self.conversation = self.another()
        self.say("hello")
        self.say("I have 1234 of them")
        held.settle()
        self.assertIn("1234 of them", repr(held.transcripts))
        for _ in range(2):
            self.assistant.last.end()
            held.settle()

    def test_a_number_when_the_answer_asked_for_a_pin(self) -> None:
        self.assertIsNone(self.given("Hello", "What is your PIN, please?"))
        self.assertEqual(self.given("sure, 1234"), (None, "1234"))

    def test_a_number_that_nobody_asked_for(self) -> None:
        self.assertIsNone(self.given("I have 1234 of them", "Really?"))
        self.assertEqual(self.said[0].text, "I have 1234 of them")

    def test_a_pin_that_nobody_can_read(self) -> None:
        self.assertEqual(self.given("My PIN ****"), (None, None))
        self.assertEqual(self.given("pin 1234, no, pin 5678"), (None, None))
        self.assertIsNone(self.given("My PIN **** does not work in your shop"))

    def test_an_address_in_a_message_about_something_else(self) -> None:
        self.assertIsNone(
            self.given("Please send the bill to bob@example.com, not to my office")
        )

    def test_who_is_logged_in_may_mention_addresses_and_numbers(self) -> None:
        self.verified()
        self.assertIsNone(self.given("alice@example.com"))
        self.assertIsNone(self.given("1234"))
        self.assertEqual(self.given(BOTH), ("alice@example.com", "1234"))
        self.say("I work with bob@example.com and need a monitor")
        self.say("I have 1234 of them")
        self.assertEqual(self.said[-1].text, "I have 1234 of them")
        for _ in range(2):
            self.assistant.last.end()

    # Where it goes

    def test_a_login_goes_to_the_assistant_whatever_else_it_says(self) -> None:
        self.asked(f"help! {BOTH}")
        self.assertEqual(self.support.texts, [])

    def test_other_services_do_not_see_a_pin(self) -> None:
        self.say("help, my screen wants a PIN")
        self.support.last.end()
        self.asked("My PIN is 1234 and I need help")
        self.assertEqual(self.support.texts, ["help, my screen wants a PIN"])

    def test_where_nobody_can_log_in_the_words_say_who_answers(self) -> None:
        self.claims = False
        self.conversation = self.another()
        self.say(f"help! {BOTH}")
        self.assertEqual(
            self.support.texts, ["help! My email is alice@example.com and PIN ****"]
        )
        self.support.last.end()

    def test_what_was_said_later_is_not_what_a_message_is_about(self) -> None:
        for text in ("one", "two", "three"):
            self.say(text)
        self.assistant.last.end()
        reading = Deferred.fromCoroutine(self.assistant.last.question.transcript())
        said = [
            event.text
            for event in self.successResultOf(reading)
            if isinstance(event, CustomerSaid)
        ]
        self.assertEqual(said, ["one", "two"])
        for _ in range(2):
            self.assistant.last.end()

    def test_where_the_message_came_from(self) -> None:
        self.assertEqual(self.asked("Hello", client="192.0.2.7").client, "192.0.2.7")
        self.assertEqual(self.asked("Hello").conversation_id, "c")

    def test_what_a_client_wants_of_the_model_is_no_longer_than_a_message(self) -> None:
        taken = self.conversation.take("Hi", "m1", Aside("x" * 4_001))
        self.failureResultOf(taken, MessageTooLong)
        self.assertEqual(self.events, [])
        self.successResultOf(self.conversation.take("Hi", "m1", Aside("x" * 4_000)))
        self.assistant.last.end()

    # Said again

    def test_the_same_message_again(self) -> None:
        first = self.say(BOTH, "m1")
        again = self.say(BOTH, "m1")
        self.assistant.last.end()
        self.assertEqual(self.successResultOf(first), self.successResultOf(again))
        self.assertEqual(len(self.said), 1)

    def test_the_same_number_again_though_it_is_no_pin_any_more(self) -> None:
        self.asked("alice@example.com")
        self.say("it's 1234 here", "m1")
        self.verified()
        self.assistant.last.end()
        again = self.successResultOf(self.say("it's 1234 here", "m1"))
        self.assertEqual(again.outcome, Outcome.COMPLETE)
        self.failureResultOf(self.say("it's my dog here", "m1"), MessageIdTaken)

    def test_asked_again_after_it_broke_off(self) -> None:
        self.say(BOTH, "m1")
        self.assistant.last.fail(BodyCut("early"))
        self.say(BOTH, "m1", client="192.0.2.7")
        question = self.assistant.last.question
        self.assertEqual(question.client, "192.0.2.7")
        assert question.credentials is not None
        self.assertEqual(question.credentials.pin, "1234")
        self.assistant.last.end()

    def test_a_bare_number_is_what_it_was_when_it_is_asked_again(self) -> None:
        self.asked("Hello", "What is your PIN, please?")
        self.say("sure, 1234 help", "m1")
        self.assistant.last.fail(BodyCut("early"))
        self.asked("What now?")  # nobody asks for a PIN any more
        self.say("sure, 1234 help", "m1")
        question = self.assistant.last.question
        self.assertEqual(question.text, "sure, PIN **** help")
        assert question.credentials is not None
        self.assertEqual(question.credentials.pin, "1234")
        self.assertEqual(self.support.texts, [])
        self.assistant.last.end()
        self.assertNotIn("1234", repr(self.events))

    def test_a_number_that_was_none_stays_one_when_it_is_asked_again(self) -> None:
        self.say("I have 1234 of them", "m1")
        self.assistant.last.fail(BodyCut("early"))
        self.asked("alice@example.com")
        self.say("I have 1234 of them", "m1")
        self.assertEqual(self.assistant.last.question.text, "I have 1234 of them")
        self.assertIsNone(self.assistant.last.question.credentials)
        self.assistant.last.end()

    def test_a_pin_that_was_tried_is_not_tried_again(self) -> None:
        self.say(BOTH, "m1")
        self.assistant.last.end()
        for text in (BOTH, BOTH.replace("1234", "9999")):
            ended = self.successResultOf(self.say(text, "m1"))
            self.assertEqual(ended.outcome, Outcome.COMPLETE)
        self.assertEqual(len(self.assistant.asked), 1)

    def test_what_is_too_long_is_not_even_looked_at(self) -> None:
        long = "PIN 1234 " * 1_000
        self.failureResultOf(self.say(long, "m1"), MessageTooLong)
        self.asked("Hello", message_id="m1")
        self.failureResultOf(self.say(long, "m1"), MessageIdTaken)
        self.say("4" * 4_000)  # just not too long
        self.assistant.last.end()

    def test_the_pin_does_not_survive_the_process(self) -> None:
        self.say(BOTH)
        self.conversation = self.another()
        self.refresh()
        self.assertEqual(self.given(self.said[0].text), ("alice@example.com", None))

    # Who the customer is

    def test_outside_of_the_chat(self) -> None:
        self.assertIsNone(self.conversation.customer)
        self.verified()
        self.assertEqual(self.conversation.customer, ALICE)
        self.assertIsInstance(self.events[-1], CustomerVerified)
        self.assertEqual(self.asked("Hello").customer(), ALICE)
        leaving = Deferred.fromCoroutine(self.conversation.log_out())
        self.assertIsNone(self.successResultOf(leaving))
        self.assertIsInstance(self.events[-1], CustomerLoggedOut)
        self.assertIsNone(self.conversation.customer)

    def test_who_logs_out_is_nobody_at_once(self) -> None:
        self.verified()
        self.say("Hello")
        customer = self.assistant.last.question.customer
        self.assertEqual(customer(), ALICE)
        self.successResultOf(Deferred.fromCoroutine(self.conversation.log_out()))
        self.assertIsNone(customer())
        self.assistant.last.end()

    def test_it_is_known_after_a_restart(self) -> None:
        self.verified()
        self.conversation = self.another()
        self.assertIsNone(self.conversation.customer)
        self.refresh()
        self.assertEqual(self.conversation.customer, ALICE)

    def test_not_in_a_conversation_that_is_closed(self) -> None:
        self.conversation.close()
        verifying = Deferred.fromCoroutine(self.conversation.verified(ALICE))
        self.failureResultOf(verifying, ConversationClosed)

    def test_not_while_another_process_answers(self) -> None:
        said = CustomerSaid(seq=1, at=0.0, text="Hello", message_id="m1")
        started = ReplyStarted(seq=2, at=0.0, service="assistant", intent="", to=1)
        self.store.append("c", [said, started])
        verifying = Deferred.fromCoroutine(self.conversation.verified(ALICE))
        self.failureResultOf(verifying, AnsweredElsewhere)
        self.assertEqual(self.events, [said, started])

    def test_not_while_another_process_is_about_to_answer(self) -> None:
        self.conversation.elsewhere = True  # and it has to have the last word
        for change in (self.conversation.verified(ALICE), self.conversation.log_out()):
            self.failureResultOf(Deferred.fromCoroutine(change), AnsweredElsewhere)
        self.assertEqual(self.events, [])

    def test_not_while_it_is_being_reset(self) -> None:
        held = HeldStore()
        self.store = held  # type: ignore[assignment]
        self.conversation = self.another()
        resetting = Deferred.fromCoroutine(self.conversation.reset())
        for change in (self.conversation.verified(ALICE), self.conversation.log_out()):
            self.failureResultOf(Deferred.fromCoroutine(change), ConversationBusy)
        held.settle()
        self.successResultOf(resetting)

    def test_an_id_that_was_chosen(self) -> None:
        self.assertFalse(self.asked("Hello").standing.id_chosen)
        self.conversation = self.another(id_chosen=True)
        self.asked("Hello again")
        self.conversation = self.another()
        self.refresh()
        self.assertTrue(self.conversation.id_chosen)
        self.successResultOf(Deferred.fromCoroutine(self.conversation.reset()))
        self.conversation = self.another()
        self.refresh()
        self.assertTrue(self.asked("Hello").standing.id_chosen)

    # A yes

    def test_a_yes_to_a_summary_goes_to_the_assistant(self) -> None:
        self.proposed()
        standing = self.asked("yes").standing
        assert standing.proposal is not None
        self.assertEqual(standing.proposal.lines, LINES)

    def test_a_yes_when_the_conversation_left_the_memory(self) -> None:
        self.proposed()
        self.conversation = self.another()
        self.refresh()
        proposal = self.asked("yes").standing.proposal
        assert proposal is not None
        self.assertEqual(proposal.lines, LINES)

    def test_a_yes_in_words_of_another_service_goes_to_the_assistant(self) -> None:
        self.proposed()
        self.conversation = self.another(intent="yes")
        self.refresh()
        self.asked("yes")
        self.assertEqual(self.support.texts, [])

    def test_a_yes_to_nothing_goes_where_its_words_say(self) -> None:
        self.conversation = self.another(intent="yes")
        self.say("yes")
        self.assertEqual(self.support.texts, ["yes"])
        self.support.last.end()

    def test_what_is_no_yes_goes_where_its_words_say(self) -> None:
        self.proposed()
        self.say("help me, yes or no?")
        self.assertEqual(self.support.texts, ["help me, yes or no?"])
        self.support.last.end()

    # What a service records

    def test_facts_stand_between_the_paragraphs(self) -> None:
        self.say("Hello")
        reply = self.assistant.last.reply
        reply.paragraph("one", "plain")
        recorded = self.successResultOf(
            reply.record(OrderProposed, customer_id="c-1", lines=LINES, total="166.85")
        )
        reply.paragraph("two", "plain")
        self.assistant.last.end()
        kinds = [type(one) for one in self.events]
        self.assertEqual(
            kinds,
            [
                CustomerSaid,
                ReplyStarted,
                ParagraphSaid,
                OrderProposed,
                ParagraphSaid,
                ReplyEnded,
            ],
        )
        self.assertEqual(self.events[3], recorded)

    def test_nothing_is_recorded_when_the_reply_is_over(self) -> None:
        self.say("Hello")
        reply = self.assistant.last.reply
        self.conversation.stop()
        late = reply.record(CustomerLoggedOut)
        self.assertIsInstance(self.failureResultOf(late), Failure)
        self.assertIsInstance(self.events[-1], ReplyEnded)

    def test_a_limit_is_no_fault_of_the_service(self) -> None:
        answered = self.say("Hello")
        self.assistant.last.fail(AnswerLimited("rounds"))
        ended = self.successResultOf(answered)
        self.assertEqual(
            (ended.outcome, ended.unavailable, ended.detail),
            (
                Outcome.REFUSED,
                False,
                "This is as far as the assistant can go. Please try again later.",
            ),
        )
