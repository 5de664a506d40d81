"""What the keeper of predictions knows of each node: its assignment, its last prediction that counted, what was wrong.

Asks nobody and writes into no book; ``predictions`` does. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from peaks_scheduler.arrays import Floats, Ints, Mask
from peaks_scheduler.settings.predictors import ServedModel
from peaks_scheduler.sources.predictors.asked_node import Accepted
from peaks_scheduler.sources.predictors.assignment import Assignment
from peaks_scheduler.sources.predictors.questions import signals_of
from peaks_scheduler.sources.predictors.round import NOT_ANSWERED, RoundResult
from peaks_scheduler.text.masking import mask_url
from peaks_scheduler.text.words import few

COMPARED = 3600.0
"""[s] that predictions are compared with one that counted. Long after that one has expired: nonsense that is plausible
by itself must not count as soon as nothing contradicts it. Not for ever: then a corrected model would never count."""


class Roster:
    """Which node has which model, by name and by index."""

    def __init__(self, *, follow: bool) -> None:
        self._follow = follow
        self._names: Sequence[str] | None = None
        self.assigned: Mapping[str, Assignment] = {}
        self.fresh: set[str] = set()
        """Nodes that got their model and were not asked since."""
        self.servers: Mapping[str, Ints] = {}
        """Server -> indices of its nodes."""
        self.needed: Mapping[str, Mask] = {}
        """Signal -> (N,) nodes whose model needs it."""

    def assign(self, found: Mapping[str, Assignment]) -> frozenset[str]:
        """These are the assignments now; the nodes that had another one, or have none any more."""
        before, self.assigned, self._names = self.assigned, found, None
        fresh = {name for name, own in found.items() if name not in before or before[name] != own}
        self.fresh = (self.fresh & found.keys()) | fresh
        same = {name for name, own in before.items() if name in found and found[name].model == own.model}
        return frozenset(before.keys() - same)

    def place(self, names: Sequence[str]) -> None:
        """The nodes have these indices now."""
        if names == self._names:
            return
        self._names = list(names)
        servers: dict[str, list[int]] = {}
        needed: dict[str, list[int]] = {}
        signals: dict[ServedModel, tuple[str, ...]] = {}
        for i, name in enumerate(names):
            if (own := self.assigned.get(name)) is not None:
                servers.setdefault(own.model.url, []).append(i)
                if own.model not in signals:
                    signals[own.model] = signals_of(own.model, follow=self._follow)
                for signal in signals[own.model]:
                    needed.setdefault(signal, []).append(i)
        self.servers = {server: np.array(some) for server, some in servers.items()}
        self.needed = {signal: _mask(some, len(names)) for signal, some in needed.items()}

    def fresh_ones(self) -> Mask:
        """(N,) was the node not asked since it got its model?"""
        found = np.zeros(len(self._names or ()), np.bool_)
        if self.fresh:
            found[[i for i, name in enumerate(self._names or ()) if name in self.fresh]] = True
        return found


def _mask(some: Sequence[int], count: int) -> Mask:
    mask = np.zeros(count, np.bool_)
    mask[some] = True
    return mask


class Outcomes:
    """What the last rounds gave for each node."""

    def __init__(self) -> None:
        self.grids: dict[str, Floats] = {}
        self.repaired: dict[str, float] = {}
        """Node -> [W] largest change that made its curve rise."""
        self.failures: dict[str, str] = {}
        self.reasons: dict[str, str] = {}
        self.unanswered: dict[ServedModel, str] = {}
        self.rows, self.seconds = 0, 0.0
        self._accepted: dict[ServedModel, dict[str, Accepted]] = {}
        self._expires: dict[str, float] = {}
        """Node -> [s] from when on its last prediction is not compared with."""

    def last(self, node: str, model: ServedModel) -> Accepted | None:
        """The last prediction of this model for the node that counted."""
        return self._accepted.get(model, {}).get(node)

    def of_model(self, model: ServedModel) -> Collection[Accepted]:
        """The last predictions that counted, of all nodes with this model."""
        return self._accepted.get(model, {}).values()

    def expire(self, now: float) -> None:
        """Forget the predictions that are too old: a model that was corrected is not compared with them for ever."""
        gone = {node for node, expires in self._expires.items() if expires <= now}
        every: list[dict[str, Any]] = [self._expires, *self._accepted.values()]
        for kept in every if gone else ():
            for node in kept.keys() & gone:
                del kept[node]

    def take(self, result: RoundResult, nodes: Iterable[str], now: float) -> None:
        """Keep what a round gave for these nodes."""
        for node in nodes:
            for mine, theirs in ((self.failures, result.failures), (self.reasons, result.reasons)):
                mine.pop(node, None)
                if node in theirs:
                    mine[node] = theirs[node]
            if (accepted := result.accepted.get(node)) is not None:
                self._accepted.setdefault(accepted.model, {})[node] = accepted
                self._expires[node] = now + COMPARED
                self.repaired.pop(node, None)
            if node in result.change:
                self.repaired[node] = result.change[node]
            if node in result.grids:
                self.grids[node] = result.grids[node]

    def answered(self, models: Iterable[ServedModel], unanswered: Mapping[ServedModel, str]) -> None:
        """Which of the models that were asked gave an answer."""
        for model in models:
            self.unanswered.pop(model, None)
            if model in unanswered:
                self.unanswered[model] = unanswered[model]

    def forget(self, nodes: Iterable[str], models: Collection[ServedModel]) -> None:
        """These nodes have another model now, or none; ``models`` are all that any node has."""
        gone = frozenset(nodes)
        every: list[dict[str, Any]] = [self.grids, self.repaired, self.failures, self.reasons, self._expires]
        every += self._accepted.values()
        for kept in every:
            for node in kept.keys() & gone:
                del kept[node]
        for by_model in (self._accepted, self.unanswered):
            for model in [model for model in by_model if model not in models]:
                del by_model[model]

    # -- in words

    def by_reason(self) -> Mapping[str, tuple[str, ...]]:
        """Short word -> names of the nodes whose prediction did not count for it."""
        found: dict[str, list[str]] = {}
        for node, reason in self.reasons.items():
            found.setdefault(reason, []).append(node)
        return {reason: tuple(sorted(nodes)) for reason, nodes in found.items()}

    def words(self, nodes: Sequence[str]) -> str:
        """Some of these nodes, and what was wrong with the first of them."""
        return f"{few(nodes)} ({self.failures[nodes[0]]})" if nodes else ""

    def trouble(self) -> str:
        """What is wrong, in words; empty: nothing."""
        servers = [f"no answer from {named(model)}: {why}" for model, why in self.unanswered.items()]
        nodes = [self.words(names) for reason, names in self.by_reason().items() if reason != NOT_ANSWERED]
        told = [few(servers, 3), f"predictions that do not count: {'; '.join(nodes)}" if nodes else ""]
        return "; ".join(filter(None, told))


def named(model: ServedModel) -> str:
    """A served model, for people."""
    return f"{model.model} at {mask_url(model.url)}"
