"""Which node has which power model, and how well it is known.

Owns ``PowerModel`` and the rule by which a node finds its own: a name beats a selector, and a node that two selectors
match has none. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, get_args

from peaks_scheduler.arrays import Floats

from .curves import Curve
from .scope import SCOPES, Scope, scope_or_wall

if TYPE_CHECKING:
    from .temperature import TemperatureTerm

Pair = tuple[str, str]
"""A label and its value."""

Origin = Literal["file", "learned", "predicted"]
"""Where a model comes from: the model file, measurements while this process runs, or a prediction."""
ORIGINS: tuple[Origin, ...] = get_args(Origin)
"""The layers of the power book: a later one counts before an earlier one."""


@dataclass(frozen=True, slots=True)
class Quality:
    """How good the fit of a curve was. None: the file does not say."""

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
    """``low``: the power of this node was not measured, or probably not."""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class PowerModel:
    """The power of one node, or of one kind of node."""

    name: str
    """Node name, or the text of the selector (``a=b,c=d``; ``*`` for the empty one): what decision records show."""
    curve: Curve
    standby_watts: float | None = None
    """Power [W] when switched off; None: the node is never switched off."""
    quality: Quality | None = None
    scope: Scope | None = None
    """The part of the machine that the watts are of; None: not said, which counts as the whole machine."""
    origin: Origin = "file"
    temperature: TemperatureTerm | None = None
    """What it draws more when its air is warm; None: not known."""
    celsius: float | None = None
    """Temperature of the air that ``curve`` is for; None: it is for any."""
    overhead: float = 1.0
    """Factor of cooling and supply that is in ``curve``."""
    sensor_errors: Floats | None = field(default=None, compare=False, repr=False)
    """(S, P) [W] change of each of the curve's parameters by one standard error of each of S sensors: how well a
    predicted curve is known. None: not a predicted one."""

    @property
    def measured(self) -> bool:
        """Do its watts come from a meter?"""
        return self.quality is None or self.quality.confidence != "low"


@dataclass(frozen=True, slots=True)
class PowerModels:
    """Models by node name, and by labels for the nodes that no name stands for."""

    by_name: Mapping[str, PowerModel] = field(default_factory=lambda: MappingProxyType({}))
    by_selector: tuple[tuple[Mapping[str, str], PowerModel], ...] = ()
    _by_pair: Mapping[Pair | None, tuple[int, ...]] = field(init=False, repr=False, compare=False)
    """Label -> indices of ``by_selector`` that ask for it: a node is not compared with thousands of selectors."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_pair", _by_rarest_pair([selector for selector, _ in self.by_selector]))

    def for_node(self, name: str, labels: Mapping[str, str]) -> PowerModel | None:
        """The model of a node; a name beats a selector. None: there is none, or more than one selector matches."""
        if (named := self.by_name.get(name)) is not None:
            return named
        matching = self._matching(labels)
        return matching[0] if len(matching) == 1 else None

    def ambiguous(self, name: str, labels: Mapping[str, str]) -> tuple[str, ...]:
        """The selectors that match a node, where they are more than one and no name beats them; else ()."""
        if name in self.by_name:
            return ()
        matching = self._matching(labels)
        return tuple(model.name for model in matching) if len(matching) > 1 else ()

    def unlike(self, nodes: Iterable[tuple[str, Mapping[str, str]]]) -> Mapping[Scope, tuple[str, ...]]:
        """``unlike`` of the models of these nodes (name, labels)."""
        named = dict(nodes)
        return unlike(list(named), [self.for_node(name, labels) for name, labels in named.items()])

    def with_named(self, models: Iterable[PowerModel]) -> PowerModels:
        """These models, with ``models`` added by name; one of the same name is replaced."""
        named = {model.name: model for model in models}
        return PowerModels(MappingProxyType({**self.by_name, **named}), self.by_selector)

    def _matching(self, labels: Mapping[str, str]) -> list[PowerModel]:
        if not self.by_selector:
            return []
        some = sorted(i for pair in (None, *labels.items()) for i in self._by_pair.get(pair, ()))
        return [self.by_selector[i][1] for i in some if self.by_selector[i][0].items() <= labels.items()]


def unlike(names: Sequence[str], models: Sequence[PowerModel | None]) -> Mapping[Scope, tuple[str, ...]]:
    """Scope -> names of the nodes with a model of that scope, the widest scope first; empty where all models are of one
    scope. Index i is the same node in both.

    A decision compares the watts of all nodes: a part of one machine does not compare with the whole of another.
    """
    said = {model.scope for model in models if model is not None}  # 5,000 models have one, as a rule
    if len(set(map(scope_or_wall, said))) < 2:
        return {}
    found: dict[Scope, list[str]] = {}
    for name, model in zip(names, models, strict=True):
        if model is not None:
            found.setdefault(scope_or_wall(model.scope), []).append(name)
    return {scope: tuple(found[scope]) for scope in SCOPES if scope in found}


def _by_rarest_pair(selectors: Sequence[Mapping[str, str]]) -> Mapping[Pair | None, tuple[int, ...]]:
    """Label -> indices of the selectors, each under its label that the fewest selectors ask for; None: it asks for no
    label."""
    asked = Counter(pair for selector in selectors for pair in selector.items())
    found: dict[Pair | None, list[int]] = {}
    for i, selector in enumerate(selectors):
        found.setdefault(min(selector.items(), key=asked.__getitem__, default=None), []).append(i)
    return {pair: tuple(numbers) for pair, numbers in found.items()}


EMPTY = PowerModels()
