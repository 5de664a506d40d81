"""The load report of a source, matched with the nodes of a cluster.

Owns the way from a report to the load of each node, and the warnings about names that are not used: the daemon,
``explain`` and ``check`` give the same ones. The work is in two steps, because the first takes a third of a second for
thousands of names, and its result holds until a name or a node changes:

    resolution = resolve_report(report, nodes)    # which node does each name mean?
    matched = match(report, resolution)           # which load has each node?

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from peaks_scheduler.ledger.node_load import LoadReport, NodeLoad
from peaks_scheduler.objects.node import Node

from .node_identity import NodeAddresses, Resolution, resolve

UNMATCHED = "load names that are no node of this cluster"
AMBIGUOUS = "load names that may be any of several nodes, not used"
DUPLICATES = "several load names mean one node, none is used"


@dataclass(frozen=True, slots=True)
class MatchedLoad:
    """The load of each node in one report, and the names that are not used."""

    loads: Mapping[str, NodeLoad] = field(default_factory=dict)
    """Node -> its load."""
    resolution: Resolution = field(default_factory=Resolution)

    def warnings(self) -> Mapping[str, tuple[str, ...]]:
        """Warning -> the names that it is about. All three warnings, in this order; without names it does not apply."""
        return {
            UNMATCHED: self.resolution.unmatched,
            AMBIGUOUS: tuple(f"{key}: {', '.join(nodes)}" for key, nodes in self.resolution.ambiguous.items()),
            DUPLICATES: tuple(f"{node}: {', '.join(keys)}" for node, keys in self.resolution.duplicates.items()),
        }


def resolve_report(report: LoadReport, nodes: Iterable[Node]) -> Resolution:
    """Which node each name in the report means. Depends on the names alone, not on the loads."""
    return resolve(report.nodes, [NodeAddresses.of(node) for node in nodes], report.spare)


def match(report: LoadReport, resolution: Resolution) -> MatchedLoad:
    """The load of each node, where ``resolution`` says which node each name means.

    Where several names mean one node for sure, their loads decide: if they agree, one of them is used.
    """
    found = resolution.chosen(report.one_of)
    return MatchedLoad({node: report.nodes[key] for node, key in found.matched.items()}, found)


def match_nodes(report: LoadReport, nodes: Iterable[Node]) -> MatchedLoad:
    """Both steps at once."""
    return match(report, resolve_report(report, nodes))
