"""Thousands of messages to services that break at random places: is all of it right?

    python -m benchmarks.soak --seed 1
    python -m benchmarks.soak --seed 1 --conversations 40 --at-once 10

Customers hold conversations with the real front desk, which asks services on real
sockets, speeded up. These fail in half of all attempts, see `benchmarks.unsteady`; the
customers look away and back, stop answers in the middle, and leave. Then every
paragraph of every complete answer has to have been shown exactly once and in order, and
nothing else; an answer that was not finished is the beginning of one; and nothing is
left open. The same seed makes the same plan. The exit status is 0 only if all is right.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import os
import sys
import time
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from twisted.internet.defer import (
    Deferred,
    DeferredSemaphore,
    gatherResults,
)
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogBeginner
from twisted.python.failure import Failure
from zope.interface import implementer

from benchmarks.unsteady import (
    AGENT,
    HOST,
    Ask,
    Fault,
    Script,
    Store,
    Tale,
    Unsteady,
    Visit,
    lasting,
    standing,
)
from supportbot.conversation import Conversation
from supportbot.dispatcher import Dispatcher, Route
from supportbot.events import (
    CustomerSaid,
    Event,
    Outcome,
    ParagraphSaid,
    ReplyEnded,
    ReplyRevised,
    ReplyStarted,
)
from supportbot.frontdesk import FrontDesk
from supportbot.services.call import endpoint_of
from supportbot.services.http_stream import HTTP_STREAM
from supportbot.services.http_text import HTTP_TEXT
from supportbot.services.signpost import Signpost
from supportbot.services.third_party import ThirdParty
from supportbot.settings import (
    DEFAULT_SERVICES,
    Breaking,
    ConversationSettings,
    Deadlines,
    Retry,
    ServiceSettings,
)

_DEADLINES = Deadlines(connect=2.0, headers=0.5, idle=0.5, progress=2.0, total=8.0)
_RETRY = Retry(budget=60.0, first=0.01, most=0.1, retry_after=0.05, slow=0.2)
_BREAKER = Breaking(failures=200)  # in a row, of so many conversations at once
_AT_ONCE = {AGENT: 4, "product-info": 12, "tech-support": 64}
_CUT_SHARE = 0.001  # of all answers may be left unfinished by their services
_LONGEST_FLOOD = 16 * 1024  # bytes; up to three pieces of 4 KiB are on their way
_TICK = 0.05  # seconds
_SHOWN_VIOLATIONS, _LONGEST = 20, 2_000  # characters of each


class Told(msgspec.Struct):
    """A reply as its events tell it.

    Attributes:
        lines: its paragraphs, those that still stand.
    """

    started: ReplyStarted
    lines: list[ParagraphSaid] = []
    revised: bool = False
    ended: ReplyEnded | None = None


@implementer(ILogObserver)
class Report:
    """What was counted, and what was wrong.

    Attributes:
        cut: the answers that their services left unfinished.
        closed: what is wrong from now on is only the end of a soak that was given up.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.noticed: Counter[str] = Counter()
        self.cut: list[str] = []
        self.closed = False
        self.violations: list[str] = []

    def wrong(self, where: str, what: str) -> None:
        """Something is not as it has to be."""
        if not self.closed:
            self.violations.append(f"{where}: {what}")

    def most(self, name: str, number: int) -> None:
        """Keep the largest."""
        self.counts[name] = max(self.counts[name], number)

    def __call__(self, event: LogEvent) -> None:
        """Observe the log: failed attempts are counted, trouble of ours is wrong."""
        if event["log_namespace"] == "supportbot.services.attempts":
            self.noticed[event["kind"]] += 1
            self.most("most attempts", min(event["number"] + 1, _RETRY.attempts))
        elif event["log_level"] >= LogLevel.error or "log_failure" in event:
            failure = event.get("log_failure")
            trace = failure.getTraceback() if failure else event.get("log_format")
            self.wrong("log", str(trace))

    def judge(self, where: str, name: str, shown: list[str], tale: Tale) -> None:
        """Compare a complete answer with the one that was told."""
        told, seen = Counter(tale.paragraphs), Counter(shown)
        more, missing = seen - told, told - seen
        strange = sum(n for text, n in more.items() if text not in told)
        self.counts["expected"] += len(tale.paragraphs)
        self.counts["shown"] += len(shown)
        self.counts["twice"] += more.total() - strange
        self.counts["strange"] += strange
        self.counts["missing"] += missing.total()
        if shown != list(tale.paragraphs):
            self.counts["disordered"] += seen == told
            self.wrong(where, f"{name}: expected {tale.paragraphs}, shown {shown}")


