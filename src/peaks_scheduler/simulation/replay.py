"""``replay``: lets the jobs of a case come and go, and the production scheduler place them.

Owns what happens when, and in which order pods are decided. Every decision comes from ``scheduling.cycle.schedule``.
Two replays of one case have the same outcome. Pure, but for the stopwatch of the decisions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter

from peaks_scheduler.errors import SimulationError
from peaks_scheduler.scheduling.batching import BatchStrategy, any_strategy
from peaks_scheduler.scheduling.cycle import schedule
from peaks_scheduler.scheduling.scoring.strategies import Strategy

from .api_objects import EPOCH, pod_object
from .carbon_planner import CarbonPlanner
from .carbon_policy import CARBON_DELAY, CarbonSignals, by_region, live_strategy
from .case import Case, Replay
from .event_queue import EventQueue, Kind
from .waiting import Attempt, WaitingPods
from .workload import Job
from .world import World

Progress = Callable[[int, int], None]
"""Called with (jobs that ended, all jobs)."""


def replay(case: Case, progress: Progress | None = None, strategy: Strategy | BatchStrategy | None = None) -> Replay:
    """What the case's strategy makes of its jobs. ``strategy``: instead of the one of its name.

    Raises SimulationError for nodes or jobs that cannot be, ConfigurationError for an unknown strategy.
    """
    _check(case)
    course = _Course(case, progress, strategy or any_strategy(live_strategy(case.strategy)))
    course.run()
    return course.result()


def _check(case: Case) -> None:
    if not case.nodes:
        raise SimulationError("expected at least one node; got none")
    _check_jobs(case)
    _check_outages(case)
    if case.grid:
        by_region(case.nodes, case.grid)
    for what, names in (("node", [node.name for node in case.nodes]), ("job", [job.name for job in case.jobs])):
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise SimulationError(f"expected {what}s of different names; {twice!r} comes twice")


def _check_jobs(case: Case) -> None:
    for job in case.jobs:
        if not (math.isfinite(job.arrival_s) and job.arrival_s >= 0.0):
            raise SimulationError(f"job {job.name!r}: expected an arrival of 0 s or later; got {job.arrival_s:g}")
        if not (math.isfinite(job.duration_s) and job.duration_s > 0.0):
            raise SimulationError(f"job {job.name!r}: expected a duration above 0 s; got {job.duration_s:g}")


def _check_outages(case: Case) -> None:
    names = {node.name for node in case.nodes}
    for outage in case.outages:
        if outage.node not in names:
            raise SimulationError(f"expected outages of nodes; there is no node {outage.node!r}")
        if not 0.0 <= outage.start_s < outage.end_s:
            times = f"{outage.start_s:g} s to {outage.end_s:g} s"
            raise SimulationError(f"outage of {outage.node!r}: expected it to end after it begins; got {times}")


class _Course:
    """The course of one case. Times are seconds from the start."""

    def __init__(self, case: Case, progress: Progress | None, strategy: Strategy | BatchStrategy) -> None:
        self.case = case
        self.progress = progress
        self.strategy = strategy
        self.world = World(case)
        self.events = EventQueue()
        self.waiting = WaitingPods()
        self.carbon = CarbonSignals(case.nodes, case.grid) if case.strategy.startswith("carbon") else None
        self.jumps: dict[str, float] = {}
        self.decisions = self.completed = 0
        self.decision_s = 0.0
        self._freed: set[str] = set()  # nodes with new room that no waiting pod has tried yet
        self._tried: set[str] = set()  # waiting pods that had no room, of a strategy for batches
        self._due: dict[Kind, float] = {}
        self._repelling = any(job.pod is not None and job.pod.anti_affinity for job in case.jobs)
        delays = case.strategy == CARBON_DELAY
        self._planner = CarbonPlanner(case, by_region(case.nodes, case.grid)) if delays else None

    def run(self) -> None:
        for outage in sorted(self.case.outages, key=lambda each: (each.start_s, each.node)):
            self.events.enter(outage.start_s, Kind.NODE_FAILS, partial(self._fails, outage.node))
            self.events.enter(outage.end_s, Kind.NODE_BACK, partial(self._comes_back, outage.node))
        for job in self.case.jobs:
            self.events.enter(self._first_try(job), Kind.ARRIVAL, partial(self._arrives, job, 0))
        while self.events:
            now, what = self.events.next()
            self.world.advance(now)
            what()

    def _first_try(self, job: Job) -> float:
        """When the strategy looks at the job for the first time."""
        if self._planner is not None and not job.node:
            return self._planner.start_of(job)
        return job.arrival_s

    def result(self) -> Replay:
        placements = sorted(self.world.placements, key=lambda each: (each.start_s, each.job.name))
        done = {each.job.name for each in placements if each.completed}
        left = tuple(job for job in self.case.jobs if job.name not in done)
        return Replay(self.case, placements, left, self.decisions, self.decision_s, self.jumps)

    # -- what happens

    def _arrives(self, job: Job, number: int) -> None:
        pod = pod_object(job, number, self.case.default_cpu)
        attempt = Attempt(job, number, pod, repelled=self._repelling and job.pod is not None)
        if job.node:
            # a pod that cannot be moved has its place, whatever room there is
            if self.world.is_up(job.node):
                self._start(attempt, job.node)
            else:
                self.waiting.add(attempt)
            return
        self.world.ledger.see(attempt.pod)
        if isinstance(self.strategy, BatchStrategy):
            self.waiting.add(attempt)
            self._once(Kind.BATCH, self.case.batch_wait_s, self._decide_batch)
        elif not self._decide(attempt, self.strategy):
            self.waiting.add(attempt)

    def _ends(self, uid: str) -> None:
        running = self.world.running.get(uid)
        if running is None:
            return  # its node failed before
        self.world.stop(running, completed=True)
        self._has_room(running.node)
        self.completed += 1
        if self.progress is not None:
            self.progress(self.completed, len(self.case.jobs))

    def _uses(self, uid: str, step: int) -> None:
        running = self.world.running.get(uid)
        if running is not None:
            self.world.use(running, running.attempt.job.usage[step][1])
            self._enter_use(running.attempt, running.start, step + 1)

    def _fails(self, name: str) -> None:
        for attempt in self.world.fail(name):
            again = partial(self._arrives, attempt.job, attempt.number + 1)
            self.events.enter(self.world.now, Kind.ARRIVAL, again)
        if len(self.waiting):
            self._once(Kind.RETRY, 0.0, self._retry)  # for pods that were kept away by one of the lost ones

    def _comes_back(self, name: str) -> None:
        if self.world.restore(name):
            if self.carbon is not None:
                self.carbon.tell_again()
            self._has_room(name)

    def _start(self, attempt: Attempt, node: str) -> None:
        self.world.start(attempt, node)
        uid, start = attempt.pod.uid, self.world.now
        self.events.enter(start + attempt.job.duration_s, Kind.END, lambda: self._ends(uid))
        self._enter_use(attempt, start, 1)
        if self.waiting.sociable:
            self._once(Kind.RETRY, 0.0, self._retry)

    def _enter_use(self, attempt: Attempt, start: float, step: int) -> None:
        """Its next step of use, if it has one."""
        usage, uid = attempt.job.usage, attempt.pod.uid
        if step < len(usage) and usage[step][0] < attempt.job.duration_s:
            self.events.enter(start + usage[step][0], Kind.USE, lambda: self._uses(uid, step))

    def _once(self, kind: Kind, wait: float, what: Callable[[], None]) -> None:
        """Let it happen after ``wait`` [s], unless it is to happen anyway."""
        if self._due.get(kind, -1.0) < self.world.now:
            self._due[kind] = self.world.now + wait
            self.events.enter(self.world.now + wait, kind, lambda: self._now(kind, what))

    def _now(self, kind: Kind, what: Callable[[], None]) -> None:
        del self._due[kind]
        what()

    # -- deciding

    def _decide(self, attempt: Attempt, strategy: Strategy) -> bool:
        """Place the pod; False: no node can take it."""
        self._look()
        begun = perf_counter()
        now, tolerance = EPOCH + self.world.now, self.case.tolerance_watts
        decision = schedule(attempt.pod, self.world.ledger.snapshot(), strategy, now=now, tolerance=tolerance)
        self.decision_s += perf_counter() - begun
        self.decisions += 1
        if decision.node is None:
            return False
        if decision.jump_watts is not None:
            self.jumps[attempt.job.name] = decision.jump_watts
        # as in the daemon: the ledger counts whose turn it was
        self.world.ledger.assume(attempt.pod.uid, decision.node)
        self._start(attempt, decision.node)
        return True

    def _look(self) -> None:
        """Tell the ledger what the scheduler knows by now."""
        self.world.tell_loads()
        if self.carbon is not None:
            self.carbon.tell(self.world.ledger, self.world.now)

    def _has_room(self, node: str) -> None:
        if len(self.waiting):
            self._freed.add(node)
            self._once(Kind.RETRY, 0.0, self._retry)

    def _retry(self) -> None:
        """Let the waiting pods try the nodes that have new room."""
        position = self.world.ledger.snapshot().index.position
        places = [i for name in sorted(self._freed) if (i := position(name)) is not None]
        self._freed.clear()
        for attempt in self.waiting.to_try(lambda attempt: self._may_fit(attempt, places)):
            if attempt.job.node:
                self.waiting.remove(attempt)
                self._start(attempt, attempt.job.node)
            elif isinstance(self.strategy, BatchStrategy):
                self._tried.clear()
                self._once(Kind.BATCH, self.case.batch_wait_s, self._decide_batch)
            elif self._decide(attempt, self.strategy):
                self.waiting.remove(attempt)

    def _may_fit(self, attempt: Attempt, places: Sequence[int]) -> bool:
        """May a waiting pod have room now? On the nodes at these ``places`` alone, where no other pod matters to it."""
        if attempt.job.node:
            return self.world.is_up(attempt.job.node)
        if attempt.alone:
            return True
        nodes = self.world.ledger.snapshot()
        asked = [(nodes.rows[what], amount) for what, amount in attempt.pod.requests]
        return any(all(amount <= nodes.free[row, i] for row, amount in asked) for i in places)

    def _decide_batch(self) -> None:
        """Place what the strategy can of the first pods that wait."""
        assert isinstance(self.strategy, BatchStrategy)
        fresh = [each for each in self.waiting.in_order() if each.pod.uid not in self._tried and not each.job.node]
        left = fresh[: self.strategy.most]
        while left:
            self._look()
            begun = perf_counter()
            plan = self.strategy.plan([attempt.pod for attempt in left], self.world.ledger.snapshot())
            self.decision_s += perf_counter() - begun
            for place, strategy in plan:
                if self._decide(left[place], strategy):
                    self.waiting.remove(left[place])
                else:
                    self._tried.add(left[place].pod.uid)
            planned = {place for place, _ in plan}
            if not planned:
                self._tried |= {attempt.pod.uid for attempt in left}
                break
            left = [attempt for place, attempt in enumerate(left) if place not in planned]
        if len(fresh) > self.strategy.most:
            self._once(Kind.BATCH, 0.0, self._decide_batch)
