"""Headroom: would a node stay below its ceiling with the pod?

Owns the comparison of predicted use with the ceilings of node, pod and configuration. A node above its ceiling stays
feasible: it ranks behind every node that stays below, and among those above the one that ends least far above comes
first. Assumes use as fractions of capacity. Pure.
"""

from __future__ import annotations

import numpy as np

from peaks_scheduler.arrays import Floats, Mask
from peaks_scheduler.ledger.snapshot import Snapshot
from peaks_scheduler.objects.pod import Pod

ROUNDING = 1e-9
"""Fraction by which arithmetic alone can end above a ceiling that was just reached."""


def memory_after(pod: Pod, nodes: Snapshot) -> Floats:
    """Share of each node's memory in use if ``pod`` is added. (N,) fraction; 0 where the capacity is not known."""
    after: Floats = nodes.memory_used + pod.memory
    after /= nodes.memory_capacity
    return after


def overshoot(limits: tuple[Floats, Floats], cpu: Floats, memory: Floats) -> Floats:
    """How far each node is above its ``limits`` (see ``ceilings``), with these shares (N,) of CPU and memory in use.
    (N,) fraction of capacity, the larger of the two; not above 0 where it is below both."""
    cpu_ceiling, memory_ceiling = limits
    over: Floats = np.maximum(cpu - cpu_ceiling, memory - memory_ceiling)
    return over


def ceilings(pod: Pod, nodes: Snapshot) -> tuple[Floats, Floats]:
    """(N,) fractions of CPU and of memory. The pod's own takes the place of the configured one; of the pod's and the
    node's own the lower one counts: a pod cannot lift what protects the others on a node."""
    if pod.ceiling is None:
        return nodes.ceiling_cpu, nodes.ceiling_memory
    own = pod.ceiling
    return (
        nodes.ceiling_cpu if own.cpu is None else np.fmin(nodes.own_ceiling_cpu, own.cpu),
        nodes.ceiling_memory if own.memory is None else np.fmin(nodes.own_ceiling_memory, own.memory),
    )


def above(overshoots: Floats) -> Mask:
    """(N,) which nodes end above their ceiling?"""
    higher: Mask = overshoots > ROUNDING
    return higher
