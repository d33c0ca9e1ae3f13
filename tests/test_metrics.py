"""Figures, as Prometheus reads them."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from supportbot.errors import BodyCut, BodyTooLong, ServiceUnreachable
from supportbot.metrics import Metrics


def figures(metrics: Metrics) -> dict[str, float]:
    """Those of ours, by name and labels."""
    families = text_string_to_metric_families(metrics.exposed().decode())
    return {
        f"{sample.name}{list(sample.labels.values())}": sample.value
        for family in families
        for sample in family.samples
        if sample.name.startswith("supportbot_")
    }


def test_attempts_are_counted_by_what_became_of_them() -> None:
    metrics = Metrics()
    for error in (None, None, BodyCut(), ServiceUnreachable(), BodyTooLong(7)):
        metrics.attempt("tech", error)
    told = figures(metrics)
    assert told["supportbot_attempts_total['whole', 'tech']"] == 2
    assert told["supportbot_attempts_total['BodyCut', 'tech']"] == 1
    assert told["supportbot_attempts_total['ServiceUnreachable', 'tech']"] == 1
    assert told["supportbot_runaways_total['tech']"] == 1


def test_gauges_are_read_when_somebody_asks() -> None:
    metrics = Metrics()
    reading = {"a": 1.0}
    metrics.gauge("service_queue", "Questions that wait.", lambda: reading, "service")
    metrics.gauge("followers", "Who follows.", lambda: {"": 2})
    assert figures(metrics)["supportbot_service_queue['a']"] == 1.0
    reading |= {"a": 3.0, "b": 4.0}
    told = figures(metrics)
    assert told["supportbot_service_queue['a']"] == 3.0
    assert told["supportbot_service_queue['b']"] == 4.0
    assert told["supportbot_followers[]"] == 2.0


def test_the_process_is_measured_too() -> None:
    exposed = Metrics().exposed()
    for name in (b"process_resident_memory_bytes", b"process_open_fds", b"python_info"):
        assert name in exposed


def test_two_processes_in_one_do_not_mix() -> None:
    first, second = Metrics(), Metrics()
    first.messages.add()
    assert figures(first)["supportbot_messages_total[]"] == 1
    assert figures(second)["supportbot_messages_total[]"] == 0
