"""A node's power model against one learned from what was measured since: which of the two is to be believed?

The newest part of the measurements is held back. The challenger is learned from the part before it; both models are
judged by their error on what neither has seen. Owns the rule by which a challenger wins:

    its watts are of less of the machine than the model's               it loses
    the challenger's own verdict is `refused`                           it loses
    it is in doubt whether its watts were measured, the model's were    it loses
    there is no model, or one that was never measured on a node         it wins
    it has seen about as much of the node's load as the model has       it wins with an error smaller by the margin
    it has seen less (a quiet day against a load test)                  it wins with an error half as large

A model that does not say what it was fitted on is taken to have seen everything, and one that does not say of what its
watts are to be of the whole machine. What wins is the curve that was
judged, not one that is learned anew with the newest part: nobody has judged that. Pure; imports scipy through
``fitting``, so that nobody imports it before there is something to fit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from peaks_scheduler.power.curves import Curve
from peaks_scheduler.power.models import PowerModel
from peaks_scheduler.power.scope import WALL, Scope, as_wide, counted

from .alignment import align
from .fit import fit
from .samples import Samples
from .track import Reading

Outcome = Literal["learned", "replaced", "kept", "refused"]

LEAST_HELD_OUT = 20  # samples: the error of fewer is chance
LESS_SEEN = 0.1  # of full load, at either end of the range that the model was fitted on
HALF = 0.5


@dataclass(frozen=True, slots=True)
class Challenge:
    """How it came out."""

    outcome: Outcome
    model: PowerModel | None = None
    """The new one, where it wins."""
    before: float | None = None
    """[W] root mean square error of the model so far on what was held back; None: there is none."""
    after: float | None = None
    """[W] the same of the challenger; None: it was not judged."""
    samples: int = 0
    """Held back."""
    reasons: tuple[str, ...] = ()
    """Why it did not win, in words; of one that won, what its verdict names."""


def challenge(
    node: str,
    cpu: Reading,
    power: Reading,
    champion: PowerModel | None,
    hold_out: float,
    margin: float,
    now: str,
    scope: Scope = WALL,
    doubt: str = "",
) -> Challenge:
    """Learn a model of ``node`` and put it against the ``champion``. ``hold_out`` and ``margin`` are fractions, ``now``
    a time for people, ``scope`` of what the watts are and ``doubt`` why they are no measurement. Never raises for what
    was measured."""
    if champion is not None and not as_wide(scope, champion.scope):
        return Challenge("kept", reasons=(narrower(scope, champion),))
    learned_from, held_back = split(align(cpu, power).samples, hold_out)
    if len(held_back) < LEAST_HELD_OUT:
        few = f"only {len(held_back)} samples to judge a model by, of {LEAST_HELD_OUT} that it takes"
        return Challenge("refused", samples=len(held_back), reasons=(few,))
    found = fit(learned_from, doubt=doubt)
    if found.curve is None or found.verdict == "refused":
        return Challenge("refused", samples=len(held_back), reasons=found.reasons)
    after = error(found.curve, held_back)
    quality = replace(found.quality, fitted=now)
    model = PowerModel(node, found.curve, _standby(champion, found.curve), quality, scope, "learned")
    if champion is None:
        return Challenge("learned", model, None, after, len(held_back), found.reasons)
    before = error(champion.curve, held_back)
    if found.confidence == "low" and champion.measured:
        return Challenge("kept", None, before, after, len(held_back), found.reasons)
    wanted = before * (HALF if _has_seen_less(model, champion) else 1.0 - margin)
    if not champion.measured or after < wanted:
        return Challenge("replaced", model, before, after, len(held_back), found.reasons)
    why = f"an error of {after:.2f} W where the model so far has {before:.2f} W; it takes less than {wanted:.2f} W"
    return Challenge("kept", None, before, after, len(held_back), (why,))


def narrower(scope: Scope, champion: PowerModel) -> str:
    """Why watts of this scope are nothing to replace the model by, in words."""
    how = "" if champion.scope else " as far as is known: its entry of the file says no `scope`"
    return f"the watts are of {scope}, the model's are of {counted(champion.scope)}{how}"


def split(samples: Samples, hold_out: float) -> tuple[Samples, Samples]:
    """The samples before, and in, the newest ``hold_out`` of the time that they span."""
    usable = samples.usable()
    if usable.time is None or not len(usable):
        return usable, usable.of(np.zeros(len(usable), bool))
    newest = usable.time > usable.time[-1] - hold_out * (usable.time[-1] - usable.time[0])
    return usable.of(~newest), usable.of(newest)


def error(curve: Curve, samples: Samples) -> float:
    """[W] root mean square error."""
    predicted = np.array([curve.watts(float(u)) for u in samples.cpu])
    return float(np.sqrt(np.mean((predicted - samples.watts) ** 2)))


def _has_seen_less(challenger: PowerModel, champion: PowerModel) -> bool:
    low, high = _seen(champion)
    least, most = _seen(challenger)
    return least > low + LESS_SEEN or most < high - LESS_SEEN


def _seen(model: PowerModel) -> tuple[float, float]:
    """Range of load that the model was fitted on; all of it where it does not say."""
    quality = model.quality
    low = quality.cpu_min if quality and quality.cpu_min is not None else 0.0
    high = quality.cpu_max if quality and quality.cpu_max is not None else 1.0
    return low, min(high, 1.0)


def _standby(champion: PowerModel | None, curve: Curve) -> float | None:
    """What the node draws when switched off is nothing that it can be learned from while it runs."""
    if champion is None or champion.standby_watts is None:
        return None
    return min(champion.standby_watts, curve.watts(0.0))
