"""The state of the scheduler at one scrape: what the gauges show.

The daemon makes one `Sample` for every scrape; ``gauges`` turns it into series.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .gauge import GaugeReading


@dataclass(frozen=True, slots=True)
class NodeMetrics:
    """Numbers of N nodes, for ``nodeMetrics``. Index i is the same node in every field; NaN is left out."""

    names: Sequence[str] = ()
    predicted_cpu: Iterable[float] = ()  # (N,) [1]  CPU use as a fraction, running and assumed pods included
    jump_watts: Iterable[float] = ()  # (N,) [W]  rise of power for a pod of the default request


@dataclass(frozen=True, slots=True)
class Sample:
    """The state of the scheduler at one scrape. Another thread reads it: its contents must not change afterwards."""

    queues: Mapping[str, int] = field(default_factory=dict)  # queue -> pods
    incoming: Mapping[tuple[str, str], int] = field(default_factory=dict)  # (queue, event) -> pods since the start
    unschedulable: Mapping[str, int] = field(default_factory=dict)  # plugin -> pods that it makes unschedulable
    cache: Mapping[str, int] = field(default_factory=dict)  # nodes, pods, assumed_pods -> number
    standings: Mapping[str, int] = field(default_factory=dict)  # measured, estimated, above-ceiling, ... -> nodes
    log_lines_dropped: Mapping[str, int] = field(default_factory=dict)  # reason -> lines since the start
    binds_in_flight: int = 0
    binds_in_flight_limit: int = 0
    nodes: NodeMetrics = field(default_factory=NodeMetrics)
    gauges: Sequence[GaugeReading] = ()  # of the keepers
