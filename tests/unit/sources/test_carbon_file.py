"""A file of carbon intensity: what it tells of each region and time, and what is wrong with it, by line.

Times are around the tests' present (2027-01-15 08:00 UTC). Means are worked out by hand.
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.sources.carbon_file import parse_carbon, read_carbon, tell_intensity
from tests.support.builders import NOW, ledger, node, when

HOUR = 3600.0
REGION = "topology.kubernetes.io/region"

HOURS = (100.0, 200.0, 300.0, 200.0, 100.0, 0.0)
"""[gCO2/kWh] from the present on."""


def rows(*grams: float, start: float = NOW, region: str | None = None) -> list[str]:
    tail = "" if region is None else f",{region}"
    return [f"{when(start + i * HOUR)},{each}{tail}" for i, each in enumerate(grams)]


def text(*lines: str, header: str = "time,gco2_per_kwh") -> str:
    return "\n".join((header, *lines))


def signals(known: Ledger, name: str) -> list[float]:
    """Of worker-1, worker-2, ...; -1 where it is unknown."""
    return [-1.0 if math.isnan(each) else each for each in known.snapshot().signals[name].tolist()]


def test_a_value_holds_until_the_next_one_and_the_last_as_long_as_the_one_before() -> None:
    forecast = parse_carbon(text(*rows(*HOURS)), "f.csv")[""]
    assert [forecast.at(NOW), forecast.at(NOW + 1.9 * HOUR), forecast.at(NOW + 5.9 * HOUR)] == [100.0, 200.0, 0.0]
    assert forecast.end == NOW + 6 * HOUR
    assert math.isnan(forecast.at(NOW + 6 * HOUR))
    assert math.isnan(forecast.at(NOW - 1.0))


def test_the_mean_of_coming_hours_is_known_where_all_of_them_are() -> None:
    forecast = parse_carbon(text(*rows(*HOURS)), "f.csv")[""]
    assert forecast.mean(NOW, 6 * HOUR) == pytest.approx(150.0)  # 900 g in six hours
    assert forecast.mean(NOW + 0.5 * HOUR, HOUR) == pytest.approx(150.0)
    assert math.isnan(forecast.mean(NOW + 1.0, 6 * HOUR))


def test_a_single_value_holds_on() -> None:
    forecast = parse_carbon(text(*rows(250.0)), "f.csv")[""]
    assert (forecast.at(NOW + 1e9), forecast.mean(NOW, 24 * HOUR)) == (250.0, 250.0)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(f"time,gco2_per_kwh\n{NOW:.0f},100\n{NOW + HOUR:.0f},200\n", id="seconds since 1970"),
        pytest.param(text(*rows(100.0, 200.0)[::-1]), id="newest first"),
        pytest.param(text(*rows(100.0, 200.0)).replace(",", ";"), id="semicolons"),
        pytest.param("# from the grid\n\n" + text(*rows(100.0, 200.0)), id="a comment above"),
    ],
)
def test_the_forms_that_are_read(content: str) -> None:
    forecast = parse_carbon(content, "f.csv")[""]
    assert [forecast.at(NOW), forecast.at(NOW + HOUR), forecast.end] == [100.0, 200.0, NOW + 2 * HOUR]


def test_a_file_may_be_packed(tmp_path: Path) -> None:
    file = tmp_path / "carbon.csv"
    file.write_text(text(*rows(100.0, 200.0)))
    assert read_carbon(str(file))[""].at(NOW) == 100.0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param("", "f.csv: expected a header line and rows; the file is empty", id="empty"),
        pytest.param("time,gco2\n2027-01-15T08:00:00Z,1", "'gco2_per_kwh': expected a column .*'gco2'", id="column"),
        pytest.param(text(*rows(1.0), "yesterday,2"), "f.csv: column 'time': expected times in ISO 8601", id="no time"),
        pytest.param(text("0,100", "3600,200"), "line 2: time: expected a time in ISO", id="seconds of a simulation"),
        pytest.param(text(*rows(1.0, -2.0)), r"line 3: gco2_per_kwh: .*0 to 5000; got '-2.0'", id="below zero"),
        pytest.param(text(*rows(450000.0)), "line 2: gco2_per_kwh: expected gCO2/kWh", id="another unit"),
        pytest.param(text(*rows(1.0, 2.0, 3.0), *rows(4.0)), "line 5: time: .*it comes again: name the", id="twice"),
    ],
)
def test_what_is_wrong_is_told_with_the_line(content: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        parse_carbon(content, "f.csv")


def test_a_missing_file_is_told_with_the_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"carbon\.path .*nowhere\.csv: expected a readable CSV file"):
        read_carbon(str(tmp_path / "nowhere.csv"))


# --- as signals -----------------------------------------------------------------------------------------------------

NODES = tuple(node(f"worker-{i}", labels={REGION: region}) for i, region in ((1, "north"), (2, "south"), (3, "east")))


def regional(*everywhere: str) -> str:
    lines = (*rows(*HOURS, region="north"), *rows(400.0, 400.0, region="south"), *everywhere)
    return text(*lines, header="time,gco2_per_kwh,region")


def test_every_node_gets_the_intensity_of_its_region_and_the_others_are_named() -> None:
    known = ledger(*NODES)
    assert tell_intensity(known, parse_carbon(regional(), "f.csv"), NOW) == ("worker-3",)
    assert signals(known, "carbonIntensity") == [100.0, 400.0, -1.0]
    assert signals(known, "carbonIntensity/1h") == [100.0, 400.0, -1.0]
    assert signals(known, "carbonIntensity/6h") == [pytest.approx(150.0), -1.0, -1.0]
    assert signals(known, "carbonIntensity/24h") == [-1.0, -1.0, -1.0]
    assert known.snapshot().signals.unit("carbonIntensity") == "gCO2/kWh"


def test_rows_without_a_region_are_for_all_others() -> None:
    known = ledger(*NODES, node("worker-4"))
    forecast = parse_carbon(regional(*rows(50.0, region="")), "f.csv")
    assert tell_intensity(known, forecast, NOW) == ()
    assert signals(known, "carbonIntensity") == [100.0, 400.0, 50.0, 50.0]


def test_the_signals_expire_when_the_data_of_the_region_end() -> None:
    known = ledger(*NODES)
    tell_intensity(known, parse_carbon(regional(), "f.csv"), NOW)
    known.refresh(NOW + 2 * HOUR)
    assert signals(known, "carbonIntensity") == [100.0, -1.0, -1.0]


def test_a_node_that_moves_to_an_unknown_region_loses_its_signals() -> None:
    known = ledger(*NODES)
    forecast = parse_carbon(regional(), "f.csv")
    tell_intensity(known, forecast, NOW)
    known.observe_node(node("worker-1", labels={REGION: "nowhere"}))
    assert tell_intensity(known, forecast, NOW) == ("worker-1", "worker-3")
    assert signals(known, "carbonIntensity") == [-1.0, 400.0, -1.0]
