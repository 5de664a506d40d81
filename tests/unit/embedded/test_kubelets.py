"""Simulated kubelets and the load of their pods, in virtual time: the tests set the clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from peaks_scheduler.embedded.apiserver import EmbeddedApiServer
from peaks_scheduler.embedded.kubelets import Kubelets
from peaks_scheduler.embedded.load_watcher_endpoint import CpuUse, LoadEndpoint

START = 1_800_000_000.0


@dataclass
class Clock:
    now: float = START

    def __call__(self) -> float:
        return self.now


def pod(name: str, cpu: str = "2", **metadata: Any) -> dict[str, Any]:
    container = {"name": "main", "resources": {"requests": {"cpu": cpu}}}
    return {"metadata": {"name": name, **metadata}, "spec": {"containers": [container]}}


def node(name: str, cpu: str = "8") -> dict[str, Any]:
    return {"metadata": {"name": name}, "status": {"capacity": {"cpu": cpu}}}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(clock: Clock) -> EmbeddedApiServer:
    return EmbeddedApiServer(clock=clock)


def phases(server: EmbeddedApiServer) -> dict[str, str]:
    return {p["metadata"]["name"]: p["status"]["phase"] for p in server.objects("pods")}


async def test_a_bound_pod_starts_after_a_moment_and_a_pending_one_never(server, clock) -> None:
    kubelets = Kubelets(server, start_after=(0.5, 0.5))
    server.add_pod(pod("bound"))
    server.add_pod(pod("pending"))
    server.bind("bound", "n")
    assert kubelets.step() == START + 0.5
    assert phases(server) == {"bound": "Pending", "pending": "Pending"}
    clock.now += 0.5
    assert kubelets.step() is None
    assert phases(server) == {"bound": "Running", "pending": "Pending"}


async def test_a_running_pod_says_since_when_and_keeps_what_the_binding_wrote(server, clock) -> None:
    kubelets = Kubelets(server, start_after=(1.0, 1.0))
    server.add_pod(pod("a"))
    server.bind("a", "n")
    clock.now += 1.0
    kubelets.step()
    status = server.get("pods", "a")["status"]
    assert status["startTime"] == "2027-01-15T08:00:01Z"
    assert status["containerStatuses"][0]["state"] == {"running": {"startedAt": "2027-01-15T08:00:01Z"}}
    conditions = {c["type"]: c["status"] for c in status["conditions"]}
    assert conditions == dict.fromkeys(("PodScheduled", "Initialized", "ContainersReady", "Ready"), "True")


async def test_a_pod_whose_work_is_done_succeeds_and_is_removed_later(server, clock) -> None:
    kubelets = Kubelets(server, lambda pod: 3.0, start_after=(1.0, 1.0), removed_after=2.0)
    server.add_pod(pod("a"))
    server.bind("a", "n")
    seen = []
    for seconds in (1.0, 3.0, 2.0):
        clock.now += seconds
        kubelets.step()
        seen.append(phases(server).get("a"))
    assert seen == ["Running", "Succeeded", None]


async def test_a_finished_pod_says_when_it_ran(server, clock) -> None:
    kubelets = Kubelets(server, lambda pod: 3.0, start_after=(1.0, 1.0))
    server.add_pod(pod("a"))
    server.bind("a", "n")
    for seconds in (1.0, 3.0):
        clock.now += seconds
        kubelets.step()
    ended = server.get("pods", "a")["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["startedAt"], ended["finishedAt"]) == ("2027-01-15T08:00:01Z", "2027-01-15T08:00:04Z")


async def test_a_bound_pod_that_is_deleted_leaves_and_one_of_the_same_name_is_not_mistaken_for_it(
    server, clock
) -> None:
    kubelets = Kubelets(server, start_after=(0.5, 0.5))
    server.add_pod(pod("a"))
    server.bind("a", "n")
    server.remove("pods", "a")
    server.add_pod(pod("a"))  # the same name, another pod, not bound
    clock.now += 1.0
    kubelets.step()
    assert phases(server) == {"a": "Pending"}


def running(uid: str, started: str, cpu: str = "2", node: str = "n") -> dict[str, Any]:
    body = pod(uid, cpu, uid=uid)
    body["spec"]["nodeName"] = node
    body["status"] = {"containerStatuses": [{"state": {"running": {"startedAt": started}}}]}
    return body


@pytest.mark.parametrize(
    ("started", "cores"),
    [
        ("2027-01-15T07:00:00Z", 2.5),  # before the window: all of it, and the node's own half core
        ("2027-01-15T07:59:45Z", 1.5),  # in the middle of the window: half of it
        ("2027-01-15T08:00:00Z", 0.5),  # at its end: nothing yet
    ],
    ids=["before", "middle", "end"],
)
def test_an_average_holds_the_share_of_the_window_that_a_pod_lived(started: str, cores: float) -> None:
    use = CpuUse({"n": 0.5})
    use.observe(running("a", started))
    assert use.averages(START - 30, START) == {"n": pytest.approx(cores)}


def test_a_pod_that_ended_fades_out_of_the_average() -> None:
    use = CpuUse({"n": 0.0})
    use.observe(running("a", "2027-01-15T07:00:00Z", cpu="3"))
    use.gone({"metadata": {"uid": "a"}}, START)
    averages = [use.averages(START - 30 + later, START + later)["n"] for later in (0, 10, 20, 30)]
    assert averages == pytest.approx([3.0, 2.0, 1.0, 0.0])


async def test_the_endpoint_answers_in_load_watchers_form_what_the_kubelets_run(server, clock) -> None:
    server.add_node(node("n", cpu="8"))
    server.add_node(node("idle", cpu="4"))
    kubelets = Kubelets(server, start_after=(1.0, 1.0))
    async with LoadEndpoint(server, {"n": 0.8, "idle": 0.1}, window=30) as load, aiohttp.ClientSession() as client:
        server.add_pod(pod("a", cpu="4"))
        server.bind("a", "n")
        clock.now += 1.0
        kubelets.step()
        clock.now += 15.0  # half the window: 0.8 + 4/2 = 2.8 of 8 cores
        async with client.get(f"{load.url}/watcher") as response:
            answer = await response.json()
        async with client.get(f"{load.url}/watcher?host=nobody") as response:
            assert (response.status, await response.text()) == (404, "No metrics found for host nobody")
    assert answer["window"] == {"duration": "30s", "start": int(START) - 14, "end": int(START) + 16}
    metrics = {name: entry["metrics"] for name, entry in answer["data"]["NodeMetricsMap"].items()}
    assert [(m["type"], m["operator"]) for m in metrics["n"]] == [("CPU", "AVG")]
    assert metrics["n"][0]["value"] == pytest.approx(35.0)
    assert metrics["idle"][0]["value"] == pytest.approx(2.5)
