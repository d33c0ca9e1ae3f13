"""Paragraphs out of bytes: all of them, whole, at once, however the bytes were cut."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supportbot.errors import (
    AnswerUnusable,
    BodyBroken,
    BodyCut,
    ParagraphTooLong,
    SupportBotError,
)
from supportbot.streaming.json_text import JsonText
from supportbot.streaming.paragraphs import JsonParagraphs, Paragraphs
from tests.test_json_text import (
    BROKEN,
    DOCUMENTS,
    FIELD,
    PIECES,
    STRANGE,
    Reading,
    cut,
    one_by_one,
    read,
)

WHOLE_PARAGRAPH = re.compile(r"<[pP](?=[\s/>]).*?</[pP]\s{0,64}>", re.DOTALL)
OPENING = re.compile(r"<[pP](?=[\s/>])")

TEXTS = st.lists(PIECES, max_size=12).map("".join)


def right_paragraphs(text: str, limit: int = 32_768) -> Reading:
    """What an answer's whole text comes to, found at leisure."""
    found = list(WHOLE_PARAGRAPH.finditer(text))
    given = [paragraph[0] for paragraph in found]
    rest = text[found[-1].end() :] if found else text
    if unclosed := OPENING.search(rest):
        given.append(rest[unclosed.start() :])
    elif not found:
        given.append(text)
    for at, paragraph in enumerate(given):
        if len(paragraph) > limit:
            return Reading(given[:at], ParagraphTooLong)
    if given:
        given[-1] = given[-1].strip()
    return Reading([paragraph for paragraph in given if paragraph], None)


def paragraphs_of(
    chunks: Iterable[bytes], limit: int = 32_768, *, end: bool = True
) -> Reading:
    """What `JsonParagraphs` makes of a body."""
    return read(JsonParagraphs(FIELD, limit), chunks, end=end)


def paragraphs_of_text(pieces: Iterable[str], limit: int = 32_768) -> Reading:
    """What `Paragraphs` makes of text."""
    paragraphs = Paragraphs(limit)
    given: list[str] = []
    try:
        for piece in pieces:
            for paragraph in paragraphs.feed(piece):
                given.append(paragraph)
        for paragraph in paragraphs.end():
            given.append(paragraph)
    except SupportBotError as error:
        return Reading(given, type(error))
    return Reading(given, None)


# Text.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n", []),
        ("<p>One.</p>", ["<p>One.</p>"]),
        ("<p>One.</p><p>Two.</p>", ["<p>One.</p>", "<p>Two.</p>"]),
        ("<P>One.</P>", ["<P>One.</P>"]),
        ("<p>One.</P >", ["<p>One.</P >"]),
        ('<p class="a">One.</p\n>', ['<p class="a">One.</p\n>']),
        ("<p></p>", ["<p></p>"]),
        ("<p/></p>", ["<p/></p>"]),
        ("so <p>One.</p>, and <p>Two.</p>!", ["<p>One.</p>", "<p>Two.</p>"]),
        ("<p>One.</p>\n<p>never closed\n", ["<p>One.</p>", "<p>never closed"]),
        ("<p>One.</p>\n<p>never closed</p", ["<p>One.</p>", "<p>never closed</p"]),
        ("<p>outer <p>inner</p> rest</p>", ["<p>outer <p>inner</p>"]),
        ("</p>stray <p>One.</p></p>", ["<p>One.</p>"]),
        ("<pre>a</pre>", ["<pre>a</pre>"]),
        ("<pre>a</pre><p>One.</p>", ["<p>One.</p>"]),
        ("<p>a</p" + " " * 64 + ">", ["<p>a</p" + " " * 64 + ">"]),
        ("<p>a</p" + " " * 65 + ">b</p>", ["<p>a</p" + " " * 65 + ">b</p>"]),
        ("No matching terms found.\n", ["No matching terms found."]),
        ("1 < 2, 3 > 2 </p> <p", ["1 < 2, 3 > 2 </p> <p"]),
    ],
)
def test_what_counts_as_a_paragraph(text: str, expected: list[str]) -> None:
    assert right_paragraphs(text) == (expected, None)
    assert paragraphs_of_text([text]) == (expected, None)
    assert paragraphs_of_text(text) == (expected, None)


