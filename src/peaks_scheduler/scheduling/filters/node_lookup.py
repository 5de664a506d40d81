"""Nodes by name, by requirement, by selector, by CSI driver: the lookups of the volume filters.

Cheap even where every volume has a requirement of its own, as local volumes do: a requirement on one label is looked up
by the label's value. Results are remembered in the storage until the nodes change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from peaks_scheduler.arrays import Mask
from peaks_scheduler.ledger.snapshot import Snapshot
from peaks_scheduler.objects.selectors import LabelSelector, NodeRequirement

Indices = NDArray[np.intp]

NO_NODES: Indices = np.zeros(0, np.intp)
MOST_REMEMBERED = 16384
"""Requirements whose nodes are remembered; when there are more, all are forgotten."""
_LABEL_OPERATORS = frozenset({"In", "NotIn", "Exists", "DoesNotExist"})


def at_nodes(nodes: Snapshot, names: Iterable[str]) -> Mask:
    """(N,) the nodes of these names; names of no node are ignored."""
    mask = np.zeros(len(nodes), np.bool_)
    for name in names:
        i = nodes.index.position(name)
        if i is not None:
            mask[i] = True
    return mask


def having_csi_node(nodes: Snapshot) -> Mask:
    """(N,) nodes that have a CSINode object."""
    storage = nodes.storage
    stamp = (nodes.index.shape, storage.changes["CSINode"])
    return storage.remember("csi nodes", stamp, lambda: at_nodes(nodes, (each.name for each in storage.csi_nodes())))


def migrated_nodes(plugin: str, nodes: Snapshot) -> Mask:
    """(N,) nodes on which this in-tree ``plugin`` was migrated to its CSI driver."""
    storage = nodes.storage
    stamp = (nodes.index.shape, storage.changes["CSINode"])
    named = (each.name for each in storage.csi_nodes() if plugin in each.migrated)
    return storage.remember(("migrated", plugin), stamp, lambda: at_nodes(nodes, named))


def nodes_meeting(where: NodeRequirement, nodes: Snapshot) -> Indices:
    """Indices of the nodes that meet the requirement."""
    new: dict[int, tuple[NodeRequirement, Indices]] = {}
    known = nodes.storage.remember("nodes meeting", nodes.index.shape, lambda: new)
    found = known.get(id(where))  # much cheaper than its hash; equal requirements are one object
    if found is None:
        if len(known) >= MOST_REMEMBERED:
            known.clear()
        found = known[id(where)] = (where, _find_nodes(where, nodes))
    return found[1]


def _find_nodes(where: NodeRequirement, nodes: Snapshot) -> Indices:
    if where.terms is not None and len(where.terms) == 1 and not where.selector:
        expressions = where.terms[0].expressions
        if len(expressions) == 1 and expressions[0].operator == "In" and not where.terms[0].fields:
            return _valued(expressions[0].key, expressions[0].values, nodes) if expressions[0].valid else NO_NODES
    return np.flatnonzero(nodes.index.matching(where))


def nodes_selected(selector: LabelSelector, nodes: Snapshot) -> Indices:
    """Indices of the nodes that the selector selects; none where the selector is invalid."""
    if len(selector.labels) == 1 and not selector.expressions:
        return _valued(selector.labels[0][0], (selector.labels[0][1],), nodes)
    return np.flatnonzero(nodes.index.selecting(selector)) if fault_of(selector) is None else NO_NODES


def fault_of(selector: LabelSelector) -> str | None:
    """Why the selector is invalid; None: it is valid."""
    for each in selector.expressions:
        if each.operator not in _LABEL_OPERATORS:
            return f'"{each.operator}" is not a valid label selector operator'
        if not each.valid:
            return f"invalid requirement on {each.key}"
    return None


def _valued(key: str, values: Iterable[str], nodes: Snapshot) -> Indices:
    by_value = nodes.storage.remember(("by value", key), nodes.index.shape, lambda: _by_value(key, nodes))
    found = [by_value.get(value, NO_NODES) for value in dict.fromkeys(values)]
    return found[0] if len(found) == 1 else np.concatenate(found)


def _by_value(key: str, nodes: Snapshot) -> Mapping[str, Indices]:
    """Indices of the nodes of every value of a label."""
    codes, count = nodes.index.codes(key)
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(count + 1))
    groups = (order[begin:end] for begin, end in pairwise(bounds[1:]) if end > begin)
    return {nodes.index.node(int(group[0])).labels[key]: group for group in groups}
