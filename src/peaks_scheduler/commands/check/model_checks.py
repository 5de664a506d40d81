"""Checks of the power models: has every node one, is its curve plausible, and was it measured at the node's load?

The bounds are wide: the 498 servers in SPECpower_ssj2008 draw 45 to 2,148 W at full load, 1.3 to 11.3 times as much as
at no load. Bounds that a fit and an import use as well are in ``power.plausibility``. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from peaks_scheduler.errors import PeaksError
from peaks_scheduler.objects.meta import parse_time
from peaks_scheduler.objects.node import Node
from peaks_scheduler.power.curves import Curve, Linear, Piecewise
from peaks_scheduler.power.models import EMPTY, PowerModel, PowerModels, Quality
from peaks_scheduler.power.plausibility import (
    LEAST_RISE,
    MOST_FIRST_RISE,
    USUAL_LEAST,
    USUAL_MOST,
    too_flat,
    too_steep,
    usual,
)

from .facts import Facts
from .finding import Finding, failed, names, not_checked, ok, span, warning

MOST_RATIO = 50.0  # power at full load over power at no load
POOR_R2 = 0.8
LITTLE_KNOWN = 0.5  # [fraction] a fit on less load than this says little about a full node
MARGIN = 0.05  # [fraction] beyond the fitted range that gives no warning
OLD = 365 * 86400.0  # [s] since a fit: firmware, fans and memory change
FIT = "peaks-scheduler fit --prometheus URL -o FILE"
LONGER = f"fit on a longer, busier range: {FIT} --range 30d"
OWN_FORM = "nodePowerModel, and a file of its form, is always for percent: divide k2 by 100 there"
NO_MODELS = "no power models"


def file(facts: Facts) -> Iterator[Finding]:
    check, path = "power models", facts.settings.power.file
    if isinstance(facts.models, PeaksError):
        yield failed(check, str(facts.models), f"correct powerModels or its file, or make one: {FIT}")
    elif facts.models == EMPTY:
        where = f"{path} has none" if path else "none are configured"
        text = f"{where}: pods are not placed by watts, the least full node gets a pod"
        yield failed(check, text, f"make them: {FIT}")
    else:
        named, selected = len(facts.models.by_name), len(facts.models.by_selector)
        yield ok(check, f"{path or 'the configuration'} has {named} by name, {selected} by labels")


def of_nodes(facts: Facts) -> Iterator[Finding]:
    check = "models of nodes"
    if isinstance(facts.models, PeaksError) or facts.models == EMPTY:
        yield not_checked(check, NO_MODELS)
    elif isinstance(facts.nodes, PeaksError) or not facts.nodes:
        yield not_checked(check, "no nodes")
    else:
        found = list(_of_nodes(check, facts.models, list(facts.nodes)))
        yield from found or [ok(check, f"each of {len(facts.nodes)} nodes has one")]


def _of_nodes(check: str, models: PowerModels, nodes: list[Node]) -> Iterator[Finding]:
    claimed = {node.name: models.ambiguous(node.name, node.labels) for node in nodes}
    twice = [name for name, selectors in claimed.items() if selectors]
    none = [n.name for n in nodes if not claimed[n.name] and models.for_node(n.name, n.labels) is None]
    count, behind = len(nodes), "they get pods only if no other node is feasible"
    if len(none) == count:
        text = f"no node has one; the file is for {names(_all_names(models))}, the nodes are {names(none)}"
        yield failed(check, text, "name nodes as `kubectl get nodes` does, and labels as `--show-labels` does")
    elif none:
        yield warning(check, f"{len(none)} of {count} nodes without one, {behind}: {names(none)}", f"make one: {FIT}")
    if twice:
        text = f"several selectors match {names(twice)} ({', '.join(claimed[twice[0]])}): none is used, {behind}"
        yield warning(check, text, "name these nodes in an entry, or narrow the selectors")
    if len(none) < count and (strange := [name for name in models.by_name if name not in claimed]):
        yield warning(check, f"for nodes that are not there: {names(strange)}", "correct the names, or remove them")


def _all_names(models: PowerModels) -> list[str]:
    return [*models.by_name, *(model.name for _, model in models.by_selector)]


# --- each model -----------------------------------------------------------------------------------------------------


def curves(facts: Facts) -> Iterator[Finding]:
    yield from _each(
        "power curves", facts, lambda model: _odd(model.curve), "every curve is one that a machine can have"
    )


def _odd(curve: Curve) -> tuple[str, str]:
    """The most likely problem of a curve, and what to do; empty: no problem."""
    idle, full = curve.watts(0.0), curve.watts(1.0)
    if not usual(idle, full):
        bounds = f"{USUAL_LEAST:g} to {USUAL_MOST:,.0f} W"
        return f"power outside of {bounds} for", "are these watts, of whole machines?"
    if too_flat(curve):
        return (
            f"from no to full load power rises by less than {100 * LEAST_RISE:g} % for",
            _if_percent(curve),
        )
    if too_steep(curve):
        return (
            f"more than {100 * MOST_FIRST_RISE:g} % of the rise comes with the first 1 % of load for",
            f"{_for(curve)} for 0..1? then say `cpu: ratio`; {OWN_FORM}",
        )
    if full > MOST_RATIO * idle:
        return f"full load draws more than {MOST_RATIO:g} times the idle power for", "is the idle power missing in it?"
    return "", ""


def _for(curve: Curve) -> str:
    return "are its points" if isinstance(curve, Piecewise) else "is its k2"


def _if_percent(curve: Curve) -> str:
    """The question about a curve that is too flat; a straight line has no unit of CPU."""
    if isinstance(curve, Linear):
        return "are `idle` and `max` those of this machine?"
    return f"{_for(curve)} for percent? then say `cpu: percent`"


def quality(facts: Facts) -> Iterator[Finding]:
    def poor(model: PowerModel) -> tuple[str, str]:
        return _poor(model.quality, facts.now)

    yield from _each("model quality", facts, poor, "every model says how well it fits, and fits well")


def _poor(known: Quality | None, now: float) -> tuple[str, str]:
    """The most likely weakness of a fit, and what to do; empty: none."""
    if known is None or all(each is None for each in (known.r2, known.rmse_watts, known.confidence)):
        return "the file does not say how good the fit is (`quality`) for", f"fit it: {FIT}"
    if known.confidence == "low":
        return "a first guess, never measured, for", f"measure it: {FIT}"
    if known.r2 is not None and known.r2 < POOR_R2:
        return f"load explains little of the measured power (R2 below {POOR_R2:g}) for", LONGER
    if known.cpu_max is not None and known.cpu_max < LITTLE_KNOWN:
        return f"never measured above {100 * LITTLE_KNOWN:g} % load for", LONGER
    fitted = parse_time(known.fitted)
    if fitted is not None and now - fitted > OLD:
        return f"fitted more than {span(OLD)} ago for", f"fit it again: {FIT}"
    return "", ""


def _each(check: str, facts: Facts, judge: Callable[[PowerModel], tuple[str, str]], fine: str) -> Iterator[Finding]:
    """A finding for each problem, with the models that have it; ``fine`` is said if there is none."""
    if isinstance(facts.models, PeaksError) or facts.models == EMPTY:
        yield not_checked(check, NO_MODELS)
        return
    wrong: dict[tuple[str, str], list[str]] = {}
    for model in _all(facts.models):
        wrong.setdefault(judge(model), []).append(model.name)
    wrong.pop(("", ""), None)
    for (text, remedy), whose in wrong.items():
        yield warning(check, f"{text} {names(whose)}", remedy)
    if not wrong:
        yield ok(check, fine)


def _all(models: PowerModels) -> Iterable[PowerModel]:
    return (*models.by_name.values(), *(model for _, model in models.by_selector))


def scopes(facts: Facts) -> Iterator[Finding]:
    """Are the watts of all nodes of the same parts of the machine? Placements compare them."""
    check = "model scopes"
    if isinstance(facts.models, PeaksError) or facts.models == EMPTY:
        yield not_checked(check, NO_MODELS)
    elif isinstance(facts.nodes, PeaksError) or not facts.nodes:
        yield not_checked(check, "no nodes")
    elif found := facts.models.unlike((node.name, node.labels) for node in facts.nodes):
        kinds = "; ".join(f"{scope}: {names(whose)}" for scope, whose in found.items())
        text = f"the models are for different parts of the machine, and a node with fewer parts looks cheaper ({kinds})"
        yield warning(check, text, f"measure the same parts on all nodes, or correct `scope` in the file: {FIT}")
    else:
        yield ok(check, "all models are for the same parts of the machine")


# --- the range of load --------------------------------------------------------------------------------------------


def fitted_range(facts: Facts) -> Iterator[Finding]:
    """Is the present load of each node within the range that its model was fitted on?"""
    check, use = "fitted range", facts.use()
    if isinstance(facts.models, PeaksError) or facts.models == EMPTY:
        yield not_checked(check, NO_MODELS)
    elif isinstance(facts.nodes, PeaksError) or not use:
        yield not_checked(check, "no load of any node")
    else:
        known = {node.name: facts.models.for_node(node.name, node.labels) for node in facts.nodes}
        ranges = {name: model.quality for name, model in known.items() if model and model.quality and name in use}
        yield _beyond(check, {name: _outside(use[name], each) for name, each in ranges.items()})


def _beyond(check: str, outside: dict[str, str]) -> Finding:
    beyond = {name: words for name, words in outside.items() if words}
    if beyond:
        text = f"{len(beyond)} of {len(outside)} nodes have a load at which their model was not measured: "
        return warning(check, text + names([f"{name} {words}" for name, words in beyond.items()]), f"fit again: {FIT}")
    if not outside:
        return not_checked(check, "no model has its range (`quality`)")
    return ok(check, f"{len(outside)} nodes have a load at which their model was measured")


def _outside(cpu: float, known: Quality) -> str:
    low = 0.0 if known.cpu_min is None else known.cpu_min
    high = 1.0 if known.cpu_max is None else known.cpu_max
    if low - MARGIN <= cpu <= high + MARGIN:
        return ""
    return f"(at {100 * cpu:.0f} %, fitted on {100 * low:.0f} to {100 * high:.0f} %)"
