"""Tells the ledger the load of the nodes as the load source would. Pure.

Owns when a report arrives. A report is told only when a decision needs it: an older one that no decision saw changes
nothing, because each report replaces the one before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.ledger.node_load import NodeLoad

from .api_objects import EPOCH
from .case import LoadView
from .true_use import TrueUse


class LoadReports:
    """Reports of the N nodes ``names``, which are in the order of ``use``."""

    def __init__(self, names: Sequence[str], use: TrueUse, view: LoadView) -> None:
        self._names, self._use, self._view = names, use, view
        self._told = self._asked = -1
        self._changed = set(range(len(names)))

    def changed(self, i: int) -> None:
        """Node i's use has changed, or it came back."""
        self._changed.add(i)

    def tell(self, ledger: Ledger, now: float) -> None:
        """Tell what has arrived by ``now`` [s]."""
        if not self._view.interval_s:
            self._tell_present(ledger, now)
            return
        number, due = self._newest(now), self._due(now)
        if number > self._told:
            self._told = number
            ledger.apply_load(self._report(number), EPOCH + now)
        elif due > self._asked:
            ledger.refresh(EPOCH + now)  # loads become stale, as in the daemon where no answer came
        self._asked = due

    def _report(self, number: int) -> dict[str, NodeLoad]:
        shares, start, end = self._use.averages(number)
        levels, which = np.unique(shares, return_inverse=True)  # idle nodes are many
        loads = [NodeLoad(share, EPOCH + start, EPOCH + end) for share in levels.tolist()]
        return {name: loads[i] for name, i in zip(self._names, which.tolist(), strict=True)}

    def _due(self, now: float) -> int:
        """Number of the report that is due by ``now``, whether it arrives or not."""
        return math.floor((now - self._view.delay_s) / self._view.interval_s)

    def _newest(self, now: float) -> int:
        """Number of the newest report that has arrived; below 0: none."""
        view = self._view
        number = self._due(now)
        for start, end in sorted(view.gaps, reverse=True):
            if start <= number * view.interval_s + view.delay_s < end:
                number = math.ceil((start - view.delay_s) / view.interval_s) - 1
        return number

    def _tell_present(self, ledger: Ledger, now: float) -> None:
        if any(start <= now < end for start, end in self._view.gaps):
            return
        told = {self._names[i]: NodeLoad(self._use.share(i), EPOCH + now, EPOCH + now) for i in sorted(self._changed)}
        self._changed.clear()
        ledger.set_load(told, EPOCH + now)
