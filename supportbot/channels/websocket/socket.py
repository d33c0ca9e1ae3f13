"""One WebSocket connection: messages up to the limits, signs of life, and its end.

wsproto reads the frames, one at a time and no sooner than they are wanted; those that
go out are but a few bytes before the text, and are written here.

    open ──► leaving: a close frame was sent; what comes is ignored, up to the peer's
    either ──► deaf: what comes is thrown away unread, until the connection is lost
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Sequence
from io import StringIO
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.python.failure import Failure
from wsproto.extensions import Extension
from wsproto.frame_protocol import Frame, FrameProtocol, Opcode, ParseFailed
from zope.interface import implementer

from supportbot.channels.http.deadlines import Deadline
from supportbot.channels.peers import send_no_more
from supportbot.channels.websocket.deflate import Deflate
from supportbot.channels.websocket.frames import Close, close_frame, frame
from supportbot.channels.websocket.probes import Probes
from supportbot.context import Logger
from supportbot.settings import WebSocketSettings

_LINGER = 2.0  # seconds that a client gets to read why, and to close too
_LINGER_BYTES = 1024 * 1024  # that it may go on sending meanwhile
_UNFINISHED = 32  # messages that are being taken, before reading pauses
_AT_ONCE = 64  # frames that are read in one turn of the reactor, which others wait for
_JITTER = 0.1  # of the time between two pings; else thousands would beat at once
_SOON = 0.001  # seconds; clocks are not exact
_REASONS: dict[int, str] = {
    Close.NOT_UTF8: "the text is not in UTF-8",
    Close.TOO_BIG: "the message is too big",
}
_OUR_FAULT = "something went wrong on our side"
_log = Logger()


class User(Protocol):
    """What a socket is there for.

    Any of these may call the socket. Closing it leads to `lost` before `close` returns.
    """

    def message(self, text: str) -> Deferred[object] | None:
        """A whole message has come.

        Returns:
            Fires when it has been taken; with too many of them unfinished, the client
            is left waiting. None if it has been taken already.
        """

    def pause(self) -> None:
        """The client does not read: give no more."""

    def resume(self) -> None:
        """It reads again."""

    def drain(self) -> None:
        """The server wants to stop: close when nothing is under way any more."""

    def lost(self) -> None:
        """Nothing can be sent any more. Told once."""


@implementer(IPushProducer)
class Socket:
    """One connection, from the handshake on.

    Args:
        clock: for deadlines.
        settings: the limits.
        stall: seconds for which a client may leave unread what was written.
        user: makes whoever takes the messages.
        extensions: that were agreed on.
        closed: is told the code with which the connection was closed, once, when it is
            lost. A client may choose any from 1000 to 4999.
        jitter: a number from 0 to 1.

    Attributes:
        closing: nothing can be sent any more.
    """

    __slots__ = (
        "_awaited",
        "_clock",
        "_closed",
        "_code",
        "_counted",
        "_deadline",
        "_deaf",
        "_deflate",
        "_discarded",
        "_full",
        "_gone",
        "_jitter",
        "_later",
        "_make",
        "_paused",
        "_probes",
        "_protocol",
        "_reading",
        "_said",
        "_second",
        "_settings",
        "_size",
        "_stall",
        "_text",
        "_told",
        "_transport",
        "_unfinished",
        "_user",
        "closing",
    )

    def __init__(
        self,
        clock: IReactorTime,
        settings: WebSocketSettings,
        stall: float,
        user: Callable[[Socket], User],
        extensions: Sequence[Extension] = (),
        closed: Callable[[int], object] = lambda code: None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._clock, self._settings, self._stall = clock, settings, stall
        self._make, self._closed, self._jitter = user, closed, jitter
        self._user: User | None = None
        self._transport: Any = None
        self._protocol = FrameProtocol(False, list(extensions))
        self._deflate = next((e for e in extensions if isinstance(e, Deflate)), None)
        self._deadline = Deadline(clock)
        self._said = clock.seconds()  # when the last message came or went
        self._awaited = b""  # the pong that is
        self._probes: Probes | None = None
        self._second, self._counted = 0.0, 0  # frames in the second that began then
        self._text: StringIO | None = None  # of a message that is not whole
        self._size = 0  # bytes of it
        self._unfinished = 0  # messages that are being taken
        self._code: int = Close.LOST
        self._discarded = 0
        self._reading = False  # further up the stack
        self._later = False  # reading goes on in the next turn
        self._full = self._paused = False  # too much unfinished; too much unread
        self._told = False  # the user, that it is lost
        self.closing = self._deaf = self._gone = False

    # The HTTP connection calls these

    def begin(self, transport: Any, early: bytes) -> None:
        """Take a connection over.

        Args:
            early: bytes that came behind the request.
        """
        self._transport = transport
        transport.registerProducer(self, True)
        self._rest()
        try:
            self._user = self._make(self)
        except Exception:
            self._failed(Failure())
        if self.closing:
            self._tell_lost()
        if early:
            self.received(early)

    def received(self, data: bytes) -> None:
        """Take what the client has sent."""
        if self._deaf:
            self._discarded += len(data)
            if self._discarded > _LINGER_BYTES:
                self._transport.pauseProducing()
            return
        self._protocol.receive_bytes(data)
        self._read()

    def lost(self, reason: Failure) -> None:
        """The connection is no more."""
        self._deaf = self._gone = True
        self._leave()
        self._deadline.stop()
        self._closed(int(self._code))
        # Each of these refers to itself in the end. Thousands that are left to the
        # garbage collector stop everything for 50 ms when it comes.
        self._user = None
        vars(self._protocol).clear()

    def drain(self) -> None:
        """The server wants to stop."""
        if not self.closing and self._user is not None:
            self._tell(self._user.drain)

    # The user calls these

    def send(self, text: bytes) -> None:
        """Send a message, which is UTF-8.

        It is dropped in silence when the connection is closing.
        """
        if self.closing:
            return
        self._said = self._clock.seconds()
        if self._deflate and (packed := self._deflate.deflate(text)) is not None:
            self._transport.write(frame(Opcode.TEXT, packed, compressed=True))
        else:
            self._transport.write(frame(Opcode.TEXT, text))

    def close(
        self, code: int = Close.RESTART, reason: str = "the server is restarting"
    ) -> None:
        """Close, with a goodbye. By default since the server stops.

        Args:
            reason: for whoever looks for it; cut off after 123 bytes.
        """
        if self.closing:
            return
        self._deadline.set(self._stall if self._paused else _LINGER, self._abort)
        self._say_goodbye(code, reason)
        self._listen()

    def probe(self, seconds: float) -> Deferred[bool]:
        """Ask for a sign of life.

        Returns:
            Fires with True when it comes in time, and with False if it does not. While
            too many messages wait to be taken, nothing is read, and it counts as alive.
        """
        if self.closing:
            return succeed(False)
        if self._probes is None:
            self._probes = Probes(self._clock)
        payload, answer = self._probes.add(seconds)
        self._transport.write(frame(Opcode.PING, payload))
        return answer.addCallback(
            lambda there: there or (self._full and not self.closing)
        )

    # The transport calls these

    def pauseProducing(self) -> None:
        """The client does not take what was written."""
        if self._paused or self._deaf:  # it is told again with every write
            return
        self._paused = True
        self._deadline.set(self._stall, self._abort)
        self._transport.pauseProducing()
        if not self.closing and self._user is not None:
            self._tell(self._user.pause)

    def resumeProducing(self) -> None:
        """The client has taken all that was written."""
        if not self._paused or self._deaf:
            return
        self._paused = False
        if self.closing:
            self._deadline.set(_LINGER, self._abort)
        else:
            self._await()
            if self._user is not None:
                self._tell(self._user.resume)
        self._listen()

    def stopProducing(self) -> None:
        """The connection is lost; that is told apart from this."""

    # Reading

    def _listen(self) -> None:
        """Read on, if nothing is in the way."""
        if not self._held:
            self._read()
        if not self._held:
            self._transport.resumeProducing()

    @property
    def _held(self) -> bool:
        full = self._full and not self.closing
        return self._deaf or self._paused or self._later or full

    def _read(self) -> None:
        """Read frames until there is no whole one, or no more are wanted."""
        if self._reading or self._held:
            return
        self._reading = True
        try:
            for read, got in enumerate(self._protocol.received_frames(), 1):
                if got.frame_finished and not self._counts():
                    self._refuse(Close.POLICY, "too many frames")
                else:
                    self._take(got)
                if read == _AT_ONCE and not self._held:
                    self._transport.pauseProducing()
                    self._later = True
                    self._clock.callLater(0, self._read_on)
                if self._held:
                    break
        except ParseFailed as why:
            self._refuse(why.code, _REASONS.get(why.code, "this is no valid frame"))
        except Exception:  # wsproto's; what comes can't be read any more
            _log.failure("reading a frame of a WebSocket")
            self._refuse(Close.FAILED, _OUR_FAULT)
        finally:
            self._reading = False

    def _read_on(self) -> None:
        self._later = False
        self._listen()

    def _counts(self) -> bool:
        """Count a frame; whether it may be read."""
        now = self._clock.seconds()
        if not 0 <= now - self._second < 1:  # a clock may be set back
            self._second, self._counted = now, 0
        self._counted += 1
        return self._counted <= self._settings.frames

    def _take(self, got: Frame) -> None:
        opcode, payload = got.opcode, got.payload
        if opcode is Opcode.CLOSE:
            self._peer_closes(*payload)
        elif self.closing:
            return
        elif opcode is Opcode.TEXT:
            self._take_text(str(payload), got.message_finished)
        elif opcode is Opcode.PING:
            self._transport.write(frame(Opcode.PONG, payload))  # type: ignore[arg-type]
        elif opcode is Opcode.PONG:
            self._take_pong(payload)  # type: ignore[arg-type]
        else:
            self._refuse(Close.BINARY, "only text is taken here")

    def _take_text(self, piece: str, whole: bool) -> None:
        self._size += len(piece) if piece.isascii() else len(piece.encode())
        if self._size > self._settings.message:
            self._refuse(Close.TOO_BIG, "the message is too big")
            return
        if self._text is not None:
            self._text.write(piece)
            if whole:
                piece, self._text = self._text.getvalue(), None
        elif not whole:
            self._text = StringIO()
            self._text.write(piece)
        if whole:
            self._size = 0
            self._take_message(piece)

    def _take_message(self, text: str) -> None:
        assert self._user is not None
        self._said = self._clock.seconds()
        try:
            taken = self._user.message(text)
        except Exception:
            self._failed(Failure())
            return
        if taken is None:
            return
        self._unfinished += 1
        taken.addErrback(self._failed).addCallback(self._taken)
        if self._unfinished > _UNFINISHED and not (self._full or self.closing):
            self._full = True
            self._transport.pauseProducing()

    def _taken(self, _: object) -> None:
        """A message has been taken."""
        self._unfinished -= 1
        if self._full and self._unfinished <= _UNFINISHED and not self.closing:
            self._full = False
            if not self._paused:
                self._await()
            self._listen()

    # Signs of life

    def _rest(self) -> None:
        """Wait until a sign of life is due, or nothing has been said for long."""
        self._awaited = b""
        wait = self._settings.ping * (1 - _JITTER * self._jitter())
        self._deadline.set(max(min(wait, self._patience()), 0), self._ping)

    def _await(self) -> None:
        """Wait for a pong, if there is one to come."""
        if self._awaited:
            self._deadline.set(self._settings.pong, self._missed)
        else:
            self._rest()

    def _patience(self) -> float:
        """Seconds that are left to say something."""
        return self._said + self._settings.idle - self._clock.seconds()

    def _ping(self) -> None:
        if self._patience() < _SOON:
            self.close(Close.NORMAL, "idle")
            return
        self._awaited = secrets.token_bytes(4)
        self._await()
        self._transport.write(frame(Opcode.PING, self._awaited))

    def _missed(self) -> None:
        if self._full:  # it may be there, and nobody has read it
            self._await()
        else:
            self.close(Close.POLICY, "no pong")

    def _take_pong(self, payload: bytes) -> None:
        if payload and payload == self._awaited:
            self._rest()
        elif self._probes is not None:
            self._probes.answer(payload)

    # Closing

    def _peer_closes(self, code: int, reason: str) -> None:
        """The peer has sent its close frame. The server is first to hang up."""
        self._deaf = True
        self._deadline.set(self._stall, self._abort)
        self._transport.unregisterProducer()
        if not self.closing:
            self._say_goodbye(code)
        self._transport.loseConnection()

    def _refuse(self, code: int, reason: str) -> None:
        """Close on a peer that breaks the rules.

        What it still sends is thrown away for a while, so that it can read why.
        """
        self._deaf = True
        self._deadline.set(_LINGER, self._abort)
        self._transport.unregisterProducer()
        if not self.closing:
            self._say_goodbye(code, reason)
        if not self._gone:
            self._transport.resumeProducing()
            send_no_more(self._transport)

    def _say_goodbye(self, code: int, reason: str = "") -> None:
        """Send a close frame, the last thing that is sent."""
        self.closing, self._code = True, code
        self._transport.write(close_frame(code, reason))
        self._leave()

    def _leave(self) -> None:
        """Nothing can be sent any more."""
        self.closing = True
        self._text = None
        if self._probes is not None:
            self._probes.end()
        self._tell_lost()

    def _abort(self) -> None:
        self._deaf = True
        self._transport.abortConnection()

    def _tell_lost(self) -> None:
        if self._user is not None and not self._told:
            self._told = True
            self._tell(self._user.lost)

    def _tell(self, tell: Callable[[], None]) -> None:
        try:
            tell()
        except Exception:
            self._failed(Failure())

    def _failed(self, failure: Failure) -> None:
        """The user has failed."""
        if self.closing and failure.check(CancelledError):
            return
        _log.failure("taking a message of a WebSocket", failure)
        self.close(Close.FAILED, _OUR_FAULT)
