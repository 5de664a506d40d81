"""``--carbon FILE`` or ``--carbon REGION=FILE``, repeatable: carbon intensity of the grid, by region.

``carbon_files`` reads the files; this module names the regions and puts all on one clock. Dates become seconds from one
instant for all files: ``start``, or the first time that every file has. ``time_s`` already is seconds from the start.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.simulation.carbon import CarbonIntensity, Grid
from peaks_scheduler.text.words import few

from .carbon_files import Series, series_of
from .source import source_of

OPTION = "--carbon"


def read_grid(texts: Sequence[str], start: float | None = None) -> Grid:
    """The grid that the ``--carbon`` options describe; empty without any.

    ``start``: [s since 1970] time 0 of the simulation; None: where the files begin. The series of a single file without
    REGION= holds for every region. Raises ConfigurationError.
    """
    series = [each for text in texts for each in _read(text)]
    if len(series) == 1 and not series[0].named:
        series = [replace(series[0], region="")]
    # a year of one region and a month of another begin together where both are known
    zero = start if start is not None else max((float(each.times[0]) for each in series if each.dated), default=0.0)
    grid: dict[str, CarbonIntensity] = {}
    for each in series:
        if each.region in grid:
            what = f"the region {each.region!r}" if each.region else "all regions"
            raise ConfigurationError(f"{each.origin}: expected one series for {what}; got two: say REGION=FILE")
        if each.dated:
            _check_covers(each, zero)
        grid[each.region] = CarbonIntensity(each.times - zero if each.dated else each.times, each.grams)
    return grid


def _read(text: str) -> list[Series]:
    """The series of one ``--carbon``."""
    region, equals, place = text.partition("=")
    # an equals sign behind a ? belongs to a parameter
    if not equals or "?" in region or os.path.isfile(text):
        region, place = "", text
    elif not region.strip():
        raise ConfigurationError(f"{OPTION} {text}: expected FILE or REGION=FILE")
    series = series_of(source_of(OPTION, place, (), os.path.isfile))
    if not region:
        return series
    if len(series) > 1:
        regions = few([repr(each.region) for each in series])
        raise ConfigurationError(
            f"{OPTION} {text}: expected one region in the file; it has {regions}: leave REGION= out"
        )
    return [replace(series[0], region=region.strip(), named=True)]


def _check_covers(series: Series, zero: float) -> None:
    if not series.times[0] <= zero <= series.times[-1]:
        first, last, at = (np.datetime64(int(each), "s") for each in (series.times[0], series.times[-1], zero))
        raise ConfigurationError(
            f"{series.origin}: expected intensities at {at}, where the simulation starts; it has {first} to {last}"
        )
