"""Customers who write down all that they see; the comparison with what is stored."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from random import Random
from typing import Any

import msgspec
from sqlalchemy import create_engine, select

from benchmarks.live import Lost, Told, ask, stream
from supportbot.events import (
    CustomerSaid,
    Event,
    Outcome,
    ParagraphSaid,
    ReplyEnded,
    ReplyRevised,
    ReplyStarted,
)
from supportbot.ledger import Paragraphs
from supportbot.transcripts import tables

_AGAIN = 0.05  # seconds until a client comes back
_OPENING = 10.0  # seconds until a session that is opened again has told all
_LATER = {409, 429, 503}  # statuses that say so
_STORY = re.compile(r"<p>(\d+)\.\d+ ")
_decode = msgspec.json.Decoder(Event).decode


class Report:
    """What was counted, and what was wrong.

    Attributes:
        back: seconds from each start to the first answer.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.violations: list[str] = []
        self.back: list[float] = []

    def wrong(self, what: str) -> None:
        """Something is not as it has to be."""
        self.violations.append(what)


class Message(msgspec.Struct):
    """What a customer said.

    Attributes:
        taken: the service said that it has it.
        told: outcome and text of the answers that came whole.
        ends: the number and the outcome of ends that came over a stream.
        last: the last id that came over it.
    """

    text: str
    taken: bool = False
    told: list[tuple[str, str]] = []
    ends: dict[int, str] = {}
    last: str = ""


class Notes(msgspec.Struct):
    """What was seen of one session.

    Attributes:
        events: what its follower saw, in order.
        messages: by their ids.
        pieces: what streamed answers told: kind and text by number.
        caught_up: the follower has seen the end.
    """

    events: list[Any] = []
    messages: dict[str, Message] = {}
    pieces: dict[int, tuple[str, str]] = {}
    caught_up: bool = False


class Seen:
    """What all customers saw, by session."""

    def __init__(self) -> None:
        self.sessions: dict[str, Notes] = {}


