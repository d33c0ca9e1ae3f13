"""Say nothing twice, however often the answer is begun.

Position, not text, decides what was given already: a new attempt's paragraphs are
compared in order with those that were given, and skipped. If it tells a different
story, what was given from that place on is taken back first.
"""

from __future__ import annotations

from supportbot.events import Format
from supportbot.interfaces import Reply


class Story:
    """What all attempts at an answer together have told.

    Args:
        reply: gets each paragraph once.
    """

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._given: list[tuple[str, Format]] = []
        self._told = 0  # paragraphs of this attempt

    def begin(self) -> None:
        """Another attempt starts, from its first paragraph."""
        self._told = 0

    def give(self, text: str, format: Format) -> None:
        """The attempt's next paragraph."""
        paragraph = (text, format)
        if self._told < len(self._given):
            if self._given[self._told] == paragraph:
                self._told += 1
                return
            self._take_back()
        self._given.append(paragraph)
        self._told += 1
        self._reply.paragraph(text, format)

    def end(self) -> None:
        """The attempt is whole: what only others told does not stand."""
        if self._told < len(self._given):
            self._take_back()

    def _take_back(self) -> None:
        del self._given[self._told :]
        self._reply.revise(self._told)
