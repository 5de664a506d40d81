"""Strategies: what would it cost to run a pod on each node?

A strategy is a name, what it minimises in one line, and a pure function ``(pod, nodes) -> (N,) watts``, lower is
better, NaN where a node has no model. A new one is one function and one line in ``STRATEGIES``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from peaks_scheduler.arrays import Floats, Ints
from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.ledger.snapshot import Snapshot
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.text.words import nearest

from .jump import envelope_jump, power_jump, saved_on_the_way


@dataclass(frozen=True, slots=True)
class Strategy:
    """See the module."""

    name: str
    minimises: str
    cost: Callable[[Pod, Snapshot], Floats]
    envelope: bool
    """Is the cost a rise of the curve's lower convex envelope, or of the curve itself?"""
    discount: Callable[[Pod, Snapshot, Ints], Floats] | None = None
    """``(pod, nodes, among) -> (M,) watts`` that tell nodes of equal cost apart: the more the better."""


ENVELOPE = Strategy(
    "envelope",
    "the rise of the lower convex envelope of the node's power curve: what the pod costs in the long run",
    envelope_jump,
    envelope=True,
    discount=saved_on_the_way,
)
JUMP = Strategy(
    "jump",
    "the rise of the node's power on its own curve: the formula of the Peaks plugin",
    power_jump,
    envelope=False,
)
PEAKS = replace(ENVELOPE, name="peaks", minimises="the same as envelope: the better of the two under another name")

STRATEGIES: Mapping[str, Strategy] = {strategy.name: strategy for strategy in (PEAKS, ENVELOPE, JUMP)}


def strategy_named(name: str) -> Strategy:
    """The strategy of that name; raises ConfigurationError with the names that there are."""
    strategy = STRATEGIES.get(name)
    if strategy is None:
        hint = nearest(name, STRATEGIES)
        raise ConfigurationError(f"strategy: expected one of {', '.join(STRATEGIES)}; got {name!r}{hint}")
    return strategy
