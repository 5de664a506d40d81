"""How to read one node's CPU use and power: which metrics it has, in the order in which they are tried. Data alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from peaks_scheduler.sources.prometheus.answers import Series

from .exporters import NodeMetric
from .node_queries import Names
from .origin import KeplerInfo

CpuUnit = Literal["ratio", "percent", "cores"]


class NoSeriesError(Exception):
    """No series of a node can be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Queries:
    """Custom PromQL in place of the known metrics, and what it gives."""

    power: str | None = None
    """One series for each node, or several that are added: a gauge in W, or a counter in J (``..._joules_total``)."""
    cpu: str | None = None
    """One series for each node: a gauge, or a counter of CPU seconds (``..._seconds_total``)."""
    cpu_unit: CpuUnit | None = None
    """Unit of ``cpu`` as a gauge; None: ratio, if the values allow it."""
    cores: float | None = None
    """Number of CPUs of every node, for ``cpu`` in cores or CPU seconds."""
    temperature: str | None = None
    """A gauge in celsius, one series for each node. None: temperatures are not asked for."""


@dataclass(frozen=True, slots=True)
class AvailableMetric:
    """A metric that one node has."""

    metric: NodeMetric
    names: Names
    """The labels that the node's series are asked for by."""
    series: tuple[Series, ...] | None = None
    """The node's series, if they were read already: a custom query cannot be limited to one node."""
    info: KeplerInfo = field(default_factory=lambda: MappingProxyType({}))
    """What ``kepler_node_info`` says about the node."""
    estimated: bool = False
    """Use the metric's estimated series only; else its measured series only."""
    outer: frozenset[str] = frozenset()
    """Labels in which the node's CPU series differ in the same way: external labels of a Prometheus, not parts."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to read one node: in each list, the first metric with usable series is used."""

    node: str
    cpu: tuple[AvailableMetric, ...]
    power: tuple[AvailableMetric, ...]
    celsius: tuple[Series, ...] | None = None
    """The node's series of the query for temperatures; None: there was no such query."""
