"""Decides whether a model learned from recent measurements (challenger) replaces the model in force (champion).

The newest part of the measurements is held back. The challenger is learned from the older part. Both models are judged
by their error on the part held back. Owns the rule by which the challenger wins:

    the challenger's scope is narrower than the champion's               it loses
    the challenger's own verdict is `refused`                            it loses
    its watts are in doubt, the champion's were measured                 it loses
    there is no champion, or one that was not measured on a node         it wins
    its samples cover about as much of the load as the champion's        it wins with an error smaller by the margin
    its samples cover less (a quiet day against a load test)             it wins with half the error

A champion without a fitted range counts as fitted on the whole range, one without a scope as of the whole machine. The
winner is the very curve that was judged; it is not fitted again with the newest part, since that fit would not be
judged. Pure. Imports scipy through ``fit``, so it is imported only when there is something to fit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from peaks_scheduler.power.curves import Curve
from peaks_scheduler.power.models import PowerModel
from peaks_scheduler.power.scope import WALL, Scope, at_least_as_wide, scope_or_wall

from .alignment import align
from .fit import fit
from .readings import Reading
from .samples import Samples

Outcome = Literal["learned", "replaced", "kept", "refused"]

LEAST_HELD_OUT = 20  # samples; the error of fewer is too uncertain
NARROWER_BY = 0.1  # [fraction of full load] missing at either end of the champion's range: it covers less
HALF = 0.5


@dataclass(frozen=True, slots=True)
class Contest:
    """The outcome of a contest."""

    outcome: Outcome
    model: PowerModel | None = None
    """The challenger, if it won; else None."""
    before: float | None = None
    """[W] root mean square error of the champion on the samples held back; None: there was no champion."""
    after: float | None = None
    """[W] root mean square error of the challenger on them; None: it was not judged."""
    samples: int = 0
    """Number of samples held back."""
    reasons: tuple[str, ...] = ()
    """Why the challenger lost, in words; if it won, the reasons of its verdict."""


def contest(
    node: str,
    cpu: Reading,
    power: Reading,
    champion: PowerModel | None,
    hold_out: float,
    margin: float,
    now: str,
    scope: Scope = WALL,
    doubt: str = "",
) -> Contest:
    """Learn a model of ``node`` from its readings and compare it with the ``champion``.

    ``hold_out``: fraction of the time span that is held back; ``margin``: fraction by which the error must be smaller.
    ``now``: the time of the fit, as text. ``doubt``: why the watts may be no measurement; empty if they are one. Never
    raises for any readings.
    """
    if champion is not None and not at_least_as_wide(scope, champion.scope):
        return Contest("kept", reasons=(narrower(scope, champion),))
    learned_from, held_back = split(align(cpu, power).samples, hold_out)
    if len(held_back) < LEAST_HELD_OUT:
        few = f"only {len(held_back)} samples to judge a model by, at least {LEAST_HELD_OUT} are needed"
        return Contest("refused", samples=len(held_back), reasons=(few,))
    found = fit(learned_from, doubt=doubt)
    if found.curve is None or found.verdict == "refused":
        return Contest("refused", samples=len(held_back), reasons=found.reasons)
    after = error(found.curve, held_back)
    quality = replace(found.quality, fitted=now)
    model = PowerModel(node, found.curve, _standby(champion, found.curve), quality, scope, "learned")
    if champion is None:
        return Contest("learned", model, None, after, len(held_back), found.reasons)
    before = error(champion.curve, held_back)
    if found.confidence == "low" and champion.measured:
        return Contest("kept", None, before, after, len(held_back), found.reasons)
    wanted = before * (HALF if _covers_less(model, champion) else 1.0 - margin)
    if not champion.measured or after < wanted:
        return Contest("replaced", model, before, after, len(held_back), found.reasons)
    why = f"an error of {after:.2f} W; the model in force has {before:.2f} W, so less than {wanted:.2f} W is needed"
    return Contest("kept", None, before, after, len(held_back), (why,))


def narrower(scope: Scope, champion: PowerModel) -> str:
    """Why a model of this scope cannot replace the champion, in words."""
    how = "" if champion.scope else " as far as is known: its entry of the file has no `scope`"
    return f"the watts are of {scope}, the model's are of {scope_or_wall(champion.scope)}{how}"


def split(samples: Samples, hold_out: float) -> tuple[Samples, Samples]:
    """The usable samples before the newest fraction ``hold_out`` of their time span, and those in it."""
    usable = samples.usable()
    if usable.time is None or not len(usable):
        return usable, usable.of(np.zeros(len(usable), bool))
    newest = usable.time > usable.time[-1] - hold_out * (usable.time[-1] - usable.time[0])
    return usable.of(~newest), usable.of(newest)


def error(curve: Curve, samples: Samples) -> float:
    """Root mean square error [W] of the curve on the samples."""
    predicted = np.array([curve.watts(float(u)) for u in samples.cpu])
    return float(np.sqrt(np.mean((predicted - samples.watts) ** 2)))


def _covers_less(challenger: PowerModel, champion: PowerModel) -> bool:
    """Was the challenger fitted on a clearly smaller range of load?"""
    low, high = _fitted_range(champion)
    least, most = _fitted_range(challenger)
    return least > low + NARROWER_BY or most < high - NARROWER_BY


def _fitted_range(model: PowerModel) -> tuple[float, float]:
    """Lowest and highest utilisation that the model was fitted on; 0 and 1 if it does not say."""
    quality = model.quality
    low = quality.cpu_min if quality and quality.cpu_min is not None else 0.0
    high = quality.cpu_max if quality and quality.cpu_max is not None else 1.0
    return low, min(high, 1.0)


def _standby(champion: PowerModel | None, curve: Curve) -> float | None:
    """The champion's standby power [W], at most the curve's idle power: it cannot be learned while the node runs."""
    if champion is None or champion.standby_watts is None:
        return None
    return min(champion.standby_watts, curve.watts(0.0))
