"""The metrics of this process in Prometheus' format: counters and histograms here, gauges in ``gauges``.

Owns a registry and every instrument in it. Names and buckets are kube-scheduler's where they mean the same
(`pkg/scheduler/metrics`, 1.36); all others begin with ``peaks_``. There are two kinds of metrics:

- Events are counted when they happen, by a method named after the event. Every decision pays for it, so the children of
  labels with known values are looked up once, at the start. A placed pod costs some 8 us.
- State (queues, nodes, load age, leadership) is not kept up to date. Each scrape takes one `Sample` of it on the event
  loop, and a thread renders the sample, so that rendering never delays the bindings. Each scrape sees one whole sample.

The number of series is bounded, whatever others write. Values of labels are our own words, kinds of Kubernetes, pod
fields that the API server knows, and with node metrics the nodes; never a pod, a namespace or the text of an error.

Assumes one process. Never reads a clock.
"""

from __future__ import annotations

import asyncio
import functools
import math
import platform
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Histogram, Info, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import choose_encoder

from peaks_scheduler import __version__

from .gauges import GaugeCollector, Labels
from .metric_labels import BoundedLabel
from .sample import Sample

WatchTrouble = Literal["gone", "inactive", "error", "kinds"]

Undecided = Literal["unseen", "not-queued", "lost", "waiting", "binding", "failing"]

CPU_SOURCES = ("request", "limit", "default", "siblings")
REFITS = ("learned", "replaced", "kept", "refused", "unread")
RESULTS = ("scheduled", "unschedulable", "error")
MOST_ATTEMPTS = 15  # kube-scheduler counts more under "15+"


def _exponential(start: float, factor: float, count: int) -> list[float]:
    return [start * factor**power for power in range(count)]


# fmt: off
# name, labels, help
COUNTERS: tuple[tuple[str, Labels, str], ...] = (
    ("scheduler_schedule_attempts_total", ("result", "profile"),
     "Attempts to schedule a pod, by result: unschedulable means that no node can take it, error any other failure."),
    ("peaks_decided_jump_watts_total", (),
     "Sum of the power jumps that our placements were decided on, as the strategy counts them."),
    ("peaks_predicted_rise_watts_total", (),
     "Sum of the predicted rises of node power by our placements."),
    ("peaks_decided_pods_total", ("cpu_from",),
     "Pods placed, by the origin of the CPU use that was assumed for them."),
    ("peaks_binding_conflicts_total", ("reason",),
     "Bindings that were refused because pod or node had changed meanwhile, by reason."),
    ("peaks_overbooked_total", (),
     "Times that a node held more than its allocatable, or rejected a pod for lack of room."),
    ("peaks_source_errors_total", ("source",),
     "Requests to a source of node load or pod use that returned nothing usable."),
    ("peaks_refits_total", ("outcome",),
     "Nodes whose power model was to be learned again, by outcome."),
    ("peaks_events_dropped_total", (),
     "Kubernetes Events that were dropped: the queue was full, or the API server did not accept them."),
    ("peaks_watch_requests_total", ("resource", "kind"),
     "List and watch requests to the API server."),
    ("peaks_watch_restarts_total", ("resource", "reason"),
     "Watches that were restarted: they broke (410 Gone, silence, an error), or other kinds are watched now."),
    ("peaks_rival_bindings_total", ("by",),
     "Pods of ours that another process bound: by decision if they have a decision record, else by unknown."),
    ("peaks_passed_over_total", ("resource", "kind"),
     "Malformed objects, watch lines and lists of the API server that were skipped, by kind."),
    ("peaks_audit_repairs_total", ("resource", "kind"),
     "Objects that the audit found missing in the ledger, or in the ledger but gone from the cluster."),
    ("peaks_pods_left_undecided_total", ("reason",),
     "Pods of ours that waited for a decision longer than they should, by reason."),
)

