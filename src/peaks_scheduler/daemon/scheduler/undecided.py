"""Pods of ours that wait too long for a decision: found, logged, counted, and helped on.

Every few seconds ledger and queue are compared: is every pending pod of ours where it will be decided about? Whatever
the cause, a pod must not wait for ever without a word. What is found, and what is done:

    unseen      the API server lists it, no watch has shown it      the audit reads it and hands it on
    not-queued  pending in the ledger, in no queue                  queued, as if a watch had shown it
    lost        in flight in the queue, but in no job               its place is freed, and it is tried again
    waiting     due for a decision for 30 s                         the deciding task is woken
    binding     its Binding has been under way for 60 s             nothing: the API server must answer
    failing     tried for 60 s, and its owner was told nothing      nothing: it is tried again (a lost Lease, say)

A pod that no node can take is not undecided: its owner was told why. Neither is one that waits for its volumes. On a
standby nothing is overdue. Assumes that a look is not interrupted. Never logs the same of a pod twice, and at most
``MOST_TOLD`` pods a look.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from peaks_scheduler.daemon.keeper import Keeper, Tasks, every
from peaks_scheduler.ledger.records import Change, State
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.observability.gauge import Gauge, single
from peaks_scheduler.observability.serving import Check, Health
from peaks_scheduler.observability.telemetry import Undecided

from .loop import Scheduler

logger = logging.getLogger(__name__)

LOOK_EVERY = 5.0  # [s]
OVERDUE = 30.0  # [s] due for a decision
BINDING = 60.0  # [s] a job is given up after half of this time
MOST_TOLD = 20
NAMED = 3  # pods in the health check's text

FOUND: dict[Undecided, str] = {
    "unseen": "listed by the API server, not shown by a watch: read",
    "not-queued": "in no queue: queued",
    "lost": "in flight, but nothing is under way: put back",
    "waiting": "due for a decision: the deciding task was woken",
    "binding": "its Binding is under way",
    "failing": "its attempts fail, peaks_binding_conflicts_total says at what",
}


class UndecidedPods(Keeper):
    """See the module."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler, self._context = scheduler, scheduler.context
        self._ledger, self._queue, self._clock = self._context.ledger, self._context.queue, self._context.clock
        self._telemetry = self._context.telemetry
        self._since: float | None = None  # [s] since when we may decide
        self._now: dict[str, tuple[str, Undecided]] = {}  # uid -> name and what was found
        self._told: set[str] = set()

    def __len__(self) -> int:
        """Number of pods that were overdue at the last look."""
        return len(self._now)

    def look(self) -> None:
        """Find overdue pods, count and log them, and help them on."""
        if not self._context.may_decide():
            self._since, self._now = None, {}
            return
        if self._since is None:
            self._since = self._clock()
        found = list(self._find())
        before, self._now = self._now, {pod.uid: (pod.key, what) for pod, what, _ in found}
        for pod, what, _ in found:
            if before.get(pod.uid) != (pod.key, what):
                self._telemetry.left_undecided(what)
        self._tell(found)
        for pod, what, _ in found:
            self._help(pod, what)

    def unseen(self, name: str, seconds: float) -> None:
        """Count and log a pod that the API server has listed for so many seconds and no watch has shown."""
        self._telemetry.left_undecided("unseen")
        extra = {"pod": name, "seconds": round(seconds, 1), "text": FOUND["unseen"]}
        logger.warning("pod not decided in time", extra=extra)

    def health(self) -> Health:
        """For ``/readyz?verbose``; it never makes us unready."""
        if not self._now:
            return Health.ok()
        names = ", ".join(f"{name} ({FOUND[what]})" for name, what in list(self._now.values())[:NAMED])
        more = f" and {len(self._now) - NAMED} more" if len(self._now) > NAMED else ""
        return Health.degraded(f"pods wait for a decision longer than they should: {names}{more}")

    def tasks(self) -> Tasks:
        return {"undecided": every(LOOK_EVERY, self.look)}

    def checks(self) -> Sequence[Check]:
        return (Check("undecided", self.health),)

    def gauges(self) -> Sequence[Gauge]:
        text = "Pods of ours that have waited for a decision longer than they should."
        return (Gauge("peaks_undecided_pods", text, lambda: single(len(self))),)

    # -- finding

    def _find(self) -> Iterator[tuple[Pod, Undecided, float]]:
        """Overdue pods, what was found of each, and for how many seconds."""
        now, ours = self._clock(), self._context.client.scheduler_name
        for pod, state in self._ledger.pods():
            if state is not State.BOUND and pod.scheduler_name == ours and not pod.deleting:
                what, seconds = self._judge(pod, state, now)
                if what is not None:
                    yield pod, what, seconds

    def _judge(self, pod: Pod, state: State, now: float) -> tuple[Undecided | None, float]:
        position = self._queue.position(pod.uid)
        if position is None:  # an assumed pod was bound, and the watch will show it
            return ("not-queued" if state is State.PENDING else None), 0.0
        seconds = now - max(position.since, self._since or 0.0)
        unanswered = now - max(position.unanswered, self._since or 0.0)
        if position.queue == "in flight":
            return self._in_flight(pod.uid, state, seconds), seconds
        if position.queue == "active" and seconds >= OVERDUE:
            return "waiting", seconds
        tried = position.queue == "backoff" and not self._scheduler.failures.told(pod.uid)
        return ("failing" if tried and unanswered >= BINDING else None), unanswered

    def _in_flight(self, uid: str, state: State, seconds: float) -> Undecided | None:
        binder = self._scheduler.binder
        if state is State.PENDING and uid in self._scheduler.planned:
            return None
        if state is State.PENDING or not binder.carries(uid):
            return "lost"
        late = seconds >= BINDING and uid not in binder.volumes
        return "binding" if late else None

    # -- what is done

    def _tell(self, found: list[tuple[Pod, Undecided, float]]) -> None:
        self._told &= self._now.keys()
        news = [each for each in found if each[0].uid not in self._told]
        for pod, what, seconds in news[:MOST_TOLD]:
            self._told.add(pod.uid)
            state = self._ledger.state(pod.uid)
            known = {"state": state.value if state else "", "node": self._ledger.node_of(pod.uid), "uid": pod.uid}
            tried = {"attempts": self._queue.attempts(pod.uid), "priority": pod.priority}
            extra = {"pod": pod.key, "seconds": round(seconds, 1), "text": FOUND[what]}
            logger.warning("pod not decided in time", extra=extra | known | tried)

    def _help(self, pod: Pod, what: Undecided) -> None:
        if what == "not-queued":
            self._scheduler.pod_changed(pod.uid, Change.PENDING, None)
        elif what == "lost":
            self._scheduler.pending.put_back(pod.uid)
        elif what == "waiting":
            self._scheduler.pending.wakeup.set()
