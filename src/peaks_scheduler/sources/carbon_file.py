"""The carbon intensity of the grid by region and time, from a CSV file, for strategy ``carbon``.

Columns: ``time`` (ISO 8601, or seconds since 1970), ``gco2_per_kwh``, and ``region`` if there are several; without it
the file holds for all nodes. Each value holds until the next one of its region, and the last one for as long as the one
before it; a single value holds from its time on. The region of a node is its label ``topology.kubernetes.io/region``.

Owns the file's form, and which values a node gets as signals (``scoring.carbon`` reads them). What the file does not
tell is not guessed: before its beginning and after its end a region has no intensity, and a mean over coming hours is
known only where the file covers all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, nan

import numpy as np

from peaks_scheduler.arrays import Floats, Mask
from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.files.csv.bounded_text import read_csv_text
from peaks_scheduler.files.csv.csv_table import CsvTable
from peaks_scheduler.files.csv.header import names_of
from peaks_scheduler.files.csv.number_columns import numbers
from peaks_scheduler.files.csv.rows import plain_table
from peaks_scheduler.files.csv.time_columns import times
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.objects.node import Node
from peaks_scheduler.scheduling.scoring.carbon import HORIZONS, NOW, UNIT
from peaks_scheduler.simulation.carbon import CarbonIntensity

TIME, REGION, GRAMS = "time", "region", "gco2_per_kwh"
OPTION = "carbon.path"
LABEL = "topology.kubernetes.io/region"
EVERYWHERE = ""
"""The region of a file without regions."""
MOST_GRAMS = 5000.0
"""[gCO2/kWh] no grid has more; a larger number is in another unit."""
_FIRST_DATE = 1e8  # [s] since 1970; smaller numbers count from another start


@dataclass(frozen=True, slots=True, eq=False)
class RegionForecast:
    """The intensity of one region. Times are seconds since 1970."""

    intensity: CarbonIntensity
    end: float
    """[s] from when on nothing is known; inf: a single value, which holds on."""

    @property
    def start(self) -> float:
        return float(self.intensity.times[0])

    def at(self, time: float) -> float:
        """Intensity [gCO2/kWh]; NaN where it is not known."""
        return self.intensity.at(time) if self.start <= time < self.end else nan

    def mean(self, time: float, seconds: float) -> float:
        """Mean over the coming ``seconds`` [gCO2/kWh]; NaN where not all of them are known."""
        return self.intensity.mean(time, time + seconds) if self.start <= time <= self.end - seconds else nan


Forecast = Mapping[str, RegionForecast]
"""By region; ``EVERYWHERE``: for nodes of any region that is not named."""


# --- reading --------------------------------------------------------------------------------------------------------


def read_carbon(path: str) -> Forecast:
    """The forecast of the file at ``path``. Raises ConfigurationError."""
    return parse_carbon(read_csv_text(path, OPTION), path)


def parse_carbon(text: str, path: str) -> Forecast:
    """The forecast of a file's text. Raises ConfigurationError with file and line."""
    table = plain_table(path, text, names_of((TIME, REGION, GRAMS)))
    moments, _ = times(table, OPTION, TIME)
    grams = numbers(table, OPTION, GRAMS).values
    _refuse(table, TIME, ~(moments >= _FIRST_DATE), "a time in ISO 8601 or in seconds since 1970")
    _refuse(table, GRAMS, ~((grams >= 0.0) & (grams <= MOST_GRAMS)), f"gCO2/kWh, 0 to {MOST_GRAMS:g}")
    regions = np.array(table.column(OPTION, REGION) if table.has(REGION) else [EVERYWHERE] * len(table.rows))
    names = dict.fromkeys(regions.tolist())
    return {str(name): _region(table, moments, grams, regions == name) for name in names}


def _refuse(table: CsvTable, name: str, wrong: Mask, expected: str) -> None:
    if wrong.any():
        row = int(np.argmax(wrong))
        got = table.column(OPTION, name)[row]
        raise ConfigurationError(f"{table.origin}, line {table.lines[row]}: {name}: expected {expected}; got {got!r}")


def _region(table: CsvTable, moments: Floats, grams: Floats, where: Mask) -> RegionForecast:
    """The rows of one region, in order of time. Raises ConfigurationError for a time that comes twice."""
    rows = np.flatnonzero(where)
    rows = rows[np.argsort(moments[rows], kind="stable")]
    steps = np.diff(moments[rows])
    if not steps.all():
        line = table.lines[int(rows[int(np.argmin(steps)) + 1])]
        raise ConfigurationError(
            f"{table.origin}, line {line}: {TIME}: expected each time once a region; it comes again: "
            f"name the regions in a column {REGION!r}, or remove the line"
        )
    end = float(moments[rows[-1]] + steps[-1]) if len(steps) else inf
    return RegionForecast(CarbonIntensity(moments[rows], grams[rows]), end)


# --- as signals -----------------------------------------------------------------------------------------------------


def tell_intensity(ledger: Ledger, forecast: Forecast, now: float) -> tuple[str, ...]:
    """Set the signals of every node; the names of the nodes whose intensity is not known now."""
    by_region: dict[str | None, list[str]] = {}
    for node in ledger.nodes():
        by_region.setdefault(region_of(node, forecast), []).append(node.name)
    unknown: list[str] = []
    for region, names in by_region.items():
        known = None if region is None else forecast[region]
        _set(ledger, names, known, now)
        if known is None or np.isnan(known.at(now)):
            unknown += names
    return tuple(sorted(unknown))


def region_of(node: Node, forecast: Forecast) -> str | None:
    """The node's region in the forecast; None: it has none."""
    named = node.labels.get(LABEL, EVERYWHERE)
    return next((region for region in (named, EVERYWHERE) if region in forecast), None)


def _set(ledger: Ledger, names: list[str], region: RegionForecast | None, now: float) -> None:
    end = inf if region is None else region.end
    values = {NOW: nan if region is None else region.at(now)}
    values |= {name: nan if region is None else region.mean(now, seconds) for name, seconds in HORIZONS.items()}
    for name, value in values.items():
        ledger.set_signal(name, dict.fromkeys(names, value), unit=UNIT, time=now, expires=end)
