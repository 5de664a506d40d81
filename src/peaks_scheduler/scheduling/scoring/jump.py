"""Cost of a placement: by how many watts does a node's power rise if the pod runs there?

Two answers. ``power_jump`` is the formula of the Peaks plugin: the rise on the node's own curve. It is short-sighted:
the step from idle to a tenth of full load is the steepest of most servers, so it avoids efficient idle machines and
overfills worse ones. ``envelope_jump`` is the same rise on the lower convex envelope: the largest convex function below
the curve. There a next step never costs less than the last one, and for such costs the smallest next step is optimal
up to the size of one pod. A node that may be switched off pays for being switched on. Pure. A node without a model
costs NaN.
"""

from __future__ import annotations

import numpy as np

from peaks_scheduler.arrays import Floats, Ints
from peaks_scheduler.ledger.snapshot import Snapshot
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.power.uncertainty import difference_errors, rise_error, rise_errors


def power_jump(pod: Pod, nodes: Snapshot) -> Floats:
    """Rise of each node's power if ``pod`` is added. (N,) [W], lower is better, NaN without a model.

    Where the use is only known to lie between low and high, this is the largest jump in between: an unknown use never
    makes a node cheaper.
    """
    step = _step(pod, nodes)
    high = _highest_use(nodes, step)
    low = high if nodes.measured.all() else nodes.cpu_low / nodes.cpu_capacity
    return nodes.curves.largest_rise(low, high, step)


def envelope_jump(pod: Pod, nodes: Snapshot) -> Floats:
    """Rise of the lower convex envelope of each node's power if ``pod`` is added. (N,) [W], lower is better, NaN
    without a model. It grows with the use, so it is taken at the highest plausible use."""
    step = _step(pod, nodes)
    return nodes.rises.of(pod.cpu, _highest_use(nodes, step), step)


def _highest_use(nodes: Snapshot, step: Floats) -> Floats:
    """The highest plausible use before the pod comes. (N,) fraction.

    A node that was never measured is taken to be as busy as still leaves room for the pod: requests do not tell how
    much its pods use, and a lower use would be a guess in its favour. Where no node was ever measured, requests count.
    """
    use: Floats = nodes.cpu_high / nodes.cpu_capacity
    never = np.isnan(nodes.load_end)
    if never.any() and not never.all():
        use[never] = np.maximum(use, 1.0 - step)[never]
    return use


def chord_savings(pod: Pod, nodes: Snapshot, among: Ints) -> Floats:
    """Part of each node's power above its envelope that this pod saves (``power.savings``). (M,) [W] for the M nodes
    ``among`` (indices), not negative, 0 without a model.

    It tells nodes of equal ``envelope_jump`` apart: a node that is already on a chord of its envelope saves more. Where
    none of them was ever measured, a node whose pods request less saves more as well.
    """
    use, step = nodes.cpu_high / nodes.cpu_capacity, _step(pod, nodes)
    saved = nodes.savings.over(use, step, among)
    measured, never = nodes.measured[among], np.isnan(nodes.load_end[among])
    if never.all():
        saved += (envelope_jump(pod, nodes) - nodes.envelopes.rise(use, step))[among]
    else:
        saved[~measured if measured.any() else never] = 0.0  # an unknown use is no advantage
    return saved


def _step(pod: Pod, nodes: Snapshot) -> Floats:
    return (pod.cpu / 1000.0) / nodes.cpu_capacity


def cpu_after(pod: Pod, nodes: Snapshot) -> Floats:
    """Utilisation of each node if ``pod`` is added, at its highest plausible use. (N,) fraction, above 1: over-full."""
    after = nodes.cpu_high + pod.cpu / 1000.0
    after /= nodes.cpu_capacity
    return after


# --- standard errors ------------------------------------------------------------------------------------------------

MOST_COMPARED = 256  # nodes of least cost whose errors are computed; more are hardly ever within the error


def jump_error(pod: Pod, nodes: Snapshot, i: int, *, envelope: bool) -> float | None:
    """Standard error [W] of node i's jump, from the error of its model's fit; None where the model has none.

    ``envelope``: of ``envelope_jump``, else of ``power_jump``; likewise below.
    """
    never = bool(np.isnan(nodes.load_end[i]))
    use = float(_highest_use(nodes, _step(pod, nodes))[i] if never else nodes.cpu_high[i] / nodes.cpu_capacity[i])
    return rise_error(nodes.models[i], use, pod.cpu / 1000.0 / float(nodes.cpu_capacity[i]), envelope=envelope)


def indistinct(pod: Pod, nodes: Snapshot, cost: Floats, best: int, *, envelope: bool) -> Ints:
    """Nodes whose ``cost`` (N,) [W] exceeds that of node ``best`` by at most the standard error of the difference.
    (M,) indices, ``best`` among them."""
    step = _step(pod, nodes)
    # an upper bound of each rise's error: it leaves few nodes to be compared exactly
    bound = nodes.slope_error * step
    near: Ints = np.flatnonzero(cost - bound <= cost[best] + bound[best])
    if len(near) > MOST_COMPARED:
        near = np.sort(near[np.argpartition(cost[near], MOST_COMPARED)[:MOST_COMPARED]])
    if len(near) <= 1 or not np.any(bound[near]):
        return np.array([best])
    use, step = _highest_use(nodes, step)[near], step[near]
    errors = rise_errors(nodes.slope_errors[int(envelope)], near, use, step)
    place = int(np.argmin(cost[near]))
    models = [nodes.models[i] for i in near.tolist()]
    differences = difference_errors(errors, models, use, step, place, envelope=envelope)
    alike: Ints = near[cost[near] - cost[best] <= differences]
    return alike
