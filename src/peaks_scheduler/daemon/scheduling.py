"""The scheduling loop and what carries its decisions out.

One task takes the next pod from the queue, decides with the pure core and assumes the pod in the ledger; a fixed set
of workers sends the Bindings behind it, after ``volumes`` for a pod that has some to be bound first. Owns every path a
decision can take after that: bound, refused by the API server, unknown outcome, fenced off. Assumes the ledger is fed
by somebody else. Never sends a Binding that the fence does not allow, never leaves an assumption behind, never waits
for anything in the deciding task but room for the next Binding.

The workers exist from the start (none is made per pod): kopf, when it restarts, cancels every task younger than itself.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ..cycle import schedule
from ..decision import FAILED, Decision
from ..errors import Ambiguous, Conflict, KubeError, NotFound, TooManyRequests, Unavailable
from ..filters.volume_binding import plan_volumes
from ..kube.client import KubeClient
from ..kube.events import EventPoster, Reporter
from ..kube.kinds import Kind
from ..kube.limiter import Limiter
from ..ledger import Change, Ledger, State
from ..objects import DECISION, Pod
from ..queue import SchedulingQueue
from ..requests import Json
from ..scoring import Strategy
from ..storage import VolumePlan
from ..telemetry import Telemetry
from ..wake import Wake
from .aftermath import Aftermath
from .cooling import Cooling
from .fields import UnknownFields
from .hints import Hints
from .job import FIRST_PAUSE, LAST_PAUSE, PATIENCE, Job
from .refusals import Refusals
from .volumes import Volumes

logger = logging.getLogger(__name__)

WORKERS = 64
AHEAD = 16  # decisions that may wait for a worker: more would only be decided on older knowledge
BREATH = 4  # decisions between two turns of everybody else on the loop
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
    unschedulable: dict[str, frozenset[str]] = field(default_factory=dict)  # uid -> filters that refused it
    fields: UnknownFields = field(default_factory=UnknownFields)
    _hints: Hints = field(default_factory=Hints)
    _jobs: asyncio.Queue[Job] = field(default_factory=lambda: asyncio.Queue(AHEAD))
    _wakeup: asyncio.Event = field(default_factory=asyncio.Event)
    _given_up: set[str] = field(default_factory=set)  # uids of pods whose Binding may have been taken all the same
    _decisions: int = 0
    _stopping: bool = False

    def __post_init__(self) -> None:
        self.volumes = Volumes(
            self.ledger,
            self.client,
            self.limiter,
            self.may_write,
            self.volume_timeout,
            self._jobs.put,
            self._without_volumes,
            self.clock,
        )
        self.aftermath = Aftermath(self.ledger, self.client, self.events, self.reporter, self._collided, self.wall)

    # -- told by the feed

    def pod_changed(self, uid: str, change: Change, before: Pod | None) -> None:
        """The ledger observed a pod; ``before`` is the record it had until then."""
        pod = self.ledger.pod(uid)
        if pod is not None:
            self._seen(pod, change, before)
        if change & (Change.PLACED | Change.GONE):
            self._settled(uid)
        if change & Change.GONE and before is not None:
            self.aftermath.gone(before)
        if change & Change.FREED:
            self._wake(Wake.POD_GONE)

    def _seen(self, pod: Pod, change: Change, before: Pod | None) -> None:
        if change & Change.PENDING:
            self.fields.saw(pod)
        if change & (Change.PENDING | Change.CHANGED):
            self._waits(pod, change)
        if change & Change.PLACED and pod.uid in self._given_up:
            self.aftermath.announce(pod)  # given up for lost, and bound after all
        if change & Change.OVERBOOKED and self.may_decide():  # what the first lists show is history
            self._collided(pod.node_name, pod.key, "overbooked")
        if change & (Change.PLACED | Change.CONFIRMED):
            self._wake(Wake.POD_PLACED, self._hints.placed(pod))
        if change & Change.RELABELLED and before is not None:
            self._wake(Wake.POD_CHANGED, self._hints.relabelled(before, pod))

    def node_changed(self, change: Change) -> None:
        """The ledger observed a node."""
        if change & (Change.NODE_NEW | Change.NODE_CHANGED):
            self._wake(Wake.NODE_ADDED if change & Change.NODE_NEW else Wake.NODE_CHANGED)

    def kind_changed(self, kind: Kind, raw: Json) -> None:
        """The ledger observed something else that placing reads. A claim concerns the pods that use it, anything else
        of storage may concern all that wait for storage."""
        if kind.kind == "Namespace":
            self._wake(Wake.NAMESPACE_CHANGED)
            return
        meta = raw["metadata"]
        is_claim = kind.kind == "PersistentVolumeClaim"
        users = self._hints.using(f"{meta.get('namespace') or 'default'}/{meta['name']}") if is_claim else None
        self._wake(Wake.STORAGE_CHANGED, users)
        self.volumes.changed(kind.kind, raw)

    def kinds_changed(self) -> None:
        """Objects can be read that could not be: every refusal may be out of date."""
        self.queue.flush(FLUSHED, self.clock())
        self._wakeup.set()

    def load_changed(self) -> None:
        """Fresh load, other models, or the right to decide has come or gone."""
        self._wake(Wake.LOAD_CHANGED)

    def rested(self) -> None:
        """A second passed: end the rests that are over, say what had to wait."""
        self.refusals.tick()
        if self.cooling.tick(self.clock()):
            self._wake(Wake.NODE_CHANGED)

    def _wake(self, event: Wake, among: list[str] | None = None) -> None:
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
        self.queue.add(pod.uid, pod.key, pod.priority, pod.created, pod.gated, now=now)
        if change & Change.CHANGED:
            self.queue.changed(pod.uid, now)
        self._wakeup.set()

    def _settled(self, uid: str) -> None:
        self.queue.remove(uid)
        self.refusals.forget(uid)
        self._hints.leaves(uid)
        self.volumes.settled(uid)
        self.unschedulable.pop(uid, None)
        self._given_up.discard(uid)

    def _collided(self, node: str, pod: str, what: str) -> None:
        self.telemetry.overbooked()
        rest = self.cooling.cool(node, self.clock())
        logger.warning("node rests", extra={"node": node, "pod": pod, "reason": what, "seconds": rest})

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
        decided = 0
        while not self._stopping and self.may_decide() and (uid := self.queue.pop(self.clock())) is not None:
            job = self._attempt_safely(uid)
            if job is not None and job.plan is not None:
                self.volumes.begin(job)
            elif job is not None:
                await self._jobs.put(job)
            decided += 1
            if decided % BREATH == 0:
                await asyncio.sleep(0)

    def _attempt_safely(self, uid: str) -> Job | None:
        """``_attempt``; a pod that the core cannot cope with is tried again later and holds up nobody else."""
        begun = time.perf_counter()
        try:
            return self._attempt(uid)
        except Exception:
            logger.exception("pod not decided", extra={"pod": self.queue.name(uid)})
            self.telemetry.failed(time.perf_counter() - begun)
            self.ledger.forget(uid)
            self.queue.retry(uid, self.clock())
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
        decision = schedule(pod, self.ledger.snapshot(), self.strategy, now=self.wall(), tolerance=self.tolerance)
        self.telemetry.decided(time.perf_counter() - begun)
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

    def _plan(self, pod: Pod, node: str) -> VolumePlan | None:
        nodes = self.ledger.snapshot()
        i = nodes.index.position(node) if pod.volumes else None
        return None if i is None else plan_volumes(pod, nodes, i)

    def _refused(self, decision: Decision, begun: float) -> None:
        pod, diagnosis = decision.pod, decision.diagnosis
        assert diagnosis is not None
        self.queue.failed(pod.uid, self.clock(), diagnosis.cured_by)
        self._hints.waits(pod, diagnosis.cured_by)
        self.unschedulable[pod.uid] = diagnosis.filters
        self.telemetry.unschedulable(time.perf_counter() - begun)
        if self.refusals.failed(pod, diagnosis):
            extra = {"pod": pod.key, "reason": diagnosis.condition, "text": diagnosis.message, "total": diagnosis.total}
            # as "decision" counts: who reads the log can tell which placements this was said after
            logger.info("not placed", extra={**extra, "after": self._decisions})

    # -- binding

    async def bind_jobs(self) -> None:
        """One worker: carry decisions out until cancelled."""
        while True:
            job = await self._jobs.get()
            try:
                await self._carry_out(job)
            except Exception:
                logger.exception("bind failed", extra={"pod": job.pod.key, "node": job.node})
                self._give_up(job, "error")
            except asyncio.CancelledError:
                self._give_up(job, "stopped")
                raise
            finally:
                self._jobs.task_done()

    async def _carry_out(self, job: Job) -> None:
        pod, until, pause = job.pod, self.clock() + PATIENCE, FIRST_PAUSE
        while self.clock() < until:
            if self.ledger.state(pod.uid) is not State.ASSUMED:
                self._overtaken(job)
                return
            if self.ledger.node(job.node) is None:
                self._give_up(job, "node-gone")
                return
            try:
                if await self._bind(job):
                    self._bound(job)
                else:
                    self._give_up(job, "fenced")
                return
            except TooManyRequests:
                continue  # the limiter holds the next turn back
            except Unavailable:
                pass  # nothing was done
            except (Ambiguous, Conflict, NotFound) as error:
                if await self._find_out(job, error):
                    return
            except KubeError as error:
                logger.warning("bind refused", extra={"pod": pod.key, "node": job.node, "error": str(error)})
                self._give_up(job, "refused")
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, LAST_PAUSE)
        self._give_up(job, "unavailable")

    async def _bind(self, job: Job) -> bool:
        """Send the Binding; False: the fence does not allow it."""
        pod = job.pod
        async with self.limiter:
            if not self.may_write():
                return False
            record = {DECISION: job.decision.annotation()}
            await self.client.bind(pod.namespace, pod.name, pod.uid, job.node, record, self.may_write)
        return True

    async def _find_out(self, job: Job, error: KubeError) -> bool:
        """Was the pod bound, by us or another? True: the matter is settled; False: nothing happened, try again."""
        pod = job.pod
        try:
            raw = await self.client.get_pod(pod.namespace, pod.name)
        except KubeError:
            return False
        if raw is None or raw["metadata"].get("uid") != pod.uid:
            self.telemetry.conflicted("pod-gone")
            self.pod_changed(pod.uid, self.ledger.drop(pod.uid), pod)
            return True
        node = (raw.get("spec") or {}).get("nodeName")
        if node == job.node and DECISION in (raw["metadata"].get("annotations") or {}):
            self._bound(job)
            return True
        if node:
            self.telemetry.conflicted("already-bound")
            logger.info("bound by another", extra={"pod": pod.key, "node": node})
            self._read(pod, raw)
            self._settled(pod.uid)
            return True
        if isinstance(error, Conflict):
            self._give_up(job, "being-deleted" if "deletionTimestamp" in raw["metadata"] else "conflict")
            self._read(pod, raw)  # newer than what the watch has shown: it may be on its way out
            return True
        return False

    def _read(self, pod: Pod, raw: Json) -> None:
        """Observe what we read ourselves, unless the watch has seen the pod's end meanwhile."""
        if self.ledger.pod(pod.uid) is not None:
            self.pod_changed(pod.uid, self.ledger.observe_pod(raw), pod)

    def _overtaken(self, job: Job) -> None:
        """The watch knew first: our Binding was taken and its answer lost, another was faster, or the pod is gone."""
        uid = job.pod.uid
        pod = self.ledger.pod(uid)
        if pod is not None and pod.node_name == job.node and pod.decided_at is not None:
            self._bound(job)
        else:
            self._settled(uid)

    def _give_up(self, job: Job, reason: str) -> None:
        """The pod did not get there: its place is free again, and it is tried again after a backoff."""
        if self.ledger.state(job.pod.uid) is State.BOUND:
            self._overtaken(job)
            return
        self.telemetry.conflicted(reason)
        self.telemetry.failed(time.perf_counter() - job.begun)
        if self.ledger.forget(job.pod.uid):
            self._given_up.add(job.pod.uid)
            self.queue.retry(job.pod.uid, self.clock())
            self._wake(Wake.POD_GONE)
        if job.plan is not None:
            self.volumes.undo(job)

    def _without_volumes(self, job: Job, reason: str, words: str) -> None:
        """The pod's volumes did not come about; ``words``: what its owner is told."""
        self._give_up(job, reason)
        pod = job.pod
        if words and self.ledger.state(pod.uid) is State.PENDING:
            message = f'running PreBind plugin "VolumeBinding": {words}'
            if self.refusals.say(pod, FAILED, message):
                logger.info("not placed", extra={"pod": pod.key, "reason": FAILED, "text": message})

    def _bound(self, job: Job) -> None:
        pod = job.pod
        self._settled(pod.uid)
        self.events.post(self.reporter.scheduled(pod.namespace, pod.name, pod.uid, job.node, self.wall()))
        self.telemetry.bound(
            job.decision.jump_watts, time.perf_counter() - job.begun, self.clock() - job.first, max(1, job.attempts)
        )
        extra = {"pod": pod.key, "decision": job.number, **job.decision.record()}
        logger.info("bound", extra={**extra, "notUsed": "; ".join(pod.oddities)} if pod.oddities else extra)

    # -- end

    async def finish(self, within: float) -> bool:
        """Take no more pods and wait for the binds in flight, at most ``within`` [s]; True: all are done."""
        self._stopping = True
        try:
            async with asyncio.timeout(within):
                await self.volumes.finish()
                await self._jobs.join()
        except TimeoutError:
            return False
        return True
