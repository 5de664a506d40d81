"""Options of the command line for settings: flag, help and choices come from the table of settings."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from peaks_scheduler.files.reading import read_input_text
from peaks_scheduler.text.terminal import say

from .loading import load_settings
from .settings import Settings
from .table import TABLE, Setting
from .value_types import SWITCH

F = TypeVar("F", bound=Callable[..., Any])
_BY_FLAG = {setting.flag.partition("/")[0]: setting for setting in TABLE if setting.flag}


def setting_option(flag: str) -> Callable[[F], F]:
    """The option ``flag`` (``--load-address``) for a command. KeyError: no setting has this flag."""
    setting = _BY_FLAG[flag]
    value_type, words = setting.value_type, _help(setting)
    if value_type is SWITCH:
        return click.option(setting.flag, is_flag=True, default=None, help=words)
    if value_type.choices:
        return click.option(setting.flag, type=click.Choice(value_type.choices), help=words)
    return click.option(setting.flag, metavar=value_type.metavar, help=words)


def _help(setting: Setting) -> str:
    """The setting's meaning and its default."""
    default = setting.shown(Settings())
    if setting.value_type is SWITCH:
        on, _, off = setting.flag.partition("/")
        default = (on if default else off).removeprefix("--")
    words = setting.meaning.replace("`", "")
    return f"{words}  [default: {default}]" if default else words


def cluster_options(command: F) -> F:
    """Adds the options of every command that looks at a cluster."""
    # click shows the option last that is added first
    for flag in ("--scheduler-name", "--power-models", "--kubeconfig", "--context"):
        command = setting_option(flag)(command)
    return click.option(
        "--config", metavar="FILE", help="Configuration file, YAML; options and PEAKS_... variables override it."
    )(command)


def settings_of(config: str | None, **flags: object) -> Settings:
    """The settings from the file ``config``, the environment and the options. Warnings go to stderr.

    Raises ConfigurationError.
    """
    text = read_input_text("--config", config) if config else None
    settings, warnings = load_settings(text, config or "", os.environ, flags)
    for warning in warnings:
        say(f"warning: {warning}")
    return settings
