"""Load from metrics-server: NodeMetrics of ``metrics.k8s.io``, the CPU use of all nodes in cores.

Owns the translation of a list of NodeMetrics into a report. Their names are the nodes' names. Their times are on the
kubelets' clocks, which are assumed to agree with the API server's, whose offset from ours is known. Never judges the
age of a load, never retries.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from peaks_scheduler.errors import LoadError
from peaks_scheduler.ledger.node_load import LoadReport, NodeLoad

from .limits import Limits
from .metrics_api import GetJson, Usage, items, name_of, usage_of
from .off_loop import off_loop
from .problems import Problems

_FUTURE_SECONDS = 5.0
_OFF_THE_LOOP = 500  # nodes: more are read in a thread, because 5,000 take 35 ms, which would delay a bind


class MetricsServer:
    """The metrics-server of one cluster.

    Args:
        get_json: asks the API server of the cluster.
        timeout: [s] for a whole fetch.
        clock: [s] since the epoch, ours.
        cluster_ahead: [s] by which the cluster's clock is ahead of ``clock``.
        nodes: number of nodes in the cluster; 0: not known.
    """

    name = "metrics-server"

    def __init__(
        self,
        get_json: GetJson,
        timeout: float = 10.0,
        clock: Callable[[], float] = time.time,
        cluster_ahead: Callable[[], float] = lambda: 0.0,
        nodes: Callable[[], int] = lambda: 0,
    ) -> None:
        self._get_json, self._timeout = get_json, timeout
        self._clock, self._cluster_ahead, self._nodes = clock, cluster_ahead, nodes

    async def fetch(self) -> LoadReport:
        """Ask once. Raises LoadError of kind not-installed, unavailable, forbidden, unreachable, timeout, malformed or
        empty."""
        try:
            async with asyncio.timeout(self._timeout):
                found = await items(self._get_json, "nodes", Limits.of_nodes(self._nodes()).series)
        except TimeoutError as error:
            raise LoadError("timeout", f"metrics-server: no whole answer within {self._timeout:g} s") from error
        read = partial(read_nodes, found, self._clock(), self._cluster_ahead())
        return await off_loop(read) if len(found) > _OFF_THE_LOOP else read()

    async def aclose(self) -> None:
        """Nothing to close: the connections belong to the API server's client."""


def read_nodes(found: list[Mapping[str, Any]], fetched_at: float, ahead: float = 0.0) -> LoadReport:
    """NodeMetrics as a report. ``ahead`` [s] is subtracted from their times. Raises LoadError (empty)."""
    problems, loads = Problems(), {}
    for item in found:
        _, name = name_of(item)
        try:
            usage = usage_of(item, [item.get("usage") or {}])
        except ValueError as error:
            problems.add(str(error), name)
            continue
        if not name:
            problems.add("a name that no node can have")
        else:
            loads[name] = _load(name, usage, fetched_at, ahead, problems)
    if not loads:
        why = f": {'; '.join(problems.texts())}" if found else ", as in the first minute after it started"
        raise LoadError("empty", f"metrics-server: expected the CPU use of some node; got none{why}")
    newest = max(load.window_end for load in loads.values())
    return LoadReport(MappingProxyType(loads), newest, fetched_at, None, problems.texts())


def _load(name: str, usage: Usage, fetched_at: float, ahead: float, problems: Problems) -> NodeLoad:
    start, end = usage.window_start - ahead, usage.window_end - ahead
    if (future := end - fetched_at) > _FUTURE_SECONDS:
        # uncorrected, the load would seem fresh for too long
        start, end = start - future, end - future
        problems.add("measured in the future, by that node's clock: taken as measured now", name)
    return NodeLoad(None, start, end, usage.cores, usage.memory)
