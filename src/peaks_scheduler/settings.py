"""What the daemon and the commands can be told, and where: flags, environment, file, in that order of rank.

Owns the names, units, defaults and limits of all settings, and which of them cannot work together. Assumes that the
caller has read the file. Never reads a file, a clock or the process's environment by itself, and keeps the strategy's
name as text: the table of strategies knows which there are.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from peaks_scheduler.documents import nearest, parse_document
from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.plugin_configuration import Given, read_plugin_configuration
from peaks_scheduler.power import EMPTY, PowerModels
from peaks_scheduler.values import (
    USAGE_SOURCES,
    Listen,
    duration_text,
    masked,
    parse_address,
    parse_cpu,
    parse_cpu_unit,
    parse_duration,
    parse_field_paths,
    parse_label,
    parse_lease_name,
    parse_listen,
    parse_log_format,
    parse_percentile,
    parse_prometheus_address,
    parse_samples,
    parse_share,
    parse_source,
    parse_switch,
    parse_text,
    parse_usage_source,
    parse_watts,
    share_text,
    shown,
)

__all__ = [
    "DriftSettings",
    "LeaderElection",
    "Listen",
    "LoadSettings",
    "PodFields",
    "PodUsageSettings",
    "PowerSettings",
    "PrometheusSettings",
    "RefitSettings",
    "Settings",
    "load",
]


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
    """The label that names a series' node; None: node, node_name, nodename, kubernetes_node or instance, the first
    there is."""


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
    volume_bind_timeout: float = 600.0
    """[s] that a pod waits for the volumes of its node to be bound; then it is tried anew. kube-scheduler's default."""
    pod_fields: PodFields = field(default_factory=PodFields)
    listen: Listen = field(default_factory=Listen)
    log_format: str = "json"
    """``json`` or ``text``."""
    leader_election: LeaderElection = field(default_factory=LeaderElection)
    kubeconfig: str | None = None
    """Credentials outside a cluster; None: the service account inside a pod, else the usual kubeconfig."""
    node_metrics: bool = False
    """Export series per node; off, since 5,000 nodes are many series."""

    @property
    def usage_source(self) -> str | None:
        """Where pods' use comes from: ``metrics-server``, ``prometheus`` or nowhere."""
        source = self.load.source if self.pod_usage.source == "auto" else self.pod_usage.source
        return source if source in USAGE_SOURCES else None

    def redacted(self) -> dict[str, Any]:
        """The settings as the file would have them, for people to look at: no user or password of a URL is in it."""
        whole: dict[str, Any] = {}
        for key in _KEYS:
            value = getattr(getattr(self, key.group) if key.group else self, key.name)
            where = whole
            *parents, last = key.path.split(".")
            for parent in parents:
                where = where.setdefault(parent, {})
            where[last] = None if value is None else key.show(value)
        whole["nodePowerModel"] = sorted(self.power.inline.by_name)
        return whole


def load(
    file_text: str | None, file_name: str, env: Mapping[str, str], flags: Mapping[str, object]
) -> tuple[Settings, tuple[str, ...]]:
    """The settings out of a configuration file's text (None: no file), the environment and the command line's options.

    ``flags`` holds options by parameter name (``load_address``), None where not given. An option beats the environment
    (``PEAKS_LOAD_ADDRESS``; empty is not given), which beats the file; ``NODE_POWER_MODEL`` names a power model file
    where nothing else does. Returns the settings and warnings for people. Raises ConfigurationError that names the key,
    option or variable.
    """
    warnings = _misspelt(env)
    document = parse_document(file_text, file_name) if file_text is not None else None
    if document is not None and not isinstance(document, dict):
        raise ConfigurationError(f"{file_name}: expected a mapping of settings; got {shown(document)}")
    if document and document.get("kind") == "KubeSchedulerConfiguration":
        given, inline = read_plugin_configuration(document, file_name, warnings)
    else:
        given, inline = _flat(document or {}, file_name, ""), EMPTY
    if env.get("NODE_POWER_MODEL"):
        given.setdefault("powerModels", (env["NODE_POWER_MODEL"], "NODE_POWER_MODEL"))
    given |= _overrides(env, flags)
    settings = _build(given)
    warnings += _unused(settings, given)
    if inline != EMPTY and settings.power.file is not None:
        warnings.append(
            f"{file_name}: nodePowerModel is not used: the power model file {settings.power.file} counts instead"
        )
    if settings.load.expiry < settings.load.interval:
        warnings.append(
            f"load.expiry {duration_text(settings.load.expiry)} is shorter than load.interval "
            f"{duration_text(settings.load.interval)}: every node is estimated some of the time"
        )
    return replace(settings, power=replace(settings.power, inline=inline)), tuple(warnings)