@given(TEXTS, st.data())
def test_the_cuts_of_a_text_never_matter(text: str, data: st.DataObject) -> None:
    edges = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    pieces = map(text.__getitem__, map(slice, [0, *edges], [*edges, len(text)]))
    expected = right_paragraphs(text)
    assert paragraphs_of_text([text]) == expected
    assert paragraphs_of_text(pieces) == expected
    assert paragraphs_of_text(text) == expected


@given(TEXTS, st.integers(1, 40), st.data())
def test_the_limit_does_not_depend_on_the_cuts(
    text: str, limit: int, data: st.DataObject
) -> None:
    edges = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    pieces = map(text.__getitem__, map(slice, [0, *edges], [*edges, len(text)]))
    expected = right_paragraphs(text, limit)
    assert paragraphs_of_text([text], limit) == expected
    assert paragraphs_of_text(pieces, limit) == expected
    assert paragraphs_of_text(text, limit) == expected


@pytest.mark.parametrize("chunk", [1, 7, 64, 65, 1_024, 4_096, 100_000])
@pytest.mark.parametrize("char", ["x", "é", "🙂", ">", "\\", "\n"])
def test_a_paragraph_may_be_as_long_as_the_limit(char: str, chunk: int) -> None:
    limit = 10_000
    for excess in (0, 1):
        long = f"<p>{char * (limit - 7 + excess)}</p>"
        document = json.dumps({FIELD: f"<p>first</p>{long}<p>last</p>"}).encode()
        chunks = [document[at : at + chunk] for at in range(0, len(document), chunk)]
        reading = paragraphs_of(chunks, limit)
        if excess:
            assert reading == (["<p>first</p>"], ParagraphTooLong)
        else:
            assert reading == (["<p>first</p>", long, "<p>last</p>"], None)


def test_much_text_in_front_of_a_paragraph_is_dropped() -> None:
    text = "x" * 500 + "<p>One.</p>"
    assert paragraphs_of_text([text], 20) == (["<p>One.</p>"], None)
    assert paragraphs_of_text(text, 20) == (["<p>One.</p>"], None)


def test_a_second_end_gives_nothing() -> None:
    paragraphs = Paragraphs()
    assert [*paragraphs.feed("<p>One.</p><p>Two")] == ["<p>One.</p>"]
    assert [*paragraphs.end()] == ["<p>Two"]
    assert [*paragraphs.end()] == []


# Whole documents.


@given(cut(DOCUMENTS))
def test_the_cuts_of_a_document_never_matter(
    document: tuple[bytes, list[bytes]],
) -> None:
    whole, chunks = document
    expected = right_paragraphs(json.loads(whole)[FIELD])
    assert paragraphs_of([whole]) == expected
    assert paragraphs_of(chunks) == expected


@given(DOCUMENTS)
def test_a_paragraph_comes_with_its_last_byte(document: bytes) -> None:
    text = json.loads(document)[FIELD]
    ends = [paragraph.end() for paragraph in WHOLE_PARAGRAPH.finditer(text)]
    right = right_paragraphs(text).given
    crumbs = JsonParagraphs(FIELD)
    given: list[str] = []
    for size, crumb in enumerate(one_by_one(document), 1):
        given += crumbs.feed(crumb)
        assert paragraphs_of([document[:size]], end=False) == (given, None)
        so_far = JsonText(FIELD)
        length = sum(map(len, read(so_far, [document[:size]]).given))
        finished = sum(end <= length for end in ends)
        assert given == (right if so_far.ended else right[:finished])


@given(DOCUMENTS, st.data())
def test_a_beginning_gives_the_first_paragraphs(
    document: bytes, data: st.DataObject
) -> None:
    document = document.rstrip()
    right = right_paragraphs(json.loads(document)[FIELD]).given
    for size in range(len(document)):
        given, broken = paragraphs_of([document[:size]])
        assert broken is BodyCut
        assert given == right[: len(given)]
    size = data.draw(st.integers(0, len(document) - 1))
    beginning = document[:size]
    assert paragraphs_of(one_by_one(beginning)) == paragraphs_of([beginning])


_SPELLED = [  # inside a JSON string
    "<p>plain</p>",
    "<p>é ☕ 🙂</p>",
    r"<p>\u00e9 \ud83d\ude42 \"q\" \\ \/ \n<\/p>",
    r"\u003cP class='x'\u003e\u003c/P \u003e",
    r"between<p>a</p\t>",
]


