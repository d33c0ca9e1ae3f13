"""One customer's thread: what was said, and who answers next.

What is shown has been stored before. Messages are answered one at a time, in the order
in which they came.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, TypeVar
from uuid import uuid4

import msgspec
from twisted.internet.defer import (
    Deferred,
    fail,
    succeed,
)
from twisted.logger import Logger
from twisted.python.failure import Failure

from supportbot.dispatcher import Dispatcher
from supportbot.errors import (
    BadRequest,
    ConversationClosed,
    MessageEmpty,
    MessageTooLong,
    ServiceError,
    TooManyWaiting,
)
from supportbot.events import (
    CustomerSaid,
    Event,
    Outcome,
    ReplyEnded,
    ReplyStarted,
)
from supportbot.follower import Follower
from supportbot.interfaces import Question, Service, TranscriptStore, Viewer
from supportbot.reply import StoredReply
from supportbot.settings import ConversationSettings
from supportbot.waiters import Waiters

conversation_id: ContextVar[str] = ContextVar("conversation_id", default="")
"""The conversation that the running code is about; coroutines keep it."""

_Event = TypeVar("_Event", bound=Event)
_OUR_FAULT = "Something went wrong on our side; please ask again."
_log = Logger()


class _Message:
    """A message, and those who wait for its answer."""

    def __init__(self, text: str, message_id: str) -> None:
        self.text, self.message_id = text, message_id
        self.seq = 0  # until it is stored
        self.ended: ReplyEnded | None = None
        self.waiters = Waiters[ReplyEnded]()


class Conversation:
    """A transcript plus a queue of messages that were not answered yet.

    Args:
        id: names it in the store and in logs.
        store: where its events live.
        dispatcher: picks the service for each message.
        now: the time in seconds of UTC.
        settings: its limits.
    """

    def __init__(
        self,
        id: str,
        store: TranscriptStore,
        dispatcher: Dispatcher,
        now: Callable[[], float],
        settings: ConversationSettings,
    ) -> None:
        self.id = id
        self._store, self._dispatcher = store, dispatcher
        self._now, self._settings = now, settings
        self._last_seq = 0
        self._unstored: list[tuple[Event, Deferred[Any]]] = []
        self._storing = False
        self._messages: dict[str, _Message] = {}
        self._queue: deque[_Message] = deque()
        self._unanswered: list[_Message] = []  # also those not yet in the queue
        self._busy = self._closed = False
        self._reply: StoredReply | None = None
        self._followers: list[Follower] = []
        self._idle = Waiters[None]()

    @property
    def unanswered(self) -> int:
        """How many messages wait for their answers, or for the rest of them."""
        return len(self._unanswered)

    def say(self, text: str, message_id: str | None = None) -> Deferred[ReplyEnded]:
        """Take a customer's message.

        Args:
            text: as typed; white space around it does not count.
            message_id: the same id again is the same message, not a second one.

        Returns:
            Fires when the message is answered, with how that ended. Cancelling it
            leaves the message where it is. Fails with BadRequest if the message is
            not taken, and with StoreError if it, or that its answer began or ended,
            could not be stored; the same message may be said again then.
        """
        message = self._messages.get(message_id) if message_id else None
        if message is not None and message.ended is not None:
            return succeed(message.ended)
        if message is not None and message in self._unanswered:
            return message.waiters.another()
        text = text.strip()
        try:
            self._admit(text)
        except BadRequest as error:
            return fail(error)
        if message is None:
            message = _Message(text, message_id or uuid4().hex)
            self._messages[message.message_id] = message
        self._unanswered.append(message)
        answered = message.waiters.another()
        if message.seq:
            self._line_up(message)
        else:
            said = self._record(CustomerSaid, text=text, message_id=message.message_id)
            said.addCallbacks(
                self._said, self._end, callbackArgs=(message,), errbackArgs=(message,)
            )
        return answered

    def stop(self) -> bool:
        """End the reply that is under way; returns whether there was one.

        The connection to the service is closed at once, and the reply's outcome is
        `stopped`, unless the service had ended by itself.
        """
        if self._reply is None:
            return False
        self._reply.stop()
        return True

    def close(self) -> Deferred[None]:
        """Take no more messages, and stop; fires when nothing is under way."""
        self._closed = True
        self.stop()
        for follower in list(self._followers):
            follower.stopProducing()
        return self.idle()

    def idle(self) -> Deferred[None]:
        """Fires when no message is unanswered."""
        if not self._unanswered:
            return succeed(None)
        return self._idle.another()

    def read(self, after: int) -> Deferred[Sequence[Event]]:
        """The events behind a number, a batch of them; empty when there are none."""
        return self._store.read(self.id, after, self._settings.batch)

    def follow(self, viewer: Viewer, after: int = 0) -> Follower:
        """Show a viewer all events behind a number, and those to come.

        The viewer is called from the moment on when `catch_up` of the follower that
        is returned is, so that there is time to register that as a producer.
        """

        follower = Follower(viewer, after, self.read, self._followers.remove)
        self._followers.append(follower)
        return follower

    def _admit(self, text: str) -> None:
        if self._closed:
            raise ConversationClosed
        if not text:
            raise MessageEmpty
        if len(text) > self._settings.message:
            raise MessageTooLong(self._settings.message)
        if len(self._unanswered) >= self._settings.queue:
            raise TooManyWaiting(self._settings.queue)

    def _record(self, kind: type[_Event], **fields: object) -> Deferred[_Event]:
        """Store an event, then announce it.

        One append at a time. An event gets its number when its append starts, and an
        append that fails takes with it what waits behind it: so there is no hole,
        neither in the numbers nor in an answer.
        """
        event = kind(seq=0, at=self._now(), **fields)  # type: ignore[arg-type]
        stored: Deferred[Any] = Deferred()
        self._unstored.append((event, stored))
        if not self._storing:
            self._storing = True
            Deferred.fromCoroutine(self._store_all())
        return stored

    async def _store_all(self) -> None:
        while self._unstored:
            batch, self._unstored = self._unstored, []
            events = [
                msgspec.structs.replace(event, seq=seq)
                for seq, (event, _) in enumerate(batch, self._last_seq + 1)
            ]
            try:
                await self._store.append(self.id, events)
            except Exception:  # whatever it is, nobody may be left waiting
                why, lost = Failure(), [*batch, *self._unstored]
                self._unstored = []
                for _, stored in lost:
                    stored.errback(why)
                continue
            self._last_seq = events[-1].seq
            for event, (_, stored) in zip(events, batch, strict=True):
                for follower in list(self._followers):
                    follower.announced(event)
                stored.callback(event)
        self._storing = False

    def _said(self, event: Event, message: _Message) -> None:
        message.seq = event.seq
        self._line_up(message)

    def _line_up(self, message: _Message) -> None:
        self._queue.append(message)
        if not self._busy:
            self._busy = True  # before the start, which may be the end as well
            Deferred.fromCoroutine(self._work())

    async def _work(self) -> None:
        conversation_id.set(self.id)
        while self._queue:
            message = self._queue.popleft()
            result: ReplyEnded | Failure
            try:
                result = await self._answer(message)
            except Exception:  # its beginning or its end could not be stored
                _log.failure("answering a message")
                result = Failure()
            self._reply = None
            self._end(result, message)
        self._busy = False

    async def _answer(self, message: _Message) -> ReplyEnded:
        route = self._dispatcher.pick(message.text)
        service, began = route.service, self._now()
        reply = self._reply = StoredReply(self._record, lambda: list(self._followers))
        if self._closed:
            reply.stop()
        await self._record(
            ReplyStarted, service=service.name, intent=route.intent, to=message.seq
        )

        async def transcript() -> Sequence[Event]:
            return await self._store.read(self.id, 0, message.seq)

        question = Question(message.text, transcript)
        how = await self._outcome(service, question, reply)
        ended = await self._record(ReplyEnded, **how)
        _log.info(
            "{service} answered: {outcome} after {took:.1f} s",
            service=service.name,
            intent=route.intent,
            outcome=how["outcome"],
            took=self._now() - began,
        )
        return ended

    async def _outcome(
        self, service: Service, question: Question, reply: StoredReply
    ) -> dict[str, object]:
        """Let the service answer; how that ended, as the fields of ReplyEnded."""
        try:
            await reply.answer(service, question)
        except ServiceError as error:
            told = error.told.format(service=service.title)
            detail = f"{told} {self._dispatcher.way_out(service)}"
            return {"outcome": Outcome.CUT, "detail": detail, "unavailable": True}
        except Exception:
            _log.failure("answering with {service}", service=service.name)
            return {"outcome": Outcome.FAILED, "detail": _OUR_FAULT}
        return {"outcome": Outcome.STOPPED if reply.stopped else Outcome.COMPLETE}

    def _end(self, result: ReplyEnded | Failure, message: _Message) -> None:
        """Tell all who wait for a message."""
        self._unanswered.remove(message)
        if isinstance(result, ReplyEnded):
            message.ended = result
        elif not message.seq:
            del self._messages[message.message_id]
        message.waiters.fire(result)
        if not self._unanswered:
            self._idle.fire(None)
