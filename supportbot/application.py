"""The composition root: settings in, one service out. Only here parts are joined."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from twisted.application.internet import StreamServerEndpointService
from twisted.application.service import Service as TwistedService
from twisted.application.strports import service as described
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import (
    IProtocolFactory,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from supportbot.assistance import Assistance
from supportbot.channels.chat import Opening
from supportbot.channels.http.api import api
from supportbot.channels.http.routing import Router
from supportbot.channels.http.server import HttpFactory, HttpServer
from supportbot.channels.limits import Allowance
from supportbot.channels.line_server import LineServer
from supportbot.channels.lines import Lines, Manner
from supportbot.channels.screen import Look
from supportbot.channels.websocket.api import WebSocketApi
from supportbot.context import Logger
from supportbot.conversation import Conversation
from supportbot.demo import DemoServices, DemoSettings
from supportbot.dispatcher import Dispatcher, Route
from supportbot.frontdesk import FrontDesk
from supportbot.interfaces import Guesses, TranscriptStore
from supportbot.metrics import Metrics
from supportbot.services.call import Peer, endpoint_of
from supportbot.services.http_stream import HTTP_STREAM
from supportbot.services.http_text import HTTP_TEXT
from supportbot.services.signpost import Signpost
from supportbot.services.third_party import ThirdParty
from supportbot.settings import ServiceSettings, Settings
from supportbot.transcripts.measured import MeasuredStore
from supportbot.transcripts.memory import MemoryStore
from supportbot.transcripts.memory_guesses import MemoryGuesses

if TYPE_CHECKING:
    from supportbot.transcripts.sql import SqlStore

__all__ = ["Application", "DemoSettings"]

_MANY = 1_000  # questions at once, for services that we simulate ourselves
_DIALECTS = {"http-stream": HTTP_STREAM, "http-text": HTTP_TEXT}
_DAY, _HOUR = 86_400.0, 3_600.0
_LAST_WORDS = 3.0  # seconds that clients get to take the end of an answer
_log = Logger()


class Application(TwistedService):
    """Everything that runs.

    Args:
        reactor: the one it will run on.
        settings: all of them.
        database: the URL of the transcripts' database; None to keep them in memory.
        demo: how the simulated third parties behave, which then answer in the place of
            the services with the same names; None for the real ones.
        lines: an endpoint for line clients, such as `tcp:8023`; None for none.
        http: an endpoint for HTTP clients, described as in `tcp:8000` or ready to be
            used, where WebSockets are opened at `/ws`; None for none.
        websocket: an endpoint for WebSockets and nothing else; None for none.
        plain: whether line clients see paragraphs without markup.

    Raises:
        SettingsError: a file that the settings name can't be used.
        StoreUnusable: the database's URL is none.
        ValueError: `lines`, `http` or `websocket` is no endpoint.
    """

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        *,
        database: str | None = None,
        demo: DemoSettings | None = None,
        lines: str | None = None,
        http: str | IStreamServerEndpoint | None = None,
        websocket: str | None = None,
        plain: bool = False,
    ) -> None:
        self._reactor = reactor
        self._metrics = Metrics()
        self._demo = None if demo is None else DemoServices(reactor, demo)
        if self._demo is not None:
            settings = _simulated(settings)
        self._settings = settings
        self._third_parties: list[ThirdParty] = []
        routes = [self._route(one, demo) for one in settings.services]
        patience = settings.transcripts.patience
        self._sql: SqlStore | None = None
        guesses: Guesses = MemoryGuesses(settings.shop.guesses)
        if database is not None:
            # With what they stand on they take a third of the program's start.
            from supportbot.transcripts.guesses import SqlGuesses
            from supportbot.transcripts.sql import SqlStore

            self._sql = SqlStore(reactor, database, patience, time.time)
            guesses = SqlGuesses(self._sql, settings.shop.guesses)
        store: TranscriptStore = MeasuredStore(
            self._sql or MemoryStore(), self._metrics, time.perf_counter
        )
        self._store = store
        self._assistance = Assistance(
            reactor,
            settings,
            guesses,
            self._metrics,
            self._endpoint,
        )
        otherwise = self._assistance.service or Signpost(settings.services)
        claims = self._assistance.acts
        dispatcher = Dispatcher(routes, otherwise, claims=claims)
        self._desk = FrontDesk(store, dispatcher, time.time, settings.conversation)
        look = Look(prompt=settings.lines.prompt, plain=plain)
        self._line_server = LineServer(reactor, self._desk, settings.lines, look)
        self._allowance = Allowance(reactor, settings.http)
        self._websockets = WebSocketApi(
            reactor, time.time, self._desk, settings, self._allowance, self._metrics
        )
        self._http_server = HttpServer(reactor, settings.http)
        self._listening = [
            _listening(endpoint, make(), reactor)
            for endpoint, make in (
                (lines, lambda: self._line_server),
                (http, self._everything),
                (websocket, self._websockets_only),
            )
            if endpoint is not None
        ]
        self._expiring = LoopingCall(self._expire)
        self._expiring.clock = reactor
        self._gauges()

    def lines(
        self, look: Look, manner: Manner, opening: Opening | None = None
    ) -> Lines:
        """A chat for one line client that is connected otherwise.

        Args:
            opening: of a chat that can be gone on with later.
        """
        settings = self._settings.lines
        return Lines(self._reactor, self._desk, settings, look, manner, opening)

    async def find(self, id: str) -> Conversation | None:
        """The conversation with this id; None if there is none.

        Raises:
            StoreError: whether there is one can't be told.
        """
        return await self._desk.find(id)

    def privilegedStartService(self) -> None:
        super().privilegedStartService()
        for service in self._listening:
            service.privilegedStartService()

    def startService(self) -> None:
        """Open the database, then the doors.

        Raises:
            StoreUnusable: the database can't be worked with.
        """
        super().startService()
        if self._sql is not None:
            self._sql.prepare()
            self._sql.start().addErrback(_not_signed)
        if self._demo is not None:
            self._demo.startService()
        for service in self._listening:
            service.startService()
        if self._settings.transcripts.retention is not None:
            self._expiring.start(_HOUR)

    def stopService(self) -> Deferred[None]:
        """Take no more clients, let answers end, then stop what they come from."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._expiring.running:
            self._expiring.stop()
        for service in self._listening:
            await service.stopService()
        seconds = self._settings.drain
        await gatherResults(
            [
                self._desk.drain(self._reactor, seconds),
                self._http_server.drain(seconds + _LAST_WORDS),
                self._line_server.drain(seconds),
            ]
        )
        await self._assistance.close()
        if self._sql is not None:
            await self._sql.close()
        if self._demo is not None:
            await self._demo.stopService()

    def _expire(self) -> Deferred[None]:
        """Erase what is older than it may become."""
        days = self._settings.transcripts.retention or 0.0

        def expired(number: int) -> None:
            if number:
                _log.info("{number} old conversations were erased", number=number)

        def failed(why: Failure) -> None:
            _log.error("old conversations are not erased: {why}", why=str(why.value))

        return self._store.expire(time.time() - days * _DAY).addCallbacks(
            expired, failed
        )

    # What answers over HTTP takes its time to make: only where it is asked for.

    def _everything(self) -> HttpFactory:
        router = api(
            self._reactor,
            self._desk,
            self._store,
            self._settings,
            self._metrics,
            self._resting,
            self._allowance,
            self._assistance.tools,
            self._assistance.login,
            self._websockets.rows("/ws"),
        )
        return self._http_server.factory(router.answer)

    def _websockets_only(self) -> HttpFactory:
        router = Router(self._websockets.rows("/", "/ws"), self._settings.http)
        return self._http_server.factory(router.answer)

    def _route(self, settings: ServiceSettings, demo: DemoSettings | None) -> Route:
        endpoint = self._endpoint(settings, settings.name)
        simulated = self._demo is not None and settings.name in self._demo.names
        if simulated and demo is not None and not demo.one_at_a_time:
            settings = msgspec.structs.replace(settings, at_once=_MANY)
        service = ThirdParty(
            settings,
            _DIALECTS[settings.kind],
            self._reactor,
            endpoint,
            partial(self._metrics.attempt, settings.name),
        )
        self._third_parties.append(service)
        return Route(settings.intent, service, settings.person)

    def _endpoint(self, peer: Peer, name: str) -> IStreamClientEndpoint:
        """Where to connect to what is called so."""
        if self._demo is not None and name in self._demo.names:
            return self._demo.endpoint(name)
        return endpoint_of(peer, self._reactor)

    def _resting(self) -> dict[str, bool]:
        """Which services are left alone."""
        resting = {one.name: one.resting for one in self._third_parties}
        return resting | self._assistance.resting()

    def _waiting(self) -> dict[str, float]:
        """How many questions wait for their turn, by service."""
        waiting = {one.name: one.waiting for one in self._third_parties}
        return {**waiting, **self._assistance.waiting()}

    def _gauges(self) -> None:
        """Figures that are read when somebody asks."""
        gauge, desk = self._metrics.gauge, self._desk
        gauge(
            "unanswered_messages",
            "Messages that wait for their answers, or for the rest of them.",
            lambda: {"": desk.unanswered},
        )
        gauge("followers", "Who follows a conversation.", lambda: {"": desk.followers})
        gauge(
            "http_connections",
            "Open connections of HTTP clients.",
            lambda: {"": self._http_server.connections},
        )
        websockets = self._websockets
        gauge(
            "websocket_connections",
            "Those of them that are WebSockets.",
            lambda: {"": websockets.connections},
        )
        gauge(
            "websocket_sessions",
            "Sessions of WebSocket clients, by whether the client is there.",
            websockets.sessions.counts,
            "client",
        )
        gauge(
            "service_queue",
            "Questions that wait for their turn at a service.",
            self._waiting,
            "service",
        )
        gauge(
            "service_resting",
            "1 while a service is left alone, since it failed again and again.",
            lambda: {name: float(rests) for name, rests in self._resting().items()},
            "service",
        )


def _listening(
    endpoint: str | IStreamServerEndpoint, factory: IProtocolFactory, reactor: Any
) -> StreamServerEndpointService:
    """What listens there once it is started."""
    if isinstance(endpoint, str):
        return described(endpoint, factory, reactor=reactor)
    return StreamServerEndpointService(endpoint, factory)


def _simulated(settings: Settings) -> Settings:
    """The same, with the simulated model and shop; where these are, the demo knows."""
    assistant, shop = settings.assistant, settings.shop
    return msgspec.structs.replace(
        settings,
        assistant=msgspec.structs.replace(
            assistant, url="http://localhost:8084/v1", api_key="demo", model="demo"
        ),
        shop=msgspec.structs.replace(shop, url="http://localhost:8085/mcp", token=None),
    )


def _not_signed(why: Failure) -> None:
    """The writer goes on trying, and has told the operator."""
    _log.warn("the database is not ready: {why}", why=str(why.value))
