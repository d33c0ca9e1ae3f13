"""A field's text comes out of a JSON object as a real JSON parser would read it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple, Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supportbot.errors import AnswerUnusable, BodyBroken, BodyCut, SupportBotError
from supportbot.streaming.json_text import JsonText

FIELD = "response"


class Feeds(Protocol):
    """What all our parsers have in common."""

    def feed(self, data: bytes) -> Iterable[str]: ...
    def end(self) -> Iterable[str]: ...


class Reading(NamedTuple):
    """What a parser gave, and the class of the error that ended it."""

    given: list[str]
    broken: type[SupportBotError] | None


def read(parser: Feeds, chunks: Iterable[bytes], *, end: bool = True) -> Reading:
    """Feed all chunks, up to the first error; then end, unless told otherwise."""
    given: list[str] = []
    try:
        for chunk in chunks:
            for text in parser.feed(chunk):
                given.append(text)
        if end:
            for text in parser.end():
                given.append(text)
    except SupportBotError as error:
        return Reading(given, type(error))
    return Reading(given, None)


def one_by_one(whole: bytes) -> Iterator[bytes]:
    """Its bytes, each alone."""
    return (whole[at : at + 1] for at in range(len(whole)))


@st.composite
def cut(draw: st.DrawFn, wholes: st.SearchStrategy[bytes]) -> tuple[bytes, list[bytes]]:
    """Bytes, and the same bytes in chunks; empty ones among them."""
    whole = draw(wholes)
    if draw(st.booleans()):
        return whole, list(one_by_one(whole))
    edges = draw(st.lists(st.integers(0, len(whole)), max_size=12))
    ends = [0, *sorted(edges), len(whole)]
    return whole, [whole[start:end] for start, end in pairwise(ends)]


def _escaped(text: str, digits: str) -> str:
    units = text.encode("utf-16-be").hex()
    return "".join(
        rf"\u{format(int(units[at : at + 4], 16), digits)}"
        for at in range(0, len(units), 4)
    )


_SPELLINGS = {
    "ascii": lambda text: json.dumps(text)[1:-1],
    "raw": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "slashed": lambda text: json.dumps(text)[1:-1].replace("/", r"\/"),
    "for a page": lambda text: (
        json.dumps(text)[1:-1].replace("<", r"\u003c").replace(">", r"\u003E")
    ),
    "hexed": lambda text: _escaped(text, "04x"),
    "HEXED": lambda text: _escaped(text, "04X"),
}
_TAGS = (
    "<p>",
    "<p\n>",
    "<P class='>'>",
    "<p/>",
    "</p>",
    "</P >",
    "</p\t\n>",
    "</p\u00a0>",
)
_NEARLY = ("<", "<p", "</", "</p", ">", "p>", "/p>", "<pre>", "</pre>", "&lt;p&gt;")
_SPACED = tuple(f"</p{' ' * spaces}>" for spaces in (63, 64, 65, 66))
_STRANGE_TEXT = ("\\", '"', "\0", "\x1b[2J", "\u2028", "\ufeff", "é", "☕", "🙂")
MARKUP = st.sampled_from([*_TAGS, *_NEARLY, *_SPACED, *_STRANGE_TEXT])
PARAGRAPHS = st.text(max_size=12).map("<p>{}</p>".format)
PIECES = st.one_of(MARKUP, st.text(max_size=8), PARAGRAPHS)


@st.composite
def json_strings(draw: st.DrawFn, pieces: st.SearchStrategy[str] = PIECES) -> str:
    """The inside of a JSON string, with every spelling that JSON allows."""
    spelled = draw(
        st.lists(st.tuples(pieces, st.sampled_from(sorted(_SPELLINGS))), max_size=12)
    )
    return "".join(_SPELLINGS[spelling](piece) for piece, spelling in spelled)


_NAMES = st.sampled_from([FIELD, "timestamp", f'"{FIELD}', f"{FIELD}\\", "", "é🙂"])
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | MARKUP
    | st.just(FIELD)
)
VALUES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3)
    ),
    max_leaves=6,
)
_BLANK = st.sampled_from(["", "", " ", "\r\n\t "])
_OTHERS = st.dictionaries(_NAMES.filter(lambda name: name != FIELD), VALUES, max_size=3)


@st.composite
def envelopes(draw: st.DrawFn, string: str) -> bytes:
    """An object with `string` for its field, and with other fields around that."""
    ascii_only, space = draw(st.booleans()), draw(_BLANK)
    name = draw(st.sampled_from([FIELD, r"respons\u0065", _escaped(FIELD, "04x")]))
    fields = [
        f"{json.dumps(key, ensure_ascii=ascii_only)}{space}:"
        f"{space}{json.dumps(value, ensure_ascii=ascii_only)}"
        for key, value in draw(_OTHERS).items()
    ]
    at = draw(st.integers(0, len(fields)))
    fields.insert(at, f'"{name}"{space}:{space}"{string}"')
    inner = f"{space},{space}".join(fields)
    return f"{space}{{{space}{inner}{space}}}{draw(_BLANK)}".encode()


DOCUMENTS = json_strings().flatmap(envelopes)

_HURTS = (
    b"\xff",
    b"\x80",
    b"\xc3",
    b"\xc0\xaf",
    b"\xed\xa0\xbd",
    b"\xf0\x9f",
    b"\xf5\x80\x80\x80",
    rb"\ud83d",
    rb"\ude00",
    rb"\ud83d\u0041",
    rb"\ud83d\n",
    rb"\u12",
    rb"\u+123",
    rb"\x41",
    b"\\",
    b"\0",
    b"\x1b",
    b"\n",
    b'"',
    b"<p>",
    b"</p>",
    b"{",
    b"}",
    b"]",
    b",",
    b",,",
    b'"response":"<p>again</p>",',
    b',"response":"<p>again</p>"',
    b',"response":null',
)


@st.composite
def hurt(draw: st.DrawFn) -> bytes:
    """A document with bytes changed, put in or taken out."""
    document = draw(DOCUMENTS)
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(document)))
        end = min(len(document), start + draw(st.integers(0, 3)))
        inset = draw(st.sampled_from(_HURTS) | st.binary(max_size=2))
        document = document[:start] + inset + document[end:]
    return document


STRANGE = (
    b"",
    b"  ",
    b"null",
    b'"<p>text</p>"',
    b"17",
    b'["response", "<p>a</p>"]',
    b'[{"response": "<p>a</p>"}]',
    b"{}",
    b'{"other": "<p>a</p>"}',
    b'{"Response": "<p>a</p>"}',
    b'{"response": null}',
    b'{"response": 5}',
    b'{"response": ["<p>a</p>"]}',
    b'{"response": {"response": "<p>a</p>"}}',
    b'{"inner": {"response": "<p>a</p>"}}',
    b'{"inner": ["response", "<p>a</p>"]}',
    b'{"response": "<p>a</p>", "response": "<p>b</p>"}',
    b'{"response": "<p>a</p>", "response": 5}',
    b'{"response": "<p>a</p><p>b", "response": "<p>c</p>"}',
    b'{"response": "<p>a</p><p>b" x}',
    b'{"response": "no paragraph at all" x}',
    b'{"response": "<p>a</p>"',
    b'{"response": "<p>a</p>",}',
    b'{"response": "<p>a</p>"]',
    b'{"response": "<p>a</p>"]}',
    b'{"response" "<p>a</p>"}',
    b'{"response": 5 "<p>a</p>"}',
    b'{response: "<p>a</p>"}',
    b"{'response': '<p>a</p>'}",
    b'{"response": "<p>a</p>\n"}',
    b'{"response": "<p>a</p>\\ud83d"}',
    b'{"response": "<p>a</p>\\ud83d\\u0041"}',
    b'{"response": "<p>a</p>\\ude42"}',
    b'{"response": "<p>a</p>\xed\xa0\xbd"}',
    b'{"response": "<p>a</p>\xff<p>b</p>"}',
    b'{"response": "<p>a</p>\xf0\x9f<p>b</p>"}',
    b'{"response": "<p>a</p>\xf0\x9f"}',
    b'{"response": "<p>a</p>\\q<p>b</p>"}',
    b'{"response": "<p>a</p>\\u00zz<p>b</p>"}',
    b'{"response": "<p>a</p>\\u12\xff<p>b</p>"}',
    b'{"a": "\xff", "response": "<p>a</p>"}',
    b'{"a": "\\ud83d", "response": "<p>a</p>"}',
    b'{"response": "<p>a</p>", "a": "\\ud83d"}',
    b'{"response": "<p>a</p>", "a": NaN}',
    b'{"a": ' + b"[" * 3_000 + b"]" * 3_000 + b', "response": "<p>a</p>"}',
    b"\xef\xbb\xbf" + b'{"response": "<p>a</p>"}',
    b'\xff\xfe{\0"\0',
    b"<html><p>502 Bad Gateway</p></html>",
    b'data: {"response": "<p>a</p>"}',
)
"""Bodies that are no documents, or not quite."""


@st.composite
def truncated(draw: st.DrawFn) -> bytes:
    """The beginning of a document."""
    document = draw(DOCUMENTS)
    return document[: draw(st.integers(0, len(document)))]


BROKEN = hurt() | truncated() | st.sampled_from(STRANGE)


def text_of(
    chunks: Iterable[bytes], envelope: int = 65_536
) -> tuple[str, type[SupportBotError] | None]:
    """The field's text as far as it is right, and what is wrong behind it."""
    pieces, broken = read(JsonText(FIELD, envelope), chunks)
    return "".join(pieces), broken


