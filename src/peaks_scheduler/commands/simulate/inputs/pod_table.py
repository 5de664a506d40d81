"""Pods from a CSV file: ``pod,arrival_s,duration_s,cpu_cores,memory_mib,cpu_used_cores``.

``slack_s`` and ``node`` (the pod runs there and nowhere else) are optional. Times are seconds from the start of the
simulation. A pod that is larger than every node is no error: it is never scheduled, and counted.
"""

from __future__ import annotations

from collections.abc import Sequence

from peaks_scheduler.simulation.cluster import SimulatedNode
from peaks_scheduler.simulation.workload import Job, Workload, in_order
from peaks_scheduler.text.words import nearest

from .node_table import LONGEST, MOST_MIB, MOST_POD_CORES
from .source import Source
from .table import Table, once, table_of

_REQUIRED = ("pod", "arrival_s", "duration_s", "cpu_cores", "memory_mib", "cpu_used_cores")
_LATEST = 10.0 * 365.0 * 86400.0  # [s]


def pod_table(source: Source, text: str, nodes: Sequence[SimulatedNode]) -> Workload:
    """The pods in the text of a file. Raises ConfigurationError that names the line."""
    source.allow()
    table = table_of(source.option, source.place, text, _REQUIRED)
    names = once(table, "pod", "pod")
    count = len(names)
    arrival = table.numbers("arrival_s", most=_LATEST, hint="seconds from the start of the simulation, not since 1970")
    life = table.numbers("duration_s", above=True, most=LONGEST, hint="is it in milliseconds?")
    cores, used = (
        table.numbers(name, most=MOST_POD_CORES, hint="is it in millicores?")
        for name in ("cpu_cores", "cpu_used_cores")
    )
    memory = table.numbers("memory_mib", most=MOST_MIB, hint="is it in KiB or bytes?")
    slack = table.numbers("slack_s", most=LONGEST, blank=0.0) if table.has("slack_s") else [0.0] * count
    where = _places(table, nodes) if table.has("node") else [""] * count
    jobs = [
        Job(names[i], arrival[i], life[i], cores[i], memory[i], used[i], (), slack[i], where[i]) for i in range(count)
    ]
    return Workload(in_order(jobs))


def _places(table: Table, nodes: Sequence[SimulatedNode]) -> list[str]:
    """The column ``node``. Raises ConfigurationError for a node that is not there."""
    known = {node.name for node in nodes}
    cells = table.texts("node", "")
    for row, cell in enumerate(cells):
        if cell and cell not in known:
            raise table.error(row, f"expected one of --nodes in column 'node'; got {cell!r}{nearest(cell, known)}")
    return cells
