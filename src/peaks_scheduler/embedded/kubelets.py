"""Simulates the kubelets of all nodes: starts bound pods, finishes some of them, removes deleted ones.

Owns the status of a pod after its binding: Running with the times that a kubelet reports, Succeeded when its time is
over, and its removal. Runs no containers. Uses the server's clock; ``step`` does what is due, so tests need not wait.
Ignores pods that are not bound.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections.abc import Callable
from typing import Any

from .api_errors import ApiError
from .apiserver import EmbeddedApiServer
from .object_store import Object, StoreChange, stamp
from .rest import set_condition

RunsFor = Callable[[Object], float | None]
"""Pod -> how long it runs [s]; None: for ever."""

_Act = Callable[["Kubelets", Object], None]


class Kubelets:
    """Starts to observe pods at once.

    Args:
        runs_for: how long a pod runs.
        start_after: least and greatest time from binding to start [s]; drawn with ``seed``.
        removed_after: [s] from the end of a pod to its removal.
    """

    def __init__(
        self,
        server: EmbeddedApiServer,
        runs_for: RunsFor = lambda pod: None,
        *,
        start_after: tuple[float, float] = (0.2, 0.8),
        removed_after: float = 2.0,
        seed: int = 0,
    ) -> None:
        self._server = server
        self._runs_for = runs_for
        self._start_after = start_after
        self._removed_after = removed_after
        self._random = random.Random(seed)
        self._due: list[tuple[float, int, str, Object]] = []
        self._order = itertools.count()
        self._wake = asyncio.Event()
        self.stop = server.subscribe("pods", self._observe)
        """Call it to stop observing pods."""

    def _observe(self, change: StoreChange) -> None:
        pod = change.after.object if change.after else None
        if pod is None or not pod["spec"].get("nodeName"):
            return
        before = change.before.object if change.before else None
        if pod["metadata"].get("deletionTimestamp"):
            self._later(0.1, "remove", pod)
        elif pod["status"]["phase"] == "Pending" and not (before and before["spec"].get("nodeName")):
            self._later(self._random.uniform(*self._start_after), "start", pod)

    def _later(self, seconds: float, what: str, pod: Object) -> None:
        heapq.heappush(self._due, (self._server.clock() + seconds, next(self._order), what, pod))
        self._wake.set()

    def step(self) -> float | None:
        """Do everything that is due. Returns when the next action is due [s since the epoch]; None: never."""
        while self._due and self._due[0][0] <= self._server.clock():
            _, _, what, pod = heapq.heappop(self._due)
            if (current := self._current(pod)) is not None:
                _ACTS[what](self, current)
        return self._due[0][0] if self._due else None

    def _current(self, pod: Object) -> Object | None:
        """The current state of the pod; None if it is gone or another pod has its name."""
        metadata = pod["metadata"]
        try:
            current = self._server.get("pods", metadata["name"], metadata["namespace"])
        except ApiError:
            return None
        return current if current["metadata"]["uid"] == metadata["uid"] else None

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            self._wake.clear()
            due = self.step()
            try:
                async with asyncio.timeout(None if due is None else max(due - self._server.clock(), 0.001)):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _start(self, pod: Object) -> None:
        if pod["status"]["phase"] != "Pending" or pod["metadata"].get("deletionTimestamp"):
            return
        self._write(pod, running(pod, self._server.clock()))
        seconds = self._runs_for(pod)
        if seconds is not None:
            self._later(seconds, "finish", pod)

    def _finish(self, pod: Object) -> None:
        self._write(pod, succeeded(pod, self._server.clock()))
        self._later(self._removed_after, "remove", pod)

    def _remove(self, pod: Object) -> None:
        self._server.remove("pods", pod["metadata"]["name"], pod["metadata"]["namespace"])

    def _write(self, pod: Object, status: Object) -> None:
        self._server.change("pods", pod["metadata"]["name"], {"status": status}, pod["metadata"]["namespace"])


_ACTS: dict[str, _Act] = {"start": Kubelets._start, "finish": Kubelets._finish, "remove": Kubelets._remove}


def running(pod: Object, now: float) -> Object:
    """Status of a pod whose containers start at ``now`` [s since the epoch]."""
    since = stamp(now)
    state = {"running": {"startedAt": since}}
    status = _status(pod, "Running", state, ready=True)
    for condition in ("Initialized", "ContainersReady", "Ready"):
        set_condition({"status": status}, {"type": condition, "status": "True"}, since)
    return {**status, "startTime": pod["status"].get("startTime", since)}


def succeeded(pod: Object, now: float) -> Object:
    """Status of a pod whose containers end at ``now`` [s since the epoch] without an error."""
    begun = pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"]
    ended = {"exitCode": 0, "reason": "Completed", "startedAt": begun, "finishedAt": stamp(now)}
    status = _status(pod, "Succeeded", {"terminated": ended}, ready=False)
    for condition in ("ContainersReady", "Ready"):
        set_condition({"status": status}, {"type": condition, "status": "False", "reason": "PodCompleted"}, stamp(now))
    return status


def _status(pod: Object, phase: str, state: dict[str, Any], ready: bool) -> Object:
    containers = [
        {
            "name": c["name"],
            "image": c.get("image", ""),
            "ready": ready,
            "restartCount": 0,
            "started": ready,
            "state": state,
        }
        for c in pod["spec"].get("containers", [])
    ]
    conditions = [dict(condition) for condition in pod["status"].get("conditions", [])]
    return {**pod["status"], "phase": phase, "conditions": conditions, "containerStatuses": containers}
