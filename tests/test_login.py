"""Logging in with an e-mail address and a PIN."""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
import pytest_twisted
from twisted.internet.defer import CancelledError, Deferred, fail, gatherResults
from twisted.logger import (
    ILogObserver,
    LogEvent,
    LogLevel,
    formatEvent,
    globalLogPublisher,
)
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from supportbot.errors import CallLost, ServiceUnreachable, StoreError
from supportbot.events import Called, CustomerVerified, Event, ToolCalled
from supportbot.interfaces import (
    Credentials,
    Customer,
    Guesses,
    Question,
    Standing,
    Verdict,
)
from supportbot.services.assistant.login import Login
from supportbot.services.assistant.mcp import ToolResult
from supportbot.services.assistant.policy import ToolServer
from supportbot.settings.shop import GuessSettings, ShopSettings
from supportbot.transcripts.guesses import SqlGuesses
from supportbot.transcripts.memory_guesses import MemoryGuesses
from tests.fakes import RecordingReply
from tests.sql_stores import opened, sqlite_url

_T = TypeVar("_T")

START = 1_700_000_000.0
PIN = "739154"
ID = "0b7c3a52-5c0a-4d3e-9e43-6f0a4f2f0c11"
REFUSED = (
    "Error executing tool verify_customer_pin: Customer not found or PIN incorrect"
)
WRONG = "This e-mail address and PIN don't belong together."
AGAIN = f"{WRONG} The next try is possible in 2 seconds."
LATER = "Logging in is not possible at the moment; please try again soon."


def verified(name: str = "Alice Johnson", email: str = "alice@example.com") -> str:
    return (
        f"✓ Customer verified: {name}\nCustomer ID: {ID}\nEmail: {email}\nRole: buyer"
    )


ALICE = Customer(ID, "Alice Johnson", "alice@example.com")


class FakeShop:
    """A shop's client; it knows Alice's PIN, and can be told what to answer.

    Attributes:
        asked: the arguments of all calls.
        answer: what it says to every call, or what it fails with; None for the truth.
        held: answers that wait for the test; None where none waits.
    """

    def __init__(self) -> None:
        self.asked: list[Mapping[str, object]] = []
        self.answer: ToolResult | Exception | None = None
        self.held: list[Deferred[None]] | None = None

    async def call(
        self, name: str, arguments: Mapping[str, object], *, safe: bool
    ) -> ToolResult:
        pin = str(arguments["pin"])
        body = f"{name} {arguments['email']} {pin}"  # as a client's frames hold it
        assert (name, safe) == ("verify_customer_pin", False)
        self.asked.append(arguments)
        if self.held is not None:
            self.held.append(Deferred())
            await self.held[-1]
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer is not None:
            return self.answer
        if body == f"verify_customer_pin alice@example.com {PIN}":
            return ToolResult(verified(), False)
        return ToolResult(REFUSED, True)


class LosingGuesses(MemoryGuesses):
    """Counts, until what it is asked for next can't be done.

    Attributes:
        lost: the name of that.
    """

    lost = ""

    def begin(self, *where: Any) -> Deferred[float]:
        return self._do("begin", super().begin, *where)

    def wait(self, *where: Any) -> Deferred[float]:
        return self._do("wait", super().wait, *where)

    def right(self, *where: Any) -> Deferred[None]:
        return self._do("right", super().right, *where)

    def void(self, *where: Any) -> Deferred[None]:
        return self._do("void", super().void, *where)

    def _do(
        self, name: str, do: Callable[..., Deferred[_T]], *where: Any
    ) -> Deferred[_T]:
        if name == self.lost:
            return fail(StoreError("the disk is full"))
        return do(*where)


class LosingReply(RecordingReply):
    """A reply that can't store that somebody is verified."""

    def record(self, kind: type[Any], **fields: object) -> Deferred[Any]:
        if kind is CustomerVerified:
            return fail(StoreError("the disk is full"))
        return super().record(kind, **fields)


@implementer(ILogObserver)
class Logged:
    """A log observer that keeps everything."""

    def __init__(self) -> None:
        self.events: list[LogEvent] = []

    def __call__(self, event: LogEvent) -> None:
        self.events.append(event)

    def at(self, level: LogLevel) -> list[str]:
        """The lines of one level."""
        return [
            formatEvent(event) for event in self.events if event["log_level"] is level
        ]


