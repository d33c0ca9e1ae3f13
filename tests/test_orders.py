"""Ordering: nothing unasked, nothing twice, nothing lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, TypeVar

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from supportbot.errors import (
    CallLost,
    ServiceUnreachable,
    StoreError,
)
from supportbot.events import (
    Called,
    CustomerSaid,
    CustomerVerified,
    Event,
    Format,
    OrderLine,
    OrderProposed,
    OrderSent,
    OrderSettled,
    Outcome,
    ParagraphSaid,
    ReplyEnded,
    ReplyStarted,
)
from supportbot.identity import Identity
from supportbot.interfaces import Customer, Question, Standing
from supportbot.services.assistant.mcp import ToolResult
from supportbot.services.assistant.order_search import Recent
from supportbot.services.assistant.orders import Orders
from supportbot.services.assistant.receipts import amount, total
from supportbot.services.assistant.results import Used
from supportbot.settings.shop import ShopSettings
from supportbot.wording.consent import Consent, consent
from supportbot.wording.wanted import names_order
from tests.fakes import RecordingReply
from tests.shop_fakes import (
    ALICE,
    DONALD,
    START,
    Fate,
    ScriptedShop,
    fails,
    garbled,
    played,
    question,
    says,
)

_Event = TypeVar("_Event", bound=Event)

NAMED = "I want to order MON-0054"
ONE = {"items": [{"sku": "MON-0054", "quantity": 1}]}
LINE = OrderLine("MON-0054", "24-inch Monitor - Model D", 1, "166.85")
ELSEWHERE = {"items": [{"sku": "ACC-0132", "quantity": 2}]}
NOTHING = "Your order was not placed: nothing was ordered."
UNSURE = "I sent this order to the shop, and can't tell yet whether it was placed:"
LOG_IN = "To order something, please log in first"
ASKED = "Shall I place this order? Please answer yes or no."


def proposal(at: float = START, customer: Customer = ALICE) -> OrderProposed:
    return OrderProposed(
        seq=4, at=at, customer_id=customer.customer_id, lines=(LINE,), total="166.85"
    )


def sent(at: float = START, to: int = 3, known: tuple[str, ...] = ()) -> OrderSent:
    return OrderSent(
        seq=7,
        at=at,
        customer_id=ALICE.customer_id,
        lines=(LINE,),
        total="166.85",
        to=to,
        known=known,
    )


class OrdersTestCase(SynchronousTestCase):
    """With a shop that does what it should until the test says otherwise."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.shop = ScriptedShop(self.now)
        self.reply = RecordingReply()
        self.use(ShopSettings())

    def use(self, settings: ShopSettings) -> None:
        self.orders = Orders(settings, self.shop, self.clock, self.now, "real person")

    def now(self) -> float:
        return START + self.clock.seconds()

    def want(
        self,
        text: str = NAMED,
        arguments: Mapping[str, object] = ONE,
        customer: Customer | None = ALICE,
        standing: Standing | None = None,
    ) -> Used:
        asked = question(text, customer, standing=standing)
        wanting = self.orders.wanted(arguments, asked, self.reply)
        return self.successResultOf(played(wanting, self.clock))

    def confirm(self, standing: Standing, customer: Customer | None = ALICE) -> None:
        asked = question("yes", customer, standing=standing)
        confirming = self.orders.confirmed(asked, self.reply)
        self.successResultOf(played(confirming, self.clock))

    def settle(
        self, standing: Standing, customer: Customer | None = ALICE, seq: int = 5
    ) -> bool:
        asked = question("hello", customer, seq, standing)
        return self.successResultOf(
            played(self.orders.settle(asked, self.reply), self.clock)
        )

    def fate(self, tool: str, *fates: Fate) -> None:
        self.shop.fates[tool] = list(fates)

    def ordered(self) -> str:
        """An order that is there, whoever sent it; its id."""
        item = {"sku": "MON-0054", "quantity": 1, "unit_price": "166.85"}
        arguments = {"customer_id": ALICE.customer_id, "items": [item]}
        self.shop._tools.call("create_order", arguments)
        return self.shop.shop.orders(ALICE.customer_id)[-1].id

    @property
    def told(self) -> str:
        return "\n\n".join(text for text, _ in self.reply.paragraphs)

    def facts(self, kind: type[_Event]) -> list[_Event]:
        return [fact for fact in self.reply.facts if isinstance(fact, kind)]

    def placed(self) -> list[dict[str, int]]:
        return self.shop.orders()


