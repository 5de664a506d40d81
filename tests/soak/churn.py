"""Pods and nodes that come and go, round after round: after each the cluster looks as it did before it.

Owns what a round has in it. Names come again (the worst case of whoever remembers by name); labels, images, owners and
amounts never do (the worst case of whoever remembers by value). Assumes kwok, which lets bound pods run.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.e2e.support.api import Object
from tests.e2e.support.controlplane import ControlPlane
from tests.e2e.support.load_endpoint import LoadEndpoint
from tests.e2e.support.processes import wait_until
from tests.e2e.support.workload import node, pod

NODES = 20
STAY, COME, THEIRS, NEVER = 40, 120, 10, 10
"""Pods that stay for good; in a round: those that we place, that another scheduler does, that fit nowhere."""
WINDOW = 5  # [s] that the load is an average of: what ended within it is remembered
LOAD_EVERY = 1  # [s]
PODS = "/api/v1/namespaces/default/pods"
NOW = {"gracePeriodSeconds": 0}


class Churn:
    """See the module. ``pods``: how many have come and gone."""

    def __init__(self, plane: ControlPlane, load: LoadEndpoint) -> None:
        self._plane, self._load = plane, load
        self._round = 0
        self.pods = 0

    def begin(self) -> None:
        """What is there all the time."""
        self._say_load()
        self._plane.create_nodes([node(f"worker-{i}", labels={"pool": "stay"}) for i in range(NODES)])
        self._plane.create_pods([pod(f"stay-{i}", cpu="50m") for i in range(STAY)])
        self._until(lambda: not self._waiting("stay-"), "the pods that stay placed")

    def round(self) -> None:
        """Everything once; at the end nothing of it is there any more."""
        self._round += 1
        self._say_load()
        self._plane.create_nodes([node(f"passing-{i}", labels={"round": f"r{self._round}"}) for i in range(2)])
        never = [pod(f"never-{i}", cpu=f"{1000 + self._round}", labels=self._labels(i)) for i in range(NEVER)]
        self._plane.create_pods([*map(self._coming, range(COME)), *never])
        self._plane.create_pods([self._theirs(i) for i in range(THEIRS)])
        self._until(lambda: not self._waiting("come-"), "the pods of a round placed")
        come, rest = [f"come-{i}" for i in range(COME)], [f"never-{i}" for i in range(NEVER)]
        self._delete([*come, *rest, *(f"theirs-{i}" for i in range(THEIRS))])
        self._plane.api.bulk("DELETE", [(f"/api/v1/nodes/passing-{i}", None) for i in range(2)], missing_ok=True)
        self.pods += COME + NEVER + THEIRS

    def settle(self) -> None:
        """Until nothing is under way: events posted, and a load that knows nothing of the last round's pods."""
        time.sleep(WINDOW + 1.0)
        self._say_load()
        time.sleep(3.0 * LOAD_EVERY)

    def _coming(self, i: int) -> Object:
        """A pod of ours that nobody has seen the like of."""
        labels = self._labels(i)
        wanted = {"weight": 1, "podAffinityTerm": {"topologyKey": "pool", "labelSelector": {"matchLabels": labels}}}
        affinity = {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [wanted]}}
        whole = pod(f"come-{i}", cpu=f"{20 + i % 7}m", labels=labels, affinity=affinity)
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": f"job-{self._round}-{i}", "uid": labels["run"]}
        whole["metadata"]["ownerReferences"] = [{**owner, "controller": True}]
        whole["spec"]["containers"][0]["image"] = f"registry.example/app:{self._round}.{i}"
        return whole

    def _theirs(self, i: int) -> Object:
        whole = pod(f"theirs-{i}", cpu=f"{self._round}m", labels=self._labels(i), node=f"worker-{i % NODES}")
        whole["spec"]["schedulerName"] = "another"
        return whole

    def _labels(self, i: int) -> dict[str, str]:
        return {"app": "churn", "run": f"run-{self._round}-{i}", f"key-{self._round}": "x"}

    def _delete(self, names: list[str]) -> None:
        self._plane.api.bulk("DELETE", [(f"{PODS}/{name}", NOW) for name in names], missing_ok=True)

    def _waiting(self, prefix: str) -> list[str]:
        pending = self._plane.list_pods("default", fieldSelector="spec.nodeName=")
        return [name for each in pending if (name := each["metadata"]["name"]).startswith(prefix)]

    def _say_load(self) -> None:
        self._load.say({f"worker-{i}": 5.0 for i in range(NODES)}, age=1.0, window=WINDOW)

    @staticmethod
    def _until(condition: Callable[[], bool], what: str) -> None:
        wait_until(condition, what, timeout=90.0, every=0.2)
