"""What a sequence of placements comes to in CPU and watts, and what another rule would have made of it.

Owns the accounts of the demo's cluster: start from what runs there, take the pods in the order in which they were
bound, let those that ended go at the same point of the order, and read the power off the true curves. The placements
that happened and the ones of a rule go through the same few lines, so their difference is the rule's. Pure.
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

from .world import GIB, Machine, node_object, requesting, resident_object

_LONG_AGO, _RECENTLY = "2020-01-01T00:00:00Z", 1.75e9  # when residents started; when the replay begins [s]


@dataclass(frozen=True, slots=True)
class Placed:
    """A pod was bound."""

    pod: str
    millicores: int
    memory: int  # [bytes]
    node: str


@dataclass(frozen=True, slots=True)
class Ended:
    """A bound pod finished or was removed."""

    pod: str


Step = Placed | Ended


@dataclass(slots=True)
class Accounts:
    """N nodes. Index i is ``machines[i]`` in every array."""

    machines: tuple[Machine, ...]
    millicores: Floats  # (N,) [millicores] asked for and used by pods
    memory: Floats  # (N,) [bytes] asked for by pods
    placed: Counter[str]  # node -> pods placed, ended ones too
    unplaced: int = 0  # pods that the rule found no node for

    def cores(self) -> Floats:
        """(N,) [cores] in use: the pods' and the nodes' own."""
        own = np.array([machine.own_cores for machine in self.machines], dtype=np.float64)
        return np.add(self.millicores / 1000.0, own, dtype=np.float64)

    def watts(self) -> Floats:
        """(N,) [W] by the true curves."""
        used = zip(self.machines, self.cores(), strict=True)
        return np.array([machine.kind.curve.watts(min(cores / machine.kind.cores, 1.0)) for machine, cores in used])


Rule = Callable[[Placed, Accounts], int | None]
"""(pod, accounts) -> index of the node it goes to, None if it fits nowhere."""


class Scheduled:
    """The scheduler's own decisions, with another ceiling than in the run: a rule, and who tells it what ended.

    Every node's use is measured and known at each step, as if the load were told without delay.
    """

    def __init__(
        self, machines: tuple[Machine, ...], models: PowerModels, strategy: Strategy, ceiling: Ceiling
    ) -> None:
        self._machines, self._strategy = machines, strategy
        self._ledger = Ledger(models=models, ceiling=ceiling)
        for machine in machines:
            self._ledger.observe_node(node_object(machine))
            self._ledger.observe_pod(resident_object(machine, _LONG_AGO))
        self._index = {machine.name: i for i, machine in enumerate(machines)}
        self._now = _RECENTLY

    def place(self, pod: Placed, accounts: Accounts) -> int | None:
        self._tell(accounts)
        wanted = pod_from_api(requesting(pod.pod, pod.millicores, pod.memory), pod.millicores)
        node = schedule(wanted, self._ledger.snapshot(), self._strategy, now=self._now).node
        if node is None:
            return None
        self._ledger.see(wanted)
        self._ledger.assume(wanted.uid, node)
        # its use is in the accounts from now on
        self._ledger.see(replaced(wanted, node_name=node, phase="Running", started=self._now))
        return self._index[node]

    def end(self, pod: str) -> None:
        self._ledger.drop(f"default/{pod}", ended=self._now)

    def _tell(self, accounts: Accounts) -> None:
        self._now += 1.0
        used = zip(self._machines, accounts.cores().tolist(), accounts.memory.tolist(), strict=True)
        at = self._now
        loads = {machine.name: NodeLoad(None, at, at, cores, memory) for machine, cores, memory in used}
        self._ledger.apply_load(loads, at)


def opening(machines: tuple[Machine, ...]) -> Accounts:
    """The cluster before the first pod."""
    millicores = np.array([float(machine.resident_millicores) for machine in machines])
    memory = np.array([float(machine.resident_memory) for machine in machines])
    return Accounts(machines, millicores, memory, Counter())


def replay(
    machines: tuple[Machine, ...], steps: Sequence[Step], rule: Rule, ended: Callable[[str], None] | None = None
) -> Accounts:
    """The cluster after the last step, every pod placed by ``rule``; ``ended`` is told of each that ends."""
    accounts = opening(machines)
    homes: dict[str, tuple[int, Placed]] = {}
    for step in steps:
        if isinstance(step, Ended):
            if (home := homes.pop(step.pod, None)) is not None:
                _add(accounts, *home, sign=-1)
                if ended:
                    ended(step.pod)
        elif (index := rule(step, accounts)) is None:
            accounts.unplaced += 1
        else:
            homes[step.pod] = (index, step)
            _add(accounts, index, step, sign=1)
            accounts.placed[machines[index].name] += 1
    return accounts


def _add(accounts: Accounts, index: int, pod: Placed, sign: int) -> None:
    accounts.millicores[index] += sign * pod.millicores
    accounts.memory[index] += sign * pod.memory


def as_it_was(machines: tuple[Machine, ...]) -> Rule:
    """The placements that happened."""
    index = {machine.name: i for i, machine in enumerate(machines)}
    return lambda pod, accounts: index[pod.node]


def least_allocated(machines: tuple[Machine, ...]) -> Rule:
    """kube-scheduler's LeastAllocated over CPU and memory.

    Requests alone count, as they do there; of equals the first node. Scores are not rounded to whole points, which
    would leave ties to chance.
    """
    cpu = [machine.kind.cores * 1000.0 for machine in machines]
    memory = [float(machine.kind.memory_gib * GIB) for machine in machines]
    allocatable = np.array([cpu, memory])

    def rule(pod: Placed, accounts: Accounts) -> int | None:
        left = allocatable - np.array([accounts.millicores + pod.millicores, accounts.memory + pod.memory])
        fits = (left >= 0.0).all(axis=0)
        score = np.where(fits, allocation.least_allocated(left, allocatable), -1.0)
        return int(score.argmax()) if fits.any() else None

    return rule