class PlacingTests(OrdersTestCase):
    """The customer's own message names all of it."""

    def test_it_is_placed_and_told(self) -> None:
        used = self.want()
        self.assertEqual(self.placed(), [{"MON-0054": 1}])
        (order,) = self.shop.shop.orders(ALICE.customer_id)
        self.assertEqual(
            self.told,
            "Your order is placed:\n\n"
            "- 1 x 24-inch Monitor - Model D (MON-0054): $166.85\n\n"
            "Total: $166.85\n\n"
            f"Order number: {order.id}",
        )
        self.assertTrue(used.ended)
        self.assertFalse(used.mistake)
        self.assertEqual(used.outcome, Called.OK)
        self.assertNotIn(ALICE.customer_id, used.arguments + used.text)

    def test_what_is_sent_is_written_down_first(self) -> None:
        self.want()
        (out,), (settled,) = self.facts(OrderSent), self.facts(OrderSettled)
        self.assertEqual(out.customer_id, ALICE.customer_id)
        self.assertEqual(out.lines, (LINE,))
        self.assertEqual((out.total, out.to, out.known), ("166.85", 5, ()))
        self.assertEqual(settled.sent, out.seq)
        (order,) = self.shop.shop.orders(ALICE.customer_id)
        self.assertEqual(settled.order_id, order.id)
        self.assertEqual(
            self.shop.asked,
            [
                ("get_product", {"sku": "MON-0054"}, True),
                ("list_orders", {"customer_id": ALICE.customer_id}, True),
                (
                    "create_order",
                    {
                        "customer_id": ALICE.customer_id,
                        "items": [
                            {
                                "sku": "MON-0054",
                                "quantity": 1,
                                "unit_price": "166.85",
                                "currency": "USD",
                            }
                        ],
                    },
                    False,
                ),
            ],
        )

    def test_nothing_is_sent_that_could_not_be_written_down(self) -> None:
        class Full(RecordingReply):
            def record(self, kind: type[_Event], **fields: object) -> Deferred[_Event]:
                return fail(StoreError())

        wanting = self.orders.wanted(ONE, question(NAMED), Full())
        self.failureResultOf(played(wanting, self.clock), StoreError)
        self.assertNotIn("create_order", self.shop.names())

    def test_earlier_orders_are_known(self) -> None:
        self.want()
        (first,) = self.shop.shop.orders(ALICE.customer_id)
        wanting = self.orders.wanted(
            ELSEWHERE, question("Buy 2 ACC-0132", seq=8), self.reply
        )
        self.successResultOf(played(wanting, self.clock))
        self.assertEqual(self.facts(OrderSent)[1].known, (first.id,))
        self.assertEqual(len(self.placed()), 2)

    def test_the_same_product_twice_is_added_up(self) -> None:
        items = [
            {"sku": "acc-0132", "quantity": 1},
            {"sku": " ACC-0132", "quantity": 2},
        ]
        self.want("order 3 ACC-0132", {"items": items})
        self.assertEqual(self.placed(), [{"ACC-0132": 3}])
        self.assertIn(
            "- 3 x Wireless Keyboard - Model B (ACC-0132): $90.60, $30.20 each",
            self.told,
        )

    def test_a_message_places_one_order(self) -> None:
        self.want()
        self.want()
        self.assertEqual(len(self.placed()), 1)
        self.assertIn("One order was placed for your message already.", self.told)
        self.assertEqual(len(self.facts(OrderProposed)), 1)

    def test_a_message_that_has_placed_one_places_no_other(self) -> None:
        standing = Standing(placed=(sent(to=5, at=START - 99_999),))
        self.want("order 2 ACC-0132", ELSEWHERE, standing=standing)
        self.assertEqual(self.placed(), [])

    def test_the_same_again_needs_a_yes(self) -> None:
        self.want(standing=Standing(placed=(sent(at=START - 599),)))
        self.assertEqual(self.placed(), [])
        self.assertIn("You have just ordered the same. This would be", self.told)

    def test_the_same_much_later_does_not(self) -> None:
        self.want(standing=Standing(placed=(sent(at=START - 601),)))
        self.assertEqual(len(self.placed()), 1)

    def test_something_else_soon_does_not(self) -> None:
        self.want("order 2 ACC-0132", ELSEWHERE, standing=Standing(placed=(sent(),)))
        self.assertEqual(len(self.placed()), 1)

    def test_two_orders_of_a_customer_wait_for_each_other(self) -> None:
        first: Deferred[ToolResult] = Deferred()
        self.fate("create_order", lambda perform: first)
        one = Deferred.fromCoroutine(
            self.orders.wanted(ONE, question(NAMED), self.reply)
        )
        other_reply = RecordingReply()
        two = Deferred.fromCoroutine(
            self.orders.wanted(
                ELSEWHERE, question("order 2 ACC-0132", seq=9), other_reply
            )
        )
        self.assertEqual(self.shop.names().count("list_orders"), 1)
        self.assertNoResult(two)
        first.callback(ToolResult("Error", True))
        self.successResultOf(one)
        self.successResultOf(two)
        self.assertEqual(self.placed(), [{"ACC-0132": 2}])
        self.assertEqual(self.orders._turns, {})

    def test_orders_of_different_customers_do_not_wait(self) -> None:
        self.fate("create_order", lambda perform: Deferred())
        one = Deferred.fromCoroutine(
            self.orders.wanted(ONE, question(NAMED), self.reply)
        )
        wanting = self.orders.wanted(ONE, question(NAMED, DONALD, 9), self.reply)
        self.successResultOf(played(wanting, self.clock))
        self.assertEqual(self.shop.orders(DONALD)[-1], {"MON-0054": 1})
        one.cancel()
        self.failureResultOf(one, CancelledError)

    def test_one_that_waits_too_long_is_not_sent(self) -> None:
        self.fate("create_order", lambda perform: Deferred())
        one = Deferred.fromCoroutine(
            self.orders.wanted(ONE, question(NAMED), self.reply)
        )
        other = RecordingReply()
        two = Deferred.fromCoroutine(
            self.orders.wanted(ELSEWHERE, question("order 2 ACC-0132", seq=9), other)
        )
        self.clock.advance(60)
        self.assertEqual(self.successResultOf(two).outcome, Called.FAILED)
        self.assertIn("can't take orders at the moment", other.paragraphs[0][0])
        one.cancel()
        self.failureResultOf(one, CancelledError)
        self.assertEqual(self.orders._turns, {})


