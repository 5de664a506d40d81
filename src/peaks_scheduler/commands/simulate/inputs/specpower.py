"""Nodes drawn from published SPECpower results: ``specpower:FILE?count=50&seed=1&since=2013``.

The file has one result in a row, with ``hardware_threads``, ``memory_gb``, ``hw_available`` and ``watts_idle, watts_10
.. watts_100``. Assumes that load is the share of the CPUs in use, and that a node's CPUs are its hardware threads.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from peaks_scheduler.power.curves import MAX_WATTS, Piecewise
from peaks_scheduler.power.validity import flaw
from peaks_scheduler.simulation.cluster import SimulatedNode
from peaks_scheduler.simulation.levels import LEVELS

from .machines import PARAMETERS, Machine, machine_nodes
from .node_table import MOST_CORES, MOST_MIB
from .source import Source
from .table import Table, read_table

_WATTS = ("watts_idle", *(f"watts_{k}" for k in range(10, 101, 10)))


def specpower_nodes(source: Source, seed: int) -> tuple[Sequence[SimulatedNode], Sequence[str]]:
    """(nodes after servers of the file, as ``machine_nodes`` draws them, no notes).

    ``since`` takes servers that were available in that year or later, ``threads`` those with so many or more. Raises
    ConfigurationError.
    """
    source.allow(*PARAMETERS, "since", "threads")
    return machine_nodes(source, _servers(source), seed), ()


def _servers(source: Source) -> list[Machine]:
    table = read_table(source.option, source.place, ("hardware_threads", "memory_gb", "hw_available", *_WATTS))
    since, threads = source.whole("since", 0, 0, 9999), source.whole("threads", 1)
    years = [int(match[0]) if (match := re.search(r"[0-9]{4}$", cell)) else 0 for cell in table.texts("hw_available")]
    watts = zip(*(table.numbers(name, most=MAX_WATTS) for name in _WATTS), strict=True)
    columns = zip(_threads(table), _memory(table), watts, strict=True)
    recent = [(row, *each) for row, (year, each) in enumerate(zip(years, columns, strict=True)) if year >= since]
    servers = []
    # a server's name counts the recent ones only, as in the study of these servers
    for i, (row, cpus, memory, power) in enumerate(recent):
        curve = Piecewise(LEVELS, power)
        if words := flaw(curve):
            raise table.error(row, f"expected {words}")
        servers.append(Machine(f"server-{i:03}", float(cpus), memory, curve))
    servers = [server for server in servers if server.cores >= threads]
    if not servers:
        raise source.error(f"expected a server since {since} with {threads} threads or more; got none")
    return servers


def _threads(table: Table) -> list[int]:
    """Hardware threads out of ``24 (2 / core)`` or ``24``."""
    found = []
    for row, cell in enumerate(table.texts("hardware_threads")):
        match = re.match(r"([0-9]{1,5})(?![0-9])", cell)
        if match is None or not 0 < int(match[1]) <= MOST_CORES:
            raise table.error(row, f"expected a number of threads such as 24 (2 / core); got {cell!r}")
        found.append(int(match[1]))
    return found


def _memory(table: Table) -> list[float]:
    """[MiB]; SPEC's GB of memory are GiB."""
    most = MOST_MIB / 1024.0
    return [1024.0 * value for value in table.numbers("memory_gb", above=True, most=most, hint="is it in MiB?")]
