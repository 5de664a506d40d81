"""The CPU use and watts after a sequence of placements: those that happened, or those of another rule.

A replay starts from what runs on the cluster before. It adds the pods in the order in which they were bound, removes
pods at the point where they ended, and takes the power from the true curves. Recorded placements and the placements of
a rule go through the same code, so a difference comes from the rule alone. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from dataclasses import replace as replaced

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.ledger.node_load import NodeLoad
from peaks_scheduler.objects.ceilings import Ceiling
from peaks_scheduler.objects.pod import pod_from_api
from peaks_scheduler.power.models import PowerModels
from peaks_scheduler.scheduling.cycle import schedule
from peaks_scheduler.scheduling.scoring import allocation
from peaks_scheduler.scheduling.scoring.strategies import Strategy

from .scenario import GIB, DemoNode, node_object, requesting, resident_object

_LONG_AGO, _RECENTLY = "2020-01-01T00:00:00Z", 1.75e9  # when residents started; when the replay begins [s]


@dataclass(frozen=True, slots=True)
class PodPlaced:
    """A pod was bound."""

    pod: str
    millicores: int
    memory: int  # [bytes]
    node: str


@dataclass(frozen=True, slots=True)
class PodEnded:
    """A bound pod finished or was removed."""

    pod: str


Step = PodPlaced | PodEnded


@dataclass(slots=True)
class ClusterUse:
    """The use of N nodes. Index i is ``nodes[i]`` in every array."""

    nodes: tuple[DemoNode, ...]
    millicores: Floats  # (N,) [millicores] requested and used by pods
    memory: Floats  # (N,) [bytes] requested by pods
    placed: Counter[str]  # node -> number of pods placed, ended ones included
    unplaced: int = 0  # pods that the rule found no node for

    def cores(self) -> Floats:
        """(N,) [cores] used by pods and by the nodes themselves."""
        own = np.array([node.own_cores for node in self.nodes], dtype=np.float64)
        return np.add(self.millicores / 1000.0, own, dtype=np.float64)

    def watts(self) -> Floats:
        """(N,) [W] power of each node, by the true curves."""
        used = zip(self.nodes, self.cores(), strict=True)
        return np.array([node.kind.curve.watts(min(cores / node.kind.cores, 1.0)) for node, cores in used])


Rule = Callable[[PodPlaced, ClusterUse], int | None]
"""(pod, use so far) -> index of the pod's node; None if it fits nowhere."""


class SchedulerRule:
    """The scheduler's own decisions, with another ceiling than in the run: ``place`` is the rule.

    Each decision knows the current use of every node, as if load were measured without delay.
    """

    def __init__(self, nodes: tuple[DemoNode, ...], models: PowerModels, strategy: Strategy, ceiling: Ceiling) -> None:
        self._nodes, self._strategy = nodes, strategy
        self._ledger = Ledger(models=models, ceiling=ceiling)
        for node in nodes:
            self._ledger.observe_node(node_object(node))
            self._ledger.observe_pod(resident_object(node, _LONG_AGO))
        self._index = {node.name: i for i, node in enumerate(nodes)}
        self._now = _RECENTLY

    def place(self, pod: PodPlaced, use: ClusterUse) -> int | None:
        """The index of the node that the scheduler decides on; None if it finds no feasible node."""
        self._report_load(use)
        wanted = pod_from_api(requesting(pod.pod, pod.millicores, pod.memory), pod.millicores)
        node = schedule(wanted, self._ledger.snapshot(), self._strategy, now=self._now).node
        if node is None:
            return None
        self._ledger.see(wanted)
        self._ledger.assume(wanted.uid, node)
        # from now on the pod's use is part of the reported load
        self._ledger.see(replaced(wanted, node_name=node, phase="Running", started=self._now))
        return self._index[node]

    def end(self, pod: str) -> None:
        """Remove a pod that ended."""
        self._ledger.drop(f"default/{pod}", ended=self._now)

    def _report_load(self, use: ClusterUse) -> None:
        self._now += 1.0
        used = zip(self._nodes, use.cores().tolist(), use.memory.tolist(), strict=True)
        at = self._now
        loads = {node.name: NodeLoad(None, at, at, cores, memory) for node, cores, memory in used}
        self._ledger.apply_load(loads, at)


def use_before(nodes: tuple[DemoNode, ...]) -> ClusterUse:
    """The use of the cluster before the first pod of the workload."""
    millicores = np.array([float(node.resident_millicores) for node in nodes])
    memory = np.array([float(node.resident_memory) for node in nodes])
    return ClusterUse(nodes, millicores, memory, Counter())


def replay(
    nodes: tuple[DemoNode, ...], steps: Sequence[Step], rule: Rule, ended: Callable[[str], None] | None = None
) -> ClusterUse:
    """The use after the last step, with every pod placed by ``rule``. ``ended`` is called for each pod that ends."""
    use = use_before(nodes)
    homes: dict[str, tuple[int, PodPlaced]] = {}
    for step in steps:
        if isinstance(step, PodEnded):
            if (home := homes.pop(step.pod, None)) is not None:
                _add(use, *home, sign=-1)
                if ended:
                    ended(step.pod)
        elif (index := rule(step, use)) is None:
            use.unplaced += 1
        else:
            homes[step.pod] = (index, step)
            _add(use, index, step, sign=1)
            use.placed[nodes[index].name] += 1
    return use


def _add(use: ClusterUse, index: int, pod: PodPlaced, sign: int) -> None:
    use.millicores[index] += sign * pod.millicores
    use.memory[index] += sign * pod.memory


def recorded_placements(nodes: tuple[DemoNode, ...]) -> Rule:
    """The rule that repeats the placements that happened."""
    index = {node.name: i for i, node in enumerate(nodes)}
    return lambda pod, use: index[pod.node]


def least_allocated(nodes: tuple[DemoNode, ...]) -> Rule:
    """The rule of kube-scheduler's LeastAllocated: the node with the largest mean of free CPU and memory fractions.

    As there, only requests count. Of equal nodes the first one is taken. Source: ``noderesources/least_allocated.go``,
    without its rounding to whole scores, which would leave ties to chance.
    """
    cpu = [node.kind.cores * 1000.0 for node in nodes]
    memory = [float(node.kind.memory_gib * GIB) for node in nodes]
    allocatable = np.array([cpu, memory])

    def rule(pod: PodPlaced, use: ClusterUse) -> int | None:
        left = allocatable - np.array([use.millicores + pod.millicores, use.memory + pod.memory])
        fits = (left >= 0.0).all(axis=0)
        score = np.where(fits, allocation.least_allocated(left, allocatable), -1.0)
        return int(score.argmax()) if fits.any() else None

    return rule
