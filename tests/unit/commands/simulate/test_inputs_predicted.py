"""``--nodes table:FILE``: predictors that were evaluated on a grid, as the true curves of nodes."""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from peaks_scheduler.commands.simulate.inputs.nodes import read_nodes, read_nodes_and_notes
from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.power.validity import flaw
from peaks_scheduler.simulation.cluster import SimulatedNode

HEADER = "model,cpu,inlet,watts"
# at 20 C 100, 140, 200 W; at 30 C 120, 160, 240 W
WARMER = ["a,0,20,100", "a,0.5,20,140", "a,1,20,200", "a,0,30,120", "a,0.5,30,160", "a,1,30,240"]
# falls by 4 W from half to three quarters of the load
FALLING = ["b,0,20,50", "b,0.5,20,84", "b,0.75,20,80", "b,1,20,90"]
FALLING_30 = [row.replace(",20,", ",30,") for row in FALLING]


def table(folder: Path, *rows: str, header: str = HEADER) -> str:
    file = folder / "predictions.csv"
    file.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return f"table:{file}"


def watts(text: str, *levels: float) -> list[float]:
    (node,) = read_nodes(text, 1)
    return [node.curve.watts(u) for u in levels]


def test_the_curve_is_the_slice_at_the_conditions_asked_for(tmp_path: Path) -> None:
    text = table(tmp_path, *WARMER)
    assert watts(f"{text}?inlet=20", 0.0, 0.25, 0.5, 1.0) == [100.0, 120.0, 140.0, 200.0]
    assert watts(f"{text}?inlet=30", 0.0, 0.25, 0.5, 1.0) == [120.0, 140.0, 160.0, 240.0]


def test_between_two_evaluated_conditions_it_is_linear(tmp_path: Path) -> None:
    assert watts(f"{table(tmp_path, *WARMER)}?inlet=22.5", 0.0, 0.5, 1.0) == [105.0, 145.0, 210.0]


def test_every_condition_is_interpolated_by_its_own(tmp_path: Path) -> None:
    """Watts are 100 cpu + 2 x + 30 y + x y: linear in each, so that interpolation is exact."""
    grid = itertools.product((0.0, 1.0), (-10.0, 10.0), (0.0, 1.0, 3.0))
    rows = [f"a,{u:g},{x:g},{y:g},{100 + 100 * u + 2 * x + 30 * y + x * y:g}" for u, x, y in grid]
    text = table(tmp_path, *rows, header="model,cpu,x,y,watts")
    assert watts(f"{text}?x=-5&y=2", 0.0, 1.0) == pytest.approx([140.0, 240.0])


def test_the_file_may_be_gzipped_and_its_columns_and_rows_in_any_order(tmp_path: Path) -> None:
    cells = [row.split(",") for row in reversed(WARMER)]
    lines = ["watts,inlet,model,cpu", *(f"{w},{t},{m},{u}" for m, u, t, w in cells)]
    file = tmp_path / "predictions.csv.gz"
    file.write_bytes(gzip.compress("\n".join(lines).encode()))
    assert watts(f"table:{file}?inlet=20", 0.0, 0.5, 1.0) == [100.0, 140.0, 200.0]


def test_a_table_without_conditions_needs_none(tmp_path: Path) -> None:
    text = table(tmp_path, "a,0,60", "a,1,120", header="model,cpu,watts")
    assert watts(text, 0.0, 1.0) == [60.0, 120.0]


def test_nodes_are_drawn_by_their_seed_and_have_the_size_that_is_said(tmp_path: Path) -> None:
    rows = [f"{name},{u},{20 + i + 10 * u}" for i, name in enumerate("abcdef") for u in (0, 1)]
    text = table(tmp_path, *rows, header="model,cpu,watts")
    nodes = read_nodes(f"{text}?count=4&seed=3&cores=16&memory_mib=65536", 1)
    assert nodes == read_nodes(f"{text}?count=4&seed=3&cores=16&memory_mib=65536", 2)
    assert len({node.name for node in nodes}) == 4
    assert {(node.cpu_cores, node.memory_mib) for node in nodes} == {(16.0, 65536.0)}


def test_all_models_come_once_in_their_order_unless_a_number_is_asked_for(tmp_path: Path) -> None:
    rows = [f"{name},{u},{20 + 10 * u}" for name in "cab" for u in (0, 1)]
    nodes = read_nodes(table(tmp_path, *rows, header="model,cpu,watts"), 1)
    assert [node.name for node in nodes] == ["model-c", "model-a", "model-b"]
    assert {node.kind for node in nodes} == {"model-c"}  # equal curves and sizes are machines of one kind


def test_a_second_node_of_a_model_is_never_called_as_another_model(tmp_path: Path) -> None:
    rows = [f"{name},{u},{20 + i + 10 * u}" for i, name in enumerate(("a", "a-2")) for u in (0, 1)]
    nodes = read_nodes(f"{table(tmp_path, *rows, header='model,cpu,watts')}?count=6", 1)
    assert len({node.name for node in nodes}) == 6


# --- what a network says that no machine does -------------------------------------------------------------------------


