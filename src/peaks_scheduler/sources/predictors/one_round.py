"""Asks every sensor and every predictor of these nodes once: what ``check`` and ``predict`` show.

The one place where commands meet the parts that the daemon's keepers put together: sources of sensors, what the cluster
says, the pool of predictors and the round of questions. Bounded in time: a server that hangs costs its own nodes alone.
Keeps nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.objects.node import Node
from peaks_scheduler.power.models import PowerModels
from peaks_scheduler.settings.predictors import ServedModel
from peaks_scheduler.settings.settings import Settings
from peaks_scheduler.sources.metrics_api import GetJson
from peaks_scheduler.sources.sensors.all_sensors import merged, sensor_sources
from peaks_scheduler.sources.sensors.differential_pressure import DifferentialPressure
from peaks_scheduler.sources.sensors.fakes import FakeSensors
from peaks_scheduler.sources.sensors.plausible import Judge, Judged
from peaks_scheduler.sources.sensors.redfish import RedfishInlet
from peaks_scheduler.sources.sensors.source import Readings, SensorSource

from .answered_nodes import AnsweredNode, AnsweredNodes
from .asked_node import AskedNode
from .assignment import Assignment
from .assignments import Assignments
from .configured import Configured
from .factory import PredictorPool
from .questions import signals_of
from .round import RoundResult, predict_round
from .said_in_cluster import said_in_cluster

NOTHING: Final[Floats] = np.zeros(0)


async def one_round(
    settings: Settings,
    nodes: Sequence[Node],
    get_json: GetJson,
    known: PowerModels,
    limit: float,
    use: Mapping[str, float] = MappingProxyType({}),
    *,
    cluster_ahead: Callable[[], float] = lambda: 0.0,
    denser: bool = False,
) -> AnsweredNodes:
    """Ask once about these nodes.

    Args:
        get_json: asks the API server.
        known: power models of the file and the configuration; predictions are judged by them.
        limit: [s] for everything.
        use: node -> [fraction] present CPU use, where it is known.
        cluster_ahead: [s] by which the API server's clock is ahead of ours.
        denser: ask once more where a curve bends, as the daemon does in its second round.

    Raises ConfigurationError for settings of sensors that cannot be used.
    """
    ends = time.monotonic() + limit
    configured, troubles = await said_in_cluster(settings.predictors, get_json, nodes, limit / 3.0)
    assignments = Assignments(settings.predictors, configured)
    assigned = {node.name: found for node in nodes if (found := assignments.of(node)) is not None}
    sources = _sources(settings, get_json, cluster_ahead, len(nodes), configured)
    air = _Air.of(await read_sources(sources, nodes, limit / 3.0), nodes, settings)
    asked = [_question(node, assigned[node.name], air, known, use) for node in nodes if node.name in assigned]
    result, batch = await _predicted(asked, settings, ends, denser) if asked else (RoundResult(), {})
    words = dict(assignments.troubles())
    answered = (
        _answered(node, air, configured, assigned.get(node.name), words.get(node.name, ""), result, batch, settings)
        for node in nodes
    )
    return AnsweredNodes(tuple(answered), (*troubles, *air.troubles), air.now)


# --- sensors ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Air:
    """What the sensors say."""

    readings: Readings
    judged: Judged
    now: float
    """[s] our clock, after the last answer."""
    expiry: float
    """[s]"""

    @classmethod
    def of(cls, readings: Readings, nodes: Sequence[Node], settings: Settings) -> _Air:
        """Judge these readings."""
        neighbours = {node.name: node.labels.get(settings.sensors.neighbours, "") for node in nodes}
        return cls(readings, Judge().judge(readings.by_node, neighbours), time.time(), settings.sensors.expiry)

    @property
    def troubles(self) -> tuple[str, ...]:
        """What went wrong with a source as a whole."""
        return (self.readings.failures[""],) if "" in self.readings.failures else ()

    def values(self, node: str) -> dict[str, float]:
        """Signal -> value, of the readings that count."""
        found = self.judged.values.get(node, {})
        return {signal: each.value for signal, each in found.items() if self.now - each.time <= self.expiry}

    def marks(self, node: str) -> dict[str, str]:
        """Signal -> why its reading does not count."""
        values = self.judged.values.get(node, {})
        old = {signal for signal, each in values.items() if self.now - each.time > self.expiry}
        stale = dict.fromkeys(sorted(old), f"it is older than {self.expiry:g} s (sensors.expiry)")
        return stale | {signal: mark.text for signal, mark in self.judged.marks.get(node, {}).items()}


def _sources(
    settings: Settings, get_json: GetJson, cluster_ahead: Callable[[], float], count: int, said: Configured
) -> tuple[SensorSource, ...]:
    """The sources of the configuration, and behind them those that NodeConfigs name."""
    timeout = settings.sensors.timeout
    named = (RedfishInlet(said.inlet, timeout), DifferentialPressure(said.delta_p, timeout), FakeSensors(said.fakes))
    extra = named if said.configs else ()
    return sensor_sources(settings, get_json, cluster_ahead, nodes=lambda: count, extra=extra)


async def read_sources(sources: Sequence[SensorSource], nodes: Sequence[Node], limit: float) -> Readings:
    """What all sources say, each within ``limit`` [s], whatever it limits itself."""
    try:
        found = await asyncio.gather(*(_fetched(each, nodes, limit) for each in sources))
    finally:
        for each in sources:
            await each.aclose()
    return merged(zip((each.name for each in sources), found, strict=True))


async def _fetched(source: SensorSource, nodes: Sequence[Node], limit: float) -> Readings:
    try:
        async with asyncio.timeout(limit):
            return await source.fetch(nodes)
    except TimeoutError:
        return Readings(failures={"": f"expected its readings within {limit:g} s; they did not come"})


# --- predictors -------------------------------------------------------------------------------------------------------


def _question(node: Node, assignment: Assignment, air: _Air, known: PowerModels, use: Mapping[str, float]) -> AskedNode:
    below = known.for_node(node.name, node.labels)
    return AskedNode(node, assignment, air.values(node.name), use.get(node.name), below=below)


async def _predicted(
    asked: Sequence[AskedNode], settings: Settings, ends: float, denser: bool
) -> tuple[RoundResult, Mapping[ServedModel, bool | None]]:
    """What the predictors say, and which of them take many rows in one request. ``ends`` [s] of the monotonic clock."""
    pool, follow = PredictorPool(settings.predictors.timeout), settings.predictors.cpu_temperature == "follow"
    try:
        result = await predict_round(asked, pool, follow=follow, patience=_left(ends))
        if denser and (
            more := [replace(each, grid=grid) for each in asked if (grid := _grid(each, result)) is not None]
        ):
            _take(result, await predict_round(more, pool, follow=follow, patience=_left(ends)))
        batch = {each.assignment.model: None for each in asked}
        return result, {model: getattr(pool.predictor(model), "batch", None) for model in batch}
    finally:
        await pool.aclose()


def _left(ends: float) -> float:
    return max(ends - time.monotonic(), 1.0)


def _grid(asked: AskedNode, result: RoundResult) -> Floats | None:
    return result.grids.get(asked.node.name)


def _take(result: RoundResult, more: RoundResult) -> None:
    """Put the answers of a second round in the place of the first ones, where they count."""
    for node, model in more.models.items():
        result.models[node], result.raw[node] = model, more.raw[node]
        result.change.pop(node, None)
        if node in more.change:
            result.change[node] = more.change[node]


# --- node by node -----------------------------------------------------------------------------------------------------


def _answered(
    node: Node,
    air: _Air,
    configured: Configured,
    assignment: Assignment | None,
    words: str,
    result: RoundResult,
    batch: Mapping[ServedModel, bool | None],
    settings: Settings,
) -> AnsweredNode:
    """``words``: what is wrong, or doubtful, with what is said about the node's model."""
    name = node.name
    readings = air.readings.by_node.get(name, {})
    silent = "; ".join(filter(None, (air.readings.failures.get(name, ""), configured.sensor_trouble(node))))
    if assignment is None:
        return AnsweredNode(name, readings, air.marks(name), silent, unassigned=words)
    needed = signals_of(assignment.model, follow=settings.predictors.cpu_temperature == "follow")
    cpu, watts = result.raw.get(name, (NOTHING, NOTHING))
    accepted = result.accepted.get(name)
    return AnsweredNode(
        name,
        readings,
        air.marks(name),
        silent,
        assignment,
        missing=tuple(signal for signal in needed if signal not in readings),
        version=accepted.version if accepted else "",
        batch=batch.get(assignment.model),
        cpu=cpu,
        watts=watts,
        model=result.models.get(name),
        change=result.change.get(name, 0.0),
        reasons=tuple(filter(None, (result.failures.get(name, ""), words))),
    )
