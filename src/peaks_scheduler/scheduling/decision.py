"""What was decided about a pod and why, and every text made of it.

Owns ``Decision`` and its forms: the annotation, the log fields, kube-scheduler's message when no node fits, explain's
answer. Everything that people read about a decision is made here, from the same facts. Pure.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from peaks_scheduler.objects.ceilings import NO_CEILING, Ceiling
from peaks_scheduler.objects.pod import Pod

from .events import ClusterEvent

Standing = Literal["measured", "estimated", "unmodelled", "above-ceiling", "over-full"]

WATTS = "watts"
"""The unit of a strategy's costs unless the strategy says otherwise."""

Detail = Literal["full", "short", "none"]
"""How much of the decision record the pod's annotation has."""
SHORT = ("node", "jumpWatts", "standing", "preference")
"""Fields of the short record. They tell nothing about other nodes or about anybody's use."""

UNSCHEDULABLE = "Unschedulable"
"""No node fits; a cluster autoscaler may add one."""
FAILED = "SchedulerError"
"""A filter failed over an object of the cluster that cannot be understood; kube-scheduler's word."""
UNSUPPORTED = "UnsupportedConstraint"
"""The pod asks for something that this version does not support; more nodes would not help."""
WAITING = "WaitingForNodes"
"""A rule of ours keeps back nodes that would fit; more nodes would not help, time will."""

_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)  # json.dumps would build a new one each time

ANNOTATION_BYTES = 1023
"""A decision's annotation is no longer than this."""
MESSAGE_LENGTH = 8192
"""[characters] A longer message is cut: a pod may ask for any number of things, and each can be a reason."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Why no node was feasible."""

    total: int
    """Nodes looked at."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Nodes by reason; a node counts under each reason of the first filter that refused it."""
    filters: frozenset[str] = frozenset()
    """Names of the filters that refused a node."""
    events: frozenset[ClusterEvent] = frozenset()
    """Cluster events that can make the pod schedulable; empty: only a change of the pod itself can."""
    unsupported: tuple[str, ...] = ()
    """Fields of the pod that are not supported."""
    rejected: str = ""
    """Why the pod fits nowhere, where that was known before any node was looked at."""
    failure: str = ""
    """Why the nodes could not be judged."""
    condition: str = UNSCHEDULABLE
    """Reason of the ``PodScheduled`` condition."""

    @property
    def outright(self) -> str:
        """Why the pod fits nowhere, where that was known before any node was looked at; else empty."""
        if self.unsupported:
            return f"{', '.join(self.unsupported)}: not honoured by this scheduler"
        return self.failure or self.rejected

    @property
    def message(self) -> str:
        """kube-scheduler's text, ``0/2 nodes are available: 1 Insufficient cpu, 1 node(s) were unschedulable.``"""
        whole = self._message
        return whole if len(whole) <= MESSAGE_LENGTH else f"{whole[: MESSAGE_LENGTH - 4]} ..."

    @property
    def _message(self) -> str:
        if self.unsupported:
            return f"{self.outright}; the pod was not placed"
        if self.total == 0:
            return "no nodes available to schedule pods"
        if self.failure:
            return self.failure
        head = f"0/{self.total} nodes are available:"
        if self.rejected:
            return f"{head} {self.rejected}."
        parts = sorted(f"{count} {reason}" for reason, count in self.reasons.items())
        return f"{head} {', '.join(parts)}." if parts else head


