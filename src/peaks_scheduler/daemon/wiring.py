"""Wiring: every part of the daemon is built here, and nowhere else.

``KEEPERS`` is the table of what the process does beside deciding and binding: a new source of facts is one class
(``keeper.Keeper``) and one line there. Nothing runs yet when ``build`` returns; ``main`` starts it.
"""

from __future__ import annotations

import gc
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from peaks_scheduler.kube.client import KubeClient
from peaks_scheduler.kube.election import LeaderElector, unique_identity
from peaks_scheduler.kube.events import EventRecorder
from peaks_scheduler.kube.http.connection import Connection
from peaks_scheduler.kube.limiter import Limiter
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.observability.serving import Server
from peaks_scheduler.observability.telemetry import Telemetry
from peaks_scheduler.scheduling.batching import BatchStrategy, any_strategy
from peaks_scheduler.scheduling.queue import SchedulingQueue
from peaks_scheduler.scheduling.scoring.strategies import Strategy
from peaks_scheduler.settings.settings import Settings
from peaks_scheduler.settings.table import redacted
from peaks_scheduler.sources.factory import load_source, pod_usage_source
from peaks_scheduler.sources.predictors.factory import PredictorPool
from peaks_scheduler.sources.sensors.all_sensors import sensor_sources

from .background import BackgroundLoop
from .gate import Gate
from .heartbeat import Heartbeat
from .keeper import Keeper
from .keepers.annotations import AnnotationKeeper
from .keepers.carbon import CarbonKeeper
from .keepers.clock import ClockKeeper
from .keepers.lease import LeaseKeeper
from .keepers.load import LoadKeeper
from .keepers.measured_power import MeasuredPower
from .keepers.models import ModelKeeper
from .keepers.node_configs import NodeConfigKeeper
from .keepers.overhead import OverheadKeeper
from .keepers.pod_usage import UsageKeeper
from .keepers.predictions import PredictionKeeper
from .keepers.rivals import Rivals
from .keepers.sensors import SensorKeeper
from .scheduler.binding import WORKERS
from .scheduler.context import Context
from .scheduler.loop import Scheduler
from .scheduler.undecided import UndecidedPods
from .status import Status
from .watching.audit import Audit
from .watching.feed import Feed
from .watching.kinds import KindKeeper
from .watching.observer import Observer


@dataclass(frozen=True, slots=True)
class Core:
    """Parts that need nothing but the configuration: its errors show before anything is connected."""

    settings: Settings
    strategy: Strategy | BatchStrategy
    ledger: Ledger
    gate: Gate
    models: ModelKeeper
    carbon: CarbonKeeper


@dataclass(frozen=True, slots=True)
class Outside:
    """What ``main`` opens, and closes after everything else."""

    connection: Connection
    lease_connection: Connection
    """Used in the background loop."""
    background: BackgroundLoop
    heartbeat: Heartbeat
    on_kopf_start: Callable[[], None]


@dataclass(slots=True, kw_only=True)
class Parts:
    """All parts, wired."""

    core: Core
    outside: Outside
    telemetry: Telemetry
    client: KubeClient
    events: EventRecorder
    lease: LeaseKeeper
    rivals: Rivals
    clock: ClockKeeper
    scheduler: Scheduler = field(init=False)
    undecided: UndecidedPods = field(init=False)
    kinds: KindKeeper = field(init=False)
    observer: Observer = field(init=False)
    feed: Feed = field(init=False)
    audit: Audit = field(init=False)
    node_configs: NodeConfigKeeper = field(init=False)
    """Which model each node has, and the sensors that NodeConfigs name: before the keepers that ask them."""
    on_first_lists: list[Callable[[], None]] = field(default_factory=list)
    """Called when all objects of the first lists are in the ledger."""
    keepers: Sequence[Keeper] = ()
    status: Status = field(init=False)
    server: Server = field(init=False)

    def known(self, objects: Callable[[], Iterable[object]]) -> int:
        """Number of these objects in the cluster; 0: not known before the first lists are in."""
        return sum(1 for _ in objects()) if self.feed.complete.is_set() else 0


# -- keepers


