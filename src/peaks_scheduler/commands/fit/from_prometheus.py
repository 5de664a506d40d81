"""Nodes out of Prometheus: what ``power_history.discovery`` finds, over a range up to now.

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
from peaks_scheduler.settings.http_headers import Header
from peaks_scheduler.settings.promql_matchers import EVERYTHING, Matchers

from .node_measurements import NodeMeasurements, natural_order

if TYPE_CHECKING:  # httpx and all: a CSV file needs none of it
    from peaks_scheduler.sources.power_history.discovery import Discovery, NodeHistory


@dataclass(frozen=True, slots=True)
class PrometheusRequest:
    """A Prometheus: its address, how to authenticate, and what to ask for."""

    address: str
    range: float
    """[s] length of the range up to now."""
    step: float
    """[s] between two samples."""
    power_query: str | None = None
    cpu_query: str | None = None
    cpu_unit: Literal["ratio", "percent", "cores"] | None = None
    """The unit of ``cpu_query``."""
    cores: float | None = None
    token_file: str | None = None
    ca_file: str | None = None
    username: str | None = None
    password_file: str | None = None
    headers: tuple[Header, ...] = ()
    match: Matchers = EVERYTHING
    """Matchers that are added to every query."""
    node_label: str | None = None
    """The label that names a series' node; None: the usual labels."""


def from_prometheus(
    server: PrometheusRequest, progress: Callable[[int, int], None] | None = None
) -> tuple[list[NodeMeasurements], tuple[str, ...]]:
    """The measurements of every node that Prometheus has, ordered by name, and notes on the answers.

    ``progress(done, all)`` counts nodes. Raises LoadError if no query was answered, ConfigurationError for an address
    or file that cannot be used.
    """
    if server.range < server.step:
        raise ConfigurationError(f"--range: expected at least one --step ({server.step:g} s); got {server.range:g} s")
    found = asyncio.run(_discover(server, progress))
    nodes = [_measured(each) for each in found.nodes]
    nodes += [NodeMeasurements(node, trouble=why) for node, why in found.incomplete.items()]
    return sorted(nodes, key=lambda each: natural_order(each.node)), found.notes


async def _discover(server: PrometheusRequest, progress: Callable[[int, int], None] | None) -> Discovery:
    from peaks_scheduler.sources.power_history.discovery import discover
    from peaks_scheduler.sources.prometheus.api import PrometheusApi

    api = PrometheusApi(
        server.address,
        token_file=server.token_file,
        ca_file=server.ca_file,
        username=server.username,
        password_file=server.password_file,
        headers=server.headers,
        match=server.match,
        node_label=server.node_label,
    )
    # at whole steps, so that repeating the command asks for the same times
    end = time.time() // server.step * server.step
    try:
        return await discover(
            api,
            end - server.range // server.step * server.step,
            end,
            server.step,
            power_query=server.power_query,
            cpu_query=server.cpu_query,
            cpu_unit=server.cpu_unit,
            cores=server.cores,
            progress=progress,
        )
    finally:
        await api.aclose()


def _measured(node: NodeHistory) -> NodeMeasurements:
    sources = f"CPU: {node.cpu_source}; power of {node.part}: {node.power_source}"
    return NodeMeasurements(
        node.node,
        (node.cpu, node.power),
        cpu_unit="ratio",
        notes=(sources, *node.notes),
        scope=node.scope,
        doubt=node.doubt,
    )
