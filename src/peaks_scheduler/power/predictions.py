"""From predicted watts to power curves: where a node's model is asked, and what becomes of its answers.

Owns the grid of CPU use, the repair of curves that fall, the temperature of processors at other uses, and the power
model that comes of all that. Rows are nodes: (M, K) is M nodes at K points each. Assumes that every grid begins at 0,
ends at 1 and has the points of ``FIRST`` among its own. Whether a prediction counts is said by ``judging``. Pure.
"""

from __future__ import annotations

import heapq
import math
import re
from typing import Final

import numpy as np

from peaks_scheduler.arrays import Floats, Mask

from .curves import Piecewise
from .models import PowerModel
from .scope import PLATFORM, WALL, scope_or_wall

FIRST: Final[Floats] = np.round(np.linspace(0.0, 1.0, 21), 10)
"""(21,) [1] CPU use at which a node is asked at first."""
FIRST.flags.writeable = False
MOST_POINTS = 81
"""Points of a grid at most: then it costs as much to ask four nodes at first as one of these."""
TOLERANCE = 0.01
"""Share of a jump by which its prediction may be off between two points."""
AIM = 0.7
"""Share of the tolerance to which pieces are divided: a little more heat does not divide them again."""
LEAST_WIDTH = 0.0025
"""[1] of a piece that is not divided any more: servers round, some to whole watts."""
LEAST_SLOPE = 0.1
"""Share of the mean slope; where a curve is flatter, its slope counts as that: a percent of nearly nothing is noise."""

KELVINS, PASCALS = 1.0, 1.0
"""One standard error of a temperature sensor in a server [K], and of a sensor of differential pressure [Pa]."""
MOST_CELSIUS = 100.0
"""[celsius] of a processor: there it slows itself down."""


def standard_error(signal: str) -> float:
    """One standard error of a signal's sensor, in the signal's unit."""
    return PASCALS if signal == "deltaP" else KELVINS


def of_processor(signal: str) -> bool:
    """Is it the temperature of a processor: ``cpu1``, ``cpu2``?"""
    return re.fullmatch(r"cpu\d+", signal) is not None


# --- the grid -------------------------------------------------------------------------------------------------------


def bends(u: Floats, watts: Floats) -> Floats:
    """Share of a jump by which each piece may be off because the curve bends in it. (M, K) [1], [W] -> (M, K - 1).

    A piece has one slope, s = rise / width. At the point that it shares with its neighbour t, of width w, the slope of
    the parabola through the three points is (w*s + h*t) / (h + w), h its own width. So there a small pod's jump is off
    by h*|t - s| / (h + w) of s. Of a piece's two ends the smaller error counts: at a corner of the curve itself, which
    networks of rectifiers have, only one end differs, and no further point would change that. An outer piece has
    one neighbour.
    """
    width = np.diff(u, axis=-1)
    slope = np.diff(watts, axis=-1) / width
    both = width[..., :-1] + width[..., 1:]
    change = np.abs(np.diff(slope, axis=-1)) / both
    outside = np.full((*slope.shape[:-1], 1), np.inf)
    left = np.concatenate([outside, change * width[..., 1:]], axis=-1)
    right = np.concatenate([change * width[..., :-1], outside], axis=-1)
    mean = (watts[..., -1:] - watts[..., :1]) * LEAST_SLOPE
    shares: Floats = np.minimum(left, right) / np.maximum(np.maximum(slope, mean), 1e-9)
    return shares


def needs_points(u: Floats, watts: Floats) -> Mask:
    """(M,) does the grid of a node need more points? As for ``bends``; watts never fall."""
    if u.shape[-1] >= MOST_POINTS:
        return np.zeros(len(u), np.bool_)
    off = (bends(u, watts) > TOLERANCE) & (np.diff(u, axis=-1) >= 2 * LEAST_WIDTH)
    needed: Mask = np.logical_or.reduce(off, axis=-1)
    return needed


def denser(u: Floats, watts: Floats) -> Floats:
    """The grid with more points where the curve bends. (K,) [1], (K,) [W] that never fall -> (more than K,) [1].

    A piece that is off by more than ``TOLERANCE`` is divided into equal parts: the error is proportional to the
    width. The worst first, until there are ``MOST_POINTS``.
    """
    off, width = bends(u, watts), np.diff(u)
    parts = np.ones(len(off), np.int64)
    worst = [(-float(off[i]), i) for i in np.flatnonzero((off > TOLERANCE) & (width >= 2 * LEAST_WIDTH)).tolist()]
    heapq.heapify(worst)
    for _ in range(MOST_POINTS - len(u)):
        if not worst:
            break
        _, i = heapq.heappop(worst)
        parts[i] += 1
        left = float(off[i]) / int(parts[i])
        if left > AIM * TOLERANCE and width[i] >= (parts[i] + 1) * LEAST_WIDTH:
            heapq.heappush(worst, (-left, i))
    place = np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)  # within its piece
    starts = np.repeat(u[:-1], parts)
    # exactly what it was where it begins a piece
    grid = np.append(np.where(place == 0, starts, np.round(starts + place * np.repeat(width / parts, parts), 6)), u[-1])
    grid.flags.writeable = False
    return grid


