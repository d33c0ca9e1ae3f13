"""Token buckets: how often somebody may do something."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from supportbot.channels import limits
from supportbot.channels.limits import Allowance, Buckets, household
from supportbot.errors import TooOften
from supportbot.settings import HttpSettings


def test_a_full_bucket_has_so_many_tokens() -> None:
    buckets = Buckets(Clock(), 3, 60.0)
    for _ in range(3):
        assert buckets.wait("a") == 0.0
        buckets.take("a")
    assert buckets.wait("a") == 20.0
    assert buckets.wait("b") == 0.0


def test_it_fills_up_again_and_never_over() -> None:
    clock = Clock()
    buckets = Buckets(clock, 2, 10.0)
    buckets.take("a")
    buckets.take("a")
    clock.advance(4)
    assert buckets.wait("a") == pytest.approx(1.0)
    clock.advance(1_000)
    buckets.take("a")
    buckets.take("a")
    assert buckets.wait("a") == 5.0


def test_asking_takes_nothing() -> None:
    buckets = Buckets(Clock(), 1, 10.0)
    for _ in range(5):
        assert buckets.wait("a") == 0.0


def test_taking_what_is_not_there_leaves_no_debts() -> None:
    buckets = Buckets(Clock(), 1, 10.0)
    for _ in range(5):
        buckets.take("a")
    assert buckets.wait("a") == 10.0


def test_a_flood_of_names_takes_no_more_memory_than_so_many() -> None:
    buckets = Buckets(Clock(), 1, 10.0)
    for name in range(limits._KEPT + 1_000):
        buckets.take(str(name))
    assert len(buckets._left) == limits._KEPT
    assert buckets.wait(str(limits._KEPT + 999)) == 10.0
    for name in range(limits._KEPT):
        buckets.wait(f"asked {name}")
    assert len(buckets._left) == limits._KEPT


def test_those_that_are_in_use_are_kept() -> None:
    buckets = Buckets(Clock(), 5, 10.0)
    for name in range(limits._KEPT + 1_000):
        buckets.take("busy")
        buckets.take(str(name))
    assert buckets.wait("busy") > 0.0


@given(st.lists(st.floats(-1e6, 1e6), max_size=20))
def test_a_clock_that_is_set_back_does_no_harm(moves: list[float]) -> None:
    clock = Clock()
    clock.advance(1e8)
    buckets = Buckets(clock, 2, 10.0)
    for move in moves:
        clock.rightNow += move
        assert 0.0 <= buckets.wait("a") <= 5.0
        buckets.take("a")
    wait = buckets.wait("a")
    clock.rightNow -= 1e6
    assert buckets.wait("a") <= wait + 1e-6
    clock.rightNow += wait + 1e-6
    assert buckets.wait("a") == 0.0


def test_the_many_addresses_of_one_ipv6_client_count_as_one() -> None:
    assert household("192.0.2.7") == "192.0.2.7"
    assert household("2001:db8::1") == household("2001:db8:0:0:ffff::2")
    assert household("2001:db8::1") != household("2001:db8:0:1::1")
    assert household("fe80::1%eth0") == household("fe80::2")


# What clients may do


def allowance(
    clock: Clock | None = None,
    messages: int = 100,
    address_messages: int = 100,
    address_sessions: int = 100,
) -> Allowance:
    return Allowance(
        clock or Clock(),
        HttpSettings(
            messages=messages,
            address_messages=address_messages,
            address_sessions=address_sessions,
        ),
    )


def test_so_many_messages_in_a_session_whoever_says_them() -> None:
    clock = Clock()
    spending = allowance(clock, messages=2)
    for client in ("192.0.2.1", ""):
        spending.spend(client, "s", says=True)
    with pytest.raises(TooOften, match="messages in this session") as refused:
        spending.spend("192.0.2.2", "s", says=True)
    assert refused.value.seconds == 30.0
    spending.spend("192.0.2.2", "t", says=True)
    clock.advance(30)
    spending.spend("192.0.2.2", "s", says=True)


def test_so_many_messages_from_an_address() -> None:
    spending = allowance(address_messages=2)
    spending.spend("192.0.2.1", "s", says=True)
    spending.spend("192.0.2.1", None, says=True)
    with pytest.raises(TooOften, match="messages from this address"):
        spending.spend("192.0.2.1", "t", says=True)
    spending.spend("192.0.2.1", opens=True)
    spending.spend("192.0.2.2", "t", says=True)


def test_so_many_sessions_from_an_address() -> None:
    clock = Clock()
    spending = allowance(clock, address_sessions=1)
    spending.spend("2001:db8::1", opens=True)
    with pytest.raises(TooOften, match="sessions from this address") as refused:
        spending.spend("2001:db8::2", opens=True)
    assert refused.value.seconds == 3_600.0
    spending.spend("2001:db8::2", "s", says=True)
    clock.advance(3_600)
    spending.spend("2001:db8::2", opens=True, says=True)


def test_limits_per_address_do_not_hold_for_proxies_and_who_has_none() -> None:
    spending = allowance(address_messages=1, address_sessions=1)
    for client in ("127.0.0.1", "::1", "") * 3:
        spending.spend(client, "s", opens=True, says=True)


def test_who_is_refused_has_spent_nothing() -> None:
    spending = allowance(messages=2, address_messages=2, address_sessions=2)
    spending.spend("192.0.2.1", "s", says=True)
    spending.spend("192.0.2.2", "s", says=True)
    for _ in range(5):
        with pytest.raises(TooOften):
            spending.spend("192.0.2.1", "s", opens=True, says=True)
    spending.spend("192.0.2.1", "t", opens=True, says=True)
    spending.spend("192.0.2.1", opens=True)
