"""The state of the scheduler at one scrape: what the gauges show.

The daemon makes one `Sample` for every scrape; ``gauges`` turns it into series.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class NodeMetrics:
    """Numbers of N nodes, for ``nodeMetrics``. Index i is the same node in every field; NaN is left out."""

    names: Sequence[str] = ()
    predicted_cpu: Iterable[float] = ()  # (N,) [1]  CPU use as a fraction, running and assumed pods included
    jump_watts: Iterable[float] = ()  # (N,) [W]  rise of power for a pod of the default request
    measured_watts: Iterable[float] = ()  # (N,) [W]  mean over the last minutes; empty = nothing is measured
    predicted_watts: Iterable[float] = ()  # (N,) [W]  power by the node's model, for the CPU use of the same minutes


@dataclass(frozen=True, slots=True)
class Sample:
    """The state of the scheduler at one scrape. Another thread reads it: its contents must not change afterwards."""

    queues: Mapping[str, int] = field(default_factory=dict)  # queue -> pods
    incoming: Mapping[tuple[str, str], int] = field(default_factory=dict)  # (queue, event) -> pods since the start
    unschedulable: Mapping[str, int] = field(default_factory=dict)  # plugin -> pods that it makes unschedulable
    cache: Mapping[str, int] = field(default_factory=dict)  # nodes, pods, assumed_pods -> number
    standings: Mapping[str, int] = field(default_factory=dict)  # measured, estimated, above-ceiling, ... -> nodes
    load_age: float | None = None  # [s]  None = no load was received yet
    load_source_up: bool = False
    load_unmatched_keys: int = 0
    load_problems: int = 0
    pod_usage_groups: Mapping[str, int] = field(default_factory=dict)  # known, learning -> groups of siblings
    power_model_valid: bool = False
    learned_power_models: int = 0  # nodes whose model was learned by this process
    power_drift: Mapping[str, float] = field(default_factory=dict)  # median, worst -> ratio; empty = not compared
    power_compared_nodes: int = 0
    clock_offsets: Mapping[str, float] = field(default_factory=dict)  # peer -> its clock minus ours [s]
    unread_kinds: Mapping[str, bool] = field(default_factory=dict)  # kind -> True if it cannot be read
    common_unknown_fields: Mapping[str, float] = field(default_factory=dict)  # path -> share of new pods that have it
    pods_awaiting_volumes: int = 0
    log_lines_dropped: Mapping[str, int] = field(default_factory=dict)  # reason -> lines since the start
    leader: bool = False
    binds_in_flight: int = 0
    binds_in_flight_limit: int = 0
    oldest_unseen_pod: float = 0.0  # [s]  0 = the watch has delivered every pod that the API server lists
    undecided_pods: int = 0
    nodes: NodeMetrics = field(default_factory=NodeMetrics)
