"""Are the watts of a series measured by a meter, or estimated by a model?

Owns the judgement. Kepler before 0.10 exports the same metrics with a sensor and without one; without one it uses a
model. Its code shows two differences:

- the label ``source``: the sensor's name, or ``trained_power_model``. It can be wrong: some versions write the sensor's
  name also without a sensor, some write RAPL's name for a platform that is not measured;
- ``kepler_node_info``: what is used indeed, ``platform_power_source`` and ``components_power_source`` (``none`` and
  ``estimator`` without a sensor). Some versions do not have these labels.

So both must agree if both are there, and a value that is no known sensor counts as an estimate. Kepler from 0.10 on has
meters only, and a fake meter for tests. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from peaks_scheduler.power.scope import ESTIMATE, WALL, Scope
from peaks_scheduler.sources.prometheus.answers import Series
from peaks_scheduler.sources.prometheus.labels import LabelMap

from .exporters import NodeMetric

KeplerInfo = Mapping[str, frozenset[str]]
"""Label of ``kepler_node_info`` -> its newest values, for one node; empty: there is no such series."""

_MODELS = ("trained_power_model", "estimator", "none")
_MADE_UP = "/energy_"
"""In the path of a zone of Kepler's fake meter; a real path ends in ``intel-rapl:0``."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What the watts are of, and whether they are measured."""

    scope: Scope
    doubt: str = ""
    """Why they are no measurement, in words; empty: they are measured."""


def origin(metric: NodeMetric, labels: LabelMap, info: KeplerInfo) -> Origin:
    """The origin of one series of ``metric``; ``info`` is about its node."""
    doubt = _fake(labels)
    if doubt or not metric.meters:
        return Origin(ESTIMATE, doubt) if doubt else Origin(metric.scope)
    source = labels.get("exported_source") or labels.get("source") or ""
    used = info.get(metric.info_label, frozenset())
    if doubt := _doubt(metric, source, used):
        return Origin(ESTIMATE, doubt)
    if metric.custom:
        return Origin(metric.scope)
    scopes = {metric.meters[each] for each in used or {source}}
    return Origin(WALL if scopes == {WALL} else metric.scope)


def _doubt(metric: NodeMetric, source: str, used: frozenset[str]) -> str:
    if source in _MODELS:
        return f"Kepler has estimated the watts by a model (source {source!r}), no sensor has measured them"
    if no_sensor := sorted(used - metric.meters.keys()):
        others = f", although the source of the series is {source!r}" if source else ""
        return f"kepler_node_info has {metric.info_label} {no_sensor[0]!r}, which is no sensor{others}"
    if source in metric.meters or metric.custom or (used and not source):
        return ""
    if not source:
        return "the series has no label source, and nothing else says that a sensor has measured it"
    return f"its source is {source!r}, which is not known to be a sensor of the {metric.part}"


def _fake(labels: LabelMap) -> str:
    if _MADE_UP in labels.get("path", ""):
        return f"Kepler's fake meter, which is for tests, has made it up ({labels['path']})"
    return ""


def newest_info(series: Sequence[Series]) -> KeplerInfo:
    """The newest values of ``kepler_node_info`` of one node: after a restart, Kepler may have found its sensors."""
    newest = max((float(each.times[-1]) for each in series if each.times.size), default=0.0)
    now = [each.labels for each in series if each.times.size and float(each.times[-1]) == newest]
    names = ("platform_power_source", "components_power_source")
    found = {name: frozenset(labels[name] for labels in now if labels.get(name)) for name in names}
    return {name: values for name, values in found.items() if values}
