"""The tools in the hands of the language model.

The model only says what it would like. Whether that may be done, for whom, and what of
the result it may read, is decided here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from supportbot.context import Logger
from supportbot.errors import CallLost, ServiceError
from supportbot.events import Called
from supportbot.interfaces import Customer, Question, Reply, Tool
from supportbot.services.assistant.arguments import (
    ArgumentsBroken,
    parsed,
    shown,
    unbound,
)
from supportbot.services.assistant.calls import ToolCall
from supportbot.services.assistant.mcp import ToolResult
from supportbot.services.assistant.orders import Orders
from supportbot.services.assistant.policy import Offer, Right, ToolServer, offers
from supportbot.services.assistant.results import Used, cleaned, marked
from supportbot.services.assistant.schemas import plain
from supportbot.services.assistant.shop import belongs, without
from supportbot.settings.shop import ShopSettings

_LOG_IN = (
    "Refused: the customer is not logged in. They have to log in first, by sending"
    " their e-mail address and their PIN in this chat."
)
_UNREACHABLE = "The shop can't be reached at the moment."
_LOST = "Nobody knows what came of this: the shop's answer was lost."
_NOT_THEIRS = "The customer has no such order."
_LOOKING = {
    Right.ANYBODY: "Looking that up in the shop…",
    Right.CUSTOMER: "Looking at your orders…",
}

_log = Logger()


class Toolbox:
    """Tools of the shop, for the model.

    Args:
        settings: who may use what.
        client: where the tools are.
        orders: places orders.
        most: characters of a result that the model reads.
    """

    def __init__(
        self, settings: ShopSettings, client: ToolServer, orders: Orders, most: int
    ) -> None:
        self._settings, self._client = settings, client
        self._orders, self._most = orders, most
        self._bound = {plain(name) for name in settings.bound}
        self._listed: Sequence[Tool] = ()
        self._offers: dict[str, Offer] = {}

    async def offered(
        self, customer: Customer | None
    ) -> Sequence[Mapping[str, object]]:
        """What the model may use, as entries of `tools` of the chat API.

        Nothing if the shop can't be reached.

        Args:
            customer: who is logged in.
        """
        try:
            known = await self._known()
        except ServiceError as error:
            _log.warn(
                "the model gets no tools: {kind}: {error}",
                kind=type(error).__name__,
                error=str(error),
            )
            return []
        return [
            offer.entry
            for offer in known.values()
            if customer is not None or offer.right is Right.ANYBODY
        ]

    async def described(self) -> Sequence[Tool]:
        """Everything that the model may ever use, as it sees it.

        Raises:
            ServiceError: the shop can't be reached.
        """
        known = await self._known()
        return [
            Tool(offer.name, offer.description, offer.takes.shown)
            for offer in known.values()
        ]

    async def use(self, call: ToolCall, question: Question, reply: Reply) -> Used:
        """Do what the model wants, if it may.

        Raises:
            StoreError: an order could not be written down, or how it went.
        """
        try:
            arguments = unbound(parsed(call.arguments), self._bound)
        except ArgumentsBroken as error:
            return Used(f"{error} Nothing was done.", Called.FAILED, mistake=True)
        kept = shown(arguments)
        try:
            known = await self._known()
        except ServiceError:
            return Used(_UNREACHABLE, Called.FAILED, kept)
        customer = question.customer()
        offer = known.get(call.name)
        if offer is None:
            return Used(_no_such(known, customer), Called.FAILED, kept, mistake=True)
        if offer.right is not Right.ANYBODY and customer is None:
            return Used(_LOG_IN, Called.REFUSED, kept)
        if complaint := offer.takes.complaint(arguments):
            text = f"The arguments don't fit: {complaint} Nothing was done."
            return Used(text, Called.FAILED, kept, mistake=True)
        if offer.right is Right.ORDER:
            return await self._orders.wanted(arguments, question, reply)
        return await self._read(offer, arguments, kept, customer, question, reply)

    async def _read(
        self,
        offer: Offer,
        arguments: dict[str, Any],
        kept: str,
        customer: Customer | None,
        question: Question,
        reply: Reply,
    ) -> Used:
        reply.notice(_LOOKING[offer.right])
        if offer.right is Right.ANYBODY:
            customer = None  # it is nothing to this tool who asks
        if customer is not None:
            arguments |= dict.fromkeys(offer.takes.filled, customer.customer_id)
        try:
            result = await self._client.call(offer.name, arguments, safe=True)
        except CallLost:
            return Used(_LOST, Called.LOST, kept)
        except ServiceError as error:
            _log.warn(
                "the tool {name} can't be used: {kind}: {error}",
                name=offer.name,
                kind=type(error).__name__,
                error=str(error),
            )
            return Used(_UNREACHABLE, Called.FAILED, kept)
        text = cleaned(result.text)
        if customer is not None:
            now = question.customer()
            if now is None or now.customer_id != customer.customer_id:
                return Used(_LOG_IN, Called.REFUSED, kept)
            if refused := _refused(offer, result, text, customer):
                return Used(_NOT_THEIRS, refused, kept)
            text = without(text, customer.customer_id)
        outcome = Called.FAILED if result.failed else Called.OK
        return Used(marked(offer.name, text, self._most), outcome, kept)

    async def _known(self) -> dict[str, Offer]:
        tools = await self._client.tools()
        if tools is not self._listed:
            self._offers = offers(tools, self._settings)
            self._listed = tools
            self._tell_missing()
        return self._offers

    def _tell_missing(self) -> None:
        """Tell the operator of tools that the settings name and nobody can use."""
        settings = self._settings
        named = dict.fromkeys((*settings.open, *settings.verified, settings.order))
        if missing := [name for name in named if name not in self._offers]:
            _log.warn(
                "the shop has no such tools, or none that can be used: {names}",
                names=", ".join(missing),
            )


def _no_such(known: Mapping[str, Offer], customer: Customer | None) -> str:
    names = ", ".join(
        offer.name
        for offer in known.values()
        if customer is not None or offer.right is Right.ANYBODY
    )
    return f"There is no such tool; there are: {names or 'none'}. Nothing was done."


def _refused(
    offer: Offer, result: ToolResult, text: str, customer: Customer
) -> Called | None:
    """How a call went whose result the model may not read.

    An order that is not there and one that is somebody else's look the same to it.
    """
    if offer.owned and result.failed:
        return Called.FAILED
    if not belongs(text, customer.customer_id, surely=offer.owned):
        return Called.REFUSED
    return None
