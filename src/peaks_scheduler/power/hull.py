"""The lower convex hull of points: what a piecewise curve's envelope is made of. Pure."""

from __future__ import annotations

from itertools import pairwise

Point = tuple[float, float]
Points = list[Point]
"""(u, watts), u rising."""


def hull(points: Points) -> Points:
    """Corners of the lower convex hull of ``points``, in order of u (Andrew's monotone chain)."""
    kept: Points = []
    for u, w in points:
        while len(kept) >= 2 and _turns_down(kept[-2], kept[-1], (u, w)):
            kept.pop()
        kept.append((u, w))
    return kept


def _turns_down(a: Point, b: Point, c: Point) -> bool:
    """Is b on or above the line from a to c?"""
    return (b[1] - a[1]) * (c[0] - a[0]) >= (c[1] - a[1]) * (b[0] - a[0])


def hull_chords(points: Points) -> tuple[tuple[float, float], ...]:
    """Intervals of u, (from, to), between neighbouring corners of the hull."""
    return tuple((a, b) for (a, _), (b, _) in pairwise(hull(points)))
