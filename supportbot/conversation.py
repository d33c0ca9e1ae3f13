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

from twisted.internet.defer import (
    CancelledError,
    Deferred,
    fail,
    gatherResults,
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
    StoreError,
    TooManyWaiting,
)
from supportbot.events import (
    CustomerSaid,
    Event,
    Format,
    Outcome,
    ParagraphSaid,
    ReplyEnded,
    ReplyRevised,
    ReplyStarted,
)
from supportbot.follower import Follower
from supportbot.interfaces import Question, Service, TranscriptStore, Viewer
from supportbot.settings import ConversationSettings

conversation_id: ContextVar[str] = ContextVar("conversation_id", default="")
"""The conversation that the running code is about; coroutines keep it."""

_Event = TypeVar("_Event", bound=Event)
_OUR_FAULT = "Something went wrong on our side; please ask again."
_log = Logger()


class _Message:
    """A message, and those who wait for its answer."""

    def __init__(self, text: str, message_id: str) -> None:
        self.text, self.message_id = text, message_id
        self.seq = 0
        self.ended: ReplyEnded | None = None
        self.waiting: list[Deferred[ReplyEnded]] = []

    def answered(self) -> Deferred[ReplyEnded]:
        """Fires when the answer has ended, also if it has already."""
        if self.ended is not None:
            return succeed(self.ended)
        waiter: Deferred[ReplyEnded] = Deferred(self.waiting.remove)
        self.waiting.append(waiter)
        return waiter


