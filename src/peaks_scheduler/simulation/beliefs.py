"""What the scheduler believes of the nodes' power: fitted to noisy samples, true, or wrong on purpose.

``fitted_models`` is what ``peaks-scheduler fit`` would write for these nodes. Nodes of one kind have one model, and it
is one object: the errors of equal models cancel in a comparison. Everything random comes from the seed and from a
model's or node's name, so it does not depend on the other nodes. Assumes that models go by node name. Pure.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.power.adjusted import Adjusted
from peaks_scheduler.power.curves import Curve, Exponential, IdleExponential, Linear, Piecewise
from peaks_scheduler.power.models import PowerModel, PowerModels
from peaks_scheduler.text.words import nearest

from .cluster import SimulatedNode

LEVELS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
"""[fraction] utilisations at which a node is sampled, in turn."""
NOISE = 0.02
"""Standard deviation of a sample, as a share of the true power."""
SAMPLES = 30
LEAST_RISE = 0.01
"""Share of its true rise that a wrong curve keeps at least: a curve that falls is none."""

Each = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]
"""Calls a function on each argument, results in order: ``map``, or one that uses several processes."""


@dataclass(frozen=True, slots=True)
class FitTask:
    """One fit that is to be made. Everything of it can be sent to another process."""

    name: str
    curve: Curve
    noise: float
    samples: int
    seed: tuple[int, int]
    """Of the run, and the index of the first node that the fit is for."""


def fitted_models(
    nodes: Sequence[SimulatedNode], *, noise: float = NOISE, samples: int = SAMPLES, seed: int = 0, each: Each = map
) -> PowerModels:
    """Models fitted to ``samples`` noisy samples of each kind of node; no model where the fit is refused.

    noise    standard deviation of a sample, as a share of the true power
    each     how the fits are called: a fit takes about 20 ms of a processor
    """
    tasks: dict[_Kind, FitTask] = {}
    for i, node in enumerate(nodes):
        tasks.setdefault(_kind(node), FitTask(node.kind or node.name, node.curve, noise, samples, (seed, i)))
    return _by_name(nodes, dict(zip(tasks, each(learned, list(tasks.values())), strict=True)))


def true_models(nodes: Sequence[SimulatedNode]) -> PowerModels:
    """Models that are the true curves."""
    models: dict[_Kind, PowerModel | None] = {}
    for node in nodes:
        models.setdefault(_kind(node), PowerModel(node.kind or node.name, node.curve))
    return _by_name(nodes, models)


def learned(task: FitTask) -> PowerModel | None:
    """The model that a fit gives; None where it is refused."""
    from peaks_scheduler.fitting.fit import fit
    from peaks_scheduler.fitting.samples import Samples

    found = fit(Samples(*sampled(task)))
    if found.curve is None or found.verdict == "refused":
        return None
    return PowerModel(task.name, found.curve, quality=found.quality)


def sampled(task: FitTask) -> tuple[Floats, Floats]:
    """The samples of a fit: (S,) utilisations [fraction], (S,) [W]."""
    cpu = np.resize(LEVELS, task.samples)
    true = np.array([task.curve.watts(float(u)) for u in cpu])
    scatter = np.random.default_rng(task.seed).standard_normal(task.samples)
    return cpu, true * (1.0 + task.noise * scatter)


# --- wrong on purpose -------------------------------------------------------------------------------------------------


def wrong_models(models: PowerModels, error: float = 0.05, seed: int = 0) -> PowerModels:
    """These models, each off by the relative ``error`` at no load and at full load.

    Whether the power at each of the two ends is too high or too low is tossed for each model; between them the curve
    keeps its form. So half of the models are scaled and half are tilted. Their qualities stay: nobody knows.
    """
    return _changed(models, lambda model: replace(model, curve=_wrong(model, error, seed)))


def swapped(models: PowerModels, first: str, second: str) -> PowerModels:
    """These models, with those of two nodes exchanged. Raises ConfigurationError for a node without a model."""
    for name in (first, second):
        if name not in models.by_name:
            near = nearest(name, models.by_name)
            raise ConfigurationError(f"swapped models: expected a node that has a model; got {name!r}{near}")
    pair = {first: models.by_name[second], second: models.by_name[first]}
    return PowerModels({**models.by_name, **pair})


def unlike_pair(models: PowerModels, seed: int = 0) -> tuple[str, str] | None:
    """Two nodes with different models, at random; None where all models are the same."""
    rng, names = random.Random(f"pair {seed}"), sorted(models.by_name)
    first = rng.choice(names) if names else ""
    others = [name for name in names if models.by_name[name] is not models.by_name[first]]
    return (first, rng.choice(others)) if others else None


def partly_unmodelled(models: PowerModels, share: float = 0.1, seed: int = 0) -> PowerModels:
    """These models without those of a random ``share`` of the nodes, rounded to whole nodes and at least one."""
    names = sorted(models.by_name)
    count = min(max(round(share * len(names)), 1 if share > 0.0 else 0), len(names))
    without = set(random.Random(f"unmodelled {seed}").sample(names, count))
    return PowerModels({name: model for name, model in models.by_name.items() if name not in without})


def _wrong(model: PowerModel, error: float, seed: int) -> Curve:
    rng = random.Random(f"wrong {seed} {model.name}")
    idle, full = (1.0 + rng.choice((-error, error)) for _ in range(2))
    return with_ends(model.curve, model.curve.watts(0.0) * idle, model.curve.watts(1.0) * full)


def with_ends(curve: Curve, idle: float, full: float) -> Curve:
    """The curve, shifted and stretched to ``idle`` [W] at no load and ``full`` [W] at full load.

    Its rise stays at least ``LEAST_RISE`` of what it was; a flat curve stays flat, at ``idle``.
    """
    before = curve.watts(1.0) - curve.watts(0.0)
    stretch = max((full - idle) / before, LEAST_RISE) if before > 0.0 else 1.0
    return _stretched(curve, stretch, idle - stretch * curve.watts(0.0))


def _stretched(curve: Curve, by: float, shift: float) -> Curve:
    """The curve whose power is ``by`` times this one's, plus ``shift`` [W]."""
    match curve:
        case Exponential():
            return Exponential(by * curve.k0 + shift, by * curve.k1, curve.k2)
        case IdleExponential():
            idle, k0 = by * curve.idle + shift, by * curve.k0 + shift
            return IdleExponential(idle, k0, by * curve.k1, curve.k2, curve.knee)
        case Piecewise():
            return Piecewise(curve.cpu, tuple(by * watts + shift for watts in curve.power))
        case Linear():
            return Linear(by * curve.idle + shift, by * curve.max + shift)
        case Adjusted():
            factor = by * curve.factor
            return replace(curve, factor=factor, base=curve.base + shift / factor)


