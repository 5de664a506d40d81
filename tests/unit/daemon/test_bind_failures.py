"""A Binding fails: what ``kubectl describe pod`` shows the pod's owner, in the API server's words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest

from peaks_scheduler.daemon.scheduler.job import PATIENCE
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
from peaks_scheduler.ledger.records import State
from tests.support.builders import Json, pod
from tests.support.daemon_stage import WORKERS, Api, Stage, bound
from tests.support.virtual_time import run_virtually

WEB = pod()
UID = WEB["metadata"]["uid"]
# as kube-scheduler 1.36 puts it: framework.go RunBindPlugins
HEAD = 'running Bind plugin "DefaultBinder": '
POLICY = (
    "pods \"web-0\" is forbidden: ValidatingAdmissionPolicy 'no-binding' with binding 'no-binding' denied request: "
    "pods named denied may not run: ask the platform team"
)
NO_WEBHOOK = (
    'Internal error occurred: failed calling webhook "bind.example.com": failed to call webhook: Post '
    '"https://127.0.0.1:9/?timeout=10s": dial tcp 127.0.0.1:9: connect: connection refused'
)

Scenario = Callable[[Api, Stage], Coroutine[Any, Any, None]]


def on_stage(scenario: Scenario) -> Callable[[], None]:
    """The scenario as a test in virtual time: one pod waits, two nodes have room."""

    async def play() -> None:
        api = Api(WEB)
        stage = Stage(api)
        stage.sees(WEB)
        async with stage.running():
            await scenario(api, stage)

    def test() -> None:
        run_virtually(play())

    test.__name__ = scenario.__name__
    return test


def notes(api: Api) -> list[str]:
    return [event["note"] for event in api.events if event["reason"] == "FailedScheduling"]


def node_of(api: Api) -> str | None:
    node: str | None = api.pods["web-0"]["spec"].get("nodeName")
    return node


AT_ONCE = [
    pytest.param(Denied("POST ..: 422 ..", 422, POLICY), POLICY, id="admission policy"),
    pytest.param(Denied("POST ..: 409 ..", 409, "admission webhook denied the request: no"), "no", id="webhook, 409"),
    pytest.param(Denied("POST ..: 500 ..", 500, NO_WEBHOOK), NO_WEBHOOK, id="webhook that is down"),
    pytest.param(
        Forbidden("..", 403, 'User "peaks" cannot create resource "pods/binding"'), 'User "peaks"', id="no right"
    ),
    pytest.param(Forbidden("..", 403, "exceeded quota: team"), "exceeded quota: team", id="quota"),
    pytest.param(Forbidden("..", 401, "Unauthorized"), "Unauthorized", id="token not accepted"),
    pytest.param(
        Forbidden("..", 403, "unable to create new content in namespace x because it is being terminated"),
        "being terminated",
        id="namespace ends",
    ),
    pytest.param(KubeError("..", 400, "bad request"), "bad request", id="400"),
    pytest.param(KubeError("..", 413, "too large"), "too large", id="413"),
    pytest.param(Conflict("..", 409, "Operation cannot be fulfilled"), "Operation cannot be fulfilled", id="conflict"),
    pytest.param(ZeroDivisionError("a bug"), "ZeroDivisionError: a bug", id="an error of ours"),
]


@pytest.mark.parametrize(("error", "words"), AT_ONCE)
def test_a_binding_that_is_refused_is_told_at_once_by_event_and_condition(error: Exception, words: str) -> None:
    @on_stage
    async def scenario(api: Api, stage: Stage) -> None:
        api.answers.append(error)
        await asyncio.sleep(0.5)
        (note,) = notes(api)
        (condition,) = api.conditions
        assert note.startswith(HEAD)
        assert words in note
        assert (condition["reason"], condition["message"]) == ("SchedulerError", note)
        await asyncio.sleep(3.0)
        # and it is tried again after a second
        assert node_of(api) == "worker-1"

    scenario()


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(Unavailable("..", 503, "the server is shutting down"), id="503"),
        pytest.param(Unavailable("..", said="no route to host"), id="not reached"),
        pytest.param(Ambiguous("..", 500, "etcdserver: request timed out"), id="500"),
        pytest.param(Ambiguous("..", said="time is up"), id="no answer"),
        pytest.param(NotFound("..", 404, "the server could not find the requested resource"), id="404 with the pod"),
        pytest.param(TooManyRequests("..", 1.0, "Too many requests, please try again later."), id="429"),
    ],
)
def test_a_binding_that_stays_undone_is_told_after_half_a_minute(error: KubeError) -> None:
    @on_stage
    async def scenario(api: Api, stage: Stage) -> None:
        api.answers.extend([error] * 500)
        await asyncio.sleep(28.0)
        assert notes(api) == []  # what passes by itself is nobody's trouble
        await asyncio.sleep(5.0)
        assert notes(api) == [HEAD + error.said]
        assert api.conditions[0]["message"] == HEAD + error.said
        await asyncio.sleep(100.0)
        assert len(notes(api)) == len(api.conditions) == 1
        api.answers.clear()
        await asyncio.sleep(45.0)
        assert node_of(api) == "worker-1"

    scenario()


@on_stage
async def test_a_lasting_refusal_is_said_every_five_minutes_though_ports_in_it_change(api: Api, stage: Stage) -> None:
    for port in range(40_000, 40_900):
        api.answers.append(Denied("..", 500, f'failed calling webhook "w": read tcp 10.0.0.1:{port}: reset'))
    await asyncio.sleep(590.0)
    assert len(api.bindings) > 50
    assert len(notes(api)) == len(api.conditions) == 2


@on_stage
async def test_what_is_allowed_at_last_is_bound_at_the_next_try(api: Api, stage: Stage) -> None:
    api.answers.extend([Denied("..", 422, POLICY)] * 10_000)
    await asyncio.sleep(1000.0)
    assert node_of(api) is None
    api.answers.clear()
    await asyncio.sleep(10.5)  # the longest backoff
    assert node_of(api) == "worker-1"
    await asyncio.sleep(60.0)
    assert api.conditions[-1]["message"] == HEAD + POLICY  # nothing was written over the binding
    assert len(api.conditions) == 4


@on_stage
async def test_pods_that_are_refused_hold_up_no_other(api: Api, stage: Stage) -> None:
    refused = [pod(f"denied-{i}", cpu="1m") for i in range(300)]
    api.pods |= {each["metadata"]["name"]: each for each in refused}
    real, tries = api.bind, dict.fromkeys((each["metadata"]["name"] for each in refused), 0)

    async def bind(namespace: str, name: str, *rest: Any) -> None:
        if name in tries:
            tries[name] += 1
            await asyncio.sleep(0.01)
            raise Denied("..", 500, NO_WEBHOOK)
        await real(namespace, name, *rest)

    api.bind = bind  # type: ignore[method-assign]
    stage.sees(*refused)
    await asyncio.sleep(5.0)
    late = pod("late")
    api.pods["late"] = late
    stage.sees(late)
    await asyncio.sleep(0.5)
    assert api.pods["late"]["spec"]["nodeName"]
    assert min(tries.values()) >= 2


@pytest.mark.parametrize("raw", [bound(WEB, "worker-2"), None, pod(deleting=True)], ids=["bound", "gone", "leaving"])
def test_nobody_is_told_of_a_pod_that_waits_no_more(raw: Json | None) -> None:
    @on_stage
    async def scenario(api: Api, stage: Stage) -> None:
        async def meanwhile() -> None:
            api.pods = {} if raw is None else {"web-0": raw}
            raise Conflict("..", 409, "already assigned")

        api.answers.append(meanwhile)
        await asyncio.sleep(1.0)
        assert (notes(api), api.conditions) == ([], [])

    scenario()


@on_stage
async def test_a_lost_lease_is_not_the_pods_affair(api: Api, stage: Stage) -> None:
    stage.fence_open = False
    other = pod("other")
    api.pods["other"] = other
    stage.sees(other)
    await asyncio.sleep(20.0)
    assert stage.conflicts("fenced") > 0
    assert (notes(api), api.conditions) == ([], [])


@on_stage
async def test_events_that_are_refused_leave_the_condition(api: Api, stage: Stage) -> None:
    async def refuse(namespace: str, body: bytes) -> None:
        raise Denied("..", 403, "events may not be posted here")

    api.create_event = refuse  # type: ignore[method-assign]
    api.answers.append(Denied("..", 422, POLICY))
    await asyncio.sleep(0.5)
    assert api.conditions[0]["message"] == HEAD + POLICY
    assert stage.events.dropped == 1


@on_stage
async def test_a_binding_whose_answer_and_aftermath_are_lost_is_not_declared_failed(api: Api, stage: Stage) -> None:
    """The pod is bound, and neither the watch nor a read of ours shows it for half a minute."""
    read = api.get_pod

    async def taken() -> None:
        api.pods["web-0"] = bound(WEB, "worker-1")
        raise Ambiguous("..", said="no answer")

    async def away(namespace: str, name: str) -> Json | None:
        raise Unavailable("down")

    api.answers.extend([taken, *[Unavailable("down")] * 100])
    api.get_pod = away  # type: ignore[method-assign]
    await asyncio.sleep(32.0)
    assert stage.conflicts("unavailable") == 1
    api.get_pod = read  # type: ignore[method-assign]
    await asyncio.sleep(5.0)
    assert api.conditions == []


@on_stage
async def test_a_pod_that_cannot_be_decided_is_told_so(api: Api, stage: Stage) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    stage.scheduler._attempt = broken  # type: ignore[assignment, method-assign]
    await asyncio.sleep(0.5)
    (note,) = notes(api)
    assert note.endswith("ZeroDivisionError: a bug")
    assert api.conditions[0]["message"] == note
    assert stage.ledger.state(UID) is State.PENDING


def test_a_decision_that_does_not_stand_when_its_turn_comes_is_not_sent() -> None:
    """The API server asked for few requests and answers slowly: meanwhile the nodes go, and one of the pods."""

    async def scenario() -> None:
        pods = [pod(f"web-{i}") for i in range(4)]
        api = Api(*pods)
        stage = Stage(api)
        api.answers.extend([partial(asyncio.sleep, 9.0)] * 4)
        stage.limiter._limit = 1
        stage.sees(*pods)
        async with stage.running():
            await asyncio.sleep(5.0)
            assert len(api.bindings) == 1
            stage.loses(*WORKERS, pods[3])
            await asyncio.sleep(60.0)
        assert len(api.bindings) == 1

    run_virtually(scenario())


def test_a_decision_is_not_sent_long_after_it_was_made() -> None:
    async def scenario() -> None:
        pods = [pod(f"web-{i}", cpu="10m") for i in range(8)]
        api = Api(*pods)
        stage = Stage(api)
        begun, sent = stage.clock(), []

        async def slow() -> None:
            sent.append(stage.clock() - begun)
            await asyncio.sleep(9.0)
            raise Unavailable("503")

        api.answers.extend([slow] * 100)
        stage.limiter._limit = 1
        stage.sees(*pods)
        async with stage.running():
            await asyncio.sleep(1.0)
            stage.leading = False  # these decisions, and no others
            await asyncio.sleep(90.0)
        assert len(sent) > 1
        assert max(sent) < PATIENCE
        assert any("no turn within 30 s" in note for note in notes(api))

    run_virtually(scenario())
