"""Carries decisions out: one Binding for each, after the pod's volumes where some must be bound first.

A fixed set of workers sends the Bindings; ``volumes`` does what must come before. Owns every way a decision can end:
bound, refused by the API server, outcome unknown, fenced off. The pod's owner is told of every failure, in the server's
words, except a lost Lease and our own end. Assumes that the ledger holds the pod's place until the decision has ended.
Never sends a Binding that the fence forbids, never leaves an assumption behind.

The workers exist from the start (none is made per pod): kopf, when it restarts, cancels every task younger than itself.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from peaks_scheduler.daemon.keeper import Tasks
from peaks_scheduler.errors import Ambiguous, Conflict, KubeError, NotFound, TooManyRequests, Unavailable
from peaks_scheduler.ledger.records import Change, State
from peaks_scheduler.objects.annotations import DECISION
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.objects.requests import Json
from peaks_scheduler.scheduling.decision import FAILED
from peaks_scheduler.scheduling.events import ClusterEvent

from .context import Context
from .failures import Failures
from .job import FIRST_PAUSE, LAST_PAUSE, PATIENCE, Job
from .pending import PendingPods
from .volume_binding import Volumes

logger = logging.getLogger(__name__)

WORKERS = 64
VOLUMES_FAILED = ("volumes", "volumes-timeout")  # reasons that another node may not have
AHEAD = 16  # decisions that may wait for a worker: more of them would be based on an older snapshot
BIND = 'running Bind plugin "DefaultBinder"'  # kube-scheduler's words
NO_TURN = f"no turn within {PATIENCE:g} s: the API server asks for fewer requests, or our credentials are being renewed"
VOLUMES = 'running PreBind plugin "VolumeBinding"'
_NUMBER = re.compile(r"\d+")  # a port or a time, which varies between two messages of one failure


class Binder:
    """See the module. ``seen`` is told of what the ledger observed of a pod that was read here."""

    def __init__(
        self,
        context: Context,
        pending: PendingPods,
        failures: Failures,
        seen: Callable[[str, Change, Pod | None], None],
    ) -> None:
        self._context, self._pending, self._failures, self._seen = context, pending, failures, seen
        self._ledger, self._client, self._telemetry = context.ledger, context.client, context.telemetry
        self._wall, self._clock = context.wall, context.clock
        self._jobs: asyncio.Queue[Job] = asyncio.Queue(AHEAD)
        self.volumes = Volumes(context, bound=self._jobs.put, failed=self._without_volumes)
        self._carried: dict[str, Job] = {}
        self.given_up: set[str] = set()
        """uids of pods whose Binding was given up, though it may take effect."""
        self.failed_on: dict[str, set[str]] = {}
        """uid -> nodes on which the pod's volumes could not be bound: the next attempt prefers other nodes."""

    def tasks(self) -> Tasks:
        """The workers."""
        return {f"bind-{i}": self.bind_jobs() for i in range(WORKERS)} | dict(self.volumes.tasks())

    async def take(self, job: Job) -> None:
        """Begin to carry a job out; waits for a free worker, but not for volumes."""
        self._carried[job.pod.uid] = job
        if job.plan is not None:
            self.volumes.begin(job)
        else:
            await self._jobs.put(job)

    def carries(self, uid: str) -> bool:
        """Is a decision about the pod on its way to the API server?"""
        return uid in self._carried

    def _dropped(self, job: Job) -> None:
        if self._carried.get(job.pod.uid) is job:
            del self._carried[job.pod.uid]

    def settled(self, uid: str) -> None:
        """The pod is bound, gone, or not ours."""
        self._pending.settled(uid)
        self.given_up.discard(uid)
        self.failed_on.pop(uid, None)
        self.volumes.settled(uid)

    async def finish(self) -> None:
        """Wait for what is in flight."""
        await self.volumes.finish()
        await self._jobs.join()

    async def bind_jobs(self) -> None:
        """One worker: carry decisions out until cancelled."""
        while True:
            job = await self._jobs.get()
            try:
                await self._carry_out(job)
            except Exception as error:
                logger.exception("bind failed", extra={"pod": job.pod.key, "node": job.node})
                self._give_up(job, "error", f"{BIND}: {type(error).__name__}: {error}")
            except asyncio.CancelledError:
                self._give_up(job, "stopped")
                raise
            finally:
                self._dropped(job)
                self._jobs.task_done()

    async def _carry_out(self, job: Job) -> None:
        pod, until, pause, trouble = job.pod, self._clock() + PATIENCE, FIRST_PAUSE, ""
        ours = pod.uid in self.given_up  # may a Binding of ours have been taken already?
        while self._clock() < until:
            if self._ledger.state(pod.uid) is not State.ASSUMED:
                if not ours:
                    self._notice(job, self._ledger.node_of(pod.uid))
                self._overtaken(job)
                return
            if self._ledger.node(job.node) is None:
                self._give_up(job, "node-gone")
                return
            try:
                if await self._bind(job, until):
                    self._bound(job)
                else:
                    self._give_up(job, "fenced")
                return
            except TooManyRequests as error:
                trouble = error.said
                continue  # the limiter holds the next turn back
            except Unavailable as error:  # nothing was done
                trouble = error.said if self._may_send(job, until) else trouble  # else it was held back by us
                ours = ours or error.status != 0  # but a proxy may answer so after it passed the Binding on
            except (Ambiguous, Conflict, NotFound) as error:
                trouble, ours = error.said, ours or isinstance(error, Ambiguous)
                if await self._find_out(job, error, ours):
                    return
            except KubeError as error:
                self._give_up(job, "refused", f"{BIND}: {error.said}")
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, LAST_PAUSE)
        self._give_up(job, "unavailable", f"{BIND}: {trouble or NO_TURN}")

    async def _bind(self, job: Job, until: float) -> bool:
        """Send the Binding; False: the fence does not allow it. Raises Unavailable if the decision does not stand any
        more when its turn has come: turns, connections and credentials may take long."""
        pod = job.pod
        async with self._context.limiter:
            if not self._context.may_write():
                return False
            text = job.decision.annotation(self._context.settings.decision_annotation)
            record = {DECISION: text} if text else {}
            fence = partial(self._may_send, job, until)
            await self._client.bind(pod.namespace, pod.name, pod.uid, job.node, record, fence)
        return True

    def _may_send(self, job: Job, until: float) -> bool:
        ledger = self._ledger
        stands = ledger.state(job.pod.uid) is State.ASSUMED and ledger.node(job.node) is not None
        return stands and self._clock() < until and self._context.may_write()

    async def _find_out(self, job: Job, error: KubeError, ours: bool) -> bool:
        """Read the pod to learn whether it was bound, by us or another. True: the job has ended; False: nothing
        happened, try again. ``ours``: a Binding of ours may have been taken."""
        pod = job.pod
        try:
            raw = await self._client.get_pod(pod.namespace, pod.name)
        except KubeError:
            return False
        if raw is None or raw["metadata"].get("uid") != pod.uid:
            self._telemetry.conflicted("pod-gone")
            self._seen(pod.uid, self._ledger.drop(pod.uid), pod)
            return True
        node = (raw.get("spec") or {}).get("nodeName")
        recorded = DECISION in (raw["metadata"].get("annotations") or {})
        if node == job.node and (recorded or self._context.settings.decision_annotation == "none"):
            if not ours:
                self._notice(job, node)
            self._bound(job)
            return True
        if node:
            self._telemetry.conflicted("already-bound")
            by = "bound after all" if recorded and pod.uid in self.given_up else "bound by another"
            logger.info(by, extra={"pod": pod.key, "node": node})
            self._read(pod, raw)
            self.settled(pod.uid)
            return True
        if isinstance(error, Conflict):
            self._give_up(job, "being-deleted" if "deletionTimestamp" in raw["metadata"] else "conflict")
            self._read(pod, raw)  # newer than what the watch has shown: it may be on its way out
            self._tell(pod, f"{BIND}: {error.said}")
            return True
        return False

    def _notice(self, job: Job, node: str) -> None:
        """Tell that somebody else bound the pod to the node of our decision. (A pod on another node is told when the
        ledger observes it.)"""
        if node == job.node:
            self._context.bound_by_another(replace(job.pod, node_name=node, decided_at=self._wall()))

    def _read(self, pod: Pod, raw: Json) -> None:
        """Observe a pod that was read here, unless the watch has shown its end meanwhile."""
        if self._ledger.pod(pod.uid) is not None:
            self._seen(pod.uid, self._ledger.observe_pod(raw), pod)

    def _overtaken(self, job: Job) -> None:
        """End a job that the watch overtook: the answer to our Binding was lost, another was faster, or the pod is
        gone."""
        uid = job.pod.uid
        pod = self._ledger.pod(uid)
        if pod is not None and pod.node_name == job.node and pod.decided_at is not None:
            self._bound(job)
        elif self._ledger.state(uid) is State.PENDING:
            self._context.queue.retry(uid, self._clock())  # it went and came back: it is pending again
        else:
            self.settled(uid)

    def _give_up(self, job: Job, reason: str, words: str = "") -> None:
        """End a job without success: free the pod's place and try the pod again after a backoff. ``words``: told to
        the pod's owner."""
        if self._ledger.state(job.pod.uid) is State.BOUND:
            self._overtaken(job)
            return
        self._telemetry.conflicted(reason)
        self._telemetry.failed(time.perf_counter() - job.begun)
        if self._ledger.forget(job.pod.uid):
            self.given_up.add(job.pod.uid)
            self._context.queue.retry(job.pod.uid, self._clock())
            self._pending.wake(ClusterEvent.POD_GONE)
        if job.plan is not None:
            self.volumes.undo(job)
        if words:
            self._tell(job.pod, words)

    def _tell(self, pod: Pod, words: str) -> None:
        """Tell the owner of a pod that is still pending why its last attempt failed."""
        known = self._ledger.pod(pod.uid)
        if known is None or known.deleting or self._ledger.state(pod.uid) is not State.PENDING:
            return
        # a lost answer may have been a success
        if self._failures.say(pod, FAILED, words, alike=_NUMBER.sub("#", words), look_first=True):
            logger.info("not placed", extra={"pod": pod.key, "reason": FAILED, "text": words})

    def _without_volumes(self, job: Job, reason: str, words: str) -> None:
        """End a job whose volumes could not be bound. ``words``: told to the pod's owner."""
        self._dropped(job)
        self._give_up(job, reason, words and f"{VOLUMES}: {words}")
        if reason in VOLUMES_FAILED and self._ledger.pod(job.pod.uid) is not None:
            self.failed_on.setdefault(job.pod.uid, set()).add(job.node)

    def _bound(self, job: Job) -> None:
        pod = job.pod
        self.settled(pod.uid)
        self._context.events.scheduled(pod.namespace, pod.name, pod.uid, job.node, self._wall())
        self._telemetry.bound(
            job.decision.jump_watts, time.perf_counter() - job.begun, self._clock() - job.first, max(1, job.attempts)
        )
        self._telemetry.predicted(job.decision.rise_watts, pod.cpu_from)
        extra = {"pod": pod.key, "decision": job.number, **job.decision.record()}
        logger.info("bound", extra={**extra, "notUsed": "; ".join(pod.oddities)} if pod.oddities else extra)
