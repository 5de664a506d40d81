"""``--nodes TEXT``: the nodes of the simulated cluster, in one of several forms.

Two visible tables say which function reads what: ``READERS`` by the prefix of the text, ``FILE_FORMS`` by the content
of a file without a prefix. The same text and seed always give the same nodes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from peaks_scheduler.files.csv.bounded_text import read_csv_text
from peaks_scheduler.power.curves import Curve
from peaks_scheduler.simulation.cluster import SimulatedNode

from .node_table import node_table
from .predicted import predicted_nodes
from .source import Source, source_of
from .specpower import specpower_nodes

Reader = Callable[[Source, int], tuple[Sequence[SimulatedNode], Sequence[str]]]
"""(nodes of a source, drawn with a seed where it draws, notes on what was changed in reading). Raises
ConfigurationError."""
FileReader = Callable[[Source, str], Sequence[SimulatedNode]]
"""Nodes of a file's text."""

READERS: Mapping[str, Reader] = {
    "specpower": specpower_nodes,
    "table": predicted_nodes,
}

_HEAD = 65_536  # characters that tell the form of a file


def is_dump(text: str) -> bool:
    """Is this the answer of ``kubectl get -o json`` or ``-o yaml``, and no table?"""
    head = text[:_HEAD]
    return head.lstrip().startswith("{") or re.search(r"^\s*(?:- )?kind:", head, re.MULTILINE) is not None


def _dump(source: Source, text: str) -> Sequence[SimulatedNode]:
    raise source.error("expected a CSV of nodes; got a dump of a cluster, whose nodes have no power curves")


FILE_FORMS: Sequence[tuple[Callable[[str], bool], FileReader]] = (
    (is_dump, _dump),
    (lambda text: True, node_table),
)
"""(does a text look like this form?, its reader), the first that does counts."""


def read_nodes(text: str, seed: int) -> tuple[SimulatedNode, ...]:
    """The nodes that ``--nodes TEXT`` names; machines with the same curve and size share a ``kind``.

    Raises ConfigurationError.
    """
    return read_nodes_and_notes(text, seed)[0]


def read_nodes_and_notes(text: str, seed: int) -> tuple[tuple[SimulatedNode, ...], tuple[str, ...]]:
    """``read_nodes``, and what was changed in reading them. Raises ConfigurationError."""
    source = source_of("--nodes", text, READERS, os.path.isfile)
    if source.prefix:
        nodes, notes = READERS[source.prefix](source, seed)
        return same_kinds(nodes), tuple(notes)
    content = read_csv_text(source.place, source.option)
    return same_kinds(next(read for looks, read in FILE_FORMS if looks(content))(source, content)), ()


def same_kinds(nodes: Sequence[SimulatedNode]) -> tuple[SimulatedNode, ...]:
    """The nodes, with a ``kind`` for those that have none: the first node's name of each curve and size."""
    taken = {node.kind for node in nodes}
    kinds: dict[tuple[Curve, float, float], str] = {}
    for node in nodes:
        if node.kind:
            kinds.setdefault((node.curve, node.cpu_cores, node.memory_mib), node.kind)
    found = []
    for node in nodes:
        machine = (node.curve, node.cpu_cores, node.memory_mib)
        if machine not in kinds:
            kinds[machine] = node.name if node.name not in taken else f"like {node.name}"
        found.append(node if node.kind else replace(node, kind=kinds[machine]))
    return tuple(found)
