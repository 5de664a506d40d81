"""The result of every import: models for nodes or labels, a comment for the file, and notes for the user.

Owns the options that say which nodes a model is for, and the check that every imported curve is valid. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from peaks_scheduler.errors import ConfigurationError, PowerModelError
from peaks_scheduler.power.curves import Curve
from peaks_scheduler.power.file import selector_text
from peaks_scheduler.power.models import PowerModel, PowerModels, Quality
from peaks_scheduler.power.scope import Scope
from peaks_scheduler.power.validity import flaw


@dataclass(frozen=True, slots=True)
class Target:
    """The nodes that a model is for: nodes by name, or all nodes with some labels."""

    nodes: tuple[str, ...] = ()
    selector: Mapping[str, str] | None = None

    def models(self, curve: Curve, quality: Quality | None, scope: Scope) -> list[Entry]:
        """A model with this curve for each node, or one for the labels."""
        if self.selector is None:
            return [(None, PowerModel(name, curve, quality=quality, scope=scope)) for name in self.nodes]
        name = selector_text(self.selector)
        return [(self.selector, PowerModel(name, curve, quality=quality, scope=scope))]


Entry = tuple[Mapping[str, str] | None, PowerModel]
"""A model with the labels of the nodes that it is for; None: it is for the node with the model's name."""


@dataclass(frozen=True, slots=True)
class ImportedModels:
    """Models from one origin."""

    models: PowerModels
    comment: str
    """Origin and limits of the models, for the top of the file."""
    notes: tuple[str, ...] = ()
    """What was unusual, in words."""


def target_of(nodes: Sequence[str], selector: Sequence[str]) -> Target:
    """The target of ``--nodes a,b`` or ``--selector key=value``, each given any number of times.

    Raises ConfigurationError for both or neither.
    """
    names = tuple(name.strip() for each in nodes for name in each.split(",") if name.strip())
    labels = parse_pairs("--selector", selector)
    if bool(names) == bool(labels):
        got = "both" if names else "neither"
        raise ConfigurationError(
            f"expected --nodes NAME,... or --selector LABEL=VALUE, one of the two; got {got}: say which nodes the "
            "model is for"
        )
    return Target(names, labels or None)


def parse_pairs(option: str, given: Sequence[str]) -> dict[str, str]:
    """``key=value`` texts as a mapping. Raises ConfigurationError."""
    found: dict[str, str] = {}
    for text in given:
        key, _, value = (part.strip() for part in text.partition("="))
        if not key or not value or key in found:
            raise ConfigurationError(f"{option}: expected NAME=VALUE, each name once; got {text!r}")
        found[key] = value
    return found


def models_of(entries: Iterable[Entry]) -> PowerModels:
    """The entries as the models of one file. Raises ConfigurationError for two models of one node or selector."""
    by_name: dict[str, PowerModel] = {}
    by_selector: dict[str, tuple[Mapping[str, str], PowerModel]] = {}
    for selector, model in entries:
        if model.name in by_name or model.name in by_selector:
            raise ConfigurationError(f"expected one model for {model.name!r}; got two: leave one out")
        if selector is None:
            by_name[model.name] = model
        else:
            by_selector[model.name] = (selector, model)
    return PowerModels(MappingProxyType(by_name), tuple(by_selector.values()))


def checked_curve(where: str, curve: Curve) -> Curve:
    """The curve, if it is valid. Raises PowerModelError that begins with ``where``."""
    if trouble := flaw(curve):
        raise PowerModelError(f"{where}: expected {trouble}: it cannot be a node's power, look for another model")
    return curve
