"""What a replay cost, measured: the records. ``energy`` computes them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from peaks_scheduler.arrays import Floats


@dataclass(frozen=True, slots=True, eq=False)
class PowerSeries:
    """Power of all nodes together. Each value holds from its time to the next, the last one until ``end_s``."""

    times: Floats
    """(T,) [s] from 0, rising."""
    watts: Floats
    """(T,) [W] drawn."""
    bound: Floats
    """(T,) [W] the least that any placement of the same use could draw."""
    cores: Floats
    """(T,) [cores] in use."""
    end_s: float
    """When the last pod ends."""


@dataclass(frozen=True, slots=True, eq=False)
class NodeSeries:
    """One node's use and power, as ``PowerSeries``."""

    times: Floats
    """(T,) [s] from 0, rising."""
    cores: Floats
    """(T,) [cores] in use, at most its CPUs."""
    demand: Floats
    """(T,) [cores] that its pods would use if it had enough."""
    watts: Floats
    """(T,) [W]"""
    pods: Floats
    """(T,) number of pods on it."""
    up: Floats
    """(T,) 1.0, or 0.0 while it has failed."""


@dataclass(frozen=True, slots=True)
class Kpis:
    """One row of the table: what a strategy did and what it cost. None: not counted."""

    strategy: str
    pods: int
    unscheduled: int
    core_hours: float
    """Delivered to jobs that completed."""
    energy_kwh: float
    """From 0 until the strategy's last pod ends."""
    bound_kwh: float
    """The least that any placement of the same use over time could have needed."""
    bound_ceiling_kwh: float
    """The same while no node goes above its ceiling, as long as the use fits below."""
    over_bound_percent: float
    saving_vs_default_percent: float | None
    """Against ``case.BASELINE`` in the same run; None: it was not run."""
    average_ci: float | None
    """[gCO2/kWh] weighted by energy."""
    co2_kg: float | None
    cost: float | None
    """Price of the energy; None: no price was given."""
    wait_s: float
    """Mean time from arrival to start, of the jobs that started."""
    turnaround_s: float
    """Mean time from arrival to end, of the jobs that completed."""
    decision_us: float
    """Mean time of a decision on this machine: the only column that differs between two runs."""
    mean_slowdown: float
    """Mean of turnaround over duration."""
    makespan_s: float
    machine_switches: int
    """Times that a node with a standby power went to sleep or woke up."""
    core_hours_lost: float
    """Run by attempts that a failed node ended, and asked for beyond the CPUs of full nodes."""
    co2_bound_kg: float | None = None
    """The least CO2 that any placement could have caused with perfect foresight and the same deadlines."""


@dataclass(frozen=True, slots=True, eq=False)
class Measurement:
    """Everything that is known of a replay afterwards."""

    kpis: Kpis
    series: PowerSeries
    nodes: Mapping[str, NodeSeries]
