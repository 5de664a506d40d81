"""Strategies that decide over a batch of pods: which pod comes next, and where? Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from peaks_scheduler.ledger.snapshot import Snapshot
from peaks_scheduler.objects.pod import Pod

from .scoring.strategies import Strategy, strategy_named


@dataclass(frozen=True, slots=True)
class BatchStrategy:
    name: str
    minimises: str
    plan: Callable[[Sequence[Pod], Snapshot], Sequence[tuple[int, Strategy]]]
    most: int = 64


BATCH_STRATEGIES: Mapping[str, BatchStrategy] = {}


def any_strategy(name: str) -> Strategy | BatchStrategy:
    return strategy_named(name)
