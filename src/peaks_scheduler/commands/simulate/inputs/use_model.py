"""How much of its request a pod uses, for traces that record requests only.

In a slice of Google's 2019 trace (99 records with request and average use) the sum of the use is 0.49 of the sum of
the requests. So each pod draws a share from a Beta distribution of this mean, between none and all of its request: with
a + b = 2, nearly uniform. ``usage=0.6`` gives another mean, ``usage=1`` is the request itself, and ``draw=none`` gives
every pod the mean. Pure.
"""

from __future__ import annotations

import random

from .source import Source

PARAMETERS = ("usage", "draw", "seed")
GOOGLE = 0.49
_SUM = 2.0  # a + b of the Beta distribution


def use_shares(source: Source, count: int, seed: int) -> tuple[list[float], str]:
    """(share of its request that each of ``count`` pods uses, in their order; a note). Raises ConfigurationError."""
    mean, draw = source.number("usage", GOOGLE, 0.0, 1.0), source.word("draw", ("beta", "none"))
    if draw == "none" or mean in (0.0, 1.0):
        return [mean] * count, f"the trace has requests only: every pod uses {mean:g} of its request (usage={mean:g})"
    rng = random.Random(f"use {source.whole('seed', seed)}")
    a, b = _SUM * mean, _SUM * (1.0 - mean)
    why = ", the share in a slice of Google's 2019 trace" if mean == GOOGLE else ""
    note = f"the trace has requests only: each pod uses a share drawn from Beta({a:.3g}, {b:.3g}), mean {mean:g}{why}"
    return [rng.betavariate(a, b) for _ in range(count)], note
