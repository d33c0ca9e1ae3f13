"""The WebSocket API: what a client may ask for on its connection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from supportbot.channels.http.operations import Operation
from supportbot.channels.http.problems import refused
from supportbot.channels.http.routing import Call
from supportbot.channels.limits import Allowance
from supportbot.channels.websocket import asyncapi
from supportbot.channels.websocket.frames import Close
from supportbot.channels.websocket.handshake import agree
from supportbot.channels.websocket.session import Session
from supportbot.channels.websocket.sessions import Sessions, new_id
from supportbot.channels.websocket.shapes import (
    Action,
    End,
    Error,
    Post,
    ProcessingStart,
    Resume,
    Sent,
    SessionStart,
    Start,
    Started,
    Stop,
    mark_of,
    marked,
)
from supportbot.channels.websocket.socket import Socket
from supportbot.channels.websocket.telling import FAILED, unfit
from supportbot.context import Logger, conversation_id, request_id
from supportbot.errors import StoreError, TooOften
from supportbot.frontdesk import FrontDesk
from supportbot.metrics import Metrics
from supportbot.settings import Settings

NOT_FOUND = "The session is not found. Please start a new session."
NO_SUCH = "Session with ID {id} not found."
_TOO_MANY = "There are {limit} sessions on this connection already; end one first."
_MINUTE = 60.0
_REACTS = 2.0  # seconds that a client gets to show that it is there
_log = Logger()


class _Named(msgspec.Struct):
    """What every message for us has."""

    action: str


_CODES = set(Close)
_named = msgspec.json.Decoder(_Named).decode
_action = msgspec.json.Decoder[Action](Action).decode
_encode = msgspec.json.Encoder().encode
_ACTIONS = {str(one.__struct_config__.tag) for one in (Start, Post, End, Resume, Stop)}


class WebSocketApi:
    """The API, on as many connections as there are.

    Args:
        clock: for pings and other deadlines.
        now: the time in seconds of UTC.
        desk: has the conversations.
        settings: the limits.
        allowance: how often clients may do something.
        metrics: counts.
        new_id: makes the ids of sessions.

    Attributes:
        sessions: all of them.
        connections: how many are open.
    """

    def __init__(
        self,
        clock: IReactorTime,
        now: Callable[[], float],
        desk: FrontDesk,
        settings: Settings,
        allowance: Allowance,
        metrics: Metrics,
        new_id: Callable[[], str] = new_id,
    ) -> None:
        self.clock, self.desk, self.metrics = clock, desk, metrics
        self.settings = settings.websocket
        self._stall = settings.http.stall
        self.sessions = Sessions(clock, now, desk, allowance, self.settings, new_id)
        self.connections = 0

    def rows(self, *paths: str) -> Sequence[Operation]:
        """What the route table needs for it.

        Args:
            paths: where it is mounted.
        """
        mounted = [
            Operation(
                method="GET",
                path=path,
                name=f"websocket{path}".strip("/").replace("/", "_"),
                answer=self.open,
                summary="Open a WebSocket",
                about="What goes over it stands in `/asyncapi.json`.",
                upgrades=True,
                problems=(503,),
            )
            for path in paths
        ]
        return [*mounted, asyncapi.operation()]

    async def open(self, call: Call) -> None:
        """Make a WebSocket of a connection."""
        exchange = call.exchange
        agreement = agree(exchange, self.settings)
        if self.desk.draining:
            told = "This process is about to end; please connect again."
            raise refused(503, told, (b"retry-after", b"1"))
        client, request = exchange.client, request_id.get()
        socket = Socket(
            self.clock,
            self.settings,
            self._stall,
            lambda socket: Client(self, socket, client, request),
            agreement.extensions,
            self._closed,
        )
        self.connections += 1
        exchange.upgrade(socket, agreement.headers)

    def _closed(self, code: int) -> None:
        self.connections -= 1
        # A client may close with any of thousands of codes.
        self.metrics.closed.add(str(int(code)) if code in _CODES else "other")


class Client:
    """One connection: from what its client sends to the sessions that it has.

    Args:
        api: knows all sessions.
        socket: takes what is sent.
        address: of the client.
        request: what logs call the connection.

    Attributes:
        address, request: as given.
        full: the client does not take what was sent.
    """

    def __init__(
        self, api: WebSocketApi, socket: Socket, address: str, request: str
    ) -> None:
        self._api, self._socket = api, socket
        self.address, self.request = address, request
        self.full = self._draining = False
        self._sessions: dict[str, Session] = {}  # those that are over as well
        self._nonsense, self._since = 0, 0.0

    # The socket calls these

    def message(self, text: str) -> Deferred[Any] | None:
        """What the client asks for; fires when that is begun."""
        try:
            known = _named(text).action in _ACTIONS
        except (msgspec.MsgspecError, RecursionError):
            known = False
        if not known:
            self._api.metrics.nonsense.add()
            self._bear()
            return None
        try:
            asked = _action(text)
        except (msgspec.MsgspecError, RecursionError) as error:
            self.send(unfit(str(error)))
            return None
        if isinstance(asked, Start):
            self._start(asked)
            return None
        if isinstance(asked, Resume):
            return Deferred.fromCoroutine(self._resume(asked))
        session = self._sessions.get(asked.session_id)
        if session is None:
            self._unknown(asked)
            return None
        if isinstance(asked, Post):
            return session.post(asked)
        if isinstance(asked, Stop):
            return session.stop()
        return self._api.sessions.end(session)

    def pause(self) -> None:
        self.full = True
        for session in self._sessions.values():
            session.pause()

    def resume(self) -> None:
        self.full = False
        for session in list(self._sessions.values()):
            if self.full:
                break
            session.resume()

    def drain(self) -> None:
        self._draining = True
        self.rests()

    def lost(self) -> None:
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            self._api.sessions.leave(session)

    # Its sessions call these

    def send(self, what: Sent) -> None:
        self._socket.send(_encode(what))

    def rests(self) -> None:
        if self._draining and all(one.at_rest for one in self._sessions.values()):
            self.restart()

    def restart(self) -> None:
        self._socket.close(Close.RESTART, "come back: another process goes on")

    def alive(self) -> Deferred[bool]:
        return self._socket.probe(_REACTS)

    def forget(self, session: Session) -> None:
        self._sessions.pop(session.id, None)

    # What a client asks for

    def _start(self, asked: Start) -> None:
        if self._is_full():
            return
        try:
            session = self._api.sessions.start(self, asked.gpt_model or "")
        except TooOften as error:
            self.send(unfit(str(error)))
            return
        self._add(session)
        self.send(SessionStart(data=Started(session.id)))

    async def _resume(self, asked: Resume) -> None:
        conversation_id.set(asked.session_id)
        request_id.set(self.request)
        id = asked.session_id
        if id not in self._sessions and self._is_full():
            return
        try:
            session = await self._api.sessions.resume(self, id)
        except StoreError as error:
            _log.warn("can't look for a session: {why}", why=str(error))
            self.send(Error(data=FAILED, session_id=id))
            return
        except Exception:
            _log.failure("looking for a session")
            self.send(Error(data=FAILED, session_id=id))
            return
        if session is None:
            self.send(Error(data=NOT_FOUND, session_id=id))
            self._bear()  # each of them may be looked for in the database
            return
        if self._socket.closing or (id not in self._sessions and self._is_full()):
            self._api.sessions.leave(session)  # that has come about meanwhile
            return
        self._add(session)
        await session.go_on(asked)

    def _is_full(self) -> bool:
        limit = self._api.settings.sessions
        full = sum(not one.over for one in self._sessions.values()) >= limit
        if full:
            self.send(unfit(_TOO_MANY.format(limit=limit)))
        return full

    def _add(self, session: Session) -> None:
        self._sessions[session.id] = session
        if len(self._sessions) > 2 * self._api.settings.sessions:
            over = next(one for one in self._sessions.values() if one.over)
            self.forget(over)

    def _unknown(self, asked: Post | End | Stop) -> None:
        if isinstance(asked, Post):
            mark = mark_of(asked)
            self.send(marked(ProcessingStart(), mark))
            self.send(marked(Error(data=NOT_FOUND), mark))
        else:
            self.send(Error(data=NO_SUCH.format(id=asked.session_id)))

    def _bear(self) -> None:
        """Bear with a message that leads nowhere, unless it becomes too much."""
        now = self._api.clock.seconds()
        if now - self._since > _MINUTE:
            self._nonsense, self._since = 0, now
        self._nonsense += 1
        if self._nonsense > self._api.settings.nonsense:
            self._socket.close(Close.POLICY, "too much that leads nowhere")
