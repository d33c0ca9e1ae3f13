"""Token buckets: how often somebody may do something."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from supportbot.channels.http import limits
from supportbot.channels.http.limits import Buckets, household


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
