"""The table of settings: each setting has its names, type of value and meaning in one row.

The parser of file, environment and command line (``loading``), the options of the commands (``options``), ``/configz``
(``redacted``) and the reference in ``docs/configuration.md`` (``tools/settings_reference.py``) are made from it. The
defaults are those of the dataclasses in ``settings``. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from .settings import Settings
from .value_types import (
    CEILING,
    CPU,
    CPU_TEMPERATURE,
    CPU_UNIT,
    DETAIL,
    DURATION,
    ENDPOINT,
    FIELD_PATHS,
    FILE,
    HEADERS,
    IPMI_EXPORTER,
    LABEL,
    LABEL_KEY,
    LEASE_NAME,
    LISTEN,
    LOAD_SOURCE,
    LOAD_URL,
    LOG_FORMAT,
    MATCHERS,
    NAME,
    OVERHEAD,
    PERCENTILE,
    PROMETHEUS_URL,
    PROMQL,
    SAMPLES,
    SERVERS,
    SHARE,
    SIGNAL_METRICS,
    SIGNAL_QUERIES,
    SIGNAL_VALUES,
    STEP,
    SWITCH,
    USAGE_SOURCE,
    WATTS,
    ValueType,
)


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting."""

    path: str
    """Key in the file: ``load.address``."""
    attribute: str
    """Attribute of ``Settings``: ``load.address``."""
    value_type: ValueType
    flag: str
    """Option of the command line: ``--load-address``, or ``--refit/--no-refit``; empty: none."""
    meaning: str
    """One sentence, for the reference and for the help of the command line. `` ` `` marks names."""
    details: str = ""
    """More sentences in Markdown, for the reference alone."""

    @property
    def subject(self) -> str:
        """The group of ``Settings`` that the setting is in; empty: ``Settings`` itself."""
        return self.attribute.rpartition(".")[0]

    @property
    def name(self) -> str:
        """The setting's attribute in its group."""
        return self.attribute.rpartition(".")[2]

    @property
    def parameter(self) -> str:
        """Name of the option's value in Python: ``load_address``; empty: no option."""
        return self.flag.partition("/")[0].removeprefix("--").replace("-", "_")

    @property
    def variable(self) -> str:
        """Environment variable: ``PEAKS_LOAD_ADDRESS``; empty: none."""
        return f"PEAKS_{self.parameter.upper()}" if self.flag else ""

    def value(self, settings: Settings) -> Any:
        """The setting's value in ``settings``."""
        return attrgetter(self.attribute)(settings)

    def shown(self, settings: Settings) -> Any:
        """The value as the file would have it, passwords masked; None: not set."""
        value = self.value(settings)
        return None if value is None else self.value_type.show(value)


