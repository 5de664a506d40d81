"""CSV files as meters, spreadsheets, databases and dashboards write them, read by ``fit``.

The machine draws 180 W + 240 W * u. Each test writes its measurements as some program would, and compares idle and full
power of the result. An ambiguous file has to be refused, with the option to give: a wrong reading is another machine.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from peaks_scheduler.cli import main

COUNT = 90
IDLE, SPAN = 180.0, 240.0  # [W]
START = datetime(2026, 11, 20, 9)
BY_COLUMN = ("--cpu-column", "cpu", "--power-column", "watts")
TIMED = (*BY_COLUMN, "--time-column", "time")
Row = Callable[[str, float, float], str]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def use(i: int) -> float:
    """[%] between 3 and 97."""
    return 50.0 - 47.0 * math.cos(i / 7.0)


def power(i: int) -> float:
    """[W] with a meter's scatter of half a watt."""
    return IDLE + SPAN * use(i) / 100.0 + 0.5 * math.sin(37.0 * i)


def lines(row: Row, form: str = "%Y-%m-%dT%H:%M:%S", end: str = "\n") -> str:
    """A line a minute."""
    return "".join(row((START + timedelta(minutes=i)).strftime(form), use(i), power(i)) + end for i in range(COUNT))


def german(value: float, digits: int = 1) -> str:
    return f"{value:,.{digits}f}".translate(str.maketrans(",.", ".,"))


