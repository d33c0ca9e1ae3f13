"""Events get numbers, are stored in order, and are announced once."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from supportbot.errors import (
    AnsweredElsewhere,
    StoreError,
    TranscriptGone,
    TranscriptMoved,
)
from supportbot.events import ConversationReset, CustomerSaid, Event
from supportbot.recorder import Recorder
from supportbot.transcripts.memory import MemoryStore
from tests.fakes import HeldStore


class Scene:
    """Recorders of one conversation, as so many processes have them."""

    def __init__(self, processes: int = 1) -> None:
        self.store = HeldStore()
        self.announced: list[list[Event]] = [[] for _ in range(processes)]
        self.recorders = [
            Recorder(self.store, "c", lambda: 7.0, announced.append, self._gone)
            for announced in self.announced
        ]
        self.gone = 0

    def _gone(self) -> None:
        self.gone += 1

    @property
    def transcript(self) -> list[Event]:
        """What is durable."""
        return self.store.transcripts.get("c", [])

    @property
    def texts(self) -> list[str]:
        """The messages in it."""
        return [one.text for one in self.transcript if isinstance(one, CustomerSaid)]

    def record(
        self,
        text: str,
        objection: Callable[[], Exception | None] | None = None,
        process: int = 0,
    ) -> Deferred[CustomerSaid]:
        recorder = self.recorders[process]
        return recorder.record(CustomerSaid, objection, text=text, message_id=text)

    def by_somebody_else(self, *texts: str) -> None:
        """Events that another process has stored."""
        for text in texts:
            last = self.transcript[-1].seq if self.transcript else 0
            said = CustomerSaid(seq=last + 1, at=0.0, text=text, message_id=text)
            self.store.transcripts.setdefault("c", []).append(said)


class RecorderTests(SynchronousTestCase):
    def scene(self, processes: int = 1) -> Scene:
        scene = Scene(processes)
        self.addCleanup(self.check, scene)
        return scene

    def check(self, scene: Scene) -> None:
        numbers = [event.seq for event in scene.transcript]
        self.assertEqual(numbers, list(range(1, len(numbers) + 1)))
        for announced, recorder in zip(scene.announced, scene.recorders, strict=True):
            self.assertEqual(announced, scene.transcript[: len(announced)])
            self.assertEqual(recorder.last_seq, len(announced))

    def test_an_event_is_announced_when_it_is_stored(self) -> None:
        scene = self.scene()
        recorded = scene.record("a")
        self.assertEqual(scene.announced[0], [])
        scene.store.appends[0].act()
        self.assertEqual(scene.announced[0], [])
        scene.store.store()
        said = CustomerSaid(seq=1, at=7.0, text="a", message_id="a")
        self.assertEqual(scene.announced[0], [said])
        self.assertIs(self.successResultOf(recorded), scene.announced[0][0])

    def test_it_is_announced_before_the_one_who_recorded_it_is_told(self) -> None:
        scene = self.scene()
        seen: list[int] = []
        recorded = scene.record("a")
        recorded.addCallback(lambda _: seen.append(len(scene.announced[0])))
        scene.store.store()
        self.assertEqual(seen, [1])

    def test_one_append_at_a_time(self) -> None:
        scene = self.scene()
        recorded = [scene.record(text) for text in "abc"]
        self.assertEqual(len(scene.store.appends), 1)
        scene.store.store()
        self.assertEqual(len(scene.store.appends), 1)
        self.assertNoResult(recorded[1])
        scene.store.store()
        self.assertEqual(scene.store.appends, [])
        self.assertEqual([self.successResultOf(one).seq for one in recorded], [1, 2, 3])

    def test_what_fails_takes_with_it_what_waits_behind_it(self) -> None:
        scene = self.scene()
        recorded = [scene.record(text) for text in "abc"]
        later: list[Deferred[CustomerSaid]] = []
        recorded[0].addErrback(lambda _: later.append(scene.record("d")))
        scene.store.lose()
        for one in recorded[1:]:
            self.failureResultOf(one, StoreError)
        scene.store.settle()
        self.assertEqual(scene.texts, ["d"])
        self.assertEqual(self.successResultOf(later[0]).seq, 1)

    def test_after_a_failure_it_looks_at_what_is_stored(self) -> None:
        scene = self.scene()
        lost = scene.record("a")
        scene.store.appends[0].act()
        scene.store.lose()
        self.failureResultOf(lost, StoreError)
        recorded = scene.record("b")
        self.assertEqual(scene.store.appends, [])
        scene.store.give(2)
        self.assertEqual(len(scene.announced[0]), 1)
        scene.store.settle()
        self.assertEqual(self.successResultOf(recorded).seq, 2)
        scene.record("c")
        self.assertEqual(scene.store.reads, [])
        scene.store.settle()
        self.assertEqual(scene.texts, ["a", "b", "c"])

    def test_after_a_failure_it_can_not_look(self) -> None:
        scene = self.scene()
        self.assertNoResult(first := scene.record("a"))
        scene.store.appends[0].act()
        scene.store.lose()
        self.failureResultOf(first, StoreError)
        for _ in range(2):
            recorded = [scene.record("b"), scene.record("c")]
            scene.store.reads.pop().done.errback(StoreError("gone"))
            for one in recorded:
                self.failureResultOf(one, StoreError)
        scene.record("d")
        scene.store.settle()
        self.assertEqual(scene.texts, ["a", "d"])

    def test_making_sure_looks_only_after_a_failure(self) -> None:
        scene = self.scene()
        self.successResultOf(Deferred.fromCoroutine(scene.recorders[0].make_sure()))
        lost = scene.record("a")
        scene.store.appends[0].act()
        scene.store.lose()
        self.failureResultOf(lost, StoreError)
        sure = Deferred.fromCoroutine(scene.recorders[0].make_sure())
        scene.store.settle()
        self.successResultOf(sure)
        self.assertEqual(scene.recorders[0].last_seq, 1)

    def test_what_somebody_else_wrote_is_announced_first(self) -> None:
        scene = self.scene()
        scene.by_somebody_else("x", "y")
        recorded = scene.record("a")
        scene.store.store()
        self.assertEqual(scene.announced[0], [])
        scene.store.settle()
        self.assertEqual(self.successResultOf(recorded).seq, 3)
        self.assertEqual(scene.announced[0], scene.transcript)

    def test_who_objects_is_not_stored(self) -> None:
        scene = self.scene()

        def objection() -> Exception | None:
            return AnsweredElsewhere() if scene.announced[0] else None

        scene.by_somebody_else("x")
        first, second = scene.record("a", objection), scene.record("b", objection)
        third = scene.record("c")
        scene.store.settle()
        self.failureResultOf(first, AnsweredElsewhere)
        self.failureResultOf(second, AnsweredElsewhere)
        self.assertEqual(self.successResultOf(third).seq, 2)
        self.assertEqual(scene.texts, ["x", "c"])

    def test_who_waits_behind_another_may_object_as_well(self) -> None:
        scene = self.scene()
        scene.by_somebody_else("x")
        first = scene.record("a")
        waiting = scene.record(
            "x", lambda: AnsweredElsewhere() if scene.announced[0] else None
        )
        scene.store.settle()
        self.assertEqual(self.successResultOf(first).seq, 2)
        self.failureResultOf(waiting, AnsweredElsewhere)
        self.assertEqual(scene.texts, ["x", "a"])

    def test_all_object(self) -> None:
        scene = self.scene()
        scene.by_somebody_else("x")
        recorded = scene.record("a", AnsweredElsewhere)
        scene.store.settle()
        self.failureResultOf(recorded, AnsweredElsewhere)
        scene.record("b")
        scene.store.settle()
        self.assertEqual(scene.texts, ["x", "b"])

    def test_a_transcript_that_moves_on_and_on(self) -> None:
        scene = self.scene()
        recorded, tries = scene.record("a"), 0
        waiting = scene.record("b")
        while scene.store.appends:
            scene.by_somebody_else(f"x{tries}")
            scene.store.store()
            while scene.store.reads:
                scene.store.give()
            tries += 1
        self.assertEqual(tries, 5)
        self.failureResultOf(recorded, TranscriptMoved)
        self.failureResultOf(waiting, TranscriptMoved)
        scene.record("c")
        scene.store.settle()
        self.assertEqual(scene.texts[-1], "c")

    def test_catching_up_while_an_append_is_under_way(self) -> None:
        for first in ("append", "read"):
            scene = self.scene()
            recorded = scene.record("a")
            scene.store.appends[0].act()
            caught_up = Deferred.fromCoroutine(scene.recorders[0].catch_up())
            if first == "append":
                scene.store.store()
            scene.store.settle()
            self.successResultOf(caught_up)
            self.assertEqual(self.successResultOf(recorded).seq, 1)
            self.assertEqual(len(scene.announced[0]), 1)

    def test_two_catch_up_at_the_same_time(self) -> None:
        scene = self.scene()
        scene.by_somebody_else(*map(str, range(600)))
        both = [Deferred.fromCoroutine(scene.recorders[0].catch_up()) for _ in range(2)]
        scene.store.settle()
        for one in both:
            self.successResultOf(one)
        self.assertEqual(len(scene.announced[0]), 600)

    def test_somebody_who_is_told_records_more(self) -> None:
        store, recorded = MemoryStore(), list[int]()

        def announce(event: Event) -> None:
            recorded.append(event.seq)
            if event.seq < 200:
                recorder.record(ConversationReset)

        recorder = Recorder(store, "c", lambda: 0.0, announce, self.fail)
        recorder.record(ConversationReset)
        self.assertEqual(recorded, list(range(1, 201)))

    def test_what_is_erased_gets_nothing_more(self) -> None:
        scene = Scene()
        recorder = scene.recorders[0]
        recorder.record(ConversationReset)
        scene.store.store()
        scene.store.transcripts.clear()
        lost = [recorder.record(ConversationReset) for _ in range(3)]
        self.assertEqual(scene.gone, 0)
        scene.store.store()
        for one in lost:
            self.failureResultOf(one, TranscriptGone)
        self.assertEqual(scene.gone, 1)
        self.failureResultOf(recorder.record(ConversationReset), TranscriptGone)
        catching_up = Deferred.fromCoroutine(recorder.catch_up())
        self.failureResultOf(catching_up, TranscriptGone)
        self.assertEqual((scene.store.appends, scene.store.reads), ([], []))
        self.assertEqual(scene.transcript, [])

    def test_what_is_erased_after_a_failure_gets_nothing_more(self) -> None:
        scene = Scene()
        recorder = scene.recorders[0]
        recorder.record(ConversationReset)
        scene.store.store()
        self.failureResultOf(self.lost(scene), StoreError)
        scene.store.transcripts.clear()
        after = recorder.record(ConversationReset)
        scene.store.settle()
        self.failureResultOf(after, TranscriptGone)
        self.assertEqual((scene.gone, scene.transcript), (1, []))

    def lost(self, scene: Scene) -> Deferred[ConversationReset]:
        """An event that could not be stored."""
        lost = scene.recorders[0].record(ConversationReset)
        scene.store.lose()
        return lost

    def test_an_announcement_that_fails_leaves_nobody_waiting(self) -> None:
        def announce(event: Event) -> None:
            if event.seq == 1:
                raise ZeroDivisionError

        recorder = Recorder(MemoryStore(), "c", lambda: 0.0, announce, self.fail)
        self.failureResultOf(recorder.record(ConversationReset), ZeroDivisionError)
        self.assertEqual(
            self.successResultOf(recorder.record(ConversationReset)).seq, 2
        )

    @settings(max_examples=300)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["record", "store", "act", "lose", "read", "fail"]),
                st.integers(0, 1),
            ),
            max_size=60,
        )
    )
    def test_two_processes_and_a_store_that_fails(
        self, happenings: list[tuple[str, int]]
    ) -> None:
        scene, recorded = Scene(processes=2), list[Deferred[CustomerSaid]]()
        store = scene.store
        for number, (what, which) in enumerate(happenings):
            if what == "record":
                recorded.append(scene.record(f"m{number}", process=which))
            elif what == "read" and store.reads:
                store.reads.pop(which % len(store.reads)).fire()
            elif what == "fail" and store.reads:
                held = store.reads.pop(which % len(store.reads))
                held.done.errback(StoreError("gone"))
            elif what == "act" and store.appends:
                store.appends[which % len(store.appends)].act()
            elif what in {"store", "lose"} and store.appends:
                append = store.appends.pop(which % len(store.appends))
                if what == "store":
                    append.fire()
                else:
                    append.done.errback(StoreError("the disk is full"))
        store.settle()
        for recorder in scene.recorders:
            Deferred.fromCoroutine(recorder.catch_up())
        store.settle()
        self.check(scene)
        for announced in scene.announced:
            self.assertEqual(announced, scene.transcript)
        self.assertEqual(len(scene.texts), len(set(scene.texts)))
        for one in recorded:
            results: list[CustomerSaid | Failure] = []
            one.addBoth(results.append)
            self.assertEqual(len(results), 1)
            if isinstance(results[0], Failure):
                self.assertTrue(results[0].check(StoreError))
            else:
                self.assertIn(results[0], scene.transcript)
