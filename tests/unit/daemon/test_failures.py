"""When a pod's owner is told why it was not placed, and when that is not repeated."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from peaks_scheduler.daemon.scheduler.failures import CHANGED, UNCHANGED
from peaks_scheduler.errors import (
    Ambiguous,
    Conflict,
    Denied,
    Forbidden,
    KubeError,
    NotFound,
    TooManyRequests,
    Unavailable,
)
from peaks_scheduler.kube.clock import whole_time
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.scheduling.decision import UNSUPPORTED, Diagnosis
from tests.support.builders import NOW, Json, anti_affinity, node, pod, read, taint
from tests.support.daemon_stage import Api, Stage, bound, until
from tests.support.virtual_time import run_virtually

POD = read(pod())
NO_CPU = Diagnosis(2, Counter({"Insufficient cpu": 2}))
NO_MEMORY = Diagnosis(2, Counter({"Insufficient memory": 2}))

Scenario = Callable[[Api, Stage], Coroutine[Any, Any, None]]


def on_stage(scenario: Scenario) -> Callable[[], None]:
    """The scenario as a test in virtual time, its writers running."""

    async def play() -> None:
        api = Api()
        stage = Stage(api)
        async with stage.running():
            await scenario(api, stage)

    def test() -> None:
        run_virtually(play())

    test.__name__ = scenario.__name__
    return test


async def refuse(stage: Stage, diagnosis: Diagnosis, whom: Pod = POD) -> bool:
    """An attempt failed; whether it was worth telling, once that is written."""
    said = stage.failures.failed(whom, diagnosis)
    await asyncio.sleep(0.1)
    return said


def messages(api: Api) -> list[str]:
    return [condition["message"] for condition in api.conditions]


@on_stage
async def test_a_new_refusal_is_told_at_once_by_condition_and_event(api: Api, stage: Stage) -> None:
    assert await refuse(stage, NO_CPU)
    (condition,) = api.conditions
    assert condition == {
        "pod": "web-0",
        "uid": "uid-default-web-0",
        "reason": "Unschedulable",
        "message": "0/2 nodes are available: 2 Insufficient cpu.",
        "since": whole_time(NOW),
    }
    (event,) = api.events
    assert (event["reason"], event["note"]) == ("FailedScheduling", condition["message"])


@on_stage
async def test_the_same_words_are_said_again_after_five_minutes_and_no_sooner(api: Api, stage: Stage) -> None:
    said = []
    for _ in range(61):
        said.append(await refuse(stage, NO_CPU))
        await asyncio.sleep(9.9)
    assert [10 * i for i, told in enumerate(said) if told] == [0, UNCHANGED, 2 * UNCHANGED]
    assert len(api.conditions) == len(api.events) == 3
    # the condition's status is what it was: its time stays
    assert [condition["since"] for condition in api.conditions] == [whole_time(NOW), None, None]


@on_stage
async def test_other_words_are_said_after_ten_seconds(api: Api, stage: Stage) -> None:
    assert await refuse(stage, NO_CPU)
    assert not await refuse(stage, NO_MEMORY)
    await asyncio.sleep(CHANGED)
    assert await refuse(stage, NO_MEMORY)
    assert messages(api) == [NO_CPU.message, NO_MEMORY.message]
    assert api.told("FailedScheduling") == ["web-0", "web-0"]


async def pass_seconds(stage: Stage, seconds: int) -> None:
    """As the daemon does every second."""
    for _ in range(seconds):
        await asyncio.sleep(1.0)
        stage.failures.tick()
    await asyncio.sleep(0.1)


@on_stage
async def test_other_words_that_come_too_soon_are_said_once_ten_seconds_are_over(api: Api, stage: Stage) -> None:
    await refuse(stage, NO_CPU)
    await refuse(stage, NO_MEMORY)
    await pass_seconds(stage, 9)
    assert messages(api) == [NO_CPU.message]
    await pass_seconds(stage, 10)
    assert messages(api) == [NO_CPU.message, NO_MEMORY.message]
    assert len(api.events) == 2


@on_stage
async def test_words_that_were_taken_back_in_time_are_never_said(api: Api, stage: Stage) -> None:
    for diagnosis in (NO_CPU, NO_MEMORY, NO_CPU):
        await refuse(stage, diagnosis)
    await pass_seconds(stage, 20)
    assert messages(api) == [NO_CPU.message]


@on_stage
async def test_of_a_pod_that_found_a_node_nothing_more_is_said(api: Api, stage: Stage) -> None:
    await refuse(stage, NO_CPU)
    await refuse(stage, NO_MEMORY)
    stage.failures.withdraw(POD.uid)
    await pass_seconds(stage, 20)
    other = read(pod("web-1"))
    stage.failures.failed(other, NO_CPU)
    stage.failures.withdraw(other.uid)
    await pass_seconds(stage, 20)
    assert messages(api) == [NO_CPU.message]
    # its event was posted; the condition that was withdrawn unwritten is written when the pod is refused again
    assert not await refuse(stage, NO_CPU, other)
    assert [condition["pod"] for condition in api.conditions] == ["web-0", "web-1"]
    assert api.conditions[1]["since"] is not None
    assert api.told("FailedScheduling") == ["web-0", "web-1"]


@on_stage
async def test_pods_are_told_apart(api: Api, stage: Stage) -> None:
    assert await refuse(stage, NO_CPU)
    assert await refuse(stage, NO_CPU, read(pod("web-1")))
    assert [condition["pod"] for condition in api.conditions] == ["web-0", "web-1"]


@on_stage
async def test_a_pod_that_was_placed_and_is_refused_anew_is_told_anew(api: Api, stage: Stage) -> None:
    await refuse(stage, NO_CPU)
    stage.failures.forget(POD.uid)
    assert await refuse(stage, NO_CPU)


@on_stage
async def test_a_pod_placed_before_its_condition_was_written_keeps_a_clean_record(api: Api, stage: Stage) -> None:
    stage.failures.failed(POD, NO_CPU)
    stage.failures.forget(POD.uid)
    other = read(pod("web-1"))
    await refuse(stage, NO_MEMORY, other)
    assert [condition["pod"] for condition in api.conditions] == ["web-1"]


@on_stage
async def test_what_would_not_be_cured_by_more_nodes_is_not_called_unschedulable(api: Api, stage: Stage) -> None:
    await refuse(stage, Diagnosis(2, unsupported=("spec.volumes[0]",), condition=UNSUPPORTED))
    (condition,) = api.conditions
    assert condition["reason"] == "UnsupportedConstraint"
    assert "spec.volumes[0]" in condition["message"]


@on_stage
async def test_behind_the_fence_no_condition_is_written_and_none_passes_for_written(api: Api, stage: Stage) -> None:
    stage.fence_open = False
    await refuse(stage, NO_CPU)
    assert api.conditions == []
    stage.fence_open = True
    await refuse(stage, NO_CPU)
    assert messages(api) == [NO_CPU.message]


@pytest.mark.parametrize(
    "error",
    [Forbidden("no right", 403), Denied("by a policy", 422), KubeError("strange", 400)],
    ids=["forbidden", "denied", "bad request"],
)
def test_a_condition_that_is_refused_is_tried_at_each_attempt_and_its_event_posted_once(
    error: KubeError, caplog: pytest.LogCaptureFixture
) -> None:
    @on_stage
    async def scenario(api: Api, stage: Stage) -> None:
        api.condition_answers.extend([error] * 3)
        for _ in range(3):
            await refuse(stage, NO_CPU)
        assert api.conditions == []
        await refuse(stage, NO_CPU)
        assert messages(api) == [NO_CPU.message]
        assert api.conditions[0]["since"] is not None  # the first of ours that is there
        assert api.told("FailedScheduling") == ["web-0"]

    scenario()
    assert [record.message for record in caplog.records] == ["condition not written"]


@pytest.mark.parametrize(
    "error",
    [Unavailable("down"), Ambiguous("no answer"), TooManyRequests("busy", 3.0)],
    ids=["away", "no answer", "too many requests"],
)
def test_a_condition_that_the_api_server_was_away_for_is_written_when_it_is_back(error: KubeError) -> None:
    @on_stage
    async def scenario(api: Api, stage: Stage) -> None:
        api.condition_answers.extend([error] * 4)
        await refuse(stage, NO_CPU)
        await asyncio.sleep(15.0)  # without another attempt: the pod may wait five minutes for one
        assert messages(api) == [NO_CPU.message]
        assert api.told("FailedScheduling") == ["web-0"]

    scenario()


@on_stage
async def test_a_condition_that_waits_for_the_api_server_is_not_written_over_a_node_found_meanwhile(
    api: Api, stage: Stage
) -> None:
    api.condition_answers.append(Unavailable("down"))
    await refuse(stage, NO_CPU)
    stage.failures.withdraw(POD.uid)
    await asyncio.sleep(15.0)
    assert api.conditions == []


@on_stage
async def test_pods_whose_conditions_are_refused_hold_up_no_other(api: Api, stage: Stage) -> None:
    api.condition_answers.extend([Denied("by a policy", 403)] * 50)
    for i in range(51):
        stage.failures.failed(read(pod(f"web-{i}")), NO_CPU)
    await asyncio.sleep(0.5)
    assert [condition["pod"] for condition in api.conditions] == ["web-50"]


@on_stage
async def test_a_message_of_any_length_fits_into_event_and_condition(api: Api, stage: Stage) -> None:
    stage.failures.say(POD, "SchedulerError", "nein, ä " * 4000)
    await asyncio.sleep(0.1)
    note, message = api.events[0]["note"], api.conditions[0]["message"]
    assert len(note.encode()) <= 1024 < len(message.encode()) <= 4096
    assert (note[-4:], message[-4:]) == (" ...", " ...")
    # cut texts differ in nothing that is seen
    assert not stage.failures.say(POD, "SchedulerError", "nein, ä " * 4000)


@on_stage
async def test_no_token_or_password_comes_into_event_or_condition(api: Api, stage: Stage) -> None:
    stage.failures.say(POD, "SchedulerError", "proxy http://me:geheim@proxy:3128: Bearer abc.def refused")
    await asyncio.sleep(0.1)
    told = api.events[0]["note"] + api.conditions[0]["message"]
    assert "refused" in told
    assert not [secret for secret in ("geheim", "abc.def") if secret in told]


@on_stage
async def test_words_that_count_as_alike_are_said_once(api: Api, stage: Stage) -> None:
    for port in (40001, 40002):
        stage.failures.say(POD, "SchedulerError", f"from port {port}: reset", alike="from port #: reset")
        await asyncio.sleep(20.0)
    assert [event["note"] for event in api.events] == ["from port 40001: reset"]


@pytest.mark.parametrize("then", ["bound", "another of that name", "gone"])
def test_of_a_pod_that_may_be_bound_unseen_it_is_looked_up_first(then: str) -> None:
    @on_stage
    async def scenario(api: Api, stage: Stage) -> None:
        raw = pod()
        api.pods = {
            "bound": {"web-0": bound(raw, "worker-1")},
            "another of that name": {"web-0": pod(uid="other")},
            "gone": {},
        }[then]
        stage.failures.say(POD, "SchedulerError", "no answer", look_first=True)
        await asyncio.sleep(5.0)
        assert api.conditions == []
        assert api.told("FailedScheduling") == ["web-0"]

    scenario()


@pytest.mark.parametrize("error", [NotFound("gone", 404), Conflict("another uid", 409)], ids=["gone", "replaced"])
def test_a_pod_that_is_gone_needs_no_condition(error: KubeError, caplog: pytest.LogCaptureFixture) -> None:
    @on_stage
    async def scenario(api: Api, stage: Stage) -> None:
        api.condition_answers.append(error)
        await refuse(stage, NO_CPU)
        await asyncio.sleep(5.0)
        assert api.conditions == []

    scenario()
    assert caplog.records == []


@on_stage
async def test_one_condition_that_fails_for_no_known_reason_does_not_end_the_writers(api: Api, stage: Stage) -> None:
    api.condition_answers.extend([ZeroDivisionError("a bug")] * 2)  # type: ignore[list-item]
    for i in range(4):
        await refuse(stage, NO_CPU, read(pod(f"web-{i}")))
    assert [condition["pod"] for condition in api.conditions] == ["web-2", "web-3"]


@on_stage
async def test_a_node_that_was_found_in_vain_is_told_in_its_own_words(api: Api, stage: Stage) -> None:
    assert stage.failures.say(POD, "SchedulerError", "binding volumes: too late")
    await asyncio.sleep(0.1)
    assert (api.conditions[0]["reason"], api.conditions[0]["message"]) == (
        "SchedulerError",
        "binding volumes: too late",
    )
    assert [event["note"] for event in api.events] == ["binding volumes: too late"]


# --- preemption -------------------------------------------------------------------------------------------------------

NOT_DONE = " preemption: not done by this scheduler"
NO_ROOM = "0/1 nodes are available: 1 Insufficient cpu."


def on_worker(cpu: str = "3", priority: int = 0, **more: Any) -> Json:
    return bound(pod("theirs", cpu=cpu, priority=priority, scheduler="default-scheduler", **more), "worker-1")


TAINTED = node(cpu="4", taints=[taint()])
AWAY = anti_affinity({"app": "db"})


@pytest.mark.parametrize(
    ("there", "waits", "told"),
    [
        pytest.param((node(cpu="4"), on_worker()), {"cpu": "2", "priority": 100}, True, id="a lower one is there"),
        pytest.param((node(cpu="4"), on_worker(priority=100)), {"cpu": "2", "priority": 100}, False, id="an equal one"),
        pytest.param((node(cpu="4"), on_worker(priority=-10)), {"cpu": "2"}, True, id="one below the usual"),
        pytest.param((node(cpu="4"), on_worker()), {"cpu": "8", "priority": 100}, False, id="the node is too small"),
        pytest.param(
            (node(cpu="4"), on_worker()),
            {"cpu": "2", "priority": 100, "preemptionPolicy": "Never"},
            False,
            id="it does not want that",
        ),
        pytest.param((TAINTED, on_worker()), {"cpu": "2", "priority": 100}, False, id="that would not help"),
        pytest.param(
            (node(cpu="4"), on_worker(cpu="1", labels={"app": "db"})),
            {"cpu": "2", "priority": 100, "affinity": AWAY},
            True,
            id="it shuns a lower one",
        ),
        pytest.param(
            (node(cpu="4"), on_worker()),
            {"cpu": "2", "priority": 100, "resourceClaims": [{"name": "gpu"}]},
            False,
            id="it is refused in any case",
        ),
    ],
)
def test_an_owner_is_told_by_event_alone_where_lower_pods_would_have_had_to_go(
    there: tuple[Json, ...], waits: Json, told: bool
) -> None:
    async def scenario() -> None:
        waiting = pod("urgent", **waits)
        api = Api(waiting)
        stage = Stage(api, nodes=())
        stage.sees(*there, waiting)
        async with stage.running():
            await until(lambda: bool(api.events and api.conditions))
        (note,) = (event["note"] for event in api.events)
        assert note.endswith(NOT_DONE) == told
        assert note.removesuffix(NOT_DONE) == api.conditions[0]["message"]
        assert NOT_DONE not in api.conditions[0]["message"]

    run_virtually(scenario())


@on_stage
async def test_nobody_is_asked_for_a_postscript_that_is_not_posted(api: Api, stage: Stage) -> None:
    asked: list[str] = []

    def more() -> str:
        asked.append("now")
        return " and more"

    for _ in range(3):
        stage.failures.say(POD, "Unschedulable", "no", more)
    await asyncio.sleep(0.1)
    assert asked == ["now"]
    assert [event["note"] for event in api.events] == ["no and more"]


class SlowApi(Api):
    """Conditions need a second to be sent, as over a connection that opens: then the fence is asked."""

    async def patch_pod_scheduled(self, *words: Any, **more: Any) -> None:
        await asyncio.sleep(1.0)
        await super().patch_pod_scheduled(*words, **more)


def withdrawn(stage: Stage) -> None:
    stage.failures.withdraw(POD.uid)


def lease_lost(stage: Stage) -> None:
    stage.fence_open = False


@pytest.mark.parametrize("meanwhile", [withdrawn, lease_lost])
def test_a_condition_that_is_not_true_any_more_when_it_would_be_sent_is_not(
    meanwhile: Callable[[Stage], None], caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        api = SlowApi()
        stage = Stage(api)
        async with stage.running():
            stage.failures.failed(POD, NO_CPU)
            await asyncio.sleep(0.5)
            meanwhile(stage)
            await asyncio.sleep(60.0)
        assert api.conditions == []

    run_virtually(scenario())
    assert caplog.records == []


@on_stage
async def test_a_replica_that_has_lost_the_lease_tells_nothing_that_it_held_back(api: Api, stage: Stage) -> None:
    await refuse(stage, NO_CPU)
    await refuse(stage, NO_MEMORY)
    stage.fence_open = False
    for _ in range(60):
        stage.failures.tick()
        await asyncio.sleep(1.0)
    assert len(api.told("FailedScheduling")) == 1


def test_an_api_server_that_asks_for_no_pause_is_not_asked_in_a_loop() -> None:
    async def scenario() -> None:
        api = Api()
        api.condition_answers.extend([TooManyRequests("slow down", 0.0)] * 1000)
        stage = Stage(api)
        async with stage.running():
            stage.failures.failed(POD, NO_CPU)
            await asyncio.sleep(60.0)
        assert len(api.condition_answers) > 960

    run_virtually(scenario())
