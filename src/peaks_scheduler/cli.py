"""The command line: parse the options, load the settings, run the command, print its result.

An error is printed in one or a few lines of words, never as a traceback. Exit codes: 0 done, 1 a check or a run failed,
2 wrong usage or configuration. What a command needs is imported when it runs, so that each starts fast.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any, Literal, NoReturn

import click

from peaks_scheduler import __version__, process_setup
from peaks_scheduler.commands.fit.flags import fit_options
from peaks_scheduler.commands.import_models.command import import_models
from peaks_scheduler.commands.simulate.flags import simulate_options
from peaks_scheduler.commands.simulate.validate.command import validate_command
from peaks_scheduler.errors import ConfigurationError, PeaksError
from peaks_scheduler.settings.options import cluster_options, setting_option, settings_of
from peaks_scheduler.text.printable import visible_lines
from peaks_scheduler.text.table import aligned
from peaks_scheduler.text.terminal import note, say, show

# modules stay: looking for garbage among them takes a tenth of the time to import them
WHILE_IMPORTING = (200_000, 50, 1000)


class Command(click.Command):
    """A command that prints our errors and exits with their code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except PeaksError as error:
            _fail(ctx, error)


def _fail(ctx: click.Context, error: PeaksError) -> NoReturn:
    """Print the error and exit with its code."""
    say(f"{_called(ctx)}: {error}".replace("\n", "\n  "))
    sys.exit(2 if isinstance(error, ConfigurationError) else 1)


def _called(ctx: click.Context) -> str:
    """The command without its options: ``peaks-scheduler import-models kepler``."""
    names = []
    while ctx.parent is not None:
        names.append(ctx.info_name or "")
        ctx = ctx.parent
    return " ".join(["peaks-scheduler", *reversed(names)])


class CommandGroup(click.Group):
    """A group of such commands."""

    command_class = Command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the group itself, or the command that was asked for."""
        try:
            return super().invoke(ctx)
        except PeaksError as error:
            _fail(ctx, error)

    def main(self, *args: Any, **more: Any) -> Any:
        """Run the program. An error of the system (for example a full disk) is printed in words; exit code 1."""
        process_setup.prepare()
        try:
            return super().main(*args, **more)
        except OSError as error:
            say(f"peaks-scheduler: the system refused: {error}")
            process_setup.discard_output()
            sys.exit(1)


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="peaks-scheduler")
def main() -> None:
    """Puts every pod where it raises the cluster's power least, and says so in watts."""


@main.command()
@cluster_options
@setting_option("--load-source")
@setting_option("--load-address")
@setting_option("--listen")
@setting_option("--log-format")
@setting_option("--leader-elect")
@setting_option("--refit")
@setting_option("--prometheus-match")
@setting_option("--node-metrics")
def run(config: str | None, **flags: object) -> None:
    """Run the scheduler: watch pods and nodes, decide, bind."""
    gc.set_threshold(*WHILE_IMPORTING)
    with process_setup.importing_without_authorities():
        from peaks_scheduler.daemon.main import run as run_daemon
    from peaks_scheduler.observability import logs

    settings = settings_of(config, **flags)
    process_setup.raise_open_file_limit()
    log_format: Literal["text", "json"] = "text" if settings.log_format == "text" else "json"
    logs.configure(log_format, os.environ.get("PEAKS_LOG_LEVEL", "INFO"), non_blocking=True)
    sys.exit(asyncio.run(run_daemon(settings)))


@main.command()
@click.option(
    "--nodes",
    default=60,
    show_default=True,
    type=click.IntRange(min=1),
    help="Number of nodes; they are of three kinds.",
)
@click.option("--pods", default=200, show_default=True, type=click.IntRange(min=1), help="Number of pods to place.")
@click.option("--seed", default=1, show_default=True, type=int, help="Seed of the workload.")
def demo(nodes: int, pods: int, seed: int) -> None:
    """Show the scheduler at work without a cluster: the real daemon, and an embedded API server."""
    from peaks_scheduler.commands.demo.command import run_demo

    sys.exit(run_demo(nodes, pods, seed))


