"""Services, stores and viewers that do nothing until the test says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from twisted.internet.defer import CancelledError, Deferred

from supportbot.errors import StoreError
from supportbot.events import Event, Format
from supportbot.interfaces import Question, Reply

_T = TypeVar("_T")


class Asked:
    """One question that a service was asked, and its answer in the test's hands.

    Attributes:
        reply: takes the answer.
        cancelled: the answer was not wanted any more.
    """

    def __init__(self, question: Question, reply: Reply) -> None:
        self.question, self.reply = question, reply
        self.cancelled = False
        self._ended: Deferred[None] = Deferred()

    def end(self) -> None:
        """The answer is complete."""
        self._ended.callback(None)

    def fail(self, error: Exception) -> None:
        """The answer fails."""
        self._ended.errback(error)

    async def until_ended(self) -> None:
        """Returns, or raises, when the test says so, or at once when cancelled."""
        try:
            await self._ended
        except CancelledError:
            self.cancelled = True
            raise


class ScriptedService:
    """A service that the test plays.

    Args:
        begin: does something with the reply before the service waits for the test.

    Attributes:
        asked: all questions so far.
    """

    def __init__(
        self,
        name: str = "product-info",
        title: str = "product service",
        begin: Callable[[Reply], None] = lambda reply: None,
    ) -> None:
        self.name, self.title, self._begin = name, title, begin
        self.asked: list[Asked] = []

    @property
    def last(self) -> Asked:
        """The question that came last."""
        return self.asked[-1]

    @property
    def texts(self) -> list[str]:
        """The messages, in the order in which they came."""
        return [asked.question.text for asked in self.asked]

    async def answer(self, question: Question, reply: Reply) -> None:
        asked = Asked(question, reply)
        self.asked.append(asked)
        self._begin(reply)
        await asked.until_ended()


class RecordingReply:
    """A reply that keeps what it was given.

    Attributes:
        paragraphs: those that stand.
        told: everything in order and in words; notices in brackets.
    """

    def __init__(self) -> None:
        self.paragraphs: list[tuple[str, Format]] = []
        self.told: list[str] = []

    def paragraph(self, text: str, format: Format = "html") -> None:
        self.paragraphs.append((text, format))
        self.told.append(text)

    def revise(self, keep: int) -> None:
        del self.paragraphs[keep:]
        self.told.append(f"revise {keep}")

    def delta(self, text: str) -> None:
        self.told.append(f"…{text}")

    def notice(self, text: str) -> None:
        self.told.append(f"({text})")


class Held(Generic[_T]):
    """Something that a store was asked to do.

    Attributes:
        what: the events to append, or the number to read behind.
        limit: how many events may be read.
        done: fires when the test says so.
    """

    def __init__(
        self, what: Sequence[Event] | int, do: Callable[[], _T], limit: int = 0
    ) -> None:
        self.what, self.limit, self._do = what, limit, do
        self.done: Deferred[_T] = Deferred()
        self._result: list[_T] = []

    def act(self) -> None:
        """Do it, and say nothing yet."""
        if not self._result:
            self._result.append(self._do())

    def fire(self) -> None:
        """Do it if it was not done, and say so."""
        self.act()
        self.done.callback(self._result[0])


class HeldStore:
    """A transcript store that does nothing until the test says so.

    Attributes:
        transcripts: what is durable.
        appends, reads, erasures: what it was asked for and has not done, oldest first.
    """

    def __init__(self) -> None:
        self.transcripts: dict[str, list[Event]] = {}
        self.appends: list[Held[None]] = []
        self.reads: list[Held[Sequence[Event]]] = []
        self.erasures: list[Held[None]] = []

    def append(self, conversation_id: str, events: Sequence[Event]) -> Deferred[None]:
        kept = list(events)

        def do() -> None:
            self.transcripts.setdefault(conversation_id, []).extend(kept)

        return _hold(self.appends, Held(kept, do))

    def read(
        self, conversation_id: str, after: int, limit: int
    ) -> Deferred[Sequence[Event]]:
        def do() -> Sequence[Event]:
            events = self.transcripts.get(conversation_id, [])
            return [event for event in events if event.seq > after][:limit]

        return _hold(self.reads, Held(after, do, limit))

    def erase(self, conversation_id: str) -> Deferred[None]:
        def do() -> None:
            self.transcripts.pop(conversation_id, None)

        return _hold(self.erasures, Held(-1, do))

    def store(self, appends: int = 1) -> None:
        """Make so many appends durable, and say so."""
        for _ in range(appends):
            self.appends.pop(0).fire()

    def lose(self, appends: int = 1) -> None:
        """Let so many appends fail; nothing of them is stored."""
        for _ in range(appends):
            self.appends.pop(0).done.errback(StoreError("the disk is full"))

    def give(self, reads: int = 1) -> None:
        """Answer so many reads."""
        for _ in range(reads):
            self.reads.pop(0).fire()

    def settle(self) -> None:
        """Do all that was asked for, and all that comes of it."""
        while self.appends or self.reads or self.erasures:
            for held in (self.appends, self.reads, self.erasures):
                while held:
                    held.pop(0).fire()


def _hold(queue: list[Held[_T]], held: Held[_T]) -> Deferred[_T]:
    queue.append(held)
    return held.done


class RecordingViewer:
    """A viewer that keeps what it was shown.

    Args:
        upon: is called with each event after it was kept.

    Attributes:
        shown: everything in order; deltas and notices as texts.
    """

    def __init__(self, upon: Callable[[Event], None] = lambda event: None) -> None:
        self.shown: list[Event | str] = []
        self._upon = upon

    @property
    def events(self) -> list[Event]:
        """The events that it was shown, in order."""
        return [one for one in self.shown if not isinstance(one, str)]

    @property
    def seqs(self) -> list[int]:
        """Their numbers."""
        return [event.seq for event in self.events]

    @property
    def texts(self) -> list[str]:
        """The deltas and notices that it was shown, in order."""
        return [one for one in self.shown if isinstance(one, str)]

    def event(self, event: Event) -> None:
        self.shown.append(event)
        self._upon(event)

    def delta(self, text: str) -> None:
        self.shown.append(text)

    def notice(self, text: str) -> None:
        self.shown.append(f"({text})")

    def lost(self) -> None:
        self.shown.append("(lost)")
