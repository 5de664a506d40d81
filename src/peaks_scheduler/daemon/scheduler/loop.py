"""The scheduling loop, and what the feed tells it.

One task takes the next pod from the queue, decides with the pure core, assumes the pod in the ledger and hands it to
``binding``. With a batch strategy it takes the next batch (``batches``) and decides its pods one by one, as planned.
Owns the handlers of what the watches bring: which pods become pending, which events move them, which nodes get a
cooldown. Assumes the ledger is fed by somebody else. Never waits for anything in the deciding task but room for the
next Binding.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from functools import partial

from peaks_scheduler.daemon.heartbeat import Heartbeat, Interrupted
from peaks_scheduler.daemon.keeper import Keeper, Tasks, every
from peaks_scheduler.kube.kinds import Kind
from peaks_scheduler.ledger.records import Change, State
from peaks_scheduler.ledger.storage.plan import VolumePlan
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.objects.requests import Json
from peaks_scheduler.observability.gauge import Gauge, by_key, single
from peaks_scheduler.scheduling.batching import BatchStrategy
from peaks_scheduler.scheduling.cycle import schedule
from peaks_scheduler.scheduling.decision import FAILED, Decision
from peaks_scheduler.scheduling.events import ClusterEvent
from peaks_scheduler.scheduling.filters.volume_binding import plan_volumes
from peaks_scheduler.scheduling.preemption import Preemption
from peaks_scheduler.scheduling.scoring.strategies import ENVELOPE, Strategy
from peaks_scheduler.text.words import few

from .after_binding import AfterBinding
from .batches import Batches
from .binding import Binder
from .context import Context
from .failures import Failures
from .job import Job
from .node_cooldown import NodeCooldown
from .pending import PendingPods
from .unknown_fields import UnknownFields

logger = logging.getLogger(__name__)

BREATH = 4  # decisions before the other tasks of the loop get their turn
BREATH_TIME = 0.01  # [s] of decisions before they do, likewise
TICK = 1.0  # [s]
_NODE_EVENTS = (
    (Change.NODE_NEW, ClusterEvent.NODE_ADDED),
    (Change.NODE_CHANGED, ClusterEvent.NODE_CHANGED),
    (Change.NODE_GONE, ClusterEvent.NODE_REMOVED),
)
NOT_DECIDED = "the scheduler failed at deciding about this pod, its log has more"


class Scheduler(Keeper):
    """See the module. ``heartbeat`` knows the decision under way."""

    def __init__(
        self, context: Context, strategy: Strategy | BatchStrategy, heartbeat: Heartbeat | None = None
    ) -> None:
        self.context, self.strategy = context, strategy
        self._heartbeat = heartbeat or Heartbeat()
        self._ledger, self._queue, self._telemetry = context.ledger, context.queue, context.telemetry
        self._clock = context.clock
        self.failures = Failures(context, postscript=Preemption(context.ledger).note)
        self.pending = PendingPods(context, self.failures)
        self.binder = Binder(context, self.pending, self.failures, seen=self.pod_changed)
        self.after_binding = AfterBinding(context, rejected=self._rejected)
        self._cooldown = NodeCooldown(context.ledger)
        self._unknown_fields = UnknownFields()
        self._decisions = 0
        self._stopping = False
        self.planned: frozenset[str] = frozenset()
        """uids of the batch that is being decided: some of its pods wait for their turn."""
        self._batches: Batches | None = None
        if isinstance(strategy, BatchStrategy):
            self._batches = Batches(context.queue, strategy.most, context.settings.batch_wait)

    # -- told by the feed

    def pod_changed(self, uid: str, change: Change, before: Pod | None) -> None:
        """The ledger observed a pod; ``before`` is the record it had until then."""
        pod = self._ledger.pod(uid)
        if pod is not None:
            self._seen(pod, change, before)
        if change & (Change.PLACED | Change.GONE):
            self.binder.settled(uid)
        if change & Change.CHOSEN and before is not None:
            self.after_binding.gone(before)
        if change & Change.FREED:
            self._cooldown.freed(before.node_name if before is not None else "")
            self.pending.wake(ClusterEvent.POD_GONE)

    def _seen(self, pod: Pod, change: Change, before: Pod | None) -> None:
        if change & (Change.PENDING | Change.CHANGED):
            self._pending(pod, change)
        if change & Change.PLACED and pod.uid in self.binder.given_up:
            self.after_binding.announce(pod)  # its Binding was given up, and took effect after all
        elif change & Change.PLACED and before is not None and not before.node_name:
            self.context.bound_by_another(pod)
        if change & Change.OVERBOOKED and self.context.may_decide():  # what the first lists show is history
            self._overbooked(pod)
        if change & (Change.PLACED | Change.CONFIRMED):
            self.pending.wake(ClusterEvent.POD_PLACED, self.pending.hints.placed(pod))
        if change & Change.RELABELLED and before is not None:
            self.pending.wake(ClusterEvent.POD_CHANGED, self.pending.hints.relabelled(before, pod))

    def _pending(self, pod: Pod, change: Change) -> None:
        if pod.scheduler_name != self.context.client.scheduler_name:
            return
        if change & Change.PENDING:
            self._unknown_fields.saw(pod)
        if pod.deleting:
            self.binder.settled(pod.uid)
        else:
            self.pending.add(pod, changed=bool(change & Change.CHANGED))

    def node_changed(self, change: Change) -> None:
        """The ledger observed a node."""
        for flag, event in _NODE_EVENTS:
            if change & flag:
                self.pending.wake(event)

    def kind_changed(self, kind: Kind, raw: Json) -> None:
        """The ledger observed an object of another kind. A claim moves only the pods that use it, any other object of
        storage all pods that wait for storage."""
        if kind.kind == "Namespace":
            self.pending.wake(ClusterEvent.NAMESPACE_CHANGED)
            return
        meta = raw["metadata"]
        is_claim = kind.kind == "PersistentVolumeClaim"
        users = self.pending.hints.using(f"{meta.get('namespace') or 'default'}/{meta['name']}") if is_claim else None
        self.pending.wake(ClusterEvent.STORAGE_CHANGED, users)
        self.binder.volumes.changed(kind.kind, raw)

    def kinds_changed(self) -> None:
        """A kind has become readable."""
        self.pending.flush()

    def load_changed(self) -> None:
        """There is fresh load, other models are in force, or the right to decide has come or gone."""
        self.pending.wake(ClusterEvent.LOAD_CHANGED)

    def tick(self) -> None:
        """End cooldowns that are over, and write conditions that had to wait. To be called every second."""
        self.failures.tick()
        if self._cooldown.tick(self._clock()):
            self.pending.wake(ClusterEvent.NODE_CHANGED)

    def _overbooked(self, pod: Pod) -> None:
        """Somebody put the pod on a node without room. Unless a pod of ours is there too, that is not our affair."""
        self._telemetry.overbooked()
        if self._ledger.collides(pod.uid):
            self._cool_down(pod.node_name, pod.key, "overbooked", pod.uid)

    def _rejected(self, node: str, pod: str, reason: str) -> None:
        self._telemetry.overbooked()
        self._cool_down(node, pod, reason)

    def _cool_down(self, node: str, pod: str, reason: str, uid: str = "") -> None:
        seconds = self._cooldown.start(node, self._clock(), uid)
        logger.warning("node in cooldown", extra={"node": node, "pod": pod, "reason": reason, "seconds": seconds})

    # -- as a keeper

    def tasks(self) -> Tasks:
        return {
            "schedule": self.run(),
            "tick": every(TICK, self.tick),
            **self.after_binding.tasks(),
            **self.binder.tasks(),
            **self.failures.tasks(),
        }

    # fmt: off
    def gauges(self) -> Sequence[Gauge]:
        return (
            Gauge("peaks_common_unknown_pod_fields",
                  "Share of our new pods that have this field, which this version does not know; "
                  "only fields that more than half have.",
                  lambda: by_key(self._unknown_fields.common()), ("field",)),
            Gauge("peaks_pods_awaiting_volumes",
                  "Pods with a chosen node whose volumes are being bound or provisioned.",
                  lambda: single(len(self.binder.volumes))),
        )
    # fmt: on

    # -- deciding

    async def run(self) -> None:
        """Decide pod after pod until cancelled."""
        while True:
            self.pending.wakeup.clear()
            await self._decide_all()
            due = (self._batches or self._queue).next_due(self._clock())
            timer = None
            if due is not None and self.context.may_decide():
                timer = asyncio.get_running_loop().call_later(max(0.01, due - self._clock()), self.pending.wakeup.set)
            await self.pending.wakeup.wait()
            if timer is not None:
                timer.cancel()

    async def _decide_all(self) -> None:
        if isinstance(self.strategy, BatchStrategy):
            await self._decide_batches(self.strategy)
        else:
            await self._decide_each(self.strategy)

    async def _decide_each(self, strategy: Strategy) -> None:
        decided, breathed = 0, self._clock()
        while not self._stopping and self.context.may_decide() and (uid := self._queue.pop(self._clock())) is not None:
            await self._decide(uid, strategy)
            decided += 1
            if decided % BREATH == 0 or self._clock() - breathed > BREATH_TIME:
                await asyncio.sleep(0)
                breathed = self._clock()

    async def _decide(self, uid: str, strategy: Strategy) -> None:
        job = self._attempt_safely(uid, strategy)
        if job is not None:
            await self.binder.take(job)

    async def _decide_batches(self, strategy: BatchStrategy) -> None:
        assert self._batches is not None
        while not self._stopping and self.context.may_decide() and (uids := self._batches.take(self._clock())):
            while uids and not self._stopping and self.context.may_decide():
                self.planned = frozenset(uids)
                uids = await self._decide_planned(uids, strategy)
                await asyncio.sleep(0)
            self.planned = frozenset()
            for uid in uids:
                self._queue.give_back(uid, self._clock())

    async def _decide_planned(self, uids: list[str], strategy: BatchStrategy) -> list[str]:
        """Decide the pods of a batch that are to be placed now; the others."""
        pods = [pod for uid in uids if (pod := self._waiting(uid)) is not None]
        left = {pod.uid: None for pod in pods}
        for i, how in self._planned(pods, strategy) if pods else ():
            if self._stopping or not self.context.may_decide():
                break
            del left[pods[i].uid]
            await self._decide(pods[i].uid, how)
        return list(left)

    def _planned(self, pods: Sequence[Pod], strategy: BatchStrategy) -> Sequence[tuple[int, Strategy]]:
        """The plan. A batch at which the core fails is decided pod by pod: one of them may be the cause."""
        names = few([pod.key for pod in pods], 1)
        try:
            plan = self._heartbeat.decide(names, partial(strategy.plan, pods, self._ledger.snapshot()))
            assert plan, "a plan without pods would be asked for for ever"
            return plan
        except Interrupted:
            self._stopping = True
            return ()
        except Exception:
            logger.exception("batch not planned, its pods are decided one by one", extra={"pod": names})
            return [(i, ENVELOPE) for i in range(len(pods))]

    def _waiting(self, uid: str) -> Pod | None:
        """The pod, if it still waits for us; else it leaves the queue."""
        pod = self._ledger.pod(uid)
        self.pending.begin(uid)
        if pod is None or pod.deleting or self._ledger.state(uid) is not State.PENDING:
            self._queue.remove(uid)
            return None
        return pod

    def _attempt_safely(self, uid: str, strategy: Strategy) -> Job | None:
        """``_attempt``; a pod at which the core fails is tried again later and holds up no other pod."""
        begun, worked = time.perf_counter(), time.thread_time()
        try:
            return self._attempt(uid, strategy)
        except Interrupted:
            self._stopping = True  # nothing of the decision has taken effect
            return None
        except Exception as error:
            logger.exception("pod not decided", extra={"pod": self._queue.name(uid)})
            self._telemetry.failed(time.perf_counter() - begun)
            self._queue.spent(uid, time.thread_time() - worked)
            self._ledger.forget(uid)
            self._queue.retry(uid, self._clock())
            if pod := self._ledger.pod(uid):
                self.failures.say(pod, FAILED, f"{NOT_DECIDED}: {type(error).__name__}: {error}")
            return None

    def _attempt(self, uid: str, strategy: Strategy) -> Job | None:
        """Decide about one pod; the job to carry out, None where there is none."""
        pod = self._waiting(uid)
        if pod is None:
            return None
        begun, worked = time.perf_counter(), time.thread_time()
        decision = self._heartbeat.decide(pod.key, partial(self._schedule, pod, strategy))
        self._telemetry.decided(time.perf_counter() - begun)
        # work alone: a process that stood still during a decision must not make that pod wait for it
        self._queue.spent(uid, time.thread_time() - worked)
        if pod.oddities and self._queue.attempts(uid) == 1:
            logger.warning("annotation not used", extra={"pod": pod.key, "text": "; ".join(pod.oddities)})
        if decision.node is None:
            self._refused(decision, begun)
            return None
        plan = self._plan(pod, decision.node)
        self._ledger.assume(uid, decision.node, plan)
        self.failures.withdraw(uid)
        self._decisions += 1
        first = self._queue.first_attempt(uid)
        since = self._clock() if first is None else first
        return Job(decision, self._decisions, decision.node, begun, since, self._queue.attempts(uid), plan)

    def _schedule(self, pod: Pod, strategy: Strategy) -> Decision:
        return schedule(
            pod,
            self._ledger.snapshot(),
            strategy,
            now=self.context.wall(),
            tolerance=self.context.settings.tolerance_watts,
            avoid=self.binder.failed_on.get(pod.uid, ()),
        )

    def _plan(self, pod: Pod, node: str) -> VolumePlan | None:
        nodes = self._ledger.snapshot()
        i = nodes.index.position(node) if pod.volumes else None
        return None if i is None else plan_volumes(pod, nodes, i)

    def _refused(self, decision: Decision, begun: float) -> None:
        pod, diagnosis = decision.pod, decision.diagnosis
        assert diagnosis is not None
        told = self.pending.refused(pod, diagnosis)
        self._telemetry.unschedulable(time.perf_counter() - begun)
        if told:
            extra = {"pod": pod.key, "reason": diagnosis.condition, "text": diagnosis.message, "total": diagnosis.total}
            # "after" counts as "decision" does: it tells which placements came before
            logger.info("not placed", extra={**extra, "after": self._decisions})

    # -- end

    async def finish(self, within: float) -> bool:
        """Take no more pods and wait for the binds in flight, at most ``within`` [s]. True: all have ended."""
        self._stopping = True
        try:
            async with asyncio.timeout(within):
                await self.binder.finish()
        except TimeoutError:
            return False
        return True
