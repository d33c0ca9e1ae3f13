"""Transcripts that live as long as the process."""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from operator import attrgetter

from twisted.internet.defer import Deferred, fail, succeed

from supportbot.errors import TranscriptGone, TranscriptMoved
from supportbot.events import CustomerSaid, Event
from supportbot.interfaces import Known, Listed

_seq = attrgetter("seq")


class MemoryStore:
    """Keep events in lists; see `TranscriptStore`.

    Args:
        transcripts: what there is already, and where the rest is kept.
    """

    lasting = shared = False

    def __init__(self, transcripts: dict[str, list[Event]] | None = None) -> None:
        self._transcripts = {} if transcripts is None else transcripts
        self._times: dict[str, tuple[float, float]] = {}  # opened at, heard at

    def open(self, conversation_id: str, at: float) -> Deferred[None]:
        if conversation_id not in self._transcripts:
            self._transcripts[conversation_id] = []
            self._times[conversation_id] = at, at
        return succeed(None)

    def find(self, conversation_id: str) -> Deferred[Known | None]:
        events = self._transcripts.get(conversation_id)
        return succeed(None if events is None else Known(_last(events)))

    def append(self, conversation_id: str, events: Sequence[Event]) -> Deferred[None]:
        if not events:
            return succeed(None)
        if events[0].seq > 1 and conversation_id not in self._transcripts:
            return fail(TranscriptGone())
        transcript = self._transcripts.setdefault(conversation_id, [])
        if transcript and events[0].seq <= transcript[-1].seq:
            return fail(TranscriptMoved("somebody else has written these numbers"))
        for event in events:
            if type(event) is CustomerSaid or not transcript:
                opened, heard = self._times_of(conversation_id, event.at)
                if type(event) is CustomerSaid:
                    heard = max(heard, event.at)
                self._times[conversation_id] = opened, heard
            transcript.append(event)
        return succeed(None)

    def read(
        self, conversation_id: str, after: int, limit: int
    ) -> Deferred[Sequence[Event]]:
        events = self._transcripts.get(conversation_id, [])
        start = bisect_right(events, after, key=_seq)
        return succeed(events[start : start + limit])

    def erase(self, conversation_id: str) -> Deferred[None]:
        self._transcripts.pop(conversation_id, None)
        self._times.pop(conversation_id, None)
        return succeed(None)

    def forget(self, conversation_id: str, before: int) -> Deferred[None]:
        events = self._transcripts.get(conversation_id, [])
        del events[: bisect_left(events, before, key=_seq)]
        return succeed(None)

    def expire(self, heard_before: float) -> Deferred[int]:
        gone = [one for one in self._all() if one.heard_at < heard_before]
        for one in gone:
            self.erase(one.conversation_id)
        return succeed(len(gone))

    def list(
        self, limit: int, before: Listed | None = None
    ) -> Deferred[Sequence[Listed]]:
        behind = [
            one for one in self._all() if before is None or _place(one) > _place(before)
        ]
        return succeed(heapq.nsmallest(limit, behind, key=_place))

    def ready(self) -> Deferred[None]:
        return succeed(None)

    def _times_of(self, conversation_id: str, at: float) -> tuple[float, float]:
        return self._times.get(conversation_id, (at, at))

    def _all(self) -> Sequence[Listed]:
        listed = []
        for conversation_id, events in self._transcripts.items():
            at = events[0].at if events else 0.0
            opened, heard = self._times_of(conversation_id, at)
            listed.append(Listed(conversation_id, opened, heard, _last(events)))
        return listed


def _last(events: Sequence[Event]) -> int:
    return events[-1].seq if events else 0


def _place(listed: Listed) -> tuple[float, str]:
    """Where a conversation stands in a list."""
    return -listed.heard_at, listed.conversation_id
