"""The options of ``simulate`` on the command line; ``options`` makes a request of them. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from peaks_scheduler.settings.options import setting_option

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--nodes",
        metavar="NODES",
        help="The cluster: a CSV (name, cpu_cores, memory_mib, watts_0 .. watts_100), specpower:FILE?count=50, the "
        "output of `kubectl get nodes,pods -A -o json`, or prometheus:URL?range=7d.",
    ),
    click.option(
        "--workload",
        metavar="WORKLOAD",
        help="The pods: a CSV (pod, arrival_s, duration_s, cpu_cores, memory_mib, cpu_used_cores), openb:FILE, "
        "bitbrains:FOLDER, alibaba2017:FILE, opendc:FOLDER, synthetic:load=0.5&span=1d, a cluster dump, or "
        "prometheus:URL?range=7d.",
    ),
    click.option(
        "--strategy", "strategies", metavar="NAME", multiple=True, help="A strategy to replay; may be repeated."
    ),
    click.option("--out", metavar="DIR", help="Folder for the results."),
    click.option(
        "--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Of everything random."
    ),
    click.option(
        "--runs",
        type=click.IntRange(1, 1000),
        default=1,
        show_default=True,
        help="Runs of every strategy, with seeds that rise by one: for an interval.",
    ),
    click.option(
        "--models",
        metavar="WORDS",
        help="What the scheduler believes of the nodes' power: fitted (to noisy samples of the true curves), "
        "fitted:noise=5%, true, wrong:10%, swapped, unmodelled:10%, joined by +.  "
        "[default: --power-models, else fitted]",
    ),
    click.option(
        "--load-view",
        metavar="WORDS",
        help="How the scheduler sees the load: load-watcher, metrics-server, prometheus:window=5m&delay=30s, or "
        "perfect.  [default: the configuration's load source]",
    ),
    click.option(
        "--faults",
        metavar="WORDS",
        default="",
        help="What fails: nodes:mtbf=30d&mttr=1h, load:from=2d&for=1h, joined by +.",
    ),
    click.option(
        "--assume-watts",
        metavar="IDLE:FULL",
        help="Watts per core, idle and fully used, of nodes of your own cluster that have no power model.",
    ),
    click.option(
        "--carbon",
        metavar="[REGION=]FILE",
        multiple=True,
        help="Carbon intensity of the grid over time, gCO2/kWh; may be repeated for several regions.",
    ),
    click.option("--price", type=float, metavar="PRICE", help="Price of a kWh."),
    click.option("--experiment", metavar="FILE", help="YAML file of axes: run every combination of them."),
    click.option("--jobs", type=click.IntRange(1), metavar="N", help="Processes.  [default: one for each processor]"),
    click.option("--dask", metavar="ADDRESS", help="With --experiment: run on this Dask cluster instead."),
    click.option("--sqlite", metavar="FILE", help="Also store all tables in this SQLite file."),
    click.option("--output", type=click.Choice(["table", "json"]), default="table", show_default=True),
    setting_option("--power-models"),
    click.option(
        "--config", metavar="FILE", help="Configuration file, YAML, of the scheduler: ceilings, tolerance, load source."
    ),
)
"""In the order of the help."""


def simulate_options(command: F) -> F:
    """Adds the options of ``simulate`` to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
