"""Customers over WebSocket: they lose connections, come back, and write all down.

A session outlives its connections. Whoever comes back names the newest number that it
was told, says again what has no answer under the same message id, and is told the rest:
each paragraph once, in the order of the numbers. In the end what was told is compared
with the transcript as it reads over HTTP.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from collections import Counter, deque
from itertools import count
from random import Random
from typing import Any

import msgspec

from benchmarks.live import HOST, Lost, Service, stream
from benchmarks.unharmed import Message, Notes, Report, Seen
from benchmarks.websocket.frames import (
    CLOSE,
    PING,
    PONG,
    TEXT,
    Frames,
    frame_of,
    request_of,
)
from supportbot.channels.websocket.api import NOT_FOUND
from supportbot.channels.websocket.telling import FAILED
from supportbot.events import Outcome

_NORMAL, _NO_CODE, _LOST, _RESTART = 1000, 1005, 1006, 1012
_AGAIN = 0.05  # seconds until a client comes back
_GRACE = 50.0  # seconds for which a session is kept at the least
_SILENCE = 20.0  # seconds without a message until a customer who waits is stuck
_AT_ONCE = 20  # transcripts that are read at a time
_CUT = 0.4  # of all connections are given up by the customer
_TURNS = 30  # messages, at the most, before it is
_VANISHED = 4.0  # seconds for which a connection stands that nobody reads
_LATELY = 12  # messages that are remembered, to say what led to something wrong


class Closed(Lost):
    """The connection was closed.

    Attributes:
        code: as it was told; 1006 if nothing was.
    """

    def __init__(self, code: int) -> None:
        super().__init__(str(code))
        self.code = code


class Refused(Lost):
    """There is no connection, since the service does not want one.

    Attributes:
        status: of the response.
    """

    def __init__(self, status: int) -> None:
        super().__init__(str(status))
        self.status = status


class Socket:
    """One connection, as plain as can be."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._reader, self._writer = reader, writer
        self._frames, self._messages = Frames(), deque[Any]()

    async def begin(self, port: int, *, deflate: bool) -> None:
        """Agree on it.

        Raises:
            Lost: it broke, or was refused.
        """
        self._writer.write(request_of(port, deflate=deflate))
        try:
            async with asyncio.timeout(_SILENCE):
                head = await self._reader.readuntil(b"\r\n\r\n")
        except (OSError, asyncio.IncompleteReadError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise Lost(str(error)) from error
        status = int(head.split(b" ", 2)[1])
        if status != 101:
            raise Refused(status)
        list(self._frames.feed(head))

    def say(self, action: str, **fields: object) -> None:
        """Ask for something."""
        text = msgspec.json.encode({"action": action, **fields})
        self._writer.write(frame_of(TEXT, text, deflate=self._frames.deflate))

    async def told(self) -> Any:
        """The next message.

        Raises:
            Closed: there is none.
            TimeoutError: it does not come.
        """
        async with asyncio.timeout(_SILENCE):
            while not self._messages:
                try:
                    piece = await self._reader.read(65_536)
                except OSError as error:
                    raise Closed(_LOST) from error
                if not piece:
                    raise Closed(_LOST)
                self._take(piece)
        told = self._messages.popleft()
        if isinstance(told, Closed):
            raise told
        return told

    def say_goodbye(self) -> None:
        """Close properly."""
        self._writer.write(frame_of(CLOSE, _NORMAL.to_bytes(2, "big")))

    def hang_up(self) -> None:
        """Close at once."""
        self._writer.transport.abort()

    def _take(self, piece: bytes) -> None:
        for opcode, payload in self._frames.feed(piece):
            if opcode == TEXT:
                self._messages.append(msgspec.json.decode(payload))
            elif opcode == PING:
                self._writer.write(frame_of(PONG, payload))
            elif opcode == CLOSE:
                code = int.from_bytes(payload[:2], "big") or _NO_CODE
                self._messages.append(Closed(code))


async def connect(port: int, *, deflate: bool) -> Socket:
    """A new connection.

    Raises:
        Lost: there is none.
    """
    try:
        reader, writer = await asyncio.open_connection(HOST, port)
    except OSError as error:
        raise Lost(str(error)) from error
    socket = Socket(reader, writer)
    try:
        await socket.begin(port, deflate=deflate)
    except BaseException:
        socket.hang_up()
        raise
    return socket


class Talk(Notes):
    """What was told of one session, in the way of its customer.

    Attributes:
        id: empty until it is started.
        here: the connection that stands has it.
        last: the newest number that was told.
        past: the newest that there was when it was resumed.
        waiting: ids of messages without an answer.
        said: numbers of messages that are stored, by their ids.
        shown: paragraphs of an answer that stand, by the id of its message.
        stood: the same where an answer ended, by the number of its end.
        answering: the message whose answer is being told.
        whole: it was told as a whole, and only its end is to come.
        resumed: whether answers come unasked.
        lately: what came last.
    """

    id: str = ""
    here: bool = False
    last: int = 0
    past: int = 0
    waiting: dict[str, None] = msgspec.field(default_factory=dict)
    said: dict[str, int] = msgspec.field(default_factory=dict)
    shown: dict[str, list[str]] = msgspec.field(default_factory=dict)
    stood: dict[int, list[str]] = msgspec.field(default_factory=dict)
    answering: str = ""
    whole: bool = False
    resumed: bool = False
    lately: list[str] = msgspec.field(default_factory=list)


class Talks:
    """What all customers over WebSocket saw, beside what is in `Seen`.

    Attributes:
        ends: how connections ended, each with the process that it was to.
        not_found: sessions that the service did not find, when it said so, and what
            was told of them last.
    """

    def __init__(self) -> None:
        self.ends: list[tuple[subprocess.Popen[bytes], int]] = []
        self.not_found: list[tuple[str, float, str]] = []


class Talker:
    """Somebody with a session or two on a connection, or on as many as it takes.

    Args:
        seen, talks: where everything is written down.
    """

    def __init__(
        self, service: Service, seen: Seen, talks: Talks, report: Report, random: Random
    ) -> None:
        self._service, self._random = service, random
        self._seen, self._all, self._report = seen, talks, report
        self._talks = [Talk() for _ in range(random.choice((1, 1, 2)))]
        self._to_say = random.randint(1, 6)
        self._eager = random.random() < 0.5  # says again also what is surely stored
        self._leaves = random.random() < 0.1
        self._gone = False
        self._numbers = count()
        # Of the connection that stands:
        self._starting = deque[Talk]()
        self._asked, self._told = Counter[str](), Counter[str]()

    async def visit(self, over: asyncio.Event) -> None:
        """All of it; no new message when it is over."""
        while not self._gone:
            try:
                await self._connection(over)
            except Refused as refused:
                if refused.status != 503:
                    self._report.wrong(f"a handshake was answered {refused.status}")
                await self._wait(f"answers {refused.status}")
            except TimeoutError:
                for talk in self._talks:
                    self._wrong(talk, f"silence; no answer to {list(talk.waiting)}")
                return
            except Lost:
                await self._wait("connections lost")

    async def _connection(self, over: asyncio.Event) -> None:
        """One connection, up to its end or that of the visit."""
        process, random = self._service.process, self._random
        socket = await connect(self._service.port, deflate=random.random() < 0.5)
        self._report.counts["WebSockets"] += 1
        turns = random.randint(0, _TURNS) if random.random() < _CUT else -1
        stays = 0.0
        try:
            self._begin(socket)
            while self._goes_on(socket, over):
                if turns == 0:
                    self._gone = self._leaves
                    stays = await self._cut(socket)
                    return
                turns -= 1
                await self._take(socket, await socket.told())
            await self._end(socket)
            self._gone = True
        except Closed as closed:
            self._all.ends.append((process, closed.code))
            raise
        finally:
            asyncio.get_running_loop().call_later(stays, socket.hang_up)

    def _begin(self, socket: Socket) -> None:
        """Go on with the sessions, or start them."""
        self._starting.clear()
        self._asked.clear()
        self._told.clear()
        for talk in self._talks:
            talk.here = talk.resumed = talk.whole = False
            talk.answering = ""
            if not talk.id:
                self._start(socket, talk)
            else:
                self._note(talk, f"resume after {talk.last}")
                session = {"session_id": talk.id, "after": talk.last}
                socket.say("chatbot_session_resume", **session, stream=True)
                self._report.counts["sessions resumed"] += 1

    def _start(self, socket: Socket, talk: Talk) -> None:
        self._starting.append(talk)
        socket.say("chatbot_session_start")

    def _goes_on(self, socket: Socket, over: asyncio.Event) -> bool:
        """Say the next things when all is answered; whether anything is to come."""
        if any(talk.waiting or not talk.here for talk in self._talks):
            return True
        if not self._to_say or over.is_set():
            return False
        for _ in range(min(self._to_say, self._random.choice((1, 1, 1, 3)))):
            self._to_say -= 1
            talk, id = self._random.choice(self._talks), f"m{next(self._numbers)}"
            talk.messages[id] = Message(f"help {id} {self._random.random()}")
            talk.waiting[id] = None
            self._report.counts["messages"] += 1
            self._post(socket, talk, id)
        return True

    def _post(self, socket: Socket, talk: Talk, id: str) -> None:
        self._asked[id] += 1
        self._note(talk, f"post {id}")
        text = talk.messages[id].text
        said = {"session_id": talk.id, "message_id": id, "user_message": text}
        socket.say("chatbot_post_message", **said, stream=True)

    async def _cut(self, socket: Socket) -> float:
        """Lose the connection; returns for how many seconds nobody notices."""
        how = self._random.choice(("abort", "abort", "vanish", "goodbye"))
        for talk in self._talks:
            self._note(talk, how)
        self._report.counts["WebSockets given up"] += 1
        if how == "goodbye":
            socket.say_goodbye()
            try:
                while True:
                    await socket.told()
            except Closed as closed:
                if closed.code != _NORMAL:
                    raise
        return _VANISHED if how == "vanish" else 0.0

    async def _end(self, socket: Socket) -> None:
        """Some end their sessions, others just leave."""
        if self._random.random() < 0.5:
            return
        for talk in self._talks:
            socket.say("chatbot_session_end", session_id=talk.id)
        for _ in self._talks:
            while (await socket.told())["type"] != "session_end":
                pass  # what was asked for twice

    # What is told

    async def _take(self, socket: Socket, told: Any) -> None:
        kind, body = told["type"], told["data"]
        if kind == "session_start":
            talk = self._starting.popleft()
            talk.id = body["session_id"]
            self._report.counts["sessions"] += 1
            self._is_here(socket, talk)
            return
        id = told.get("session_id") or body["session_id"]
        talk = next(talk for talk in self._talks if talk.id == id)
        self._note(talk, _short(told))
        if kind == "session_resume":
            talk.past, talk.resumed = body["last_seq"], True
            if talk.past < talk.last:
                self._wrong(talk, f"resumed at {talk.past}, but told was {talk.last}")
            self._is_here(socket, talk)
        elif "message_id" not in told:
            await self._not_resumed(socket, talk, body)
        else:
            await self._take_answer(socket, talk, told)

    def _is_here(self, socket: Socket, talk: Talk) -> None:
        """Say again what has no answer; others only what may not be stored."""
        talk.here = True
        for id in talk.waiting:
            was_cut = talk.messages[id].ends
            if self._eager or was_cut or id not in talk.said:
                self._post(socket, talk, id)

    async def _not_resumed(self, socket: Socket, talk: Talk, why: str) -> None:
        if why != NOT_FOUND:
            if why != FAILED:
                self._wrong(talk, f"can't be resumed: {why}")
            await self._wait("sessions not resumed for now")
            raise Lost
        self._all.not_found.append((talk.id, time.time(), " | ".join(talk.lately)))
        self._report.counts["sessions not found"] += 1
        waiting = {id: talk.messages[id].text for id in talk.waiting}
        anew = Talk(waiting=dict.fromkeys(waiting))
        anew.messages = {id: Message(text) for id, text in waiting.items()}
        self._talks[self._talks.index(talk)] = anew
        self._start(socket, anew)

    async def _take_answer(self, socket: Socket, talk: Talk, told: Any) -> None:
        """A part of the answer to a message."""
        kind, body, id = told["type"], told["data"], told["message_id"]
        if id not in talk.messages:
            self._wrong(talk, f"nothing of the kind was said: {told}")
            return
        if not talk.here:
            self._wrong(talk, f"{kind} of {id} comes before the session does")
        if kind == "processing_start":
            self._begins(talk, id, told.get("seq", 0))
            return
        over = kind == "processing_end"
        if kind != "error" and (talk.answering != id or talk.whole != over):
            self._wrong(talk, f"{kind} of {id} out of place")
        if kind == "message_chunk":
            self._piece(talk, id, body["seq"], body["text"])
        elif kind == "message_revised":
            self._revised(talk, id, body["seq"], body["keep"])
        elif kind == "message":
            outcome = told.get("outcome", str(Outcome.COMPLETE))
            talk.messages[id].told.append((outcome, body))
            self._ends(talk, id, told["seq"], outcome)
            talk.whole = True
            talk.waiting.pop(id, None)
            shown = "".join(talk.shown.get(id, ()))
            if shown != body:
                self._wrong(talk, f"{id} is told as {body!r} after {shown!r}")
        elif kind == "processing_end":
            talk.answering, talk.whole = "", False
        elif kind == "error":
            talk.answering, talk.whole = "", False
            await self._not_answered(socket, talk, told)
        else:
            self._wrong(talk, f"nobody knows what this is: {told}")

    def _begins(self, talk: Talk, id: str, seq: int) -> None:
        if talk.answering:
            self._wrong(talk, f"{id} begins within {talk.answering}")
        talk.answering, talk.whole = id, False
        self._told[id] += 1
        if self._told[id] > self._asked[id] + talk.resumed:
            self._wrong(talk, f"{id} is told more often than it was asked for")
        if not seq:  # it is not stored, as will be told
            return
        talk.messages[id].taken = True
        self._seen.sessions[talk.id] = talk
        if talk.said.setdefault(id, seq) != seq:
            self._wrong(talk, f"{id} was number {talk.said[id]}, and now is {seq}")
        talk.last = max(talk.last, seq)

    def _piece(self, talk: Talk, id: str, seq: int, text: str) -> None:
        if not self._again(talk, id, seq, text):
            talk.shown.setdefault(id, []).append(text)
            talk.pieces[seq] = ("chunk", text)
            talk.last = seq
            self._report.counts["chunks"] += 1

    def _revised(self, talk: Talk, id: str, seq: int, keep: int) -> None:
        if not self._again(talk, id, seq, None):
            shown = talk.shown.setdefault(id, [])
            if keep > len(shown):
                self._wrong(talk, f"{keep} chunks of {id} stand, of {len(shown)}")
            del shown[keep:]
            talk.pieces[seq] = ("replace", "".join(shown))
            talk.last = seq
            self._report.counts["chunks taken back"] += 1

    def _again(self, talk: Talk, id: str, seq: int, text: str | None) -> bool:
        """Whether this was told already, which only saying a message again explains."""
        if seq > talk.last:
            return False
        known = talk.pieces.get(seq)
        if known is None:
            self._wrong(talk, f"{seq} of {id} comes behind {talk.last}")
        elif text is not None and known != ("chunk", text):
            self._wrong(talk, f"{seq} was {known}, and now is {text!r}")
        elif self._told[id] < 2:
            self._wrong(talk, f"{seq} of {id} is told twice")
        self._report.counts["chunks told again"] += 1
        return True

    def _ends(self, talk: Talk, id: str, seq: int, outcome: str) -> None:
        if seq not in talk.messages[id].ends:
            talk.stood[seq] = list(talk.shown.get(id, ()))
        talk.messages[id].ends[seq] = outcome
        if seq > talk.last:
            talk.last = seq
        self._report.counts["answers over WebSockets"] += 1

    async def _not_answered(self, socket: Socket, talk: Talk, told: Any) -> None:
        """An answer that is not whole, or none: ask again, unless that was done."""
        id, seq = told["message_id"], told.get("seq", 0)
        known = seq in talk.messages[id].ends
        if told["data"] != FAILED:
            self._wrong(talk, f"{id}: {told}")
            await self._wait("posts refused")
        elif seq:
            self._ends(talk, id, seq, told["outcome"])
            talk.shown[id] = []
            self._report.counts["answers that were cut"] += 1
            if known or (self._asked[id] and seq <= talk.past):
                return
        else:
            await self._wait("posts refused for now")
        if id in talk.waiting:
            self._post(socket, talk, id)

    async def _wait(self, why: str) -> None:
        self._report.counts[why] += 1
        await asyncio.sleep(_AGAIN * (1 + self._random.random()))

    def _note(self, talk: Talk, what: str) -> None:
        talk.lately.append(what)
        del talk.lately[:-_LATELY]

    def _wrong(self, talk: Talk, what: str) -> None:
        lately = " | ".join(talk.lately)
        self._report.wrong(f"{talk.id}: {what[:400]}. Lately: {lately}")


def _short(told: Any) -> str:
    parts = [told["type"], told.get("message_id"), told.get("seq"), told["data"]]
    return " ".join(str(part)[:60] for part in parts if part is not None)


def compare_ends(service: Service, talks: Talks, report: Report) -> None:
    """See that only who was killed said no goodbye, and what the others said."""
    for process, code in talks.ends:
        report.counts[f"WebSockets closed with {code}"] += 1
        if code == _RESTART:
            fits = process in service.asked
        else:
            fits = code == _LOST and process.returncode == -signal.SIGKILL
        if not fits:
            report.wrong(f"closed with {code} by what ended {process.returncode}")


async def compare_told(port: int, seen: Seen, talks: Talks, report: Report) -> None:
    """See that what was told over WebSocket is what can be read over HTTP.

    Whole texts, and what stands at which number, are left to `unharmed.compare`.
    """
    at_once = asyncio.Semaphore(_AT_ONCE)

    async def events(id: str) -> list[Any] | None:
        async with at_once:
            opened = await stream(port, "GET", f"/api/session/{id}/events?live=false")
            try:
                if opened.status != 200:
                    return None
                return [told.data async for told in opened.events() if told.id]
            finally:
                opened.close()

    async def one(id: str, talk: Talk) -> None:
        if (there := await events(id)) is None:
            report.wrong(f"{id}: can't be read")
        else:
            _compare(talk, there, report)

    async def none(id: str, when: float, lately: str) -> None:
        there = [one["at"] for one in await events(id) or () if one["at"] < when]
        if there and when - there[-1] < _GRACE:
            quiet = f"after {when - there[-1]:.1f} s"
            report.wrong(f"{id}: is not found {quiet}. Lately: {lately}")

    sessions = seen.sessions.items()
    told = [one(id, talk) for id, talk in sessions if isinstance(talk, Talk)]
    await asyncio.gather(*told, *(none(*one) for one in talks.not_found))


def _compare(talk: Talk, events: list[Any], report: Report) -> None:
    """See that a transcript has what was told of it, at the same numbers, and all."""
    said = Counter[str]()
    answered = Counter[str]()
    ids: dict[int, str] = {}
    to, standing = "", list[str]()
    kinds = dict[int, str]()
    for event in events:
        seq, kind = event["seq"], event["type"]
        if kind == "customer_said":
            ids[seq] = event["message_id"]
            said[event["message_id"]] += 1
        elif kind == "reply_started":
            to, standing = ids[event["to"]], []
            kinds[seq] = "replace"
        elif kind == "paragraph_said":
            standing.append(event["text"])
            kinds[seq] = "chunk"
        elif kind == "reply_revised":
            del standing[event["keep"] :]
            kinds[seq] = "replace"
        elif kind == "reply_ended":
            answered[to] += event["outcome"] == Outcome.COMPLETE
            stood = talk.stood.get(seq, standing)
            if stood != standing:
                report.wrong(f"{talk.id}: {stood} at {seq}, stored is {standing}")
    told = {seq: kind for seq, (kind, _) in talk.pieces.items()}
    if list(told) != sorted(told) or not told.items() <= kinds.items():
        report.wrong(f"{talk.id}: told were {told}, stored are {kinds}")
    for id, seq in talk.said.items():
        if ids.get(seq) != id:
            report.wrong(f"{talk.id}: {id} was number {seq}, which is {ids.get(seq)}")
    for id, message in talk.messages.items():
        over = message.taken and id not in talk.waiting
        if said[id] > 1 or answered[id] > 1 or said[id] + answered[id] < 2 * over:
            counts = f"stored {said[id]} times, answered {answered[id]} times"
            report.wrong(f"{talk.id}: {id} is {counts}")
