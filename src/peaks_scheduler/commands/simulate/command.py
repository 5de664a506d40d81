"""``peaks-scheduler simulate``: reads nodes and workload, replays every strategy, measures, writes and prints.

Owns the order of the steps: a wrong option or input fails before the work begins. Nodes and workload are read once;
what differs between runs is what the scheduler believes, and how ties fall. Assumes a checked request.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from itertools import chain
from typing import Any

from peaks_scheduler.files.writing import check_place
from peaks_scheduler.settings.settings import Settings
from peaks_scheduler.simulation.carbon import Grid
from peaks_scheduler.simulation.case import BASELINE, Case
from peaks_scheduler.simulation.energy import compared
from peaks_scheduler.simulation.faults import span_of
from peaks_scheduler.text.terminal import note, say, show

from .experiment.one_run import Readers
from .experiment.running import run_experiment
from .experiment.scenarios import Fixed
from .inputs.carbon import read_grid
from .inputs.nodes import read_nodes
from .inputs.workloads import read_workload
from .kpi_table import as_table
from .options import KNOWN_STRATEGIES, SimulateRequest, view_words
from .outputs.writing import INSTALL, check_folder, write_all
from .processes import without_joblib
from .replays import Result, replayed
from .subject import Subject, subject_of

READERS = Readers(read_nodes, read_workload, read_grid)


def run_simulate(request: SimulateRequest) -> int:
    """Replay, measure, write and print. Returns the exit code. Raises ConfigurationError."""
    check_folder(request.out)
    if request.sqlite is not None:
        check_place("--sqlite", str(request.sqlite))
    grid = read_grid(request.carbon) if request.carbon else {}
    subject = subject_of(request)
    for text in subject.notes:
        note(text)
    if subject.own and BASELINE not in request.strategies:
        request = replace(request, strategies=(BASELINE, *request.strategies))
    cases = [
        _case(request, subject, grid, strategy, run) for run in range(request.runs) for strategy in request.strategies
    ]
    if words := without_joblib(request.jobs, len(cases)):
        note(f"{words}: {INSTALL}")
    results = _with_savings(replayed(cases, request.price, request.jobs), len(request.strategies))
    written = write_all(request.out, results, notes=subject.notes, seed=request.seed, sqlite=request.sqlite)
    _print(request, subject, results)
    for text in written:
        note(text)
    return 0


def _case(request: SimulateRequest, subject: Subject, grid: Grid, strategy: str, run: int) -> Case:
    """The case of one strategy in one run."""
    nodes, models = subject.in_run(run)
    seed, settings = request.seed + run, request.settings
    return Case(
        nodes,
        subject.workload.jobs,
        strategy,
        models,
        request.faults.view(request.load),
        settings.ceiling,
        grid,
        request.faults.outages(nodes, span_of(subject.workload.jobs), seed),
        seed,
        settings.default_pod_cpu,
        settings.tolerance_watts,
    )


def _with_savings(results: Sequence[Result], strategies: int) -> list[Result]:
    """The results with the savings of each run; a run has one result for each strategy."""
    runs = [results[start : start + strategies] for start in range(0, len(results), strategies)]
    measured = chain.from_iterable(compared([measurement for _, measurement in run]) for run in runs)
    return [(done, measurement) for (done, _), measurement in zip(results, measured, strict=True)]


def _print(request: SimulateRequest, subject: Subject, results: Sequence[Result]) -> None:
    kpis = [measurement.kpis for _, measurement in results]
    if request.output == "json":
        rows = [{**asdict(row), "seed": done.case.seed} for row, (done, _) in zip(kpis, results, strict=True)]
        show(json.dumps({"kpis": rows, "notes": subject.notes}, indent=2))
        return
    by_strategy = [[row for row in kpis if row.strategy == name] for name in request.strategies]
    show(as_table(by_strategy))
    if subject.own:
        show(subject.answer(by_strategy))


def run_experiments(flags: Mapping[str, Any], settings: Settings) -> int:
    """Make the runs of ``--experiment`` and print their table. Returns the exit code. Raises ConfigurationError."""
    report = run_experiment(
        flags["experiment"],
        flags["out"],
        READERS,
        jobs=flags["jobs"],
        dask=flags["dask"],
        known=KNOWN_STRATEGIES,
        fixed=Fixed(
            ceiling=settings.ceiling,
            default_cpu=settings.default_pod_cpu,
            tolerance_watts=settings.tolerance_watts,
            price=flags["price"],
            load_view=view_words(settings.load),
            carbon=tuple(flags["carbon"]),
        ),
    )
    show(report.table)
    for text in report.notes:
        note(text)
    for text in report.failures:
        say(text)
    return report.exit_code