class FilesCommand(Command):
    """A command that takes ``--from a.yaml b.yaml`` as ``--from a.yaml --from b.yaml``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        spread: list[str] = []
        in_files = False
        for previous, arg in zip(["", *args], args, strict=False):
            in_files = previous == "--from" or (in_files and not arg.startswith("-") and Path(arg).exists())
            spread += ["--from", arg] if in_files and previous != "--from" else [arg]
        return super().parse_args(ctx, spread)


@main.command(cls=FilesCommand)
@click.argument("pod", required=False, metavar="[NAMESPACE/POD]")
@click.option("--all-pending", is_flag=True, help="Explain every pending pod of this scheduler, each on its own.")
@click.option(
    "--from",
    "files",
    multiple=True,
    metavar="FILE ...",
    help="Read the cluster from files in YAML or JSON; - is stdin.",
)
@click.option("--load", metavar="FILE", help="An answer of load-watcher in a file; its own time says how fresh it is.")
@cluster_options
@click.option("--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def explain(
    pod: str | None,
    all_pending: bool,
    files: tuple[str, ...],
    load: str | None,
    output: str,
    config: str | None,
    **flags: object,
) -> None:
    """Where would this pod go, and why?

    Reads the live cluster, or with --from a cluster in files, as `kubectl get nodes,pods -A -o json` prints it. For a
    Deployment or another workload in these files, say its NAMESPACE/NAME: the pod that it would make is explained.
    """
    from peaks_scheduler.commands.explain.answer import explain as answers_for
    from peaks_scheduler.commands.explain.answer import passed_over
    from peaks_scheduler.commands.explain.answer_table import as_table
    from peaks_scheduler.commands.explain.cluster import from_files, live

    if (pod is None) != all_pending:
        raise click.UsageError("expected NAMESPACE/POD or --all-pending, one of the two")
    settings = settings_of(config, **flags)
    cluster = from_files(files, load, settings) if files else asyncio.run(live(load, settings, pod))
    for text in cluster.notes:
        note(text)
    answers = answers_for(cluster, settings, pod)
    left_out = passed_over(cluster, settings.scheduler_name) if all_pending else []
    for text in (*(each for answer in answers for each in answer.notes), *left_out):
        note(text)
    if output == "json":
        show(json.dumps({answer.key: answer.as_json() for answer in answers}, indent=2))
    else:
        show(as_table(answers) if answers else f"no pending pod of {settings.scheduler_name}")


@main.command()
@fit_options
def fit(**flags: Any) -> None:
    """Learn a power model for every node, and judge it.

    Reads a CSV file (--csv, --cpu-column, --power-column) or Prometheus (--prometheus). Exits with 0 when at least one
    node's model is not refused.
    """
    from peaks_scheduler.commands.fit.command import run_fit
    from peaks_scheduler.commands.fit.options import request_of

    sys.exit(run_fit(request_of(flags)))


main.add_command(import_models(CommandGroup, Command))


@main.command(cls=FilesCommand)
@cluster_options
@setting_option("--load-address")
@click.option("--node", "nodes", multiple=True, metavar="NAME", help="Only this node; may be repeated.")
@click.option(
    "--from",
    "files",
    multiple=True,
    metavar="FILE ...",
    help="Read the nodes, and WAO's objects, from files in YAML or JSON; - is stdin.",
)
@click.option("--plot", metavar="FILE", help="Draw predictions and curves: .png, .svg or .pdf; 12 nodes at most.")
@click.option("--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("-o", "--out", metavar="FILE", help="Write the curves as a power model file.")
def predict(
    nodes: tuple[str, ...],
    files: tuple[str, ...],
    plot: str | None,
    output: str,
    out: str | None,
    config: str | None,
    **flags: object,
) -> None:
    """What do the predictors say? Asks sensors and predictors once, and shows each node's curve.

    Exits with 0 when at least one node has a curve that counts.
    """
    from peaks_scheduler.commands.predict.command import PredictRequest, run_predict

    words = " ".join(
        ["peaks-scheduler predict", *(f"--node {name}" for name in nodes), *(f"--from {f}" for f in files)]
    )
    sys.exit(run_predict(PredictRequest(settings_of(config, **flags), nodes, files, plot, out, output, words)))


@main.group(invoke_without_command=True, cls=CommandGroup)
@simulate_options
@click.pass_context
def simulate(ctx: click.Context, /, config: str | None, power_models: str | None, **flags: Any) -> None:
    """What would each strategy cost? Replay a workload on a simulated cluster, and measure against the least possible.

    Writes tables, figures and a report into --out. `simulate validate` compares with measured power instead.
    """
    if ctx.invoked_subcommand is not None:
        return
    from peaks_scheduler.commands.simulate.command import run_experiments, run_simulate
    from peaks_scheduler.commands.simulate.options import check_experiment, request_of

    settings = settings_of(config, power_models=power_models)
    if flags["experiment"]:
        check_experiment({**flags, "power_models": power_models})
        sys.exit(run_experiments(flags, settings))
    sys.exit(run_simulate(request_of(flags, settings)))


simulate.add_command(validate_command(Command))


@main.command()
def strategies() -> None:
    """List the strategies: the name of each, and what it minimises."""
    from peaks_scheduler.scheduling.batching import BATCH_STRATEGIES
    from peaks_scheduler.scheduling.scoring.strategies import STRATEGIES
    from peaks_scheduler.simulation.carbon_policy import CARBON_DELAY, CARBON_DELAY_MINIMISES

    lines = [(strategy.name, strategy.minimises) for strategy in STRATEGIES.values()]
    lines += [(strategy.name, strategy.minimises) for strategy in BATCH_STRATEGIES.values()]
    lines.append((CARBON_DELAY, CARBON_DELAY_MINIMISES))
    for line in aligned(lines):
        click.echo(line)


@main.command()
@cluster_options
@setting_option("--load-source")
@setting_option("--load-address")
@setting_option("--prometheus-match")
@click.option("--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def check(output: str, config: str | None, **flags: object) -> None:
    """Check that the scheduler has everything it needs: one line a check, with what to do.

    Exits with 1 when a check failed. A warning is no failure.
    """
    from peaks_scheduler.commands.check.finding import COLOURS, as_json, as_lines, summary
    from peaks_scheduler.commands.check.run import check as findings_of

    findings = asyncio.run(findings_of(settings_of(config, **flags)))
    if output == "json":
        show(json.dumps(as_json(findings), indent=2))
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        for finding, line in zip(findings, as_lines(findings, width), strict=True):
            rest = visible_lines(line.removeprefix(finding.status))
            click.echo(click.style(finding.status, fg=COLOURS[finding.status]) + rest)
        say(summary(findings))
    sys.exit(1 if any(finding.status == "failed" for finding in findings) else 0)
