"""What running pods really use: one protocol, from metrics-server's PodMetrics or from Prometheus' cAdvisor series.

Owns the two questions and their translation into cores. Several series of one pod that agree are one: two replicas of a
Prometheus, or two jobs, saw the same. Where they contradict, the pod is left out, and it is said. Assumes nothing about
whose pods they are. Never judges whether a pod has run long enough to say what its siblings will use: one younger than
its window has used less than it will.
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

# not the pod's own control group, which is the sum, nor its pause
_REAL = ('container!=""', 'container!="POD"', 'pod!=""')
_INNER = "container, id, image, name, cpu"
"""Labels that tell the containers of a pod apart, and one container before and after its restart."""
_ONE_TARGET = frozenset(("job", "endpoint", "service", "metrics_path"))


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

    problems: tuple[str, ...]
    """What of the last answer could not be used, in words."""

    async def fetch(self) -> tuple[PodUsage, ...]:
        """All running pods, of every namespace. Raises LoadError, and nothing else."""

    async def aclose(self) -> None:
        """Give back connections; fetch is not called afterwards."""


class MetricsServerPods:
    """PodMetrics of the cluster that ``get_json`` asks. Arguments as MetricsServer's; ``pods`` tells how many it has,
    0 where that is not known."""

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
        """Raises LoadError, of the kinds of MetricsServer.fetch; no pod is no error."""
        try:
            async with asyncio.timeout(self._timeout):
                found = await items(self._get_json, "pods", Limits.of_pods(self._pods()).series)
        except TimeoutError as error:
            raise LoadError("timeout", f"metrics-server: no whole answer within {self._timeout:g} s") from error
        # tens of thousands of pods take a while to read: off the loop, so that no bind waits for it
        return await off_loop(partial(read_pods, found, self._cluster_ahead()))

    async def aclose(self) -> None:
        """Nothing to give back: the connections are the API server's."""


def read_pods(found: list[Mapping[str, Any]], ahead: float = 0.0) -> tuple[PodUsage, ...]:
    """PodMetrics as usage; one without all that it should say is left out. ``ahead`` [s] is taken off their times."""
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
    """cAdvisor's ``container_cpu_usage_seconds_total`` (the kubelet serves it), averaged over ``window`` [s]. ``pods``
    as of MetricsServerPods."""

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
        # what scraped them stays among the labels: added up over two replicas a pod would use twice as much
        self.usage = f"sum without ({_INNER}) ({rise(series, window)}) / {window:g}"
        self.newest = f"max without ({_INNER}) (timestamp({series}))"

    async def fetch(self) -> tuple[PodUsage, ...]:
        """Pods whose containers are scraped now. Raises LoadError, of the kinds of PrometheusApi.query."""
        limits = Limits.of_pods(self._pods())
        asked = (self._api.query(promql, limits=limits) for promql in (self.usage, self.newest))
        usage, newest = await asyncio.gather(*asked)
        # tens of thousands of pods take a while to read: off the loop
        pods, self.problems = await off_loop(partial(read_series, usage, newest, self._window, self._clock()))
        return pods

    async def aclose(self) -> None:
        """Close the connections."""
        await self._api.aclose()


def read_series(
    usage: Vector, newest: Vector, window: float, fetched_at: float
) -> tuple[tuple[PodUsage, ...], tuple[str, ...]]:
    """Usage and time of the newest sample, joined; a pod that is in one of them only is left out. And what is odd."""
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
        if (load := _counting(seen)) is not None:
            pods.append(PodUsage(*pod, load.cores or 0.0, load.window_start, load.window_end))
            continue
        problems.add(
            "several series say otherwise of one pod's use, none counts: they differ in "
            f"{unlike([dict(each) for each in its])}; choose by prometheus.match",
            "/".join(pod),
        )
    return tuple(pods), problems.texts()


_Target = Labels
"""Labels of whatever scraped a pod, and the pod's."""


def _seen(cores: float, end: float, window: float) -> NodeLoad:
    return NodeLoad(None, end - window, end, cores=cores)


def _counting(seen: Mapping[_Target, NodeLoad]) -> NodeLoad | None:
    """What all of them say; None where they contradict."""
    target = one_of(seen)
    if target is not None:
        return seen[target]
    if _ONE_TARGET.issuperset(differing([dict(each) for each in seen])):
        return max(seen.values(), key=lambda load: load.cores or 0.0)  # one of two jobs does not keep all containers
    return None


def _target(labels: Mapping[str, str]) -> _Target:
    # a cAdvisor of one's own has each container's labels and environment among its series'
    return Labels(labels).without(lambda name: name.startswith(("container_label_", "container_env_")))


def _pod(labels: Mapping[str, str]) -> tuple[str, str]:
    return labels.get("namespace", ""), labels.get("pod", "")
