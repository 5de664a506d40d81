"""What the daemon and the commands can be told, and where: flags, environment, file, in that order of rank.

Owns the names, units, defaults and limits of all settings, and the reading of a KubeSchedulerConfiguration as far as it
is about the Peaks plugin. Assumes that the caller has read the file. Never reads a file, a clock or the process's
environment by itself, and keeps the strategy's name as text: the table of strategies knows which there are.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from peaks_scheduler.documents import nearest, parse_document
from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.power import EMPTY, PowerModels, plugin_models
from peaks_scheduler.values import (
    Listen,
    duration_text,
    masked,
    parse_address,
    parse_cpu,
    parse_duration,
    parse_field_paths,
    parse_lease_name,
    parse_listen,
    parse_log_format,
    parse_source,
    parse_switch,
    parse_text,
    parse_watts,
    shown,
)

__all__ = ["LeaderElection", "Listen", "LoadSettings", "PodFields", "PowerSettings", "Settings", "load"]


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """Where the nodes' load comes from."""

    source: str = "load-watcher"
    """Kind of the source; this version reads load-watcher."""
    address: str = "http://load-watcher.kube-system.svc:2020"
    """Its URL, without a path."""
    interval: float = 15.0
    """[s] from one fetch to the next; load-watcher's own averages change once a minute."""
    timeout: float = 10.0
    """[s] after which a fetch is given up; shorter than load-watcher's own 55 s, since the next one comes soon."""
    expiry: float = 300.0
    """[s] after its window's end a load is stale and the node is estimated."""


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
    power: PowerSettings = field(default_factory=PowerSettings)
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

    def redacted(self) -> dict[str, Any]:
        """The settings as the file would have them, for people to look at: no user or password of a URL is in it."""
        whole: dict[str, Any] = {}
        for key in _KEYS:
            value = getattr(getattr(self, key.group) if key.group else self, key.name)
            where = whole
            *parents, last = key.path.split(".")
            for parent in parents:
                where = where.setdefault(parent, {})
            where[last] = key.show(value)
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
        given, inline = _scheduler_configuration(document, file_name, warnings)
    else:
        given, inline = _flat(document or {}, file_name, ""), EMPTY
    if env.get("NODE_POWER_MODEL"):
        given.setdefault("powerModels", (env["NODE_POWER_MODEL"], "NODE_POWER_MODEL"))
    settings = _build(given | _overrides(env, flags))
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
    _Key("load.source",            "load",            "source",          parse_source),
    _Key("load.address",           "load",            "address",         parse_address,    masked,      "load-address"),
    _Key("load.interval",          "load",            "interval",        parse_duration,   duration_text),
    _Key("load.timeout",           "load",            "timeout",         parse_duration,   duration_text),
    _Key("load.expiry",            "load",            "expiry",          parse_duration,   duration_text),
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

# a value with the words for where it was given
_Given = dict[str, tuple[Any, str]]


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
    return settings if settings.leader_election.name else _with_lease_name(settings)


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


def _scheduler_configuration(
    document: Mapping[str, Any], file_name: str, warnings: list[str]
) -> tuple[_Given, PowerModels]:
    """What a KubeSchedulerConfiguration says that is for us; every other key becomes a warning."""
    ignored = [key for key in document if key not in ("apiVersion", "kind", "profiles", "leaderElection")]
    where, profile, args = _peaks_profile(document, file_name, ignored)
    given: _Given = {}
    for path, value in (
        ("schedulerName", profile.get("schedulerName")),
        ("load.address", args.get("watcherAddress") or args.get("WatcherAddress")),
        ("leaderElection.enabled", _mapping(document.get("leaderElection")).get("leaderElect")),
    ):
        if value is not None:
            given[path] = (value, f"{file_name}: {path} of the KubeSchedulerConfiguration")
    ignored += [f"leaderElection.{key}" for key in _mapping(document.get("leaderElection")) if key != "leaderElect"]
    warnings += [f"{file_name}: {key} is not read by this scheduler" for key in ignored]
    models = args.get("nodePowerModel") or args.get("NodePowerModel")
    return given, plugin_models(_mapping(models), f"{file_name}: {where}.nodePowerModel")


_ARGUMENTS = ("apiVersion", "kind", "watcherAddress", "WatcherAddress", "nodePowerModel", "NodePowerModel")


def _peaks_profile(
    document: Mapping[str, Any], file_name: str, ignored: list[str]
) -> tuple[str, Mapping[str, Any], Mapping[str, Any]]:
    """Where the first profile with arguments for Peaks is, the profile, and the arguments."""
    found = None
    for index, profile in enumerate(_sequence(document.get("profiles"))):
        where = f"profiles[{index}]"
        plugins = {item.get("name"): item for item in map(_mapping, _sequence(_mapping(profile).get("pluginConfig")))}
        if "Peaks" not in plugins or found is not None:
            ignored.append(where)
            continue
        found = (where, _mapping(profile), _mapping(plugins["Peaks"].get("args")))
        ignored += [f"{where}.{key}" for key in found[1] if key not in ("schedulerName", "pluginConfig")]
        ignored += [f"{where}.pluginConfig of {name}" for name in plugins if name != "Peaks"]
        ignored += [f"{where}.pluginConfig of Peaks: {key}" for key in found[2] if key not in _ARGUMENTS]
    if found is None:
        raise ConfigurationError(
            f"{file_name}: expected a profile with pluginConfig for `Peaks` in this KubeSchedulerConfiguration; got "
            "none: add one, or write this scheduler's own configuration"
        )
    return found


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _sequence(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