class LoginTests(SynchronousTestCase):
    """One customer, or one who would like to be."""

    def setUp(self) -> None:
        self.shop, self.now = FakeShop(), START
        self.guesses = LosingGuesses(GuessSettings())
        self.login = Login(
            ShopSettings(),
            cast(ToolServer, self.shop),
            self.guesses,
            lambda: self.now,
        )
        self.reply = RecordingReply()
        self.logged = Logged()
        globalLogPublisher.addObserver(self.logged)
        self.addCleanup(globalLogPublisher.removeObserver, self.logged)
        self.addCleanup(self.nothing_leaks)

    def nothing_leaks(self) -> None:
        """Neither what was logged nor what was told or stored holds a PIN."""
        for event in self.logged.events:
            self.assertNotIn(PIN, f"{formatEvent(event)} {event}")
        told = f"{self.reply.told} {self.reply.facts} {self.reply.paragraphs}"
        self.assertNotIn(PIN, told)

    def run_now(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        return self.successResultOf(Deferred.fromCoroutine(coroutine))

    def verify(
        self,
        email: str | None = "alice@example.com",
        pin: str | None = PIN,
        session: str = "s",
        client: str = "192.0.2.1",
    ) -> Verdict:
        credentials = Credentials(email, pin)
        return self.run_now(self.login.verify(credentials, session, client))

    def question(
        self,
        email: str | None = "alice@example.com",
        pin: str | None = PIN,
        standing: Standing = Standing(),  # noqa: B008
    ) -> Question:
        async def transcript() -> list[Event]:
            return []

        return Question(
            "Let me in.",
            transcript,
            conversation_id="s",
            seq=1,
            client="192.0.2.1",
            credentials=Credentials(email, pin),
            standing=standing,
        )

    def answer(self, question: Question | None = None) -> bool:
        answering = self.login.answer(question or self.question(), self.reply)
        return self.run_now(answering)

    # Whether they belong together

    def test_who_knows_the_pin_is_the_customer(self) -> None:
        verdict = self.verify(" alice@example.com ", f" {PIN}\n")
        self.assertEqual(
            verdict, Verdict(ALICE, "Welcome, Alice Johnson! You are logged in.")
        )
        self.assertEqual(self.shop.asked, [{"email": "alice@example.com", "pin": PIN}])
        self.assertEqual(self.logged.at(LogLevel.warn), [])

    def test_an_address_may_be_spelled_in_any_case(self) -> None:
        self.shop.answer = ToolResult(verified(email="Alice@Example.com"), False)
        self.assertIsNotNone(self.verify("ALICE@example.com").customer)

    def test_a_wrong_pin_and_an_unknown_customer_are_told_alike(self) -> None:
        told = []
        for email in ("alice@example.com", "nobody@example.com"):
            told.append([self.verify(email, "0000") for _ in range(2)])
        self.assertEqual(told[0], told[1])
        self.assertEqual(
            told[0],
            [
                Verdict(None, AGAIN, 2.0),
                Verdict(
                    None,
                    "There were too many tries; please wait 2 seconds.",
                    2.0,
                    tried=False,
                ),
            ],
        )
        self.assertEqual(len(self.shop.asked), 2)
        self.assertEqual(self.logged.at(LogLevel.warn), [])

    def test_the_wait_is_told_in_words(self) -> None:
        told = []
        for _ in range(11):
            verdict = self.verify(pin="0000", session=f"{self.now}", client="")
            self.assertTrue(verdict.tried)
            self.assertTrue(
                verdict.told.startswith(f"{WRONG} The next try is possible")
            )
            told.append(verdict.told.rpartition(" in ")[2])
            self.now += verdict.wait
        expected = "2 seconds,4 seconds,15 minutes,30 minutes,60 minutes,2 hours"
        self.assertEqual(told[:6], [f"{one}." for one in expected.split(",")])
        self.assertEqual(told[-1], "24 hours.")

    def test_a_wait_is_never_told_too_short(self) -> None:
        self.verify(pin="0000")
        for gone, words in ((0.5, "2 seconds"), (1.5, "1 second"), (1.999, "1 second")):
            self.now = START + gone
            told = f"There were too many tries; please wait {words}."
            self.assertEqual(self.verify().told, told)

    def test_a_locked_customer_is_not_asked_for_even_with_the_right_pin(self) -> None:
        for at in (0.0, 2.0, 6.0):
            self.now = START + at
            self.assertTrue(self.verify(pin="0000").tried)
        asked = len(self.shop.asked)
        for session in ("s", "t"):
            verdict = self.verify(session=session, client="198.51.100.1")
            self.assertEqual((verdict.customer, verdict.tried), (None, False))
        self.assertEqual(len(self.shop.asked), asked)
        self.now = START + 906.0
        self.assertEqual(self.verify().customer, ALICE)
        self.assertEqual(self.verify(pin="0000").wait, 2.0)  # it began anew

    def test_what_is_missing_is_asked_for(self) -> None:
        both = "To log in, please give your e-mail address and your PIN."
        email = "To log in, please give your e-mail address too."
        pin = "To log in, please give your PIN too."
        for given, told in (
            ((None, None), both),
            (("", " "), both),
            ((None, PIN), email),
            (("a\u200b@b.c", PIN), email),
            (("a" * 255, PIN), email),
            (("\ud800@b.c", PIN), email),
            (("a@b.c", None), pin),
            (("a@b.c", ""), pin),
            (("a@b.c", "1" * 65), pin),
            (("a@b.c", "12\x0034"), pin),
        ):
            self.assertEqual(self.verify(*given), Verdict(None, told))
            self.reply = RecordingReply()
            self.assertFalse(self.answer(self.question(*given)))
            self.assertEqual(self.reply.paragraphs, [(told, "plain")])
            self.assertEqual(self.reply.facts, [])
        self.assertEqual(self.shop.asked, [])
        self.assertEqual(self.verify().customer, ALICE)  # nothing was counted

    # What the shop says

    def test_anything_odd_counts_as_wrong(self) -> None:
        odd = [
            ToolResult("", False),
            ToolResult(f"All fine with {PIN}!", False),
            ToolResult(verified(), True),
            ToolResult(verified(email="bob@example.com"), False),
            ToolResult(verified(email="alice@example.co"), False),
            ToolResult(f"Hello.\n{verified()}", False),
            ToolResult("Error: the database is gone", True),
        ]
        for number, self.shop.answer in enumerate(odd, 1):
            self.guesses.unlock("alice@example.com")
            verdict = self.verify(session=f"{number}")
            self.assertEqual(verdict, Verdict(None, AGAIN, 2.0))
            self.assertEqual(len(self.logged.at(LogLevel.warn)), number)

    def test_a_shop_that_can_not_tell_counts_nothing(self) -> None:
        for error in (
            ServiceUnreachable("refused"),
            CallLost(f"sent {PIN}"),
            RuntimeError(PIN),
        ):
            self.shop.answer = error
            for _ in range(20):
                self.assertEqual(self.verify(), Verdict(None, LATER, unknown=True))
        self.shop.answer = None
        self.assertEqual(self.verify().customer, ALICE)
        warned = "the shop verifies nobody: CallLost"
        self.assertIn(warned, self.logged.at(LogLevel.warn))
        broke = set(self.logged.at(LogLevel.error))
        self.assertEqual(len(broke), 1)
        self.assertIn("RuntimeError at FakeShop.call, line", broke.pop())

    def test_a_name_is_shown_as_far_as_it_can_be(self) -> None:
        for given, shown in (
            ("A" * 100, "A" * 80),
            ("Bob <b>x</b> {name}", "Bob <b>x</b> {name}"),
        ):
            self.shop.answer = ToolResult(verified(given), False)
            verdict = self.verify()
            assert verdict.customer is not None
            self.assertEqual(verdict.customer.name, shown)
            self.assertEqual(verdict.told, f"Welcome, {shown}! You are logged in.")

    # In the chat

    def test_a_login_in_the_chat(self) -> None:
        self.assertTrue(self.answer())
        self.assertEqual(
            self.reply.told,
            [
                "(Checking your e-mail address and PIN…)",
                "ToolCalled",
                "CustomerVerified",
                "Welcome, Alice Johnson! You are logged in.",
            ],
        )
        self.assertEqual(self.reply.paragraphs[0][1], "plain")
        called, known = self.reply.facts
        assert isinstance(called, ToolCalled)
        assert isinstance(known, CustomerVerified)
        self.assertEqual(called.name, "verify_customer_pin")
        self.assertEqual(called.outcome, Called.OK)
        self.assertEqual(called.result, "")
        given = {"email": "alice@example.com", "pin": "****"}
        self.assertEqual(msgspec.json.decode(called.arguments), given)
        self.assertEqual(Customer(known.customer_id, known.name, known.email), ALICE)

    def test_a_login_in_the_chat_that_goes_wrong(self) -> None:
        outcomes = []
        for answer, pin, told in (
            (CallLost(), PIN, LATER),
            (None, "0000", AGAIN),
            (None, PIN, "There were too many tries; please wait 2 seconds."),
        ):
            self.shop.answer, self.reply = answer, RecordingReply()
            self.assertFalse(self.answer(self.question(pin=pin)))
            self.assertEqual(self.reply.paragraphs, [(told, "plain")])
            (called,) = self.reply.facts
            assert isinstance(called, ToolCalled)
            self.assertNotIn(pin, called.arguments)
            outcomes.append(called.outcome)
        self.assertEqual(outcomes, [Called.LOST, Called.FAILED, Called.REFUSED])

    def test_nobody_logs_in_where_others_may_read_along(self) -> None:
        for pin in (PIN, None):
            question = self.question(pin=pin, standing=Standing(id_chosen=True))
            self.assertFalse(self.answer(question))
        self.assertEqual(self.shop.asked, [])
        self.assertEqual(self.reply.facts, [])
        first, second = self.reply.paragraphs
        self.assertEqual(first, second)
        self.assertIn("Please start a new one, and log in there.", first[0])
        self.assertNotIn("PIN", first[0])  # which would make a bare number one

    def test_a_message_without_credentials_is_no_login(self) -> None:
        question = msgspec.structs.replace(self.question(), credentials=None)
        self.assertFalse(self.answer(question))
        self.assertEqual(self.reply.told, [])

    def test_nobody_is_welcome_before_it_is_stored(self) -> None:
        self.reply = LosingReply()
        answering = Deferred.fromCoroutine(
            self.login.answer(self.question(), self.reply)
        )
        self.failureResultOf(answering, StoreError)
        self.assertEqual(self.reply.paragraphs, [])
        self.assertEqual(
            self.guesses.wait("alice@example.com", "s", "", START).result, 0
        )

    # What breaks in between

    def test_what_can_not_be_counted_is_not_tried(self) -> None:
        self.guesses.lost = "begin"
        verifying = self.login.verify(Credentials("alice@example.com", PIN), "s", "")
        self.failureResultOf(Deferred.fromCoroutine(verifying), StoreError)
        self.assertEqual(self.shop.asked, [])

    def test_nobody_is_let_in_before_the_count_is_cleared(self) -> None:
        self.guesses.lost = "right"
        answering = self.login.answer(self.question(), self.reply)
        self.failureResultOf(Deferred.fromCoroutine(answering), StoreError)
        self.assertEqual(self.reply.facts, [])
        self.guesses.lost = ""
        self.now += 2.0  # one try is counted too many, and no more
        self.assertEqual(self.verify().customer, ALICE)

    def test_a_wrong_pin_is_told_though_nobody_knows_for_how_long(self) -> None:
        self.guesses.lost = "wait"
        self.assertEqual(self.verify(pin="0000"), Verdict(None, WRONG))

    def test_a_shop_that_can_not_tell_may_leave_one_try_counted(self) -> None:
        self.guesses.lost, self.shop.answer = "void", CallLost()
        self.assertEqual(self.verify(), Verdict(None, LATER, unknown=True))
        self.guesses.lost, self.shop.answer = "", None
        self.assertFalse(self.verify().tried)
        self.now += 2.0
        self.assertEqual(self.verify().customer, ALICE)

    def test_a_login_that_is_stopped_stays_counted(self) -> None:
        self.shop.held = []
        answering = Deferred.fromCoroutine(
            self.login.answer(self.question(), self.reply)
        )
        self.assertNoResult(answering)
        answering.cancel()
        failure = self.failureResultOf(answering, CancelledError)
        self.assertNotIn(PIN, failure.getTraceback(detail="verbose"))
        self.assertEqual(self.reply.facts, [])
        self.assertFalse(self.verify().tried)

    def test_no_traceback_holds_the_pin(self) -> None:
        Deferred.debug = True  # failures keep the variables of their frames
        self.addCleanup(setattr, Deferred, "debug", False)
        for lost, broken in (("begin", False), ("right", False), ("right", True)):
            self.guesses.lost = lost
            if broken:
                error: BaseException = self.broken()
            else:
                verifying = self.login.verify(
                    Credentials("alice@example.com", PIN), f"{lost}{broken}", ""
                )
                failed = Deferred.fromCoroutine(verifying)
                error = self.failureResultOf(failed, StoreError).value
            while error is not None:
                failure = Failure(error, captureVars=True)
                self.assertNotIn(PIN, failure.getTraceback(detail="verbose"))
                self.assertNotIn(PIN, _frames(error))
                error = error.__cause__ or error.__context__  # type: ignore[assignment]
            self.now += 3.0

    def broken(self) -> BaseException:
        """What a stopped login fails with."""
        self.shop.held = []
        verifying = self.login.verify(Credentials("b@example.com", PIN), "t", "")
        stopped = Deferred.fromCoroutine(verifying)
        stopped.cancel()
        error: BaseException = self.failureResultOf(stopped, CancelledError).value
        return error


def _frames(error: BaseException) -> str:
    """All variables of all frames that an exception has passed."""
    traceback, seen = error.__traceback__, []
    while traceback is not None:
        seen.append(repr(traceback.tb_frame.f_locals))
        traceback = traceback.tb_next
    return "\n".join(seen)


# Brute force


class Attack:
    """Somebody who guesses, against processes that come and go.

    Attributes:
        real: seconds that have really passed.
        back: seconds by which the clock was set back.
    """

    def __init__(self, folder: Path) -> None:
        self._url = sqlite_url(folder)
        self.shop, self.real, self.back = FakeShop(), 0.0, 0.0
        self.made: list[tuple[float, str]] = []

    def now(self) -> float:
        return START + self.real - self.back

    async def side_by_side(self, emails: list[str], sessions: int) -> list[Verdict]:
        """50 tries at once, from 3 addresses, in a process of their own."""
        store = await opened(self._url)
        guesses: Guesses = SqlGuesses(store, GuessSettings())
        client = cast(ToolServer, self.shop)
        login = Login(ShopSettings(), client, guesses, self.now)
        before = len(self.shop.asked)
        verdicts = await gatherResults(
            [
                Deferred.fromCoroutine(
                    login.verify(
                        Credentials(emails[number % len(emails)], f"{number:04}"),
                        f"session-{number % sessions}",
                        f"192.0.2.{number % 3}",
                    )
                )
                for number in range(50)
            ]
        )
        await store.close()
        for asked in self.shop.asked[before:]:
            self.made.append((self.real, str(asked["email"])))
        return verdicts


@pytest_twisted.ensureDeferred
async def test_guesses_at_one_customer_are_few_whatever_is_tried(
    tmp_path: Path,
) -> None:
    attack, rng = Attack(tmp_path), random.Random(7)
    spelled = ["alice@example.com", "Alice@Example.com", " ALICE@EXAMPLE.COM "]
    for round in range(20):
        verdicts = await attack.side_by_side(spelled, 5)
        assert all(verdict.customer is None for verdict in verdicts)
        attack.real += rng.choice([0.0, 1.0, 5.0, 60.0])
        if round % 5 == 4:
            attack.back += rng.choice([1.0, 3_600.0, 100 * 86_400.0])
    assert attack.real < 900.0
    assert len(attack.made) == 3
    first, second, third = (at for at, _ in attack.made)
    assert second - first >= 2.0
    assert third - second >= 4.0


@pytest_twisted.ensureDeferred
async def test_guesses_at_many_customers_are_few_too(tmp_path: Path) -> None:
    attack, rng = Attack(tmp_path), random.Random(11)
    for round in range(15):
        emails = [f"{round}-{number}@example.com" for number in range(50)]
        await attack.side_by_side(emails, 5)
        attack.real += rng.choice([0.0, 1.0, 60.0])
        if round % 5 == 4:
            attack.back += rng.choice([1.0, 3_600.0, 100 * 86_400.0])
    assert attack.real < 3_600.0
    assert 20 <= len(attack.made) <= 5 * 5  # of each session
    assert len(attack.made) <= 3 * 10  # from each address
