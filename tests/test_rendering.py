"""Text for a screen: harmless, readable, and no wider than the screen."""

from __future__ import annotations

import re
import time
import unicodedata

import pytest
import wcwidth
from hypothesis import assume, example, given
from hypothesis import strategies as st

from supportbot.channels.rendering import clean, clip, reading_text, wrap

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
MARKUP = st.sampled_from(
    [
        *("<p>", "</p>", "<b class='x>y'>", '<a href=">">', "<br/>", "<script>"),
        *("</script>", "<!--", "-->", "<![", "<!DOCTYPE", "<?", "]]>", "<", ">", "</"),
        *("&", "&#", "&#x", "&amp;", "&#27;", "&#xD800;", "&#99999999999;", "&notit;"),
        *("'", '"', "=", "/", "\n", " ", "word", "é", "0" * 20, "<style ", "</style "),
    ]
)
WORDS = st.sampled_from(
    [
        *("a", "to", "socks", "well-known", "https://example.org/a-long-way/to/go"),
        *("中", "文字处理", "\uff37\uff29\uff24\uff25", "e\u0301", "שלום"),
        *("👩\u200d👩\u200d👧", "🇩🇪", "❤\ufe0f"),
        *(" ", "  ", "\t", "\n", "\u00a0", "\u200b", "-", "…"),
    ]
)
TEXTS = st.lists(WORDS, max_size=30).map("".join)


def harmless(character: str) -> bool:
    """Whether a terminal shows the character and does not obey it."""
    return character in "\n\t" or (
        unicodedata.category(character) not in {"Cc", "Cs", "Zl", "Zp"}
        and character not in BIDI
    )


# clean


@given(st.text(st.characters(codec=None), max_size=60))
@example("".join(map(chr, range(0x250))) + BIDI + "\u2028\u2029\ud800\udfff")
def test_only_what_is_harmful_is_dropped(text: str) -> None:
    assert clean(text) == "".join(filter(harmless, text))


def test_every_character_by_itself() -> None:
    characters = list(map(chr, range(0x11_0000)))
    assert clean("".join(characters)) == "".join(filter(harmless, characters))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Naïve façade, Ærøskøbing, Łódź, ĳ, e\u0301",
        "👩\u200d👩\u200d👧\u200d👦 👍🏽 ❤\ufe0f 🇩🇪",
        "产品问题 \uff37\uff29\uff24\uff25 한국어 ありがとう",
        "שלום עולם, السلام عليكم",
        "soft\u00adhyphen, no\u00a0break, zero\u200bwidth",
        "<p>tags &amp; entities</p>\n\tand a table",
    ],
)
def test_text_of_all_the_world_is_unchanged(text: str) -> None:
    assert clean(text) == text


@pytest.mark.parametrize(
    ("attack", "left"),
    [
        ("\x1b]52;c;cm0gLXJmIH4=\x07", "]52;c;cm0gLXJmIH4="),  # sets the clipboard
        ("\x1b]52;c;?\x1b\\", "]52;c;?\\"),  # asks for it
        ("\x1b]8;;http://evil\x1b\\bank\x1b]8;;\x1b\\", "]8;;http://evil\\bank]8;;\\"),
        ("\x1b]0;sudo\x07", "]0;sudo"),  # sets the title
        ("\x1b[21t", "[21t"),  # types the title
        ("\x1b[2J\x1b[H", "[2J[H"),  # wipes the screen
        ("\x1b[1A\x1b[2K> quit", "[1A[2K> quit"),  # rewrites the line before
        ("\x1b[31;5mred\x1b[0m", "[31;5mred[0m"),
        ("\x1b[8mhidden", "[8mhidden"),
        ("\x1b[6n", "[6n"),  # asks where the cursor is
        ("\x1b[c", "[c"),  # asks what the terminal is
        ("\x1b[?1049h", "[?1049h"),  # another screen
        ("\x1b[?2004l", "[?2004l"),  # no bracketed paste
        ("\x1bc", "c"),  # reset
        ("\x1b(0lqqk", "(0lqqk"),  # line drawing
        ("\x1bP$q\x22p\x1b\\", 'P$q"p\\'),  # device control
        ("\x1b_app\x1b\\\x1b^pm\x1b\\", "_app\\^pm\\"),
        ("\x9b2J\x9d0;title\x9c", "2J0;title"),  # the same as single C1 controls
        ("\x90q\x98x\x9ey\x9fz\x85", "qxyz"),
        ("safe text\rrm -rf ~", "safe textrm -rf ~"),  # overwrites
        ("yes\x08\x08\x08no ", "yesno "),
        ("\x07\x07\x05\x0e\x0f\x11\x13\x7f\x00", ""),
        ("abc\u202etxt.exe", "abctxt.exe"),  # reads backwards
        ("\u2066\u2067\u2068\u2069\u200e\u200f\u061c\u202a\u202b\u202c\u202d", ""),
        ("1\u2028> 2\u2029> 3\x0b> 4\x0c> 5\x85> 6", "1> 2> 3> 4> 5> 6"),
        ("\ud83d\udc4d \udcff", " "),  # surrogates that no UTF-8 can hold
    ],
)
def test_attacks_are_shown_and_not_obeyed(attack: str, left: str) -> None:
    shown = clean(attack)
    assert shown == left
    assert all(map(harmless, shown))
    shown.encode()  # which a surrogate would not survive


