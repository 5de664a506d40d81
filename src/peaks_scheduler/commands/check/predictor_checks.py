"""Checks of the predictors: which model has each node, does its server answer, and would its predictions count?

No line where nothing says that a node has a predictor. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from peaks_scheduler.errors import PeaksError
from peaks_scheduler.sources.predictors.answered_nodes import AnsweredNode
from peaks_scheduler.text.masking import mask_url
from peaks_scheduler.text.words import few, plural

from . import spread_rates as owners
from .facts import Facts
from .finding import Finding, failed, names, ok, warning
from .grouped import MOST_GROUPS, alike, of_nodes

CHECK = "predictors"
MOST_CHANGE = 0.02
"""Share of a curve's rise: a repair that changes more is worth a look."""
_LOOK = "look at it: peaks-scheduler predict --node {} --plot FILE.png"


def predictors(facts: Facts) -> Iterator[Finding]:
    asked = facts.asked
    if asked is None or isinstance(asked, PeaksError):
        return  # `sensors` says so
    with_one = [node for node in asked.nodes if node.assignment is not None]
    good = [node for node in with_one if node.counts]
    yield from _groups(good)
    yield from _unused(facts, with_one)
    yield from _unassigned(asked.nodes)
    yield from _refused([node for node in with_one if not node.counts and not node.missing], bool(good))
    yield from _repaired(good)
    for example, whose in alike((node.name, "; ".join(node.reasons)) for node in good if node.reasons):
        yield warning(CHECK, f"predictions count, with a remark, for {of_nodes(example, whose)}")
    if with_one and (without := [node.name for node in asked.nodes if not node.assignment and not node.unassigned]):
        text = (
            f"{plural(len(without), 'node')} without one: {names(without)}; model file and learned models count there"
        )
        yield ok(CHECK, text)


def _groups(nodes: Sequence[AnsweredNode]) -> Iterator[Finding]:
    """A line for each model; of many models a line for each way in which they are asked."""
    groups: dict[str, list[str]] = {}
    for node in nodes:
        groups.setdefault(_model(node), []).append(node.name)
    if len(groups) <= MOST_GROUPS:
        for text, whose in groups.items():
            yield ok(CHECK, f"{text}: its predictions count for {_who(whose)}")
        return
    ways: dict[str, list[AnsweredNode]] = {}
    for node in nodes:
        ways.setdefault(_way(node), []).append(node)
    for way, those in ways.items():
        models = sorted({_model(node) for node in those})
        text = f"{way}: predictions of {plural(len(models), 'model')} count for {_who([node.name for node in those])}"
        yield ok(CHECK, f"{text}, such as {models[0]}")


def _who(nodes: Sequence[str]) -> str:
    return few(sorted(nodes)) if len(nodes) <= MOST_GROUPS else f"{plural(len(nodes), 'node')} ({names(nodes)})"


def _model(node: AnsweredNode) -> str:
    """``v2 http://... model fujitsu version 2, in batches (predictors.servers[0])``."""
    assert node.assignment is not None
    model = node.assignment.model
    version = node.version or model.version
    said = f" version {version}" if version else ""
    return f"{model.protocol} {mask_url(model.url)} model {model.model}{said}{_batch(node)} ({node.assignment.said_by})"


def _way(node: AnsweredNode) -> str:
    assert node.assignment is not None
    return f"{node.assignment.model.protocol}{_batch(node)} ({node.assignment.said_by.partition(' ')[0]} ...)"


def _batch(node: AnsweredNode) -> str:
    return "" if node.batch is None else ", in batches" if node.batch else ", one question a request"


def _unused(facts: Facts, nodes: Sequence[AnsweredNode]) -> Iterator[Finding]:
    """Rules of the configuration that mean no node, or none that an earlier rule has left."""
    used = {node.assignment.said_by for node in nodes if node.assignment is not None}
    rules = [f"predictors.servers[{i}]" for i in range(len(facts.settings.predictors.servers))]
    if unused := [rule for rule in rules if rule not in used]:
        yield warning(CHECK, f"no node has a model by {few(unused)}", "correct its `nodes` or `nodeSelector`")


def _unassigned(nodes: Sequence[AnsweredNode]) -> Iterator[Finding]:
    for example, whose in alike((node.name, node.unassigned) for node in nodes if node.unassigned):
        text = f"no predictor, though the cluster names one, for {of_nodes(example, whose)}"
        yield warning(CHECK, text, "correct what it says, or name a server in `predictors.servers`")


def _refused(nodes: Sequence[AnsweredNode], some_count: bool) -> Iterator[Finding]:
    judged = warning if some_count else failed
    texts = ((node.name, f"{_model(node)}: {'; '.join(node.reasons) or 'no prediction came'}") for node in nodes)
    for example, whose in alike(texts):
        yield judged(CHECK, f"predictions do not count for {of_nodes(example, whose)}", _LOOK.format(min(whose)))


def _repaired(nodes: Sequence[AnsweredNode]) -> Iterator[Finding]:
    """Curves that the repair changed by much: the network falls where power cannot."""
    changed = {node.name: share for node in nodes if (share := _share(node)) > MOST_CHANGE}
    if changed:
        worst = max(changed, key=changed.__getitem__)
        text = (
            f"predictions that fall with more use were changed for {_who([*changed])}, most for {worst}: by "
            f"{100 * changed[worst]:.0f} % of its rise"
        )
        yield warning(CHECK, text, _LOOK.format(worst))


def _share(node: AnsweredNode) -> float:
    """The repair's largest change as a share of the curve's rise from no to full load."""
    if node.model is None or not node.change:
        return 0.0
    curve = node.model.curve
    rise = curve.watts(1.0) - curve.watts(0.0)
    return node.change / rise if rise > 0.0 else 1.0


# --- WAO's annotation on owners of pods -------------------------------------------------------------------------------


def spread_rates(facts: Facts) -> Iterator[Finding]:
    if not isinstance(facts.owners, PeaksError):
        yield from owners.judge(facts.owners, _speaks_of_wao(facts))


def _speaks_of_wao(facts: Facts) -> bool:
    """Does a pod of ours have the annotation, or does the cluster itself say which node has which predictor?"""
    pods = () if isinstance(facts.pods, PeaksError) else facts.pods
    asked = () if facts.asked is None or isinstance(facts.asked, PeaksError) else facts.asked.nodes
    said = (each.assignment.said_by for each in asked if each.assignment is not None)
    return any(pod.spread_rate for pod in pods) or any(not each.startswith("predictors.") for each in said)
