"""Every number this process exports, in Prometheus' form.

Owns a registry of its own and every instrument in it, under kube-scheduler's names and with its buckets
(`pkg/scheduler/metrics`, 1.36) where they mean the same, under ``peaks_`` where only we have them. Two kinds:

- What happened is counted when it happens, by a method named after it. Their cost is in every decision, so the
  children of every label known beforehand are bound once; a placed pod costs some 8 us.
- What is (queues, nodes, the gauges of the keepers) is never kept up to date: one `Sample` of it is taken on the event
  loop for every scrape and turned into series in a thread, so that rendering never stalls the binds. A scrape sees one
  whole sample, whatever other scrapes do.

The number of series is bounded whatever others write: labels hold words of ours, kinds of Kubernetes, pod fields that
the API server knows, and, with node metrics, nodes; never a pod, a namespace or an error's text.

Assumes one process; says nothing of where the numbers are served. Never reads a clock.
"""

from __future__ import annotations

import asyncio
import functools
import math
import platform
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Histogram, Info, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from peaks_scheduler import __version__
from peaks_scheduler.text.printable import visible

Labels = tuple[str, ...]
Rows = Iterable[tuple[Labels, float]]

WatchTrouble = Literal["gone", "inactive", "error", "kinds"]

Undecided = Literal["unseen", "not-queued", "lost", "waiting", "binding", "failing"]

CPU_SOURCES = ("request", "limit", "default", "siblings")
REFITS = ("learned", "replaced", "kept", "refused", "unread")
RESULTS = ("scheduled", "unschedulable", "error")
MOST_ATTEMPTS = 15  # kube-scheduler counts more under "15+"

MOST_SERIES = 64
"""Values of one label that are told apart; what comes beyond is left out of a gauge, and counted as `OTHER`."""
OTHER = "other"
LABEL_LIMIT = 128
"""Characters of a label's value; a name of Kubernetes has up to 253, nodes' names are whole."""


def _exponential(start: float, factor: float, count: int) -> list[float]:
    return [start * factor**power for power in range(count)]


@dataclass(frozen=True, slots=True)
class Gauge:
    """A number of a keeper, or one for each value of its labels.

    Gauges of one name, from several keepers, become one family: their help and labels must be alike.
    """

    name: str
    help: str
    rows: Callable[[], Rows]
    """Called on the event loop for every scrape; label values -> number. What it returns must not change afterwards."""
    labels: Labels = ()
    per_node: bool = False
    """The first label is a node: exported with node metrics only, for all nodes; NaN is left out."""


Reading = tuple[Gauge, Rows]
"""A gauge and its rows at one scrape."""


def by(mapping: Mapping[str, float]) -> Rows:
    """One row for each key, the value of the only label."""
    return [((key,), value) for key, value in mapping.items()]


def one(value: float) -> Rows:
    """The row of a gauge without labels."""
    return [((), value)]


@dataclass(frozen=True, slots=True)
class NodeSeries:
    """Numbers of N nodes, for ``node_metrics``. Index i is the same node everywhere; NaN is left out."""

    names: Sequence[str] = ()
    predicted_cpu: Iterable[float] = ()  # (N,) [1]  use of CPU as a fraction, running and assumed pods included
    jump_watts: Iterable[float] = ()  # (N,) [W]  rise of power for a pod of the default request


@dataclass(frozen=True, slots=True)
class Sample:
    """The state of the scheduler at one scrape. Read in another thread: what it holds must not change afterwards."""

    queues: Mapping[str, int] = field(default_factory=dict)  # queue -> pods
    incoming: Mapping[tuple[str, str], int] = field(default_factory=dict)  # (queue, event) -> pods since the start
    unschedulable: Mapping[str, int] = field(default_factory=dict)  # plugin -> pods it keeps from being scheduled
    cache: Mapping[str, int] = field(default_factory=dict)  # nodes, pods, assumed_pods -> how many
    standings: Mapping[str, int] = field(default_factory=dict)  # measured, estimated, above-ceiling, ... -> nodes
    log_lines_dropped: Mapping[str, int] = field(default_factory=dict)  # why -> lines since the start
    binds_in_flight: int = 0
    binds_in_flight_limit: int = 0
    nodes: NodeSeries = field(default_factory=NodeSeries)
    gauges: Sequence[Reading] = ()  # of the keepers


