"""Paragraphs out of text: `<p …>…</p>`, each the moment its last character is there.

A paragraph runs from the first `<p` to the next `</p>`, in any case, with attributes.
Text between paragraphs is no part of the answer. When the text ends, a last paragraph
that was never closed is given as it stands, for then it is whole; and a text without
any paragraph is given as one. How the text was cut makes no difference.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from supportbot.errors import ParagraphTooLong
from supportbot.streaming.json_text import JsonText

_OPEN = re.compile(r"<[pP](?=[\s/>])")
_CLOSE = re.compile(r"</[pP]\s{0,64}>")
_CUT_TAG = re.compile(r"<(?:[pP]?|/(?:[pP]\s{0,64})?)\Z")
_LONGEST_CUT_TAG = len("</p") + 64


class Paragraphs:
    """Cut text into paragraphs.

    Args:
        limit: the most characters of one paragraph, or of text without any.
    """

    def __init__(self, limit: int = 32_768) -> None:
        self._limit = limit
        self._inside = False  # a paragraph
        self._given = False  # at least one was finished
        self._grown = ""  # of the growing paragraph, or of text without any
        self._size = 0  # characters in it, or of text that was too long to keep
        self._cut_tag = ""  # the last characters, if a tag may begin there

    def feed(self, text: str) -> Iterator[str]:
        """Take more text; give the paragraphs that it finishes, tags included.

        Raises:
            ParagraphTooLong: while iterating, after the paragraphs in front of it.
        """
        if self._cut_tag:
            text = self._cut_tag + text
        if self._cut_tag or "<" in text[-_LONGEST_CUT_TAG:]:
            text, self._cut_tag = _split_off_cut_tag(text)
        limit, inside = self._limit, self._inside
        start = looked = 0  # what is growing starts here; no opening tag before that
        for closing in _CLOSE.finditer(text):
            end = closing.end()
            if not inside:
                if text.startswith("<p>", looked):  # nearly always
                    start = looked
                elif opening := _OPEN.search(text, looked, end):
                    start = opening.start()
                else:
                    looked = end
                    continue
            paragraph = text[start:end]
            if self._size:
                if inside:
                    self._grow(paragraph)
                    paragraph = self._grown
                self._forget()
            if len(paragraph) > limit:
                raise ParagraphTooLong(limit)
            yield paragraph
            inside, self._given = False, True
            start = looked = end
        if not inside and (opening := _OPEN.search(text, looked)):
            self._forget()
            inside, start = True, opening.start()
        self._inside = inside
        if inside or not self._given:
            self._grow(text[start:])

    def end(self) -> Iterator[str]:
        """The text has ended: give what is whole now. A second call gives nothing.

        Raises:
            ParagraphTooLong: while iterating, there was only text without paragraphs,
                and too much of it.
        """
        if self._inside or not self._given:
            self._grow(self._cut_tag)
            if self._size > self._limit:
                raise ParagraphTooLong(self._limit)
            if rest := self._grown.strip():
                yield rest
        self._forget()
        self._cut_tag, self._inside, self._given = "", False, True

    def _grow(self, text: str) -> None:
        self._size += len(text)
        if self._size <= self._limit:
            # With one reference left CPython lengthens a string in place; to join
            # pieces would hold everything twice, and crumbs many times.
            grown, self._grown = self._grown, ""
            grown += text
            self._grown = grown
        elif self._inside:
            raise ParagraphTooLong(self._limit)
        else:
            self._grown = ""  # a paragraph may still come, and it would be dropped

    def _forget(self) -> None:
        self._grown, self._size = "", 0


def _split_off_cut_tag(text: str) -> tuple[str, str]:
    """Split `text` in front of its last characters, if a tag may begin there."""
    at = text.rfind("<", -_LONGEST_CUT_TAG)
    if at < 0 or not _CUT_TAG.match(text, at):
        return text, ""
    return text[:at], text[at:]


class JsonParagraphs:
    """The paragraphs in one text field of a JSON object, out of its bytes.

    Args:
        field: the name of the text field.
        limit: the most characters of one paragraph.
        envelope: the most bytes outside the field's string.
    """

    def __init__(self, field: str, limit: int = 32_768, envelope: int = 65_536) -> None:
        self._text = JsonText(field, envelope)
        self._paragraphs = Paragraphs(limit)

    @property
    def complete(self) -> bool:
        """Whether the object is closed; what follows is ignored."""
        return self._text.complete

    def feed(self, data: bytes) -> Iterable[str]:
        """Take more bytes; give the paragraphs that they finish.

        The iterable has to be run to its end.

        Raises:
            BodyBroken, ParagraphTooLong: while iterating, after the paragraphs in
                front of the broken place.
        """
        pieces = self._text.feed(data)
        return self._cut(pieces) if pieces else ()

    def end(self) -> Iterable[str]:
        """The body has ended.

        Raises:
            BodyCut: while iterating, the object is not closed.
        """
        yield from self._cut(self._text.end())

    def _cut(self, pieces: Iterable[str]) -> Iterator[str]:
        for text in pieces:
            yield from self._paragraphs.feed(text)
            if self._text.ended:  # before what follows the text is judged
                yield from self._paragraphs.end()
