"""A body of plain text: one paragraph, given when the body has ended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from supportbot.errors import BodyBroken, ParagraphTooLong


class PlainText:
    """Collect UTF-8 text.

    Args:
        limit: the most characters.

    Attributes:
        complete: never, since plain text does not say where it ends.
    """

    complete: Literal[False] = False

    def __init__(self, limit: int = 32_768) -> None:
        self._limit = limit
        self._held = bytearray()

    def feed(self, data: bytes) -> tuple[()]:
        """Take more bytes.

        Raises:
            ParagraphTooLong: there are too many of them.
        """
        self._held += data
        if len(self._held) > 4 * self._limit:  # UTF-8 has at most four bytes each
            raise ParagraphTooLong(self._limit)
        return ()

    def end(self) -> Iterator[str]:
        """The body has ended: give its text, without white space around it.

        Raises:
            BodyBroken: it is not UTF-8.
            ParagraphTooLong: it has too many characters.
        """
        try:
            text = self._held.decode().strip()
        except UnicodeDecodeError as error:
            raise BodyBroken(f"invalid UTF-8: {error.reason}") from error
        if len(text) > self._limit:
            raise ParagraphTooLong(self._limit)
        if text:
            yield text
