"""Wiring of the daemon, its tasks, its health, its end.

Owns the life of the process: connect, serve, compete for the Lease, watch, schedule, and on SIGTERM take no more
pods, finish the binds in flight, release the Lease, post the last events and exit within ten seconds. Every task is
named in ``_tasks``; all exist before kopf runs. The server, the Lease and the watchdog have a thread of their own
(``aside``), so that no decision keeps them waiting. Never decides anything itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import threading
import time
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np

from peaks_scheduler.daemon.keepers.load import AnnotationKeeper, ClockKeeper, LoadKeeper
from peaks_scheduler.daemon.keepers.measured_power import MeasuredPower
from peaks_scheduler.daemon.keepers.models import ModelKeeper
from peaks_scheduler.daemon.keepers.pod_usage import NAME as POD_USAGE
from peaks_scheduler.daemon.keepers.pod_usage import UsageKeeper
from peaks_scheduler.daemon.scheduler.binding import WORKERS as BIND_WORKERS
from peaks_scheduler.daemon.scheduler.failures import WORKERS as CONDITION_WORKERS
from peaks_scheduler.daemon.scheduler.failures import Refusals
from peaks_scheduler.daemon.scheduler.loop import Scheduler
from peaks_scheduler.daemon.scheduler.node_cooldown import Cooling
from peaks_scheduler.daemon.scheduler.undecided import Watchman
from peaks_scheduler.daemon.scheduler.volume_binding import WORKERS as VOLUME_WORKERS
from peaks_scheduler.daemon.watching.audit import UNSEEN_DEAD, Audit
from peaks_scheduler.daemon.watching.feed import Feed
from peaks_scheduler.daemon.watching.kinds import KindKeeper
from peaks_scheduler.daemon.watching.kopf_log import RestartCounter, pass_over_open_streams
from peaks_scheduler.kube.client import KubeClient
from peaks_scheduler.kube.connection import CONNECT_TIMEOUT, Connection, connect
from peaks_scheduler.kube.election import LeaderElector, unique_identity
from peaks_scheduler.kube.events import EventPoster, Reporter
from peaks_scheduler.kube.kinds import KINDS
from peaks_scheduler.kube.limiter import Limiter
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.ledger.records import State
from peaks_scheduler.ledger.snapshot import NO_CPUS, Snapshot
from peaks_scheduler.objects.pod import pod_from_api
from peaks_scheduler.observability.logs import dropped
from peaks_scheduler.observability.sample import NodeMetrics, Sample
from peaks_scheduler.observability.serving import Check, Findings, Health, Server, run_all
from peaks_scheduler.observability.telemetry import Telemetry
from peaks_scheduler.scheduling.preemption import Preemption
from peaks_scheduler.scheduling.queue import SchedulingQueue
from peaks_scheduler.scheduling.scoring.headroom import above, overshoot
from peaks_scheduler.scheduling.scoring.strategies import strategy_named
from peaks_scheduler.settings.settings import Settings
from peaks_scheduler.settings.table import redacted
from peaks_scheduler.sources.factory import load_source, pod_usage_source

from .aside import Aside
from .pulse import Pulse
from .rivals import Rivals

logger = logging.getLogger(__name__)

GC_THRESHOLDS = (20_000, 20, 50)
"""Python's own (700, 10, 10) spent a fifth of the CPU, and 0.2 s at a time, on looking for garbage at 5,000 nodes."""

FED = frozenset({"/api/v1/pods", "/api/v1/nodes", *(kind.path for kind in KINDS)})
"""Paths of what the watches bring."""

PATIENCE = 0.5  # [s] a probe waits for the loop that decides; a kubelet gives it one second
SCRAPE = 5.0  # [s] likewise a scrape; Prometheus gives it ten

FINISH_BINDS = 3.0  # [s] of the ten that SIGTERM leaves us
RELEASE = 1.5
DRAIN_EVENTS = 2.0
STOP_KOPF = 1.0  # beyond it kopf is cancelled; with the server's own second for open requests all this stays below nine
END_KOPF = 0.5

UNREACHED = 60.0  # [s] without an answer of the API server, and we are not ready: nothing can be bound