@dataclass(frozen=True, slots=True)
class _Key:
    """One setting: where the file, the command line and the dataclasses have it, how it is read and shown."""

    path: str
    group: str
    name: str
    read: Callable[[Any], Any]
    show: Callable[[Any], Any] = lambda value: value
    option: str = ""


# fmt: off
_KEYS = (
    #    in the file               attribute of Settings                 read              show         option
    _Key("schedulerName",          "",                "scheduler_name",  parse_text,       option="scheduler-name"),
    _Key("strategy",               "",                "strategy",        parse_text),
    _Key("load.source",            "load",            "source",          parse_source,     option="load-source"),
    _Key("load.address",           "load",            "address",         parse_address,    masked,      "load-address"),
    _Key("load.interval",          "load",            "interval",        parse_duration,   duration_text),
    _Key("load.timeout",           "load",            "timeout",         parse_duration,   duration_text),
    _Key("load.expiry",            "load",            "expiry",          parse_duration,   duration_text),
    _Key("load.window",            "load",            "window",          parse_duration,   duration_text),
    _Key("load.cpuQuery",          "load",            "cpu_query",       parse_text),
    _Key("load.memoryQuery",       "load",            "memory_query",    parse_text),
    _Key("load.cpuUnit",           "load",            "cpu_unit",        parse_cpu_unit),
    _Key("load.nodeLabel",         "load",            "node_label",      parse_label),
    _Key("prometheus.address",     "prometheus",      "address",         parse_prometheus_address, masked),
    _Key("prometheus.tokenFile",   "prometheus",      "token_file",      parse_text),
    _Key("prometheus.caFile",      "prometheus",      "ca_file",         parse_text),
    _Key("prometheus.username",    "prometheus",      "username",        parse_text),
    _Key("prometheus.passwordFile", "prometheus",     "password_file",   parse_text),
    _Key("prometheus.insecureSkipVerify", "prometheus", "insecure_skip_verify", parse_switch),
    _Key("prometheus.timeout",     "prometheus",      "timeout",         parse_duration,   duration_text),
    _Key("podUsage.source",        "pod_usage",       "source",          parse_usage_source),
    _Key("podUsage.percentile",    "pod_usage",       "percentile",      parse_percentile),
    _Key("podUsage.warmUp",        "pod_usage",       "warm_up",         parse_duration,   duration_text),
    _Key("podUsage.minSamples",    "pod_usage",       "min_samples",     parse_samples),
    _Key("podUsage.interval",      "pod_usage",       "interval",        parse_duration,   duration_text),
    _Key("podUsage.keep",          "pod_usage",       "keep",            parse_duration,   duration_text),
    _Key("refit.enabled",          "refit",           "enabled",         parse_switch,     option="refit"),
    _Key("refit.interval",         "refit",           "interval",        parse_duration,   duration_text),
    _Key("refit.range",            "refit",           "range",           parse_duration,   duration_text),
    _Key("refit.step",             "refit",           "step",            parse_duration,   duration_text),
    _Key("refit.holdOut",          "refit",           "hold_out",        parse_share,      share_text),
    _Key("refit.margin",           "refit",           "margin",          parse_share,      share_text),
    _Key("refit.powerQuery",       "refit",           "power_query",     parse_text),
    _Key("refit.cpuQuery",         "refit",           "cpu_query",       parse_text),
    _Key("drift.enabled",          "drift",           "enabled",         parse_switch),
    _Key("drift.interval",         "drift",           "interval",        parse_duration,   duration_text),
    _Key("powerModels",            "power",           "file",            parse_text,       option="power-models"),
    _Key("defaultPodCpu",          "",                "default_pod_cpu", parse_cpu,        "{}m".format),
    _Key("toleranceWatts",         "",                "tolerance_watts", parse_watts),
    _Key("volumeBindTimeout",      "",                "volume_bind_timeout", parse_duration, duration_text),
    _Key("podFields.ignore",       "pod_fields",      "ignore",          parse_field_paths, sorted),
    _Key("listen",                 "",                "listen",          parse_listen,     str,         "listen"),
    _Key("logFormat",              "",                "log_format",      parse_log_format, option="log-format"),
    _Key("leaderElection.enabled", "leader_election", "enabled",         parse_switch,     option="leader-elect"),
    _Key("leaderElection.name",    "leader_election", "name",            parse_lease_name),
    _Key("kubeconfig",             "",                "kubeconfig",      parse_text,       option="kubeconfig"),
    _Key("nodeMetrics",            "",                "node_metrics",    parse_switch,     option="node-metrics"),
)
# fmt: on
_BY_PATH = {key.path: key for key in _KEYS}
_VARIABLES = {"PEAKS_" + key.option.upper().replace("-", "_"): key for key in _KEYS if key.option}

