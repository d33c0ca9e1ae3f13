"""The simulated shop: its state, its tools, its server, and the official client."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import unittest
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from supportbot.demo.catalogue import customers, products
from supportbot.demo.order_mcp import OrderMcp
from supportbot.demo.shop import Item, OrderRefused, Shop
from supportbot.demo.shop_tools import ShopTools
from supportbot.demo.web import Web
from tests.http_client import HttpClient, Response
from tests.program import PATIENCE, ROOT, environment

ALICE, DONALD, LAURA, *OTHERS = customers()
TOOLS = [
    *("list_products", "get_product", "search_products", "get_customer"),
    *("verify_customer_pin", "list_orders", "get_order", "create_order"),
]
BOTH = "application/json, text/event-stream"


def shop() -> Shop:
    ids = map("00000000-0000-4000-8000-{:012}".format, itertools.count(1))
    return Shop(lambda: 1_732_000_000.9, ids.__next__)


def item(sku: str, quantity: int = 1, price: str = "1.00") -> Item:
    return Item(sku=sku, quantity=quantity, unit_price=Decimal(price))


class CatalogueTests(unittest.TestCase):
    """What there is."""

    def test_ranges(self) -> None:
        sold = products()
        self.assertEqual([int(one.sku[4:]) for one in sold], [*range(1, 201)])
        self.assertEqual(
            Counter((one.sku[:4], one.category) for one in sold),
            {
                ("COM-", "Computers"): 50,
                ("MON-", "Monitors"): 40,
                ("PRI-", "Printers"): 40,
                ("ACC-", "Accessories"): 40,
                ("NET-", "Networking"): 30,
            },
        )
        self.assertEqual(sold[50].sku, "MON-0051")
        self.assertEqual(sold[130].sku, "ACC-0131")

    def test_known_products(self) -> None:
        by_sku = {one.sku: one for one in products()}
        for sku, name, price, stock in (
            ("MON-0052", "24-inch Monitor - Model B", "297.11", 4),
            ("MON-0054", "24-inch Monitor - Model D", "166.85", 9),
            ("ACC-0132", "Wireless Keyboard - Model B", "30.20", 70),
        ):
            one = by_sku[sku]
            self.assertEqual((one.name, str(one.price)), (name, price))
            self.assertEqual(one.stock, stock)
            self.assertTrue(one.active)

    def test_plausible(self) -> None:
        sold = products()
        self.assertEqual(sold, products())
        self.assertEqual(len({one.name for one in sold}), 200)
        for one in sold:
            self.assertRegex(str(one.price), r"^[1-9]\d{0,3}\.\d\d$")
            self.assertLessEqual(0, one.stock)
            self.assertGreater(len(one.description), 20)
        self.assertEqual(sum(not one.active for one in sold), 4)
        self.assertIn(0, {one.stock for one in sold})

    def test_customers(self) -> None:
        known = {one.email: (one.name, one.pin, one.role) for one in customers()}
        self.assertEqual(known["alice@example.com"], ("Alice Johnson", "1234", "buyer"))
        self.assertEqual(known["donaldgarcia@example.net"][1:], ("7912", "admin"))
        self.assertEqual(known["laurahenderson@example.org"][1:], ("1488", "buyer"))
        self.assertIn("0", {one.pin[0] for one in OTHERS})
        self.assertEqual(len({one.id for one in customers()}), len(customers()))
        self.assertEqual(
            [one.id for one in customers()], [one.id for one in customers()]
        )
        for one in customers():
            self.assertNotIn(one.pin, repr(one).replace(one.id, ""))


class ShopTests(unittest.TestCase):
    """The state."""

    def setUp(self) -> None:
        self.shop = shop()

    def test_products(self) -> None:
        self.assertEqual(len(self.shop.products()), 200)
        self.assertEqual(len(self.shop.products("monitors")), 40)
        self.assertEqual(len(self.shop.products("Printers", True)), 39)
        self.assertEqual(
            [one.sku for one in self.shop.products("Printers", False)], ["PRI-0100"]
        )
        self.assertEqual(self.shop.products("Monitor"), [])
        self.assertIsNone(self.shop.product("mon-0054"))

    def test_search(self) -> None:
        self.assertEqual(len(self.shop.search("KEYBOARD")), 10)
        self.assertEqual(len(self.shop.search("eyboar")), 10)
        self.assertEqual(len(self.shop.search("either hand")), 10)
        self.assertEqual(self.shop.search("banana"), [])

    def test_verified(self) -> None:
        for one in customers():
            self.assertEqual(self.shop.verified(one.email, one.pin), one)
        self.assertEqual(self.shop.verified(" ALICE@example.com", "1234"), ALICE)
        for email, pin in (
            ("alice@example.com", "1235"),
            ("alice@example.com", "12345"),
            ("alice@example.com", ""),
            ("alice@example.com", "١٢٣٤"),
            ("alice@example.com", "\ud800"),
            ("alice@example.com", "7912"),
            ("nobody@example.com", "1234"),
            ("nobody@example.com", "0000"),
            ("", ""),
        ):
            self.assertIsNone(self.shop.verified(email, pin), (email, pin))

    def test_unknown_customers_take_the_same_way(self) -> None:
        with mock.patch("hmac.compare_digest", return_value=False) as compared:
            for email in ("alice@example.com", "nobody@example.com"):
                self.shop.verified(email, "1234")
        [(known, asked), (nothing, too)] = [call.args for call in compared.mock_calls]
        self.assertEqual((known, asked, too), (b"1234", b"1234", b"1234"))
        self.assertEqual(len(nothing), 4)

    def test_place(self) -> None:
        wanted = (item("MON-0054", 2, "166.85"), item("ACC-0132", 1, "30.20"))
        order = self.shop.place(ALICE.id, wanted)
        self.assertEqual(self.shop.order(order.id), order)
        self.assertEqual((order.status, order.payment), ("submitted", "pending"))
        self.assertEqual((order.customer_id, order.items), (ALICE.id, wanted))
        self.assertEqual(str(order.total), "363.90")
        self.assertEqual(self.shop.stock("MON-0054"), 7)
        self.assertEqual(self.shop.stock("ACC-0132"), 69)

    def test_all_or_nothing(self) -> None:
        for whose, wanted, why in (
            (ALICE.id, [item("ACC-0132"), item("MON-0052", 5)], "requested 5, availab"),
            (ALICE.id, [item("MON-0052", 3), item("MON-0052", 2)], "available 4"),
            (ALICE.id, [item("ACC-0132"), item("MON-9999")], "MON-9999 not found"),
            (ALICE.id, [item("ACC-0132"), item("PRI-0100")], "PRI-0100 not found"),
            ("somebody", [item("ACC-0132")], "Customer somebody not found"),
            (ALICE.id, [], "at least one item"),
        ):
            with self.assertRaisesRegex(OrderRefused, why):
                self.shop.place(whose, wanted)
            self.assertEqual(self.shop.stock("ACC-0132"), 70)
            self.assertEqual(self.shop.stock("MON-0052"), 4)
            self.assertEqual(self.shop.orders(ALICE.id), [])

    def test_the_last_units(self) -> None:
        self.shop.place(ALICE.id, [item("MON-0052", 4)])
        self.assertEqual(self.shop.stock("MON-0052"), 0)
        with self.assertRaises(OrderRefused):
            self.shop.place(LAURA.id, [item("MON-0052")])

    def test_orders(self) -> None:
        """Others have ordered before, so that there is something to look for."""
        mine = [self.shop.place(ALICE.id, [item("ACC-0132")]) for _ in range(2)]
        self.assertEqual(self.shop.orders(ALICE.id), mine)
        self.assertEqual(len(self.shop.orders(LAURA.id)), 2)
        self.assertEqual(len(self.shop.orders(LAURA.id, "fulfilled")), 1)
        self.assertEqual(len(self.shop.orders()), 5)
        self.assertEqual(len(self.shop.orders(None, "submitted")), 3)
        self.assertEqual(len({one.id for one in self.shop.orders()}), 5)

    @given(st.lists(st.tuples(st.sampled_from(["MON-0052", "MON-0054"]),
                              st.integers(1, 4)), max_size=12))  # fmt: skip
    def test_stock_is_what_was_not_ordered(self, wanted: list[tuple[str, int]]) -> None:
        one = shop()
        for sku, quantity in wanted:
            try:
                one.place(ALICE.id, [item(sku, quantity)])
            except OrderRefused:
                self.assertLess(one.stock(sku), quantity)
        taken: Counter[str] = Counter()
        for order in one.orders(ALICE.id):
            for line in order.items:
                taken[line.sku] += line.quantity
        for sku, first in (("MON-0052", 4), ("MON-0054", 9)):
            self.assertEqual(one.stock(sku), first - taken[sku])
            self.assertGreaterEqual(one.stock(sku), 0)


class ToolTests(unittest.TestCase):
    """What the tools take and tell."""

    def setUp(self) -> None:
        self.shop = shop()
        self.tools = ShopTools(self.shop)

    def told(self, name: str, **arguments: Any) -> str:
        result = self.tools.call(name, arguments)
        self.assertFalse(result.failed, result.text)
        return result.text

    def refused(self, name: str, **arguments: Any) -> str:
        """What went wrong, without the words before it."""
        result = self.tools.call(name, arguments)
        self.assertTrue(result.failed, result.text)
        head = f"Error executing tool {name}: "
        self.assertTrue(result.text.startswith(head), result.text)
        return result.text.removeprefix(head)

    def test_schemas(self) -> None:
        listed = self.tools.listed()
        self.assertEqual([tool["name"] for tool in listed], TOOLS)
        schemas = {tool["name"]: tool["inputSchema"] for tool in listed}
        self.assertEqual(
            schemas["list_products"],
            {
                "properties": {
                    "category": {
                        "anyOf": [{"type": "string"}, {"type": "null"}],
                        "default": None,
                        "title": "Category",
                    },
                    "is_active": {
                        "anyOf": [{"type": "boolean"}, {"type": "null"}],
                        "default": None,
                        "title": "Is Active",
                    },
                },
                "title": "list_productsArguments",
                "type": "object",
            },
        )
        self.assertEqual(
            schemas["create_order"],
            {
                "properties": {
                    "customer_id": {"title": "Customer Id", "type": "string"},
                    "items": {
                        "items": {"additionalProperties": True, "type": "object"},
                        "title": "Items",
                        "type": "array",
                    },
                },
                "required": ["customer_id", "items"],
                "title": "create_orderArguments",
                "type": "object",
            },
        )
        required = {name: schema.get("required") for name, schema in schemas.items()}
        self.assertEqual(
            required,
            {
                "list_products": None,
                "get_product": ["sku"],
                "search_products": ["query"],
                "get_customer": ["customer_id"],
                "verify_customer_pin": ["email", "pin"],
                "list_orders": None,
                "get_order": ["order_id"],
                "create_order": ["customer_id", "items"],
            },
        )
        result = {"result": {"title": "Result", "type": "string"}}
        for tool in listed:
            self.assertGreater(len(tool["description"]), 20)
            self.assertEqual(tool["outputSchema"]["properties"], result)

    def test_lists(self) -> None:
        head, first, *others = self.told("list_products", category="Monitors").split(
            "\n\n"
        )
        self.assertEqual(head, "Found 40 products:")
        self.assertEqual(len(others), 39)
        self.assertEqual(
            others[0],
            "[MON-0052] 24-inch Monitor - Model B\n"
            "  Category: Monitors | Price: $297.11 | Stock: 4 units",
        )
        self.assertTrue(first.startswith("[MON-0051] "))
        found = self.told("search_products", query="Keyboard")
        self.assertTrue(found.startswith("Found 10 products matching 'Keyboard':\n\n["))
        self.assertTrue(self.told("list_products").startswith("Found 200 products:"))
        sold = self.told("list_products", category=None, is_active=True)
        self.assertTrue(sold.startswith("Found 196 products:"))
        self.assertEqual(
            self.told("list_products", category="Boats"), "No products found"
        )
        self.assertEqual(
            self.told("search_products", query="boat"),
            "No products found matching 'boat'",
        )

    def test_product(self) -> None:
        self.assertEqual(
            self.told("get_product", sku="MON-0054").splitlines()[:7],
            [
                "Product: 24-inch Monitor - Model D",
                "SKU: MON-0054",
                "Category: Monitors",
                "Price: $166.85 USD",
                "Stock: 9 units",
                "Status: Active",
                "Description: A Full HD monitor for every desk.",
            ],
        )
        self.assertIn("Status: Inactive\n", self.told("get_product", sku="PRI-0100"))
        self.assertEqual(self.refused("get_product", sku="X"), "Product X not found")

    def test_customers(self) -> None:
        about = f"\nCustomer ID: {ALICE.id}\nEmail: alice@example.com\nRole: buyer"
        verified = self.told(
            "verify_customer_pin", email="alice@example.com", pin="1234"
        )
        self.assertEqual(verified, f"✓ Customer verified: Alice Johnson{about}")
        known = self.told("get_customer", customer_id=ALICE.id.upper())
        self.assertEqual(known, f"Customer: Alice Johnson{about}")
        for email in ("alice@example.com", "nobody@example.com"):
            self.assertEqual(
                self.refused("verify_customer_pin", email=email, pin="0000"),
                "Customer not found or PIN incorrect",
            )
        self.assertEqual(
            self.refused("get_customer", customer_id="alice"),
            "badly formed hexadecimal UUID string",
        )
        nobody = "00000000-0000-4000-8000-00000000aaaa"
        self.assertIn("not found", self.refused("get_customer", customer_id=nobody))

    def order(self, *items: object, whose: str = ALICE.id) -> str:
        return self.told("create_order", customer_id=whose, items=[*items])

    def test_orders(self) -> None:
        wanted = {"sku": "MON-0054", "quantity": 2, "unit_price": "166.85"}
        made = self.order(wanted)
        done, *lines = made.splitlines()
        self.assertEqual(done, "✓ Order created successfully!")
        order = self.shop.orders(ALICE.id)[0]
        self.assertEqual(
            lines,
            [
                f"Order ID: {order.id}",
                f"Customer ID: {ALICE.id}",
                "Status: submitted",
                "Payment: pending",
                "Created: 2024-11-19T07:06:40+00:00",
                "Items:",
                "  [MON-0054] 2 x $166.85 USD",
                "Total: $333.70 USD",
            ],
        )
        text = "\n".join(lines)
        self.assertEqual(self.told("get_order", order_id=order.id), text)
        listed = self.told("list_orders", customer_id=ALICE.id)
        self.assertEqual(listed, f"Found 1 orders:\n\n{text}")
        self.assertIn("Stock: 7 units", self.told("get_product", sku="MON-0054"))

    def test_nobodys_right_is_checked(self) -> None:
        self.assertTrue(self.told("list_orders").startswith("Found 3 orders:"))
        others = self.shop.orders(LAURA.id)[0]
        told = self.told("get_order", order_id=others.id)
        self.assertIn(f"Customer ID: {LAURA.id}\n", told)
        cheap = {"sku": "MON-0054", "quantity": 1, "unit_price": "0.01"}
        self.assertIn("Total: $0.01 USD", self.order(cheap, whose=DONALD.id))

    def test_list_orders(self) -> None:
        found = self.told("list_orders", customer_id=LAURA.id, status="approved")
        self.assertTrue(found.startswith("Found 1 orders:"))
        self.assertEqual(
            self.told("list_orders", customer_id=ALICE.id), "No orders found"
        )
        self.assertEqual(
            self.refused("list_orders", status="lost"), "Invalid status: lost"
        )
        nowhere = "00000000-0000-4000-8000-00000000aaaa"
        self.assertEqual(
            self.refused("get_order", order_id=nowhere), f"Order {nowhere} not found"
        )
        self.refused("get_order", order_id="1")

    def test_items_may_come_as_text(self) -> None:
        """As FastMCP takes them."""
        wanted = [{"sku": "ACC-0132", "quantity": 1, "unit_price": 30.2}]
        told = self.told("create_order", customer_id=ALICE.id, items=json.dumps(wanted))
        self.assertIn("Total: $30.20 USD", told)

    def test_wrong_items(self) -> None:
        good = {"sku": "ACC-0132", "quantity": 1, "unit_price": "30.20"}
        for changes, why in (
            ({"sku": None}, "Each item must have sku"),
            ({"quantity": None}, "Each item must have quantity"),
            ({"unit_price": None}, "Each item must have unit_price"),
            ({"quantity": 0}, "greater than 0"),
            ({"quantity": -1}, "greater than 0"),
            ({"quantity": 1.5}, "whole number"),
            ({"quantity": "1"}, "whole number"),
            ({"quantity": True}, "whole number"),
            ({"quantity": 10**6 + 1}, "whole number"),
            ({"unit_price": "free"}, "decimal"),
            ({"unit_price": "NaN"}, "decimal"),
            ({"unit_price": "Infinity"}, "decimal"),
            ({"unit_price": "-1"}, "decimal"),
            ({"unit_price": "1e999999"}, "decimal"),
        ):
            wrong = {k: v for k, v in {**good, **changes}.items() if v is not None}
            told = self.refused("create_order", customer_id=ALICE.id, items=[wrong])
            self.assertIn(why, told, changes)
        self.assertEqual(self.shop.stock("ACC-0132"), 70)

    def test_arguments_that_do_not_fit(self) -> None:
        help = "\n    For further information visit https://errors.pydantic.dev/2.12/v/"
        self.assertEqual(
            self.refused("get_product"),
            "1 validation error for get_productArguments\nsku\n  Field required"
            f" [type=missing, input_value={{}}, input_type=dict]{help}missing",
        )
        self.assertEqual(
            self.refused("get_product", sku=3),
            "1 validation error for get_productArguments\nsku\n  Input should be a"
            " valid string [type=string_type, input_value=3, input_type=int]"
            f"{help}string_type",
        )
        told = self.refused("verify_customer_pin", pin=1234)
        self.assertTrue(told.startswith("2 validation errors for verify_custom"), told)
        for wrong in ("x", 3, {}, ["x"], [[]], "[" * 100_000, '{"sku": 1}'):
            told = self.refused("create_order", customer_id=ALICE.id, items=wrong)
            self.assertIn("validation error for create_orderArguments", told)
        self.assertIn("valid boolean", self.refused("list_products", is_active="yes"))
        self.assertIn("valid string", self.refused("list_products", category=[]))
        self.told("get_product", sku="MON-0054", colour="red")

    def test_unknown_tool(self) -> None:
        result = self.tools.call("refund", {})
        self.assertEqual((result.text, result.failed), ("Unknown tool: refund", True))


class ServerTests(SynchronousTestCase):
    """MCP over HTTP."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.shop = shop()
        self.web = Web(self.clock, OrderMcp(ShopTools(self.shop)).answer)
        self.client = HttpClient(self.clock, "127.0.0.1")
        self.client.connect(self.web)

    def tearDown(self) -> None:
        stopped = self.web.abort()
        self.clock.pump([0, 0.5, 0])
        self.successResultOf(stopped)
        self.assertTrue(self.client.closed)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.client.faults, [])

    def ask(
        self,
        body: object = None,
        method: str = "POST",
        target: str = "/mcp",
        headers: Iterable[tuple[str, str]] = (),
        accept: str = BOTH,
        media: str = "application/json",
    ) -> Response:
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        sent = [("Accept", accept), ("Content-Type", media), *headers]
        self.client.request(method, target, sent, body, host="127.0.0.1:8085")
        self.clock.advance(0)
        return self.client.take_one()

    def answered(self, method: str, **params: Any) -> dict[str, Any]:
        """The JSON-RPC answer, out of its event."""
        request = {"jsonrpc": "2.0", "id": 7, "method": method}
        response = self.ask(request | ({"params": params} if params else {}))
        self.assertEqual(response.status, 200)
        self.assertEqual(response.headers["content-type"], "text/event-stream")
        head, data, *rest = response.body.decode().split("\r\n")
        self.assertEqual((head, rest), ("event: message", ["", ""]))
        answer: dict[str, Any] = json.loads(data.removeprefix("data: "))
        self.assertEqual((answer.pop("jsonrpc"), answer.pop("id")), ("2.0", 7))
        return answer

    def test_initialize(self) -> None:
        for asked, agreed in (
            ("2024-11-05", "2024-11-05"),
            ("2025-03-26", "2025-03-26"),
            ("2025-06-18", "2025-06-18"),
            ("2026-07-28", "2025-06-18"),
        ):
            result = self.answered("initialize", protocolVersion=asked)["result"]
            self.assertEqual(result["protocolVersion"], agreed)
            server = {"name": "order-mcp", "version": "1.22.0"}
            self.assertEqual(result["serverInfo"], server)
            self.assertEqual(result["capabilities"]["tools"], {"listChanged": False})
        self.assertEqual(self.answered("initialize", x=1)["error"]["code"], -32602)

    def test_no_session(self) -> None:
        """Neither is one given, nor does it need to be initialized."""
        request = {"jsonrpc": "2.0", "id": "a", "method": "ping"}
        response = self.ask(request, headers=[("Mcp-Session-Id", "whatever")])
        self.assertNotIn("mcp-session-id", response.headers)
        self.assertIn(b'{"jsonrpc":"2.0","id":"a","result":{}}', response.body)

    def test_notifications(self) -> None:
        for message in (
            {"jsonrpc": "2.0", "method": "notifications/initialized"},
            {"jsonrpc": "2.0", "id": 1, "result": {}},
        ):
            response = self.ask(message)
            self.assertEqual((response.status, response.body), (202, b""))

    def test_tools(self) -> None:
        listed = self.answered("tools/list")["result"]
        self.assertEqual([tool["name"] for tool in listed["tools"]], TOOLS)
        self.assertNotIn("nextCursor", listed)
        result = self.answered("tools/call", name="get_product", arguments=_MONITOR)
        text = ShopTools(self.shop).call("get_product", _MONITOR).text
        self.assertEqual(
            result["result"],
            {
                "content": [{"type": "text", "text": text}],
                "structuredContent": {"result": text},
                "isError": False,
            },
        )
        everything = self.answered("tools/call", name="list_products")["result"]
        self.assertIn("Found 200 products", everything["structuredContent"]["result"])

    def test_failures_of_tools_are_results(self) -> None:
        for name, arguments, text in (
            ("refund", {}, "Unknown tool: refund"),
            ("get_order", {"order_id": "1"}, "Error executing tool get_order: badly"),
            ("get_product", {}, "Error executing tool get_product: 1 validation error"),
        ):
            told = self.answered("tools/call", name=name, arguments=arguments)["result"]
            self.assertEqual({*told}, {"content", "isError"})
            self.assertTrue(told["isError"])
            self.assertTrue(told["content"][0]["text"].startswith(text))

    def test_errors(self) -> None:
        for method, params, code in (
            ("tools/fly", {}, -32601),
            ("server/discover", {}, -32601),
            ("tools/call", {}, -32602),
            ("tools/call", {"name": 1}, -32602),
            ("tools/call", {"name": "get_product", "arguments": []}, None),
            ("tools/call", {"name": "get_product", "arguments": [1]}, -32602),
        ):
            error = self.answered(method, **params).get("error", {"code": None})
            self.assertEqual(error["code"], code, (method, params))

    def test_not_json(self) -> None:
        for body in (b'{"jsonrpc":"2.0","id":1,', b"\xff", b"", b"[" * 100_000):
            response = self.ask(body)
            self.assertEqual(response.status, 400)
            self.assertEqual(response.json["error"]["code"], -32700)

    def test_no_message(self) -> None:
        for body in (
            *([], {}, 1, {"jsonrpc": "2.0"}, {"jsonrpc": "2.0", "id": 1}),
            {"jsonrpc": "1.0", "id": 1, "method": "ping"},
            {"jsonrpc": "2.0", "id": 1, "method": 1},
            {"jsonrpc": "2.0", "id": None, "method": "ping"},
            {"jsonrpc": "2.0", "id": True, "method": "ping"},
            {"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []},
        ):
            response = self.ask(body)
            self.assertEqual(response.status, 400, body)
            self.assertEqual(response.json["error"]["code"], -32602)

    def test_accept(self) -> None:
        ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        for accept, status in (
            ("application/json", 406),
            ("text/event-stream", 406),
            ("*/*", 406),
            ("", 406),
            ("text/event-stream;q=0.9 , Application/JSON", 200),
        ):
            self.assertEqual(self.ask(ping, accept=accept).status, status, accept)
        response = self.ask(ping, accept="application/json")
        self.assertEqual(response.json["error"]["code"], -32600)
        self.assertEqual(self.ask(ping, media="text/plain").status, 400)
        self.assertEqual(self.ask(ping, media="application/json; x=y").status, 200)

    def test_protocol_header(self) -> None:
        ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        for version, status in (
            *(("2024-11-05", 200), ("2025-06-18", 200)),
            *(("2026-07-28", 400), ("1", 400)),
        ):
            headers = [("MCP-Protocol-Version", version)]
            self.assertEqual(self.ask(ping, headers=headers).status, status)

    def test_elsewhere(self) -> None:
        ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        moved = self.ask(ping, target="/mcp/")
        self.assertEqual(moved.status, 307)
        self.assertEqual(moved.headers["location"], "http://127.0.0.1:8085/mcp")
        self.assertEqual(self.ask(ping, target="/").status, 404)
        for method in ("GET", "DELETE", "PUT"):
            response = self.ask(b"", method=method)
            self.assertEqual(response.status, 405)
            self.assertEqual(response.headers["allow"], "POST")

    def test_a_long_request(self) -> None:
        """Longer than the limit for customers' own."""
        query = "x" * 200_000
        told = self.answered(
            "tools/call", name="search_products", arguments={"query": query}
        )
        self.assertIn("No products found", told["result"]["content"][0]["text"])


_MONITOR = {"sku": "MON-0054"}


@contextmanager
def running() -> Iterator[dict[str, str]]:
    """The simulated services as a process; their URLs by title."""
    names = ("support", "product", "agent", "assistant", "shop")
    ports = [f"--{name}-port=0" for name in names]
    process = subprocess.Popen(
        [sys.executable, "-m", "supportbot.demo", "--delay=0", *ports],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        cwd=ROOT,
        text=True,
    )
    assert process.stdout is not None
    try:
        lines = [process.stdout.readline() for _ in names]
        yield {line[:20].strip(): line[21:].strip() for line in lines}
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=PATIENCE)
        assert (process.returncode, errors) == (0, ""), errors


