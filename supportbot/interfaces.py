"""The contracts between the rooms."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import msgspec
from twisted.internet.defer import Deferred

from supportbot.events import Event, Format, OrderProposed, OrderSent

_Event = TypeVar("_Event", bound=Event)


class Customer(msgspec.Struct, frozen=True):
    """Somebody who has proven who they are.

    Attributes:
        customer_id: in the shop.
    """

    customer_id: str
    name: str
    email: str


class Credentials(msgspec.Struct, frozen=True):
    """What a customer gave to log in; never stored, logged or sent elsewhere.

    Attributes:
        email: as typed; None if it was not given yet.
        pin: digits; None if it was not given yet.
    """

    email: str | None
    pin: str | None

    def __repr__(self) -> str:
        return "Credentials(…)"


class Spent(msgspec.Struct, frozen=True):
    """What language models took in a conversation.

    Attributes:
        tokens: read and written.
        cost: dollars.
    """

    tokens: int = 0
    cost: float = 0.0


class Standing(msgspec.Struct, frozen=True):
    """What a transcript says about the customer, when a message is answered.

    Attributes:
        proposal: an order that was shown to the customer just before this message, and
            that a yes would place.
        unsettled: an order that was sent, and nobody knows whether it was placed.
        placed: orders that were placed in this conversation, the oldest first.
        spent: by the language model up to now.
        id_chosen: the conversation's id was chosen by a client, so that others may know
            it; nobody can log in there.
    """

    proposal: OrderProposed | None = None
    unsettled: OrderSent | None = None
    placed: tuple[OrderSent, ...] = ()
    spent: Spent = Spent()
    id_chosen: bool = False


def _nobody() -> Customer | None:
    return None


class Question(msgspec.Struct, frozen=True):
    """What a service is asked.

    Attributes:
        text: the customer's message.
        transcript: reads what was said in the conversation before this message and
            with it, and how that was answered. A call, since most services don't want
            it.
        conversation_id: of the conversation.
        seq: the number of the message.
        client: where it came from, for limits per address; empty if that says nothing.
        customer: who the customer is at the moment; None while that is not proven. A
            call, since who logs out in the meantime is nobody at once.
        credentials: given with this message, or with it and one shortly before.
        standing: what else the transcript says about the customer.
    """

    text: str
    transcript: Callable[[], Awaitable[Sequence[Event]]]
    conversation_id: str = ""
    seq: int = 0
    client: str = ""
    customer: Callable[[], Customer | None] = _nobody
    credentials: Credentials | None = None
    standing: Standing = Standing()


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

    def record(self, kind: type[_Event], **fields: object) -> Deferred[_Event]:
        """Store a fact of the service's own, behind what it gave; fires when durable.

        Fails with CancelledError if the reply is over, and with StoreError.
        """


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


class Verdict(msgspec.Struct, frozen=True):
    """What came of somebody's credentials.

    Attributes:
        customer: who it is; None if that is not proven.
        told: a line for them, the same whether there is such a customer or not.
        wait: seconds until the next try is of any use.
        tried: they were tried; not if it was too early for that.
        unknown: nobody could tell at the moment.
    """

    customer: Customer | None
    told: str
    wait: float = 0.0
    tried: bool = True
    unknown: bool = False


class Doorkeeper(Protocol):
    """Tells who somebody is."""

    async def verify(
        self, credentials: Credentials, conversation_id: str, client: str
    ) -> Verdict:
        """Whether the credentials belong together; counted as a try.

        Args:
            client: the network address, for limits; empty where it says nothing.

        Raises:
            StoreError: it can't be counted, so it is not tried.
        """


class Tool(msgspec.Struct, frozen=True):
    """Something that a language model may use.

    Attributes:
        schema: JSON Schema of its arguments.
    """

    name: str
    description: str
    schema: Mapping[str, Any]


class Guesses(Protocol):
    """Counts tries at PINs. What it counts lasts as long as transcripts do.

    Addresses of customers are given in any case of letters and mean the same.
    """

    def begin(
        self, email: str, conversation_id: str, client: str, now: float
    ) -> Deferred[float]:
        """Count a try before it is made, so that none made side by side escapes.

        Args:
            client: the network address; empty where it says nothing.
            now: seconds of UTC.

        Returns:
            Fires with 0.0 if the try may be made; else with the seconds until one may,
            and nothing is counted. Fails with StoreError.
        """

    def wait(
        self, email: str, conversation_id: str, client: str, now: float
    ) -> Deferred[float]:
        """Seconds until a try may be made; nothing is counted. Fails as `begin`."""

    def right(
        self, email: str, conversation_id: str, client: str, now: float
    ) -> Deferred[None]:
        """The try was right: it counts nowhere, and the customer's begin anew."""

    def void(
        self, email: str, conversation_id: str, client: str, now: float
    ) -> Deferred[None]:
        """Nobody could tell whether it was right: it does not count."""

    def unlock(self, email: str) -> Deferred[bool]:
        """Let a customer try again at once; whether there was anything to forget."""


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