@dataclass(frozen=True, slots=True)
class Decision:
    """Where a pod goes, at what cost, and what the second best node was. ``node`` is None where no node fits; then
    ``diagnosis`` says why.

    ``jump_watts`` is the rise of the node's power. Where the strategy's unit is watts it is the cost; else it is the
    rise on the node's own curve as strategy ``jump`` counts it, and ``cost`` is what the strategy compared.
    """

    pod: Pod
    strategy: str
    feasible: int
    total: int
    node: str | None = None
    jump_watts: float | None = None
    runner_up: str | None = None
    runner_up_jump_watts: float | None = None
    cpu_before: float | None = None  # fraction of the node's CPUs, highest plausible use
    cpu_after: float | None = None
    standing: Standing | None = None
    load_age: float | None = None  # [s] since the end of the load's window; None where never measured
    model: str = ""
    model_from: str | None = None  # ``file``, ``learned`` while the scheduler runs, ``predicted``; None without a model
    rise_watts: float | None = None  # expected on the node's own curve, at its highest plausible use
    jump_error_watts: float | None = None  # standard error of ``jump_watts`` where that is the cost; None: not known
    extrapolated: bool | None = None  # outside the loads that the model was fitted on? None: those are not known
    preferences: tuple[str, ...] = ()  # names of those that took it instead of the node that cost and hash alone give
    preference_watts: float | None = None  # what that cost; None without a preference, or where no watts were compared
    diagnosis: Diagnosis | None = None
    cost: float | None = None  # in ``cost_unit``; None: the strategy has none for the node
    runner_up_cost: float | None = None  # likewise
    cost_unit: str = WATTS
    temperature: float | None = None  # [celsius] of the air that the model's curve is for; None: for any
    overhead: float | None = None  # factor of cooling and supply in the watts; None: none

    def record(self) -> dict[str, Any]:
        """The decision record: the annotation's content and the log line's fields.

        ``cost``, ``runnerUpCost`` and ``costUnit`` are there where the unit is not watts: else they say nothing more
        than ``jumpWatts``.
        """
        return {
            "node": self.node,
            "jumpWatts": _rounded(self.jump_watts, 6),
            **self._costs(),
            "runnerUp": self.runner_up,
            "runnerUpJumpWatts": _rounded(self.runner_up_jump_watts, 6),
            "cpuBefore": _rounded(self.cpu_before, 6),
            "cpuAfter": _rounded(self.cpu_after, 6),
            "standing": self.standing,
            "loadAgeSeconds": _rounded(self.load_age, 1),
            "model": self.model or None,
            "strategy": self.strategy,
            "feasible": self.feasible,
            "total": self.total,
            "preference": ",".join(self.preferences) or None,
            "preferenceWatts": _rounded(self.preference_watts, 6),
            "riseWatts": _rounded(self.rise_watts, 6),
            "jumpErrorWatts": _rounded(self.jump_error_watts, 6),
            "extrapolated": self.extrapolated,
            "podCpu": _rounded(self.pod.cpu / 1000.0, 3),
            "podCpuFrom": self.pod.cpu_from,
            "modelFrom": self.model_from,
            **self._conditions(),
        }

    def _conditions(self) -> dict[str, Any]:
        """What the watts were computed for, beside the load; without what does not apply."""
        return _conditions(self.temperature, self.overhead)

    def _costs(self) -> dict[str, Any]:
        if self.cost_unit == WATTS:
            return {}
        cost, runner_up = _rounded(self.cost, 6), _rounded(self.runner_up_cost, 6)
        return {"cost": cost, "runnerUpCost": runner_up, "costUnit": self.cost_unit}

    def annotation(self, detail: Detail = "full") -> str:
        """Compact JSON of at most ``ANNOTATION_BYTES``; empty for ``none``, which means no annotation.

        Nodes' names have at most 253 characters. Where there is no room the model's name is cut, then the runner-up's.
        """
        if detail == "none":
            return ""
        record = self.record()
        if detail == "short":
            return _compact({name: record[name] for name in SHORT})
        for name in ("model", "runnerUp"):
            over = len(_compact(record).encode()) - ANNOTATION_BYTES
            if over > 0 and (text := record[name]):
                record[name] = text[: -(over + len("…".encode()))] + "…"
        return _compact(record)


@dataclass(frozen=True, slots=True)
class NodeVerdict:
    """One node's verdict on one pod, for explain."""

    feasible: bool
    reasons: tuple[str, ...]
    standing: Standing | None
    jump_watts: float | None
    cpu_before: float | None
    cpu_after: float | None
    memory_after: float | None = None  # share of the node's memory; None where its capacity is not known
    ceiling: Ceiling = NO_CEILING
    cost: float | None = None  # in ``cost_unit``: what the node competes by
    cost_unit: str = WATTS
    model_from: str | None = None  # as in ``Decision``, likewise below
    temperature: float | None = None
    overhead: float | None = None

    def above(self) -> Iterator[tuple[str, float, float]]:
        """(CPU or memory, share in use, ceiling) of each resource that ends above its ceiling."""
        pairs = (("CPU", self.cpu_after, self.ceiling.cpu), ("memory", self.memory_after, self.ceiling.memory))
        for what, after, ceiling in pairs:
            if after is not None and ceiling is not None and after > ceiling:
                yield what, after, ceiling

    def as_json(self) -> dict[str, Any]:
        answer: dict[str, Any] = {
            "feasible": self.feasible,
            "reasons": list(self.reasons),
            "standing": self.standing,
            "jumpWatts": self.jump_watts,
        }
        if self.cost_unit != WATTS:
            answer |= {"cost": self.cost, "costUnit": self.cost_unit}
        if self.feasible:
            answer |= {"cpuBefore": self.cpu_before, "cpuAfter": self.cpu_after}
        if self.standing == "above-ceiling":
            over = {what.lower(): {"after": after, "ceiling": ceiling} for what, after, ceiling in self.above()}
            answer["aboveCeiling"] = over
        return answer | self._conditions()

    def _conditions(self) -> dict[str, Any]:
        """What the watts were computed for; empty where it is a curve of the model file, as it stands there."""
        conditions = _conditions(self.temperature, self.overhead)
        if not self.feasible or (not conditions and self.model_from in (None, "file")):
            return {}
        return {"modelFrom": self.model_from, **conditions}


def _conditions(temperature: float | None, overhead: float | None) -> dict[str, Any]:
    conditions = {"temperature": _rounded(temperature, 2), "overhead": _rounded(overhead, 4)}
    return {name: value for name, value in conditions.items() if value is not None}


def _compact(record: dict[str, Any]) -> str:
    return _ENCODER.encode(record)


def _rounded(value: float | None, digits: int) -> float | None:
    # a number beyond a billion is an error, and the record has little room
    return None if value is None or not abs(value) < 1e9 else round(value, digits)
