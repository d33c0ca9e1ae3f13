"""Ordering: nothing that the customer did not ask for, nothing twice, nothing lost.

An order goes the same way always. Prices and stock are looked up. If the customer's own
message does not name all of it, they are shown a summary, and the way ends; a yes to
that goes on with it. Then it is written down that the order will be sent
(`OrderSent`), with the ids of the orders that there were; it is sent, once; and it is
written down how that went (`OrderSettled`).

Whenever that last word is missing, be it that the shop's answer was lost, the customer
stopped the reply, or the process died, the customer's orders in the shop are looked at
before anything else is ordered.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from supportbot.context import Logger
from supportbot.errors import CallLost, ServiceBusy, ServiceError
from supportbot.events import (
    Called,
    OrderLine,
    OrderProposed,
    OrderSent,
    OrderSettled,
)
from supportbot.interfaces import Customer, Question, Reply
from supportbot.services.assistant import receipts
from supportbot.services.assistant.arguments import shown
from supportbot.services.assistant.order_search import OrderSearch, Recent
from supportbot.services.assistant.policy import ToolServer
from supportbot.services.assistant.results import Used
from supportbot.services.assistant.shop import belongs, order_id
from supportbot.services.assistant.wishes import (
    Unavailable,
    WishWrong,
    priced,
    wished,
)
from supportbot.settings.shop import ShopSettings
from supportbot.wording.wanted import names_order

_TURN = 60.0  # seconds that an order waits for another one of the same customer
_REMEMBERED = 10_000

_LOG_IN = (
    "To order something, please log in first: send me your e-mail address and your"
    " PIN, then ask for the order again."
)
_NOT_NOW = "The shop can't take orders at the moment. Nothing was ordered."
_NOT_PLACED = (
    "Your order was not placed: nothing was ordered. If you still want it, please ask"
    " for it again."
)
_TWICE = "I place one order for a message. Please send another message for the next."
_DECLINED = "All right, nothing was ordered."

_log = Logger()


class Orders:
    """Places orders for customers who have logged in.

    Args:
        settings: of the shop.
        client: where the tools are.
        reactor: for waiting.
        now: the time in seconds of UTC.
        person: words with which a customer gets one; empty where there is none.
    """

    def __init__(
        self,
        settings: ShopSettings,
        client: ToolServer,
        reactor: IReactorTime,
        now: Callable[[], float],
        person: str = "",
    ) -> None:
        self._person = person
        self._settings, self._client = settings, client
        self._reactor, self._now = reactor, now
        self._search = OrderSearch(settings, client, reactor)
        self._turns: dict[str, list[DeferredLock]] = {}  # one entry for each in line
        # Messages that have placed an order: a question's standing is of before.
        self._served = Recent(_REMEMBERED)

    async def wanted(
        self, arguments: Mapping[str, object], question: Question, reply: Reply
    ) -> Used:
        """The model wants something ordered: do it, or show what would be ordered.

        Args:
            arguments: `{"items": [{"sku": …, "quantity": …}]}`.

        Raises:
            StoreError: it could not be written down.
        """
        kept = shown(arguments)
        try:
            wish = wished(arguments, self._settings)
        except WishWrong as error:
            text = f"{error} Nothing was ordered."
            return Used(text, Called.FAILED, kept, mistake=True)
        customer = question.customer()
        if customer is None:
            return self._refuse(_LOG_IN, kept, reply)
        if self._blocked(question, customer):
            return self._refuse_unsure(question, kept, reply)
        reply.notice("Looking up prices and stock…")
        try:
            lines = await priced(self._client, self._settings.product, wish)
        except Unavailable as error:
            return Used(f"{error} Nothing was ordered.", Called.FAILED, kept)
        except ServiceError as error:
            _warn("an order can't be prepared", error)
            return Used(_NOT_NOW, Called.FAILED, kept)
        if not _still(customer, question):
            return self._refuse(_LOG_IN, kept, reply)
        why = self._why_not_yet(wish, question)
        if why is not None:
            await self._propose(customer, lines, reply, why)
            text = (
                "The customer was shown a summary of the order, and asked for a yes."
                " Nothing is ordered yet."
            )
            return Used(text, Called.OK, kept, ended=True)
        return await self._place(customer, lines, question, reply, kept)

    async def confirmed(self, question: Question, reply: Reply) -> None:
        """The customer said yes to the proposal: order it, if it still holds.

        Raises:
            StoreError: it could not be written down.
        """
        proposal, customer = question.standing.proposal, question.customer()
        if proposal is None:
            _tell(reply, "There is no order to say yes to.")
            return
        if customer is None or customer.customer_id != proposal.customer_id:
            _tell(reply, _LOG_IN)
            return
        if self._blocked(question, customer):
            self._refuse_unsure(question, "", reply)
            return
        reply.notice("Looking up prices and stock…")
        try:
            lines = await priced(
                self._client,
                self._settings.product,
                {line.sku: line.quantity for line in proposal.lines},
            )
        except Unavailable as error:
            _tell(reply, f"{error} Nothing was ordered.")
            return
        except ServiceError as error:
            _warn("an order can't be prepared", error)
            _tell(reply, _NOT_NOW)
            return
        if not _still(customer, question):
            _tell(reply, _LOG_IN)
            return
        if abs(self._now() - proposal.at) > self._settings.confirm_within:
            why = "The summary was no longer fresh, so nothing is ordered yet."
            await self._propose(customer, lines, reply, why)
        elif _money(lines) != _money(proposal.lines):
            why = "The price has changed, so nothing is ordered yet."
            await self._propose(customer, lines, reply, why)
        else:
            await self._place(customer, lines, question, reply, "")

    async def declined(self, question: Question, reply: Reply) -> None:
        """The customer said no to the proposal."""
        _tell(reply, _DECLINED)

    async def settle(self, question: Question, reply: Reply) -> bool:
        """Find out about an order that was sent, and nobody knows whether it is placed.

        To be called for each message. One that was answered up to its order, and is
        asked again, gets its receipt again.

        Returns:
            Whether the customer was told, and the reply is complete.

        Raises:
            StoreError: it could not be written down.
        """
        customer, standing = question.customer(), question.standing
        if customer is None:
            return False
        sent = standing.unsettled
        if sent is None:
            return self._retell(customer, question, reply)
        if sent.customer_id != customer.customer_id:
            return False
        reply.notice("Looking whether your order was placed…")
        try:
            async with self._turn(customer):
                found = await self._search.find(sent, max(0.0, self._now() - sent.at))
        except ServiceBusy:
            found = None
        if not _still(customer, question):
            return False
        asked_again = sent.to == question.seq
        if found is None and not asked_again:
            reply.notice("I still can't tell whether your last order was placed.")
            return False
        await self._settled(sent, found, reply)
        if not asked_again:
            _tell(reply, "Now to your message: please send it once more.")
        return True

    # What is wanted

    def _why_not_yet(self, wish: Mapping[str, int], question: Question) -> str | None:
        """Why the customer has to say yes first; None if they need not."""
        placed = question.standing.placed
        if self._has_served(question):
            return "One order was placed for your message already."
        for earlier in placed:
            recent = abs(self._now() - earlier.at) <= self._settings.again
            if recent and {line.sku: line.quantity for line in earlier.lines} == wish:
                return "You have just ordered the same."
        confirm = self._settings.confirm
        if confirm == "never":
            return None
        named = confirm == "unless-named" and names_order(question.text, wish)
        return None if named else ""

    def _has_served(self, question: Question) -> bool:
        """Whether an order was placed for this message."""
        placed = any(sent.to == question.seq for sent in question.standing.placed)
        return placed or _key(question) in self._served

    def _blocked(self, question: Question, customer: Customer) -> bool:
        """Whether an earlier order of the customer's has to be settled first."""
        sent = question.standing.unsettled
        return sent is not None and sent.customer_id == customer.customer_id

    # What is said

    async def _propose(
        self, customer: Customer, lines: Sequence[OrderLine], reply: Reply, why: str
    ) -> None:
        _tell(reply, *receipts.summary(lines, why))
        await reply.record(
            OrderProposed,
            customer_id=customer.customer_id,
            lines=tuple(lines),
            total=str(receipts.total(lines)),
        )

    def _refuse(self, told: str, kept: str, reply: Reply) -> Used:
        _tell(reply, told)
        return Used(f"The customer was told: {told}", Called.REFUSED, kept, ended=True)

    def _refuse_unsure(self, question: Question, kept: str, reply: Reply) -> Used:
        sent = question.standing.unsettled
        assert sent is not None  # that is why it is refused
        _tell(
            reply,
            *receipts.unsure(sent.lines, self._person),
            "Until then I order nothing else.",
        )
        text = (
            "Refused: it has to be found out first whether an earlier order is placed."
        )
        return Used(text, Called.REFUSED, kept, ended=True)

    def _retell(self, customer: Customer, question: Question, reply: Reply) -> bool:
        """The receipt of a message that is asked again after its order was placed."""
        for sent in question.standing.placed:
            if sent.to == question.seq and sent.customer_id == customer.customer_id:
                _tell(reply, *receipts.receipt(sent.lines))
                return True
        return False

    # What is done

    async def _place(
        self,
        customer: Customer,
        lines: tuple[OrderLine, ...],
        question: Question,
        reply: Reply,
        kept: str,
    ) -> Used:
        """Send the order, and find out how that went."""
        try:
            async with self._turn(customer):
                known = await self._search.order_ids(customer.customer_id)
                if not _still(customer, question):
                    return self._refuse(_LOG_IN, kept, reply)
                if self._has_served(question):
                    return self._refuse(_TWICE, kept, reply)
                sent = await reply.record(
                    OrderSent,
                    customer_id=customer.customer_id,
                    lines=lines,
                    total=str(receipts.total(lines)),
                    to=question.seq,
                    known=tuple(sorted(known)),
                )
                self._served.add(_key(question))
                placed = await self._send(sent, customer, question, reply)
        except ServiceError as error:  # before anything was sent
            _warn("an order can't be sent", error)
            _tell(reply, _NOT_NOW)
            return Used(_NOT_NOW, Called.FAILED, kept, ended=True)
        await self._settled(sent, placed, reply)
        text, outcome = _OUTCOMES["lost" if placed is None else bool(placed)]
        return Used(text, outcome, kept, ended=True)

    async def _send(
        self, sent: OrderSent, customer: Customer, question: Question, reply: Reply
    ) -> str | None:
        """Send an order, once. Whatever goes wrong, this raises no ServiceError.

        Returns:
            Its id; empty if it was surely not placed, None if nobody can tell.
        """
        if not _still(customer, question):
            return ""
        reply.notice("Placing your order…")
        started = self._reactor.seconds()
        items = [
            {
                "sku": line.sku,
                "quantity": line.quantity,
                "unit_price": line.unit_price,
                "currency": line.currency,
            }
            for line in sent.lines
        ]
        arguments = {"customer_id": sent.customer_id, "items": items}
        try:
            result = await self._client.call(
                self._settings.order, arguments, safe=False
            )
        except CallLost as error:
            _warn("what came of an order is not known", error)
        except ServiceError as error:
            _warn("an order was not placed", error)
            return ""
        else:
            if result.failed:  # which may also be about what came after the order
                return await self._search.look(sent) or ""
            found = order_id(result.text)
            theirs = belongs(result.text, sent.customer_id, surely=False)
            if theirs and found is not None and found not in sent.known:
                return found
            _log.warn("the shop confirmed an order in words that can't be read")
        reply.notice("Looking whether your order was placed…")
        return await self._search.find(sent, self._reactor.seconds() - started)

    async def _settled(self, sent: OrderSent, placed: str | None, reply: Reply) -> None:
        """Write down how an order went, and tell the customer."""
        if placed is None:
            _log.error("nobody can tell whether an order was placed")
            _tell(reply, *receipts.unsure(sent.lines, self._person))
            return
        # First the words: if the process dies behind them, the message is asked again,
        # and this order is still to be found out about.
        if placed:
            _tell(reply, *receipts.receipt(sent.lines, placed))
        else:
            _tell(reply, _NOT_PLACED)
        await reply.record(OrderSettled, sent=sent.seq, order_id=placed)
        if placed:
            self._search.told(placed)

    # One at a time

    @asynccontextmanager
    async def _turn(self, customer: Customer) -> AsyncIterator[None]:
        """One order of a customer at a time, in whatever conversations.

        Raises:
            ServiceBusy: no turn came in time.
        """
        line = self._turns.setdefault(customer.customer_id, [])
        lock = line[0] if line else DeferredLock()
        line.append(lock)
        try:
            waiting: Deferred[Any] = lock.acquire()
            await waiting.addTimeout(_TURN, self._reactor, _late)
            try:
                yield
            finally:
                lock.release()
        finally:
            line.pop()
            if not line:
                del self._turns[customer.customer_id]


_OUTCOMES: Mapping[object, tuple[str, Called]] = {
    True: ("The order was placed, and the customer has its receipt.", Called.OK),
    False: ("Nothing was ordered, and the customer was told so.", Called.FAILED),
    "lost": ("Nobody can tell yet whether it was ordered.", Called.LOST),
}


def _tell(reply: Reply, *paragraphs: str) -> None:
    for paragraph in paragraphs:
        reply.paragraph(paragraph, "markdown")


def _still(customer: Customer, question: Question) -> bool:
    """Whether the customer is who they were."""
    now = question.customer()
    return now is not None and now.customer_id == customer.customer_id


def _key(question: Question) -> tuple[str, int]:
    return question.conversation_id, question.seq


def _money(lines: Sequence[OrderLine]) -> list[tuple[str, int, Decimal, str]]:
    """What a customer has said yes to."""
    return [
        (line.sku, line.quantity, Decimal(line.unit_price), line.currency)
        for line in lines
    ]


def _late(_: object, seconds: float) -> Failure:
    return Failure(ServiceBusy(seconds))


def _warn(what: str, error: ServiceError) -> None:
    _log.warn(
        "{what}: {kind}: {error}",
        what=what,
        kind=type(error).__name__,
        error=str(error),
    )
