"""Affinity terms of an incoming pod: which existing pods do they match?

Owns the two ways to an answer. A few terms are evaluated one by one, with cached counts of pods on every node. Terms of
many parts (``MANY``) are compiled and evaluated for one group of equal pods after the other. A term over a topology key
that no node has matches no pod. Never evaluates topology.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from peaks_scheduler.arrays import Counts, Mask
from peaks_scheduler.ledger.snapshot import Selection
from peaks_scheduler.objects.affinity import AffinityTerm
from peaks_scheduler.objects.complexity import bulky
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.objects.selectors import LabelSelector

from .bulk import Hashed
from .labels import NodeLabels
from .pods import PodsByLabels
from .terms import Compiled, Weighted

REMEMBERED = 256
"""Selectors of namespaces whose answers are kept."""
MOST_NAMES = 1024
"""Namespaces of an answer that is kept: 256 such answers take 16 MB."""
MANY = 256
"""Parts (``complexity.bulky``) of a pod's terms beyond which they are compiled."""

Near = Iterator[tuple[int, str, Counts]]
"""(weight, topology key, (N,) pods); or a weight of 1 and (N,) sums of weights"""


class Neighbours:
    """See the module."""

    def __init__(self, labels: NodeLabels, pods: PodsByLabels) -> None:
        self._labels = labels
        self._pods = pods
        self.namespaces: dict[str, Mapping[str, str]] = {}
        """Labels of namespaces by name."""
        self._selected: dict[tuple[LabelSelector, frozenset[str]], frozenset[str]] = {}
        self._latest: Compiled | None = None

    def namespace_changed(self, name: str, labels: Mapping[str, str] | None) -> None:
        """The namespace has other labels, or is gone (None)."""
        if labels is None:
            del self.namespaces[name]
        else:
            self.namespaces[name] = labels
        self._selected.clear()

    def release(self) -> None:
        """Forget what was compiled for the pod asked about last."""
        self._latest = None

    def near(self, terms: Weighted) -> Near:
        """Pods that each of the terms matches."""
        if bulky(terms, MANY):
            yield from self._sums(terms)
            return
        for weight, term in terms:
            if term.selector is not None and self._labels.carried(term.topology_key):
                yield weight, term.topology_key, self._matched((term,))

    def matched_by_all(self, terms: Sequence[AffinityTerm]) -> Counts:
        """(N,) number of pods on each node that match all of the terms."""
        if bulky(tuple(terms), MANY):
            return self._counted(terms)
        return self._matched(terms)

    def _matched(self, terms: Sequence[AffinityTerm]) -> Counts:
        matchers = tuple((term.selector, self.namespaces_of(term)) for term in terms if term.selector is not None)
        if len(matchers) < len(terms):
            return np.zeros(len(self._labels), np.int32)
        # names that a selector selects are the cluster's: they take little memory, unlike those that the pod brings
        own = tuple((term.selector, term.namespaces) for term in terms)
        many = bulky(own) or sum(len(names) for _, names in matchers if names is not None) > MOST_NAMES
        return self._pods.counts(Selection(matchers), keep=not many)

    def all_match(self, terms: Sequence[AffinityTerm], pod: Pod) -> bool:
        """Does every term match the pod itself?"""
        if bulky(tuple(terms), MANY):
            compiled = self._compiled(_unweighted(terms))
            mean = self._looking(compiled, pod.namespace) & compiled.selecting(Hashed(pod.labels))
            return bool(mean.all())
        return all(term.selects(pod.labels) and self._looks_into(term, pod.namespace) for term in terms)

    def namespaces_of(self, term: AffinityTerm) -> frozenset[str] | None:
        """Names of the term's namespaces; None: all namespaces."""
        selector = term.namespace_selector
        if selector is None:
            return term.namespaces
        if selector.matches({}):  # kube-scheduler evaluates it without labels too, whatever the namespace
            return None
        key = (selector, term.namespaces)
        found = self._selected.get(key)
        if found is None:
            found = term.namespaces | {name for name, labels in self.namespaces.items() if selector.matches(labels)}
            self._remember(key, found)
        return found

    def _remember(self, key: tuple[LabelSelector, frozenset[str]], names: frozenset[str]) -> None:
        if len(self._selected) >= REMEMBERED:
            self._selected.clear()
        if len(names) <= MOST_NAMES and not bulky(key):
            self._selected[key] = names

    def _looks_into(self, term: AffinityTerm, namespace: str) -> bool:
        known = self.namespaces_of(term)
        return known is None or namespace in known

    # -- many terms

    def _sums(self, terms: Weighted) -> Near:
        compiled, sums = self._compiled(terms), dict[str, Counts]()
        carried = compiled.carried_by(self._labels)
        for namespace, groups in self._pods.within(_named(term for _, term in terms)) if carried.any() else ():
            looking = self._looking(compiled, namespace) & carried
            for group in groups if looking.any() else ():
                for key, weight in compiled.sums(looking & compiled.selecting(Hashed(group.labels))):
                    at = sums.setdefault(key, np.zeros(len(self._labels), np.int64))
                    for i, count in group.counts():
                        at[i] += weight * count
        yield from ((1, key, at) for key, at in sums.items())

    def _counted(self, terms: Sequence[AffinityTerm]) -> Counts:
        compiled, counts = self._compiled(_unweighted(terms)), np.zeros(len(self._labels), np.int32)
        for namespace, groups in self._pods.within(_named(terms)):
            if not self._looking(compiled, namespace).all():
                continue
            for group in groups:
                if compiled.selecting(Hashed(group.labels)).all():
                    for i, count in group.counts():
                        counts[i] += count
        return counts

    def _compiled(self, terms: Weighted) -> Compiled:
        """The terms, compiled; one decision asks for the same terms several times."""
        if self._latest is None or not self._latest.of(terms):
            self._latest = Compiled(terms)
        return self._latest

    def _looking(self, compiled: Compiled, namespace: str) -> Mask:
        """(T,) terms whose namespaces include this one; see ``namespaces_of``."""
        looking = compiled.looking_into(namespace, Hashed({}))
        labels = self.namespaces.get(namespace)
        return looking | compiled.looking_into(namespace, Hashed(labels)) if labels else looking


def _unweighted(terms: Iterable[AffinityTerm]) -> Weighted:
    return tuple((1, term) for term in terms)


def _named(terms: Iterable[AffinityTerm]) -> frozenset[str] | None:
    """The namespaces that the terms name; None: a term selects namespaces by label."""
    named: set[str] = set()
    for term in terms:
        if term.namespace_selector is not None:
            return None
        named |= term.namespaces
    return frozenset(named)
