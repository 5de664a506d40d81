"""Records what happened to the workload: the order in which pods were bound and ended, and how long binding took.

Owns the steps that ``replay`` repeats. Assumes that it is told of every change of a pod, in order. Only pods of the
demo's scheduler are recorded, not those that ran before.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping
from typing import Any

from peaks_scheduler.embedded.load_watcher_endpoint import cpu_request
from peaks_scheduler.embedded.object_store import Object, StoreChange
from peaks_scheduler.objects.annotations import DECISION
from peaks_scheduler.objects.quantity import parse_quantity

from .replay import PodEnded, PodPlaced, Step
from .scenario import SCHEDULER


class Recorder:
    """Listens to changes of pods. ``clock``: monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.steps: list[Step] = []
        self.decisions: list[tuple[str, Mapping[str, Any]]] = []
        """(pod, decision record) in order of binding, without pods that were bound without a record."""
        self._clock = clock
        self._created: dict[str, float] = {}
        self._waits: list[float] = []

    @property
    def bound(self) -> int:
        """Number of pods bound so far."""
        return len(self._waits)

    def median_wait(self) -> float:
        """Median time from a pod's creation to its binding [s]; NaN before the first."""
        return statistics.median(self._waits) if self._waits else float("nan")

    def observe(self, change: StoreChange) -> None:
        """Record one change."""
        before = change.before.object if change.before else None
        after = change.after.object if change.after else None
        if (after or before or {})["spec"].get("schedulerName") != SCHEDULER:
            return
        if before is None and after is not None:
            self._created[after["metadata"]["name"]] = self._clock()
        elif before is not None:
            self._changed(before, after)

    def _changed(self, before: Object, after: Object | None) -> None:
        name = before["metadata"]["name"]
        if after is not None and after["spec"].get("nodeName") and not before["spec"].get("nodeName"):
            self._bound(name, after)
        elif _is_active(before) and not _is_active(after) and before["spec"].get("nodeName"):
            self.steps.append(PodEnded(name))

    def _bound(self, name: str, pod: Object) -> None:
        node = pod["spec"]["nodeName"]
        self.steps.append(PodPlaced(name, round(cpu_request(pod) * 1000), _memory(pod), node))
        self._waits.append(self._clock() - self._created[name])
        text = (pod["metadata"].get("annotations") or {}).get(DECISION)
        if text:
            self.decisions.append((name, json.loads(text)))


def _is_active(pod: Object | None) -> bool:
    return pod is not None and pod["status"].get("phase") not in ("Succeeded", "Failed")


def _memory(pod: Object) -> int:
    return int(sum(parse_quantity(c["resources"]["requests"]["memory"]) for c in pod["spec"]["containers"]))
