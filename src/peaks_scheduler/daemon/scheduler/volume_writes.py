"""Writes the plan for a pod's volumes before its Binding, and takes it back if the pod goes elsewhere.

Owns the PATCHes of a plan (first the volumes bound to claims, then the node for which claims are provisioned), their
repetition, and ``status.nominatedNodeName`` while volumes are being bound, so that autoscalers do not remove the node.
The precondition of every write is the version on which the plan was made. Assumes that the ledger holds the pod's place
and its plan. Never waits for the volume controller.

Only the annotation ``selected-node`` is taken back, from unbound claims, if it is still ours and no other pod depends
on it. A volume that was bound to a claim stays bound: the volume controller is completing that already.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from peaks_scheduler.errors import Ambiguous, Conflict, Denied, KubeError, NotFound, TooManyRequests, Unavailable
from peaks_scheduler.ledger.records import State
from peaks_scheduler.ledger.storage.from_api import SELECTED_NODE
from peaks_scheduler.ledger.storage.plan import Binding, Provision, VolumePlan
from peaks_scheduler.ledger.storage.records import Claim

from .context import Context
from .job import FIRST_PAUSE, LAST_PAUSE, PATIENCE, Job

logger = logging.getLogger(__name__)

ECHO = 2.0  # [s] for the watch to show our write
UNDO_TRIES = 6

PASSING = (Conflict, TooManyRequests, Unavailable, Ambiguous, Denied)
"""Errors after which taking back is tried again."""


class NotWritten(Exception):  # noqa: N818 - how an attempt ends; never leaves the daemon
    """The plan will not be carried out. ``reason`` is a short stable word, ``words`` are for the pod's owner and may
    be empty."""

    def __init__(self, reason: str, words: str = "") -> None:
        super().__init__(words or reason)
        self.reason, self.words = reason, words


@dataclass(frozen=True, slots=True)
class Write:
    """The write of one object of a plan."""

    kind: str
    key: str
    send: Callable[[], Awaitable[dict[str, Any]]]
    shown: Callable[[], str]
    """The version in which the watch shows the object as written; empty: it does not yet."""


class VolumeWriter:
    """See the module. ``fence`` is asked before each write, and again in the moment of sending."""

    def __init__(self, context: Context, fence: Callable[[], bool]) -> None:
        self._ledger, self._client, self._limiter = context.ledger, context.client, context.limiter
        self._fence, self._clock = fence, context.clock
        self._touched: dict[str, set[str]] = {}  # uid -> objects that were, or may have been, written for it

    # -- carrying out

    async def carry_out(self, job: Job) -> VolumePlan:
        """Write the plan; the plan with the new versions. Raises NotWritten."""
        plan = job.plan
        assert plan is not None, "only jobs with a plan come here"
        self.check(job)
        await self._nominate(job)
        versions = {}
        for write in self._writes(plan):
            versions[write.key] = await self._written(job, write)
            self._ledger.storage.written(job.pod.uid, write.kind, write.key)
        return plan.written(versions)

    def check(self, job: Job) -> None:
        """Raises NotWritten where the pod is not assumed any more, its node is gone, or nothing may be written."""
        if self._ledger.state(job.pod.uid) is not State.ASSUMED:
            raise NotWritten("pod-gone")
        if self._ledger.node(job.node) is None:
            raise NotWritten("node-gone")
        if not self._fence():
            raise NotWritten("fenced")

    def _writes(self, plan: VolumePlan) -> Iterator[Write]:
        for binding in plan.bindings:
            if binding.needed:
                send = partial(self._client.patch_volume, binding.volume, binding.patch(), self._fence)
                yield Write("PersistentVolume", binding.volume, send, partial(self._volume_shown, binding))
        for each in plan.provisions:
            send = partial(self._client.patch_claim, each.namespace, each.claim, each.patch(), self._fence)
            yield Write("PersistentVolumeClaim", each.claim_key, send, partial(self._claim_shown, each))

    def _volume_shown(self, binding: Binding) -> str:
        volume = self._ledger.storage.observed_volume(binding.volume)
        if volume is None or volume.claim is None or volume.claim.uid != binding.claim_uid:
            return ""
        return volume.version

    def _claim_shown(self, provision: Provision) -> str:
        claim = self._ledger.storage.observed_claim(provision.claim_key)
        if claim is None or (claim.uid, claim.selected_node) != (provision.claim_uid, provision.node):
            return ""
        return claim.version

    async def _written(self, job: Job, write: Write) -> str:
        """Write one object; its new version. Raises NotWritten."""
        until, pause, in_doubt, trouble = self._clock() + PATIENCE, FIRST_PAUSE, False, ""
        while self._clock() < until:
            try:
                async with self._limiter:
                    self.check(job)
                    self._touched.setdefault(job.pod.uid, set()).add(write.key)
                    answer = await write.send()
                version = str((answer.get("metadata") or {}).get("resourceVersion") or "")
                if version:
                    return version
                in_doubt = True  # it was taken, and then the answer broke off
            except TooManyRequests as error:
                trouble = error.said
                continue  # the limiter holds the next turn back
            except Unavailable as error:
                trouble = error.said  # nothing was done
            except Ambiguous as error:
                trouble, in_doubt = error.said, True
            except Conflict as error:
                # it may be our own write, or that of another pod that shares the claim
                version = await _until(write.shown, ECHO if in_doubt else 0.0)
                if version:
                    return version
                raise NotWritten("volume-conflict", error.said) from error
            except KubeError as error:
                raise NotWritten("volume-gone" if isinstance(error, NotFound) else "refused", error.said) from error
            await asyncio.sleep(pause)
            pause = min(2 * pause, LAST_PAUSE)
        raise NotWritten("unavailable", trouble or "the API server's answer broke off")

    async def _nominate(self, job: Job) -> None:
        """Set ``status.nominatedNodeName``; a failure does not matter."""
        pod = job.pod
        try:
            async with self._limiter:
                await self._client.nominate(pod.namespace, pod.name, pod.uid, job.node, self._fence)
        except KubeError as error:
            logger.debug("node not nominated", extra={"pod": pod.key, "node": job.node, "error": str(error)})

    # -- taking back

    def done(self, job: Job) -> None:
        """Forget what was written: all volumes are bound, and nothing is taken back."""
        self._touched.pop(job.pod.uid, None)

    async def take_back(self, job: Job) -> None:
        """Take back what was written for a pod whose place is free again."""
        touched = self._touched.pop(job.pod.uid, set())
        for provision in job.plan.provisions if job.plan is not None else ():
            if provision.claim_key in touched:
                await _until(partial(self._claim_shown, provision), ECHO)  # the watch may not have brought it yet
                await self._again(job, partial(self._deselect, provision))
        await self._again(job, partial(self._denominate, job))

    async def _again(self, job: Job, take_back: Callable[[], Awaitable[None]]) -> None:
        pause = FIRST_PAUSE
        for _ in range(UNDO_TRIES):
            if not self._fence():
                return
            try:
                async with self._limiter:
                    await take_back()
                return
            except NotFound:
                return
            except PASSING:
                await asyncio.sleep(pause)
                pause = min(2 * pause, LAST_PAUSE)
            except KubeError as error:
                logger.warning("not taken back", extra={"pod": job.pod.key, "error": str(error)})
                return

    async def _deselect(self, provision: Provision) -> None:
        claim = self._ledger.storage.observed_claim(provision.claim_key)
        if claim is None or not self._ours_alone(claim, provision):
            return
        meta = {"uid": claim.uid, "resourceVersion": claim.version, "annotations": {SELECTED_NODE: None}}
        await self._client.patch_claim(provision.namespace, provision.claim, {"metadata": meta}, self._fence)

    def _ours_alone(self, claim: Claim, provision: Provision) -> bool:
        ours = (claim.uid, claim.selected_node) == (provision.claim_uid, provision.node)
        unbound = not claim.bound and not claim.volume_name
        return ours and unbound and not self._ledger.storage.users.nodes_using(claim.key)

    async def _denominate(self, job: Job) -> None:
        pod = job.pod
        if self._ledger.state(pod.uid) is State.PENDING:
            await self._client.nominate(pod.namespace, pod.name, pod.uid, None, self._fence)


async def _until(shown: Callable[[], str], within: float) -> str:
    """The version that ``shown`` gives, as soon as it gives one; empty after ``within`` [s] without one."""
    for _ in range(round(within / 0.1)):
        if version := shown():
            return version
        await asyncio.sleep(0.1)
    return shown()
