"""Differential pressure of nodes from WAO's API: the pressure before a server minus that behind it, in pascal.

Owns its one request, ``GET /api/sensor/by_nodename/NODE``, and the answer
``{"code": 200, "sensor": [{"sensorid": "..", "pressure": 0.01, "temperature": 26.0}]}``. The first sensor of a node
counts, as in WAO. Never judges a number.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from urllib.parse import quote

import httpx

from peaks_scheduler.errors import LoadError
from peaks_scheduler.objects.node import Node

from .endpoints import EndpointOf, NodeEndpoint
from .node_servers import NodeServers
from .redfish import number, objects
from .source import Reading, Readings

SIGNAL = "deltaP"


class DifferentialPressure:
    """The differential pressures of nodes.

    Args:
        endpoint_of: a node's server, often the same one for all; None: it has none, and is left out.
        timeout: [s] for one request.
        clock: [s] since the epoch, ours.
        transport: the seam for tests.
    """

    name = "differential-pressure"

    def __init__(
        self,
        endpoint_of: EndpointOf,
        timeout: float = 5.0,
        clock: Callable[[], float] = time.time,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._endpoint_of, self._clock = endpoint_of, clock
        self._servers = NodeServers("differential pressure API", timeout, clock, transport)

    async def fetch(self, nodes: Sequence[Node]) -> Readings:
        """The readings of the nodes that have a server, at most 16 at once."""
        asked = [(node.name, endpoint) for node in nodes if (endpoint := self._endpoint_of(node)) is not None]
        found = await asyncio.gather(*(self._one(name, endpoint) for name, endpoint in asked))
        by_name = list(zip((name for name, _ in asked), found, strict=True))
        return Readings(
            {name: {SIGNAL: each} for name, each in by_name if isinstance(each, Reading)},
            {name: each for name, each in by_name if isinstance(each, str)},
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._servers.aclose()

    async def _one(self, node: str, endpoint: NodeEndpoint) -> Reading | str:
        async with self._servers.places:
            try:
                answer = await self._servers.get(endpoint, f"/api/sensor/by_nodename/{quote(node, safe='')}")
            except LoadError as error:
                return str(error)
        where = f"differential pressure API at {endpoint.url}"
        if answer is None:
            return f"{where}: it knows no node {node}: give the sensor this node's name there"
        sensors = objects(answer.get("sensor"))
        pressure = number(sensors[0].get("pressure")) if sensors else None
        if answer.get("code", 200) != 200 or pressure is None:
            return f"{where}: expected a sensor with its pressure; got none for node {node}"
        return Reading(pressure, self._clock(), f"differential-pressure {sensors[0].get('sensorid', '')}".strip())
