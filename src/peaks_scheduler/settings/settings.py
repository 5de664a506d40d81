"""The settings by subject, each with its unit and its default's reason.

Keeps the strategy's name as text: the table of strategies knows which there are. Pure.
"""

import math
from dataclasses import dataclass, field

from peaks_scheduler.objects.annotations import AnnotationRules
from peaks_scheduler.objects.ceilings import Ceiling
from peaks_scheduler.power.models import EMPTY, PowerModels
from peaks_scheduler.scheduling.decision import Detail

from .http_headers import Header
from .promql_matchers import EVERYTHING, Matchers
from .values import USAGE_SOURCES, Listen


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """Where the nodes' load comes from."""

    source: str = "load-watcher"
    """Kind of the source: ``load-watcher``, ``metrics-server`` or ``prometheus``."""
    address: str | None = "http://load-watcher.kube-system.svc:2020"
    """Its URL, without a path. None for metrics-server, which the API server finds; where the source is Prometheus and
    none is given it is ``prometheus.address``."""
    interval: float = 15.0
    """[s] from one fetch to the next; load-watcher's own averages change once a minute."""
    timeout: float = 10.0
    """[s] after which a fetch is given up; shorter than load-watcher's own 55 s, since the next one comes soon."""
    expiry: float = 300.0
    """[s] after its window's end a load is stale and the node is estimated."""
    window: float = 300.0
    """[s] that Prometheus averages over; of ``cpu_query`` what that query itself averages over. The other sources say
    theirs."""
    cpu_query: str | None = None
    """PromQL for the CPU use of every node; None: what node_exporter, then Kepler tells."""
    memory_query: str | None = None
    """PromQL for the bytes of memory in use; None: what node_exporter tells."""
    cpu_unit: str = "ratio"
    """What ``cpu_query`` gives: ``ratio`` 0..1, ``percent`` 0..100 or ``cores``."""
    node_label: str | None = None
    """The label that alone names a series' node, for load; None: ``prometheus.node_label``, then node, node_name,
    nodename, kubernetes_node or instance, the first there is."""


@dataclass(frozen=True, slots=True)
class PrometheusSettings:
    """How Prometheus is asked, for load or for anything else. Secrets stay in files, which are read at each request."""

    address: str | None = None
    """Its URL, without ``/api/v1``; None: not asked. Where the load comes from Prometheus, ``load.address`` unless
    given."""
    token_file: str | None = None
    """Holds a bearer token."""
    ca_file: str | None = None
    """Certificates to trust instead of the usual ones, PEM."""
    username: str | None = None
    """For basic authentication, with ``password_file``."""
    password_file: str | None = None
    insecure_skip_verify: bool = False
    """Trust any certificate."""
    headers: tuple[Header, ...] = ()
    """Sent with every request: the tenant of a Mimir, say."""
    match: Matchers = EVERYTHING
    """Which series are ours, where several clusters or replicas are in one Prometheus; goes into every query of
    ours."""
    node_label: str | None = None
    """The label that names a series' node before the usual ones do."""
    timeout: float = 30.0
    """[s] for one question; those for load have ``load.timeout``."""


@dataclass(frozen=True, slots=True)
class PodUsageSettings:
    """What a pod is taken to use: how that is learnt from its siblings, the pods of one owner and the same images."""

    source: str = "auto"
    """``metrics-server``, ``prometheus``, ``none``; ``auto``: the load source where it is one of the first two."""
    percentile: float = 90.0
    """Of the siblings' use, 0..100: above the average, since too low a guess overfills a node."""
    warm_up: float = 120.0
    """[s] that a sibling must have run before what it uses counts: starting is not what it will do all day."""
    min_samples: int = 10
    """Observations without which requests count. One pod is enough to give them: that of a Deployment of one replica is
    the only one to tell what the next will use; ten are ten minutes of it."""
    interval: float = 60.0
    """[s] from one fetch to the next."""
    keep: float = 86400.0
    """[s] for which an observation counts: a day has every hour in it."""


@dataclass(frozen=True, slots=True)
class RefitSettings:
    """Learning the power models anew while running, out of Prometheus."""

    enabled: bool = False
    """Off: a model changes when its file does, and nothing else."""
    interval: float = 3600.0
    """[s] from one round over all nodes to the next."""
    range: float = 86400.0
    """[s] of the past that a model is learned from and judged on: a day has every hour in it."""
    step: float = 60.0
    """[s] that a sample is a mean over."""
    hold_out: float = 0.2
    """Share of the range, the newest part of it, that nothing is learned from: old and new model are judged on it."""
    margin: float = 0.05
    """Share by which the new model's error there must be smaller than the old one's; above what chance does with a few
    hundred samples."""
    power_query: str | None = None
    """PromQL for the power of every node, W or ``..._joules_total``; None: what Kepler, IPMI or Scaphandre tell."""
    cpu_query: str | None = None
    """PromQL for the CPU use of every node as a ratio; None: what node_exporter, then Kepler tells."""


