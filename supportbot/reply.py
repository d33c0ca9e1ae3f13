"""The reply that is under way: what the service gives is stored, then shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, gatherResults, succeed
from twisted.python.failure import Failure

from supportbot.errors import ServiceError
from supportbot.events import Event, Format, ParagraphSaid, ReplyRevised
from supportbot.follower import Follower
from supportbot.interfaces import Question, Service


class StoredReply:
    """Where the service that answers puts its paragraphs; see `Reply`.

    Attributes:
        stopped: before the service had ended.
    """

    def __init__(
        self,
        record: Callable[..., Deferred[Any]],
        followers: Callable[[], Sequence[Follower]],
    ) -> None:
        self._record, self._followers = record, followers
        self._answering: Deferred[None] | None = None
        self._storing: Deferred[None] = succeed(None)  # what was taken last
        self._failure: Failure | None = None
        self._growing = ""  # behind what is being stored
        self._over = self.stopped = False

    def paragraph(self, text: str, format: Format = "html") -> None:
        self._store(ParagraphSaid, text=text, format=format)

    def revise(self, keep: int) -> None:
        self._store(ReplyRevised, keep=keep)

    def delta(self, text: str) -> None:
        self._growing += text
        self._grow()

    def notice(self, text: str) -> None:
        if not self._over:
            for follower in self._followers():
                follower.notice(text)

    def stop(self) -> None:
        """Take no more, and cancel the service, if it has not ended by itself."""
        if not self._over:
            self.stopped = True
            self._end()

    async def answer(self, service: Service, question: Question) -> None:
        """Let the service answer; returns when all that was taken is durable.

        Raises:
            StoreError: not all of it is.
        """
        try:
            if not self._over:
                self._answering = Deferred.fromCoroutine(service.answer(question, self))
                if self._over:  # while that began
                    self._answering.cancel()
                await self._answering
        except (CancelledError, ServiceError):
            if not self.stopped:
                raise
        finally:
            self._over = True
            await gatherResults([self._storing])  # which may just be firing
            if self._failure is not None:
                self._failure.raiseException()

    def _store(self, kind: type[Event], **fields: object) -> None:
        if not self._over:
            self._growing = ""  # the event says it all
            storing = self._record(kind, **fields)
            self._storing = storing.addCallbacks(self._grow, self._lost)

    def _grow(self, _: object = None) -> None:
        if self._storing.called and not self._over:
            growing, self._growing = self._growing, ""
            for follower in self._followers():
                follower.delta(growing)

    def _lost(self, why: Failure) -> None:
        self._failure = why
        self._end()

    def _end(self) -> None:
        self._over = True
        if self._answering is not None:
            self._answering.cancel()
