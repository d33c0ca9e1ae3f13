"""How often PINs may be guessed."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supportbot.guessing import (
    ALL,
    Streak,
    Times,
    Try,
    Window,
    customer_key,
    is_flood,
    same_customer,
)
from supportbot.settings.shop import GuessSettings

HOUR, DAY = 3_600.0, 86_400.0
DEFAULT = GuessSettings()
WIDE = GuessSettings(session_tries=10**6, address_tries=10**6, all_tries=10**6)
START = 1_700_000_000.0


class Counter:
    """What is counted, kept as a store keeps it."""

    def __init__(self, settings: GuessSettings = DEFAULT) -> None:
        self.settings = settings
        self.counted: dict[str, Times] = {}

    def one(
        self, email: str = "a@b.c", session: str = "s", client: str = "1.2.3.4"
    ) -> Try:
        return Try(self.settings, email, session, client)

    def begin(self, now: float, one: Try | None = None) -> float:
        wait, changed = (one or self.one()).begin(self.counted, now)
        self.counted.update(changed)
        return wait

    def wait(self, now: float, one: Try | None = None) -> float:
        before = dict(self.counted)
        wait = (one or self.one()).wait(self.counted, now)
        assert self.counted == before
        return wait

    def right(self, now: float, one: Try | None = None) -> None:
        self.counted.update((one or self.one()).right(self.counted, now))

    def void(self, now: float, one: Try | None = None) -> None:
        self.counted.update((one or self.one()).void(self.counted, now))

    def filled(self) -> Mapping[str, Times]:
        return {key: times for key, times in self.counted.items() if times}


# One customer


def test_each_wrong_pin_makes_the_pause_longer_up_to_a_day() -> None:
    pause = Streak(DEFAULT).pause
    assert [pause(wrong) for wrong in range(1, 12)] == [
        2.0,
        4.0,
        *(900.0 * 2**further for further in range(7)),
        DAY,
        DAY,
    ]
    assert pause(10_000) == DAY


def test_a_delay_is_never_longer_than_the_lock_that_follows() -> None:
    pause = Streak(GuessSettings(tries=50, delay=2.0, lock=60.0, most=90.0)).pause
    pauses = [pause(wrong) for wrong in range(1, 200)]
    assert pauses == sorted(pauses)
    assert (pauses[48], pauses[49], pauses[50]) == (60.0, 60.0, 90.0)


def test_a_customer_waits_until_the_pause_is_over_and_no_longer() -> None:
    counter = Counter(WIDE)
    now = START
    for pause in (2.0, 4.0, 900.0, 1800.0):
        assert counter.begin(now) == 0.0
        assert counter.begin(now) == pause
        assert counter.begin(now + pause / 2) == pause / 2
        assert counter.wait(now + pause / 2) == pause / 2
        now += pause
        assert counter.wait(now) == 0.0


def test_other_customers_need_not_wait() -> None:
    counter = Counter()
    assert counter.begin(START) == 0.0
    assert counter.begin(START, counter.one("b@b.c")) == 0.0


def test_wrong_pins_are_forgotten_when_there_were_none_for_long() -> None:
    counter = Counter()
    for at in (0.0, 2.0, 6.0):
        assert counter.begin(START + at) == 0.0
    over = START + 6.0 + 900.0 + DAY
    early = Counter()
    early.counted = dict(counter.counted)
    assert early.begin(over - 1.0) == 0.0
    assert early.begin(over - 1.0) == 1800.0  # the fourth in a row
    assert counter.begin(over) == 0.0
    assert counter.begin(over) == 2.0


def test_a_right_pin_counts_nowhere_and_clears_the_customer() -> None:
    counter = Counter()
    for at in (0.0, 2.0):
        assert counter.begin(START + at) == 0.0
    assert counter.begin(START + 6.0) == 0.0
    counter.right(START + 7.0)
    assert counter.begin(START + 7.0) == 0.0
    assert counter.wait(START + 7.0) == 2.0
    session = [times for key, times in counter.counted.items() if "session" in key]
    assert session == [(START, START + 2.0, START + 7.0)]


@given(
    st.lists(st.floats(0.0, 20_000.0), max_size=8), st.floats(0.0, 3.0), st.booleans()
)
def test_what_nobody_could_tell_leaves_all_as_it_was(
    gaps: list[float], took: float, other: bool
) -> None:
    counter = Counter()
    now = START
    for gap in gaps:
        now += gap
        counter.begin(now)
    if other:
        counter.begin(now, counter.one("b@b.c", "other"))
    now += DAY
    before = counter.wait(now + took), dict(counter.counted)
    if counter.begin(now) == 0.0:
        counter.void(now + took)
        assert counter.wait(now + took) == before[0]
        left = Counter()
        left.counted = dict(before[1])
        for probe in (now + took, now + HOUR, now + DAY):
            assert counter.wait(probe) == left.wait(probe)


def test_a_locked_customer_is_as_locked_after_a_try_that_nobody_could_tell() -> None:
    counter = Counter()
    for at in (0.0, 2.0, 6.0):
        assert counter.begin(START + at) == 0.0
    now = START + 6.0 + 900.0
    assert counter.begin(now) == 0.0
    assert counter.wait(now) == 1800.0
    counter.void(now)
    assert counter.begin(now) == 0.0
    assert counter.wait(now) == 1800.0


def test_nothing_to_take_back_is_no_error() -> None:
    counter = Counter()
    counter.void(START)
    counter.right(START)
    assert counter.filled() == {}


# Sessions, addresses, all


@pytest.mark.parametrize(
    ("settings", "seconds", "most"),
    [
        (GuessSettings(session_tries=5, address_tries=99), HOUR, 5),
        (GuessSettings(address_tries=10, session_tries=99), HOUR, 10),
        (GuessSettings(address_tries=99, session_tries=99, all_tries=20), 60.0, 20),
    ],
)
def test_a_window_lets_so_many_tries_through(
    settings: GuessSettings, seconds: float, most: int
) -> None:
    counter = Counter(settings)
    for number in range(most):
        assert counter.begin(START + number, counter.one(f"{number}@b.c")) == 0.0
    late = START + most
    assert counter.begin(late, counter.one("x@b.c")) == seconds - most
    assert counter.begin(START + seconds - 0.5, counter.one("x@b.c")) == 0.5
    assert counter.begin(START + seconds, counter.one("x@b.c")) == 0.0
    assert counter.begin(START + seconds, counter.one("y@b.c")) == 1.0


def test_other_sessions_and_addresses_have_windows_of_their_own() -> None:
    counter = Counter()
    for number in range(5):
        assert counter.begin(START, counter.one(f"{number}@b.c")) == 0.0
    assert counter.begin(START, counter.one("5@b.c")) == HOUR
    for number in range(5, 10):
        assert counter.begin(START, counter.one(f"{number}@b.c", "t")) == 0.0
    assert counter.begin(START, counter.one("x@b.c", "u")) == HOUR
    assert counter.begin(START, counter.one("x@b.c", "u", "5.6.7.8")) == 0.0


def test_an_address_that_says_nothing_is_not_counted() -> None:
    counter = Counter()
    for number in range(50):
        one = counter.one(f"{number}@b.c", f"{number}", "")
        assert len(one.keys) == 3
        assert counter.begin(START, one) == 0.0


def test_the_longest_wait_is_told() -> None:
    counter = Counter()
    for number in range(5):
        counter.begin(START, counter.one(f"{number}@b.c"))
    assert counter.begin(START, counter.one("0@b.c")) == HOUR
    locked = Counter(GuessSettings(tries=1, lock=2 * HOUR))
    locked.begin(START)
    assert locked.begin(START) == 2 * HOUR


def test_a_limit_that_became_lower_holds_at_once() -> None:
    counter = Counter(GuessSettings(session_tries=5))
    for number in range(5):
        counter.begin(START + number, counter.one(f"{number}@b.c"))
    counter.settings = GuessSettings(session_tries=2)
    assert counter.wait(START + 5, counter.one("x@b.c")) == HOUR - 5 + 3


def test_what_is_kept_does_not_grow_without_end() -> None:
    often = {"session_tries": 999, "address_tries": 999}
    counter = Counter(GuessSettings(delay=1.0, lock=1.0, most=1.0, **often))
    for number in range(200):  # each just before it would be forgotten
        assert counter.begin(START + 1.5 * number) == 0.0
    assert len(counter.counted[customer_key("a@b.c")]) < 100
    assert counter.wait(START + 1.5 * 199) == 1.0


# The clock


@given(
    st.lists(
        st.tuples(
            st.one_of(st.floats(0.0, 10.0), st.floats(0.0, 3 * HOUR)),
            st.sampled_from([0.0, 0.0, 0.0, 1.0, 500.0, HOUR, 400 * DAY]),
            st.sampled_from("ab"),
        ),
        max_size=60,
    )
)
def test_a_clock_that_is_set_back_lets_nobody_try_more_often(
    steps: list[tuple[float, float, str]],
) -> None:
    settings = GuessSettings(session_tries=6, address_tries=8, all_tries=4)
    counter = Counter(settings)
    real, back = 0.0, 0.0
    made: list[tuple[float, str]] = []
    for gap, jump, name in steps:
        real, back = real + gap, back + jump
        now = START + real - back
        wait = counter.begin(now, counter.one(f"{name}@b.c"))
        if wait == 0.0:
            made.append((real, name))
        else:  # who waits as long as was said may try, or has that much less to wait
            assert wait <= DAY
            assert counter.wait(now + wait + 1e-3, counter.one(f"{name}@b.c")) == 0.0
    ends = [at for at, _ in made]
    hair = 1e-3  # what adding and taking away seconds of UTC rounds off
    for first, last in zip(ends, ends[6:], strict=False):
        assert last - first > HOUR - hair
    for first, last in zip(ends, ends[4:], strict=False):
        assert last - first > 60.0 - hair
    pause = Streak(settings).pause
    for name in "ab":
        mine = [at for at, whose in made if whose == name]
        wrong = 0
        for before, after in pairwise(mine):
            wrong += 1
            assert after - before > pause(wrong) - hair
            if after - before > pause(wrong) + DAY - hair:
                wrong = 0


def test_a_clock_that_was_set_back_locks_nobody_for_longer() -> None:
    counter = Counter()
    for at in (0.0, 2.0, 6.0):
        counter.begin(START + at)
    assert counter.begin(START - 400 * DAY) == 900.0
    assert counter.begin(START - 400 * DAY + 450.0) == 450.0
    assert counter.begin(START - 400 * DAY + 900.0) == 0.0
    assert counter.begin(START) == 0.0  # and nothing of the future is left


# Where nobody knows whether it was kept


@pytest.mark.parametrize("other_between", [False, True])
def test_a_change_that_is_made_twice_is_made_once(other_between: bool) -> None:
    counter = Counter(WIDE)
    counter.begin(START, counter.one("b@b.c"))
    one = counter.one()
    assert counter.begin(START + 1.0, one) == 0.0
    if other_between:
        counter.begin(START + 1.5, counter.one("b@b.c"))
    before = dict(counter.counted)
    assert counter.begin(START + 1.0, one) == 0.0
    assert counter.counted == before
    for take_back in (counter.void, counter.right):
        counter.counted = dict(before)
        one = counter.one()
        take_back(START + 2.0, one)
        after = dict(counter.counted)
        assert len(after[ALL]) == len(before[ALL]) - 1
        take_back(START + 2.0, one)
        assert counter.counted == after


def test_a_count_that_was_not_kept_is_made_again() -> None:
    counter = Counter()
    one = counter.one()
    one.begin({}, START)
    assert counter.begin(START, one) == 0.0
    assert [len(times) for times in counter.counted.values()] == [1, 1, 1, 1]


def test_a_try_that_is_not_there_any_more_is_not_taken_twice() -> None:
    counter = Counter()
    one = counter.one()
    one.void({}, START)
    counter.begin(START, counter.one())
    before = dict(counter.counted)
    counter.void(START, one)
    assert counter.counted == before


# Keys


@pytest.mark.parametrize(
    "spelled",
    ["alice@example.com", " Alice@Example.COM\n", "\uff41lice@example.com"],
)
def test_an_address_counts_as_one_however_it_is_spelled(spelled: str) -> None:
    assert customer_key(spelled) == customer_key("alice@example.com")
    assert same_customer(spelled, "ALICE@example.com")


@pytest.mark.parametrize(
    "other", ["alice@example.co", "al1ce@example.com", "alice+x@example.com", ""]
)
def test_other_addresses_are_others(other: str) -> None:
    assert customer_key(other) != customer_key("alice@example.com")
    assert not same_customer(other, "alice@example.com")


@given(st.text(min_size=3), st.text(min_size=3), st.text(min_size=3))
def test_keys_are_of_their_kind_and_tell_no_names(
    email: str, session: str, client: str
) -> None:
    keys = Try(DEFAULT, email, session, client).keys
    assert [key.partition(":")[0] for key in keys] == [
        "all",
        "email",
        "session",
        "address",
    ]
    assert keys[0] == ALL
    assert len({key.rpartition(":")[2] for key in keys}) == 4
    same = Try(DEFAULT, "same", "same", "same").keys
    assert len({key.rpartition(":")[2] for key in same}) == 4
    assert all(len(key) < 80 and key.isascii() for key in keys)


def test_what_is_no_text_has_a_key_too() -> None:
    assert customer_key("\ud800@b.c").startswith("email:")


# When to forget, and when to tell the operator


@given(st.lists(st.floats(0.0, 2_000.0), min_size=1, max_size=10))
def test_nothing_is_forgotten_while_it_counts(gaps: list[float]) -> None:
    counter = Counter()
    now = START
    for gap in gaps:
        now += gap
        counter.begin(now)
    one = counter.one()
    for key, times in counter.counted.items():
        at = one.forget_at(key, times)
        without = Counter()
        without.counted = {k: t for k, t in counter.counted.items() if k != key}
        assert counter.wait(at, one) == without.wait(at, one)
    assert one.forget_at(ALL, ()) == 0.0
    assert one.forget_at(customer_key("a@b.c"), ()) == 0.0
    assert Window(1, 5.0).forget_at((1.0, 2.0)) == 7.0
    assert Streak(DEFAULT).forget_at((1.0, 3.0)) == 3.0 + 4.0 + DAY


def test_a_flood_is_as_many_as_may_be() -> None:
    counter = Counter(GuessSettings(all_tries=3))
    for number in range(3):
        assert not is_flood(counter.settings, counter.counted)
        counter.begin(START, counter.one(f"{number}@b.c"))
    assert is_flood(counter.settings, counter.counted)
