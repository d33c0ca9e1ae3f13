"""The handlers of the HTTP API: messages, and the sessions that they belong to."""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from twisted.internet.interfaces import IReactorTime

from supportbot import interfaces
from supportbot.asked import Aside
from supportbot.channels.http.answering import Streamed, Whole
from supportbot.channels.http.exchange import Exchange
from supportbot.channels.http.finding import (
    SESSION_ID,
    found,
    known,
    see_whether_possible,
    unknown,
)
from supportbot.channels.http.following import Followed
from supportbot.channels.http.polling import Polled
from supportbot.channels.http.problems import refused
from supportbot.channels.http.routing import Call
from supportbot.channels.http.shapes import (
    ChatAnswer,
    ChatQuery,
    ChatRequest,
    EventsPage,
    EventsQuery,
    MessageRequest,
    MessageStored,
    Session,
    SessionDone,
    Tool,
    Tools,
    Turn,
    called,
)
from supportbot.channels.http.sse import Pulse, Stream
from supportbot.channels.limits import Allowance
from supportbot.channels.markup import presentable
from supportbot.context import conversation_id
from supportbot.conversation import Conversation
from supportbot.errors import ConversationClosed, ServiceError
from supportbot.events import ConversationReset, Event, ReplyEnded, ReplyStarted
from supportbot.frontdesk import FrontDesk
from supportbot.ledger import Message, told
from supportbot.settings import Settings

_MESSAGE_ID = re.compile(r"[!-~]{1,128}")
_UNGUESSABLE = 22  # characters of a key that has 128 bits


class ChatApi:
    """What clients of the API can do.

    Args:
        clock: for heartbeats, and for the waiting of clients that poll.
        desk: finds the conversations.
        settings: the limits.
        allowance: how often clients may do something.
        tools: tells what the language model may use.
    """

    def __init__(
        self,
        clock: IReactorTime,
        desk: FrontDesk,
        settings: Settings,
        allowance: Allowance,
        tools: Callable[[], Awaitable[Sequence[interfaces.Tool]]],
    ) -> None:
        self._clock, self._tools = clock, tools
        self._desk, self._settings, self._allowance = desk, settings, allowance
        self._pulse = Pulse(clock, settings.http.heartbeat)

    # Messages

    async def chat(self, call: Call) -> ChatAnswer | None:
        """A message; its answer whole or as a stream."""
        request: ChatRequest = call.body
        key = _key(call, request.message_id)
        conversation, message = await self._take(
            call.exchange, request.message, request.session_id, key
        )
        if request.stream:
            self._stream(call, conversation, message)
            return None
        whole = Whole(conversation, message)
        whole.answer.begin()
        call.exchange.on_gone(whole.answer.stopProducing)
        ended, text = await whole.done
        return ChatAnswer(
            text,
            conversation.id,
            [called(one) for one in whole.answer.tool_calls] or None,
            ended.outcome,
            message.message_id,
            ended.detail,
        )

    async def say(self, call: Call) -> MessageStored:
        """A message in a session that there is; answered when it is stored."""
        request: MessageRequest = call.body
        key = _key(call, request.message_id)
        if self._desk.draining:
            raise ConversationClosed
        conversation = await known(self._desk, call.argument)
        self._spend(call.exchange, conversation, key)
        aside = self._aside(call.exchange)
        said = await conversation.take(request.message, key, aside)
        return MessageStored(
            "Message stored", conversation.id, said.message_id, said.seq
        )

    async def chat_stream(self, call: Call) -> None:
        """A message in the URL; its answer as a stream.

        A browser that lost the connection asks for the same URL again. That says
        nothing twice: its `Last-Event-ID` tells which message it meant.
        """
        query: ChatQuery = call.query
        came = _parsed(call.exchange.header(b"last-event-id") or "")
        if (
            came is not None
            and query.session_id in {None, came.session_id}
            and query.message_id in {None, came.message_id}
        ):
            await self._go_on(call, came)
            return
        conversation, message = await self._take(
            call.exchange, query.message, query.session_id, query.message_id
        )
        self._stream(call, conversation, message)

    async def _go_on(self, call: Call, came: _Came) -> None:
        """Stream the rest of an answer."""
        conversation = await found(self._desk, came.session_id)
        message = None
        if conversation is not None:
            message = conversation.message(came.message_id)
        if conversation is None or message is None:  # deleted, or reset
            call.respond(204)
            return
        if message.ended is None:  # if nobody is at it any more, it is asked again
            text, aside = call.query.message, self._aside(call.exchange)
            message = await conversation.take(text, came.message_id, aside)
        elif came.shown >= message.ended.seq:
            call.respond(204)
            return
        self._stream(call, conversation, message, came.shown)

    async def stop(self, call: Call) -> SessionDone:
        """Stop the reply that is under way."""
        conversation = await known(self._desk, call.argument)
        stopped = conversation.stop()
        done = "Reply stopped" if stopped else "No reply was under way"
        return SessionDone(done, call.argument)

    async def tools(self, call: Call) -> Tools:
        """What the language model may use."""
        try:
            tools = await self._tools()
        except ServiceError:
            told = "The shop can't be asked for its tools at the moment."
            raise refused(503, told, (b"retry-after", b"5")) from None
        return Tools([Tool(one.name, one.description, one.schema) for one in tools])

    # Sessions

    async def new_session(self, call: Call) -> SessionDone:
        """A session in which nothing was said yet."""
        self._allowance.spend(call.exchange.client, opens=True)
        conversation = await self._desk.open_durably()
        return SessionDone("New session created", conversation.id)

    async def session(self, call: Call) -> Session:
        """What was said in a session."""
        conversation = await known(self._desk, call.argument)
        events = _settled(await conversation.events())
        history, customer = turns(events), conversation.customer
        return Session(
            session_id=conversation.id,
            message_count=len(history),
            history=history,
            is_authenticated=customer is not None,
            customer_info=customer,
            last_seq=events[-1].seq if events else 0,
        )

    async def reset(self, call: Call) -> SessionDone:
        """Forget what was said; the session stays."""
        see_whether_possible(call.argument)
        if (conversation := await found(self._desk, call.argument)) is not None:
            await conversation.reset()
        return SessionDone("Session reset", call.argument)

    async def delete(self, call: Call) -> SessionDone:
        """Leave nothing of a session."""
        see_whether_possible(call.argument)
        conversation_id.set(call.argument)
        await self._desk.erase(call.argument)
        return SessionDone("Session deleted", call.argument)

    async def events(self, call: Call) -> EventsPage | None:
        """Follow a session: as a stream, or a page at a time."""
        query: EventsQuery = call.query
        after, came = query.after, call.exchange.header(b"last-event-id")
        again = came is not None and came.isascii() and came.isdecimal()
        if came is not None and again and len(came) < 10:
            after = int(came)
        conversation = await found(self._desk, call.argument)
        if conversation is None and not (again and query.stream):
            raise unknown(call.argument)
        if conversation is None or (
            query.stream
            and not query.live
            and not conversation.unanswered
            and after >= conversation.last_seq
        ):
            call.respond(204)  # a browser comes back no more
            return None
        if conversation.followers >= self._settings.conversation.followers:
            told = "Too many follow this session already."
            raise refused(429, told, (b"retry-after", b"10"))
        if not query.stream:
            clock, settings = self._clock, self._settings
            polled = Polled(clock, conversation, after, query.wait, settings)
            call.exchange.on_gone(polled.end)
            call.exchange.on_drain(polled.end)
            return await polled.page
        stream = Stream(call.exchange, self._pulse, call.headers)
        followed = Followed(conversation, stream, after, live=query.live)
        call.exchange.on_drain(followed.drain)
        return None

    # What they have in common

    async def _take(
        self,
        exchange: Exchange,
        text: str,
        session_id: str | None,
        message_id: str | None,
    ) -> tuple[Conversation, Message]:
        """Say a message, and return when it is stored."""
        if self._desk.draining:
            raise ConversationClosed
        chosen, conversation = session_id is not None, None
        if not chosen and message_id is not None and len(message_id) >= _UNGUESSABLE:
            session_id = _session_of(message_id)
        if session_id is not None:
            conversation = await found(self._desk, session_id)
            if conversation is None and chosen and not self._settings.http.chosen_ids:
                raise unknown(session_id)
        if conversation is None:
            self._allowance.spend(exchange.client, session_id, opens=True, says=True)
            chosen = session_id is not None
            conversation = self._desk.open(session_id, chosen=chosen)
            conversation_id.set(conversation.id)
        else:
            self._spend(exchange, conversation, message_id)
        aside = self._aside(exchange)
        return conversation, await conversation.take(text, message_id, aside)

    def _spend(
        self, exchange: Exchange, conversation: Conversation, message_id: str | None
    ) -> None:
        """Let a client say something in a session that there is."""
        if message_id is None or not conversation.knows(message_id):
            self._allowance.spend(exchange.client, conversation.id, says=True)

    def _aside(self, exchange: Exchange) -> Aside:
        return Aside(client=self._allowance.who(exchange.client))

    def _stream(
        self, call: Call, conversation: Conversation, message: Message, shown: int = 0
    ) -> None:
        stream = Stream(call.exchange, self._pulse, call.headers)
        Streamed(stream, conversation, message, shown).begin()


