"""A store that is measured does what it did, and leaves figures."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from supportbot.errors import StoreError, TranscriptMoved
from supportbot.events import (
    Called,
    CustomerSaid,
    Event,
    ModelAsked,
    OrderSettled,
    Outcome,
    ParagraphSaid,
    ReplyEnded,
    ReplyStarted,
    ToolCalled,
)
from supportbot.metrics import Metrics
from supportbot.transcripts.measured import MeasuredStore
from tests.http_fakes import Held
from tests.test_metrics import figures


def message(seq: int, at: float = 0.0) -> Event:
    return CustomerSaid(seq=seq, at=at, text="help", message_id=str(seq))


def start(seq: int, at: float = 0.0) -> Event:
    return ReplyStarted(seq=seq, at=at, service="tech", intent="help", to=1)


def paragraph(seq: int, at: float = 0.0) -> Event:
    return ParagraphSaid(seq=seq, at=at, text="<p>One.</p>", format="html")


def end(seq: int, at: float = 0.0) -> Event:
    return ReplyEnded(seq=seq, at=at, outcome=Outcome.COMPLETE)


class MeasuredTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.held, self.metrics = Clock(), Held(), Metrics()
        self.store = MeasuredStore(self.held, self.metrics, self.clock.seconds)

    def append(self, *events: Event, id: str = "a") -> None:
        appended = self.store.append(id, events)
        self.held.settle()
        self.assertIsNone(self.successResultOf(appended))

    def test_what_language_models_took_and_did(self) -> None:
        self.append(
            message(1),
            ModelAsked(seq=2, at=0.0, model="m", read=10, written=5, cost=0.5),
            ModelAsked(seq=3, at=0.0, model="m", read=1, written=2, cost=0.25),
            ToolCalled(seq=4, at=0.0, name="t", arguments="{}", outcome=Called.OK),
            OrderSettled(seq=5, at=0.0, sent=1, order_id="o"),
            OrderSettled(seq=6, at=0.0, sent=1),
        )
        counted = {
            "model_tokens_total['read', 'm']": 11,
            "model_tokens_total['written', 'm']": 7,
            "model_cost_dollars_total['m']": 0.75,
            "tool_calls_total['ok', 't']": 1,
            "orders_total['placed']": 1,
            "orders_total['not placed']": 1,
        }
        self.assertEqual({name: self.figure(name) for name in counted}, counted)

    def test_made_up_names_of_tools_are_counted_together(self) -> None:
        self.append(message(1))
        for number in range(150):
            name = f"made-up-{number}"
            self.append(
                ToolCalled(
                    seq=2 + number,
                    at=0.0,
                    name=name,
                    arguments="",
                    outcome=Called.FAILED,
                )
            )
        counted = [name for name in figures(self.metrics) if "tool_calls" in name]
        self.assertEqual(len(counted), 101)
        self.assertEqual(self.figure("tool_calls_total['failed', 'other']"), 50)
        known = ToolCalled(
            seq=152, at=0.0, name="made-up-3", arguments="", outcome=Called.OK
        )
        self.append(known)
        self.assertEqual(self.figure("tool_calls_total['ok', 'made-up-3']"), 1)

    def figure(self, name: str) -> Any:
        return figures(self.metrics).get(f"supportbot_{name}")

    def test_what_is_asked_of_it_is_asked_of_the_store(self) -> None:
        store, held = self.store, self.held
        store.open("a", 1.0)
        self.append(message(1))
        asked: list[Any] = [
            store.find("a"),
            store.read("a", 0, 10),
            store.list(5),
            store.ready(),
            store.forget("a", 1),
            store.expire(0.0),
            store.erase("a"),
        ]
        for deferred in asked:
            self.assertNoResult(deferred)
        held.settle()
        self.assertEqual(self.successResultOf(asked[1])[0].seq, 1)
        self.assertEqual(held.transcripts, {})
        self.assertEqual((store.lasting, store.shared), (False, False))

    def test_nothing_counts_that_is_not_stored(self) -> None:
        appended = self.store.append("a", [message(1)])
        self.assertEqual(self.figure("messages_total[]"), 0)
        self.held.lose()
        self.failureResultOf(appended, StoreError)
        self.assertEqual(self.figure("messages_total[]"), 0)
        self.assertEqual(self.figure("store_failures_total[]"), 1)
        self.assertEqual(self.figure("store_append_seconds_count[]"), 0)

    def test_numbers_that_were_taken_are_no_failure_of_the_store(self) -> None:
        self.append(message(1))
        appended = self.store.append("a", [message(1)])
        self.held.settle()
        self.failureResultOf(appended, TranscriptMoved)
        self.assertEqual(self.figure("store_failures_total[]"), 0)

    def test_how_long_an_append_took(self) -> None:
        self.store.append("a", [message(1)])
        self.clock.advance(0.07)
        self.held.settle()
        self.assertAlmostEqual(self.figure("store_append_seconds_sum[]"), 0.07)

    def test_only_the_first_paragraph_is_timed(self) -> None:
        self.append(message(1), start(2, 5.0))
        self.append(paragraph(3, 7.0))
        self.append(paragraph(4, 90.0), end(5, 91.0))
        self.append(paragraph(6, 92.0))  # of no reply: it does not count
        self.assertEqual(self.figure("first_paragraph_seconds_sum['tech']"), 2.0)
        self.assertEqual(self.figure("first_paragraph_seconds_count['tech']"), 1)
        self.assertEqual(self.figure("paragraphs_total['tech']"), 2)
        self.assertEqual(self.figure("replies_total['complete', 'tech']"), 1)

    def test_a_clock_that_is_set_back_makes_no_negative_seconds(self) -> None:
        self.append(message(1), start(2, 5.0), paragraph(3, 4.0))
        self.assertEqual(self.figure("first_paragraph_seconds_sum['tech']"), 0.0)

    def test_conversations_do_not_mix(self) -> None:
        self.append(start(1), id="a")
        self.append(paragraph(1), end(2), id="b")
        self.assertIsNone(self.figure("paragraphs_total['tech']"))

    def test_an_end_of_a_reply_that_began_elsewhere_is_not_counted(self) -> None:
        self.append(end(1))
        self.assertIsNone(self.figure("replies_total['complete', 'tech']"))

    def test_nothing_is_kept_of_replies_that_will_not_end(self) -> None:
        for id in ("erased", "lost", "ended"):
            self.append(message(1), start(2), id=id)
        self.store.erase("erased")
        lost = self.store.append("lost", [end(3), message(4)])
        self.held.lose()
        self.failureResultOf(lost, StoreError)
        self.append(paragraph(3), end(4), id="ended")
        self.assertEqual((self.store._started, self.store._silent), ({}, set()))
