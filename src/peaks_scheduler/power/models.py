"""Which node has which power model, and how well it is known.

Owns ``PowerModel`` and the rule by which a node finds its own: a name beats a selector, and a node that two selectors
match has none. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from .curves import Curve
from .scope import SCOPES, Scope, scope_or_wall

Pair = tuple[str, str]
"""A label and its value."""


@dataclass(frozen=True, slots=True)
class Quality:
    """How well the curve was known where it was fitted. None: the file does not say."""

    rmse_watts: float | None = None
    """Root mean square error of the fit [W]."""
    r2: float | None = None
    samples: int | None = None
    cpu_min: float | None = None
    """Lowest utilisation [fraction] that a sample had; below it the curve is extrapolated."""
    cpu_max: float | None = None
    """Highest utilisation [fraction] that a sample had."""
    fitted: str | None = None
    """When, as the file has it."""
    cv_rmse_watts: float | None = None
    """Root mean square error on data held back [W]: leaving out one load level after the other."""
    covariance: tuple[tuple[float, ...], ...] | None = None
    """(P, P) of the curve's parameters in the order of ``curve.parameters``, for watts and fractions."""
    confidence: str | None = None
    """``low`` for what was never measured on this node, or hardly can have been."""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class PowerModel:
    """One node's, or one kind of node's, power."""

    name: str
    """Node name, or the text of the selector (``a=b,c=d``; ``*`` for the empty one): what decision records show."""
    curve: Curve
    standby_watts: float | None = None
    """Power [W] when switched off; None: the node is never switched off."""
    quality: Quality | None = None
    scope: Scope | None = None
    """Of what the watts are; None: it does not say, and counts as the whole machine."""
    learned: bool = False
    """By this process, while it runs; else it is from the file."""

    @property
    def measured(self) -> bool:
        """Do its watts come from a meter, as far as it says?"""
        return self.quality is None or self.quality.confidence != "low"


@dataclass(frozen=True, slots=True)
class PowerModels:
    """All models of one file: by node name, and by labels for the nodes that no entry names."""

    by_name: Mapping[str, PowerModel] = field(default_factory=lambda: MappingProxyType({}))
    by_selector: tuple[tuple[Mapping[str, str], PowerModel], ...] = ()
    _by_pair: Mapping[Pair | None, tuple[int, ...]] = field(init=False, repr=False, compare=False)
    """Which of ``by_selector`` a label may fulfil: a node is not compared with thousands of selectors."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_pair", _by_rarest_pair([selector for selector, _ in self.by_selector]))

    def for_node(self, name: str, labels: Mapping[str, str]) -> PowerModel | None:
        """The model of a node; a name beats a selector. None: no entry is for it, or more than one selector is."""
        if (named := self.by_name.get(name)) is not None:
            return named
        matching = self._matching(labels)
        return matching[0] if len(matching) == 1 else None

    def ambiguous(self, name: str, labels: Mapping[str, str]) -> tuple[str, ...]:
        """The selectors that claim a node that no entry names, when they are more than one; else ()."""
        if name in self.by_name:
            return ()
        matching = self._matching(labels)
        return tuple(model.name for model in matching) if len(matching) > 1 else ()

    def unlike(self, nodes: Iterable[tuple[str, Mapping[str, str]]]) -> Mapping[Scope, tuple[str, ...]]:
        """Scope -> the nodes (name, labels) whose models are of it, the widest first; empty where all are of one.

        Placements compare watts of all nodes: a part of one machine against the whole of another is no comparison.
        """
        found: dict[Scope, list[str]] = {}
        for name, labels in nodes:
            if (model := self.for_node(name, labels)) is not None:
                found.setdefault(scope_or_wall(model.scope), []).append(name)
        ordered = {scope: tuple(found[scope]) for scope in SCOPES if scope in found}
        return ordered if len(ordered) > 1 else {}

    def with_named(self, models: Iterable[PowerModel]) -> PowerModels:
        """These models, with ``models`` by their names in the place of any that were there."""
        named = {model.name: model for model in models}
        return PowerModels(MappingProxyType({**self.by_name, **named}), self.by_selector)

    def _matching(self, labels: Mapping[str, str]) -> list[PowerModel]:
        if not self.by_selector:
            return []
        some = sorted(i for pair in (None, *labels.items()) for i in self._by_pair.get(pair, ()))
        return [self.by_selector[i][1] for i in some if self.by_selector[i][0].items() <= labels.items()]


def _by_rarest_pair(selectors: Sequence[Mapping[str, str]]) -> Mapping[Pair | None, tuple[int, ...]]:
    """Each selector's number under its label that fewest others ask for; None: it asks for no label."""
    asked = Counter(pair for selector in selectors for pair in selector.items())
    found: dict[Pair | None, list[int]] = {}
    for i, selector in enumerate(selectors):
        found.setdefault(min(selector.items(), key=asked.__getitem__, default=None), []).append(i)
    return {pair: tuple(numbers) for pair, numbers in found.items()}


EMPTY = PowerModels()
