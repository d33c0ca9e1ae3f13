"""The settings of the shop: the tools of its MCP server, and who may use them how."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from supportbot.settings.services import Bounds, Breaking, Deadlines, Retry
from supportbot.settings.shapes import Count, Seconds, Shape, is_http


class GuessSettings(Shape, frozen=True):
    """How often a PIN may be wrong.

    Attributes:
        delay: seconds until another try for the same customer after a wrong PIN;
            doubled with each further one.
        tries: wrong PINs in a row that lock a customer's login.
        lock: seconds for which it is locked; doubled with each further wrong PIN.
        most: seconds that it is locked at the longest.
        session_tries: wrong PINs an hour in one session.
        address_tries: wrong PINs an hour from one address.
        all_tries: wrong PINs a minute in all; more are an attack, and operators are
            told.
    """

    delay: Seconds = 2.0
    tries: Count = 3
    lock: Seconds = 900.0
    most: Seconds = 86_400.0
    session_tries: Count = 5
    address_tries: Count = 10
    all_tries: Count = 100


class ShopSettings(Shape, frozen=True):
    """The shop's MCP server, and what the assistant may do there.

    A tool that no setting names is hidden from the model.

    Attributes:
        url: of the server, over streamable HTTP; `MCP_SERVER_URL`.
        title: in words to customers.
        token: sent as `Authorization: Bearer TOKEN`.
        open: tools for everybody. They only read: a call whose answer is lost is
            repeated.
        verified: likewise, for customers who have logged in.
        bound: arguments that always are the logged-in customer's id. The model does not
            see them, and what it makes up is overwritten.
        owned: tools whose results have to say that they belong to the customer.
        login: the tool that verifies an e-mail address and a PIN; hidden.
        order: the tool that places an order; the model sees it without prices.
        product: the tool that tells a product's price, which is asked before each
            order.
        orders: the tool that lists a customer's orders, which tells whether an order
            was placed whose answer was lost.
        confirm: when the customer has to say yes to a summary before an order is
            placed: unless their own message names all of it, always, or never.
        confirm_within: seconds in which the yes has to come.
        again: seconds in which the same order is not placed again without a yes.
        most: of one product in an order.
        lines: products in an order.
        refresh: seconds until the server is asked for its tools again.
        at_once: how many calls are made at a time.
        ca_file: PEM file with the authorities trusted for https; the system's when
            not given.
    """

    url: str | None = None
    title: str = "shop"
    token: str | None = None
    open: tuple[str, ...] = ("list_products", "get_product", "search_products")
    verified: tuple[str, ...] = ("list_orders", "get_order")
    bound: tuple[str, ...] = ("customer_id",)
    owned: tuple[str, ...] = ("get_order",)
    login: str = "verify_customer_pin"
    order: str = "create_order"
    product: str = "get_product"
    orders: str = "list_orders"
    confirm: Literal["unless-named", "always", "never"] = "unless-named"
    confirm_within: Seconds = 600.0
    again: Seconds = 600.0
    most: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 20
    lines: Count = 20
    refresh: Seconds = 300.0
    at_once: Count = 16
    ca_file: str | None = None
    guesses: GuessSettings = GuessSettings()
    deadlines: Deadlines = Deadlines(headers=15.0, idle=15.0, progress=15.0, total=20.0)
    bounds: Bounds = Bounds(body=1024 * 1024)
    retry: Retry = Retry(attempts=3, budget=25.0, first=0.2, most=2.0)
    breaker: Breaking = Breaking()

    def __post_init__(self) -> None:
        if self.url is not None and not is_http(self.url):
            raise ValueError(
                "expected url to be http://HOST[:PORT]/PATH or https://…, in ASCII"
            )
        hidden = {self.login} & {*self.open, *self.verified}
        if hidden:
            raise ValueError("expected login to be no tool that the model may use")
        if self.order in {*self.open, *self.verified}:
            raise ValueError("expected order to be in neither open nor verified")
