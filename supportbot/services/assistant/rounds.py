"""One answer of the model: ask it, use the tools that it asks for, and ask it again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from supportbot.context import Logger
from supportbot.errors import (
    AnswerEmpty,
    AnswerLimited,
    AnswerUnfinished,
    AnswerWithheld,
    ModelRefused,
    ServiceError,
    ServiceRefused,
    ServiceTimedOut,
    ServiceUnreachable,
    ToolsMisused,
)
from supportbot.events import Called, ModelAsked, ToolCalled
from supportbot.interfaces import Question, Reply
from supportbot.services.assistant.budget import Budget, Usage
from supportbot.services.assistant.calls import ToolCall
from supportbot.services.assistant.chunks import Completion
from supportbot.services.assistant.completions import Completions
from supportbot.services.assistant.memory import Past
from supportbot.services.assistant.messages import (
    Message,
    asking,
    call,
    result,
    shortened,
    system,
    user,
)
from supportbot.services.assistant.prompt import prompt, situation
from supportbot.services.assistant.refusal import TOO_LONG
from supportbot.services.assistant.results import Used
from supportbot.services.assistant.telling import Counted, Telling
from supportbot.services.assistant.tokens import (
    Measure,
    of_bytes,
    of_message,
    of_text,
)
from supportbot.services.assistant.toolbox import Toolbox
from supportbot.services.assistant.window import fitted
from supportbot.services.attempts import Attempts
from supportbot.settings import AssistantSettings

_KEPT = 2_000  # characters of a tool's result that a transcript keeps
_NO_TOOLS = "There is no such tool."

_log = Logger()


class Means(NamedTuple):
    """What all answers share.

    Attributes:
        measure: of what the model's server takes for a token.
        toolbox: None if there are no tools.
        person: words with which a customer gets one; empty where there is none.
    """

    settings: AssistantSettings
    clock: IReactorTime
    completions: Completions
    attempts: Attempts
    measure: Measure
    toolbox: Toolbox | None
    person: str


class Rounds:
    """One answer.

    Args:
        means: what all answers share.
        question: what is answered.
        past: what was said before.
        reply: gets the answer.
        counted: knows how many paragraphs stand in it.
        budget: of the answer.
        now: the time in seconds of UTC.
    """

    def __init__(
        self,
        means: Means,
        question: Question,
        past: Past,
        reply: Reply,
        counted: Counted,
        budget: Budget,
        now: float,
    ) -> None:
        self._means, self._settings = means, means.settings
        self._limits = means.settings.limits
        self._question, self._past, self._now = question, past, now
        self._reply, self._counted, self._budget = reply, counted, budget
        self._until = means.clock.seconds() + self._limits.seconds
        self._current: list[Message] = [user(question.text), *past.behind]
        self._calls = self._mistakes = 0
        self._share = 1  # of the window, which the server finds too large

    async def run(self) -> None:
        """Answer.

        Raises:
            ServiceError: the answer is not complete.
        """
        for number in range(1, self._limits.rounds + 1):
            telling = Telling(
                self._reply,
                self._counted.stand,
                self._settings.bounds.paragraph,
                self._settings.repeated,
            )
            completion = await self._round(number, telling)
            if completion.finish == "content_filter":
                raise AnswerWithheld
            if completion.finish == "length":  # of calls too, nobody knows the rest
                raise AnswerUnfinished
            if not completion.calls:
                return
            if number == self._limits.rounds:
                break
            if await self._use(completion.calls, telling.text, number):
                return
        raise AnswerLimited("rounds")

    # The model

    async def _round(self, number: int, telling: Telling) -> Completion:
        """Ask until there is a whole answer; what it took is stored in any case."""
        tools = await self._offered()
        coming = self._coming(self._messages(telling, tools), tools)
        self._budget.check(coming)
        # The last that may be asked is the last: it has to bring the answer.
        last = number == self._limits.rounds or self._budget.limit(coming + coming)
        may_call = bool(tools) and not last
        told: Completion | None = None
        emptied = False

        async def attempt() -> None:
            nonlocal told, emptied
            telling.begin(anew=emptied)  # who had nothing to go on with, may start
            told = await self._ask(telling, tools, may_call)
            if told.finish in {"length", "content_filter"}:
                return
            if not telling.end() and not told.calls:
                empty = AnswerEmpty()
                empty.transient, emptied = not emptied, True
                raise empty

        def late(_: object, seconds: float) -> Failure:
            return Failure(AnswerLimited("seconds"))

        attempts = self._means.attempts.make(attempt, self._reply.notice)
        asked = Deferred.fromCoroutine(attempts)
        try:
            await asked.addTimeout(self._left(), self._means.clock, late)
        except ServiceError:
            telling.drop()
            await self._store_usage()
            raise
        telling.drop()
        await self._store_usage()
        if told is None:
            raise AnswerEmpty  # which can't be: an attempt was whole
        return told

    async def _ask(
        self, telling: Telling, tools: Sequence[Message], may_call: bool
    ) -> Completion:
        """Ask once; once more if the server finds that it is too much to read."""
        try:
            return await self._ask_once(telling, tools, may_call)
        except ModelRefused as error:
            if error.code != TOO_LONG or self._share > 1:
                raise
        _log.info("the model's window is smaller than in the settings")
        self._share = 2
        return await self._ask_once(telling, tools, may_call)

    async def _ask_once(
        self, telling: Telling, tools: Sequence[Message], may_call: bool
    ) -> Completion:
        messages = self._messages(telling, tools)
        coming = self._coming(messages, tools)
        self._budget.check(coming)
        self._budget.hold(coming)
        took = Usage()
        try:
            completion = await self._means.completions.ask(
                messages, tools, telling.hear, self._past.model or None, may_call
            )
            took = _said(completion, coming)
            if completion.read:
                estimate = _size(messages) + _size(tools)
                self._means.measure.learn(estimate, completion.read)
        except (ServiceError, CancelledError) as error:
            if telling.heard or not _unread(error):
                took = Usage(coming.read, of_bytes(telling.heard))
            raise
        finally:
            self._budget.took(coming, took)
        return completion

    def _coming(self, messages: Sequence[Message], tools: Sequence[Message]) -> Usage:
        """The most that a question will take, as far as can be told."""
        estimate = _size(messages) + _size(tools)
        read = int(estimate * self._means.measure.factor)
        return Usage(read, self._settings.answer)

    def _messages(self, telling: Telling, tools: Sequence[Message]) -> list[Message]:
        settings = self._settings
        room = settings.window // self._share - settings.answer
        about = situation(self._question.customer(), self._now)
        return fitted(
            system(f"{prompt(settings, bool(tools), self._means.person)}\n\n{about}"),
            self._past.turns,
            [*self._current, *telling.go_on()],
            int(room / self._means.measure.factor) - _size(tools),
        )

    async def _store_usage(self) -> None:
        usage = self._budget.untold
        if usage.tokens:
            await self._reply.record(
                ModelAsked,
                model=self._past.model or self._settings.model,
                read=usage.read,
                written=usage.written,
                cost=round(self._budget.cost(usage), 9),
            )
            self._budget.told(usage)

    def _left(self) -> float:
        """Seconds for the rest of the answer.

        Raises:
            AnswerLimited: none are left.
        """
        left = self._until - self._means.clock.seconds()
        if left <= 0:
            raise AnswerLimited("seconds")
        return left

    # The tools

    async def _offered(self) -> Sequence[Message]:
        if self._means.toolbox is None:
            return []
        return await self._means.toolbox.offered(self._question.customer())

    async def _use(self, calls: Sequence[ToolCall], text: str, number: int) -> bool:
        """Call the tools, one after the other; whether the answer has ended with it.

        A call that was begun is not broken off when our time is up: it has its own.
        """
        self._calls += len(calls)
        if self._calls > self._limits.calls:
            raise AnswerLimited("calls")
        asked, results = list[Message](), list[Message]()
        for at, one in enumerate(calls):
            self._left()
            used = await self._use_one(one)
            await self._reply.record(
                ToolCalled,
                name=one.name,
                arguments=used.arguments,
                outcome=used.outcome,
                result=shortened(used.text, _KEPT),
                round=number,
            )
            if used.ended:
                return True
            self._mistakes += used.mistake
            if self._mistakes > self._limits.mistakes:
                raise ToolsMisused(self._mistakes)
            id = f"r{number:04d}n{at:03d}"  # nine characters, as some servers want
            asked.append(call(id, one.name, used.arguments))
            results.append(result(id, used.text))
        self._current += [asking(text, asked), *results]
        return False

    async def _use_one(self, one: ToolCall) -> Used:
        if self._means.toolbox is None:
            return Used(_NO_TOOLS, Called.FAILED, "{}", mistake=True)
        return await self._means.toolbox.use(one, self._question, self._reply)


def _size(messages: Sequence[Message]) -> int:
    return sum(map(of_message, messages))


def _said(completion: Completion, coming: Usage) -> Usage:
    """What an answer took, estimated as far as the server did not say it."""
    written = [completion.text, *(one.arguments for one in completion.calls)]
    return Usage(
        completion.read or coming.read,
        completion.written or sum(map(of_text, written)),
    )


def _unread(error: Exception) -> bool:
    """Whether the server surely did not read the question, or takes nothing for it."""
    if isinstance(error, ServiceTimedOut):
        return error.phase == "connect"
    return isinstance(error, ServiceUnreachable | ServiceRefused)
