"""Lines out of bytes: the same however they were cut, and never more than the limit."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from supportbot.channels.line_splitter import LineSplitter

LIMIT = 8
PIECES = st.sampled_from(
    [
        b"a",
        b"help",
        b" ",
        b"\r",
        b"\n",
        b"\r\n",
        b"\xc3\xa9",
        b"\xff",
        b"\x00",
        b"x" * 6,
    ]
)


def lines_of(cuts: Iterable[bytes], limit: int = LIMIT) -> list[str | None]:
    """The lines of bytes that came in these cuts, and that was all."""
    splitter = LineSplitter(limit)
    lines = [line for piece in cuts for line in splitter.feed(piece)]
    return lines + splitter.end()


def right_lines(whole: bytes, limit: int = LIMIT) -> list[str | None]:
    """The same, found at leisure."""
    *ended, last = whole.split(b"\n")
    lines = [line.removesuffix(b"\r") for line in (*ended, *([last] if last else []))]
    return [
        line.decode("utf-8", "replace") if len(line) <= limit else None
        for line in lines
    ]


def cut(whole: bytes, places: Sequence[int]) -> list[bytes]:
    """The bytes in pieces, cut at these places; places behind the end are none."""
    at = sorted({0, len(whole), *(min(place, len(whole)) for place in places)})
    return [whole[start:end] for start, end in pairwise(at)]


@given(
    st.lists(PIECES, max_size=40).map(b"".join),
    st.lists(st.integers(0, 120), max_size=20),
)
@example(b"x" * LIMIT + b"\r\nok", [LIMIT, LIMIT + 1])
def test_cuts_never_matter(whole: bytes, places: list[int]) -> None:
    expected = right_lines(whole)
    assert lines_of([whole]) == expected
    assert lines_of(cut(whole, places)) == expected
    assert lines_of(whole[at : at + 1] for at in range(len(whole))) == expected


@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=8))
def test_any_bytes_at_all(whole: bytes, places: list[int]) -> None:
    assert lines_of(cut(whole, places)) == right_lines(whole)


def test_lines_come_when_their_end_does() -> None:
    splitter = LineSplitter()
    assert splitter.feed(b"one\ntw") == ["one"]
    assert splitter.feed(b"o") == []
    assert splitter.feed(b"\r\n\nthree") == ["two", ""]
    assert splitter.end() == ["three"]


def test_nothing_is_left_behind_the_end() -> None:
    splitter = LineSplitter()
    splitter.feed(b"one")
    assert splitter.end() == ["one"]
    assert splitter.end() == []


def test_no_bytes_are_no_line() -> None:
    assert lines_of([]) == []
    assert lines_of([b""]) == []
    assert lines_of([b"\n"]) == [""]
    assert lines_of([b"one\n"]) == ["one"]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_the_limit_counts_the_line_and_not_its_end(end: bytes) -> None:
    for length, expected in ((LIMIT, "x" * LIMIT), (LIMIT + 1, None)):
        line = b"x" * length + end
        assert lines_of([line]) == [expected]
        assert lines_of([line[:LIMIT], line[LIMIT:]]) == [expected]


def test_a_line_that_is_too_long_costs_only_itself() -> None:
    whole = b"one\n" + b"x" * 1_000 + b"\ntwo\n" + b"y" * 1_000
    assert lines_of([whole]) == ["one", None, "two", None]
    assert lines_of(cut(whole, range(0, 2_100, 3))) == ["one", None, "two", None]


def test_bytes_that_are_no_utf8_are_marked() -> None:
    assert lines_of([b"caf\xc3\xa9\n", b"caf\xe9\n", b"\xc3"]) == [
        "café",
        "caf\N{REPLACEMENT CHARACTER}",
        "\N{REPLACEMENT CHARACTER}",
    ]


def test_a_character_may_be_cut() -> None:
    emoji = "\N{THUMBS UP SIGN}".encode()
    assert lines_of([emoji[:1], emoji[1:3], emoji[3:] + b"\n"]) == ["👍"]


def test_a_line_without_end_is_not_held() -> None:
    splitter, piece = LineSplitter(16_384), b"x" * 65_536
    tracemalloc.start()
    try:
        for _ in range(50 * 2**20 // len(piece)):
            assert splitter.feed(piece) == []
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 4 * len(piece)
    assert splitter.feed(b"\nnext\n") == [None, "next"]
