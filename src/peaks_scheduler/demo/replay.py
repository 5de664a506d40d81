"""What a sequence of placements comes to in CPU and watts, and what another rule would have made of it.

Owns the accounts of the demo's cluster: start from what runs there, take the pods in the order in which they were
bound, let those that ended go at the same point of the order, and read the power off the true curves. The placements
that happened and the ones of a rule go through the same few lines, so their difference is the rule's. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from peaks_scheduler.demo.world import GIB, Machine

Floats = npt.NDArray[np.float64]


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


def opening(machines: tuple[Machine, ...]) -> Accounts:
    """The cluster before the first pod."""
    millicores = np.array([float(machine.resident_millicores) for machine in machines])
    memory = np.array([float(machine.resident_memory) for machine in machines])
    return Accounts(machines, millicores, memory, Counter())


def replay(machines: tuple[Machine, ...], steps: Sequence[Step], rule: Rule) -> Accounts:
    """The cluster after the last step, every pod placed by ``rule``."""
    accounts = opening(machines)
    homes: dict[str, tuple[int, Placed]] = {}
    for step in steps:
        if isinstance(step, Ended):
            if (home := homes.pop(step.pod, None)) is not None:
                _add(accounts, *home, sign=-1)
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
    """kube-scheduler's LeastAllocated: the node with the largest mean of its free CPU and memory fractions.

    Requests alone count, as they do there; of equals the first. Source: ``noderesources/least_allocated.go``, without
    its rounding to whole scores, which would leave ties to chance.
    """
    cpu = np.array([machine.kind.cores * 1000.0 for machine in machines])
    memory = np.array([float(machine.kind.memory_gib * GIB) for machine in machines])

    def rule(pod: Placed, accounts: Accounts) -> int | None:
        free_cpu = (cpu - accounts.millicores - pod.millicores) / cpu
        free_memory = (memory - accounts.memory - pod.memory) / memory
        fits = (free_cpu >= 0.0) & (free_memory >= 0.0)
        score = np.where(fits, (free_cpu + free_memory) / 2.0, -1.0)
        return int(score.argmax()) if fits.any() else None

    return rule
