"""Pods that ask for much and use little, on a real API server with a real metrics-server: the next is placed by use.

What a pod uses is what its annotation declares. Owners are only named: nothing here replaces a pod.
"""

from __future__ import annotations

import pytest

from tests.e2e.support.api import Object
from tests.e2e.support.daemon import Daemon, beside
from tests.e2e.support.metrics_server import MeteredControlPlane, metered, system_pod, uses
from tests.e2e.support.processes import wait_until
from tests.e2e.support.workload import decision, model, node, pod, wait_placed
from tests.support.builders import owned

CHEAP, DEAR = (100.0, 20.0, 0.5), (100.0, 90.0, 0.5)
LEARNT_LIMIT = 240.0  # [s] metrics-server needs two scrapes of a pod and a window after its warm-up
SETTINGS = {
    "load": {"source": "metrics-server", "address": None},
    "podUsage": {"warmUp": "1s", "minSamples": 2, "interval": "1s"},
}


def web(name: str, revision: str, *, image: str = "web:1", where: str | None = None) -> Object:
    """A pod of one Deployment: it asks for 2 cores and uses 0.3."""
    whole = owned(pod(name, cpu="2", node=where), "web", image=image, revision=revision)
    whole["metadata"]["annotations"] = uses("300m")
    return whole


def metered_node(name: str) -> Object:
    whole = node(name)
    whole["metadata"]["annotations"] = metered(name)
    return whole


def busy(where: str, cpu: str) -> Object:
    whole = pod("busy", cpu="100m", node=where)
    whole["metadata"]["annotations"] = uses(cpu)
    return whole


def decided(daemon: Daemon) -> dict[str, float]:
    """Pods that were bound, by where their use was taken from."""
    return {which: daemon.metric("peaks_decided_pods_total", cpu_from=which) for which in ("siblings", "request")}


def test_a_deployment_that_asks_for_2_cores_and_uses_a_third_is_packed_by_what_it_uses(
    metered_plane: MeteredControlPlane,
) -> None:
    """The cheap node is at 6 of its 8 cores: 2 more would lift it above the ceiling of 80 %, 0.3 do not."""
    plane = metered_plane
    plane.create_nodes([metered_node("cheap"), metered_node("dear")])
    plane.create_pods([*map(system_pod, ("cheap", "dear")), busy("cheap", "6")])
    plane.wait_measured({"cheap": 6.01, "dear": 0.01})
    models = [model(CHEAP, nodes=["cheap"]), model(DEAR, nodes=["dear"])]
    with beside(plane, models=models, settings=SETTINGS) as daemon:
        daemon.wait_leading()
        plane.create_pods([web("first", "5d4f")])
        assert wait_placed(plane, "first") == "dear"
        record = decision(plane.read("Pod", "first"))
        assert (record["podCpu"], record["podCpuFrom"]) == (2.0, "request")

        wait_until(lambda: daemon.metric("peaks_pod_usage_groups", state="known") == 1, "its use learnt", LEARNT_LIMIT)
        plane.create_pods([web("second", "99aa")])  # of another rollout, the same image
        assert wait_placed(plane, "second") == "cheap"
        record = decision(plane.read("Pod", "second"))
        assert (record["podCpu"], record["podCpuFrom"]) == (pytest.approx(0.3, abs=0.02), "siblings")
        assert record["cpuAfter"] - record["cpuBefore"] == pytest.approx(0.3 / 8, abs=0.003)

        plane.create_pods([web("third", "77bb", image="web:2")])
        assert wait_placed(plane, "third") == "dear"
        assert decision(plane.read("Pod", "third"))["podCpuFrom"] == "request"
        # a pod is counted when the answer to its Binding has come, a moment after all can see it bound
        wait_until(lambda: decided(daemon) == {"siblings": 1, "request": 2}, "each counted by where its use came from")
        wait_until(lambda: daemon.health("pod-usage") == "[+]pod-usage ok", "nothing wrong")

        plane.stop_metrics_server()
        wait_until(lambda: daemon.health("pod-usage").startswith("[!]pod-usage: unavailable: "), "it is missed")
        assert daemon.get("/readyz").status_code == 200
        wait_until(lambda: daemon.metric("peaks_source_errors_total", source="pod-usage") >= 1, "it is counted")
        plane.create_pods([web("fourth", "99aa")])
        wait_placed(plane, "fourth")
        assert decision(plane.read("Pod", "fourth"))["podCpuFrom"] == "siblings"
