"""``python -m benchmarks``: measure, print, save; ``python -m benchmarks compare A.json B.json``.

Progress goes to stderr, tables to stdout. Exit codes: 0 measured, also where an aim was missed, since machines differ;
1 a run without a valid result; 2 wrong usage.
"""

from __future__ import annotations

import dataclasses
import datetime
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from benchmarks import (
    BenchmarkError,
    constraints,
    decision,
    endtoend,
    feed,
    hostile,
    memory,
    predictions,
    scale,
    simulation,
    soak,
    start,
    strategies,
    writes,
)
from benchmarks.figures import Results, comparison, load, save, table
from benchmarks.machine import commit, machine, versions
from benchmarks.plan import QUICK, Plan
from benchmarks.scheduler_perf import part as scheduler_perf

PARTS = {
    "endtoend": endtoend,
    "decision": decision,
    "constraints": constraints,
    "feed": feed,
    "writes": writes,
    "strategies": strategies,
    "hostile": hostile,
    "memory": memory,
    "predictions": predictions,
    "simulation": simulation,
    "start": start,
    "soak": soak,
    "scale": scale,
    "scheduler-perf": scheduler_perf,
}
ON_REQUEST = ("start", "soak", "scale", "scheduler-perf")
"""Parts that run only when they are named: they take many minutes."""


@click.group(invoke_without_command=True)
@click.option("--only", type=click.Choice(list(PARTS)), multiple=True, help="Measure this part alone; may be repeated.")
@click.option("--quick", is_flag=True, help="A tenth of the size, one round: shows that it works.")
@click.option("--rounds", type=click.IntRange(1), help="Turns of each scheduler end to end.")
@click.option("--nodes", type=click.IntRange(3), help="Nodes, end to end and for decisions.")
@click.option("--backlog", type=click.IntRange(10), help="Pods that wait when a scheduler starts.")
@click.option("--stream", type=click.IntRange(10), help="Pods that arrive one by one.")
@click.option("--rate", type=click.FloatRange(1.0), help="How many of them a second.")
@click.option("--minutes", type=click.FloatRange(1.0), help="Length of the soak.")
@click.option("--bound", type=click.IntRange(0), help="Pods on nodes at the start of a scheduler, in start.")
@click.option("--seed", type=int, help="Of everything made up.")
@click.option(
    "--case",
    "cases",
    multiple=True,
    metavar="NAME",
    help="scheduler-perf: cases by a part of their name; may be repeated.",
)
@click.option("--logs", type=click.Path(file_okay=False), help="Keep the logs of every process in this folder.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Also write the results there, as JSON.",
)
@click.pass_context
def main(context: click.Context, /, only: Sequence[str], quick: bool, output: Path | None, **sizes: Any) -> None:
    """Measure this scheduler, and kube-scheduler where both can be compared."""
    if context.invoked_subcommand is None:
        given = {name: size for name, size in sizes.items() if size not in (None, ())}
        plan = dataclasses.replace(QUICK if quick else Plan(), **given)
        _measure(plan, [name for name in PARTS if name in (only or _possible())], output)


@main.command()
@click.argument("a", type=click.Path(exists=True, path_type=Path))
@click.argument("b", type=click.Path(exists=True, path_type=Path))
def compare(a: Path, b: Path) -> None:
    """What changed from the results in A to those in B."""
    click.echo("\n".join(comparison(load(a), load(b))))


def _possible() -> list[str]:
    """All parts, without those on request, and without ``strategies`` if its data is missing."""
    missing = strategies.missing()
    if missing:
        _say(f"strategies left out: {missing}")
    return [name for name in PARTS if name not in ON_REQUEST and not (missing and name == strategies.PART)]


def _measure(plan: Plan, parts: Sequence[str], output: Path | None) -> None:
    about = {
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(),
        "versions": versions(),
        "plan": dataclasses.asdict(plan),
        "parts": list(parts),
    }
    figures, aims = [], []
    for name in parts:
        found, wanted = PARTS[name].measure(plan, _say)
        figures += found
        aims += wanted
        click.echo("\n".join(["", *table(found)]))
    results = Results(about, tuple(figures), tuple(aims))
    verdicts = [aim.line() for aim in aims] if plan.full else ["The aims are for the full size."]
    click.echo("\n".join(["", *verdicts]))
    if output is not None:
        save(results, output)
        _say(f"results in {output}")


_BEGUN = time.monotonic()


def _say(text: str) -> None:
    print(f"[{time.monotonic() - _BEGUN:5.0f} s] {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # leaves every block, as ctrl-C does
    try:
        main()
    except (BenchmarkError, AssertionError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        sys.exit(1)