# fmt: off
# name, labels, rows of a sample, help; `profile` is filled in where it is named
_GAUGES: tuple[tuple[str, Labels, Callable[[Sample], Rows], str], ...] = (
    ("scheduler_pending_pods", ("queue",), lambda s: by(s.queues),
     "Pods that wait, by queue: active for a decision, backoff for a time, unschedulable for an event, or gated."),
    ("scheduler_unschedulable_pods", ("plugin", "profile"), lambda s: by(s.unschedulable),
     "Unschedulable pods by the filter that refused a node to them; a pod counts under every such filter."),
    ("scheduler_cache_size", ("type",), lambda s: by(s.cache),
     "Nodes, pods and assumed pods in the ledger."),
    ("peaks_nodes", ("standing",), lambda s: by(s.standings),
     "Nodes by rank class: measured, estimated (load missing or stale), unmodelled, above-ceiling, over-full."),
    ("peaks_binds_in_flight", (), lambda s: one(s.binds_in_flight),
     "Bindings sent and not answered yet."),
    ("peaks_binds_in_flight_limit", (), lambda s: one(s.binds_in_flight_limit),
     "Bindings that may be in flight at once; shrinks when the API server answers 429 and recovers."),
)

_NODE_GAUGES: tuple[tuple[str, Callable[[NodeSeries], Iterable[float]], str], ...] = (
    ("peaks_node_predicted_cpu_ratio", lambda n: n.predicted_cpu,
     "Use of the node's CPU as a fraction, pods included that its load data cannot have seen yet."),
    ("peaks_node_jump_watts", lambda n: n.jump_watts,
     "Rise of the node's power if a pod of the default request were added."),
)
# fmt: on


class _State(Collector):
    """Turns the last sample into series. The sample is replaced as a whole, so a rendering thread reads one of them."""

    def __init__(self, profile: str, node_metrics: bool) -> None:
        self.sample = Sample()
        self._profile = profile
        self._node_metrics = node_metrics

    def describe(self) -> list[Metric]:
        # registering must not call collect(): the names are checked for clashes from here
        return [GaugeMetricFamily(name, text, labels=labels) for name, labels, _, text in _GAUGES]

    def collect(self) -> Iterator[Metric]:
        sample = self.sample
        for name, labels, rows, text in _GAUGES:
            yield self._gauge(name, text, labels, rows(sample))
        incoming = CounterMetricFamily(
            "scheduler_queue_incoming_pods", "Pods that entered a queue, by queue and event.", labels=("queue", "event")
        )
        for key, count in islice(sample.incoming.items(), MOST_SERIES):
            incoming.add_metric(tuple(map(_label, key)), count)
        yield incoming
        dropped = CounterMetricFamily(
            "peaks_log_lines_dropped",
            "Lines that the log did not get: nobody read them in time, or the same was said too often.",
            labels=("reason",),
        )
        for reason, count in sample.log_lines_dropped.items():
            dropped.add_metric((reason,), count)
        yield dropped
        yield from self._keepers_gauges(sample.gauges)
        if self._node_metrics:
            yield from _node_gauges(sample.nodes)

    def _keepers_gauges(self, readings: Sequence[Reading]) -> Iterable[Metric]:
        families: dict[str, GaugeMetricFamily] = {}
        for gauge, rows in readings:
            if gauge.per_node and not self._node_metrics:
                continue
            family = families.setdefault(gauge.name, GaugeMetricFamily(gauge.name, gauge.help, labels=gauge.labels))
            for values, number in rows if gauge.per_node else islice(rows, MOST_SERIES):
                if not (gauge.per_node and math.isnan(number)):
                    family.add_metric(tuple(map(visible if gauge.per_node else _label, values)), float(number))
        return families.values()

    def _gauge(self, name: str, text: str, labels: Labels, rows: Rows) -> Metric:
        gauge = GaugeMetricFamily(name, text, labels=labels)
        last = (self._profile,) if "profile" in labels else ()
        for values, number in islice(rows, MOST_SERIES):
            gauge.add_metric(tuple(map(_label, values)) + last, float(number))
        return gauge


def _label(value: str) -> str:
    """A label's value: short, and nothing in it that UTF-8 does not have."""
    return visible(value[:LABEL_LIMIT])


