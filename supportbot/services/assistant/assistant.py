"""The assistant: a language model that knows the conversation, and acts through tools.

What is decided without it (a login, a yes to an order) it is not asked about.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from supportbot.errors import ModelRefused, ServiceError
from supportbot.interfaces import Question, Reply
from supportbot.services.assistant.budget import Budget, Day, Owed
from supportbot.services.assistant.completions import Completions
from supportbot.services.assistant.login import Login
from supportbot.services.assistant.memory import remembered
from supportbot.services.assistant.orders import Orders
from supportbot.services.assistant.refusal import advice
from supportbot.services.assistant.rounds import Means, Rounds
from supportbot.services.assistant.telling import Counted
from supportbot.services.assistant.tokens import Measure
from supportbot.services.assistant.toolbox import Toolbox
from supportbot.services.attempts import Attempts, Breaker
from supportbot.services.patience import Patience
from supportbot.services.turns import Turns
from supportbot.settings import AssistantSettings
from supportbot.wording.consent import Consent, consent
from supportbot.wording.credentials import only_credentials


class Assistant:
    """A service; see `Service`.

    Args:
        settings: of the model, and what it may cost.
        reactor: for the deadlines.
        now: the time in seconds of UTC.
        completions: asks the model.
        toolbox: what the model may use; None for a chat without tools.
        orders, login: what is decided without the model; None where there is no shop.
        person: words with which a customer gets one; empty where there is none.
        observe: is told how each attempt at the model went: None if it was whole.
    """

    name = "assistant"

    def __init__(
        self,
        settings: AssistantSettings,
        reactor: IReactorTime,
        now: Callable[[], float],
        completions: Completions,
        toolbox: Toolbox | None = None,
        orders: Orders | None = None,
        login: Login | None = None,
        observe: Callable[[ServiceError | None], None] = lambda error: None,
        person: str = "",
    ) -> None:
        self.title = settings.title
        self._settings, self._reactor, self._now = settings, reactor, now
        self._orders, self._login = orders, login
        self._turns = Turns(reactor, self.title, settings.at_once, settings.turn)
        self._breaker = Breaker(reactor, settings.breaker)
        self._day, self._owed = Day(reactor, settings.limits.day_cost), Owed()
        self._means = Means(
            settings,
            reactor,
            completions,
            Attempts(
                reactor, self.title, settings.retry, self._breaker, observe=observe
            ),
            Measure(),
            toolbox,
            person,
        )

    @property
    def resting(self) -> bool:
        """Whether the model is left alone, since it failed again and again."""
        return self._breaker.open

    @property
    def waiting(self) -> int:
        """How many questions wait for their turn."""
        return self._turns.waiting

    async def answer(self, question: Question, reply: Reply) -> None:
        """Answer; see `Service`."""
        counted = Counted(reply)
        if await self._decided(question, counted):
            return
        await self._turns.take(counted.notice)
        slow = self._settings.retry.slow
        waiting = Patience(self._reactor, self.title, slow, counted)
        try:
            await self._ask(question, waiting, counted)
        except ModelRefused as error:
            if self._settings.explain and (reason := advice(error)):
                error.told = f"The model does not answer: {reason}."
            raise
        finally:
            waiting.end()
            self._turns.give_back()

    async def _decided(self, question: Question, reply: Reply) -> bool:
        """Do what is done without the model; whether the answer has ended with it."""
        if question.credentials is not None and self._login is not None:
            verified = await self._login.answer(question, reply)
            if not verified or only_credentials(question.text):
                return True
        orders, standing = self._orders, question.standing
        if orders is None:
            return False
        if await orders.settle(question, reply):
            return True
        if standing.proposal is None:
            return False
        decision = consent(question.text)
        if decision is Consent.YES:
            await orders.confirmed(question, reply)
        elif decision is Consent.NO:
            await orders.declined(question, reply)
        return decision is not None

    async def _ask(self, question: Question, reply: Reply, counted: Counted) -> None:
        settings, customer = self._settings, question.customer()
        past = remembered(
            await question.transcript(),
            question.seq,
            None if customer is None else customer.customer_id,
            self.name,
            {settings.model, *settings.models},
        )
        id = question.conversation_id
        spent = question.standing.spent
        budget = Budget(settings, self._day, spent, self._owed.take(id))
        rounds = Rounds(
            self._means, question, past, reply, counted, budget, self._now()
        )
        try:
            await rounds.run()
        finally:
            self._owed.leave(id, budget.untold)
