"""What cannot be parsed is logged once a minute and counted each time; after a too large list, pages are smaller."""

from __future__ import annotations

import logging

import pytest

from peaks_scheduler.daemon.watching.passed_over import PassedOver
from peaks_scheduler.observability.telemetry import Telemetry
from tests.support.builders import pod
from tests.unit.daemon.test_feed import Heard


def counted(telemetry: Telemetry, resource: str, kind: str) -> float:
    labels = {"resource": resource, "kind": kind}
    return telemetry.registry.get_sample_value("peaks_passed_over_total", labels) or 0.0


def test_a_thousand_odd_lines_are_counted_and_said_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    telemetry, now = Telemetry("Peaks"), 0.0
    passed_over = PassedOver(telemetry, lambda: now)
    for _ in range(1000):
        passed_over.note("/api/v1/pods", "line", "no name")
    now = 61.0
    passed_over.note("/api/v1/pods", "line", "no name")
    assert counted(telemetry, "pods", "line") == 1001.0
    assert [record.__dict__["count"] for record in caplog.records] == [1, 1000]


def test_each_kind_of_trouble_is_said() -> None:
    logged: list[str] = []
    passed_over = PassedOver(Telemetry("Peaks"), lambda: 0.0)
    handler = logging.Handler()
    handler.emit = lambda record: logged.append(record.__dict__["kind"])  # type: ignore[method-assign]
    logging.getLogger("peaks_scheduler.daemon.watching.passed_over").addHandler(handler)
    try:
        passed_over.note("/api/v1/pods", "line", "x")
        passed_over.note("/api/v1/nodes", "line", "x")
        passed_over.note("/api/v1/nodes", "list", "x")
    finally:
        logging.getLogger("peaks_scheduler.daemon.watching.passed_over").removeHandler(handler)
    assert logged == ["pods", "nodes", "nodes"]


def test_a_pod_of_another_shape_is_passed_over_and_counted() -> None:
    heard = Heard()
    heard.observer.pod("ADDED", {**pod("odd"), "status": 5})
    heard.observer.pod("ADDED", pod("fine"))
    assert [uid for uid, _, _ in heard.pods] == ["uid-default-fine"]
    assert counted(heard.telemetry, "pods", "object") == 1.0