@pytest.mark.parametrize("bulk", [4_096, 8_192, 12_288])
def test_no_inner_seam_shows(bulk: int) -> None:
    answer = "".join(_SPELLED)
    expected = right_paragraphs(json.loads(f'"{answer}"')).given
    size = len(answer.encode())
    for padding in range(bulk - size - 40, bulk + 40):
        document = f'{{"response": "{"-" * padding}{answer}"}}'.encode()
        assert paragraphs_of([document]) == (expected, None)


def test_a_document_in_two_at_every_byte() -> None:
    text = '<p>é ☕ 🙂 "q" \\ / \n</p>, <P id="1">2</P > and <p>the rest'
    expected = right_paragraphs(text)
    for ascii_only in (False, True):
        fields = {"timestamp": 1732000000, FIELD: text, "tail": {FIELD: "<p>no</p>"}}
        document = json.dumps(fields, ensure_ascii=ascii_only).encode()
        for at in range(len(document) + 1):
            assert paragraphs_of([document[:at], document[at:]]) == expected


# Broken documents.


@given(cut(BROKEN))
def test_what_a_broken_document_gives_does_not_depend_on_the_cuts(
    document: tuple[bytes, list[bytes]],
) -> None:
    whole, chunks = document
    assert paragraphs_of(chunks) == paragraphs_of([whole])


@given(cut(BROKEN), st.integers(1, 20))
def test_nor_with_a_limit(document: tuple[bytes, list[bytes]], limit: int) -> None:
    whole, chunks = document
    assert paragraphs_of(chunks, limit) == paragraphs_of([whole], limit)


@given(BROKEN)
def test_nothing_but_whole_paragraphs_is_given(document: bytes) -> None:
    given, broken = paragraphs_of([document])
    text = JsonText(FIELD)
    heard, _ = read(text, [document])
    right = right_paragraphs("".join(heard)).given
    if text.ended:  # then even a last one without its end tag is whole
        assert given == right
    else:
        assert broken is not None
        assert all(WHOLE_PARAGRAPH.fullmatch(paragraph) for paragraph in given)
        assert given == right[: len(given)]


@pytest.mark.parametrize("document", STRANGE)
def test_a_strange_body_gives_the_same_at_every_cut(document: bytes) -> None:
    expected = paragraphs_of([document])
    assert expected.broken in {BodyBroken, BodyCut, AnswerUnusable}
    assert set(expected.given) <= {
        "<p>a</p>",
        "<p>b",
        "no paragraph at all",
    }
    assert paragraphs_of(one_by_one(document)) == expected
    for at in range(min(len(document), 100)):
        assert paragraphs_of([document[:at], document[at:]]) == expected


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (b'{"response": "<p>a</p><p>b" x}', ["<p>a</p>", "<p>b"]),
        (b'{"response": "no <p" x}', ["no <p"]),
        (b'{"response": "<p>a</p><p>b</p\xff>"}', ["<p>a</p>"]),
        (b'{"response": "<p>a</p><p>b</p\\ud83d>"}', ["<p>a</p>"]),
        (b'{"response": "<p>a</p><p>b</p\n>"}', ["<p>a</p>"]),
        (b'{"response": "<p>a</p>", "response": "<p>b</p>"}', ["<p>a</p>"]),
        (b'["<p>a</p>"]', []),
    ],
)
def test_what_is_given_in_front_of_the_broken_place(
    document: bytes, expected: Sequence[str]
) -> None:
    for chunks in ([document], one_by_one(document)):
        assert paragraphs_of(chunks) == (expected, BodyBroken)


def test_every_paragraph_of_a_stream_is_given_when_it_is_there() -> None:
    paragraphs = [f"<p>Paragraph {number}.</p>" for number in range(5)]
    head, tail = b'{"timestamp": 1732000000, "response": "', b'"}'
    document = head + "".join(paragraphs).encode() + tail
    ends = list(accumulate(map(len, paragraphs), initial=len(head)))[1:]
    reader = JsonParagraphs(FIELD)
    for size, crumb in enumerate(one_by_one(document), 1):
        assert [*reader.feed(crumb)] == [
            paragraph
            for paragraph, end in zip(paragraphs, ends, strict=True)
            if end == size
        ]
        assert reader.complete == (size == len(document))
