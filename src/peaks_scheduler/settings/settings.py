"""The settings as dataclasses, grouped by subject: unit, default and the reason for it.

``table`` has their names for users and their meaning. The strategy is a name here: ``scheduling`` has the strategies.
Pure.
"""

import math
from dataclasses import dataclass, field

from peaks_scheduler.objects.annotations import AnnotationRules
from peaks_scheduler.objects.ceilings import Ceiling
from peaks_scheduler.power.cooling import CoolingTable
from peaks_scheduler.power.models import EMPTY, PowerModels
from peaks_scheduler.scheduling.decision import Detail

from .http_headers import Header
from .predictors import PredictorSettings
from .promql_matchers import EVERYTHING, Matchers
from .sensors import SensorSettings
from .values import USAGE_SOURCES, Listen


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """Where the load of the nodes comes from."""

    source: str = "load-watcher"
    """``load-watcher``, ``metrics-server`` or ``prometheus``."""
    address: str | None = "http://load-watcher.kube-system.svc:2020"
    """URL without a path. None for metrics-server, which is asked through the API server. For Prometheus the default is
    ``prometheus.address``."""
    interval: float = 15.0
    """[s] from one fetch to the next. load-watcher's averages change once a minute."""
    timeout: float = 10.0
    """[s] until a fetch is given up. Shorter than load-watcher's own 55 s: the next fetch comes soon."""
    expiry: float = 300.0
    """[s] from the end of a load's window until the load is stale and the node is estimated."""
    window: float = 300.0
    """[s] over which Prometheus averages. With ``cpu_query``: over which that query averages. Other sources report
    their own window."""
    cpu_query: str | None = None
    """PromQL for the CPU use of every node; None: the series of node_exporter, then of Kepler."""
    memory_query: str | None = None
    """PromQL for the bytes of memory in use; None: the series of node_exporter."""
    cpu_unit: str = "ratio"
    """Unit of ``cpu_query``: ``ratio`` 0..1, ``percent`` 0..100 or ``cores``."""
    node_label: str | None = None
    """The only label that names the node of a load series; None: ``prometheus.node_label`` and the usual labels are
    tried."""


@dataclass(frozen=True, slots=True)
class PrometheusSettings:
    """How to query Prometheus, for load and for anything else. Secrets stay in files, which are read at each
    request."""

    address: str | None = None
    """URL without ``/api/v1``; None: no Prometheus. Where the load comes from Prometheus, the default is
    ``load.address``."""
    token_file: str | None = None
    """File with a bearer token."""
    ca_file: str | None = None
    """PEM file with the certificates to trust; None: the system's."""
    username: str | None = None
    """User for basic authentication, with ``password_file``."""
    password_file: str | None = None
    insecure_skip_verify: bool = False
    """Trust any certificate."""
    headers: tuple[Header, ...] = ()
    """HTTP headers of every request, for example the tenant of a Mimir."""
    match: Matchers = EVERYTHING
    """Which series are ours, where one Prometheus has several clusters or replicas; goes into every query of ours."""
    node_label: str | None = None
    """Label that names a series' node; tried before the usual labels."""
    timeout: float = 30.0
    """[s] for one query. Queries for load have ``load.timeout``."""


@dataclass(frozen=True, slots=True)
class PodUsageSettings:
    """How the CPU use of a pod is estimated from its siblings: the pods of the same owner with the same images."""

    source: str = "auto"
    """``metrics-server``, ``prometheus`` or ``none``; ``auto``: the load source, where it is one of the first two."""
    percentile: float = 90.0
    """Percentile of the siblings' use, 0..100. Above the average: too low an estimate overfills a node."""
    warm_up: float = 120.0
    """[s] that a sibling must have run before its use counts: a start is not typical."""
    min_samples: int = 10
    """Fewest observations for an estimate; with fewer, requests count. One pod can give all of them: a Deployment of
    one replica has no other. Ten observations are ten minutes."""
    interval: float = 60.0
    """[s] from one fetch to the next."""
    keep: float = 86400.0
    """[s] for which an observation counts. A day contains every hour."""


@dataclass(frozen=True, slots=True)
class RefitSettings:
    """Learning the power models again while running, from Prometheus."""

    enabled: bool = False
    """Off: models change only with their file."""
    interval: float = 3600.0
    """[s] from one round over all nodes to the next."""
    range: float = 86400.0
    """[s] of the past that a model is learned from and judged on. A day contains every hour."""
    step: float = 60.0
    """[s] over which a sample is averaged."""
    hold_out: float = 0.2
    """Newest share of the range. No model is learned from it; the old and the new model are judged on it."""
    margin: float = 0.05
    """Share by which the new model's error must be smaller than the old one's. Larger than what chance does with a few
    hundred samples."""
    power_query: str | None = None
    """PromQL for the power of every node, in W or as ``..._joules_total``; None: the series of Kepler, IPMI or
    Scaphandre."""
    cpu_query: str | None = None
    """PromQL for the CPU use of every node as a ratio; None: the series of node_exporter, then of Kepler."""


