"""The WebSocket API in memory: its server, its clients, and what these have seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from supportbot.channels.http.api import table
from supportbot.channels.http.chat_api import ChatApi
from supportbot.channels.http.customer_api import CustomerApi
from supportbot.channels.http.operator_api import OperatorApi
from supportbot.channels.http.routing import Router
from supportbot.channels.limits import Allowance
from supportbot.channels.websocket.api import WebSocketApi
from supportbot.errors import StoreError
from supportbot.events import (
    CustomerSaid,
    Event,
    ParagraphSaid,
    ReplyEnded,
    ReplyRevised,
    ReplyStarted,
)
from supportbot.interfaces import TranscriptStore
from supportbot.ledger import Paragraphs
from supportbot.settings import ConversationSettings, WebSocketSettings
from supportbot.transcripts.memory import MemoryStore
from tests.http_fakes import Held, HttpScene
from tests.websocket_client import WebSocketClient

FAILED = "Unable to process the request. Please try again later."
CLOSED = "The session is closed. Please start a new session."
NOT_FOUND = "The session is not found. Please start a new session."
BEGUN: dict[str, object] = {"type": "processing_start", "data": None}
END: dict[str, object] = {"type": "processing_end", "data": None}
OVER: dict[str, object] = {"type": "session_end", "data": None}
GRACE = 60.0
_numbers = count(1)  # of sessions; no process makes an id that another has made


def error(text: str, **more: object) -> dict[str, object]:
    """An error, and what else it says."""
    return {"type": "error", "data": text, **more}


def unfit(reason: str) -> dict[str, object]:
    """The error for what can't be."""
    return error(f"Unexpected error occurred. Reason: {reason}")


def kinds(messages: Sequence[Any]) -> list[str]:
    """Only the types of messages."""
    return [one["type"] for one in messages]


class Lasting(MemoryStore):
    """A store whose transcripts outlive the process.

    Args:
        transcripts: what is durable.

    Attributes:
        broken: what fails, by the names of the methods.
    """

    lasting = True

    def __init__(self, transcripts: dict[str, list[Event]] | None = None) -> None:
        super().__init__(transcripts)
        self.broken: set[str] = set()

    def find(self, conversation_id: str) -> Deferred[Any]:
        return self._do("find", lambda: super(Lasting, self).find(conversation_id))

    def append(self, conversation_id: str, events: Sequence[Event]) -> Deferred[None]:
        kept = list(events)
        return self._do(
            "append", lambda: super(Lasting, self).append(conversation_id, kept)
        )

    def read(self, conversation_id: str, after: int, limit: int) -> Deferred[Any]:
        return self._do(
            "read", lambda: super(Lasting, self).read(conversation_id, after, limit)
        )

    def _do(self, name: str, do: Callable[[], Deferred[Any]]) -> Deferred[Any]:
        if name not in self.broken:
            return do()
        lost: Deferred[Any] = Deferred()
        lost.errback(StoreError("the disk is full"))
        return lost


class Passing(Lasting):
    """The same, but its transcripts end with the process."""

    lasting = False


class HeldLasting(Held):
    """A store in the test's hands whose transcripts outlive the process."""

    lasting = True


class WebSocketScene(HttpScene):
    """A server of both APIs whose only service answers `help` as the test says."""

    def serve(
        self,
        store: TranscriptStore | None = None,
        conversation: ConversationSettings | None = None,
        clock: Clock | None = None,
        websocket: WebSocketSettings | None = None,
        **http: Any,
    ) -> None:
        """Start anew, with other settings."""
        self._websocket = websocket or WebSocketSettings(grace=GRACE)
        super().serve(store, conversation, clock, **http)

    def handlers(self) -> tuple[ChatApi, CustomerApi, OperatorApi]:
        self.settings = msgspec.structs.replace(
            self.settings, websocket=self._websocket
        )
        allowance = Allowance(self.clock, self.settings.http)
        self.api = WebSocketApi(
            self.clock,
            self.clock.seconds,
            self.desk,
            self.settings,
            allowance,
            self.metrics,
            lambda: f"{next(_numbers):08x}-0000-4000-8000-000000000000",
        )
        self._handlers = self.handlers_with(allowance)
        return self._handlers

    def listen(self, router: Router) -> None:
        rows = [*table(*self._handlers), self.api.rows("/ws")[0]]
        super().listen(Router(rows, self.settings.http))

    def tearDown(self) -> None:
        for client in self.clients:
            client.vanish()
        self.clock.advance(0)
        self.clock.advance(self.settings.websocket.grace)
        self.assertEqual(self.api.sessions.counts(), {"here": 0, "lost": 0})
        self.assertEqual(self.api.connections, 0)
        self.assertEqual(self.desk.unanswered, 0)
        super().tearDown()

    def restart(self, store: TranscriptStore, **kinds: Any) -> None:
        """Another process takes over, on the same store; connections are lost."""
        for client in self.clients:
            client.vanish()
        self.clock.advance(0)
        for call in self.clock.getDelayedCalls():  # of the process that is no more
            call.cancel()
        self.serve(store, clock=self.clock, **kinds)

    # What clients do

    def meet(
        self, host: str = "127.0.0.1", room: int = 65_536, *, mute: bool = False
    ) -> WebSocketClient:
        """A client with an open WebSocket; by default no limit per address holds."""
        client = WebSocketClient(self.clock, host, room, mute=mute)
        client.connect(self.factory)
        self.clients.append(client)
        response = client.open()
        assert response is not None
        self.assertEqual(response.status, 101, response.body)
        return client

    def start(self, client: WebSocketClient, **fields: object) -> str:
        """A new session."""
        client.post({"action": "chatbot_session_start", **fields})
        started = client.take_one()
        self.assertEqual(started["type"], "session_start")
        return str(started["data"]["session_id"])

    def say(
        self,
        client: WebSocketClient,
        session: str,
        text: object = "help",
        **fields: object,
    ) -> None:
        """Post a message."""
        client.post(
            {
                "action": "chatbot_post_message",
                "session_id": session,
                "user_message": text,
                **fields,
            }
        )

    def end(self, client: WebSocketClient, session: str) -> None:
        """End a session."""
        client.post({"action": "chatbot_session_end", "session_id": session})

    def stop(self, client: WebSocketClient, session: str) -> None:
        """Stop an answer."""
        client.post({"action": "chatbot_stop", "session_id": session})

    def resume(
        self, client: WebSocketClient, session: str, after: int = 0, **fields: object
    ) -> list[Any]:
        """Resume a session, and take what comes at once."""
        client.post(
            {
                "action": "chatbot_session_resume",
                "session_id": session,
                "after": after,
                **fields,
            }
        )
        return client.take()

    def begun(self, **fields: object) -> tuple[WebSocketClient, str]:
        """A client whose first message is being answered, and its session."""
        client = self.meet()
        session = self.start(client)
        self.say(client, session, **fields)
        return client, session

    def lose(self, client: WebSocketClient) -> None:
        """Let a connection be lost."""
        client.vanish()
        self.clock.advance(0)

    def events(self, session: str) -> list[Event]:
        """A session's transcript."""
        reading = self.store.read(session, 0, 100_000)
        events: Sequence[Event] = self.successResultOf(reading)
        return list(events)


