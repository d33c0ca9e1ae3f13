"""A third party that answers over HTTP, whatever its dialect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint

from supportbot.errors import AnswerEmpty, ServiceError
from supportbot.events import Format
from supportbot.interfaces import Question, Reply
from supportbot.services.attempts import Attempts, Breaker
from supportbot.services.call import Caller, reading
from supportbot.services.patience import Patience
from supportbot.services.story import Story
from supportbot.services.turns import Turns
from supportbot.settings import ServiceSettings
from supportbot.streaming.body import Reader
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
    reader: Callable[[ServiceSettings], Reader[str]]


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
        self._turns = Turns(reactor, self.title, settings.at_once, settings.turn)
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
        return self._turns.waiting

    async def answer(self, question: Question, reply: Reply) -> None:
        """Answer with the paragraphs of the third party; see `Service`."""
        meant = respell(question.text, self._settings.topics, self._settings.intent)

        await self._turns.take(reply.notice)
        slow = self._settings.retry.slow
        waiting = Patience(self._reactor, self.title, slow, reply)
        story = Story(waiting)

        async def attempt() -> None:
            story.begin()
            await self._attempt(meant.text, story.give)
            story.end()

        try:
            await self._attempts.make(attempt, waiting.notice)
        finally:
            waiting.end()
            self._turns.give_back()
        if self._settings.suggest and meant.close:
            names = " or ".join(f"“{name}”" for name in meant.close)
            reply.paragraph(f"Did you mean {names}?", "plain")

    async def _attempt(self, text: str, give: Callable[[str, Format], None]) -> None:
        dialect, bounds = self._dialect, self._settings.bounds
        sent = text.encode() if dialect.method == "POST" else None
        answering = await self._caller.call(dialect.method, dialect.accept, sent)
        given = 0

        def count(paragraph: str) -> None:
            nonlocal given
            given += 1
            give(paragraph, dialect.format)

        body = reading(
            self._reactor,
            self._settings.deadlines,
            answering,
            dialect.reader(self._settings),
            count,
            Guard(bounds.repeated, bounds.body),
        )
        answering.response.deliverBody(body)
        await body.done
        if not given:
            raise AnswerEmpty
