"""Indices over nodes and the pods on them, kept up to date by the ledger: no decision walks over all pods.

Owns three answers of ``snapshot.NodeIndex``: which nodes satisfy a constraint (remembered per distinct constraint),
where a host port is taken, and where a pod that is already there repels others. Assumes every change of a slot is
told to it. Never looks at resources or load.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from .objects import HostPort, Node, Pod
from .selectors import AntiAffinityTerm, Taint
from .snapshot import Mask

REMEMBERED = 256
"""Distinct constraints whose verdict on every node is kept; beyond it the one not asked for longest is forgotten."""


@dataclass(slots=True, eq=False)
class Verdicts:
    """One constraint's verdict on every node."""

    predicate: Callable[[Node], bool]
    mask: Mask  # (capacity,)


@dataclass(slots=True, eq=False)
class Slot:
    """A node's place: its record, its index in the arrays (-1 while only pods of it were seen), and who is there."""

    name: str
    node: Node | None = None
    index: int = -1
    ports: Counter[HostPort] = field(default_factory=Counter)


class Indices:
    """See the module; implements ``snapshot.NodeIndex``."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        self._slots = slots
        self._verdicts: OrderedDict[Hashable, Verdicts] = OrderedDict()
        self._taints: dict[tuple[Taint, ...], Mask] = {}
        self._ports: dict[tuple[str, int], set[Slot]] = {}
        self._repelling: dict[AntiAffinityTerm, Counter[str]] = {}

    # -- nodes

    def node_changed(self, i: int, node: Node) -> None:
        """The node at index i is new, has changed, or has moved there."""
        for verdicts in self._verdicts.values():
            verdicts.mask = _room(verdicts.mask, i)
            verdicts.mask[i] = verdicts.predicate(node)
        for taints in {*self._taints, node.taints} - {()}:
            mask = _room(self._taints.get(taints, np.zeros(64, np.bool_)), i)
            mask[i] = taints == node.taints
            self._taints[taints] = mask
        if len(self._taints) > REMEMBERED:  # taints can carry a time as value: sets that no node has any more must go
            self._taints = {taints: mask for taints, mask in self._taints.items() if mask[: len(self._slots)].any()}

    def matching(self, constraint: Hashable, predicate: Callable[[Node], bool]) -> Mask:
        verdicts = self._verdicts.get(constraint)
        if verdicts is None:
            mask = np.fromiter((predicate(slot.node) for slot in self._slots if slot.node), np.bool_, len(self._slots))
            verdicts = self._verdicts[constraint] = Verdicts(predicate, mask)
            if len(self._verdicts) > REMEMBERED:
                self._verdicts.popitem(last=False)
        else:
            self._verdicts.move_to_end(constraint)
        return verdicts.mask[: len(self._slots)]

    def taint_sets(self) -> Mapping[tuple[Taint, ...], Mask]:
        n = len(self._slots)
        return {taints: _room(mask, n)[:n] for taints, mask in self._taints.items()}

    # -- pods

    def pod_added(self, slot: Slot, pod: Pod) -> None:
        for port in pod.ports:
            slot.ports[port] += 1
            self._ports.setdefault((port.protocol, port.port), set()).add(slot)
        for term in pod.anti_affinity:
            self._repelling.setdefault(term, Counter())[slot.name] += 1

    def pod_removed(self, slot: Slot, pod: Pod) -> None:
        for port in pod.ports:
            slot.ports[port] -= 1
            slot.ports = +slot.ports
            if not any((p.protocol, p.port) == (port.protocol, port.port) for p in slot.ports):
                self._ports[port.protocol, port.port].discard(slot)
        for term in pod.anti_affinity:
            names = self._repelling[term] - Counter((slot.name,))
            if names:
                self._repelling[term] = names
            else:
                del self._repelling[term]

    def holding_ports(self, ports: tuple[HostPort, ...]) -> Mask | None:
        taken: Mask | None = None
        for port in ports:
            for slot in self._ports.get((port.protocol, port.port), ()):
                if slot.index >= 0 and any(
                    p.port == port.port and p.protocol == port.protocol and p.conflicts(port.ip) for p in slot.ports
                ):
                    taken = np.zeros(len(self._slots), np.bool_) if taken is None else taken
                    taken[slot.index] = True
        return taken

    def repelled_by(self, pod: Pod) -> tuple[Mask | None, Mask | None]:
        certain: Mask | None = None
        possible: Mask | None = None
        for term, names in self._repelling.items():
            if not term.may_match(pod.namespace, pod.labels):
                continue
            domain = self._domain(term.topology_key, names)
            if term.certainly_matches(pod.namespace):
                certain = domain if certain is None else certain | domain
            else:
                possible = domain if possible is None else possible | domain
        return certain, possible

    def _domain(self, topology_key: str, names: Mapping[str, int]) -> Mask:
        """(N,) nodes that share a value of ``topology_key`` with one of ``names``."""
        there = [slot.node for slot in self._slots if slot.name in names]
        values = {node.labels[topology_key] for node in there if node is not None and topology_key in node.labels}
        return np.fromiter(
            (slot.node is not None and slot.node.labels.get(topology_key) in values for slot in self._slots),
            np.bool_,
            len(self._slots),
        )


def _room(mask: Mask, i: int) -> Mask:
    """The mask, grown where needed so that index i exists."""
    if i < len(mask):
        return mask
    return np.concatenate([mask, np.zeros(max(len(mask), i + 1 - len(mask)), np.bool_)])
