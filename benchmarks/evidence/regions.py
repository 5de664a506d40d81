"""A year in three grid regions: servers alike in each, and intensities as they were. Owns the reading of them."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from benchmarks.study import servers
from peaks_scheduler.simulation.carbon import CarbonIntensity
from peaks_scheduler.simulation.case import Case
from peaks_scheduler.simulation.cluster import SimulatedNode
from peaks_scheduler.simulation.energy import measure
from peaks_scheduler.simulation.replay import replay

from . import workloads
from .fleets import MEMORY, STANDBY, Fleet, data, measured_servers
from .runs import Figures

FILES = {"California": "US-CAL-CISO", "Spain": "ES", "Brazil": "BR"}
GRAMS = "Carbon Intensity gCO2eq/kWh (direct)"
SERVERS = 12


@dataclass(frozen=True, slots=True)
class Year:
    """Pods of a year in some regions, each with an equal part of the servers."""

    seed: int
    strategy: str
    sleep: bool = False
    regions: tuple[str, ...] = tuple(FILES)

    def measure(self) -> Figures:
        nodes = _nodes(self)
        models = Fleet(self.seed).models(nodes)
        case = Case(nodes, workloads.year(self.seed), self.strategy, models, grid=grid(), seed=self.seed)
        kpis = measure(replay(case)).kpis
        assert kpis.co2_kg is not None
        found = {"kwh": kpis.energy_kwh, "kg": kpis.co2_kg, "wait_h": kpis.wait_s / 3600.0}
        load = kpis.core_hours / (kpis.makespan_s / 3600.0) / sum(node.cpu_cores for node in nodes)
        least = {} if kpis.co2_bound_kg is None else {"bound_kg": kpis.co2_bound_kg}
        return found | least | {"core_hours": kpis.core_hours, "unscheduled": kpis.unscheduled, "load": load}


def _nodes(year: Year) -> list[SimulatedNode]:
    """The servers of one region are the same machines as those of another."""
    middling = [each for each in measured_servers() if 64 <= each.threads <= 128]
    standby = STANDBY if year.sleep else None
    return [
        SimulatedNode(f"{region}-{each.name}", each.threads, MEMORY, each.curve, standby, region, each.name)
        for region in year.regions
        for each in servers.drawn(middling, SERVERS // len(year.regions), year.seed)
    ]


def grid() -> Mapping[str, CarbonIntensity]:
    """The intensities of 2022, hour by hour."""
    return {region: _read(zone) for region, zone in FILES.items()}


def _read(zone: str) -> CarbonIntensity:
    with gzip.open(
        data(f"carbon/electricitymaps_{zone}_2022_hourly.csv.gz"), "rt", newline="", encoding="utf-8"
    ) as file:
        rows = [(_time(row["Datetime (UTC)"]), float(row[GRAMS])) for row in csv.DictReader(file)]
    times, grams = np.array(rows).T
    return CarbonIntensity(times - times[0], grams)


def _time(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
