"""Nodes drawn from published SPECpower results: ``specpower:FILE?count=50&seed=1&since=2013``.

The file has one result in a row, with ``hardware_threads``, ``memory_gb``, ``hw_available`` and ``watts_idle, watts_10
.. watts_100``. Assumes that load is the share of the CPUs in use, and that a node's CPUs are its hardware threads.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from peaks_scheduler.power.curves import MAX_WATTS, Piecewise
from peaks_scheduler.power.validity import flaw
from peaks_scheduler.simulation.cluster import SimulatedNode
from peaks_scheduler.simulation.levels import LEVELS

from .node_table import MOST_CORES, MOST_MIB
from .source import Source
from .table import Table, read_table

PARAMETERS = ("count", "seed", "since", "kinds", "threads", "standby", "regions", "memory_mib")
_WATTS = ("watts_idle", *(f"watts_{k}" for k in range(10, 101, 10)))
_MOST_NODES = 100_000


@dataclass(frozen=True, slots=True)
class _Server:
    """One measured machine."""

    name: str
    threads: int
    memory_mib: float
    curve: Piecewise


def specpower_nodes(source: Source, seed: int) -> list[SimulatedNode]:
    """Nodes after ``count`` servers of the file: different ones as long as there are, then again from all.

    Without ``count`` every server once, in the file's order. ``since`` takes servers that were available in that year
    or later, ``threads`` those with so many or more. ``kinds=N`` makes all nodes of N servers, in turn. ``standby`` and
    ``memory_mib`` hold for every node, ``regions`` are given in turn. Raises ConfigurationError.
    """
    source.allow(*PARAMETERS)
    servers = _servers(source)
    seed = source.whole("seed", seed)
    count = source.whole("count", len(servers), 1, _MOST_NODES)
    kinds = source.whole("kinds", 0)
    if kinds > len(servers):
        raise source.error(f"expected at most {len(servers)} kinds, as many as servers; got {kinds}")
    if kinds:
        models = list(islice(_drawn(servers, seed), kinds))
        chosen = [models[i % kinds] for i in range(count)]
    else:
        chosen = list(islice(_drawn(servers, seed), count)) if "count" in source.given else servers
    return _nodes(source, chosen)


def _servers(source: Source) -> list[_Server]:
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
        servers.append(_Server(f"server-{i:03}", cpus, memory, curve))
    servers = [server for server in servers if server.threads >= threads]
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


def _drawn(servers: Sequence[_Server], seed: int) -> Iterator[_Server]:
    """Servers at random without end; none comes again before all have come."""
    rng = random.Random(f"servers {seed}")
    while True:
        yield from rng.sample(servers, len(servers))


def _nodes(source: Source, servers: Sequence[_Server]) -> list[SimulatedNode]:
    standby = source.number("standby", -1.0, 0.0, MAX_WATTS)
    memory = source.number("memory_mib", 0.0, 1.0, MOST_MIB)
    regions = source.words("regions") or ("",)
    kinds: dict[tuple[Piecewise, int, float], str] = {}
    seen: Counter[str] = Counter()
    nodes = []
    for i, server in enumerate(servers):
        seen[server.name] += 1
        again = f"-{seen[server.name]}" if seen[server.name] > 1 else ""
        # two results of one machine may be equal: they are one kind
        kind = kinds.setdefault((server.curve, server.threads, memory or server.memory_mib), server.name)
        nodes.append(
            SimulatedNode(
                f"{server.name}{again}",
                float(server.threads),
                memory or server.memory_mib,
                server.curve,
                standby if standby >= 0.0 else None,
                regions[i % len(regions)],
                kind,
            )
        )
    return nodes
