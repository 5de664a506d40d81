"""Tells a pod's owner why it was not placed: the ``PodScheduled`` condition and a ``FailedScheduling`` event.

Owns when that is written: at once when it is new, not again while it is unchanged (at most once in five minutes a
pod), and not faster than every ten seconds when the words keep changing (the last ones wait so long). A condition that
could not be written is written once it can be, without another event. Assumes that ``failed`` or ``say`` is called for
every failed attempt. Never waits for the API server: two workers write conditions behind, the last word of a pod wins.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from peaks_scheduler.errors import Ambiguous, Conflict, Forbidden, KubeError, NotFound, TooManyRequests, Unavailable
from peaks_scheduler.kube.client import KubeClient
from peaks_scheduler.kube.clock import whole_time
from peaks_scheduler.kube.events import EventPoster, Reporter, cut
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.scheduling.decision import Diagnosis
from peaks_scheduler.text.masking import mask
from peaks_scheduler.text.printable import visible

from .job import PATIENCE

logger = logging.getLogger(__name__)

UNCHANGED = 300.0  # [s] before the same words are written again
CHANGED = 10.0  # [s] before other words are
WORKERS = 2
RETRY = 2.0  # [s] after the API server did not answer
CONDITION_LIMIT = 4096  # [bytes] of a condition's message: a webhook may say any amount


@dataclass(frozen=True, slots=True)
class Condition:
    pod: Pod
    reason: str
    message: str
    look_first: bool = False
    """The pod may be bound without our knowing, and then this must not be written over it."""


@dataclass(slots=True)
class Said:
    """What a pod's owner was told last."""

    words: tuple[str, str]
    at: float
    condition: Condition
    written: Condition | None
    """The last one of ours that is on the pod; None: there is none yet, and the next one begins its time."""
    refused: bool = False
    """The API server did not take it, and the log says so."""


class Refusals:
    """See the module. ``fence`` is asked before each write, ``postscript`` for what an event says beyond the
    condition."""

    def __init__(
        self,
        client: KubeClient,
        events: EventPoster,
        reporter: Reporter,
        fence: Callable[[], bool],
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        postscript: Callable[[Pod, Diagnosis], str] = lambda pod, diagnosis: "",
    ) -> None:
        self._client, self._events, self._reporter, self._fence = client, events, reporter, fence
        self._wall, self._clock, self._postscript = wall, clock, postscript
        self._said: dict[str, Said] = {}
        self._held: dict[str, Callable[[], bool]] = {}  # other words that came too soon, the latest of each pod
        self._waiting: dict[str, Condition] = {}
        self._writing: dict[str, Condition] = {}  # in a worker's hand, and not withdrawn meanwhile
        self._work = asyncio.Semaphore(0)

    def failed(self, pod: Pod, diagnosis: Diagnosis) -> bool:
        """No node can take the pod; True if it is worth telling (and a line in the log)."""
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
        """An attempt failed for this reason; True if it is worth telling. ``more``, which the event says as well, is
        asked for only when one is posted. ``alike``: what counts as unchanged where the message itself varies.
        ``look_first``: see Condition."""
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
        self._events.post(self._reporter.failed_scheduling(pod.namespace, pod.name, pod.uid, note, self._wall()))
        return True

    def told(self, uid: str) -> bool:
        """Was the pod's owner told anything, and the pod is still not placed?"""
        return uid in self._said

    def tick(self) -> None:
        """Say what came too soon and is still the last word. To be called every second or so."""
        for say in list(self._held.values()):
            say()

    def withdraw(self, uid: str) -> None:
        """A node was found after all: what is not written yet must not be written over the pod's binding."""
        self._held.pop(uid, None)
        self._writing.pop(uid, None)
        self._waiting.pop(uid, None)  # its permit stays: the worker finds nothing and goes on

    def forget(self, uid: str) -> None:
        """The pod was placed or is gone."""
        self.withdraw(uid)
        self._said.pop(uid, None)

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
            self._not_written(condition, error)
            await asyncio.sleep(min(error.retry_after, PATIENCE) if isinstance(error, TooManyRequests) else RETRY)
            if self._writing.get(pod.uid) is condition and pod.uid not in self._waiting:
                self._write_soon(condition)
        except KubeError as error:
            self._not_written(condition, error)  # the next attempt tries it again
        else:
            if said := self._said.get(pod.uid):
                said.written, said.refused = condition, False

    async def _patch(self, condition: Condition) -> None:
        pod, said = condition.pod, self._said.get(condition.pod.uid)
        since = None if said is not None and said.written is not None else whole_time(self._wall())
        words = (condition.reason, condition.message, since)
        version = await self._version_waiting(pod) if condition.look_first else None
        await self._client.patch_pod_scheduled(pod.namespace, pod.name, pod.uid, *words, version=version)

    async def _version_waiting(self, pod: Pod) -> str | None:
        """The version in which the pod still waits; None where we may not look. Raises Conflict where it does not."""
        try:
            raw = await self._client.get_pod(pod.namespace, pod.name)
        except Forbidden:
            return None
        if raw is None or raw["metadata"].get("uid") != pod.uid or (raw.get("spec") or {}).get("nodeName"):
            raise Conflict(f"pod {pod.key}: bound or gone", 409)
        version: str | None = raw["metadata"].get("resourceVersion")
        return version

    def _not_written(self, condition: Condition, error: KubeError) -> None:
        said = self._said.get(condition.pod.uid)
        if said is not None and not said.refused:
            said.refused = True
            logger.warning("condition not written", extra={"pod": condition.pod.key, "error": str(error)})