def test_a_slice_that_falls_is_made_level_by_the_least_change_and_counted(tmp_path: Path) -> None:
    """84 and 80 W become 82: the nearest curve that never falls has the mean of the two."""
    nodes, notes = read_nodes_and_notes(f"{table(tmp_path, *WARMER, *FALLING, *FALLING_30)}?inlet=20", 1)
    assert [nodes[1].curve.watts(u) for u in (0.0, 0.5, 0.75, 1.0)] == [50.0, 82.0, 82.0, 90.0]
    assert notes == ("1 of 2 models fell as load rises, made level there: by 2.00 W at most (model b)",)


def test_slices_that_never_fall_have_no_note(tmp_path: Path) -> None:
    assert read_nodes_and_notes(f"{table(tmp_path, *WARMER)}?inlet=20", 1)[1] == ()


NEGATIVE = ["n,0,20,-5.5", "n,1,20,80", "n,0,30,10", "n,1,30,90"]


def test_negative_watts_are_refused_with_their_number_where_they_count(tmp_path: Path) -> None:
    text = table(tmp_path, *WARMER, *NEGATIVE)
    with pytest.raises(ConfigurationError) as refused:
        read_nodes(f"{text}?inlet=20", 1)
    assert "1 of 2 models say less at these conditions: n (model n: -5.5 W at cpu 0)" in str(refused.value)
    assert "leave them out with without=n" in str(refused.value)
    assert len(read_nodes(f"{text}?inlet=30", 1)) == 2


def test_models_can_be_left_out(tmp_path: Path) -> None:
    nodes = read_nodes(f"{table(tmp_path, *WARMER, *NEGATIVE)}?inlet=20&without=n", 1)
    assert [node.name for node in nodes] == ["model-a"]


@pytest.mark.parametrize(
    ("rows", "query", "words"),
    [
        (WARMER, "", "expected a value for each condition of the table; missing: inlet (add &inlet=...)"),
        (WARMER, "?inlet=warm", "expected a number for inlet; got 'warm'"),
        (WARMER, "?inlet=nan", "expected a number for inlet; got 'nan'"),
        (WARMER, "?inlet=30.5", "expected inlet from 20 to 30, where model a was evaluated; got 30.5"),
        (WARMER, "?inlet=-20", "expected inlet from 20 to 30, where model a was evaluated; got -20"),
        (WARMER, "?inlet=20&inlte=3", "got 'inlte' (did you mean"),
        (WARMER, "?inlet=20&without=b", "expected models of the table for without; got 'b'"),
        (WARMER, "?inlet=20&without=a", "expected a model that is not left out"),
        (WARMER[:-1], "?inlet=20", "expected every combination of the inputs of model a once, 6 rows; it has 5"),
        ([*WARMER, WARMER[0]], "?inlet=20", "expected every combination of the inputs of model a once"),
        (["a,0,20,100", "a,0.9,20,140"], "?inlet=20", "expected model a at cpu from 0 to 1; it has 0 to 0.9"),
        (["a,0,20,100", "a,100,20,140"], "?inlet=20", "is it in percent?"),
        (["a,0,20,nan", "a,1,20,140"], "?inlet=20", "expected a number"),
        (["a,0,20,0", "a,1,20,0"], "?inlet=20", "model-a: expected a power between 0 and 100,000 W"),
    ],
)
def test_what_cannot_be_a_table_of_predictions_is_refused(
    tmp_path: Path, rows: list[str], query: str, words: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read_nodes(table(tmp_path, *rows) + query, 1)
    assert words in str(refused.value)


def test_a_condition_that_is_called_as_a_parameter_is_refused(tmp_path: Path) -> None:
    text = table(tmp_path, "a,0,1,100", "a,1,1,140", header="model,cpu,cores,watts")
    with pytest.raises(ConfigurationError, match="'cores' is a parameter: rename it"):
        read_nodes(text, 1)


# --- networks of a real site ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(test_data: Path) -> tuple[Sequence[SimulatedNode], Sequence[str]]:
    """105 networks with every temperature in the middle of its range."""
    return read_nodes_and_notes(f"table:{konohana(test_data)}?ambient=0.5&cpu1=0.5&cpu2=0.5", 1)


def konohana(test_data: Path) -> Path:
    return test_data / "wao" / "konohana_power.csv.gz"


def test_networks_of_a_site_become_power_curves(site: tuple[Sequence[SimulatedNode], Sequence[str]]) -> None:
    """Of their 105 slices one falls, as counted in the rows of the file."""
    nodes, (note,) = site
    assert [flaw(node.curve) for node in nodes] == [""] * 105
    assert note.startswith("1 of 105 models fell as load rises, made level there: by ")


def test_a_slice_at_points_of_the_grid_has_the_networks_own_watts(
    site: tuple[Sequence[SimulatedNode], Sequence[str]], test_data: Path
) -> None:
    """Rows of model 101 as they stand in the file; it is the first and does not fall."""
    rows = gzip.decompress(konohana(test_data).read_bytes()).decode().splitlines()
    cells = [row.split(",") for row in rows if row.startswith("101,")]
    middle = [each for each in cells if each[2:5] == ["0.5", "0.5", "0.5"]]
    levels = np.linspace(0.0, 1.0, 11)
    assert [site[0][0].curve.watts(u) for u in levels] == pytest.approx([float(row[5]) for row in middle])
