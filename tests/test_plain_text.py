"""Plain text is one paragraph, and it is whole when the body has ended."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supportbot.errors import BodyBroken, ParagraphTooLong
from supportbot.streaming.plain_text import PlainText
from tests.test_json_text import cut, one_by_one, read


@given(cut(st.text(max_size=40).map(str.encode)))
def test_the_cuts_never_matter(body: tuple[bytes, list[bytes]]) -> None:
    whole, chunks = body
    text = whole.decode().strip()
    assert read(PlainText(), chunks) == ([text] if text else [], None)


@given(cut(st.binary(max_size=40)), st.integers(1, 20))
def test_nor_for_what_is_wrong(body: tuple[bytes, list[bytes]], limit: int) -> None:
    whole, chunks = body
    assert read(PlainText(limit), chunks) == read(PlainText(limit), [whole])


def test_nothing_is_given_before_the_end() -> None:
    reader = PlainText()
    assert read(reader, [b"Excellence in service.\n"], end=False) == ([], None)
    assert not reader.complete
    assert [*reader.end()] == ["Excellence in service."]


@pytest.mark.parametrize("body", [b"", b" \r\n"])
def test_white_space_is_no_paragraph(body: bytes) -> None:
    assert read(PlainText(), [body]) == ([], None)


@pytest.mark.parametrize("body", [b"caf\xc3", b"\xff", b"a\xed\xa0\xbdb"])
def test_it_has_to_be_utf_8(body: bytes) -> None:
    assert read(PlainText(), one_by_one(body)) == ([], BodyBroken)


@pytest.mark.parametrize("char", ["x", "é", "☕", "🙂"])
def test_the_limit_counts_characters(char: str) -> None:
    whole = (char * 10).encode()
    assert read(PlainText(10), [whole]) == ([char * 10], None)
    assert read(PlainText(9), [whole]) == ([], ParagraphTooLong)


def test_white_space_around_the_text_does_not_count() -> None:
    assert read(PlainText(10), [b"\n  0123456789\r\n"]) == (["0123456789"], None)


def test_an_endless_text_is_not_held() -> None:
    reader = PlainText(10)
    assert read(reader, one_by_one(b" " * 40), end=False) == ([], None)
    assert read(reader, [b" "], end=False) == ([], ParagraphTooLong)
