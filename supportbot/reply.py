"""The reply that is under way: what the service gives is stored, then shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
from twisted.internet.defer import (
    CancelledError,
    Deferred,
    fail,
    gatherResults,
    succeed,
)
from twisted.python.failure import Failure

from supportbot.context import Logger
from supportbot.errors import BadRequest, ServiceError, StoreError, TranscriptGone
from supportbot.events import Event, Format, Outcome, ParagraphSaid, ReplyRevised
from supportbot.follower import Follower
from supportbot.interfaces import Question, Service

_OUR_FAULT = "Something went wrong on our side; please ask again."
_log = Logger()
_Event = TypeVar("_Event", bound=Event)


class End(msgspec.Struct, frozen=True):
    """How a reply ended; see `ReplyEnded`."""

    outcome: Outcome
    detail: str = ""
    unavailable: bool = False


class StoredReply:
    """Where the service that answers puts its paragraphs; see `Reply`.

    Attributes:
        grown: the paragraph that is growing, as far as followers were shown it.
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
        self.grown = ""
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

    def record(self, kind: type[_Event], **fields: object) -> Deferred[_Event]:
        if self._over:
            return fail(CancelledError())
        recorded: Deferred[_Event] = Deferred()

        def tell(result: _Event | Failure) -> _Event | Failure:
            recorded.callback(result)
            return result

        self._store(kind, tell, **fields)
        return recorded

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

    async def outcome(self, service: Service, question: Question, way_out: str) -> End:
        """Let the service answer, and tell how that ended.

        Args:
            way_out: what a customer can do whom it does not answer, in a sentence.

        Raises:
            BadRequest, TranscriptGone: another process answers, or has erased it all.
        """
        try:
            await self.answer(service, question)
        except ServiceError as error:
            detail = f"{error.told.format(service=service.title)} {way_out}"
            if error.refused:
                return End(Outcome.REFUSED, detail)
            return End(Outcome.CUT, detail, unavailable=True)
        except (BadRequest, TranscriptGone):
            raise
        except StoreError as error:
            _log.warn("part of an answer is not stored: {why}", why=str(error))
            return End(Outcome.FAILED, _OUR_FAULT)
        except Exception:
            _log.failure("answering with {service}", service=service.name)
            return End(Outcome.FAILED, _OUR_FAULT)
        return End(Outcome.STOPPED if self.stopped else Outcome.COMPLETE)

    def _store(
        self,
        kind: type[Any],
        tell: Callable[[Any], Any] | None = None,
        **fields: object,
    ) -> None:
        if not self._over:
            self._growing = self.grown = ""  # the event says it all
            self._storing = storing = self._record(kind, **fields)
            if tell is not None:
                storing.addBoth(tell)
            storing.addCallbacks(self._grow, self._lost)

    def _grow(self, _: object = None) -> None:
        if self._storing.called and not self._over:
            growing, self._growing = self._growing, ""
            self.grown += growing
            for follower in self._followers():
                follower.delta(growing)

    def _lost(self, why: Failure) -> None:
        self._failure = why
        self._end()

    def _end(self) -> None:
        self._over = True
        if self._answering is not None:
            self._answering.cancel()
