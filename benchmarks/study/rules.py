"""The strategies by power, and two strategies by requests to compare them with.

Owns ``least-allocated`` and ``most-allocated`` as NodeResourcesFit scores them with CPU alone: whole points of 100, so
that nodes with similar shares tie. They know no power model. Pure.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.ledger.snapshot import Snapshot
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.scheduling.scoring.allocation import least_allocated, most_allocated
from peaks_scheduler.scheduling.scoring.strategies import STRATEGIES, Strategy


def _by_share(score: Callable[[Floats, Floats], Floats]) -> Callable[[Pod, Snapshot], Floats]:
    """The cost of a strategy by this score of kube-scheduler's: points 0..100 that are missing, rounded up."""

    def cost(pod: Pod, nodes: Snapshot) -> Floats:
        row = [nodes.rows["cpu"]]
        left = nodes.free[row] - dict(pod.requests)["cpu"]
        missing: Floats = 100.0 - np.floor(score(left, nodes.allocatable[row]))
        return missing

    return cost


LEAST = Strategy("least-allocated", "the share of CPU asked for", _by_share(least_allocated), unit="points")
MOST = Strategy("most-allocated", "the share of CPU left", _by_share(most_allocated), unit="points")

BY_POWER = (STRATEGIES["envelope"], STRATEGIES["jump"])
BY_SHARE = (LEAST, MOST)
