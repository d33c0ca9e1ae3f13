"""Has customers talk to a chat server, and look at every word when it comes.

A process of its own. One line of JSON on standard input says what to do, see `Asking`;
the last line on standard output says how it went, see `Result`. With answers that are
held back, a line `held` says that all are under way, and a line of input lets them go.
"""

from __future__ import annotations

import asyncio
import sys
import time
from statistics import quantiles

import msgspec

from benchmarks.assistant import wording
from benchmarks.assistant.wording import Reader
from benchmarks.http import generator
from benchmarks.http.customers import HOST, Load
from benchmarks.http.generator import Result
from benchmarks.http.sse import Response

_PATIENCE = 180.0  # seconds
_SETTING_UP = 20  # answers that are held back, at a time
_MOST_WRONG = 10

_JSON = "Content-Type: application/json\r\n"


class Asking(Load, frozen=True):
    """What to do.

    Attributes:
        follow: words come to those who follow a session, not to who asks.
    """

    follow: bool = False


class Frame(msgspec.Struct):
    """The data of one event, of any server."""

    chunk: str | None = None
    text: str | None = None
    type: str = ""
    outcome: str = ""
    done: bool = False


class Session(msgspec.Struct):
    """What a new session is called."""

    session_id: str


class Answer(msgspec.Struct):
    """A whole answer."""

    response: str
    outcome: str


class Wrong(Exception):
    """An answer is not what it had to be."""


class Line:
    """A connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def send(self, method: str, path: str, body: bytes = b"") -> None:
        """Send a request, on a new connection if the last one has ended."""
        if self._reader is None or self._reader.at_eof():
            self._reader, self._writer = await asyncio.open_connection(HOST, self._port)
        assert self._writer is not None
        head = f"{method} {path} HTTP/1.1\r\nHost: {HOST}:{self._port}\r\n"
        length = f"{_JSON}Content-Length: {len(body)}\r\n" if body else ""
        if method == "POST" and not body:
            length = "Content-Length: 0\r\n"
        self._writer.write(f"{head}{length}\r\n".encode() + body)

    async def read(self) -> bytes:
        """What is there; raises `Wrong` at the end."""
        assert self._reader is not None
        if not (read := await self._reader.read(65_536)):
            raise Wrong("the connection ended")
        return read

    async def whole(self) -> bytes:
        """The body of an answer that has a length."""
        assert self._reader is not None
        head = await self._reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise Wrong(head.partition(b"\r\n")[0].decode())
        _, _, rest = head.lower().partition(b"content-length:")
        return await self._reader.readexactly(int(rest.partition(b"\r\n")[0]))

    def close(self) -> None:
        """Hang up."""
        if self._writer is not None:
            self._writer.close()
        self._reader = None


class Crowd:
    """All customers of one load.

    Attributes:
        delays: seconds between writing and reading of a word.
        held: fires when as many answers are under way as there may be at once.
    """

    def __init__(self, load: Asking) -> None:
        self._load = load
        self._numbers = iter(range(load.first, load.first + load.total))
        self._under_way, self._beginning = 0, set[int]()
        self.delays: list[float] = []
        self.wrong: list[str] = []
        self.held: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._setting_up = asyncio.Semaphore(
            _SETTING_UP if load.pace == wording.HOLD else load.at_once
        )

    async def customer(self, wait: float) -> None:
        """One who asks one question after the other."""
        talk, follow = Line(self._load.port), Line(self._load.port)
        await asyncio.sleep(wait)
        for number in self._numbers:
            if len(self.wrong) >= _MOST_WRONG:
                break
            await self._setting_up.acquire()
            self._beginning.add(number)
            try:
                await self._ask(number, talk, follow)
            except (Wrong, ValueError, OSError, msgspec.MsgspecError, EOFError) as why:
                self.wrong.append(f"{number}: {type(why).__name__}: {why}"[:500])
                talk.close()
            follow.close()
            self._begun(number)
        talk.close()

    async def _ask(self, number: int, talk: Line, follow: Line) -> None:
        message = wording.message_of(number, self._load.pace)
        words = Reader(number)
        if self._load.follow:
            await self._ask_and_follow(message, words, talk, follow)
        else:
            body = msgspec.json.encode({"message": message, "stream": True})
            await talk.send("POST", "/api/chat", body)
            await self._read(Response(), talk, words)
        if words.place != wording.COUNT:
            raise Wrong(f"only {words.place} words")

    async def _ask_and_follow(
        self, message: str, words: Reader, talk: Line, follow: Line
    ) -> None:
        """Open a session, follow it, and ask: words come to who follows."""
        await talk.send("POST", "/api/session/new")
        id = msgspec.json.decode(await talk.whole(), type=Session).session_id
        await follow.send("GET", f"/api/session/{id}/events")
        response = Response()
        if list(response.feed(await follow.read())):
            raise Wrong("events of a session that is new")
        body = msgspec.json.encode({"message": message, "session_id": id})
        await talk.send("POST", "/api/chat", body)
        await self._read(response, follow, words)
        answer = msgspec.json.decode(await talk.whole(), type=Answer)
        if answer.outcome != "complete":
            raise Wrong(answer.outcome)
        number, _ = wording.asked_of(message)
        Reader(number).feed(f"{answer.response}\n")

    async def _read(self, response: Response, line: Line, words: Reader) -> None:
        """Read events up to the answer's end."""
        ended, growing = False, ""
        while not (ended and (self._load.follow or response.ended)):
            read = await line.read()
            now = time.monotonic()
            for data in response.feed(read):
                frame = msgspec.json.decode(data, type=Frame)
                ended = ended or frame.done or frame.type == "reply_ended"
                if ended:
                    if frame.outcome != "complete":
                        raise Wrong(frame.outcome)
                    continue
                text, growing = _more(frame, growing)
                self.delays += [now - when for when in words.feed(text)]
            if words.place >= wording.HELD_AFTER:
                self._begun(words.number)

    def _begun(self, number: int) -> None:
        """All of an answer is there that comes before it is held back."""
        if number not in self._beginning:
            return
        self._beginning.remove(number)
        self._setting_up.release()
        self._under_way += 1
        if self._under_way == self._load.at_once and not self.held.done():
            self.held.set_result(None)


