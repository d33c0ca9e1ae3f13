"""Line clients without sockets: a test types, reads, stops reading, and goes away."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableProtocol,
    IPushProducer,
    ITransport,
)
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from supportbot.channels.lines import Lines, Manner
from supportbot.channels.screen import Look
from supportbot.dispatcher import Dispatcher, Route
from supportbot.events import Event
from supportbot.frontdesk import FrontDesk
from supportbot.services.signpost import Signpost
from supportbot.settings import ConversationSettings, LinesSettings
from supportbot.transcripts.memory import MemoryStore
from tests.fakes import Asked, ScriptedService

TERMINAL = Look(prompt="> ")
TYPING = Manner(interactive=True, echoed=True)


@implementer(ITransport, IConsumer, IPushProducer)
class Pipe:
    """A client's end of a connection, and the transport between it and a protocol.

    It behaves as `StandardIO` does: what happens to it is told in a later turn of the
    reactor, and it can't be aborted.

    Args:
        clock: has the turns.
        room: bytes that the client may leave unread before the protocol has to pause.

    Attributes:
        shown: what the client has read.
        faults: calls that no protocol should make.
        closed: the protocol was told that the connection is lost.
    """

    def __init__(self, clock: Clock, room: int = 65_536) -> None:
        self._clock, self._room = clock, room
        self._protocol: Any = None
        self._producer: Any = None
        self._paused = False  # the producer is
        self._reads = True
        self._unread = b""
        self._typed: list[bytes | None] = []  # and not yet received; None is the end
        self._wanted = True  # what it types
        self._closing = False
        self.shown = b""
        self.faults: list[str] = []
        self.closed = False

    # What the client does

    def connect(self, protocol: Protocol) -> None:
        """Meet the protocol."""
        self._protocol = protocol
        protocol.makeConnection(self)

    def type(self, keys: str | bytes) -> None:
        """Send something."""
        self._typed.append(keys.encode() if isinstance(keys, str) else keys)
        self._deliver()

    def hang_up(self) -> None:
        """Send nothing more; read on."""
        self._typed.append(None)
        self._deliver()

    def take(self) -> str:
        """What was shown since this was asked last."""
        shown, self.shown = self.shown, b""
        return shown.decode()

    def stop_reading(self) -> None:
        """Read nothing for a while."""
        self._reads = False

    def read_on(self) -> None:
        """Read what has come, and go on reading."""
        self._reads = True
        self.sip()

    def sip(self) -> None:
        """Read what has come, and nothing more if reading has stopped."""
        self.shown, self._unread = self.shown + self._unread, b""
        if self._paused:
            self._paused = False
            self._producer.resumeProducing()
        if self._closing and not self._unread:
            self._clock.callLater(0, self._lost, ConnectionDone())

    def vanish(self) -> None:
        """Be gone, all at once."""
        self._lost(ConnectionLost())

    @property
    def heard(self) -> bool:
        """Whether the protocol wants what the client types."""
        return self._wanted

    @property
    def unread(self) -> str:
        """What the client has left unread."""
        return self._unread.decode()

    # ITransport

    def write(self, data: bytes) -> None:
        if self._closing:
            self.faults.append(f"written after the end: {data!r}")
        elif self.closed:
            pass
        elif self._reads:
            self.shown += data
        else:
            self._unread += data
            if len(self._unread) > self._room and self._producer and not self._paused:
                self._paused = True
                self._producer.pauseProducing()

    def writeSequence(self, data: Any) -> None:
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        if self._closing:
            self.faults.append("closed twice")
        if self._producer is not None:
            self.faults.append("closed with a producer, which TLS waits for")
        self._closing = True
        if not self._unread:
            self._clock.callLater(0, self._lost, ConnectionDone())

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 50_000)

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 8023)

    # IConsumer

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        if self._producer is not None or not streaming:
            self.faults.append("a wrong producer")
        self._producer = producer

    def unregisterProducer(self) -> None:
        self._producer, self._paused = None, False

    # IPushProducer

    def pauseProducing(self) -> None:
        self._wanted = False

    def resumeProducing(self) -> None:
        self._wanted = True
        self._clock.callLater(0, self._deliver)

    def stopProducing(self) -> None:
        self.loseConnection()

    def _deliver(self) -> None:
        while self._typed and self._wanted and not self.closed:
            typed = self._typed.pop(0)
            if typed is not None:
                self._protocol.dataReceived(typed)
            elif IHalfCloseableProtocol.providedBy(self._protocol):
                self._protocol.readConnectionLost()
            else:
                self._lost(ConnectionDone())

    def _lost(self, why: Exception) -> None:
        if not self.closed:
            self.closed = True
            self._protocol.connectionLost(Failure(why))


class Socket(Pipe):
    """The same over TCP, where a connection can be dropped with what is unread.

    Attributes:
        aborted: it was.
    """

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True
        self._unread = b""
        self._clock.callLater(0, self._lost, ConnectionAborted())


class BrokenStore(MemoryStore):
    """A store that fails while the test says so.

    Attributes:
        broken: what it fails with, or None.
    """

    broken: Exception | None = None

    @property
    def kept(self) -> dict[str, list[Event]]:
        """All transcripts."""
        return self._transcripts

    def append(self, conversation_id: str, events: Any) -> Any:
        if self.broken is not None:
            raise self.broken
        return super().append(conversation_id, events)

    def read(self, conversation_id: str, after: int, limit: int) -> Any:
        if self.broken is not None:
            raise self.broken
        return super().read(conversation_id, after, limit)


class LineTestCase(SynchronousTestCase):
    """Line clients of services that the test plays.

    In the end all clients vanish, and nothing may be left: no timer, no conversation,
    no answer under way, and no protocol that has not finished.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.product = ScriptedService("product-info", "product service")
        self.support = ScriptedService("tech-support", "support service")
        self.person = ScriptedService("real-agent", "real agent")
        self.store = BrokenStore()
        routes = [
            Route("real person", self.person, person=True),
            Route("product question", self.product),
            Route("help", self.support),
        ]
        self.desk = FrontDesk(
            self.store,
            Dispatcher(routes, Signpost(())),
            self.clock.seconds,
            ConversationSettings(),
        )
        self.clients: list[Pipe] = []
        self.statuses: dict[Lines, int] = {}

    def tearDown(self) -> None:
        for client in self.clients:
            client.vanish()
        self.turn()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(
            [client.faults for client in self.clients if client.faults], []
        )
        self.assertEqual(len(self.statuses), len(self.clients), "not all finished")
        self.assertEqual(self.store.kept, {})

    def connected(
        self,
        look: Look = TERMINAL,
        manner: Manner = TYPING,
        settings: LinesSettings | None = None,
        client: Pipe | None = None,
    ) -> tuple[Pipe, Lines]:
        """A client that has met its protocol."""
        settings = settings or LinesSettings()
        client = client or Pipe(self.clock)
        lines = Lines(self.clock, self.desk, settings, look, manner)
        self.watch(client, lines)
        client.connect(lines)
        return client, lines

    def watch(self, client: Pipe, lines: Lines) -> None:
        """See to it that this client's protocol finishes."""

        def finished(status: int) -> int:
            self.statuses[lines] = status
            return status

        lines.finished.addCallback(finished)
        self.clients.append(client)

    def turn(self) -> None:
        """Let the reactor turn, without time passing."""
        self.clock.advance(0)

    def answered(self, asked: Asked, *paragraphs: str) -> None:
        """Let a service give these paragraphs, and end."""
        for paragraph in paragraphs:
            asked.reply.paragraph(paragraph)
        asked.end()
