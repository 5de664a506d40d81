"""What others ask the process: is it alive, is it ready, what are its numbers?

Owns the checks that no keeper has, and the order of all. The server asks from the background loop; the answers are
made in the scheduling loop, which may be busy: then ``/readyz`` shows the last findings and what the loop is doing.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from peaks_scheduler.kube.http.reachability import Reachability
from peaks_scheduler.ledger.records import State
from peaks_scheduler.ledger.snapshot import NO_CPUS, Snapshot
from peaks_scheduler.objects.pod import pod_from_api
from peaks_scheduler.observability.gauge import GaugeReading
from peaks_scheduler.observability.logs import dropped
from peaks_scheduler.observability.sample import NodeMetrics, Sample
from peaks_scheduler.observability.serving import Check, Findings, Health, run_all
from peaks_scheduler.scheduling.batching import plan_for_one
from peaks_scheduler.scheduling.scoring.headroom import above, overshoot

from .background import BackgroundLoop
from .heartbeat import Heartbeat
from .keeper import Keeper
from .scheduler.loop import Scheduler
from .watching.audit import UNSEEN_DEAD, Audit
from .watching.feed import Feed

logger = logging.getLogger(__name__)

PATIENCE = 0.5  # [s] a probe waits for the scheduling loop; a kubelet gives it one second
SCRAPE = 5.0  # [s] a scrape does; Prometheus gives it ten
UNREACHED = 60.0  # [s] without an answer of the API server, after which we are not ready: nothing can be bound


class Status:
    """See the module."""

    def __init__(
        self,
        scheduler: Scheduler,
        feed: Feed,
        audit: Audit,
        reach: Reachability,
        heartbeat: Heartbeat,
        background: BackgroundLoop,
        keepers: Sequence[Keeper],
    ) -> None:
        self._scheduler, self._context, self._audit, self._reach = scheduler, scheduler.context, audit, reach
        self._feed = feed
        self._heartbeat, self._background = heartbeat, background
        self._checks = [
            Check("first-lists", self._first_lists),
            Check("api-server", self._reached),
            *(check for keeper in keepers for check in keeper.checks()),
        ]
        gauges = (gauge for keeper in keepers for gauge in keeper.gauges())
        self._gauges = [gauge for gauge in gauges if self._context.settings.node_metrics or not gauge.per_node]
        self._found: Findings = run_all(self._checks[:1])

    # -- probes, asked in the background loop

    async def live(self) -> Findings:
        """For ``/livez``."""
        return run_all([Check("watches", self._watches), Check("loop", self._loop)])

    async def ready(self) -> Findings:
        """For ``/readyz``: the findings of this instant, or the last ones while the scheduling loop is busy."""
        try:
            await self._background.ask(self.publish, within=PATIENCE)
        except TimeoutError:
            busy = Health.degraded(self._heartbeat.trouble() or f"busy for {PATIENCE:g} s")
            return [*self._found, ("loop", busy)]
        return self._found

    def publish(self) -> None:
        """Run the checks of ``/readyz``, in the scheduling loop."""
        self._found = run_all(self._checks)

    def _loop(self) -> Health:
        trouble = self._heartbeat.trouble()
        if not self._heartbeat.alive:
            return Health.failed(trouble)
        return Health.degraded(trouble) if trouble else Health.ok()

    def _watches(self) -> Health:
        unseen = self._audit.oldest_unseen
        if unseen >= UNSEEN_DEAD:
            return Health.failed(f"a pending pod is listed, but no watch has shown it for {unseen:.0f} s")
        return Health.ok()

    def _first_lists(self) -> Health:
        if self._feed.complete.is_set():
            return Health.ok()
        return Health.failed("what is in the cluster is not all in the ledger yet")

    def _reached(self) -> Health:
        reach = self._reach
        if reach.failing_for < UNREACHED:
            return Health.ok()
        return Health.failed(f"the API server has answered no request for {reach.failing_for:.0f} s: {reach.why}")

    # -- telemetry

    async def sampled(self) -> Sample:
        """``sample`` from the background loop. Raises TimeoutError while the scheduling loop is busy."""
        return await self._background.ask(self.sample, within=SCRAPE)

    def sample(self) -> Sample:
        """The state of everything at this instant."""
        context, nodes = self._context, self._context.ledger.snapshot()
        states = Counter(state for _, state in context.ledger.pods())
        return Sample(
            queues=context.queue.counts(),
            incoming=context.queue.incoming(),
            unschedulable=self._scheduler.pending.by_filter(),
            cache={"nodes": len(nodes), "pods": sum(states.values()), "assumed_pods": states[State.ASSUMED]},
            standings=_standings(nodes),
            log_lines_dropped=dropped(),
            binds_in_flight=context.limiter.in_flight,
            binds_in_flight_limit=context.limiter.limit,
            nodes=self._series(nodes) if context.settings.node_metrics else NodeMetrics(),
            gauges=tuple(self._readings()),
        )

    def _readings(self) -> Iterator[GaugeReading]:
        for gauge in self._gauges:
            try:
                yield gauge, tuple(gauge.rows())
            except Exception:  # one gauge must not cost all the others
                logger.exception("gauge not read", extra={"gauge": gauge.name})

    def _series(self, nodes: Snapshot) -> NodeMetrics:
        typical = pod_from_api({"metadata": {"name": "typical"}}, self._context.settings.default_pod_cpu)
        strategy = plan_for_one(self._scheduler.strategy, typical, nodes)
        jumps = strategy.jump(typical, nodes, strategy.cost(typical, nodes))
        cpu = np.where(nodes.cpu_capacity > NO_CPUS, nodes.cpu_high / nodes.cpu_capacity, np.nan)
        return NodeMetrics(tuple(nodes.names), cpu, jumps)


def _standings(nodes: Snapshot) -> dict[str, int]:
    """Rank class -> number of nodes in it now, before any pod is added."""
    cpu = nodes.cpu_high / nodes.cpu_capacity
    over = overshoot((nodes.ceiling_cpu, nodes.ceiling_memory), cpu, nodes.memory_used / nodes.memory_capacity)
    left, counts = np.ones(len(nodes), np.bool_), {}
    for name, mask in (
        ("over-full", cpu > 1.0),
        ("above-ceiling", above(over)),
        ("unmodelled", np.isnan(nodes.curves.base)),
        ("measured", nodes.measured),
        ("estimated", left),
    ):
        counts[name] = int(np.count_nonzero(mask & left))
        left = left & ~mask
    return counts
