"""Every node's verdict on a pod: what ``schedule`` saw, node by node. For ``explain``, parity and the tests. Pure."""

from __future__ import annotations

import numpy as np

from peaks_scheduler.ledger.snapshot import Snapshot
from peaks_scheduler.objects.ceilings import Ceiling
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.scheduling.scoring.headroom import ceilings
from peaks_scheduler.scheduling.scoring.strategies import Strategy

from .decision import NodeVerdict
from .filtering import outright, refusals_by_filter
from .prediction import conditions, cpu_before, cpu_share, finite, number, predict, standing


def judge(pod: Pod, nodes: Snapshot, strategy: Strategy) -> dict[str, NodeVerdict]:
    """The verdict of every node on ``pod``, by the node's name."""
    predicted = predict(pod, nodes, strategy)
    limits = [Ceiling(*pair) for pair in zip(*(each.tolist() for each in ceilings(pod, nodes)), strict=True)]
    verdicts = {}
    for i, reasons in enumerate(_reasons(pod, nodes)):
        fits = not reasons
        verdicts[nodes.names[i]] = NodeVerdict(
            fits,
            tuple(reasons),
            standing(nodes, predicted, i) if fits else None,
            number(predicted.jump, i) if fits else None,
            cpu_before(nodes, i),
            cpu_share(nodes, predicted.cpu[i], i),
            finite(float(predicted.memory[i])) if np.isfinite(nodes.memory_capacity[i]) else None,
            limits[i],
            number(predicted.cost, i) if fits else None,
            strategy.unit,
            *conditions(nodes.models[i]),
        )
    return verdicts


def _reasons(pod: Pod, nodes: Snapshot) -> list[list[str]]:
    """(N,) why each node is refused; empty: it is feasible. A reason found before any node is every node's only one."""
    rejected = outright(pod, nodes)
    if rejected is not None:
        return [[rejected.outright] for _ in nodes.names]
    reasons: list[list[str]] = [[] for _ in nodes.names]
    for _, refusals in refusals_by_filter(pod, nodes):
        for reason, mask in refusals:
            for i in np.flatnonzero(mask):
                reasons[i].append(reason)
    return reasons