class _Words:
    """Values of one label of a counter, which stay for ever: only so many of them are told apart."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def of(self, value: str) -> str:
        word = _label(value)
        if word not in self._known and len(self._known) >= MOST_SERIES:
            return OTHER
        self._known.add(word)
        return word


def _node_gauges(nodes: NodeSeries) -> Iterator[Metric]:
    for name, values, text in _NODE_GAUGES:
        gauge = GaugeMetricFamily(name, text, labels=("node",))
        for node, number in zip(nodes.names, values(nodes), strict=True):
            if not math.isnan(number):
                gauge.add_metric((visible(node),), float(number))
        yield gauge


async def _nothing() -> Sample:
    return Sample()


class Telemetry:
    """Counts what happens and renders it together with a sample of what is.

    Args:
        profile: the scheduler name that our pods carry; label of kube-scheduler's series.
        sample: asked before every rendering.
        node_metrics: also export the series per node.
    """

    def __init__(
        self, profile: str, sample: Callable[[], Awaitable[Sample]] | None = None, node_metrics: bool = False
    ) -> None:
        # creation times would be one more series for every counter and histogram; the switch is process-wide
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._sample = sample or _nothing
        self._state = _State(profile, node_metrics)
        self._words = {label: _Words() for label in ("reason", "source", "resource")}
        self.registry.register(self._state)
        self._register_attempts(profile)
        self._register_ours()
        ProcessCollector(registry=self.registry)
        build = Info("peaks_build", "Version of this scheduler and of the Python it runs on.", registry=self.registry)
        build.info({"version": __version__, "python": platform.python_version()})

    def decided(self, seconds: float) -> None:
        """The core answered, whatever it said, after ``seconds``."""
        self._algorithm(seconds)

    def bound(self, jump_watts: float | None, attempt_seconds: float, sli_seconds: float, attempts: int) -> None:
        """The API server took a Binding.

        Args:
            jump_watts: the jump the decision was made on; None or not finite (no power model) adds nothing.
            attempt_seconds: from the start of the decision to the answer to the Binding.
            sli_seconds: from the pod's first attempt to the same moment.
            attempts: how often the pod was tried, this time included; >= 1.
        """
        self._attempted("scheduled", attempt_seconds)
        self._sli(str(attempts) if attempts < MOST_ATTEMPTS else f"{MOST_ATTEMPTS}+")(sli_seconds)
        self._attempts(attempts)
        if jump_watts is not None and 0.0 < jump_watts < math.inf:
            self._jump_watts(jump_watts)

    def predicted(self, rise_watts: float | None, cpu_from: str) -> None:
        """What was expected of a pod that was placed.

        Args:
            rise_watts: of its node's power, on the node's own curve; None or not finite (no power model) adds nothing.
            cpu_from: where its CPU use was known from: a word of ``CPU_SOURCES``.
        """
        self._cpu_from[cpu_from]()
        if rise_watts is not None and 0.0 < rise_watts < math.inf:
            self._rise_watts(rise_watts)

    def unschedulable(self, attempt_seconds: float) -> None:
        """No node can take the pod."""
        self._attempted("unschedulable", attempt_seconds)

    def failed(self, attempt_seconds: float) -> None:
        """An attempt ended in an error: a bind that failed, a pod or cluster we cannot make sense of."""
        self._attempted("error", attempt_seconds)

    def conflicted(self, reason: str) -> None:
        """A Binding was refused because the world had moved on; ``reason`` is a short stable word."""
        self._conflicts.labels(self._words["reason"].of(reason)).inc()

    def overbooked(self) -> None:
        """A node was found to hold more than its allocatable, or rejected a pod with ``OutOf...``."""
        self._overbooked.inc()

    def source_failed(self, source: str) -> None:
        """The load source, ``pod-usage``, ``refit`` or ``drift`` got nothing usable."""
        self._source_errors.labels(self._words["source"].of(source)).inc()

    def refitted(self, outcome: str) -> None:
        """A node's power model was put to the test by one learned from the last measurements: a word of ``REFITS``."""
        self._refits[outcome]()

    def event_dropped(self, count: int = 1) -> None:
        """Events for the API server were given up: the backlog was full, or it did not take them."""
        self._events_dropped.inc(count)

    def watch_requested(self, resource: str, kind: Literal["list", "watch"]) -> None:
        self._watch_requests.labels(self._words["resource"].of(resource), kind).inc()

    def watch_restarted(self, resource: str, reason: WatchTrouble) -> None:
        """A watch broke: 410 Gone, no sign of life, anything else; or others are wanted, for a kind came or went."""
        self._watch_restarts.labels(self._words["resource"].of(resource), reason).inc()

    def audit_repaired(self, resource: str, kind: Literal["missing", "vanished"], count: int = 1) -> None:
        """A list of our own found objects that the watch never showed, or had not told us were gone."""
        self._audit_repairs.labels(self._words["resource"].of(resource), kind).inc(count)

    def left_undecided(self, reason: Undecided) -> None:
        """A pod of ours was found that waited for a decision too long, or would have waited for ever."""
        self._undecided[reason]()

    def rival_bound(self, by: Literal["decision", "unknown"]) -> None:
        """A pod of ours was bound by another while we were the one to decide; ``decision``: another daemon's record is
        on it."""
        self._rival_bindings.labels(by).inc()

    def passed_over(self, resource: str, kind: str) -> None:
        """Something that the API server sent could not be understood: an object, a line of a watch, a whole list."""
        self._passed_over.labels(resource, kind).inc()

    async def render(self, accept: str = "") -> tuple[bytes, str]:
        """Every series as text, and its content type: the form that ``accept`` (an HTTP Accept header) asks for.

        Raises what ``sample`` does.
        """
        self._state.sample = await self._sample()
        try:
            encode, content_type = choose_encoder(accept)
        except (TypeError, ValueError):  # what the library makes of a version that is none
            encode, content_type = choose_encoder("")
        return await asyncio.to_thread(encode, self.registry), content_type

    def _attempted(self, result: str, seconds: float) -> None:
        count, observe = self._results[result]
        count()
        observe(seconds)

    def _register_attempts(self, profile: str) -> None:
        """kube-scheduler's counters and histograms, every child bound to its method beforehand."""
        counts = Counter(
            "scheduler_schedule_attempts_total",
            "Attempts to schedule a pod, by result: unschedulable means that no node can take it, error anything else.",
            ("result", "profile"),
            registry=self.registry,
        )
        durations = Histogram(
            "scheduler_scheduling_attempt_duration_seconds",
            "Duration of an attempt: decision and Binding.",
            ("result", "profile"),
            buckets=_exponential(0.001, 2, 15),
            registry=self.registry,
        )
        self._results = {
            result: (counts.labels(result, profile).inc, durations.labels(result, profile).observe)
            for result in RESULTS
        }
        self._algorithm = Histogram(
            "scheduler_scheduling_algorithm_duration_seconds",
            "Duration of the decision alone.",
            # kube-scheduler's layout, and a few buckets below it: ours would all lie in its first
            buckets=[*_exponential(0.0000625, 2, 4), *_exponential(0.001, 2, 15)],
            registry=self.registry,
        ).observe
        sli = Histogram(
            "scheduler_pod_scheduling_sli_duration_seconds",
            "From a pod's first attempt to its Binding, over all its attempts.",
            ("attempts",),
            buckets=_exponential(0.01, 2, 20),
            registry=self.registry,
        )
        # bound when first needed: most pods need one attempt, and fifteen empty histograms would fill the scrape
        self._sli = functools.cache(lambda label: sli.labels(label).observe)
        self._attempts = Histogram(
            "scheduler_pod_scheduling_attempts",
            "Attempts that it took to schedule a pod.",
            buckets=_exponential(1, 2, 5),
            registry=self.registry,
        ).observe

    def _register_ours(self) -> None:
        def counter(name: str, text: str, labels: Labels = ()) -> Counter:
            return Counter(name, text, labels, registry=self.registry)

        self._jump_watts = counter(
            "peaks_decided_jump_watts_total",
            "Jumps that our placements were decided on, as the strategy counts.",
        ).inc
        self._rise_watts = counter(
            "peaks_predicted_rise_watts_total", "Rise of their nodes' power that our placements were expected to bring."
        ).inc
        pods = counter(
            "peaks_decided_pods_total",
            "Pods placed, by what the CPU that they were taken to use was known from.",
            ("cpu_from",),
        )
        self._cpu_from = {source: pods.labels(source).inc for source in CPU_SOURCES}
        self._conflicts = counter(
            "peaks_binding_conflicts_total", "Bindings refused because the world had moved on, by reason.", ("reason",)
        )
        self._overbooked = counter(
            "peaks_overbooked_total", "Times a node held more than its allocatable or rejected a pod for lack of room."
        )
        self._source_errors = counter(
            "peaks_source_errors_total",
            "Requests to a source of load or pods' use that gave nothing usable.",
            ("source",),
        )
        refits = counter(
            "peaks_refits_total",
            "Nodes whose power model was to be learned anew, by what came of it.",
            ("outcome",),
        )
        self._refits = {outcome: refits.labels(outcome).inc for outcome in REFITS}
        self._events_dropped = counter(
            "peaks_events_dropped_total", "Events given up: the backlog was full or the API server did not take them."
        )
        self._watch_requests = counter(
            "peaks_watch_requests_total", "Lists and watches asked of the API server.", ("resource", "kind")
        )
        self._watch_restarts = counter(
            "peaks_watch_restarts_total",
            "Watches that broke (410 Gone, no sign of life, an error), or were changed for other kinds.",
            ("resource", "reason"),
        )
        self._rival_bindings = counter(
            "peaks_rival_bindings_total",
            "Pods of ours that another process bound while this one was to decide, by whether a decision is recorded.",
            ("by",),
        )
        self._passed_over = counter(
            "peaks_passed_over_total",
            "Objects, lines of watches and lists of the API server that could not be understood, by what they were.",
            ("resource", "kind"),
        )
        self._audit_repairs = counter(
            "peaks_audit_repairs_total",
            "Objects that a list found missing in the ledger, or in the ledger but gone from the cluster.",
            ("resource", "kind"),
        )
        undecided = counter(
            "peaks_pods_left_undecided_total",
            "Pods of ours that waited for a decision longer than they should, by what was found.",
            ("reason",),
        )
        self._undecided = {reason: undecided.labels(reason).inc for reason in get_args(Undecided)}
