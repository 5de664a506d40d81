"""The scheduling loop, and what wakes it.

One task takes the next pod from the queue, decides with the pure core, assumes the pod in the ledger and hands it to
``binding``. Owns what is told by the feed: which pods wait for us, which of them an event can cure (``hints``), and
which nodes are to rest. Assumes the ledger is fed by somebody else. Never waits for anything in the deciding task but
room for the next Binding.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from peaks_scheduler.daemon.pulse import Interrupted, Pulse
from peaks_scheduler.kube.client import KubeClient
from peaks_scheduler.kube.events import EventPoster, Reporter
from peaks_scheduler.kube.kinds import Kind
from peaks_scheduler.kube.limiter import Limiter
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.ledger.records import Change, State
from peaks_scheduler.ledger.storage.plan import VolumePlan
from peaks_scheduler.objects.burden import large
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.objects.requests import Json
from peaks_scheduler.observability.telemetry import Telemetry
from peaks_scheduler.scheduling.cycle import schedule
from peaks_scheduler.scheduling.decision import FAILED, Decision, Detail
from peaks_scheduler.scheduling.events import ClusterEvent
from peaks_scheduler.scheduling.filters.volume_binding import plan_volumes
from peaks_scheduler.scheduling.queue import SchedulingQueue
from peaks_scheduler.scheduling.queueing_hints import Hints
from peaks_scheduler.scheduling.scoring.strategies import Strategy

from .after_binding import Aftermath
from .binding import Binder
from .failures import Refusals
from .job import Job
from .node_cooldown import Cooling
from .unknown_fields import UnknownFields

logger = logging.getLogger(__name__)

BREATH = 4  # decisions between two turns of everybody else on the loop
BREATH_TIME = 0.01  # [s] of decisions between two turns, likewise
NOT_DECIDED = "the scheduler failed at deciding about this pod, its log has more"
FLUSHED = "KindRead"  # the queue's word for what wakes everybody: objects can be read that could not be


@dataclass(eq=False)
class Scheduler:
    """See the module; the fields are what it works with."""

    ledger: Ledger
    queue: SchedulingQueue
    strategy: Strategy
    tolerance: float  # [W]
    client: KubeClient
    limiter: Limiter
    events: EventPoster
    reporter: Reporter
    refusals: Refusals
    cooling: Cooling
    telemetry: Telemetry
    may_decide: Callable[[], bool]  # leading, and the first lists and load are in
    may_write: Callable[[], bool]  # the fence
    wall: Callable[[], float] = time.time
    clock: Callable[[], float] = time.monotonic
    volume_timeout: float = 600.0  # [s] that volumes may take to be bound
    detail: Detail = "full"  # what the annotation tells
    bound_by_another: Callable[[Pod], None] = lambda pod: None  # told of a pod that we saw waiting
    unschedulable: dict[str, frozenset[str]] = field(default_factory=dict)  # uid -> filters that refused it
    fields: UnknownFields = field(default_factory=UnknownFields)
    pulse: Pulse = field(default_factory=Pulse)
    _hints: Hints = field(default_factory=Hints)
    _wakeup: asyncio.Event = field(default_factory=asyncio.Event)
    _decisions: int = 0
    _stopping: bool = False

    def __post_init__(self) -> None:
        self.binder = Binder(
            self.ledger,
            self.queue,
            self.client,
            self.limiter,
            self.events,
            self.reporter,
            self.refusals,
            self.telemetry,
            self.may_write,
            self.volume_timeout,
            self.pod_changed,
            self._settled,
            lambda: self._wake(ClusterEvent.POD_GONE),
            self.wall,
            self.clock,
            self.detail,
            self.bound_by_another,
        )
        self.aftermath = Aftermath(self.ledger, self.client, self.events, self.reporter, self._rejected, self.wall)

    # -- told by the feed

    def pod_changed(self, uid: str, change: Change, before: Pod | None) -> None:
        """The ledger observed a pod; ``before`` is the record it had until then."""
        pod = self.ledger.pod(uid)
        if pod is not None:
            self._seen(pod, change, before)
        if change & (Change.PLACED | Change.GONE):
            self._settled(uid)
        if change & Change.CHOSEN and before is not None:
            self.aftermath.gone(before)
        if change & Change.FREED:
            self.cooling.freed(before.node_name if before is not None else "")
            self._wake(ClusterEvent.POD_GONE)

    def _seen(self, pod: Pod, change: Change, before: Pod | None) -> None:
        if change & Change.PENDING:
            self.fields.saw(pod)
        if change & (Change.PENDING | Change.CHANGED):
            self._waits(pod, change)
        if change & Change.PLACED and pod.uid in self.binder.given_up:
            self.aftermath.announce(pod)  # given up for lost, and bound after all
        elif change & Change.PLACED and before is not None and not before.node_name:
            self.bound_by_another(pod)
        if change & Change.OVERBOOKED and self.may_decide():  # what the first lists show is history
            self._overbooked(pod)
        if change & (Change.PLACED | Change.CONFIRMED):
            self._wake(ClusterEvent.POD_PLACED, self._hints.placed(pod))
        if change & Change.RELABELLED and before is not None:
            self._wake(ClusterEvent.POD_CHANGED, self._hints.relabelled(before, pod))

    def node_changed(self, change: Change) -> None:
        """The ledger observed a node."""
        if change & (Change.NODE_NEW | Change.NODE_CHANGED):
            self._wake(ClusterEvent.NODE_ADDED if change & Change.NODE_NEW else ClusterEvent.NODE_CHANGED)

    def kind_changed(self, kind: Kind, raw: Json) -> None:
        """The ledger observed something else that placing reads. A claim concerns the pods that use it, anything else
        of storage may concern all that wait for storage."""
        if kind.kind == "Namespace":
            self._wake(ClusterEvent.NAMESPACE_CHANGED)
            return
        meta = raw["metadata"]
        is_claim = kind.kind == "PersistentVolumeClaim"
        users = self._hints.using(f"{meta.get('namespace') or 'default'}/{meta['name']}") if is_claim else None
        self._wake(ClusterEvent.STORAGE_CHANGED, users)
        self.binder.volumes.changed(kind.kind, raw)

    def kinds_changed(self) -> None:
        """Objects can be read that could not be: every refusal may be out of date."""
        self.queue.flush(FLUSHED, self.clock())
        self._wakeup.set()

    def load_changed(self) -> None:
        """Fresh load, other models, or the right to decide has come or gone."""
        self._wake(ClusterEvent.LOAD_CHANGED)

    def rested(self) -> None:
        """A second passed: end the rests that are over, say what had to wait."""
        self.refusals.tick()
        if self.cooling.tick(self.clock()):
            self._wake(ClusterEvent.NODE_CHANGED)

    def wake(self) -> None:
        """Look whether a pod is due."""
        self._wakeup.set()

    def put_back(self, uid: str) -> None:
        """The pod's attempt was lost: its place is free again, and it is tried again after a backoff."""
        if self.ledger.forget(uid):
            self._wake(ClusterEvent.POD_GONE)
        self.queue.retry(uid, self.clock())
        self.wake()

    def _wake(self, event: ClusterEvent, among: list[str] | None = None) -> None:
        """``among``: the pods that it can cure; None: any that wait for it."""
        moved = self.queue.wake(event, self.clock(), among)
        if moved or among is None:
            self._wakeup.set()

    def _waits(self, pod: Pod, change: Change) -> None:
        if pod.scheduler_name != self.client.scheduler_name:
            return
        if pod.deleting:
            self._settled(pod.uid)
            return
        now = self.clock()
        behind = pod.uid not in self.queue and large(pod)
        self.queue.add(pod.uid, pod.key, pod.priority, pod.created, pod.gated, behind, now=now)
        if change & Change.CHANGED:
            self.queue.changed(pod.uid, now)
        self._wakeup.set()

    def _settled(self, uid: str) -> None:
        self.queue.remove(uid)
        self.refusals.forget(uid)
        self._hints.leaves(uid)
        self.unschedulable.pop(uid, None)
        self.binder.settled(uid)

    def _overbooked(self, pod: Pod) -> None:
        """Somebody put the pod on a node that had no room. Where no pod of ours is concerned that is their affair."""
        self.telemetry.overbooked()
        if self.ledger.collides(pod.uid):
            self._rest(pod.node_name, pod.key, "overbooked", pod.uid)

    def _rejected(self, node: str, pod: str, reason: str) -> None:
        self.telemetry.overbooked()
        self._rest(node, pod, reason)

    def _rest(self, node: str, pod: str, reason: str, uid: str = "") -> None:
        seconds = self.cooling.cool(node, self.clock(), uid)
        logger.warning("node rests", extra={"node": node, "pod": pod, "reason": reason, "seconds": seconds})

    # -- deciding

    async def run(self) -> None:
        """Decide pod after pod until cancelled."""
        while True:
            self._wakeup.clear()
            await self._decide_all()
            due = self.queue.next_due(self.clock())
            timer = None
            if due is not None and self.may_decide():
                timer = asyncio.get_running_loop().call_later(max(0.01, due - self.clock()), self._wakeup.set)
            await self._wakeup.wait()
            if timer is not None:
                timer.cancel()

    async def _decide_all(self) -> None:
        decided, breathed = 0, self.clock()
        while not self._stopping and self.may_decide() and (uid := self.queue.pop(self.clock())) is not None:
            job = self._attempt_safely(uid)
            if job is not None:
                await self.binder.take(job)
            decided += 1
            if decided % BREATH == 0 or self.clock() - breathed > BREATH_TIME:
                await asyncio.sleep(0)
                breathed = self.clock()

    def _attempt_safely(self, uid: str) -> Job | None:
        """``_attempt``; a pod that the core cannot cope with is tried again later and holds up nobody else."""
        begun = time.perf_counter()
        try:
            return self._attempt(uid)
        except Interrupted:
            self._stopping = True  # nothing of the decision has taken effect
            return None
        except Exception as error:
            logger.exception("pod not decided", extra={"pod": self.queue.name(uid)})
            seconds = time.perf_counter() - begun
            self.telemetry.failed(seconds)
            self.queue.spent(uid, seconds)
            self.ledger.forget(uid)
            self.queue.retry(uid, self.clock())
            if pod := self.ledger.pod(uid):
                self.refusals.say(pod, FAILED, f"{NOT_DECIDED}: {type(error).__name__}: {error}")
            return None

    def _attempt(self, uid: str) -> Job | None:
        """Decide about one pod; what is to be bound, None where nothing is."""
        pod = self.ledger.pod(uid)
        self.unschedulable.pop(uid, None)
        self._hints.leaves(uid)
        if pod is None or pod.deleting or self.ledger.state(uid) is not State.PENDING:
            self.queue.remove(uid)
            return None
        begun = time.perf_counter()
        decision = self.pulse.decide(pod.key, partial(self._schedule, pod))
        seconds = time.perf_counter() - begun
        self.telemetry.decided(seconds)
        self.queue.spent(uid, seconds)
        if pod.oddities and self.queue.attempts(uid) == 1:
            logger.warning("annotation not used", extra={"pod": pod.key, "text": "; ".join(pod.oddities)})
        if decision.node is None:
            self._refused(decision, begun)
            return None
        plan = self._plan(pod, decision.node)
        self.ledger.assume(uid, decision.node, plan)
        self.refusals.withdraw(uid)
        self._decisions += 1
        first = self.queue.first_attempt(uid)
        since = self.clock() if first is None else first
        return Job(decision, self._decisions, decision.node, begun, since, self.queue.attempts(uid), plan)

    def _schedule(self, pod: Pod) -> Decision:
        return schedule(
            pod,
            self.ledger.snapshot(),
            self.strategy,
            now=self.wall(),
            tolerance=self.tolerance,
            avoid=self.binder.failed_on.get(pod.uid, ()),
        )

    def _plan(self, pod: Pod, node: str) -> VolumePlan | None:
        nodes = self.ledger.snapshot()
        i = nodes.index.position(node) if pod.volumes else None
        return None if i is None else plan_volumes(pod, nodes, i)

    def _refused(self, decision: Decision, begun: float) -> None:
        pod, diagnosis = decision.pod, decision.diagnosis
        assert diagnosis is not None
        self.queue.failed(pod.uid, self.clock(), diagnosis.events)
        self._hints.waits(pod, diagnosis.events)
        self.unschedulable[pod.uid] = diagnosis.filters
        self.telemetry.unschedulable(time.perf_counter() - begun)
        if self.refusals.failed(pod, diagnosis):
            extra = {"pod": pod.key, "reason": diagnosis.condition, "text": diagnosis.message, "total": diagnosis.total}
            # as "decision" counts: who reads the log can tell which placements this was said after
            logger.info("not placed", extra={**extra, "after": self._decisions})

    # -- end

    async def finish(self, within: float) -> bool:
        """Take no more pods and wait for the binds in flight, at most ``within`` [s]; True: all are done."""
        self._stopping = True
        try:
            async with asyncio.timeout(within):
                await self.binder.finish()
        except TimeoutError:
            return False
        return True
