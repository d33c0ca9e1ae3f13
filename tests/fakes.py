"""Services, stores and viewers that do nothing until the test says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from twisted.internet.defer import CancelledError, Deferred, succeed

from supportbot.errors import StoreError
from supportbot.events import Event, Format
from supportbot.interfaces import Known, Listed, Question, Reply
from supportbot.transcripts.memory import MemoryStore

_T = TypeVar("_T")
_Event = TypeVar("_Event", bound=Event)
_List = list  # where a method of that name hides it


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

    @property
    def over(self) -> bool:
        """The answer has ended, one way or another."""
        return self._ended.called

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
        told: everything in order and in words; notices in brackets, facts by their
            class.
        facts: that were recorded, numbered from 1,001.
    """

    def __init__(self) -> None:
        self.paragraphs: list[tuple[str, Format]] = []
        self.told: list[str] = []
        self.facts: list[Event] = []

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

    def record(self, kind: type[_Event], **fields: object) -> Deferred[_Event]:
        event: Any = kind
        fact: _Event = event(seq=1_001 + len(self.facts), at=0.0, **fields)
        self.facts.append(fact)
        self.told.append(kind.__name__)
        return succeed(fact)


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
        appends, reads, erasures, openings, searches, cuts, expiries, listings, checks:
            what it was asked for and has not done, oldest first.
    """

    lasting = shared = False

    def __init__(self) -> None:
        self.transcripts: dict[str, list[Event]] = {}
        self._memory = MemoryStore(self.transcripts)
        self.appends: list[Held[None]] = []
        self.reads: list[Held[Sequence[Event]]] = []
        self.erasures: list[Held[None]] = []
        self.openings: list[Held[None]] = []
        self.searches: list[Held[Known | None]] = []
        self.cuts: list[Held[None]] = []
        self.expiries: list[Held[int]] = []
        self.listings: list[Held[Sequence[Listed]]] = []
        self.checks: list[Held[None]] = []

    def open(self, conversation_id: str, at: float) -> Deferred[None]:
        return self._hold(self.openings, lambda: self._memory.open(conversation_id, at))

    def find(self, conversation_id: str) -> Deferred[Known | None]:
        return self._hold(self.searches, lambda: self._memory.find(conversation_id))

    def append(self, conversation_id: str, events: Sequence[Event]) -> Deferred[None]:
        kept = list(events)
        return self._hold(
            self.appends, lambda: self._memory.append(conversation_id, kept), kept
        )

    def read(
        self, conversation_id: str, after: int, limit: int
    ) -> Deferred[Sequence[Event]]:
        return self._hold(
            self.reads,
            lambda: self._memory.read(conversation_id, after, limit),
            after,
            limit,
        )

    def erase(self, conversation_id: str) -> Deferred[None]:
        return self._hold(self.erasures, lambda: self._memory.erase(conversation_id))

    def forget(self, conversation_id: str, before: int) -> Deferred[None]:
        return self._hold(
            self.cuts, lambda: self._memory.forget(conversation_id, before), before
        )

    def expire(self, heard_before: float) -> Deferred[int]:
        return self._hold(self.expiries, lambda: self._memory.expire(heard_before))

    def list(
        self, limit: int, before: Listed | None = None
    ) -> Deferred[Sequence[Listed]]:
        return self._hold(self.listings, lambda: self._memory.list(limit, before))

    def ready(self) -> Deferred[None]:
        return self._hold(self.checks, self._memory.ready)

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
        queues: tuple[list[Held[Any]], ...] = (
            self.openings,
            self.appends,
            self.searches,
            self.reads,
            self.cuts,
            self.erasures,
            self.expiries,
            self.listings,
            self.checks,
        )
        while any(queues):
            for held in queues:
                while held:
                    held.pop(0).fire()

    def _hold(
        self,
        queue: _List[Held[_T]],
        ask: Callable[[], Deferred[_T]],
        what: Sequence[Event] | int = -1,
        limit: int = 0,
    ) -> Deferred[_T]:
        def do() -> _T:
            results: _List[_T] = []
            ask().addBoth(results.append)
            return results[0]  # a Failure fails what is held

        held = Held(what, do, limit)
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

    def over(self) -> None:
        self.shown.append("(over)")