def run(text: str | bytes, *args: str) -> Result:
    Path("m.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    result = CliRunner().invoke(main, ["fit", "--csv", "m.csv", *args, "--model", "linear", "--output", "json"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def learned(text: str | bytes, *args: str) -> tuple[dict[str, Any], str]:
    """The nodes, and the notes."""
    result = run(text, *args)
    assert result.exit_code in (0, 1), result.stderr
    return json.loads(result.stdout)["nodes"], result.stderr


def is_the_machine(text: str | bytes, *args: str, times: float = 1.0) -> str:
    """Checks that the machine is found, ``times`` as large; returns the notes."""
    nodes, notes = learned(text, *args)
    for found in nodes.values():
        assert found["verdict"] == "good", found["reasons"]
        assert found["idle"] == pytest.approx(IDLE * times, rel=0.02)
        assert found["max"] == pytest.approx((IDLE + SPAN) * times, rel=0.02)
    return notes


def refusal(text: str | bytes, *args: str) -> str:
    result = run(text, *args)
    assert result.exit_code == 2, result.output
    return result.stderr


# --- thousands and fractions ------------------------------------------------------------------------------------------

HEADER = "time;cpu;watts\n"
GROUPED: dict[str, tuple[Row, float]] = {
    # the row, and its power as a multiple of the machine's
    "1.541,3 (German)": (lambda t, u, w: f"{t};{german(u)};{german(w * 10)}", 10.0),
    "1,541.3": (lambda t, u, w: f"{t};{u:.1f};{w * 10:,.1f}", 10.0),
    "1,541 beside 40.8": (lambda t, u, w: f"{t};{u:.1f};{w * 10:,.0f}", 10.0),
    "1.541 beside 40,8": (lambda t, u, w: f"{t};{german(u)};{german(w * 10, 0)}", 10.0),
    "some above 1,000": (lambda t, u, w: f"{t};{u:.1f};{w * 3:,.0f}", 3.0),
    "1 541 (narrow blanks)": (lambda t, u, w: f"{t};{u:.1f};{f'{w * 10:,.0f}'.replace(',', chr(0x202F))}", 10.0),
    "1 541,3 (blanks)": (lambda t, u, w: f"{t};{german(u)};{german(w * 10).replace('.', chr(0xA0))}", 10.0),
    "1'541.3 (Swiss)": (lambda t, u, w: f"{t};{u:.1f};{f'{w * 10:,.1f}'.replace(',', chr(39))}", 10.0),
    "187,4": (lambda t, u, w: f"{t};{german(u)};{w:.1f}".replace(".", ","), 1.0),
    "187.432, all of them": (lambda t, u, w: f"{t};{u + 1:.3f};{w + 2.4:.3f}", 1.0),
    "1.874e+02": (lambda t, u, w: f"{t};{u:.3e};{w:.5e}", 1.0),
}


@pytest.mark.parametrize(("row", "times"), GROUPED.values(), ids=GROUPED)
def test_digits_are_grouped_as_the_file_groups_them(row: Row, times: float) -> None:
    is_the_machine(HEADER + lines(row), *TIMED, times=times)


def test_a_comma_in_quotes_that_groups_digits_is_said() -> None:
    notes = is_the_machine(
        "time,cpu,watts\n" + lines(lambda t, u, w: f'{t},{u:.1f},"{w * 10:,.0f}"'), *TIMED, times=10.0
    )
    assert "column 'watts': commas group digits, '1,8" in notes


AMBIGUOUS: dict[str, tuple[Row, str, float]] = {
    "1,541 beside whole numbers": (lambda t, u, w: f"{t};{u:.0f};{w * 10:,.0f}", "point", 10.0),
    "1.541 beside whole numbers": (lambda t, u, w: f"{t};{u:.0f};{german(w * 10, 0)}", "comma", 10.0),
    "987 and 1.541": (lambda t, u, w: f"{t};{u:.0f};{german(w * 3, 0)}", "comma", 3.0),
    "987 W and 1.541 W": (lambda t, u, w: f"{t};{u:.0f};{german(w * 3, 0)} W", "comma", 3.0),
}


@pytest.mark.parametrize(("row", "mark", "times"), AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_a_number_that_may_be_two_is_refused_until_it_is_said(row: Row, mark: str, times: float) -> None:
    text = HEADER + lines(row)
    said = refusal(text, *TIMED)
    assert "column 'watts': expected numbers that can mean one thing; got '1" in said
    assert "say --decimal point" in said
    is_the_machine(text, *TIMED, "--decimal", mark, times=times)


def test_points_and_commas_that_are_both_decimal_are_refused_with_their_lines() -> None:
    text = HEADER + lines(lambda t, u, w: f"{t};{u:.1f};{w:.1f}").replace(";187.", ";187,", 1)
    said = refusal(text, *TIMED)
    assert "points and commas are decimal in turn" in said
    assert "'187,2' in line 2 and '188.0' in line 3" in said


def test_numbers_with_commas_that_are_not_quoted_are_refused() -> None:
    """Only values above 999 W have a comma: leaving them out would bend the curve."""
    said = refusal("time,cpu,watts\n" + lines(lambda t, u, w: f"{t},{u:.1f},{w * 3:,.0f}"), *TIMED)
    assert "rows have another number of cells than the header's 3" in said
    assert "Put cells with a comma in quotes" in said
    # and so where a comma at the header's end makes room for what comes behind the comma
    text = "time,cpu,watts,\n" + lines(lambda t, u, w: f"{t},{u:.1f},{w * 3:,.0f}")
    assert "another number of cells" in refusal(text, *TIMED)


# --- units ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "row",
    [
        lambda t, u, w: f"{t};{u:.1f} %;{w:.1f} W",
        lambda t, u, w: f"{t};{u:.1f}%;{w / 1000:.4f}kW",
        lambda t, u, w: f"{t};{u:.1f} %;{w * 1000:.0f} mW",
        lambda t, u, w: f"{t};{u:.1f} %;{german(w)} Watt",
        lambda t, u, w: f"{t};{u:.1f} %;" + (f"{w:.1f} W" if w < 300 else f"{w / 1000:.4f} kW"),
        lambda t, u, w: f"{t};{u:.1f} %;{w * 3.412142:.1f} BTU/h",
    ],
    ids=["W", "kW", "mW", "Watt", "W and kW", "BTU/h"],
)
def test_cells_may_have_units_of_their_own(row: Row) -> None:
    if "Watt" in row("", 1.0, 1.0):
        row = lambda t, u, w: f"{t};{german(u)} %;{german(w)} Watt"  # noqa: E731 - one language a file
    notes = is_the_machine(HEADER + lines(row), *TIMED)
    assert "column 'cpu': units in the cells" in notes
    assert "column 'watts': units in the cells" in notes


def test_thousandths_of_a_core_are_cores_as_kubectl_prints_them() -> None:
    text = HEADER + lines(lambda t, u, w: f"{t};{u * 80:.0f}m;{w:.1f}")
    is_the_machine(text, *TIMED, "--cores", "8")
    assert "expected --cores N as well" in refusal(text, *TIMED)


def test_units_in_some_cells_only_are_refused() -> None:
    said = refusal(HEADER + lines(lambda t, u, w: f"{t};{u:.1f};{w:.1f}" + (" W" if w > 300 else "")), *TIMED)
    assert "column 'watts': expected one unit, in all cells or in none; got '" in said


def test_an_option_that_says_another_unit_than_the_cells_is_refused() -> None:
    said = refusal(HEADER + lines(lambda t, u, w: f"{t};{u:.1f};{w:.1f} W"), *TIMED, "--power-unit", "kilowatts")
    assert "its cells have the unit watts: leave the option out" in said


@pytest.mark.parametrize(
    ("column", "factor"),
    [
        ("Power (kW)", 1e-3),
        ("power_kw", 1e-3),
        ("PowerInWatts", 1.0),
        ("power_mw", 1e3),
        ("Leistung [W]", 1.0),
        ("BTU/hr", 3.412142),
        ("power_uw", 1e6),
    ],
)
def test_the_unit_in_a_columns_name_counts(column: str, factor: float) -> None:
    text = f"time;cpu;{column}\n" + lines(lambda t, u, w: f"{t};{u:.1f};{w * factor:.6g}")
    is_the_machine(text, "--cpu-column", "cpu", "--power-column", column)


def metered(per_joule: float, digits: int = 9) -> list[str]:
    """The counter of an energy meter, minute by minute."""
    shown, total = [], 1e3 / per_joule
    for i in range(COUNT):
        total += power(i) * 60.0
        shown.append(f"{total * per_joule:.{digits}f}")
    return shown


def meter(column: str, per_joule: float) -> str:
    shown = iter(metered(per_joule))
    return f"time;cpu;{column}\n" + lines(lambda t, u, w: f"{t};{u:.2f};{next(shown)}")


@pytest.mark.parametrize(
    ("column", "joules", "more"),
    [
        ("energy_wh", 3600.0, ()),
        ("Energy [kWh]", 3.6e6, ()),
        ("kWh", 3.6e6, ()),
        ("total_kilowatt_hours", 3.6e6, ()),
        ("EnergyWh", 3600.0, ()),
        ("watt-hours", 3600.0, ()),
        ("energy_mwh", 3.6, ()),
        ("node_joules_total", 1.0, ()),
        ("meter", 3600.0, ("--power-unit", "watt-hours")),
        ("meter", 3.6e6, ("--power-unit", "kilowatt-hours")),
        # without a unit: only one unit gives a possible machine
        ("energy_total", 1.0, ()),
        ("energy_total", 3600.0, ()),
        ("energy_total", 3.6e6, ()),
    ],
)
def test_a_counter_of_energy_is_read_in_its_unit(column: str, joules: float, more: tuple[str, ...]) -> None:
    columns = ("--cpu-column", "cpu", "--power-column", column, "--time-column", "time")
    (found,) = learned(meter(column, 1.0 / joules), *columns, *more)[0].values()
    # the energy of a minute beside the use at its ends: not sharp, but of that size
    assert found["idle"] == pytest.approx(IDLE, rel=0.1)
    assert found["max"] == pytest.approx(IDLE + SPAN, rel=0.1)


def test_a_counter_that_may_count_two_things_is_refused_until_it_is_said() -> None:
    """A rate of 0.0005 a second: 1.8 W by watt-hours, 1800 W by kilowatt-hours."""
    shown = iter(metered(6.0 / 3.6e6))
    text = "time;cpu;energy_total\n" + lines(lambda t, u, w: f"{t};{u:.2f};{next(shown)}")
    columns = ("--cpu-column", "cpu", "--power-column", "energy_total", "--time-column", "time")
    said = refusal(text, *columns)
    assert "its name says no unit: expected one of watt-hours (" in said
    assert "or kilowatt-hours (" in said
    assert "say --power-unit" in said
    (found,) = learned(text, *columns, "--power-unit", "kilowatt-hours")[0].values()
    assert found["max"] == pytest.approx(6 * (IDLE + SPAN), rel=0.1)


def test_energy_of_each_interval_is_not_taken_for_power() -> None:
    text = "time;cpu;energy_wh\n" + lines(lambda t, u, w: f"{t};{u:.1f};{w / 60:.3f}")
    said = refusal(text, "--cpu-column", "cpu", "--power-column", "energy_wh", "--time-column", "time")
    assert "its name says watt-hours, but it does not count up" in said


def test_apparent_power_is_not_taken_for_power() -> None:
    text = "time;cpu;Power (VA)\n" + lines(lambda t, u, w: f"{t};{u:.1f};{w:.1f}")
    columns = ("--cpu-column", "cpu", "--power-column", "Power (VA)")
    assert "apparent power" in refusal(text, *columns)
    is_the_machine(text, *columns, "--power-unit", "watts")


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (1e-3, "0.42 W at full load: expected 1 to 20,000 W of a machine: are these kilowatts (420 W)"),
        (1 / 3600.0, "or watt-hours (420 W)? Then say --power-unit kilowatts or watt-hours"),
        (1 / 3.6e6, "kilowatt-hours (420 W)? Then say --power-unit kilowatt-hours, or multiply by 3.6e+06 in"),
        (100.0, "4.2e+04 W at full load: expected 1 to 20,000 W of a machine: are these milliwatts (42 W)?"),
    ],
    ids=["kilowatts", "watt-hours", "kilowatt-hours", "too much"],
)
def test_power_that_no_machine_has_is_refused_with_the_unit_that_it_is_likely_in(factor: float, words: str) -> None:
    text = HEADER + lines(lambda t, u, w: f"{t};{u:.1f};{w * factor:.9g}")
    nodes, _ = learned(text, *TIMED)
    (found,) = nodes.values()
    assert found["verdict"] == "refused"
    assert words in found["reasons"][0]
    assert run(text, *TIMED).exit_code == 1


