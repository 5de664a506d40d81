"""The annotation has as much of the record as the administrator wants: all, little or nothing. The scheduler works the
same with each."""

from __future__ import annotations

import copy
import json
import logging
from typing import Any

import pytest

from peaks_scheduler.commands.demo.summary import why_lines
from peaks_scheduler.errors import Ambiguous
from peaks_scheduler.objects.annotations import DECISION
from peaks_scheduler.scheduling.decision import Detail
from tests.support.builders import BENT_UP, Json, decide, ledger, pod, workers
from tests.support.daemon_stage import Api, Stage, bound, until
from tests.support.virtual_time import run_virtually

WEB = pod("web-0", cpu="1")


def placed(detail: Detail, raw: Json = WEB, lost: bool = False) -> tuple[Api, Stage]:
    """A pod that the daemon has bound; ``lost``: the answer to the Binding was lost."""
    result: list[tuple[Api, Stage]] = []

    async def scenario() -> None:
        api = Api(raw)
        stage = Stage(api, detail=detail)

        async def done_and_lost() -> None:
            api.pods["web-0"] = bound(api.pods["web-0"], "worker-1", api.annotations[-1])
            raise Ambiguous("lost")

        if lost:
            api.answers.append(done_and_lost)
        stage.sees(raw)
        async with stage.running():
            await until(lambda: bool(api.told("Scheduled")), within=60.0)
        result.append((api, stage))

    run_virtually(scenario())
    return result[0]


def annotations(api: Api) -> Any:
    return api.pods["web-0"]["metadata"]["annotations"]


def test_the_short_record_tells_nothing_of_other_nodes_nor_of_use() -> None:
    decision = decide(pod(cpu="1"), ledger(*workers(2), power=BENT_UP, loads={"worker-0": 0.25, "worker-1": 0.5}))
    # 20 * exp(2u) * expm1(2/8), u = 0.25
    short = {"node": "worker-0", "jumpWatts": 9.365575, "standing": "measured", "preference": None}
    assert json.loads(decision.annotation("short")) == short
    assert "worker-1" not in decision.annotation("short")


@pytest.mark.parametrize(
    ("detail", "fields"), [("full", 20), ("short", 4)], ids=["all of the record", "four fields of it"]
)
def test_the_binding_carries_as_much_as_is_wanted(detail: Detail, fields: int) -> None:
    api, _ = placed(detail)
    assert len(json.loads(annotations(api)[DECISION])) == fields


def test_with_none_the_pod_gets_no_annotation_and_the_log_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    api, _ = placed("none")
    assert annotations(api) == {}
    (line,) = [vars(each) for each in caplog.records if each.message == "bound"]
    assert (line["node"], line["runnerUp"]) == ("worker-1", "worker-2")


@pytest.mark.parametrize("detail", ["full", "short", "none"])
def test_a_binding_whose_answer_was_lost_is_known_again(detail: Detail) -> None:
    api, stage = placed(detail, lost=True)
    assert api.bindings == [("web-0", "worker-1")]
    assert api.told("Scheduled") == ["web-0"]
    assert stage.count("scheduler_schedule_attempts_total", result="scheduled", profile="Peaks") == 1


@pytest.mark.parametrize("detail", ["full", "short"])
def test_a_record_that_a_user_wrote_beforehand_is_written_over(detail: Detail) -> None:
    forged = copy.deepcopy(WEB)
    forged["metadata"]["annotations"] = {DECISION: '{"node":"worker-9"}'}
    api, _ = placed(detail, forged)
    assert json.loads(annotations(api)[DECISION])["node"] == "worker-1"


def test_no_event_tells_of_other_nodes_or_watts() -> None:
    api, _ = placed("full")
    assert [each["note"] for each in api.events] == ["Successfully assigned default/web-0 to worker-1"]


def test_after_a_restart_without_records_missing_events_are_posted_for_our_pods_alone() -> None:
    async def scenario() -> None:
        api = Api(WEB)
        stage = Stage(api, detail="none")
        theirs = pod("theirs", scheduler="another")
        stage.sees(bound(WEB, "worker-1"), bound(theirs, "worker-1"))
        async with stage.running():
            stage.scheduler.aftermath.announce_recent()
            await until(lambda: bool(api.told("Scheduled")), within=60.0)
        assert api.told("Scheduled") == ["web-0"]

    run_virtually(scenario())


def test_the_demo_tells_of_a_short_record_what_there_is() -> None:
    short = {"node": "worker-1", "jumpWatts": 4.314, "standing": "measured", "preference": None}
    assert why_lines([("web-0", short)]) == ["  web-0: worker-1, +4.31 W"]