# reading_text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>Plain words.</p>", "Plain words."),
        ("<p>A <b>bold <i>and slanted</i></b> word.</p>", "A bold and slanted word."),
        ("<p>un<b>break</b>able</p>", "unbreakable"),
        ("<P CLASS='a'>Capitals</P >", "Capitals"),
        ("<p>Lines\n  of   one\tparagraph</p>", "Lines of one paragraph"),
        (
            "<p>&lt;b&gt; &amp; &quot;caf&eacute;&quot; &#8364;&#x20AC;</p>",
            '<b> & "café" €€',
        ),
        ("<p>AT&T &nosuch; &amp;amp; &#; &#x; &</p>", "AT&T &nosuch; &amp; &#; &#x; &"),
        ("<p>no&nbsp;break&hellip;</p>", "no break…"),
        ("<p><a href=\"?a>b\" title='c>d'>link</a></p>", "link"),
        ("<p>one<br>two<br/>three<BR />four</p>", "one\ntwo\nthree\nfour"),
        ("<div><p>a</p><p>b</p></div>", "a\nb"),
        ("<ul><li>one</li><li>two <b>2</b></li></ul>", "one\ntwo 2"),
        ("<ol>\n<li>one\n<li>two\n</ol>", "one\ntwo"),
        ("<p>a<script>evil('<p>')</script>b</p>", "ab"),
        ("<p>a<STYLE type=x>p { }</STYLE >b<template>t</template></p>", "ab"),
        ("<p>a<script>never closed", "a"),
        ("<p>a<!-- <b>no</b> > -->b<!doctype html><?php x ?>c</p>", "abc"),
        ("<p>a<!-- never closed", "a"),
        ("<p>1 < 2, 3 > 2, <3, a<-b, x << y</p>", "1 < 2, 3 > 2, <3, a<-b, x << y"),
        ("<p>never closed", "never closed"),
        ("<p>attribute <b never closed</p>", "attribute"),
        ("<scripture>stays</scripture>", "stays"),
        ("</p></p></script>text", "text"),
        ("<p></p>", ""),
        ("", ""),
    ],
)
def test_html_is_read_without_its_markup(html: str, text: str) -> None:
    assert reading_text(html, "html") == text
    assert reading_text(f"<div>{html}</div>", "html") == text


@pytest.mark.parametrize("format", ["plain", "markdown"])
def test_other_text_is_left_as_it_is(format: str) -> None:
    text = "a <b>  c\n&amp; *d*"
    assert reading_text(text, format) == text  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "html",
    [
        "<p>&#27;]52;c;eA==&#7;</p>",
        "<p>&#x1b;[2J&#x9b;31m&#155;</p>",
        "<p>&#8238;&rlm;&lrm;&#x2028;&#x2029;</p>",
        "<p>a&#13;b&#8;c&#0;d&#127;</p>",
        "<p>&#xD83D;&#xDC4D;&#xDFFF;</p>",
    ],
)
def test_entities_are_no_way_around_the_cleaning(html: str) -> None:
    shown = clean(reading_text(html, "html"))
    assert all(map(harmless, shown))
    assert "\n" not in shown


