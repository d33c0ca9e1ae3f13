"""Server-sent events out of bytes: as the standard reads them, whatever the cuts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from supportbot.errors import BodyBroken, BodyRunaway, SupportBotError
from supportbot.streaming.sse import EventStream, ServerSent
from tests.test_json_text import cut, one_by_one


class Reading(NamedTuple):
    """What a stream gave, and the class of the error that ended it."""

    given: list[tuple[str, str, str]]
    broken: type[SupportBotError] | None = None


def read(chunks: Iterable[bytes], limit: int = 1_048_576) -> Reading:
    """Feed all chunks, up to the first error."""
    stream = EventStream(limit)
    given: list[tuple[str, str, str]] = []
    try:
        for chunk in chunks:
            for sent in stream.feed(chunk):
                given.append((sent.event, sent.text, sent.id))
    except SupportBotError as error:
        return Reading(given, type(error))
    return Reading(given)


def rightly_read(whole: bytes, limit: int = 1_048_576) -> Reading:
    """The same, found at leisure, step by step as the standard has it."""
    text, broken = _decoded(whole)
    lines = re.split("\r\n|\n|\r", text.removeprefix("\ufeff"))
    given: list[tuple[str, str, str]] = []
    buffer = event = last_id = ""
    for number, line in enumerate(lines, 1):
        if len(line) > limit:
            return Reading(given, BodyRunaway)
        if number == len(lines):  # not ended
            continue
        if line == "":
            if buffer != "":
                given.append((event or "message", buffer[:-1], last_id))
            buffer = event = ""
            continue
        field, value = re.fullmatch("([^:]*)(?:: ?(.*))?", line, re.DOTALL).groups("")  # type: ignore[union-attr] # anything matches
        if field == "event":
            event = value
        if field == "data":
            buffer += f"{value}\n"
            if len(buffer) - 1 > limit:
                return Reading(given, BodyRunaway)
        if field == "id" and "\0" not in value:
            last_id = value
    return Reading(given, broken)


def _decoded(whole: bytes) -> tuple[str, type[BodyBroken] | None]:
    try:
        return whole.decode(), None
    except UnicodeDecodeError as error:
        beginning = whole[: error.start].decode()
        unfinished = "unexpected end" in error.reason
        return beginning, None if unfinished else BodyBroken


_FIELDS = ("data", "event", "id", "retry", "", "Data", "data ", " data", "dat", "x")
_VALUES = ("", " ", "a", "  b ", ":", "1", "\0", "é", "🙂", "\ufeff", "\u2028", "\x85")
_ENDS = st.sampled_from(["\n", "\r", "\r\n", "\n\n", "\r\r", "\r\n\r\n", "\n\r", ""])


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Streams of events; strange ones among them."""
    lines = [draw(st.sampled_from(["", "", "\ufeff", "\ufeff\ufeff", "\n"]))]
    for _ in range(draw(st.integers(0, 12))):
        field = draw(st.sampled_from(_FIELDS) | st.just("data"))
        colon = draw(st.sampled_from([":", ": ", ":  ", ""]))
        value = draw(st.sampled_from(_VALUES) | st.text(max_size=6))
        lines += field, colon, value, draw(_ENDS)
    return "".join(lines).encode()


@st.composite
def hurt(draw: st.DrawFn) -> bytes:
    """A stream with bytes changed, put in or taken out."""
    stream = draw(streams())
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(stream)))
        end = min(len(stream), start + draw(st.integers(0, 3)))
        inset = draw(
            st.sampled_from([b"\xff", b"\xc3", b"\xed\xa0\xbd", b"\xf0\x9f", b"\n"])
            | st.binary(max_size=2)
        )
        stream = stream[:start] + inset + stream[end:]
    return stream


