"""Nodes from a CSV file: ``name,cpu_cores,memory_mib,watts_0,watts_10,..,watts_100``.

``standby_watts``, ``region`` and ``kind`` are optional. Any levels may stand between ``watts_0`` and ``watts_100``;
power is linear between two of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from peaks_scheduler.power.curves import MAX_WATTS, Piecewise
from peaks_scheduler.power.validity import flaw
from peaks_scheduler.simulation.cluster import SimulatedNode

from .source import Source
from .table import Table, once, table_of

MOST_CORES = 10_000.0
"""CPUs of one node; more are millicores by mistake."""
MOST_MIB = 2.0**26
"""Memory [MiB] of one node or pod, 64 TiB; more are KiB or bytes by mistake."""
MOST_POD_CORES = 1e6
"""CPUs that a pod requests or uses; it may be more than any node has, and is never scheduled then."""
LONGEST = 100.0 * 365.0 * 86400.0
"""[s] between two times of a workload; more are other units by mistake."""
_LEVEL = re.compile(r"watts_([0-9]{1,3}(?:\.[0-9]+)?)")
_REQUIRED = ("name", "cpu_cores", "memory_mib", "watts_0", "watts_100")


def node_table(source: Source, text: str) -> list[SimulatedNode]:
    """The nodes in the text of a file. Raises ConfigurationError that names the line."""
    source.allow()
    table = table_of(source.option, source.place, text, _REQUIRED)
    names = once(table, "name", "node")
    cores = table.numbers("cpu_cores", above=True, most=MOST_CORES, hint="is it in millicores?")
    memory = table.numbers("memory_mib", above=True, most=MOST_MIB, hint="is it in KiB or bytes?")
    curves = _curves(table)
    standby = _optional(table, "standby_watts")
    regions, kinds = (table.texts(each, "") if table.has(each) else [""] * len(names) for each in ("region", "kind"))
    nodes = [SimulatedNode(*each) for each in zip(names, cores, memory, curves, standby, regions, kinds, strict=True)]
    _check_kinds(table, nodes)
    return nodes


def _curves(table: Table) -> list[Piecewise]:
    levels = sorted(
        (float(match[1]) / 100.0, name)
        for name in table.header
        if (match := _LEVEL.fullmatch(name.strip().lower())) is not None and float(match[1]) <= 100.0
    )
    cpu = tuple(level for level, _ in levels)
    columns = [
        table.numbers(name, most=MAX_WATTS, hint="is it in milliwatts, or a sum of many machines?")
        for _, name in levels
    ]
    curves = []
    for row, power in enumerate(zip(*columns, strict=True)):
        curve = Piecewise(cpu, power)
        if words := flaw(curve):
            raise table.error(row, f"expected {words}")
        curves.append(curve)
    return curves


def _optional(table: Table, name: str) -> Sequence[float | None]:
    """Watts of a column; None where a cell is empty or the table has no such column."""
    if not table.has(name):
        return [None] * len(table.rows)
    return [None if value < 0.0 else value for value in table.numbers(name, most=MAX_WATTS, blank=-1.0)]


def _check_kinds(table: Table, nodes: Sequence[SimulatedNode]) -> None:
    """Raises ConfigurationError for two nodes of one kind with different curves: one fit serves them all."""
    first: dict[str, int] = {}
    for row, node in enumerate(nodes):
        other = first.setdefault(node.kind, row)
        if node.kind and nodes[other].curve != node.curve:
            raise table.error(
                row,
                f"expected one power curve for the kind {node.kind!r}; the node in line {table.lines[other]} has "
                "another: name another kind, or leave kind empty",
            )
