"""Figures for Prometheus: what is counted, and under which names."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector

from supportbot.errors import BodyRunaway, ServiceError

_FIRST = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0)  # seconds
_STORED = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.0, 10.0)

Reading = Callable[[], dict[str, float]]
"""Values of a gauge at the moment, by label; the label is empty where there is one."""


class Metrics:
    """All figures of one process.

    Attributes:
        messages: of customers that were stored.
        paragraphs: that were stored, by service.
        replies: that ended, by service and outcome.
        first_paragraph: seconds from a reply's start to its first paragraph, by
            service.
        stored: seconds that an append took.
        lost: appends that failed.
        tools: calls of tools, by name and outcome.
        orders: that were sent, by whether they were placed.
        tokens: of language models, by model and direction.
        cost: of language models in dollars, by model.
        closed: WebSocket connections that ended, by close code.
        nonsense: messages on them that were none of ours.
    """

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)

        def counted(name: str, what: str, *labels: str) -> Tally:
            tally = Tally(f"supportbot_{name}", what, labels)
            registry.register(tally)
            return tally

        def measured(
            name: str, what: str, bounds: tuple[float, ...], *labels: str
        ) -> Spread:
            spread = Spread(f"supportbot_{name}", what, bounds, labels)
            registry.register(spread)
            return spread

        self.messages = counted("messages", "Messages of customers that were stored.")
        self.paragraphs = counted(
            "paragraphs", "Paragraphs that were stored.", "service"
        )
        self.replies = counted("replies", "Replies that ended.", "service", "outcome")
        self.first_paragraph = measured(
            "first_paragraph_seconds",
            "From a reply's start to its first paragraph.",
            _FIRST,
            "service",
        )
        self.stored = measured(
            "store_append_seconds", "Until an append was durable.", _STORED
        )
        self.lost = counted("store_failures", "Appends that failed.")
        self.tools = counted("tool_calls", "Calls of tools.", "tool", "outcome")
        self.orders = counted("orders", "Orders that were settled.", "result")
        self.tokens = counted(
            "model_tokens", "Tokens of language models.", "model", "direction"
        )
        self.cost = counted("model_cost_dollars", "What language models cost.", "model")
        self.closed = counted(
            "websocket_closed", "WebSocket connections that ended.", "code"
        )
        self.nonsense = counted(
            "websocket_nonsense", "WebSocket messages that meant nothing to us."
        )
        self._attempts = counted(
            "attempts", "Attempts at a service.", "service", "result"
        )
        self._runaways = counted(
            "runaways", "Attempts that were ended in a body that ran away.", "service"
        )

    def attempt(self, service: str, error: ServiceError | None) -> None:
        """An attempt at a service has ended: whole if there is no error."""
        result = "whole" if error is None else type(error).__name__
        self._attempts.add(service, result)
        if isinstance(error, BodyRunaway):
            self._runaways.add(service)

    def gauge(self, name: str, what: str, read: Reading, label: str = "") -> None:
        """Show a figure that is read when somebody asks for it."""
        self._registry.register(_Gauge(f"supportbot_{name}", what, read, label))

    def exposed(self) -> bytes:
        """All figures in Prometheus' text format, version 0.0.4."""
        return generate_latest(self._registry)


class Tally(Collector):
    """Something that is counted, for each combination of labels.

    All of it happens in the reactor's thread, so there are no locks, which cost more
    than the counting.
    """

    def __init__(self, name: str, what: str, labels: Sequence[str]) -> None:
        self._name, self._what, self._labels = name, what, labels
        self._counts: dict[tuple[str, ...], float] = {} if labels else {(): 0}

    def add(self, *labels: str, by: float = 1) -> None:
        """One more, or so many."""
        self._counts[labels] = self._counts.get(labels, 0) + by

    def collect(self) -> list[CounterMetricFamily]:
        family = CounterMetricFamily(self._name, self._what, labels=self._labels)
        for labels, count in list(self._counts.items()):
            family.add_metric(labels, count)
        return [family]


class Spread(Collector):
    """How long something takes, for each combination of labels.

    Args:
        bounds: of the buckets, in seconds, ascending.
    """

    def __init__(
        self, name: str, what: str, bounds: tuple[float, ...], labels: Sequence[str]
    ) -> None:
        self._name, self._what, self._bounds = name, what, bounds
        self._labels = labels
        self._filled: dict[tuple[str, ...], list[int]] = {}
        self._sums: dict[tuple[str, ...], float] = {}
        if not labels:
            self._new(())

    def observe(self, seconds: float, *labels: str) -> None:
        """It took so long."""
        filled = self._filled.get(labels) or self._new(labels)
        filled[bisect_left(self._bounds, seconds)] += 1
        self._sums[labels] += seconds

    def collect(self) -> list[HistogramMetricFamily]:
        family = HistogramMetricFamily(self._name, self._what, labels=self._labels)
        bounds = [*map(str, self._bounds), "+Inf"]
        for labels, filled in list(self._filled.items()):
            up_to, buckets = 0, []
            for bound, count in zip(bounds, filled, strict=True):
                up_to += count
                buckets.append((bound, float(up_to)))
            family.add_metric(labels, buckets, self._sums[labels])
        return [family]

    def _new(self, labels: tuple[str, ...]) -> list[int]:
        self._sums[labels] = 0.0
        self._filled[labels] = [0] * (len(self._bounds) + 1)
        return self._filled[labels]


class _Gauge(Collector):
    def __init__(self, name: str, what: str, read: Reading, label: str) -> None:
        self._name, self._what, self._read, self._label = name, what, read, label

    def collect(self) -> list[GaugeMetricFamily]:
        labels = [self._label] if self._label else []
        family = GaugeMetricFamily(self._name, self._what, labels=labels)
        for label, value in self._read().items():
            family.add_metric([label] if self._label else [], value)
        return [family]