class RefusingTests(OrdersTestCase):
    """What is no order, or can't be one."""

    def assertNotSent(self) -> None:
        self.assertNotIn("create_order", self.shop.names())
        self.assertEqual(self.facts(OrderSent), [])

    def test_arguments_that_are_no_order(self) -> None:
        def item(quantity: object = 1, sku: object = "MON-0054") -> dict[str, object]:
            return {"sku": sku, "quantity": quantity}

        wrong: list[object] = [
            None, "MON-0054", {}, [], [None], ["MON-0054"], [{}],
            [item(0)], [item(-1)], [item(1.0)], [item(1e3)], [item("2")], [item(True)],
            [item(None)], [item(21)], [item(11), item(11)], [item(10**9)],
            [item(float("nan"))], [item(float("inf"))],
            [item(sku=7)], [item(sku="")], [item(sku="MON 0054")],
            [item(sku="*MON-0054*")],
            [item(sku="X" * 41)], [{**item(), "unit_price": "0.01"}],
            [{"sku": "MON-0054"}], [item(sku=f"MON-{n:04}") for n in range(21)],
        ]  # fmt: skip
        for items in wrong:
            used = self.want(arguments={"items": items})
            self.assertTrue(used.mistake, items)
            self.assertFalse(used.ended)
            self.assertEqual(used.outcome, Called.FAILED)
        self.assertEqual(self.shop.asked, [])
        self.assertEqual(self.reply.told, [])

    def test_nobody_in_particular(self) -> None:
        used = self.want(customer=None)
        self.assertEqual(used.outcome, Called.REFUSED)
        self.assertIn(LOG_IN, self.told)
        self.assertEqual(self.shop.asked, [])

    def test_unknown_product(self) -> None:
        used = self.want(arguments={"items": [{"sku": "MON-9999", "quantity": 1}]})
        self.assertIn("There is no product MON-9999.", used.text)
        self.assertEqual(used.outcome, Called.FAILED)
        self.assertFalse(used.ended or used.mistake)
        self.assertNotSent()

    def test_too_little_stock(self) -> None:
        used = self.want(arguments={"items": [{"sku": "MON-0052", "quantity": 5}]})
        self.assertIn("Of MON-0052 there are 4, not 5.", used.text)
        self.assertNotSent()

    def product(self, text: str) -> str:
        self.fate("get_product", says(text))
        used = self.want()
        self.assertNotSent()
        self.assertEqual(self.reply.paragraphs, [])
        return used.text

    def test_product_that_is_not_sold(self) -> None:
        text = (
            "Product: X\nSKU: MON-0054\nPrice: $1.00 USD\nStock: 9 units\n"
            "Status: Inactive\nDescription:"
        )
        self.assertIn("MON-0054 is not sold any more.", self.product(text))

    def test_product_that_can_not_be_read(self) -> None:
        self.assertIn("can't be read", self.product("It costs a dollar."))

    def test_two_currencies(self) -> None:
        text = "Product: X\nSKU: {}\nPrice: $1.00 {}\nStock: 9 units\nStatus: Active\n"
        self.fate(
            "get_product",
            says(text.format("MON-0054", "USD")),
            says(text.format("MON-0052", "EUR")),
        )
        items = [{"sku": f"MON-005{n}", "quantity": 1} for n in (4, 2)]
        used = self.want(arguments={"items": items})
        self.assertIn("different currencies", used.text)
        self.assertNotSent()

    def test_shop_that_is_away_while_prices_are_asked(self) -> None:
        self.fate("get_product", fails(ServiceUnreachable("refused")))
        used = self.want()
        self.assertEqual(used.outcome, Called.FAILED)
        self.assertFalse(used.ended)
        self.assertNotSent()

    def test_shop_that_is_away_when_its_orders_are_asked(self) -> None:
        for fate in (
            fails(ServiceUnreachable("refused")),
            says("Error executing tool", failed=True),
            says(f"Order ID: x\nCustomer ID: {DONALD.customer_id}"),
        ):
            self.fate("list_orders", fate)
            used = self.want()
            self.assertEqual(used.outcome, Called.FAILED)
            self.assertTrue(used.ended)
            self.assertNotSent()
        self.assertIn("can't take orders at the moment. Nothing was", self.told)

    def test_who_logs_out_meanwhile_orders_nothing(self) -> None:
        for calls in range(3):
            self.shop.asked.clear()
            answers = iter([ALICE, *[ALICE] * calls, *[None] * 9])
            asked = question(NAMED)
            asked = Question(
                asked.text, asked.transcript, "c", 5, customer=lambda a=answers: next(a)
            )
            wanting = self.orders.wanted(ONE, asked, self.reply)
            used = self.successResultOf(played(wanting, self.clock))
            self.assertIsNot(used.outcome, Called.OK)
            self.assertNotIn("create_order", self.shop.names())
        # The last one had been written down already.
        self.assertEqual(self.facts(OrderSettled)[0].order_id, "")
        self.assertEqual(len(self.facts(OrderSent)), 1)

    def test_somebody_else_who_logs_in_meanwhile_orders_nothing(self) -> None:
        answers = iter([ALICE, *[DONALD] * 9])
        asked = question(NAMED)
        asked = Question(
            asked.text, asked.transcript, "c", 5, customer=lambda: next(answers)
        )
        self.successResultOf(
            played(self.orders.wanted(ONE, asked, self.reply), self.clock)
        )
        self.assertNotSent()

    def test_nothing_more_while_one_is_not_settled(self) -> None:
        standing = Standing(unsettled=sent(), proposal=proposal())
        used = self.want(standing=standing)
        self.assertEqual(used.outcome, Called.REFUSED)
        self.assertTrue(used.ended)
        self.confirm(standing)
        self.assertEqual(self.told.count(UNSURE), 2)
        self.assertNotSent()


