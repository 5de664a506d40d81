"""The names of the settings: in the file, in the dataclasses, on the command line and in the environment.

Owns that table, and the settings as the file would have them. Pure.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from peaks_scheduler.objects.ceilings import parse_share as parse_ceiling
from peaks_scheduler.text.masking import mask_url

from .headers import Header, parse_headers, shown_headers
from .matchers import parse_matchers
from .subjects import Settings
from .values import (
    duration_text,
    parse_address,
    parse_cpu,
    parse_cpu_unit,
    parse_detail,
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
)


@dataclass(frozen=True, slots=True)
class Key:
    """One setting: where the file, the command line and the dataclasses have it, how it is read and shown."""

    path: str
    group: str
    name: str
    read: Callable[[Any], Any]
    show: Callable[[Any], Any] = lambda value: value
    option: str = ""
    secret: bool = False
    """Is what was given kept out of messages?"""


def _text(value: object) -> str | None:
    return str(value) or None


def _headers(headers: tuple[Header, ...]) -> dict[str, Any] | None:
    return shown_headers(headers) or None


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


# fmt: off
KEYS = (
    #    in the file               attribute of Settings                 read              show         option
    Key("schedulerName",          "",                "scheduler_name",  parse_text,       option="scheduler-name"),
    Key("strategy",               "",                "strategy",        parse_text),
    Key("load.source",            "load",            "source",          parse_source,     option="load-source"),
    Key("load.address",           "load",            "address",         parse_address,    mask_url,  "load-address"),
    Key("load.interval",          "load",            "interval",        parse_duration,   duration_text),
    Key("load.timeout",           "load",            "timeout",         parse_duration,   duration_text),
    Key("load.expiry",            "load",            "expiry",          parse_duration,   duration_text),
    Key("load.window",            "load",            "window",          parse_duration,   duration_text),
    Key("load.cpuQuery",          "load",            "cpu_query",       parse_text),
    Key("load.memoryQuery",       "load",            "memory_query",    parse_text),
    Key("load.cpuUnit",           "load",            "cpu_unit",        parse_cpu_unit),
    Key("load.nodeLabel",         "load",            "node_label",      parse_label),
    Key("prometheus.address",     "prometheus",      "address",         parse_prometheus_address, mask_url),
    Key("prometheus.tokenFile",   "prometheus",      "token_file",      parse_text),
    Key("prometheus.caFile",      "prometheus",      "ca_file",         parse_text),
    Key("prometheus.username",    "prometheus",      "username",        parse_text),
    Key("prometheus.passwordFile", "prometheus",     "password_file",   parse_text),
    Key("prometheus.insecureSkipVerify", "prometheus", "insecure_skip_verify", parse_switch),
    Key("prometheus.headers",     "prometheus",      "headers",         parse_headers,    _headers, secret=True),
    Key("prometheus.match",       "prometheus",      "match",           parse_matchers,   _text,   "prometheus-match"),
    Key("prometheus.nodeLabel",   "prometheus",      "node_label",      parse_label),
    Key("prometheus.timeout",     "prometheus",      "timeout",         parse_duration,   duration_text),
    Key("podUsage.source",        "pod_usage",       "source",          parse_usage_source),
    Key("podUsage.percentile",    "pod_usage",       "percentile",      parse_percentile),
    Key("podUsage.warmUp",        "pod_usage",       "warm_up",         parse_duration,   duration_text),
    Key("podUsage.minSamples",    "pod_usage",       "min_samples",     parse_samples),
    Key("podUsage.interval",      "pod_usage",       "interval",        parse_duration,   duration_text),
    Key("podUsage.keep",          "pod_usage",       "keep",            parse_duration,   duration_text),
    Key("refit.enabled",          "refit",           "enabled",         parse_switch,     option="refit"),
    Key("refit.interval",         "refit",           "interval",        parse_duration,   duration_text),
    Key("refit.range",            "refit",           "range",           parse_duration,   duration_text),
    Key("refit.step",             "refit",           "step",            parse_duration,   duration_text),
    Key("refit.holdOut",          "refit",           "hold_out",        parse_share,      share_text),
    Key("refit.margin",           "refit",           "margin",          parse_share,      share_text),
    Key("refit.powerQuery",       "refit",           "power_query",     parse_text),
    Key("refit.cpuQuery",         "refit",           "cpu_query",       parse_text),
    Key("drift.enabled",          "drift",           "enabled",         parse_switch),
    Key("drift.interval",         "drift",           "interval",        parse_duration,   duration_text),
    Key("powerModels",            "power",           "file",            parse_text,       option="power-models"),
    Key("defaultPodCpu",          "",                "default_pod_cpu", parse_cpu,        "{}m".format),
    Key("toleranceWatts",         "",                "tolerance_watts", parse_watts),
    Key("maxToleranceWatts",      "",                "max_tolerance_watts", parse_watts,  _finite),
    Key("ceiling.cpu",            "ceiling",         "cpu",             parse_ceiling,    share_text),
    Key("ceiling.memory",         "ceiling",         "memory",          parse_ceiling,    share_text),
    Key("ceiling.maxCpu",         "max_ceiling",     "cpu",             parse_ceiling,    share_text),
    Key("ceiling.maxMemory",      "max_ceiling",     "memory",          parse_ceiling,    share_text),
    Key("decisionAnnotation",     "",                "decision_annotation", parse_detail),
    Key("volumeBindTimeout",      "",                "volume_bind_timeout", parse_duration, duration_text),
    Key("podFields.ignore",       "pod_fields",      "ignore",          parse_field_paths, sorted),
    Key("listen",                 "",                "listen",          parse_listen,     str,         "listen"),
    Key("logFormat",              "",                "log_format",      parse_log_format, option="log-format"),
    Key("leaderElection.enabled", "leader_election", "enabled",         parse_switch,     option="leader-elect"),
    Key("leaderElection.name",    "leader_election", "name",            parse_lease_name),
    Key("kubeconfig",             "",                "kubeconfig",      parse_text,       option="kubeconfig"),
    Key("context",                "",                "context",         parse_text,       option="context"),
    Key("nodeMetrics",            "",                "node_metrics",    parse_switch,     option="node-metrics"),
)
# fmt: on
BY_PATH = {key.path: key for key in KEYS}
VARIABLES = {"PEAKS_" + key.option.upper().replace("-", "_"): key for key in KEYS if key.option}


def redacted(settings: Settings) -> dict[str, Any]:
    """The settings as the file would have them, for people to look at: no user or password of a URL is in it."""
    whole: dict[str, Any] = {}
    for key in KEYS:
        value = getattr(getattr(settings, key.group) if key.group else settings, key.name)
        where = whole
        *parents, last = key.path.split(".")
        for parent in parents:
            where = where.setdefault(parent, {})
        where[last] = None if value is None else key.show(value)
    whole["nodePowerModel"] = sorted(settings.power.inline.by_name)
    return whole