class Customer:
    """Holds one conversation by its plan; a `Viewer` of it at the same time.

    Attributes:
        shown: all events that it was shown.
        stops: how often it asked for an answer to be stopped.
        left: it left before the end.
    """

    def __init__(
        self,
        clock: Any,
        desk: FrontDesk,
        store: Store,
        services: Collection[Unsteady],
        plan: Visit,
        report: Report,
    ) -> None:
        self._clock, self._desk, self._store = clock, desk, store
        self._services, self._plan, self._report = services, plan, report
        self.conversation: Conversation = desk.open()
        self._follower = self.conversation.follow(self)
        self._away: Any = None  # the timer that makes it look again
        self._timers: list[Any] = []
        self._checks: list[Deferred[None]] = []
        self._leaving: Deferred[None] | None = None
        self._ask: Ask | None = None  # whose answer is shown
        self._paragraphs_of_it = self._paragraphs = 0
        self._answers: list[ReplyEnded] = []
        self.shown: list[Event] = []
        self.stops = 0
        self.left = False

    async def talk(self) -> None:
        """Say everything, and have it shown."""
        plan, waiting = self._plan, []
        stored = self._store.kept[self.conversation.id]
        self._follower.catch_up()
        if plan.leave_in is not None:
            self._timers.append(self._clock.callLater(plan.leave_in, self._leave))
        for ask in plan.asks:
            for _ in range(1 + ask.twice):
                if not self.left:
                    said = self.conversation.say(ask.text, ask.question)
                    waiting.append(said.addCallback(self._answers.append))
            if ask.stop_in is not None:
                self._timers.append(self._clock.callLater(ask.stop_in, self._stop))
            if not plan.eager:
                await gatherResults(waiting)
        await gatherResults(waiting)
        for timer in self._timers:
            if timer.active():
                timer.cancel()
        await self._see_the_rest(stored)
        self._follower.stopProducing()
        if self._away is not None:
            self._away.cancel()
        await gatherResults(self._checks)
        await (self._leaving or self._desk.close(self.conversation))
        if await self._store.read(self.conversation.id, 0, 1):
            self._report.wrong(self.conversation.id, "left something in the store")
        if any(answer not in stored for answer in self._answers):
            self._report.wrong(self.conversation.id, "said to have ended otherwise")

    def event(self, event: Event) -> None:
        self.shown.append(event)
        if self._away is not None or self._follower.after != event.seq:
            self._report.wrong(self.conversation.id, f"shown while away: {event}")
        if len(self._store.kept[self.conversation.id]) < event.seq:
            self._report.wrong(self.conversation.id, f"shown before stored: {event}")
        if isinstance(event, ReplyStarted):
            said = [one.seq for one in self.shown if isinstance(one, CustomerSaid)]
            self._ask = self._plan.asks[said.index(event.to)]
            self._paragraphs_of_it = 0
        elif isinstance(event, ParagraphSaid):
            self._paragraphs += 1
            self._paragraphs_of_it += 1
        if isinstance(event, ReplyStarted | ParagraphSaid) and self._ask is not None:
            if self._ask.stop_at == self._paragraphs_of_it:
                self._stop()
            if self._paragraphs == self._plan.leave_at:
                self._leave()
        looks = self._plan.looks
        if self._away is None and not self.left and looks.random() < 0.1:
            self._follower.pauseProducing()
            self._away = self._clock.callLater(looks.uniform(0, 0.05), self._look)

    def delta(self, text: str) -> None:
        self._report.wrong(self.conversation.id, "a delta, which nobody gives")

    def notice(self, text: str) -> None:
        self._report.counts["notices"] += 1

    def lost(self) -> None:
        self._report.wrong(self.conversation.id, "the follower had to stop")

    def over(self) -> None:
        if not self.left:
            self._report.wrong(self.conversation.id, "has ended before all was said")

    def _look(self) -> None:
        self._away = None
        if self.left:
            return
        if self._plan.looks.random() < 0.2:  # from another window
            self._follower.stopProducing()
            after = self._follower.after
            self._follower = self.conversation.follow(self, after)
            self._follower.catch_up()
        else:
            self._follower.resumeProducing()

    def _stop(self) -> None:
        self.stops += 1
        self._check_end()
        self.conversation.stop()  # it may be the end of everything

    def _leave(self) -> None:
        if not self.left:
            self.left = True
            self._check_end()
            self._leaving = Deferred.fromCoroutine(self._desk.close(self.conversation))

    def _check_end(self) -> None:
        """Check that the connections are closed that are about to be."""
        connections = standing(self._services, f"{self.conversation.id}.")

        async def check() -> None:
            for question in await lasting(self._clock, connections):
                where = self.conversation.id
                self._report.wrong(where, f"still open after a stop: {question}")

        self._checks.append(Deferred.fromCoroutine(check()))

    async def _see_the_rest(self, stored: list[Event]) -> None:
        patience = self._clock.seconds() + 5
        while not self.left and len(self.shown) < len(stored):
            if self._clock.seconds() > patience:
                self._report.wrong(self.conversation.id, "not all was shown")
                return
            await deferLater(self._clock, 0.002)


