"""Is there a meter behind a series, or has somebody worked the watts out?

Owns the judgement. Kepler before 0.10 exports the same metrics where it has a sensor and where it has none and runs a
model of its own instead. What tells the two apart, in its code:

- the label ``source``: the sensor's name, or ``trained_power_model``. It can lie: some versions write the sensor's name
  into it whether the sensor is there or not, some write RAPL's for a platform that nothing measures;
- ``kepler_node_info``: what is really used, ``platform_power_source`` and ``components_power_source`` (``none`` and
  ``estimator`` without a sensor). Some versions do not have these labels.

So both have to agree as far as they speak, and a value that no sensor has is no sensor's: not known is not measured.
Later Keplers have meters alone, and one for tests that makes its watts up. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from peaks_scheduler.power.scope import ESTIMATE, WALL, Scope
from peaks_scheduler.sources.prometheus.answers import Series

from .exporters import Candidate

Told = Mapping[str, frozenset[str]]
"""Label of ``kepler_node_info`` -> the values that it has now, for one node; empty: nothing was said."""

_MODELS = ("trained_power_model", "estimator", "none")
_MADE_UP = "/energy_"
"""In the path of a zone of Kepler's fake meter, where a real one ends in ``intel-rapl:0``."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where watts come from."""

    scope: Scope
    doubt: str = ""
    """Why they are no measurement, in words; empty: they are one."""


def origin(candidate: Candidate, labels: Mapping[str, str], told: Told) -> Origin:
    """Of one series of the candidate, on a node of which ``kepler_node_info`` has ``told`` that."""
    doubt = _made_up(labels)
    if doubt or not candidate.meters:
        return Origin(ESTIMATE, doubt) if doubt else Origin(candidate.scope)
    said = labels.get("exported_source") or labels.get("source") or ""
    known = told.get(candidate.told_by, frozenset())
    if doubt := _doubt(candidate, said, known):
        return Origin(ESTIMATE, doubt)
    if candidate.own:
        return Origin(candidate.scope)
    scopes = {candidate.meters[each] for each in known or {said}}
    return Origin(WALL if scopes == {WALL} else candidate.scope)


def _doubt(candidate: Candidate, said: str, known: frozenset[str]) -> str:
    if said in _MODELS:
        return f"Kepler has worked the watts out by a model (source {said!r}), no sensor has measured them"
    if strange := sorted(known - candidate.meters.keys()):
        others = f", whatever the series' source ({said!r}) says" if said else ""
        return f"kepler_node_info has {candidate.told_by} {strange[0]!r}, which is no sensor{others}"
    if said in candidate.meters or candidate.own or (known and not said):
        return ""
    if not said:
        return "the series has no label source, and nothing else says that a sensor has measured it"
    return f"its source is {said!r}, which is not known to be a sensor of the {candidate.part}"


def _made_up(labels: Mapping[str, str]) -> str:
    if _MADE_UP in labels.get("path", ""):
        return f"Kepler's fake meter, which is for tests, has made it up ({labels['path']})"
    return ""


def told_now(series: Sequence[Series]) -> Told:
    """What the series of ``kepler_node_info`` of one node say: the newest, for a Kepler that was started again may have
    found its sensors."""
    newest = max((float(each.times[-1]) for each in series if each.times.size), default=0.0)
    now = [each.labels for each in series if each.times.size and float(each.times[-1]) == newest]
    names = ("platform_power_source", "components_power_source")
    said = {name: frozenset(labels[name] for labels in now if labels.get(name)) for name in names}
    return {name: values for name, values in said.items() if values}
