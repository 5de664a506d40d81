"""``predict -o``: a power model file that the daemon reads, and that never passes for a measurement."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from peaks_scheduler.commands.predict.model_file import write_file
from peaks_scheduler.commands.predict.node_curve import NodeCurve
from peaks_scheduler.power.curves import Piecewise
from peaks_scheduler.power.file import parse_models
from peaks_scheduler.power.models import PowerModels
from peaks_scheduler.sources.sensors.source import Reading
from tests.support.builders import NOW
from tests.support.predicted_nodes import answer, curve, refused


def written(path: Path, *nodes: NodeCurve) -> PowerModels:
    write_file(str(path), nodes, "peaks-scheduler predict")
    return parse_models(path.read_text(), str(path))


def test_the_file_has_the_curve_of_each_node_that_counts(tmp_path: Path) -> None:
    models = written(tmp_path / "m.yaml", curve("a"), refused("b"))
    assert {*models.by_name} == {"a"}
    assert models.by_name["a"].curve == Piecewise((0.0, 0.5, 1.0), (100.0, 130.0, 200.0))


def test_it_never_passes_for_a_measurement(tmp_path: Path) -> None:
    model = written(tmp_path / "m.yaml", curve("a")).by_name["a"]
    assert not model.measured
    assert model.origin == "file"


def test_its_scope_and_its_standby_are_those_of_the_model_below(tmp_path: Path) -> None:
    told = answer("a").model
    assert told is not None
    models = written(tmp_path / "m.yaml", curve("a", model=replace(told, scope="platform", standby_watts=7.0)))
    assert (models.by_name["a"].scope, models.by_name["a"].standby_watts) == ("platform", 7.0)


def test_a_standby_above_the_predicted_idle_power_is_left_out(tmp_path: Path) -> None:
    told = answer("a").model
    assert told is not None
    models = written(tmp_path / "m.yaml", curve("a", model=replace(told, standby_watts=150.0)))
    assert models.by_name["a"].standby_watts is None


def test_its_top_says_for_which_air_it_is(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    written(path, curve("a"), curve("b", readings={"inlet": Reading(21.0, NOW, "x"), "cpu1": Reading(60.0, NOW, "x")}))
    assert path.read_text().splitlines()[:2] == [
        "# peaks-scheduler predict",
        "# predicted, not measured, for the air as it was: inlet 21 to 24.5 celsius",
    ]


def test_watts_are_rounded_to_milliwatts_and_never_fall(tmp_path: Path) -> None:
    cpu = tuple(np.linspace(0.0, 1.0, 81).tolist())
    power = (*(100.0 + 1e-5 * i for i in range(80)), 200.0)
    told = answer("a").model
    assert told is not None
    found = (
        written(tmp_path / "m.yaml", curve("a", model=replace(told, curve=Piecewise(cpu, power)))).by_name["a"].curve
    )
    assert isinstance(found, Piecewise)
    assert found.power[:3] == (100.0, 100.0, 100.0)
    assert (np.diff(found.power) >= 0.0).all()
