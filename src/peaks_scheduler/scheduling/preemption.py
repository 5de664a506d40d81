"""Would another scheduler have made room? A word for the event of a pod that nothing takes.

Owns that word. Preemption is not done here; an owner who counts on priorities must be told when it would have been
tried: some node was refused for what a pod's going can cure, and holds a pod of lower priority. Assumes that it is
asked only when an event is really written; while no pod on any node has a lower priority the answer costs nothing.

Refusals that can be cured are those that kube-scheduler's plugins call Unschedulable, and not
UnschedulableAndUnresolvable.
"""

from __future__ import annotations

import numpy as np

from peaks_scheduler.arrays import Mask
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.ledger.snapshot import Snapshot
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.scheduling.filters.affinity import ABSENT
from peaks_scheduler.scheduling.filters.filters import FILTERS
from peaks_scheduler.scheduling.filters.spread import UNLABELLED

from .decision import Diagnosis

NOT_DONE = " preemption: not done by this scheduler"

CURABLE = frozenset(
    {
        "NodePorts",
        "NodeResourcesFit",
        "VolumeRestrictions",
        "NodeVolumeLimits",
        "PodTopologySpread",
        "InterPodAffinity",
    }
)
INCURABLE = frozenset({ABSENT, UNLABELLED})
"""Reasons of these filters that no pod's going cures."""


class Preemption:
    """See the module."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def word(self, pod: Pod, diagnosis: Diagnosis) -> str:
        """What the event says beyond the diagnosis; empty in the usual case."""
        if diagnosis.outright or not pod.preempts or not self._ledger.ranks_above_some(pod):
            return ""
        nodes = self._ledger.snapshot()
        possible = np.flatnonzero(_curable(pod, nodes) & _large_enough(pod, nodes))
        return NOT_DONE if any(self._ledger.ranks_above_one_on(int(i), pod) for i in possible) else ""


def _curable(pod: Pod, nodes: Snapshot) -> Mask:
    """(N,) nodes whose first refusal can be cured by a pod's going."""
    left = np.ones(len(nodes), np.bool_)
    curable = np.zeros(len(nodes), np.bool_)
    for each in FILTERS:
        refusals = each.refuse(pod, nodes)
        for reason, mask in refusals:
            if each.name in CURABLE and reason not in INCURABLE:
                curable |= mask & left
        for _, mask in refusals:
            left &= ~mask
    return curable


def _large_enough(pod: Pod, nodes: Snapshot) -> Mask:
    """(N,) nodes that could hold the pod if they were empty."""
    fits = np.ones(len(nodes), np.bool_)
    for _, too_small in nodes.resources.too_small(pod.requests):
        fits &= ~too_small
    return fits
