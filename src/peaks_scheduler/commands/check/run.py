"""The checks in their order.

Owns the tables of checks. Each judges the facts alone: one that breaks gives a failed line and hides no other check.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from peaks_scheduler.scheduling.batching import any_strategy
from peaks_scheduler.settings.settings import Settings

from . import (
    api_server_checks,
    carbon_checks,
    lease_checks,
    load_checks,
    model_checks,
    node_checks,
    predictor_checks,
    sensor_checks,
)
from .facts import Facts
from .finding import Finding, failed
from .gather import TIMEOUT, gather

# fmt: off
CHECKS: tuple[tuple[str, Callable[[Facts], Iterable[Finding]]], ...] = (
    ("API server",      api_server_checks.version),
    ("identity",        api_server_checks.identity),
    ("clock",           api_server_checks.clock),
    ("rights",          api_server_checks.rights),
    ("kinds",           api_server_checks.kinds),
    ("lease",           lease_checks.lease),
    ("other daemons",   lease_checks.others),
    ("nodes",           node_checks.nodes),
    ("waiting pods",    node_checks.waiting),
    ("load source",     load_checks.source),
    ("load age",        load_checks.age),
    ("load names",      load_checks.keys),
    ("load values",     load_checks.values),
    ("pod usage",       load_checks.pod_usage),
    ("Prometheus",      load_checks.prometheus),
    ("power models",    model_checks.file),
    ("models of nodes", model_checks.of_nodes),
    ("power curves",    model_checks.curves),
    ("model quality",   model_checks.quality),
    ("model scopes",    model_checks.scopes),
    ("fitted range",    model_checks.fitted_range),
    ("carbon",          carbon_checks.intensity),
)
WHERE_USED: tuple[tuple[str, Callable[[Facts], Iterable[Finding]]], ...] = (
    # no line where neither the configuration nor the cluster has any
    ("sensors",         sensor_checks.sensors),
    ("sensors",         sensor_checks.needed),
    ("predictors",      predictor_checks.predictors),
    ("podspread-rate",  predictor_checks.spread_rates),
)
# fmt: on


async def check(settings: Settings, patience: float = TIMEOUT) -> list[Finding]:
    """Every finding, in the order of the table; ``patience`` [s] is the time limit of one request to the API server.

    Raises ConfigurationError for a configuration that the daemon would not start with.
    """
    any_strategy(settings.strategy)
    return judge(await gather(settings, patience))


def judge(facts: Facts) -> list[Finding]:
    """Every finding about these facts."""
    return [finding for name, look in (*CHECKS, *WHERE_USED) for finding in _guarded(name, look, facts)]


def _guarded(name: str, look: Callable[[Facts], Iterable[Finding]], facts: Facts) -> list[Finding]:
    try:
        return list(look(facts))
    except Exception as error:  # objects of an unexpected form: the other checks go on
        return [failed(name, f"could not be judged: {type(error).__name__}: {error}", "report this as a bug")]
