"""Air and cooling in the answers of ``explain``: what it applies, and what it says of the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from peaks_scheduler.cli import main
from peaks_scheduler.commands.explain.conditions import apply_conditions, not_asked
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.power.curves import Linear
from peaks_scheduler.power.models import PowerModel
from peaks_scheduler.power.temperature import TemperatureTerm
from peaks_scheduler.settings.loading import load_settings
from peaks_scheduler.settings.settings import Settings
from tests.support.builders import NOW, decide, ledger, node, pod, workers

WARM = PowerModel("*", Linear(100.0, 160.0), temperature=TemperatureTerm("inlet", 22.0, 1.0, 3.0, hottest=32.0))
TABLE = "{rackLabel: rack, inlet: [20, 30], rackWatts: [0, 150, 1000], coolingWatts: [[0, 30, 540], [0, 75, 840]]}"


def configured(text: str) -> Settings:
    return load_settings(text, "", {}, {})[0]


def warm() -> Ledger:
    return ledger(*workers(2), power=WARM)


def test_constants_are_applied_and_of_the_others_a_hot_temperature_is_named() -> None:
    known = warm()
    notes = apply_conditions(known, configured("sensors: {values: {worker-0: {inlet: 25.0}}}"), NOW)
    assert notes == [
        "temperature not known, so a hot one counts for the model [celsius, in brackets], unless sensors.values "
        "says it: worker-1 (37)"
    ]
    assert [model.celsius for model in known.snapshot().models if model] == [25.0, 37.0]


def test_where_no_model_asks_for_the_temperature_nothing_is_said() -> None:
    assert apply_conditions(ledger(*workers(2), power=Linear(100.0, 160.0)), configured("{}"), NOW) == []


def test_a_constant_overhead_is_in_the_jump() -> None:
    known = ledger(*workers(1, cpu="8"), power=Linear(100.0, 160.0))
    assert apply_conditions(known, configured("power: {overhead: 1.4}"), NOW) == []
    placed = decide(pod(cpu="1"), known)
    assert (placed.jump_watts, placed.overhead) == (pytest.approx(10.5), 1.4)


def test_a_cooling_table_is_applied_and_what_it_does_not_know_is_named() -> None:
    known = ledger(node("a0", labels={"rack": "a"}), node("a1", labels={"rack": "a"}), power=Linear(100.0, 160.0))
    notes = apply_conditions(known, configured(f"power: {{overhead: {TABLE}}}"), NOW)
    # 200 W, on the second piece of the hottest row
    assert decide(pod(), known).overhead == 1.9
    words = "overhead of cooling, by rack: a: inlet temperature not known, the row that costs most counts"
    assert notes == [words]


SERVER = "predictors: {servers: [{nodes: [worker-0], protocol: v2, url: 'http://p:8080', model: m}]}"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("sensors: {queries: {inlet: up}}", "a running scheduler asks sensors that this answer does not ask"),
        (SERVER, "a running scheduler asks predictors that"),
        (f"{SERVER}\nsensors: {{ipmiExporter: {{}}}}", "a running scheduler asks sensors and predictors that"),
    ],
)
def test_what_a_running_scheduler_asks_is_said(config: str, words: str) -> None:
    assert not_asked(warm(), configured(config)).startswith(words)


@pytest.mark.parametrize("config", ["{}", "sensors: {values: {worker-0: {inlet: 25.0}}}"])
def test_and_nothing_where_it_asks_nothing(config: str) -> None:
    assert not_asked(warm(), configured(config)) == ""


def test_nodes_that_carry_wao_s_labels_have_a_predictor() -> None:
    known = ledger(node("worker-0", labels={"tensorflow/host": "10.0.0.1"}), power=WARM)
    assert "predictors" in not_asked(known, configured("{}"))
    assert not_asked(known, configured("predictors: {nodeLabels: false}")) == ""


def test_the_command_answers_with_the_conditions(tmp_path: Path) -> None:
    (tmp_path / "cluster.yaml").write_text(yaml.safe_dump_all([*workers(1, cpu="8"), pod(cpu="1")]))
    (tmp_path / "models.yaml").write_text(
        "models: [{nodeSelector: {}, cpu: ratio, curve: {kind: linear, idle: 100, max: 160}}]"
    )
    (tmp_path / "config.yaml").write_text("power: {overhead: 1.4}\nsensors: {queries: {inlet: up}}")
    files = ("--from", "cluster.yaml", "--power-models", "models.yaml", "--config", "config.yaml")
    asked = ["explain", "default/web-0", *(str(tmp_path / each) if "." in each else each for each in files)]
    table = CliRunner().invoke(main, asked)
    assert "with overhead 1.4" in table.stdout
    assert "note: a running scheduler asks sensors" in table.stdout
    answer: Any = json.loads(CliRunner().invoke(main, [*asked, "--output", "json"]).stdout)["default/web-0"]
    verdict = answer["nodes"]["worker-0"]
    assert (verdict["jumpWatts"], verdict["overhead"], verdict["modelFrom"]) == (10.5, 1.4, "file")
    assert answer["notes"][0].startswith("a running scheduler asks sensors")
