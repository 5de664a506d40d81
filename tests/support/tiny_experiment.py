"""Small inputs for experiments, and runs that other processes can make: functions of a module, found by its name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from peaks_scheduler.commands.simulate.experiment.finished import Kpis
from peaks_scheduler.commands.simulate.experiment.one_run import Readers, Run
from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.power.curves import Piecewise
from peaks_scheduler.simulation.carbon import CarbonIntensity, Grid
from peaks_scheduler.simulation.cluster import SimulatedNode
from peaks_scheduler.simulation.workload import Job, Workload, in_order

LEVELS = (0.0, 0.1, 0.5, 1.0)


def node(name: str, idle: float, full: float, **more: object) -> SimulatedNode:
    """8 cores; half of the power's rise comes in the first tenth of the load."""
    steps = [idle, idle + 0.5 * (full - idle), idle + 0.8 * (full - idle), full]
    return SimulatedNode(name, 8.0, 32768.0, Piecewise(LEVELS, tuple(steps)), **more)  # type: ignore[arg-type]


def read_nodes(text: str, seed: int) -> Sequence[SimulatedNode]:
    """Nodes from a file with a line ``name idle full`` each; raises for a line that is another."""
    path = text.partition("?")[0].removeprefix("file:")
    rows = [line.split() for line in Path(path).read_text("utf-8").splitlines()]
    if any(len(row) != 3 for row in rows):
        raise ConfigurationError(f"{path}: expected lines of three words")
    return [node(name, float(idle), float(full)) for name, idle, full in rows]


def read_workload(text: str, nodes: Sequence[SimulatedNode], seed: int) -> Workload:
    """``synthetic:N``: N pods a minute apart, whose durations depend on the seed."""
    count = int(text.removeprefix("synthetic:"))
    jobs = [Job(f"p{i}", 60.0 * i, 600.0 + 60.0 * ((i * seed) % 7), 1.0, 1024.0, 0.8) for i in range(count)]
    return Workload(in_order(jobs))


def read_grid(words: Sequence[str]) -> Grid:
    """``REGION=FILE``: the number in the file, at all times."""
    files = dict(word.split("=") for word in words)
    grams = {region: float(Path(file).read_text("utf-8")) for region, file in files.items()}
    return {region: CarbonIntensity(np.zeros(1), np.array([each])) for region, each in grams.items()}


READERS = Readers(read_nodes, read_workload, read_grid)


def counting(run: Run) -> Kpis:
    """A run that needs no simulator: it leaves a file beside the nodes, and its energy tells its axes."""
    axes = run.axes
    with Path(axes.nodes).with_name("made").open("a", encoding="utf-8") as made:
        made.write(f"{axes.strategy} {axes.seed}\n")
    energy = {"least-allocated": 10.0}.get(axes.strategy, 8.0) + axes.seed
    return {"pods": 3, "energy_kwh": energy, "core_hours": 5.0}


def stopping(run: Run) -> Kpis:
    """As ``counting``, but someone presses Ctrl+C at the third seed."""
    if run.axes.seed == 3:
        raise KeyboardInterrupt
    return counting(run)


def failing(run: Run) -> Kpis:
    """As ``counting``, but one strategy breaks with an error that nobody expected."""
    if run.axes.strategy == "jump" and run.axes.seed == 2:
        raise ZeroDivisionError("by nought")
    return counting(run)
