"""Reads nodes from Prometheus: the series that ``power_history.discovery`` finds, over a range up to now.

Results for some of the nodes are useful: a node with a missing series is returned with the reason. The choice between
several series is made by ``sources.power_history``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.settings.settings import PrometheusSettings, Settings

from .node_measurements import NodeMeasurements, natural_order

if TYPE_CHECKING:  # a CSV file must not import httpx
    from peaks_scheduler.sources.power_history.discovery import Discovery, NodeHistory


@dataclass(frozen=True, slots=True)
class PrometheusRequest:
    """A Prometheus, and what to ask it for."""

    prometheus: PrometheusSettings
    """Its address, how to authenticate, and which series count."""
    range: float
    """[s] length of the range up to now."""
    step: float
    """[s] between two samples."""
    power_query: str | None = None
    cpu_query: str | None = None
    cpu_unit: Literal["ratio", "percent", "cores"] | None = None
    """The unit of ``cpu_query``."""
    temperature_query: str | None = None
    """The temperature of every node's air [celsius]."""
    cores: float | None = None
    """CPUs of a node, if ``cpu_unit`` is cores."""


def from_prometheus(
    request: PrometheusRequest, progress: Callable[[int, int], None] | None = None
) -> tuple[list[NodeMeasurements], tuple[str, ...]]:
    """The measurements of every node that Prometheus has, ordered by name, and notes on the answers.

    ``progress(done, all)`` counts nodes. Raises LoadError if no query was answered, ConfigurationError for an address
    or file that cannot be used.
    """
    if request.range < request.step:
        raise ConfigurationError(f"--range: expected at least one --step ({request.step:g} s); got {request.range:g} s")
    found = asyncio.run(_discover(request, progress))
    _check_celsius(found)
    nodes = [_measured(each) for each in found.nodes]
    nodes += [NodeMeasurements(node, trouble=why) for node, why in found.incomplete.items()]
    return sorted(nodes, key=lambda each: natural_order(each.node)), found.notes


async def _discover(request: PrometheusRequest, progress: Callable[[int, int], None] | None) -> Discovery:
    from peaks_scheduler.sources.factory import prometheus_api
    from peaks_scheduler.sources.power_history.discovery import discover

    api = prometheus_api(Settings(prometheus=request.prometheus))
    # at whole steps, so that repeating the command asks for the same times
    end = time.time() // request.step * request.step
    try:
        return await discover(
            api,
            end - request.range // request.step * request.step,
            end,
            request.step,
            power_query=request.power_query,
            cpu_query=request.cpu_query,
            cpu_unit=request.cpu_unit,
            cores=request.cores,
            temperature_query=request.temperature_query,
            progress=progress,
        )
    finally:
        await api.aclose()


def _check_celsius(found: Discovery) -> None:
    """Raise ConfigurationError if the temperatures are in another unit."""
    from peaks_scheduler.fitting.celsius import other_unit

    if told := other_unit([node.celsius.values for node in found.nodes if node.celsius is not None]):
        raise ConfigurationError(f"--temperature-query: expected celsius; {told} in the query")


def _measured(node: NodeHistory) -> NodeMeasurements:
    sources = f"CPU: {node.cpu_source}; power of {node.part}: {node.power_source}"
    return NodeMeasurements(
        node.node,
        (node.cpu, node.power),
        celsius=node.celsius,
        cpu_unit="ratio",
        notes=(sources, *node.notes),
        scope=node.scope,
        doubt=node.doubt,
    )
