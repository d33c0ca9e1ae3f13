"""One request over one connection: how it is sent, and how its response is read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost, ConnectionRefusedError
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseDone, ResponseFailed
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IResponse
from zope.interface.verify import verifyObject

from supportbot.errors import AnswerUnusable, BodyBroken
from supportbot.services.wire import Wire
from tests.wire import Connection, Endpoint

CLOSED = b"HTTP/1.0 200 OK\r\nContent-type: text/plain\r\n\r\nhello"
COUNTED = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"
    b"2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nTrailer: t\r\n\r\n"
)
BROKEN = {
    b"SSH-2.0-OpenSSH\r\n\r\n": "no HTTP",
    b"HTTP/2.0 200 OK\r\n\r\n": "no HTTP",
    b"HTTP/1.1 99999 OK\r\n\r\n": "no HTTP",
    b"HTTP/1.1 20 OK\r\n\r\n": "no HTTP",
    b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n": "header",
    b"HTTP/1.1 200 OK\r\nfolded: a\r\n b\r\n\r\n": "header",
    b"HTTP/1.1 200 OK\r\nspace : a\r\n\r\n": "header",
    b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n": "length",
    b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n": "length",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n": "length",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n": "coding",
    b"HTTP/1.1 101 Switching Protocols\r\n\r\n": "another protocol",
}


class Reading(Protocol):
    """Keeps a body."""

    def __init__(self) -> None:
        self.body = b""
        self.end: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.body += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        assert self.end is None
        self.end = reason


class Scene:
    """A request that was sent."""

    def __init__(self, head: int = 200) -> None:
        self.clock = Clock()
        self.endpoint = Endpoint(self.clock)
        self.wire = Wire(self.endpoint, head)
        self.responses: list[IResponse] = []
        self.failures: list[Failure] = []

    def ask(self, method: bytes = b"GET") -> Deferred[IResponse]:
        asked = self.wire.request(
            method, b"http://service.test:81/a?b#c", Headers({b"X-Y": [b"z"]})
        )
        asked.addCallbacks(self.responses.append, self.failures.append)
        return asked

    @property
    def service(self) -> Connection:
        return self.endpoint.last

    def read(self) -> Reading:
        reading = Reading()
        self.responses[0].deliverBody(reading)
        return reading


def cut(data: bytes, places: set[int]) -> list[bytes]:
    ends = [*sorted(place for place in places if place < len(data)), len(data)]
    return [data[a:b] for a, b in zip([0, *ends], ends, strict=False)]


@given(st.sampled_from([CLOSED, COUNTED, CHUNKED]), st.sets(st.integers(1, 150)))
def test_a_response_is_the_same_however_its_bytes_come(
    whole: bytes, places: set[int]
) -> None:
    scene = Scene()
    scene.ask()
    reading: Reading | None = None
    for piece in cut(b"HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n" + whole, places):
        scene.service.answer(piece)
        if scene.responses and reading is None:
            reading = scene.read()
    assert reading is not None
    if whole is CLOSED:
        assert reading.end is None
        scene.service.finish()
    assert (reading.body, scene.responses[0].code) == (b"hello", 200)
    assert reading.end is not None
    assert reading.end.check(PotentialDataLoss if whole is CLOSED else ResponseDone)


@given(st.sampled_from([CLOSED, COUNTED, CHUNKED]), st.integers(1, 149))
def test_a_response_that_is_cut_off_is_never_taken_for_a_whole_one(
    whole: bytes, place: int
) -> None:
    scene = Scene()
    scene.ask()
    sent = whole[:place]
    scene.service.answer(sent)
    reading = scene.read() if scene.responses else None
    scene.service.reset()
    if reading is None:
        assert [failure.type for failure in scene.failures] == [ConnectionLost]
    elif sent != whole or whole is CLOSED:
        assert reading.end is not None
        assert reading.end.check(ResponseFailed)


class WireTests(SynchronousTestCase):
    def test_it_is_an_agent_and_gives_responses(self) -> None:
        scene = Scene()
        scene.ask()
        scene.service.answer(CLOSED)
        verifyObject(IAgent, scene.wire)
        verifyObject(IResponse, scene.responses[0])

    def test_the_request(self) -> None:
        scene = Scene()
        scene.ask()
        self.assertEqual(
            scene.service.request,
            b"GET /a?b HTTP/1.1\r\nHost: service.test:81\r\nConnection: close\r\n"
            b"Accept-Encoding: identity\r\nX-Y: z\r\n\r\n",
        )

    def test_nothing_is_read_before_somebody_wants_it(self) -> None:
        scene = Scene()
        scene.ask()
        scene.service.answer(CLOSED)
        self.assertEqual(scene.service.producerState, "paused")
        self.assertEqual(scene.read().body, b"hello")
        self.assertEqual(scene.service.producerState, "producing")

    def test_a_response_without_a_body(self) -> None:
        for method, head in (
            (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
            (b"GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
            (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        ):
            scene = Scene()
            scene.ask(method)
            scene.service.answer(head)
            reading = scene.read()
            assert reading.end is not None
            self.assertTrue(reading.end.check(ResponseDone))
            self.assertEqual(reading.body, b"")

    def test_what_stands_behind_a_body_is_nobodys(self) -> None:
        for whole in (COUNTED, CHUNKED):
            scene = Scene()
            scene.ask()
            scene.service.answer(whole + b"HTTP/1.1 200 OK\r\n\r\npoison")
            self.assertEqual(scene.read().body, b"hello")

    def test_what_is_no_http_is_broken_and_dropped_at_once(self) -> None:
        for head, why in BROKEN.items():
            scene = Scene(head=10_000)
            scene.ask()
            scene.service.answer(head)
            self.assertIn(why, str(scene.failures[0].value), head[:60])
            self.assertTrue(scene.failures[0].check(BodyBroken))
            self.assertTrue(scene.service.aborted)

    def test_a_broken_chunk_breaks_the_body(self) -> None:
        scene = Scene()
        scene.ask()
        scene.service.answer(CHUNKED.partition(b"\r\n\r\n")[0] + b"\r\n\r\nnothing\r\n")
        reading = scene.read()
        assert reading.end is not None
        self.assertTrue(reading.end.check(ResponseFailed))

    def test_a_content_coding_is_refused_before_it_is_undone(self) -> None:
        scene = Scene()
        scene.ask()
        scene.service.answer(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n")
        self.assertTrue(scene.failures[0].check(AnswerUnusable))
        self.assertTrue(scene.service.aborted)

    def test_endless_headers_and_endless_interim_responses(self) -> None:
        for piece in (b"A: b\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"):
            scene = Scene()
            scene.ask()
            if piece.startswith(b"A"):
                scene.service.answer(b"HTTP/1.1 200 OK\r\n")
            for _ in range(200):
                scene.service.answer(piece)
            self.assertIn("too long", str(scene.failures[0].value))
            self.assertTrue(scene.service.aborted)

    def test_cancelled_it_hangs_up_and_is_no_other_failure(self) -> None:
        silent, sent = Scene(), Scene()
        silent.endpoint.silent = True
        for scene in (silent, sent):
            scene.ask().cancel()
            self.assertEqual([why.type for why in scene.failures], [CancelledError])
        self.assertTrue(sent.service.aborted)

    def test_nobody_there(self) -> None:
        scene = Scene()
        scene.endpoint.refusal = ConnectionRefusedError()
        scene.ask()
        self.assertEqual([why.type for why in scene.failures], [ConnectionRefusedError])
        self.assertFalse(scene.wire.connected)
