"""The measured CPU use of running pods, from metrics-server's PodMetrics or from cAdvisor's series in Prometheus.

Owns the two queries and their translation into cores. Several series of one pod that agree count as one: two replicas
of a Prometheus, or two jobs, have scraped the same. If they contradict each other, the pod is left out, with a problem.
Gives pods of all schedulers. Never judges whether a pod has run long enough to predict what its siblings will use: in a
window longer than its life, its average is too low.
"""

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from peaks_scheduler.errors import LoadError
from peaks_scheduler.ledger.node_load import NodeLoad, one_of
from peaks_scheduler.sources.prometheus.answers import Vector
from peaks_scheduler.sources.prometheus.api import PrometheusApi
from peaks_scheduler.sources.prometheus.labels import Labels
from peaks_scheduler.sources.prometheus.load_queries import rise
from peaks_scheduler.sources.prometheus.replicas import differing, unlike

from .limits import MOST_TIME, Limits
from .metrics_api import GetJson, items, name_of, usage_of
from .off_loop import off_loop
from .problems import Problems

# without the pod's own control group, which is the sum of its containers, and without the pause container
_REAL = ('container!=""', 'container!="POD"', 'pod!=""')
_INNER = "container, id, image, name, cpu"
"""Labels in which the containers of a pod differ, and a container before and after its restart."""
_ONE_TARGET = frozenset(("job", "endpoint", "service", "metrics_path"))


@dataclass(frozen=True, slots=True)
class PodUsage:
    """CPU use of one pod: the average from ``window_start`` to ``window_end``."""

    namespace: str
    name: str
    cores: float
    """[cores] sum of its containers."""
    window_start: float
    """[s] since the epoch, our clock."""
    window_end: float
    """[s] since the epoch, our clock."""


class PodUsageSource(Protocol):
    """Tells the measured use of pods."""

    problems: tuple[str, ...]
    """Parts of the last answer that could not be used, in words."""

    async def fetch(self) -> tuple[PodUsage, ...]:
        """The use of running pods in all namespaces. Raises LoadError, and nothing else."""

    async def aclose(self) -> None:
        """Close connections; ``fetch`` is not called afterwards."""


class MetricsServerPods:
    """The use of pods from PodMetrics. Arguments as of MetricsServer; ``pods`` gives the number of pods in the cluster,
    0 if it is not known."""

    def __init__(
        self,
        get_json: GetJson,
        timeout: float = 10.0,
        cluster_ahead: Callable[[], float] = lambda: 0.0,
        pods: Callable[[], int] = lambda: 0,
    ) -> None:
        self._get_json, self._timeout, self._cluster_ahead, self._pods = get_json, timeout, cluster_ahead, pods
        self.problems: tuple[str, ...] = ()

    async def fetch(self) -> tuple[PodUsage, ...]:
        """The use of all pods with PodMetrics; none is no error. Raises LoadError, of the kinds of
        MetricsServer.fetch."""
        try:
            async with asyncio.timeout(self._timeout):
                found = await items(self._get_json, "pods", Limits.of_pods(self._pods()).series)
        except TimeoutError as error:
            raise LoadError("timeout", f"metrics-server: no whole answer within {self._timeout:g} s") from error
        # in a thread: tens of thousands of pods take long enough to delay a bind
        return await off_loop(partial(read_pods, found, self._cluster_ahead()))

    async def aclose(self) -> None:
        """Nothing to close: the connections belong to the API server's client."""


