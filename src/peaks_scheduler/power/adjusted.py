"""A power curve under present conditions: at this inlet temperature, with the cooling that the site pays for.

    P(u) = factor * (P0(u) + base + slope*u)

P0 is a curve as fitted. Adding a straight line commutes with the lower convex envelope, and so does a factor: the
envelope of an adjusted curve is the adjusted envelope. Stands in no file. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from peaks_scheduler.arrays import Floats

if TYPE_CHECKING:
    from .curves import Curve, CurveTerms


@dataclass(frozen=True, slots=True)
class Adjusted:
    """See the module."""

    kind: ClassVar[str] = "adjusted"

    fitted: Curve
    factor: float = 1.0  # [1] above 0
    base: float = 0.0  # [W] added at every use
    slope: float = 0.0  # [W] per unit of u, not negative

    @property
    def parameters(self) -> tuple[str, ...]:
        """Those of the fitted curve."""
        return self.fitted.parameters

    def watts(self, u: float) -> float:
        """Power [W] at utilisation ``u`` [fraction]."""
        return self.factor * (self.fitted.watts(u) + self.base + self.slope * u)

    def gradient(self, u: Floats) -> Floats:
        """(P, M), the derivatives of ``watts`` by the fitted curve's parameters, at M utilisations."""
        derivatives: Floats = self.factor * self.fitted.gradient(u)
        return derivatives

    def terms(self) -> CurveTerms:
        of = self.fitted.terms()
        return replace(
            of,
            base=self.factor * (of.base + self.base),
            k1=self.factor * of.k1,
            slope=self.factor * of.slope,
            # a bend at no load is a straight line over the whole range
            at=(0.0, *of.at) if self.slope else of.at,
            bend=tuple(self.factor * each for each in ((self.slope, *of.bend) if self.slope else of.bend)),
        )

    def chords(self, standby: float | None = None) -> tuple[tuple[float, float], ...]:
        """Those of the fitted curve."""
        return self.fitted.chords(self._unadjusted(standby))

    def envelope(self, standby: float | None = None) -> Curve:
        """Largest convex curve below this one in [0, 1]; ``standby`` [W], if given, is its value at 0."""
        return Adjusted(self.fitted.envelope(self._unadjusted(standby)), self.factor, self.base, self.slope)

    def _unadjusted(self, standby: float | None) -> float | None:
        return None if standby is None else standby / self.factor - self.base
