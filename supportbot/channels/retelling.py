"""A transcript as people read it: each message, and then what it was answered."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from supportbot.events import (
    ConversationReset,
    CustomerSaid,
    Event,
    ParagraphSaid,
    ReplyEnded,
    ReplyRevised,
    ReplyStarted,
)


class Answer(msgspec.Struct, frozen=True):
    """A reply as it stands.

    Attributes:
        started: its beginning; None if that is not in the transcript.
        paragraphs: those that were not taken back.
        ended: its end; None if it has none.
    """

    started: ReplyStarted | None
    paragraphs: Sequence[ParagraphSaid]
    ended: ReplyEnded | None


Passage = CustomerSaid | Answer


class Retelling:
    """Told every event in order, it gives passages as soon as they are whole.

    What the customer says during a reply comes behind it.
    """

    def __init__(self) -> None:
        self._answering = False
        self._started: ReplyStarted | None = None
        self._paragraphs: list[ParagraphSaid] = []
        self._said: list[CustomerSaid] = []  # during the reply

    def tell(self, event: Event) -> Sequence[Passage]:
        """The next event; returns what it completes."""
        if isinstance(event, CustomerSaid):
            if not self._answering:
                return [event]
            self._said.append(event)
        elif isinstance(event, ParagraphSaid):
            self._answering = True
            self._paragraphs.append(event)
        elif isinstance(event, ReplyRevised):
            del self._paragraphs[event.keep :]
        elif isinstance(event, ReplyEnded):
            self._answering = True
            return self._taken(event)
        elif isinstance(event, ReplyStarted):
            passages = self.end()
            self._answering, self._started = True, event
            return passages
        elif isinstance(event, ConversationReset):
            return self.end()
        return []

    def end(self) -> Sequence[Passage]:
        """Nothing follows; returns what is left."""
        return self._taken(None)

    def _taken(self, ended: ReplyEnded | None) -> Sequence[Passage]:
        passages: list[Passage] = []
        if self._answering and (ended is not None or self._paragraphs):
            passages.append(Answer(self._started, self._paragraphs, ended))
        passages += self._said
        self._answering, self._started = False, None
        self._paragraphs, self._said = [], []
        return passages
