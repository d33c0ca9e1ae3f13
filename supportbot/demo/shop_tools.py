"""The tools of the simulated shop: their schemas, what they take, what they tell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

import msgspec

from supportbot.demo.catalogue import Customer, Product
from supportbot.demo.shop import STATUSES, Item, Order, OrderRefused, Shop
from supportbot.demo.tool_arguments import (
    MAYBE_BOOLEAN,
    MAYBE_TEXT,
    OBJECTS,
    TEXT,
    Misfit,
    Schemas,
    fitting,
)

_MOST = 10**6  # units in a line


class ToolResult(msgspec.Struct, frozen=True):
    """What a tool tells.

    Attributes:
        failed: it is about what went wrong.
    """

    text: str
    failed: bool = False


class _Wrong(Exception):
    """The call can't be answered as it wishes."""


class _Tool(msgspec.Struct, frozen=True):
    """One tool."""

    name: str
    about: str
    arguments: Schemas
    run: Callable[..., str]


class ShopTools:
    """What can be done in the shop, by name.

    Args:
        shop: where it is done.
    """

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        tools = (
            _Tool(
                "list_products",
                "List products, all or of one category.\n\n"
                "Categories: Computers, Monitors, Printers, Accessories, Networking.",
                {"category": MAYBE_TEXT, "is_active": MAYBE_BOOLEAN},
                self._list_products,
            ),
            _Tool(
                "get_product",
                "Get one product by its SKU, such as MON-0054, with its stock.",
                {"sku": TEXT},
                self._get_product,
            ),
            _Tool(
                "search_products",
                "Search products by words in their name or description.\n\n"
                "Case does not matter, and parts of words are found.",
                {"query": TEXT},
                self._search_products,
            ),
            _Tool(
                "get_customer",
                "Get a customer by id, a UUID.",
                {"customer_id": TEXT},
                self._get_customer,
            ),
            _Tool(
                "verify_customer_pin",
                "Verify a customer by e-mail address and PIN.",
                {"email": TEXT, "pin": TEXT},
                self._verify_customer_pin,
            ),
            _Tool(
                "list_orders",
                "List orders, of one customer or in one state.\n\n"
                f"States: {', '.join(STATUSES)}.",
                {"customer_id": MAYBE_TEXT, "status": MAYBE_TEXT},
                self._list_orders,
            ),
            _Tool(
                "get_order",
                "Get one order by its id, a UUID.",
                {"order_id": TEXT},
                self._get_order,
            ),
            _Tool(
                "create_order",
                "Create an order; its units are taken out of the stock at once.\n\n"
                "Each item has: sku (string), quantity (whole number above 0),"
                " unit_price (decimal as string), currency (string, USD by default).",
                {"customer_id": TEXT, "items": OBJECTS},
                self._create_order,
            ),
        )
        self._tools = {tool.name: tool for tool in tools}

    def listed(self) -> list[dict[str, Any]]:
        """The tools as MCP lists them."""
        return [_listed(tool) for tool in self._tools.values()]

    def call(self, name: str, arguments: Mapping[str, Any]) -> ToolResult:
        """Use a tool; whatever is wrong with the call is a result too."""
        tool = self._tools.get(name)
        if tool is None:
            return ToolResult(f"Unknown tool: {name}", failed=True)
        try:
            return ToolResult(tool.run(**fitting(name, tool.arguments, arguments)))
        except (Misfit, OrderRefused, _Wrong) as error:
            return ToolResult(f"Error executing tool {name}: {error}", failed=True)

    # Products

    def _list_products(self, category: str | None, is_active: bool | None) -> str:
        found = self._shop.products(category, is_active)
        return self._found(found, "") if found else "No products found"

    def _search_products(self, query: str) -> str:
        found = self._shop.search(query)
        if not found:
            return f"No products found matching '{query}'"
        return self._found(found, f" matching '{query}'")

    def _found(self, found: Sequence[Product], how: str) -> str:
        blocks = (
            f"[{one.sku}] {one.name}\n  Category: {one.category} | Price: ${one.price}"
            f" | Stock: {self._shop.stock(one.sku)} units"
            for one in found
        )
        return "\n\n".join((f"Found {len(found)} products{how}:", *blocks))

    def _get_product(self, sku: str) -> str:
        one = self._shop.product(sku)
        if one is None:
            raise _Wrong(f"Product {sku} not found")
        return _lines(
            ("Product", one.name),
            ("SKU", one.sku),
            ("Category", one.category),
            ("Price", f"${one.price} USD"),
            ("Stock", f"{self._shop.stock(sku)} units"),
            ("Status", "Active" if one.active else "Inactive"),
            ("Description", one.description),
        )

    # Customers

    def _get_customer(self, customer_id: str) -> str:
        one = self._shop.customer(_uuid(customer_id))
        if one is None:
            raise _Wrong(f"Customer {customer_id} not found")
        return f"Customer: {one.name}\n{_about(one)}"

    def _verify_customer_pin(self, email: str, pin: str) -> str:
        one = self._shop.verified(email, pin)
        if one is None:
            raise _Wrong("Customer not found or PIN incorrect")
        return f"✓ Customer verified: {one.name}\n{_about(one)}"

    # Orders

    def _list_orders(self, customer_id: str | None, status: str | None) -> str:
        if status is not None and status not in STATUSES:
            raise _Wrong(f"Invalid status: {status}")
        whose = None if customer_id is None else _uuid(customer_id)
        found = self._shop.orders(whose, status)
        if not found:
            return "No orders found"
        blocks = (_order(order) for order in found)
        return "\n\n".join((f"Found {len(found)} orders:", *blocks))

    def _get_order(self, order_id: str) -> str:
        order = self._shop.order(_uuid(order_id))
        if order is None:
            raise _Wrong(f"Order {order_id} not found")
        return _order(order)

    def _create_order(self, customer_id: str, items: Iterable[Any]) -> str:
        wanted = [_item(item) for item in items]
        order = self._shop.place(_uuid(customer_id), wanted)
        return f"✓ Order created successfully!\n{_order(order)}"