def at_points(u: Floats, values: Floats) -> Floats:
    """Values between the points of ``FIRST``, linearly. (M, K) [1], (M, S, 21) -> (M, S, K)."""
    places = u * (len(FIRST) - 1)
    left = np.minimum(places.astype(np.int64), len(FIRST) - 2)
    share = (places - left)[:, None, :]
    low = np.take_along_axis(values, left[:, None, :], axis=2)
    high = np.take_along_axis(values, left[:, None, :] + 1, axis=2)
    between: Floats = low + share * (high - low)
    return between


# --- repair ---------------------------------------------------------------------------------------------------------


def monotone(watts: Floats) -> tuple[Floats, Floats]:
    """(the nearest curves that never fall, (M,) [W] the largest change of each). (M, K) [W]; rows with a number that is
    not finite stay.

    Nearest by least squares over the points: pool adjacent violators (Ayer et al. 1955).
    """
    repaired, change = watts, np.zeros(len(watts))
    falling = np.flatnonzero((np.diff(watts, axis=1) < 0.0).any(axis=1) & np.isfinite(watts).all(axis=1))
    if falling.size:
        repaired = watts.copy()
        for i in falling.tolist():
            repaired[i] = _pooled(watts[i].tolist())
        change[falling] = np.abs(repaired[falling] - watts[falling]).max(axis=1)
    return repaired, change


LEAST_RISE = 0.05
"""Of a curve's mean slope: what a repaired curve rises by at least. A level piece would cost nothing, and draw every
pod that fits on it."""


def rising(u: Floats, watts: Floats) -> tuple[Floats, Floats]:
    """(curves that rise, (M,) [W] the largest change of each). (M, K) [1], (M, K) [W].

    A curve that falls somewhere becomes the nearest one whose slope is at least ``LEAST_RISE`` of its mean slope; all
    others stay as they are.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        tilt = LEAST_RISE * np.maximum(watts[:, -1:] - watts[:, :1], 0.0) * u
        falling: Mask = np.any(np.diff(watts, axis=1) < 0.0, axis=1)
        nearest, _ = monotone(watts - tilt)
        repaired = np.where(falling[:, None], nearest + tilt, watts)
        change = np.where(falling, np.abs(repaired - watts).max(axis=1), 0.0)
    return repaired, np.where(np.isfinite(change), change, 0.0)


def _pooled(watts: list[float]) -> list[float]:
    means: list[float] = []
    counts: list[int] = []
    for each in watts:
        mean, count = each, 1
        while means and means[-1] > mean:
            before = counts.pop()
            mean = (before * means.pop() + count * mean) / (before + count)
            count += before
        means.append(mean)
        counts.append(count)
    return [mean for mean, count in zip(means, counts, strict=True) for _ in range(count)]


# --- what the model is asked about --------------------------------------------------------------------------------


def following(inlet: Floats, celsius: Floats, ratio: Floats) -> Floats:
    """(M, K) [celsius] temperature of a processor at K uses, if it is ``celsius`` (M,) now.

    Above the inlet (M,) [celsius] it is proportional to the node's power: the resistance between processor and air is
    constant. ``ratio`` (M, K) is the node's power at each use divided by that at its present use. At most
    ``MOST_CELSIUS``, or what it is now if that is more.
    """
    above = np.maximum(celsius - inlet, 0.0)[:, None]
    warmer = inlet[:, None] + above * ratio
    # a processor colder than its air is an odd reading: it stays as it is
    warm = np.where(above > 0.0, warmer, celsius[:, None])
    found: Floats = np.minimum(warm, np.maximum(MOST_CELSIUS, celsius)[:, None])
    return found


# --- the model --------------------------------------------------------------------------------------------------------


def predicted_model(
    node: str,
    u: tuple[float, ...],
    watts: tuple[float, ...],
    celsius: float | None,
    sensor_errors: Floats,
    below: PowerModel | None,
) -> PowerModel:
    """The power model of one node for the layer ``predicted``.

    Args:
        u: (K,) [1]; nodes with the same grid should share one tuple.
        watts: (K,) [W] that never fall.
        celsius: the inlet temperature that counted; None: the model was not asked about one.
        sensor_errors: (S, K) [W] change of each point by one standard error of each of S sensors.
        below: the model of the next layers. It says what the node draws when switched off, and whether the watts are
            of an outlet or of the board: a prediction cannot. A model of a part of the machine says neither.
    """
    whole = below if below is not None and scope_or_wall(below.scope) in (WALL, PLATFORM) else None
    return PowerModel(
        node,
        Piecewise(u, watts),
        whole.standby_watts if whole else None,
        None,
        whole.scope if whole else None,
        "predicted",
        celsius=None if celsius is None or math.isnan(celsius) else celsius,
        sensor_errors=sensor_errors,
    )