# name, labels, buckets, help
HISTOGRAMS: tuple[tuple[str, Labels, Sequence[float], str], ...] = (
    ("scheduler_scheduling_attempt_duration_seconds", ("result", "profile"), _exponential(0.001, 2, 15),
     "Duration of an attempt: decision and Binding."),
    # kube-scheduler's buckets and four smaller ones: all our decisions would be in its first bucket
    ("scheduler_scheduling_algorithm_duration_seconds", (),
     [*_exponential(0.0000625, 2, 4), *_exponential(0.001, 2, 15)],
     "Duration of the decision alone."),
    ("scheduler_pod_scheduling_sli_duration_seconds", ("attempts",), _exponential(0.01, 2, 20),
     "Time from a pod's first attempt to its Binding, over all its attempts."),
    ("scheduler_pod_scheduling_attempts", (), _exponential(1, 2, 5),
     "Number of attempts until a pod was scheduled."),
)
# fmt: on


async def _empty_sample() -> Sample:
    return Sample()


class Telemetry:
    """Counts events, and renders the counts together with a sample of the state.

    Args:
        profile: the scheduler name of our pods; a label of kube-scheduler's series.
        sample: called before every rendering.
        node_metrics: also export the series of each node.
    """

    def __init__(
        self, profile: str, sample: Callable[[], Awaitable[Sample]] | None = None, node_metrics: bool = False
    ) -> None:
        # else every counter and histogram has one more series for its creation time; the switch is process-wide
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._sample = sample or _empty_sample
        self._gauges = GaugeCollector(profile, node_metrics)
        self._bounded = {label: BoundedLabel() for label in ("reason", "source", "resource")}
        self.registry.register(self._gauges)
        self._counters = {name: Counter(name, text, labels, registry=self.registry) for name, labels, text in COUNTERS}
        self._histograms = {
            name: Histogram(name, text, labels, buckets=buckets, registry=self.registry)
            for name, labels, buckets, text in HISTOGRAMS
        }
        self._look_up_children(profile)
        ProcessCollector(registry=self.registry)
        build = Info("peaks_build", "Version of this scheduler and of its Python.", registry=self.registry)
        build.info({"version": __version__, "python": platform.python_version()})

    def decided(self, seconds: float) -> None:
        """A decision was made, with any result, in ``seconds``."""
        self._algorithm(seconds)

    def bound(self, jump_watts: float | None, attempt_seconds: float, sli_seconds: float, attempts: int) -> None:
        """The API server accepted a Binding.

        Args:
            jump_watts: the power jump of the decision; None or not finite (no power model) adds nothing.
            attempt_seconds: from the start of the decision to the response to the Binding.
            sli_seconds: from the pod's first attempt to the same time.
            attempts: number of attempts for this pod, this one included; >= 1.
        """
        self._attempted("scheduled", attempt_seconds)
        self._sli(str(attempts) if attempts < MOST_ATTEMPTS else f"{MOST_ATTEMPTS}+")(sli_seconds)
        self._attempts(attempts)
        if jump_watts is not None and 0.0 < jump_watts < math.inf:
            self._jump_watts(jump_watts)

    def predicted(self, rise_watts: float | None, cpu_from: str) -> None:
        """The prediction for a pod that was placed.

        Args:
            rise_watts: rise of the node's power, by the node's own curve; None or not finite (no power model) adds
                nothing.
            cpu_from: origin of the pod's assumed CPU use: a word of ``CPU_SOURCES``.
        """
        self._cpu_from[cpu_from]()
        if rise_watts is not None and 0.0 < rise_watts < math.inf:
            self._rise_watts(rise_watts)

    def unschedulable(self, attempt_seconds: float) -> None:
        """No node can take the pod."""
        self._attempted("unschedulable", attempt_seconds)

    def failed(self, attempt_seconds: float) -> None:
        """An attempt ended in an error: the Binding failed, or the pod or the cluster has invalid fields."""
        self._attempted("error", attempt_seconds)

    def conflicted(self, reason: str) -> None:
        """A Binding was refused because pod or node had changed; ``reason`` is a short stable word."""
        self._count("peaks_binding_conflicts_total", self._bounded["reason"].value(reason))

    def overbooked(self) -> None:
        """A node holds more than its allocatable, or rejected a pod with ``OutOf...``."""
        self._count("peaks_overbooked_total")

    def source_failed(self, source: str) -> None:
        """A request of the load source, ``pod-usage``, ``refit`` or ``drift`` returned nothing usable."""
        self._count("peaks_source_errors_total", self._bounded["source"].value(source))

    def refitted(self, outcome: str) -> None:
        """A node's power model was compared with one learned from the last measurements: a word of ``REFITS``."""
        self._refits[outcome]()

    def event_dropped(self, count: int = 1) -> None:
        """Kubernetes Events were dropped: the queue was full, or the API server did not accept them."""
        self._count("peaks_events_dropped_total", by=count)

    def watch_requested(self, resource: str, kind: Literal["list", "watch"]) -> None:
        """A list or watch request was sent."""
        self._count("peaks_watch_requests_total", self._bounded["resource"].value(resource), kind)

    def watch_restarted(self, resource: str, reason: WatchTrouble) -> None:
        """A watch broke (410 Gone, silence, an error), or ended because other kinds are watched now."""
        self._count("peaks_watch_restarts_total", self._bounded["resource"].value(resource), reason)

    def audit_repaired(self, resource: str, kind: Literal["missing", "vanished"], count: int = 1) -> None:
        """The audit found objects that the watch did not deliver, or did not report as deleted."""
        self._count("peaks_audit_repairs_total", self._bounded["resource"].value(resource), kind, by=count)

    def left_undecided(self, reason: Undecided) -> None:
        """A pod of ours waited for a decision too long, or would have waited for ever."""
        self._undecided[reason]()

    def rival_bound(self, by: Literal["decision", "unknown"]) -> None:
        """Another process bound a pod of ours while this one was to decide.

        Args:
            by: ``decision`` if the pod has the decision record of another daemon.
        """
        self._count("peaks_rival_bindings_total", by)

    def passed_over(self, resource: str, kind: str) -> None:
        """A malformed object, watch line or list of the API server was skipped."""
        self._count("peaks_passed_over_total", resource, kind)

    async def render(self, accept: str = "") -> tuple[bytes, str]:
        """Every series as text, and its content type: the format that ``accept`` (an HTTP Accept header) asks for.

        Raises what ``sample`` raises.
        """
        self._gauges.sample = await self._sample()
        try:
            encode, content_type = choose_encoder(accept)
        except (TypeError, ValueError):  # the library raises them for an invalid version
            encode, content_type = choose_encoder("")
        return await asyncio.to_thread(encode, self.registry), content_type

    def _attempted(self, result: str, seconds: float) -> None:
        count, observe = self._results[result]
        count()
        observe(seconds)

    def _count(self, name: str, *labels: str, by: int = 1) -> None:
        counter = self._counters[name]
        (counter.labels(*labels) if labels else counter).inc(by)

    def _look_up_children(self, profile: str) -> None:
        """Look up the children that every decision counts, by label, once."""
        counters, histograms = self._counters, self._histograms
        attempts = counters["scheduler_schedule_attempts_total"]
        durations = histograms["scheduler_scheduling_attempt_duration_seconds"]
        self._results = {
            result: (attempts.labels(result, profile).inc, durations.labels(result, profile).observe)
            for result in RESULTS
        }
        self._algorithm = histograms["scheduler_scheduling_algorithm_duration_seconds"].observe
        sli = histograms["scheduler_pod_scheduling_sli_duration_seconds"]
        # looked up at first use: most pods need one attempt, and fifteen empty histograms would fill the scrape
        self._sli = functools.cache(lambda label: sli.labels(label).observe)
        self._attempts = histograms["scheduler_pod_scheduling_attempts"].observe
        self._jump_watts = counters["peaks_decided_jump_watts_total"].inc
        self._rise_watts = counters["peaks_predicted_rise_watts_total"].inc
        pods = counters["peaks_decided_pods_total"]
        self._cpu_from = {source: pods.labels(source).inc for source in CPU_SOURCES}
        refits = counters["peaks_refits_total"]
        self._refits = {outcome: refits.labels(outcome).inc for outcome in REFITS}
        undecided = counters["peaks_pods_left_undecided_total"]
        self._undecided = {reason: undecided.labels(reason).inc for reason in get_args(Undecided)}