_Given = dict[str, Given]


def _flat(document: Mapping[Any, Any], file_name: str, parent: str) -> _Given:
    """The file's settings by path, empty ones left out. Unknown keys are errors: a misspelt one would be lost."""
    known = {path.removeprefix(parent).split(".")[0] for path in _BY_PATH if path.startswith(parent)}
    given: _Given = {}
    for key, value in document.items():
        path = f"{parent}{key}"
        if key not in known:
            hint = nearest(str(key), known)
            raise ConfigurationError(
                f"{file_name}: {path}: unknown key{hint}; expected one of {', '.join(sorted(known))}"
            )
        if value is None:
            continue
        if path in _BY_PATH:
            given[path] = (value, f"{file_name}: {path}")
        elif isinstance(value, dict):
            given |= _flat(value, file_name, f"{path}.")
        else:
            raise ConfigurationError(f"{file_name}: {path}: expected a mapping; got {shown(value)}")
    return given


def _overrides(env: Mapping[str, str], flags: Mapping[str, object]) -> _Given:
    """What the environment gives, and over it what the options give."""
    given: _Given = {key.path: (env[name], name) for name, key in _VARIABLES.items() if env.get(name)}
    for key in _KEYS:
        if key.option and (value := flags.get(key.option.replace("-", "_"))) is not None:
            given[key.path] = (value, f"--{key.option}")
    return given


def _build(given: _Given) -> Settings:
    groups: dict[str, dict[str, Any]] = {}
    for path, (value, where) in given.items():
        key = _BY_PATH[path]
        try:
            groups.setdefault(key.group, {})[key.name] = key.read(value)
        except ValueError as error:
            raise ConfigurationError(f"{where}: expected {error}; got {shown(value)}") from error
    settings = Settings(**groups.pop("", {}))
    settings = replace(
        settings, **{name: replace(getattr(settings, name), **values) for name, values in groups.items()}
    )
    settings = _with_addresses(settings, "load.address" in given)
    _check_prometheus(settings)
    return settings if settings.leader_election.name else _with_lease_name(settings)


def _with_addresses(settings: Settings, load_address_given: bool) -> Settings:
    """Where load comes from Prometheus, one address does for both."""
    load, prometheus = settings.load, settings.prometheus
    if load.source == "load-watcher":
        return settings
    if load.source == "metrics-server":
        return replace(settings, load=replace(load, address=None))
    address = load.address if load_address_given else prometheus.address
    if address is None:
        raise ConfigurationError("load.source is prometheus: expected its URL as prometheus.address or load.address")
    return replace(
        settings,
        load=replace(load, address=address),
        prometheus=replace(prometheus, address=prometheus.address or address),
    )


def _check_prometheus(settings: Settings) -> None:
    """One way to say who asks, and the whole of it."""
    asked = settings.prometheus
    addresses = (asked.address, settings.load.address if settings.load.source == "prometheus" else None)
    ways = {
        "prometheus.tokenFile": asked.token_file,
        "prometheus.username": asked.username,
        "a user in the address": next((each for each in addresses if each and "@" in each), None),
    }
    given = [name for name, value in ways.items() if value]
    if len(given) > 1:
        raise ConfigurationError(f"prometheus: expected one way to authenticate; got {' and '.join(given)}")
    if (asked.username is None) != (asked.password_file is None):
        raise ConfigurationError("prometheus: expected username and passwordFile together; got one of them")
    if settings.usage_source == "prometheus" and asked.address is None:
        raise ConfigurationError("podUsage.source is prometheus: expected its URL as prometheus.address; got none")
    _check_refit(settings)


