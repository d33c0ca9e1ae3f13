"""What the language model may do in the shop, and for whom.

The shop's server offers its tools to everybody. Whoever they are for is in the
settings, and what no setting names is hidden.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Protocol

import msgspec

from supportbot.interfaces import Tool
from supportbot.services.assistant.mcp import ToolResult
from supportbot.services.assistant.results import cleaned
from supportbot.services.assistant.schemas import ArgumentSchema, SchemaUnusable
from supportbot.settings.shop import ShopSettings

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_LONGEST = 1_000  # characters of a description
_ORDER = (
    "Order products for the customer who is logged in, once they have asked for it."
    " Prices and stock are looked up by the system, which also shows the customer a"
    " summary or a receipt: do not repeat those, and do not say that something was"
    " ordered."
)


class ToolServer(Protocol):
    """Where tools are: a client of an MCP server."""

    async def tools(self) -> Sequence[Tool]:
        """All that there are.

        Raises:
            ServiceError: nobody knows.
        """

    async def call(
        self, name: str, arguments: Mapping[str, object], *, safe: bool
    ) -> ToolResult:
        """Use one.

        Args:
            safe: it only reads, so that it may be asked again.

        Raises:
            CallLost: nobody knows whether it was done.
            ServiceError: it was surely not done.
        """


class Right(StrEnum):
    """Who may have a tool used."""

    ANYBODY = "anybody"
    CUSTOMER = "customer"
    """Somebody who has logged in."""
    ORDER = "order"
    """The same; and it is not called as it is, but goes through `Orders`."""


class Offer(msgspec.Struct, frozen=True):
    """A tool that the model may use.

    Attributes:
        right: who may have it used.
        takes: its arguments, from the model.
        owned: what it tells has to say that it is the customer's.
    """

    name: str
    description: str
    right: Right
    takes: ArgumentSchema
    owned: bool = False

    @property
    def entry(self) -> Mapping[str, object]:
        """As it stands in `tools` of the chat API."""
        function = {
            "name": self.name,
            "description": self.description,
            "parameters": self.takes.shown,
        }
        return {"type": "function", "function": function}


def offers(tools: Sequence[Tool], settings: ShopSettings) -> dict[str, Offer]:
    """What the model may use of a server's tools, by name.

    The first of two with the same name counts. A tool whose arguments can't be checked
    is left out, and so is ordering where the tools that it leans on are missing.
    """
    offered: dict[str, Offer] = {}
    for tool in tools:
        right = _right(tool.name, settings)
        if right is None or tool.name in offered or not _NAME.fullmatch(tool.name):
            continue
        if right is Right.ORDER:
            takes = ArgumentSchema(_order_schema(settings))
            offered[tool.name] = Offer(tool.name, _ORDER, right, takes)
            continue
        try:
            takes = ArgumentSchema(tool.schema, settings.bound)
        except SchemaUnusable:
            continue
        if takes.binds:  # what we fill in has to be known
            right = Right.CUSTOMER
        about = cleaned(tool.description)[:_LONGEST]
        owned = tool.name in settings.owned
        offered[tool.name] = Offer(tool.name, about, right, takes, owned)
    if not {settings.product, settings.orders} <= {tool.name for tool in tools}:
        offered.pop(settings.order, None)
    return offered


def _right(name: str, settings: ShopSettings) -> Right | None:
    if name == settings.login:
        return None
    if name == settings.order:
        return Right.ORDER
    if name in settings.verified:
        return Right.CUSTOMER
    if name in settings.open:
        return Right.CUSTOMER if name in settings.owned else Right.ANYBODY
    return None


def _order_schema(settings: ShopSettings) -> dict[str, Any]:
    item = {
        "type": "object",
        "properties": {
            "sku": {"type": "string", "description": "such as MON-0054"},
            "quantity": {"type": "integer", "minimum": 1, "maximum": settings.most},
        },
        "required": ["sku", "quantity"],
        "additionalProperties": False,
    }
    items = {"type": "array", "minItems": 1, "maxItems": settings.lines, "items": item}
    return {
        "type": "object",
        "properties": {"items": items},
        "required": ["items"],
        "additionalProperties": False,
    }