@given(cut(DOCUMENTS))
def test_the_text_is_what_a_json_parser_reads(
    document: tuple[bytes, list[bytes]],
) -> None:
    whole, chunks = document
    expected = json.loads(whole)[FIELD]
    assert text_of([whole]) == (expected, None)
    assert text_of(chunks) == (expected, None)


@given(cut(BROKEN))
def test_what_is_wrong_does_not_depend_on_the_cuts(
    document: tuple[bytes, list[bytes]],
) -> None:
    whole, chunks = document
    assert text_of(chunks) == text_of([whole])


@given(BROKEN)
def test_nothing_passes_that_a_json_parser_refuses(document: bytes) -> None:
    text, broken = text_of([document])
    if broken is None:
        start = document.decode("utf-8", "replace").lstrip(" \t\r\n")
        judged, _ = json.JSONDecoder().raw_decode(start)
        assert judged[FIELD] == text


@given(DOCUMENTS)
def test_a_beginning_gives_the_beginning(document: bytes) -> None:
    document = document.rstrip()
    text = json.loads(document)[FIELD]
    for size in range(len(document)):
        beginning, broken = text_of([document[:size]])
        assert broken is BodyCut
        assert text.startswith(beginning)


@pytest.mark.parametrize("document", STRANGE)
def test_no_cut_changes_what_is_said_of_a_strange_body(document: bytes) -> None:
    whole = text_of([document])
    assert whole[1] is not None
    assert text_of(one_by_one(document)) == whole
    for at in range(min(len(document), 100)):
        assert text_of([document[:at], document[at:]]) == whole


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        (b"", BodyCut),
        (b"\n", BodyCut),
        (b'{"response": "<p>a</p>"', BodyCut),
        (b'{"response": "\\ud83d', BodyCut),
        (b'{"response": "\xf0\x9f', BodyCut),
        (b"null", BodyBroken),
        (b'["response", "a"]', BodyBroken),
        (b'{"response": "a", "response": "b"}', BodyBroken),
        (b'{"response": "\xff"}', BodyBroken),
        (b'{"response": "\\ud83d"}', BodyBroken),
        (b'{"response": "\0"}', BodyBroken),
        (b'{"response": "a"]', BodyBroken),
        (b'{"response": "a", "b": \xff}', BodyBroken),
        (b"{}", AnswerUnusable),
        (b'{"other": "a"}', AnswerUnusable),
        (b'{"response": null}', AnswerUnusable),
        (b'{"response": {"response": "a"}}', AnswerUnusable),
        (b'{"response": "a", "response": null}', AnswerUnusable),
    ],
)
def test_the_error_says_whether_to_ask_again(
    document: bytes, kind: type[SupportBotError]
) -> None:
    assert text_of([document])[1] is kind


