"""Strategies: what would it cost to run a pod on each node?

A strategy is a name, what it minimises in one line, and a pure function ``(pod, nodes) -> (N,) watts``, lower is
better, NaN where a node has no model. A new one is one function and one line in ``STRATEGIES``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..errors import ConfigurationError
from ..objects import Pod
from ..snapshot import Floats, Snapshot
from .jump import power_jump


@dataclass(frozen=True, slots=True)
class Strategy:
    """See the module."""

    name: str
    minimises: str
    cost: Callable[[Pod, Snapshot], Floats]


STRATEGIES: Mapping[str, Strategy] = {
    strategy.name: strategy
    for strategy in (
        Strategy("peaks", "the rise of the node's power by the pod, on its exponential model", power_jump),
    )
}


def strategy_named(name: str) -> Strategy:
    """The strategy of that name; raises ConfigurationError with the names that there are."""
    strategy = STRATEGIES.get(name)
    if strategy is None:
        raise ConfigurationError(f"strategy: expected one of {', '.join(STRATEGIES)}; got {name!r}")
    return strategy
