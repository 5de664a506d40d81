"""Nodes out of Prometheus: what ``power_history.discovery`` finds, over a range up to now.

Assumes that an answer for some nodes is worth having: a node of which one series is missing comes out with the reason.
Never chooses between series: that is the source's matter.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.settings.headers import Header
from peaks_scheduler.settings.matchers import EVERYTHING, Matchers

from .measured import Measured, rank

if TYPE_CHECKING:  # httpx and all: a CSV file needs none of it
    from peaks_scheduler.sources.power_history.discovery import Discovery, NodeHistory


@dataclass(frozen=True, slots=True)
class Server:
    """A Prometheus, how to be let in, and what to ask."""

    address: str
    range: float
    """[s] back from now."""
    step: float
    """[s] between two samples."""
    power_query: str | None = None
    cpu_query: str | None = None
    cpu_unit: Literal["ratio", "percent", "cores"] | None = None
    """Of ``cpu_query``."""
    cores: float | None = None
    token_file: str | None = None
    ca_file: str | None = None
    username: str | None = None
    password_file: str | None = None
    headers: tuple[Header, ...] = ()
    match: Matchers = EVERYTHING
    """Which series count."""
    node_label: str | None = None
    """Names a series' node before the usual labels do."""


def from_prometheus(
    server: Server, progress: Callable[[int, int], None] | None = None
) -> tuple[list[Measured], tuple[str, ...]]:
    """Every node that the server knows, in the order of their names, and what was odd about the answers.

    ``progress(done, all)`` counts nodes. Raises LoadError where no query was answered, ConfigurationError for an
    address or file that cannot be used.
    """
    if server.range < server.step:
        raise ConfigurationError(f"--range: expected at least one --step ({server.step:g} s); got {server.range:g} s")
    found = asyncio.run(_asked(server, progress))
    nodes = [_measured(each) for each in found.nodes]
    nodes += [Measured(node, trouble=why) for node, why in found.incomplete.items()]
    return sorted(nodes, key=lambda each: rank(each.node)), found.notes


async def _asked(server: Server, progress: Callable[[int, int], None] | None) -> Discovery:
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
    # at whole steps: the same question twice is about the same instants
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


def _measured(node: NodeHistory) -> Measured:
    sources = f"CPU: {node.cpu_source}; power of {node.part}: {node.power_source}"
    return Measured(
        node.node,
        (node.cpu, node.power),
        cpu_unit="ratio",
        notes=(sources, *node.notes),
        scope=node.scope,
        doubt=node.doubt,
    )
