"""Whether an order was placed whose answer was lost."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from supportbot.context import Logger
from supportbot.errors import ServiceError
from supportbot.events import OrderSent
from supportbot.services.assistant.policy import ToolServer
from supportbot.services.assistant.shop import belongs, names_all, order_ids
from supportbot.settings.shop import ShopSettings

_SHORTEST_PAUSE, _FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 0.5, 8.0  # seconds between looks
_REMEMBERED = 10_000

_log = Logger()


class OrderSearch:
    """Looks through a customer's orders in the shop.

    An order is the one that was sent if it was not there before, nobody was told of
    it, and it names the same products.

    Args:
        settings: which tools tell about orders.
        client: where the tools are.
        reactor: for waiting.
    """

    def __init__(
        self, settings: ShopSettings, client: ToolServer, reactor: IReactorTime
    ) -> None:
        self._settings, self._client, self._reactor = settings, client, reactor
        self._told = Recent(_REMEMBERED)

    def told(self, order_id: str) -> None:
        """A customer was told of this order, so it is no other one."""
        self._told.add(order_id)

    async def find(self, sent: OrderSent, elapsed: float) -> str | None:
        """Look for an order, again and again until it would be there.

        Args:
            elapsed: seconds since it was sent. A shop that still works on it has the
                time that its answer may take.

        Returns:
            Its id; empty if it was surely not placed, None if nobody can tell.
        """
        patience = self._settings.deadlines.total - elapsed
        deadline = self._reactor.seconds() + max(0.0, patience)
        pause = _FIRST_PAUSE
        while True:
            left = deadline - self._reactor.seconds()
            found = await self.look(sent)
            if found or left <= 0:
                return found
            await deferLater(self._reactor, max(_SHORTEST_PAUSE, min(pause, left)))
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def look(self, sent: OrderSent) -> str | None:
        """Look for an order once; see `find`."""
        try:
            return await self._look(sent)
        except ServiceError as error:
            _log.warn(
                "a customer's orders can't be looked at: {kind}: {error}",
                kind=type(error).__name__,
                error=str(error),
            )
            return None

    async def _look(self, sent: OrderSent) -> str | None:
        now = await self.order_ids(sent.customer_id)
        ours = []
        for one in sorted(now.difference(sent.known)):
            if one not in self._told:
                same = await self._is_it(one, sent)
                if same is None:
                    return None
                ours += [one] if same else []
        if ours:
            return ours[0] if len(ours) == 1 else None
        whole = now.issuperset(sent.known)  # or it may be missing as those are
        return "" if whole else None

    async def order_ids(self, customer_id: str) -> frozenset[str]:
        """The ids of all orders of a customer.

        Raises:
            ServiceError: they can't be had for sure.
        """
        asked = {"customer_id": customer_id}
        result = await self._client.call(self._settings.orders, asked, safe=True)
        if result.failed or not belongs(result.text, customer_id, surely=False):
            raise ServiceError("the list of a customer's orders can't be read")
        return order_ids(result.text, customer_id)

    async def _is_it(self, one: str, sent: OrderSent) -> bool | None:
        """Whether an order is the one that was sent; None if it does not tell."""
        if not self._settings.owned:
            return None
        asked = {"order_id": one}
        result = await self._client.call(self._settings.owned[0], asked, safe=True)
        theirs = belongs(result.text, sent.customer_id, surely=True)
        if result.failed or not theirs:
            return None
        return names_all(result.text, [(line.sku, line.name) for line in sent.lines])


class Recent:
    """The latest of many things."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._things: dict[object, None] = {}

    def __contains__(self, thing: object) -> bool:
        return thing in self._things

    def add(self, thing: object) -> None:
        """One more; the oldest one goes for it."""
        self._things[thing] = None
        if len(self._things) > self._most:
            del self._things[next(iter(self._things))]
