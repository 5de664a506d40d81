"""What a node draws more when its air is warm.

    P(u, T) = P(u) + (idle + (full - idle)*u) * max(T - reference, 0)

``reference`` [celsius] is where the fans begin to work harder, or the coolest air that was measured: then the whole
range is one straight line. Where the present temperature is not known, ``UNSAID`` above the reference counts, or the
hottest one that the model was fitted on where that is more: not knowing never makes a node cheaper. Pure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from types import MappingProxyType

from .adjusted import Adjusted
from .models import PowerModel, PowerModels

UNSAID = 15.0
"""[K] above the reference: from 20 celsius, where most fans idle, to the 35 that ASHRAE's class A2 allows."""

SOME_KELVINS = 1.0
"""[K] that two sensors of the same air differ by: no more than that above the hottest is no news."""


@dataclass(frozen=True, slots=True)
class TemperatureTerm:
    """The term of one node, or of one kind of node."""

    signal: str
    """Name of the signal, such as ``inlet``."""
    reference: float
    """[celsius]"""
    idle: float
    """[W/K] at no load, not negative."""
    full: float
    """[W/K] at full load, not below ``idle``."""
    coolest: float | None = None
    """[celsius] Lowest temperature that a sample had; None: not said."""
    hottest: float | None = None
    """[celsius] Highest temperature that a sample had; None: not said."""

    @property
    def most(self) -> float:
        """[celsius] What counts where the temperature is not known. A model that was fitted in winter knows no hot air:
        the hottest of its samples alone would make a node cheaper whose sensor fails in summer."""
        return max(self.reference + UNSAID, self.hottest if self.hottest is not None else -math.inf)

    def counted(self, celsius: float) -> float:
        """The temperature that counts: ``celsius``, or ``most`` where that is no number."""
        return celsius if math.isfinite(celsius) else self.most

    def beyond(self, celsius: float | None) -> bool:
        """Is this hotter than what the model was fitted on, as far as that is said?"""
        return celsius is not None and self.hottest is not None and celsius > self.hottest + SOME_KELVINS

    def above(self, celsius: float) -> tuple[float, float]:
        """([W] at every use, [W] per unit of u) that this temperature adds."""
        kelvins = max(celsius - self.reference, 0.0)
        return self.idle * kelvins, (self.full - self.idle) * kelvins


def at_present(model: PowerModel, celsius: float, overhead: float) -> PowerModel:
    """The model at this temperature of its signal (NaN: not known), times the overhead of cooling and supply (NaN, or
    not above 1: none). The model itself where neither changes anything."""
    factor = overhead if math.isfinite(overhead) and overhead > 1.0 else 1.0
    if (term := model.temperature) is None:
        if factor == 1.0:
            return model
        return replace(
            model,
            curve=Adjusted(model.curve, factor),
            standby_watts=_times(model.standby_watts, factor),
            overhead=factor,
        )
    counted = term.counted(celsius)
    base, slope = term.above(counted)
    return replace(
        model,
        curve=Adjusted(model.curve, factor, base, slope),
        standby_watts=_times(model.standby_watts, factor),
        overhead=factor,
        celsius=counted,
    )


def at_reference(models: PowerModels) -> PowerModels:
    """The models without their temperature terms: as if all air were at the reference or cooler."""
    named = {name: replace(model, temperature=None) for name, model in models.by_name.items()}
    selected = tuple((selector, replace(model, temperature=None)) for selector, model in models.by_selector)
    return PowerModels(MappingProxyType(named), selected)


def _times(watts: float | None, factor: float) -> float | None:
    return None if watts is None else watts * factor
