"""Inlet temperatures from BMCs that speak Redfish.

Owns the ways in which vendors tell the temperature of the air at the inlet, and finds out once for each BMC which one
it has:

    iDRAC       /redfish/v1/Chassis/System.Embedded.1/Sensors/SystemBoardInletTemp     Reading
    XClarity    /redfish/v1/Chassis/1/Sensors/128L0, named "Ambient Temp"              Reading
    Supermicro  /redfish/v1/Chassis/1/Thermal, the one named "System Temp"             ReadingCelsius
    standard    each member of /redfish/v1/Chassis: ThermalSubsystem/ThermalMetrics    TemperatureSummaryCelsius.Intake
                or Thermal, the one with context Intake or "Inlet" in its name         ReadingCelsius

The first three are WAO's. Never writes, never opens a session, never judges a number.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import httpx

from peaks_scheduler.errors import LoadError
from peaks_scheduler.objects.node import Node

from .endpoints import EndpointOf, NodeEndpoint, servers_of
from .node_servers import AT_ONCE, ROUND, Json, NodeServers
from .rota import Answer, Rota, enough
from .scraping import open_file_limit
from .source import Reading, Readings

ROOT = "/redfish/v1"
SIGNAL = "inlet"
MOST_CHASSIS = 8  # of one BMC that are looked at
LOOK_AGAIN = 600.0  # [s] after a BMC was found to have no inlet sensor
_PATH = re.compile(r"/redfish/v1(/[A-Za-z0-9._~-]+)+")
_NOTED = 20_000  # BMCs

V = TypeVar("V")

Get = Callable[[str], Awaitable[Json | None]]


@dataclass(frozen=True, slots=True)
class Way:
    """How one kind of BMC tells the inlet temperature."""

    name: str
    path: str
    read: Callable[[Json], float | None]
    """The temperature in the answer; None: this is not the sensor."""


def _reading(answer: Json) -> float | None:
    return number(answer.get("Reading"))


def _ambient(answer: Json) -> float | None:
    return _reading(answer) if answer.get("Name") == "Ambient Temp" else None


def _system(answer: Json) -> float | None:
    return _first(answer, lambda sensor: sensor.get("Name") == "System Temp")


def _intake(answer: Json) -> float | None:
    found = _first(answer, lambda sensor: sensor.get("PhysicalContext") == "Intake")
    return found if found is not None else _first(answer, lambda sensor: "inlet" in str(sensor.get("Name")).lower())


def _summary(answer: Json) -> float | None:
    summary = answer.get("TemperatureSummaryCelsius")
    intake = summary.get("Intake") if isinstance(summary, dict) else None
    if isinstance(intake, dict) and (found := number(intake.get("Reading"))) is not None:
        return found
    for each in objects(answer.get("TemperatureReadingsCelsius")):
        if each.get("PhysicalContext") == "Intake" and (found := number(each.get("Reading"))) is not None:
            return found
    return None


WAYS = (
    Way("iDRAC", f"{ROOT}/Chassis/System.Embedded.1/Sensors/SystemBoardInletTemp", _reading),
    Way("XClarity", f"{ROOT}/Chassis/1/Sensors/128L0", _ambient),
    Way("Supermicro", f"{ROOT}/Chassis/1/Thermal", _system),
)


class RedfishInlet:
    """The inlet temperatures of nodes from their BMCs.

    Args:
        endpoint_of: a node's BMC; None: it has none, and is left out.
        timeout: [s] for one request.
        clock: [s] since the epoch, ours.
        transport: the seam for tests.
        budget: [s] after which no further BMC is asked in a round.
    """

    name = "redfish"

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
        self._servers = NodeServers("BMC", timeout, clock, transport)
        self._rota = Rota(AT_ONCE, budget)
        self._ways: dict[str, Way] = {}
        self._without: dict[str, float] = {}  # BMC without an inlet sensor -> when it was found out

    async def fetch(self, nodes: Sequence[Node]) -> Readings:
        """The readings of the nodes that have a BMC: 16 at once, more where there are many."""
        asked, failures = servers_of(nodes, self._endpoint_of)
        found = await self._rota.round(
            [node for node in nodes if node.name in asked],
            lambda node: self._one(asked[node.name]),
            enough(len(asked), self._timeout, self._budget, AT_ONCE, open_file_limit()),
        )
        return Readings(found.by_node, {**found.failures, **failures})

    async def aclose(self) -> None:
        """Close the connections."""
        await self._servers.aclose()

    async def _one(self, endpoint: NodeEndpoint) -> Answer:
        try:
            return Answer({SIGNAL: await self._ask(endpoint)})
        except LoadError as error:
            return Answer(failure=str(error))

    async def _ask(self, endpoint: NodeEndpoint) -> Reading:
        async def get(path: str) -> Json | None:
            return await self._servers.get(endpoint, path)

        way = self._ways.get(endpoint.url)
        if way is not None:
            if (celsius := await _by(way, get)) is not None:
                return Reading(celsius, self._clock(), f"redfish {way.name}")
            del self._ways[endpoint.url]  # other firmware, another machine: found out anew
        way, celsius = await self._find(endpoint, get)
        _bounded(self._ways)[endpoint.url] = way
        return Reading(celsius, self._clock(), f"redfish {way.name}")

    async def _find(self, endpoint: NodeEndpoint, get: Get) -> tuple[Way, float]:
        none = LoadError(
            "no-sensor",
            f"BMC at {endpoint.url}: none of the inlet sensors that are known here (tried "
            f"{', '.join(way.name for way in WAYS)} and the standard ones): take its temperature from sensors.queries",
        )
        if self._clock() - self._without.get(endpoint.url, float("-inf")) < LOOK_AGAIN:
            raise none
        tries = _Tries(get)
        for way in WAYS:
            if (celsius := await tries.by(way)) is not None:
                return way, celsius
        for chassis in await _chassis(get):
            for way in (
                Way("ThermalMetrics", f"{chassis}/ThermalSubsystem/ThermalMetrics", _summary),
                Way("Thermal", f"{chassis}/Thermal", _intake),
            ):
                if (celsius := await tries.by(way)) is not None:
                    return way, celsius
        if tries.refused is not None:
            raise tries.refused
        _bounded(self._without)[endpoint.url] = self._clock()
        raise none


class _Tries:
    """Tries one way after another. A BMC may answer an address that it does not know with a redirect or an error: such
    a way is passed over, and the error kept for the case that none leads to a sensor."""

    def __init__(self, get: Get) -> None:
        self._get = get
        self.refused: LoadError | None = None

    async def by(self, way: Way) -> float | None:
        try:
            return await _by(way, self._get)
        except LoadError as error:
            if not error.kind.startswith("http-"):
                raise
            self.refused = error
            return None


async def _by(way: Way, get: Get) -> float | None:
    answer = await get(way.path)
    return None if answer is None else way.read(answer)


async def _chassis(get: Get) -> list[str]:
    """Paths of the first chassis."""
    answer = await get(f"{ROOT}/Chassis") or {}
    return members(answer)[:MOST_CHASSIS]


def members(collection: Json) -> list[str]:
    """The paths of a collection's members that lie below ``/redfish/v1``; ``members`` in small letters counts, too."""
    paths = (each.get("@odata.id") for each in objects(collection.get("Members", collection.get("members"))))
    return [path.rstrip("/") for path in paths if isinstance(path, str) and _PATH.fullmatch(path.rstrip("/"))]


def objects(value: object) -> list[Json]:
    """The objects of a list; of anything else none."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def number(value: object) -> float | None:
    """The number; None: it is none. A sensor that is switched off has null."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value)
    except OverflowError:  # JSON has whole numbers that no float can hold
        return math.inf if value > 0 else -math.inf


def _first(answer: Json, wanted: Callable[[Json], bool]) -> float | None:
    found = (number(each.get("ReadingCelsius")) for each in objects(answer.get("Temperatures")) if wanted(each))
    return next((each for each in found if each is not None), None)


def _bounded(table: dict[str, V]) -> dict[str, V]:
    while len(table) >= _NOTED:
        del table[next(iter(table))]
    return table
