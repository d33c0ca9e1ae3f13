"""Transcripts that live as long as the process."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred, succeed

from supportbot.events import Event


class MemoryStore:
    """Keep events in lists; see `TranscriptStore`."""

    def __init__(self) -> None:
        self._transcripts: dict[str, list[Event]] = {}

    def append(self, conversation_id: str, events: Sequence[Event]) -> Deferred[None]:
        self._transcripts.setdefault(conversation_id, []).extend(events)
        return succeed(None)

    def read(
        self, conversation_id: str, after: int, limit: int
    ) -> Deferred[Sequence[Event]]:
        events = self._transcripts.get(conversation_id, [])
        return succeed(events[after : after + limit])

    def erase(self, conversation_id: str) -> Deferred[None]:
        self._transcripts.pop(conversation_id, None)
        return succeed(None)
