"""Many label selectors at once: which of ten thousand match these labels?

Owns a pod's selectors compiled into sorted tables of the labels they speak of, so that one look costs a few passes over
numbers however many they are. Text is compared by its 64-bit hash, which is seeded
anew in every process: nobody can prepare two texts that are one to it. Assumes nothing about validity: an invalid
selector matches nothing, as in ``selectors``. Never looks at nodes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from peaks_scheduler.arrays import Mask
from peaks_scheduler.objects.selectors import LabelSelector

Hashes = NDArray[np.int64]
Rows = NDArray[np.int64]
Spoken = tuple[list[object], list[int]]
"""What selectors speak of, and their rows"""
NO_ROWS: Rows = np.zeros(0, np.int64)


class Hashed:
    """Labels as the tables look them up."""

    __slots__ = ("keys", "labels", "pairs")

    def __init__(self, labels: Mapping[str, str]) -> None:
        self.labels = labels
        self.keys: Hashes = np.fromiter(map(hash, labels), np.int64, len(labels))
        self.pairs: Hashes = np.fromiter(map(hash, labels.items()), np.int64, len(labels))


class Table:
    """Rows by what they speak of."""

    __slots__ = ("_hashes", "_rows")

    def __init__(self, what: Sequence[object], rows: Sequence[int]) -> None:
        hashes = np.fromiter(map(hash, what), np.int64, len(what))
        order = np.argsort(hashes, kind="stable")
        self._hashes, self._rows = hashes[order], np.array(rows, np.int32)[order]

    def rows(self, wanted: Hashes) -> Rows:
        """The rows that speak of one of these, as often as they do."""
        if not len(self._hashes):
            return NO_ROWS
        begin, end = (np.searchsorted(self._hashes, wanted, side) for side in ("left", "right"))
        hits = np.flatnonzero(end > begin)
        return np.concatenate([NO_ROWS, *(self._rows[begin[i] : end[i]] for i in hits)])


class Selectors:
    """See the module. Row i is the i-th selector; None matches nothing."""

    def __init__(self, selectors: Sequence[LabelSelector | None]) -> None:
        self._needed = np.zeros(len(selectors), np.int64)
        kinds: dict[str, Spoken] = {kind: ([], []) for kind in ("In", "Exists", "NotIn", "DoesNotExist")}
        self._others: list[tuple[int, LabelSelector]] = []
        for row, selector in enumerate(selectors):
            if selector is None or not all(each.valid for each in selector.expressions):
                self._needed[row] = -1
            else:
                self._sort_in(row, selector, kinds)
        self._one_of, self._having, self._none_of, self._lacking = (Table(*each) for each in kinds.values())

    def _sort_in(self, row: int, selector: LabelSelector, kinds: Mapping[str, Spoken]) -> None:
        if any(each.operator not in kinds for each in selector.expressions):
            self._others.append((row, selector))  # no API server lets such a selector of pods pass
            return
        self._needed[row] = len(selector.labels)
        _speak(kinds["In"], selector.labels, row)
        for each in selector.expressions:
            self._needed[row] += each.operator in ("In", "Exists")
            _speak(kinds[each.operator], [(each.key, v) for v in set(each.values)] or [each.key], row)

    def matching(self, labels: Hashed) -> Mask:
        """(T,) selectors that match."""
        met = np.concatenate([self._one_of.rows(labels.pairs), self._having.rows(labels.keys)])
        matching: Mask = np.bincount(met, minlength=len(self._needed)) == self._needed
        matching[self._none_of.rows(labels.pairs)] = False
        matching[self._lacking.rows(labels.keys)] = False
        for row, selector in self._others:
            matching[row] = selector.matches(labels.labels)
        return matching


def _speak(spoken: Spoken, what: Sequence[object], row: int) -> None:
    spoken[0].extend(what)
    spoken[1].extend([row] * len(what))
