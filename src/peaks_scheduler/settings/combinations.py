"""Checks of settings against each other: what cannot work together is an error, what is not used is a warning. Pure."""

from collections.abc import Mapping
from dataclasses import replace

from peaks_scheduler.errors import ConfigurationError

from .kube_scheduler_configuration import Given
from .settings import Settings
from .table import BY_PATH
from .values import duration_text, share_text

LONGEST_BATCH_WAIT = 10.0  # [s]
_LEAST_STEPS = 20  # in each of the two parts of refit.range


def with_addresses(settings: Settings, load_address_given: bool) -> Settings:
    """The settings with ``load.address`` and ``prometheus.address`` filled in from each other, where load comes from
    Prometheus; without ``load.address`` for metrics-server. Raises ConfigurationError where both are missing."""
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


def check_prometheus(settings: Settings) -> None:
    """Raises ConfigurationError for several or incomplete ways to authenticate, and for a missing address."""
    asked = settings.prometheus
    addresses = (asked.address, settings.load.address if settings.load.source == "prometheus" else None)
    ways = {
        "prometheus.tokenFile": asked.token_file,
        "prometheus.username": asked.username,
        "Authorization among prometheus.headers": any(each.authenticates for each in asked.headers),
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


def check_limits(settings: Settings) -> None:
    """Raises ConfigurationError for a limit of a pod's annotation that is below the configured value: a pod with the
    annotation would get less than a pod without it."""
    pairs = (
        ("maxToleranceWatts", settings.max_tolerance_watts, "toleranceWatts", settings.tolerance_watts),
        ("ceiling.maxCpu", settings.max_ceiling.cpu, "ceiling.cpu", settings.ceiling.cpu),
        ("ceiling.maxMemory", settings.max_ceiling.memory, "ceiling.memory", settings.ceiling.memory),
    )
    for name, most, usual, value in pairs:
        if most is not None and value is not None and most < value:
            raise ConfigurationError(f"{name}: expected at least {usual}, which is {value:g}; got {most:g}")


def check_carbon(settings: Settings) -> None:
    """Raises ConfigurationError where the strategy counts grams of CO2 and nothing tells the grid's intensity."""
    if settings.strategy == "carbon" and settings.carbon.path is None:
        raise ConfigurationError(
            "strategy is carbon: expected the CSV file with the grid's intensity as carbon.path; got none"
        )


def check_batches(settings: Settings) -> None:
    """Raises ConfigurationError where pods would wait for one another so long that they would be missed."""
    if settings.batch_wait > LONGEST_BATCH_WAIT:
        raise ConfigurationError(
            f"batchWait: expected at most {duration_text(LONGEST_BATCH_WAIT)}: a pod that waits longer counts as "
            f"undecided; got {duration_text(settings.batch_wait)}"
        )


def check_expiry(settings: Settings) -> None:
    """Raises ConfigurationError where values of sensors or predictions expire before they can be read twice."""
    sensors, predictors = settings.sensors, settings.predictors
    for subject, name, every, expiry in (
        ("sensors", "interval", sensors.interval, sensors.expiry),
        ("predictors", "refresh", predictors.refresh, predictors.expiry),
    ):
        if expiry < 2 * every:
            raise ConfigurationError(
                f"{subject}.expiry: expected at least twice {subject}.{name}, which is {duration_text(every)}, else "
                f"nodes are without a value between two rounds; got {duration_text(expiry)}"
            )


def _check_refit(settings: Settings) -> None:
    """Raises ConfigurationError where models are to be learned without a Prometheus, or from too few samples."""
    refit = settings.refit
    if refit.enabled and settings.prometheus.address is None:
        raise ConfigurationError("refit.enabled: expected the URL of a Prometheus as prometheus.address; got none")
    if refit.enabled and refit.range * min(refit.hold_out, 1.0 - refit.hold_out) < _LEAST_STEPS * refit.step:
        raise ConfigurationError(
            f"refit: expected {_LEAST_STEPS} steps or more in what is held out, and as many in the rest of the range; "
            f"got steps of {duration_text(refit.step)} in {duration_text(refit.range)}, of which "
            f"{share_text(refit.hold_out)} are held out: make the range longer or the step shorter"
        )


_FOR_DRIFT_TOO = ("refit.enabled", "refit.powerQuery", "refit.cpuQuery")
_FOR_PROMETHEUS = ("load.window", "load.cpuQuery", "load.memoryQuery", "load.cpuUnit", "load.nodeLabel")


def unused_settings(settings: Settings, given: Mapping[str, Given]) -> list[str]:
    """Warnings for settings that were given and are not used. ``given``: (value, place) by path."""
    source, asked = settings.load.source, settings.prometheus
    unused: dict[str, str] = {}
    if source != "prometheus":
        unused |= dict.fromkeys(_FOR_PROMETHEUS, f"load.source is {source}, not prometheus")
    elif settings.load.cpu_query is None:
        unused["load.cpuUnit"] = "there is no load.cpuQuery"
    if source == "metrics-server":
        unused["load.address"] = "metrics-server is asked through the API server"
    if asked.address is None:
        unused |= {path: "there is no prometheus.address" for path in BY_PATH if path.startswith("prometheus.")}
    if asked.insecure_skip_verify:
        unused["prometheus.caFile"] = "prometheus.insecureSkipVerify trusts any certificate"
    if settings.usage_source is None:
        nowhere = "none" if settings.pod_usage.source == "none" else f"{source}, which does not tell what pods use"
        why = f"podUsage.source is {nowhere}"
        unused |= {path: why for path in BY_PATH if path.startswith("podUsage.") and path != "podUsage.source"}
    if not settings.refit.enabled:
        only = [path for path in BY_PATH if path.startswith("refit.") and path not in _FOR_DRIFT_TOO]
        unused |= dict.fromkeys(only, "refit.enabled is false")
    if asked.address is None or not settings.drift.enabled:
        unused["drift.interval"] = (
            "there is no prometheus.address" if asked.address is None else "drift.enabled is false"
        )
    return [f"{given[path][1]} is not used: {why}" for path, why in unused.items() if _is_changed(path, given)]


def _is_changed(path: str, given: Mapping[str, Given]) -> bool:
    """Was the setting given, with another value than its default? A file may list every default."""
    setting = BY_PATH[path]
    return path in given and setting.value_type.parse(given[path][0]) != setting.value(Settings())