# What a stream says.


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"", []),
        (b"data: a\n\n", ["a"]),
        (b"data:a\n\n", ["a"]),
        (b"data:  a\n\n", [" a"]),
        (b"data: a \n\n", ["a "]),
        (b"data: a\ndata: b\n\n", ["a\nb"]),
        (b"data\n\n", [""]),
        (b"data:\n\n", [""]),
        (b"data\ndata\n\n", ["\n"]),
        (b"\n\n", []),
        (b": a comment\n\n", []),
        (b":\n\ndata: a\n:data: b\n\n", ["a"]),
        (b"event: ping\n\n", []),
        (b"retry: 3000\n\n", []),
        (b"dat: a\nDATA: a\ndata : a\n data: a\n\n", []),
        (b"data: a\n\ndata: b\n\n", ["a", "b"]),
        (b"data: a\r\rdata: b\r\r", ["a", "b"]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", ["a", "b"]),
        (b"data: a\r\ndata: b\r\n\r\n", ["a\nb"]),
        (b"data: a\n\r", ["a"]),
        (b"data: a\r\n\n", ["a"]),
        (b"data: a\n", []),
        (b"data: a\n\ndata: never ended", ["a"]),
        (b"data: a\n\ndata: never ended\n", ["a"]),
        (b"\xef\xbb\xbfdata: a\n\n", ["a"]),
        (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n", ["b"]),
        (b"\n\xef\xbb\xbfdata: a\n\ndata: b\n\n", ["b"]),
        (b"data: \xef\xbb\xbfa\n\n", ["\ufeffa"]),
        (b'data: {"a": "b: c"}\n\n', ['{"a": "b: c"}']),
        (b"data: a\0b\n\n", ["a\0b"]),
        ("data: é ☕ 🙂 \u2028 \x85 \x0b\n\n".encode(), ["é ☕ 🙂 \u2028 \x85 \x0b"]),
        (b"data: [DONE]\n\n", ["[DONE]"]),
    ],
)
def test_what_counts_as_an_event(stream: bytes, expected: list[str]) -> None:
    right = Reading([("message", text, "") for text in expected])
    assert rightly_read(stream) == right
    assert read([stream]) == right
    assert read(one_by_one(stream)) == right


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"event: a\ndata: 1\n\ndata: 2\n\n", [("a", "1", ""), ("message", "2", "")]),
        (b"event: a\nevent: b\ndata: 1\n\n", [("b", "1", "")]),
        (b"event: a\nevent\ndata: 1\n\n", [("message", "1", "")]),
        (b"event: a\n\ndata: 1\n\n", [("message", "1", "")]),
        (b"data: 1\nevent: a\n\n", [("a", "1", "")]),
        (
            b"id: 7\ndata: 1\n\ndata: 2\n\n",
            [("message", "1", "7"), ("message", "2", "7")],
        ),
        (b"id: 7\n\ndata: 1\n\n", [("message", "1", "7")]),
        (b"id: 7\nID: 8\nEvent: a\ndata: 1\n\n", [("message", "1", "7")]),
        (b"id: 7\nid: 8\0\ndata: 1\n\n", [("message", "1", "7")]),
        (
            b"id: 7\ndata: 1\n\nid\ndata: 2\n\n",
            [("message", "1", "7"), ("message", "2", "")],
        ),
    ],
)
def test_names_and_ids(stream: bytes, expected: list[tuple[str, str, str]]) -> None:
    assert rightly_read(stream) == Reading(expected)
    assert read([stream]) == Reading(expected)
    assert read(one_by_one(stream)) == Reading(expected)


@given(cut(streams()))
def test_the_cuts_of_a_stream_never_matter(stream: tuple[bytes, list[bytes]]) -> None:
    whole, chunks = stream
    expected = rightly_read(whole)
    assert expected.broken is None
    assert read([whole]) == expected
    assert read(chunks) == expected


@given(cut(streams()), st.integers(1, 12))
def test_nor_with_a_limit(stream: tuple[bytes, list[bytes]], limit: int) -> None:
    whole, chunks = stream
    expected = rightly_read(whole, limit)
    assert read([whole], limit) == expected
    assert read(chunks, limit) == expected


