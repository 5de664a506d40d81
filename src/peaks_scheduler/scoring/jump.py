"""Cost of a placement: by how many watts does a node's power rise if the pod runs there?

Model: P(u) = k0 + k1*exp(k2*u), u = CPU utilisation, a fraction in [0, 1]. The Peaks plugin of scheduler-plugins takes
u in percent: its K2 is ours / 100. Pure: no I/O, no clock, no logging. A node without a model costs NaN.
"""

from __future__ import annotations

import numpy as np

from ..objects import Pod
from ..snapshot import Floats, Snapshot


def power_jump(pod: Pod, nodes: Snapshot) -> Floats:
    """Rise of each node's power if ``pod`` is added. (N,) [W], lower is better, NaN without a model.

    Where the use is only known to lie between low and high, the largest jump in between. The rise is
    k1*expm1(k2*step) * exp(k2*u): with a curve that rises, it grows with u where k2 > 0 (convex) and falls where k2 <
    0 (concave), so the largest is at one end, and not knowing never makes a node cheaper.
    """
    step = (pod.cpu / 1000.0) / nodes.cpu_capacity
    worst = np.where(nodes.k2 > 0.0, nodes.cpu_high, nodes.cpu_low)
    worst /= nodes.cpu_capacity
    worst *= nodes.k2
    with np.errstate(over="ignore", invalid="ignore"):  # far beyond full load, where it is ranked last anyway
        # written with expm1: k0 cancels and small pods keep their digits
        jump = np.expm1(nodes.k2 * step)
        jump *= nodes.k1
        jump *= np.exp(worst)
    return jump


def cpu_after(pod: Pod, nodes: Snapshot) -> Floats:
    """Utilisation of each node if ``pod`` is added, by the highest plausible use. (N,) fraction, above 1 where it
    would be over-full."""
    after = nodes.cpu_high + pod.cpu / 1000.0
    after /= nodes.cpu_capacity
    return after
