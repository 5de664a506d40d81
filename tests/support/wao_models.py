"""Real networks of a WAO site, which predict a server's watts: evaluated on a grid, and between its points linearly."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from peaks_scheduler.arrays import Floats

COLUMNS = ("cpu", "ambient", "cpu1", "cpu2")
"""The inputs in the networks' order, each 0..1: CPU use of capacity, temperatures as (t - min) / (max - min)."""
_AXES = (np.linspace(0.0, 1.0, 11), *(np.linspace(0.0, 1.0, 5) for _ in range(3)))


class WaoModel:
    """One network: ``model(rows)`` are the watts of (N, 4) rows, (N,). Inputs beyond 0..1 count as 0 and 1."""

    def __init__(self, name: str, watts: Floats) -> None:
        self.name = name
        self.grid = watts  # (11, 5, 5, 5) [W]

    def __call__(self, rows: Floats) -> Floats:
        below, share = zip(*(_cell(axis, rows[:, c]) for c, axis in enumerate(_AXES)), strict=True)
        watts = np.zeros(len(rows))
        for corner in itertools.product((0, 1), repeat=len(_AXES)):
            weight = np.ones(len(rows))
            for c, upper in enumerate(corner):
                weight *= share[c] if upper else 1.0 - share[c]
            watts += weight * self.grid[tuple(below[c] + upper for c, upper in enumerate(corner))]
        return watts


def _cell(axis: Floats, values: Floats) -> tuple[np.ndarray, Floats]:
    """The grid point at or below each value, and how far the value is from it towards the next, 0..1."""
    place = np.clip(values, 0.0, 1.0) * (axis.size - 1)
    below = np.minimum(place.astype(np.int64), axis.size - 2)
    return below, place - below


@functools.cache
def wao_models(folder: Path) -> Mapping[str, WaoModel]:
    """The 105 networks by id, from ``wao/konohana_power.csv.gz`` in the folder of measured data."""
    table = np.loadtxt(folder / "wao" / "konohana_power.csv.gz", delimiter=",", skiprows=1)  # model, COLUMNS, watts
    names, model = np.unique(table[:, 0].astype(np.int64), return_inverse=True)
    grids = np.full((names.size, *(axis.size for axis in _AXES)), np.nan)
    at = (np.rint(table[:, 1 + c] * (axis.size - 1)).astype(np.int64) for c, axis in enumerate(_AXES))
    grids[(model, *at)] = table[:, -1]
    return {str(name): WaoModel(str(name), grid) for name, grid in zip(names, grids, strict=True)}