def test_the_last_of_two_fields_counts() -> None:
    document = b'{"response": null, "response": "a"}'
    assert text_of([document]) == ("a", None)
    assert json.loads(document)[FIELD] == "a"


def test_the_same_name_deeper_down_is_another_field() -> None:
    document = (
        b'{"meta": {"response": "<p>no</p>", "x": ["response"]}, "response": "a"}'
    )
    assert text_of([document]) == ("a", None)


def test_what_follows_the_object_is_ignored() -> None:
    parser = JsonText(FIELD)
    assert read(parser, [b'{"response": "a"}{"response": "b"}\xff']) == (["a"], None)
    assert read(parser, [b"0" * 1_000, b'"', b"\xff"]) == ([], None)


def test_the_string_ends_before_the_object_is_complete() -> None:
    parser = JsonText(FIELD)
    assert read(parser, [b'{"response": "a'], end=False) == (["a"], None)
    assert not parser.ended
    assert read(parser, [b'" '], end=False) == ([""], None)
    assert parser.ended
    assert not parser.complete
    assert read(parser, [b"}"]) == ([], None)
    assert parser.complete


def test_the_end_of_the_string_is_seen_before_what_is_wrong_behind_it() -> None:
    parser = JsonText(FIELD)
    pieces = iter(parser.feed(b'{"response": "text" nonsense}'))
    assert next(pieces) == "text"
    assert parser.ended
    with pytest.raises(BodyBroken):
        next(pieces)