def test_a_counter_said_to_be_joules_that_counts_watt_hours_is_refused() -> None:
    columns = ("--cpu-column", "cpu", "--power-column", "e", "--time-column", "time", "--power-unit", "joules")
    nodes, _ = learned(meter("e", 1 / 3600.0), *columns)
    (found,) = nodes.values()
    assert found["verdict"] == "refused"
    assert "say --power-unit kilowatts or watt-hours" in found["reasons"][0]


# --- what is around the table -----------------------------------------------------------------------------------------


def plain(t: str, u: float, w: float) -> str:
    return f"{t},{u:.1f},{w:.1f}"


TABLE = "time,cpu,watts\n" + lines(plain)
AROUND = {
    "a preamble": ("Exported by PDU manager, v2\nDevice,rack 7\n\n" + TABLE, "the header is line 4; 2 lines above it"),
    "a preamble as wide as the table": ("Report,,\nrack,7,x\n" + TABLE, "the header is line 3; 2 lines above it"),
    "a preamble with another delimiter": ("Report;rack 7;a;b;c\n" + TABLE, "1 line above it, left out"),
    "comments": (
        "# a\n#b,c,d\n" + TABLE.replace("\n", "\n# in between, with a comma\n", 5),
        "7 lines that begin with #",
    ),
    "a header behind a #": ("#" + TABLE, ""),
    "a header behind # and a blank": ("# " + TABLE, ""),
    "Excel's separator": ("sep=,\n" + TABLE, ""),
    "empty lines": (TABLE.replace("\n", "\n\n"), ""),
    "a line of commas": (TABLE + ",,\n,,\n", ""),
    "commas at the end": (TABLE.replace("\n", ",\n"), ""),
    "totals": (TABLE + "\nAverage,45.1,290.0\nTotal:,,26100\n", "2 rows of sums or means at the end, left out"),
    "a footer": (TABLE + "(90 rows)\n", "1 line with a single cell, left out"),
    "the header again": (TABLE + TABLE.replace("2026-11-20", "2026-11-21"), "1 line with the header again, left out"),
    "a header in quotes over two lines": (TABLE.replace("watts", '"watts\n"', 1), ""),
    "a column without a name in front": ("\n".join(f",{each}" for each in TABLE.split("\n")), ""),
    "one line that is broken": (TABLE + "2026-11-20T23:00:00,1,2,3\n", "1 row with more cells than the header's 3"),
}


