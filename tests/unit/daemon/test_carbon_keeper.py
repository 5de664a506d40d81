"""The carbon intensity of the grid in a running daemon: from the file to the nodes, and what a wrong file does."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from peaks_scheduler.daemon.keepers.carbon import CarbonKeeper
from peaks_scheduler.daemon.wiring import build_core
from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.objects.annotations import DECISION
from peaks_scheduler.settings.settings import CarbonSettings, Settings
from tests.support.builders import NOW, ledger, node, pod
from tests.support.daemon_stage import until
from tests.support.server_thread import ServerThread
from tests.unit.daemon import test_main
from tests.unit.daemon.test_main import Run, api, collector, get, run  # noqa: F401 - fixtures

HOUR = 3600.0
REGION = "topology.kubernetes.io/region"


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


class Kept:
    """A keeper with its file, on two nodes."""

    def __init__(self, file: Path) -> None:
        self.file, self.clock = file, Clock()
        self.known = ledger(node("worker-1"), node("worker-2"))
        self.keeper = CarbonKeeper(str(file), self.known, self.clock)

    def write(self, *grams: float, start: float = NOW) -> None:
        lines = [f"{start + i * HOUR:.0f},{each}" for i, each in enumerate(grams)]
        self.rewrite("\n".join(["time,gco2_per_kwh", *lines]))

    def rewrite(self, text: str) -> None:
        before = self.file.stat().st_mtime_ns if self.file.exists() else 0
        self.file.write_text(text)
        os.utime(self.file, ns=(before + 1, before + 1))

    def look_at_the_file(self) -> None:
        self.keeper._take(self.keeper._read(str(self.file)))

    @property
    def now(self) -> list[float]:
        return self.known.snapshot().signals["carbonIntensity"].tolist()

    @property
    def by_region(self) -> list[tuple[tuple[str, ...], float]]:
        return list(self.keeper.gauges()[0].rows())


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "carbon.csv")


def test_the_nodes_know_the_intensity_from_the_start_and_as_the_hours_pass(kept: Kept) -> None:
    kept.write(100.0, 200.0, 300.0)
    kept.keeper.load()
    assert kept.now == [100.0, 100.0]
    kept.clock.now += HOUR
    kept.keeper.look()
    assert kept.now == [200.0, 200.0]
    assert kept.by_region == [(("*",), 200.0)]


def test_a_node_that_comes_later_is_told_at_the_next_look(kept: Kept) -> None:
    kept.write(100.0, 200.0)
    kept.keeper.load()
    kept.known.observe_node(node("worker-3"))
    kept.keeper.look()
    assert kept.now == [100.0, 100.0, 100.0]


def test_a_changed_file_counts_at_once(kept: Kept) -> None:
    kept.write(100.0, 200.0)
    kept.keeper.load()
    kept.write(50.0, 60.0)
    kept.look_at_the_file()
    assert kept.now == [50.0, 50.0]


def test_a_file_that_becomes_wrong_or_vanishes_leaves_the_last_good_one_in_force_and_is_told(kept: Kept) -> None:
    kept.write(100.0, 200.0)
    kept.keeper.load()
    kept.rewrite("time,gco2_per_kwh\nsoon,1\n")
    kept.look_at_the_file()
    kept.look_at_the_file()  # unchanged: it is still wrong
    assert (kept.now, kept.keeper.health().level) == ([100.0, 100.0], "degraded")
    assert "expected times in ISO 8601" in kept.keeper.health().text
    kept.file.unlink()
    kept.look_at_the_file()
    assert "No such file" in kept.keeper.health().text
    kept.write(70.0, 80.0)
    kept.look_at_the_file()
    assert (kept.now, kept.keeper.health().level) == ([70.0, 70.0], "ok")


def test_after_the_end_of_the_data_no_node_has_an_intensity_and_the_probe_says_which(kept: Kept) -> None:
    kept.write(100.0, 200.0)
    kept.keeper.load()
    kept.clock.now += 2 * HOUR
    kept.known.refresh(kept.clock.now)
    kept.keeper.look()
    assert kept.keeper.health().text == "nodes whose grid has no intensity now: worker-1, worker-2"
    assert str(kept.now) == "[nan, nan]"
    assert kept.by_region == []


def test_without_a_file_there_is_nothing_to_do_and_nothing_to_show() -> None:
    keeper = CarbonKeeper(None, Ledger())
    keeper.load()
    assert (keeper.tasks(), keeper.checks(), keeper.gauges()) == ({}, (), ())


def test_a_wrong_file_ends_the_start_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "carbon.csv"
    file.write_text("time,gco2_per_kwh\n2027-01-15T08:00:00Z,-1\n")
    with pytest.raises(ConfigurationError, match=r"carbon\.csv, line 2: gco2_per_kwh: expected gCO2/kWh, 0 to 5000"):
        build_core(Settings(strategy="carbon", carbon=CarbonSettings(str(file))))


async def test_the_daemon_places_a_pod_where_the_grid_is_cleaner_and_says_by_how_many_grams(
    api: ServerThread,  # noqa: F811
    run: Run,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    carbon, models = tmp_path / "carbon.csv", tmp_path / "models.yaml"
    carbon.write_text("time,region,gco2_per_kwh\n2020-01-01,north,30\n2020-01-01,south,600\n")
    models.write_text("models: [{nodeSelector: {}, cpu: ratio, curve: {kind: linear, idle: 100, max: 200}}]")
    usual = test_main.configuration

    def with_carbon(*where: Any, **flags: Any) -> Settings:
        return replace(usual(*where, **flags), strategy="carbon", carbon=CarbonSettings(str(carbon)))

    monkeypatch.setattr(test_main, "configuration", with_carbon)
    for name, region in (("worker-1", "south"), ("worker-2", "north")):
        labels = {"metadata": {"labels": {REGION: region}}}
        api(lambda server, name=name, labels=labels: server.change("nodes", name, labels))
    async with run(leader_elect=False, power_models=str(models)):
        api(lambda server: server.add_pod(pod(cpu="1")))
        await until(lambda: api.server.get("pods", "web-0")["spec"].get("nodeName"))
        ready, numbers = (await get(caplog, "/readyz?verbose")).text, (await get(caplog, "/metrics")).text
    record = json.loads(api.server.get("pods", "web-0")["metadata"]["annotations"][DECISION])
    # 25 W of a thousand, times 30 and 600 g/kWh
    assert (record["node"], record["cost"], record["runnerUpCost"], record["costUnit"]) == (
        "worker-2", 0.75, 15.0, "gCO2/h",
    )  # fmt: skip
    assert "[+]carbon ok" in ready
    assert 'peaks_carbon_intensity_grams_per_kwh{region="south"} 600.0' in numbers
