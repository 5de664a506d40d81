"""The demo's output: the table by kind of node, what the placement cost, and why some pods got their node.

Owns the arithmetic of the rows and every word on standard output. Takes the results of ``replay`` and the decision
records of the pods' annotations. Pure: returns lines, which the caller prints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from peaks_scheduler.text.table import aligned

from .replay import ClusterUse

_HEADER = ("kind of node", "nodes", "pods placed", "CPU before", "CPU after", "watts before", "watts after")
_WIDTHS = (14, 6, 12, 11, 10, 13, 12)


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of node, or all of them."""

    kind: str
    nodes: int
    pods: int
    cpu_before: float  # fraction of the CPUs of these nodes
    cpu_after: float
    watts_before: float
    watts_after: float


def rows(before: ClusterUse, after: ClusterUse) -> list[Row]:
    """One row for each kind of node, in order of first appearance, and a last row for all nodes."""
    names = [node.kind.name for node in before.nodes]
    kinds = list(dict.fromkeys(names))
    by_kind = [_row(kind, [i for i, name in enumerate(names) if name == kind], before, after) for kind in kinds]
    return [*by_kind, _row("all", list(range(len(names))), before, after)]


def _row(kind: str, indices: Sequence[int], before: ClusterUse, after: ClusterUse) -> Row:
    nodes = [before.nodes[i] for i in indices]
    capacity = sum(node.kind.cores for node in nodes)
    return Row(
        kind=kind,
        nodes=len(nodes),
        pods=sum(after.placed[node.name] for node in nodes),
        cpu_before=float(before.cores()[indices].sum()) / capacity,
        cpu_after=float(after.cores()[indices].sum()) / capacity,
        watts_before=float(before.watts()[indices].sum()),
        watts_after=float(after.watts()[indices].sum()),
    )


def table_lines(table: Sequence[Row]) -> list[str]:
    """The rows under a header, numbers aligned to the right."""
    ruler = "-" * (sum(_WIDTHS) + 2 * (len(_WIDTHS) - 1))
    header, *kinds, total = aligned([_HEADER, *map(_cells, table)], range(1, len(_HEADER)), _WIDTHS)
    return [header, ruler, *kinds, ruler, total]


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.kind,
        str(row.nodes),
        str(row.pods),
        f"{row.cpu_before:.1%}",
        f"{row.cpu_after:.1%}",
        f"{row.watts_before:,.0f} W",
        f"{row.watts_after:,.0f} W",
    )


def cost_lines(before: ClusterUse, after: ClusterUse, alternative: ClusterUse) -> list[str]:
    """What the placement cost, what least-allocated would have cost, and the difference."""
    start = float(before.watts().sum())
    ours, theirs = float(after.watts().sum()) - start, float(alternative.watts().sum()) - start
    lines = [
        f"This placement cost               {ours:9,.1f} W",
        f"least-allocated would have cost   {theirs:9,.1f} W   (the same pods in the same order, the same curves)",
        f"difference                        {ours - theirs:+9,.1f} W" + _percent(ours, theirs),
    ]
    if alternative.unplaced:
        lines.append(
            f"least-allocated found no node for {alternative.unplaced} of the pods: without them its watts are too low"
        )
    return lines


def ceiling_lines(before: ClusterUse, after: ClusterUse, unlimited: ClusterUse, ceiling: float) -> list[str]:
    """What the same pods would have cost without the ceiling (a fraction of a node's CPUs)."""
    start = float(before.watts().sum())
    cost = float(unlimited.watts().sum()) - start
    label = f"without the ceiling of {ceiling:.0%}"
    fullest = f"the fullest node at {_fullest(unlimited):.1%} instead of {_fullest(after):.1%}"
    return [f"{label:<34}{cost:9,.1f} W   ({fullest})"]


def _fullest(use: ClusterUse) -> float:
    """CPU use of the fullest node [fraction]."""
    capacity = [node.kind.cores for node in use.nodes]
    return float((use.cores() / capacity).max())


def _percent(ours: float, theirs: float) -> str:
    return f"   ({(ours - theirs) / theirs:+.1%})" if theirs > 0.0 else ""


def why_lines(decisions: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """A line for each (pod, decision record) that says why the pod got its node."""
    return [f"  {pod}: {_why(record)}" for pod, record in decisions]


def _why(record: Mapping[str, Any]) -> str:
    text = f"{record['node']}, {_watts(record.get('jumpWatts'))}{_cpu(record)}"
    if "runnerUp" not in record:  # a short record does not name other nodes
        return text
    if record["runnerUp"]:
        return f"{text}; runner-up {record['runnerUp']}, {_watts(record.get('runnerUpJumpWatts'))}"
    return f"{text}; no other node was feasible"


def _watts(value: float | None) -> str:
    return "watts unknown" if value is None else f"{value:+.2f} W"


def _cpu(record: Mapping[str, Any]) -> str:
    if record.get("cpuBefore") is None or record.get("cpuAfter") is None:
        return ""
    return f" (CPU {record['cpuBefore']:.1%} -> {record['cpuAfter']:.1%}, {record.get('standing')})"