class ProposingTests(OrdersTestCase):
    """What the message does not name has to be agreed to."""

    def test_a_summary_comes_first(self) -> None:
        items = [{"sku": "MON-0052", "quantity": 2}, {"sku": "ACC-0132", "quantity": 1}]
        used = self.want("Get me something nice", {"items": items})
        self.assertEqual(
            self.told,
            "This would be your order:\n\n"
            "- 2 x 24-inch Monitor - Model B (MON-0052): $594.22, $297.11 each\n"
            "- 1 x Wireless Keyboard - Model B (ACC-0132): $30.20\n\n"
            "Total: $624.42\n\n"
            f"{ASKED}",
        )
        (proposed,) = self.facts(OrderProposed)
        self.assertEqual(proposed.total, "624.42")
        self.assertEqual(proposed.customer_id, ALICE.customer_id)
        self.assertEqual([line.quantity for line in proposed.lines], [2, 1])
        self.assertTrue(used.ended)
        self.assertEqual(self.placed(), [])

    def test_always(self) -> None:
        self.use(ShopSettings(confirm="always"))
        self.want()
        self.assertEqual((self.placed(), len(self.facts(OrderProposed))), ([], 1))

    def test_never(self) -> None:
        self.use(ShopSettings(confirm="never"))
        self.want("whatever")
        self.want("whatever")
        self.assertEqual(self.placed(), [{"MON-0054": 1}])

    def test_names_of_products_are_no_markup(self) -> None:
        text = (
            "Product: [x](http://evil) *b* <i>\nSKU: MON-0054\nPrice: $1.00 EUR\n"
            "Stock: 9 units\nStatus: Active\n"
        )
        self.fate("get_product", says(text))
        self.want("something")
        self.assertIn(
            r"- 1 x \[x\](http://evil) \*b\* \<i\> (MON-0054): 1.00 EUR", self.told
        )
        self.assertIn("Total: 1.00 EUR", self.told)

    def test_a_yes_places_it(self) -> None:
        self.confirm(Standing(proposal=proposal()))
        self.assertEqual(self.placed(), [{"MON-0054": 1}])
        self.assertIn("Your order is placed:", self.told)
        self.assertEqual(self.facts(OrderSent)[0].to, 5)

    def test_a_yes_places_it_once(self) -> None:
        self.confirm(Standing(proposal=proposal()))
        self.confirm(Standing(proposal=proposal()))
        self.assertEqual(len(self.placed()), 1)
        other = Orders(ShopSettings(), self.shop, self.clock, self.now)
        asked = question(
            "yes", standing=Standing(proposal=proposal(), placed=(sent(to=5),))
        )
        self.successResultOf(played(other.confirmed(asked, self.reply), self.clock))
        self.assertEqual(len(self.placed()), 1)

    def test_a_yes_that_comes_late(self) -> None:
        for at in (START - 601, START + 601):
            self.reply = RecordingReply()
            self.confirm(Standing(proposal=proposal(at)))
            self.assertEqual(self.placed(), [])
            self.assertIn("no longer fresh, so nothing is ordered yet.", self.told)
            self.assertIn(ASKED, self.told)
            self.assertEqual(len(self.facts(OrderProposed)), 1)
        self.confirm(Standing(proposal=proposal(START - 599)))
        self.assertEqual(len(self.placed()), 1)

    def test_a_yes_to_another_price(self) -> None:
        text = (
            "Product: 24-inch Monitor - Model D\nSKU: MON-0054\nPrice: $166.86 USD\n"
            "Stock: 9 units\nStatus: Active\n"
        )
        self.fate("get_product", says(text))
        self.confirm(Standing(proposal=proposal()))
        self.assertEqual(self.placed(), [])
        self.assertIn("The price has changed, so nothing is ordered yet.", self.told)
        (proposed,) = self.facts(OrderProposed)
        self.assertEqual(proposed.total, "166.86")

    def test_a_yes_by_nobody_or_somebody_else(self) -> None:
        for customer in (None, DONALD):
            self.confirm(Standing(proposal=proposal()), customer)
        self.assertEqual(self.told.count(LOG_IN), 2)
        self.assertEqual(self.shop.asked, [])

    def test_a_yes_to_nothing(self) -> None:
        self.confirm(Standing())
        self.assertEqual(self.shop.asked, [])

    def test_a_yes_to_what_is_sold_out(self) -> None:
        gone = OrderProposed(
            seq=4,
            at=START,
            customer_id=ALICE.customer_id,
            lines=(OrderLine("MON-0052", "24-inch Monitor - Model B", 5, "297.11"),),
            total="1485.55",
        )
        self.confirm(Standing(proposal=gone))
        self.assertEqual(
            self.told, "Of MON-0052 there are 4, not 5. Nothing was ordered."
        )

    def test_a_yes_while_the_shop_is_away(self) -> None:
        self.fate("get_product", fails(ServiceUnreachable("refused")))
        self.confirm(Standing(proposal=proposal()))
        self.assertIn("can't take orders at the moment", self.told)

    def test_a_yes_and_a_log_out(self) -> None:
        answers = iter([ALICE, None, None])
        asked = question("yes", standing=Standing(proposal=proposal()))
        asked = Question(
            "yes",
            asked.transcript,
            "c",
            5,
            customer=lambda: next(answers),
            standing=asked.standing,
        )
        self.successResultOf(
            played(self.orders.confirmed(asked, self.reply), self.clock)
        )
        self.assertIn(LOG_IN, self.told)
        self.assertEqual(self.shop.names(), ["get_product"])

    def test_a_no(self) -> None:
        asked = question("no", standing=Standing(proposal=proposal()))
        self.successResultOf(
            played(self.orders.declined(asked, self.reply), self.clock)
        )
        self.assertEqual(self.told, "All right, nothing was ordered.")
        self.assertEqual(self.shop.asked, [])


