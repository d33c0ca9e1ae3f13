"""What the texts of the shop's tools say, as far as that is sure.

The tools answer in prose for language models. Money, ids and stock are taken from the
lines that are known to be as they are, and where anything is odd, nothing is taken.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator
from decimal import Decimal

import msgspec

from supportbot.interfaces import Customer

_LINE = re.compile(r"([A-Z][A-Za-z ]{0,30}):(?: (.*))?")
_PRICE = re.compile(r"\$?([0-9]{1,9}\.[0-9]{2}) ([A-Z]{3})")
_STOCK = re.compile(r"([0-9]{1,9}) units?")
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,255}")
_UUID = re.compile(
    r"(?<![0-9a-z])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![0-9a-z])"
)
_SKU = re.compile(r"(?<![0-9A-Z-])[A-Z]{2,5}-[0-9]{3,6}(?![0-9A-Z-])")
_BETWEEN = re.compile(r"[\s\[\](){},;:|*`\"']+")  # words, of which one may be an SKU
_VERIFIED = "✓ Customer verified: "
_LONGEST = 200  # characters of a name

_OWNER = re.compile(
    r"customer[\W_]{0,8}id(?![a-z])([\W_]{0,8})([0-9a-z]+(?:-[0-9a-z]+)*)?"
)
_LOOKALIKES = str.maketrans(
    "асеіӏорѕтԁмιοсυτ‐‑‒–—―−﹣－",  # noqa: RUF001
    "aceilopstdmiocut---------",
)


class Product(msgspec.Struct, frozen=True):
    """One product, as the shop sells it now.

    Attributes:
        price: of one, with two decimal places.
        currency: of ISO 4217.
        stock: units that there are.
        active: whether it is sold at all.
    """

    sku: str
    name: str
    price: Decimal
    currency: str
    stock: int
    active: bool


def product(text: str, sku: str) -> Product | None:
    """The product with this SKU, of the text that tells about one.

    Only what stands in front of `Description:` counts: what follows is prose.

    Returns:
        None if not all of it is sure, or if it is another product.
    """
    lines = text.split("\n")
    end = next(
        (at for at, line in enumerate(lines) if line.startswith("Description:")),
        len(lines),
    )
    said = _labelled(lines[:end])
    if said is None or said.get("SKU") != sku:
        return None
    name = _name(said.get("Product", ""))
    price = _PRICE.fullmatch(said.get("Price", ""))
    stock = _STOCK.fullmatch(said.get("Stock", ""))
    status = said.get("Status")
    if not (name and price and stock and status):
        return None
    amount = Decimal(price[1])
    if not amount:
        return None
    return Product(sku, name, amount, price[2], int(stock[1]), status == "Active")


def verified(text: str) -> Customer | None:
    """The customer whom the login tool has verified; None if that is not sure.

    The words that say so come first, and each line is there once: a name that runs over
    lines makes nobody somebody else.
    """
    first, *rest = text.strip().split("\n")
    said = _labelled(rest)
    if not first.startswith(_VERIFIED) or said is None:
        return None
    name = _name(first.removeprefix(_VERIFIED))
    customer_id, email = said.get("Customer ID", ""), said.get("Email", "")
    if not (name and is_id(customer_id) and _EMAIL.fullmatch(email)):
        return None
    return Customer(customer_id, name, email)


def is_id(text: str) -> bool:
    """Whether this is an id of the shop: a UUID in its usual form."""
    return _UUID.fullmatch(text.lower()) is not None


def order_ids(text: str, customer_id: str) -> frozenset[str]:
    """The ids of the orders in a list, in lower case.

    How a list looks is not sure: where it does not say which ids are of orders, all of
    them are taken but for the customer's own.
    """
    said = _order_ids(text)
    return said or frozenset(_UUID.findall(text.lower())) - {customer_id.lower()}


def order_id(text: str) -> str | None:
    """The id of the one order that a text is about; None if that is not sure."""
    said = _order_ids(text)
    return next(iter(said)) if len(said) == 1 else None


def _order_ids(text: str) -> frozenset[str]:
    """What lines such as `Order ID: …` say, if it is ids."""
    lines = (line.strip().lower() for line in text.split("\n"))
    said = (line[9:].strip() for line in lines if line.startswith("order id:"))
    return frozenset(one for one in said if is_id(one))


def owners(text: str) -> frozenset[str]:
    """Whose a text says that it is: what it gives as `Customer ID`.

    However that is written: other case, spaces, dashes, letters that look the same.
    What stands there is returned in lower case, and may be no id at all.
    """
    return frozenset(_owners(_plain(text)))


def belongs(text: str, customer_id: str, *, surely: bool) -> bool:
    """Whether a text is about nobody but this customer.

    Args:
        surely: it has to say so; else it is enough that it names nobody else.
    """
    named = owners(text)
    return named <= {customer_id.lower()} and (bool(named) or not surely)


def without(text: str, customer_id: str) -> str:
    """The text without the customer's id."""
    spelled = "-?".join(map(re.escape, customer_id.split("-")))
    return re.sub(spelled, "(hidden)", text, flags=re.IGNORECASE)


def names_all(text: str, lines: Collection[tuple[str, str]]) -> bool | None:
    """Whether the text of an order names all of these products, by SKU or by name.

    Args:
        lines: SKU and name of each.

    Returns:
        None if the text does not tell which products it is about.
    """
    words = frozenset(_BETWEEN.split(text))
    mentioned = [sku in words or name in text for sku, name in lines]
    if all(mentioned):
        return True
    return False if any(mentioned) or _SKU.search(text) else None


def _labelled(lines: list[str]) -> dict[str, str] | None:
    """Lines such as `Price: …` by what they begin with; None if one is there twice."""
    said: dict[str, str] = {}
    for line in lines:
        if not line.strip():
            continue
        match = _LINE.fullmatch(line.rstrip())
        if match is None or match[1] in said:
            return None
        said[match[1]] = match[2] or ""
    return said


def _name(text: str) -> str:
    """A name as it may be shown; empty if it is not one."""
    text = text.strip()
    return text if text.isprintable() and len(text) <= _LONGEST else ""


def _plain(text: str) -> str:
    """As a reader takes it: looks alike, is alike."""
    if text.isascii():
        return text.lower()
    text = unicodedata.normalize("NFKC", text)
    seen = "".join(
        character for character in text if unicodedata.category(character) != "Cf"
    )
    return seen.casefold().translate(_LOOKALIKES)


def _owners(text: str) -> Iterator[str]:
    for match in _OWNER.finditer(text):
        between, value = match[1], match[2] or ""
        if _UUID.fullmatch(value) or ":" in between or "=" in between:
            yield value
