"""What customers read about their orders: our words, never a model's.

Short lines, so that they are good to hear and fit a terminal.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from supportbot.events import OrderLine

_CENTS = Decimal("0.01")
_MARKUP = re.compile(r"([\\`*_\[\]<>|&~])")


def total(lines: Sequence[OrderLine]) -> Decimal:
    """What the lines cost together, with two decimal places."""
    amounts = (line.quantity * Decimal(line.unit_price) for line in lines)
    return sum(amounts, Decimal(0)).quantize(_CENTS)


def amount(value: Decimal, currency: str) -> str:
    """Money as customers read it."""
    return f"${value}" if currency == "USD" else f"{value} {currency}"


def _item(line: OrderLine) -> str:
    price = Decimal(line.unit_price)
    cost = amount((line.quantity * price).quantize(_CENTS), line.currency)
    each = f", {amount(price, line.currency)} each" if line.quantity > 1 else ""
    name = _MARKUP.sub(r"\\\1", line.name)
    return f"- {line.quantity} x {name} ({line.sku}): {cost}{each}"


def summary(lines: Sequence[OrderLine], why: str = "") -> tuple[str, ...]:
    """What would be ordered, and the question whether it shall be.

    Args:
        why: this is shown, if there is something to say about it.
    """
    said = f"{why} This would be your order:" if why else "This would be your order:"
    asked = "Shall I place this order? Please answer yes or no."
    return (said, *_blocks(lines), asked)


def receipt(lines: Sequence[OrderLine], order_id: str = "") -> tuple[str, ...]:
    """What was ordered.

    Args:
        order_id: in the shop; empty if it is not at hand.
    """
    number = (f"Order number: {order_id}",) if order_id else ()
    return ("Your order is placed:", *_blocks(lines), *number)


def unsure(lines: Sequence[OrderLine], person: str) -> tuple[str, ...]:
    """Nobody can tell whether it was ordered.

    Args:
        person: words that bring one; empty where there is none.
    """
    way_out = f" Or ask for a “{person}”." if person else ""
    return (
        "I sent this order to the shop, and can't tell yet whether it was placed:",
        *_blocks(lines),
        f"I do not send it again. I look again when you next write to me.{way_out}",
    )


def _blocks(lines: Sequence[OrderLine]) -> tuple[str, str]:
    """The lines of an order, and what they cost."""
    cost = amount(total(lines), lines[0].currency)
    return "\n".join(map(_item, lines)), f"Total: {cost}"
