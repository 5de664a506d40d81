"""The least power that any placement of a load could have: water-filling on the lower convex envelopes.

A server's power is nowhere below its envelope, and here the load may be divided into parts of any size: so no placement
of whole pods draws less. Envelopes of piecewise linear curves consist of lines. The cheapest line of all servers is
filled first, then the next one; that is optimal because the slopes of an envelope's lines only rise. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from benchmarks.study.servers import LEVELS, Server
from peaks_scheduler.power.hull import hull


class Bound:
    """The least power of these servers, all of them switched on."""

    def __init__(self, servers: Sequence[Server]) -> None:
        lines = [line for server in servers for line in _lines(server)]
        lines.sort(key=lambda line: line[1] / line[0])
        self._cores = np.cumsum([0.0, *(cores for cores, _ in lines)])
        self._watts = np.cumsum([sum(server.watts[0] for server in servers), *(watts for _, watts in lines)])

    def watts(self, cores: float) -> float:
        """[W] when ``cores`` are in use on all servers together."""
        return float(np.interp(cores, self._cores, self._watts))


def _lines(server: Server) -> list[tuple[float, float]]:
    """(cores, watts) along each line of the envelope."""
    corners = hull(list(zip(LEVELS, server.watts, strict=True)))
    return [((end - start) * server.threads, high - low) for (start, low), (end, high) in pairwise(corners)]
