"""The command line: parse, load the settings, call, print. Errors become one or a few lines in words, never a traceback.

Exit codes: 0 done, 1 a check or a run failed, 2 wrong usage or configuration.
"""

from __future__ import annotations

import asyncio
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
        click.option("--scheduler-name", metavar="NAME", help="Pods with this schedulerName are ours.  [default: Peaks]"),
        click.option("--power-models", metavar="FILE", help="Power model file, YAML or JSON."),
        click.option("--kubeconfig", metavar="FILE", help="Credentials; default: the service account in a pod, else ~/.kube/config."),
        click.option("--config", metavar="FILE", help="Configuration file, YAML; options and PEAKS_... variables override it."),
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
@click.option("--listen", metavar="HOST:PORT", help="Where /livez, /readyz, /metrics and /configz are served.  [default: [::]:10261]")
@click.option("--log-format", type=click.Choice(["text", "json"]), help="[default: json]")
@click.option("--leader-elect/--no-leader-elect", default=None, help="Only one of several replicas works.  [default: leader-elect]")
@click.option("--node-metrics", is_flag=True, default=None, help="Export series per node.")
def run(config: str | None, **flags: object) -> None:
    """The daemon: watch, decide, bind."""
    from . import daemon, logs

    settings = read_settings(config, **flags)
    logs.configure(settings.log_format, os.environ.get("PEAKS_LOG_LEVEL", "INFO"))
    sys.exit(asyncio.run(daemon.run(settings)))
