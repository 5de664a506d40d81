"""What running pods really use: one protocol, from metrics-server's PodMetrics or from Prometheus' cAdvisor series.

Owns the two questions and their translation into cores. Assumes nothing about whose pods they are. Never judges whether
a pod has run long enough to say what its siblings will use: one younger than its window has used less than it will.
"""

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from peaks_scheduler.errors import LoadError

from .metrics_api import GetJson, items, usage_of
from .prometheus_api import PrometheusApi, Vector
from .prometheus_queries import promql_duration

_REAL = 'container!="",container!="POD",pod!=""'  # not the pod's own control group, which is the sum, nor its pause


@dataclass(frozen=True, slots=True)
class PodUsage:
    """CPU use of one pod: the average from ``window_start`` to ``window_end``."""

    namespace: str
    name: str
    cores: float
    """[cores] all its containers together."""
    window_start: float
    """[s] since the epoch, our clock."""
    window_end: float
    """[s] since the epoch, our clock."""


class PodUsageSource(Protocol):
    """Something that can be asked what pods use."""

    async def fetch(self) -> tuple[PodUsage, ...]:
        """All running pods, of every namespace. Raises LoadError, and nothing else."""

    async def aclose(self) -> None:
        """Give back connections; fetch is not called afterwards."""


class MetricsServerPods:
    """PodMetrics of the cluster that ``get_json`` asks. Arguments as MetricsServer's."""

    def __init__(
        self, get_json: GetJson, timeout: float = 10.0, cluster_ahead: Callable[[], float] = lambda: 0.0
    ) -> None:
        self._get_json, self._timeout, self._cluster_ahead = get_json, timeout, cluster_ahead

    async def fetch(self) -> tuple[PodUsage, ...]:
        """Raises LoadError, of the kinds of MetricsServer.fetch; no pod is no error."""
        try:
            async with asyncio.timeout(self._timeout):
                found = await items(self._get_json, "pods")
        except TimeoutError as error:
            raise LoadError("timeout", f"metrics-server: no whole answer within {self._timeout:g} s") from error
        # tens of thousands of pods take a while to read: off the loop, so that no bind waits for it
        return await asyncio.to_thread(read_pods, found, self._cluster_ahead())

    async def aclose(self) -> None:
        """Nothing to give back: the connections are the API server's."""


def read_pods(found: list[Mapping[str, Any]], ahead: float = 0.0) -> tuple[PodUsage, ...]:
    """PodMetrics as usage; one without all that it should say is left out. ``ahead`` [s] is taken off their times."""
    pods = []
    for item in found:
        meta = item.get("metadata") or {}
        containers = [each.get("usage") or {} for each in item.get("containers") or ()]
        try:
            usage = usage_of(item, containers)
        except ValueError:
            continue
        if containers:
            start, end = usage.window_start - ahead, usage.window_end - ahead
            pods.append(PodUsage(str(meta.get("namespace")), str(meta.get("name")), usage.cores, start, end))
    return tuple(pods)


class PrometheusPods:
    """cAdvisor's ``container_cpu_usage_seconds_total`` (the kubelet serves it), averaged over ``window`` [s]."""

    def __init__(self, api: PrometheusApi, window: float = 300.0, clock: Callable[[], float] = time.time) -> None:
        self._api, self._window, self._clock = api, window, clock
        series = f"container_cpu_usage_seconds_total{{{_REAL}}}"
        # scraped by two jobs a container has two series of one id
        each = f"max by (namespace, pod, container, id) (rate({series}[{promql_duration(window)}]))"
        self.usage = f"sum by (namespace, pod) ({each})"
        self.newest = f"max by (namespace, pod) (timestamp({series}))"

    async def fetch(self) -> tuple[PodUsage, ...]:
        """Pods whose containers are scraped now. Raises LoadError, of the kinds of PrometheusApi.query."""
        usage, newest = await asyncio.gather(self._api.query(self.usage), self._api.query(self.newest))
        return read_series(usage, newest, self._window, self._clock())

    async def aclose(self) -> None:
        """Close the connections."""
        await self._api.aclose()


def read_series(usage: Vector, newest: Vector, window: float, fetched_at: float) -> tuple[PodUsage, ...]:
    """Usage and time of the newest sample, joined by pod; a pod that is in one of them only is left out."""
    ends = {_pod(sample.labels): sample.value - usage.correction for sample in newest.samples}
    pods = []
    for sample in usage.samples:
        end = ends.get(_pod(sample.labels), math.nan)
        if math.isfinite(end) and math.isfinite(sample.value) and sample.value >= 0.0:
            end = min(end, fetched_at)
            pods.append(PodUsage(*_pod(sample.labels), sample.value, end - window, end))
    return tuple(pods)


def _pod(labels: Mapping[str, str]) -> tuple[str, str]:
    return labels.get("namespace", ""), labels.get("pod", "")