LOST = CallLost("cut")


class LosingTests(OrdersTestCase):
    """The shop's answer does not come, or can't be read."""

    def assertOnce(self) -> None:
        self.assertEqual(self.shop.names().count("create_order"), 1)

    def test_lost_behind_the_order(self) -> None:
        self.fate("create_order", fails(LOST, performed=True))
        used = self.want()
        (order,) = self.shop.shop.orders(ALICE.customer_id)
        self.assertIn(f"Order number: {order.id}", self.told)
        self.assertEqual(self.facts(OrderSettled)[0].order_id, order.id)
        self.assertEqual(used.outcome, Called.OK)
        self.assertOnce()

    def test_lost_before_the_order(self) -> None:
        self.fate("create_order", fails(LOST))
        used = self.want()
        self.assertIn(NOTHING, self.told)
        self.assertEqual(self.facts(OrderSettled)[0].order_id, "")
        self.assertEqual(used.outcome, Called.FAILED)
        self.assertGreaterEqual(self.clock.seconds(), 20)
        self.assertOnce()

    def test_a_shop_that_is_still_at_it(self) -> None:
        for seq, takes, told_by in ((5, 4, 8), (6, 19, 20)):
            began = self.clock.seconds()

            def later(
                perform: Callable[[], ToolResult], takes: float = takes
            ) -> Deferred[ToolResult]:
                self.clock.callLater(takes, perform)
                raise LOST

            self.fate("create_order", later)
            asked = question(NAMED, seq=seq)
            self.successResultOf(
                played(self.orders.wanted(ONE, asked, self.reply), self.clock)
            )
            self.assertLessEqual(self.clock.seconds() - began, told_by)
        self.assertEqual(len(self.placed()), 2)
        self.assertEqual(self.told.count("Your order is placed:"), 2)
        self.assertEqual(self.shop.names().count("create_order"), 2)

    def test_confirmed_in_strange_words(self) -> None:
        self.fate("create_order", garbled)
        self.want()
        self.assertIn("Your order is placed:", self.told)
        self.assertIn("(Looking whether your order was placed…)", self.reply.told)
        self.assertOnce()

    def test_confirmed_with_an_order_of_before_or_of_another(self) -> None:
        self.fate("create_order", garbled)
        self.want()
        (old,) = self.shop.shop.orders(ALICE.customer_id)
        wrong = (
            f"Order ID: {old.id}",
            f"Order ID: {'0' * 8}-0000-4000-8000-{'0' * 12}\n"
            f"Customer ID: {DONALD.customer_id}",
        )
        for seq, text in enumerate(wrong, 10):
            self.reply = RecordingReply()
            self.fate("create_order", says(text))
            wanting = self.orders.wanted(
                ELSEWHERE, question("order 2 ACC-0132", seq=seq), self.reply
            )
            self.successResultOf(played(wanting, self.clock))
            self.assertEqual(self.facts(OrderSettled)[0].order_id, "")

    def test_refused_by_the_shop(self) -> None:
        self.fate("create_order", says("Error: out of stock", failed=True))
        used = self.want()
        self.assertIn(NOTHING, self.told)
        self.assertEqual(used.outcome, Called.FAILED)
        self.assertEqual(self.clock.seconds(), 0)
        self.assertOnce()

    def test_an_error_behind_the_order(self) -> None:
        def broken(perform: Callable[[], ToolResult]) -> Deferred[ToolResult]:
            perform()
            return succeed(ToolResult("Error executing tool create_order", True))

        self.fate("create_order", broken)
        self.want()
        self.assertIn("Your order is placed:", self.told)
        self.assertOnce()

    def test_not_connected(self) -> None:
        self.fate("create_order", fails(ServiceUnreachable("refused")))
        self.want()
        self.assertIn(NOTHING, self.told)
        self.assertEqual(self.facts(OrderSettled)[0].order_id, "")
        self.assertEqual(self.shop.names()[-1], "create_order")

    def test_lost_and_the_shop_is_away(self) -> None:
        self.fate("create_order", fails(LOST, performed=True))
        first: Fate = lambda perform: succeed(perform())  # noqa: E731
        self.fate("list_orders", first, *[fails(ServiceUnreachable("away"))] * 50)
        used = self.want()
        self.assertEqual(used.outcome, Called.LOST)
        self.assertTrue(used.ended)
        self.assertIn(UNSURE, self.told)
        self.assertIn("“real person”", self.told)
        self.assertEqual(self.facts(OrderSettled), [])
        self.assertOnce()

    def test_an_order_of_another_tab_is_not_taken_for_it(self) -> None:
        def another(perform: Callable[[], ToolResult]) -> Deferred[ToolResult]:
            other = ShopSettings()
            elsewhere = Orders(other, self.shop, self.clock, self.now)
            self.fate("create_order")
            asked = question("order 2 ACC-0132", seq=99)
            Deferred.fromCoroutine(elsewhere.wanted(ELSEWHERE, asked, RecordingReply()))
            raise LOST

        self.fate("create_order", another)
        self.want()
        self.assertEqual(self.placed(), [{"ACC-0132": 2}])
        self.assertIn(NOTHING, self.told)

    def test_two_that_look_alike_are_not_told_apart(self) -> None:
        def twice(perform: Callable[[], ToolResult]) -> Deferred[ToolResult]:
            perform()
            perform()
            raise LOST

        self.fate("create_order", twice)
        self.want()
        self.assertIn(UNSURE, self.told)
        self.assertEqual(self.facts(OrderSettled), [])

    def test_an_order_that_does_not_tell_what_it_is(self) -> None:
        self.ordered()
        silent = f"Order ID: x\nCustomer ID: {ALICE.customer_id}\nItems: 1"
        foreign = f"[MON-0054]\nCustomer ID: {DONALD.customer_id}"
        own = f"[MON-0054]\nCustomer ID: {ALICE.customer_id}"
        for fate in (says(silent), says(own, failed=True), says(foreign)):
            self.fate("get_order", fate)
            self.assertFalse(self.settle(Standing(unsettled=sent(at=START - 99))))
        self.assertEqual(self.facts(OrderSettled), [])
        self.fate("get_order", says(own))
        self.assertTrue(self.settle(Standing(unsettled=sent(at=START - 99))))

    def test_a_list_that_lacks_earlier_orders_proves_nothing(self) -> None:
        known = "00000000-0000-4000-8000-000000000001"
        self.assertFalse(self.settle(Standing(unsettled=sent(known=(known,)))))
        self.assertEqual(self.facts(OrderSettled), [])

    def test_an_order_that_was_told_of_is_no_other(self) -> None:
        self.want()
        self.reply = RecordingReply()
        self.assertTrue(self.settle(Standing(unsettled=sent())))
        self.assertIn(NOTHING, self.told)

    def test_without_a_tool_that_shows_an_order(self) -> None:
        self.use(ShopSettings(owned=()))
        self.fate("create_order", fails(LOST, performed=True))
        self.want()
        self.assertIn(UNSURE, self.told)


