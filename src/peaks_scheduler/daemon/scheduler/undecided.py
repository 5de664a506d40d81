"""Pods of ours that wait for a decision longer than they should: found, told, counted, and mended.

Owns one question, asked every few seconds of the ledger and the queue: is every pod that waits for us where it will be
decided? Whatever the cause, a pod must not wait for ever without a word. What is found, and what is done:

    unseen      the API server lists it, no watch has shown it      the audit reads it and hands it on
    not-queued  pending in the ledger, in no queue                  queued, as if a watch had shown it
    lost        in flight in the queue, and nobody carries it       its place is given back, and it is tried again
    waiting     due for a decision for 30 s                         the deciding task is woken
    binding     its Binding has been under way for 60 s             nothing: the API server has the word
    failing     tried for 60 s, and its owner was told nothing      nothing: it is tried again (the Lease, say)

A pod that was refused is not undecided: its owner was told why. Nor is one that waits for its volumes. Nobody decides
on a standby, where nothing is overdue. Assumes that a look is not interrupted. Never says the same of a pod twice, and
not more than ``MOST_TOLD`` pods a look.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

from peaks_scheduler.ledger.records import Change, State
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.observability.serving import Health
from peaks_scheduler.observability.telemetry import Undecided

from .loop import Scheduler

logger = logging.getLogger(__name__)

LOOK_EVERY = 5.0  # [s]
OVERDUE = 30.0  # [s] due for a decision
BINDING = 60.0  # [s] a Binding is given up after half of it
MOST_TOLD = 20
NAMED = 3  # pods in the text of the health check

FOUND: dict[Undecided, str] = {
    "unseen": "listed by the API server, not shown by a watch: read",
    "not-queued": "in no queue: queued",
    "lost": "in flight, but nothing is under way: put back",
    "waiting": "due for a decision: the deciding task was woken",
    "binding": "its Binding is under way",
    "failing": "its attempts fail, peaks_binding_conflicts_total says at what",
}


class Watchman:
    """See the module."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler, self._ledger, self._queue = scheduler, scheduler.ledger, scheduler.queue
        self._clock, self._telemetry = scheduler.clock, scheduler.telemetry
        self._since: float | None = None  # deciding is allowed
        self._now: dict[str, tuple[str, Undecided]] = {}  # uid -> name and what was found
        self._told: set[str] = set()

    def __len__(self) -> int:
        """Pods that were overdue at the last look."""
        return len(self._now)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            self.look()

    def look(self) -> None:
        """Find, count, tell and mend."""
        if not self._scheduler.may_decide():
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
            self._mend(pod, what)

    def unseen(self, name: str, seconds: float) -> None:
        """The audit found a pod that the API server has listed for so long and no watch has shown."""
        self._telemetry.left_undecided("unseen")
        extra = {"pod": name, "seconds": round(seconds, 1), "text": FOUND["unseen"]}
        logger.warning("pod not decided in time", extra=extra)

    def health(self) -> Health:
        """For ``/readyz?verbose``; never a reason to send nobody here."""
        if not self._now:
            return Health.ok()
        names = ", ".join(f"{name} ({FOUND[what]})" for name, what in list(self._now.values())[:NAMED])
        more = f" and {len(self._now) - NAMED} more" if len(self._now) > NAMED else ""
        return Health.degraded(f"pods wait for a decision longer than they should: {names}{more}")

    # -- finding

    def _find(self) -> Iterator[tuple[Pod, Undecided, float]]:
        """Pods, what was found, and for how many seconds."""
        now, ours = self._clock(), self._scheduler.client.scheduler_name
        for pod, state in self._ledger.pods():
            if state is not State.BOUND and pod.scheduler_name == ours and not pod.deleting:
                what, seconds = self._judge(pod, state, now)
                if what is not None:
                    yield pod, what, seconds

    def _judge(self, pod: Pod, state: State, now: float) -> tuple[Undecided | None, float]:
        position = self._queue.position(pod.uid)
        if position is None:  # an assumed pod is bound, and the watch will show it
            return ("not-queued" if state is State.PENDING else None), 0.0
        seconds = now - max(position.since, self._since or 0.0)
        unanswered = now - max(position.unanswered, self._since or 0.0)
        if position.queue == "in flight":
            return self._in_flight(pod.uid, state, seconds), seconds
        if position.queue == "active" and seconds >= OVERDUE:
            return "waiting", seconds
        tried = position.queue == "backoff" and not self._scheduler.refusals.told(pod.uid)
        return ("failing" if tried and unanswered >= BINDING else None), unanswered

    def _in_flight(self, uid: str, state: State, seconds: float) -> Undecided | None:
        binder = self._scheduler.binder
        if state is State.PENDING or not binder.carries(uid):
            return "lost"
        late = seconds >= BINDING and uid not in binder.volumes
        return "binding" if late else None

    # -- telling and mending

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

    def _mend(self, pod: Pod, what: Undecided) -> None:
        if what == "not-queued":
            self._scheduler.pod_changed(pod.uid, Change.PENDING, None)
        elif what == "lost":
            self._scheduler.put_back(pod.uid)
        elif what == "waiting":
            self._scheduler.wake()
