"""Tells a pod's owner why an attempt failed: the ``PodScheduled`` condition and a ``FailedScheduling`` event.

Owns when these are written: a new reason at once, the same reason again after five minutes, another reason at most
every ten seconds (the newest one waits until then). A condition that could not be written is written as soon as it can
be, without another event. Assumes that ``failed`` or ``say`` is called for every failed attempt. Never waits for the
API server: two workers write the conditions, and only the newest one of each pod.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from peaks_scheduler.daemon.keeper import Tasks
from peaks_scheduler.errors import Ambiguous, Conflict, KubeError, NotFound, TooManyRequests, Unavailable
from peaks_scheduler.kube.clock import whole_time
from peaks_scheduler.kube.events import cut
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.scheduling.decision import Diagnosis
from peaks_scheduler.text.masking import mask
from peaks_scheduler.text.printable import visible

from .context import Context
from .job import PATIENCE

logger = logging.getLogger(__name__)

UNCHANGED = 300.0  # [s] before the same words are written again
CHANGED = 10.0  # [s] before other words are written
WORKERS = 2
RETRY = 2.0  # [s] at least, after the API server did not answer or asked for a pause
CONDITION_LIMIT = 4096  # [bytes] of a condition's message: a webhook's answer may be of any length


@dataclass(frozen=True, slots=True)
class Condition:
    pod: Pod
    reason: str
    message: str
    look_first: bool = False
    """The pod may be bound without our knowledge: read it first, and write nothing if it is."""


@dataclass(slots=True)
class Said:
    """The last message to a pod's owner."""

    words: tuple[str, str]
    at: float
    condition: Condition
    written: Condition | None
    """Our last condition on the pod; None: there is none, and the next one sets ``lastTransitionTime``."""
    refused: bool = False
    """Was it logged that the API server did not take the condition?"""


