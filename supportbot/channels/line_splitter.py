"""Lines out of bytes, one that is too long costing nothing but itself."""

from __future__ import annotations


class LineSplitter:
    """Cut UTF-8 lines out of bytes.

    Args:
        limit: the most bytes of one line, its end not counted.
    """

    def __init__(self, limit: int = 16_384) -> None:
        self._limit = limit
        self._held = bytearray()
        self._skipping = False  # the rest of a line that is too long

    def feed(self, data: bytes) -> list[str | None]:
        """Take bytes; give the lines that they end, None for one that is too long."""
        first, *others = data.split(b"\n")
        lines: list[str | None] = []
        self._hold(first)
        for piece in others:
            lines.append(self._end())
            self._hold(piece)
        return lines

    def end(self) -> list[str | None]:
        """The input has ended: give the last line if nothing ended it."""
        return [self._end()] if self._held or self._skipping else []

    def _hold(self, piece: bytes) -> None:
        if not self._skipping:
            self._held += piece
            # One more may be the carriage return of the line's end.
            if len(self._held) > self._limit + 1:
                self._skipping = True
                self._held.clear()

    def _end(self) -> str | None:
        line = bytes(self._held).removesuffix(b"\r")
        skipped, self._skipping = self._skipping, False
        self._held.clear()
        if skipped or len(line) > self._limit:
            return None
        return line.decode("utf-8", "replace")