# fmt: off
TABLE = (
    #       key in the file          attribute of Settings        value           option
    Setting("schedulerName",         "scheduler_name",            NAME,           "--scheduler-name",
            "Pods with this `spec.schedulerName` are ours."),
    Setting("strategy",              "strategy",                  NAME,           "",
            "What a placement minimises.",
            "`peaks` (the same as `envelope`), or another one of the [strategies](strategies.md)."),
    Setting("batchWait",             "batch_wait",                DURATION,       "",
            "Longest time that a pod waits for others, with a strategy that decides over batches.",
            "`min-min`, `max-min` and `ecsched` do; all others ignore it. At most 10s."),
    Setting("load.source",           "load.source",               LOAD_SOURCE,    "--load-source",
            "Where the load of the nodes comes from.",
            "[Load](#load) compares them."),
    Setting("load.address",          "load.address",              LOAD_URL,       "--load-address",
            "URL of the load source, without a path.",
            "A user and a password in it are used and never shown. With `prometheus` the default is "
            "`prometheus.address`. `metrics-server` has no address: it is asked through the API server."),
    Setting("load.interval",         "load.interval",             DURATION,       "",
            "Time from one fetch to the next."),
    Setting("load.timeout",          "load.timeout",              DURATION,       "",
            "A fetch that takes longer is given up."),
    Setting("load.expiry",           "load.expiry",               DURATION,       "",
            "A node's load is stale when its window ended longer ago than this.",
            "The use of that node is then estimated."),
    Setting("load.window",           "load.window",               DURATION,       "",
            "Prometheus: time over which the load is averaged.",
            "At least twice the interval of the scrapes."),
    Setting("load.cpuQuery",         "load.cpu_query",            PROMQL,         "",
            "Prometheus: query for the CPU use of every node, one series a node.",
            "Default: what node_exporter and Kepler export."),
    Setting("load.memoryQuery",      "load.memory_query",         PROMQL,         "",
            "Prometheus: query for the bytes of memory in use on every node.",
            "Default: what node_exporter exports."),
    Setting("load.cpuUnit",          "load.cpu_unit",             CPU_UNIT,       "",
            "Unit of the values of `load.cpuQuery`.",
            "A `ratio` is from 0 to 1, a `percent` from 0 to 100."),
    Setting("load.nodeLabel",        "load.node_label",           LABEL,          "",
            "Prometheus: the only label that names the node of a load series.",
            "Default: the first of `prometheus.nodeLabel`, `node`, `node_name`, `nodename`, `kubernetes_node` and "
            "`instance` that the series has."),
    Setting("prometheus.address",    "prometheus.address",        PROMETHEUS_URL, "",
            "URL of a Prometheus (or Thanos, Mimir, VictoriaMetrics), without `/api/v1`.",
            "Default: `load.address`, where the load comes from Prometheus."),
    Setting("prometheus.tokenFile",  "prometheus.token_file",     FILE,           "",
            "File with a bearer token, read at each request."),
    Setting("prometheus.caFile",     "prometheus.ca_file",        FILE,           "",
            "File with the certificates (PEM) to trust in place of the system's, read at the start."),
    Setting("prometheus.username",   "prometheus.username",       NAME,           "",
            "User for basic authentication."),
    Setting("prometheus.passwordFile", "prometheus.password_file", FILE,          "",
            "File with the user's password, read at each request."),
    Setting("prometheus.insecureSkipVerify", "prometheus.insecure_skip_verify", SWITCH, "",
            "Trust any certificate."),
    Setting("prometheus.headers",    "prometheus.headers",        HEADERS,        "",
            "HTTP headers to send with every request, by name.",
            "Each has a value, or `{file: PATH}`: the file is read at each request. `X-Scope-OrgID: team-a` names the "
            "tenant of a Mimir, Cortex or Thanos. Values are never shown."),
    Setting("prometheus.match",      "prometheus.match",          MATCHERS,       "--prometheus-match",
            "Which series of Prometheus are ours, as PromQL writes it between braces: `'cluster=\"a\"'`.",
            "The matchers go into every query of ours: [several clusters](#several-clusters-in-one-prometheus)."),
    Setting("prometheus.nodeLabel",  "prometheus.node_label",     LABEL,          "",
            "Label that names a series' node; it is tried before the usual ones.",
            "For load, learning and drift."),
    Setting("prometheus.timeout",    "prometheus.timeout",        DURATION,       "",
            "A query that takes longer is given up.",
            "Queries for load have `load.timeout`."),
    Setting("podUsage.source",       "pod_usage.source",          USAGE_SOURCE,   "",
            "Where the CPU use of pods comes from.",
            "`auto`: from the load source, where that is `metrics-server` or `prometheus`. "
            "[Estimated use of a pod](#estimated-use-of-a-pod)."),
    Setting("podUsage.percentile",   "pod_usage.percentile",      PERCENTILE,     "",
            "The estimate for a pod is this percentile of its siblings' use."),
    Setting("podUsage.warmUp",       "pod_usage.warm_up",         DURATION,       "",
            "A sibling's use counts when the sibling has run for this time."),
    Setting("podUsage.minSamples",   "pod_usage.min_samples",     SAMPLES,        "",
            "Fewest observations for an estimate; with fewer, the pod's request counts."),
    Setting("podUsage.interval",     "pod_usage.interval",        DURATION,       "",
            "Time from one fetch of the pods' use to the next."),
    Setting("podUsage.keep",         "pod_usage.keep",            DURATION,       "",
            "An observation counts for this time."),
    Setting("refit.enabled",         "refit.enabled",             SWITCH,         "--refit/--no-refit",
            "Learn the power models again while running, from what Prometheus has measured.",
            "[Learning while running](#learning-while-running)."),
    Setting("refit.interval",        "refit.interval",            DURATION,       "",
            "Time from one round over all nodes to the next."),
    Setting("refit.range",           "refit.range",               DURATION,       "",
            "The past that a model is learned from and judged on."),
    Setting("refit.step",            "refit.step",                DURATION,       "",
            "Time over which one sample is averaged."),
    Setting("refit.holdOut",         "refit.hold_out",            SHARE,          "",
            "Newest part of the range: no model is learned from it, the old and the new model are judged on it."),
    Setting("refit.margin",          "refit.margin",              SHARE,          "",
            "The new model's error must be smaller than the old one's by this share."),
    Setting("refit.powerQuery",      "refit.power_query",         PROMQL,         "",
            "Query for the power of every node, in watts or as a counter `..._joules_total`; also for drift.",
            "Default: what Kepler, IPMI or Scaphandre export."),
    Setting("refit.cpuQuery",        "refit.cpu_query",           PROMQL,         "",
            "Query for the CPU use of every node as a ratio; also for drift.",
            "Default: what node_exporter and Kepler export."),
    Setting("drift.enabled",         "drift.enabled",             SWITCH,         "",
            "Compare measured with predicted power, where there is a `prometheus.address`.",
            "It changes [telemetry](operations.md#telemetry) and nothing else."),
    Setting("drift.interval",        "drift.interval",            DURATION,       "",
            "Time from one comparison to the next."),
    Setting("powerModels",           "power.file",                FILE,           "--power-models",
            "Power model file, YAML or JSON; read again when it changes.",
            "[Power models](power-models.md)."),
    Setting("carbon.path",           "carbon.path",               FILE,           "",
            "CSV file with the carbon intensity of the grid; read again when it changes.",
            "For strategy [`carbon`](strategies.md#carbon), which cannot do without."),
    Setting("power.overhead",        "power.overhead",            OVERHEAD,       "",
            "Cooling and supply on top of a node's own watts.",
            "[Cooling](temperature.md#cooling). Default: none, the node's own watts count alone."),
    Setting("sensors.values",        "sensors.values",            SIGNAL_VALUES,  "",
            "Constant values of signals, by node.",
            "`{worker-1: {inlet: 25.0, deltaP: 7.5}}`. [Sensors](temperature.md#sensors) says which source counts."),
    Setting("sensors.queries",       "sensors.queries",           SIGNAL_QUERIES, "",
            "Query to Prometheus for each signal, one series a node."),
    Setting("sensors.ipmiExporter",  "sensors.ipmi_exporter",     IPMI_EXPORTER,  "",
            "Scrape ipmi_exporter at every node.",
            "`{}` for the usual port 9290 and names; `names` has the names of the sensors by signal."),
    Setting("sensors.redfish",       "sensors.redfish",           ENDPOINT,       "",
            "Ask every node's BMC for its inlet temperature.",
            "`{url: 'https://bmc-{hostname}', username: .., passwordFile: ..}`."),
    Setting("sensors.differentialPressure", "sensors.differential_pressure", ENDPOINT, "",
            "WAO's API of differential pressure."),
    Setting("sensors.customMetrics", "sensors.custom_metrics",    SIGNAL_METRICS, "",
            "Metric of `custom.metrics.k8s.io` for each signal.",
            "WAO's adapter has `{inlet: inlet_temp, deltaP: delta_p}`."),
    Setting("sensors.interval",      "sensors.interval",          DURATION,       "",
            "Time from one reading of the sensors to the next."),
    Setting("sensors.timeout",       "sensors.timeout",           DURATION,       "",
            "A server of sensors that takes longer is given up."),
    Setting("sensors.expiry",        "sensors.expiry",            DURATION,       "",
            "A value counts for this time."),
    Setting("sensors.neighbours",    "sensors.neighbours",        LABEL_KEY,      "",
            "Label of nodes that share their air.",
            "An inlet temperature far from that of its neighbours does not count."),
    Setting("predictors.servers",    "predictors.servers",        SERVERS,        "",
            "Inference servers that predict the power of nodes.",
            "[Predictors](temperature.md#predictors). They count before what the cluster itself says."),
    Setting("predictors.nodeLabels", "predictors.node_labels",    SWITCH,         "",
            "Read the node labels of WAO 1, `tensorflow/host` and its kin."),
    Setting("predictors.nodeConfigs", "predictors.node_configs",  SWITCH,         "",
            "Read NodeConfig and NodeConfigTemplate of WAO 2, where the cluster has them."),
    Setting("predictors.nodeConfigCaFile", "predictors.node_config_ca_file", FILE, "",
            "PEM file of the certificates to trust at the servers that NodeConfigs name.",
            "WAO verifies none of them; here they are verified, against the usual authorities by default."),
    Setting("predictors.nodeConfigInsecureSkipVerify", "predictors.node_config_insecure_skip_verify", SWITCH, "",
            "Accept any certificate of the servers that NodeConfigs name.",
            "Whoever is between the scheduler and a BMC can then read its password."),
    Setting("predictors.refresh",    "predictors.refresh",        DURATION,       "",
            "Time from one prediction of all nodes to the next."),
    Setting("predictors.step",       "predictors.step",           STEP,           "",
            "A signal that moved by more than this asks anew at once.",
            "In the unit of the signal."),
    Setting("predictors.expiry",     "predictors.expiry",         DURATION,       "",
            "A prediction counts for this time; then the learned model or the file's counts again."),
    Setting("predictors.timeout",    "predictors.timeout",        DURATION,       "",
            "A request to an inference server that takes longer is given up."),
    Setting("predictors.cpuTemperature", "predictors.cpu_temperature", CPU_TEMPERATURE, "",
            "What the temperatures of CPUs are at other loads than the present one.",
            "`hold`: as now. `follow`: above the inlet they rise with the node's power."),
    Setting("defaultPodCpu",         "default_pod_cpu",           CPU,            "",
            "Estimated CPU use of a pod that has neither a CPU request nor a limit."),
    Setting("toleranceWatts",        "tolerance_watts",           WATTS,          "",
            "Nodes whose jump is above the least by no more than this are tied: [preferences](#preferences) decide."),
    Setting("maxToleranceWatts",     "max_tolerance_watts",       WATTS,          "",
            "Upper limit for a pod's annotation [`tolerance-watts`](#preferences)."),
    Setting("ceiling.cpu",           "ceiling.cpu",               CEILING,        "",
            "A node that a pod would lift above this share of its CPUs is used only when no node below is left.",
            "[Headroom](#headroom). `100%`: no ceiling."),
    Setting("ceiling.memory",        "ceiling.memory",            CEILING,        "",
            "The same for the node's memory, as measured."),
    Setting("ceiling.maxCpu",        "max_ceiling.cpu",           CEILING,        "",
            "Upper limit for the CPU in a pod's annotation [`ceiling`](#headroom).",
            "It does not limit a node's own annotation."),
    Setting("ceiling.maxMemory",     "max_ceiling.memory",        CEILING,        "",
            "The same for memory."),
    Setting("decisionAnnotation",    "decision_annotation",       DETAIL,         "",
            "How much the annotation `peaks-scheduler/decision` tells the readers of a pod.",
            "[The decision annotation](#the-decision-annotation)."),
    Setting("volumeBindTimeout",     "volume_bind_timeout",       DURATION,       "",
            "Longest time that a pod waits until the volumes for its chosen node are bound.",
            "Then the pod is scheduled again, on that node only if there is no other."),
    Setting("podFields.ignore",      "pod_fields.ignore",         FIELD_PATHS,    "",
            "Pod fields to pass over that this version does not know: `[spec.newField]`.",
            "A pod with any other unknown field is refused. Fields that are known to constrain placement "
            "(`spec.resourceClaims`, `spec.schedulingGroup`) cannot be ignored."),
    Setting("listen",                "listen",                    LISTEN,         "--listen",
            "Where `/livez`, `/readyz`, `/metrics` and `/configz` are served.",
            "`[::]`, `*` or no host: all addresses of both families. Port 0: any free one."),
    Setting("logFormat",             "log_format",                LOG_FORMAT,     "--log-format",
            "Format of the log on stderr, one line a record."),
    Setting("leaderElection.enabled", "leader_election.enabled",  SWITCH,         "--leader-elect/--no-leader-elect",
            "Elect a leader, so that only one of several replicas works.",
            "Off is safe only for a process that is certainly the only one."),
    Setting("leaderElection.name",   "leader_election.name",      LEASE_NAME,     "",
            "Name of the Lease, in our own namespace (outside a pod: `kube-system`).",
            "Default: `peaks-scheduler-` and the scheduler's name in lower case. Another name needs its rights in "
            "`manifests/rbac.yaml`."),
    Setting("kubeconfig",            "kubeconfig",                FILE,           "--kubeconfig",
            "Kubeconfig with the credentials; default: the service account in a pod, else `~/.kube/config`.",
            "Given, it is used inside a pod too. [Credentials](credentials.md) says which parts of it are read."),
    Setting("context",               "context",                   NAME,           "--context",
            "Context of the kubeconfig; default: its current one.",
            "Given, the kubeconfig is used inside a pod too. With an unknown name the start fails and lists the known "
            "ones."),
    Setting("nodeMetrics",           "node_metrics",              SWITCH,         "--node-metrics",
            "Export series per node."),
)
# fmt: on
BY_PATH = {setting.path: setting for setting in TABLE}
BY_VARIABLE = {setting.variable: setting for setting in TABLE if setting.variable}


def redacted(settings: Settings) -> dict[str, Any]:
    """The settings as the file would have them, for ``/configz``: passwords and header values are masked."""
    tree: dict[str, Any] = {}
    for setting in TABLE:
        *parents, key = setting.path.split(".")
        mapping = tree
        for parent in parents:
            mapping = mapping.setdefault(parent, {})
        mapping[key] = setting.shown(settings)
    tree["nodePowerModel"] = sorted(settings.power.inline.by_name)
    return tree
