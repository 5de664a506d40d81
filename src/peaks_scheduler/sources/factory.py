"""From the configuration to the source that it means.

Owns nothing but that choice. Everybody who wants load, or Prometheus, comes here, so that all ask alike.
"""

import time
from collections.abc import Callable

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.settings.settings import Settings
from peaks_scheduler.sources.prometheus.api import PrometheusApi
from peaks_scheduler.sources.prometheus.load import PrometheusLoad

from .load_watcher import LoadWatcher
from .metrics_api import GetJson
from .metrics_server import MetricsServer
from .pod_usage import MetricsServerPods, PodUsageSource, PrometheusPods
from .source import LoadSource


def load_source(
    settings: Settings,
    get_json: GetJson,
    cluster_ahead: Callable[[], float] = lambda: 0.0,
    clock: Callable[[], float] = time.time,
    nodes: Callable[[], int] = lambda: 0,
) -> LoadSource:
    """The source that ``load.source`` names.

    ``get_json`` asks the API server (``KubeClient.get_json``), whose clock is ``cluster_ahead`` seconds ahead of
    ``clock``, ours. ``nodes`` tells how many the cluster has, 0 where that is not known. Raises ConfigurationError for
    a file of certificates that cannot be used.
    """
    load = settings.load
    if load.source == "metrics-server":
        return MetricsServer(get_json, load.timeout, clock, cluster_ahead, nodes)
    if load.address is None:
        raise ConfigurationError(f"load.source is {load.source}: expected its URL as load.address; got none")
    if load.source == "load-watcher":
        return LoadWatcher(load.address, load.timeout, clock, nodes=nodes)
    return PrometheusLoad(
        prometheus_api(settings, load.address, load.timeout, clock, nodes),
        window=load.window,
        cpu_query=load.cpu_query,
        memory_query=load.memory_query,
        cpu_unit=load.cpu_unit,
        node_label=load.node_label,
        clock=clock,
    )


def pod_usage_source(
    settings: Settings,
    get_json: GetJson,
    cluster_ahead: Callable[[], float] = lambda: 0.0,
    clock: Callable[[], float] = time.time,
    pods: Callable[[], int] = lambda: 0,
) -> PodUsageSource | None:
    """The source of pods' use that ``podUsage.source`` means; None: there is none. ``pods`` tells how many the cluster
    has, 0 where that is not known; other arguments and errors as of ``load_source``."""
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
    """Prometheus as ``prometheus.*`` has it; ``address`` and ``timeout`` [s] in place of those there. ``nodes`` as of
    ``load_source``.

    Raises ConfigurationError where there is no address, or for a file of certificates that cannot be used.
    """
    asked = settings.prometheus
    where = address or asked.address
    if where is None:
        raise ConfigurationError("expected the URL of a Prometheus as prometheus.address; got none")
    return PrometheusApi(
        where,
        token_file=asked.token_file,
        ca_file=asked.ca_file,
        username=asked.username,
        password_file=asked.password_file,
        insecure_skip_verify=asked.insecure_skip_verify,
        headers=asked.headers,
        match=asked.match,
        node_label=asked.node_label,
        timeout=timeout or asked.timeout,
        clock=clock,
        nodes=nodes,
    )