class SettlingTests(OrdersTestCase):
    """A later message, with an order of which nobody knows."""

    def test_it_was_placed(self) -> None:
        order_id = self.ordered()
        self.assertTrue(self.settle(Standing(unsettled=sent())))
        self.assertIn(f"Order number: {order_id}", self.told)
        self.assertIn("please send it once more", self.told)
        (settled,) = self.facts(OrderSettled)
        self.assertEqual((settled.sent, settled.order_id), (7, order_id))

    def test_it_was_not(self) -> None:
        self.assertTrue(self.settle(Standing(unsettled=sent(at=START - 20))))
        self.assertIn(NOTHING, self.told)
        self.assertEqual(self.clock.seconds(), 0)

    def test_an_order_that_was_there_before_is_not_it(self) -> None:
        known = (self.ordered(),)
        standing = Standing(unsettled=sent(at=START - 99, known=known))
        self.assertTrue(self.settle(standing))
        self.assertIn(NOTHING, self.told)

    def test_it_is_too_early_to_say_that_it_was_not(self) -> None:
        for at in (START - 5, START + 5, START + 999):  # clocks differ
            self.reply, before = RecordingReply(), self.clock.seconds()
            self.assertTrue(self.settle(Standing(unsettled=sent(at=at + before))))
            self.assertIn(NOTHING, self.told)
            took = self.clock.seconds() - before
            self.assertTrue(15 <= took <= 21, took)

    def test_the_same_message_again_ends_there(self) -> None:
        self.ordered()
        self.assertTrue(self.settle(Standing(unsettled=sent(to=5))))
        self.assertNotIn("once more", self.told)

    def test_nobody_can_tell(self) -> None:
        away = fails(ServiceUnreachable("away"))
        self.fate("list_orders", *[away] * 50)
        self.assertFalse(self.settle(Standing(unsettled=sent())))
        self.assertEqual(self.reply.paragraphs, [])
        self.assertIn("(I still can't tell", self.reply.told[-1])
        self.assertTrue(self.settle(Standing(unsettled=sent(to=5))))
        self.assertIn(UNSURE, self.told)
        self.assertEqual(self.facts(OrderSettled), [])

    def test_by_nobody_or_somebody_else(self) -> None:
        self.ordered()
        for customer in (None, DONALD):
            self.assertFalse(self.settle(Standing(unsettled=sent()), customer))
        self.assertEqual(self.shop.asked, [])
        self.assertEqual(self.reply.told, [])

    def test_who_logs_out_meanwhile_is_told_nothing(self) -> None:
        self.ordered()
        answers = iter([ALICE, None, None])
        asked = question("hello", standing=Standing(unsettled=sent()))
        asked = Question(
            "hello",
            asked.transcript,
            "c",
            5,
            customer=lambda: next(answers),
            standing=asked.standing,
        )
        settling = self.orders.settle(asked, self.reply)
        self.assertFalse(self.successResultOf(played(settling, self.clock)))
        self.assertEqual((self.reply.paragraphs, self.reply.facts), ([], []))

    def test_an_order_that_is_just_being_placed(self) -> None:
        self.fate("create_order", lambda perform: Deferred())
        one = Deferred.fromCoroutine(
            self.orders.wanted(ONE, question(NAMED), self.reply)
        )
        self.assertFalse(self.settle(Standing(unsettled=sent())))
        one.cancel()
        self.failureResultOf(one, CancelledError)

    def test_a_message_whose_order_is_placed_gets_its_receipt_again(self) -> None:
        self.assertTrue(self.settle(Standing(placed=(sent(to=5),))))
        self.assertIn("Your order is placed:", self.told)
        self.assertEqual((self.shop.asked, self.reply.facts), ([], []))

    def test_nothing_to_settle(self) -> None:
        self.assertFalse(self.settle(Standing()))
        self.assertFalse(self.settle(Standing(placed=(sent(to=3),))))
        other = Standing(placed=(sent(to=5),))
        self.assertFalse(self.settle(other, DONALD))
        self.assertEqual(self.reply.told, [])


