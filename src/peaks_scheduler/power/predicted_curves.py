"""Piecewise curves of many nodes at once: what the ledger's arrays keep of each, computed with arrays.

To find hull, bends and errors of one curve of 81 points takes a millisecond of Python; thousands of predictions change
every half minute. Gives what ``curves.Piecewise``, ``hull`` and ``uncertainty.error_profile`` give, up to rounding.
Assumes grids from 0 to 1. Rows are nodes: (M, K) is M nodes at K points each. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from peaks_scheduler.arrays import Floats, Ints, Mask

from .curves import FAR
from .uncertainty import CELLS

ROUNDING = 1e-12
"""Share of the power at full load by which a point may be below a line and still count as on it."""
_EDGES = np.linspace(0.0, 1.0, CELLS + 1)


@dataclass(frozen=True, slots=True, eq=False)
class Hulls:
    """Lower convex hulls of M curves."""

    watts: Floats  # (M, K) [W] of the hull at every point
    corners: Mask  # (M, K) is the point a corner?
    left: Ints  # (M, K) index of the corner at or before the point
    right: Ints  # (M, K) index of the corner after it, or the last one
    share: Floats  # (M, K) how far the point is from the left corner to the right one, 0..1

    def between(self, values: Floats) -> Floats:
        """Values at the corners, straight lines between them. (M, S, K) -> (M, S, K)"""
        low = np.take_along_axis(values, self.left[:, None, :], axis=2)
        high = np.take_along_axis(values, self.right[:, None, :], axis=2)
        found: Floats = low + self.share[:, None, :] * (high - low)
        return found


def hulls(u: Floats, watts: Floats) -> Hulls:
    """The hulls of these curves. (M, K) [1], (M, K) [W].

    A point on or above the line between two others is no corner, whichever two. So all points that are so between
    their neighbours go at once, until none does.
    """
    every = np.arange(u.shape[1])
    corners = np.ones(u.shape, np.bool_)
    while True:
        left, right = _neighbours(corners, every)
        a, b, c = (np.take_along_axis(u, at, axis=1) for at in (left, np.broadcast_to(every, u.shape), right))
        x, y, z = (np.take_along_axis(watts, at, axis=1) for at in (left, np.broadcast_to(every, u.shape), right))
        above = corners & ((y - x) * (c - a) >= (z - x) * (b - a) - ROUNDING * watts[:, -1:])
        above[:, [0, -1]] = False
        if not above.any():
            break
        corners &= ~above
    left = np.maximum.accumulate(np.where(corners, every, 0), axis=1)
    right = np.minimum(_after(corners, every), u.shape[1] - 1)
    a, c = np.take_along_axis(u, left, axis=1), np.take_along_axis(u, right, axis=1)
    share = (u - a) / np.where(c > a, c - a, 1.0)
    x, z = np.take_along_axis(watts, left, axis=1), np.take_along_axis(watts, right, axis=1)
    return Hulls(x + share * (z - x), corners, left, right, share)


def _neighbours(corners: Mask, every: Ints) -> tuple[Ints, Ints]:
    """Indices of the corners before and after each point, itself excluded; at the ends those of the ends."""
    at_or_before = np.maximum.accumulate(np.where(corners, every, 0), axis=1)
    before = np.concatenate([at_or_before[:, :1], at_or_before[:, :-1]], axis=1)
    return before, np.minimum(_after(corners, every), len(every) - 1)


def _after(corners: Mask, every: Ints) -> Ints:
    """Index of the first corner after each point; K: none."""
    k = len(every)
    at_or_after = np.minimum.accumulate(np.where(corners, every, k)[:, ::-1], axis=1)[:, ::-1]
    return np.concatenate([at_or_after[:, 1:], np.full((len(corners), 1), k)], axis=1)


def columns(u: Floats, watts: Floats, corners: Mask) -> Floats:
    """The curves through these corners, as rows of ``table.CurveRows``. -> (M, 5 + 2B), B the most bends of any.

    The same numbers as ``Piecewise.terms`` gives, unused places at the end.
    """
    m = len(u)
    order = np.argsort(~corners, axis=1, kind="stable")
    count = corners.sum(axis=1)
    most = int(count.max())
    order = order[:, :most]
    x, y = np.take_along_axis(u, order, axis=1), np.take_along_axis(watts, order, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):  # beyond a curve's last corner
        slopes = np.diff(y, axis=1) / np.diff(x, axis=1)
    inner = np.arange(1, most - 1) < count[:, None] - 1
    found = np.zeros((m, 5 + 2 * (most - 2)))
    found[:, 0] = y[:, 0] - slopes[:, 0] * x[:, 0]
    found[:, 3], found[:, 4] = FAR, slopes[:, 0]
    found[:, 5 : 3 + most] = np.where(inner, x[:, 1:-1], np.inf)
    found[:, 3 + most :] = np.where(inner, np.diff(slopes, axis=1), 0.0)
    return found


def profiles(u: Floats, errors: Floats) -> tuple[Floats, Floats]:
    """((M,) [W] per unit of u largest error of the slope, (M, CELLS + 1) [W] its integral up to each cell's edge).

    ``errors`` (M, S, K) [W] is the change of each point by one standard error of each sensor; their effects on the
    slope are independent.
    """
    width = np.diff(u, axis=1)
    slopes = np.sqrt(np.square(np.diff(errors, axis=2) / width[:, None, :]).sum(axis=1))
    sums = np.zeros(u.shape)
    np.cumsum(slopes * width, axis=1, out=sums[:, 1:])
    if u.shape[1] == len(_EDGES):  # the points are the edges
        return slopes.max(axis=1), sums
    return slopes.max(axis=1), np.stack([np.interp(_EDGES, x, y) for x, y in zip(u, sums, strict=True)])
