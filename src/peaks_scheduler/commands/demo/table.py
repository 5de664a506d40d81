"""What the demo says at the end: the table by kind of node, the sum, and why some pods went where they went.

Owns the arithmetic of the rows and every word on standard output. Assumes accounts made by ``replay`` and decision
records as the pods' annotations carry them. Pure: lines come out, the caller prints them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from peaks_scheduler.text.table import aligned

from .replay import Accounts

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


def rows(before: Accounts, after: Accounts) -> list[Row]:
    """A row for every kind, in order of first appearance, and one for all nodes at the end."""
    names = [machine.kind.name for machine in before.machines]
    kinds = list(dict.fromkeys(names))
    by_kind = [_row(kind, [i for i, name in enumerate(names) if name == kind], before, after) for kind in kinds]
    return [*by_kind, _row("all", list(range(len(names))), before, after)]


def _row(kind: str, nodes: Sequence[int], before: Accounts, after: Accounts) -> Row:
    machines = [before.machines[i] for i in nodes]
    capacity = sum(machine.kind.cores for machine in machines)
    return Row(
        kind=kind,
        nodes=len(machines),
        pods=sum(after.placed[machine.name] for machine in machines),
        cpu_before=float(before.cores()[nodes].sum()) / capacity,
        cpu_after=float(after.cores()[nodes].sum()) / capacity,
        watts_before=float(before.watts()[nodes].sum()),
        watts_after=float(after.watts()[nodes].sum()),
    )


def table_lines(table: Sequence[Row]) -> list[str]:
    """The rows under their header, numbers to the right."""
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


def cost_lines(before: Accounts, after: Accounts, alternative: Accounts) -> list[str]:
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
            f"least-allocated found no node for {alternative.unplaced} of the pods: the comparison flatters it"
        )
    return lines


def ceiling_lines(before: Accounts, after: Accounts, unlimited: Accounts, ceiling: float) -> list[str]:
    """What the ceiling (a fraction of a node's CPUs) costs: the same pods with it, and without any."""
    start = float(before.watts().sum())
    cost = float(unlimited.watts().sum()) - start
    label = f"without the ceiling of {ceiling:.0%}"
    fullest = f"the fullest node at {_fullest(unlimited):.1%} instead of {_fullest(after):.1%}"
    return [f"{label:<34}{cost:9,.1f} W   ({fullest})"]


def _fullest(accounts: Accounts) -> float:
    """Share of its CPUs that the fullest node uses."""
    capacity = [machine.kind.cores for machine in accounts.machines]
    return float((accounts.cores() / capacity).max())


def _percent(ours: float, theirs: float) -> str:
    return f"   ({(ours - theirs) / theirs:+.1%})" if theirs > 0.0 else ""


def why_lines(decisions: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """Why that node? A line for each (pod, decision record)."""
    return [f"  {pod}: {_why(record)}" for pod, record in decisions]


def _why(record: Mapping[str, Any]) -> str:
    text = f"{record['node']}, {_watts(record.get('jumpWatts'))}{_cpu(record)}"
    if "runnerUp" not in record:  # a short record tells nothing of other nodes
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
