"""What is to be ordered: how many of which product, and at which price."""

from __future__ import annotations

import re
from collections.abc import Mapping

from supportbot.events import OrderLine
from supportbot.services.assistant.policy import ToolServer
from supportbot.services.assistant.shop import product
from supportbot.settings.shop import ShopSettings

_SKU = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,38}[A-Za-z0-9])?")
_USUAL = re.compile(r"[A-Z]{2,5}-[0-9]{3,6}")


class WishWrong(Exception):
    """What the model asks for is no order; `str()` of it says why."""


class Unavailable(Exception):
    """The shop does not sell that; `str()` of it says what, to the customer too."""


def wished(arguments: Mapping[str, object], settings: ShopSettings) -> dict[str, int]:
    """How many of each product the model wants ordered, by SKU.

    Args:
        arguments: `{"items": [{"sku": …, "quantity": …}]}`; the same product may come
            more than once.

    Raises:
        WishWrong: that is no order.
    """
    items = arguments.get("items")
    if not isinstance(items, list) or not items:
        raise WishWrong("There have to be items.")
    wish: dict[str, int] = {}
    for item in items:
        if not isinstance(item, dict) or item.keys() != {"sku", "quantity"}:
            raise WishWrong("An item has a sku and a quantity, and nothing else.")
        sku, quantity = item["sku"], item["quantity"]
        if not isinstance(sku, str) or not _SKU.fullmatch(sku := sku.strip()):
            raise WishWrong("That is no sku.")
        sku = sku.upper() if _USUAL.fullmatch(sku.upper()) else sku
        if type(quantity) is not int or quantity < 1:  # True is an int too
            raise WishWrong("A quantity is a whole number from 1.")
        wish[sku] = wish.get(sku, 0) + quantity
        if wish[sku] > settings.most:
            raise WishWrong(f"At most {settings.most} of {sku} can be ordered.")
    if len(wish) > settings.lines:
        raise WishWrong(f"At most {settings.lines} products can be ordered.")
    return wish


async def priced(
    client: ToolServer, tool: str, wish: Mapping[str, int]
) -> tuple[OrderLine, ...]:
    """The lines of an order, at the prices that the shop has now.

    Args:
        tool: tells about one product.

    Raises:
        Unavailable: not all of it is for sale.
        ServiceError: nobody knows.
    """
    lines, troubles = [], []
    for sku, quantity in wish.items():
        asked = {"sku": sku}
        result = await client.call(tool, asked, safe=True)
        found = None if result.failed else product(result.text, sku)
        if result.failed:
            troubles.append(f"There is no product {sku}.")
        elif found is None:
            troubles.append(f"What the shop says about {sku} can't be read.")
        elif not found.active:
            troubles.append(f"{sku} is not sold any more.")
        elif found.stock < quantity:
            troubles.append(f"Of {sku} there are {found.stock}, not {quantity}.")
        else:
            price, currency = str(found.price), found.currency
            lines.append(OrderLine(sku, found.name, quantity, price, currency))
    if troubles:
        raise Unavailable(" ".join(troubles))
    if len({line.currency for line in lines}) > 1:
        raise Unavailable("These products are sold in different currencies.")
    return tuple(lines)