class _Reply:
    """Where the service that answers puts its paragraphs; see `Reply`."""

    def __init__(
        self,
        record: Callable[..., Deferred[Any]],
        followers: Callable[[], Sequence[Follower]],
        broke: Callable[[], object],
    ) -> None:
        self._record, self._followers, self._broke = record, followers, broke
        self._being_stored: list[Deferred[None]] = []
        self._failure: Failure | None = None
        self._over = False

    def paragraph(self, text: str, format: Format = "html") -> None:
        self._store(ParagraphSaid, text=text, format=format)

    def revise(self, keep: int) -> None:
        self._store(ReplyRevised, keep=keep)

    def delta(self, text: str) -> None:
        if not self._over:
            for follower in self._followers():
                follower.delta(text)

    def notice(self, text: str) -> None:
        if not self._over:
            for follower in self._followers():
                follower.notice(text)

    async def end(self) -> None:
        """No more is taken; returns when all that was taken is durable.

        Raises:
            StoreError: not all of it was.
        """
        self._over = True
        await gatherResults(self._being_stored)
        if self._failure is not None:
            self._failure.raiseException()

    def _store(self, kind: type[Event], **fields: object) -> None:
        if not self._over:
            storing = self._record(kind, **fields)
            self._being_stored = [d for d in self._being_stored if not d.called]
            self._being_stored.append(storing.addCallbacks(lambda _: None, self._lost))

    def _lost(self, why: Failure) -> None:
        self._failure, self._over = self._failure or why, True
        self._broke()


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
        self._messages: dict[str, _Message] = {}
        self._queue: deque[_Message] = deque()
        self._unanswered: list[_Message] = []  # also those not yet in the queue
        self._busy = self._stopping = self._closed = False
        self._answering: Deferred[None] | None = None
        self._followers: list[Follower] = []
        self._idle: list[Deferred[None]] = []

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
            not taken, and with StoreError if it could not be stored.
        """
        if message_id is not None and message_id in self._messages:
            return self._messages[message_id].answered()
        text = text.strip()
        try:
            self._admit(text)
        except BadRequest as error:
            return fail(error)
        message = _Message(text, message_id or uuid4().hex)
        self._messages[message.message_id] = message
        self._unanswered.append(message)
        answered = message.answered()
        said = self._record(CustomerSaid, text=text, message_id=message.message_id)
        said.addCallbacks(
            self._said, self._not_said, callbackArgs=(message,), errbackArgs=(message,)
        )
        return answered

    def stop(self) -> bool:
        """End the reply that is under way as `stopped`; returns whether there was one.

        The connection to the service is closed at once.
        """
        if not self._busy:
            return False
        self._stopping = True
        if self._answering is not None:
            self._answering.cancel()
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
        waiter: Deferred[None] = Deferred(self._idle.remove)
        self._idle.append(waiter)
        return waiter

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
        """Store an event, then announce it."""
        self._last_seq += 1
        event = kind(seq=self._last_seq, at=self._now(), **fields)  # type: ignore[arg-type]
        stored = self._store.append(self.id, [event])
        return stored.addCallback(lambda _: self._announce(event))

    def _announce(self, event: _Event) -> _Event:
        for follower in list(self._followers):
            follower.announced(event)
        return event

    def _said(self, event: Event, message: _Message) -> None:
        message.seq = event.seq
        self._queue.append(message)
        if not self._busy:
            self._busy = True  # before the start, which may be the end as well
            Deferred.fromCoroutine(self._work()).addErrback(self._broke)

    def _not_said(self, why: Failure, message: _Message) -> None:
        del self._messages[message.message_id]
        self._end(message, why)

    async def _work(self) -> None:
        conversation_id.set(self.id)
        while self._queue:
            message = self._queue.popleft()
            self._stopping = self._closed
            ended = await self._answer(message)
            self._end(message, ended)
        self._busy = False

    async def _answer(self, message: _Message) -> ReplyEnded:
        route = self._dispatcher.pick(message.text)
        service, began = route.service, self._now()
        await self._record(
            ReplyStarted, service=service.name, intent=route.intent, to=message.seq
        )
        reply = _Reply(self._record, lambda: list(self._followers), self.stop)

        async def transcript() -> Sequence[Event]:
            return await self._store.read(self.id, 0, message.seq)

        question = Question(message.text, transcript)
        how = await self._outcome(service, question, reply)
        self._answering = None
        await reply.end()
        ended = await self._record(ReplyEnded, **how)
        _log.info(
            "{service} answered: {outcome} after {took:.1f} s",
            service=service.name,
            intent=route.intent,
            outcome=how["outcome"],
            took=self._now() - began,
            conversation=self.id,
        )
        return ended

    async def _outcome(
        self, service: Service, question: Question, reply: _Reply
    ) -> dict[str, object]:
        """Let the service answer; how that ended, as the fields of ReplyEnded."""
        try:
            self._answering = Deferred.fromCoroutine(service.answer(question, reply))
            if self._stopping:
                self._answering.cancel()
            await self._answering
        except CancelledError:
            return {"outcome": Outcome.STOPPED}
        except ServiceError as error:
            told = error.told.format(service=service.title)
            detail = f"{told} {self._dispatcher.way_out(service)}"
            return {"outcome": Outcome.CUT, "detail": detail, "unavailable": True}
        except Exception:
            _log.failure("answering with {service}", service=service.name)
            return {"outcome": Outcome.FAILED, "detail": _OUR_FAULT}
        return {"outcome": Outcome.COMPLETE}

    def _end(self, message: _Message, result: ReplyEnded | Failure) -> None:
        """Tell all who wait for a message."""
        self._unanswered.remove(message)
        if isinstance(result, ReplyEnded):
            message.ended = result
        waiting, message.waiting = message.waiting, []
        for waiter in waiting:
            waiter.callback(result)
        if not self._unanswered:
            idle, self._idle = self._idle, []
            for one in idle:
                one.callback(None)

    def _broke(self, why: Failure) -> None:
        """The work itself failed: nobody may be left waiting."""
        _log.failure("the work of a conversation", failure=why)
        self._busy, self._closed = False, True
        failure = why if why.check(StoreError) else Failure(StoreError("not stored"))
        self._queue.clear()
        for message in list(self._unanswered):
            self._end(message, failure)
