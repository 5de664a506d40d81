"""A cluster over a range of time, from what kube-state-metrics and cAdvisor told a Prometheus.

Pods that ran in the range become jobs with their arrival, their duration, their requests and their measured use. Every
node counts as there all the time. What kube-state-metrics does not tell (affinity, spread, ports) asks for nothing.
Times of the range are on whole steps, so that a command asks for the same twice within a step.

    prometheus:http://prometheus.monitoring:9090?range=7d&step=5m
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.files.kubernetes_objects import shaped
from peaks_scheduler.objects.node import node_from_api
from peaks_scheduler.objects.pod import Pod, pod_from_api
from peaks_scheduler.power.models import PowerModels
from peaks_scheduler.settings.settings import Settings
from peaks_scheduler.simulation.cluster import SimulatedNode
from peaks_scheduler.simulation.workload import Job, Workload, in_order
from peaks_scheduler.sources.factory import prometheus_api
from peaks_scheduler.text.durations import span_of
from peaks_scheduler.text.words import few, nearest, plural

from .history import History, Span, Use, by_pod
from .jobs import (
    USE_OF_REQUEST,
    Stay,
    at_the_start,
    count_staying,
    in_turn,
    job_of,
    placed_anew,
    supposed_note,
    supposed_use,
)
from .nodes import Assumed, simulated
from .notes import Counts
from .seen_nodes import LABELS_HINT, SeenNode, seen_nodes
from .seen_pods import SeenPod, SeenVolumes, family, seen_pods, seen_volumes, tolerated
from .staying import LOCAL_VOLUME, UNKNOWN_VOLUME, tied_by_owner
from .volumes import NO_STORAGE

RANGE, STEP = "7d", "5m"
_NODES = 12_500
"""Nodes that answers may be about: a hundred thousand pods are eight each."""
_SHORTEST_RATE = 180.0
"""[s] window of a rate: two scrapes and more, at the usual intervals."""
_LEAST_LIFE = 0.25
"""Share of a rate's window that a pod must have lived for the rate to tell its use."""
_LATE = 3.0
"""A pod that was last told of this many resolutions before the end of the range is gone."""
T = TypeVar("T")


def request_of(text: str, settings: Settings) -> tuple[Settings, float, float]:
    """The settings with the address of ``URL?range=7d&step=5m``, range and step [s]. Raises ConfigurationError."""
    address, _, query = text.partition("?")
    given = dict(parse_qsl(query, keep_blank_values=True))
    for name in given.keys() - {"range", "step"}:
        hint = nearest(name, ("range", "step"))
        raise ConfigurationError(f"prometheus:{text}: expected range and step; got {name!r}{hint}")
    range_s, step_s = (_seconds(name, given.get(name, usual)) for name, usual in (("range", RANGE), ("step", STEP)))
    if range_s < 2.0 * step_s:
        raise ConfigurationError(f"prometheus:{text}: expected a range of at least two steps ({step_s:g} s each)")
    return replace(settings, prometheus=replace(settings.prometheus, address=address or None)), range_s, step_s


def _seconds(name: str, text: str) -> float:
    span = span_of(text)
    if not span:
        raise ConfigurationError(f"prometheus: {name}: expected a duration such as 7d, 12h or 5m; got {text!r}")
    return span


# --- nodes ------------------------------------------------------------------------------------------------------------


def nodes_of_prometheus(
    settings: Settings, range_s: float, step_s: float, models: PowerModels, assumed: Assumed | None = None
) -> tuple[tuple[SimulatedNode, ...], tuple[str, ...]]:
    """The nodes of the range, and notes.

    ``assumed``, and errors for nodes without a model, as of ``nodes.simulated``. Raises ConfigurationError, and
    LoadError where Prometheus does not answer.
    """

    return _asked(settings, range_s, step_s, lambda history: nodes_of(history, models, assumed))


async def nodes_of(
    history: History, models: PowerModels, assumed: Assumed | None = None
) -> tuple[tuple[SimulatedNode, ...], tuple[str, ...]]:
    """As ``nodes_of_prometheus``, of a history."""
    seen = await seen_nodes(history, models)
    with shaped("Prometheus"):
        nodes = [node_from_api(node.raw()) for node in seen.values()]
    hint = LABELS_HINT if models.by_selector else ""
    found, notes = simulated(nodes, models, f"--nodes {history.api.where}", assumed, hint)
    return found, (*notes, *_partly(seen, history.span), *history.problems)


