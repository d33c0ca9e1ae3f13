"""A transcript store that counts what goes through it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from supportbot.errors import TranscriptGone, TranscriptMoved
from supportbot.events import (
    CustomerSaid,
    Event,
    ModelAsked,
    OrderSettled,
    ParagraphSaid,
    ReplyEnded,
    ReplyStarted,
    ToolCalled,
)
from supportbot.interfaces import TranscriptStore
from supportbot.metrics import Metrics

_TOOLS = 100


class MeasuredStore:
    """Hand everything on to a store; see `TranscriptStore`.

    Args:
        store: the real one.
        metrics: get the figures.
        seconds: a clock.
    """

    def __init__(
        self, store: TranscriptStore, metrics: Metrics, seconds: Callable[[], float]
    ) -> None:
        self._store, self._metrics, self._seconds = store, metrics, seconds
        self._started: dict[str, ReplyStarted] = {}  # by conversation
        self._silent: set[str] = set()  # conversations without a first paragraph
        self._tools: set[str] = set()  # names that were counted
        self.lasting, self.shared = store.lasting, store.shared
        self.open, self.find, self.read = store.open, store.find, store.read
        self.forget, self.expire = store.forget, store.expire
        self.list, self.ready = store.list, store.ready

    def append(self, conversation_id: str, events: Sequence[Event]) -> Deferred[None]:
        about = (self._seconds(), conversation_id, tuple(events))
        appending = self._store.append(conversation_id, events)
        return appending.addCallbacks(self._stored, self._lost, about, {}, about)

    def _stored(self, _: None, began: float, id: str, events: Sequence[Event]) -> None:
        self._metrics.stored.observe(self._seconds() - began)
        for event in events:
            self._count(id, event)

    def _lost(
        self, why: Failure, began: float, id: str, events: Sequence[Event]
    ) -> Failure:
        if why.check(TranscriptMoved):  # it is tried again at once
            return why
        erased = why.check(TranscriptGone) is not None
        if not erased:
            self._metrics.lost.add()
        if erased or any(isinstance(event, ReplyEnded) for event in events):
            self._leave(id)
        return why

    def erase(self, conversation_id: str) -> Deferred[None]:
        self._leave(conversation_id)
        return self._store.erase(conversation_id)

    def _leave(self, conversation_id: str) -> None:
        """Wait for no end of a reply there."""
        self._started.pop(conversation_id, None)
        self._silent.discard(conversation_id)

    def _known(self, tool: str) -> str:
        """The tool's name; models make names up, and figures are kept for ever."""
        if tool not in self._tools and len(self._tools) >= _TOOLS:
            return "other"
        self._tools.add(tool)
        return tool

    def _count(self, conversation_id: str, event: Event) -> None:
        metrics, started = self._metrics, self._started.get(conversation_id)
        if isinstance(event, CustomerSaid):
            metrics.messages.add()
        elif isinstance(event, ReplyStarted):
            self._started[conversation_id] = event
            self._silent.add(conversation_id)
        elif isinstance(event, ToolCalled):
            metrics.tools.add(self._known(event.name), str(event.outcome))
        elif isinstance(event, OrderSettled):
            metrics.orders.add("placed" if event.order_id else "not placed")
        elif isinstance(event, ModelAsked):
            metrics.tokens.add(event.model, "read", by=event.read)
            metrics.tokens.add(event.model, "written", by=event.written)
            metrics.cost.add(event.model, by=event.cost)
        elif started is None:
            return
        elif isinstance(event, ParagraphSaid):
            metrics.paragraphs.add(started.service)
            if conversation_id in self._silent:
                self._silent.discard(conversation_id)
                seconds = max(0.0, event.at - started.at)
                metrics.first_paragraph.observe(seconds, started.service)
        elif isinstance(event, ReplyEnded):
            metrics.replies.add(started.service, str(event.outcome))
            self._leave(conversation_id)