class Customer:
    """Somebody who opens a session, says some things there, and follows it.

    Args:
        port: of the service.
        seen: where everything is written down.
    """

    def __init__(self, port: int, seen: Seen, report: Report, random: Random) -> None:
        self._port, self._report, self._random = port, report, random
        self._seen, self._notes, self._id = seen, Notes(), ""
        self._answered = asyncio.Event()

    async def visit(self, over: asyncio.Event) -> None:
        """All of it; no new message when it is over."""
        random = self._random
        await self._open()
        following = asyncio.create_task(self._follow())
        leaves = random.random() < 0.1
        try:
            for number in range(random.randint(1, 6)):
                if over.is_set():
                    break
                at_once = random.choice((1, 1, 1, 3))
                saying = [
                    asyncio.create_task(self._say(f"m{number}.{n}", following))
                    for n in range(at_once)
                ]
                if leaves and random.random() < 0.3:
                    await asyncio.sleep(random.uniform(0, 0.3))
                    for one in saying:
                        one.cancel()
                    await asyncio.gather(*saying, return_exceptions=True)
                    self._report.counts["customers who left"] += 1
                    return
                await asyncio.gather(*saying)
            self._answered.set()
            if not self._saw_all():
                await following
            self._notes.caught_up = True
        finally:
            following.cancel()

    async def _open(self) -> None:
        while True:
            chosen = self._random.random() < 0.3
            if chosen:  # opened by its first message
                self._id = f"chosen-{self._random.getrandbits(64)}"
                break
            try:
                answer = await ask(self._port, "POST", "/api/session/new")
            except Lost:
                await self._wait("connections lost")
                continue
            if answer.status == 200:
                self._id = answer.json["session_id"]
                break
            await self._refused(answer.status, answer.body)
        self._seen.sessions[self._id] = self._notes
        self._report.counts["sessions"] += 1

    # What is said

    async def _say(self, message_id: str, following: asyncio.Task[None]) -> None:
        """Say something until its answer is complete."""
        message = Message(f"help {message_id} {self._random.random()}")
        self._notes.messages[message_id] = message
        self._report.counts["messages"] += 1
        how = self._random.choice((self._whole, self._streamed, self._resumed))
        while True:
            if following.done():
                following.result()
            try:
                if await how(message_id, message) == Outcome.COMPLETE:
                    return
                self._report.counts["answers that were cut"] += 1
            except Lost:
                await self._wait("connections lost")

    def _request(self, message_id: str, message: Message) -> dict[str, Any]:
        return {
            "message": message.text,
            "session_id": self._id,
            "message_id": message_id,
        }

    async def _whole(self, message_id: str, message: Message) -> str:
        request = self._request(message_id, message)
        answer = await ask(self._port, "POST", "/api/chat", request)
        if answer.status != 200:
            return await self._refused(answer.status, answer.body)
        message.taken = True
        told: dict[str, str] = answer.json
        message.told.append((told["outcome"], told["response"]))
        self._report.counts["whole answers"] += 1
        return told["outcome"]

    async def _streamed(self, message_id: str, message: Message) -> str:
        request = {**self._request(message_id, message), "stream": True}
        opened = await stream(self._port, "POST", "/api/chat", request)
        return await self._read(opened, message)

    async def _resumed(self, message_id: str, message: Message) -> str:
        """As an `EventSource` does it, which comes back to where it was."""
        asked = f"?message={message.text.replace(' ', '%20')}"
        asked += f"&session_id={self._id}&message_id={message_id}"
        last = ""
        while True:
            headers = {"Last-Event-ID": last} if last else {}
            try:
                opened = await stream(
                    self._port, "GET", f"/api/chat/stream{asked}", headers=headers
                )
                if opened.status == 204:
                    opened.close()
                    if not message.ends:
                        self._report.wrong(f"{self._id} {last}: 204, and no end came")
                    return max(message.ends.items(), default=(0, Outcome.COMPLETE))[1]
                return await self._read(opened, message)
            except Lost:
                last = message.last
                await self._wait("streams resumed" if last else "connections lost")

    async def _read(self, opened: Any, message: Message) -> str:
        """What a stream tells; returns the outcome."""
        message.last = ""
        try:
            if opened.status != 200:
                answer = await opened.whole()
                return await self._refused(answer.status, answer.body)
            message.taken = True
            async for told in opened.events():
                if told.id:
                    message.last = told.id
                outcome = self._piece(told, message)
                if outcome:
                    self._report.counts["streamed answers"] += 1
                    return outcome
        finally:
            opened.close()
        raise Lost("no end of the answer")

    def _piece(self, told: Told, message: Message) -> str:
        if told.data is None or "error" in told.data:
            return ""
        number = int(told.id.rpartition(":")[2]) if told.id else 0
        if told.data.get("done"):
            if number:
                message.ends[number] = told.data["outcome"]
            outcome: str = told.data["outcome"]
            return outcome
        ((kind, text),) = told.data.items()
        before = self._notes.pieces.setdefault(number, (kind, text))
        if before != (kind, text):
            self._report.wrong(f"{self._id} {told.id}: {before} became {told.data}")
        self._report.counts["events of streamed answers"] += 1
        return ""

    # What is followed

    async def _follow(self) -> None:
        """Write down what the session tells until all is answered and seen."""
        while True:
            try:
                if await self._followed():
                    return
            except Lost:
                pass
            await self._wait("reconnects of followers")

    async def _followed(self) -> bool:
        """One connection; whether all is seen."""
        last = len(self._notes.events)
        headers = {"Last-Event-ID": str(last)} if last else {}
        path = f"/api/session/{self._id}/events"
        opened = await stream(self._port, "GET", path, headers=headers)
        try:
            if opened.status != 200:
                known = any(one.taken for one in self._notes.messages.values())
                chosen = self._id.startswith("chosen-") and not known
                if opened.status == 404 and chosen:
                    return False
                answer = await opened.whole()
                await self._refused(answer.status, answer.body)
                return False
            async for told in opened.events():
                if told.id:
                    self._event(told)
                if told.kind == "end":
                    self._report.wrong(f"{self._id}: an end for no reason")
                    return True
                if self._answered.is_set() and self._saw_all():
                    return True
            raise Lost("the stream ended")
        finally:
            opened.close()

    def _event(self, told: Told) -> None:
        events = self._notes.events
        if int(told.id) != len(events) + 1 or told.data["seq"] != int(told.id):
            self._report.wrong(f"{self._id}: {told} came behind number {len(events)}")
            return
        events.append(told.data)
        self._report.counts["events"] += 1

    def _saw_all(self) -> bool:
        """Whether each message was seen, and a complete answer to it."""
        said, complete, to = dict[int, str](), set[str](), 0
        for event in self._notes.events:
            if event["type"] == "customer_said":
                said[event["seq"]] = event["message_id"]
            elif event["type"] == "reply_started":
                to = event["to"]
            elif event["type"] == "reply_ended" and event["outcome"] == "complete":
                complete.add(said[to])
        return complete >= self._notes.messages.keys()

    async def _wait(self, why: str) -> None:
        self._report.counts[why] += 1
        await asyncio.sleep(_AGAIN * (1 + self._random.random()))

    async def _refused(self, status: int, body: bytes) -> str:
        if status not in _LATER:
            self._report.wrong(f"{self._id}: {status} {body[:300]!r}")
        await self._wait(f"answers {status}")
        return ""