@pytest.mark.parametrize(("text", "note"), AROUND.values(), ids=AROUND)
def test_what_is_around_the_table_is_passed_over_and_said(text: str, note: str) -> None:
    assert note in is_the_machine(text, *TIMED)
    assert note in is_the_machine(text.replace("\n", "\r\n"), *TIMED)


def test_a_total_is_no_node() -> None:
    text = "node,cpu,watts\n" + lines(lambda t, u, w: f"n,{u:.1f},{w:.1f}") + "Total,4059,26100\n"
    nodes, _ = learned(text, *BY_COLUMN, "--node-column", "node")
    assert list(nodes) == ["n"]


@pytest.mark.parametrize("delimiter", [";", "\t", "|", "  "])
def test_the_delimiter_is_that_of_the_header(delimiter: str) -> None:
    is_the_machine("made by x, and y; at z\n" + TABLE.replace(",", delimiter), *TIMED)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            lines(plain),
            "m.csv: expected a header line with the columns' names; got values in line 1, '2026-11-20T09:00",
        ),
        (lines(lambda t, u, w: f"{u:.1f},{w:.1f}"), "expected a header line with the columns' names"),
        (TABLE + "time,watts,cpu\n", "line 92 is the header of another one, in another order: split it"),
        (TABLE.replace("watts", "cpu", 1), "--cpu-column 'cpu': expected one such column; got 2 (columns 2, 3)"),
        (TABLE.replace("cpu", "use", 1), "--cpu-column 'cpu': expected a column of the file"),
        (TABLE.replace(".", "?"), "column 'cpu': expected numbers; got '"),
        ("# nothing\n", "expected a column of the file; it has"),
        ("\n,,\n", "m.csv: expected a header line and rows"),
        (TABLE + '2026-11-20T23:00:00,"50.0,300.0\n', "the quote that begins in line 92 or below is never closed"),
        ("time,cpu,watts\n" + "x" * 200_000, "expected CSV below line 1; it is none: field larger than field limit"),
        ("x" * 200_000, "expected a header line and rows; the file has none that can be read as CSV"),
    ],
    ids=[
        "no header",
        "no header, numbers",
        "two tables",
        "twice",
        "missing",
        "unreadable",
        "comments alone",
        "blanks",
        "quote",
        "one cell",
        "no line",
    ],
)
def test_a_file_that_is_no_table_is_told(text: str, words: str) -> None:
    assert words in refusal(text, *TIMED)


