"""The checks in their order, each on its own.

Owns the visible table. Assumes ``reading``'s facts. A check that breaks is a failed line; it never hides another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from peaks_scheduler.scheduling.scoring.strategies import strategy_named
from peaks_scheduler.settings.settings import Settings

from . import cluster, load, models
from .finding import Finding, failed
from .reading import TIMEOUT, Facts, read

# fmt: off
CHECKS: tuple[tuple[str, Callable[[Facts], Iterable[Finding]]], ...] = (
    ("API server",      cluster.api_server),
    ("identity",        cluster.identity),
    ("clock",           cluster.clock),
    ("rights",          cluster.rights_held),
    ("kinds",           cluster.kinds),
    ("lease",           cluster.lease),
    ("other daemons",   cluster.other_daemons),
    ("nodes",           cluster.nodes),
    ("waiting pods",    cluster.waiting),
    ("load source",     load.source),
    ("load age",        load.age),
    ("load names",      load.keys),
    ("load values",     load.values),
    ("pod usage",       load.pod_usage),
    ("Prometheus",      load.prometheus),
    ("power models",    models.file),
    ("models of nodes", models.of_nodes),
    ("power curves",    models.curves),
    ("model quality",   models.quality),
    ("model scopes",    models.scopes),
    ("fitted range",    models.fitted_range),
)
# fmt: on


async def check(settings: Settings, patience: float = TIMEOUT) -> list[Finding]:
    """Every finding, in the order of the table; ``patience`` [s] bounds one request to the API server.

    Raises ConfigurationError for a configuration that the daemon would not start with.
    """
    strategy_named(settings.strategy)
    return judge(await read(settings, patience))


def judge(facts: Facts) -> list[Finding]:
    return [finding for name, look in CHECKS for finding in _guarded(name, look, facts)]


def _guarded(name: str, look: Callable[[Facts], Iterable[Finding]], facts: Facts) -> list[Finding]:
    try:
        return list(look(facts))
    except Exception as error:  # objects of a shape nobody thought of: the other checks still count
        return [failed(name, f"could not be judged: {type(error).__name__}: {error}", "report this as a bug")]
