"""Made-up power models of every kind of curve, with or without the covariance of a fit.

Owns these numbers, which are not measured. Everything follows from the seed. Pure.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import yaml

from benchmarks import workload
from peaks_scheduler.power.curves import Curve, Exponential, IdleExponential, Linear, Piecewise
from peaks_scheduler.power.file import parse_models
from peaks_scheduler.power.models import PowerModel, PowerModels, Quality

SAMPLED_AT = np.repeat([0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0], 4)
NOISE = 0.02  # of the power at full load
Make = Callable[[random.Random], Curve]


def exponential(rng: random.Random) -> Exponential:
    k2 = rng.choice((-1.0, 1.0)) * rng.uniform(0.5, 4.0)
    k1 = rng.uniform(100.0, 400.0) / math.expm1(k2)
    return Exponential(rng.uniform(60.0, 200.0) - k1, k1, k2)


def idle_exponential(rng: random.Random) -> IdleExponential:
    above = exponential(rng)
    return IdleExponential(rng.uniform(0.5, 1.0) * above.watts(0.0), above.k0, above.k1, above.k2, 0.1)


def piecewise(rng: random.Random) -> Piecewise:
    """A piecewise curve of 5 to 11 points."""
    count = rng.randint(5, 11)
    watts = np.cumsum([rng.uniform(50.0, 150.0), *(rng.uniform(10.0, 60.0) for _ in range(count - 1))])
    return Piecewise(tuple(np.linspace(0.0, 1.0, count).tolist()), tuple(watts.tolist()))


def linear(rng: random.Random) -> Linear:
    idle = rng.uniform(60.0, 200.0)
    return Linear(idle, idle + rng.uniform(100.0, 300.0))


EXPONENTIAL: Sequence[Make] = (exponential,)
MIXED: Sequence[Make] = (exponential, idle_exponential, piecewise, linear)


def own(makes: Sequence[Make], count: int, seed: int) -> PowerModels:
    """A model for each of ``count`` nodes; the kinds take turns."""
    rng = random.Random(f"models {seed}")
    names = workload.node_names(count)
    return PowerModels({name: PowerModel(name, makes[i % len(makes)](rng)) for i, name in enumerate(names)})


def shared() -> PowerModels:
    """One model for each kind of node."""
    return parse_models(yaml.safe_dump(workload.power_models()), "models")


def known(models: PowerModels) -> PowerModels:
    """The same models with a covariance, as from least squares on 28 noisy samples."""
    by_name = {name: _known(model) for name, model in models.by_name.items()}
    return PowerModels(by_name, tuple((selector, _known(model)) for selector, model in models.by_selector))


def _known(model: PowerModel) -> PowerModel:
    gradient = model.curve.gradient(SAMPLED_AT)
    noise = NOISE * model.curve.watts(1.0)
    covariance = noise**2 * np.linalg.pinv(gradient @ gradient.T)
    rows = tuple(tuple(row) for row in covariance.tolist())
    return replace(model, quality=Quality(noise, samples=len(SAMPLED_AT), cpu_min=0.0, cpu_max=1.0, covariance=rows))
