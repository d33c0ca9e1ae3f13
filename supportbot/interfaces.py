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


class Known(msgspec.Struct, frozen=True):
    """What a store knows of a conversation at a glance.

    Attributes:
        last_seq: the number of its newest event; 0 before the first.
        elsewhere: its newest event was written by another process, which is alive.
    """

    last_seq: int
    elsewhere: bool = False


class Listed(msgspec.Struct, frozen=True):
    """A conversation in a list of them.

    Attributes:
        conversation_id: its id.
        opened_at: when it became known, in seconds of UTC.
        heard_at: when the customer last said something, or that.
        last_seq: the number of its newest event; 0 before the first.
    """

    conversation_id: str
    opened_at: float
    heard_at: float
    last_seq: int


class TranscriptStore(Protocol):
    """Where events live.

    Whatever is asked for fails with StoreError if it can't be done at the moment;
    nothing has changed then. Cancelling has no effect on what is stored.

    Attributes:
        lasting: whether transcripts outlive the process.
        shared: whether other processes are expected to write to it too.
    """

    @property
    def lasting(self) -> bool: ...
    @property
    def shared(self) -> bool: ...

    def open(self, conversation_id: str, at: float) -> Deferred[None]:
        """Make a conversation known before anything is said; a known one stays.

        Args:
            at: seconds of UTC.
        """

    def find(self, conversation_id: str) -> Deferred[Known | None]:
        """What is known of a conversation; None if there is none."""

    def append(self, conversation_id: str, events: Sequence[Event]) -> Deferred[None]:
        """Fires when the events are durable, all or none.

        Appends fire in the order in which they were asked for. An event with the number
        1 makes the conversation known. The numbers follow upon each other, and are
        higher than those that are there; not necessarily by one.

        Raises:
            TranscriptGone: the first number is above 1, and there is no such
                conversation: it was erased.
            TranscriptMoved: somebody else has written events with these numbers.
        """

    def read(
        self, conversation_id: str, after: int, limit: int
    ) -> Deferred[Sequence[Event]]:
        """The oldest events numbered above `after`, `limit` at the most."""

    def erase(self, conversation_id: str) -> Deferred[None]:
        """Leave nothing of a conversation; an unknown one is no error."""

    def forget(self, conversation_id: str, before: int) -> Deferred[None]:
        """Erase a conversation's events that are numbered below `before`."""

    def expire(self, heard_before: float) -> Deferred[int]:
        """Erase conversations in which nothing was said since; how many these were."""

    def list(
        self, limit: int, before: Listed | None = None
    ) -> Deferred[Sequence[Listed]]:
        """Conversations, that with the newest message first.

        Args:
            before: goes on behind this one.
        """

    def ready(self) -> Deferred[None]:
        """Fires if appends can be expected to succeed."""


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

    def over(self) -> None:
        """The conversation has ended: nothing comes any more."""
