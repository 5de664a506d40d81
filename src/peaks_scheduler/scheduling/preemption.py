"""Would kube-scheduler have preempted pods? A note for the event of a pod that fits nowhere.

Preemption is not done here. An owner who counts on priorities must be told when it would have been tried: some node was
refused for a reason that the end of another pod can resolve, and it holds a pod of lower priority. The note is asked
for only when an event is really written; while no pod on any node has a lower priority it costs nothing.

The reasons that can be resolved are those for which kube-scheduler's plugins return Unschedulable, and not
UnschedulableAndUnresolvable.
"""

from __future__ import annotations

import numpy as np

from peaks_scheduler.arrays import Mask
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.ledger.snapshot import Snapshot
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.scheduling.filters.affinity import AFFINITY_NOT_MATCHED
from peaks_scheduler.scheduling.filters.spread import UNLABELLED

from .decision import Diagnosis
from .filtering import first_refusals

NOT_DONE = " preemption: not done by this scheduler"

RESOLVABLE = frozenset(
    {
        "NodePorts",
        "NodeResourcesFit",
        "VolumeRestrictions",
        "NodeVolumeLimits",
        "PodTopologySpread",
        "InterPodAffinity",
    }
)
"""Filters whose refusals the end of another pod can resolve."""
UNRESOLVABLE = frozenset({AFFINITY_NOT_MATCHED, UNLABELLED})
"""Reasons of these filters that it cannot resolve."""


class Preemption:
    """See the module."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def note(self, pod: Pod, diagnosis: Diagnosis) -> str:
        """What the event says beyond the diagnosis; mostly empty."""
        if diagnosis.outright or not pod.preempts or not self._ledger.ranks_above_some(pod):
            return ""
        nodes = self._ledger.snapshot()
        possible = np.flatnonzero(_resolvable(pod, nodes) & _large_enough(pod, nodes))
        return NOT_DONE if any(self._ledger.ranks_above_one_on(int(i), pod) for i in possible) else ""


def _resolvable(pod: Pod, nodes: Snapshot) -> Mask:
    """(N,) nodes whose first refusal the end of another pod can resolve."""
    resolvable = np.zeros(len(nodes), np.bool_)
    for each, refusals in first_refusals(pod, nodes, np.ones(len(nodes), np.bool_)):
        for reason, mask in refusals:
            if each.name in RESOLVABLE and reason not in UNRESOLVABLE:
                resolvable |= mask
    return resolvable


def _large_enough(pod: Pod, nodes: Snapshot) -> Mask:
    """(N,) nodes that could hold the pod if they were empty."""
    fits = np.ones(len(nodes), np.bool_)
    for _, too_small in nodes.offers.too_small(pod.requests):
        fits &= ~too_small
    return fits
