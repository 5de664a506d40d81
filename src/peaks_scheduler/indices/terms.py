"""Affinity terms that pods brought with them to their nodes: which of them mean a pod that is about to come?

Owns the terms in force, found by a label that they ask for, and on which nodes each is in force. A decision looks only
at terms that ask for one of the pod's labels, and at those that ask for none in particular. Assumes every pod that
comes to or leaves a node is told to it. Never evaluates topology: that is the caller's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..selectors import AffinityTerm
from .slots import Slot

Pair = tuple[str, str]


@dataclass(slots=True, eq=False)
class Force:
    """Where a term is in force."""

    term: AffinityTerm
    pairs: tuple[Pair, ...]
    """It is found under these labels; under none in particular where there are none."""
    there: dict[Slot, int] = field(default_factory=dict)
    _indices: NDArray[np.int64] | None = None
    _shape: int = -1

    def indices(self, shape: int) -> NDArray[np.int64]:
        """(M,) nodes where it is in force, once each; ``shape`` changes when nodes get other indices."""
        if self._indices is None or self._shape != shape:
            found = [slot.index for slot in self.there if slot.index >= 0]
            self._indices, self._shape = np.array(found, np.int64), shape
        return self._indices

    def change(self, slot: Slot, by: int) -> None:
        count = self.there.get(slot, 0) + by
        if count:
            self.there[slot] = count
        else:
            del self.there[slot]
        self._indices = None

    def counts(self) -> Iterator[tuple[int, int]]:
        """(index, times) of every node where it is in force."""
        return ((slot.index, count) for slot, count in self.there.items() if slot.index >= 0)


class Terms:
    """See the module."""

    def __init__(self) -> None:
        self._forces: dict[AffinityTerm, Force] = {}
        self._by_pair: dict[Pair, dict[Force, None]] = {}
        self._others: dict[Force, None] = {}

    def __len__(self) -> int:
        return len(self._forces)

    def change(self, term: AffinityTerm, slot: Slot, by: int) -> None:
        """The term is in force ``by`` (1, -1) more times on this node."""
        force = self._forces.get(term)
        if force is None:
            force = self._forces[term] = Force(term, self._pairs(term))
            for home in self._homes(force):
                home[force] = None
        force.change(slot, by)
        if not force.there:
            self._remove(force)

    def meaning(self, namespace: str, labels: Mapping[str, str], of: Mapping[str, str] | None) -> Iterator[Force]:
        """Terms that select a pod with these labels in ``namespace``, whose own labels are ``of`` (None: unknown)."""
        if not self._forces:
            return
        for force in self.selecting(labels):
            if force.term.in_namespace(namespace, of):
                yield force

    def selecting(self, labels: Mapping[str, str]) -> Iterator[Force]:
        """Terms that select a pod with these labels in some namespace or other."""
        return (force for force in self._candidates(labels) if force.term.selects(labels))

    def _candidates(self, labels: Mapping[str, str]) -> Iterator[Force]:
        for pair in labels.items():
            yield from self._by_pair.get(pair, ())
        yield from self._others

    def _pairs(self, term: AffinityTerm) -> tuple[Pair, ...]:
        """Labels of which a selected pod must have one, as few and as rare ones as can be."""
        selector = term.selector
        if selector is None:
            return ()
        choices: list[tuple[Pair, ...]] = [(pair,) for pair in selector.labels]
        choices += [tuple((e.key, v) for v in set(e.values)) for e in selector.expressions if e.operator == "In"]
        return min(choices, key=lambda pairs: sum(len(self._by_pair.get(pair, ())) for pair in pairs), default=())

    def _homes(self, force: Force) -> list[dict[Force, None]]:
        return [self._by_pair.setdefault(pair, {}) for pair in force.pairs] or [self._others]

    def _remove(self, force: Force) -> None:
        del self._forces[force.term]
        for home in self._homes(force):
            del home[force]
        for pair in force.pairs:
            if not self._by_pair[pair]:
                del self._by_pair[pair]