def test_many_cells_that_cannot_be_read_are_an_error() -> None:
    """The rest would be a biased sample: here, the lower half of the load."""
    text = "time,cpu,watts\n" + lines(lambda t, u, w: f"{t},{u:.1f}," + (f"{w:.1f}" if w < 300 else "over range"))
    assert "cells cannot be read: expected numbers; got 'over range' in line" in refusal(text, *TIMED)


def test_missing_values_have_many_names() -> None:
    words = iter(["NaN", "-", "n/a", "#N/A", "null", "—", "No Data", ""] * 20)
    is_the_machine(
        "time,cpu,watts\n" + lines(lambda t, u, w: f"{t},{u:.1f},{next(words) if w > 400 else f'{w:.1f}'}"), *TIMED
    )


# --- time -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form",
    [
        "%Y-%m-%d %H:%M:%S",
        "%Y/%m/%d %H:%M",
        "%d.%m.%Y %H:%M:%S",
        "%d/%m/%Y %H:%M:%S",
        "%m/%d/%Y %I:%M:%S %p",
        "%d %b %Y %H:%M:%S",
        "%b %d %Y %H:%M",
        "%a %d %B %Y %H:%M:%S",
        "%Y%m%d%H%M%S",
        "%Y%m%dT%H%M%SZ",
        "%Y-%m-%dT%H:%M:%S+0100",
        "%Y-%m-%dT%H:%M:%S.250000000Z",
    ],
)
def test_dates_come_in_many_forms(form: str) -> None:
    """With a counter, wrong seconds would give wrong watts."""
    shown = iter(metered(1.0, 1))
    text = "time;cpu;joules\n" + lines(lambda t, u, w: f"{t};{u:.2f};{next(shown)}", form)
    columns = ("--cpu-column", "cpu", "--power-column", "joules", "--time-column", "time")
    (found,) = learned(text, *columns)[0].values()
    assert found["max"] == pytest.approx(IDLE + SPAN, rel=0.1)