def test_a_number_that_is_none_of_a_character() -> None:
    for digits in ("1" * 5_000, "0" * 5_000 + "65", "x" + "1" * 5_000):
        assert len(reading_text(f"<p>&#{digits};</p>", "html")) == 1
    assert reading_text(f"<p>&#{'0' * 5_000}65;</p>", "html") == "A"


@given(st.lists(MARKUP | st.text(max_size=3), max_size=40).map("".join))
@example("<![----------><p>")
@example("&#" + "1" * 5_000 + ";")
def test_no_markup_is_too_bad_to_be_read(html: str) -> None:
    assert all(map(harmless, clean(reading_text(html, "html"))))


@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_no_words_are_lost(texts: list[str]) -> None:
    read = reading_text("".join(f"<p>{text}</p>" for text in texts), "html")
    assert read.split() == " ".join(texts).split()


@pytest.mark.parametrize(
    "piece",
    [
        *("<", "</", "<a ", "<a b='", '<a b="', "<a/", "<p", "<!", "<!--", "<?", "<!["),
        *("<script>", "<script ", "</script", "&", "&#", "&#0", "&#x", "&a", "'", "> "),
    ],
)
def test_no_markup_takes_long(piece: str) -> None:
    html = "<p>" + piece * (200_000 // len(piece))
    began = time.process_time()
    reading_text(html, "html")
    assert time.process_time() - began < 5.0  # a square of it would take minutes


# wrap


@given(TEXTS, st.integers(2, 30))
def test_no_line_is_wider_than_the_screen(text: str, width: int) -> None:
    for line in wrap(text, width).split("\n"):
        assert wcwidth.width(line) <= width
        assert line == line.rstrip(" ")


@given(TEXTS, st.integers(-1, 30))
def test_nothing_but_spaces_is_lost(text: str, width: int) -> None:
    wrapped = wrap(text, width)
    assert "".join(wrapped.split()) == "".join(text.split())


@given(TEXTS, st.integers(40, 60))
def test_words_that_fit_are_whole(text: str, width: int) -> None:
    words = re.findall("[^ \t\n]+", text)
    assume(all(wcwidth.width(word) <= width for word in words))
    assert re.findall("[^ \n]+", wrap(text, width)) == words


@given(TEXTS)
def test_what_fits_is_not_touched(text: str) -> None:
    text = "\n".join(line.rstrip(" ") for line in text.expandtabs().split("\n"))
    assert wrap(text, 1_000) == text


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("", 10, [""]),
        ("one two three", 7, ["one two", "three"]),
        ("one two three", 8, ["one two", "three"]),
        ("one\n\ntwo", 20, ["one", "", "two"]),
        ("abcdefghij", 4, ["abcd", "efgh", "ij"]),
        ("a bcdefghij k", 4, ["a bc", "defg", "hij", "k"]),
        ("中文字符", 5, ["中文", "字符"]),
        ("  indented words", 10, ["  indented", "words"]),
        ("      words", 5, ["words"]),
        ("a\tb", 20, ["a       b"]),
        ("abc", 1, ["ab", "c"]),  # a wide character needs two
        ("中文", 0, ["中", "文"]),
    ],
)
def test_lines_are_broken_between_words(
    text: str, width: int, lines: list[str]
) -> None:
    assert wrap(text, width).split("\n") == lines


def test_a_character_of_many_code_points_is_not_broken() -> None:
    family = "👩\u200d👩\u200d👧"
    assert wrap(family * 3, 4).split("\n") == [family * 2, family]


@pytest.mark.parametrize("piece", ["x", "中", "x ", " ", "\t", "-", "e\u0301"])
def test_no_text_takes_long_to_wrap(piece: str) -> None:
    text = piece * (100_000 // len(piece))
    began = time.process_time()
    wrap(text, 80)
    assert time.process_time() - began < 5.0


# clip


@given(TEXTS.map(lambda text: text.replace("\n", " ")), st.integers(-2, 40))
def test_a_line_is_clipped_to_the_width(line: str, width: int) -> None:
    clipped = clip(line, width)
    assert wcwidth.width(clipped) <= max(width, 0)
    if wcwidth.width(line) < width and "\t" not in line:
        assert clipped == line


def test_clipping_keeps_the_beginning() -> None:
    assert clip("Asking the service…", 10) == "Asking the"
    assert clip("Asking", 0) == clip("Asking", -5) == ""
