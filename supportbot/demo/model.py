"""The simulated language model: a helpful shop assistant, and the same every time.

It knows what stands in its messages, and the tools that it is offered; nothing else.
Prices and orders come from what tools told, or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from supportbot.demo import retelling, small_talk, wishes
from supportbot.demo.wishes import Line

Message = Mapping[str, Any]

LOGIN_FIRST = (
    "For that you have to be logged in. Please tell me your e-mail address and your"
    " PIN, and then ask me again."
)
NO_SHOP = "I can't look into the shop at the moment, so I'd rather not guess."

_READ = 4_000  # characters of what the customer says
_ROUNDS = 3  # of tools, for one answer
_MOST_CALLS = 4  # at once
_ORDERING = re.compile(
    r"\b(?:order(?:ing)?|buy|purchase|i(?:'ll| will) (?:take|have)|i(?:'d| would) like|"
    r"i want|i need|get me|send me|add|take)\b",
    re.I,
)
_PLAINLY = re.compile(r"\b(?:order|buy|purchase)\b", re.I)
_NOT = re.compile(r"\b(?:don'?t|do not|never|not|cancel|no longer)\b", re.I)
_HOW = re.compile(r"\bhow (?:do|can|to|does)\b", re.I)
_MINE = re.compile(
    r"\b(?:my|all|past|previous|recent|list|show)(?: \w+)? orders\b|\border history\b"
    r"|\bmy (?:last|latest|previous) order\b|\bwhat (?:have|did) i order(?:ed)?\b"
    r"|\b(?:status of|where is|track|see|show|check|view)(?: me)? my order\b"
    r"|\border status\b",
    re.I,
)
_DETAIL = re.compile(
    r"\b(?:tell|more|about|details?|how much|price|cost|stock|available|describe|"
    r"show|look)\b",
    re.I,
)
_ALL = re.compile(
    r"\b(?:all|your|the|which|what|list)(?: of)?(?: your| the)? (?:available )?products"
    r"\b|\bwhat (?:do|can) you (?:sell|offer)\b|\b(?:catalogue|catalog|assortment)\b",
    re.I,
)
_CHEAPEST = re.compile(r"\bcheapest|least expensive|lowest price\b", re.I)
_DEAREST = re.compile(r"\bmost expensive|dearest|highest price\b", re.I)
_CATEGORIES = re.compile(r"\bCategories: ([\w, -]{1,200})")
_PRICE_OF = r"\W.{0,160}?\$(\d[\d,]*\.\d\d)"


class Call(msgspec.Struct, frozen=True):
    """One call of a tool.

    Attributes:
        arguments: as JSON.
    """

    name: str
    arguments: str


class Speech(msgspec.Struct, frozen=True):
    """What the model says next.

    Attributes:
        text: Markdown; may be empty where there are calls.
    """

    text: str
    calls: tuple[Call, ...] = ()


def speak(messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> Speech:
    """What the model says to these messages.

    Args:
        messages: of the chat so far, as the API takes them.
        tools: that it may call, likewise.
    """
    return _Turn(messages, tools).speech()


class _Turn:
    """One answer in the making."""

    def __init__(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]
    ) -> None:
        functions = {tool["function"]["name"]: tool["function"] for tool in tools}
        self._schemas = {
            name: function.get("parameters") or {}
            for name, function in functions.items()
        }
        about = functions.get("list_products", {}).get("description") or ""
        kinds = _CATEGORIES.search(about)
        roles = [message["role"] for message in messages]
        asked = len(roles) - 1 - roles[::-1].index("user") if "user" in roles else 0
        self._before, self._since = messages[:asked], messages[asked + 1 :]
        self._messages = messages
        said = " ".join(_text(messages[asked])[:_READ].split())
        self._text = said.replace("\u2019", "'")
        self._talk = small_talk.Talk(
            system="\n".join(_said(messages, "system", "developer")),
            heard=_said(messages[: asked + 1], "user"),
            can_browse="list_products" in self._schemas,
            categories=kinds[1] if kinds else "",
            can_order="create_order" in self._schemas,
        )
        self._shown = self._shown_last()

    def speech(self) -> Speech:
        if any(message["role"] == "tool" for message in self._since):
            return self._after_tools()
        return self._answer()

    # What the customer wants

    def _answer(self) -> Speech:
        text = self._text
        for answer in (
            lambda: _say(self._talk.secrets(text)),
            lambda: _say(self._talk.memory(text)),
            self._orders,
            self._order,
            self._details,
            lambda: _say(self._talk.trouble(text)),
            self._browse,
            lambda: _say(self._talk.pleasantry(text)),
        ):
            if (speech := answer()) is not None:
                return speech
        return Speech(self._talk.otherwise())

    def _orders(self) -> Speech | None:
        """Orders that there are."""
        if found := wishes.UUID.search(self._text):
            return self._call("get_order", {"order_id": found[0].lower()})
        if _MINE.search(self._text):
            return self._call("list_orders", {})
        if _NOT.search(self._text) and _PLAINLY.search(self._text):
            return Speech(
                "All right, I order nothing. An order that was placed already can only"
                f" be changed by a person.{self._talk.person}"
            )
        return None

    def _order(self) -> Speech | None:
        """An order that there shall be."""
        text = self._text
        if not _ORDERING.search(text) or _HOW.search(text):
            return None
        lines = wishes.lines(text)
        if not lines:
            pointed = self._pointed()
            if (unclear := _unclear(pointed, text)) is not None:
                return unclear
            lines = [Line(sku, wishes.amount(text)) for sku in pointed]
        if lines:
            return self._place(lines)
        if _PLAINLY.search(text) and wishes.searched(text) is None:
            if not self._talk.can_order and self._talk.can_browse:
                return Speech(LOGIN_FIRST)
            return Speech(
                "Gladly. Which product would you like, and how many of it? Please tell"
                " me its SKU, or ask me what there is."
            )
        return None

    def _place(self, lines: Sequence[Line]) -> Speech | None:
        """Call for an order, with what the tool's schema wants to know."""
        schema = self._schemas.get("create_order")
        if schema is None:
            return self._call("create_order", {})
        arguments: dict[str, Any] = {}
        if "customer_id" in _inner(schema, "properties"):
            told = "\n".join(_text(one) for one in self._messages)
            known = re.findall(rf"Customer ID: ({wishes.UUID.pattern})", told)
            if not known:
                return Speech(LOGIN_FIRST)
            arguments["customer_id"] = known[-1]
        priced = self._priced()
        items = []
        for line in lines:
            fact: dict[str, Any] = {"sku": line.sku, "quantity": line.quantity}
            if priced:
                price = self._price(line.sku)
                if price is None:
                    return self._call("get_product", {"sku": line.sku})
                fact["unit_price"] = price
            items.append(fact)
        return self._call("create_order", arguments | {"items": items})

    def _price(self, sku: str) -> str | None:
        """What a product costs, as far as a tool has told."""
        for text in reversed(_said(self._messages, "tool", "assistant")):
            if found := re.search(re.escape(sku) + _PRICE_OF, text, re.S):
                return found[1].replace(",", "")
        return None

    def _details(self) -> Speech | None:
        """One product, or a few."""
        named = wishes.skus(self._text)
        if not named and (_DETAIL.search(self._text) or len(self._text.split()) <= 6):
            named = self._pointed()
            if (unclear := _unclear(named, self._text)) is not None:
                return unclear
        if not named:
            return None
        several = [{"sku": sku} for sku in named[:_MOST_CALLS]]
        return self._call("get_product", *several)

    def _browse(self) -> Speech | None:
        """Products of a kind."""
        text = self._text
        if (category := wishes.category(text)) is not None:
            arguments = {"category": category, "is_active": True}
            return self._call("list_products", arguments)
        if _ALL.search(text):
            return self._call("list_products", {"is_active": True})
        if (words := wishes.searched(text)) is not None:
            return self._call("search_products", {"query": words})
        return None

    def _pointed(self) -> list[str]:
        """The products among those shown last that the customer points to."""
        shown, text = self._shown, self._text
        if shown and wishes.searched(text) is None and wishes.category(text) is None:
            if _CHEAPEST.search(text):
                return [min(shown, key=lambda one: one.dollars).sku]
            if _DEAREST.search(text):
                return [max(shown, key=lambda one: one.dollars).sku]
        named = [one.sku for one in shown if one.name.lower() in text.lower()]
        return named or wishes.chosen(text, {one.sku: one.name for one in shown})

    def _shown_last(self) -> list[retelling.Shown]:
        for text in reversed(_said(self._before, "assistant")):
            if shown := retelling.shown_in(text):
                return shown
        return []

    def _call(self, name: str, *several: Mapping[str, Any]) -> Speech:
        """Call a tool; once for each set of arguments."""
        if name not in self._schemas:
            if self._talk.can_browse and name not in _BROWSING:
                return Speech(LOGIN_FIRST)
            return Speech(NO_SHOP)
        encoded = (msgspec.json.encode(one).decode() for one in several)
        return Speech("", tuple(Call(name, arguments) for arguments in encoded))

    # What the tools told

    def _after_tools(self) -> Speech:
        rounds = [one for one in self._since if one.get("tool_calls")]
        results = self._results()
        again = self._again(results) if len(rounds) < _ROUNDS else None
        if again is not None:
            return again
        texts = [self._told(name, text) for name, text in results]
        told = [one for text in texts for one in retelling.shown_in(text)]
        can_order = "create_order" in self._schemas
        closing = retelling.closing(told, can_order) if told else ""
        return Speech("\n\n".join(texts) + closing)

    def _results(self) -> list[tuple[str, str]]:
        """The last round: names of tools, and what they told, bare."""
        names, results = dict[str, str](), list[tuple[str, str]]()
        for message in self._since:
            if message.get("tool_calls"):
                calls = message["tool_calls"]
                names = {call["id"]: call["function"]["name"] for call in calls}
                results = []
            elif message["role"] == "tool":
                name = names.get(message.get("tool_call_id", ""), "")
                results.append((name, retelling.bare(_text(message))))
        return results

    def _again(self, results: Sequence[tuple[str, str]]) -> Speech | None:
        """Another call, where the first has not led far enough."""
        name, text = results[-1]
        words = (wishes.searched(self._text) or "").split()
        if name == "search_products" and len(words) > 1:
            tried = any(
                f'"{words[-1]}"' in call["function"]["arguments"]
                for message in self._since
                for call in message.get("tool_calls") or ()
            )
            if retelling.products(text, "") is None and not tried:
                return self._call("search_products", {"query": words[-1]})
        if name == "get_product" and not retelling.failed(text):
            lines = wishes.lines(self._text)
            if lines and _ORDERING.search(self._text) and self._priced():
                return self._place(lines)
        return None

    def _priced(self) -> bool:
        """Whether the tool for orders wants to be told prices."""
        schema = self._schemas.get("create_order") or {}
        fields = _inner(schema, "properties", "items", "items", "properties")
        return bool(schema) and (not fields or "unit_price" in fields)

    def _told(self, name: str, text: str) -> str:
        """One result in words."""
        tell: Callable[[], str | None] = {
            "list_products": lambda: retelling.products(text, self._text),
            "search_products": lambda: retelling.products(text, self._text),
            "get_product": lambda: retelling.product(text),
            "list_orders": lambda: _listed(retelling.orders(text)),
            "get_order": lambda: _after("This is the order:", retelling.order(text)),
            "create_order": lambda: _after(
                "Thank you, your order has been placed:", retelling.order(text)
            ),
        }.get(name, lambda: None)
        if (told := tell()) is not None:
            return told
        what = retelling.relayed(text)
        if re.match(r"no (?:products|orders)\b", text, re.I):
            return f"There is nothing like that: {what}."
        if retelling.failed(text):
            return f"I'm sorry, that did not work: {what}"
        return what


