"""Server-sent events: framed once, written to the channel, alive while nothing is said.

Proxies and browsers cut a stream that is silent, so it gets a comment now and then: at
once, after a second, and then after twice as long each time, up to a limit.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.task import LoopingCall
from zope.interface import implementer

from supportbot.channels.http.exchange import Exchange
from supportbot.channels.http.responses import Header
from supportbot.channels.http.shapes import End

_HEADERS = (
    (b"cache-control", b"no-store, no-transform"),
    (b"x-accel-buffering", b"no"),
)
_MEDIA = "text/event-stream; charset=utf-8"
_COMMENT = b":\n\n"
_TICK = 1.0  # seconds
_encode = msgspec.json.Encoder().encode


def frame(data: object, event: str = "", id: str = "") -> bytes:
    """One event as it goes over the wire.

    Args:
        data: becomes JSON, which has no line breaks.
        event: its type; empty for `message`.
        id: what the client says in `Last-Event-ID` when it comes back; empty for none.
    """
    head = f"id: {id}\n" if id else ""
    if event:
        head += f"event: {event}\n"
    return b"%bdata: %b\n\n" % (head.encode(), _encode(data))


class Source(Protocol):
    """What feeds a stream."""

    def pauseProducing(self) -> None: ...
    def resumeProducing(self) -> None: ...
    def stopProducing(self) -> None:
        """The client is gone, or the stream has ended."""


class Pulse:
    """The heartbeat of all streams.

    Args:
        clock: tells the seconds.
        heartbeat: the longest silence, in seconds.
        jitter: a number from 0 to 1, for when clients come back.
    """

    def __init__(
        self,
        clock: IReactorTime,
        heartbeat: float,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.heartbeat, self._jitter = heartbeat, jitter
        self._streams: set[Stream] = set()
        self._beating = LoopingCall(self._beat)
        self._beating.clock = clock

    @property
    def retry(self) -> bytes:
        """When to come back after the stream has ended: in one to three seconds."""
        return b"retry: %d\n" % (1000 + 2000 * self._jitter())

    def add(self, stream: Stream) -> None:
        """Keep it alive."""
        self._streams.add(stream)
        if not self._beating.running:
            self._beating.start(_TICK, now=False)

    def remove(self, stream: Stream) -> None:
        """It has ended."""
        self._streams.discard(stream)
        if not self._streams and self._beating.running:
            self._beating.stop()

    def _beat(self) -> None:
        for stream in list(self._streams):
            stream.tick()


@implementer(IPushProducer)
class Stream:
    """The events of one answer.

    Args:
        exchange: takes them.
        pulse: keeps it alive.
        headers: more of them, such as those of CORS.
    """

    __slots__ = (
        "_exchange",
        "_headers",
        "_paused",
        "_pulse",
        "_quiet",
        "_silent",
        "_source",
        "beat",
    )

    def __init__(
        self, exchange: Exchange, pulse: Pulse, headers: Iterable[Header] = ()
    ) -> None:
        self._exchange, self._pulse = exchange, pulse
        self._headers = (*_HEADERS, *headers)
        self._source: Source | None = None
        self._silent, self._quiet = 0.0, _TICK
        self._paused = False
        self.beat: Callable[[], None] | None = None  # with each comment

    def open(self, source: Source) -> None:
        """Send the headers; from now on the source may send events."""
        exchange = self._exchange
        if not exchange.begin_stream(_MEDIA, self._headers):
            source.stopProducing()
            return
        self._source = source
        exchange.on_gone(self._stopped)
        exchange.registerProducer(self, True)
        exchange.send(self._pulse.retry + _COMMENT)
        self._pulse.add(self)

    def send(self, framed: bytes) -> None:
        """An event."""
        if self._source is not None:
            self._silent = 0.0
            self._exchange.send(framed)

    def end(self) -> None:
        """No more comes."""
        if self._source is not None:
            self._stopped()
            self._exchange.unregisterProducer()
            self._exchange.finish()

    def bye(self) -> None:
        """No more comes from this process; the client may come back to another."""
        self.send(self._pulse.retry + frame(End("closing"), "bye"))
        self.end()

    def tick(self) -> None:
        """A second has passed."""
        self._silent += _TICK
        if self._silent >= self._quiet and not self._paused:
            self._quiet = min(self._quiet * 2, self._pulse.heartbeat)
            self.send(_COMMENT)
            if self.beat is not None:
                self.beat()

    def pauseProducing(self) -> None:
        self._paused = True
        if self._source is not None:
            self._source.pauseProducing()

    def resumeProducing(self) -> None:
        self._paused = False
        if self._source is not None:
            self._source.resumeProducing()

    def stopProducing(self) -> None:
        self._stopped()

    def _stopped(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            self._pulse.remove(self)
            source.stopProducing()
