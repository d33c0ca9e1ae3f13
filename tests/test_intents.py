"""An intent's words count whole, in any case, wherever they stand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supportbot.intents import spotted, words

INTENTS = ("real person", "product question", "help")


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("I have a product question about Antigravity Socks", "product question"),
        ("I need help with my product.", "help"),
        ("I would like to speak with a real person please.", "real person"),
        ("HELP", "help"),
        ("Product Question!", "product question"),
        ("a product\n question", "product question"),
        ("(help)", "help"),
        ("help,please", "help"),
        ("¿help?", "help"),
        ("a real\u00a0person", "real person"),
        ("", None),
        ("hello", None),
        ("helpful", None),
        ("whelp", None),
        ("help_me", None),
        ("help2", None),
        ("hëlp", None),
        ("helpé", None),
        ("an unreal person", None),
        ("a real personality", None),
        ("a question about a product", None),
        ("product, question", None),
        ("product-question", None),
        ("a real live person", None),
    ],
)
def test_which_words_count(text: str, intent: str | None) -> None:
    assert spotted(text, INTENTS) == intent


@given(st.permutations(INTENTS))
def test_the_first_of_the_intents_wins(intents: list[str]) -> None:
    for text in (
        "Help! I have a product question for a real person.",
        "real person, product question, help",
    ):
        assert spotted(text, intents) == intents[0]


def test_it_is_given_as_it_was_configured() -> None:
    assert spotted("a REAL   person", ["x", "Real  Person"]) == "Real  Person"


def test_no_intents() -> None:
    assert spotted("help", []) is None


@given(
    st.text(max_size=10),
    st.sampled_from([*INTENTS, "c++", "a.b", "(x)", "où?"]),
    st.text(max_size=10),
)
def test_found_anywhere_between_other_words(
    before: str, intent: str, after: str
) -> None:
    assert spotted(f"{before} {intent.upper()}\t{after}", [intent]) == intent


@given(st.text())
def test_any_text_will_do(text: str) -> None:
    found = spotted(text, INTENTS)
    assert found is None or found.split()[0] in text.casefold()


def test_punctuation_in_an_intent_is_no_pattern() -> None:
    assert words("a.b").search("a.b")
    assert words("a.b").search("axb") is None
    assert words("c++").search("I like C++.")
