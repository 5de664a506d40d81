"""People can do what the program's texts tell them: every option and setting in them exists and has an effect."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click
import pytest

import peaks_scheduler
from peaks_scheduler.cli import main
from peaks_scheduler.commands.check.model_checks import FIT
from peaks_scheduler.commands.check.rights import rights
from peaks_scheduler.power.curves import Curve, Exponential, Linear, Piecewise
from peaks_scheduler.power.models import PowerModel, PowerModels
from peaks_scheduler.settings.settings import LeaderElection, LoadSettings
from peaks_scheduler.settings.table import TABLE
from tests.unit.commands.test_check import SETTINGS, found, load, said, waiting

PACKAGE = Path(peaks_scheduler.__file__).parent
GROUPS = {setting.path.split(".")[0] for setting in TABLE if "." in setting.path}
OF_OTHERS = {"--from", "--show-labels", "--metric-labels-allowlist"}
"""kubectl's (--from is explain's as well), and the last one kube-state-metrics'."""
TEXT_KEY = re.compile(rf"(?<![\w./-])(?:{'|'.join(GROUPS)})\.[a-z][A-Za-z]+(?!\w)")
TEXT_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")


def texts() -> Iterator[tuple[str, str]]:
    """Every text in the package that is no docstring, and its file."""
    for file in PACKAGE.rglob("*.py"):
        tree = ast.parse(file.read_text())
        docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
                yield str(file.relative_to(PACKAGE)), node.value


def options_of(command: click.Command) -> set[str]:
    own = {text for each in command.params for text in (*each.opts, *each.secondary_opts)}
    parts = command.commands.values() if isinstance(command, click.Group) else ()
    return own.union(*map(options_of, parts))


def test_every_option_that_a_text_names_is_one() -> None:
    known = options_of(main) | OF_OTHERS | {"--help"}
    named = {(file, option) for file, text in texts() for option in TEXT_OPTION.findall(text)}
    assert len(named) > 30
    assert {(file, option) for file, option in named if option.rstrip("-") not in known} == set()


def test_every_setting_that_a_text_names_is_one() -> None:
    # the table names attributes, too; and a simulation writes a file of that name
    known = {setting.path for setting in TABLE} | {setting.attribute for setting in TABLE} | {"power.csv"}
    named = {(file, path) for file, text in texts() for path in TEXT_KEY.findall(text)}
    assert len(named) > 20
    assert {(file, path) for file, path in named if path not in known} == set()


def test_the_command_to_make_models_says_only_what_plays_a_part() -> None:
    """Without --cpu-query, options for its unit would have no effect."""
    words = FIT.split()
    command = main.commands["fit"]  # type: ignore[attr-defined]
    with command.make_context("fit", words[2:], resilient_parsing=True) as context:
        given = {name for name, value in context.params.items() if value not in (None, False, ())}
    assert words[:2] == ["peaks-scheduler", "fit"]
    assert given - {"output", "model", "force"} == {"prometheus", "out"}


def test_a_pod_of_another_scheduler_name_is_explained_under_that_name() -> None:
    old = waiting(minutes=60, scheduler="green")
    finding = found("waiting pods", settings=replace(SETTINGS, scheduler_name="green"), pods=[old])[-1]
    assert finding.remedy == "peaks-scheduler explain default/web-0 --scheduler-name green"


def test_a_lease_that_the_manifests_do_not_name_is_not_cured_by_applying_them() -> None:
    settings = replace(SETTINGS, leader_election=LeaderElection(True, "peaks-scheduler-green"))
    held = dict.fromkeys(rights(settings, "kube-system"), True)
    gone = {right: right.resource != "leases" for right in held}
    line = said("rights", settings=settings, rights=gone)
    assert "Role peaks-scheduler in kube-system with the resourceName peaks-scheduler-green" in line
    assert "kubectl apply" not in line


def test_the_unit_of_a_query_is_asked_about_only_where_there_is_one() -> None:
    full = load({"worker-1": 1.0, "worker-2": 1.0})
    asked = LoadSettings(source="prometheus")
    (none,) = found("load values", settings=replace(SETTINGS, load=asked), load=full)
    assert none.remedy.startswith("look at the exporters' series")
    (own,) = found("load values", settings=replace(SETTINGS, load=replace(asked, cpu_query="x")), load=full)
    assert own.remedy == "is load.cpuUnit what load.cpuQuery gives?"


@pytest.mark.parametrize(
    ("curve", "remedy"),
    [
        pytest.param(Linear(100.0, 101.0), "are `idle` and `max` those of this machine?", id="linear has no unit"),
        pytest.param(Piecewise((0.0, 1.0), (100.0, 101.0)), "are its points for percent?", id="points"),
        pytest.param(Exponential(471.7, -91.5, -0.07186), "is its k2 for percent?", id="k2"),
    ],
)
def test_what_is_asked_about_a_flat_curve_is_about_that_kind_of_curve(curve: Curve, remedy: str) -> None:
    (finding,) = found("power curves", models=PowerModels({"worker-1": PowerModel("worker-1", curve)}))
    assert finding.remedy.startswith(remedy)
