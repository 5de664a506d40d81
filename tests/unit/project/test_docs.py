"""The documents say what the program does: every setting with its default, every number exported, every field recorded.

Compares tables in ``docs/`` and the README with the code's own lists, so that neither can change alone.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from peaks_scheduler.cli import main
from peaks_scheduler.objects.pod import pod_from_api
from peaks_scheduler.objects.supported_fields import HARMLESS_VOLUMES, REFUSED, SUPPORTED_VOLUMES
from peaks_scheduler.observability.telemetry import Telemetry
from peaks_scheduler.scheduling.decision import Decision
from peaks_scheduler.scheduling.filters.filters import FILTERS
from peaks_scheduler.settings.loading import load_settings
from peaks_scheduler.settings.settings import Settings
from peaks_scheduler.settings.table import redacted
from tests.unit.daemon.test_keepers import EXPORTED, WITH_A_SETTING, WITHOUT_ROWS
from tools.settings_reference import reference, with_reference

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def rows(name: str, header: str) -> list[list[str]]:
    """Cells of the first table whose header line begins with ``header``, without backticks."""
    lines = text(name).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {header} |"))
    table = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        table.append([cell.strip().replace("`", "") for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return table


def paths(tree: dict[str, Any], above: str = "") -> set[str]:
    return {
        path
        for key, value in tree.items()
        for path in (paths(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}"})
    }


# --- configuration ----------------------------------------------------------------------------------------------------


def documented() -> dict[str, list[str]]:
    """(default, option, variable, meaning) by key."""
    return {key: cells for key, _value, *cells in rows("docs/configuration.md", "key in the file")}


def test_the_reference_of_the_settings_is_made_from_their_table() -> None:
    page = text("docs/configuration.md")
    assert page == with_reference(page), "run `make reference`"
    assert reference() in page


def test_every_setting_is_documented_and_nothing_else() -> None:
    shown = redacted(Settings())
    shown.pop("nodePowerModel")  # not a key of the file: how /configz shows a KubeSchedulerConfiguration's models
    assert set(documented()) == paths(shown)


def test_the_documented_defaults_are_the_defaults() -> None:
    file: dict[str, Any] = {}
    for path, (default, *_) in documented().items():
        if default == "none":
            continue
        *parents, last = path.split(".")
        where = file
        for parent in parents:
            where = where.setdefault(parent, {})
        where[last] = yaml.safe_load(default)
    assert load_settings(yaml.safe_dump(file), "documented", {}, {}) == load_settings(None, "", {}, {})


def test_the_example_has_every_key_with_its_default() -> None:
    example = text("examples/config.yaml")
    assert paths(yaml.safe_load(example)) | {"kubeconfig", "context"} == set(documented())
    given, warnings = load_settings(example, "examples/config.yaml", {}, {})
    assert warnings == ()
    assert given == load_settings("powerModels: /etc/peaks/models.yaml", "", {}, {})[0]


def test_every_option_of_run_is_documented() -> None:
    options = {
        name
        for parameter in main.commands["run"].params
        if isinstance(parameter, click.Option)
        for name in (*parameter.opts, *parameter.secondary_opts)
    }
    said = text("docs/configuration.md")
    assert {option for option in options if f"`{option}" not in said} == set()


NEED_PROMETHEUS = ("PEAKS_REFIT", "PEAKS_PROMETHEUS_MATCH")


@pytest.mark.parametrize(("option", "variable"), [(cells[1], cells[2]) for cells in documented().values() if cells[2]])
def test_every_documented_variable_is_read(option: str, variable: str) -> None:
    values = {
        "PEAKS_LOAD_SOURCE": "metrics-server",
        "PEAKS_LEADER_ELECT": "no",
        "PEAKS_NODE_METRICS": "yes",
        "PEAKS_REFIT": "yes",
        "PEAKS_LISTEN": ":1",
        "PEAKS_LOG_FORMAT": "text",
        "PEAKS_PROMETHEUS_MATCH": 'cluster="a"',
    }
    value = values.get(variable, "http://elsewhere:2020" if "ADDRESS" in variable else "other")
    file = "prometheus: {address: 'http://elsewhere:9090'}" if variable in NEED_PROMETHEUS else None
    settings, warnings = load_settings(file, "", {variable: value}, {})
    assert warnings == ()
    assert settings != load_settings(file, "", {}, {})[0], f"{variable} ({option}) changed nothing"


# --- telemetry --------------------------------------------------------------------------------------------------------


def exported() -> dict[str, str]:
    """Name -> type of all that is exported, by keepers too; the process collector's are left out."""
    suffix = {"counter": "_total", "info": "_info"}
    kind = {"info": "gauge"}
    families = Telemetry("Peaks", node_metrics=True).registry.collect()
    ours = {
        family.name + suffix.get(family.type, ""): kind.get(family.type, family.type)
        for family in families
        if not family.name.startswith("process_")
    }
    return ours | dict.fromkeys((*EXPORTED, *WITHOUT_ROWS, *WITH_A_SETTING), "gauge")


