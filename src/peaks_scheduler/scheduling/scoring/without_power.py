"""Strategies that look at neither power nor requests: the plain rules that others are compared with. Pure."""

from __future__ import annotations

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.ledger.snapshot import Snapshot
from peaks_scheduler.objects.pod import Pod


def last_turn(pod: Pod, nodes: Snapshot) -> Floats:
    """Number of the last assumption on each node. (N,) turns; 0: none yet. The node whose turn is longest ago is
    next."""
    return nodes.turn.astype(np.float64)


def place_by_name(pod: Pod, nodes: Snapshot) -> Floats:
    """Place of each node in the order of names. (N,) from 0: the first one that fits is taken."""
    return nodes.index.ranks_by_name().astype(np.float64)


def nothing(pod: Pod, nodes: Snapshot) -> Floats:
    """The same for every node: (N,) zeros. The hash of pod and node decides."""
    return np.zeros(len(nodes))
