"""Tell the customer what the model writes, block by block, and nothing twice.

One `Telling` is for the text of one round, however many attempts that takes. A block
of Markdown is given the moment it is whole; what grows is shown in between. If an
attempt breaks off behind whole blocks, the model is asked to go on from there. A model
that then repeats a block that was given is taken at its word: what follows is compared
with what follows there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import TypeVar

from twisted.internet.defer import Deferred

from supportbot.events import Event, Format
from supportbot.interfaces import Reply
from supportbot.services.assistant.messages import Message, assistant, system
from supportbot.streaming.markdown import MarkdownBlocks
from supportbot.streaming.repetition import Repetition

_GO_ON = (
    "The connection broke, and your answer arrived only as far as it stands above. Go"
    " on with the next paragraph, exactly where it stopped. Repeat nothing, and don't"
    " mention this."
)
_PARAGRAPHS = 8, 4_000, 1_800  # times, characters in all, characters of one
_BLANK = re.compile(r"(?:[ \t]*\n)*")

_Event = TypeVar("_Event", bound=Event)


class Counted:
    """Hand a reply on, and count its paragraphs; see `Reply`.

    Attributes:
        stand: how many paragraphs stand.
    """

    def __init__(self, reply: Reply) -> None:
        self._reply, self.stand = reply, 0

    def paragraph(self, text: str, format: Format = "html") -> None:
        self.stand += 1
        self._reply.paragraph(text, format)

    def revise(self, keep: int) -> None:
        self.stand = min(keep, self.stand)
        self._reply.revise(keep)

    def delta(self, text: str) -> None:
        self._reply.delta(text)

    def notice(self, text: str) -> None:
        self._reply.notice(text)

    def record(self, kind: type[_Event], **fields: object) -> Deferred[_Event]:
        return self._reply.record(kind, **fields)


class Telling:
    """The text of one round.

    Args:
        reply: gets the blocks.
        before: paragraphs that stand in it already.
        longest: characters of a block.
        repeated: how often a phrase may come in a row.

    Attributes:
        heard: bytes of this attempt's text.
    """

    def __init__(self, reply: Reply, before: int, longest: int, repeated: int) -> None:
        self._reply, self._before = reply, before
        self._longest, self._repeated = longest, repeated
        self._given: list[str] = []
        self._shown = False  # pieces of a block that was not given
        self.begin()

    @property
    def text(self) -> str:
        """All blocks that stand."""
        return "\n\n".join(self._given)

    def begin(self, anew: bool = False) -> None:
        """An attempt begins; what an earlier one left unfinished is forgotten.

        Args:
            anew: the model is not to go on, but to tell it all.
        """
        self.drop()
        self._goes_on = bool(self._given) and not anew
        self._blocks = MarkdownBlocks(self._longest)
        # Phrases, and whole paragraphs, which honest text repeats less often.
        self._guards = (Repetition(self._repeated), Repetition(*_PARAGRAPHS))
        self._growing = ""  # what has come of the unfinished block
        self._after_cr = False  # so that an LF belongs to it
        self._silent = True
        # How many of those given this attempt has told; not known while it goes on.
        self._at: int | None = None if self._goes_on else 0
        self.heard = 0

    def go_on(self) -> Sequence[Message]:
        """What the model has to be sent besides, so that an attempt goes on."""
        return [assistant(self.text), system(_GO_ON)] if self._goes_on else []

    def hear(self, piece: str) -> None:
        """The next piece of text.

        Raises:
            BodyRunaway: the model got stuck; what is in front of that was told.
        """
        admitted = piece
        for guard in self._guards:
            admitted = guard.admit(admitted)
        self.heard += len(admitted.encode())
        text = self._with_line_feeds(admitted)
        anew = self._holding()
        self._growing += text
        for block in self._blocks.feed(text):
            self._give(block)
            anew = True
        if not self._holding():
            self._show(self._growing if anew else text)
        for guard in self._guards:
            if guard.runaway is not None:
                raise guard.runaway

    def end(self) -> bool:
        """The text is whole; whether the attempt has told anything."""
        for block in self._blocks.end():
            self._give(block)
        if self._silent:
            return False
        if self._at is not None and self._at < len(self._given):
            self._take_back(self._at)
        return True

    def drop(self) -> None:
        """What is not finished is not going to be."""
        if self._shown:
            self._shown = False
            self._reply.revise(self._before + len(self._given))

    def _holding(self) -> bool:
        """Whether the growing block may be one that was given."""
        if self._at is None:
            growing = self._growing[_blank(self._growing) :].rstrip()
            if not any(map(partial(_may_become, growing), self._given)):
                self._at = len(self._given)
        return self._at is None or self._at < len(self._given)

    def _with_line_feeds(self, text: str) -> str:
        """The next of the text with line ends as blocks have them."""
        if self._after_cr and text:
            text = text.removeprefix("\n")
            self._after_cr = False
        if "\r" in text:
            self._after_cr = text.endswith("\r")
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        return text

    def _give(self, block: str) -> None:
        self._growing = self._growing.partition(block)[2]
        self._silent = False
        if self._at is None:
            again = block in self._given
            self._at = self._given.index(block) if again else len(self._given)
        if self._at < len(self._given):
            if self._given[self._at] == block:
                self._at += 1
                return
            self._take_back(self._at)
        self._at += 1
        self._given.append(block)
        self._shown = False
        self._reply.paragraph(block, "markdown")

    def _take_back(self, keep: int) -> None:
        del self._given[keep:]
        self._shown = False
        self._reply.revise(self._before + keep)

    def _show(self, text: str) -> None:
        text = text if self._shown else text[_blank(text) :]
        if text.strip() or (text and self._shown):
            self._shown = True
            self._reply.delta(text)


def _may_become(growing: str, block: str) -> bool:
    return block.startswith(growing) or growing.startswith(f"{block}\n")


def _blank(text: str) -> int:
    """How long the blank lines at the beginning are."""
    found = _BLANK.match(text)
    return found.end() if found is not None else 0
