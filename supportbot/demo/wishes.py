"""What a customer's words ask the simulated model for, in a small vocabulary."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

SKU = re.compile(r"\b[A-Za-z]{2,5}-\d{3,6}\b")
UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.I)

_CATEGORIES: Mapping[str, str] = {
    "Computers": r"computers?|pcs?",
    "Monitors": r"monitors?|screens?|displays?",
    "Printers": r"printers?",
    "Accessories": r"accessor(?:y|ies)",
    "Networking": r"network(?:s|ing)?(?: (?:devices?|products?|gear|equipment))?",
}
_NUMBERS = (
    *("one", "two", "three", "four", "five"),
    *("six", "seven", "eight", "nine", "ten"),
)
_WORDS: Mapping[str, int] = {
    **{word: number for number, word in enumerate(_NUMBERS, 1)},
    "a": 1,
    "an": 1,
    "another": 1,
    "dozen": 12,
}
_NUMBER = rf"(?:\d{{1,6}}|{'|'.join(_WORDS)})"
_BEFORE = re.compile(
    rf"(?<![\w-])({_NUMBER})\s*(?:[x\xd7*]|of|units? of|pieces? of|pcs)?\s*(?:the )?$",
    re.I,
)
_AFTER = re.compile(
    rf"^\s*(?:[x\xd7*]\s*({_NUMBER})\b"
    rf"|\(?({_NUMBER})\s*(?:x\b|\xd7|units?|pieces?|pcs))",
    re.I,
)
_AMOUNT = re.compile(
    rf"\b({_NUMBER})\s*(?:x\b|\xd7|of\b|units?\b|pieces?\b|pcs\b)", re.I
)
_ORDINALS: Mapping[str, int] = {
    word: number
    for number, words in enumerate(
        (
            *("first 1st", "second 2nd", "third 3rd", "fourth 4th", "fifth 5th"),
            *("sixth 6th", "seventh 7th", "eighth 8th", "ninth 9th", "tenth 10th"),
        ),
        1,
    )
    for word in words.split()
}
_ORDINAL = re.compile(
    rf"\b({'|'.join(_ORDINALS)})\b|(?:\bnumber|\bno\.|\bnr\.?|#)\s*(\d{{1,2}})\b", re.I
)
_NEUTRAL = {
    *("", "one", "ones", "product", "item", "in", "on", "from", "of", "please", "and"),
    *("for", "that", "then", "to", "thanks", "now", "too", "you", "i", "is", "cost"),
}
_IT = re.compile(
    r"\b(?:it|that|this|them|those|these|both|the same)(?: ones?)?\b(?! is\b)", re.I
)
_MONEY = r"\$?\s*(\d[\d,]{0,8}(?:\.\d\d?)?)"
_AT_MOST = re.compile(
    rf"\b(?:under|below|less than|cheaper than|up to|at most|max(?:imum)?)\s*{_MONEY}",
    re.I,
)
_AT_LEAST = re.compile(rf"\b(?:over|above|more than|at least|from)\s*{_MONEY}", re.I)

_ASKED = tuple(
    re.compile(pattern, re.I)
    for pattern in (
        r"\bsearch(?: for)?\s+(.+)",
        r"\bfind(?: me)?\s+(.+)",
        r"\blook(?:ing)? for\s+(.+)",
        r"\btell me(?: more)? about\s+(.+)",
        r"\bdetails (?:of|on|for|about)\s+(.+)",
        r"\b(?:what|which)\s+(.+?)\s+(?:do you|have you|are there|can you)\b.*",
        r"\b(?:do you (?:have|sell|stock|carry|offer)|have you got|got any)\s+(.+)",
        r"\b(?:is|are) there\s+(.+)",
        r"\b(?:show|list|give|recommend|get)(?: me| us)?\s+(.+)",
        r"\b(?:order|buy|purchase|need|want|like)\s+((?:a|an|some|new|\d+)\s+.+)",
        r"\bcheapest\s+(.+)",
        r"^((?:[\w-]+ ){0,3}(?:keyboards?|mouse|mice|headsets?|docks?|routers?|"
        r"switch(?:es)?|laptops?|desktops?|tablets?|phones?|cables?)"
        r"(?: (?:please|under|below|up to|over|for|with)\b.*)?)\W*$",
    )
)
_CLAUSE = re.compile(
    r"\s*(?:[?!.;,:]|\b(?:under|below|less than|cheaper than|up to|over|above|"
    r"more than|at least|at most|please|thanks|in stock|for sale|available|for me|"
    r"for my|do you|that you|you have|right now|and how|and what)\b).*",
    re.I | re.S,
)
_FILLING = {
    *("a", "an", "the", "any", "some", "all", "me", "us", "your", "my", "of", "to"),
    *("new", "good", "nice", "best", "cheap", "cheapest", "for", "kind", "kinds"),
    *("sort", "sorts", "type", "types", "model", "models", "products", "product"),
    *("what", "which", "you", "have", "about", "other", "more", "buy", "order"),
    *("one", "ones", "them", "something", "anything", "things", "it", "that", "this"),
}
_PLURALS = ((r"mice$", "mouse"), (r"ies$", "y"), (r"(ch|sh|x|ss)es$", r"\1"))
_BROWSING = re.compile(
    r"\b(?:show|list|what|which|have|sell|any|look|looking|need|want|see|browse|offer|"
    r"find|search|recommend|something|anything|buy|order|got|all|about|cheap\w*|under|price\w*)\b",
    re.I,
)


class Line(msgspec.Struct, frozen=True):
    """One product that is wanted."""

    sku: str
    quantity: int


def skus(text: str) -> list[str]:
    """The SKUs in a text, in capitals, each once, in order."""
    return list(dict.fromkeys(found.upper() for found in SKU.findall(text)))


def lines(text: str) -> list[Line]:
    """What is wanted of each SKU in a text; one, where no number stands beside it."""
    quantities: dict[str, int] = {}
    ends = [0, *(found.end() for found in SKU.finditer(text))]
    starts = [*(found.start() for found in SKU.finditer(text)), len(text)]
    for number, found in enumerate(SKU.finditer(text)):
        before = _BEFORE.search(text[ends[number] : starts[number]])
        after = _AFTER.search(text[ends[number + 1] : starts[number + 1]])
        said = before[1] if before else (after[1] or after[2]) if after else "1"
        sku = found[0].upper()
        quantities[sku] = quantities.get(sku, 0) + _count(said)
    return [Line(sku, quantity) for sku, quantity in quantities.items()]


def amount(text: str) -> int:
    """How many of something that is not named by a SKU; one, if nothing is said."""
    found = _AMOUNT.search(text)
    return _count(found[1]) if found else 1


def chosen(text: str, shown: Mapping[str, str]) -> list[str]:
    """Which of the products that were shown a text points to.

    Args:
        shown: their names, by SKU.

    Returns:
        None of them, the one, or all between which it leaves the choice.
    """
    if found := _ORDINAL.search(text):
        place = _ORDINALS.get((found[1] or "").lower()) or int(found[2] or 0)
        noun = _singular(
            re.split(r"[^\w-]", text[found.end() :].lstrip(), maxsplit=1)[0].lower()
        )
        if noun not in _NEUTRAL and noun not in " ".join(shown.values()).lower():
            return []  # "the first printer", and it was monitors that were shown
        return [*shown][place - 1 : place]
    if re.search(r"\b(?:the )?last(?: one)?\b", text, re.I):
        return [*shown][-1:]
    if re.search(r"\bboth\b", text, re.I) and len(shown) != 2:
        return []
    return [*shown] if _IT.search(text) else []


def category(text: str) -> str | None:
    """The category that a text wants to see."""
    if not (_BROWSING.search(text) or len(text.split()) <= 3):
        return None
    wanted = searched(text)
    for name, pattern in _CATEGORIES.items():
        whole = re.compile(pattern, re.I)
        if wanted is not None and whole.fullmatch(wanted):
            return name
        if wanted is None and re.search(rf"\b(?:{pattern})\b", text, re.I):
            return name
    return None


def searched(text: str) -> str | None:
    """The words to search for, in the singular; None if it is no search."""
    for pattern in _ASKED:
        if found := pattern.search(text):
            words = _CLAUSE.sub("", found[1]).strip("\"'“”\u2018\u2019 -").split()
            kept = [word for word in words if word.lower() not in _FILLING]
            if kept and kept[0].isdigit():
                del kept[0]
            if kept and len(kept) <= 5:
                return " ".join([*kept[:-1], _singular(kept[-1])]).lower()
    return None


def prices(text: str) -> tuple[float, float] | None:
    """The least and the most that something may cost; None if nothing is said."""
    most, least = _AT_MOST.search(text), _AT_LEAST.search(text)
    if most is None and least is None:
        return None
    return (_money(least[1]) if least else 0.0, _money(most[1]) if most else 1e12)


def _money(said: str) -> float:
    return float(said.replace(",", ""))


def _count(said: str) -> int:
    return int(said) if said.isdigit() else _WORDS[said.lower()]


def _singular(word: str) -> str:
    for plural, one in _PLURALS:
        if re.search(plural, word, re.I):
            return re.sub(plural, one, word, flags=re.I)
    return word[:-1] if re.search(r"[^s]s$", word, re.I) and len(word) > 3 else word