# Any life: lost answers, deaths at every point, messages that are asked again


class MortalReply:
    """A reply that may die at any of its facts, and what it gave before stays."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self.over = False

    def paragraph(self, text: str, format: Format = "html") -> None:
        if not self.over:
            self._life.store(ParagraphSaid, text=text, format=format)

    def revise(self, keep: int) -> None: ...
    def delta(self, text: str) -> None: ...
    def notice(self, text: str) -> None: ...

    def record(self, kind: type[_Event], **fields: object) -> Deferred[_Event]:
        if self.over or self._life.dies():
            self.over = True
            return fail(CancelledError())
        event = self._life.store(kind, **fields)
        if self._life.dies():
            self.over = True
            return fail(CancelledError())
        return succeed(event)


class Life:
    """One conversation of Alice's with a shop that does its worst.

    Attributes:
        performed: the orders that the shop took: the message that was answered, the
            order's id, and what it is of.
        moments: that have passed in this reply at which it may die.
        deaths: of replies, up to now.
    """

    def __init__(self) -> None:
        self.clock, self.events = Clock(), list[Event]()
        self.identity = Identity(99_999.0)
        self.shop = ScriptedShop(self.now)
        self.moments = -1
        self.death = -1
        self.message = self.deaths = 0
        self.performed: list[tuple[int, str, dict[str, int]]] = []
        self.fate = "well"
        self.reply = MortalReply(self)
        self.restart()
        self.store(
            CustomerVerified,
            customer_id=ALICE.customer_id,
            name=ALICE.name,
            email=ALICE.email,
        )

    def restart(self) -> None:
        """The process is a new one."""
        self.orders = Orders(ShopSettings(), self, self.clock, self.now)

    def now(self) -> float:
        return START + self.clock.seconds()

    def store(self, kind: type[_Event], **fields: object) -> _Event:
        made: Any = kind
        event: _Event = made(seq=len(self.events) + 1, at=self.now(), **fields)
        self.events.append(event)
        self.identity.tell(event)
        return event

    def dies(self) -> bool:
        """Whether it is over at this moment."""
        self.moments += 1
        return self.moments == self.death

    async def tools(self) -> Any:
        return await self.shop.tools()

    async def call(
        self, name: str, arguments: Mapping[str, object], *, safe: bool
    ) -> ToolResult:
        if self.reply.over or self.dies():
            self.reply.over = True
            raise CancelledError
        assert safe == (name != "create_order")
        if name != "create_order":
            if self.fate == "blind" and name == "list_orders" and self._sent():
                raise ServiceUnreachable("away")
            result = await self.shop.call(name, arguments, safe=safe)
        else:
            result = await self._order(arguments)
        if self.dies():
            self.reply.over = True
            raise CancelledError
        return result

    def _sent(self) -> bool:
        return self.identity.standing(self.message).unsettled is not None

    async def _order(self, arguments: Mapping[str, Any]) -> ToolResult:
        message = self.message

        def perform() -> ToolResult:
            result = self.shop._tools.call("create_order", arguments)
            if not result.failed:
                order = self.shop.shop.orders(ALICE.customer_id)[-1]
                items = {item.sku: item.quantity for item in order.items}
                self.performed.append((message, order.id, items))
            return ToolResult(result.text, result.failed)

        if self.fate == "refused":
            raise ServiceUnreachable("refused")
        if self.fate == "lost":
            raise CallLost("cut")
        if self.fate == "late":
            self.clock.callLater(15, perform)
            raise CallLost("timed out")
        result = perform()
        if self.fate in {"cut", "blind"}:
            raise CallLost("cut")
        if self.fate == "garbled":
            return ToolResult("As you wish!", False)
        return result

    def say(self, text: str, wish: Mapping[str, int], fate: str, death: int) -> None:
        """The customer says something, and the model wants something ordered."""
        said = self.store(CustomerSaid, text=text, message_id=str(len(self.events)))
        self.answer(said, wish, fate, death)

    def answer(
        self, said: CustomerSaid, wish: Mapping[str, int], fate: str, death: int
    ) -> None:
        self.message, self.fate = said.seq, fate
        self.moments, self.death = -1, death
        self.store(ReplyStarted, service="assistant", intent="", to=said.seq)
        self.reply = reply = MortalReply(self)
        running = played(self._answer(said, wish, reply), self.clock)
        results: list[object] = []
        running.addBoth(results.append)
        assert results, "it hangs"
        self.deaths += reply.over
        if not reply.over:
            assert results == [None], results
            self.store(ReplyEnded, outcome=Outcome.COMPLETE)

    async def _answer(
        self, said: CustomerSaid, wish: Mapping[str, int], reply: MortalReply
    ) -> None:
        asked = Question(
            said.text,
            question().transcript,
            "conversation",
            said.seq,
            customer=lambda: self.identity.customer(self.now()),
            standing=self.identity.standing(said.seq),
        )
        if await self.orders.settle(asked, reply):
            return
        decision = consent(said.text)
        if asked.standing.proposal is not None and decision is not None:
            if decision is Consent.YES:
                await self.orders.confirmed(asked, reply)
            else:
                await self.orders.declined(asked, reply)
            return
        items = [{"sku": sku, "quantity": many} for sku, many in wish.items()]
        for _ in range(2):  # a model that does not give up
            used = await self.orders.wanted({"items": items}, asked, reply)
            if used.ended:
                return

    def check(self) -> None:
        """Nothing unasked, nothing twice."""
        for message, _, items in self.performed:
            said = next(e for e in self.events if e.seq == message)
            assert isinstance(said, CustomerSaid)
            if not names_order(said.text, items):
                assert consent(said.text) is Consent.YES
                assert self._shown_before(message) == items
        messages = [message for message, _, _ in self.performed]
        assert len({*messages}) == len(messages), "one message, two orders"
        sent = [event for event in self.events if isinstance(event, OrderSent)]
        assert len(self.shop.orders()) <= len(sent)

    def _shown_before(self, message: int) -> dict[str, int] | None:
        proposed = [
            event
            for event in self.events
            if isinstance(event, OrderProposed) and event.seq < message
        ]
        return {line.sku: line.quantity for line in proposed[-1].lines}

    def check_all_told(self) -> None:
        """Once the shop is well and the customer is there, nothing is lost."""
        self.clock.advance(60)
        self.say("hello", {}, "well", -1)
        assert self.identity.standing(10**9).unsettled is None
        sent = {e.seq: e for e in self.events if isinstance(e, OrderSent)}
        settled = [e for e in self.events if isinstance(e, OrderSettled)]
        assert sorted(e.sent for e in settled) == sorted(sent)
        placed = {e.order_id: sent[e.sent].to for e in settled if e.order_id}
        assert placed == {id: message for message, id, _ in self.performed}
        told = "\n".join(e.text for e in self.events if isinstance(e, ParagraphSaid))
        for order_id in placed:
            times = told.count(f"Order number: {order_id}")
            assert times == 1 or 1 < times <= 1 + self.deaths


TEXTS = (NAMED, "I want to order 2 ACC-0132", "yes", "yes", "no", "something nice")
WISHES = ({"MON-0054": 1}, {"ACC-0132": 2})
FATES = ("well", "well", "cut", "lost", "late", "garbled", "refused", "blind")
step = st.tuples(
    st.sampled_from(TEXTS),
    st.sampled_from(WISHES),
    st.sampled_from(FATES),
    st.integers(-1, 12),
    st.sampled_from(("stopped", "again", "restarted")),
    st.sampled_from((0.0, 3.0, 700.0)),
)


@settings(max_examples=150)
@given(st.lists(step, max_size=6))
@example([(NAMED, WISHES[0], "late", 7, "stopped", 0.0)])
@example(
    [
        ("something", WISHES[0], "well", -1, "again", 0.0),
        ("yes", WISHES[0], "cut", 8, "restarted", 0.0),
        ("yes", WISHES[0], "well", -1, "again", 0.0),
    ]
)
def test_whatever_happens_each_wish_is_one_order_and_each_order_is_told(
    steps: list[tuple[str, dict[str, int], str, int, str, float]],
) -> None:
    life = Life()
    for text, wish, fate, death, then, pause in steps:
        life.say(text, wish, fate, death)
        said = next(e for e in life.events if e.seq == life.message)
        assert isinstance(said, CustomerSaid)
        if life.reply.over:
            if then == "stopped":
                life.store(ReplyEnded, outcome=Outcome.STOPPED)
            else:
                if then == "restarted":
                    life.restart()
                life.answer(said, wish, "well", -1)
        life.clock.advance(pause)
        life.check()
    life.check_all_told()


def test_a_death_at_every_moment_of_an_order() -> None:
    for fate in {*FATES}:
        for death in range(-1, 20):
            for again in (False, True):
                life = Life()
                life.say(NAMED, WISHES[0], fate, death)
                said = next(e for e in life.events if e.seq == life.message)
                assert isinstance(said, CustomerSaid)
                if life.reply.over and again:
                    life.restart()
                    life.answer(said, WISHES[0], "well", -1)
                life.check()
                life.check_all_told()


def test_amounts_are_decimal() -> None:
    lines = [OrderLine("A-1", "x", 3, "0.10"), OrderLine("B-1", "y", 1, "1000000.05")]
    assert total(lines) == Decimal("1000000.35")
    assert amount(total(lines), "USD") == "$1000000.35"
    assert amount(Decimal("1.50"), "CHF") == "1.50 CHF"


def test_only_the_latest_are_remembered() -> None:
    recent = Recent(2)
    for thing in "aab":
        recent.add(thing)
    assert "a" in recent
    recent.add("c")
    assert "a" not in recent
    assert "b" in recent
    assert "c" in recent
