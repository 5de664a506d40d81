"""The command line: parse, load the settings, call, print. Errors become one or a few lines in words, never a
traceback.

Exit codes: 0 done, 1 a check or a run failed, 2 wrong usage or configuration.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from . import __version__
from .errors import ConfigurationError, PeaksError
from .settings import Settings, load

F = TypeVar("F", bound=Callable[..., Any])


class Command(click.Command):
    """Turns our errors into words and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except PeaksError as error:
            click.echo(f"peaks-scheduler {ctx.info_name}: {error}", err=True)
            sys.exit(2 if isinstance(error, ConfigurationError) else 1)


class Group(click.Group):
    command_class = Command


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
        click.option(
            "--config", metavar="FILE", help="Configuration file, YAML; options and PEAKS_... variables override it."
        ),
    ):
        command = option(command)
    return command


def read_settings(config: str | None, **flags: object) -> Settings:
    """Settings from file, environment and options; warnings go to stderr."""
    settings, warnings = load(_read(config) if config else None, config or "", os.environ, flags)
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)
    return settings


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"--config {path}: expected a readable file, got: {error}") from error


@main.command()
@shared_options
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
@click.option("--node-metrics", is_flag=True, default=None, help="Export series per node.")
def run(config: str | None, **flags: object) -> None:
    """The daemon: watch, decide, bind."""
    from . import daemon, logs

    settings = read_settings(config, **flags)
    logs.configure("text" if settings.log_format == "text" else "json", os.environ.get("PEAKS_LOG_LEVEL", "INFO"))
    sys.exit(asyncio.run(daemon.run(settings)))


@main.command()
@click.option("--nodes", default=60, show_default=True, type=click.IntRange(min=1), help="Nodes, of three kinds.")
@click.option("--pods", default=200, show_default=True, type=click.IntRange(min=1), help="Pods to place.")
@click.option("--seed", default=1, show_default=True, type=int, help="Of the workload.")
def demo(nodes: int, pods: int, seed: int) -> None:
    """The whole thing on one machine, no cluster: the real daemon against an embedded API server."""
    from .demo import run_demo

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

    Asks the live cluster, or with --from reads one from files, as `kubectl get nodes,pods -A -o json` prints it.
    """
    from . import explain as door

    if (pod is None) != all_pending:
        raise click.UsageError("expected NAMESPACE/POD or --all-pending, one of the two")
    settings = read_settings(config, **flags)
    cluster = door.from_files(files, load, settings) if files else asyncio.run(door.live(load, settings))
    for note in cluster.notes:
        click.echo(f"note: {note}", err=True)
    answers = door.explain(cluster, settings, pod)
    for note in (note for answer in answers for note in answer.notes):
        click.echo(f"note: {note}", err=True)
    if output == "json":
        click.echo(json.dumps({answer.pod.key: answer.as_json() for answer in answers}, indent=2))
    else:
        click.echo(door.as_table(answers) if answers else f"no pending pod of {settings.scheduler_name}")


@main.command()
def strategies() -> None:
    """What a placement can minimise: one line a strategy."""
    from .scoring import STRATEGIES

    width = max(map(len, STRATEGIES))
    for strategy in STRATEGIES.values():
        click.echo(f"{strategy.name:{width}}  {strategy.minimises}")
