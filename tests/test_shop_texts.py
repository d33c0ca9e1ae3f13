"""What the shop's texts say, and what they only seem to say."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supportbot.demo.catalogue import customers, products
from supportbot.interfaces import Customer
from supportbot.services.assistant.shop import (
    Product,
    belongs,
    is_id,
    names_all,
    order_id,
    order_ids,
    owners,
    product,
    verified,
    without,
)
from tests.shop_fakes import ALICE, DONALD, ScriptedShop

ID = "7d93a1f0-0c4b-4b0e-9d51-5a1f4f7e2c11"
OTHER = "0b7c3a52-5c0a-4d3e-9e43-6f0a4f2f0c11"
PRODUCT = """\
Product: 24-inch Monitor - Model D
SKU: MON-0054
Category: Monitors
Price: $166.85 USD
Stock: 9 units
Status: Active
Description: A Full HD monitor.
Price: $0.01 USD
SKU: MON-0001"""
LOGIN = f"""\
✓ Customer verified: Alice Johnson
Customer ID: {ID}
Email: alice@example.com
Role: buyer"""


def test_a_product() -> None:
    assert product(PRODUCT, "MON-0054") == Product(
        "MON-0054", "24-inch Monitor - Model D", Decimal("166.85"), "USD", 9, True
    )


def test_every_product_of_the_simulated_shop() -> None:
    shop = ScriptedShop()
    for one in products():
        said = shop._tools.call("get_product", {"sku": one.sku})
        assert product(said.text, one.sku) == Product(
            one.sku, one.name, one.price, "USD", one.stock, one.active
        )


def test_a_product_without_a_description() -> None:
    assert product(PRODUCT.partition("\nDescription")[0], "MON-0054") is not None


@pytest.mark.parametrize(
    ("there", "instead"),
    [
        ("SKU: MON-0054", "SKU: MON-0055"),
        ("SKU: MON-0054", "SKU: mon-0054"),
        ("SKU: MON-0054\n", ""),
        ("$166.85 USD", "$166.8 USD"),
        ("$166.85 USD", "$166.855 USD"),
        ("$166.85 USD", "$-166.85 USD"),
        ("$166.85 USD", "$0.00 USD"),
        ("$166.85 USD", "$1e3 USD"),
        ("$166.85 USD", "$NaN USD"),
        ("$166.85 USD", "$1,166.85 USD"),
        ("$166.85 USD", "$١٦٦.٨٥ USD"),
        ("$166.85 USD", "$166.85"),
        ("$166.85 USD", "$166.85 usd"),
        ("$166.85 USD", "$166.85 DOLLARS"),
        ("$166.85 USD", "$1234567890.00 USD"),
        ("Price: ", "Prices: "),
        ("9 units", "-9 units"),
        ("9 units", "many"),
        ("9 units", "9.5 units"),
        ("Status: Active\n", ""),
        ("Model D", "Model D\nPrice: $0.01 USD"),
        ("Model D", "Model D\nStock: 999 units"),
        ("Model D", "Model D\nSKU: MON-0054"),
        ("Model D", "Model D\nsecond line"),
        ("Model D", "Model D\u202e"),
        ("Model D", "Model D\x1b[2J"),
        ("Model D", "D" * 201),
        ("24-inch Monitor - Model D", ""),
        ("Product: ", "Description: x\nProduct: "),
    ],
)
def test_what_is_odd_is_no_product(there: str, instead: str) -> None:
    assert there in PRODUCT
    text = PRODUCT.replace(there, instead, 1)
    assert product(text, "MON-0054") is None


def test_status_and_price_without_dollar() -> None:
    said = product(
        PRODUCT.replace("Active", "Discontinued").replace("$166.85 USD", "166.85 EUR"),
        "MON-0054",
    )
    assert said is not None
    assert (said.active, said.currency) == (False, "EUR")


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    for said in (product(text, "A-1"), verified(text)):
        assert said is None
    owners(text)
    order_id(text)
    names_all(text, [("A-1", "x")])
    assert ID not in order_ids(text, ID)


def test_a_login() -> None:
    assert verified(LOGIN) == Customer(ID, "Alice Johnson", "alice@example.com")
    assert verified(f"\n{LOGIN}\n") is not None
    assert verified(LOGIN.replace("\nRole: buyer", "")) is not None


def test_every_login_of_the_simulated_shop() -> None:
    shop = ScriptedShop()
    for one in customers():
        given = {"email": one.email, "pin": one.pin}
        said = shop._tools.call("verify_customer_pin", given)
        assert verified(said.text) == Customer(one.id, one.name, one.email)


@pytest.mark.parametrize(
    ("there", "instead"),
    [
        ("✓ Customer verified: ", ""),
        ("✓ Customer verified: ", "Customer verified: "),
        ("✓ Customer verified: ", "x\n✓ Customer verified: "),
        ("Alice Johnson", ""),
        ("Alice Johnson", "Alice\u2028Johnson"),
        ("Alice Johnson", "A" * 201),
        ("Alice Johnson", f"Alice\nCustomer ID: {OTHER}"),
        ("Alice Johnson", "Alice\nEmail: bob@example.com"),
        ("Alice Johnson", "Alice\nnobody"),
        (ID, ID[:-1]),
        (ID, ID + "0"),
        (ID, ID.replace("-", "")),
        (ID, "alice"),
        (f"Customer ID: {ID}\n", ""),
        ("Email: alice@example.com\n", ""),
        ("alice@example.com", "alice"),
        ("alice@example.com", "alice@example.com, bob@example.com"),
        (LOGIN, "Customer not found or PIN incorrect"),
        (LOGIN, ""),
    ],
)
def test_what_is_odd_is_no_login(there: str, instead: str) -> None:
    assert there in LOGIN
    assert verified(LOGIN.replace(there, instead, 1)) is None


def test_ids() -> None:
    assert is_id(ID)
    assert is_id(ID.upper())
    for wrong in ("", ID[1:], f"{ID} ", f"x{ID}", "MON-0054"):
        assert not is_id(wrong)


def test_orders_in_a_list() -> None:
    assert order_ids("No orders found", ID) == frozenset()
    assert order_ids(f"No orders found for {ID}", ID) == frozenset()
    text = f"Order ID: {OTHER.upper()}\nCustomer ID: {ID}\nPayment: {ID[:-1]}7"
    assert order_ids(text, ID) == {OTHER}
    assert order_ids(f"[{OTHER}] submitted ({ID.upper()})", ID) == {OTHER}
    assert order_ids("Order ID: 17", ID) == frozenset()


def test_order_of_a_text() -> None:
    assert order_id(f"✓ Done!\n  Order ID: {OTHER}\nStatus: submitted") == OTHER
    assert order_id(f"Order ID: {OTHER}\nOrder ID: {OTHER}") == OTHER
    for text in (f"Order ID: {OTHER}\nOrder ID: {ID}", "Order ID: 17", OTHER, ""):
        assert order_id(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "Customer ID: {}",
        "  customer id :{}",
        "CUSTOMER-ID = {}",
        "customer_id: {}",
        "Cust\u200bomer I\u00adD: {}",
        '{{"customer_id": "{}"}}',
        '{{"customerId":"{}"}}',
        "**Customer ID:** {}",
        "Customer\u00a0ID\u200b: {}",
        "\uff23\uff55\uff53\uff54\uff4f\uff4d\uff45\uff52 ID\uff1a {}",
        "\u0421ustomer \u0406D: {}",
        "Customer ID {}",
        "Order ID: 1\nCustomer ID:\n{}",
    ],
)
def test_whose_it_is(text: str) -> None:
    assert owners(text.format(ID)) == {ID}
    assert owners(text.format(OTHER)) == {OTHER}
    assert owners(text.format(ID.replace("-", "\u2011"))) == {ID}
    assert belongs(text.format(ID), ID.upper(), surely=True)
    assert not belongs(text.format(OTHER), ID, surely=False)
    assert not belongs(f"{text.format(ID)}\n{text.format(OTHER)}", ID, surely=True)


def test_whose_it_is_when_it_does_not_say() -> None:
    text = "The customer idles. Customer identity unknown. Customer: 7"
    assert owners(text) == frozenset()
    assert belongs(text, ID, surely=False)
    assert not belongs(text, ID, surely=True)
    for text in ("Customer ID:", "Customer ID: none", "customer_id=7"):
        assert not belongs(text, ID, surely=False)


def test_the_simulated_shop_s_orders() -> None:
    shop = ScriptedShop()
    (order,) = shop.shop.orders(DONALD.customer_id)
    one = shop._tools.call("get_order", {"order_id": order.id}).text
    all_of_them = shop._tools.call("list_orders", {}).text
    assert belongs(one, DONALD.customer_id, surely=True)
    assert not belongs(one, ALICE.customer_id, surely=False)
    assert not belongs(all_of_them, DONALD.customer_id, surely=False)
    assert order_id(one) == order.id
    assert len(order_ids(all_of_them, DONALD.customer_id)) == 3


def test_without_the_customer_s_id() -> None:
    text = f"a {ID} b {ID.upper()} c {ID.replace('-', '')} d {OTHER}"
    assert without(text, ID) == f"a (hidden) b (hidden) c (hidden) d {OTHER}"


def test_what_an_order_names() -> None:
    lines = [("MON-0054", "Monitor D"), ("ACC-0132", "Keyboard B")]
    assert names_all("[MON-0054] 1 x $1\n(ACC-0132): 2", lines)
    assert names_all("Monitor D, Keyboard B", lines)
    assert names_all("1 Monitor D and ACC-0132", lines)
    assert names_all("MON-0054", lines) is False
    assert names_all("NET-0171, MON-00541", lines) is False
    assert names_all("MON-00545, ACC-0132", lines) is False
    assert names_all("Items: 2", lines) is None
    assert names_all("a.b", [("a.b", "x")]) is True  # other shops, other SKUs
