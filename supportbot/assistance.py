"""The assistant, joined from its parts: model, tools, orders and login."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from twisted.internet.interfaces import IStreamClientEndpoint

from supportbot.interfaces import Guesses, Tool
from supportbot.metrics import Metrics
from supportbot.services.assistant.assistant import Assistant
from supportbot.services.assistant.completions import Completions
from supportbot.services.assistant.login import Login
from supportbot.services.assistant.mcp import McpClient, target_of
from supportbot.services.assistant.orders import Orders
from supportbot.services.assistant.toolbox import Toolbox
from supportbot.services.call import Peer
from supportbot.settings import Settings

ASSISTANT, SHOP = "assistant", "shop"
"""The names of what is called, in figures and in the demo."""


class Assistance:
    """What is there of the assistant.

    Args:
        reactor: the one it will run on.
        settings: all of them.
        guesses: counts tries at PINs.
        metrics: the figures.
        endpoint: where to connect to what has this name.

    Attributes:
        service: answers what no intent is found in; None without a model.
        login: tells who somebody is; None without a shop.

    Raises:
        SettingsError: a file that the settings name can't be used.
    """

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        guesses: Guesses,
        metrics: Metrics,
        endpoint: Callable[[Peer, str], IStreamClientEndpoint],
    ) -> None:
        self.service: Assistant | None = None
        self.login: Login | None = None
        self._client: McpClient | None = None
        self._toolbox: Toolbox | None = None
        orders: Orders | None = None
        model, shop = settings.assistant, settings.shop
        people = (one.intent for one in settings.services if one.person)
        person = next(people, "")
        if shop.url is not None:
            self._client = McpClient(
                shop,
                reactor,
                endpoint(target_of(shop), SHOP),
                partial(metrics.attempt, SHOP),
            )
            orders = Orders(shop, self._client, reactor, time.time, person)
            self._toolbox = Toolbox(shop, self._client, orders, model.tool_result)
            self.login = Login(shop, self._client, guesses, time.time)
        if model.available:
            self.service = Assistant(
                model,
                reactor,
                time.time,
                Completions(model, reactor, endpoint(model, ASSISTANT)),
                self._toolbox,
                orders,
                self.login,
                partial(metrics.attempt, ASSISTANT),
                person,
            )

    @property
    def acts(self) -> bool:
        """Whether customers can log in, and order, by what they write."""
        return self.service is not None and self.login is not None

    async def tools(self) -> Sequence[Tool]:
        """What the language model may use, at the most."""
        if self.service is None or self._toolbox is None:
            return ()
        return await self._toolbox.described()

    def resting(self) -> dict[str, bool]:
        """Which of what it calls is left alone, by name."""
        resting = {}
        if self.service is not None:
            resting[ASSISTANT] = self.service.resting
        if self._client is not None:
            resting[SHOP] = self._client.resting
        return resting

    def waiting(self) -> dict[str, int]:
        """How many questions wait for their turn at it, by name."""
        waiting = {}
        if self.service is not None:
            waiting[ASSISTANT] = self.service.waiting
        if self._client is not None:
            waiting[SHOP] = self._client.waiting
        return waiting

    async def close(self) -> None:
        """Leave nothing open at the shop."""
        if self._client is not None:
            await self._client.close()
