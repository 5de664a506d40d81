"""The spine: filter, score, select. ``schedule(pod, nodes, strategy) -> Decision`` does no I/O, reads no clock and
logs nothing.

Every door goes through it: the daemon, explain, the demo and the tests. The order of preference among feasible nodes:
1. nodes that have a cost, by cost, whether their load is measured or estimated;
2. nodes without a power model, the least full first;
3. nodes that end above a ceiling (``scoring.headroom``), the one that ends least far above it first;
4. nodes that end above 100 % of their CPUs.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from peaks_scheduler.arrays import Mask
from peaks_scheduler.ledger.snapshot import Snapshot
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.scheduling.scoring.strategies import Strategy

from .decision import Decision
from .filtering import diagnose, feasible_nodes, outright
from .prediction import (
    Predicted,
    conditions,
    cpu_before,
    cpu_share,
    extrapolated,
    finite,
    number,
    predict,
    rise,
    standing,
)
from .selection import SelectedNode, two_best


def schedule(
    pod: Pod,
    nodes: Snapshot,
    strategy: Strategy,
    *,
    now: float,
    tolerance: float = 0.0,
    avoid: Collection[str] = (),
) -> Decision:
    """Decide where ``pod`` goes.

    Args:
        now: [s] since the epoch; dates the load in the record, and nothing else.
        tolerance: [W] costs closer than this count as tied, unless the pod has a tolerance of its own. Both count only
            where the strategy's unit is watts.
        avoid: names of nodes that rank behind all others.
    """
    rejected = outright(pod, nodes)
    if rejected is not None:
        return Decision(pod, strategy.name, 0, len(nodes), diagnosis=rejected)
    feasible = feasible_nodes(pod, nodes)
    if not np.count_nonzero(feasible):
        return Decision(pod, strategy.name, 0, len(nodes), diagnosis=diagnose(pod, nodes))
    predicted = predict(pod, nodes, strategy)
    tolerance = tolerance if pod.tolerance is None else pod.tolerance
    best, second = two_best(pod, nodes, strategy, feasible, predicted, tolerance=tolerance, avoid=avoid)
    return _decision(pod, nodes, strategy, feasible, predicted, best, second, now=now)


def _decision(
    pod: Pod,
    nodes: Snapshot,
    strategy: Strategy,
    feasible: Mask,
    predicted: Predicted,
    best: SelectedNode,
    second: SelectedNode | None,
    *,
    now: float,
) -> Decision:
    """The decision, with everything that the record has."""
    i = best.index
    load_end, model = float(nodes.load_end[i]), nodes.models[i]
    origin, celsius, overhead = conditions(model)
    return Decision(
        pod,
        strategy.name,
        int(np.count_nonzero(feasible)),
        len(nodes),
        node=nodes.names[i],
        jump_watts=number(predicted.jump, i),
        runner_up=None if second is None else nodes.names[second.index],
        runner_up_jump_watts=None if second is None else number(predicted.jump, second.index),
        cpu_before=cpu_before(nodes, i),
        cpu_after=cpu_share(nodes, predicted.cpu[i], i),
        standing=standing(nodes, predicted, i),
        load_age=None if np.isnan(load_end) else now - load_end,
        model=model.name if model else "",
        model_from=origin,
        rise_watts=rise(pod, nodes, i),
        jump_error_watts=strategy.error(pod, nodes, i) if strategy.error and strategy.in_watts else None,
        extrapolated=extrapolated(nodes, predicted, i),
        preferences=best.preferences,
        preference_watts=_extra_watts(feasible, predicted, i) if best.preferences and strategy.in_watts else None,
        cost=number(predicted.cost, i),
        runner_up_cost=None if second is None else number(predicted.cost, second.index),
        cost_unit=strategy.unit,
        temperature=celsius,
        overhead=overhead,
    )


def _extra_watts(feasible: Mask, predicted: Predicted, i: int) -> float | None:
    """By how much node i's jump is above the least one. None where watts had no part in choosing it."""
    fits = feasible & predicted.below
    return finite(float(predicted.jump[i]) - float(np.fmin.reduce(predicted.jump[fits]))) if fits[i] else None
