"""Many label selectors at once: which of ten thousand match these labels?

Owns a pod's selectors compiled into sorted tables of the labels that they name: a lookup takes a few passes over
numbers, however many selectors there are. Texts are compared by their 64-bit hash, which every process seeds anew:
nobody can prepare two texts of equal hash. An invalid selector matches nothing, as in ``selectors``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from peaks_scheduler.arrays import Ints, Mask
from peaks_scheduler.objects.selectors import LabelSelector

Spoken = tuple[list[object], list[int]]
"""Labels or label keys that selectors name, and the rows of these selectors."""
NO_ROWS: Ints = np.zeros(0, np.int64)


class Hashed:
    """Labels with their hashes, as the tables look them up."""

    __slots__ = ("keys", "labels", "pairs")

    def __init__(self, labels: Mapping[str, str]) -> None:
        self.labels = labels
        self.keys: Ints = np.fromiter(map(hash, labels), np.int64, len(labels))
        self.pairs: Ints = np.fromiter(map(hash, labels.items()), np.int64, len(labels))


class Table:
    """Rows of selectors by the labels or keys that they name."""

    __slots__ = ("_hashes", "_rows")

    def __init__(self, what: Sequence[object], rows: Sequence[int]) -> None:
        hashes = np.fromiter(map(hash, what), np.int64, len(what))
        order = np.argsort(hashes, kind="stable")
        self._hashes, self._rows = hashes[order], np.array(rows, np.int32)[order]

    def rows(self, wanted: Ints) -> Ints:
        """Rows that name one of these hashes, once for each that they name."""
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
            self._others.append((row, selector))  # the API server accepts no such selector of pods
            return
        self._needed[row] = len(selector.labels)
        _speak(kinds["In"], selector.labels, row)
        for each in selector.expressions:
            self._needed[row] += each.operator in ("In", "Exists")
            _speak(kinds[each.operator], [(each.key, v) for v in set(each.values)] or [each.key], row)

    def matching(self, labels: Hashed) -> Mask:
        """(T,) selectors that match these labels."""
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
