"""Cost in carbon: the rise of power, times the carbon intensity of the grid that feeds the node.

Owns the names and the unit of the signals that it reads: the intensity now (``NOW``), and its means over the coming
hours (``HORIZONS``). Where the pod's expected life is known, the mean over it counts, else the intensity now. A node
without the intensity now has no cost. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from peaks_scheduler.arrays import Floats, Ints
from peaks_scheduler.ledger.snapshot import Snapshot
from peaks_scheduler.objects.pod import Pod

from .jump import chord_savings, envelope_jump

NOW = "carbonIntensity"
"""Name of the signal: intensity of the node's grid [gCO2/kWh]."""
UNIT = "gCO2/kWh"
HORIZONS: Mapping[str, float] = {f"{NOW}/1h": 3600.0, f"{NOW}/6h": 6 * 3600.0, f"{NOW}/24h": 24 * 3600.0}
"""Name of the signal -> [s] of the coming time that it is the mean over; rising."""


def grams(pod: Pod, nodes: Snapshot) -> Floats:
    """Rise of the emissions if ``pod`` is added. (N,) [gCO2/h], NaN without a power model or an intensity."""
    return envelope_jump(pod, nodes) / 1000.0 * intensity(pod, nodes)


def grams_saved(pod: Pod, nodes: Snapshot, among: Ints) -> Floats:
    """``chord_savings`` in carbon. (M,) [gCO2/h] for the M nodes ``among`` (indices)."""
    return chord_savings(pod, nodes, among) / 1000.0 * intensity(pod, nodes)[among]


def intensity(pod: Pod, nodes: Snapshot) -> Floats:
    """Intensity over the pod's expected life, or now where that is not known. (N,) [gCO2/kWh], NaN: not known.

    The integral of the intensity is known at the ends of the horizons, and is linear in between. A horizon without a
    value is passed over; beyond the last one its mean holds.
    """
    now = nodes.signals[NOW]
    life = pod.expected_life
    if life is None:
        return now
    start, mean = np.zeros(len(nodes)), now.copy()  # [s] end of the last horizon before, and the mean until then
    answer: Floats = np.full(len(nodes), np.nan)
    for name, end in HORIZONS.items():
        whole = nodes.signals[name]
        inside = ~np.isnan(whole) & np.isnan(answer) & (life <= end)
        total = mean * start + (whole * end - mean * start) * (life - start) / (end - start)
        answer[inside] = (total / life)[inside]
        known = ~np.isnan(whole)
        start[known], mean[known] = end, whole[known]
    answer[np.isnan(answer)] = mean[np.isnan(answer)]
    answer[np.isnan(now)] = np.nan
    return answer
