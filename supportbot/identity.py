"""What a transcript says about the customer: who they are, and where things stand."""

from __future__ import annotations

import re

from supportbot.events import (
    ConversationReset,
    CustomerLoggedOut,
    CustomerSaid,
    CustomerVerified,
    Event,
    ModelAsked,
    OrderProposed,
    OrderSent,
    OrderSettled,
    Outcome,
    ParagraphSaid,
    ReplyEnded,
    ReplyStarted,
)
from supportbot.interfaces import Customer, Spent, Standing
from supportbot.wording.credentials import address

FRESH = 900.0
"""Seconds for which an e-mail address or a PIN waits for the other one."""

_UNDONE = {Outcome.CUT, Outcome.FAILED}  # a yes that broke off may be said again
_PIN = re.compile(r"\bPIN\b", re.IGNORECASE)


class Identity:
    """Told every event in order, it knows the customer.

    Seconds between two moments count either way: where the clock was set back, nothing
    holds for longer than the rule says.

    Args:
        logged_in: seconds after the last message for which a customer stays logged in.
        id_chosen: the conversation's id was chosen by a client.

    Attributes:
        id_chosen: that, or an event said so.
    """

    __slots__ = (
        "_asked_pin",
        "_asks_pin",
        "_customer",
        "_email",
        "_email_at",
        "_heard",
        "_logged_in",
        "_placed",
        "_proposal",
        "_spent",
        "_started",
        "_unsettled",
        "id_chosen",
    )
    _customer: Customer | None
    _email: str | None
    _email_at: float
    _asked_pin: bool  # what the customer answers to was a question for it
    _asks_pin: bool  # the reply that is under way is
    _started: int  # `seq` of the latest reply's beginning
    _proposal: OrderProposed | None
    _unsettled: OrderSent | None
    _placed: tuple[OrderSent, ...]
    _spent: Spent

    def __init__(self, logged_in: float, *, id_chosen: bool = False) -> None:
        self._logged_in, self.id_chosen = logged_in, id_chosen
        self._heard = 0.0  # when the customer last said something
        self._forget()

    def tell(self, event: Event) -> None:
        """The next event."""
        if isinstance(event, ParagraphSaid):
            text = event.text
            if "pin" in text.lower() and _PIN.search(text) is not None:
                self._asks_pin = True
            self._shown_since()
        elif isinstance(event, CustomerSaid):
            self._said(event)
        elif isinstance(event, ReplyStarted):
            self._started = event.seq
            self._asked_pin, self._asks_pin = self._asked_pin or self._asks_pin, False
        elif isinstance(event, ReplyEnded):
            self._ended(event)
        elif isinstance(event, ModelAsked):
            tokens = self._spent.tokens + event.read + event.written
            self._spent = Spent(tokens, self._spent.cost + event.cost)
        elif isinstance(event, CustomerVerified):
            self._verified(event)
        elif isinstance(event, CustomerLoggedOut):
            self._customer = self._proposal = self._email = None
        elif isinstance(event, OrderProposed):
            self._proposal = event
        elif isinstance(event, OrderSent):
            self._proposal, self._unsettled = None, event
        elif isinstance(event, OrderSettled):
            self._settled(event)
        elif isinstance(event, ConversationReset):
            self.id_chosen = self.id_chosen or event.id_chosen
            self._forget()

    def customer(self, now: float) -> Customer | None:
        """Who the customer has proven to be, unless that was too long ago.

        Args:
            now: seconds of UTC.
        """
        if self._customer is None or abs(now - self._heard) > self._logged_in:
            return None
        return self._customer

    def email(self, now: float) -> str | None:
        """The address that the customer gave shortly before, and has not logged in."""
        return self._email if abs(now - self._email_at) <= FRESH else None

    def expects_pin(self, now: float) -> bool:
        """Whether a bare number would be a PIN."""
        if self.customer(now) is not None:
            return False
        asked = self._asked_pin or self._asks_pin
        return asked or self.email(now) is not None

    def standing(self, seq: int) -> Standing:
        """Where things stand when a message is answered.

        Args:
            seq: the message's number. What was shown after it was said is not what it
                is about.
        """
        proposal = self._proposal
        if proposal is not None and proposal.seq > seq:
            proposal = None
        return Standing(
            proposal, self._unsettled, self._placed, self._spent, self.id_chosen
        )

    def _said(self, event: CustomerSaid) -> None:
        if abs(event.at - self._heard) > self._logged_in:
            self._customer = self._proposal = None  # it may be somebody else by now
        self._heard = event.at
        self.id_chosen = self.id_chosen or event.id_chosen
        if "@" in event.text and (email := address(event.text)) is not None:
            self._email, self._email_at = email, event.at

    def _ended(self, event: ReplyEnded) -> None:
        """What was shown before this reply is not the newest any more.

        A yes whose reply broke off before a word may be said again.
        """
        if event.outcome in _UNDONE:
            return
        self._asked_pin = self._asks_pin
        self._shown_since()

    def _shown_since(self) -> None:
        """A later reply was shown, at least a part of it: a yes may be about that."""
        if self._proposal is not None and self._proposal.seq < self._started:
            self._proposal = None

    def _verified(self, event: CustomerVerified) -> None:
        customer = Customer(event.customer_id, event.name, event.email)
        if self._customer is None or self._customer.customer_id != event.customer_id:
            self._proposal = None
        self._customer, self._heard = customer, event.at
        self._email, self._asked_pin, self._asks_pin = None, False, False

    def _settled(self, event: OrderSettled) -> None:
        sent = self._unsettled
        if sent is not None and sent.seq == event.sent:
            self._unsettled = None
            if event.order_id:
                self._placed = (*self._placed, sent)

    def _forget(self) -> None:
        self._customer, self._email, self._email_at = None, None, 0.0
        self._asked_pin, self._asks_pin, self._started = False, False, 0
        self._proposal, self._unsettled, self._placed = None, None, ()
        self._spent = Spent()
