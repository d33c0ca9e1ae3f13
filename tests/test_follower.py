"""Every event once and in order, whatever the viewer and the store do meanwhile."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.interfaces import IPushProducer
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from supportbot.errors import StoreError
from supportbot.events import (
    ConversationReset,
    CustomerSaid,
    Event,
    Outcome,
    ParagraphSaid,
    ReplyEnded,
    ReplyRevised,
)
from supportbot.follower import Follower
from tests.fakes import HeldStore, RecordingViewer

BATCH = 3
Kind = Callable[[int], Event]


def paragraph(seq: int) -> Event:
    return ParagraphSaid(seq=seq, at=0.0, text=f"<p>{seq}</p>", format="html")


def said(seq: int) -> Event:
    return CustomerSaid(seq=seq, at=0.0, text="and?", message_id=f"m{seq}")


def revised(seq: int) -> Event:
    return ReplyRevised(seq=seq, at=0.0, keep=0)


def ended(seq: int) -> Event:
    return ReplyEnded(seq=seq, at=0.0, outcome=Outcome.COMPLETE)


class Scene:
    """A follower between a store and a viewer.

    Args:
        after: the viewer has seen so many events.
        behind: so many more are stored already.
        newest, growing: as the follower is told.
    """

    def __init__(
        self,
        after: int = 0,
        behind: int = 0,
        newest: int | None = None,
        growing: str = "",
    ) -> None:
        self.store, self.viewer = HeldStore(), RecordingViewer(self._upon)
        self.transcript = self.store.transcripts.setdefault("c", [])
        self.gone: list[Follower] = []
        self.upon: Callable[[Event], None] = lambda event: None
        read = partial(self.store.read, "c", limit=BATCH)
        self.follower = Follower(
            self.viewer, after, read, self.gone.append, newest, growing
        )
        for _ in range(after + behind):
            self.stored()

    def _upon(self, event: Event) -> None:
        self.upon(event)

    def stored(self, kind: Kind = paragraph) -> Event:
        """Another event is durable."""
        self.transcript.append(kind(len(self.transcript) + 1))
        return self.transcript[-1]

    def announced(self, kind: Kind = paragraph) -> None:
        """Another event is durable, and the follower is told."""
        self.follower.announced(self.stored(kind))


class FollowerTests(SynchronousTestCase):
    def test_it_is_a_push_producer(self) -> None:
        verifyObject(IPushProducer, Scene().follower)

    def test_what_is_announced_in_turn_needs_no_read(self) -> None:
        scene = Scene(after=2)
        scene.announced()
        scene.announced()
        self.assertEqual(scene.viewer.seqs, [3, 4])
        self.assertEqual(scene.store.reads, [])

    def test_catching_up_shows_what_stands_behind_the_number(self) -> None:
        scene = Scene(after=2, behind=2)
        scene.follower.catch_up()
        self.assertEqual(scene.viewer.seqs, [])
        scene.store.settle()
        self.assertEqual(scene.viewer.seqs, [3, 4])
        self.assertEqual(scene.follower.after, 4)

    def test_catching_up_with_nothing_behind(self) -> None:
        scene = Scene(after=2)
        scene.follower.catch_up()
        scene.store.settle()
        scene.announced()
        self.assertEqual(scene.viewer.seqs, [3])
        self.assertEqual(scene.store.reads, [])

    def test_where_nothing_is_known_to_be_behind_nothing_is_read(self) -> None:
        for newest in (2, 1):
            scene = Scene(after=2, newest=newest)
            scene.follower.catch_up()
            scene.follower.pauseProducing()
            scene.follower.resumeProducing()
            self.assertEqual(scene.store.reads, [])
            scene.announced()
            self.assertEqual(scene.viewer.seqs, [3])
            scene.stored()
            scene.follower.catch_up()  # from now on it may be asked to
            scene.store.settle()
            self.assertEqual(scene.viewer.seqs, [3, 4])

    def test_where_something_is_known_to_be_behind_it_is_read(self) -> None:
        scene = Scene(after=2, behind=1, newest=3)
        scene.follower.catch_up()
        scene.store.settle()
        self.assertEqual(scene.viewer.seqs, [3])

    def test_a_transcript_that_begins_later(self) -> None:
        scene = Scene(after=2, behind=5)
        del scene.transcript[:6]  # a reset
        scene.follower.catch_up()
        scene.store.settle()
        self.assertEqual(scene.viewer.seqs, [7])
        scene.follower.announced(paragraph(8))
        self.assertEqual(scene.viewer.seqs, [7, 8])

    def test_a_reset_while_it_is_behind(self) -> None:
        scene = Scene(behind=4)
        scene.follower.catch_up()
        scene.store.give()  # a batch of them
        del scene.transcript[:]
        scene.transcript.append(ConversationReset(seq=5, at=0.0))
        scene.follower.announced(scene.transcript[-1])
        scene.store.settle()
        self.assertEqual(scene.viewer.seqs, [1, 2, 3, 5])

    def test_the_end_is_told_once(self) -> None:
        scene = Scene(behind=1)
        scene.follower.catch_up()
        for _ in range(2):
            scene.follower.end()
        self.assertEqual(scene.gone, [scene.follower])
        scene.store.settle()
        scene.announced()
        self.assertEqual(scene.viewer.shown, ["(over)"])

    def test_the_end_of_one_that_has_stopped(self) -> None:
        scene = Scene()
        scene.follower.stopProducing()
        scene.follower.end()
        self.assertEqual(scene.viewer.shown, [])

    def test_a_viewer_that_fails_when_it_is_told_the_end(self) -> None:
        def fail() -> None:
            raise ZeroDivisionError

        scene = Scene()
        scene.viewer.over = fail  # type: ignore[method-assign]
        scene.follower.end()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(scene.gone, [scene.follower])

    def test_an_event_that_is_not_the_next_is_read_up_to(self) -> None:
        scene = Scene(behind=2)
        scene.announced()
        self.assertEqual(scene.viewer.seqs, [])
        scene.store.settle()
        self.assertEqual(scene.viewer.seqs, [1, 2, 3])

    def test_what_is_announced_during_a_read_comes_behind_it(self) -> None:
        scene = Scene(behind=1)
        scene.follower.catch_up()
        scene.store.reads[0].act()
        scene.announced()
        self.assertEqual(scene.viewer.seqs, [])
        scene.store.give()
        self.assertEqual(scene.viewer.seqs, [1])
        scene.store.settle()
        self.assertEqual(scene.viewer.seqs, [1, 2])

    def test_what_is_announced_during_a_read_that_finds_nothing(self) -> None:
        scene = Scene()
        scene.follower.catch_up()
        scene.store.reads[0].act()
        scene.announced()
        scene.store.settle()
        self.assertEqual(scene.viewer.seqs, [1])

    def test_an_event_that_was_read_is_not_shown_when_it_is_announced(self) -> None:
        scene = Scene()
        event = scene.stored()
        scene.follower.catch_up()
        scene.store.settle()
        scene.follower.announced(event)
        self.assertEqual(scene.store.reads, [])
        self.assertEqual(scene.viewer.seqs, [1])

    def test_one_read_at_a_time(self) -> None:
        scene = Scene(behind=1)
        scene.follower.catch_up()
        scene.follower.catch_up()
        scene.follower.pauseProducing()
        scene.follower.resumeProducing()
        scene.announced()
        self.assertEqual(len(scene.store.reads), 1)
        scene.store.settle()
        self.assertEqual(scene.viewer.seqs, [1, 2])

    def test_it_reads_a_batch_at_a_time(self) -> None:
        scene = Scene(behind=2 * BATCH + 1)
        scene.follower.catch_up()
        behind: list[object] = []
        while scene.store.reads:
            self.assertEqual([read.limit for read in scene.store.reads], [BATCH])
            behind.append(scene.store.reads[0].what)
            scene.store.give()
        self.assertEqual(behind, [0, BATCH, 2 * BATCH, 2 * BATCH + 1])
        self.assertEqual(scene.viewer.seqs, list(range(1, 2 * BATCH + 2)))


class PauseTests(SynchronousTestCase):
    def test_nothing_is_shown_while_paused(self) -> None:
        scene = Scene()
        scene.follower.pauseProducing()
        scene.announced()
        scene.announced()
        self.assertEqual(scene.store.reads, [])
        self.assertEqual(scene.viewer.shown, [])
        scene.follower.resumeProducing()
        scene.store.settle()
        self.assertEqual(scene.viewer.seqs, [1, 2])

    def test_resuming_with_nothing_missed(self) -> None:
        scene = Scene()
        scene.follower.pauseProducing()
        scene.follower.resumeProducing()
        scene.announced()
        self.assertEqual(scene.viewer.seqs, [1])
        self.assertEqual(scene.store.reads, [])

    def test_paused_before_it_began(self) -> None:
        scene = Scene(behind=1)
        scene.follower.pauseProducing()
        scene.follower.catch_up()
        self.assertEqual(scene.store.reads, [])
        scene.follower.resumeProducing()
        scene.store.settle()
        self.assertEqual(scene.viewer.seqs, [1])

    def test_the_rest_of_a_batch_is_not_kept_but_read_again(self) -> None:
        scene = Scene(behind=BATCH)
        scene.upon = lambda event: (
            scene.follower.pauseProducing() if event.seq == 1 else None
        )
        scene.follower.catch_up()
        scene.store.give()
        self.assertEqual(scene.viewer.seqs, [1])
        self.assertEqual(scene.store.reads, [])
        scene.follower.resumeProducing()
        self.assertEqual([read.what for read in scene.store.reads], [1])
        scene.store.settle()
        self.assertEqual(scene.viewer.seqs, [1, 2, 3])

    def test_a_read_that_comes_back_while_paused(self) -> None:
        scene = Scene(behind=1)
        scene.follower.catch_up()
        scene.follower.pauseProducing()
        scene.store.give()
        self.assertEqual(scene.viewer.seqs, [])
        scene.follower.resumeProducing()
        scene.store.settle()
        self.assertEqual(scene.viewer.seqs, [1])

    def test_paused_and_resumed_while_a_read_is_under_way(self) -> None:
        scene = Scene(behind=1)
        scene.follower.catch_up()
        scene.follower.pauseProducing()
        scene.announced()
        scene.follower.resumeProducing()
        scene.store.settle()
        self.assertEqual(scene.viewer.seqs, [1, 2])

    def test_paused_by_an_event_that_was_announced(self) -> None:
        scene = Scene()
        scene.upon = lambda event: scene.follower.pauseProducing()
        scene.announced()
        scene.announced()
        self.assertEqual(scene.viewer.seqs, [1])
        scene.follower.resumeProducing()
        scene.store.settle()
        self.assertEqual(scene.viewer.seqs, [1, 2])


class DeltaTests(SynchronousTestCase):
    def test_deltas_and_notices_pass(self) -> None:
        scene = Scene()
        scene.follower.delta("Go")
        scene.follower.notice("slow")
        scene.follower.delta("od")
        self.assertEqual(scene.viewer.texts, ["Go", "(slow)", "od"])

    def test_those_missed_while_paused_are_merged(self) -> None:
        scene = Scene()
        scene.follower.pauseProducing()
        scene.follower.delta("Go")
        scene.follower.delta("od")
        self.assertEqual(scene.viewer.shown, [])
        scene.follower.resumeProducing()
        self.assertEqual(scene.viewer.shown, ["Good"])
        scene.follower.pauseProducing()
        scene.follower.resumeProducing()
        self.assertEqual(scene.viewer.shown, ["Good"])

    def test_who_comes_in_the_middle_is_shown_all_that_has_grown(self) -> None:
        scene = Scene(after=2, newest=2, growing="Go")
        scene.follower.catch_up()
        scene.follower.delta("od")
        self.assertEqual(scene.viewer.shown, ["Go", "od"])

    def test_who_comes_in_the_middle_is_shown_what_was_before_it_first(self) -> None:
        scene = Scene(behind=2, newest=2, growing="Go")
        scene.follower.catch_up()
        scene.store.settle()
        self.assertEqual(scene.viewer.shown, [paragraph(1), paragraph(2), "Go"])

    def test_what_has_become_an_event_meanwhile_is_not_shown_as_growing(self) -> None:
        scene = Scene(behind=1, newest=1, growing="Good")
        scene.follower.catch_up()
        scene.announced()
        scene.store.settle()
        self.assertEqual(scene.viewer.shown, [paragraph(1), paragraph(2)])

    def test_those_of_what_became_an_event_are_dropped(self) -> None:
        for kind in (paragraph, revised, ended):
            scene = Scene()
            scene.follower.pauseProducing()
            scene.follower.delta("Good")
            scene.announced(kind)
            scene.follower.resumeProducing()
            scene.store.settle()
            self.assertEqual(scene.viewer.shown, [kind(1)])

    def test_another_message_does_not_drop_them(self) -> None:
        scene = Scene()
        scene.follower.pauseProducing()
        scene.follower.delta("Go")
        scene.announced(said)
        scene.follower.delta("od")
        scene.follower.resumeProducing()
        scene.store.settle()
        self.assertEqual(scene.viewer.shown, [said(1), "Good"])

    def test_they_never_overtake_an_event(self) -> None:
        scene = Scene()
        scene.follower.pauseProducing()
        scene.announced()
        scene.follower.delta("Ne")
        scene.follower.resumeProducing()
        scene.follower.delta("xt")
        self.assertEqual(scene.viewer.shown, [])
        scene.store.settle()
        self.assertEqual(scene.viewer.shown, [paragraph(1), "Next"])

    def test_they_wait_while_a_read_is_under_way(self) -> None:
        scene = Scene(behind=1)
        scene.follower.catch_up()
        scene.store.give()  # of the first event; whether there are more is not known
        scene.follower.delta("Next")
        self.assertEqual(scene.viewer.shown, [paragraph(1)])
        scene.store.settle()
        self.assertEqual(scene.viewer.shown, [paragraph(1), "Next"])

    def test_those_of_an_event_that_was_read_before_it_is_announced(self) -> None:
        scene = Scene()
        scene.follower.catch_up()
        scene.follower.delta("Good")
        event = scene.stored()
        scene.store.settle()
        scene.follower.announced(event)
        self.assertEqual(scene.viewer.shown, [paragraph(1)])

    def test_a_notice_that_comes_at_the_wrong_time_is_dropped(self) -> None:
        scene = Scene(behind=1)
        scene.follower.catch_up()
        scene.follower.notice("slow")
        scene.store.settle()
        scene.follower.pauseProducing()
        scene.follower.notice("slow")
        scene.follower.resumeProducing()
        self.assertEqual(scene.viewer.shown, [paragraph(1)])


class StopTests(SynchronousTestCase):
    def test_it_stops_all_and_says_so_once(self) -> None:
        scene = Scene()
        scene.follower.stopProducing()
        scene.follower.stopProducing()
        self.assertEqual(scene.gone, [scene.follower])
        scene.announced()
        scene.follower.delta("Good")
        scene.follower.notice("slow")
        scene.follower.catch_up()
        scene.follower.resumeProducing()
        self.assertEqual(scene.store.reads, [])
        self.assertEqual(scene.viewer.shown, [])

    def test_what_was_missed_is_not_shown_afterwards(self) -> None:
        scene = Scene()
        scene.follower.pauseProducing()
        scene.follower.delta("Good")
        scene.follower.stopProducing()
        scene.follower.resumeProducing()
        self.assertEqual(scene.viewer.shown, [])

    def test_a_read_that_comes_back_afterwards_shows_nothing(self) -> None:
        scene = Scene(behind=1)
        scene.follower.catch_up()
        scene.follower.stopProducing()
        scene.store.settle()
        self.assertEqual(scene.viewer.shown, [])
        self.assertEqual(scene.gone, [scene.follower])

    def test_stopped_by_an_event(self) -> None:
        scene = Scene(behind=2)
        scene.upon = lambda event: scene.follower.stopProducing()
        scene.follower.catch_up()
        scene.store.settle()
        self.assertEqual(scene.viewer.seqs, [1])
        self.assertEqual(scene.gone, [scene.follower])

    def test_a_failing_read_is_logged_and_stops_it(self) -> None:
        scene = Scene(behind=1)
        scene.follower.catch_up()
        scene.store.reads.pop().done.errback(StoreError("the disk is gone"))
        self.assertEqual(len(self.flushLoggedErrors(StoreError)), 1)
        self.assertEqual(scene.gone, [scene.follower])
        scene.announced()
        self.assertEqual(scene.store.reads, [])
        self.assertEqual(scene.viewer.shown, ["(lost)"])

    def test_a_viewer_that_fails_is_logged_and_left(self) -> None:
        def fail(event: Event) -> None:
            raise ZeroDivisionError

        for begin in (Scene.announced, lambda scene: scene.follower.catch_up()):
            scene = Scene(behind=0 if begin is Scene.announced else 2)
            scene.upon = fail
            begin(scene)
            scene.store.settle()
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
            self.assertEqual(scene.gone, [scene.follower])
            self.assertEqual(scene.viewer.seqs, [1])

    def test_a_viewer_that_fails_at_a_delta_or_a_notice(self) -> None:
        for call in (Follower.delta, Follower.notice):
            scene = Scene()
            scene.viewer.delta = scene.viewer.notice = fail_at_text
            call(scene.follower, "Good")
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
            self.assertEqual(scene.gone, [scene.follower])


def fail_at_text(text: str) -> None:
    raise ZeroDivisionError


class Interleaving(Scene):
    """The same with everything in the hands of a property test.

    A delta is the number of the paragraph that it belongs to, and is shown right when
    so many paragraphs less one were.
    """

    def __init__(self, after: int, behind: int, given: int) -> None:
        last = after + behind
        growing = f"{last + 1} " * given
        super().__init__(after, behind, newest=last, growing=growing)
        self.first, self.shown = after + 1, 0
        self.paragraphs = after + behind
        self.seen_paragraphs = after
        self.unannounced = deque[Event]()
        self.paused = self.pausing = False
        self.given = [last + 1] * given  # deltas of the paragraph that is growing
        self.grown: list[int] = []  # those of them that were shown
        self.viewer.delta = self.delta_shown
        self.upon = self.event_shown
        self.follower.catch_up()

    def event_shown(self, event: Event) -> None:
        assert not self.paused
        assert event is self.transcript[event.seq - 1]
        assert self.viewer.seqs == list(range(self.first, event.seq + 1))
        self.seen_paragraphs += isinstance(event, ParagraphSaid)
        if self.pausing:
            self.pausing = False
            self.pause()

    def delta_shown(self, text: str) -> None:
        assert not self.paused
        for number in map(int, text.split()):
            assert number == self.seen_paragraphs + 1
            self.grown.append(number)

    # What may happen.

    def append_paragraph(self, _: int) -> None:
        self.unannounced.append(self.stored())
        self.paragraphs += 1

    def append_message(self, _: int) -> None:
        self.unannounced.append(self.stored(said))

    def announce(self, _: int = 0) -> None:
        if self.unannounced:
            event = self.unannounced.popleft()
            if isinstance(event, ParagraphSaid):
                self.given.clear()
                self.grown.clear()
            self.follower.announced(event)

    def delta(self, _: int) -> None:
        # A reply holds its deltas back while a paragraph before them is being stored.
        if not any(isinstance(one, ParagraphSaid) for one in self.unannounced):
            self.given.append(self.paragraphs + 1)
            self.follower.delta(f"{self.given[-1]} ")

    def pause(self, _: int = 0) -> None:
        self.paused = True
        self.follower.pauseProducing()

    def pause_upon_the_next(self, _: int) -> None:
        self.pausing = True

    def resume(self, _: int = 0) -> None:
        self.paused = False
        self.follower.resumeProducing()

    def look(self, number: int) -> None:
        if reads := self.store.reads:
            reads[number % len(reads)].act()

    def give(self, number: int) -> None:
        if reads := self.store.reads:
            reads.pop(number % len(reads)).fire()

    def end(self) -> None:
        """Let everything come to an end."""
        self.pausing = False
        while self.unannounced:
            self.announce()
        self.resume()
        self.store.settle()


HAPPENINGS = [
    Interleaving.append_paragraph,
    Interleaving.append_message,
    Interleaving.announce,
    Interleaving.delta,
    Interleaving.pause,
    Interleaving.pause_upon_the_next,
    Interleaving.resume,
    Interleaving.look,
    Interleaving.give,
]


class InterleavingTests(SynchronousTestCase):
    @settings(deadline=None, max_examples=400)
    @given(
        after=st.integers(0, 3),
        behind=st.integers(0, 2 * BATCH),
        given=st.integers(0, 2),
        happenings=st.lists(
            st.tuples(st.sampled_from(HAPPENINGS), st.integers(0, 5)), max_size=60
        ),
    )
    def test_every_event_is_seen_once_and_in_order(
        self,
        after: int,
        behind: int,
        given: int,
        happenings: list[tuple[Callable[[Interleaving, int], None], int]],
    ) -> None:
        scene = Interleaving(after, behind, given)
        for happen, number in happenings:
            happen(scene, number)
            self.assertLessEqual(len(scene.store.reads), 1)
        scene.end()
        everything = list(range(after + 1, len(scene.transcript) + 1))
        self.assertEqual(scene.viewer.seqs, everything)
        self.assertEqual(scene.gone, [])
        self.assertEqual(scene.grown, scene.given)
