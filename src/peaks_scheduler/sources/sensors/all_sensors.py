"""All sources of sensors that the configuration names, in the order in which they count.

Owns that order, and how the readings of several sources become one. The daemon, ``check`` and ``predict`` use these
functions, so that they ask the same servers in the same way. Imports only the sources that are made.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.ledger.nodes import OVERHEAD
from peaks_scheduler.objects.node import Node
from peaks_scheduler.scheduling.scoring.carbon import NOW as CARBON
from peaks_scheduler.settings.sensors import UNITS
from peaks_scheduler.settings.settings import Settings
from peaks_scheduler.sources.factory import prometheus_api
from peaks_scheduler.sources.metrics_api import GetJson

from .endpoints import endpoints_of
from .plausible import Mark, implausible
from .source import Reading, Readings, SensorSource
from .values import ConstantValues

RESERVED = ("cpu", OVERHEAD, CARBON)
"""Signals that mean something else."""


def sensor_sources(
    settings: Settings,
    get_json: GetJson,
    cluster_ahead: Callable[[], float] = lambda: 0.0,
    clock: Callable[[], float] = time.time,
    nodes: Callable[[], int] = lambda: 0,
    extra: Iterable[SensorSource] = (),
) -> tuple[SensorSource, ...]:
    """The sources in the order in which they count; ``extra`` come last. Empty: no sensors are configured.

    Args:
        get_json: asks the API server (``KubeClient.get_json``).
        cluster_ahead: [s] by which the API server's clock is ahead of ``clock``.
        clock: [s] since the epoch, ours.
        nodes: number of nodes in the cluster; 0: not known.

    Raises ConfigurationError for an address, a file or a signal that cannot be used.
    """
    sensors = settings.sensors
    _refuse_reserved(settings)
    timeout, budget = sensors.timeout, sensors.interval
    found: list[SensorSource] = []
    if sensors.values:
        found.append(ConstantValues(sensors.values, clock))
    if sensors.queries:
        if settings.prometheus.address is None:
            raise ConfigurationError(
                "sensors.queries: expected the URL of a Prometheus as prometheus.address; got none"
            )
        from .queries import SensorQueries

        api = prometheus_api(settings, timeout=timeout, clock=clock, nodes=nodes)
        found.append(SensorQueries(api, sensors.queries, clock))
    if sensors.ipmi_exporter:
        from .ipmi_exporter import IpmiExporter

        found.append(IpmiExporter(sensors.ipmi_exporter, timeout, budget, clock))
    if sensors.redfish:
        from .redfish import RedfishInlet

        found.append(RedfishInlet(endpoints_of(sensors.redfish), timeout, clock, budget=sensors.interval))
    if sensors.differential_pressure:
        from .differential_pressure import DifferentialPressure

        pressure = endpoints_of(sensors.differential_pressure)
        found.append(DifferentialPressure(pressure, timeout, clock, budget=sensors.interval))
    if sensors.custom_metrics:
        from .custom_metrics import CustomMetrics

        found.append(CustomMetrics(sensors.custom_metrics, get_json, timeout, budget, clock, cluster_ahead))
    return (*found, *extra)


def _refuse_reserved(settings: Settings) -> None:
    sensors = settings.sensors
    names = {signal for its in sensors.values.values() for signal in its}
    names |= {*sensors.queries, *sensors.custom_metrics}
    names |= set(sensors.ipmi_exporter.names) if sensors.ipmi_exporter else set()
    for name in sorted(names):
        if name.partition("/")[0] in RESERVED:
            raise ConfigurationError(f"sensors: expected another name for a signal; {name} means something else here")


async def read_all(sources: Sequence[SensorSource], nodes: Sequence[Node]) -> Readings:
    """One reading of all sources, at the same time; each takes at most its own limit."""
    found = await asyncio.gather(*(each.fetch(nodes) for each in sources))
    return merged(zip((each.name for each in sources), found, strict=True))


def merged(readings: Iterable[tuple[str, Readings]]) -> Readings:
    """Readings of several sources, each with its name, as one.

    Of a node's signal the first source that knows it counts; one that gives what no sensor would give stands back for a
    later one that has the signal. All failures are told, each with the name of its source.
    """
    by_node: dict[str, dict[str, Reading]] = {}
    failures: dict[str, list[str]] = {}
    for source, its in readings:
        for node, signals in its.by_node.items():
            there = by_node.setdefault(node, {})
            for signal, each in signals.items():
                if signal not in there or (_flaw(signal, there[signal]) and not _flaw(signal, each)):
                    there[signal] = each
        for node, text in its.failures.items():
            failures.setdefault(node, []).append(f"{source}: {text}")
    return Readings(by_node, {node: "; ".join(texts) for node, texts in failures.items()})


def passed_over(
    readings: Iterable[tuple[str, Readings]], counting: Mapping[str, Mapping[str, Reading]]
) -> dict[str, dict[str, Mark]]:
    """Node -> signal -> why a source's reading stood back for a later source's, of those that ``merged`` gave."""
    marks: dict[str, dict[str, Mark]] = {}
    counted: set[tuple[str, str]] = set()  # sources behind the one that counts are not asked whether they work
    for source, its in readings:
        for node, signals in its.by_node.items():
            for signal, each in signals.items():
                if each is counting[node][signal]:
                    counted.add((node, signal))
                elif (node, signal) not in counted and (mark := _flaw(signal, each)) is not None:
                    text = f"{mark.text}, says {source}; another source counts"
                    marks.setdefault(node, {}).setdefault(signal, Mark(mark.reason, text))
    return marks


def _flaw(signal: str, reading: Reading) -> Mark | None:
    return implausible(signal, reading.value, UNITS.get(signal, ""))