@dataclass(frozen=True, slots=True)
class DriftSettings:
    """Comparing measured with predicted power, where there is a Prometheus."""

    enabled: bool = True
    interval: float = 300.0
    """[s] from one comparison to the next."""


@dataclass(frozen=True, slots=True)
class PowerSettings:
    """Where the power models of the nodes come from."""

    file: str | None = None
    """Power model file, read again when it changes; None: only ``inline``."""
    inline: PowerModels = EMPTY
    """``nodePowerModel`` of a KubeSchedulerConfiguration; not used where there is a file."""
    overhead: float | CoolingTable | None = None
    """Cooling and supply on top of a node's watts; None: the nodes' own watts count alone."""


@dataclass(frozen=True, slots=True)
class CarbonSettings:
    """Where the carbon intensity of the grid comes from."""

    path: str | None = None
    """CSV file of times, regions and gCO2/kWh; None: it is not known, and no strategy may need it."""


@dataclass(frozen=True, slots=True)
class PodFields:
    """How to treat the fields of pods."""

    ignore: frozenset[str] = frozenset()
    """Paths of unknown fields that are passed over (``spec.newField``). A pod with any other unknown field is
    refused."""


@dataclass(frozen=True, slots=True)
class LeaderElection:
    """Which of several replicas works."""

    enabled: bool = True
    """Off for a single process outside a cluster, which then needs no Lease."""
    name: str = ""
    """Name of the Lease; empty until ``load_settings`` sets it to ``default_lease_name``."""


def default_lease_name(scheduler_name: str) -> str:
    """``peaks-scheduler-<schedulerName in lower case>``: the Lease of a scheduler whose settings name none."""
    return f"peaks-scheduler-{scheduler_name.lower()}"


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, by subject."""

    scheduler_name: str = "Peaks"
    """Pods with this ``spec.schedulerName`` are ours."""
    strategy: str = "peaks"
    """Name of the strategy; the caller looks it up."""
    batch_wait: float = 1.0
    """[s] that the first pod of a batch waits for others, with a strategy that decides over batches."""
    load: LoadSettings = field(default_factory=LoadSettings)
    prometheus: PrometheusSettings = field(default_factory=PrometheusSettings)
    power: PowerSettings = field(default_factory=PowerSettings)
    pod_usage: PodUsageSettings = field(default_factory=PodUsageSettings)
    refit: RefitSettings = field(default_factory=RefitSettings)
    drift: DriftSettings = field(default_factory=DriftSettings)
    carbon: CarbonSettings = field(default_factory=CarbonSettings)
    sensors: SensorSettings = field(default_factory=SensorSettings)
    predictors: PredictorSettings = field(default_factory=PredictorSettings)
    default_pod_cpu: int = 100
    """[millicores] Estimated use of a pod with neither request nor limit; the same as kube-scheduler's."""
    tolerance_watts: float = 0.0
    """[W] Jumps above the least by no more than this are tied; preferences decide among them."""
    ceiling: Ceiling = field(default_factory=lambda: Ceiling(cpu=0.8, memory=0.9))
    """Predicted use above which a node ranks behind nodes below, where neither the node nor the pod has its own
    ceiling. Other load-aware schedulers stop at 65 to 80 % of the CPUs. Memory needs less room: CPU needs it for
    latency."""
    max_tolerance_watts: float = math.inf
    """[W] Upper limit for a pod's annotation. None by default: a tenant can waste watts only with its own pods."""
    max_ceiling: Ceiling = field(default_factory=lambda: Ceiling(cpu=1.0, memory=1.0))
    """Upper limit for a pod's annotation. Where tenants share nodes, set it to ``ceiling``."""
    decision_annotation: Detail = "full"
    """What the annotation says to readers of the pod: ``full``, ``short`` (nothing of other nodes or of use) or
    ``none``."""
    volume_bind_timeout: float = 600.0
    """[s] that a pod waits for the volumes of its node; then it is scheduled again. kube-scheduler's default."""
    pod_fields: PodFields = field(default_factory=PodFields)
    listen: Listen = field(default_factory=Listen)
    log_format: str = "json"
    """``json`` or ``text``."""
    leader_election: LeaderElection = field(default_factory=LeaderElection)
    kubeconfig: str | None = None
    """Kubeconfig file; None: the service account inside a pod, else the usual kubeconfig."""
    context: str | None = None
    """Context of the kubeconfig; None: its current one. Given, the kubeconfig is used inside a pod too."""
    node_metrics: bool = False
    """Export series per node. Off: 5,000 nodes are many series."""

    @property
    def annotation_rules(self) -> AnnotationRules:
        """Limits for the annotations of pods."""
        unrecorded = self.scheduler_name if self.decision_annotation == "none" else ""
        return AnnotationRules(self.max_tolerance_watts, self.max_ceiling, unrecorded)

    @property
    def usage_source(self) -> str | None:
        """Where the use of pods comes from: ``metrics-server`` or ``prometheus``; None: from nowhere."""
        source = self.load.source if self.pod_usage.source == "auto" else self.pod_usage.source
        return source if source in USAGE_SOURCES else None
