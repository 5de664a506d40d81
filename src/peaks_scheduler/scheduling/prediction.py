"""Predict: what would each node be like with the pod on it?

Owns ``Predicted`` and everything that a decision record and explain tell of one node: its rank class, its jump, its CPU
use, whether its curve is extrapolated. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from peaks_scheduler.arrays import Floats, Mask
from peaks_scheduler.ledger.snapshot import NO_CPUS, Snapshot
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.power.models import Origin, PowerModel
from peaks_scheduler.scheduling.scoring.headroom import ROUNDING, above, ceilings, memory_after, overshoot
from peaks_scheduler.scheduling.scoring.jump import cpu_after
from peaks_scheduler.scheduling.scoring.strategies import Strategy

from .decision import Standing

SAME_LOAD = 1e-6
"""Utilisations closer than this are the same: a model file has no more digits."""
_FAR = 1000.0  # no node is overfilled as many times


@dataclass(frozen=True, slots=True, eq=False)
class Predicted:
    """N nodes, each with the pod on it. Index i is the same node in every array."""

    cost: Floats  # (N,) in the strategy's unit; NaN: it has none for the node (in watts: no model)
    jump: Floats  # (N,) [W] rise of the node's power; NaN without a model
    cpu: Floats  # (N,) share of the CPUs in use; above 1: over-full
    memory: Floats  # (N,) share of the memory in use
    overshoot: Floats  # (N,) fraction of capacity above the ceiling; not above 0 below it

    @property
    def below(self) -> Mask:
        """(N,) nodes neither above a ceiling nor over-full."""
        below: Mask = ~above(self.overshoot)
        below &= self.cpu <= 1.0
        return below

    @property
    def rank(self) -> Floats:
        """(N,) order of the nodes that do not compete by cost, lower is better: 0..1 below the ceiling, by fullness;
        above 1 by the overshoot; then the over-full ones."""
        rank = np.where(above(self.overshoot), 1.0 + np.minimum(self.overshoot, _FAR), self.cpu)
        rank[self.cpu > 1.0] = 1.0 + _FAR + self.cpu[self.cpu > 1.0]
        return rank


def predict(pod: Pod, nodes: Snapshot, strategy: Strategy) -> Predicted:
    """Every node with the pod on it, feasible or not."""
    cpu, memory = cpu_after(pod, nodes), memory_after(pod, nodes)
    cost = strategy.cost(pod, nodes)
    over = overshoot(ceilings(pod, nodes), cpu, memory)
    return Predicted(cost, strategy.jump(pod, nodes, cost), cpu, memory, over)


# --- one node -------------------------------------------------------------------------------------------------------


def standing(nodes: Snapshot, predicted: Predicted, i: int) -> Standing:
    """Rank class of node i."""
    if not predicted.cpu[i] <= 1.0:
        return "over-full"
    if predicted.overshoot[i] > ROUNDING:
        return "above-ceiling"
    if np.isnan(predicted.cost[i]):
        return "unmodelled"
    return "measured" if nodes.measured[i] else "estimated"


def number(values: Floats, i: int) -> float | None:
    """Value i; None for NaN and for what is beyond any float."""
    return finite(float(values[i]))


def finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def cpu_before(nodes: Snapshot, i: int) -> float | None:
    """Share of node i's CPUs in use now, by the highest plausible use; None where the node has no CPU."""
    return cpu_share(nodes, nodes.cpu_high[i] / nodes.cpu_capacity[i], i)


def cpu_share(nodes: Snapshot, share: float, i: int) -> float | None:
    """``share`` of node i's CPUs for people to read; None where the node has no CPU."""
    return finite(float(share)) if nodes.cpu_capacity[i] > NO_CPUS else None


def rise(pod: Pod, nodes: Snapshot, i: int) -> float | None:
    """Predicted rise [W] of node i's power, on its own curve and at its highest plausible use; None without a model."""
    model = nodes.models[i]
    if model is None:
        return None
    capacity, high = float(nodes.cpu_capacity[i]), float(nodes.cpu_high[i])
    try:
        return model.curve.watts((high + pod.cpu / 1000.0) / capacity) - model.curve.watts(high / capacity)
    except OverflowError:
        return None


def conditions(model: PowerModel | None) -> tuple[Origin | None, float | None, float | None]:
    """(origin of the model, [celsius] that it counts at, factor of its overhead) of a node; None: does not apply."""
    if model is None:
        return None, None, None
    return model.origin, model.celsius, model.overhead if model.overhead != 1.0 else None


def extrapolated(nodes: Snapshot, predicted: Predicted, i: int) -> bool | None:
    """Is node i, without the pod or with it, outside the loads that its curve was fitted on, or its air hotter? None:
    neither is known."""
    model = nodes.models[i]
    if model is not None and model.temperature is not None and model.temperature.beyond(model.celsius):
        return True
    quality = model.quality if model else None
    if quality is None or (quality.cpu_min is None and quality.cpu_max is None):
        return None
    low = -np.inf if quality.cpu_min is None else quality.cpu_min
    high = np.inf if quality.cpu_max is None else quality.cpu_max
    before = nodes.cpu_high[i] / nodes.cpu_capacity[i]
    return bool(before < low - SAME_LOAD or predicted.cpu[i] > high + SAME_LOAD)
