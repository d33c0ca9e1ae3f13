"""Text that only repeats itself is noticed, to the character; honest text passes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supportbot.errors import BodyRunaway, TextRepeated
from supportbot.streaming.repetition import Repetition


def admitted(
    repetition: Repetition, pieces: Iterable[str]
) -> tuple[str, TextRepeated | None]:
    """What passes, and what is said of the character behind it."""
    return "".join([repetition.admit(piece) for piece in pieces]), repetition.runaway


def rightly_admitted(
    text: str, times: int, least: int, longest: int
) -> tuple[str, int]:
    """What should pass, found character by character.

    Returns:
        The text, and how often the phrase came; 0 if all of it passes.
    """
    runs = dict.fromkeys(range(1, longest + 1), 0)
    for at in range(len(text)):
        for phrase in runs:
            same = at >= phrase and text[at] == text[at - phrase]
            runs[phrase] = runs[phrase] + 1 if same else 0
            limit = max(least, times * phrase)
            if runs[phrase] + phrase > limit:
                return text[:at], limit // phrase
    return text, 0


def in_pieces(text: str, size: int) -> Iterable[str]:
    return (text[at : at + size] for at in range(0, len(text), size))


_PHRASES = st.text("ab", min_size=1, max_size=5)
TEXTS = st.lists(
    st.tuples(_PHRASES | st.sampled_from(["aab", "é🙂"]), st.integers(1, 20)),
    max_size=8,
).map(lambda runs: "".join(phrase * times for phrase, times in runs))


@st.composite
def cut(draw: st.DrawFn) -> tuple[str, Sequence[str]]:
    """A repetitive text, and the same in pieces; empty ones among them."""
    text = draw(TEXTS)
    edges = sorted(draw(st.lists(st.integers(0, len(text)), max_size=12)))
    return text, [text[start:end] for start, end in pairwise([0, *edges, len(text)])]


@given(cut(), st.integers(1, 8), st.integers(1, 30), st.integers(1, 6))
def test_what_passes_does_not_depend_on_the_cuts(
    text: tuple[str, Sequence[str]], times: int, more: int, longest: int
) -> None:
    whole, pieces = text
    least = 2 * longest + more
    passed, came = rightly_admitted(whole, times, least, longest)
    for way in ([whole], pieces, whole):
        heard, runaway = admitted(Repetition(times, least, longest), way)
        assert heard == passed
        assert (runaway.limit if runaway else 0) == came


@pytest.mark.parametrize("size", [1, 7, 200, 100_000])
@pytest.mark.parametrize(
    ("phrase", "most"),
    [
        ("0", 1_000),
        (" ", 1_000),
        ("\n", 1_000),
        ("🙂", 1_000),
        ("no", 1_000),
        ("I am sorry. ", 1_000),
        ("- The Quantum Coffee Maker makes coffee.\n", 1_000),
        ("x" * 41 + ".", 1_008),
        ("a" * 99 + "\n", 2_400),
        ("One line.\nAnother line.\n\n" * 3 + "And one more.\n", 2_136),
        ("ab" * 199 + "a", 9_576),
        ("a" * 399 + "b", 9_600),
    ],
)
def test_a_phrase_may_come_so_often_and_not_once_more(
    phrase: str, most: int, size: int
) -> None:
    for before in ("", "!", "Some words in front of it:"):
        for excess in (0, 1, 2_000):
            flood = (phrase * (most + excess))[: most + excess]
            text = f"{before}{flood}"
            passed, runaway = admitted(Repetition(), in_pieces(text, size))
            assert passed == text[: len(before) + most]
            assert (runaway is not None) == bool(excess)
            if runaway is not None:
                assert runaway.limit == most // len(phrase)


@pytest.mark.parametrize("offset", [*range(0, 420, 20), 199, 200, 201, 399, 400, 401])
def test_a_flood_is_noticed_wherever_it_begins(offset: int) -> None:
    beginning = "".join(f"{number}, " for number in range(100))[:offset] + "!"
    for phrase in ("?", "I can't. ", "z" * 300 + "."):
        most = max(1_000, 24 * len(phrase))
        text = beginning + phrase * (most + 1)
        passed, runaway = admitted(Repetition(), [text])
        assert passed == text[: len(beginning) + most]
        assert isinstance(runaway, BodyRunaway)


@pytest.mark.parametrize("offset", range(10))
def test_looks_are_close_enough_for_narrow_limits(offset: int) -> None:
    for least, longest in ((9, 4), (10, 4), (12, 4), (13, 4), (25, 4), (3, 1)):
        for phrase in ("a", "ab", "abc", "abcd"[:longest]):
            for first in ("", "abcd" * 3, "xy" * 5):
                text = "0123456789"[:offset] + first + phrase * 30
                passed, _ = rightly_admitted(text, 1, least, longest)
                assert admitted(Repetition(1, least, longest), [text])[0] == passed


def test_after_the_runaway_nothing_passes() -> None:
    repetition = Repetition(times=3, least=7, longest=2)
    assert repetition.admit("abccccccccccc") == "abccccccc"
    first = repetition.runaway
    assert repetition.admit("honest") == ""
    assert repetition.admit("") == ""
    assert repetition.runaway is first is not None
    assert str(first) == "a phrase came more than 7 times in a row"


def test_a_phrase_that_is_too_long_is_not_noticed() -> None:
    text = ("a" * 400 + "b") * 100
    assert admitted(Repetition(), [text]) == (text, None)


def test_two_floods_that_are_each_short_enough_pass() -> None:
    text = ("0" * 1_000 + "-" * 1_000 + "ab" * 499 + "\n") * 5
    for size in (1, 300, len(text)):
        assert admitted(Repetition(), in_pieces(text, size)) == (text, None)


@pytest.mark.parametrize(("least", "longest"), [(800, 400), (2, 1), (0, 0)])
def test_limits_that_would_overlook_something_are_refused(
    least: int, longest: int
) -> None:
    with pytest.raises(ValueError, match="least"):
        Repetition(least=least, longest=longest)


# Honest text.

_TABLE = "| part | price | stock |\n|------|-------|-------|\n" + "".join(
    f"| ACC-{number:04} | $30.20 | 70 |\n" for number in range(131, 171)
)
_FORM = "| Name | Size | Colour | Remarks |\n|---|---|---|---|\n" + (
    "|      |      |      |         |\n" * 24
)
_PRICES = "".join(f"{number}. Keyboard: $30.20\n" for number in range(1, 81))
_CODE = (
    "```python\nzeroes = [\n" + "    0, 0, 0, 0, 0, 0, 0, 0,\n" * 24 + "]\n```\n"
    "for i in range(3):\n    for j in range(3):\n        print(i, j)\n"
)
_PICTURE = "".join("#" * 40 + "\n" for _ in range(20)) + "".join(
    " " * (20 - row) + "*" * (2 * row + 1) + "\n" for row in range(20)
)
_BANNER = (
    "+" + "-" * 70 + "+\n" + ("|" + " " * 70 + "|\n") * 10 + "+" + "-" * 70 + "+\n"
)


@pytest.mark.parametrize(
    "honest",
    [
        _TABLE,
        _FORM,
        _PRICES,
        _CODE,
        _PICTURE,
        _BANNER,
        "-" * 200,
        "\n".join(["=" * 80] * 10),
        "." * 300 + " 17",
        "Serial number 00000000000000000000-0000000000-000001",
        "ha" * 400,
        "0, " * 256,
        "I am sorry. I am sorry. I am so very sorry.",
        "Yes.\n\n" * 20,
        "The monitor costs $166.85 and the keyboard costs $30.20. " * 15,
        "\n\n".join(f"**Step {n}.** Press the button and wait." for n in range(1, 60)),
    ],
)
def test_honest_text_passes(honest: str) -> None:
    for size in (1, 7, len(honest)):
        assert admitted(Repetition(), in_pieces(honest, size)) == (honest, None)
