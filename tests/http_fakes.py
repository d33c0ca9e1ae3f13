"""The whole HTTP API in memory: its server, its clients, and a service in our hands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from supportbot.channels.http.api import table
from supportbot.channels.http.chat_api import ChatApi
from supportbot.channels.http.customer_api import CustomerApi
from supportbot.channels.http.operator_api import OperatorApi
from supportbot.channels.http.routing import Router
from supportbot.channels.http.server import HttpServer
from supportbot.channels.limits import Allowance
from supportbot.dispatcher import Dispatcher, Route
from supportbot.frontdesk import FrontDesk
from supportbot.interfaces import Doorkeeper, Tool, TranscriptStore
from supportbot.metrics import Metrics
from supportbot.services.signpost import Signpost
from supportbot.settings import ConversationSettings, HttpSettings, Settings
from supportbot.transcripts.measured import MeasuredStore
from supportbot.transcripts.memory import MemoryStore
from tests.fakes import HeldStore, ScriptedService
from tests.http_client import HttpClient, Response

JSON = ("Content-Type", "application/json")
HTTP = HttpSettings(
    admin_token="token", messages=1_000, address_messages=1_000, address_sessions=1_000
)
KEY = "0123456789-a-key-of-a-client"
"""A message id from which its session follows."""


class Held(HeldStore):
    """A store in the test's hands, which no other process writes to."""

    shared = False


class Frame(msgspec.Struct, frozen=True):
    """One event of a stream; a comment has none of these."""

    data: Any = None
    event: str = ""
    id: str = ""
    retry: str = ""


def frames(response: Response) -> list[Frame]:
    """What came over a stream, comments too."""
    *blocks, rest = response.body.decode().split("\n\n")
    assert rest == ""
    found = []
    for block in blocks:
        fields: dict[str, Any] = {}
        for line in block.split("\n"):
            name, _, value = line.partition(":")
            if name:
                assert name not in fields
                fields[name] = value.removeprefix(" ")
        if "data" in fields:
            fields["data"] = msgspec.json.decode(fields["data"])
        found.append(Frame(**fields))
    return found


def said(response: Response) -> list[Any]:
    """The data of a stream, in order."""
    return [one.data for one in frames(response) if one.data is not None]


def comments(response: Response) -> int:
    """How often a stream gave a sign of life."""
    return response.body.decode().split("\n").count(":")


class HttpScene(SynchronousTestCase):
    """A server whose only service answers `help` as the test says."""

    doorkeeper: Doorkeeper | None = None
    tools: Sequence[Tool] = ()

    def setUp(self) -> None:
        self.serve()

    def serve(
        self,
        store: TranscriptStore | None = None,
        conversation: ConversationSettings | None = None,
        clock: Clock | None = None,
        **http: Any,
    ) -> None:
        """Start anew, with other settings."""
        self.clock, self.clients = clock or Clock(), list[HttpClient]()
        self.service = ScriptedService("tech", "support service")
        self.metrics = Metrics()
        self.store = MeasuredStore(
            store or MemoryStore(), self.metrics, self.clock.seconds
        )
        dispatcher = Dispatcher([Route("help", self.service)], Signpost([]))
        self.settings = Settings(
            conversation=conversation or ConversationSettings(),
            http=msgspec.structs.replace(HTTP, **http),
        )
        ids = (f"session-{number}" for number in range(100_000))
        self.desk = FrontDesk(
            self.store,
            dispatcher,
            self.clock.seconds,
            self.settings.conversation,
            ids.__next__,
        )
        self.resting: dict[str, bool] = {"tech": False}
        self.metrics.gauge(
            "followers", "Who follows.", lambda: {"": self.desk.followers}
        )
        self.listen(Router(table(*self.handlers()), self.settings.http))

    def handlers(self) -> tuple[ChatApi, CustomerApi, OperatorApi]:
        """The API without its documentation, which takes its time to write."""
        return self.handlers_with(Allowance(self.clock, self.settings.http))

    def handlers_with(
        self, allowance: Allowance
    ) -> tuple[ChatApi, CustomerApi, OperatorApi]:
        """The same, where another channel spends of the allowance too."""
        return (
            ChatApi(self.clock, self.desk, self.settings, allowance, self.offered),
            CustomerApi(self.desk, self.doorkeeper, allowance),
            OperatorApi(
                self.clock,
                self.desk,
                self.store,
                self.metrics,
                lambda: self.resting,
                self.settings.conversation.logged_in,
            ),
        )

    async def offered(self) -> Sequence[Tool]:
        """What the language model may use."""
        return self.tools

    def listen(self, router: Router) -> None:
        self.server = HttpServer(self.clock, self.settings.http)
        self.factory = self.server.factory(router.answer)

    def tearDown(self) -> None:
        for client in self.clients:
            client.vanish()
        self.clock.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.desk.followers, 0)
        self.assertEqual([one.faults for one in self.clients if one.faults], [])

    def join(self, host: str | None = "127.0.0.1") -> HttpClient:
        """A client; by default one for whom no limit per address holds."""
        client = HttpClient(self.clock, host)
        client.connect(self.factory)
        self.clients.append(client)
        return client

    def ask(
        self,
        method: str,
        target: str,
        body: object = None,
        headers: Iterable[tuple[str, str]] = (),
        host: str | None = "127.0.0.1",
    ) -> HttpClient:
        """A new client that has sent a request; a body that is no bytes is JSON."""
        client, headers = self.join(host), list(headers)
        if body is not None and not isinstance(body, bytes):
            body, headers = msgspec.json.encode(body), [JSON, *headers]
        client.request(method, target, headers, body)
        return client

    def call(
        self,
        method: str,
        target: str,
        body: object = None,
        headers: Iterable[tuple[str, str]] = (),
        host: str | None = "127.0.0.1",
    ) -> Response:
        """The response to a request, as far as it has come."""
        return self.ask(method, target, body, headers, host).take_one()

    def chat(self, message: str = "help", **fields: object) -> HttpClient:
        """A client that has said something."""
        return self.ask("POST", "/api/chat", {"message": message, **fields})

    def follow(
        self, session: str, query: str = "", headers: Iterable[tuple[str, str]] = ()
    ) -> HttpClient:
        """A client that follows a session."""
        return self.ask("GET", f"/api/session/{session}/events{query}", None, headers)

    def answer(self, *paragraphs: str) -> None:
        """Let the service give these, and end."""
        asked = self.service.last
        for paragraph in paragraphs:
            asked.reply.paragraph(paragraph)
        asked.end()

    def answered(self, session: str | None = None, **fields: object) -> Response:
        """A message that has been answered in two paragraphs."""
        client = self.chat("help", session_id=session, **fields)
        self.answer("<p>One.</p>", "<p>Two.</p>")
        return client.take_one()

    def refused(self, response: Response, status: int, *pointers: str) -> str:
        """Check a problem, and return what it tells."""
        self.assertEqual(response.status, status, response.body)
        self.assertEqual(response.headers["content-type"], "application/problem+json")
        problem = response.json
        self.assertEqual((problem["type"], problem["status"]), ("about:blank", status))
        self.assertTrue(problem["title"])
        errors = problem.get("errors", [])
        self.assertEqual([one["pointer"] for one in errors], list(pointers))
        self.assertTrue(all(one["detail"] for one in errors))
        return str(problem.get("detail", ""))


class HeldScene(HttpScene):
    """The same, with a store that does nothing until the test says so."""

    def setUp(self) -> None:
        self.held = Held()
        self.serve(self.held)
