"""Makes the runs of an experiment that are not finished yet, keeps each as it is finished, and writes the tables."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from peaks_scheduler.files.documents import parse_document
from peaks_scheduler.files.reading import read_input_text
from peaks_scheduler.files.writing import write_whole
from peaks_scheduler.text.terminal import say
from peaks_scheduler.text.words import few, plural

from .files import prints, resolved
from .finished import FinishedRuns, Kpis, name_of
from .one_run import Readers, Run, run_one
from .progress import RunProgress
from .results import Row, groups, results_csv, summary_csv, table, unequal_work, with_savings
from .scenarios import Axes, Experiment, Fixed, counted, read_experiment, told
from .spreading import Failure, Work, spread

OPTION = "--experiment"
_NAMED = 3  # runs that are named of those that failed for one reason


@dataclass(frozen=True, slots=True)
class Report:
    """What came of an experiment."""

    table: str
    """Mean and 95 % interval by combination, to look at."""
    notes: tuple[str, ...]
    """What a reader of the table must know, in words."""
    failures: tuple[str, ...]
    """A line for each reason for which runs gave nothing, with the axes of the first ones."""

    @property
    def exit_code(self) -> int:
        return 1 if self.failures else 0


@dataclass(frozen=True, slots=True)
class _Planned:
    """A run with the name that it is kept under."""

    axes: Axes
    """In the words of the file."""
    name: str
    run: Run


def run_experiment(
    file: str,
    out: str,
    readers: Readers,
    *,
    jobs: int | None = None,
    dask: str | None = None,
    known: Collection[str] | None = None,
    fixed: Fixed | None = None,
    work: Work = run_one,
) -> Report:
    """Make all runs of the experiment in ``file`` and write ``results.csv`` and ``summary.csv`` into the folder
    ``out``.

    jobs, dask   where the runs are made (``spreading.spread``)
    known        names of the strategies; None: any name will do
    fixed        what counts where the file is silent: the configuration

    Runs that stand finished in ``out`` are not made again. Raises ConfigurationError for a file that is no experiment,
    and for inputs that are not there.
    """
    data = parse_document(read_input_text(OPTION, file), f"{OPTION} {file}")
    experiment = read_experiment(data, f"{OPTION} {file}", known, fixed or Fixed())
    planned = _planned(experiment, readers, f"{OPTION} {file}")
    finished = FinishedRuns(Path(out))
    done: dict[int, Kpis] = {}
    for i, each in enumerate(planned):
        if (kpis := finished.kpis(each.name)) is not None:
            done[i] = kpis
    say(f"{experiment.name}: {plural(len(planned), 'run')} ({counted(experiment)}); {len(done)} finished before")
    failures = _made(planned, done, finished, work, jobs, dask, out)
    rows = with_savings([Row(planned[i].axes, done[i]) for i in sorted(done)])
    found = groups(rows)
    write_whole("--out", str(Path(out) / "results.csv"), results_csv(rows).encode())
    write_whole("--out", str(Path(out) / "summary.csv"), summary_csv(found).encode())
    return Report(table(found), tuple(unequal_work(found)), failures)


def _planned(experiment: Experiment, readers: Readers, origin: str) -> list[_Planned]:
    """All runs, in the order of the tables."""
    fixed = experiment.fixed
    content = prints((*experiment.nodes, *experiment.workloads, *fixed.carbon), origin)
    sent = replace(fixed, carbon=tuple(map(resolved, fixed.carbon)))
    carbon = " ".join(content[word] for word in fixed.carbon)
    planned = []
    for axes in experiment.runs():
        known = (content[axes.nodes], content[axes.workload], carbon)
        whole = replace(axes, nodes=resolved(axes.nodes), workload=resolved(axes.workload))
        planned.append(_Planned(axes, name_of(axes, fixed, content), Run(whole, sent, known, readers)))
    return planned


def _made(
    planned: Sequence[_Planned],
    done: dict[int, Kpis],
    finished: FinishedRuns,
    work: Work,
    jobs: int | None,
    dask: str | None,
    out: str,
) -> tuple[str, ...]:
    """Make the runs that are not ``done`` and put them there. Returns the failures, in order of the runs."""
    left = list(_together(planned, [i for i in range(len(planned)) if i not in done]))
    failures: dict[int, Failure] = {}
    progress = RunProgress(len(left))
    try:
        for place, result in spread(work, [planned[i].run for i in left], jobs, dask):
            each = planned[left[place]]
            if isinstance(result, Failure):
                failures[left[place]] = result
            else:
                finished.keep(each.name, each.axes, result)
                done[left[place]] = result
            progress.one_more()
    except KeyboardInterrupt:
        say(f"stopped: {len(done)} of {len(planned)} runs are kept in {out}; the same command makes the others")
        raise
    return _told({told(planned[i].axes): failures[i].reason for i in sorted(failures)})


def _told(reasons: Mapping[str, str]) -> tuple[str, ...]:
    """A line for each reason, with the runs that have it: hundreds may fail of one."""
    runs: dict[str, list[str]] = {}
    for run, reason in reasons.items():
        runs.setdefault(reason, []).append(run)
    return tuple(
        f"run failed: {few([f'({each})' for each in names], _NAMED)}: {reason}" for reason, names in runs.items()
    )


def _together(planned: Sequence[_Planned], places: Sequence[int]) -> Iterator[int]:
    """The places of the runs, those with the same inputs one after another: a process keeps the last few inputs."""
    alike: dict[Axes, list[int]] = {}
    for i in places:
        alike.setdefault(replace(planned[i].axes, strategy="", faults="", load_view=""), []).append(i)
    for each in alike.values():
        yield from each