class Shown:
    """What a client has of one session: it believes nothing but what it was sent.

    Attributes:
        after: the highest number that came.
        faults: what should never come.
        ends: how the messages ended, by their ids: the text, or None for an error.
        again: the messages that were posted once more, and whose turn has not come.
        begun: those of them whose turn has come, and nothing else yet.
    """

    def __init__(self, session: str) -> None:
        self.session, self.after = session, 0
        self.faults: list[str] = []
        self.chunks: dict[str, list[tuple[int, str]]] = {}
        self.ends: dict[str, str | None] = {}
        self.again: set[str] = set()
        self.begun: set[str] = set()
        self._now = ""  # the message that is being answered

    def ask(self, message_id: str) -> None:
        """The client posts a message: what it has of an answer to it, it forgets."""
        if message_id in self.chunks:
            self.again.add(message_id)
        self.chunks[message_id] = []
        self.ends.pop(message_id, None)

    def take(self, message: Any) -> None:
        """A message of ours came."""
        kind, told = message["type"], message.get("data")
        if message.get("session_id", told) != self.session and kind not in {
            "session_start",
            "session_resume",
        }:
            self.faults.append(f"whose is it? {message}")
        id = message.get("message_id", "")
        if kind == "session_resume":
            self._now = ""
        elif kind == "processing_start":
            self._expect(not self._now, message)
            self._now = id
            if id in self.again:
                self.again.remove(id)
                self.begun.add(id)
        elif kind == "message_chunk":
            self._expect(id == self._now, message)
            self._number(told["seq"], message)
            self.chunks.setdefault(id, []).append((told["seq"], told["text"]))
        elif kind == "message_revised":
            self._expect(id == self._now, message)
            self._number(told["seq"], message)
            del self.chunks.setdefault(id, [])[told["keep"] :]
        elif kind == "message_delta":
            self._expect(id == self._now, message)
        elif kind == "message":
            self._expect(id == self._now, message)
            self._number(message["seq"], message)
            self.ends[id] = told
        elif kind == "processing_end":
            self._expect(id == self._now and id in self.ends, message)
            self._now = ""
        elif kind == "error":
            self._expect(id == self._now, message)
            if "seq" in message:
                self._number(message["seq"], message)
            self.ends[id], self._now = None, ""
        else:
            self.faults.append(f"unexpected: {message}")

    def _expect(self, right: bool, message: Any) -> None:
        if not right:
            self.faults.append(f"while {self._now!r} is answered: {message}")

    def restarted(self) -> None:
        """The process is another: that something was posted once more is forgotten."""
        self.again |= self.begun

    def _number(self, seq: int, message: Any) -> None:
        self.begun.discard(message["message_id"])
        if seq <= self.after:
            self.faults.append(f"after {self.after}: {message}")
        self.after = max(self.after, seq)


class Written:
    """What a transcript says, for comparison.

    Attributes:
        chunks: those that stand in the last answers, by the messages' ids.
        texts: the last answers that ended as they should, whole.
        ended: the messages whose last answers have ended.
    """

    def __init__(self, events: Sequence[Event]) -> None:
        self.chunks: dict[str, list[tuple[int, str]]] = {}
        self.texts: dict[str, str] = {}
        self.ended: set[str] = set()
        ids: dict[int, str] = {}
        id, reply = "", Paragraphs()
        for event in events:
            if isinstance(event, CustomerSaid):
                ids[event.seq] = event.message_id
            elif isinstance(event, ReplyStarted):
                id, reply = ids[event.to], Paragraphs()
                self.chunks[id] = []
                self.ended.discard(id)
            elif isinstance(event, ParagraphSaid):
                reply.add(event)
                self.chunks[id].append((event.seq, event.text))
            elif isinstance(event, ReplyRevised):
                reply.keep(event.keep)
                del self.chunks[id][event.keep :]
            elif isinstance(event, ReplyEnded):
                self.ended.add(id)
                if event.outcome in {"complete", "stopped"}:
                    self.texts[id] = reply.text
