"""Make the sources that the configuration names.

Owns the table of load sources: a new source is one function and one line in LOAD_SOURCES. The daemon and all commands
use these functions, so that they ask the same servers in the same way. Imports only the sources that are made: the
others would delay the start.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.settings.settings import Settings

from .metrics_api import GetJson
from .source import LoadSource

if TYPE_CHECKING:
    from peaks_scheduler.sources.prometheus.api import PrometheusApi

    from .pod_usage import PodUsageSource


def load_source(
    settings: Settings,
    get_json: GetJson,
    cluster_ahead: Callable[[], float] = lambda: 0.0,
    clock: Callable[[], float] = time.time,
    nodes: Callable[[], int] = lambda: 0,
) -> LoadSource:
    """The source that ``load.source`` names.

    Args:
        get_json: asks the API server (``KubeClient.get_json``).
        cluster_ahead: [s] by which the API server's clock is ahead of ``clock``.
        clock: [s] since the epoch, ours.
        nodes: number of nodes in the cluster; 0: not known.

    Raises ConfigurationError for a certificate file that cannot be used.
    """
    return LOAD_SOURCES[settings.load.source](_Given(settings, get_json, cluster_ahead, clock, nodes))


@dataclass(frozen=True, slots=True)
class _Given:
    """The arguments of ``load_source``."""

    settings: Settings
    get_json: GetJson
    cluster_ahead: Callable[[], float]
    clock: Callable[[], float]
    nodes: Callable[[], int]

    @property
    def address(self) -> str:
        """``load.address``. Raises ConfigurationError without one."""
        load = self.settings.load
        if load.address is None:
            raise ConfigurationError(f"load.source is {load.source}: expected its URL as load.address; got none")
        return load.address


def _load_watcher(given: _Given) -> LoadSource:
    from .load_watcher import LoadWatcher

    return LoadWatcher(given.address, given.settings.load.timeout, given.clock, nodes=given.nodes)


def _metrics_server(given: _Given) -> LoadSource:
    from .metrics_server import MetricsServer

    return MetricsServer(given.get_json, given.settings.load.timeout, given.clock, given.cluster_ahead, given.nodes)


def _prometheus(given: _Given) -> LoadSource:
    from peaks_scheduler.sources.prometheus.load import PrometheusLoad

    load = given.settings.load
    return PrometheusLoad(
        prometheus_api(given.settings, given.address, load.timeout, given.clock, given.nodes),
        window=load.window,
        cpu_query=load.cpu_query,
        memory_query=load.memory_query,
        cpu_unit=load.cpu_unit,
        node_label=load.node_label,
        clock=given.clock,
    )


LOAD_SOURCES: Mapping[str, Callable[[_Given], LoadSource]] = MappingProxyType(
    {"load-watcher": _load_watcher, "metrics-server": _metrics_server, "prometheus": _prometheus}
)
"""``load.source`` -> how it is made."""


def pod_usage_source(
    settings: Settings,
    get_json: GetJson,
    cluster_ahead: Callable[[], float] = lambda: 0.0,
    clock: Callable[[], float] = time.time,
    pods: Callable[[], int] = lambda: 0,
) -> PodUsageSource | None:
    """The source that ``podUsage.source`` names; None: none is configured.

    ``pods`` gives the number of pods in the cluster, 0 if it is not known. Other arguments and errors as for
    ``load_source``.
    """
    if settings.usage_source is None:
        return None
    from .pod_usage import MetricsServerPods, PrometheusPods

    if settings.usage_source == "metrics-server":
        return MetricsServerPods(get_json, settings.load.timeout, cluster_ahead, pods)
    if settings.usage_source == "prometheus":
        return PrometheusPods(prometheus_api(settings, clock=clock), settings.load.window, clock, pods)
    return None


def prometheus_api(
    settings: Settings,
    address: str | None = None,
    timeout: float | None = None,
    clock: Callable[[], float] = time.time,
    nodes: Callable[[], int] = lambda: 0,
) -> PrometheusApi:
    """The Prometheus that ``prometheus.*`` describes; ``address`` and ``timeout`` [s] override its own.

    ``nodes`` as for ``load_source``. Raises ConfigurationError without an address, and for a certificate file that
    cannot be used.
    """
    from peaks_scheduler.sources.prometheus.api import PrometheusApi

    configured = settings.prometheus
    where = address or configured.address
    if where is None:
        raise ConfigurationError("expected the URL of a Prometheus as prometheus.address; got none")
    return PrometheusApi(
        where,
        token_file=configured.token_file,
        ca_file=configured.ca_file,
        username=configured.username,
        password_file=configured.password_file,
        insecure_skip_verify=configured.insecure_skip_verify,
        headers=configured.headers,
        match=configured.match,
        node_label=configured.node_label,
        timeout=timeout or configured.timeout,
        clock=clock,
        nodes=nodes,
    )
