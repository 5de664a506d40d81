"""The simulated cluster at one moment: which pod runs where, what it uses, and what the scheduler knows of it.

Owns the ledger, which sees nodes, pods and loads as the daemon's does, and the truth beside it. A pod runs from the
moment it is placed. Never decides. Pure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from peaks_scheduler.ledger.ledger import Ledger

from .api_objects import EPOCH, node_object
from .case import Case, Placement
from .load_reports import LoadReports
from .true_use import TrueUse
from .waiting import Attempt


@dataclass(slots=True)
class Running:
    """An attempt that runs."""

    attempt: Attempt
    node: str
    start: float
    cores: float


class World:
    """Times are seconds from the start."""

    def __init__(self, case: Case) -> None:
        self.now = 0.0
        self.ledger = Ledger(
            models=case.models,
            seed=case.seed,
            ceiling=case.ceiling,
            default_cpu=case.default_cpu,
            # loads of an instant are told when they change, and hold until then
            expiry=300.0 if case.load.interval_s else math.inf,
        )
        self.running: dict[str, Running] = {}
        self.placements: list[Placement] = []
        self._nodes = {node.name: node_object(node) for node in case.nodes}
        self._place = {name: i for i, name in enumerate(self._nodes)}
        self._down: dict[str, int] = {}
        self._use = TrueUse([node.cpu_cores for node in case.nodes], case.load)
        self._reports = LoadReports(list(self._nodes), self._use, case.load)
        for node in self._nodes.values():
            self.ledger.see_node(node)

    def advance(self, now: float) -> None:
        """Time passes until ``now``, and nothing happens before it."""
        self.now = now
        self._use.advance(now)
        self.ledger.now = EPOCH + now

    def tell_loads(self) -> None:
        """Tell the ledger the loads that have arrived by now."""
        self._reports.tell(self.ledger, self.now)

    def is_up(self, node: str) -> bool:
        return node in self._nodes and node not in self._down

    def start(self, attempt: Attempt, node: str) -> None:
        """The pod runs on ``node`` from now on."""
        self.ledger.see(replace(attempt.pod, node_name=node, started=EPOCH + self.now, phase="Running"))
        running = Running(attempt, node, self.now, 0.0)
        self.running[attempt.pod.uid] = running
        self.use(running, attempt.job.usage[0][1] if attempt.job.usage else attempt.job.cpu_used_cores)

    def use(self, running: Running, cores: float) -> None:
        """The pod uses so many cores from now on."""
        i = self._place[running.node]
        self._use.add(i, cores - running.cores, self.now)
        self._reports.changed(i)
        running.cores = cores

    def stop(self, running: Running, *, completed: bool) -> None:
        """The pod ends now, or its node failed."""
        uid, job = running.attempt.pod.uid, running.attempt.job
        del self.running[uid]
        self.use(running, 0.0)
        self.ledger.drop(uid, ended=EPOCH + self.now)
        self.placements.append(Placement(job, running.node, running.start, self.now, completed))

    def fail(self, name: str) -> list[Attempt]:
        """The node goes away; the attempts that ran on it."""
        self._down[name] = self._down.get(name, 0) + 1
        lost = [running for running in self.running.values() if running.node == name]
        for running in lost:
            self.stop(running, completed=False)
        self.ledger.drop_node(name)
        return [running.attempt for running in lost]

    def restore(self, name: str) -> bool:
        """One outage of the node ends; is it up again?"""
        self._down[name] -= 1
        if self._down[name]:
            return False
        del self._down[name]
        self.ledger.see_node(self._nodes[name])
        self._reports.changed(self._place[name])
        return True
