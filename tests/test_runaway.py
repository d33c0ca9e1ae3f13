"""A flood is noticed within 513 bytes, wherever it begins; honest text passes."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supportbot.errors import BodyBroken, BodyRunaway, BodyTooLong, ByteRepeated
from supportbot.streaming.paragraphs import JsonParagraphs
from supportbot.streaming.runaway import Guard
from tests.test_json_text import FIELD, cut, one_by_one


def admitted(guard: Guard, chunks: Iterable[bytes]) -> tuple[bytes, str | None]:
    """What passes, and what is said of the byte behind it."""
    passed = b"".join([guard.admit(chunk) for chunk in chunks])
    return passed, None if guard.runaway is None else str(guard.runaway)


def rightly_admitted(
    whole: bytes, repeated: int, body: int
) -> tuple[bytes, str | None]:
    """The same, found byte by byte."""
    run = 0
    for at, byte in enumerate(whole):
        run = run + 1 if at and byte == whole[at - 1] else 1
        if at == body:
            return whole[:at], str(BodyTooLong(body))
        if run > repeated:
            return whole[:at], str(ByteRepeated(byte, repeated))
    return whole, None


_RUNS = st.tuples(st.sampled_from([b"0", b"\0", b"-", b"x"]), st.integers(1, 12))
RUNS = st.lists(_RUNS, max_size=12).map(
    lambda runs: b"".join(byte * times for byte, times in runs)
)


@given(cut(RUNS), st.integers(1, 12), st.integers(1, 80))
def test_what_passes_does_not_depend_on_the_cuts(
    body: tuple[bytes, list[bytes]], repeated: int, limit: int
) -> None:
    whole, chunks = body
    expected = rightly_admitted(whole, repeated, limit)
    assert admitted(Guard(repeated, limit), [whole]) == expected
    assert admitted(Guard(repeated, limit), chunks) == expected


@given(cut(st.binary(max_size=60)), st.integers(1, 5))
def test_nor_for_any_bytes(body: tuple[bytes, list[bytes]], repeated: int) -> None:
    whole, chunks = body
    expected = rightly_admitted(whole, repeated, 1_000)
    assert admitted(Guard(repeated), chunks) == expected


@pytest.mark.parametrize("repeated", [1, 2, 3, 7, 8, 511, 512])
def test_a_run_is_noticed_wherever_it_stands_in_a_chunk(repeated: int) -> None:
    for before in range(2 * repeated + 3):
        for times in (repeated, repeated + 1, 3 * repeated + 1):
            whole = b"ab" * before + b"0" * times + b"yz" * repeated
            expected = rightly_admitted(whole, repeated, 10_000)
            assert (expected[1] is None) == (times == repeated)
            assert admitted(Guard(repeated), [whole]) == expected


def test_after_the_runaway_nothing_passes() -> None:
    guard = Guard(repeated=3, body=10)
    assert guard.admit(b"ab0000cd") == b"ab000"
    assert guard.admit(b"cd") == b""
    runaway = guard.runaway
    assert isinstance(runaway, ByteRepeated)
    assert (runaway.byte, runaway.limit) == (ord("0"), 3)


def test_the_body_may_be_as_long_as_its_limit() -> None:
    guard = Guard(repeated=3, body=10)
    assert guard.admit(b"0123456789") == b"0123456789"
    assert guard.admit(b"") == b""
    assert guard.runaway is None
    assert guard.admit(b"0") == b""
    assert isinstance(guard.runaway, BodyTooLong)
    assert guard.runaway.limit == 10


_TABLE = """\
+--------------------------------+------------+
| part                           |      price |
+================================+============+
| flux capacitor                 | 1000000000 |
+--------------------------------+------------+
"""


@pytest.mark.parametrize(
    "honest",
    [
        "-" * 200,
        "\n".join(["=" * 200] * 5),
        "1000000000",
        "Serial number 00000000000000000000-0000000000-000001",
        "0" * 512,
        "0" * 512 + " " + "0" * 512,
        _TABLE,
        " " * 80 + "centred",
        "." * 300 + " 17",
        "ha" * 2_000,
    ],
)
def test_honest_text_passes(honest: str) -> None:
    paragraph = f"<p>{honest}</p>"
    document = json.dumps({"timestamp": 1000000000000, FIELD: paragraph}).encode()
    for size in (1, 7, 512, len(document)):
        guard, reader = Guard(), JsonParagraphs(FIELD)
        chunks = [document[at : at + size] for at in range(0, len(document), size)]
        given = [p for chunk in chunks for p in reader.feed(guard.admit(chunk))]
        assert given == [paragraph]
        assert guard.runaway is None
        assert reader.complete


# The service's known illness: at some byte it switches to a stream of zeroes.

# Each piece of the body with the paragraph that its last byte finishes.
_ANSWER = [
    ('{"timestamp": 1700000000, "response": "', None),
    ("<p>One of 10.</p>", "<p>One of 10.</p>"),
    (" between <p>café ☕ 🙂</p>", "<p>café ☕ 🙂</p>"),
    (r"<p>\u0000 \ud83d\ude42 \"q\" \\<\/p>", '<p>\0 🙂 "q" \\</p>'),
    (r"\u003cP id='0'\u003eend\u003c/p \u003e", "<P id='0'>end</p >"),
    ('<p>never closed"', "<p>never closed"),
    (', "tail": [0, "0"]', None),
    ("}", None),
]
ANSWER = "".join(piece for piece, _ in _ANSWER).encode()


def finished_at(offset: int) -> list[str]:
    """The paragraphs whose last byte stands in front of the offset."""
    finished, end = [], 0
    for piece, paragraph in _ANSWER:
        end += len(piece.encode())
        if paragraph is not None and end <= offset:
            finished.append(paragraph)
    return finished


def flooded(offset: int, byte: bytes, size: int) -> tuple[list[str], int, str]:
    """Read an answer that turns into a flood, in chunks.

    Returns:
        The paragraphs that were given, how many bytes of the flood had been taken
        when it was noticed, and by whom.
    """
    guard, reader = Guard(512), JsonParagraphs(FIELD)
    body = ANSWER[:offset] + byte * 2_048
    given: list[str] = []
    for at in range(0, len(body), size):
        try:
            for paragraph in reader.feed(guard.admit(body[at : at + size])):
                given.append(paragraph)
        except BodyBroken:
            return given, min(at + size, len(body)) - offset, "reader"
        if guard.runaway is not None:
            return given, min(at + size, len(body)) - offset, "guard"
    raise AssertionError("the flood was not noticed")


def test_the_answer_itself_is_right() -> None:
    reader = JsonParagraphs(FIELD)
    assert [*reader.feed(ANSWER)] == finished_at(len(ANSWER))
    assert reader.complete


@pytest.mark.parametrize("byte", [b"0", b"\0"], ids=["zero", "NUL"])
@pytest.mark.parametrize("size", [1, 16, 1_024])
def test_a_flood_from_any_byte_gives_the_exact_beginning(
    byte: bytes, size: int
) -> None:
    for offset in range(len(ANSWER)):
        given, taken, _ = flooded(offset, byte, size)
        assert given == finished_at(offset)
        assert taken < 513 + size


@pytest.mark.parametrize("byte", [b"0", b"\0"], ids=["zero", "NUL"])
def test_not_more_than_513_bytes_are_needed(byte: bytes) -> None:
    for offset in range(len(ANSWER)):
        _, taken, _ = flooded(offset, byte, 1)
        assert taken <= 513


def test_zeroes_in_a_string_are_text_and_only_the_guard_stops_them() -> None:
    offset = ANSWER.index(b"One of")
    assert flooded(offset, b"0", 1) == ([], 513, "guard")


def test_a_flood_after_the_end_does_not_matter() -> None:
    guard, reader = Guard(512), JsonParagraphs(FIELD)
    given = [*reader.feed(guard.admit(ANSWER + b"0" * 2_048))]
    assert given == finished_at(len(ANSWER))
    assert reader.complete
    assert isinstance(guard.runaway, BodyRunaway)


def test_the_guard_notices_what_the_reader_would_hold_back() -> None:
    offset = ANSWER.index(b"One of")
    guard, reader = Guard(512), JsonParagraphs(FIELD)
    for crumb in one_by_one(ANSWER[:offset] + b"0" * 513):
        assert guard.runaway is None
        assert [*reader.feed(guard.admit(crumb))] == []
    assert isinstance(guard.runaway, ByteRepeated)
