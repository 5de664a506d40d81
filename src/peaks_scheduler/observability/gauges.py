"""Gauges: a table of what is exported, and the collector that turns a sample into series.

The scheduler's own gauges are fields of `Sample` and lines of ``GAUGES``; all others come from the keepers. The number
of series is bounded, whatever others write.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from peaks_scheduler.text.printable import visible

from .gauge import GaugeReading, Labels, Rows, by_key, single
from .metric_labels import MOST_SERIES, label_value
from .sample import NodeMetrics, Sample

# fmt: off
# name, labels, rows of a sample, help; the collector adds the value of the label `profile`
GAUGES: tuple[tuple[str, Labels, Callable[[Sample], Rows], str], ...] = (
    ("scheduler_pending_pods", ("queue",), lambda s: by_key(s.queues),
     "Pending pods by queue: active wait for a decision, backoff for a time, unschedulable for an event, or gated."),
    ("scheduler_unschedulable_pods", ("plugin", "profile"), lambda s: by_key(s.unschedulable),
     "Unschedulable pods by the filter that rejected a node; a pod is counted for each such filter."),
    ("scheduler_cache_size", ("type",), lambda s: by_key(s.cache),
     "Nodes, pods and assumed pods in the ledger."),
    ("peaks_nodes", ("standing",), lambda s: by_key(s.standings),
     "Nodes by rank class: measured, estimated (load missing or stale), unmodelled, above-ceiling, over-full."),
    ("peaks_binds_in_flight", (), lambda s: single(s.binds_in_flight),
     "Bindings that were sent and are not answered yet."),
    ("peaks_binds_in_flight_limit", (), lambda s: single(s.binds_in_flight_limit),
     "Bindings that may be in flight at the same time; shrinks when the API server answers 429, and recovers."),
)

NODE_GAUGES: tuple[tuple[str, Callable[[NodeMetrics], Iterable[float]], str], ...] = (
    ("peaks_node_predicted_cpu_ratio", lambda n: n.predicted_cpu,
     "CPU use of the node as a fraction, including pods that are too new for its load data."),
    ("peaks_node_jump_watts", lambda n: n.jump_watts,
     "Rise of the node's power if a pod with the default request were added."),
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
        yield from self._keepers_gauges(sample.gauges)
        if self._node_metrics:
            yield from _node_gauges(sample.nodes)

    def _keepers_gauges(self, readings: Sequence[GaugeReading]) -> Iterable[Metric]:
        families: dict[str, GaugeMetricFamily] = {}
        for gauge, rows in readings:
            if gauge.per_node and not self._node_metrics:
                continue
            family = families.setdefault(gauge.name, GaugeMetricFamily(gauge.name, gauge.help, labels=gauge.labels))
            for values, number in rows if gauge.per_node else islice(rows, MOST_SERIES):
                if not (gauge.per_node and math.isnan(number)):
                    family.add_metric(tuple(map(visible if gauge.per_node else label_value, values)), float(number))
        return families.values()

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
