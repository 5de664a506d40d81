"""Indices over nodes and the pods on them, kept up to date by the ledger: no decision loops over all pods.

Answers ``snapshot.NodeIndex``: node labels (``labels``), taints and features (``by_value``), pods by their labels
(``pods``), affinity terms of existing pods (``terms``) and of an incoming pod (``near``), host ports (``ports``), and
namespaces here. What is kept of a pod grows with the pod's size and is removed with the pod; decisions about other pods
do not get slower by it. Assumes that every change of a slot is told to it. Never looks at resources or load.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from peaks_scheduler.arrays import Codes, Counts, Ints, Mask
from peaks_scheduler.ledger.snapshot import Selection
from peaks_scheduler.objects.affinity import AffinityTerm
from peaks_scheduler.objects.constraints import HostPort
from peaks_scheduler.objects.node import Node
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.objects.selectors import LabelSelector, NodeRequirement, NodeSelectorTerm, Taint

from .by_value import NodesByValue
from .labels import NodeLabels
from .near import Near, Neighbours
from .pods import PodsByLabels
from .ports import HostPorts
from .slots import Slot
from .terms import BundleTerm, Terms, Weighted


class Indices:
    """See the module; implements ``snapshot.NodeIndex``."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        self._slots = slots
        self._labels = NodeLabels(slots)
        self._pods = PodsByLabels(slots)
        self._taints: NodesByValue[tuple[Taint, ...]] = NodesByValue()
        self._mild: NodesByValue[tuple[Taint, ...]] = NodesByValue()
        self._features: NodesByValue[frozenset[str]] = NodesByValue()
        self._ports = HostPorts(slots)
        self._repelling = Terms(self._labels)
        self._liking = Terms(self._labels)
        self._near = Neighbours(self._labels, self._pods)
        self.namespaces_known = True

    def empty(self, slots: Sequence[Slot]) -> Indices:
        """New indices of other slots, with the same namespaces. Nodes and pods are still to be told to them."""
        other = Indices(slots)
        other._near.namespaces = dict(self._namespaces)
        other.namespaces_known = self.namespaces_known
        return other

    # -- nodes

    def node_changed(self, slot: Slot, node: Node, *, placed: bool) -> None:
        """The node has changed; ``placed``: it is new at its index."""
        i = slot.index
        self._labels.node_changed(i, node)
        self._taints.changed(i, node.taints)
        self._mild.changed(i, node.mild_taints)
        self._features.changed(i, node.features)
        if placed:
            self._pods.node_placed(slot)

    def node_gone(self) -> None:
        """The last index is gone; ``node_changed`` was called for the node that moved from there."""
        for each in (self._labels.node_gone, self._taints.gone, self._mild.gone, self._features.gone):
            each()

    @property
    def shape(self) -> int:
        return self._labels.shape

    def position(self, name: str) -> int | None:
        return self._labels.position(name)

    def node(self, i: int) -> Node:
        node = self._slots[i].node
        assert node is not None, "a slot with an index has its node"
        return node

    def ranks_by_name(self) -> Ints:
        return self._labels.ranks_by_name()

    def carried(self, key: str) -> bool:
        return self._labels.carried(key)

    def matching(self, where: NodeRequirement) -> Mask:
        return self._labels.matching(where)

    def meeting(self, term: NodeSelectorTerm) -> Mask | bool:
        return self._labels.term(term)

    def selecting(self, selector: LabelSelector) -> Mask:
        return self._labels.selecting(selector)

    def having(self, key: str) -> Mask:
        return self._labels.having(key)

    def valued(self, key: str, values: Iterable[str]) -> Mask:
        return self._labels.valued(key, values)

    def codes(self, key: str) -> tuple[Codes, int]:
        return self._labels.codes(key)

    def taint_sets(self) -> Mapping[tuple[Taint, ...], Mask]:
        return self._taints.views()

    def mild_taint_sets(self) -> Mapping[tuple[Taint, ...], Mask]:
        return self._mild.views()

    def declaring(self, features: frozenset[str]) -> Mask:
        declaring = np.zeros(len(self._slots), np.bool_)
        for declared, having in self._features.views().items():
            if features <= declared:
                declaring |= having
        return declaring

    # -- namespaces

    @property
    def _namespaces(self) -> dict[str, Mapping[str, str]]:
        return self._near.namespaces

    def namespace_changed(self, name: str, labels: Mapping[str, str] | None) -> bool:
        """A namespace has these labels, or is gone (None); False if nothing changed."""
        if self._namespaces.get(name) == labels:
            return False
        self._near.namespace_changed(name, labels)
        return True

    def namespaces(self) -> frozenset[str]:
        """Names of the namespaces that were observed."""
        return frozenset(self._namespaces)

    def namespaces_of(self, term: AffinityTerm) -> frozenset[str] | None:
        return self._near.namespaces_of(term)

    # -- pods

    def pod_added(self, slot: Slot, pod: Pod) -> None:
        self._ports.added(slot, pod.ports)
        self._pods.pod_added(slot, pod)
        self._terms_changed(slot, pod, 1)

    def pod_removed(self, slot: Slot, pod: Pod) -> None:
        self._ports.removed(slot, pod.ports)
        self._pods.pod_removed(slot, pod)
        self._terms_changed(slot, pod, -1)

    def _terms_changed(self, slot: Slot, pod: Pod, by: int) -> None:
        if pod.anti_affinity:
            self._repelling.change(tuple((1, term) for term in pod.anti_affinity), slot, by)
        if pod.affinity or pod.preferences.pods:
            self._liking.change(_liked(pod), slot, by)

    def release(self) -> None:
        """Forget what was computed for the pod decided last."""
        self._labels.release()
        self._near.release()

    def holding_ports(self, ports: tuple[HostPort, ...]) -> Mask | None:
        return self._ports.holding(ports)

    def pods_selected(self, selection: Selection) -> Counts:
        return self._pods.counts(selection)

    def near(self, terms: Weighted) -> Near:
        return self._near.near(terms)

    def matched_by_all(self, terms: Sequence[AffinityTerm]) -> Counts:
        return self._near.matched_by_all(terms)

    def all_match(self, terms: Sequence[AffinityTerm], pod: Pod) -> bool:
        return self._near.all_match(terms, pod)

    def repelled_by(self, pod: Pod) -> Mask | None:
        if not self._repelling:
            return None
        return self._domains(self._repelling.matching(pod.namespace, pod.labels, self._namespaces.get(pod.namespace)))

    def perhaps_repelled_by(self, pod: Pod) -> Mask | None:
        if self.namespaces_known or not self._repelling:
            return None
        return self._domains(self._repelling.perhaps_matching(pod.namespace, pod.labels))

    def _domains(self, found: Iterable[BundleTerm]) -> Mask | None:
        """(N,) nodes in the topology domain of a node with such a term; None: no node."""
        shared: dict[str, Mask] = {}
        for term in found:
            codes, size = self.codes(term.topology_key)
            domains = shared.setdefault(term.topology_key, np.zeros(size, np.bool_))
            domains[codes[term.bundle.pods(self._labels.places).indices]] = True
        repelled: Mask | None = None
        for key, domains in shared.items():
            domains[0] = False
            within = domains[self.codes(key)[0]]
            repelled = within if repelled is None else repelled | within
        return repelled

    def liked_by(self, pod: Pod) -> Iterator[tuple[int, str, Ints, Ints]]:
        if not self._liking:
            return
        for term in self._liking.matching(pod.namespace, pod.labels, self._namespaces.get(pod.namespace)):
            there = term.bundle.pods(self._labels.places)
            yield term.weight, term.topology_key, there.indices, there.counts


def _liked(pod: Pod) -> Weighted:
    """(weight, term) by which an existing pod prefers pods near it, below zero: away from it.

    A required affinity has the weight 1, kube-scheduler's ``hardPodAffinityWeight``.
    """
    return (*((1, term) for term in pod.affinity), *pod.preferences.pods)