def test_a_day_that_may_be_a_month_is_refused_until_it_is_said() -> None:
    text = "time,cpu,watts\n" + lines(plain, "03/04/2026 %H:%M")
    assert "'03/04/2026 09:00' in line 2: say --date-order day-first or month-first" in refusal(text, *TIMED)
    assert "is 2026-04-03, day-first" in is_the_machine(text, *TIMED, "--date-order", "day-first")
    assert "is 2026-03-04, month-first" in is_the_machine(text, *TIMED, "--date-order", "month-first")


def test_days_and_months_that_contradict_one_another_are_refused() -> None:
    text = "time,cpu,watts\n" + lines(plain, "20/04/2026 %H:%M") + "04/20/2026 10:00,50,300\n"
    assert "'20/04/2026 09:00' in line 2 and '04/20/2026 10:00' in line 92" in refusal(text, *TIMED)


def test_excels_days_are_not_taken_for_seconds() -> None:
    days = iter(46346.375 + i / 1440 for i in range(COUNT))
    said = refusal("time,cpu,watts\n" + lines(lambda t, u, w: f"{next(days):.6f},{u:.1f},{w:.1f}"), *TIMED)
    assert "look like Excel's days since 1900" in said


# --- databases and dashboards -----------------------------------------------------------------------------------------

ANNOTATIONS = (
    "#group,false,false,true,true,false,false,true,true,true\n"
    "#datatype,string,long,dateTime:RFC3339,dateTime:RFC3339,dateTime:RFC3339,double,string,string,string\n"
    "#default,_result,,,,,,,,\n"
    ",result,table,_start,_stop,_time,_value,_field,_measurement,host\n"
)
FROM_INFLUX = ("--cpu-column", "usage_active", "--power-column", "power", "--time-column", "_time")


def series(field: str, measurement: str, host: str, table: int = 0) -> str:
    values = lines(lambda t, u, w: f"{t}Z,{u if measurement == 'cpu' else w:.1f}").split()
    return "".join(
        f",,{table},2026-11-20T00:00:00Z,2026-11-21T00:00:00Z,{each},{field},{measurement},{host}\n" for each in values
    )


CPU, IPMI = series("usage_active", "cpu", "a"), series("power", "ipmi", "a", 1)


