"""``power.overhead``: a factor or a table, and everything else refused in words; signals that belong to it alone."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.power.cooling import CoolingTable
from peaks_scheduler.settings.loading import load_settings
from peaks_scheduler.settings.settings import Settings
from peaks_scheduler.settings.table import redacted

TABLE = {"inlet": [18, 30], "rackWatts": [0, 5000], "coolingWatts": [[0, 500], [0, 2000]]}


def configured(key: str, value: object) -> Settings:
    above, _, name = key.partition(".")
    return load_settings(yaml.safe_dump({above: {name: value}}), "", {}, {})[0]


def table(**changes: object) -> Any:
    return {**TABLE, **changes}


def test_it_is_off_unless_asked_for() -> None:
    assert Settings().power.overhead is None


def test_it_is_a_factor_or_a_table() -> None:
    assert configured("power.overhead", 1.4).power.overhead == 1.4
    rows = ((0.0, 500.0), (0.0, 2000.0))
    by_zone = CoolingTable((18.0, 30.0), (0.0, 5000.0), rows, "zone")
    assert configured("power.overhead", table(rackLabel="zone")).power.overhead == by_zone


def test_configz_shows_it_as_the_file_has_it() -> None:
    shown = redacted(configured("power.overhead", TABLE))
    assert yaml.safe_load(yaml.safe_dump(shown))["power"]["overhead"] == {
        "rackLabel": "topology.kubernetes.io/rack",
        **TABLE,
    }


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.9, "a factor of 1 or more"),
        (11, "a factor of 1 or more"),
        ("much", "a factor of 1 or more"),
        (float("nan"), "a factor of 1 or more"),
        (table(inlet=[30, 18]), "rising numbers"),
        (table(rackWatts=[0]), "a column for each rack power"),
        (table(coolingWatts=[[0, 500]]), "a row for each inlet temperature"),
        (table(coolingWatts=[[500, 0], [0, 2000]]), "cooling watts do not fall"),
        (table(coolingWatts=[[-1, 0], [0, 2000]]), "cooling watts do not fall"),
        (table(room=[1]), "room"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_words(value: object, words: str) -> None:
    with pytest.raises(ConfigurationError, match=r"power\.overhead") as error:
        configured("power.overhead", value)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("sensors.values", {"worker-1": {"overhead": 0.5}}),
        ("sensors.queries", {"carbonIntensity/1h": "up"}),
        ("sensors.customMetrics", {"overhead": "pue"}),
        ("sensors.ipmiExporter", {"names": {"overhead": ["PUE"]}}),
    ],
)
def test_no_sensor_has_the_name_of_a_signal_that_another_setting_brings(key: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match="other than overhead and carbonIntensity"):
        configured(key, value)
