"""Blocks out of Markdown text, each the moment it is certain that it is whole.

A block is what can be shown alone. It ends at a blank line, but not at one inside a
fence, a list or indented code, for what follows there may still belong to it: a loose
list is one block, with the paragraphs and the code of its items. Text is cut nowhere
else, so what follows something directly (a heading, a fence, a list) is in its block.

Where CommonMark sees several blocks we may see one, for to join them does no harm. The
other way round happens only in odd texts, as with code that is not indented as far as
the list's item that it is in. Of the inside of an item nothing has to be known: a line
belongs to it if it is indented far enough. Raw HTML is taken for text.

How the text was cut makes no difference.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from supportbot.errors import ParagraphTooLong

# Each is matched where a line's indentation ends.
_FENCE = re.compile(r"(`{3,})[^`]*\Z|(~{3,})")
_RULE = re.compile(r"([-*_])[ \t]*(?:\1[ \t]*){2,}\Z")
_HEADING_OR_QUOTE = re.compile(r"#{1,6}(?:[ \t]|\Z)|>")
_UNDERLINE = re.compile(r"(?:=+|-+)[ \t]*\Z")
_MARKER = re.compile(r"(?:[-+*]|([0-9]{1,9})[.)])(?:[ \t]+|\Z)")
_CUT_MARKER = re.compile(r"(?:[-+*]|[0-9]{1,9}[.)]?)\Z")
_INDENTED = 4  # columns, from which on a line begins nothing but code
_CODE = " "  # in the place of a list's marker
_ENOUGH = 32  # so many characters tell whether a line belongs to a list
_NOWHERE = 1_000_000  # a column that no line reaches


class MarkdownBlocks:
    """Cut Markdown into blocks.

    Line ends become LF. Blank lines around a block are dropped; those within are kept.

    Args:
        limit: the most characters of one block, or of a line.
    """

    def __init__(self, limit: int = 32_768) -> None:
        self._limit = limit
        self._after_cr = False  # so that an LF belongs to it
        self._line = ""  # the unfinished one
        self._block = _Block()

    def feed(self, text: str) -> Iterator[str]:
        """Take more text; give the blocks that are whole now.

        The iterator has to be run to its end.

        Raises:
            ParagraphTooLong: while iterating, after the blocks in front of it.
        """
        if not text:
            return
        if self._after_cr:
            text = text.removeprefix("\n")
        self._after_cr = text.endswith("\r")
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        *ends, rest = text.split("\n")
        for end in ends:
            line, self._line = self._line, ""
            line += end  # CPython lengthens in place what has no other reference
            yield from self._take(line)
        line, self._line = self._line, ""
        line += rest
        yield from self._decide(line, whole=False)
        self._line = line

    def end(self) -> Iterator[str]:
        """The text has ended: give what is left. A second call gives nothing.

        Raises:
            ParagraphTooLong: while iterating.
        """
        line, self._line = self._line, ""
        if line:
            yield from self._take(line)
        if self._block.lines:
            yield self._taken()

    def _take(self, line: str) -> Iterator[str]:
        yield from self._decide(line, whole=True)
        block = self._block
        if line.strip():
            self._check(block.size + len(line))
            block.add(line)
        elif block.lines and block.open:
            self._check(block.size + len(line))
            block.add_blank(line)
        elif block.lines:
            yield self._taken()

    def _decide(self, line: str, whole: bool) -> Iterator[str]:
        """Give the list in front of a blank line, if this line tells that it is over.

        Args:
            line: the line, or its beginning.
            whole: whether it is all of it.
        """
        block = self._block
        if block.waiting:
            enough = min(_ENOUGH, self._limit + 1)
            over = block.is_over(line[:enough], whole and len(line) <= enough)
            if over:
                yield self._taken()
            block.waiting = over is None
        self._check(len(line))

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise ParagraphTooLong(self._limit)

    def _taken(self) -> str:
        block, self._block = self._block, _Block()
        while not block.lines[-1].strip():
            block.lines.pop()
        return "\n".join(block.lines)


class _Block:
    """The block that is growing.

    Attributes:
        lines: those that are whole.
        size: how many characters they have, each with its line end.
        waiting: a blank line came inside a list; the next one tells if that goes on.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.size = 0
        self.waiting = False
        self._fence = ""  # how the open one begins
        self._list = ""  # if one is open, the last character of its markers; or _CODE
        self._column = 0  # where the text of the list's last item begins
        self._bare = False  # there is no text in that item yet
        self._in_doubt = False  # whether the list is still open
        self._in_paragraph = False  # outside the list

    @property
    def open(self) -> bool:
        """Whether a blank line does not end it."""
        return bool(self._fence or self._list)

    def add_blank(self, line: str) -> None:
        """Take a blank line."""
        self._append(line)
        if self._list and not self._fence:
            self.waiting = True
            if self._bare:  # such an item is over then
                self._column = _NOWHERE

    def add(self, line: str) -> None:
        """Take a line that is not blank."""
        self._append(line)
        start, column = _indentation(line)
        if self._fence:
            if column < _INDENTED and self._closes(line.strip(" \t")):
                self._fence = ""
        elif self._list and column >= self._column:
            self._bare = False
            if self._in_doubt and column < _INDENTED:
                self._open_fence(line, start)
        elif column < _INDENTED:
            if self._list == _CODE:
                self._list = ""
            self._begin(line, start)
        elif not self._list and not self._in_paragraph:
            self._list, self._column = _CODE, _INDENTED
        elif self._list:
            self._doubt()

    def is_over(self, line: str, whole: bool) -> bool | None:
        """Whether a line behind the blank one does not belong to the list.

        Args:
            line: its beginning.
            whole: whether that is all of it.

        Returns:
            None if that is not yet known.
        """
        start, column = _indentation(line)
        if column >= self._column:
            return False
        if start == len(line) < _ENOUGH:
            return None
        if column >= _INDENTED:
            return True
        if not whole and _CUT_MARKER.match(line, start):
            return None
        marker = _MARKER.match(line, start)
        return marker is None or marker[0].rstrip()[-1] != self._list

    def _append(self, line: str) -> None:
        self.lines.append(line)
        self.size += len(line) + 1

    def _closes(self, line: str) -> bool:
        return line.startswith(self._fence) and not line.strip(self._fence[0])

    def _begin(self, line: str, start: int) -> None:
        """See what begins behind the indentation of a line that is in no item."""
        in_paragraph, self._in_paragraph = self._in_paragraph, False
        if (
            self._open_fence(line, start)
            or _HEADING_OR_QUOTE.match(line, start)
            or _RULE.match(line, start)
        ):
            self._list = ""
        elif in_paragraph and _UNDERLINE.match(line, start):
            pass
        elif (marker := _MARKER.match(line, start)) and not (
            in_paragraph and (marker.end() == len(line) or marker[1] not in {None, "1"})
        ):
            self._open_item(line, marker)
        else:
            self._in_paragraph = not self._list
            if self._list:
                self._doubt()

    def _open_fence(self, line: str, start: int) -> bool:
        fence = _FENCE.match(line, start)
        if fence:
            self._fence = fence[1] or fence[2]
        return fence is not None

    def _doubt(self) -> None:
        """Take text that is not indented enough for the list's last item.

        If the item ends in a paragraph, it goes on with that; if not, the list is over.
        Be ready for both.
        """
        self._in_doubt = True
        self._column = min(self._column, _INDENTED)

    def _open_item(self, line: str, marker: re.Match[str]) -> None:
        written = marker[0].rstrip()
        self._list = written[-1]
        self._bare, self._in_doubt = marker.end() == len(line), False
        after = _columns(line[: marker.start()] + written)
        self._column = _columns(line[: marker.end()])
        if self._bare or self._column > after + _INDENTED:  # it begins with code
            self._column = after + 1


def _indentation(line: str) -> tuple[int, int]:
    """How many characters it has, and at which column it ends."""
    start = len(line) - len(line.lstrip(" \t"))
    return start, _columns(line[:start])


def _columns(text: str) -> int:
    return len(text.expandtabs(4))