def _load(parts: Parts) -> LoadKeeper:
    settings, ledger, gate = parts.core.settings, parts.core.ledger, parts.core.gate
    connection = parts.outside.connection
    source = load_source(
        settings, parts.client.get_json, lambda: connection.clock_offset, nodes=lambda: parts.known(ledger.nodes)
    )
    keeper = LoadKeeper(source, settings.load.interval, ledger, parts.telemetry, gate.changed)
    gate.require(lambda: keeper.asked)
    parts.on_first_lists.append(keeper.nodes_known)
    return keeper


def _carbon(parts: Parts) -> CarbonKeeper:
    parts.on_first_lists.append(parts.core.carbon.look)  # before the first decision
    return parts.core.carbon


def _pod_usage(parts: Parts) -> UsageKeeper:
    settings, ledger, connection = parts.core.settings, parts.core.ledger, parts.outside.connection
    source = pod_usage_source(
        settings, parts.client.get_json, lambda: connection.clock_offset, pods=lambda: parts.known(ledger.pods)
    )
    return UsageKeeper(source, settings.pod_usage, ledger, parts.telemetry)


def _measured_power(parts: Parts) -> MeasuredPower:
    core = parts.core
    return MeasuredPower(core.settings, core.ledger, parts.telemetry, parts.feed.complete, core.gate.changed)


def _sensors(parts: Parts) -> SensorKeeper:
    core, connection = parts.core, parts.outside.connection
    sources = sensor_sources(
        core.settings,
        parts.client.get_json,
        lambda: connection.clock_offset,
        nodes=lambda: parts.known(core.ledger.nodes),
        extra=parts.node_configs.sensor_sources if core.settings.predictors.node_configs else (),
    )

    # the cluster names sensors too: they are known after the first look at its NodeConfigs
    known = parts.node_configs.looked
    return SensorKeeper(sources, core.settings.sensors, core.ledger, parts.telemetry, known)


def _overhead(parts: Parts) -> OverheadKeeper:
    keeper = OverheadKeeper(parts.core.settings.power.overhead, parts.core.ledger)
    parts.on_first_lists.append(keeper.look)  # before the first decision
    return keeper


def _predictions(parts: Parts) -> PredictionKeeper:
    settings = parts.core.settings.predictors
    pool, assignments = PredictorPool(settings.timeout), parts.node_configs.assignments
    known = parts.feed.complete
    return PredictionKeeper(settings, parts.core.ledger, assignments, pool, parts.telemetry, known)


KEEPERS: tuple[Callable[[Parts], Keeper], ...] = (
    lambda parts: parts.scheduler,
    lambda parts: parts.feed,
    lambda parts: parts.kinds,
    _load,
    lambda parts: parts.core.models,
    _carbon,
    _pod_usage,
    _measured_power,
    lambda parts: parts.node_configs,
    _sensors,
    _overhead,
    _predictions,
    lambda parts: AnnotationKeeper(parts.core.ledger),
    lambda parts: parts.undecided,
    lambda parts: parts.clock,
    lambda parts: parts.lease,
    lambda parts: parts.rivals,
    lambda parts: parts.audit,
)
"""In the order of their checks on ``/readyz?verbose``."""


# -- everything


def build_core(settings: Settings) -> Core:
    """Raises ConfigurationError or PowerModelError."""
    ledger = Ledger(
        ours=settings.scheduler_name,
        default_cpu=settings.default_pod_cpu,
        expiry=settings.load.expiry,
        seed=zlib.crc32(settings.scheduler_name.encode()),
        ceiling=settings.ceiling,
        ignored=settings.pod_fields.ignore,
        rules=settings.annotation_rules,
    )
    gate = Gate()
    models = ModelKeeper(settings, ledger, gate.changed)
    models.load()
    carbon = CarbonKeeper(settings.carbon.path, ledger)
    carbon.load()
    return Core(settings, any_strategy(settings.strategy), ledger, gate, models, carbon)


