"""The keeper of predictions with a real client and a server on loopback that goes wrong in every way it knows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from peaks_scheduler.arrays import Floats
from peaks_scheduler.settings.predictors import ServedModel
from peaks_scheduler.sources.predictors.factory import PredictorPool
from tests.support.served_models import Faults, Model, V2Server
from tests.unit.daemon.test_prediction_keeper import REFRESH, Stage


def watts(rows: Floats) -> Floats:
    """100 to 200 W at 20 degrees."""
    found: Floats = 100.0 + 100.0 * rows[:, 0] + 2.0 * (rows[:, 1] - 20.0)
    return found


def fault(**what: object) -> Callable[[Faults], None]:
    def switch_on(faults: Faults) -> None:
        for name, value in what.items():
            setattr(faults, name, value)

    return switch_on


FAULTS = {
    "500": (fault(status=500), "not-answered"),
    "never answers": (fault(silent=True), "not-answered"),
    "a number is missing": (fault(short=True), "not-answered"),
    "no JSON": (fault(body=b"<html>"), "not-answered"),
    "ten times too much": (fault(factor=10.0), "far"),
    "negative": (fault(factor=-1.0), "too-low"),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_of_the_server_changes_no_node(name: str) -> None:
    switch_on, reason = FAULTS[name]
    with V2Server({"m": Model(watts, columns=2)}) as server:
        model, stage = ServedModel("v2", server.url, "m", inputs=("cpu", "inlet")), Stage()
        stage.assigned.of_node = dict.fromkeys(("n1", "n2"), model)
        stage.keeper._predictors = PredictorPool(0.3)
        await stage.look()
        assert stage.origins == ["predicted", "predicted"]
        before = stage.jump()
        switch_on(server.faults)
        await stage.look(REFRESH)
        assert (stage.origins, stage.jump()) == (["predicted", "predicted"], before)
        assert stage.gauge("peaks_predictions_refused") == {(reason,): 2}
        assert stage.keeper.health().level == "degraded"
        await stage.keeper.aclose()


async def test_nan_for_one_node_is_refused_for_it_alone() -> None:
    with V2Server({"m": Model(watts, columns=2)}) as server:
        model, stage = ServedModel("v2", server.url, "m", inputs=("cpu", "inlet")), Stage()
        stage.assigned.of_node = dict.fromkeys(("n1", "n2"), model)
        stage.keeper._predictors = PredictorPool(5.0)
        server.faults.nan = True
        await stage.look()
        assert sorted(map(str, stage.origins)) == ["file", "predicted"]
        assert np.isfinite(stage.jump())
        await stage.keeper.aclose()
