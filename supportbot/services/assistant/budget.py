"""What answers may take: tokens and dollars, of a reply, a conversation and a day."""

from __future__ import annotations

from collections import deque

import msgspec
from twisted.internet.interfaces import IReactorTime

from supportbot.errors import AnswerLimited
from supportbot.interfaces import Spent
from supportbot.settings.assistant import AssistantSettings

_DAY = 86_400.0
_GRAIN = 300.0  # seconds that are counted together, so that a day is 288 counts
_MILLION = 1_000_000
_OWED = 10_000  # conversations


class Usage(msgspec.Struct, frozen=True):
    """What questions to the model took.

    Attributes:
        read, written: tokens.
    """

    read: int = 0
    written: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.read + other.read, self.written + other.written)

    @property
    def tokens(self) -> int:
        """All of them."""
        return self.read + self.written


class Day:
    """What this process spends within 24 hours.

    Args:
        clock: tells which hours these are.
        most: dollars; None for no limit.
    """

    def __init__(self, clock: IReactorTime, most: float | None) -> None:
        self._clock, self._most = clock, most
        self._spent: deque[tuple[float, float]] = deque()  # since when, and how much
        self._held = 0.0

    def allows(self, cost: float) -> bool:
        """Whether so many dollars are left, all that is held counted as spent."""
        return self._most is None or self.spent + self._held + cost <= self._most

    @property
    def spent(self) -> float:
        """Dollars, of the last 24 hours."""
        while self._spent and self._clock.seconds() - self._spent[0][0] >= _DAY:
            self._spent.popleft()
        return sum(cost for _, cost in self._spent)

    def hold(self, cost: float) -> None:
        """Keep dollars for a question that is being asked; negative: not any more."""
        self._held += cost

    def add(self, cost: float) -> None:
        """So many dollars were spent."""
        now = self._clock.seconds()
        if self._spent and now - self._spent[-1][0] < _GRAIN:
            since, before = self._spent.pop()
            self._spent.append((since, before + cost))
        else:
            self._spent.append((now, cost))


class Owed:
    """What replies took that were over before it could be stored, by conversation.

    It is stored with the next reply. So who stops each answer just before its end does
    not get them for nothing. The oldest are forgotten when there are very many.
    """

    def __init__(self) -> None:
        self._owed: dict[str, Usage] = {}

    def leave(self, conversation_id: str, usage: Usage) -> None:
        """Keep it for the next reply."""
        if usage.tokens:
            self._owed[conversation_id] = self.take(conversation_id) + usage
            if len(self._owed) > _OWED:
                del self._owed[next(iter(self._owed))]

    def take(self, conversation_id: str) -> Usage:
        """What was left; nothing is left then."""
        return self._owed.pop(conversation_id, Usage())


class Budget:
    """Of one reply.

    Args:
        settings: prices, and limits.
        day: of the process.
        spent: in the conversation before.
        owed: of it, and not yet stored.
    """

    def __init__(
        self, settings: AssistantSettings, day: Day, spent: Spent, owed: Usage
    ) -> None:
        self._settings, self._day, self._before = settings, day, spent
        self._owed, self._used, self._told = owed, Usage(), Usage()

    def cost(self, usage: Usage) -> float:
        """Dollars."""
        read = usage.read * self._settings.input_price
        return (read + usage.written * self._settings.output_price) / _MILLION

    def limit(self, coming: Usage) -> str:
        """Which setting does not allow it; empty if all do."""
        limits = self._settings.limits
        reply = self._used + coming
        here = reply + self._owed
        before = self._before
        if reply.tokens > limits.reply_tokens:
            return "reply_tokens"
        if self.cost(reply) > limits.reply_cost:
            return "reply_cost"
        if before.tokens + here.tokens > limits.conversation_tokens:
            return "conversation_tokens"
        if before.cost + self.cost(here) > limits.conversation_cost:
            return "conversation_cost"
        return "" if self._day.allows(self.cost(coming)) else "day_cost"

    def check(self, coming: Usage) -> None:
        """Before a question is asked.

        Raises:
            AnswerLimited: it may take too much.
        """
        if limit := self.limit(coming):
            raise AnswerLimited(limit)

    def hold(self, coming: Usage) -> None:
        """A question is being asked; `took` follows in any case."""
        self._day.hold(self.cost(coming))

    def took(self, coming: Usage, usage: Usage) -> None:
        """It is over.

        Args:
            coming: what was held for it.
            usage: what it really took.
        """
        self._day.hold(-self.cost(coming))
        self._day.add(self.cost(usage))
        self._used += usage

    @property
    def untold(self) -> Usage:
        """What was taken, or owed, and is not stored."""
        all = self._used + self._owed
        return Usage(all.read - self._told.read, all.written - self._told.written)

    def told(self, usage: Usage) -> None:
        """So much of it is stored."""
        self._told += usage