def build(core: Core, outside: Outside) -> Parts:
    """Build and connect all parts. Raises ConfigurationError for what shows only when a source is set up."""
    settings, gate, connection = core.settings, core.gate, outside.connection
    name, identity = settings.scheduler_name, unique_identity()
    telemetry = Telemetry(name, lambda: parts.status.sampled(), settings.node_metrics)
    client = KubeClient(connection, name, identity)
    parts = Parts(
        core=core,
        outside=outside,
        telemetry=telemetry,
        client=client,
        events=EventRecorder(client, name, identity, on_drop=telemetry.event_dropped),
        lease=_lease(core, outside, connection.namespace or "kube-system", identity),
        rivals=Rivals(name, telemetry, gate.may_decide),
        clock=ClockKeeper(connection, core.ledger),
    )
    _schedule(parts)
    _watch(parts)
    parts.node_configs = NodeConfigKeeper(settings, client, core.ledger, parts.feed.complete)
    gate.require(parts.feed.complete.is_set)
    gate.require(lambda: parts.lease.leading)
    parts.keepers = [make(parts) for make in KEEPERS]
    _open_to_others(parts)
    return parts


def _schedule(parts: Parts) -> None:
    """What decides and binds."""
    context = Context(
        settings=parts.core.settings,
        ledger=parts.core.ledger,
        queue=SchedulingQueue(),
        client=parts.client,
        limiter=Limiter(WORKERS),
        events=parts.events,
        telemetry=parts.telemetry,
        may_decide=parts.core.gate.may_decide,
        may_write=parts.lease.may_write,
        bound_by_another=parts.rivals.bound_by_another,
    )
    parts.scheduler = Scheduler(context, parts.core.strategy, parts.outside.heartbeat)
    parts.undecided = UndecidedPods(parts.scheduler)


def _watch(parts: Parts) -> None:
    """What feeds the ledger, and audits it."""
    ledger, client, scheduler, connection = parts.core.ledger, parts.client, parts.scheduler, parts.outside.connection
    parts.kinds = KindKeeper(client, ledger, lambda: _kinds_changed(parts), lambda: parts.feed.restart("kinds"))
    parts.observer = observer = Observer(
        ledger, parts.telemetry, time.time, scheduler.pod_changed, scheduler.node_changed, scheduler.kind_changed
    )
    parts.feed = Feed(
        observer,
        connection,
        parts.telemetry,
        parts.core.settings.scheduler_name,
        parts.kinds.fed_now,
        lambda kind: parts.kinds.completed((kind,)),
        lambda: _first_lists_in(parts),
        refused=parts.kinds.ask_soon,
        on_start=parts.outside.on_kopf_start,
    )
    connection.on_malformed = parts.feed.odd
    parts.audit = Audit(ledger, client, parts.feed, observer, parts.telemetry, unseen=parts.undecided.unseen)


def _lease(core: Core, outside: Outside, namespace: str, identity: str) -> LeaseKeeper:
    settings = core.settings
    elector = LeaderElector(
        KubeClient(outside.lease_connection, settings.scheduler_name, identity),
        namespace,
        settings.leader_election.name,
        identity,
        on_change=lambda leading: outside.background.tell(core.gate.leader_changed),
        worthy=lambda: outside.heartbeat.alive,
    )
    return LeaseKeeper(elector, outside.background, settings.leader_election.enabled)


def _open_to_others(parts: Parts) -> None:
    """What answers probes and scrapes."""
    settings, outside, gate, scheduler = parts.core.settings, parts.outside, parts.core.gate, parts.scheduler
    parts.status = status = Status(
        scheduler,
        parts.feed,
        parts.audit,
        outside.connection.reachability,
        outside.heartbeat,
        outside.background,
        parts.keepers,
    )
    parts.server = Server(
        settings.listen, status.live, status.ready, parts.telemetry.render, partial(redacted, settings)
    )

    def opened() -> None:
        status.publish()
        scheduler.after_binding.announce_recent()

    gate.on_open, gate.on_change = opened, scheduler.load_changed


def _kinds_changed(parts: Parts) -> None:
    if parts.feed.complete.is_set():
        parts.scheduler.kinds_changed()


def _first_lists_in(parts: Parts) -> None:
    # The first lists leave a million objects that stay: the garbage collector need not look at them again. It finds
    # next to nothing among them now, and looking through them takes a tenth of the time that reading them took.
    gc.freeze()
    for call in parts.on_first_lists:
        call()
    parts.core.gate.changed()
