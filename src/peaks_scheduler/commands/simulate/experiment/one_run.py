"""One run of an experiment: reads its inputs, replays, measures. A pure function of a ``Run`` and the files it names.

Runs that follow one another mostly have the same nodes, workload or models, so a process keeps those of the last few.
What is kept goes by the content of the files as well as by their words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache

from peaks_scheduler.power.models import PowerModels
from peaks_scheduler.simulation.belief_words import parse_beliefs
from peaks_scheduler.simulation.carbon import Grid
from peaks_scheduler.simulation.case import Case
from peaks_scheduler.simulation.cluster import SimulatedNode
from peaks_scheduler.simulation.energy import measure
from peaks_scheduler.simulation.faults import parse_faults, span_of
from peaks_scheduler.simulation.levels import levelled
from peaks_scheduler.simulation.load_views import parse_load_view
from peaks_scheduler.simulation.replay import replay
from peaks_scheduler.simulation.workload import Workload

from .finished import Kpis
from .scenarios import Axes, Fixed

LEFT_OUT = ("strategy", "saving_vs_default_percent", "decision_us")
"""KPIs that are not a run's: an axis, a comparison of two runs, and a time that differs whenever it is measured."""
_KEPT = 4  # inputs of each sort that a process keeps


@dataclass(frozen=True, slots=True)
class Readers:
    """What reads the inputs. All of it are functions of modules, so that other processes find them."""

    nodes: Callable[[str, int], Sequence[SimulatedNode]]
    """(word, seed) -> nodes."""
    workload: Callable[[str, Sequence[SimulatedNode], int], Workload]
    """(word, nodes, seed) -> workload."""
    grid: Callable[[Sequence[str]], Grid]
    """words -> carbon intensity by region."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run that is to be made. Paths in its words are absolute; everything of it can be sent to another process."""

    axes: Axes
    fixed: Fixed
    prints: tuple[str, str, str]
    """Fingerprints of the contents of nodes, workload and carbon."""
    readers: Readers


def run_one(run: Run) -> Kpis:
    """KPIs of the run."""
    kpis = asdict(measure(replay(case_of(run)), run.fixed.price).kpis)
    return {name: _plain(value) for name, value in kpis.items() if name not in LEFT_OUT}


def _plain(value: float | int | None) -> float | int | None:
    """The value as Python's own number: numpy's are written in other words."""
    return value if value is None else int(value) if isinstance(value, int) else float(value)


def case_of(run: Run) -> Case:
    """The case of the run. Raises ConfigurationError for inputs that cannot be read."""
    axes, fixed = run.axes, run.fixed
    nodes_print, _, carbon_print = run.prints
    nodes = _nodes(run.readers, axes.nodes, axes.seed, nodes_print)
    workload = _workload(run.readers, axes.nodes, axes.workload, axes.seed, run.prints)
    faults = parse_faults(axes.faults)
    return Case(
        nodes=nodes,
        jobs=workload.jobs,
        strategy=axes.strategy,
        models=_models(run.readers, axes.nodes, axes.models, axes.seed, nodes_print),
        load=faults.view(parse_load_view(axes.load_view)),
        ceiling=fixed.ceiling,
        grid=_grid(run.readers, fixed.carbon, carbon_print) if fixed.carbon else {},
        outages=faults.outages(nodes, span_of(workload.jobs), axes.seed),
        seed=axes.seed,
        default_cpu=fixed.default_cpu,
        tolerance_watts=fixed.tolerance_watts,
        batch_wait_s=fixed.batch_wait_s,
    )


@lru_cache(_KEPT)
def _nodes(readers: Readers, text: str, seed: int, content: str) -> Sequence[SimulatedNode]:
    return tuple(levelled(node) for node in readers.nodes(text, seed))


@lru_cache(_KEPT)
def _workload(readers: Readers, nodes: str, text: str, seed: int, prints: tuple[str, str, str]) -> Workload:
    return readers.workload(text, _nodes(readers, nodes, seed, prints[0]), seed)


@lru_cache(_KEPT)
def _models(readers: Readers, nodes: str, text: str, seed: int, content: str) -> PowerModels:
    return parse_beliefs(text).models(_nodes(readers, nodes, seed, content), seed)


@lru_cache(_KEPT)
def _grid(readers: Readers, words: tuple[str, ...], content: str) -> Grid:
    return readers.grid(words)
