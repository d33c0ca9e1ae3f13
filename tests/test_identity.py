"""What a transcript says about the customer."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from supportbot.events import (
    ConversationReset,
    CustomerLoggedOut,
    CustomerSaid,
    CustomerVerified,
    Event,
    ModelAsked,
    OrderLine,
    OrderProposed,
    OrderSent,
    OrderSettled,
    Outcome,
    ParagraphSaid,
    ReplyEnded,
    ReplyStarted,
)
from supportbot.identity import FRESH, Identity
from supportbot.interfaces import Customer, Spent, Standing

ALICE = Customer("c-1", "Alice Johnson", "alice@example.com")
LINES = (OrderLine("MON-0054", "Monitor", 1, "166.85"),)


class Tale:
    """A transcript that is told to an identity as it grows; a second passes each."""

    def __init__(self, **fields: Any) -> None:
        self.identity = Identity(900.0, **fields)
        self.seq, self.now = 0, 1000.0

    def tell(self, kind: Any, after: float = 1.0, **fields: Any) -> Any:
        self.seq, self.now = self.seq + 1, self.now + after
        event: Event = kind(seq=self.seq, at=self.now, **fields)
        self.identity.tell(event)
        return event

    def said(self, text: str = "Hi", after: float = 1.0, **fields: Any) -> int:
        said = self.tell(
            CustomerSaid, after, text=text, message_id=str(self.seq), **fields
        )
        seq: int = said.seq
        return seq

    def started(self, to: int) -> None:
        self.tell(ReplyStarted, service="assistant", intent="", to=to)

    def ended(self, outcome: Outcome = Outcome.COMPLETE) -> None:
        self.tell(ReplyEnded, outcome=outcome)

    def verified(self, customer: Customer = ALICE) -> None:
        self.tell(
            CustomerVerified,
            customer_id=customer.customer_id,
            name=customer.name,
            email=customer.email,
        )

    def proposed(self) -> OrderProposed:
        """A message whose answer shows what would be ordered."""
        self.started(self.said("Two monitors"))
        event: OrderProposed = self.tell(
            OrderProposed, customer_id="c-1", lines=LINES, total="166.85"
        )
        self.ended()
        return event

    def sent(self, to: int) -> OrderSent:
        event: OrderSent = self.tell(
            OrderSent, customer_id="c-1", lines=LINES, total="166.85", to=to
        )
        return event

    @property
    def customer(self) -> Customer | None:
        return self.identity.customer(self.now)

    def standing(self, seq: int) -> Standing:
        return self.identity.standing(seq)


def test_nobody_at_first() -> None:
    tale = Tale()
    assert tale.customer is None
    assert tale.standing(1) == Standing()
    assert not tale.identity.expects_pin(tale.now)


def test_verified_and_logged_out() -> None:
    tale = Tale()
    tale.said()
    tale.verified()
    assert tale.customer == ALICE
    tale.tell(CustomerLoggedOut)
    assert tale.customer is None


def test_logged_in_before_the_first_message() -> None:
    tale = Tale()
    tale.verified()
    tale.now += 900
    assert tale.customer == ALICE
    tale.now += 1
    assert tale.customer is None


def test_silence_ends_it_for_good() -> None:
    tale = Tale()
    tale.verified()
    tale.said(after=900)
    assert tale.customer == ALICE
    tale.said(after=901)
    assert tale.customer is None


def test_a_proposal_holds_for_the_next_message() -> None:
    tale = Tale()
    proposal = tale.proposed()
    yes = tale.said("yes")
    assert tale.standing(yes).proposal == proposal


def test_a_yes_that_was_said_before_is_not_about_it() -> None:
    tale = Tale()
    first, early = tale.said("Two monitors"), tale.said("yes")
    tale.started(first)
    tale.tell(OrderProposed, customer_id="c-1", lines=LINES, total="166.85")
    tale.ended()
    assert tale.standing(early).proposal is None


def test_another_message_in_between_ends_it() -> None:
    tale = Tale()
    tale.proposed()
    tale.started(tale.said("What about keyboards?"))
    tale.ended()
    assert tale.standing(tale.said("yes")).proposal is None


def test_an_answer_that_broke_off_does_not_end_it() -> None:
    for outcome in (Outcome.CUT, Outcome.FAILED):
        tale = Tale()
        proposal = tale.proposed()
        yes = tale.said("yes")
        tale.started(yes)
        tale.ended(outcome)
        assert tale.standing(yes).proposal == proposal


def test_an_answer_that_was_stopped_or_refused_ends_it() -> None:
    for outcome in (Outcome.STOPPED, Outcome.REFUSED):
        tale = Tale()
        tale.proposed()
        tale.started(tale.said("What about keyboards?"))
        tale.ended(outcome)
        assert tale.standing(tale.said("yes")).proposal is None


def test_silence_ends_it() -> None:
    tale = Tale()
    tale.verified()
    tale.proposed()
    assert tale.standing(tale.said("yes", after=901)).proposal is None


def test_a_newer_proposal_takes_its_place() -> None:
    tale = Tale()
    tale.proposed()
    newer = tale.proposed()
    assert tale.standing(tale.said("yes")).proposal == newer


def test_who_logs_out_or_somebody_else_can_not_say_yes() -> None:
    tale = Tale()
    tale.verified()
    tale.proposed()
    tale.tell(CustomerLoggedOut)
    assert tale.standing(tale.said("yes")).proposal is None
    tale.verified()
    tale.proposed()
    tale.verified(Customer("c-2", "Bob", "bob@example.com"))
    assert tale.standing(tale.said("yes")).proposal is None


def test_the_same_customer_may_log_in_again() -> None:
    tale = Tale()
    tale.verified()
    proposal = tale.proposed()
    tale.verified()
    assert tale.standing(tale.said("yes")).proposal == proposal


def test_an_order_is_unsettled_until_it_is_settled() -> None:
    tale = Tale()
    tale.proposed()
    yes = tale.said("yes")
    tale.started(yes)
    sent = tale.sent(yes)
    assert tale.standing(yes) == Standing(unsettled=sent)
    tale.tell(OrderSettled, sent=sent.seq + 1, order_id="o-2")  # of another one
    assert tale.standing(yes).unsettled == sent
    tale.tell(OrderSettled, sent=sent.seq, order_id="o-1")
    assert tale.standing(yes) == Standing(placed=(sent,))


def test_an_order_that_was_not_placed() -> None:
    tale = Tale()
    sent = tale.sent(tale.said())
    tale.tell(OrderSettled, sent=sent.seq)
    assert tale.standing(9) == Standing()


def test_what_was_spent() -> None:
    tale = Tale()
    tale.tell(ModelAsked, model="m", read=10, written=5, cost=0.5)
    tale.tell(ModelAsked, model="m", read=1, written=2, cost=0.25)
    assert tale.standing(9).spent == Spent(18, 0.75)


def test_a_number_is_a_pin_once_it_was_asked_for() -> None:
    tale = Tale()
    tale.started(tale.said())
    tale.tell(ParagraphSaid, text="What is your e-mail and pin?", format="plain")
    tale.ended()
    assert tale.identity.expects_pin(tale.now)
    tale.started(tale.said("Why?"))
    tale.tell(ParagraphSaid, text="The pinned post.", format="plain")
    assert tale.identity.expects_pin(tale.now)  # as long as that is not all
    tale.ended()
    assert not tale.identity.expects_pin(tale.now)


def test_a_pin_is_still_asked_for_when_an_answer_breaks_off() -> None:
    tale = Tale()
    tale.started(tale.said())
    tale.tell(ParagraphSaid, text="What is your PIN?", format="plain")
    tale.ended(Outcome.CUT)
    for outcome in (Outcome.CUT, Outcome.FAILED):
        tale.started(tale.said("sure, 1234"))
        tale.ended(outcome)
        assert tale.identity.expects_pin(tale.now)
    tale.started(tale.said("sure, 1234"))
    tale.ended()
    assert not tale.identity.expects_pin(tale.now)


def test_a_pin_is_asked_for_as_soon_as_that_is_said() -> None:
    tale = Tale()
    tale.started(tale.said())
    tale.tell(ParagraphSaid, text="What is your PIN?", format="plain")
    assert tale.identity.expects_pin(tale.now)
    tale.tell(ConversationReset)
    assert not tale.identity.expects_pin(tale.now)


def test_who_has_logged_in_and_out_is_not_asked_any_more() -> None:
    tale = Tale()
    tale.started(tale.said())
    tale.tell(ParagraphSaid, text="What is your PIN?", format="plain")
    tale.ended()
    tale.started(tale.said())
    tale.tell(ParagraphSaid, text="Once more, your PIN?", format="plain")
    tale.verified()
    tale.tell(CustomerLoggedOut)
    assert not tale.identity.expects_pin(tale.now)


def test_a_clock_that_is_set_back_keeps_nobody_logged_in() -> None:
    tale = Tale()
    tale.now = 90_000.0
    tale.said("I am alice@example.com")
    tale.verified()
    tale.now -= 900
    assert tale.customer == ALICE
    tale.now -= 1
    assert tale.customer is None
    tale.said(after=0.0)
    assert tale.customer is None
    tale.verified()
    assert tale.customer == ALICE


def test_a_clock_that_is_set_back_makes_no_address_last() -> None:
    tale = Tale()
    tale.now = 90_000.0
    tale.said("I am alice@example.com")
    tale.now -= FRESH
    assert tale.identity.expects_pin(tale.now)
    tale.now -= 1
    assert tale.identity.email(tale.now) is None


def test_a_number_is_a_pin_behind_an_address() -> None:
    tale = Tale()
    tale.said("I am alice@example.com")
    assert tale.identity.email(tale.now) == "alice@example.com"
    assert tale.identity.expects_pin(tale.now)
    tale.now += FRESH + 1
    assert tale.identity.email(tale.now) is None
    assert not tale.identity.expects_pin(tale.now)


def test_who_is_logged_in_is_not_asked_for_a_pin() -> None:
    tale = Tale()
    tale.said("I am alice@example.com")
    tale.verified()
    assert not tale.identity.expects_pin(tale.now)
    assert tale.identity.email(tale.now) is None
    tale.started(tale.said())
    tale.tell(ParagraphSaid, text="Your PIN was right.", format="plain")
    tale.ended()
    assert not tale.identity.expects_pin(tale.now)


def test_an_address_that_is_given_again_is_fresh_again() -> None:
    tale = Tale()
    tale.said("I am alice@example.com")
    tale.said("I am alice@example.com", after=800)
    tale.now += FRESH
    assert tale.identity.email(tale.now) == "alice@example.com"


def test_who_logs_out_takes_the_address_along() -> None:
    tale = Tale()
    tale.said("I am alice@example.com")
    tale.tell(CustomerLoggedOut)
    assert tale.identity.email(tale.now) is None


def test_a_chosen_id() -> None:
    assert Tale(id_chosen=True).standing(1).id_chosen
    tale = Tale()
    tale.said(id_chosen=True)
    assert tale.standing(1).id_chosen
    tale.tell(ConversationReset)
    assert tale.standing(1).id_chosen
    tale = Tale()
    tale.tell(ConversationReset, id_chosen=True)
    assert tale.identity.id_chosen


def test_a_reset_forgets_all() -> None:
    tale = Tale()
    tale.verified()
    tale.proposed()
    tale.sent(tale.said("I am alice@example.com"))
    tale.tell(ModelAsked, model="m", read=10, written=5, cost=0.5)
    tale.tell(ConversationReset)
    assert tale.customer is None
    assert tale.standing(99) == Standing()
    assert not tale.identity.expects_pin(tale.now)


@given(st.lists(st.sampled_from(["said", "proposed", "yes", "sent", "verified"])))
def test_one_yes_is_good_for_one_order(steps: list[str]) -> None:
    tale = Tale()
    for step in steps:
        if step == "said":
            tale.started(tale.said())
            tale.ended()
        elif step == "proposed":
            tale.proposed()
        elif step == "verified":
            tale.verified()
        elif step == "yes":
            yes = tale.said("yes")
            tale.started(yes)
            if tale.standing(yes).proposal is not None:
                tale.sent(yes)
                assert tale.standing(yes).proposal is None
            tale.ended()
            assert tale.standing(tale.seq + 1).proposal is None
        else:
            tale.sent(tale.seq)
            assert tale.standing(tale.seq + 1).proposal is None