def read_pods(found: list[Mapping[str, Any]], ahead: float = 0.0) -> tuple[PodUsage, ...]:
    """PodMetrics as usage; incomplete ones are left out. ``ahead`` [s] is subtracted from their times."""
    pods = []
    for item in found:
        listed = item.get("containers")
        containers = (
            [each.get("usage") or {} for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
        )
        try:
            usage = usage_of(item, containers)
        except ValueError:
            continue
        if containers:
            start, end = usage.window_start - ahead, usage.window_end - ahead
            pods.append(PodUsage(*name_of(item), usage.cores, start, end))
    return tuple(pods)


class PrometheusPods:
    """The use of pods from cAdvisor's ``container_cpu_usage_seconds_total``, averaged over ``window`` [s].

    The kubelet serves these series. ``pods`` as for MetricsServerPods.
    """

    def __init__(
        self,
        api: PrometheusApi,
        window: float = 300.0,
        clock: Callable[[], float] = time.time,
        pods: Callable[[], int] = lambda: 0,
    ) -> None:
        self._api, self._window, self._clock, self._pods = api, window, clock, pods
        self.problems: tuple[str, ...] = ()
        series = api.match.selector("container_cpu_usage_seconds_total", *_REAL)
        # the labels of the scraper are kept: a sum over two replicas would be twice the pod's use
        self.usage = f"sum without ({_INNER}) ({rise(series, window)}) / {window:g}"
        self.newest = f"max without ({_INNER}) (timestamp({series}))"

    async def fetch(self) -> tuple[PodUsage, ...]:
        """The use of pods whose containers are scraped now. Raises LoadError, of the kinds of PrometheusApi.query."""
        limits = Limits.of_pods(self._pods())
        asked = (self._api.query(promql, limits=limits) for promql in (self.usage, self.newest))
        usage, newest = await asyncio.gather(*asked)
        # in a thread: tens of thousands of pods take long enough to delay a bind
        pods, self.problems = await off_loop(partial(read_series, usage, newest, self._window, self._clock()))
        return pods

    async def aclose(self) -> None:
        """Close the connections."""
        await self._api.aclose()


def read_series(
    usage: Vector, newest: Vector, window: float, fetched_at: float
) -> tuple[tuple[PodUsage, ...], tuple[str, ...]]:
    """The use of pods, and the problems in words, from the answers for use and for the time of the newest sample.

    A pod that is in one of the two answers only is left out.
    """
    ends = {_target(sample.labels): sample.value - usage.correction for sample in newest.samples}
    cores: dict[tuple[str, str], dict[_Target, float]] = {}
    for sample in usage.samples:
        target = _target(sample.labels)
        if abs(ends.get(target, math.nan)) < MOST_TIME and math.isfinite(sample.value) and sample.value >= 0.0:
            its = cores.setdefault(_pod(sample.labels), {})
            its[target] = its.get(target, 0.0) + sample.value
    pods, problems = [], Problems()
    for pod, its in cores.items():
        seen = {target: _seen(used, min(ends[target], fetched_at), window) for target, used in its.items()}
        if (load := _agreed(seen)) is not None:
            pods.append(PodUsage(*pod, load.cores or 0.0, load.window_start, load.window_end))
            continue
        problems.add(
            "several series contradict each other about one pod's use, none is used: they differ in "
            f"{unlike([dict(each) for each in its])}; choose one by prometheus.match",
            "/".join(pod),
        )
    return tuple(pods), problems.texts()


_Target = Labels
"""The pod's labels, and those of the target that it was scraped from."""


def _seen(cores: float, end: float, window: float) -> NodeLoad:
    return NodeLoad(None, end - window, end, cores=cores)


def _agreed(seen: Mapping[_Target, NodeLoad]) -> NodeLoad | None:
    """The use that the targets agree on; None if they contradict each other."""
    target = one_of(seen)
    if target is not None:
        return seen[target]
    if _ONE_TARGET.issuperset(differing([dict(each) for each in seen])):
        return max(seen.values(), key=lambda load: load.cores or 0.0)  # one of the two jobs drops some containers
    return None


def _target(labels: Mapping[str, str]) -> _Target:
    # a stand-alone cAdvisor adds each container's own labels and environment
    return Labels(labels).without(lambda name: name.startswith(("container_label_", "container_env_")))


def _pod(labels: Mapping[str, str]) -> tuple[str, str]:
    return labels.get("namespace", ""), labels.get("pod", "")
