"""Differential pressure of nodes from WAO's API: the pressure before a server minus that behind it, in pascal.

Owns its one request, ``GET /api/sensor/by_nodename/NODE``, and the answer
``{"code": 200, "sensor": [{"sensorid": "..", "pressure": 0.01, "temperature": 26.0}]}``. The first sensor of a node
counts, as in WAO. Never judges a number.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from urllib.parse import quote

import httpx

from peaks_scheduler.errors import LoadError
from peaks_scheduler.objects.node import Node

from .endpoints import EndpointOf, NodeEndpoint, servers_of
from .node_servers import AT_ONCE, ROUND, NodeServers
from .redfish import number, objects
from .rota import Answer, Rota, enough
from .scraping import open_file_limit
from .source import Reading, Readings

SIGNAL = "deltaP"


class DifferentialPressure:
    """The differential pressures of nodes.

    Args:
        endpoint_of: a node's server, often the same one for all; None: it has none, and is left out.
        timeout: [s] for one request.
        clock: [s] since the epoch, ours.
        transport: the seam for tests.
        budget: [s] after which no further node is asked in a round.
    """

    name = "differential-pressure"

    def __init__(
        self,
        endpoint_of: EndpointOf,
        timeout: float = 5.0,
        clock: Callable[[], float] = time.time,
        transport: httpx.AsyncBaseTransport | None = None,
        budget: float = ROUND,
    ) -> None:
        self._endpoint_of, self._clock = endpoint_of, clock
        self._timeout, self._budget = timeout, budget
        self._servers = NodeServers("differential pressure API", timeout, clock, transport)
        self._rota = Rota(AT_ONCE, budget)

    async def fetch(self, nodes: Sequence[Node]) -> Readings:
        """The readings of the nodes that have a server: 16 at once, more where there are several."""
        asked, failures = servers_of(nodes, self._endpoint_of)
        many = enough(len(asked), self._timeout, self._budget, AT_ONCE, open_file_limit())
        servers = len({endpoint.url for endpoint in asked.values()})  # often one for all nodes
        found = await self._rota.round(
            [node for node in nodes if node.name in asked],
            lambda node: self._one(node.name, asked[node.name]),
            min(many, AT_ONCE * max(servers, 1)),
        )
        return Readings(found.by_node, {**found.failures, **failures})

    async def aclose(self) -> None:
        """Close the connections."""
        await self._servers.aclose()

    async def _one(self, node: str, endpoint: NodeEndpoint) -> Answer:
        found = await self._read(node, endpoint)
        return Answer(failure=found) if isinstance(found, str) else Answer({SIGNAL: found})

    async def _read(self, node: str, endpoint: NodeEndpoint) -> Reading | str:
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
