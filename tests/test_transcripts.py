"""What every transcript store promises; the fake of the other tests is one of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeVar

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, DeferredList, gatherResults
from twisted.trial.unittest import SynchronousTestCase

from supportbot.errors import StoreError, TranscriptGone, TranscriptMoved
from supportbot.events import (
    CustomerSaid,
    Event,
    Outcome,
    ParagraphSaid,
    ReplyEnded,
    ReplyRevised,
    ReplyStarted,
)
from supportbot.interfaces import Known, Listed, TranscriptStore
from supportbot.transcripts.memory import MemoryStore
from tests.fakes import HeldStore
from tests.sql_stores import opened, sqlite_url

_T = TypeVar("_T")

pytest_plugins = ("tests.postgres_fixture",)

KINDS = ("memory", "held", "sqlite", "postgresql")


def paragraph(seq: int) -> ParagraphSaid:
    return ParagraphSaid(seq=seq, at=1.0, text=f"<p>{seq}</p>", format="html")


def said(seq: int, at: float) -> CustomerSaid:
    return CustomerSaid(seq=seq, at=at, text="Hello.", message_id=f"m-{seq}")


class Subject:
    """A store, and a way to wait for what it was asked for."""

    def __init__(self, store: TranscriptStore) -> None:
        self.store = store

    async def done(self, asked: Deferred[_T]) -> _T:
        if isinstance(self.store, HeldStore):
            self.store.settle()
        return await asked

    async def append(self, name: str, *seqs: int) -> None:
        await self.done(self.store.append(name, [paragraph(seq) for seq in seqs]))

    async def seqs(self, name: str, after: int = 0, limit: int = 100) -> list[int]:
        events = await self.done(self.store.read(name, after, limit))
        return [event.seq for event in events]

    async def listed(self, limit: int = 10, before: Listed | None = None) -> list[str]:
        page = await self.done(self.store.list(limit, before))
        return [one.conversation_id for one in page]


@pytest_twisted.async_yield_fixture(params=KINDS)
async def subject(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[Subject]:
    if request.param == "memory":
        yield Subject(MemoryStore())
    elif request.param == "held":
        yield Subject(HeldStore())
    else:
        if request.param == "sqlite":
            url = sqlite_url(tmp_path)
        else:
            url = request.getfixturevalue("postgres_server").emptied()
        store = await opened(url)
        yield Subject(store)
        await store.close()


@pytest_twisted.ensureDeferred
async def test_what_was_appended_is_read_in_order(subject: Subject) -> None:
    for seq in range(1, 6):
        await subject.append("a", seq)
    assert await subject.seqs("a") == [1, 2, 3, 4, 5]


@pytest_twisted.ensureDeferred
async def test_every_kind_of_event_comes_back_as_it_was(subject: Subject) -> None:
    events: list[Event] = [
        CustomerSaid(seq=1, at=0.25, text="¿Qué?\n☕ \ud7ff😀", message_id="m-1"),
        ReplyStarted(seq=2, at=1.5, service="tech", intent="help", to=1),
        ParagraphSaid(seq=3, at=1763718513.1234567, text="<p>\0</p>", format="html"),
        ReplyRevised(seq=4, at=3.0, keep=0),
        ReplyEnded(
            seq=5, at=4.0, outcome=Outcome.CUT, detail='"\\u0000', unavailable=True
        ),
    ]
    await subject.done(subject.store.append("a", events))
    assert list(await subject.done(subject.store.read("a", 0, 10))) == events


@pytest_twisted.ensureDeferred
async def test_appends_fire_in_the_order_in_which_they_were_asked_for(
    subject: Subject,
) -> None:
    fired: list[int] = []
    waiting = []
    for seq in range(1, 600):
        appended = subject.store.append("a", [paragraph(seq)])
        appended.addCallback(lambda _, seq=seq: fired.append(seq))
        waiting.append(appended)
    await subject.done(gatherResults(waiting))
    assert fired == [*range(1, 600)]
    assert await subject.seqs("a", limit=1000) == fired


@pytest_twisted.ensureDeferred
async def test_an_append_of_several_events(subject: Subject) -> None:
    await subject.append("a", 1, 2)
    await subject.append("a", 3)
    assert await subject.seqs("a") == [1, 2, 3]


@pytest_twisted.ensureDeferred
async def test_an_append_of_nothing_changes_nothing(subject: Subject) -> None:
    await subject.append("a")
    assert await subject.done(subject.store.find("a")) is None


@pytest_twisted.ensureDeferred
async def test_the_events_are_those_of_the_moment_of_the_call(subject: Subject) -> None:
    events = [paragraph(1)]
    appended = subject.store.append("a", events)
    events.clear()
    await subject.done(appended)
    assert await subject.seqs("a") == [1]


@pytest_twisted.ensureDeferred
async def test_what_was_read_does_not_change(subject: Subject) -> None:
    await subject.append("a", 1)
    read = await subject.done(subject.store.read("a", 0, 10))
    await subject.append("a", 2)
    assert [event.seq for event in read] == [1]


@pytest_twisted.ensureDeferred
async def test_a_read_begins_behind_its_number(subject: Subject) -> None:
    await subject.append("a", 1, 2, 3, 4, 5)
    assert await subject.seqs("a", after=2) == [3, 4, 5]
    assert await subject.seqs("a", after=5) == []
    assert await subject.seqs("a", after=99) == []


@pytest_twisted.ensureDeferred
async def test_a_read_is_no_longer_than_its_limit(subject: Subject) -> None:
    await subject.append("a", 1, 2, 3, 4, 5)
    assert await subject.seqs("a", limit=2) == [1, 2]
    assert await subject.seqs("a", after=1, limit=3) == [2, 3, 4]
    assert await subject.seqs("a", after=4, limit=3) == [5]


@pytest_twisted.ensureDeferred
async def test_numbers_may_have_gaps_and_begin_anywhere(subject: Subject) -> None:
    await subject.done(subject.store.open("a", 1.0))
    await subject.append("a", 7, 8)
    await subject.append("a", 20)
    assert await subject.seqs("a") == [7, 8, 20]
    assert await subject.seqs("a", after=7) == [8, 20]
    assert await subject.seqs("a", after=12) == [20]
    assert await subject.done(subject.store.find("a")) == Known(20)


@pytest_twisted.ensureDeferred
async def test_numbers_that_are_taken_are_refused(subject: Subject) -> None:
    await subject.append("a", 1, 2, 3)
    for taken in ((3,), (1,), (3, 4), (2, 3, 4)):
        with pytest.raises(TranscriptMoved):
            await subject.append("a", *taken)
    assert await subject.seqs("a") == [1, 2, 3]
    await subject.append("a", 4)
    assert await subject.seqs("a") == [1, 2, 3, 4]


@pytest_twisted.ensureDeferred
async def test_a_number_below_the_newest_is_refused_though_it_is_free(
    subject: Subject,
) -> None:
    await subject.append("a", 1)
    await subject.append("a", 5)
    with pytest.raises(TranscriptMoved):
        await subject.append("a", 3)
    await subject.done(subject.store.forget("a", 5))
    with pytest.raises(TranscriptMoved):
        await subject.append("a", 1, 2)
    assert await subject.seqs("a") == [5]


@pytest_twisted.ensureDeferred
async def test_who_asks_along_with_one_that_is_refused_is_not_harmed(
    subject: Subject,
) -> None:
    await subject.append("a", 1, 2)
    store = subject.store
    first = store.append("b", [paragraph(1)])
    refused = store.append("a", [paragraph(2), paragraph(3)])
    behind = store.append("a", [paragraph(3)])
    last = store.append("b", [paragraph(2)])
    await subject.done(first)
    with pytest.raises(TranscriptMoved):
        await subject.done(refused)
    await subject.done(behind)
    await subject.done(last)
    assert await subject.seqs("a") == [1, 2, 3]
    assert await subject.seqs("b") == [1, 2]


@pytest_twisted.ensureDeferred
async def test_an_unknown_conversation_is_empty(subject: Subject) -> None:
    assert await subject.seqs("nobody") == []
    assert await subject.done(subject.store.find("nobody")) is None


@pytest_twisted.ensureDeferred
async def test_conversations_do_not_mix(subject: Subject) -> None:
    await subject.append("a", 1)
    await subject.append("b", 1, 2)
    assert await subject.seqs("a") == [1]
    assert await subject.seqs("b") == [1, 2]


@pytest_twisted.ensureDeferred
async def test_an_open_conversation_is_known_before_anything_is_said(
    subject: Subject,
) -> None:
    await subject.done(subject.store.open("a", 5.0))
    assert await subject.done(subject.store.find("a")) == Known(0)
    await subject.append("a", 1)
    await subject.done(subject.store.open("a", 9.0))
    assert await subject.done(subject.store.find("a")) == Known(1)
    assert await subject.done(subject.store.list(9)) == [Listed("a", 5.0, 5.0, 1)]


@pytest_twisted.ensureDeferred
async def test_the_first_append_makes_the_conversation_known(subject: Subject) -> None:
    await subject.done(subject.store.append("a", [said(1, 1763718513.1234567)]))
    await subject.done(subject.store.append("a", [said(2, 1763718514.7654321)]))
    await subject.append("b", 1)
    assert await subject.done(subject.store.find("a")) == Known(2)
    assert await subject.done(subject.store.list(9)) == [
        Listed("a", 1763718513.1234567, 1763718514.7654321, 2),
        Listed("b", 1.0, 1.0, 1),
    ]


@pytest_twisted.ensureDeferred
async def test_the_list_has_the_newest_message_first_page_by_page(
    subject: Subject,
) -> None:
    for name, at in (("c", 3.0), ("a", 1.0), ("e", 3.0), ("b", 2.0), ("D", 3.0)):
        await subject.done(subject.store.append(name, [said(1, at)]))
    await subject.append("a", 2)  # nobody was heard
    assert await subject.listed() == ["D", "c", "e", "b", "a"]
    page = await subject.done(subject.store.list(2))
    assert await subject.listed(2, page[-1]) == ["e", "b"]
    last = await subject.done(subject.store.list(9, page[-1]))
    assert await subject.listed(2, last[-1]) == []
    await subject.done(subject.store.append("a", [said(3, 9.0)]))
    assert await subject.listed(2) == ["a", "D"]


@pytest_twisted.ensureDeferred
async def test_erasing_leaves_nothing(subject: Subject) -> None:
    await subject.append("a", 1)
    await subject.append("b", 1)
    await subject.done(subject.store.erase("a"))
    assert await subject.seqs("a") == []
    assert await subject.done(subject.store.find("a")) is None
    assert await subject.listed() == ["b"]
    assert await subject.seqs("b") == [1]


@pytest_twisted.ensureDeferred
async def test_erasing_what_is_not_there_is_no_error(subject: Subject) -> None:
    await subject.done(subject.store.erase("nobody"))
    await subject.append("a", 1)
    await subject.done(subject.store.erase("a"))
    await subject.done(subject.store.erase("a"))


@pytest_twisted.ensureDeferred
async def test_an_erased_conversation_may_begin_anew(subject: Subject) -> None:
    await subject.append("a", 1)
    await subject.done(subject.store.erase("a"))
    await subject.append("a", 1)
    assert await subject.seqs("a") == [1]
    assert await subject.listed() == ["a"]


@pytest_twisted.ensureDeferred
async def test_what_is_erased_gets_nothing_more(subject: Subject) -> None:
    await subject.append("a", 1, 2)
    await subject.append("b", 1)
    await subject.done(subject.store.erase("a"))
    for first in (2, 3, 7):
        with pytest.raises(TranscriptGone):
            await subject.append("a", first)
    with pytest.raises(TranscriptGone):
        await subject.done(subject.store.append("a", [said(3, 5.0)]))
    assert await subject.seqs("a") == []
    assert await subject.done(subject.store.find("a")) is None
    assert await subject.listed() == ["b"]


@pytest_twisted.ensureDeferred
async def test_what_is_appended_while_it_is_erased_is_not_left(
    subject: Subject,
) -> None:
    store = subject.store
    await subject.append("a", 1)
    asked = [
        store.append("a", [paragraph(2)]),
        store.append("b", [paragraph(1)]),
        store.erase("a"),
        store.append("a", [said(3, 5.0)]),
        store.append("a", [paragraph(4)]),
        store.append("b", [paragraph(2)]),
    ]
    if isinstance(store, HeldStore):
        for held in (*store.appends[:2], *store.erasures, *store.appends[2:]):
            held.fire()
        store.appends.clear()
        store.erasures.clear()
    results = await DeferredList(asked, consumeErrors=True)
    kept = [success for success, _ in results]
    assert kept == [True, True, True, False, False, True]
    for _, failure in results[3:5]:
        assert failure.check(TranscriptGone)
    assert await subject.listed() == ["b"]
    assert await subject.seqs("a") == []
    assert await subject.seqs("b") == [1, 2]


@pytest_twisted.ensureDeferred
async def test_what_has_expired_gets_nothing_more(subject: Subject) -> None:
    await subject.append("a", 1)
    assert await subject.done(subject.store.expire(5.0)) == 1
    with pytest.raises(TranscriptGone):
        await subject.append("a", 2)
    assert await subject.listed() == []


@pytest_twisted.ensureDeferred
async def test_what_is_forgotten_is_gone_and_the_rest_stays(subject: Subject) -> None:
    await subject.append("a", 1, 2, 3, 4)
    await subject.append("b", 1)
    await subject.done(subject.store.forget("a", 3))
    assert await subject.seqs("a") == [3, 4]
    assert await subject.seqs("b") == [1]
    await subject.append("a", 5)
    assert await subject.done(subject.store.find("a")) == Known(5)
    await subject.done(subject.store.forget("nobody", 3))
    assert await subject.done(subject.store.find("nobody")) is None


@pytest_twisted.ensureDeferred
async def test_silent_conversations_expire(subject: Subject) -> None:
    for number in range(230):
        await subject.done(subject.store.open(f"old-{number}", 1.0))
    await subject.done(subject.store.append("spoken", [said(1, 1.0), said(2, 5.0)]))
    await subject.append("old-7", 1)
    assert await subject.done(subject.store.expire(5.0)) == 230
    assert await subject.listed() == ["spoken"]
    assert await subject.seqs("old-7") == []
    assert await subject.done(subject.store.expire(5.0)) == 0


@pytest_twisted.ensureDeferred
async def test_a_store_that_works_is_ready(subject: Subject) -> None:
    await subject.done(subject.store.ready())


class HeldStoreTests(SynchronousTestCase):
    """What is the fake's own."""

    def setUp(self) -> None:
        self.held = HeldStore()

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
        self.assertEqual(self.held.transcripts, {})

    def test_what_is_durable_can_be_read_before_the_append_fires(self) -> None:
        appended = self.held.append("a", [paragraph(1)])
        self.held.appends[0].act()
        read = self.held.read("a", 0, 10)
        self.held.give()
        self.assertEqual(len(self.successResultOf(read)), 1)
        self.assertNoResult(appended)
        self.held.store()
        self.successResultOf(appended)

    def test_every_call_is_held(self) -> None:
        store = self.held
        asked: list[Deferred[object]] = [
            store.open("a", 1.0),
            store.find("a"),
            store.append("a", [paragraph(1)]),
            store.read("a", 0, 1),
            store.forget("a", 1),
            store.erase("b"),
            store.expire(0.0),
            store.list(1),
            store.ready(),
        ]
        for one in asked:
            self.assertNoResult(one)
        store.settle()
        for one in asked:
            self.successResultOf(one)
