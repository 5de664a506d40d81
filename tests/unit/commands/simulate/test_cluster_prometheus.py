"""A user's own cluster out of what kube-state-metrics and cAdvisor told a Prometheus.

The range is two days from ``START``, in steps of five minutes; series are scraped all the time that they are there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from peaks_scheduler.commands.simulate.cluster.history import History, Span
from peaks_scheduler.commands.simulate.cluster.prometheus import nodes_of, request_of, workload_of
from peaks_scheduler.commands.simulate.cluster.seen_nodes import told_label
from peaks_scheduler.errors import ConfigurationError, LoadError
from peaks_scheduler.power.curves import Linear
from peaks_scheduler.power.models import PowerModel, PowerModels
from peaks_scheduler.settings.settings import Settings
from peaks_scheduler.simulation.workload import Job, Workload
from peaks_scheduler.sources.prometheus.answers import Series
from tests.support.builders import models
from tests.support.told_prometheus import Told, ToldPrometheus

STEP = 300.0
START = 1_800_000_000.0
HOUR = 3600.0
END = START + 48 * HOUR
CURVE = Linear(100.0, 200.0)


def told(name: str, value: float = 1.0, start: float = START - HOUR, end: float = END, **labels: str) -> Told:
    return Told(name, labels, value, start, end)


def node(
    name: str = "worker-1", *, start: float = START - HOUR, end: float = END, taints: Sequence[str] = (), **labels: str
) -> list[Told]:
    life = {"start": start, "end": end}
    found = [
        told("kube_node_info", node=name, internal_ip="10.0.0.1", **life),
        told("kube_node_labels", node=name, **labels, **life),
    ]
    for metric in ("kube_node_status_capacity", "kube_node_status_allocatable"):
        found.append(told(metric, 8.0, node=name, resource="cpu", unit="core", **life))
        found.append(told(metric, 32.0 * 2**30, node=name, resource="memory", unit="byte", **life))
    return found + [
        told("kube_node_spec_taint", node=name, key=key, value="", effect="NoSchedule", **life) for key in taints
    ]


def pod(
    name: str = "web-0",
    *,
    node: str = "worker-1",
    owner: tuple[str, str] = ("ReplicaSet", "web-1a"),
    start: float = START - HOUR,
    end: float = END,
    cpu: Mapping[str, float] | None = None,
    claim: str = "",
    uid: str = "",
    completed: float | None = None,
    started: bool = True,
    outer: str = "",
) -> list[Told]:
    """The series of one pod. ``outer``: prefix of the labels where Prometheus sets labels of its own."""
    who = {f"{outer}namespace": "default", f"{outer}pod": name, "uid": uid or f"uid-{name}"}
    kind, owner_name = owner

    def series(metric: str, value: float = 1.0, **labels: str) -> Told:
        return Told(metric, {**who, **labels}, value, start, end)

    found = [
        series("kube_pod_info", **{f"{outer}node": node}, created_by_kind=kind, created_by_name=owner_name),
        series("kube_pod_created", start),
    ]
    if started:
        found.append(series("kube_pod_start_time", start))
    for container, cores in ({"main": 1.0} if cpu is None else cpu).items():
        requests = series(
            "kube_pod_container_resource_requests",
            cores,
            **{f"{outer}container": container},
            resource="cpu",
            unit="core",
        )
        found.append(requests)
    if completed is not None:
        found += [
            series("kube_pod_completion_time", completed),
            series("kube_pod_status_phase", 1.0, phase="Succeeded"),
        ]
    if claim:
        found.append(
            series("kube_pod_spec_volumes_persistentvolumeclaims_info", volume="data", persistentvolumeclaim=claim)
        )
    return found


def use(name: str, *cores: float, first: float = START + STEP) -> Series:
    """The use of a pod at the end of every step from ``first`` on."""
    times = first + STEP * np.arange(len(cores))
    return Series({"namespace": "default", "pod": name}, times, np.array(cores))


def history(*series: list[Told], **more: Any) -> History:
    return History(ToldPrometheus([each for its in series for each in its], **more), Span(START, END, STEP))  # type: ignore[arg-type]


async def workload(*series: list[Told], **more: Any) -> Workload:
    return await workload_of(history(*series, **more), Settings())


async def jobs(*series: list[Told], **more: Any) -> Mapping[str, Job]:
    return {job.name: job for job in (await workload(*series, **more)).jobs}


# --- nodes ------------------------------------------------------------------------------------------------------------


async def test_a_node_is_what_kube_state_metrics_told_of_it() -> None:
    (only,), _ = await nodes_of(history(node("worker-1", taints=["dedicated"])), models(CURVE))
    assert (only.name, only.cpu_cores, only.memory_mib, only.curve) == ("worker-1", 8.0, 32 * 1024.0, CURVE)
    assert only.node is not None
    assert [each.key for each in only.node.taints] == ["dedicated"]


async def test_a_taint_that_tells_of_the_nodes_condition_passes() -> None:
    ((only,), _) = await nodes_of(history(node(taints=["node.kubernetes.io/unreachable"])), models(CURVE))
    assert only.node is not None
    assert only.node.taints == ()


@pytest.mark.parametrize(
    ("key", "spelled"),
    [
        ("node.kubernetes.io/instance-type", "label_node_kubernetes_io_instance_type"),
        ("nodeKind", "label_node_kind"),
        ("GPU", "label_gpu"),
    ],
)
def test_keys_of_labels_are_spelled_as_kube_state_metrics_does(key: str, spelled: str) -> None:
    """By the cases of its own toSnakeCase and SanitizeLabelName."""
    assert told_label(key) == spelled


BY_LABEL = PowerModels(by_selector=(({"node.kubernetes.io/instance-type": "big"}, PowerModel("big", CURVE)),))


async def test_a_model_finds_its_nodes_by_a_label() -> None:
    there = history(node("worker-1", label_node_kubernetes_io_instance_type="big"))
    ((only,), _) = await nodes_of(there, BY_LABEL)
    assert (only.curve, only.kind) == (CURVE, "big")


async def test_without_labels_the_error_says_how_kube_state_metrics_tells_them() -> None:
    with pytest.raises(ConfigurationError, match=r"none for 1 of 1 \(worker-1\).*--metric-labels-allowlist"):
        await nodes_of(history(node()), BY_LABEL)


async def test_a_node_that_came_later_is_told() -> None:
    there = history(node("worker-1"), node("worker-2", start=START + 10 * HOUR))
    nodes, notes = await nodes_of(there, models(CURVE))
    assert len(nodes) == 2
    assert "1 node there for a part of the range only, taken as there all the time (worker-2)" in notes


async def test_a_prometheus_without_kube_state_metrics_is_an_error_in_words() -> None:
    with pytest.raises(
        ConfigurationError, match="kube_node_info in the range, got none: is kube-state-metrics installed"
    ):
        await nodes_of(history(), models(CURVE))


async def test_two_clusters_behind_one_prometheus_have_to_be_told_apart() -> None:
    there = history([told("kube_node_info", node="worker-1", cluster=name) for name in ("east", "west")])
    with pytest.raises(
        ConfigurationError, match=r"got cluster east, west: choose one with --prometheus-match 'cluster="
    ):
        await nodes_of(there, models(CURVE))


# --- pods -------------------------------------------------------------------------------------------------------------


async def test_a_pod_that_was_there_all_the_time_runs_from_the_start_to_the_end() -> None:
    job = (await jobs(node(), pod()))["default/web-0"]
    assert (job.arrival_s, job.duration_s, job.cpu_cores, job.node) == (0.0, 48 * HOUR, 1.0, "")


async def test_a_pod_arrives_when_it_was_created_and_ends_when_it_was_last_told_of() -> None:
    job = (await jobs(node(), pod(start=START + HOUR, end=START + 3 * HOUR)))["default/web-0"]
    assert (job.arrival_s, job.duration_s) == (HOUR, 2 * HOUR)


async def test_a_pod_that_completed_ends_then_although_it_is_still_told_of() -> None:
    job = (await jobs(node(), pod(start=START + HOUR, completed=START + 2 * HOUR)))["default/web-0"]
    assert job.duration_s == HOUR


async def test_a_pod_that_completed_before_the_range_is_left_out() -> None:
    found = await workload(node(), pod(), pod("old", start=START - 5 * HOUR, completed=START - HOUR))
    assert [job.name for job in found.jobs] == ["default/web-0"]


async def test_a_pod_that_never_started_is_left_out_and_counted() -> None:
    found = await workload(node(), pod(), pod("stuck", node="", started=False))
    assert [job.name for job in found.jobs] == ["default/web-0"]
    assert "1 pod left out, never started in the range (default/stuck)" in found.notes


async def test_the_requests_of_containers_add_up() -> None:
    job = (await jobs(node(), pod(cpu={"main": 1.0, "proxy": 0.25})))["default/web-0"]
    assert job.cpu_cores == 1.25


async def test_a_pod_of_a_daemon_set_and_a_static_pod_stay() -> None:
    found = await jobs(node(), pod("agent", owner=("DaemonSet", "agent")), pod("etcd", owner=("Node", "worker-1")))
    assert {name: job.node for name, job in found.items()} == {"default/agent": "worker-1", "default/etcd": "worker-1"}


def stored(volume: str, **where: str) -> list[Told]:
    paths = {"local_path": "", "host_path": "", **where}
    return [
        told("kube_persistentvolumeclaim_info", namespace="default", persistentvolumeclaim="data", volumename=volume),
        told("kube_persistentvolume_info", persistentvolume=volume, **paths),
    ]


async def test_a_pod_with_a_local_volume_stays_and_one_with_another_volume_may_move() -> None:
    local = await jobs(node(), pod(claim="data"), stored("pv-1", local_path="/data"))
    remote = await jobs(node(), pod(claim="data"), stored("pv-1"))
    assert (local["default/web-0"].node, remote["default/web-0"].node) == ("worker-1", "")


async def test_a_pod_that_ran_on_a_tainted_node_tolerates_its_taint_and_so_do_its_siblings() -> None:
    there = [*node("worker-1", taints=["dedicated"]), *node("worker-2")]
    found = await jobs(there, pod("web-0"), pod("web-1", node="worker-2"), pod("x", node="worker-2", owner=("", "")))
    keys = {name: [each.key for each in job.pod.tolerations] for name, job in found.items() if job.pod}
    assert keys == {"default/web-0": ["dedicated"], "default/web-1": ["dedicated"], "default/x": []}


async def test_two_pods_of_one_name_are_two_jobs() -> None:
    """A StatefulSet makes the pod again under its name."""
    before, after = pod(uid="1", end=START + HOUR), pod(uid="2", start=START + 2 * HOUR)
    assert sorted(await jobs(node(), before, after)) == ["default/web-0", "default/web-0.2"]


async def test_labels_that_prometheus_sets_itself_hide_no_pod() -> None:
    """Without honorLabels, namespace and pod are kube-state-metrics' own, and the pods' are exported_..."""
    series = [
        Told(each.name, {**each.labels, "namespace": "monitoring", "pod": "ksm-0"}, each.value, each.start, each.end)
        for each in pod(outer="exported_")
    ]
    assert list(await jobs(node(), series)) == ["default/web-0"]


async def test_the_first_hours_without_kube_state_metrics_are_left_out() -> None:
    began = START + 12 * HOUR
    found = await workload(node(start=began), pod(start=began))
    assert found.jobs[0].duration_s == pytest.approx(36 * HOUR, abs=1.0)
    assert "nothing was told of the first 12.0 h of the range: left out" in found.notes


async def test_a_range_without_a_pod_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="expected pods that ran in the range"):
        await workload(node())


# --- use --------------------------------------------------------------------------------------------------------------


async def test_the_use_of_a_pod_is_a_step_for_every_change_and_its_mean() -> None:
    """An hour at 0.5 cores, then an hour at 2: the mean is 1.25."""
    there = pod(start=START, end=START + 2 * HOUR)
    job = (await jobs(node(), there, use=[use("web-0", *12 * [0.5], *12 * [2.0])]))["default/web-0"]
    assert job.usage == ((0.0, 0.5), (HOUR, 2.0))
    assert job.cpu_used_cores == pytest.approx(1.25)


async def test_constant_use_needs_no_steps() -> None:
    job = (await jobs(node(), pod(), use=[use("web-0", *576 * [0.3])]))["default/web-0"]
    assert (job.usage, job.cpu_used_cores) == ((), pytest.approx(0.3))


async def test_a_rate_over_a_time_in_which_the_pod_lived_for_a_part_is_that_part_of_its_use() -> None:
    """The pod lived for 150 s of the first and of the last step of 300 s: their rates say half."""
    there = pod(start=START + 150.0, end=START + 150.0 + HOUR)
    job = (await jobs(node(), there, use=[use("web-0", 0.5, *11 * [1.0], 0.5)]))["default/web-0"]
    assert (job.usage, job.cpu_used_cores) == ((), pytest.approx(1.0))


async def test_a_pod_whose_use_nobody_told_uses_a_share_of_its_request() -> None:
    found = await workload(node(), pod(cpu={"main": 3.0}))
    assert found.jobs[0].cpu_used_cores == 1.5
    assert any(note.startswith("1 pod without a measured CPU use, taken as 50% of the request") for note in found.notes)


async def test_the_query_for_use_counts_no_container_twice() -> None:
    there = history(node(), pod())
    await workload_of(there, Settings())
    (query,) = {each for each in there.api.asked if "container_cpu_usage_seconds_total" in each}  # type: ignore[attr-defined]
    assert query == (
        "max by (namespace, pod) (sum without (container, id, image, name, cpu) (rate("
        'container_cpu_usage_seconds_total{container!="",container!="POD",pod!=""}[300s])))'
    )


# --- what is too much -------------------------------------------------------------------------------------------------


async def test_what_is_too_much_for_the_server_is_asked_for_in_parts_and_gives_the_same() -> None:
    there = [node(), pod(), pod("web-1", start=START + HOUR, end=START + 20 * HOUR)]
    told_use = [use("web-0", *np.linspace(0.1, 1.0, 576)), use("web-1", *20 * [0.4], first=START + HOUR + STEP)]
    assert (await workload(*there, use=told_use, most=2 * HOUR)).jobs[0].usage == (
        await workload(*there, use=told_use)
    ).jobs[0].usage
    assert await jobs_without_pods(*there, use=told_use, most=2 * HOUR) == await jobs_without_pods(*there, use=told_use)


async def jobs_without_pods(*series: list[Told], **more: Any) -> list[tuple[object, ...]]:
    found = (await workload(*series, **more)).jobs
    return [(job.name, job.arrival_s, job.duration_s, job.usage, job.node) for job in found]


async def test_a_server_for_which_a_single_step_is_too_much_is_an_error() -> None:
    with pytest.raises(LoadError, match="too many samples"):
        await workload(node(), pod(), most=STEP / 2)


# --- the option -------------------------------------------------------------------------------------------------------


def test_range_and_step_come_from_the_address() -> None:
    settings, range_s, step_s = request_of("https://example.org/p?range=2d12h&step=10m", Settings())
    assert (settings.prometheus.address, range_s, step_s) == ("https://example.org/p", 60 * HOUR, 600.0)


def test_a_week_in_steps_of_five_minutes_is_the_default() -> None:
    assert request_of("http://example.org", Settings())[1:] == (7 * 24 * HOUR, 300.0)


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("rnage=7d", "did you mean 'range'"),
        ("range=week", "got 'week'"),
        ("range=5m", "at least two steps"),
        ("step=0s", "got '0s'"),
    ],
)
def test_a_wrong_option_is_an_error_in_words(query: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        request_of(f"http://example.org?{query}", Settings())
