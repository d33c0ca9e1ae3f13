"""What the soak stands on: third parties that fail at random places, a slow store.

All of it follows from a seed: what customers ask, what they are answered, how that is
written as JSON and cut into slices, and what goes wrong with each attempt, and where.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from enum import StrEnum
from random import Random, SystemRandom
from typing import Any

import msgspec
from twisted.internet.defer import CancelledError, Deferred, DeferredLock
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from supportbot.demo.request import Request, RequestReader, Unanswerable
from supportbot.events import Event
from supportbot.transcripts.memory import MemoryStore

HOST, AGENT = "127.0.0.1", "real-agent"
_PORTS = range(20_000, 30_000)  # no system gives one of these to a client meanwhile
_MESSAGES = (
    ("tech-support", "Help! The device no. {} has a flashing red light"),
    ("tech-support", "My no. {} is a device not responding, I need HELP"),
    ("product-info", "Product question no. {} about Antigravity Socks"),
    ("product-info", "no. {} : a product  question on the Space Basketball"),
    (AGENT, "Please have a real person help me with no. {} today"),
)
_QUESTION = re.compile(r"\bno\. (\S+)")
_MOST_SLICES = 300  # then the rest is written in large ones
_MOST_FLOOD = 1024 * 1024  # bytes, for clients that never hang up
_CHARACTERS = (
    *"etaoin ETAOIN 0000 11 \"\"\\/''<>&;{}[]:,\n\r\t",
    *"äöüßéñçøĀłşžΑωЖяעשع漢字かな한글",
    *"\x00\x01\x1f\x7f\x80\u00a0\u0301\u200b\u200d\u2028\u2029\ufeff\ufffd\uffff",
    *"😀🧦🪐🇩🇪👩🏽𝔘𐍈\U0010ffff",
)
_INNER = (
    *("<b>", "</b>", "<br/>", "<pre>", "</pre>", "<param>", "</ p>", "</px>", "</"),
    *("<p>", "<P class='a'>", "&lt;/p&gt;", "\\u003c/p>", '<i title="</q>">', "12 > 3"),
)
_OPEN = ("<p>", "<p>", "<P>", '<p class="a b">', "<p\n\tid='x>y'>", "<p data-é=\\>")
_CLOSE = ("</p>", "</p>", "</P>", "</p >", "</P\n>")
_BETWEEN = ("", "", "", " ", "\r\n\t", "\n\n", "<br>", "</div>", "<pre>0</pre>", "and")
_SIZES = ((1,), (1, 2, 3), (1, 40, 300), (100,), (1_000,), (1_000_000,))
_FLOODS = (b"0", b"0", b"\0", b" ")


class Fault(StrEnum):
    """What goes wrong with one attempt."""

    NONE = "none"
    FLOOD = "flood"
    CUT = "cut"
    RESET = "reset"
    INVALID = "invalid UTF-8"
    STATUS = "status"
    CLOSED = "closed before headers"
    GARBAGE = "garbage headers"
    STALL = "stall"
    DRONE = "no end, no paragraph"
    AWAY = "reset, then refusing"


_WEIGHTS = {
    Fault.FLOOD: 6.0,
    Fault.CUT: 4.0,
    Fault.RESET: 4.0,
    Fault.INVALID: 3.0,
    Fault.STATUS: 2.0,
    Fault.CLOSED: 2.0,
    Fault.GARBAGE: 2.0,
    Fault.STALL: 1.0,
    Fault.DRONE: 0.3,
    Fault.AWAY: 0.3,
}
_ENDING = {Fault.CUT, Fault.RESET, Fault.AWAY}


class Tale(msgspec.Struct, frozen=True):
    """One answer.

    Attributes:
        paragraphs: what has to be shown.
        text: where they stand in.
    """

    paragraphs: tuple[str, ...]
    text: str


class Act(msgspec.Struct, frozen=True):
    """What a service does with one attempt.

    Attributes:
        slices: is written first.
        pause: seconds after each slice.
        flood: is written again and again then, unless it is empty.
        end: `close`, `reset` or `wait` for the client to go, whatever comes last.
    """

    fault: Fault
    slices: tuple[bytes, ...]
    pause: float
    flood: bytes
    end: str


class Ask(msgspec.Struct, frozen=True):
    """A message that a customer is going to send.

    Attributes:
        text: names the question, so that the service knows it again.
        twice: it is sent twice under one id.
        stop_in: seconds after which the customer stops what is answered then.
        stop_at: so many paragraphs of the answer have the customer stop it.
    """

    question: str
    service: str
    text: str
    twice: bool
    stop_in: float | None
    stop_at: int | None


class Visit(msgspec.Struct, frozen=True):
    """A conversation that a customer is going to have.

    Attributes:
        eager: messages don't wait for the answers to those in front of them.
        leave_in: seconds after which the customer leaves.
        leave_at: so many paragraphs in all have the customer leave.
        looks: makes the viewer look away now and then.
    """

    asks: tuple[Ask, ...]
    eager: bool
    leave_in: float | None
    leave_at: int | None
    looks: Random


class Script:
    """All that the customers and the services of one soak are going to do.

    Args:
        seed: everything follows from it.
        faults: the share of attempts that fail.
        changes: the share of questions whose every attempt tells another story.
    """

    def __init__(self, seed: int, faults: float, changes: float) -> None:
        self._seed, self._faults, self._changes = seed, faults, changes

    def visit(self, number: int) -> Visit:
        """One conversation."""
        random = self._random("visit", number)
        count, leaves = random.randint(1, 5), random.random()
        return Visit(
            asks=tuple(_ask(random, f"{number}.{n}") for n in range(1, count + 1)),
            eager=random.random() < 0.4,
            leave_in=random.uniform(0, 1.5) if leaves < 0.05 else None,
            leave_at=random.randint(1, 12) if 0.05 <= leaves < 0.1 else None,
            looks=random,
        )

    def changes(self, question: str) -> bool:
        """Whether every attempt at it tells another story."""
        return self._random("changes", question).random() < self._changes

    def tale(self, question: str, attempt: int, *, plain: bool) -> Tale:
        """The answer to an attempt, the first of which is 0.

        Args:
            plain: for a visit, where nothing is asked; there is only one answer.
        """
        if plain:
            sentence = f"«{_text(self._random('sentence'), 80)}»"
            return Tale((sentence,), f"\r\n {sentence}\n")
        if not self.changes(question):
            return _tale(self._random("tale", question))
        paragraphs = _paragraphs(self._random("tale", question))
        if attempt:
            other = self._random("other", question, attempt)
            kept = paragraphs[: other.randrange(len(paragraphs) + 1)]
            paragraphs = kept + _paragraphs(other)[: other.randrange(4)] or paragraphs
        return Tale(tuple(paragraphs), "".join(paragraphs))

    def act(self, question: str, attempt: int, tale: Tale, field: str | None) -> Act:
        """What happens to an attempt.

        Args:
            field: the answer's in a JSON object; None for plain text.
        """
        random = self._random("act", question, attempt)
        fault = Fault.NONE
        if random.random() < self._faults:
            fault = random.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
        body = tale.text.encode() if field is None else _json(random, field, tale.text)
        if fault is Fault.INVALID:
            at = random.randrange(len(body) + 1)
            body = body[:at] + random.choice((b"\xff", b"\xc3(", b"\x80")) + body[at:]
        # Nobody can tell that plain text is cut short if its length isn't known.
        with_length = random.random() < 0.3 or (field is None and fault in _ENDING)
        if fault in {Fault.FLOOD, Fault.DRONE}:
            with_length = False
        octets = _head(random, field, len(body) if with_length else None) + body
        flood, end = b"", "close"
        if fault is Fault.NONE:
            if (field is not None or with_length) and random.random() < 0.3:
                end = "wait"  # the answer's end can be told without that of the body
        elif fault is Fault.STATUS:
            octets = _trouble(random)
        elif fault is Fault.GARBAGE:
            octets, end = _garbage(random, octets), random.choice(("close", "wait"))
        elif fault is Fault.CLOSED:
            octets, end = b"", random.choice(("close", "reset"))
        elif fault is not Fault.INVALID:
            octets = octets[: random.randrange(len(octets) + 1)]
            if fault is Fault.FLOOD:
                flood = random.choice(_FLOODS) * random.choice((1, 100, 1_024, 4_096))
            elif fault is Fault.DRONE:
                flood = b"la la "
            if fault in {Fault.RESET, Fault.AWAY}:
                end = "reset"
            elif fault is not Fault.CUT:
                end = "wait"
        slices = _sliced(random, octets)
        few = len(slices) < 20 and len(flood) != 1
        pause = random.uniform(0, 0.005) if few else 0.0
        return Act(fault, slices, 0.03 if fault is Fault.DRONE else pause, flood, end)

    def _random(self, *what: object) -> Random:
        return Random(f"{self._seed} {what}")


def _ask(random: Random, question: str) -> Ask:
    service, text = random.choice(_MESSAGES)
    stops = random.random()
    return Ask(
        question=question,
        service=service,
        text=f"{text.format(question)} {''.join(random.choices(' .äß漢😀', k=4))}!",
        twice=random.random() < 0.05,
        stop_in=random.uniform(0, 0.5) if stops < 0.05 else None,
        stop_at=random.randrange(5) if 0.05 <= stops < 0.12 else None,
    )


def _text(random: Random, most: int) -> str:
    return "".join(random.choices(_CHARACTERS, k=random.randrange(most)))


def _paragraph(random: Random) -> str:
    parts = [_text(random, random.choice((1, 20, 200)))]
    if random.random() < 0.5:
        parts += [random.choice(_INNER), _text(random, 40)]
    if random.random() < 0.1:  # honest: shorter than what is taken for a flood
        parts.append(random.choice("0-=_* ") * random.randrange(400))
    random.shuffle(parts)
    return random.choice(_OPEN) + "".join(parts) + random.choice(_CLOSE)


def _paragraphs(random: Random) -> list[str]:
    paragraphs: list[str] = []
    for _ in range(random.randint(1, 8)):
        again = paragraphs and random.random() < 0.15
        paragraphs.append(random.choice(paragraphs) if again else _paragraph(random))
    return paragraphs


def _tale(random: Random) -> Tale:
    if random.random() < 0.07:
        text = f"No{_text(random, 60)}.".replace("<", "")
        return Tale((text,), f"\n {text} ")
    paragraphs = _paragraphs(random)
    text = random.choice(_BETWEEN)
    text += "".join(one + random.choice(_BETWEEN) for one in paragraphs)
    if random.random() < 0.05:  # one that the service forgets to close
        paragraphs.append(f"<p>{_text(random, 40)}…")
        text += f"{paragraphs[-1]} \n"
    return Tale(tuple(paragraphs), text)


def _json(random: Random, field: str, text: str) -> bytes:
    ascii_only = random.random() < 0.5
    written = json.dumps(text, ensure_ascii=ascii_only)
    if random.random() < 0.3:
        old, new = random.choice((("</", "<\\/"), ("<", "\\u003c"), (">", "\\u003E")))
        written = written.replace(old, new)
    members = [f'"{field}": {written}', f'"timestamp": {random.randrange(2**40)}']
    if random.random() < 0.2:
        members.append(f'"more": {{"{field}": "<p>not this</p>", "list": [0, "]"]}}')
    random.shuffle(members)
    space = random.choice(("", " ", "\n  "))
    return f"{{{space}{f',{space}'.join(members)}{space}}}".encode()


def _head(random: Random, field: str | None, length: int | None) -> bytes:
    media = "text/plain" if field is None else "application/json"
    lines = [
        f"HTTP/1.{random.randrange(2)} 200 OK",
        "Content-type: " + media + random.choice(("", "; charset=utf-8")),
        *random.choice(((), ("Server: BaseHTTP/0.6 Python/3.11.2",))),
        *(() if length is None else (f"Content-Length: {length}",)),
    ]
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()


def _trouble(random: Random) -> bytes:
    status = random.choice((500, 502, 503, 504, 408, 429))
    wait = random.choice(("", "Retry-After: 0\r\n", "Retry-After: 1\r\n"))
    page = "<html><p>Something went wrong.</p></html>"
    return f"HTTP/1.1 {status} Trouble\r\n{wait}\r\n{page}".encode()


def _garbage(random: Random, octets: bytes) -> bytes:
    noise = bytes(random.choices(range(128, 256), k=random.randint(1, 300)))
    first = random.choice(
        (b"", noise, b"HTTP/1.0 2OO OK", b"ICY 200 OK", b"HTTP/1.0 200 OK\r\n" + noise)
    )
    return first + b"\r\n" + octets.partition(b"\r\n")[2]


def _sliced(random: Random, octets: bytes) -> tuple[bytes, ...]:
    """Slices from here or there on, so that single bytes come to all places."""
    sizes = random.choice(_SIZES)
    at = random.randrange(len(octets) + 1) if random.random() < 0.5 else 0
    slices = [octets[:at]] if at else []
    while at < len(octets):
        size = random.choice(sizes) if len(slices) < _MOST_SLICES else len(octets)
        slices.append(octets[at : at + size])
        at += size
    return tuple(slices)


class Unsteady(ServerFactory):
    """One third party, on a port of its own.

    Args:
        reactor: listens and tells the time.
        field: the answer's in a JSON object; None for one that is only visited and
            answers in plain text.

    Attributes:
        port: where it listens, once it was started.
        open: the connections that stand. It hangs up on nobody who waits for more,
            so what a client forgets to close stays in here.
        faults: how many attempts ended in which.
        longest_flood: bytes of the flood in a body that was listened to longest.
        told: for each question the tales of all attempts that arrived.
        complaints: about requests, and about connections that still stood when the
            same question was asked again.
    """

    noisy = False

    def __init__(self, reactor: Any, script: Script, field: str | None) -> None:
        self._reactor, self._script, self._field = reactor, script, field
        self._listening: Any = None
        self._returning: Any = None
        self.port = 0
        self.open: set[Telling] = set()
        self.faults: Counter[Fault] = Counter()
        self.longest_flood = 0
        self.told: defaultdict[str, list[Tale]] = defaultdict(list)
        self.complaints: list[str] = []

    def start(self) -> None:
        """Listen on some free port."""
        for port in SystemRandom().sample(_PORTS, 100):
            try:
                self._listen(port)
            except CannotListenError:
                continue
            return
        raise RuntimeError("found no free port")

    async def stop(self) -> None:
        """Listen no more."""
        if self._returning is not None:
            self._returning.cancel()
        if self._listening is not None:
            await self._listening.stopListening()

    def leave(self, seconds: float) -> None:
        """Refuse connections for a while."""
        if self._listening is not None:
            self._listening.stopListening()
            self._listening = None
            self._returning = self._reactor.callLater(seconds, self._listen, self.port)

    def buildProtocol(self, addr: IAddress | None) -> Telling:
        return Telling(self)

    @property
    def method(self) -> str:
        """The only one that it answers."""
        return "GET" if self._field is None else "POST"

    async def answer(self, telling: Telling, request: Request) -> None:
        """Answer, or fail at it."""
        named = _QUESTION.search(request.text)
        question = named[1] if named else ""
        if request.method != self.method or bool(question) == (self._field is None):
            self.complaints.append(f"unexpected request: {request}")
        if question and any(other.question == question for other in self.open):
            self.complaints.append(f"{question}: asked again before hanging up")
        telling.question = question
        attempt = len(self.told[question])
        tale = self._script.tale(question, attempt, plain=self._field is None)
        self.told[question].append(tale)
        act = self._script.act(question, attempt, tale, self._field)
        self.faults[act.fault] += 1
        for octets in act.slices:
            telling.transport.write(octets)
            await deferLater(self._reactor, act.pause)
        has_head = b"\r\n\r\n" in b"".join(act.slices)
        for sent in range(0, _MOST_FLOOD if act.flood else 0, len(act.flood) or 1):
            if act.fault is Fault.FLOOD and has_head:
                self.longest_flood = max(self.longest_flood, sent + len(act.flood))
            telling.transport.write(act.flood)
            await deferLater(self._reactor, act.pause)
        if act.fault is Fault.AWAY:
            self.leave(0.01 + act.pause * 10)
        if act.end == "reset":
            telling.transport.abortConnection()
        elif act.end == "close":
            telling.transport.loseConnection()

    def _listen(self, port: int) -> None:
        self._returning = None
        self._listening = self._reactor.listenTCP(port, self, interface=HOST)
        self.port = port


class Telling(Protocol):
    """One connection to a service.

    Attributes:
        question: what was asked; empty as long as that is not known.
    """

    transport: Any

    def __init__(self, service: Unsteady) -> None:
        self._service = service
        self._reader: RequestReader | None = RequestReader(service.method)
        self._telling: Deferred[None] | None = None
        self.question = ""

    @property
    def stands(self) -> bool:
        """Whether neither side has closed it."""
        return self in self._service.open

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)  # slices stay slices
        self._service.open.add(self)

    def dataReceived(self, data: bytes) -> None:
        if self._reader is None:
            self._service.complaints.append(f"{self.question}: more than a request")
            return
        try:
            request = self._reader.feed(data)
        except Unanswerable as error:
            self._reader = None
            self._service.complaints.append(f"no request: {error}")
            return
        if request is not None:
            self._reader = None
            telling = Deferred.fromCoroutine(self._service.answer(self, request))
            self._telling = telling.addErrback(self._broke)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._service.open.discard(self)
        if self._telling is not None:
            self._telling.cancel()

    def _broke(self, why: Failure) -> None:
        if not why.check(CancelledError):
            self._service.complaints.append(f"the service itself: {why}")


def standing(services: Iterable[Unsteady], about: str = "") -> set[Telling]:
    """The connections that stand, and whose questions begin so."""
    connections = [one for service in services for one in service.open]
    return {one for one in connections if one.question.startswith(about)}


async def lasting(clock: Any, connections: Iterable[Telling]) -> list[str]:
    """The questions of those that stay; an end takes a moment in the kernel."""
    left = [one for one in connections if one.stands]
    for _ in range(20):
        if left:
            await deferLater(clock, 0.005)
            left = [one for one in left if one.stands]
    return [one.question for one in left]


class Store(MemoryStore):
    """Takes its time for every second conversation.

    Attributes:
        kept: all that was ever stored, by conversation.
    """

    def __init__(self, clock: Any, seed: int) -> None:
        super().__init__()
        self._clock, self._random = clock, Random(f"{seed} store")
        self._locks: defaultdict[str, DeferredLock] = defaultdict(DeferredLock)
        self.kept: defaultdict[str, list[Event]] = defaultdict(list)

    def append(self, conversation_id: str, events: Sequence[Event]) -> Deferred[None]:
        def now() -> Deferred[None]:
            self.kept[conversation_id].extend(events)
            return MemoryStore.append(self, conversation_id, events)

        if int(conversation_id) % 2:
            return now()

        async def later() -> None:
            await deferLater(self._clock, self._random.uniform(0, 0.004))
            await now()

        return self._locks[conversation_id].run(later)

    def read(
        self, conversation_id: str, after: int, limit: int
    ) -> Deferred[Sequence[Event]]:
        reading = super().read(conversation_id, after, limit)
        if int(conversation_id) % 2:
            return reading

        async def later() -> Sequence[Event]:
            await deferLater(self._clock, self._random.uniform(0, 0.004))
            return await reading

        return Deferred.fromCoroutine(later())
