"""Paragraphs as text for a person's screen."""

from __future__ import annotations

import re
import unicodedata
from html.parser import HTMLParser

import wcwidth

from supportbot.events import Format

_BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_DROPPED = {"Cc", "Cs", "Zl", "Zp"}
_KEPT = "\n\t"
# Nearly all text has none of what `clean` drops, and one search says so.
_SUSPECT = re.compile(rf"[^\n\t\x20-\x7e\xa0-\u0600]|[{_BIDI}]")
_BLOCKS = {"p", "div", "br", "li", "ul", "ol", "tr", "table", "h1", "h2", "h3", "h4"}
_SILENT = {"script", "style", "template"}


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
    words = _Words()
    words.feed(text)
    words.close()
    lines = ("".join(words.pieces)).split("\n")
    return "\n".join(line for line in (" ".join(raw.split()) for raw in lines) if line)


def wrap(text: str, width: int) -> str:
    """Break lines between words so that none is wider than so many columns."""
    lines = [wcwidth.wrap(line, max(width, 20)) for line in text.split("\n")]
    return "\n".join("\n".join(pieces) for pieces in lines)


def clip(text: str, width: int) -> str:
    """As much of a line as fits into so many columns."""
    return wcwidth.clip(text, 0, max(width, 0))


class _Words(HTMLParser):
    """Collect the text between tags; block elements begin a new line."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in _SILENT:
            self._silent += 1
        if tag in _BLOCKS:
            self.pieces.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in _SILENT:
            self._silent = max(0, self._silent - 1)
        if tag in _BLOCKS:
            self.pieces.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.pieces.append(re.sub(r"\s", " ", data))