async def open_all(port: int, seen: Seen, report: Report) -> None:
    """Open each session once more, and wait until nothing is under way in it."""
    at_once = asyncio.Semaphore(20)

    async def one(id: str, notes: Notes) -> None:
        taken = any(message.taken for message in notes.messages.values())
        async with at_once:
            opened = await stream(port, "GET", f"/api/session/{id}/events?live=false")
            try:
                if opened.status == 404 and id.startswith("chosen-") and not taken:
                    return
                if opened.status not in {200, 204}:
                    report.wrong(f"{id}: in the end {opened.status}")
                elif opened.status == 200:
                    async with asyncio.timeout(_OPENING):
                        told = [event async for event in opened.events()]
                    if told[-1].kind != "end":
                        report.wrong(f"{id}: no end but {told[-1]}")
            except TimeoutError:
                report.wrong(f"{id}: does not come to an end")
            finally:
                opened.close()

    await asyncio.gather(*(one(*item) for item in seen.sessions.items()))


def compare(
    url: str, seen: Seen, stories: dict[int, list[str]], report: Report
) -> None:
    """See that all that was seen is stored, once, in order, and with an end."""
    stored: dict[str, list[Any]] = {}
    engine = create_engine(url)
    with engine.connect() as connection:
        for row in connection.execute(select(tables.conversations)):
            stored[row.id] = []
        ordered = select(tables.events).order_by(
            tables.events.c.conversation, tables.events.c.seq
        )
        for row in connection.execute(ordered):
            if row.conversation not in stored:
                report.wrong(f"{row.conversation}: events without a conversation")
                stored[row.conversation] = []
            stored[row.conversation].append(row.body)
    engine.dispose()
    report.counts["events stored"] = sum(map(len, stored.values()))
    for id, notes in seen.sessions.items():
        if id not in stored:
            taken = any(one.taken for one in notes.messages.values())
            if taken or notes.events or not id.startswith("chosen-"):
                report.wrong(f"{id}: is gone")
            continue
        bodies = [msgspec.json.decode(body) for body in stored[id]]
        _same(id, notes, bodies, report)
        _sound(id, notes, [_decode(body) for body in stored[id]], stories, report)


