"""The HTTP under the simulated model and the simulated shop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from supportbot.channels.http.exchange import Exchange
from supportbot.channels.http.responses import Header
from supportbot.channels.http.server import HttpFactory, HttpServer
from supportbot.settings import HttpSettings

_LIMITS = HttpSettings(body=16 * 1024 * 1024, idle=300.0)
"""A model reads long conversations, and clients keep their connections."""

encode = msgspec.json.Encoder().encode


class Web(HttpFactory):
    """Listen, until the end.

    Args:
        clock: for deadlines.
        answer: is called with each whole, valid request.
    """

    def __init__(self, clock: IReactorTime, answer: Callable[[Exchange], None]) -> None:
        self._all = HttpServer(clock, _LIMITS)
        super().__init__(self._all, answer)

    def abort(self) -> Deferred[None]:
        """Hang up on everybody; fires when all are gone and no timer is left."""
        return self._all.drain(0.0)


def respond_json(exchange: Exchange, status: int, body: Any, *headers: Header) -> None:
    """Answer with JSON."""
    exchange.respond(status, encode(body), "application/json", headers)
