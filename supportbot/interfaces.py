"""The contracts between the rooms."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec
from twisted.internet.defer import Deferred

from supportbot.events import Event, Format


class Question(msgspec.Struct, frozen=True):
    """What a service is asked.

    Attributes:
        text: the customer's message.
        transcript: reads what was said in the conversation up to this message. A
            call, since most services don't want it.
    """

    text: str
    transcript: Callable[[], Awaitable[Sequence[Event]]]


class Reply(Protocol):
    """Where a service puts its answer. None of these calls blocks or fails."""

    def paragraph(self, text: str, format: Format = "html") -> None:
        """A finished paragraph: it is stored, then shown."""

    def revise(self, keep: int) -> None:
        """Only the first `keep` paragraphs of this reply still stand."""

    def delta(self, text: str) -> None:
        """A piece of the paragraph that is still growing: shown, never stored."""

    def notice(self, text: str) -> None:
        """A line about how the answer is coming along: shown quietly, never stored."""


class Service(Protocol):
    """Whatever answers.

    Attributes:
        name: as in the settings.
        title: as customers are told, such as `product service`.
    """

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...

    async def answer(self, question: Question, reply: Reply) -> None:
        """Answer, and return when the answer is complete.

        Cancelling it closes whatever connection it holds at once.

        Raises:
            ServiceError: the answer is not complete.
        """


class TranscriptStore(Protocol):
    """Where events live."""

    def append(self, conversation_id: str, events: Sequence[Event]) -> Deferred[None]:
        """Fires when the events are durable; fails with StoreError if none of them is.

        Appends fire in the order in which they were asked for.
        """

    def read(
        self, conversation_id: str, after: int, limit: int
    ) -> Deferred[Sequence[Event]]:
        """The events numbered from `after + 1`, `limit` at the most; or StoreError."""

    def erase(self, conversation_id: str) -> Deferred[None]:
        """Leave nothing of a conversation; an unknown one is no error."""


class Viewer(Protocol):
    """What a follower feeds: the showing end of a channel."""

    def event(self, event: Event) -> None:
        """The next event, in order."""

    def delta(self, text: str) -> None:
        """More of the growing paragraph."""

    def notice(self, text: str) -> None:
        """A quiet line about the reply that is under way."""

    def lost(self) -> None:
        """The follower had to stop; another one may go on where it was."""
