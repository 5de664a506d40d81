"""Why a prediction does not count: the rules, in their order.

A prediction that does not count leaves the last one in force until that expires; then the next layer of the power book
counts. Every rule is about nonsense that would make a node look cheaper, or dearer, than it can be. Rows are nodes, as
in ``predictions``. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from peaks_scheduler.arrays import Floats, Mask

from .plausibility import LEAST, LEAST_RISE, MOST

FAR = 3.0
"""Factor by which a prediction may differ from what else is known of the node, at no and at full load."""
MOST_REPAIR = 0.2
"""Share of the rise from no to full load by which a point may be changed so that the curve never falls."""
LEAST_AT_HALF = 0.05
"""Share of the rise that half the load takes at least. (In SPECpower_ssj2008 it is 19 % and more.)"""
LEAST_OTHERS = 3
"""Other nodes with the same served model, so that their median says anything."""


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What the models of M nodes answered, and what else is known of these nodes."""

    u: Floats  # (M, K) [1]
    raw: Floats  # (M, K) [W] as it came
    watts: Floats  # (M, K) [W] repaired
    change: Floats  # (M,) [W] the largest change by the repair
    known: Floats  # (M, 2) [W] at no and at full load, as known otherwise; NaN: not known
    whose: Sequence[str]  # (M,) where ``known`` is from, for people


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a prediction does not count."""

    reason: str
    """A short stable word, one of ``REASONS``."""
    words: str
    """For people: what came, and what was expected."""


@dataclass(frozen=True, slots=True)
class _Rule:
    reason: str
    breaks: Callable[[Answers], Mask]
    """(M,) which nodes' answers break it."""
    words: Callable[[Answers, int], str]


def judge(answers: Answers) -> Mapping[int, Refusal]:
    """The predictions that do not count, by row; the first rule that one breaks is named.

    1. ``not-a-number``: NaN or infinite watts.
    2. ``too-low``: watts that are negative or below ``plausibility.LEAST``.
    3. ``too-high``: watts above ``plausibility.MOST``.
    4. ``falling``: the repair changes a point by more than ``MOST_REPAIR`` of the rise from no to full load.
    5. ``flat``: the rise is less than ``plausibility.LEAST_RISE`` of the power at full load, or less than
       ``LEAST_AT_HALF`` of it is reached at half load: the node would look free.
    6. ``far``: at no or at full load it is off by more than the factor ``FAR`` from what else is known of the node.
    """
    found: dict[int, Refusal] = {}
    with np.errstate(invalid="ignore", over="ignore"):
        for rule in RULES:
            for i in np.flatnonzero(rule.breaks(answers)).tolist():
                if i not in found:
                    found[i] = Refusal(rule.reason, rule.words(answers, i))
    return found


# --- the rules --------------------------------------------------------------------------------------------------------


def _any(points: Mask) -> Mask:
    found: Mask = np.logical_or.reduce(points, axis=1)
    return found


def _rise(a: Answers) -> Floats:
    rise: Floats = a.watts[:, -1] - a.watts[:, 0]
    return rise


def _flat(a: Answers) -> Mask:
    half = np.array([np.interp(0.5, u, w) for u, w in zip(a.u, a.watts, strict=True)]) if a.u.size else _rise(a)
    flat: Mask = (_rise(a) < LEAST_RISE * a.watts[:, -1]) | (half - a.watts[:, 0] < LEAST_AT_HALF * _rise(a))
    return flat


def _far(a: Answers) -> Mask:
    ends = a.watts[:, [0, -1]]
    return _any((ends > FAR * a.known) | (ends < a.known / FAR))


def _number_words(a: Answers, i: int) -> str:
    return f"expected watts; the server answers {int((~np.isfinite(a.raw[i])).sum())} numbers that are not finite"


def _low_words(a: Answers, i: int) -> str:
    return f"expected at least {LEAST:g} W of a machine; the server answers {a.raw[i].min():.4g} W"


def _high_words(a: Answers, i: int) -> str:
    return f"expected at most {MOST:,.0f} W of a machine; the server answers {a.raw[i].max():.4g} W"


def _falling_words(a: Answers, i: int) -> str:
    return (
        f"expected watts that rise with CPU use; the answer falls, and to mend it a point would move by "
        f"{a.change[i]:.3g} W of a rise of {_rise(a)[i]:.3g} W"
    )


def _flat_words(a: Answers, i: int) -> str:
    watts, half = a.watts[i], float(np.interp(0.5, a.u[i], a.watts[i]))
    return (
        "expected watts that rise with CPU use; the server answers "
        f"{watts[0]:.4g} W at no, {half:.4g} W at half and {watts[-1]:.4g} W at full load"
    )


def _far_words(a: Answers, i: int) -> str:
    (idle, full), watts = a.known[i], a.watts[i]
    return (
        f"expected at most a factor of {FAR:g} from {a.whose[i]}, {idle:.4g} W at no and {full:.4g} W at full load; "
        f"the server answers {watts[0]:.4g} W and {watts[-1]:.4g} W"
    )


# fmt: off
RULES: tuple[_Rule, ...] = (
    _Rule("not-a-number", lambda a: _any(~np.isfinite(a.raw)),                 _number_words),
    _Rule("too-low",      lambda a: _any(a.raw < LEAST),                       _low_words),
    _Rule("too-high",     lambda a: _any(a.raw > MOST),                        _high_words),
    _Rule("falling",      lambda a: a.change > MOST_REPAIR * _rise(a),         _falling_words),
    _Rule("flat",         _flat,                                               _flat_words),
    _Rule("far",          _far,                                                _far_words),
)
# fmt: on
REASONS: tuple[str, ...] = tuple(rule.reason for rule in RULES)
