"""The simulated shop: products, customers, orders, and a stock that goes down.

It does what it is asked and checks nobody's right, as the original does.
"""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Literal

import msgspec

from supportbot.demo.catalogue import Customer, Product, customers, products

OrderStatus = Literal["draft", "submitted", "approved", "fulfilled", "cancelled"]
STATUSES: tuple[OrderStatus, ...] = (
    *("draft", "submitted", "approved"),
    *("fulfilled", "cancelled"),
)

_NOBODY = "0" * 4  # is compared with where there is no customer


class OrderRefused(Exception):
    """The shop can't do that; the message says why."""


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One line of an order.

    Attributes:
        quantity: 1 or more.
        unit_price: whatever the client said it is.
        currency: such as `USD`.
    """

    sku: str
    quantity: int
    unit_price: Decimal
    currency: str = "USD"


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One order.

    Attributes:
        payment: such as `pending`.
        at: when it was made, in seconds since 1970.
    """

    id: str
    customer_id: str
    status: OrderStatus
    payment: str
    items: tuple[Item, ...]
    at: float

    @property
    def total(self) -> Decimal:
        """The sum of all lines."""
        return sum((item.unit_price * item.quantity for item in self.items), Decimal(0))


class Shop:
    """All of it, in memory.

    Args:
        now: seconds since 1970.
        new_id: makes a UUID for each order.
    """

    def __init__(self, now: Callable[[], float], new_id: Callable[[], str]) -> None:
        self._now, self._new_id = now, new_id
        self._products = {product.sku: product for product in products()}
        self._stock = {product.sku: product.stock for product in products()}
        self._customers = {customer.id: customer for customer in customers()}
        self._by_email = {one.email.lower(): one for one in customers()}
        self._orders: dict[str, Order] = {}
        self._open_with_orders()

    def _open_with_orders(self) -> None:
        """Some were made before: a customer may try to see another's."""
        for email, sku, quantity, status in _EARLIER:
            product = self._products[sku]
            item = Item(sku=sku, quantity=quantity, unit_price=product.price)
            customer = self._by_email[email]
            self._keep(customer.id, (item,), status, "paid")

    # Products

    def products(
        self, category: str | None = None, active: bool | None = None
    ) -> list[Product]:
        """Those of a category, in any case, that are sold or not; None for all."""
        return [
            product
            for product in self._products.values()
            if category is None or product.category.lower() == category.lower()
            if active is None or product.active == active
        ]

    def search(self, query: str) -> list[Product]:
        """Those with the words, in any case, in name or description."""
        wanted = query.lower()
        return [
            product
            for product in self._products.values()
            if wanted in product.name.lower() or wanted in product.description.lower()
        ]

    def product(self, sku: str) -> Product | None:
        """The product with exactly this SKU."""
        return self._products.get(sku)

    def stock(self, sku: str) -> int:
        """Units that are left."""
        return self._stock[sku]

    # Customers

    def customer(self, id: str) -> Customer | None:
        """The customer with this id."""
        return self._customers.get(id)

    def verified(self, email: str, pin: str) -> Customer | None:
        """The customer with this e-mail address and this PIN.

        Whether there is such an address can't be told from the time that it takes.
        """
        customer = self._by_email.get(email.strip().lower())
        known = _NOBODY if customer is None else customer.pin
        fits = hmac.compare_digest(known.encode(), pin.encode("utf-8", "replace"))
        return customer if fits else None

    # Orders

    def orders(
        self, customer_id: str | None = None, status: str | None = None
    ) -> list[Order]:
        """Those of a customer, in a state, oldest first; None for everybody's."""
        return [
            order
            for order in self._orders.values()
            if customer_id is None or order.customer_id == customer_id
            if status is None or order.status == status
        ]

    def order(self, id: str) -> Order | None:
        """The order with this id."""
        return self._orders.get(id)

    def place(self, customer_id: str, items: Sequence[Item]) -> Order:
        """Make an order and take its units out of the stock: all of them, or none.

        Raises:
            OrderRefused: there is no such customer or product, or not enough of it.
        """
        if customer_id not in self._customers:
            raise OrderRefused(f"Customer {customer_id} not found")
        if not items:
            raise OrderRefused("Order must have at least one item")
        for sku, wanted in _units(items).items():
            if sku not in self._products or not self._products[sku].active:
                raise OrderRefused(f"Product {sku} not found")
            if (left := self._stock[sku]) < wanted:
                raise OrderRefused(
                    f"Insufficient inventory for product {sku}:"
                    f" requested {wanted}, available {left}"
                )
        for sku, wanted in _units(items).items():
            self._stock[sku] -= wanted
        return self._keep(customer_id, tuple(items), "submitted", "pending")

    def _keep(
        self,
        customer_id: str,
        items: tuple[Item, ...],
        status: OrderStatus,
        payment: str,
    ) -> Order:
        order = Order(
            id=self._new_id(),
            customer_id=customer_id,
            status=status,
            payment=payment,
            items=items,
            at=self._now(),
        )
        self._orders[order.id] = order
        return order


_EARLIER: tuple[tuple[str, str, int, OrderStatus], ...] = (
    ("laurahenderson@example.org", "PRI-0093", 1, "fulfilled"),
    ("laurahenderson@example.org", "ACC-0144", 2, "approved"),
    ("donaldgarcia@example.net", "NET-0171", 1, "submitted"),
)
"""Orders from before the doors opened; the stock is what they have left."""


def _units(items: Iterable[Item]) -> Counter[str]:
    """How many of each product; one may stand in several lines."""
    units: Counter[str] = Counter()
    for item in items:
        units[item.sku] += item.quantity
    return units
