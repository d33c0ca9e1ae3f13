"""What answers may take, and how that is estimated."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from supportbot.errors import AnswerLimited
from supportbot.interfaces import Spent
from supportbot.services.assistant.budget import Budget, Day, Owed, Usage
from supportbot.services.assistant.tokens import Measure, of_message, of_text
from supportbot.settings.assistant import AssistantLimits, AssistantSettings

NOTHING, UNSPENT = Usage(), Spent()


def budget(
    spent: Spent = UNSPENT,
    day: Day | None = None,
    owed: Usage = NOTHING,
    **limits: Any,
) -> Budget:
    """Of a model that takes a dollar for a million read, and two for those written."""
    settings = AssistantSettings(
        input_price=1.0, output_price=2.0, limits=AssistantLimits(**limits)
    )
    return Budget(settings, day or Day(Clock(), None), spent, owed)


def limit_of(one: Budget, coming: Usage) -> str:
    """The limit that a question runs into."""
    limit = one.limit(coming)
    if limit:
        with pytest.raises(AnswerLimited, match=f"limit {limit} reached"):
            one.check(coming)
    else:
        one.check(coming)
    return limit


@pytest.mark.parametrize(
    ("limits", "name"),
    [
        ({"reply_tokens": 1_000}, "reply_tokens"),
        ({"conversation_tokens": 1_000}, "conversation_tokens"),
        ({"reply_cost": 0.0011}, "reply_cost"),
        ({"conversation_cost": 0.0011}, "conversation_cost"),
    ],
)
def test_what_fits_is_asked_and_no_more(limits: Any, name: str) -> None:
    one = budget(**limits)
    assert limit_of(one, Usage(900, 100)) == ""
    assert limit_of(one, Usage(900, 101)) == name
    one.hold(Usage(900, 100))
    one.took(Usage(900, 100), Usage(500, 0))
    assert limit_of(one, Usage(400, 100)) == ""
    assert limit_of(one, Usage(400, 101)) == name


def test_a_conversation_s_limits_know_what_was_before() -> None:
    one = budget(Spent(tokens=600, cost=0.5), conversation_tokens=1_000)
    assert limit_of(one, Usage(400)) == ""
    assert limit_of(one, Usage(401)) == "conversation_tokens"
    one = budget(Spent(tokens=600, cost=0.5), conversation_cost=0.5001)
    assert limit_of(one, Usage(100)) == ""
    assert limit_of(one, Usage(102)) == "conversation_cost"
    assert limit_of(budget(Spent(9, 9.0), reply_tokens=10), Usage(10)) != "reply_tokens"


def test_what_is_owed_counts_for_the_conversation_alone() -> None:
    one = budget(owed=Usage(500, 100), conversation_tokens=1_000, reply_tokens=500)
    assert limit_of(one, Usage(400)) == ""
    assert limit_of(one, Usage(401)) == "conversation_tokens"
    one = budget(owed=Usage(100, 0), conversation_cost=0.0002)
    assert limit_of(one, Usage(100)) == ""
    assert limit_of(one, Usage(101)) == "conversation_cost"


def test_what_is_not_stored_is_known() -> None:
    one = budget(owed=Usage(5, 6))
    one.took(NOTHING, Usage(10, 20))
    one.took(NOTHING, Usage(1, 2))
    assert one.untold == Usage(16, 28)
    one.told(one.untold)
    assert one.untold == NOTHING
    one.took(NOTHING, Usage(3, 4))
    assert one.untold == Usage(3, 4)


def test_a_day_has_its_limit_over_all_replies() -> None:
    clock = Clock()
    day = Day(clock, 0.001)
    first, second = budget(day=day), budget(day=day)
    coming = Usage(600)
    assert limit_of(first, coming) == ""
    first.hold(coming)
    assert limit_of(second, Usage(400)) == ""
    assert limit_of(second, Usage(401)) == "day_cost"
    first.took(coming, Usage(100))  # it was less after all
    assert limit_of(second, Usage(900)) == ""
    assert limit_of(second, Usage(901)) == "day_cost"


def test_a_day_is_24_hours() -> None:
    clock = Clock()
    day = Day(clock, 1.0)
    day.add(0.4)
    clock.advance(3_600.0)
    day.add(0.5)
    assert not day.allows(0.11)
    clock.advance(82_799.0)
    assert day.spent == pytest.approx(0.9)
    clock.advance(2.0)
    assert day.spent == pytest.approx(0.5)
    assert day.allows(0.49)
    clock.advance(86_400.0)
    assert day.spent == 0.0


def test_a_day_without_a_limit_allows_all() -> None:
    day = Day(Clock(), None)
    day.add(1e9)
    assert day.allows(1e9)


def test_a_day_holds_few_counts() -> None:
    clock = Clock()
    day = Day(clock, None)
    for _ in range(1_000):
        day.add(1.0)
        clock.advance(1.0)
    assert day.spent == 1_000.0
    assert len(day._spent) == 4
    clock.advance(86_400.0 - 1_000.0)
    assert day.spent == 700.0  # what was spent within minutes goes with the first of it


def test_what_is_owed_is_kept_once() -> None:
    owed = Owed()
    owed.leave("a", Usage(1, 2))
    owed.leave("a", Usage(3, 4))
    owed.leave("b", Usage(5, 0))
    owed.leave("c", NOTHING)
    assert owed.take("a") == Usage(4, 6)
    assert owed.take("a") == NOTHING
    assert owed.take("b") == Usage(5, 0)


def test_what_is_owed_is_bounded() -> None:
    owed = Owed()
    for number in range(10_001):
        owed.leave(str(number), Usage(1))
    assert owed.take("0") == NOTHING
    assert owed.take("1") == Usage(1)
    assert owed.take("10000") == Usage(1)


# Tokens


@pytest.mark.parametrize(
    ("text", "least"),
    [
        ("", 0),
        ("Hello, how can I help you today?", 9),  # as OpenAI's tokenizers have it
        ("お問い合わせありがとうございます", 7),
        ("8a3f9c1e-77b2-4d0a-9a51-0c6a2f7e1b44", 12),
        ("\ud800", 1),
    ],
)
def test_an_estimate_is_rather_too_high(text: str, least: int) -> None:
    assert of_text(text) >= least


@given(st.text(), st.text())
def test_estimates_grow_with_the_text(one: str, other: str) -> None:
    assert of_text(one + other) <= of_text(one) + of_text(other)
    assert of_text(one + other) >= of_text(one)
    message = {"role": "user", "content": one}
    assert of_message(message) > of_text(one)


def test_a_message_with_calls_counts_them() -> None:
    call = {"id": "1", "function": {"name": "f", "arguments": "x" * 3_000}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    assert of_message(message) > 1_000


def test_a_server_that_takes_more_is_believed_by_and_by() -> None:
    measure = Measure()
    assert measure.factor == 1.0
    measure.learn(1_000, 500)
    assert measure.factor == 1.0
    for _ in range(40):
        measure.learn(1_000, 2_000)
    assert measure.factor == pytest.approx(2.0, abs=0.01)
    measure.learn(0, 10**9)
    assert measure.factor < 3.0
    for _ in range(40):
        measure.learn(1_000, 10)
    assert measure.factor == 1.0