def _partly(seen: Mapping[str, SeenNode], span: Span) -> list[str]:
    late = _LATE * span.finest
    began = min(node.first for node in seen.values())
    part = [node.name for node in seen.values() if node.first > began + late or node.last < span.end - late]
    if not part:
        return []
    count = plural(len(part), "node")
    return [f"{count} there for a part of the range only, taken as there all the time ({few(part)})"]


def _asked(settings: Settings, range_s: float, step_s: float, ask: Callable[[History], Coroutine[Any, Any, T]]) -> T:
    """What ``ask`` makes of the history of the range up to now."""

    async def run() -> T:
        api = prometheus_api(settings, nodes=lambda: _NODES)
        end = time.time() // step_s * step_s
        try:
            return await ask(History(api, Span(end - range_s // step_s * step_s, end, step_s)))
        finally:
            await api.aclose()

    return asyncio.run(run())


# --- pods -------------------------------------------------------------------------------------------------------------


def workload_of_prometheus(
    settings: Settings, range_s: float, step_s: float, use_of_request: float = USE_OF_REQUEST
) -> Workload:
    """The pods that ran in the range, as jobs from its start.

    ``use_of_request``: share of its request that a pod is taken to use where no series tells its use. Raises
    ConfigurationError where no pod ran, LoadError where Prometheus does not answer.
    """

    return _asked(settings, range_s, step_s, lambda history: workload_of(history, settings, use_of_request))


async def workload_of(history: History, settings: Settings, use_of_request: float = USE_OF_REQUEST) -> Workload:
    """As ``workload_of_prometheus``, of a history."""
    nodes = await seen_nodes(history)
    use = by_pod(await history.over_time(_use_query(history)))
    pods, volumes = await seen_pods(history), await seen_volumes(history)
    span = _told(history.span, nodes)
    counts = Counts()
    lives = [(pod, life) for pod in pods if (life := _life(pod, span, counts)) is not None]
    if not lives:
        raise ConfigurationError(
            f"--workload {history.api.where}: expected pods that ran in the range (kube_pod_info, "
            "kube_pod_start_time), got none: is kube-state-metrics scraped?"
        )
    placed = _placed(lives, nodes, volumes, settings, counts)
    jobs = _jobs(placed, span, use, use_of_request, counts)
    return Workload(in_order(jobs), (*_shorter(history.span, span), *counts.notes(), *history.problems))


def _window(span: Span) -> float:
    return max(span.step, _SHORTEST_RATE)


def _use_query(history: History) -> str:
    series = history.api.match.selector(
        "container_cpu_usage_seconds_total", 'container!=""', 'container!="POD"', 'pod!=""'
    )
    # containers are summed within a target; of several targets that scraped the same pod one counts
    return (
        f"max by (namespace, pod) (sum without (container, id, image, name, cpu) "
        f"(rate({series}[{_window(history.span):.0f}s])))"
    )


def _told(span: Span, nodes: Mapping[str, SeenNode]) -> Span:
    """The part of the span in which kube-state-metrics was scraped."""
    began = min(node.first for node in nodes.values())
    return replace(span, start=max(span.start, began)) if began > span.start + _LATE * span.finest else span


def _shorter(asked: Span, told: Span) -> list[str]:
    if told.start == asked.start:
        return []
    return [f"nothing was told of the first {(told.start - asked.start) / 3600:.1f} h of the range: left out"]


def _life(pod: SeenPod, span: Span, counts: Counts) -> tuple[float, float] | None:
    """When a pod ran within the span [s since the epoch]; None: never."""
    name = f"{pod.namespace}/{pod.name}"
    if not counts.passes(pod.started is not None, "pod left out, never started in the range", name):
        return None
    assert pod.started is not None
    if pod.finished and pod.completed is not None:
        end = pod.completed
    else:
        end = span.end if pod.last >= span.end - _LATE * span.finest else pod.last
    begin = max(pod.started, span.start)
    if not counts.passes(end > begin, "pod left out, finished before the range or within a scrape", name):
        return None
    return begin, min(end, span.end)


_Placed = tuple[SeenPod, tuple[float, float], Pod, Stay]
"""A pod, when it ran, the pod as the core sees it, and whether it stays."""


def _placed(
    lives: Sequence[tuple[SeenPod, tuple[float, float]]],
    nodes: Mapping[str, SeenNode],
    volumes: SeenVolumes,
    settings: Settings,
    counts: Counts,
) -> list[_Placed]:
    taints = tolerated((pod for pod, _ in lives), nodes)
    names: Counter[tuple[str, str]] = Counter()
    found: list[_Placed] = []
    for seen, life in lives:
        names[seen.namespace, seen.name] += 1
        again = names[seen.namespace, seen.name]
        raw = seen.raw(seen.name if again == 1 else f"{seen.name}.{again}", sorted(taints.get(family(seen), ())))
        with shaped("Prometheus", raw):
            pod = pod_from_api(raw, settings.default_pod_cpu, rules=settings.annotation_rules)
        stay = Stay(seen.node, _why_tied(seen, volumes))
        found.append((seen, life, *placed_anew(pod, stay, NO_STORAGE)))
    count_staying([(pod, stay) for _, _, pod, stay in found], counts)
    return found


def _why_tied(pod: SeenPod, volumes: SeenVolumes) -> str:
    if why := tied_by_owner(pod.owner[0]):
        return why
    for claim in sorted(pod.claims):
        volume = volumes.volume_of.get((pod.namespace, claim))
        if volume == "":
            continue
        if volume is None or volume not in volumes.local:
            return UNKNOWN_VOLUME
        if volumes.local[volume]:
            return LOCAL_VOLUME
    return ""


def _jobs(placed: Sequence[_Placed], span: Span, use: Use, use_of_request: float, counts: Counts) -> list[Job]:
    there = [each for each in placed if each[1][0] <= span.start]
    there.sort(key=lambda each: in_turn(each[2], each[3]))
    early = {each[2].key: at for each, at in zip(there, at_the_start(len(there)), strict=True)}
    jobs = []
    for seen, (begin, end), pod, stay in placed:
        arrival = early.get(pod.key, max(seen.created or begin, span.start) - span.start)
        steps = _steps(use.get((seen.namespace, seen.name)), span, seen.started or begin, begin, end)
        if not steps:
            counts.add(supposed_note(use_of_request), pod.key)
        cores = _mean(steps, end - begin) if steps else supposed_use(pod, use_of_request)
        job = job_of(pod, stay, arrival, max(end - begin, 1.0), cores)
        jobs.append(replace(job, usage=steps if len(steps) > 1 else ()))
    return jobs


def _steps(
    series: tuple[Floats, Floats] | None, span: Span, started: float, begin: float, end: float
) -> tuple[tuple[float, float], ...]:
    """(seconds from the pod's start, cores from then on) of a pod that ran from ``begin`` to ``end``.

    ``started``: when it began to run, perhaps before ``begin``. A rate over a window of which the pod lived for a part
    only is its use times that part. Equal steps that follow each other are one; a step without a value goes on as the
    one before.
    """
    if series is None:
        return ()
    (times, values), window = series, _window(span)
    lived = np.minimum(times, end) - np.maximum(times - window, started)
    known = (lived >= _LEAST_LIFE * window) & np.isfinite(values) & (times > begin) & (times - span.step < end)
    steps: list[tuple[float, float]] = []
    for ended, cores in zip(times[known], (values * window)[known] / lived[known], strict=True):
        at = max(float(ended) - span.step - begin, 0.0) if steps else 0.0
        if not steps or (steps[-1][1] != cores and at > steps[-1][0]):
            steps.append((at, float(cores)))
    return tuple(steps)


def _mean(steps: Sequence[tuple[float, float]], duration: float) -> float:
    """[cores] mean use over the pod's life."""
    ends = [at for at, _ in steps[1:]] + [duration]
    return sum(cores * (end - at) for (at, cores), end in zip(steps, ends, strict=True)) / duration
