"""What every transcript store promises; the fake of the other tests is one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from supportbot.errors import StoreError
from supportbot.events import (
    CustomerSaid,
    Event,
    Outcome,
    ParagraphSaid,
    ReplyEnded,
    ReplyRevised,
    ReplyStarted,
)
from supportbot.interfaces import TranscriptStore
from supportbot.transcripts.memory import MemoryStore
from tests.fakes import HeldStore

_T = TypeVar("_T")
_Base = SynchronousTestCase if TYPE_CHECKING else object


def paragraph(seq: int) -> ParagraphSaid:
    return ParagraphSaid(seq=seq, at=1.0, text=f"<p>{seq}</p>", format="html")


class Contract(_Base):
    """The tests; a store's own class says how it is made, and when it is done."""

    store: TranscriptStore

    def settle(self) -> None:
        """Let the store do what it was asked for."""

    def done(self, asked: Deferred[_T]) -> _T:
        self.settle()
        return self.successResultOf(asked)

    def seqs(self, name: str, after: int = 0, limit: int = 100) -> list[int]:
        events = self.done(self.store.read(name, after, limit))
        return [event.seq for event in events]

    def test_what_was_appended_is_read_in_order(self) -> None:
        for seq in range(1, 6):
            self.done(self.store.append("a", [paragraph(seq)]))
        self.assertEqual(self.seqs("a"), [1, 2, 3, 4, 5])

    def test_every_kind_of_event_comes_back_as_it_was(self) -> None:
        events: list[Event] = [
            CustomerSaid(seq=1, at=0.25, text="¿Qué?\n☕", message_id="m-1"),
            ReplyStarted(seq=2, at=1.5, service="tech", intent="help", to=1),
            ParagraphSaid(seq=3, at=2.0, text="<p>\u0000</p>", format="html"),
            ReplyRevised(seq=4, at=3.0, keep=0),
            ReplyEnded(
                seq=5, at=4.0, outcome=Outcome.CUT, detail="Sorry.", unavailable=True
            ),
        ]
        self.done(self.store.append("a", events))
        self.assertEqual(list(self.done(self.store.read("a", 0, 10))), events)

    def test_appends_fire_in_the_order_in_which_they_were_asked_for(self) -> None:
        fired: list[int] = []
        for seq in range(1, 6):
            appended = self.store.append("a", [paragraph(seq)])
            appended.addCallback(lambda _, seq=seq: fired.append(seq))
        self.settle()
        self.assertEqual(fired, [1, 2, 3, 4, 5])
        self.assertEqual(self.seqs("a"), [1, 2, 3, 4, 5])

    def test_an_append_of_several_events(self) -> None:
        self.done(self.store.append("a", [paragraph(1), paragraph(2)]))
        self.done(self.store.append("a", [paragraph(3)]))
        self.assertEqual(self.seqs("a"), [1, 2, 3])

    def test_the_events_are_those_of_the_moment_of_the_call(self) -> None:
        events = [paragraph(1)]
        appended = self.store.append("a", events)
        events.clear()
        self.done(appended)
        self.assertEqual(self.seqs("a"), [1])

    def test_what_was_read_does_not_change(self) -> None:
        self.done(self.store.append("a", [paragraph(1)]))
        read = self.done(self.store.read("a", 0, 10))
        self.done(self.store.append("a", [paragraph(2)]))
        self.assertEqual([event.seq for event in read], [1])

    def test_a_read_begins_behind_its_number(self) -> None:
        self.done(self.store.append("a", [paragraph(seq) for seq in range(1, 6)]))
        self.assertEqual(self.seqs("a", after=2), [3, 4, 5])
        self.assertEqual(self.seqs("a", after=5), [])
        self.assertEqual(self.seqs("a", after=99), [])

    def test_a_read_is_no_longer_than_its_limit(self) -> None:
        self.done(self.store.append("a", [paragraph(seq) for seq in range(1, 6)]))
        self.assertEqual(self.seqs("a", limit=2), [1, 2])
        self.assertEqual(self.seqs("a", after=1, limit=3), [2, 3, 4])
        self.assertEqual(self.seqs("a", after=4, limit=3), [5])

    def test_an_unknown_conversation_is_empty(self) -> None:
        self.assertEqual(self.seqs("nobody"), [])

    def test_conversations_do_not_mix(self) -> None:
        self.done(self.store.append("a", [paragraph(1)]))
        self.done(self.store.append("b", [paragraph(1), paragraph(2)]))
        self.assertEqual(self.seqs("a"), [1])
        self.assertEqual(self.seqs("b"), [1, 2])

    def test_erasing_leaves_nothing(self) -> None:
        self.done(self.store.append("a", [paragraph(1)]))
        self.done(self.store.append("b", [paragraph(1)]))
        self.done(self.store.erase("a"))
        self.assertEqual(self.seqs("a"), [])
        self.assertEqual(self.seqs("b"), [1])

    def test_erasing_what_is_not_there_is_no_error(self) -> None:
        self.assertIsNone(self.done(self.store.erase("nobody")))
        self.done(self.store.append("a", [paragraph(1)]))
        self.done(self.store.erase("a"))
        self.assertIsNone(self.done(self.store.erase("a")))

    def test_an_erased_conversation_may_begin_anew(self) -> None:
        self.done(self.store.append("a", [paragraph(1)]))
        self.done(self.store.erase("a"))
        self.done(self.store.append("a", [paragraph(1)]))
        self.assertEqual(self.seqs("a"), [1])


class MemoryStoreTests(Contract, SynchronousTestCase):
    def setUp(self) -> None:
        self.store = MemoryStore()


class HeldStoreTests(Contract, SynchronousTestCase):
    def setUp(self) -> None:
        self.store = self.held = HeldStore()

    def settle(self) -> None:
        self.held.settle()

    def test_nothing_happens_before_the_test_says_so(self) -> None:
        appended = self.held.append("a", [paragraph(1)])
        self.assertNoResult(appended)
        self.assertEqual(self.held.transcripts, {})
        self.held.store()
        self.successResultOf(appended)
        self.assertEqual(self.held.transcripts, {"a": [paragraph(1)]})

    def test_a_lost_append_stores_nothing(self) -> None:
        lost = self.held.append("a", [paragraph(1)])
        self.held.lose()
        self.failureResultOf(lost, StoreError)
        self.assertEqual(self.seqs("a"), [])

    def test_what_is_durable_can_be_read_before_the_append_fires(self) -> None:
        appended = self.held.append("a", [paragraph(1)])
        self.held.appends[0].act()
        read = self.held.read("a", 0, 10)
        self.held.give()
        self.assertEqual(len(self.successResultOf(read)), 1)
        self.assertNoResult(appended)
        self.held.store()
        self.successResultOf(appended)
        self.assertEqual(self.seqs("a"), [1])