def _same(id: str, notes: Notes, bodies: list[Any], report: Report) -> None:
    """What the follower saw is what is stored."""
    if [body["seq"] for body in bodies] != list(range(1, len(bodies) + 1)):
        report.wrong(f"{id}: numbers {[body['seq'] for body in bodies]}")
    for event, body in zip(notes.events, bodies, strict=False):
        if event != body:
            report.wrong(f"{id}: saw {event}, stored {body}")
    if len(notes.events) > len(bodies):
        report.wrong(f"{id}: saw {len(notes.events)}, stored {len(bodies)}")
    if notes.caught_up and len(notes.events) != len(bodies):
        report.wrong(f"{id}: missed {bodies[len(notes.events) :]}")


def _sound(
    id: str,
    notes: Notes,
    events: list[Event],
    stories: dict[int, list[str]],
    report: Report,
) -> None:
    """Every message stands there once, with an answer that has an end."""
    said: dict[int, CustomerSaid] = {}
    answers: dict[str, list[tuple[ReplyEnded, str]]] = {}
    under_way: ReplyStarted | None = None
    reply, standing = Paragraphs(), list[str]()
    for event in events:
        if isinstance(event, CustomerSaid):
            if event.message_id in answers:
                report.wrong(f"{id}: {event.message_id} is stored twice")
            said[event.seq] = event
            answers[event.message_id] = []
        elif isinstance(event, ReplyStarted):
            if under_way is not None:
                report.wrong(f"{id}: {under_way} has no end before {event}")
            under_way, reply, standing = event, Paragraphs(), []
        elif under_way is None:
            report.wrong(f"{id}: {event} is not within a reply")
        elif isinstance(event, ParagraphSaid):
            _piece(id, notes, event.seq, ("chunk", reply.add(event)), report)
            standing.append(event.text)
        elif isinstance(event, ReplyRevised):
            reply.keep(event.keep)
            del standing[event.keep :]
            _piece(id, notes, event.seq, ("replace", reply.text), report)
        elif isinstance(event, ReplyEnded):
            answers[said[under_way.to].message_id].append((event, reply.text))
            _whole_story(id, event, standing, stories, report)
            under_way = None
            report.counts[f"replies {event.outcome} in the transcripts"] += 1
    if under_way is not None:
        report.wrong(f"{id}: {under_way} has no end")
    for number in notes.pieces:
        if number > len(events):
            report.wrong(f"{id}: {number} was streamed and is not stored")
    for message_id, message in notes.messages.items():
        _answered(f"{id} {message_id}", message, answers.get(message_id), report)


def _piece(
    id: str, notes: Notes, number: int, stored: tuple[str, str], report: Report
) -> None:
    streamed = notes.pieces.get(number)
    if streamed is not None and streamed != stored:
        report.wrong(f"{id}: {number} was streamed as {streamed}, stored is {stored}")


def _whole_story(
    id: str,
    ended: ReplyEnded,
    standing: list[str],
    stories: dict[int, list[str]],
    report: Report,
) -> None:
    """A complete answer is one story, all of it; others are the beginning of one."""
    number = _STORY.match(standing[0]) if standing else None
    story = [] if number is None else stories[int(number[1])]
    whole = ended.outcome == Outcome.COMPLETE
    if standing != (story if whole else story[: len(standing)]) or (
        whole and not standing
    ):
        report.wrong(f"{id}: {ended} of {standing} is not of one story {story}")


def _answered(
    name: str,
    message: Message,
    answers: list[tuple[ReplyEnded, str]] | None,
    report: Report,
) -> None:
    if answers is None:
        if message.taken:
            report.wrong(f"{name}: was taken and is gone")
        return
    if not answers:
        report.wrong(f"{name}: is stored and has no answer")
    if sum(ended.outcome == Outcome.COMPLETE for ended, _ in answers) > 1:
        report.wrong(f"{name}: was answered twice")
    stored = {(str(ended.outcome), text) for ended, text in answers}
    for told in message.told:
        if told not in stored:
            report.wrong(f"{name}: was told {told}, stored is {stored}")
    ends = {ended.seq: str(ended.outcome) for ended, _ in answers}
    for number, outcome in message.ends.items():
        if ends.get(number) != outcome:
            report.wrong(f"{name}: ended {outcome} at {number}, stored is {ends}")
