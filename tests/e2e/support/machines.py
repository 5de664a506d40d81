"""Simulated machines: a load over time, a power curve, and the exact integrals of both.

Loads are constant within a step and begin again after the last one, so that a counter is an exact integral however
seldom it is read. Pure: time comes in as numbers. How exporters tell of a machine is ``exporter.py``'s.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SHARES = MappingProxyType({"platform": 1.0, "psys": 0.9, "package": 0.7, "dram": 0.1, "core": 0.5, "uncore": 0.05})
"""Parts of a machine's watts by zone. They overlap: platform is the whole, psys holds package, package holds core."""


@dataclass(frozen=True, slots=True)
class Load:
    """CPU use over time: constant for ``each`` seconds, then the next level; after the last one the first again."""

    levels: Floats  # (L,) [fraction]
    each: float  # [s]


def staircase(
    levels: Sequence[float], *, each: float, rounds: int = 1, noise: float = 0.0, seed: int = 0, shuffle: bool = False
) -> Load:
    """``levels`` in turn, ``rounds`` times before it repeats: each time with other noise, and order where shuffled.

    ``noise`` is a standard deviation [fraction]; what it puts outside 0..1 is cut off.
    """
    random = np.random.default_rng(seed)
    turns = [random.permutation(levels) if shuffle else np.asarray(levels, float) for _ in range(rounds)]
    drawn = np.concatenate(turns)
    return Load(np.clip(drawn + noise * random.standard_normal(drawn.size), 0.0, 1.0), each)


@dataclass(frozen=True)
class Machine:
    """One node.

    ``origin`` is the time [s since the epoch] at which the load begins and the counters stand at 0.
    """

    name: str
    curve: Callable[[float], float]  # watts of the whole machine at a utilisation
    load: Load
    cpus: int = 4
    sockets: int = 1
    watts_noise: float = 0.0  # standard deviation of what is measured, a fraction of the watts
    seed: int = 0
    shares: Mapping[str, float] = field(default_factory=lambda: SHARES)  # a zone that is left out has no series
    memory: float = 0.25  # in use, a fraction
    origin: float = 0.0

    @functools.cached_property
    def watts(self) -> Floats:
        """(L,) [W] measured at each level of the load."""
        exact = np.array([self.curve(float(u)) for u in self.load.levels])
        noise = np.random.default_rng((self.seed, 1)).standard_normal(exact.size)
        return exact * (1.0 + self.watts_noise * noise)

    @functools.cached_property
    def idle_watts(self) -> float:
        """[W] what Kepler takes for idle: below anything measured, so that the dynamic part never falls."""
        return 0.8 * float(self.watts.min())

    def at(self, values: Floats, times: Floats) -> Floats:
        """One value per level (L,), at ``times`` (T,) [s since the epoch]. (T,)"""
        steps = np.floor((times - self.origin) / self.load.each).astype(int)
        found: Floats = values[steps % values.size]
        return found

    def since_origin(self, values: Floats, times: Floats) -> Floats:
        """Integral over time from the origin on: what a counter stands at. (T,) [unit of the values times s]"""
        sums = np.concatenate([[0.0], np.cumsum(values)]) * self.load.each
        rounds, within = np.divmod(times - self.origin, self.load.each * values.size)
        steps = np.minimum((within / self.load.each).astype(int), values.size - 1)
        stands: Floats = rounds * sums[-1] + sums[steps] + (within - steps * self.load.each) * values[steps]
        return stands
