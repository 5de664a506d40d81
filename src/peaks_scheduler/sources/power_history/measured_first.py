"""A node's choices in the order in which they are believed: all that was measured, then what was worked out.

Owns that order, and puts what ``kepler_node_info`` says beside each node's choices. What is a measurement is
``power_origin.py``'s to say. Pure.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from peaks_scheduler.power.scope import ESTIMATE
from peaks_scheduler.sources.prometheus.answers import Series

from .exporters import INFO
from .node import Choice
from .origin import Told, origin, told_now
from .owners import Owners

Choices = dict[str, list[Choice]]


def told_of(owners: Owners, info: Sequence[Series]) -> Mapping[str, Told]:
    """Node -> what ``kepler_node_info`` says of its watts."""
    theirs: dict[str, list[Series]] = {}
    for each, owner in zip(info, owners.of(INFO, [each.labels for each in info]), strict=True):
        if owner is not None:
            theirs.setdefault(owner[0], []).append(each)
    return {node: told_now(its) for node, its in theirs.items()}


def measured_first(choices: Choices, told: Mapping[str, Told], whole: bool) -> Choices:
    """Each choice as one of what it has measured and one of its estimates: these come behind all that is measured, be
    it of less of the machine."""
    ordered: Choices = {}
    for node, its in choices.items():
        halves = [half for choice in its for half in _halves(choice, told.get(node, {}), whole)]
        ordered[node] = sorted(halves, key=lambda half: half.estimated)
    return ordered


def _halves(choice: Choice, told: Told, whole: bool) -> Iterator[Choice]:
    kinds: dict[bool, list[Series]] = {}
    for each in choice.known or ():
        kinds.setdefault(origin(choice.candidate, each.labels, told).scope == ESTIMATE, []).append(each)
    if whole:  # somebody's own query is added up as it stands
        yield replace(choice, told=told, estimated=True in kinds)
        return
    for estimated in kinds:
        yield replace(choice, known=None, told=told, estimated=estimated)