def test_every_metric_is_documented_with_its_type_and_nothing_else() -> None:
    said = text("docs/operations.md")
    table = re.findall(r"^\| `((?:peaks|scheduler)_\w+)` \| (\w+) \|", said, re.MULTILINE)
    assert dict(table) == exported()


def test_alerts_and_readme_speak_of_metrics_that_exist() -> None:
    said = text("docs/operations.md") + text("README.md")
    named = set(re.findall(r"\b(?:peaks|scheduler)_[a-z_]+\b", said)) - {"peaks_scheduler"}
    assert {name for name in named if name not in exported()} == set()


# --- what a user reads and types -----------------------------------------------------------------------------------


def test_every_field_of_the_decision_record_is_explained() -> None:
    pod = pod_from_api({"metadata": {"name": "web-0"}}, default_cpu=100)
    record = Decision(pod, "peaks", feasible=0, total=0).record()
    explained = [name for cells in rows("docs/decisions.md", "field") for name in cells[0].split(", ")]
    assert explained == list(record)
    example = re.search(r"```json\n(.*?)```", text("docs/decisions.md"), re.DOTALL)
    assert example is not None
    assert list(json.loads(example[1])) == list(record)


def test_every_command_that_the_readme_names_exists() -> None:
    named = set(re.findall(r"peaks-scheduler ([a-z]+)\b", text("README.md")))
    assert named
    assert named - set(main.commands) == set()


# --- what is honoured -------------------------------------------------------------------------------------------------

CONSTRAINTS = "docs/constraints.md"


def named(cell: str) -> list[str]:
    return [name.strip() for name in cell.split(",")]


def test_every_filter_is_named_in_its_order_and_nothing_else() -> None:
    table = text(CONSTRAINTS).split("## Volumes")[0]
    said = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    theirs = list(dict.fromkeys(each.name for each in FILTERS if not each.ours))
    assert said == theirs + sorted(each.name for each in FILTERS if each.ours)


def test_every_volume_is_named_as_what_it_counts() -> None:
    *honoured, harmless = [named(cells[0]) for cells in rows(CONSTRAINTS, "volume")]
    assert sorted(name for names in honoured for name in names) == sorted(SUPPORTED_VOLUMES)
    assert harmless == sorted(HARMLESS_VOLUMES)


def test_every_field_that_is_refused_is_named() -> None:
    said = {name for cells in rows(CONSTRAINTS, "field") for name in named(cells[0])}
    assert said >= REFUSED


def test_every_room_of_the_architecture_is_there_and_every_one_is_described() -> None:
    described = {name for cells in rows("docs/architecture.md", "room") for name in named(cells[0])}
    source = ROOT / "src" / "peaks_scheduler"
    there = {path.name for path in source.glob("*.py")} | {
        f"{path.name}/" for path in source.iterdir() if path.is_dir()
    }
    assert described == {name for name in there if not name.startswith("__")}


def test_the_drawing_has_the_layers_that_are_checked() -> None:
    layers = tomllib.loads(text("pyproject.toml"))["tool"]["importlinter"]["contracts"][0]["layers"]
    checked = [name.removeprefix("peaks_scheduler.") for layer in layers for name in layer.split(" | ")]
    drawing = re.search(r"```\n(cli\n.*?)```", text("docs/architecture.md"), re.DOTALL)
    assert drawing is not None
    assert {name for name in checked if not re.search(rf"\b{name}\b", drawing[1])} == set()


# --- links ------------------------------------------------------------------------------------------------------------


def test_every_link_within_the_project_leads_somewhere() -> None:
    links = [
        (document, link)
        for document in DOCUMENTS
        for link in re.findall(r"\]\((?!https?://)([^)#]+)", document.read_text(encoding="utf-8"))
    ]
    assert links
    assert [link for document, link in links if not (document.parent / link).exists()] == []


def headings(document: Path) -> set[str]:
    """The headings of a page, as links name them."""
    titles = re.findall(r"^#+ (.*)", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_link_to_a_heading_finds_it() -> None:
    links = [
        (document, link, heading)
        for document in DOCUMENTS
        for link, heading in re.findall(r"\]\((?!https?://)([^)#]*)#([^)]+)\)", document.read_text(encoding="utf-8"))
    ]
    assert links
    lost = [
        (document.name, link, heading)
        for document, link, heading in links
        if heading not in headings(document.parent / link if link else document)
    ]
    assert lost == []