def replies(where: str, events: Sequence[Event], report: Report) -> list[Told]:
    """Read a transcript."""
    told: list[Told] = []
    for number, event in enumerate(events, 1):
        under_way = told[-1] if told and told[-1].ended is None else None
        if event.seq != number:
            report.wrong(where, f"event {number} has the number {event.seq}")
        if isinstance(event, ReplyStarted) and under_way is None:
            told.append(Told(event))
        elif isinstance(event, ParagraphSaid) and under_way is not None:
            under_way.lines.append(event)
        elif isinstance(event, ReplyRevised) and under_way is not None:
            under_way.revised = True
            if not 0 <= event.keep < len(under_way.lines):
                report.wrong(where, f"nothing to take back: {event}")
            del under_way.lines[event.keep :]
        elif isinstance(event, ReplyEnded) and under_way is not None:
            under_way.ended = event
        elif not isinstance(event, CustomerSaid):
            report.wrong(where, f"out of place: {event}")
    return told


class Soak:
    """All of it.

    Args:
        reactor: a real one.
        options: of the command line.
        report: is filled in.
    """

    def __init__(
        self, reactor: Any, options: argparse.Namespace, report: Report
    ) -> None:
        self._reactor, self._options, self._report = reactor, options, report
        self._script = Script(options.seed, options.faults, options.changes)
        self._services = {
            one.name: Unsteady(
                reactor, self._script, one.field if one.name != AGENT else None
            )
            for one in DEFAULT_SERVICES
        }
        self._store = Store(reactor, options.seed)
        self._ticked, self._standstill = time.monotonic(), 0.0
        self._unfinished: set[int] = set(range(options.conversations))

    async def run(self) -> None:
        """Play everything, and look at what is left then."""
        report = self._report
        for service in self._services.values():
            service.start()
        before = self._held()

        watch = LoopingCall(self._tick)
        watch.start(_TICK).addErrback(lambda why: report.wrong("watch", str(why)))
        playing = Deferred.fromCoroutine(self._play())

        def give_up() -> None:
            some = sorted(self._unfinished)
            report.wrong("deadline", f"{len(some)} conversations go on: {some[:10]}…")
            report.closed = True
            playing.cancel()

        limit = self._reactor.callLater(self._options.deadline, give_up)
        try:
            await playing
        finally:
            watch.stop()
        limit.cancel()
        services = list(self._services.values())
        await self._hung_up("")
        report.counts["left open"] = len(standing(services))
        for service in services:
            await service.stop()
            for complaint in service.complaints:
                report.wrong("service", complaint)
            report.most("longest flood", service.longest_flood)
        if report.counts["longest flood"] > _LONGEST_FLOOD:
            report.wrong("floods", "one was listened to for too long")
        await deferLater(self._reactor, 0)
        for one in self._held() - before:
            report.counts["left behind"] += 1
            report.wrong("left behind", one)
        gc.collect()  # a Deferred reports its lost failure when it is collected

    def table(self, seconds: float) -> str:
        """What was counted, for reading."""
        report, counts = self._report, self._report.counts
        faults: Counter[Fault] = sum(
            (service.faults for service in self._services.values()), Counter()
        )
        paragraphs = ("expected", "shown", "twice", "missing", "strange", "disordered")
        rows: list[tuple[str, object]] = [
            ("conversations", self._options.conversations - len(self._unfinished)),
            ("  left early", counts["left early"]),
            ("messages", counts["messages"]),
            ("  with many stories", counts["with many stories"]),
            ("answers", report.outcomes.total()),
            *((f"  {name}", n) for name, n in report.outcomes.most_common()),
            ("  revised", counts["revised"]),
            ("attempts that arrived", faults.total()),
            *((f"  {fault}", n) for fault, n in faults.most_common()),
            ("attempts that failed", report.noticed.total()),
            *((f"  {kind}", n) for kind, n in report.noticed.most_common()),
            ("most attempts", counts["most attempts"]),
            ("longest flood, bytes", counts["longest flood"]),
            ("connections left open", counts["left open"]),
            ("timers, descriptors left", counts["left behind"]),
            ("notices shown", counts["notices"]),
            ("paragraphs", ""),
            *((f"  {name}", counts[name]) for name in paragraphs),
            ("violations", len(report.violations)),
            ("longest standstill, s", f"{self._standstill:.2f}"),
            ("seconds", f"{seconds:.1f}"),
        ]
        return "".join(f"{name:28}{value:>10}\n" for name, value in rows)

    def _tick(self) -> None:
        """Watch for standstills: of a machine that sleeps nothing can be expected."""
        now = time.monotonic()
        self._standstill = max(self._standstill, now - self._ticked - _TICK)
        self._ticked = now

    async def _play(self) -> None:
        turns = DeferredSemaphore(self._options.at_once)
        dispatcher = Dispatcher(
            [self._route(one) for one in DEFAULT_SERVICES], Signpost(())
        )
        ids = map(str, range(self._options.conversations))
        desk = FrontDesk(
            self._store, dispatcher, time.time, ConversationSettings(), ids.__next__
        )

        def begin(number: int) -> Deferred[None]:
            talking = Deferred.fromCoroutine(self._converse(desk, number))
            return talking.addErrback(broke, number)

        def broke(why: Failure, number: int) -> None:
            self._report.wrong(str(number), why.getTraceback())

        numbers = range(self._options.conversations)
        await gatherResults([turns.run(begin, number) for number in numbers])
        await desk.drain(self._reactor, 1.0)

    def _route(self, settings: ServiceSettings) -> Route:
        settings = msgspec.structs.replace(
            settings,
            url=f"http://{HOST}:{self._services[settings.name].port}/",
            at_once=_AT_ONCE[settings.name],
            turn=30.0,
            deadlines=_DEADLINES,
            retry=_RETRY,
            breaker=_BREAKER,
        )
        dialect = HTTP_TEXT if settings.kind == "http-text" else HTTP_STREAM
        endpoint = endpoint_of(settings, self._reactor)
        service = ThirdParty(settings, dialect, self._reactor, endpoint)
        return Route(settings.intent, service, settings.person)

    async def _converse(self, desk: FrontDesk, number: int) -> None:
        plan = self._script.visit(number)
        services = self._services.values()
        customer = Customer(
            self._reactor, desk, self._store, services, plan, self._report
        )
        await customer.talk()
        self._check(customer, plan)
        self._unfinished.discard(number)
        await self._hung_up(f"{number}.")

    async def _hung_up(self, about: str) -> None:
        connections = standing(self._services.values(), about)
        for question in await lasting(self._reactor, connections):
            self._report.wrong("connections", f"still open at the end: {question}")

    def _check(self, customer: Customer, plan: Visit) -> None:
        """Compare what was shown with what was stored, and with what was told."""
        where, report = customer.conversation.id, self._report
        stored, shown = self._store.kept.pop(where), customer.shown
        if shown != (stored[: len(shown)] if customer.left else stored):
            report.wrong(where, f"shown {shown}, stored {stored}")
        events = stored if customer.left else shown
        said = [event for event in events if isinstance(event, CustomerSaid)]
        told = replies(where, events, report)
        texts = [ask.text for ask in plan.asks][: len(said) if customer.left else None]
        if [one.text for one in said] != texts or len(told) != len(said):
            report.wrong(where, f"said {said}, answered {told}")
        stopped = 0
        for message, ask, reply in zip(said, plan.asks, told, strict=False):
            if (reply.started.to, reply.started.service) != (message.seq, ask.service):
                report.wrong(where, f"{message} was answered by {reply.started}")
            outcome = reply.ended.outcome if reply.ended else Outcome.FAILED
            report.outcomes[outcome] += 1
            if outcome is Outcome.CUT and reply.ended:
                report.cut.append(f"{ask.question}: {reply.ended.detail}")
            report.counts["revised"] += reply.revised
            stopped += outcome is Outcome.STOPPED
            self._check_reply(where, ask, outcome, reply, reply.ended in shown)
        report.counts["messages"] += len(said)
        report.counts["left early"] += customer.left
        if stopped > customer.stops and not customer.left:
            report.wrong(where, f"{stopped} answers ended by {customer.stops} stops")

    def _check_reply(
        self, where: str, ask: Ask, outcome: Outcome, reply: Told, shown: bool
    ) -> None:
        report, name = self._report, ask.question
        plain = ask.service == AGENT
        if any((one.format == "plain") is not plain for one in reply.lines):
            report.wrong(where, f"{name}: shown in another format than it came")
        changes = not plain and self._script.changes(name)
        report.counts["with many stories"] += changes
        if reply.revised and not changes:
            report.wrong(where, f"{name}: taken back what was told again")
        tales = [self._script.tale(name, 0, plain=plain)]
        if changes:
            tales = self._services[ask.service].told[name] or tales
        lines = [one.text for one in reply.lines]
        if outcome is Outcome.COMPLETE and shown:
            report.judge(where, name, lines, tales[-1])
        elif outcome is Outcome.COMPLETE and lines != list(tales[-1].paragraphs):
            report.wrong(where, f"{name}: expected {tales[-1]}, stored {lines}")
        elif outcome in {Outcome.REFUSED, Outcome.FAILED}:
            report.wrong(where, f"{name}: ended as {outcome}")
        elif all(lines != list(tale.paragraphs[: len(lines)]) for tale in tales):
            report.wrong(where, f"{name}: no beginning of {tales}: {lines}")

    def _held(self) -> set[str]:
        """Timers, sockets and descriptors, in words."""
        reactor = self._reactor
        held = [
            *reactor.getDelayedCalls(),
            *reactor.getReaders(),
            *reactor.getWriters(),
        ]
        words = {str(one) for one in held}
        if os.path.isdir("/proc/self/fd"):
            for number in os.listdir("/proc/self/fd"):
                try:
                    target = os.readlink(f"/proc/self/fd/{number}")
                except FileNotFoundError:  # that of the listing
                    continue
                words.add(f"descriptor {number}: {target}")
        return words