async def run(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; the process's exit code. Raises ConfigurationError for what only shows when it is
    tried."""
    daemon = Daemon(settings)
    return await daemon.run()


class Daemon:
    """The parts, wired."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.strategy = strategy_named(settings.strategy)
        self.stop = asyncio.Event()
        self._announced = False
        self.telemetry = Telemetry(settings.scheduler_name, self._sampled, settings.node_metrics)
        self.ledger = Ledger(
            ours=settings.scheduler_name,
            default_cpu=settings.default_pod_cpu,
            expiry=settings.load.expiry,
            seed=zlib.crc32(settings.scheduler_name.encode()),
            ceiling=settings.ceiling,
            ignored=settings.pod_fields.ignore,
            rules=settings.annotation_rules,
        )
        self.queue = SchedulingQueue()
        self.limiter = Limiter(BIND_WORKERS)
        self.models = ModelKeeper(settings, self.ledger, lambda: self._look_again())
        self.models.load()
        self.annotations = AnnotationKeeper(self.ledger)
        self.rivals = Rivals(settings.scheduler_name, self.telemetry)

    # -- life

    async def run(self) -> int:
        gc.set_threshold(*GC_THRESHOLDS)
        self.pulse = Pulse()
        with self._signals():
            async with self._beside(), self._connected() as connection:
                self._wire(connection)
                return await self._serve()

    @contextlib.asynccontextmanager
    async def _beside(self) -> AsyncIterator[None]:
        self.aside = Aside()
        self.aside.start()
        try:
            yield
        finally:
            await self.aside.stop()

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[Connection]:
        """Our connection, and one for the Lease, whose loop is another."""
        settings = self.settings
        connection = await connect(settings.kubeconfig, settings.context, on_request=self._on_request)
        try:
            self._lease_connection = await self.aside.run(connect(settings.kubeconfig, settings.context))
            try:
                yield connection
            finally:
                await self.aside.run(self._lease_connection.close())
        finally:
            await connection.close()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        self._take_signals()
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().remove_signal_handler(number)

    def _take_signals(self) -> None:
        """Ours in place of kopf's: it would begin with ending every task, and we with finishing the binds."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop.set)
            # the loop hears of it when it comes round; a decision under way is told at once
            signal.signal(number, lambda *_: self.pulse.interrupt())

    async def _serve(self) -> int:
        try:
            port = await self.aside.run(self.server.start())
            logger.info("serving", extra={"address": str(self.settings.listen), "port": port})
            with RestartCounter(self.telemetry, self.feed).listening():
                return await self._live()
        finally:
            await self.source.aclose()
            if self.usage_source is not None:
                await self.usage_source.aclose()
            await self.measured_power.aclose()
            await self.aside.run(self.server.stop())

    def _wire(self, connection: Connection) -> None:
        settings, name = self.settings, self.settings.scheduler_name
        identity = unique_identity()
        self.reach = connection.reachability
        self.client = KubeClient(connection, name, identity)
        self.events = EventPoster(self.client, on_drop=self.telemetry.event_dropped)
        reporter = Reporter(name, identity)
        self.elector = LeaderElector(
            KubeClient(self._lease_connection, name, identity),
            connection.namespace or "kube-system",
            settings.leader_election.name,
            identity,
            on_change=lambda leading: self.aside.tell(self._led, leading),
            worthy=lambda: self.pulse.alive,
        )
        self.scheduler = Scheduler(
            ledger=self.ledger,
            queue=self.queue,
            strategy=self.strategy,
            tolerance=settings.tolerance_watts,
            client=self.client,
            limiter=self.limiter,
            events=self.events,
            reporter=reporter,
            refusals=Refusals(
                self.client, self.events, reporter, self.may_write, postscript=Preemption(self.ledger).note
            ),
            cooling=Cooling(self.ledger),
            telemetry=self.telemetry,
            may_decide=self.may_decide,
            may_write=self.may_write,
            volume_timeout=settings.volume_bind_timeout,
            bound_by_another=self.rivals.bound_by_another,
            detail=settings.decision_annotation,
            pulse=self.pulse,
        )
        self.kinds = KindKeeper(self.client, self.ledger, self._kinds_changed, lambda: self.feed.restart("kinds"))
        self.feed = Feed(
            self.ledger,
            connection,
            self.telemetry,
            time.time,
            self.scheduler.pod_changed,
            self.scheduler.node_changed,
            self.scheduler.kind_changed,
            self.kinds.fed_now,
            on_start=self._take_signals,
        )
        self.undecided = Watchman(self.scheduler)
        connection.on_malformed = self.feed.odd
        self.audit = Audit(
            self.ledger,
            self.client,
            self.feed,
            self.scheduler,
            self.telemetry,
            self.kinds,
            self._first_lists_in,
            unseen=self.undecided.unseen,
        )
        self.source = load_source(
            settings, self.client.get_json, lambda: connection.clock_offset, nodes=self.nodes_known
        )
        self.load = LoadKeeper(self.source, settings.load.interval, self.ledger, self.telemetry, self._look_again)
        self.usage_source = pod_usage_source(
            settings, self.client.get_json, lambda: connection.clock_offset, pods=self.pods_known
        )
        self.usage: UsageKeeper | None = None
        if self.usage_source is not None:
            self.usage = UsageKeeper(self.usage_source, settings.pod_usage, self.ledger, self.telemetry)
        self.measured_power = MeasuredPower(
            settings, self.ledger, self.telemetry, self.audit.complete, self._look_again
        )
        self.clock = ClockKeeper(connection, self.ledger)
        self._checks = self._ready_checks()
        self._found: Findings = [("first-lists", self._first_lists())]
        self.server = Server(
            settings.listen,
            self._live_findings,
            self._ready_findings,
            self.telemetry.render,
            partial(redacted, settings),
        )

    def _tasks(self) -> dict[str, Coroutine[Any, Any, None]]:
        """Every task of the process but kopf's own."""
        tasks: dict[str, Coroutine[Any, Any, None]] = {
            "schedule": self.scheduler.run(),
            "inspect": self.scheduler.aftermath.inspect(),
            "announce": self.scheduler.aftermath.announcing(),
            "volumes": self.scheduler.binder.volumes.watch(),
            "events": self.events.run(),
            "load": self.load.run(),
            "pending": self.audit.watch_pending(),
            "undecided": self.undecided.run(),
            "names": self.audit.compare_names(),
            "kinds": self.kinds.run(),
            "second": self._every_second(),
            "watchdog": self.aside.run(self.pulse.watch(threading.get_ident())),
        }
        tasks |= {f"bind-{i}": self.scheduler.binder.bind_jobs() for i in range(BIND_WORKERS)}
        tasks |= {f"bind-volumes-{i}": self.scheduler.binder.volumes.write_jobs() for i in range(VOLUME_WORKERS)}
        tasks |= {f"condition-{i}": self.scheduler.refusals.run() for i in range(CONDITION_WORKERS)}
        if self.settings.power.file:
            tasks["models"] = self.models.run()
        if self.usage is not None:
            tasks[POD_USAGE] = self.usage.run()
        tasks |= self.measured_power.tasks()
        if self.settings.leader_election.enabled:
            tasks["lease"] = self.aside.run(self.elector.run())
        return tasks

    async def _live(self) -> int:
        """Until SIGTERM; the exit code."""
        tasks = {name: asyncio.create_task(work, name=name) for name, work in self._tasks().items()}
        stop = asyncio.create_task(self.stop.wait(), name="stop")
        await asyncio.sleep(0)  # let them start theirs: kopf spares only tasks that are older than itself
        kopf = asyncio.create_task(self.feed.run(self.stop), name="kopf")
        await asyncio.wait((stop, kopf, *tasks.values()), return_when=asyncio.FIRST_COMPLETED)
        code = 0 if self.stop.is_set() else self._fail((kopf, *tasks.values()))
        logger.info("stopping")
        asyncio.get_running_loop().set_exception_handler(pass_over_open_streams)
        await self._finish([task for name, task in tasks.items() if name.startswith("bind-")])
        await _end((stop, *tasks.values()))
        await asyncio.wait((kopf,), timeout=STOP_KOPF)
        await _end((kopf,), within=END_KOPF)
        logger.info("stopped")
        return code

    def _fail(self, tasks: Iterable[asyncio.Task[None]]) -> int:
        """A task of ours that ends is a bug: better a restart than a scheduler that is half alive."""
        for task in tasks:
            if task.done():
                error = None if task.cancelled() else task.exception()
                logger.critical("task ended", extra={"task": task.get_name()}, exc_info=error)
        self.stop.set()
        return 1

    async def _finish(self, binders: list[asyncio.Task[None]]) -> None:
        if not await self.scheduler.finish(FINISH_BINDS):
            logger.warning("binds left in flight")
            await _end(binders)  # none of them may be sent when another holds the Lease
        if self.settings.leader_election.enabled:
            await self.aside.run(self.elector.release(RELEASE))
        await self.events.drain(DRAIN_EVENTS)

    async def _every_second(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self.pulse.beat()
            self.scheduler.rested()
            self.clock.look()
            self.annotations.look()
            self.rivals.look(self.may_decide())
            self._publish()

    # -- what others ask

    def nodes_known(self) -> int:
        """How many nodes the cluster has; 0: not known yet."""
        return sum(1 for _ in self.ledger.nodes()) if self.audit.complete.is_set() else 0

    def pods_known(self) -> int:
        """How many pods the cluster has; 0: not known yet."""
        return sum(1 for _ in self.ledger.pods()) if self.audit.complete.is_set() else 0

    def may_decide(self) -> bool:
        """Leading, the first lists in the ledger, and the load source heard once."""
        return (
            self.audit.complete.is_set()
            and self.load.asked
            and (not self.settings.leader_election.enabled or self.elector.leading)
        )

    def may_write(self) -> bool:
        """The fence."""
        return not self.settings.leader_election.enabled or self.elector.may_write(within=CONNECT_TIMEOUT)

    def _first_lists_in(self) -> None:
        # the first lists leave a million objects that stay: kept out of the collector's sight they cost no more pauses
        gc.collect()
        gc.freeze()
        self.load.nodes_known()
        self._look_again()

    def _led(self, leading: bool) -> None:
        self._announced = False
        self._look_again()

    def _look_again(self) -> None:
        """A condition for deciding may have come true, or what is decided by has changed."""
        if self.may_decide() and not self._announced:
            self._announced = True
            self._publish()
            self.scheduler.aftermath.announce_recent()
        self.scheduler.load_changed()

    def _kinds_changed(self) -> None:
        if self.audit.complete.is_set():
            self.scheduler.kinds_changed()

    def _on_request(self, method: str, path: str, is_watch: bool, status: int) -> None:
        if method == "GET" and status == 200 and path in FED:
            # the answer's date is read next: the objects in it are dated by the clock that it tells of
            asyncio.get_running_loop().call_soon(self.clock.look)
            self.feed.asked(path.rpartition("/")[2], watch=is_watch)

    # -- health; the findings and the metrics are asked for in the server's thread

    async def _live_findings(self) -> Findings:
        return run_all([Check("watches", self._watches), Check("loop", self._loop)])

    async def _ready_findings(self) -> Findings:
        """Those of this instant; while the loop decides, the last ones and what it is at."""
        try:
            await self.aside.ask(self._publish, within=PATIENCE)
        except TimeoutError:
            busy = Health.degraded(self.pulse.words() or f"busy for {PATIENCE:g} s")
            return [*self._found, ("loop", busy)]
        return self._found

    def _publish(self) -> None:
        self._found = run_all(self._checks)

    async def _sampled(self) -> Sample:
        return await self.aside.ask(self.sample, within=SCRAPE)

    def _loop(self) -> Health:
        words = self.pulse.words()
        if not self.pulse.alive:
            return Health.failed(words)
        return Health.degraded(words) if words else Health.ok()

    def _watches(self) -> Health:
        unseen = self.audit.oldest_unseen
        if unseen >= UNSEEN_DEAD:
            return Health.failed(f"a pending pod is listed, but no watch has shown it for {unseen:.0f} s")
        return Health.ok()

    def _ready_checks(self) -> list[Check]:
        return [
            Check("first-lists", self._first_lists),
            Check("api-server", self._reached),
            Check("kinds", lambda: self.kinds.health()),
            Check("load", lambda: self.load.health()),
            Check("power-models", self.models.health),
            *([Check(POD_USAGE, self.usage.health)] if self.usage else []),
            *self.measured_power.checks(),
            Check("annotations", self.annotations.health),
            Check("undecided", lambda: self.undecided.health()),
            Check("clock", lambda: self.clock.health()),
            Check("lease", self._lease),
            Check("rivals", self.rivals.health),
        ]

    def _first_lists(self) -> Health:
        return (
            Health.ok()
            if self.audit.complete.is_set()
            else Health.failed("what is in the cluster is not all in the ledger yet")
        )

    def _reached(self) -> Health:
        if self.reach.failing_for < UNREACHED:
            return Health.ok()
        return Health.failed(
            f"the API server has answered no request for {self.reach.failing_for:.0f} s: {self.reach.why}"
        )

    def _lease(self) -> Health:
        if not self.settings.leader_election.enabled or self.elector.leading:
            return Health.ok()
        return Health.degraded(f"standing by; the lease is held by {self.elector.holder or 'nobody'}")

    # -- telemetry

    def sample(self) -> Sample:
        """The state of everything at this instant."""
        states = Counter(state for _, state in self.ledger.pods())
        nodes = self.ledger.snapshot()
        return Sample(
            queues=self.queue.counts(),
            incoming=self.queue.incoming(),
            unschedulable=Counter(name for names in self.scheduler.unschedulable.values() for name in names),
            cache={"nodes": len(nodes), "pods": sum(states.values()), "assumed_pods": states[State.ASSUMED]},
            standings=_standings(nodes),
            load_age=self.load.age,
            load_source_up=self.load.asked and not self.load.failure,
            load_unmatched_keys=len(self.load.unmatched),
            load_problems=len(self.load.problems),
            pod_usage_groups=self.usage.groups if self.usage else {},
            power_model_valid=not self.models.failure,
            learned_power_models=self.measured_power.learned_models,
            power_drift=self.measured_power.drift_ratios,
            power_compared_nodes=self.measured_power.compared_nodes,
            clock_offsets={"apiserver": self.clock.offset}
            | ({} if self.load.offset is None else {"load": self.load.offset}),
            leader=self.elector.leading or not self.settings.leader_election.enabled,
            unread_kinds=self.kinds.unread(),
            common_unknown_fields=self.scheduler.fields.common(),
            pods_awaiting_volumes=len(self.scheduler.binder.volumes),
            log_lines_dropped=dropped(),
            binds_in_flight=self.limiter.in_flight,
            binds_in_flight_limit=self.limiter.limit,
            oldest_unseen_pod=self.audit.oldest_unseen,
            undecided_pods=len(self.undecided),
            nodes=self._series(nodes) if self.settings.node_metrics else NodeMetrics(),
        )

    def _series(self, nodes: Snapshot) -> NodeMetrics:
        typical = pod_from_api({"metadata": {"name": "typical"}}, self.settings.default_pod_cpu)
        strategy = self.scheduler.strategy
        jumps = strategy.jump(typical, nodes, strategy.cost(typical, nodes))
        watts = self.measured_power.watts(nodes.names)
        cpu = np.where(nodes.cpu_capacity > NO_CPUS, nodes.cpu_high / nodes.cpu_capacity, np.nan)
        return NodeMetrics(tuple(nodes.names), cpu, jumps, *watts)


def _standings(nodes: Snapshot) -> dict[str, int]:
    """Nodes by their rank class now, before any pod is added."""
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


async def _end(tasks: Iterable[asyncio.Task[Any]], within: float = 1.0) -> None:
    """Cancel tasks and wait until they have ended, at most ``within`` [s]: one that will not end must not keep us."""
    ending = list(tasks)
    for task in ending:
        task.cancel()
    if ending:
        await asyncio.wait(ending, timeout=within)