def _listed(tool: _Tool) -> dict[str, Any]:
    properties = {
        name: {**schema, "title": name.replace("_", " ").title()}
        for name, schema in tool.arguments.items()
    }
    required = [
        name for name, schema in tool.arguments.items() if "default" not in schema
    ]
    schema: dict[str, Any] = {"properties": properties}
    if required:
        schema["required"] = required
    schema |= {"title": f"{tool.name}Arguments", "type": "object"}
    result = {
        "properties": {"result": {"title": "Result", "type": "string"}},
        "required": ["result"],
        "title": f"{tool.name}Output",
        "type": "object",
    }
    return {
        "name": tool.name,
        "description": tool.about,
        "inputSchema": schema,
        "outputSchema": result,
    }


# What is told


def _lines(*facts: tuple[str, object]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in facts)


def _about(customer: Customer) -> str:
    return _lines(
        ("Customer ID", customer.id), ("Email", customer.email), ("Role", customer.role)
    )


def _order(order: Order) -> str:
    items = "".join(
        f"\n  [{item.sku}] {item.quantity} x ${item.unit_price} {item.currency}"
        for item in order.items
    )
    return _lines(
        ("Order ID", order.id),
        ("Customer ID", order.customer_id),
        ("Status", order.status),
        ("Payment", order.payment),
        ("Created", datetime.fromtimestamp(order.at, UTC).isoformat("T", "seconds")),
        ("Items", items),
        ("Total", f"${order.total} {order.items[0].currency}"),
    ).replace("Items: \n", "Items:\n")


# What is taken


def _uuid(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError as error:
        raise _Wrong(str(error)) from error


def _item(given: Mapping[str, Any]) -> Item:
    for name in ("sku", "quantity", "unit_price"):
        if name not in given:
            raise _Wrong(f"Each item must have {name}")
    quantity = given["quantity"]
    if type(quantity) is not int or not 0 < quantity <= _MOST:
        raise _Wrong("Quantity must be a whole number greater than 0")
    try:
        price = Decimal(str(given["unit_price"]))
    except InvalidOperation:
        price = Decimal("NaN")
    if not price.is_finite() or price < 0 or price.adjusted() > len(str(_MOST)):
        raise _Wrong("Unit price must be a decimal number")
    return Item(
        sku=str(given["sku"]),
        quantity=quantity,
        unit_price=price.quantize(Decimal("0.01")),
        currency=str(given.get("currency", "USD")),
    )
