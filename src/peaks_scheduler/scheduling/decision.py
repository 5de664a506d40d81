"""What was decided about a pod and why, and every text made of it.

Owns ``Decision`` and its renderings: the annotation, the log fields, kube-scheduler's message when nothing fits, the
explain answer. Everything people read about a decision is made here, from the same facts. Pure.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from peaks_scheduler.objects.ceilings import NO_CEILING, Ceiling
from peaks_scheduler.objects.pod import Pod

from .events import Wake

Standing = Literal["measured", "estimated", "unmodelled", "above-ceiling", "over-full"]

Detail = Literal["full", "short", "none"]
"""How much of a decision its pod's annotation tells."""
SHORT = ("node", "jumpWatts", "standing", "preference")
"""Fields of the record that tell nothing of other nodes nor of anybody's use: where, at what cost, and why there."""

UNSCHEDULABLE = "Unschedulable"
"""No node fits; a cluster autoscaler may act on it."""
FAILED = "SchedulerError"
"""What the cluster says of a volume cannot be understood, so that no node can be judged; kube-scheduler's word."""
UNSUPPORTED = "UnsupportedConstraint"
"""The pod asks for what this version does not honour; more nodes would not help."""
WAITING = "WaitingForNodes"
"""Nodes that would fit are kept back by a rule of ours; more nodes would not help, time will."""

ANNOTATION_BYTES = 1023
"""A decision's annotation is no longer than this."""
MESSAGE_LENGTH = 8192
"""[characters] A longer text is cut: a pod may ask for any number of things, and each is a reason."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Why no node was feasible."""

    total: int
    """Nodes looked at."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Nodes by reason; a node counts under each reason of the first filter that refused it."""
    filters: frozenset[str] = frozenset()
    """Names of the filters that refused a node."""
    cured_by: frozenset[Wake] = frozenset()
    unsupported: tuple[str, ...] = ()
    """What of the pod is not honoured."""
    rejected: str = ""
    """What made the pod fit nowhere before any node was looked at."""
    failure: str = ""
    """What kept the nodes from being judged."""
    condition: str = UNSCHEDULABLE
    """Reason of the ``PodScheduled`` condition."""

    @property
    def outright(self) -> str:
        """The reason that was found before any node was looked at; empty where nodes gave the reasons."""
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
    """Where a pod goes, at what cost, and what else there was; ``node`` is None where it goes nowhere, then
    ``diagnosis`` says why."""

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
    model_from: str | None = None  # ``file``, or ``learned`` while the scheduler runs; None without a model
    rise_watts: float | None = None  # predicted on the node's own curve, where ``jump_watts`` is the strategy's cost
    jump_error_watts: float | None = None  # standard error of ``jump_watts`` by the model's fit; None where not known
    extrapolated: bool | None = None  # beyond the loads that the model was fitted on? None where those are not known
    preferences: tuple[str, ...] = ()  # for whose sake it is another node than watts and the hash would have given
    preference_watts: float | None = None  # what that cost; None without one, or where watts had no part in it
    diagnosis: Diagnosis | None = None

    def record(self) -> dict[str, Any]:
        """The decision record: the annotation's content and the log line's fields."""
        return {
            "node": self.node,
            "jumpWatts": _rounded(self.jump_watts, 6),
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
        }

    def annotation(self, detail: Detail = "full") -> str:
        """Compact JSON, under 1 KiB: names are at most 253 characters, a model's is cut where there is no room, then
        the runner-up's. Empty for ``none``: there is to be no annotation."""
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
    """One node's answer to one pod, for explain."""

    feasible: bool
    reasons: tuple[str, ...]
    standing: Standing | None
    jump_watts: float | None
    cpu_before: float | None
    cpu_after: float | None
    memory_after: float | None = None  # share of the node's memory; None where its capacity is not known
    ceiling: Ceiling = NO_CEILING

    def above(self) -> Iterator[tuple[str, float, float]]:
        """(CPU or memory, share in use, its ceiling) of what ends above its ceiling."""
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
        if self.feasible:
            answer |= {"cpuBefore": self.cpu_before, "cpuAfter": self.cpu_after}
        if self.standing == "above-ceiling":
            over = {what.lower(): {"after": after, "ceiling": ceiling} for what, after, ceiling in self.above()}
            answer["aboveCeiling"] = over
        return answer


def _compact(record: dict[str, Any]) -> str:
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False)


def _rounded(value: float | None, digits: int) -> float | None:
    # nothing is beyond a billion but what went wrong, and the record has little room
    return None if value is None or not abs(value) < 1e9 else round(value, digits)
