"""Known names get the service's spelling, and nothing else of a message is touched."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supportbot.settings import DEFAULT_SERVICES
from supportbot.topics import Respelled, respell

_, PRODUCTS, SUPPORT = DEFAULT_SERVICES


def products(text: str) -> Respelled:
    """The message as the product service gets it."""
    return respell(text, PRODUCTS.topics, PRODUCTS.intent)


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("Antigravity Socks", "Antigravity Socks"),
        ("antigravity socks", "Antigravity Socks"),
        ("ANTIGRAVITY SOCKS", "Antigravity Socks"),
        ("antigravity sock", "Antigravity Socks"),
        ("AntiGravity-Socks", "Antigravity Socks"),
        ("Antigravty Socks", "Antigravity Socks"),
        ("anti gravity socks", "Antigravity Socks"),
        ("antigravitysocks", "Antigravity Socks"),
        ("quantum  coffee\nmaker", "Quantum Coffee Maker"),
        ("Quantum Coffeemaker", "Quantum Coffee Maker"),
        ("telepathic toasters", "Telepathic Toaster"),
        ("Telepatic Toaster", "Telepathic Toaster"),
        ("timetravel alarmclock", "Time Travel Alarm Clock"),
        ("timetravelalarmclock", "Time Travel Alarm Clock"),
        ("space basket ball", "Space Basketball"),
    ],
)
def test_small_mistakes_are_mended(typed: str, name: str) -> None:
    told = products(f"I have a product question about {typed}, please!")
    assert told.text == f"I have a product question about {name}, please!"
    assert told.known == (name,)
    assert told.close == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "…",
        "I have a product question",
        "I have a product question about the price of tea in China",
        "what about socks of iron",
    ],
)
def test_what_is_not_known_stays_as_it_is(text: str) -> None:
    told = products(text)
    assert told.text == text
    assert told.known == ()


@pytest.mark.parametrize(
    ("text", "likeliest"),
    [
        ("product question about the toaster", "Telepathic Toaster"),
        ("product question about a coffee machine", "Quantum Coffee Maker"),
        ("product question about basketball", "Space Basketball"),
        ("product question about gravity socks", "Antigravity Socks"),
        ("product question about a travel clock", "Time Travel Alarm Clock"),
    ],
)
def test_what_may_have_been_meant(text: str, likeliest: str) -> None:
    told = products(text)
    assert told.text == text
    assert told.known == ()
    assert told.close[0] == likeliest
    assert len(told.close) <= 3


def test_several_names() -> None:
    told = products("telepathic toaster vs. space basketball vs. SPACE BASKETBALL")
    assert told.text.startswith("Telepathic Toaster vs. ")
    assert "Space Basketball" in told.text
    assert set(told.known) == {"Telepathic Toaster", "Space Basketball"}


def test_the_words_of_the_intent_are_no_part_of_a_name() -> None:
    topics = ("Product Question Book",)
    text = "product question: book"
    assert respell(text, topics, "product question").known == ()
    assert respell(text, topics).known == topics


def test_topics_of_more_words_than_the_message() -> None:
    told = respell("light", SUPPORT.topics, SUPPORT.intent)
    assert told == Respelled("light", (), ("flashing red light",))


def test_the_issues_of_technical_support() -> None:
    text = "I need help with my product. It has a Flashing Red Light. What now?"
    told = respell(text, SUPPORT.topics, SUPPORT.intent)
    assert told.text == text.replace("Flashing Red Light", "flashing red light")
    assert told.known == ("flashing red light",)


def test_no_topics() -> None:
    assert respell("anything", ()) == Respelled("anything", (), ())


_ANY = st.text(max_size=30)
_TYPED = st.sampled_from(PRODUCTS.topics).flatmap(
    lambda name: st.sampled_from([name, name.lower(), name.upper(), f"{name}s"])
)


@given(st.lists(_ANY | _TYPED, max_size=5).map(" ".join))
def test_nothing_else_is_changed(text: str) -> None:
    told = products(text)
    for name in told.known:
        assert name in told.text
    if not told.known:
        assert told.text == text
    # Outside the names every character stands where it stood.
    names = "|".join(map(re.escape, told.known))
    rest = re.split(names, told.text) if names else [told.text]
    position = 0
    for piece in rest:
        assert piece in text[position:]
        position = text.index(piece, position) + len(piece)


@given(st.lists(_ANY | _TYPED, max_size=5).map(" ".join))
def test_once_is_enough(text: str) -> None:
    once = products(text)
    twice = products(once.text)
    assert twice.text == once.text
    assert set(once.known) <= set(twice.known)