@pytest.mark.parametrize(
    "text",
    [
        ANNOTATIONS + CPU + IPMI,
        ANNOTATIONS + CPU + "\n" + ANNOTATIONS + IPMI,
        (ANNOTATIONS + CPU + IPMI).replace("\n", "\r\n"),
        # without annotations, as the user interface exports it
        ANNOTATIONS.rpartition("#")[2].partition("\n")[2] + CPU + IPMI,
    ],
    ids=["one block", "a block each", "lines of Windows", "no annotations"],
)
def test_series_of_influxdb_are_put_together_by_their_times(text: str) -> None:
    is_the_machine(text, *FROM_INFLUX)


def test_a_pivoted_table_of_influxdb_is_a_table() -> None:
    head = (
        "#group,false,false,true,false,false,false\n"
        "#datatype,string,long,dateTime:RFC3339,dateTime:RFC3339,double,double\n"
        "#default,_result,,,,,\n,result,table,_start,_time,cpu,watts\n"
    )
    rows = lines(lambda t, u, w: f",,0,2026-11-20T00:00:00Z,{t}Z,{u:.1f},{w:.1f}")
    is_the_machine(head + rows, *BY_COLUMN, "--time-column", "_time")


def test_series_of_two_hosts_are_not_taken_for_one() -> None:
    text = ANNOTATIONS + CPU + IPMI + series("usage_active", "cpu", "b", 2) + series("power", "ipmi", "b", 3)
    said = refusal(text, *FROM_INFLUX)
    assert "expected one series; got 2 that differ in host (a, b): say --node-column host" in said
    assert list(learned(text, *FROM_INFLUX, "--node-column", "host")[0]) == ["a", "b"]
    is_the_machine(text, *FROM_INFLUX, "--node-column", "host")


def test_fields_of_one_name_are_told_apart_by_their_measurement() -> None:
    text = ANNOTATIONS + series("value", "cpu", "a") + series("value", "ipmi", "a", 1)
    assert "several have it: say cpu.value, ipmi.value" in refusal(text, "--cpu-column", "value", *FROM_INFLUX[2:])
    columns = ("--cpu-column", "cpu.value", "--power-column", "ipmi.value", "--power-unit", "watts")
    is_the_machine(text, *columns, "--time-column", "_time")
    assert "expected --time-column as well" in refusal(text, *columns)


def test_a_series_that_is_not_there_is_told_with_those_that_are() -> None:
    said = refusal(ANNOTATIONS + CPU + IPMI, "--cpu-column", "usage_activ", *FROM_INFLUX[2:])
    assert "'usage_activ': expected a column or a series of the file (did you mean 'usage_active'?)" in said
    assert "its series are 'usage_active', 'power', its columns 'result', 'table'" in said


def test_grafanas_series_joined_by_time_are_columns() -> None:
    text = '"Time","cpu {node=""a""}","watts {node=""a""}"\n' + lines(lambda t, u, w: f'"{t}",{u:.1f}%,{w:.1f} W')
    columns = ("--cpu-column", 'cpu {node="a"}', "--power-column", 'watts {node="a"}', "--time-column", "Time")
    is_the_machine("sep=,\n" + text, *columns)


def test_grafanas_series_as_rows_are_put_together_by_their_times() -> None:
    text = (
        "Series;Time;Value\n" + lines(lambda t, u, w: f"cpu;{t};{u:.1f}") + lines(lambda t, u, w: f"watts;{t};{w:.1f}")
    )
    is_the_machine(text, *BY_COLUMN, "--time-column", "Time")


def test_what_sadf_prints_has_its_header_behind_a_hash() -> None:
    text = "# hostname;interval;timestamp;CPU;%user;watts\n" + lines(
        lambda t, u, w: f"n1;60;{t} UTC;-1;{u:.2f};{w:.1f}", "%Y-%m-%d %H:%M:%S"
    )
    columns = ("--cpu-column", "%user", "--power-column", "watts", "--time-column", "timestamp")
    nodes, _ = learned(text, *columns, "--node-column", "hostname")
    assert list(nodes) == ["n1"]
    is_the_machine(text, *columns, "--node-column", "hostname")
