"""Which sessions there are, and to which connections they belong.

A session whose connection is lost waits for another one. It may even be another process
where the client comes back; what that needs stands in the transcript.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Callable
from uuid import uuid4

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from supportbot.channels.limits import Allowance
from supportbot.channels.websocket.session import Owner, Session
from supportbot.events import CustomerSaid
from supportbot.frontdesk import FrontDesk
from supportbot.settings import WebSocketSettings

_OURS = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
)
_REMEMBERED = 10_000  # sessions that are over, and as many that wait


def new_id() -> str:
    """An id that nobody can guess: 122 random bits."""
    return str(uuid4())


class Sessions:
    """All sessions of this process.

    Args:
        clock: for the time that lost ones wait.
        now: the time in seconds of UTC.
        desk: has the conversations.
        allowance: how often clients may do something.
        settings: how long lost ones wait.
        new_id: makes the ids.
    """

    def __init__(
        self,
        clock: IReactorTime,
        now: Callable[[], float],
        desk: FrontDesk,
        allowance: Allowance,
        settings: WebSocketSettings,
        new_id: Callable[[], str] = new_id,
    ) -> None:
        self._clock, self._now, self._desk = clock, now, desk
        self._allowance, self._settings, self._new_id = allowance, settings, new_id
        self._held: dict[str, Session] = {}
        self._waiting: OrderedDict[Session, IDelayedCall] = OrderedDict()
        self._over: OrderedDict[str, float] = OrderedDict()  # since then; inf: for ever

    def counts(self) -> dict[str, float]:
        """How many there are whose clients are `here`, or `lost` for the moment."""
        lost = len(self._waiting)
        return {"here": len(self._held) - lost, "lost": lost}

    def start(self, owner: Owner, model: str) -> Session:
        """A new session.

        Raises:
            TooOften: this client may not open one now.
        """
        self._allowance.spend(owner.address, opens=True)
        return self._hold(self._made(self._new_id(), model), owner)

    async def resume(self, owner: Owner, id: str) -> Session | None:
        """Take over a session whose connection is lost.

        Returns:
            None if there is none with this id, or it belongs to another client.

        Raises:
            StoreError: whether there is one can't be told.
        """
        if not self._settings.grace:
            return None
        while (session := self._held.get(id)) is not None:
            other = session.owner
            if other is None or other is owner:
                return self._hold(session, owner)
            # Its client may have lost the connection without our noticing it yet.
            if await other.alive():
                return None
            if session.owner is other:
                other.forget(session)
                session.detach()
        return await self._take_up(owner, id)

    def leave(self, session: Session) -> None:
        """Its connection is lost."""
        session.detach()
        if self._held.get(session.id) is not session:  # it has ended
            return
        if not self._settings.grace:
            self._close(session)
            return
        call = self._clock.callLater(self._settings.grace, self._close, session)
        self._waiting[session] = call
        if len(self._waiting) > _REMEMBERED:
            self._close(next(iter(self._waiting)))

    def end(self, session: Session) -> Deferred[None]:
        """Its client ends it."""
        self._forget(session, math.inf)
        return session.end()

    def _made(self, id: str, model: str, *, fresh: bool = True) -> Session:
        return Session(
            id,
            self._desk,
            self._allowance,
            trusting=self._settings.system_messages,
            model=model,
            fresh=fresh,
        )

    def _hold(self, session: Session, owner: Owner) -> Session:
        self._wake(session)
        self._held[session.id] = session
        session.owner = owner
        return session

    async def _take_up(self, owner: Owner, id: str) -> Session | None:
        """A session of a process that is no more, or of another one."""
        if _OURS.fullmatch(id) is None or self._over.get(id) == math.inf:
            return None
        conversation = await self._desk.find(id)
        if conversation is None:
            return None
        events = await conversation.events()
        if not events or self._now() - events[-1].at > self._settings.grace:
            return None
        said = [one for one in events if isinstance(one, CustomerSaid)]
        over = self._over.get(id)
        if over is not None and all(one.at <= over for one in said):
            return None  # or else its client has gone on with it in another process
        if id in self._held:  # meanwhile; it may even be lost again
            return await self.resume(owner, id)
        model = said[-1].model if said else ""
        return self._hold(self._made(id, model, fresh=False), owner)

    def _close(self, session: Session) -> None:
        """Nobody has come back for it; at least not to this process."""
        self._forget(session, self._now())
        Deferred.fromCoroutine(session.close())

    def _forget(self, session: Session, over: float) -> None:
        self._wake(session)
        self._held.pop(session.id, None)
        self._over[session.id] = over
        if len(self._over) > _REMEMBERED:
            self._over.popitem(last=False)

    def _wake(self, session: Session) -> None:
        call = self._waiting.pop(session, None)
        if call is not None and call.active():
            call.cancel()
