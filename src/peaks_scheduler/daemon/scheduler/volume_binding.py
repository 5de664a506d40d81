"""Pods whose volumes are being bound: the plan is written, then waited for, then the pod is bound or given up.

Owns the table of these pods and the tasks around it: a few workers write plans and take them back (``volume_writes``),
one task looks at the pods that a change of storage concerns, and at all of them every second. Assumes that the ledger
holds each pod's place and plan while it is in the table, and has each change before it is told here. A pod leaves by
``bound``, which sends its Binding, or by ``failed``, which frees its place and calls ``undo``. When the Lease is lost,
or the process ends, nothing is taken back: the claim's annotation makes the next leader choose the same node. Never
delays a Binding.

The tasks exist from the start (none is made per pod): kopf, when it restarts, cancels every task younger than itself.

Source: kube-scheduler's volumebinding/binder.go, BindPodVolumes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator
from dataclasses import dataclass

from peaks_scheduler.daemon.keeper import Tasks
from peaks_scheduler.ledger.storage.plan import VolumePlan, plan_progress
from peaks_scheduler.objects.requests import Json

from .context import Context
from .job import Job
from .volume_writes import NotWritten, VolumeWriter

logger = logging.getLogger(__name__)

WORKERS = 8
LOOK_EVERY = 1.0  # [s] between two looks at all waiting pods, as kube-scheduler does
LATE = "context deadline exceeded"  # kube-scheduler's words for a wait that was too long


@dataclass(slots=True)
class Waiting:
    """A pod whose plan is written."""

    job: Job
    plan: VolumePlan
    until: float  # [s] monotonic


class Volumes:
    """See the module. ``bound(job)`` and ``failed(job, reason, words)`` are told how a pod's volumes ended."""

    def __init__(
        self,
        context: Context,
        bound: Callable[[Job], Awaitable[None]],
        failed: Callable[[Job, str, str], None],
    ) -> None:
        self._ledger, self._fence, self._clock = context.ledger, context.may_write, context.clock
        self._timeout = context.settings.volume_bind_timeout
        self._bound, self._failed = bound, failed
        self._writer = VolumeWriter(context, self._may_write)
        self._todo: asyncio.Queue[tuple[Callable[[Job], Awaitable[None]], Job]] = asyncio.Queue()
        self._waiting: dict[str, Waiting] = {}
        self._about: dict[str, set[str]] = {}  # claim or volume -> pods that wait for it
        self._due: dict[str, None] = {}
        self._wakeup = asyncio.Event()
        self._stopping = False

    def __len__(self) -> int:
        """Number of pods whose plan is written and whose volumes are not bound yet."""
        return len(self._waiting)

    def __contains__(self, uid: object) -> bool:
        return uid in self._waiting

    def tasks(self) -> Tasks:
        return {"volumes": self.watch()} | {f"bind-volumes-{i}": self.write_jobs() for i in range(WORKERS)}

    # -- told by others

    def begin(self, job: Job) -> None:
        """Write the plan of a pod that is assumed in the ledger."""
        self._todo.put_nowait((self._write, job))

    def undo(self, job: Job) -> None:
        """Take a plan back: the pod's place is free again."""
        if not self._stopping:
            self._todo.put_nowait((self._writer.take_back, job))

    def changed(self, kind: str, raw: Json) -> None:
        """The ledger observed an object of storage."""
        if self._waiting:
            for key in _subjects(kind, raw):
                self._look_at(self._about.get(key, ()))

    def settled(self, uid: str) -> None:
        """The pod is bound, gone, or not ours."""
        if uid in self._waiting:
            self._look_at((uid,))

    def _look_at(self, uids: Collection[str]) -> None:
        if uids:
            self._due.update(dict.fromkeys(uids))
            self._wakeup.set()

    async def finish(self) -> None:
        """Write nothing more, and wait for the writes under way."""
        self._stopping = True
        await self._todo.join()

    def _may_write(self) -> bool:
        return not self._stopping and self._fence()

    # -- writing

    async def write_jobs(self) -> None:
        """One worker: carry plans out, and take them back, until cancelled."""
        while True:
            step, job = await self._todo.get()
            try:
                await step(job)
            except Exception:
                logger.exception("volumes not written", extra={"pod": job.pod.key, "node": job.node})
            finally:
                self._todo.task_done()

    async def _write(self, job: Job) -> None:
        try:
            self._wait(job, await self._writer.carry_out(job))
        except NotWritten as error:
            self._failed(job, error.reason, error.words)
        except Exception as error:
            self._failed(job, "error", f"{type(error).__name__}: {error}")
            raise
        except asyncio.CancelledError:
            self._failed(job, "stopped", "")
            raise

    # -- waiting

    def _wait(self, job: Job, plan: VolumePlan) -> None:
        uid = job.pod.uid
        self._waiting[uid] = Waiting(job, plan, self._clock() + self._timeout)
        for key in _objects(plan):
            self._about.setdefault(key, set()).add(uid)
        self._look_at((uid,))

    def _leave(self, waiting: Waiting) -> Job:
        uid = waiting.job.pod.uid
        del self._waiting[uid]
        for key in set(_objects(waiting.plan)):
            self._about[key].discard(uid)
            if not self._about[key]:
                del self._about[key]
        return waiting.job

    async def watch(self) -> None:
        """Look at pods that wait, until cancelled."""
        due = self._clock()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, due - self._clock())):
                    await self._wakeup.wait()
            self._wakeup.clear()
            if self._clock() >= due:
                self._due.update(dict.fromkeys(self._waiting))
                due = self._clock() + LOOK_EVERY
            while self._due:
                uid = next(iter(self._due))
                del self._due[uid]
                await self._look(uid)

    async def _look(self, uid: str) -> None:
        waiting = self._waiting.get(uid)
        if waiting is None or self._stopping:
            return
        try:
            if self._complete(waiting):
                self._writer.done(waiting.job)
                await self._bound(self._leave(waiting))
        except NotWritten as error:
            self._failed(self._leave(waiting), error.reason, error.words)
        except Exception as error:
            logger.exception("volumes not looked at", extra={"pod": waiting.job.pod.key, "node": waiting.job.node})
            if uid in self._waiting:
                self._failed(self._leave(waiting), "error", f"{type(error).__name__}: {error}")

    def _complete(self, waiting: Waiting) -> bool:
        """Are all volumes of the plan bound? Raises NotWritten where they never will be."""
        self._writer.check(waiting.job)
        node = self._ledger.node(waiting.job.node)
        assert node is not None, "it was checked"
        progress = plan_progress(waiting.plan, self._ledger.storage, node)
        if progress.state == "failed":
            raise NotWritten("volumes", f"binding volumes: {progress.words}")
        if progress.state == "waiting" and self._clock() >= waiting.until:
            raise NotWritten("volumes-timeout", f"binding volumes: {LATE}")
        return progress.state == "bound"


def _objects(plan: VolumePlan) -> Iterator[str]:
    """Objects of a plan: names of volumes, ``namespace/name`` of claims."""
    for binding in plan.bindings:
        yield binding.volume
        yield binding.claim_key
    for provision in plan.provisions:
        yield provision.claim_key


def _subjects(kind: str, raw: Json) -> Iterator[str]:
    """Objects that a change concerns, named as in ``_objects``: the object, and the claim that a volume names."""
    meta = raw["metadata"]
    if kind == "PersistentVolumeClaim":
        yield f"{meta.get('namespace') or 'default'}/{meta['name']}"
    elif kind == "PersistentVolume":
        yield meta["name"]
        ref = (raw.get("spec") or {}).get("claimRef") or {}
        if ref:
            yield f"{ref.get('namespace')}/{ref.get('name')}"
