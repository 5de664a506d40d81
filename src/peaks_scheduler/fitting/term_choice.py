"""Does a term of temperature earn its place beside the curve, and from which reference on? Cross-validation decides.

    P(u, T) = P(u) + (a + b*u) * max(T - reference, 0)        a >= 0, b >= 0

Candidates: no term; the whole range (reference = the coolest sample: a straight line in T); a hinge (fans that step in)
at one of eight quantiles of the temperatures. The folds are blocks of time, because neighbouring samples are not
independent; where no times are known, blocks of temperature. Owns the rules of choice:

- a term is taken if its error on held-back blocks is smaller than that of the curve alone by the MARGIN, and if the
  improvement, as a mean of blocks, is larger than its own standard error;
- a hinge is taken instead of the whole range only if its improvement over that is larger than two standard errors and
  pays for one more parameter (Bayesian information criterion).

Errors are root means of the soft-L1 loss, so a wrong sample has limited influence. For a given shape of the curve
everything is linear: all shapes of all folds are solved at once by normal equations, as in ``family_choice``. Where a
or b would be negative it is left out, with the least error of what remains. Pure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from peaks_scheduler.arrays import Floats, Ints

from .families import CurveFamily, Scan, normal, solve
from .least_squares import TURN

MARGIN = 0.01
"""Least share by which the error must be smaller with the term: then it explains 2 % of the variance that is left."""
QUANTILES = tuple(np.linspace(0.1, 0.8, 8).tolist())
"""Of the temperatures: references of hinges. Above the last one too few samples would say how much it is."""
BLOCKS = 10
_TERM = 2  # columns of a term: a, b
_HINGE_ERRORS = 2.0  # standard errors by which a hinge must be better
_LEFT_OUT = ((), (0,), (1,), (0, 1))  # of a and b


@dataclass(frozen=True, slots=True)
class WarmFamily(CurveFamily):
    """A family of curves with the term of these S samples: two more linear parameters, a and b, after the rises."""

    curves: CurveFamily
    warm: Floats  # (S,) [K] above the reference

    @property
    def rises(self) -> int:
        """Number of linear parameters, a and b included."""
        return self.curves.rises + _TERM

    def basis(self, u: Floats, shape: float | Floats) -> Floats:
        """As that of the curves, with the columns of the term. (..., S, L + 2)."""
        return _with_term(self.curves.basis(u, shape), u, self.warm)


def _with_term(basis: Floats, u: Floats, warm: Floats) -> Floats:
    term = np.column_stack([warm, u * warm])
    return np.concatenate([basis, np.broadcast_to(term, (*basis.shape[:-2], *term.shape))], axis=-1)


@dataclass(frozen=True, slots=True)
class TriedTerm:
    """A candidate with its errors. The first two candidates are no term and the whole range."""

    reference: float | None  # [celsius]; None: no term
    losses: Floats  # (K,) mean loss [W^2] of each held-back block
    loss: float  # [W^2] mean over the samples, not held back
    term: tuple[float, float]  # [W/K] (a, b), not held back

    @property
    def error(self) -> float:
        """Root mean square error [W] on held-back blocks."""
        return math.sqrt(float(self.losses.mean()))


@dataclass(frozen=True, slots=True)
class ChosenTerm:
    """The outcome. ``best``: what explains most, taken or not."""

    none: TriedTerm
    best: TriedTerm
    hinge: bool
    reason: str  # why no term is taken; empty if one is


def blocks(time: Floats | None, celsius: Floats) -> Ints:
    """(S,) number of the block of each sample: of time, else of temperature; all of about the same size."""
    order = np.argsort(celsius if time is None else time, kind="stable")
    found = np.empty(len(celsius), np.int64)
    found[order] = np.arange(len(celsius)) * BLOCKS // len(celsius)
    return found


def choose_term(
    family: CurveFamily, scanned: Scan, u: Floats, watts: Floats, celsius: Floats, time: Floats | None
) -> ChosenTerm:
    """The best term for S samples beside a curve of this family. u (S,) [fraction], watts (S,) [W], celsius (S,), time
    (S,) [s] or None; ``scanned``: the scan of these samples without a term."""
    trial = _Trial(family, scanned, u, watts, celsius, blocks(time, celsius))
    none, whole = trial.of(None), trial.of(float(celsius.min()))
    hinges = [trial.of(float(each)) for each in np.unique(np.quantile(celsius, QUANTILES)) if each > celsius.min()]
    best, hinge = whole, False
    for each in hinges:
        gain, error = _gain(best if hinge else whole, each)
        pays = len(u) * math.log(max(whole.loss, 1e-300) / max(each.loss, 1e-300)) > math.log(len(u))
        if gain > (0.0 if hinge else _HINGE_ERRORS * error) and pays:
            best, hinge = each, True
    return ChosenTerm(none, best, hinge, _reason(none, best, trial))


def _gain(before: TriedTerm, after: TriedTerm) -> tuple[float, float]:
    """(mean over blocks of what the loss [W^2] falls by, its standard error)."""
    falls = before.losses - after.losses
    return float(falls.mean()), float(falls.std(ddof=1)) / math.sqrt(len(falls))


def _reason(none: TriedTerm, best: TriedTerm, trial: _Trial) -> str:
    gain, error = _gain(none, best)
    if best.error < none.error * (1.0 - MARGIN) and gain > error:
        return ""
    if trial.falls():
        return (
            "power falls as the temperature rises, and a node must not get cheaper when it is warm: something else "
            "changes with the temperature, look for it (fan policy, frequency, other load)"
        )
    smaller = 1.0 - best.error / none.error if none.error > 0.0 else 0.0
    why = f"the error on held-back samples is {none.error:.3g} W without it and {best.error:.3g} W with it"
    if best.error < none.error * (1.0 - MARGIN):
        why += f", but by {gain:.2g} ± {error:.2g} W² only over {len(none.losses)} blocks"
    else:
        why += f" ({100.0 * max(smaller, 0.0):.1f} % less, at least {100.0 * MARGIN:g} % are asked for)"
    return f"temperature explains nothing: {why}"


@dataclass(frozen=True, slots=True)
class _Trial:
    """The samples that all candidates are tried on."""

    family: CurveFamily
    scan: Scan
    u: Floats
    watts: Floats
    celsius: Floats
    block: Ints  # (S,)

    def of(self, reference: float | None) -> TriedTerm:
        """A candidate, held back block by block."""
        basis = self._basis(reference)
        weights, scale = self.scan.weights, self.scan.scale
        squares, products, total = normal(basis, weights, self.watts)
        rises, best = _solved(squares, products, total, self.family.rises)
        of_all = self.watts - basis[best] @ rises
        losses = np.empty(int(self.block.max()) + 1)
        for number in range(len(losses)):
            held = self.block == number
            part = normal(basis[:, held], weights[held], self.watts[held])
            c, shape = _solved(squares - part[0], products - part[1], total - part[2], self.family.rises)
            losses[number] = _loss(self.watts[held] - basis[shape][held] @ c, scale)
        a, b = (float(each) for each in rises[-_TERM:]) if reference is not None else (0.0, 0.0)
        return TriedTerm(reference, losses, _loss(of_all, scale), (a, b))

    def falls(self) -> bool:
        """Does power fall clearly as temperature rises? By the line over the whole range, with any sign."""
        warm = self.celsius - self.celsius.mean()
        basis = self.scan.basis[int(np.argmin(self.scan.costs))]
        columns = np.column_stack([basis, warm])
        weighted = columns * self.scan.weights[:, None]
        slope = float(np.linalg.lstsq(weighted.T @ columns, weighted.T @ self.watts, rcond=None)[0][-1])
        # only for the words of a refusal: a tenth of the noise is no accident of a few samples
        return slope < 0.0 and abs(slope) * float(warm.std()) > 0.1 * self.scan.scale

    def _basis(self, reference: float | None) -> Floats:
        """(G, S, L) of the curve, or (G, S, L + 2) with the term."""
        if reference is None:
            return self.scan.basis
        return _with_term(self.scan.basis, self.u, np.maximum(self.celsius - reference, 0.0))


def _solved(squares: Floats, products: Floats, total: float, rises: int) -> tuple[Floats, int]:
    """((L,) parameters, index of the best shape) of normal equations for G shapes; a and b are never negative."""
    size, found = squares.shape[-1], []
    for left_out in _LEFT_OUT if size > rises else ((),):
        kept = [i for i in range(size) if i - rises not in left_out]
        c, costs = solve(squares[:, kept][:, :, kept], products[:, kept], total)
        fine = np.all(c[:, rises:] >= 0.0, axis=1)
        costs = np.where(fine, costs, math.inf)
        best = int(np.argmin(costs))
        whole = np.zeros(size)
        whole[kept] = c[best]
        found.append((float(costs[best]), whole, best))
        if fine[best] and not left_out and np.all(fine):
            break
    _, whole, best = min(found, key=lambda each: each[0])
    whole[:rises] = np.maximum(whole[:rises], 0.0)
    return whole, best


def _loss(residuals: Floats, scale: float) -> float:
    """Mean of the soft-L1 loss [W^2]."""
    return float(np.mean(2.0 * (TURN * scale) ** 2 * (np.sqrt(1.0 + (residuals / (TURN * scale)) ** 2) - 1.0)))