def _options(argv: Sequence[str]) -> argparse.Namespace:
    about = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser("python -m benchmarks.soak", description=about)
    add = parser.add_argument
    add("--seed", type=int, required=True, help="a number; the same one, the same plan")
    add("--conversations", type=int, default=1_000, metavar="N")
    add("--at-once", type=int, default=50, metavar="N", help="conversations at a time")
    add("--faults", type=float, default=0.5, help="the share of attempts that fail")
    add("--changes", type=float, default=0.03, help="of questions with many stories")
    add("--deadline", type=float, metavar="S", help="seconds after which it gives up")
    options = parser.parse_args(argv)
    if options.deadline is None:
        options.deadline = 120 + 0.5 * options.conversations
    return options


def main(argv: Sequence[str]) -> int:
    """Soak; returns the exit status."""
    options, report = _options(argv), Report()
    # If the reactor itself hangs, no timer of it will end this.
    faulthandler.dump_traceback_later(options.deadline + 30, exit=True)
    globalLogBeginner.beginLoggingTo([report], redirectStandardIO=False)
    from twisted.internet import reactor as real

    reactor: Any = real
    soak, began = Soak(reactor, options, report), time.monotonic()
    ended: list[bool] = []

    def broke(why: Failure) -> None:
        report.wrong("the soak itself", why.getTraceback())

    def begin() -> None:
        running = Deferred.fromCoroutine(soak.run()).addErrback(broke)
        running.addBoth(lambda _: ended.append(True))
        running.addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run()
    faulthandler.cancel_dump_traceback_later()
    if not ended:
        report.wrong("the soak itself", "was interrupted")
    if len(report.cut) > _CUT_SHARE * report.outcomes.total():
        report.wrong("answers", f"were cut: {report.cut}")
    sys.stdout.write(soak.table(time.monotonic() - began))
    for violation in report.violations[:_SHOWN_VIOLATIONS]:
        sys.stdout.write(f"\nseed {options.seed}: {violation[:_LONGEST]}\n")
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
