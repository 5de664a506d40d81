"""Gauges: a table of what is exported, and the collector that turns a sample into series.

A new gauge is one field of `Sample` and one line of ``GAUGES``. The number of series is bounded, whatever others write.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from peaks_scheduler.text.printable import visible

from .metric_labels import MOST_SERIES, label_value
from .sample import NodeMetrics, Sample

Labels = tuple[str, ...]
Rows = Iterable[tuple[Labels, float]]
"""(values of the labels, number) of each series."""


def _by_key(mapping: Mapping[str, float]) -> Rows:
    return [((key,), value) for key, value in mapping.items()]


def _single(value: float) -> Rows:
    return [((), value)]


# fmt: off
# name, labels, rows of a sample, help; the collector adds the value of the label `profile`
GAUGES: tuple[tuple[str, Labels, Callable[[Sample], Rows], str], ...] = (
    ("scheduler_pending_pods", ("queue",), lambda s: _by_key(s.queues),
     "Pending pods by queue: active wait for a decision, backoff for a time, unschedulable for an event, or gated."),
    ("scheduler_unschedulable_pods", ("plugin", "profile"), lambda s: _by_key(s.unschedulable),
     "Unschedulable pods by the filter that rejected a node; a pod is counted for each such filter."),
    ("scheduler_cache_size", ("type",), lambda s: _by_key(s.cache),
     "Nodes, pods and assumed pods in the ledger."),
    ("peaks_nodes", ("standing",), lambda s: _by_key(s.standings),
     "Nodes by rank class: measured, estimated (load missing or stale), unmodelled, above-ceiling, over-full."),
    ("peaks_load_age_seconds", (), lambda s: _single(math.inf if s.load_age is None else s.load_age),
     "Age of the load data in use; +Inf before the first data."),
    ("peaks_load_source_up", (), lambda s: _single(s.load_source_up),
     "1 if the last request to the load source returned usable load."),
    ("peaks_load_unmatched_keys", (), lambda s: _single(s.load_unmatched_keys),
     "Names in the load data that match no node, or more than one."),
    ("peaks_load_problems", (), lambda s: _single(s.load_problems),
     "Kinds of invalid values in the load data: not a number, negative, above 100 %."),
    ("peaks_pod_usage_groups", ("state",), lambda s: _by_key(s.pod_usage_groups),
     "Groups of pods with the same owner and images, by state: their CPU use is known, or still being learned."),
    ("peaks_power_model_valid", (), lambda s: _single(s.power_model_valid),
     "1 if the power models in use are those of the file; 0 if the file is missing or invalid."),
    ("peaks_learned_power_models", (), lambda s: _single(s.learned_power_models),
     "Nodes that use a power model learned by this process."),
    ("peaks_power_model_drift_ratio", ("stat",), lambda s: _by_key(s.power_drift),
     "Difference of measured and predicted power, divided by the measured power: median and worst of all nodes."),
    ("peaks_power_compared_nodes", (), lambda s: _single(s.power_compared_nodes),
     "Nodes whose measured power was compared with the prediction of their model lately."),
    ("peaks_clock_offset_seconds", ("peer",), lambda s: _by_key(s.clock_offsets),
     "Clock of the peer minus ours, as last measured."),
    ("peaks_unread_kinds", ("kind",), lambda s: _by_key(s.unread_kinds),
     "1 if objects of this kind cannot be read: the API server does not have the kind, or a right is missing."),
    ("peaks_common_unknown_pod_fields", ("field",), lambda s: _by_key(s.common_unknown_fields),
     "Share of new pods that have this field, which this version does not know; only fields that more than half have."),
    ("peaks_pods_awaiting_volumes", (), lambda s: _single(s.pods_awaiting_volumes),
     "Pods with a chosen node whose volumes are being bound or provisioned."),
    ("peaks_leader", (), lambda s: _single(s.leader),
     "1 if this replica holds the Lease and binds pods."),
    ("peaks_binds_in_flight", (), lambda s: _single(s.binds_in_flight),
     "Bindings that were sent and are not answered yet."),
    ("peaks_binds_in_flight_limit", (), lambda s: _single(s.binds_in_flight_limit),
     "Bindings that may be in flight at the same time; shrinks when the API server answers 429, and recovers."),
    ("peaks_oldest_unseen_pod_seconds", (), lambda s: _single(s.oldest_unseen_pod),
     "Time for which the API server has listed a pod of ours that the watch has not delivered; 0 if there is none."),
    ("peaks_undecided_pods", (), lambda s: _single(s.undecided_pods),
     "Pods of ours that have waited for a decision longer than they should."),
)

NODE_GAUGES: tuple[tuple[str, Callable[[NodeMetrics], Iterable[float]], str], ...] = (
    ("peaks_node_predicted_cpu_ratio", lambda n: n.predicted_cpu,
     "CPU use of the node as a fraction, including pods that are too new for its load data."),
    ("peaks_node_jump_watts", lambda n: n.jump_watts,
     "Rise of the node's power if a pod with the default request were added."),
)

POWER_KINDS: tuple[tuple[str, Callable[[NodeMetrics], Iterable[float]]], ...] = (
    ("measured", lambda n: n.measured_watts),
    ("predicted", lambda n: n.predicted_watts),
)
# fmt: on


class GaugeCollector(Collector):
    """Turns ``sample`` into series. The sample is replaced as a whole, so a rendering thread reads only one."""

    def __init__(self, profile: str, node_metrics: bool) -> None:
        self.sample = Sample()
        self._profile = profile
        self._node_metrics = node_metrics

    def describe(self) -> list[Metric]:
        # the registry checks these names for clashes; without this method it would call collect()
        return [GaugeMetricFamily(name, text, labels=labels) for name, labels, _, text in GAUGES]

    def collect(self) -> Iterator[Metric]:
        sample = self.sample
        for name, labels, rows, text in GAUGES:
            yield self._gauge(name, text, labels, rows(sample))
        yield _incoming(sample.incoming)
        yield _log_lines_dropped(sample.log_lines_dropped)
        if self._node_metrics:
            yield from _node_gauges(sample.nodes)
            yield _node_power(sample.nodes)

    def _gauge(self, name: str, text: str, labels: Labels, rows: Rows) -> Metric:
        gauge = GaugeMetricFamily(name, text, labels=labels)
        last = (self._profile,) if "profile" in labels else ()
        for values, number in islice(rows, MOST_SERIES):
            gauge.add_metric(tuple(map(label_value, values)) + last, float(number))
        return gauge


def _incoming(pods: Mapping[tuple[str, str], int]) -> Metric:
    counter = CounterMetricFamily(
        "scheduler_queue_incoming_pods", "Pods that entered a queue, by queue and event.", labels=("queue", "event")
    )
    for key, count in islice(pods.items(), MOST_SERIES):
        counter.add_metric(tuple(map(label_value, key)), count)
    return counter


def _log_lines_dropped(lines: Mapping[str, int]) -> Metric:
    counter = CounterMetricFamily(
        "peaks_log_lines_dropped",
        "Lines missing in the log, by reason: nobody read them in time, or the same message was repeated too often.",
        labels=("reason",),
    )
    for reason, count in lines.items():
        counter.add_metric((reason,), count)
    return counter


def _node_gauges(nodes: NodeMetrics) -> Iterator[Metric]:
    for name, values, text in NODE_GAUGES:
        gauge = GaugeMetricFamily(name, text, labels=("node",))
        for node, number in zip(nodes.names, values(nodes), strict=True):
            if not math.isnan(number):
                gauge.add_metric((visible(node),), float(number))
        yield gauge


def _node_power(nodes: NodeMetrics) -> Metric:
    gauge = GaugeMetricFamily(
        "peaks_node_power_watts",
        "Mean power of the node over the last minutes: measured, and predicted by its model for the same CPU use.",
        labels=("node", "kind"),
    )
    for kind, values in POWER_KINDS:
        for node, number in zip(nodes.names, values(nodes), strict=False):
            if not math.isnan(number):
                gauge.add_metric((visible(node), kind), float(number))
    return gauge