def _key(call: Call, message_id: str | None) -> str | None:
    """What a message is known by when it comes again, if the client says so."""
    key = message_id or call.exchange.header(b"idempotency-key")
    if key is not None and _MESSAGE_ID.fullmatch(key) is None:
        raise refused(400, "Idempotency-Key is not 1 to 128 visible characters.")
    return key


def turns(events: list[Event]) -> list[Turn]:
    """The history that events tell."""
    return [
        Turn("user" if one.customer else "assistant", one.text)
        for one in told(map(presentable, events[_forgotten(events) :]))
    ]


def _forgotten(events: list[Event]) -> int:
    """How many of them a reset was to forget, though they could not be erased."""
    for at in range(len(events) - 1, -1, -1):
        if isinstance(events[at], ConversationReset):
            return at
    return 0


def _settled(events: list[Event]) -> list[Event]:
    """The events up to the reply that is under way."""
    for at in range(len(events) - 1, -1, -1):
        if isinstance(events[at], ReplyEnded):
            break
        if isinstance(events[at], ReplyStarted):
            return events[:at]
    return events


def _session_of(key: str) -> str:
    """The session that a message opens which is sent again with the same key.

    Who sent a message without a session and lost the answer does not know the session
    yet. The key is as hard to guess as the id of a session is.
    """
    digest = hashlib.sha256(b"the session of " + key.encode()).digest()
    return urlsafe_b64encode(digest[:16]).decode().rstrip("=")


class _Came(msgspec.Struct, frozen=True):
    """What the `Last-Event-ID` of a streamed answer says."""

    session_id: str
    message_id: str
    shown: int


def _parsed(came: str) -> _Came | None:
    session_id, _, rest = came.partition(":")
    message_id, _, shown = rest.rpartition(":")
    if (
        SESSION_ID.fullmatch(session_id) is None
        or _MESSAGE_ID.fullmatch(message_id) is None
        or not (shown.isascii() and shown.isdecimal() and len(shown) < 10)
    ):
        return None
    return _Came(session_id, message_id, int(shown))
