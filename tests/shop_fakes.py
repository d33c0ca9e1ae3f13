"""A shop's tools in the test's hands: they perform, fail, lose answers, or wait."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from supportbot.demo.catalogue import customers
from supportbot.demo.shop import Shop
from supportbot.demo.shop_tools import ShopTools
from supportbot.interfaces import Customer, Question, Standing, Tool
from supportbot.services.assistant.mcp import ToolResult

_T = TypeVar("_T")

START = 1_700_000_000.0
"""When the tests' clock begins, in seconds of UTC."""

ALICE, DONALD, LAURA = (
    Customer(one.id, one.name, one.email) for one in customers()[:3]
)

Fate = Callable[[Callable[[], ToolResult]], Deferred[ToolResult]]
"""What becomes of a call; it may have the shop perform it, or not."""


class ScriptedShop:
    """The client of a shop, which does what it is told or what the test says.

    Attributes:
        shop: behind it.
        asked: all calls: name, arguments, whether they were safe.
        fates: what becomes of the next calls of a tool; those that are over go as they
            should.
        listed: the tools, or an error.
    """

    def __init__(self, now: Callable[[], float] = lambda: START) -> None:
        self._ids = 0
        self.shop = Shop(now, self._new_id)
        self._tools = ShopTools(self.shop)
        self.asked: list[tuple[str, Mapping[str, Any], bool]] = []
        self.fates: dict[str, list[Fate]] = {}
        self.listed: Sequence[Tool] | Exception = [
            Tool(one["name"], one["description"], one["inputSchema"])
            for one in self._tools.listed()
        ]

    async def tools(self) -> Sequence[Tool]:
        if isinstance(self.listed, Exception):
            raise self.listed
        return self.listed

    async def call(
        self, name: str, arguments: Mapping[str, object], *, safe: bool
    ) -> ToolResult:
        self.asked.append((name, dict(arguments), safe))

        def perform() -> ToolResult:
            result = self._tools.call(name, arguments)
            return ToolResult(result.text, result.failed)

        fates = self.fates.get(name)
        return await (fates.pop(0)(perform) if fates else succeed(perform()))

    def names(self) -> list[str]:
        """The tools that were called, in order."""
        return [name for name, _, _ in self.asked]

    def orders(self, customer: Customer = ALICE) -> list[dict[str, int]]:
        """What a customer has ordered."""
        return [
            {item.sku: item.quantity for item in order.items}
            for order in self.shop.orders(customer.customer_id)
        ]

    def _new_id(self) -> str:
        self._ids += 1
        return str(UUID(int=(7 << 100) + self._ids, version=4))


def says(text: str, failed: bool = False) -> Fate:
    """The call is answered with this text, and not performed."""
    return lambda perform: succeed(ToolResult(text, failed))


def fails(error: Exception, performed: bool = False) -> Fate:
    """The call fails, before or after it was performed."""

    def fate(perform: Callable[[], ToolResult]) -> Deferred[ToolResult]:
        if performed:
            perform()
        raise error

    return fate


def garbled(perform: Callable[[], ToolResult]) -> Deferred[ToolResult]:
    """The call is performed, and answered in words that can't be read."""
    perform()
    return succeed(ToolResult("Your wish is my command.", False))


def question(
    text: str = "hello",
    customer: Customer | None = ALICE,
    seq: int = 5,
    standing: Standing | None = None,
) -> Question:
    """A question of a customer who stays who they are."""

    async def transcript() -> Sequence[Any]:
        return ()

    return Question(
        text,
        transcript,
        conversation_id="conversation",
        seq=seq,
        customer=lambda: customer,
        standing=standing or Standing(),
    )


def played(coroutine: Coroutine[Deferred[Any], Any, _T], clock: Clock) -> Deferred[_T]:
    """Start it, and let time pass until it is over."""
    running = Deferred.fromCoroutine(coroutine)
    for _ in range(2_000):
        if running.called:
            break
        clock.advance(0.5)
    return running
