"""The handlers of the HTTP API for those who run the service."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable, Mapping

import msgspec
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from supportbot import __version__
from supportbot.channels.http.chat_api import turns
from supportbot.channels.http.operations import JSON, TEXT
from supportbot.channels.http.routing import Call, refused_field
from supportbot.channels.http.shapes import (
    Health,
    Readiness,
    Sessions,
    SessionsQuery,
    SessionSummary,
)
from supportbot.errors import StoreError
from supportbot.events import Event
from supportbot.frontdesk import FrontDesk
from supportbot.identity import Identity
from supportbot.interfaces import Listed, TranscriptStore
from supportbot.metrics import Metrics

_READY = 2.0  # seconds that the database gets to show that it is there
_BATCH = 500  # events that are read at a time


class OperatorApi:
    """What operators and their tools can ask.

    Args:
        clock: for deadlines.
        desk: knows whether we are shutting down.
        store: has the transcripts.
        metrics: the figures.
        resting: tells which services are left alone, by name.
        logged_in: seconds for which a silent customer stays logged in.
    """

    def __init__(
        self,
        clock: IReactorTime,
        desk: FrontDesk,
        store: TranscriptStore,
        metrics: Metrics,
        resting: Callable[[], Mapping[str, bool]],
        logged_in: float,
    ) -> None:
        self._logged_in = logged_in
        self._clock, self._desk, self._store = clock, desk, store
        self._metrics, self._resting = metrics, resting

    async def sessions(self, call: Call) -> Sessions:
        """All sessions, that with the newest message first."""
        query: SessionsQuery = call.query
        before = None if query.before is None else _place(query.before)
        listed = await self._store.list(query.limit, before)
        summaries = [await self._summary(one) for one in listed]
        more = _cursor(listed[-1]) if len(listed) == query.limit else None
        return Sessions(summaries, len(summaries), more)

    async def health(self, call: Call) -> Health:
        """The process answers."""
        return Health(__version__)

    async def ready(self, call: Call) -> None:
        """Whether customers can be served."""
        checks = {"database": await self._database()}
        for name, rests in self._resting().items():
            checks[name] = "resting after failures" if rests else "ok"
        if self._desk.draining:
            checks["process"] = "shutting down"
        unready = self._desk.draining or checks["database"] != "ok"
        well = all(said == "ok" for said in checks.values())
        status = "unready" if unready else "ready" if well else "degraded"
        body = msgspec.json.encode(Readiness(status, checks))
        call.respond(503 if unready else 200, body, JSON)

    async def metrics(self, call: Call) -> None:
        """The figures in Prometheus' text format."""
        call.respond(200, self._metrics.exposed(), TEXT)

    async def _summary(self, listed: Listed) -> SessionSummary:
        events: list[Event] = []
        while batch := await self._store.read(
            listed.conversation_id, events[-1].seq if events else 0, _BATCH
        ):
            events += batch
        history, identity = turns(events), Identity(self._logged_in)
        for event in events:
            identity.tell(event)
        customer = identity.customer(time.time())
        return SessionSummary(
            session_id=listed.conversation_id,
            message_count=len(history),
            last_message=history[-1] if history else None,
            is_authenticated=customer is not None,
            customer_name=None if customer is None else customer.name,
            opened_at=listed.opened_at,
            heard_at=listed.heard_at,
        )

    async def _database(self) -> str:
        def late(_: object, seconds: float) -> Failure:
            return Failure(TimeoutError())

        ready: Deferred[None] = self._store.ready()
        ready.addTimeout(_READY, self._clock, late)
        try:
            await ready
        except (StoreError, TimeoutError):
            return "can't be written at the moment"
        return "ok"


def _cursor(listed: Listed) -> str:
    """Where a list goes on, as one word."""
    place = msgspec.json.encode([listed.heard_at, listed.conversation_id])
    return base64.urlsafe_b64encode(place).decode().rstrip("=")


def _place(cursor: str) -> Listed:
    try:
        place = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        heard_at, id = msgspec.json.decode(place, type=tuple[float, str])
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        raise refused_field("before", "Expected `next` of an answer.") from None
    return Listed(id, 0.0, heard_at, 0)
