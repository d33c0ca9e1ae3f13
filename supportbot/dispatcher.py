"""Which service a message is for."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from supportbot.intents import spotted
from supportbot.interfaces import Service


class Route(msgspec.Struct, frozen=True):
    """The way to one service.

    Attributes:
        intent: the words that ask for it; empty for what no words ask for.
        person: whether a person is at its end.
    """

    intent: str
    service: Service
    person: bool = False


class Dispatcher:
    """Pick a service by a message's words.

    Args:
        routes: the most explicit intent first.
        otherwise: answers what has no intent.
        claims: it also answers what is claimed; see `pick`.
    """

    def __init__(
        self, routes: Sequence[Route], otherwise: Service, *, claims: bool = True
    ) -> None:
        self._claims = claims
        self._routes: dict[str, Route] = {}
        for route in routes:
            self._routes.setdefault(route.intent, route)
        self._otherwise = Route("", otherwise)

    def pick(self, text: str, *, claimed: bool = False) -> Route:
        """The service for this message.

        Args:
            claimed: it answers what was asked of the customer before, or is a login,
                whatever else its words may mean.
        """
        claimed = claimed and self._claims
        intent = None if claimed else spotted(text, self._routes)
        return self._otherwise if intent is None else self._routes[intent]

    def title(self, name: str) -> str:
        """What customers call the service with this name."""
        services = [route.service for route in self._routes.values()]
        titles = {service.name: service.title for service in services}
        return titles.get(name, self._otherwise.service.title)

    def way_out(self, failed: Service) -> str:
        """What a customer of a failed service can do, in a sentence."""
        for route in self._routes.values():
            if route.person and route.service is not failed:
                return f"Ask for a “{route.intent}” to talk to somebody, or try again."
        return "Please try again later."
