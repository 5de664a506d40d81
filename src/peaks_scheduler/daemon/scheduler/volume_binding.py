"""Pods whose volumes are on their way: written for the node that was chosen, waited for, then bound or given back.

Owns the table of these pods and the tasks around it: a few workers write and take back (``volume_writes``), one looks
at the pods that storage news are about, and at all of them every second. Assumes that the ledger holds each pod's place
and plan while it is here, and that news are told after the ledger has them. A pod leaves by ``bound``, which sends its
Binding, or by ``failed``, which gives its place back and asks for ``undo``. When the Lease is lost or the process ends
nothing is taken back: the claim's annotation makes the next one choose the same node. Never holds up a Binding.

The tasks exist from the start (none is made per pod): kopf, when it restarts, cancels every task younger than itself.

Source: kube-scheduler's volumebinding/binder.go, BindPodVolumes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterator
from dataclasses import dataclass

from peaks_scheduler.kube.client import KubeClient
from peaks_scheduler.kube.limiter import Limiter
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.ledger.storage.plan import VolumePlan, plan_progress
from peaks_scheduler.objects.requests import Json

from .job import Job
from .volume_writes import NotWritten, VolumeWriter

logger = logging.getLogger(__name__)

WORKERS = 8
LOOK_EVERY = 1.0  # [s] at all that wait, as kube-scheduler does
LATE = "context deadline exceeded"  # kube-scheduler's words for a wait that was too long


@dataclass(slots=True)
class Waiting:
    """A pod whose plan is written."""

    job: Job
    plan: VolumePlan
    until: float  # [s] monotonic


class Volumes:
    """See the module. ``timeout`` [s] is how long a pod waits; ``bound(job)`` and ``failed(job, reason, words)`` are
    told how it ended."""

    def __init__(
        self,
        ledger: Ledger,
        client: KubeClient,
        limiter: Limiter,
        fence: Callable[[], bool],
        timeout: float,
        bound: Callable[[Job], Awaitable[None]],
        failed: Callable[[Job, str, str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger, self._fence, self._timeout, self._clock = ledger, fence, timeout, clock
        self._bound, self._failed = bound, failed
        self._writer = VolumeWriter(ledger, client, limiter, self._may_write, clock)
        self._todo: asyncio.Queue[tuple[Callable[[Job], Awaitable[None]], Job]] = asyncio.Queue()
        self._waiting: dict[str, Waiting] = {}
        self._about: dict[str, set[str]] = {}  # claim or volume -> pods that wait for it
        self._news: dict[str, None] = {}
        self._wakeup = asyncio.Event()
        self._stopping = False

    def __len__(self) -> int:
        """Pods whose volumes are written and not bound yet."""
        return len(self._waiting)

    def __contains__(self, uid: object) -> bool:
        return uid in self._waiting

    # -- told by others

    def begin(self, job: Job) -> None:
        """The pod's place is held: see to its volumes."""
        self._todo.put_nowait((self._write, job))

    def undo(self, job: Job) -> None:
        """The pod will not get there, and its place is given back."""
        if not self._stopping:
            self._todo.put_nowait((self._writer.take_back, job))

    def changed(self, kind: str, raw: Json) -> None:
        """The ledger has seen a change of something of storage."""
        if self._waiting:
            for key in _subjects(kind, raw):
                self._look_at(self._about.get(key, ()))

    def settled(self, uid: str) -> None:
        """Something has become of a pod."""
        if uid in self._waiting:
            self._look_at((uid,))

    def _look_at(self, uids: Collection[str]) -> None:
        if uids:
            self._news.update(dict.fromkeys(uids))
            self._wakeup.set()

    async def finish(self) -> None:
        """Write nothing more, and wait for what is being written."""
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
                self._news.update(dict.fromkeys(self._waiting))
                due = self._clock() + LOOK_EVERY
            while self._news:
                uid = next(iter(self._news))
                del self._news[uid]
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
        """Is all of it bound? Raises NotWritten where that will not be."""
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
    """What a plan is about: names of volumes, ``namespace/name`` of claims."""
    for binding in plan.bindings:
        yield binding.volume
        yield binding.claim_key
    for provision in plan.provisions:
        yield provision.claim_key


def _subjects(kind: str, raw: Json) -> Iterator[str]:
    """What news of an object are about, in the same words: a volume is also about the claim that it names."""
    meta = raw["metadata"]
    if kind == "PersistentVolumeClaim":
        yield f"{meta.get('namespace') or 'default'}/{meta['name']}"
    elif kind == "PersistentVolume":
        yield meta["name"]
        ref = (raw.get("spec") or {}).get("claimRef") or {}
        if ref:
            yield f"{ref.get('namespace')}/{ref.get('name')}"
