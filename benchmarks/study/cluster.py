"""A cluster in which pods use exactly what they request, and the scheduler's own ledger and cycle decide.

Owns the truth (which pod runs where, and the power that it takes) and reports it to the ledger as the daemon does:
nodes and pods as from the API server, loads as from load-watcher, averages of the last 15 minutes every ``REFRESH``
seconds. A pod runs from the moment it is placed, and every event is handled at once.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks import BenchmarkError
from benchmarks.study.servers import Server
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.ledger.node_load import NodeLoad
from peaks_scheduler.objects.ceilings import NO_CEILING, Ceiling
from peaks_scheduler.objects.pod import Pod, pod_from_api
from peaks_scheduler.power.models import PowerModels
from peaks_scheduler.scheduling.cycle import schedule
from peaks_scheduler.scheduling.scoring.strategies import Strategy

START = 1_750_000_000.0  # [s] since the epoch; any time
WINDOW = 900.0  # [s] load-watcher's
REFRESH = 15.0  # [s]
ZONES = 3


class Cluster:
    """``use`` (N,) [cores] is what runs on each server now, ``watts`` (N,) what each draws; both are the truth."""

    def __init__(
        self,
        servers: Sequence[Server],
        models: PowerModels,
        strategy: Strategy,
        seed: int,
        ceiling: Ceiling = NO_CEILING,
    ) -> None:
        self.servers = servers
        self.strategy = strategy
        self.now = START
        self.ledger = Ledger(models=models, seed=seed, ceiling=ceiling)
        for i, server in enumerate(servers):
            self.ledger.observe_node(_node(server, f"zone-{i % ZONES}"))
        self._index = {server.name: i for i, server in enumerate(servers)}
        self._capacity = np.array([server.threads for server in servers], np.float64)
        self.use = np.zeros(len(servers))
        self.watts = np.array([server.watts[0] for server in servers])
        self._used = np.zeros(len(servers))  # [core s] since the start, up to ``now``
        self._history: deque[np.ndarray] = deque(maxlen=round(WINDOW / REFRESH))  # of the same, one a refresh
        self._next = START
        self.wait(0.0)

    @property
    def cores(self) -> float:
        """In use on all servers together."""
        return float(self.use.sum())

    @property
    def size(self) -> float:
        """Cores of all servers together."""
        return float(self._capacity.sum())

    def wait(self, seconds: float) -> None:
        """Let time pass; loads are reported whenever they are due."""
        until = self.now + seconds
        while self._next <= until:
            self._pass(self._next - self.now)
            self._tell_loads()
            self._next += REFRESH
        self._pass(until - self.now)

    def _pass(self, seconds: float) -> None:
        self._used += self.use * seconds
        self.now += seconds

    def _tell_loads(self) -> None:
        # before the start nothing ran
        before = self._history[0] if len(self._history) == self._history.maxlen else 0.0
        loads = (self._used - before) / WINDOW / self._capacity
        self._history.append(self._used.copy())
        names = (server.name for server in self.servers)
        told = {
            name: NodeLoad(load, self.now - WINDOW, self.now) for name, load in zip(names, loads.tolist(), strict=True)
        }
        self.ledger.apply_load(told, self.now)

    def place(self, name: str, cores: int, wishes: Mapping[str, object]) -> Pod:
        """A new pod that the strategy placed and that runs; ``wishes`` are added to its spec. Raises BenchmarkError
        where it fits on no server."""
        pod = pod_from_api(_pod(name, cores, wishes), 100)
        self.ledger.see(pod)
        node = schedule(pod, self.ledger.snapshot(), self.strategy, now=self.now).node
        if node is None:
            raise BenchmarkError(f"{name} of {cores} cores fits on no server")
        self.ledger.assume(pod.uid, node)
        running = dataclasses.replace(pod, node_name=node, started=self.now, phase="Running")
        self.ledger.see(running)
        self._add(node, cores)
        return running

    def end(self, pod: Pod) -> None:
        """A running pod ends."""
        self.ledger.now = self.now
        self.ledger.see(dataclasses.replace(pod, finished=self.now, phase="Succeeded"))
        self._add(pod.node_name, -pod.cpu // 1000)

    def _add(self, node: str, cores: int) -> None:
        i = self._index[node]
        self.use[i] += cores
        self.watts[i] = self.servers[i].curve.watts(float(self.use[i] / self._capacity[i]))


def _node(server: Server, zone: str) -> dict[str, object]:
    room = {"cpu": str(server.threads), "memory": "4Ti", "pods": "1000"}
    labels = {"kubernetes.io/hostname": server.name, "zone": zone}
    meta = {"name": server.name, "uid": f"uid-{server.name}", "labels": labels}
    return {"metadata": meta, "spec": {}, "status": {"allocatable": room, "capacity": room}}


def _pod(name: str, cores: int, wishes: Mapping[str, object]) -> dict[str, object]:
    container = {"name": "main", "resources": {"requests": {"cpu": str(cores)}}}
    meta = {"name": name, "namespace": "default", "uid": f"uid-{name}", "labels": {"app": "one"}}
    return {"metadata": meta, "spec": {"containers": [container], **wishes}, "status": {"phase": "Pending"}}