def _more(frame: Frame, growing: str) -> tuple[str, str]:
    """What is new in an event.

    Args:
        growing: what deltas have told of the paragraph that is not whole yet.

    Returns:
        That, and what is told of the unfinished paragraph now.

    Raises:
        Wrong: a paragraph is not what its deltas were.
    """
    if frame.type == "paragraph_said" and frame.text is not None:
        if not frame.text.startswith(growing.rstrip()):
            raise Wrong(f"{growing!r} became {frame.text!r}")
        return f"{frame.text}\n"[len(growing) :], ""
    if frame.text is not None and not frame.type:
        return frame.text, growing + frame.text
    return frame.chunk or "", growing


async def run(load: Asking) -> Result:
    """Hold all conversations."""
    crowd = Crowd(load)
    start, used = time.monotonic(), time.process_time()
    apart = 0.0  # seconds between two customers
    if load.pace not in {wording.NOW, wording.HOLD}:
        apart = wording.COUNT * int(load.pace.split()[0]) / 1_000 / load.at_once
    customers = [
        asyncio.create_task(crowd.customer(apart * place))
        for place in range(load.at_once)
    ]
    try:
        async with asyncio.timeout(_PATIENCE):
            if load.pace == wording.HOLD:
                await crowd.held
                await _let_go(load)
            await asyncio.gather(*customers)
    except TimeoutError:
        crowd.wrong.append(f"not ended after {_PATIENCE:.0f} s")
    seconds = time.monotonic() - start
    busy = (time.process_time() - used) / seconds
    delays = [1_000 * each for each in crowd.delays] or [0.0]
    cuts = quantiles([*delays, delays[-1]], n=100)
    wrong = tuple(crowd.wrong[:_MOST_WRONG])
    p50, p99 = cuts[49], cuts[98]
    return Result(seconds, wrong, len(crowd.wrong), p50, p99, max(delays), busy)


async def _let_go(load: Asking) -> None:
    sys.stdout.write("held\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    model = Line(load.upstream)
    await model.send("POST", "/release")
    await model.whole()
    model.close()


if __name__ == "__main__":
    generator.main(Asking, run)
