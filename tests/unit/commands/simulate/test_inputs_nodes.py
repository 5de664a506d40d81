"""``--nodes``: a CSV of nodes, and servers drawn from published results."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.study import servers
from peaks_scheduler.commands.simulate.inputs.nodes import read_nodes
from peaks_scheduler.errors import ConfigurationError

HEADER = "name,cpu_cores,memory_mib,watts_0,watts_50,watts_100"


def csv(folder: Path, *rows: str, header: str = HEADER) -> str:
    file = folder / "nodes.csv"
    file.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return str(file)


def specpower(folder: Path, rows: int = 3) -> str:
    """A file of results as published: result k has 8k threads, idles at 40 + k watts and rises 10 watts a level."""
    levels = ["watts_idle", *(f"watts_{k}" for k in range(10, 101, 10))]
    lines = [",".join(["hw_vendor", "hardware_threads", "memory_gb", "hw_available", *levels])]
    for k in range(1, rows + 1):
        watts = [str(40 + k + 10 * level) for level in range(11)]
        lines.append(",".join(['"Maker, Inc"', f"{8 * k} (2 / core)", str(16 * k), f"Jun-20{10 + k}", *watts]))
    file = folder / "results.csv"
    file.write_text("\n".join(lines), encoding="utf-8")
    return str(file)


# --- CSV --------------------------------------------------------------------------------------------------------------


def test_a_node_has_its_size_and_the_power_between_two_levels_is_linear(tmp_path: Path) -> None:
    (node,) = read_nodes(csv(tmp_path, "a,8,16384,60,100,120"), 1)
    assert (node.name, node.cpu_cores, node.memory_mib) == ("a", 8.0, 16384.0)
    assert [node.curve.watts(u) for u in (0.0, 0.25, 0.5, 0.75, 1.0)] == [60.0, 80.0, 100.0, 110.0, 120.0]


def test_only_idle_and_full_power_are_needed(tmp_path: Path) -> None:
    (node,) = read_nodes(csv(tmp_path, "a,8,16384,60,120", header="name,cpu_cores,memory_mib,watts_0,watts_100"), 1)
    assert node.curve.watts(0.5) == 90.0


def test_columns_may_stand_in_any_order_and_others_are_passed_over(tmp_path: Path) -> None:
    header = "rack,watts_100,watts_5,watts_0,memory_mib,cpu_cores,name"
    (node,) = read_nodes(csv(tmp_path, "r1,120,63,60,1024,2,a", header=header), 1)
    assert [node.curve.watts(u) for u in (0.0, 0.05, 1.0)] == [60.0, 63.0, 120.0]


def test_standby_region_and_kind_are_optional_cell_by_cell(tmp_path: Path) -> None:
    header = f"{HEADER},standby_watts,region,kind"
    a, b = read_nodes(csv(tmp_path, "a,8,16384,60,100,120,5,north,big", "b,8,1024,6,10,12,,,", header=header), 1)
    assert (a.standby_watts, a.region, a.kind) == (5.0, "north", "big")
    assert (b.standby_watts, b.region, b.kind) == (None, "", "b")


def test_nodes_with_the_same_curve_and_size_are_of_one_kind(tmp_path: Path) -> None:
    rows = ("a,8,16384,60,100,120", "b,8,16384,60,100,120", "c,8,8192,60,100,120", "d,8,16384,60,100,121")
    assert [node.kind for node in read_nodes(csv(tmp_path, *rows), 1)] == ["a", "a", "c", "d"]


GOOD = "a,8,16384,60,100,120"


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([GOOD, "b,8,16384,60,,120"], "at most 100,000 in column 'watts_50'; it is empty"),
        ([GOOD, "b,8,16384,60,nan,120"], "line 3: expected a number"),
        ([GOOD, "b,8,16384,60,abc,120"], "got 'abc'"),
        ([GOOD, "b,-8,16384,60,100,120"], "line 3: expected a number above 0"),
        ([GOOD, "b,0,16384,60,100,120"], "line 3: expected a number above 0"),
        ([GOOD, "b,8000000,16384,60,100,120"], "is it in millicores?"),
        ([GOOD, "b,8,1e9,60,100,120"], "line 3: expected a number above 0 and at most 67,108,864"),
        ([GOOD, "b,8,16384,60,55,120"], "line 3: expected a curve that never falls; it falls between 0 and 0.5"),
        ([GOOD, "b,8,16384,60,100,200000"], "at most 100,000 in column 'watts_100'; got '200000'"),
        ([GOOD, "b,8,16384,0,0,0"], "line 3: expected a power between 0 and 100,000 W that is not 0 throughout"),
        ([GOOD, "a,4,8192,60,100,120"], "line 3: expected each node once; 'a' is in line 2 as well"),
        ([GOOD, ",4,8192,60,100,120"], "line 3: expected a text in column 'name'; it is empty"),
        ([GOOD, "b,8,16384,60,100"], "line 3: expected 6 cells, as in the header; got 5"),
        ([GOOD, "b,8,16384,60,100,120,7"], "line 3: expected 6 cells, as in the header; got 7"),
        ([GOOD, "b,8,16.384,5,60,100,120"], "line 3: expected 6 cells"),
        ([], "expected rows below the header; there is none"),
    ],
)  # fmt: skip
def test_a_bad_row_is_named_with_its_file_and_line(tmp_path: Path, rows: list[str], words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_nodes(csv(tmp_path, *rows), 1)
    assert str(caught.value).startswith(f"--nodes {tmp_path}/nodes.csv: ")
    assert words in str(caught.value)


def test_lines_are_counted_as_an_editor_does(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="line 5"):
        read_nodes(csv(tmp_path, "# made by hand", "", "a,8,16384,60,100,120", "b,8,16384,60,x,120"), 1)


def test_missing_columns_are_all_named(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match="missing: memory_mib, watts_100; it has 'name', 'cpu_cores', 'watts_0'"
    ):
        read_nodes(csv(tmp_path, "a,8,60", header="name,cpu_cores,watts_0"), 1)


def test_a_column_that_stands_twice_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="each column once; 'watts_0' is there twice"):
        read_nodes(csv(tmp_path, "a,8,1,60,61,120", header="name,cpu_cores,memory_mib,watts_0,watts_0,watts_100"), 1)


@pytest.mark.parametrize("header", ["", ",,", "# nothing"])
def test_an_empty_file_is_an_error(tmp_path: Path, header: str) -> None:
    with pytest.raises(ConfigurationError, match="the file is empty"):
        read_nodes(csv(tmp_path, header=header), 1)


def test_a_kind_has_one_curve(tmp_path: Path) -> None:
    rows = ("a,8,16384,60,100,120,big", "b,8,16384,60,100,130,big")
    with pytest.raises(ConfigurationError, match=r"line 3: expected one power curve for the kind 'big'; .* line 2"):
        read_nodes(csv(tmp_path, *rows, header=f"{HEADER},kind"), 1)


@pytest.mark.parametrize("text", ["nodes.csv", "specpower:nodes.csv"])
def test_a_file_that_is_not_there_is_an_error(text: str) -> None:
    with pytest.raises(
        ConfigurationError, match=r"--nodes nodes\.csv: expected a readable CSV file; got: .*No such file"
    ):
        read_nodes(text, 1)


@pytest.mark.parametrize("text", ['{"kind": "List", "items": []}', "apiVersion: v1\nkind: List\nitems: []\n"])
def test_a_dump_of_a_cluster_is_not_taken_for_a_table(tmp_path: Path, text: str) -> None:
    file = tmp_path / "cluster"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match="dump of a cluster"):
        read_nodes(str(file), 1)


# --- SPECpower --------------------------------------------------------------------------------------------------------


def test_a_server_has_its_hardware_threads_and_gigabytes(tmp_path: Path) -> None:
    first, *_, last = read_nodes(f"specpower:{specpower(tmp_path)}", 1)
    assert (first.cpu_cores, first.memory_mib, first.curve.watts(0.0), first.curve.watts(1.0)) == (8, 16384, 41, 141)
    assert (last.cpu_cores, last.memory_mib, last.curve.watts(0.35)) == (24, 49152, 78)


def test_no_server_is_drawn_twice_while_there_are_others(tmp_path: Path) -> None:
    nodes = read_nodes(f"specpower:{specpower(tmp_path)}?count=6&seed=2", 1)
    halves = [sorted(node.cpu_cores for node in nodes[k : k + 3]) for k in (0, 3)]
    assert halves == [[8, 16, 24], [8, 16, 24]]
    assert len({node.name for node in nodes}) == 6
    assert len({node.kind for node in nodes}) == 3


def test_the_seed_of_the_text_counts_before_the_seed_of_the_run(tmp_path: Path) -> None:
    file = specpower(tmp_path, 40)
    assert read_nodes(f"specpower:{file}?count=20&seed=3", 1) == read_nodes(f"specpower:{file}?count=20", 3)
    assert read_nodes(f"specpower:{file}?count=20", 1) != read_nodes(f"specpower:{file}?count=20", 3)


def test_since_takes_servers_of_that_year_and_later(tmp_path: Path) -> None:
    assert [node.cpu_cores for node in read_nodes(f"specpower:{specpower(tmp_path)}?since=2012", 1)] == [16, 24]


def test_kinds_take_turns(tmp_path: Path) -> None:
    nodes = read_nodes(f"specpower:{specpower(tmp_path)}?count=5&kinds=2&threads=16", 1)
    assert [node.kind for node in nodes] == [nodes[i % 2].kind for i in range(5)]
    assert {node.cpu_cores for node in nodes} == {16, 24}


def test_standby_memory_and_regions_hold_for_every_node(tmp_path: Path) -> None:
    nodes = read_nodes(f"specpower:{specpower(tmp_path)}?standby=5&regions=a,b&memory_mib=4096", 1)
    assert [(node.standby_watts, node.region, node.memory_mib) for node in nodes] == [
        (5.0, "a", 4096.0),
        (5.0, "b", 4096.0),
        (5.0, "a", 4096.0),
    ]


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ("cuont=5", r"got 'cuont' \(did you mean 'count'\?\)"),
        ("count=0", "expected a whole number from 1 to 100,000 for count; got '0'"),
        ("count=x", "expected a whole number"),
        ("count", "expected NAME=VALUE"),
        ("count=5&count=6", "expected count once"),
        ("since=2030", "expected a server since 2030"),
        ("kinds=9", "expected at most 3 kinds"),
        ("standby=-5", "expected a number from 0 to 100000 for standby; got '-5'"),
        ("regions=a,,b", "expected names with commas"),
    ],
)
def test_a_bad_parameter_is_named(tmp_path: Path, parameters: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        read_nodes(f"specpower:{specpower(tmp_path)}?{parameters}", 1)


def test_an_unknown_form_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"got 'specpwer' \(did you mean 'specpower'\?\)"):
        read_nodes("specpwer:results.csv", 1)


def test_the_published_results_are_all_read(test_data: Path) -> None:
    nodes = read_nodes(f"specpower:{test_data / servers.FILE}", 1)
    assert len(nodes) == 498  # rows of the file


def test_the_servers_of_the_study_are_drawn(test_data: Path) -> None:
    file = test_data / servers.FILE
    study = servers.drawn(servers.read(file, 2013), 50, 7)
    nodes = read_nodes(f"specpower:{file}?count=50&seed=7&since=2013", 1)
    assert [(node.cpu_cores, node.curve) for node in nodes] == [(each.threads, each.curve) for each in study]
