"""Indices over nodes and the pods on them, kept up to date by the ledger: no decision walks over all pods.

Owns the answers of ``snapshot.NodeIndex``: node labels by value (``labels``), pods by what their labels say (``pods``),
affinity terms of pods that are there (``terms``), and here taints, host ports and namespaces. Assumes every change of a
slot is told to it. Never looks at resources or load.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np

from ..objects import HostPort, Node, Pod
from ..selectors import AffinityTerm, LabelSelector, NodeRequirement, Taint
from ..snapshot import Codes, Counts, Mask, Selection
from .labels import NodeLabels
from .pods import PodsByLabels
from .slots import Slot, roomy
from .terms import Force, Terms

K = TypeVar("K", bound=Hashable)

TAINT_SETS = 256
"""Distinct sets of taints beyond which those that no node has any more are cleared away."""


class Indices:
    """See the module; implements ``snapshot.NodeIndex``."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        self._slots = slots
        self._labels = NodeLabels(slots)
        self._pods = PodsByLabels(slots)
        self._taints: dict[tuple[Taint, ...], Mask] = {}
        self._mild: dict[tuple[Taint, ...], Mask] = {}
        self._features: dict[frozenset[str], Mask] = {}
        self._ports: dict[tuple[str, int], set[Slot]] = {}
        self._repelling = Terms()
        self._attracting = Terms()  # required affinity: a pod that is wanted there is welcome
        self._liking: dict[int, Terms] = {}  # by weight
        self._namespaces: dict[str, Mapping[str, str]] = {}
        self.namespaces_known = True

    # -- nodes

    def node_changed(self, slot: Slot, node: Node, *, placed: bool) -> None:
        """The node is new or has moved to its index (``placed``), or has changed."""
        i = slot.index
        self._labels.node_changed(i, node)
        _sort_in(self._taints, node.taints, i, len(self._slots))
        _sort_in(self._mild, node.mild_taints, i, len(self._slots))
        _sort_in(self._features, node.features, i, len(self._slots))
        if placed:
            self._pods.node_placed(slot)

    def node_gone(self) -> None:
        self._labels.forget()

    @property
    def shape(self) -> int:
        return self._labels.shape

    def position(self, name: str) -> int | None:
        return self._labels.position(name)

    def node(self, i: int) -> Node:
        node = self._slots[i].node
        assert node is not None, "a slot with an index has its node"
        return node

    def matching(self, where: NodeRequirement) -> Mask:
        return self._labels.matching(where)

    def selecting(self, selector: LabelSelector) -> Mask:
        return self._labels.selecting(selector)

    def having(self, key: str) -> Mask:
        return self._labels.having(key)

    def valued(self, key: str, values: Iterable[str]) -> Mask:
        return self._labels.valued(key, values)

    def codes(self, key: str) -> tuple[Codes, int]:
        return self._labels.codes(key)

    def taint_sets(self) -> Mapping[tuple[Taint, ...], Mask]:
        return self._views(self._taints)

    def mild_taint_sets(self) -> Mapping[tuple[Taint, ...], Mask]:
        return self._views(self._mild)

    def declaring(self, features: frozenset[str]) -> Mask:
        declaring = np.zeros(len(self._slots), np.bool_)
        for declared, having in self._views(self._features).items():
            if features <= declared:
                declaring |= having
        return declaring

    def _views(self, sets: Mapping[K, Mask]) -> Mapping[K, Mask]:
        n = len(self._slots)
        return {each: roomy(mask, n)[:n] for each, mask in sets.items()}

    # -- namespaces

    def namespace_changed(self, name: str, labels: Mapping[str, str] | None) -> bool:
        """A namespace has these labels, or is gone (None); False where that is no news."""
        if self._namespaces.get(name) == labels:
            return False
        if labels is None:
            del self._namespaces[name]
        else:
            self._namespaces[name] = labels
        return True

    def namespaces(self) -> frozenset[str]:
        """Names of those seen."""
        return frozenset(self._namespaces)

    def namespaces_of(self, term: AffinityTerm) -> frozenset[str] | None:
        selector = term.namespace_selector
        if selector is None:
            return term.namespaces
        if selector.matches({}):  # kube-scheduler then asks it again without any labels, whatever the namespace
            return None
        return term.namespaces | {name for name, labels in self._namespaces.items() if selector.matches(labels)}

    # -- pods

    def pod_added(self, slot: Slot, pod: Pod) -> None:
        for port in pod.ports:
            slot.ports[port] += 1
            self._ports.setdefault((port.protocol, port.port), set()).add(slot)
        self._pods.pod_added(slot, pod)
        self._terms_changed(slot, pod, 1)

    def pod_removed(self, slot: Slot, pod: Pod) -> None:
        for port in pod.ports:
            slot.ports[port] -= 1
            slot.ports = +slot.ports
            if not any((p.protocol, p.port) == (port.protocol, port.port) for p in slot.ports):
                self._ports[port.protocol, port.port].discard(slot)
        self._pods.pod_removed(slot, pod)
        self._terms_changed(slot, pod, -1)

    def _terms_changed(self, slot: Slot, pod: Pod, by: int) -> None:
        for term in pod.anti_affinity:
            self._repelling.change(term, slot, by)
        for term in pod.affinity:
            self._attracting.change(term, slot, by)
        for weight, term in pod.preferences.pods:
            self._liking.setdefault(weight, Terms()).change(term, slot, by)

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

    def pods_selected(self, selection: Selection) -> Counts:
        return self._pods.counts(selection)

    def repelled_by(self, pod: Pod) -> Mask | None:
        repelled: Mask | None = None
        for force in self._repelling.meaning(pod.namespace, pod.labels, self._namespaces.get(pod.namespace)):
            domain = self._domain(force)
            repelled = domain if repelled is None else repelled | domain
        return repelled

    def perhaps_repelled_by(self, pod: Pod) -> Mask | None:
        if self.namespaces_known:
            return None
        repelled: Mask | None = None
        for force in self._repelling.selecting(pod.labels):
            if force.term.namespace_selector and pod.namespace not in force.term.namespaces:
                domain = self._domain(force)
                repelled = domain if repelled is None else repelled | domain
        return repelled

    def _domain(self, force: Force) -> Mask:
        """(N,) nodes that share a value of the term's topology key with one where it is in force."""
        codes, size = self.codes(force.term.topology_key)
        shared = np.zeros(size, np.bool_)
        shared[codes[force.indices(self.shape)]] = True
        shared[0] = False
        verdict: Mask = shared[codes]
        return verdict

    def liked_by(self, pod: Pod) -> Iterator[tuple[int, Force]]:
        """(weight, force) of the terms by which pods that are there want ``pod`` near, or away (below zero); a required
        affinity counts 1, kube-scheduler's ``hardPodAffinityWeight``."""
        of = self._namespaces.get(pod.namespace)
        for weight, terms in ((1, self._attracting), *self._liking.items()):
            for force in terms.meaning(pod.namespace, pod.labels, of):
                yield weight, force


def _sort_in(sets: dict[K, Mask], own: K, i: int, n: int) -> None:
    """Node i has this set of taints or features, and no other."""
    for each in {*sets, own}:
        if each:
            mask = sets[each] = roomy(sets.get(each, np.zeros(64, np.bool_)), i)
            mask[i] = each == own
    if len(sets) > TAINT_SETS:  # taints can carry a time as value: sets that no node has any more must go
        for each in [each for each, mask in sets.items() if not mask[:n].any()]:
            del sets[each]