_BROWSING = {"list_products", "get_product", "search_products"}


def _say(text: str | None) -> Speech | None:
    return None if text is None else Speech(text)


def _inner(schema: Any, *names: str) -> Mapping[str, Any]:
    """What lies so deep in a schema; empty if it does not."""
    for name in names:
        schema = schema.get(name) if isinstance(schema, dict) else None
    return schema if isinstance(schema, dict) else {}


def _unclear(pointed: Sequence[str], text: str) -> Speech | None:
    """A question, where the customer may mean more than one, and wants one."""
    if len(pointed) < 2 or re.search(r"\b(?:both|all|them|these|those)\b", text, re.I):
        return None
    return Speech(f"Which one do you mean? I showed you {', '.join(pointed)}.")


def _listed(orders: Sequence[str]) -> str | None:
    if not orders:
        return None
    head = "This is your order:" if len(orders) == 1 else "These are your orders:"
    return "\n\n".join((head, *orders))


def _after(head: str, told: str | None) -> str | None:
    return None if told is None else f"{head}\n\n{told}"


def _text(message: Message) -> str:
    """What a message says; its parts one after the other."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content)
    return content or ""


def _said(messages: Sequence[Message], *roles: str) -> list[str]:
    return [_text(message) for message in messages if message["role"] in roles]