def _check_refit(settings: Settings) -> None:
    """Power models can only be learned from somewhere, and from enough."""
    refit = settings.refit
    if refit.enabled and settings.prometheus.address is None:
        raise ConfigurationError("refit.enabled: expected the URL of a Prometheus as prometheus.address; got none")
    if refit.enabled and refit.range * min(refit.hold_out, 1.0 - refit.hold_out) < _LEAST_STEPS * refit.step:
        raise ConfigurationError(
            f"refit: expected {_LEAST_STEPS} steps or more in what is held out, and as many in the rest of the range; "
            f"got steps of {duration_text(refit.step)} in {duration_text(refit.range)}, of which "
            f"{share_text(refit.hold_out)} are held out: make the range longer or the step shorter"
        )


_LEAST_STEPS = 20


_FOR_DRIFT_TOO = ("refit.enabled", "refit.powerQuery", "refit.cpuQuery")
_FOR_PROMETHEUS = ("load.window", "load.cpuQuery", "load.memoryQuery", "load.cpuUnit", "load.nodeLabel")


def _unused(settings: Settings, given: _Given) -> list[str]:
    """Warnings for what was given and plays no part."""
    source, asked = settings.load.source, settings.prometheus
    unused: dict[str, str] = {}
    if source != "prometheus":
        unused |= dict.fromkeys(_FOR_PROMETHEUS, f"load.source is {source}, not prometheus")
    elif settings.load.cpu_query is None:
        unused["load.cpuUnit"] = "there is no load.cpuQuery"
    if source == "metrics-server":
        unused["load.address"] = "metrics-server is asked through the API server"
    if asked.address is None:
        unused |= {path: "there is no prometheus.address" for path in _BY_PATH if path.startswith("prometheus.")}
    if asked.insecure_skip_verify:
        unused["prometheus.caFile"] = "prometheus.insecureSkipVerify trusts any certificate"
    if settings.usage_source is None:
        nobody = "none" if settings.pod_usage.source == "none" else f"{source}, which does not tell what pods use"
        why = f"podUsage.source is {nobody}"
        unused |= {path: why for path in _BY_PATH if path.startswith("podUsage.") and path != "podUsage.source"}
    if not settings.refit.enabled:
        only = [path for path in _BY_PATH if path.startswith("refit.") and path not in _FOR_DRIFT_TOO]
        unused |= dict.fromkeys(only, "refit.enabled is false")
    if asked.address is None or not settings.drift.enabled:
        unused["drift.interval"] = (
            "there is no prometheus.address" if asked.address is None else "drift.enabled is false"
        )
    return [f"{given[path][1]} is not used: {why}" for path, why in unused.items() if _is_news(path, given)]


def _is_news(path: str, given: _Given) -> bool:
    """Was it given, and not as what it is anyway? A whole configuration may be written out."""
    key, defaults = _BY_PATH[path], Settings()
    default = getattr(getattr(defaults, key.group) if key.group else defaults, key.name)
    return path in given and key.read(given[path][0]) != default


def _with_lease_name(settings: Settings) -> Settings:
    try:
        name = parse_lease_name(f"peaks-scheduler-{settings.scheduler_name.lower()}")
    except ValueError as error:
        raise ConfigurationError(
            f"schedulerName {settings.scheduler_name!r} makes no name of a Lease: set leaderElection.name"
        ) from error
    return replace(settings, leader_election=replace(settings.leader_election, name=name))


def _misspelt(env: Mapping[str, str]) -> list[str]:
    """Variables that nearly are one of ours. A warning only: Kubernetes itself sets PEAKS_..._PORT for a Service."""
    return [
        f"the environment variable {name} is not read{nearest(name, _VARIABLES, 0.9)}"
        for name in sorted(env)
        if name.startswith("PEAKS_") and name not in _VARIABLES and nearest(name, _VARIABLES, 0.9)
    ]
