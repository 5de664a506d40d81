"""A field that a newer API server sets by default makes every pod unschedulable: it is logged, once."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from peaks_scheduler.daemon.scheduler.unknown_fields import UnknownFields
from peaks_scheduler.objects.pod import Pod
from tests.support.builders import pod, read
from tests.support.daemon_stage import Api, Stage
from tests.support.virtual_time import run_virtually

NEW = {"newField": True}


def new_pods(count: int, **spec: Any) -> list[Pod]:
    return [read(pod(f"web-{i}", **spec)) for i in range(count)]


def seen(*pods: Pod) -> UnknownFields:
    fields = UnknownFields()
    for each in pods:
        fields.saw(each)
    return fields


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.__dict__["field"] for record in caplog.records if record.levelno == logging.WARNING]


def test_a_field_that_most_new_pods_have_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    fields = seen(*new_pods(40, **NEW), *new_pods(20))
    assert fields.common() == {"spec.newField": pytest.approx(40 / 60)}
    assert warnings(caplog) == ["spec.newField"]


@pytest.mark.parametrize(
    "pods",
    [
        pytest.param([*new_pods(50, **NEW), *new_pods(50)], id="half of them are not most"),
        pytest.param(new_pods(19, **NEW), id="too few to say"),
        pytest.param(new_pods(100, resourceClaims=[{"name": "gpu"}]), id="a field that is known, and refused"),
        pytest.param(new_pods(100, priorityClassName="high"), id="a field that is known, and harmless"),
    ],
)
def test_others_are_not(pods: list[Pod]) -> None:
    assert seen(*reversed(pods)).common() == {}


def test_what_was_common_long_ago_is_forgotten() -> None:
    assert seen(*new_pods(100, **NEW), *new_pods(60)).common() == {}


def test_where_in_a_list_a_field_stands_makes_no_difference(caplog: pytest.LogCaptureFixture) -> None:
    volumes = [{"name": "a", "emptyDir": {}}, {"name": "b", "newSource": {}}]
    fields = seen(*new_pods(15, volumes=volumes), *new_pods(15, volumes=volumes[::-1]))
    assert fields.common() == {"spec.volumes[].newSource": 1.0}
    assert warnings(caplog) == ["spec.volumes[].newSource"]


def test_pods_of_other_schedulers_do_not_count() -> None:
    """Most of them wait with their known fields alone: they would hide the share of ours."""

    async def scenario() -> None:
        stage = Stage(Api())
        stage.sees(*(pod(f"other-{i}", scheduler="default-scheduler") for i in range(60)))
        stage.sees(*(pod(f"web-{i}", **NEW) for i in range(40)))
        gauge = next(each for each in stage.scheduler.gauges() if each.name == "peaks_common_unknown_pod_fields")
        assert list(gauge.rows()) == [(("spec.newField",), 1.0)]

    run_virtually(scenario())