@dataclass(frozen=True, slots=True)
class DriftSettings:
    """Comparing measured with predicted power, where there is a Prometheus to ask."""

    enabled: bool = True
    interval: float = 300.0
    """[s] from one comparison to the next; each is of the mean over the last two intervals."""


@dataclass(frozen=True, slots=True)
class PowerSettings:
    """Where the nodes' power models come from."""

    file: str | None = None
    """Power model file; read again when it changes. None: ``inline`` is all there is."""
    inline: PowerModels = EMPTY
    """``nodePowerModel`` of a KubeSchedulerConfiguration; counts where there is no file."""


@dataclass(frozen=True, slots=True)
class PodFields:
    """What to make of fields of pods."""

    ignore: frozenset[str] = frozenset()
    """Paths of fields that this version does not know and that are to be passed over (``spec.newField``); a pod with
    any other unknown field is refused."""


@dataclass(frozen=True, slots=True)
class LeaderElection:
    """Which of several replicas works."""

    enabled: bool = True
    """Off for a single process outside a cluster: it then needs no Lease."""
    name: str = ""
    """Name of the Lease; empty until ``load`` has made it ``peaks-scheduler-<schedulerName in lower case>``."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All of it, by subject."""

    scheduler_name: str = "Peaks"
    """Pods with this ``spec.schedulerName`` are ours."""
    strategy: str = "peaks"
    """What a placement minimises: a name out of the strategies' table, looked up by the caller."""
    load: LoadSettings = field(default_factory=LoadSettings)
    prometheus: PrometheusSettings = field(default_factory=PrometheusSettings)
    power: PowerSettings = field(default_factory=PowerSettings)
    pod_usage: PodUsageSettings = field(default_factory=PodUsageSettings)
    refit: RefitSettings = field(default_factory=RefitSettings)
    drift: DriftSettings = field(default_factory=DriftSettings)
    default_pod_cpu: int = 100
    """[millicores] that a pod with neither request nor limit is taken to use; kube-scheduler assumes the same."""
    tolerance_watts: float = 0.0
    """[W] Jumps that differ from the least by no more count as tied; preferences decide among them."""
    ceiling: Ceiling = field(default_factory=lambda: Ceiling(cpu=0.8, memory=0.9))
    """Predicted use above which a node ranks behind those below, where neither node nor pod has a ceiling of its own.
    Load-aware schedulers stop at 65 to 80 % of the CPUs; memory that runs out ends pods, so it needs less for surprise
    than CPU needs for latency."""
    max_tolerance_watts: float = math.inf
    """[W] A pod's annotation can ask for no more. Without a limit a tenant can only waste watts with its own pods."""
    max_ceiling: Ceiling = field(default_factory=lambda: Ceiling(cpu=1.0, memory=1.0))
    """A pod's annotation can ask for no more. Full by default, as the annotation was meant: whoever lets tenants share
    nodes sets it to ``ceiling``."""
    decision_annotation: Detail = "full"
    """What a pod's owner reads about its placement: ``full``, ``short`` (nothing of other nodes, nor of use) or
    ``none``."""
    volume_bind_timeout: float = 600.0
    """[s] that a pod waits for the volumes of its node to be bound; then it is tried anew. kube-scheduler's default."""
    pod_fields: PodFields = field(default_factory=PodFields)
    listen: Listen = field(default_factory=Listen)
    log_format: str = "json"
    """``json`` or ``text``."""
    leader_election: LeaderElection = field(default_factory=LeaderElection)
    kubeconfig: str | None = None
    """Credentials outside a cluster; None: the service account inside a pod, else the usual kubeconfig."""
    context: str | None = None
    """Context of the kubeconfig; None: its current one. Named, it makes the kubeconfig count inside a pod too."""
    node_metrics: bool = False
    """Export series per node; off, since 5,000 nodes are many series."""

    @property
    def annotation_rules(self) -> AnnotationRules:
        """How pods' annotations are read."""
        unrecorded = self.scheduler_name if self.decision_annotation == "none" else ""
        return AnnotationRules(self.max_tolerance_watts, self.max_ceiling, unrecorded)

    @property
    def usage_source(self) -> str | None:
        """Where pods' use comes from: ``metrics-server``, ``prometheus`` or nowhere."""
        source = self.load.source if self.pod_usage.source == "auto" else self.pod_usage.source
        return source if source in USAGE_SOURCES else None
