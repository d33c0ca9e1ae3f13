"""Paragraphs as text for a person's screen."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from html import unescape

import wcwidth

from supportbot.events import Format

_BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_DROPPED = {"Cc", "Cs", "Zl", "Zp"}
_KEPT = "\n\t"
# Nearly all text has none of what `clean` drops, and one search says so.
_SUSPECT = re.compile(rf"[^\n\t\x20-\x7e\xa0-\u0600]|[{_BIDI}]")
# Whatever begins like markup is markup up to where that ends, or the text does. So no
# text makes a search fail and begin anew, and the time is linear.
_MARKUP = re.compile(
    r"""
    <!--.*?(?:-->|\Z)
    | <(?P<silent>script|style|template)(?=[\s/>]).*?(?:</(?P=silent)\b[^>]*>?|\Z)
    | <[!?][^>]*>?
    | </?(?P<tag>[a-z][a-z0-9]*)(?:"[^"]*"?|'[^']*'?|[^"'<>])*+>?
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_BLOCKS = {"p", "div", "br", "li", "ul", "ol", "tr", "table", "h1", "h2", "h3", "h4"}
_NUMBER = re.compile("&#0*([0-9]{1,8})[0-9]*")  # no character has a longer one
_WORD = re.compile(" *[^ ]+")


def clean(text: str) -> str:
    """The text without what a terminal would obey instead of showing it.

    Controls (but line feed and tab), C1 controls, surrogates, line and paragraph
    separators and marks that turn the writing direction are dropped.
    """
    if not _SUSPECT.search(text):
        return text
    return "".join(
        character
        for character in text
        if character in _KEPT
        or (unicodedata.category(character) not in _DROPPED and character not in _BIDI)
    )


def reading_text(text: str, format: Format) -> str:
    """A paragraph without markup: no tags, entities decoded, lines joined.

    Text that is not HTML is left as it is.
    """
    if format != "html":
        return text
    lines = _MARKUP.sub(_gap, " ".join(text.split())).split("\n")
    words = (" ".join(_decoded(line).split()) for line in lines)
    return "\n".join(line for line in words if line)


def wrap(text: str, width: int) -> str:
    """Break lines so that none is wider than so many columns.

    They are broken between words, and inside a word only if it is wider than that. A
    wide character needs two columns, so that less than two count as two.
    """
    # wcwidth.wrap does that too, in a time that grows with the square of a word.
    return "\n".join(
        piece.rstrip(" ")
        for line in text.split("\n")
        for piece in _pieces(line.expandtabs().rstrip(" "), max(width, 2))
    )


def clip(text: str, width: int) -> str:
    """As much of a line as fits into so many columns."""
    return wcwidth.clip(text, 0, max(width, 0))


def _gap(markup: re.Match[str]) -> str:
    """What markup leaves: block elements begin and end a line."""
    return "\n" if (markup["tag"] or "").lower() in _BLOCKS else ""


def _decoded(text: str) -> str:
    return unescape(_NUMBER.sub(r"&#\1", text))


def _pieces(line: str, width: int) -> Iterator[str]:
    piece, used = "", 0
    for word in _WORD.findall(line):
        wide = wcwidth.width(word)
        bare = word.lstrip(" ")
        if used + wide <= width:
            piece, used = piece + word, used + wide
        elif wcwidth.width(bare) <= width:
            if piece:
                yield piece
            piece, used = bare, wcwidth.width(bare)
        else:
            for cluster in wcwidth.iter_graphemes(word):
                wide = wcwidth.width(cluster)
                if piece and used + wide > width:
                    yield piece
                    piece, used = "", 0
                if piece or cluster != " ":
                    piece, used = piece + cluster, used + wide
    yield piece
