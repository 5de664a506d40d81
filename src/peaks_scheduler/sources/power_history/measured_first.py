"""The order in which a node's metrics of power are tried: measured ones first, then estimates.

``origin.py`` says what is measured. Pure.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from peaks_scheduler.power.scope import ESTIMATE
from peaks_scheduler.sources.prometheus.answers import Series

from .exporters import INFO
from .origin import KeplerInfo, newest_info, origin
from .plan import AvailableMetric
from .series_nodes import SeriesNodes

MetricsOfNodes = dict[str, list[AvailableMetric]]
"""Node -> its metrics, the best first."""


def info_of_nodes(series_nodes: SeriesNodes, info: Sequence[Series]) -> Mapping[str, KeplerInfo]:
    """Node -> what ``kepler_node_info`` says about its watts."""
    theirs: dict[str, list[Series]] = {}
    for each, match in zip(info, series_nodes.of(INFO, [each.labels for each in info]), strict=True):
        if match is not None:
            theirs.setdefault(match[0], []).append(each)
    return {node: newest_info(its) for node, its in theirs.items()}


def measured_first(metrics: MetricsOfNodes, info: Mapping[str, KeplerInfo], custom: bool) -> MetricsOfNodes:
    """Each node's metrics, split into measured series and estimates. All estimates come last, even those of a larger
    part of the machine.

    ``custom``: the metrics are a custom query, which is not split, because its series are added.
    """
    ordered: MetricsOfNodes = {}
    for node, its in metrics.items():
        halves = [half for each in its for half in _halves(each, info.get(node, {}), custom)]
        ordered[node] = sorted(halves, key=lambda half: half.estimated)
    return ordered


def _halves(available: AvailableMetric, info: KeplerInfo, custom: bool) -> Iterator[AvailableMetric]:
    estimates = {origin(available.metric, each.labels, info).scope == ESTIMATE: None for each in available.series or ()}
    if custom:
        yield replace(available, info=info, estimated=True in estimates)
        return
    for estimated in estimates:
        yield replace(available, series=None, info=info, estimated=estimated)
