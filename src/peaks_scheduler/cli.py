"""The command line: parse, load the settings, call, print. Errors become one or a few lines in words, never a
traceback.

Exit codes: 0 done, 1 a check or a run failed, 2 wrong usage or configuration.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

import click

from peaks_scheduler import __version__, process_setup
from peaks_scheduler.commands.import_models.command import import_models
from peaks_scheduler.errors import ConfigurationError, PeaksError
from peaks_scheduler.files.reading import text_of
from peaks_scheduler.settings.reading import load
from peaks_scheduler.settings.subjects import Settings
from peaks_scheduler.settings.values import LOAD_SOURCES
from peaks_scheduler.text.printable import visible_lines
from peaks_scheduler.text.terminal import note, say, show

F = TypeVar("F", bound=Callable[..., Any])


class Command(click.Command):
    """Turns our errors into words and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except PeaksError as error:
            say(f"{_called(ctx)}: {error}".replace("\n", "\n  "))
            sys.exit(2 if isinstance(error, ConfigurationError) else 1)


def _called(ctx: click.Context) -> str:
    """``peaks-scheduler import-models kepler``: the command without its options."""
    names = []
    while ctx.parent is not None:
        names.append(ctx.info_name or "")
        ctx = ctx.parent
    return " ".join(["peaks-scheduler", *reversed(names)])


class Group(click.Group):
    command_class = Command

    def main(self, *args: Any, **more: Any) -> Any:
        """The way in. What the system refuses (a result for a full disk, say) is told in words."""
        process_setup.prepare()
        try:
            return super().main(*args, **more)
        except OSError as error:
            say(f"peaks-scheduler: the system refused: {error}")
            process_setup.discard_output()
            sys.exit(1)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="peaks-scheduler")
def main() -> None:
    """Puts every pod where it raises the cluster's power least, and says so in watts."""


def shared_options(command: F) -> F:
    """Options of every command that looks at a cluster."""
    for option in (
        click.option(
            "--scheduler-name", metavar="NAME", help="Pods with this schedulerName are ours.  [default: Peaks]"
        ),
        click.option("--power-models", metavar="FILE", help="Power model file, YAML or JSON."),
        click.option(
            "--kubeconfig",
            metavar="FILE",
            help="Credentials; default: the service account in a pod, else ~/.kube/config.",
        ),
        click.option("--context", metavar="NAME", help="Context of the kubeconfig.  [default: its current one]"),
        click.option(
            "--config", metavar="FILE", help="Configuration file, YAML; options and PEAKS_... variables override it."
        ),
    ):
        command = option(command)
    return command


prometheus_match = click.option(
    "--prometheus-match",
    metavar="MATCHERS",
    help="Which series of Prometheus are ours, as PromQL has it between braces: 'cluster=\"a\"'.",
)


def read_settings(config: str | None, **flags: object) -> Settings:
    """Settings from file, environment and options; warnings go to stderr."""
    text = text_of("--config", config) if config else None
    settings, warnings = load(text, config or "", os.environ, flags)
    for warning in warnings:
        say(f"warning: {warning}")
    return settings


@main.command()
@shared_options
@click.option(
    "--load-source", type=click.Choice(LOAD_SOURCES), help="Who tells the nodes' load.  [default: load-watcher]"
)
@click.option("--load-address", metavar="URL", help="Where the load source listens.")
@click.option(
    "--listen",
    metavar="HOST:PORT",
    help="Where /livez, /readyz, /metrics and /configz are served.  [default: [::]:10261]",
)
@click.option("--log-format", type=click.Choice(["text", "json"]), help="[default: json]")
@click.option(
    "--leader-elect/--no-leader-elect",
    default=None,
    help="Only one of several replicas works.  [default: leader-elect]",
)
@click.option(
    "--refit/--no-refit",
    default=None,
    help="Learn power models anew from what Prometheus has measured.  [default: no-refit]",
)
@prometheus_match
@click.option("--node-metrics", is_flag=True, default=None, help="Export series per node.")
def run(config: str | None, **flags: object) -> None:
    """The daemon: watch, decide, bind."""
    from peaks_scheduler.daemon.main import run as run_daemon
    from peaks_scheduler.observability import logs

    settings = read_settings(config, **flags)
    process_setup.raise_open_file_limit()
    log_format: Literal["text", "json"] = "text" if settings.log_format == "text" else "json"
    logs.configure(log_format, os.environ.get("PEAKS_LOG_LEVEL", "INFO"), non_blocking=True)
    sys.exit(asyncio.run(run_daemon(settings)))


