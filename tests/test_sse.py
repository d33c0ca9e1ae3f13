"""Server-sent events: their frames, and the pulse of silent streams."""

from __future__ import annotations

import json
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from supportbot.channels.http.exchange import Exchange
from supportbot.channels.http.shapes import Chunk
from supportbot.channels.http.sse import Pulse, Stream, frame


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_no_text_breaks_out_of_its_frame(text: str) -> None:
    framed = frame(Chunk(text)).decode()
    assert framed.startswith("data: ")
    assert framed.endswith("}\n\n")
    assert framed.count("\n") == 2
    assert "\r" not in framed
    assert json.loads(framed.removeprefix("data: ")) == {"chunk": text}


def test_a_frame_has_a_type_and_an_id_if_it_is_given_them() -> None:
    assert frame(1) == b"data: 1\n\n"
    assert frame(1, "delta") == b"event: delta\ndata: 1\n\n"
    assert frame(1, "x", "7") == b"id: 7\nevent: x\ndata: 1\n\n"


class Wire:
    """Stands in for an exchange, and keeps what is sent."""

    def __init__(self, begins: bool = True) -> None:
        self.sent: list[bytes] = []
        self.headers: list[tuple[bytes, bytes]] = []
        self.finished = False
        self.producer: object = None
        self._begins = begins

    def begin_stream(self, media: str, headers: Any) -> bool:
        self.headers = [(b"content-type", media.encode()), *headers]
        return self._begins

    def send(self, piece: bytes) -> None:
        assert not self.finished
        self.sent.append(piece)

    def on_gone(self, farewell: object) -> None:
        """Nobody goes away."""

    def registerProducer(self, producer: object, streaming: bool) -> None:
        assert streaming
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def finish(self) -> None:
        self.finished = True


class Source:
    """What feeds a stream; it keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")


class StreamTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.wire, self.source = Clock(), Wire(), Source()
        self.pulse = Pulse(self.clock, 10.0, lambda: 0.25)

    def stream(self, wire: Wire | None = None) -> Stream:
        stream = Stream(
            cast(Exchange, wire or self.wire), self.pulse, [(b"vary", b"Origin")]
        )
        stream.open(self.source)
        return stream

    def test_it_opens_with_a_sign_of_life(self) -> None:
        stream = self.stream()
        verifyObject(IPushProducer, stream)
        self.assertEqual(self.wire.sent, [b"retry: 1500\n:\n\n"])
        self.assertEqual(
            self.wire.headers,
            [
                (b"content-type", b"text/event-stream; charset=utf-8"),
                (b"cache-control", b"no-store, no-transform"),
                (b"x-accel-buffering", b"no"),
                (b"vary", b"Origin"),
            ],
        )
        stream.end()

    def test_the_time_to_come_back_after_differs(self) -> None:
        jitter = iter((0.0, 1.0)).__next__
        pulse = Pulse(self.clock, 10.0, jitter)
        self.assertEqual(pulse.retry, b"retry: 1000\n")
        self.assertEqual(pulse.retry, b"retry: 3000\n")

    def test_it_beats_after_1_2_4_8_10_10_seconds(self) -> None:
        stream = self.stream()
        beats = []
        stream.beat = lambda: beats.append(self.clock.seconds())
        self.clock.pump([1] * 40)
        self.assertEqual(beats, [1, 3, 7, 15, 25, 35])
        self.assertEqual(self.wire.sent[1:], [b":\n\n"] * 6)
        stream.end()

    def test_the_end_is_told_once_and_leaves_no_timer(self) -> None:
        stream = self.stream()
        stream.end()
        stream.end()
        stream.send(b"late")
        stream.bye()
        self.clock.pump([1] * 5)
        self.assertEqual(len(self.wire.sent), 1)
        self.assertTrue(self.wire.finished)
        self.assertIsNone(self.wire.producer)
        self.assertEqual(self.source.told, ["stop"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_good_bye(self) -> None:
        self.stream().bye()
        self.assertEqual(
            self.wire.sent[1],
            b'retry: 1500\nevent: bye\ndata: {"reason":"closing"}\n\n',
        )
        self.assertTrue(self.wire.finished)

    def test_a_client_that_is_gone_stops_what_feeds_it(self) -> None:
        stream = self.stream()
        stream.stopProducing()
        stream.send(b"late")
        self.assertEqual(self.source.told, ["stop"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_stream_that_nobody_wants_does_not_begin(self) -> None:
        wire = Wire(begins=False)
        stream = self.stream(wire)
        stream.send(b"late")
        self.assertEqual(self.source.told, ["stop"])
        self.assertEqual(wire.sent, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_client_that_does_not_read_gets_no_signs_of_life(self) -> None:
        stream = self.stream()
        stream.pauseProducing()
        self.clock.pump([1] * 20)
        self.assertEqual(len(self.wire.sent), 1)
        stream.resumeProducing()
        self.clock.advance(1)
        self.assertEqual(len(self.wire.sent), 2)
        self.assertEqual(self.source.told, ["pause", "resume"])
        stream.end()

    def test_one_timer_serves_many_streams(self) -> None:
        streams = [self.stream(Wire()) for _ in range(5)]
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        for stream in streams:
            stream.end()
        self.stream().end()
        self.assertEqual(self.clock.getDelayedCalls(), [])
