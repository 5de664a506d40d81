"""Check of the carbon intensity: is its file readable, and does it tell the intensity of every node now? Pure."""

from __future__ import annotations

from collections.abc import Iterator
from math import isnan

from peaks_scheduler.errors import PeaksError
from peaks_scheduler.objects.node import Node
from peaks_scheduler.sources.carbon_file import LABEL, Forecast, region_of
from peaks_scheduler.text.words import few, plural

from .facts import Facts
from .finding import Finding, failed, names, ok, warning

_REMEDY = f"give the file rows of these nodes' regions (label {LABEL}) that cover the present"


def intensity(facts: Facts) -> Iterator[Finding]:
    check, forecast = "carbon", facts.carbon
    if forecast is None:
        yield ok(check, "no carbon.path, and the strategy needs none")
    elif isinstance(forecast, PeaksError):
        yield failed(check, str(forecast), "correct carbon.path or its file")
    else:
        nodes = () if isinstance(facts.nodes, PeaksError) else facts.nodes
        unknown = [node.name for node in nodes if not _known(node, forecast, facts.now)]
        if unknown:
            say = failed if len(unknown) == len(nodes) else warning
            yield say(check, f"no intensity is known now for {names(unknown)}: pods do not go there by grams", _REMEDY)
        else:
            regions = few([region or "all others" for region in forecast])
            yield ok(check, f"{facts.settings.carbon.path} has {plural(len(forecast), 'region')}: {regions}")


def _known(node: Node, forecast: Forecast, now: float) -> bool:
    region = region_of(node, forecast)
    return region is not None and not isnan(forecast[region].at(now))