@given(cut(hurt()))
@example((b"\xed\xbd", [b"\xed", b"\xbd"]))
@example((b"data: a\n\n\xed\xa0", [b"data: a\n\n\xed\xa0"]))
@example((b"\xed\x9f", [b"\xed\x9f"]))
def test_nor_those_of_a_broken_one(stream: tuple[bytes, list[bytes]]) -> None:
    whole, chunks = stream
    expected = rightly_read(whole)
    assert read([whole]) == expected
    assert read(chunks) == expected


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_a_stream_in_two_at_every_byte(end: str) -> None:
    lines = [
        "\ufeffid: é",
        "event: ☕",
        ": 🙂",
        "data: 🙂",
        "data",
        "",
        "data: b",
        "",
        "",
    ]
    stream = end.join(lines).encode()
    expected = Reading([("☕", "🙂\n", "é"), ("message", "b", "é")])
    for at in range(len(stream) + 1):
        assert read([stream[:at], b"", stream[at:]]) == expected


@pytest.mark.parametrize("end", [b"\n", b"\r"])
def test_an_event_comes_with_its_last_byte(end: bytes) -> None:
    stream = EventStream()
    for crumb in one_by_one(b"data: a" + end):
        assert [*stream.feed(crumb)] == []
    assert [*stream.feed(end)] == [ServerSent("message", "a", "")]


# What it must not say.


@pytest.mark.parametrize(
    "broken",
    [
        b"\xff",
        b"\x80",
        b"\xc0\xaf",
        b"\xed\xa0\xbd",
        b"\xf5\x80\x80\x80",
        b"\xf0\x9f\n",
        b"\xe2\x82data",
    ],
)
def test_events_in_front_of_broken_bytes_are_given(broken: bytes) -> None:
    stream = b"data: a\n\ndata: \xc3\xa9\n\ndata: c" + broken + b"\n\ndata: d\n\n"
    expected = Reading([("message", "a", ""), ("message", "é", "")], BodyBroken)
    assert read([stream]) == expected
    assert read(one_by_one(stream)) == expected
    for at in range(len(stream)):
        assert read([stream[:at], stream[at:]]) == expected


@pytest.mark.parametrize("chunk", [1, 7, 64, 4_096, 1_000_000])
@pytest.mark.parametrize("character", ["x", "é", "🙂", ":"])
def test_a_line_may_be_as_long_as_the_limit(character: str, chunk: int) -> None:
    limit = 10_000
    for field in ("data:", "event:", "id:", ":", ""):
        for excess in (0, 1):
            line = field + character * (limit - len(field) + excess)
            stream = f"data: first\n\n{line}\n\ndata: last\n\n".encode()
            chunks = [stream[at : at + chunk] for at in range(0, len(stream), chunk)]
            given, broken = read(chunks, limit)
            assert given[0] == ("message", "first", "")
            assert broken is (BodyRunaway if excess else None)
            assert (len(given) > 1 and given[-1][1] == "last") is not bool(excess)


def test_a_line_that_never_ends_is_noticed() -> None:
    stream = EventStream(1_000)
    for _ in range(1_000):
        assert [*stream.feed(b"x")] == []
    with pytest.raises(BodyRunaway, match="1000 characters"):
        [*stream.feed(b"x")]


@pytest.mark.parametrize(
    ("line", "fits"), [(b"data\n", 1_001), (b"data: xyz\r\n", 250)]
)
def test_an_event_that_never_ends_is_noticed(line: bytes, fits: int) -> None:
    stream = EventStream(1_000)
    for _ in range(fits):
        assert [*stream.feed(line)] == []
    with pytest.raises(BodyRunaway):
        [*stream.feed(line)]


def test_the_text_is_not_in_the_representation() -> None:
    sent = ServerSent("message", "my own words", "secret id")
    assert repr(sent) == "ServerSent('message', 12 characters)"
