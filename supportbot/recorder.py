"""Numbers a conversation's events, stores them in order, and then announces them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from supportbot.errors import TranscriptGone, TranscriptMoved
from supportbot.events import Event
from supportbot.interfaces import TranscriptStore

_Event = TypeVar("_Event", bound=Event)
_TRIES = 5  # for events whose numbers somebody else took
_BATCH = 256  # events that are read at a time


class _Waiting(msgspec.Struct):
    """An event that is not stored yet."""

    kind: Any
    at: float
    fields: dict[str, object]
    objection: Callable[[], Exception | None] | None
    stored: Deferred[Any]


class Recorder:
    """The one way into a transcript.

    One append at a time. An event gets its number when its append starts, and an
    append that fails takes with it what waits behind it: so there is no hole, neither
    in the numbers nor in an answer.

    Args:
        store: where events live.
        conversation_id: whose.
        now: the time in seconds of UTC.
        announce: is told each event when it is durable, whoever stored it.
        gone: is called when it turns out that the conversation was erased.

    Attributes:
        last_seq: the number of the newest event that was announced.
    """

    def __init__(
        self,
        store: TranscriptStore,
        conversation_id: str,
        now: Callable[[], float],
        announce: Callable[[Event], None],
        gone: Callable[[], None],
    ) -> None:
        self._store, self._id = store, conversation_id
        self._now, self._announce, self._gone = now, announce, gone
        self.last_seq = 0
        self._waiting: list[_Waiting] = []
        self._busy = self._going = self._ended = False
        self._unsure = False  # whether what failed is stored all the same

    def record(
        self,
        kind: type[_Event],
        objection: Callable[[], Exception | None] | None = None,
        **fields: object,
    ) -> Deferred[_Event]:
        """Store an event; fires with it when it was announced.

        Args:
            kind: of event.
            objection: says why the event may not be stored any more; asked whenever it
                is about to be.
            fields: of the event.

        Returns:
            Fails with StoreError, or with the objection.
        """
        if self._ended:
            return fail(TranscriptGone())
        stored: Deferred[Any] = Deferred()
        self._waiting.append(_Waiting(kind, self._now(), fields, objection, stored))
        if not self._busy:
            self._go_on()
        return stored

    def end(self) -> None:
        """The conversation was erased: store nothing any more, and read nothing."""
        self._ended = True
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.stored.errback(TranscriptGone())

    async def catch_up(self) -> None:
        """Announce what others have stored.

        Raises:
            StoreError: it can't be read.
        """
        if self._ended:
            raise TranscriptGone
        while events := await self._store.read(self._id, self.last_seq, _BATCH):
            for event in events:
                self._announced(event)
        self._unsure = False

    async def make_sure(self) -> None:
        """Announce what was stored by an append that failed, as it seemed.

        Raises:
            StoreError: it can't be read.
        """
        if self._unsure:
            await self.catch_up()

    # Nearly every append goes well, and needs no coroutine then; the others have one.

    def _go_on(self) -> None:
        """Store what waits, for as long as that can be done at once."""
        if self._going:  # further up; a loop does not run out of stack
            return
        self._going = True
        while self._waiting and not self._busy:
            self._busy = True
            batch, self._waiting = self._waiting, []
            if self._unsure:
                careful = self._append_carefully(batch, _TRIES)
                Deferred.fromCoroutine(careful).addErrback(self._lost, batch)
            else:
                self._append(batch)
        self._going = False

    def _append(self, batch: list[_Waiting]) -> None:
        batch = _unobjected(batch)
        if not batch:
            self._busy = False
            return
        events = self._numbered(batch)
        try:
            appending = self._store.append(self._id, events)
        except Exception:  # whatever it is, nobody may be left waiting
            self._lost(Failure(), batch)
            return
        appending.addCallbacks(
            self._stored, self._refused, (events, batch), {}, (batch,)
        )
        appending.addErrback(self._lost, batch)

    def _refused(self, why: Failure, batch: list[_Waiting]) -> None:
        if why.check(TranscriptMoved):
            careful = self._append_carefully(batch, _TRIES - 1)
            Deferred.fromCoroutine(careful).addErrback(self._lost, batch)
        else:
            self._lost(why, batch)

    async def _append_carefully(self, batch: list[_Waiting], tries: int) -> None:
        """Look at what is stored, then append behind it."""
        while True:
            await self.catch_up()
            batch = _unobjected(batch)
            events = self._numbered(batch)
            try:
                if events:
                    await self._store.append(self._id, events)
                break
            except TranscriptMoved:
                tries -= 1
                if not tries:
                    raise
        self._stored(None, events, batch)

    def _stored(self, _: object, events: list[Event], batch: list[_Waiting]) -> None:
        for event, one in zip(events, batch, strict=True):
            self._announced(event)
            one.stored.callback(event)
        self._busy = False
        self._go_on()

    def _lost(self, why: Failure, batch: list[_Waiting]) -> None:
        """It is not stored, or nobody knows; nor is what waits behind it."""
        if why.check(TranscriptGone) and not self._ended:
            self._ended = True
            self._gone()  # who waits here is told afterwards, and asks for no more
            self.end()
        lost = [*batch, *self._waiting]
        self._waiting, self._unsure = [], True
        for one in lost:
            if not one.stored.called:
                one.stored.errback(why)
        self._busy = False
        self._go_on()

    def _numbered(self, batch: list[_Waiting]) -> list[Event]:
        return [
            one.kind(seq=seq, at=one.at, **one.fields)
            for seq, one in enumerate(batch, self.last_seq + 1)
        ]

    def _announced(self, event: Event) -> None:
        if event.seq > self.last_seq:  # catching up may have been faster
            self.last_seq = event.seq
            self._announce(event)


def _unobjected(batch: list[_Waiting]) -> list[_Waiting]:
    """Those that may still be stored; the others are told why not."""
    kept: list[_Waiting] = []
    for one in batch:
        why = None if one.objection is None else one.objection()
        if why is None:
            kept.append(one)
        else:
            one.stored.errback(why)
    return kept
