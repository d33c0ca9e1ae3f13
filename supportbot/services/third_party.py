"""A third party that answers over HTTP, whatever its dialect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec
from twisted.internet.defer import DeferredSemaphore
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.python.failure import Failure

from supportbot.errors import AnswerEmpty, ServiceBusy, ServiceError
from supportbot.events import Format
from supportbot.interfaces import Question, Reply
from supportbot.services.attempts import Attempts, Breaker, Give
from supportbot.services.call import Caller
from supportbot.settings import ServiceSettings
from supportbot.streaming.body import Body, Reader
from supportbot.streaming.runaway import Guard
from supportbot.topics import respell


class Dialect(msgspec.Struct, frozen=True):
    """How a kind of service is asked, and how it answers.

    Attributes:
        method: `POST` sends the message, `GET` sends nothing.
        accept: the media type of the answer.
        format: of its paragraphs.
        reader: makes the parser for one body.
    """

    method: Literal["GET", "POST"]
    accept: str
    format: Format
    reader: Callable[[ServiceSettings], Reader]


class ThirdParty:
    """A service behind a URL.

    Args:
        settings: where it is, what it knows, how patient we are.
        reactor: for the deadlines.
        endpoint: where to connect.
        observe: is told how each attempt went: None if it was whole.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        dialect: Dialect,
        reactor: IReactorTime,
        endpoint: IStreamClientEndpoint,
        observe: Callable[[ServiceError | None], None] = lambda error: None,
    ) -> None:
        self.name, self.title = settings.name, settings.title
        self._settings, self._dialect, self._reactor = settings, dialect, reactor
        self._caller = Caller(settings, reactor, endpoint)
        self._turns = DeferredSemaphore(settings.at_once)
        self._breaker = Breaker(reactor, settings.breaker)
        self._attempts = Attempts(
            reactor, self.title, settings.retry, self._breaker, observe=observe
        )

    @property
    def resting(self) -> bool:
        """Whether it is left alone, since it failed again and again."""
        return self._breaker.open

    @property
    def waiting(self) -> int:
        """How many questions wait for their turn."""
        return len(self._turns.waiting)

    async def answer(self, question: Question, reply: Reply) -> None:
        """Answer with the paragraphs of the third party; see `Service`."""
        meant = respell(question.text, self._settings.topics, self._settings.intent)

        async def attempt(give: Give) -> None:
            await self._attempt(meant.text, give)

        await self._turn(reply)
        waiting = _Patience(self._reactor, self._settings, reply)
        try:
            await self._attempts.answer(attempt, waiting)
        finally:
            waiting.end()
            self._turns.release()
        if self._settings.suggest and meant.close:
            names = " or ".join(f"“{name}”" for name in meant.close)
            reply.paragraph(f"Did you mean {names}?", "plain")

    async def _turn(self, reply: Reply) -> None:
        if self._turns.tokens:
            await self._turns.acquire()
            return
        reply.notice(f"The {self.title} is busy; you are in line…")
        seconds = self._settings.turn

        def late(_: object, seconds: float) -> Failure:
            return Failure(ServiceBusy(seconds))

        await self._turns.acquire().addTimeout(seconds, self._reactor, late)

    async def _attempt(self, text: str, give: Give) -> None:
        dialect, bounds = self._dialect, self._settings.bounds
        deadlines = self._settings.deadlines
        started = self._reactor.seconds()
        sent = text.encode() if dialect.method == "POST" else None
        answering = await self._caller.call(dialect.method, dialect.accept, sent)
        given = 0

        def count(paragraph: str) -> None:
            nonlocal given
            given += 1
            give(paragraph, dialect.format)

        body = Body(
            self._reactor,
            dialect.reader(self._settings),
            Guard(bounds.repeated, bounds.body),
            count,
            answering.hang_up,
            idle=deadlines.idle,
            progress=deadlines.progress,
            total=max(0.0, deadlines.total - (self._reactor.seconds() - started)),
        )
        answering.response.deliverBody(body)
        await body.done
        if not given:
            raise AnswerEmpty


class _Patience:
    """Hand a reply on, and tell the customer once if nothing comes for long."""

    def __init__(
        self, clock: IReactorTime, settings: ServiceSettings, reply: Reply
    ) -> None:
        self._reply, self._seconds = reply, settings.retry.slow
        line = f"The {settings.title} is slow at the moment; still waiting…"
        self._call = clock.callLater(self._seconds, reply.notice, line)

    def paragraph(self, text: str, format: Format = "html") -> None:
        self._heard()
        self._reply.paragraph(text, format)

    def revise(self, keep: int) -> None:
        self._reply.revise(keep)

    def delta(self, text: str) -> None:
        self._heard()
        self._reply.delta(text)

    def notice(self, text: str) -> None:
        self._heard()
        self._reply.notice(text)

    def end(self) -> None:
        """The answer is over."""
        if self._call.active():
            self._call.cancel()

    def _heard(self) -> None:
        if self._call.active():
            self._call.reset(self._seconds)
