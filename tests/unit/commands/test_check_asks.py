"""``peaks-scheduler check`` asks sensors and predictors for real: servers on loopback, and an embedded API server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from peaks_scheduler.cli import main
from peaks_scheduler.embedded.apiserver import EmbeddedApiServer
from tests.e2e.support.load_endpoint import LoadEndpoint
from tests.support.builders import Json, node
from tests.support.served_models import Model, V2Server

MODELS = "models: [{nodes: [worker-1, worker-2], cpu: ratio, curve: {kind: linear, idle: 100, max: 190}}]"


@dataclass
class Scene:
    """A cluster of two nodes with a predictor each, and the command run against it."""

    api: EmbeddedApiServer
    load: LoadEndpoint
    server: V2Server
    folder: Path

    async def lines(self, sensors: Any = None, **rule: Any) -> list[Json]:
        """The findings about sensors and predictors."""
        entry = {"nodes": ["worker-1", "worker-2"], "protocol": "v2", "url": self.server.url, "model": "m"}
        values = {"worker-1": {"inlet": 25.0}, "worker-2": {"inlet": 30.0}} if sensors is None else sensors
        config = {
            "powerModels": str(self.folder / "models.yaml"),
            "load": {"address": self.load.url},
            "sensors": {"values": values},
            "predictors": {"timeout": "1s", "servers": [entry | {"inputs": ["cpu", "inlet"]} | rule]},
        }
        (self.folder / "config.yaml").write_text(yaml.safe_dump(config))
        return await self.check("--config", str(self.folder / "config.yaml"))

    async def check(self, *options: str) -> list[Json]:
        kubeconfig = self.api.write_kubeconfig(self.folder / "kubeconfig")
        asked = ["check", "--kubeconfig", str(kubeconfig), "--output", "json", *options]
        result = await asyncio.to_thread(CliRunner().invoke, main, asked)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.output
        checks: list[Json] = json.loads(result.stdout)["checks"]
        return [each for each in checks if each["check"] in ("sensors", "predictors", "podspread-rate")]


@pytest.fixture
async def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    monkeypatch.delenv("NODE_POWER_MODEL", raising=False)
    (tmp_path / "models.yaml").write_text(MODELS)

    def rising(rows: Any) -> Any:
        return np.asarray(100.0 + 80.0 * rows[:, 0] + 2.0 * (rows[:, 1] - 20.0))

    async with EmbeddedApiServer() as api:
        with LoadEndpoint({"worker-1": 20.0, "worker-2": 40.0}) as load, V2Server({"m": Model(rising, 2)}) as server:
            for name in ("worker-1", "worker-2"):
                api.add_node(node(name))
            yield Scene(api, load, server, tmp_path)


async def test_what_is_well_is_two_lines(scene: Scene) -> None:
    sensors, predictors = await scene.lines()
    assert sensors["finding"].startswith("inlet: worker-1 25 celsius, 0 s old (")
    assert predictors["finding"].startswith(f"v2 {scene.server.url} model m version 1")
    assert predictors["finding"].endswith("(predictors.servers[0]): its predictions count for worker-1, worker-2")
    assert {sensors["status"], predictors["status"]} == {"ok"}


async def test_each_model_is_asked_once(scene: Scene) -> None:
    await scene.lines()
    assert len(scene.server.predictions) == 1


async def test_a_server_that_hangs_is_a_failed_line_with_a_remedy(scene: Scene) -> None:
    scene.server.faults.silent = True
    (found,) = [each for each in await scene.lines() if each["status"] == "failed"]
    assert "worker-1, worker-2" in found["finding"]
    assert scene.server.url in found["finding"]
    assert "peaks-scheduler predict --node worker-1" in found["remedy"]


async def test_inputs_that_do_not_fit_the_models_metadata_are_named(scene: Scene) -> None:
    scene.server.models["m"].columns = 4
    (found,) = [each for each in await scene.lines() if each["status"] == "failed"]
    assert "4" in found["finding"]
    assert scene.server.predictions == []


async def test_predictions_ten_times_off_the_model_file_do_not_count(scene: Scene) -> None:
    scene.server.faults.factor = 10.0
    (found,) = [each for each in await scene.lines() if each["status"] == "failed"]
    assert "expected at most a factor of 3" in found["finding"]


async def test_a_signal_that_no_sensor_gives_is_named(scene: Scene) -> None:
    found = [each["finding"] for each in await scene.lines({"worker-1": {"inlet": 25.0}})]
    assert "worker-2: the predictor needs inlet, and no sensor gives it, so it is not asked" in found


async def test_a_cluster_without_any_of_this_has_no_such_line(scene: Scene) -> None:
    options = ("--load-address", scene.load.url, "--power-models", str(scene.folder / "models.yaml"))
    assert await scene.check(*options) == []
