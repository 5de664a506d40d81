"""Cost of a placement: by how many watts does a node's power rise if the pod runs there?

Two answers. ``power_jump`` is the formula of the Peaks plugin: the rise on the node's own curve. It is short-sighted:
from idle to a tenth of full load is the steepest step of most servers, so it shuns an efficient machine that is idle
and overfills a worse one. ``envelope_jump`` is the same rise on the largest convex function below the curve. There the
next step never costs less than the last one, and for such costs taking the smallest next step is optimal up to the
size of one pod; a node that may be switched off pays for being woken. Pure. A node without a model costs NaN.
"""

from __future__ import annotations

import numpy as np

from peaks_scheduler.arrays import Floats, Ints
from peaks_scheduler.ledger.snapshot import Snapshot
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.power.uncertainty import difference_errors, rise_error, rise_errors


def power_jump(pod: Pod, nodes: Snapshot) -> Floats:
    """Rise of each node's power if ``pod`` is added. (N,) [W], lower is better, NaN without a model.

    Where the use is only known to lie between low and high, the largest jump in between: not knowing never makes a node
    cheaper.
    """
    step = _step(pod, nodes)
    high = _highest_use(nodes, step)
    low = high if nodes.measured.all() else nodes.cpu_low / nodes.cpu_capacity
    return nodes.curves.largest_rise(low, high, step)


def envelope_jump(pod: Pod, nodes: Snapshot) -> Floats:
    """Rise of the lower convex envelope of each node's power if ``pod`` is added. (N,) [W], lower is better, NaN
    without a model. It grows with the use: the highest plausible one gives the largest."""
    step = _step(pod, nodes)
    return nodes.envelopes.rise(_highest_use(nodes, step), step)


def _highest_use(nodes: Snapshot, step: Floats) -> Floats:
    """The highest plausible use before the pod comes. (N,) fraction.

    A node that was never measured may be as busy as leaves room for the pod: what its pods request says nothing of what
    they use, and a cheap price for a node that nobody has seen would be a guess in its favour. Where no node was ever
    measured none can be preferred for it, and requests are all there is to go by.
    """
    use: Floats = nodes.cpu_high / nodes.cpu_capacity
    never = np.isnan(nodes.load_end)
    if never.any() and not never.all():
        use[never] = np.maximum(use, 1.0 - step)[never]
    return use


def saved_on_the_way(pod: Pod, nodes: Snapshot, among: Ints) -> Floats:
    """What the pod saves against ``envelope_jump`` where a node has part of a chord of its envelope behind it. (M,) [W]
    of these nodes, not negative, 0 without a model: what tells apart nodes of equal cost (``power.savings``). Among
    nodes that were all never measured, also by how much the jump is less where they use what their pods request."""
    use, step = nodes.cpu_high / nodes.cpu_capacity, _step(pod, nodes)
    saved: Floats = nodes.savings.over(use, step)[among]
    measured, never = nodes.measured[among], np.isnan(nodes.load_end[among])
    if never.all():
        saved += (envelope_jump(pod, nodes) - nodes.envelopes.rise(use, step))[among]
    else:
        saved[~measured if measured.any() else never] = 0.0  # not knowing is no merit
    return saved


def _step(pod: Pod, nodes: Snapshot) -> Floats:
    return (pod.cpu / 1000.0) / nodes.cpu_capacity


def cpu_after(pod: Pod, nodes: Snapshot) -> Floats:
    """Utilisation of each node if ``pod`` is added, by the highest plausible use. (N,) fraction, above 1 where it
    would be over-full."""
    after = nodes.cpu_high + pod.cpu / 1000.0
    after /= nodes.cpu_capacity
    return after


# --- how well they are known ----------------------------------------------------------------------------------------

MOST_DOUBTFUL = 256  # nodes of least cost whose errors are worked out; more are hardly ever in question


def jump_error(pod: Pod, nodes: Snapshot, i: int, *, envelope: bool) -> float | None:
    """Standard error [W] of node i's jump by the error of its fit. None where the model does not say."""
    never = bool(np.isnan(nodes.load_end[i]))
    use = float(_highest_use(nodes, _step(pod, nodes))[i] if never else nodes.cpu_high[i] / nodes.cpu_capacity[i])
    return rise_error(nodes.models[i], use, pod.cpu / 1000.0 / float(nodes.cpu_capacity[i]), envelope=envelope)


def indistinct(pod: Pod, nodes: Snapshot, cost: Floats, best: int, *, envelope: bool) -> Ints:
    """Nodes whose ``cost`` (N,) is above that of node ``best`` by no more than the standard error of the difference,
    that node among them."""
    step = _step(pod, nodes)
    # no rise is known worse than this: it leaves few to be looked at closely
    bound = nodes.slope_error * step
    near: Ints = np.flatnonzero(cost - bound <= cost[best] + bound[best])
    if len(near) > MOST_DOUBTFUL:
        near = np.sort(near[np.argpartition(cost[near], MOST_DOUBTFUL)[:MOST_DOUBTFUL]])
    if len(near) <= 1 or not np.any(bound[near]):
        return np.array([best])
    use, step = _highest_use(nodes, step)[near], step[near]
    errors = rise_errors(nodes.slope_errors[int(envelope)], near, use, step)
    place = int(np.argmin(cost[near]))
    models = [nodes.models[i] for i in near.tolist()]
    differences = difference_errors(errors, models, use, step, place, envelope=envelope)
    alike: Ints = near[cost[near] - cost[best] <= differences]
    return alike