class Failures:
    """See the module. ``postscript`` gives what an event says beyond the condition."""

    def __init__(
        self, context: Context, postscript: Callable[[Pod, Diagnosis], str] = lambda pod, diagnosis: ""
    ) -> None:
        self._client, self._events, self._fence = context.client, context.events, context.may_write
        self._wall, self._clock, self._postscript = context.wall, context.clock, postscript
        self._said: dict[str, Said] = {}
        self._held: dict[str, Callable[[], bool]] = {}  # other words that came too soon, the newest of each pod
        self._waiting: dict[str, Condition] = {}
        self._writing: dict[str, Condition] = {}  # being written, and not withdrawn
        self._work = asyncio.Semaphore(0)

    def failed(self, pod: Pod, diagnosis: Diagnosis) -> bool:
        """Tell that no node can take the pod. True: it is told now (and worth a line in the log)."""
        more = partial(self._postscript, pod, diagnosis)
        return self.say(pod, diagnosis.condition, diagnosis.message, more)

    def say(
        self,
        pod: Pod,
        reason: str,
        message: str,
        more: Callable[[], str] = lambda: "",
        alike: str = "",
        look_first: bool = False,
    ) -> bool:
        """Tell why an attempt failed. True: it is told now.

        Args:
            more: gives the rest of the event's text; called only if an event is posted.
            alike: compared instead of the message, for messages of one failure that vary; empty: the message.
            look_first: see Condition.
        """
        message = cut(visible(mask(message)[: CONDITION_LIMIT + 1]), CONDITION_LIMIT)
        words = (reason, alike or message)
        now, last = self._clock(), self._said.get(pod.uid)
        self._held.pop(pod.uid, None)
        if last is not None and now - last.at < (UNCHANGED if last.words == words else CHANGED):
            if last.words != words:
                self._held[pod.uid] = partial(self.say, pod, reason, message, more, alike, look_first)
            elif last.written is not last.condition:
                self._write_soon(last.condition)
            return False
        condition = Condition(pod, reason, message, look_first)
        self._said[pod.uid] = Said(words, now, condition, last.written if last else None)
        self._write_soon(condition)
        note = message + more()
        self._events.failed_scheduling(pod.namespace, pod.name, pod.uid, note, self._wall())
        return True

    def told(self, uid: str) -> bool:
        """Was the owner of this pod, which is not placed, told anything?"""
        return uid in self._said

    def tick(self) -> None:
        """Tell what came too soon before. To be called about every second."""
        if self._fence():
            for say in list(self._held.values()):
                say()

    def withdraw(self, uid: str) -> None:
        """Drop a pod's unwritten condition: a node was found, and a late write would be wrong."""
        self._held.pop(uid, None)
        self._writing.pop(uid, None)
        self._waiting.pop(uid, None)  # its permit stays: a worker finds nothing and goes on

    def forget(self, uid: str) -> None:
        """The pod was placed or is gone."""
        self.withdraw(uid)
        self._said.pop(uid, None)

    def tasks(self) -> Tasks:
        """The workers."""
        return {f"condition-{i}": self.run() for i in range(WORKERS)}

    # -- conditions

    async def run(self) -> None:
        """Write conditions until cancelled."""
        while True:
            await self._work.acquire()
            if not self._waiting:
                continue
            uid = next(iter(self._waiting))
            condition = self._writing[uid] = self._waiting.pop(uid)
            try:
                await self._write(condition)
            except Exception:
                logger.exception("condition not written", extra={"pod": condition.pod.key})
            finally:
                if self._writing.get(uid) is condition:
                    del self._writing[uid]

    def _write_soon(self, condition: Condition) -> None:
        if condition.pod.uid not in self._waiting:
            self._work.release()
        self._waiting[condition.pod.uid] = condition

    async def _write(self, condition: Condition) -> None:
        pod = condition.pod
        if not self._fence():
            return
        try:
            await self._patch(condition)
        except (NotFound, Conflict):
            return
        except (Unavailable, Ambiguous, TooManyRequests) as error:
            if not self._may_send(condition):
                return
            self._not_written(condition, error)
            asked = error.retry_after if isinstance(error, TooManyRequests) else RETRY
            await asyncio.sleep(min(max(asked, RETRY), PATIENCE))
            if self._writing.get(pod.uid) is condition and pod.uid not in self._waiting:
                self._write_soon(condition)
        except KubeError as error:
            self._not_written(condition, error)  # the next attempt tries it again
        else:
            if said := self._said.get(pod.uid):
                said.written, said.refused = condition, False

    def _may_send(self, condition: Condition) -> bool:
        return self._fence() and self._writing.get(condition.pod.uid) is condition

    async def _patch(self, condition: Condition) -> None:
        pod, said = condition.pod, self._said.get(condition.pod.uid)
        since = None if said is not None and said.written is not None else whole_time(self._wall())
        words = (condition.reason, condition.message, since)
        version = await self._version_waiting(pod) if condition.look_first else None
        await self._client.patch_pod_scheduled(
            pod.namespace, pod.name, pod.uid, *words, version=version, fence=partial(self._may_send, condition)
        )

    async def _version_waiting(self, pod: Pod) -> str | None:
        """The version of the pod, which is pending. Raises Conflict where it is not pending, Forbidden where we may not
        read it: an API server that has just started forbids everything for a moment, and the pod may be bound."""
        raw = await self._client.get_pod(pod.namespace, pod.name)
        if raw is None or raw["metadata"].get("uid") != pod.uid or (raw.get("spec") or {}).get("nodeName"):
            raise Conflict(f"pod {pod.key}: bound or gone", 409)
        version: str | None = raw["metadata"].get("resourceVersion")
        return version

    def _not_written(self, condition: Condition, error: KubeError) -> None:
        said = self._said.get(condition.pod.uid)
        if said is not None and not said.refused:
            said.refused = True
            logger.warning("condition not written", extra={"pod": condition.pod.key, "error": str(error)})
