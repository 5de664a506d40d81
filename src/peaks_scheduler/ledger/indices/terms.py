"""Affinity terms of existing pods: which of them match an incoming pod?

Owns the terms and the nodes of their pods, by bundle: equal pods have one bundle of terms. A term is found by namespace
and by a label that it asks for, so a decision looks only at terms that ask for one of the pod's labels or for none in
particular. A bundle of very many terms (``complexity.BULKY``) is compiled once, when its first pod comes: a pod with
ten thousand terms does not slow down other decisions. A term over a topology key that no node has matches no pod.
Assumes that it is told of every pod that comes to or leaves a node. Never evaluates topology.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from peaks_scheduler.arrays import Mask
from peaks_scheduler.objects.affinity import AffinityTerm
from peaks_scheduler.objects.complexity import bulky
from peaks_scheduler.objects.selectors import LabelSelector

from .bulk import Hashed, Selectors, Table
from .slots import PodsOnNodes, Slot

Weighted = tuple[tuple[int, AffinityTerm], ...]
"""(weight, term)"""
Label = tuple[str, str] | str | None
Asked = Sequence[Label]
Home = tuple[str | None, Label]
"""(namespace, label or label key) of the pods that a term can match; None: any."""
HOMES = 16
"""A term that would be found under more of them is found by its labels alone."""


class Carried(Protocol):
    """Tells which label keys nodes have."""

    @property
    def keys_changed(self) -> int:
        """A number that changes when an answer of ``carried`` does."""

    def carried(self, key: str) -> bool:
        """Does any node have a label of this key?"""


@dataclass(slots=True, eq=False)
class Bundle:
    """The terms of equal pods, and the nodes of these pods."""

    terms: Weighted
    there: dict[Slot, int] = field(default_factory=dict)
    compiled: Compiled | None = None
    homes: list[tuple[Home, BundleTerm]] = field(default_factory=list)
    _pods: PodsOnNodes | None = None
    _places: int = -1

    def pods(self, places: int) -> PodsOnNodes:
        """These pods by node; ``places`` changes when nodes get other indices."""
        if self._pods is None or self._places != places:
            self._pods, self._places = PodsOnNodes(self.there), places
        return self._pods

    def change(self, slot: Slot, by: int) -> None:
        count = self.there.get(slot, 0) + by
        if count:
            self.there[slot] = count
        else:
            del self.there[slot]
        if slot.index < 0:
            self._pods = None
        elif self._pods is not None:
            self._pods.change(slot, count)


@dataclass(frozen=True, slots=True, eq=False)
class BundleTerm:
    """A term of a bundle, or, of a compiled bundle, the sum of its terms over one topology key that match a pod."""

    topology_key: str
    bundle: Bundle
    weight: int = 1
    term: AffinityTerm | None = None


class Compiled:
    """Very many terms, compiled: they are all evaluated at once."""

    def __init__(self, terms: Weighted) -> None:
        self._terms = terms
        numbers: dict[str, int] = {}
        codes = [numbers.setdefault(term.topology_key, len(numbers)) for _, term in terms]
        self._keys = list(numbers)
        self._codes = np.array(codes, np.int64)
        self._weights = np.array([weight for weight, _ in terms], np.float64)
        self._selectors = Selectors([term.selector for _, term in terms])
        self._namespaces = Selectors([term.namespace_selector for _, term in terms])
        named = [(name, row) for row, (_, term) in enumerate(terms) for name in term.namespaces]
        self._named = Table([name for name, _ in named], [row for _, row in named])
        self._by_selector = np.array([bool(term.namespace_selector) for _, term in terms], np.bool_)
        self._known = -1
        self._carried = np.zeros(0, np.bool_)

    def of(self, terms: Weighted) -> bool:
        """Is it compiled from these term objects?"""
        pairs = zip(self._terms, terms, strict=False)
        return len(self._terms) == len(terms) and all(a[1] is b[1] and a[0] == b[0] for a, b in pairs)

    def pulls(self, pod: Hashed, namespace: str, of: Hashed, nodes: Carried) -> list[tuple[str, int]]:
        """(topology key, sum of weights) of the terms that match a pod with these labels in ``namespace``, a namespace
        with the labels ``of``. Only topology keys that nodes have."""
        carried = self.carried_by(nodes)
        if not carried.any():
            return []
        return self.sums(carried & self.selecting(pod) & self.looking_into(namespace, of))

    def perhaps(self, pod: Hashed, namespace: str, nodes: Carried) -> list[tuple[str, int]]:
        """The same of terms that may match, because they select namespaces by labels that cannot be read."""
        unreadable = self._by_selector & ~self._naming(namespace)
        return self.sums(self.carried_by(nodes) & self.selecting(pod) & unreadable)

    def selecting(self, pod: Hashed) -> Mask:
        """(T,) terms that select pods with these labels, whatever their namespace."""
        return self._selectors.matching(pod)

    def looking_into(self, namespace: str, of: Hashed) -> Mask:
        """(T,) terms whose namespaces include this one, which has the labels ``of``."""
        looking: Mask = self._naming(namespace) | self._namespaces.matching(of)
        return looking

    def sums(self, which: Mask) -> list[tuple[str, int]]:
        """(topology key, sum of weights) of the terms ``which``."""
        codes = self._codes[which]
        sums = np.bincount(codes, weights=self._weights[which], minlength=len(self._keys))
        return [(self._keys[code], int(sums[code])) for code in np.unique(codes)]

    def _naming(self, namespace: str) -> Mask:
        naming = np.zeros(len(self._codes), np.bool_)
        naming[self._named.rows(np.array([hash(namespace)], np.int64))] = True
        return naming

    def carried_by(self, nodes: Carried) -> Mask:
        """(T,) terms over a topology key that a node has."""
        if self._known != nodes.keys_changed:
            known = np.fromiter(map(nodes.carried, self._keys), np.bool_, len(self._keys))
            self._known, self._carried = nodes.keys_changed, known[self._codes]
        return self._carried


class Terms:
    """See the module."""

    def __init__(self, nodes: Carried) -> None:
        self._nodes = nodes
        self._bundles: dict[Weighted, Bundle] = {}
        self._homes: dict[str | None, dict[Label, dict[BundleTerm, None]]] = {}
        self._bulky: dict[Bundle, Compiled] = {}

    def __len__(self) -> int:
        return len(self._bundles)

    def change(self, terms: Weighted, slot: Slot, by: int) -> None:
        """A pod with these terms comes to the node (``by`` 1) or leaves it (-1)."""
        bundle = self._bundles.get(terms)
        if bundle is None:
            bundle = self._bundles[terms] = Bundle(terms)
            self._sort_in(bundle)
        bundle.change(slot, by)
        if not bundle.there:
            self._remove(bundle)

    def matching(self, namespace: str, labels: Mapping[str, str], of: Mapping[str, str] | None) -> Iterator[BundleTerm]:
        """Terms that match a pod with these labels in ``namespace``, whose labels are ``of`` (None: unknown)."""
        for placed in self._candidates(namespace, labels):
            if self._matches(placed, labels) and placed.term.in_namespace(namespace, of):  # type: ignore[union-attr]
                yield placed
        if self._bulky:
            hashed, hashed_of = Hashed(labels), Hashed(of or {})
            for bundle, compiled in self._bulky.items():
                for key, weight in compiled.pulls(hashed, namespace, hashed_of, self._nodes):
                    yield BundleTerm(key, bundle, weight)

    def perhaps_matching(self, namespace: str, labels: Mapping[str, str]) -> Iterator[BundleTerm]:
        """Terms that may match, because they select namespaces by labels that cannot be read."""
        for placed in self._candidates(namespace, labels):
            term = placed.term
            if term and term.namespace_selector and namespace not in term.namespaces and self._matches(placed, labels):
                yield placed
        hashed = Hashed(labels) if self._bulky else None
        for bundle, compiled in self._bulky.items() if hashed else ():
            for key, weight in compiled.perhaps(hashed, namespace, self._nodes):  # type: ignore[arg-type]
                yield BundleTerm(key, bundle, weight)

    def _matches(self, placed: BundleTerm, labels: Mapping[str, str]) -> bool:
        assert placed.term is not None, "only compiled terms have none"
        return self._nodes.carried(placed.topology_key) and placed.term.selects(labels)

    def _candidates(self, namespace: str, labels: Mapping[str, str]) -> Iterator[BundleTerm]:
        for scope in (namespace, None):
            homes = self._homes.get(scope)
            if homes is None:
                continue
            if len(labels) > len(homes):
                known = [label for label in homes if _asks_for(label, labels)]
            else:
                known = [label for label in (None, *labels, *labels.items()) if label in homes]
            for label in known:
                yield from homes[label]

    def _sort_in(self, bundle: Bundle) -> None:
        if bulky(bundle.terms):
            bundle.compiled = self._bulky[bundle] = Compiled(bundle.terms)
            return
        for weight, term in bundle.terms:
            placed = BundleTerm(term.topology_key, bundle, weight, term)
            for scope, label in self._homes_of(term):
                self._homes.setdefault(scope, {}).setdefault(label, {})[placed] = None
                bundle.homes.append(((scope, label), placed))

    def _homes_of(self, term: AffinityTerm) -> list[Home]:
        """Where a term is found: under few labels, one of which every matching pod has."""
        if term.selector is None:
            return []
        scopes: Sequence[str | None] = (None,) if term.namespace_selector is not None else tuple(term.namespaces)
        asked = self._asked_for(term.selector, scopes[0] if scopes else None)
        if len(scopes) * len(asked) > HOMES:
            scopes = (None,)
        return [(scope, each) for scope in scopes for each in asked]

    def _asked_for(self, selector: LabelSelector, scope: str | None) -> Asked:
        choices: list[Asked] = [(pair,) for pair in selector.labels]
        choices += [[(e.key, v) for v in set(e.values)] for e in selector.expressions if e.operator == "In"]
        having = [e.key for e in selector.expressions if e.operator == "Exists"]
        homes = self._homes.get(scope, {})
        fewest = min(choices, key=lambda asked: sum(len(homes.get(each, ())) for each in asked), default=None)
        return fewest or having[:1] or (None,)

    def _remove(self, bundle: Bundle) -> None:
        del self._bundles[bundle.terms]
        self._bulky.pop(bundle, None)
        for (scope, label), placed in bundle.homes:
            homes = self._homes[scope]
            del homes[label][placed]
            if not homes[label]:
                del homes[label]
            if not homes:
                del self._homes[scope]


def _asks_for(what: Label, labels: Mapping[str, str]) -> bool:
    if isinstance(what, tuple):
        return labels.get(what[0]) == what[1]
    return what is None or what in labels