@main.command()
@click.option("--nodes", default=60, show_default=True, type=click.IntRange(min=1), help="Nodes, of three kinds.")
@click.option("--pods", default=200, show_default=True, type=click.IntRange(min=1), help="Pods to place.")
@click.option("--seed", default=1, show_default=True, type=int, help="Of the workload.")
def demo(nodes: int, pods: int, seed: int) -> None:
    """The whole thing on one machine, no cluster: the real daemon against an embedded API server."""
    from peaks_scheduler.commands.demo.command import run_demo

    sys.exit(run_demo(nodes, pods, seed))


class FilesCommand(Command):
    """Takes ``--from a.yaml b.yaml`` for what it plainly means, beside ``--from a.yaml --from b.yaml``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        spread: list[str] = []
        in_files = False
        for previous, arg in zip(["", *args], args, strict=False):
            in_files = previous == "--from" or (in_files and not arg.startswith("-") and Path(arg).exists())
            spread += ["--from", arg] if in_files and previous != "--from" else [arg]
        return super().parse_args(ctx, spread)


@main.command(cls=FilesCommand)
@click.argument("pod", required=False, metavar="[NAMESPACE/POD]")
@click.option("--all-pending", is_flag=True, help="Every pending pod of this scheduler name, each judged on its own.")
@click.option(
    "--from",
    "files",
    multiple=True,
    metavar="FILE ...",
    help="Read the cluster from files (YAML, JSON, lists; - is stdin).",
)
@click.option("--load", metavar="FILE", help="A recorded load-watcher answer; as fresh as at the time it gives itself.")
@shared_options
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

    Asks the live cluster, or with --from reads one from files, as `kubectl get nodes,pods -A -o json` prints it. A
    Deployment or anything else with a pod template in these files is explained by NAMESPACE/NAME, as the pod that it
    would make.
    """
    from peaks_scheduler.commands.explain.answer import as_table, passed_over
    from peaks_scheduler.commands.explain.answer import explain as answers_for
    from peaks_scheduler.commands.explain.cluster import from_files, live

    if (pod is None) != all_pending:
        raise click.UsageError("expected NAMESPACE/POD or --all-pending, one of the two")
    settings = read_settings(config, **flags)
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
@click.option("--csv", metavar="FILE", help="Measurements, one row a time or a sample; .gz too, - is stdin.")
@click.option("--cpu-column", metavar="NAME", help="With --csv: the column of CPU use.")
@click.option("--power-column", metavar="NAME", help="With --csv: the column of power or energy.")
@click.option("--node-column", metavar="NAME", help="With --csv: whose row it is; else the file is one node.")
@click.option("--node", metavar="NAME", help="With --csv and no --node-column: the node.  [default: the file's name]")
@click.option("--time-column", metavar="NAME", help="With --csv: ISO 8601 or epoch; else each row is a sample.")
@click.option("--cpu-kind", type=click.Choice(["auto", "gauge", "counter"]), help="With --csv.  [default: auto]")
@click.option("--power-kind", type=click.Choice(["auto", "gauge", "counter"]), help="With --csv.  [default: auto]")
@click.option(
    "--power-unit",
    type=click.Choice(
        [
            *("auto", "watts", "joules", "milliwatts", "microwatts", "kilowatts"),
            *("milliwatt-hours", "watt-hours", "kilowatt-hours", "btu-per-hour"),
        ]
    ),
    help="With --csv; of a counter: times seconds.  [default: auto]",
)
@click.option(
    "--decimal",
    type=click.Choice(["auto", "point", "comma"]),
    help="With --csv: is 1,541 more than a thousand (point) or less than two (comma)?  [default: auto]",
)
@click.option(
    "--date-order",
    type=click.Choice(["day-first", "month-first"]),
    help="With --csv: what is 3/4/2026? Only asked for where no date tells.",
)
@click.option("--prometheus", metavar="URL", help="Kepler's, Redfish's, IPMI's or any series of every node.")
@click.option("--range", metavar="DURATION", help="With --prometheus: back from now.  [default: 7d]")
@click.option("--step", metavar="DURATION", help="With --prometheus: between two samples.  [default: 60s]")
@click.option("--cpu-query", metavar="PROMQL", help="With --prometheus: CPU use, instead of what is known.")
@click.option("--power-query", metavar="PROMQL", help="With --prometheus: watts, or ..._joules_total.")
@prometheus_match
@click.option("--node-label", metavar="LABEL", help="With --prometheus: the label that names a series' node.")
@click.option(
    "--prometheus-header", metavar="'NAME: VALUE'", multiple=True, help="Sent with every request; may be repeated."
)
@click.option(
    "--prometheus-header-file", metavar="'NAME: FILE'", multiple=True, help="The same, with the value in a file."
)
@click.option("--prometheus-token-file", "token_file", metavar="FILE", help="With --prometheus: a bearer token.")
@click.option("--ca-file", metavar="FILE", help="With --prometheus: certificates to trust, PEM.")
@click.option("--username", metavar="NAME", help="With --prometheus: basic authentication.")
@click.option("--password-file", metavar="FILE", help="With --username.")
@click.option(
    "--cpu-unit", type=click.Choice(["ratio", "percent", "cores"]), help="Found out and shown where it is not said."
)
@click.option("--cores", metavar="N", type=float, help="With --cpu-unit cores: how many a node has.")
@click.option(
    "--model",
    type=click.Choice(["auto", "exponential", "idle-exponential", "piecewise", "linear"]),
    default="auto",
    show_default=True,
)
@click.option(
    "--scope",
    type=click.Choice(["wall", "platform", "package", "estimate"]),
    help="Of what the watts are.  [default: by the series' or the column's name; else wall, the whole machine]",
)
@click.option("--plot", metavar="FILE", help="Samples, curve, band and envelope: .png, .svg or .pdf.")
@click.option("--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("-o", "--out", metavar="FILE", help="Write the models as a power model file.")
@click.option("--force", is_flag=True, help="Refused models go into the file, too.")
def fit(**flags: Any) -> None:
    """Learn a power model for every node, and judge it.

    From a CSV file (--csv, --cpu-column, --power-column) or from Prometheus. Exits with 0 when at least one node is not
    refused.
    """
    from peaks_scheduler.commands.fit.command import run_fit
    from peaks_scheduler.commands.fit.options import request_of

    sys.exit(run_fit(request_of(flags)))


main.add_command(import_models(Group, Command))


@main.command()
def strategies() -> None:
    """What a placement can minimise: one line a strategy."""
    from peaks_scheduler.scheduling.scoring.strategies import STRATEGIES

    width = max(map(len, STRATEGIES))
    for strategy in STRATEGIES.values():
        click.echo(f"{strategy.name:{width}}  {strategy.minimises}")


@main.command()
@shared_options
@click.option("--load-source", type=click.Choice(LOAD_SOURCES), help="Who tells the nodes' load.")
@click.option("--load-address", metavar="URL", help="Where the load source listens.")
@prometheus_match
@click.option("--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def check(output: str, config: str | None, **flags: object) -> None:
    """Is everything there that the scheduler needs? One line a check, and what to do.

    Exits with 1 when a check failed; warnings are no failure.
    """
    from peaks_scheduler.commands.check.finding import COLOURS, as_json, as_lines, summary
    from peaks_scheduler.commands.check.run import check as findings_of

    findings = asyncio.run(findings_of(read_settings(config, **flags)))
    if output == "json":
        show(json.dumps(as_json(findings), indent=2))
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        for finding, line in zip(findings, as_lines(findings, width), strict=True):
            rest = visible_lines(line.removeprefix(finding.status))
            click.echo(click.style(finding.status, fg=COLOURS[finding.status]) + rest)
        say(summary(findings))
    sys.exit(1 if any(finding.status == "failed" for finding in findings) else 0)
