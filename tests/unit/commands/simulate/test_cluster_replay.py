"""A dump all the way through the engine: what stays stays, what a taint forbids does not happen, and the answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from peaks_scheduler.commands.simulate.cluster.dump import nodes_of_dump, workload_of_dump
from peaks_scheduler.commands.simulate.cluster.nodes import believed
from peaks_scheduler.power.curves import Linear
from peaks_scheduler.power.models import EMPTY
from peaks_scheduler.settings.settings import Settings
from peaks_scheduler.simulation.case import Case
from peaks_scheduler.simulation.energy import measure
from peaks_scheduler.simulation.replay import replay
from tests.support.builders import Json, models, node, owned, pod, taint

CHEAP, DEAR = Linear(50.0, 100.0), Linear(50.0, 200.0)
DAY = 86_400.0


def placed(folder: Path, *objects: Json) -> Mapping[str, str]:
    """Node by job, as ``envelope`` places the pods: worker-1 has the cheapest cores, then worker-2."""
    (folder / "cluster.json").write_text(json.dumps({"kind": "List", "items": objects}))
    path, given = str(folder / "cluster.json"), models(worker_1=CHEAP, worker_2=DEAR)
    nodes, _ = nodes_of_dump(path, given)
    done = replay(Case(nodes, workload_of_dump(path, DAY, Settings()).jobs, "envelope", believed(nodes, given)))
    return {placement.job.name: placement.node for placement in done.placements}


def running(name: str, on: str = "worker-2", **more: object) -> Json:
    return pod(name, cpu="1", node=on, phase="Running", **more)


def test_a_pod_moves_to_the_node_with_the_cheapest_cores(tmp_path: Path) -> None:
    assert placed(tmp_path, node("worker-1"), node("worker-2"), running("web")) == {"default/web": "worker-1"}


def test_a_pod_of_a_daemon_set_stays(tmp_path: Path) -> None:
    agent = owned(running("agent"), "agent", kind="DaemonSet")
    assert placed(tmp_path, node("worker-1"), node("worker-2"), agent) == {"default/agent": "worker-2"}


def test_a_taint_holds_and_a_toleration_lifts_it(tmp_path: Path) -> None:
    tolerating = running("db", tolerations=[{"key": "dedicated", "operator": "Exists"}])
    found = placed(tmp_path, node("worker-1", taints=[taint()]), node("worker-2"), running("web"), tolerating)
    assert found == {"default/web": "worker-2", "default/db": "worker-1"}


def test_the_room_of_pods_that_stay_is_taken(tmp_path: Path) -> None:
    """worker-1 has 2 CPUs, and its agent requests both of them."""
    agent = owned(pod("agent", cpu="2", node="worker-1", phase="Running"), "agent", kind="DaemonSet")
    found = placed(tmp_path, node("worker-1", cpu="2"), node("worker-2"), running("web"), agent)
    assert found["default/web"] == "worker-2"


def test_the_energy_of_a_day_is_that_of_the_assumed_watts(tmp_path: Path) -> None:
    """8 cores of 5 W idle and 10 W in full use; half of 2 requested cores are used: 45 W for 24 h are 1.08 kWh."""
    (tmp_path / "cluster.json").write_text(json.dumps({"kind": "List", "items": [node("worker-1"), pod(cpu="2")]}))
    path = str(tmp_path / "cluster.json")
    nodes, _ = nodes_of_dump(path, EMPTY, assumed=(5.0, 10.0))
    case = Case(nodes, workload_of_dump(path, DAY, Settings()).jobs, "envelope", believed(nodes, EMPTY))
    assert abs(measure(replay(case)).kpis.energy_kwh - 1.08) < 1e-9