@pytest.mark.parametrize("closing", [">", r"\u003e", '"', "\\n"])
def test_crumbs_are_held_back_until_something_may_end(closing: str) -> None:
    parser = JsonText(FIELD)
    assert read(parser, [b'{"response": "'], end=False) == ([], None)
    crumbs = one_by_one(b"</p" + b" " * 40)
    assert read(parser, crumbs, end=False) == ([], None)
    given, broken = read(parser, one_by_one(closing.encode()), end=False)
    text = "" if closing == '"' else json.loads(f'"{closing}"')
    assert ("".join(given), broken) == ("</p" + " " * 40 + text, None)


def test_not_much_is_held_back() -> None:
    parser = JsonText(FIELD)
    given = 0
    for fed, chunk in enumerate(one_by_one(b'{"response": "' + b"x" * 50_000), -13):
        given += sum(map(len, parser.feed(chunk)))
        assert fed - given < 10_000


@pytest.mark.parametrize(
    "document",
    [
        b'{"x": "%s", "response": "<p>a</p>"}',
        b'{"response": "<p>a</p>", "x": "%s"}',
        b'{"response": "<p>a</p>"%b}',
        b'%b{"response": "<p>a</p>"}',
    ],
)
def test_the_envelope_has_a_limit(document: bytes) -> None:
    limit = 1_000
    fits = limit - len(document % b"") + len("<p>a</p>")
    for spaces, broken in ((fits, None), (fits + 1, BodyBroken), (9_000, BodyBroken)):
        whole = document % (b" " * spaces)
        outcome = text_of([whole], limit)
        assert outcome[1] is broken
        assert text_of(one_by_one(whole), limit) == outcome
