"""The simulated third parties as Twisted services."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from random import Random
from typing import Any
from uuid import uuid4

import msgspec
from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, fail, gatherResults, maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from zope.interface import implementer

from supportbot.demo import answers, completions, order_mcp
from supportbot.demo.completions import Completions
from supportbot.demo.exchange import Exchanges
from supportbot.demo.order_mcp import OrderMcp
from supportbot.demo.script import Lookup, Saying, Script
from supportbot.demo.shop import Shop
from supportbot.demo.shop_tools import ShopTools
from supportbot.demo.web import Web

SUPPORT, PRODUCTS, AGENT = "tech-support", "product-info", "real-agent"
ASSISTANT, SHOP = "assistant", "shop"
"""The services' names: those of the challenge, the language model, the shop's tools."""

_PATHS: Mapping[str, str] = {
    SUPPORT: "/",
    PRODUCTS: "/",
    AGENT: "/",
    ASSISTANT: completions.BASE,
    SHOP: order_mcp.PATH,
}

ANY_PORTS: Mapping[str, int] = dict.fromkeys(_PATHS, 0)
"""Whichever ports are free."""

_HOST = "127.0.0.1"  # the originals listen on IPv4 only
_WORDS = 40  # of the model, in the time of one slice of the others


class DemoSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the simulated services behave.

    Attributes:
        delay: seconds between two slices of an answer; a tenth of it between zeroes,
            and a fortieth between two words of the model.
        zeroes: how often, from 0 to 1, technical support ends in a flood of zeroes.
        one_at_a_time: each service has its clients wait for each other, as the
            originals do.
        seed: makes the chances repeatable; None for new ones each time.

    Raises:
        ValueError: a number is out of its range.
    """

    delay: float = 1.0
    zeroes: float = 0.5
    one_at_a_time: bool = False
    seed: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.delay < math.inf:
            raise ValueError("expected delay to be a number of seconds, 0 or more")
        if not 0 <= self.zeroes <= 1:
            raise ValueError("expected zeroes to be a number from 0 to 1")


class DemoServices(MultiService):
    """Technical support, product information, the real agent, a language model, a shop.

    What is ordered in the shop stays until the process ends.

    Stopping closes the ports and hangs up on everybody; what it returns fires when no
    connection and no timer is left.

    Args:
        reactor: listens, connects and tells the time.
        settings: how they behave.
        ports: TCP ports on 127.0.0.1 by name, 0 for any that is free; only the services
            that are named run.
        now: seconds since 1970, for the time stamps.

    Attributes:
        names: of those that run.

    Raises:
        ValueError: there is no service with such a name.
    """

    def __init__(
        self,
        reactor: Any,
        settings: DemoSettings,
        ports: Mapping[str, int] = ANY_PORTS,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self._reactor = reactor
        self.names = tuple(ports)
        for name, port in ports.items():
            make = _maker(name, reactor, settings, now)
            listening = _Listening(reactor, port, make)
            listening.setName(name)
            listening.setServiceParent(self)

    def privilegedStartService(self) -> None:
        """Listen.

        Raises:
            CannotListenError: a port is taken; then none of ours is left open.
        """
        self._all_or_none(super().privilegedStartService)

    def startService(self) -> None:
        """Listen, if `privilegedStartService` has not; raises what that raises."""
        self._all_or_none(super().startService)

    def _all_or_none(self, start: Callable[[], None]) -> None:
        try:
            start()
        except Exception:
            self.stopService()
            raise

    def port(self, name: str) -> int:
        """The port that the service listens on.

        Raises:
            KeyError: there is no service with such a name.
            RuntimeError: it is not listening.
        """
        listening: _Listening = self.getServiceNamed(name)
        return listening.actual_port()

    def urls(self) -> dict[str, str]:
        """The base URLs of the services, by name, such as `http://127.0.0.1:8081/`.

        Raises:
            RuntimeError: they are not listening.
        """
        return {
            name: f"http://{_HOST}:{self.port(name)}{_PATHS[name]}"
            for name in self.names
        }

    def endpoint(self, name: str) -> IStreamClientEndpoint:
        """A way to the service, wherever it listens by the time of connecting."""
        return _Endpoint(self._reactor, self, name)


def _maker(
    name: str, reactor: Any, settings: DemoSettings, now: Callable[[], float]
) -> Callable[[], Exchanges | Web]:
    """What makes the listener of a service, each time that it starts to listen."""
    if name == ASSISTANT:
        model = Completions(reactor, settings.delay / _WORDS, now)
        return partial(Web, reactor, model.answer)
    if name == SHOP:
        shop = OrderMcp(ShopTools(Shop(now, lambda: str(uuid4()))))
        return partial(Web, reactor, shop.answer)
    script = _script(name, settings, now)
    return partial(Exchanges, reactor, script, one_at_a_time=settings.one_at_a_time)


def _script(name: str, settings: DemoSettings, now: Callable[[], float]) -> Script:
    random = Random(settings.seed)  # of its own: the others' clients don't change it
    if name == SUPPORT:
        return Lookup(
            "response",
            answers.SUPPORT,
            answers.SUPPORT_UNKNOWN,
            delay=settings.delay,
            zeroes=settings.zeroes,
            random=random,
            now=now,
        )
    if name == PRODUCTS:
        return Lookup(
            "product_info",
            answers.PRODUCTS,
            answers.PRODUCT_UNKNOWN,
            delay=settings.delay,
            zeroes=0.0,
            random=random,
            now=now,
        )
    if name == AGENT:
        return Saying(answers.SENTENCES, random)
    expected = ", ".join(ANY_PORTS)
    raise ValueError(f"no demo service is called {name!r}; expected one of {expected}")


class _Listening(Service):
    """A port and what answers there.

    Listening starts once, whichever call comes first.
    """

    def __init__(
        self, reactor: Any, port: int, make: Callable[[], Exchanges | Web]
    ) -> None:
        self._reactor, self._port, self._make = reactor, port, make
        self._factory: Exchanges | Web | None = None
        self._listening: Any = None  # an IListeningPort, or None

    def privilegedStartService(self) -> None:
        super().privilegedStartService()
        self._listen()

    def startService(self) -> None:
        self._listen()
        super().startService()

    def stopService(self) -> Deferred[None]:
        super().stopService()
        listening, self._listening = self._listening, None
        factory, self._factory = self._factory, None
        ending: list[Deferred[Any]] = []
        if factory is not None:
            ending.append(factory.abort())
        if listening is not None:
            ending.append(maybeDeferred(listening.stopListening))
        return gatherResults(ending).addCallback(lambda _: None)

    def actual_port(self) -> int:
        if self._listening is None:
            raise RuntimeError(f"{self.name} is not listening")
        port: int = self._listening.getHost().port
        return port

    def _listen(self) -> None:
        if self._listening is None:
            factory = self._make()
            self._listening = self._reactor.listenTCP(
                self._port, factory, interface=_HOST
            )
            self._factory = factory


@implementer(IStreamClientEndpoint)
class _Endpoint:
    """Connect to a service whose port is only known once it listens."""

    def __init__(self, reactor: Any, services: DemoServices, name: str) -> None:
        self._reactor, self._services, self._name = reactor, services, name

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        try:
            port = self._services.port(self._name)
        except RuntimeError as error:
            return fail(ConnectionRefusedError(string=str(error)))
        endpoint = TCP4ClientEndpoint(self._reactor, _HOST, port)
        connecting: Deferred[IProtocol] = endpoint.connect(protocolFactory)
        return connecting
