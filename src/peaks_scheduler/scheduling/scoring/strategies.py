"""Strategies: what would it cost to run a pod on each node?

A strategy is a name, what it minimises in one line, and a pure function ``(pod, nodes) -> (N,) cost``, lower is better,
NaN where it has no cost for a node. The unit is watts unless it says otherwise. Hooks say how far its costs tell nodes
apart; a strategy without hooks takes its costs as exact. A new strategy is one function and one line in ``STRATEGIES``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from peaks_scheduler.arrays import Floats, Ints
from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.ledger.snapshot import Snapshot
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.scheduling.decision import WATTS
from peaks_scheduler.text.words import nearest

from .allocation import least_and_balanced, most
from .carbon import grams, grams_saved
from .jump import chord_savings, envelope_jump, indistinct, jump_error, power_jump
from .jump_upstream import upstream_points
from .without_power import last_turn, nothing, place_by_name

POINTS = "points"
"""Unit of scores like kube-scheduler's."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """See the module. Every number is in ``unit``."""

    name: str
    minimises: str
    cost: Callable[[Pod, Snapshot], Floats]
    """``(pod, nodes) -> (N,)``; NaN: the node ranks behind all nodes that have a cost (in watts: it has no model)."""
    unit: str = WATTS
    """One word for people, such as ``watts`` or ``points``. A tolerance in watts counts for watts alone."""
    tie_break: Callable[[Pod, Snapshot, Ints], Floats] | None = None
    """``(pod, nodes, tied) -> (T,)``: of T nodes of equal cost, given by index, those with the highest number are
    taken."""
    indistinct: Callable[[Pod, Snapshot, Floats, int], Ints] | None = None
    """``(pod, nodes, cost, best) -> indices``: the nodes whose ``cost`` (N,) cannot be distinguished from that of node
    ``best``, that node among them. Preferences may choose among them."""
    error: Callable[[Pod, Snapshot, int], float | None] | None = None
    """``(pod, nodes, i) -> standard error`` of the cost of node i; None: not known."""

    @property
    def in_watts(self) -> bool:
        return self.unit == WATTS

    def jump(self, pod: Pod, nodes: Snapshot, cost: Floats) -> Floats:
        """The rise of each node's power if ``pod`` is added. (N,) [W], NaN without a model.

        ``cost`` (N,) are this strategy's own costs. They are the jump where they are in watts; else the jump is the
        rise on the node's own curve, as strategy ``jump`` counts it.
        """
        return cost if self.in_watts else power_jump(pod, nodes)


ENVELOPE = Strategy(
    "envelope",
    "the rise of the lower convex envelope of the node's power curve: what the pod costs in the long run",
    envelope_jump,
    tie_break=chord_savings,
    indistinct=partial(indistinct, envelope=True),
    error=partial(jump_error, envelope=True),
)
JUMP = Strategy(
    "jump",
    "the rise of the node's power on its own curve: the formula of the Peaks plugin",
    power_jump,
    indistinct=partial(indistinct, envelope=False),
    error=partial(jump_error, envelope=False),
)
PEAKS = replace(ENVELOPE, name="peaks", minimises="the same as envelope: the better of the two under another name")

JUMP_UPSTREAM = Strategy(
    "jump-upstream",
    "the rise of power as the Peaks plugin ranks it: by loads as reported, in whole points, unknown nodes first",
    upstream_points,
    unit=POINTS,
)
CARBON = Strategy(
    "carbon",
    "the rise of the envelope of power times the carbon intensity of the node's grid, over the pod's expected life",
    grams,
    unit="gCO2/h",
    tie_break=grams_saved,
)
LEAST_ALLOCATED = Strategy(
    "least-allocated",
    "requests and the imbalance of CPU and memory, as kube-scheduler does by default",
    least_and_balanced,
    unit=POINTS,
)
MOST_ALLOCATED = Strategy(
    "most-allocated", "what is not requested, as kube-scheduler's MostAllocated does", most, unit=POINTS
)
ROUND_ROBIN = Strategy("round-robin", "turns: the node that was chosen longest ago is next", last_turn, unit="turns")
RANDOM = Strategy("random", "nothing: a hash of pod and node decides", nothing, unit=POINTS)
FIRST_COME = Strategy(
    "first-come", "the place in the order of names: the first node that fits", place_by_name, unit="places"
)

STRATEGIES: Mapping[str, Strategy] = {
    strategy.name: strategy
    for strategy in (
        PEAKS,
        ENVELOPE,
        JUMP,
        JUMP_UPSTREAM,
        CARBON,
        LEAST_ALLOCATED,
        MOST_ALLOCATED,
        ROUND_ROBIN,
        RANDOM,
        FIRST_COME,
    )
}


def strategy_named(name: str) -> Strategy:
    """The strategy of that name. Raises ConfigurationError, which lists all names."""
    strategy = STRATEGIES.get(name)
    if strategy is None:
        hint = nearest(name, STRATEGIES)
        raise ConfigurationError(f"strategy: expected one of {', '.join(STRATEGIES)}; got {name!r}{hint}")
    return strategy
