"""Tells a pod's owner why it was not placed: the ``PodScheduled`` condition and a ``FailedScheduling`` event.

Owns when that is written: at once when it is new, not again while it is unchanged (at most once in five minutes a
pod), and not faster than every ten seconds when the words keep changing (the last ones wait so long). Assumes that
``failed`` is called for every failed attempt. Never waits for the API server: two workers write conditions behind, the
last word of a pod wins.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from ..decision import Diagnosis
from ..errors import Conflict, KubeError, NotFound
from ..kube.client import KubeClient
from ..kube.clock import whole_time
from ..kube.events import EventPoster, Reporter
from ..objects import Pod

logger = logging.getLogger(__name__)

UNCHANGED = 300.0  # [s] before the same words are written again
CHANGED = 10.0  # [s] before other words are
WORKERS = 2
RETRY = 2.0  # [s] after the API server did not answer


@dataclass(slots=True)
class Said:
    """What a pod's owner was told last."""

    words: tuple[str, str]
    at: float


@dataclass(slots=True)
class Condition:
    pod: Pod
    reason: str
    message: str
    transition: str | None


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
        self._work = asyncio.Semaphore(0)

    def failed(self, pod: Pod, diagnosis: Diagnosis) -> bool:
        """No node can take the pod; True if it is worth telling (and a line in the log)."""
        more = partial(self._postscript, pod, diagnosis)
        return self.say(pod, diagnosis.condition, diagnosis.message, more)

    def say(self, pod: Pod, reason: str, message: str, more: Callable[[], str] = lambda: "") -> bool:
        """An attempt failed for this reason; True if it is worth telling. ``more``, which the event says as well, is
        asked for only when one is posted."""
        words = (reason, message)
        now, last = self._clock(), self._said.get(pod.uid)
        self._held.pop(pod.uid, None)
        if last is not None and now - last.at < (UNCHANGED if last.words == words else CHANGED):
            if last.words != words:
                self._held[pod.uid] = partial(self.say, pod, reason, message, more)
            return False
        self._said[pod.uid] = Said(words, now)
        transition = whole_time(self._wall()) if last is None else None
        if pod.uid not in self._waiting:
            self._work.release()
        self._waiting[pod.uid] = Condition(pod, *words, transition)
        note = message + more()
        self._events.post(self._reporter.failed_scheduling(pod.namespace, pod.name, pod.uid, note, self._wall()))
        return True

    def tick(self) -> None:
        """Say what came too soon and is still the last word. To be called every second or so."""
        for say in list(self._held.values()):
            say()

    def withdraw(self, uid: str) -> None:
        """A node was found after all: what is not written yet must not be written over the pod's binding."""
        self._held.pop(uid, None)
        if self._waiting.pop(uid, None) is not None:  # its permit stays: the worker finds nothing and goes on
            self._said.pop(uid, None)

    def forget(self, uid: str) -> None:
        """The pod was placed or is gone."""
        self.withdraw(uid)
        self._said.pop(uid, None)

    async def run(self) -> None:
        """Write conditions until cancelled."""
        while True:
            await self._work.acquire()
            if not self._waiting:
                continue
            uid = next(iter(self._waiting))
            condition = self._waiting.pop(uid)
            try:
                await self._write(condition)
            except Exception:
                logger.exception("condition not written", extra={"pod": condition.pod.key})

    async def _write(self, condition: Condition) -> None:
        pod = condition.pod
        if not self._fence():
            self._said.pop(pod.uid, None)
            return
        try:
            await self._client.patch_pod_scheduled(
                pod.namespace, pod.name, pod.uid, condition.reason, condition.message, condition.transition
            )
        except (NotFound, Conflict):
            return
        except KubeError as error:
            logger.warning("condition not written", extra={"pod": pod.key, "error": str(error)})
            self._said.pop(pod.uid, None)  # the next attempt says it again
            await asyncio.sleep(RETRY)