_OFFICIAL = """
import re, sys, anyio
from mcp.client import Client

async def main(url, mode):
    async with Client(url, mode=mode) as client:
        async def call(name, **arguments):
            return (await client.call_tool(name, arguments)).content[0].text
        print(client.server_info.name)
        print(*[tool.name for tool in (await client.list_tools()).tools])
        email, pin = "alice@example.com", "1234"
        alice = await call("verify_customer_pin", email=email, pin=pin)
        print(alice.splitlines()[0])
        id = re.search("^Customer ID: (.*)$", alice, re.M)[1]
        print(re.search("Stock.*", await call("get_product", sku="MON-0054"))[0])
        item = {"sku": "MON-0054", "quantity": 1, "unit_price": "166.85"}
        made = await call("create_order", customer_id=id, items=[item])
        print(re.search("Status: .*", made)[0])
        print(re.search("Stock.*", await call("get_product", sku="MON-0054"))[0])
        print((await client.call_tool("get_product", {})).is_error)

anyio.run(main, *sys.argv[1:])
"""


class OfficialClientTests(unittest.TestCase):
    """The client of the official SDK, as a process of its own."""

    def talk(self, url: str, mode: str) -> list[str]:
        ran = subprocess.run(
            [sys.executable, "-c", _OFFICIAL, url, mode],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        self.assertEqual(ran.returncode, 0, ran.stderr)
        return ran.stdout.splitlines()

    def test_orders(self) -> None:
        with running() as urls:
            url = urls["shop's tools (MCP)"]
            for address, mode, before, after in (
                (url, "auto", 9, 8),
                (f"{url}/", "legacy", 8, 7),
            ):
                self.assertEqual(
                    self.talk(address, mode),
                    [
                        "order-mcp",
                        " ".join(TOOLS),
                        "✓ Customer verified: Alice Johnson",
                        f"Stock: {before} units",
                        "Status: submitted",
                        f"Stock: {after} units",
                        "True",
                    ],
                )
