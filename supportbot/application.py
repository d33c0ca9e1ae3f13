"""The composition root: settings in, one service out. Only here parts are joined."""

from __future__ import annotations

import time
from typing import Any

import msgspec
from twisted.application.service import Service as TwistedService
from twisted.application.strports import service as listen
from twisted.internet.defer import Deferred

from supportbot.channels.line_server import LineServer
from supportbot.channels.lines import Lines, Manner
from supportbot.channels.screen import Look
from supportbot.demo import DemoServices, DemoSettings
from supportbot.dispatcher import Dispatcher, Route
from supportbot.frontdesk import FrontDesk
from supportbot.services.call import endpoint_of
from supportbot.services.http_stream import HTTP_STREAM
from supportbot.services.http_text import HTTP_TEXT
from supportbot.services.signpost import Signpost
from supportbot.services.third_party import ThirdParty
from supportbot.settings import ServiceSettings, Settings
from supportbot.transcripts.memory import MemoryStore

__all__ = ["Application", "DemoSettings"]

_MANY = 1_000  # questions at once, for services that we simulate ourselves
_DIALECTS = {"http-stream": HTTP_STREAM, "http-text": HTTP_TEXT}


class Application(TwistedService):
    """Everything that runs.

    Args:
        reactor: the one it will run on.
        settings: all of them.
        demo: how the simulated third parties behave, which then answer in the place of
            the services with the same names; None for the real ones.
        lines: an endpoint for line clients, such as `tcp:8023`; None for none.
        plain: whether line clients see paragraphs without markup.

    Raises:
        SettingsError: a file that the settings name can't be used.
        ValueError: `lines` is no endpoint.
    """

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        *,
        demo: DemoSettings | None = None,
        lines: str | None = None,
        plain: bool = False,
    ) -> None:
        self._reactor, self._settings = reactor, settings
        self._demo = None if demo is None else DemoServices(reactor, demo)
        services = [self._route(one, demo) for one in settings.services]
        dispatcher = Dispatcher(services, Signpost(settings.services))
        self._desk = FrontDesk(
            MemoryStore(), dispatcher, time.time, settings.conversation
        )
        look = Look(prompt=settings.lines.prompt, plain=plain)
        self._line_server = LineServer(reactor, self._desk, settings.lines, look)
        self._listening = (
            [] if lines is None else [listen(lines, self._line_server, reactor=reactor)]
        )

    def lines(self, look: Look, manner: Manner) -> Lines:
        """A chat for one line client that is connected otherwise."""
        return Lines(self._reactor, self._desk, self._settings.lines, look, manner)

    def privilegedStartService(self) -> None:
        super().privilegedStartService()
        for service in self._listening:
            service.privilegedStartService()

    def startService(self) -> None:
        super().startService()
        if self._demo is not None:
            self._demo.startService()
        for service in self._listening:
            service.startService()

    def stopService(self) -> Deferred[None]:
        """Take no more clients, let answers end, then stop what they come from."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        for service in self._listening:
            await service.stopService()
        await self._line_server.drain()
        await self._desk.drain(self._reactor, self._settings.lines.drain)
        if self._demo is not None:
            await self._demo.stopService()

    def _route(self, settings: ServiceSettings, demo: DemoSettings | None) -> Route:
        if self._demo is not None and settings.name in self._demo.names:
            endpoint = self._demo.endpoint(settings.name)
            if demo is not None and not demo.one_at_a_time:
                settings = msgspec.structs.replace(settings, at_once=_MANY)
        else:
            endpoint = endpoint_of(settings, self._reactor)
        dialect = _DIALECTS[settings.kind]
        service = ThirdParty(settings, dialect, self._reactor, endpoint)
        return Route(settings.intent, service, settings.person)
