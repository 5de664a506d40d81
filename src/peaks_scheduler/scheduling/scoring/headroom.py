"""Headroom: would a node stay below its ceiling with the pod?

Owns the comparison of predicted use with the ceilings of node, pod and configuration. A node above its ceiling stays
feasible. It ranks behind every node below its ceiling; among nodes above theirs, the smallest overshoot comes first.
Use is in fractions of capacity. Pure.
"""

from __future__ import annotations

import numpy as np

from peaks_scheduler.arrays import Floats, Mask
from peaks_scheduler.ledger.snapshot import Snapshot
from peaks_scheduler.objects.pod import Pod

ROUNDING = 1e-9
"""Overshoot (a fraction) that rounding alone can cause at a ceiling that is just reached."""


def memory_after(pod: Pod, nodes: Snapshot) -> Floats:
    """Share of each node's memory in use if ``pod`` is added. (N,) fraction; 0 where the capacity is not known."""
    after: Floats = nodes.memory_used + pod.memory
    after /= nodes.memory_capacity
    return after


def overshoot(limits: tuple[Floats, Floats], cpu: Floats, memory: Floats) -> Floats:
    """How far each node is above its ceilings, of CPU or memory, whichever is more. (N,) fraction of capacity, not
    above 0 where it is below both.

    ``limits`` are what ``ceilings`` returns; ``cpu`` and ``memory`` (N,) are the shares in use.
    """
    cpu_ceiling, memory_ceiling = limits
    over: Floats = np.maximum(cpu - cpu_ceiling, memory - memory_ceiling)
    return over


def ceilings(pod: Pod, nodes: Snapshot) -> tuple[Floats, Floats]:
    """The ceilings of CPU and of memory that count for ``pod``. (N,) and (N,) fractions.

    A pod's own ceiling replaces the configured one. Of the pod's and the node's own the lower one counts: a pod cannot
    raise a limit that protects the other pods of a node.
    """
    if pod.ceiling is None:
        return nodes.ceiling_cpu, nodes.ceiling_memory
    own = pod.ceiling
    return (
        nodes.ceiling_cpu if own.cpu is None else np.fmin(nodes.own_ceiling_cpu, own.cpu),
        nodes.ceiling_memory if own.memory is None else np.fmin(nodes.own_ceiling_memory, own.memory),
    )


def above(overshoots: Floats) -> Mask:
    """(N,) nodes that end above their ceiling."""
    higher: Mask = overshoots > ROUNDING
    return higher
