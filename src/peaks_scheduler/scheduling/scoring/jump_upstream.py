"""The Peaks plugin of scheduler-plugins, number by number: the strategy to compare ``jump`` with.

The plugin takes each node's load as it was reported: pods that the average cannot have seen do not count, however old
it is. It computes the jump in watts times 1e15 as a 64-bit integer, and stretches the jumps of the feasible nodes to
whole points, 100 for the smallest, so that many nodes tie. A node without a load or a model, or that the pod would
overfill, has a jump of 0, which is the best score. A pod without a CPU request has no jump anywhere. Pure.

Here a node's curve is that of its model, of whatever kind: the plugin knows the exponential alone. What the cycle does
for every strategy it does for this one: nodes that it predicts above a ceiling or over-full come last.

Source: kubernetes-sigs/scheduler-plugins, pkg/trimaran/peaks/peaks.go, commit 903da7df.
"""

from __future__ import annotations

import numpy as np

from peaks_scheduler.arrays import Floats, Ints, Mask
from peaks_scheduler.ledger.snapshot import Snapshot
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.scheduling.filters.filters import FILTERS

MOST = 100
"""kube-scheduler's MaxNodeScore."""
_PER_WATT = 1e15
_LOWEST, _BEYOND = -(2**63), 2.0**63


def upstream_points(pod: Pod, nodes: Snapshot) -> Floats:
    """100 minus the plugin's score of each node. (N,) points, lower is better; nodes that are not feasible too have a
    number, though they do not stretch the others."""
    costs, among = _costs(pod, nodes), _feasible(pod, nodes)
    if not among.any():
        return np.zeros(len(nodes))
    least, most = int(costs[among].min()), int(costs[among].max())
    if least == most == 0:
        return np.full(len(nodes), float(MOST))
    # differences wrap around like Go's; the quotient's fraction is cut off
    span = _wrapped(most - least) or 1
    points: Floats = np.trunc(float(MOST if least != most else 1) * (costs - np.int64(least)) / float(span))
    return points


def _costs(pod: Pod, nodes: Snapshot) -> Ints:
    """(N,) the jump as the plugin's Score returns it [fW]."""
    step = dict(pod.requests).get("cpu", 0) / 1000.0 / nodes.cpu_capacity
    use: Floats = nodes.cpu_reported / nodes.cpu_capacity
    watts = nodes.curves.rise(use, step) * _PER_WATT
    watts[np.isnan(watts) | (100.0 * (use + step) > 100.0)] = 0.0
    fits = (watts >= _LOWEST) & (watts < _BEYOND)
    costs: Ints = np.where(fits, np.where(fits, watts, 0.0).astype(np.int64), _LOWEST)
    return costs


def _wrapped(number: int) -> int:
    """The number as a 64-bit integer."""
    return (number - _LOWEST) % 2**64 + _LOWEST


def _feasible(pod: Pod, nodes: Snapshot) -> Mask:
    """(N,) nodes that every filter lets pass. Nominated pods of other schedulers do not count: they are few."""
    left = np.ones(len(nodes), np.bool_)
    for each in FILTERS:
        for _, refused in each.refuse(pod, nodes):
            left &= ~refused
    return left
