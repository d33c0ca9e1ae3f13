"""What tools told the simulated model, in its own words.

Results may come wrapped, marked as data and cut short: what is known of their layout
is looked for, wherever it stands. Nothing is told that does not stand in them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from supportbot.demo.wishes import prices

MOST_SHOWN = 10

_BLOCK = re.compile(
    r"\[([A-Z]+-\d+)\] (.+)\n\s*Category: .+? \| Price: \$([\d.,]+) \| Stock: (\d+)"
)
_FOUND = re.compile(r"^\s*Found (\d+) ", re.M)
_SHOWN = re.compile(
    r"\*{0,2}([A-Z]{2,5}-\d{3,6})\*{0,2} (.+?): \$([\d.,]+), (\d+) in stock"
)
_FACT = re.compile(r"^([A-Z][A-Za-z ]{1,30}): (.+)$", re.M)
_ITEM = re.compile(r"^\s+\[?([A-Z]+-\d+)\]?\s+(\S.*)$", re.M)
_FAILED = re.compile(
    r"^\W*(?:error|failed|refused)\b|\berror executing\b|\b(?:not|no \w+) found\b"
    r"|\bunknown tool\b|\binsufficient\b|\bincorrect\b|\binvalid\b",
    re.I | re.M,
)
_BLAME = re.compile(r"^\W*(?:error executing tool \w+|error|failed)\W*:?\s*", re.I)
_MARK = re.compile(
    r"^\s*(?:<[^<>]*>|```.*|-{3,}|={3,}|\[[\d,]+ characters.*\]"
    r"|.*\bdata\b.*\binstructions?\b.*)\s*$",
    re.I,
)
_WRAPPED = ("result", "text", "content", "error", "data", "message")
_HIDDEN = {"Customer ID"}
_RELAYED = 600  # characters of a result of unknown layout


class Shown(msgspec.Struct, frozen=True):
    """One product as the model tells of it.

    Attributes:
        price: in US dollars, as it was told.
    """

    sku: str
    name: str
    price: str
    stock: str

    @property
    def line(self) -> str:
        """For a list."""
        return f"**{self.sku}** {self.name}: ${self.price}, {self.stock} in stock"

    @property
    def dollars(self) -> float:
        """The price as a number."""
        return float(self.price.replace(",", ""))


def bare(result: str) -> str:
    """A tool's result without what it may be wrapped in."""
    try:
        inner: Any = msgspec.json.decode(result)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        inner = None
    if isinstance(inner, dict):
        found = (inner[name] for name in _WRAPPED if isinstance(inner.get(name), str))
        result = next(found, result)
    kept = [line for line in result.splitlines() if not _MARK.match(line)]
    return "\n".join(kept).strip()


def shown_in(text: str) -> list[Shown]:
    """The products of which the model has told before."""
    return [Shown(*found) for found in _SHOWN.findall(text)]


def products(text: str, asked: str) -> str | None:
    """A list of products; None if there is none.

    Args:
        text: of the result, bare.
        asked: by the customer, maybe with limits to the price.
    """
    found = [Shown(*one) for one in _BLOCK.findall(text)]
    if not found:
        return None
    said = _FOUND.search(text)
    count = max(int(said[1]) if said else 0, len(found))
    limits = prices(asked)
    if limits is not None:
        fit = [one for one in found if limits[0] <= one.dollars <= limits[1]]
        if not fit:
            return f"None of the {_many(len(found))} that I see has such a price."
        head = f"{_many(len(fit))} of {count} {_have(len(fit))} such a price"
        found = fit
        count = len(fit)
    else:
        head = f"I found {_many(count)}"
    if re.search(r"\bcheap(?:est)?\b", asked, re.I):
        found.sort(key=lambda one: one.dollars)
    elif re.search(r"\bmost expensive\b", asked, re.I):
        found.sort(key=lambda one: -one.dollars)
    told = found[:MOST_SHOWN]
    more = f". Here are {len(told)} of them" if count > len(told) else ""
    listed = "\n".join(f"{at}. {one.line}" for at, one in enumerate(told, 1))
    return f"{head}{more}:\n\n{listed}"


def product(text: str) -> str | None:
    """One product in words; None if there is none."""
    facts = dict(_FACT.findall(text))
    if not {"Product", "SKU", "Price", "Stock"} <= facts.keys():
        return None
    price = facts["Price"].removesuffix(" USD").lstrip("$")
    stock = facts["Stock"].partition(" ")[0]
    one = Shown(facts["SKU"], facts["Product"], price, stock)
    head = f"{one.line}."
    if facts.get("Status", "Active") != "Active":
        head += " It is not sold any more."
    about = text.partition("Description:")[2].strip()
    return f"{head}\n\n{about}" if about else head


def order(text: str) -> str | None:
    """One order as a list; None if there is none."""
    facts = [fact for fact in _FACT.findall(text) if fact[0] not in _HIDDEN]
    if "Order ID" not in dict(facts):
        return None
    told = [f"{name}: {value}" for name, value in facts]
    told += [f"{sku}: {rest}" for sku, rest in _ITEM.findall(text)]
    return "\n".join(f"- {line}" for line in told)


def orders(text: str) -> list[str]:
    """Each of the orders in a result as a list."""
    parts = re.split(r"^(?=.*\bOrder ID: )", text, flags=re.M)
    return [told for part in parts if (told := order(part)) is not None]


def failed(text: str) -> bool:
    """Whether a result is about something that went wrong."""
    return bool(_FAILED.search(text))


def relayed(text: str) -> str:
    """A result of unknown layout, as it is but for its length."""
    short = _BLAME.sub("", text).strip()[:_RELAYED].strip()
    return short or "there was no answer"


def closing(told: Sequence[Shown], offered: bool) -> str:
    """How to go on with what was shown.

    Args:
        offered: whether the customer can order.
    """
    if not told:
        return ""
    if offered:
        one = "it" if len(told) == 1 else "one of them"
        return f"\n\nTo order {one}, say `order {told[0].sku}`."
    return "\n\nTo order, please log in first: tell me your e-mail address and PIN."


def _many(count: int) -> str:
    return "1 product" if count == 1 else f"{count} products"


def _have(count: int) -> str:
    return "has" if count == 1 else "have"