# --- models by node ---------------------------------------------------------------------------------------------------


_Kind = tuple[str, str]
"""(kind, "") or, for a node that is its own kind, ("", name)."""


def _kind(node: SimulatedNode) -> _Kind:
    return (node.kind, "") if node.kind else ("", node.name)


def _by_name(nodes: Sequence[SimulatedNode], models: dict[_Kind, PowerModel | None]) -> PowerModels:
    """Each node's model, with its standby power; one object for all nodes that are alike."""
    found: dict[tuple[_Kind, float | None], PowerModel] = {}
    by_name: dict[str, PowerModel] = {}
    for node in nodes:
        if (model := models[_kind(node)]) is not None:
            alike = (_kind(node), node.standby_watts)
            by_name[node.name] = found.setdefault(alike, replace(model, standby_watts=_standby(node, model)))
    return PowerModels(by_name)


def _standby(node: SimulatedNode, model: PowerModel) -> float | None:
    """The node's standby power [W], at most the power that the model gives without load."""
    return None if node.standby_watts is None else min(node.standby_watts, model.curve.watts(0.0))


def _changed(models: PowerModels, change: Callable[[PowerModel], PowerModel]) -> PowerModels:
    """The models after a change; nodes that had one model still have one."""
    changed = {id(model): change(model) for model in models.by_name.values()}
    return PowerModels({name: changed[id(model)] for name, model in models.by_name.items()})
