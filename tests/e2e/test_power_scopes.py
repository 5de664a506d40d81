"""Meters, parts and estimates in one real Prometheus: what is learned of each, and what the scheduler goes by.

Three machines of 200 to 350 W, with 1 % of noise on each five minutes. ``metered`` has a BMC, ``partly`` RAPL alone (of
40 % of its watts), ``virtual`` nothing. On all of them a Kepler of before 0.10 without a sensor of the platform exports
its model's 30 to 55 W for it: the largest series of two of the machines, and the smoothest of all three.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest

from tests.e2e.support.api import Object
from tests.e2e.support.controlplane import ControlPlane
from tests.e2e.support.daemon import Daemon, beside, clear
from tests.e2e.support.exporter import IPMI, KEPLER_BLIND, NODE_EXPORTER, open_metrics
from tests.e2e.support.machines import Machine, staircase
from tests.e2e.support.processes import wait_until
from tests.e2e.support.prometheus import Prometheus
from tests.e2e.support.workload import decision, node, pod, wait_placed
from tests.e2e.test_fit_prometheus import AHEAD, EACH, SCRAPE, Fitted, fit

HOURS = 4
SHARE = 0.4
KINDS = {
    "metered": (NODE_EXPORTER, IPMI, KEPLER_BLIND),
    "partly": (NODE_EXPORTER, KEPLER_BLIND),
    "virtual": (NODE_EXPORTER, KEPLER_BLIND),
}


def whole(u: float) -> float:
    return 200.0 + 150.0 * u


def machine(name: str, origin: float) -> Machine:
    return Machine(
        name,
        whole,
        staircase(tuple(np.linspace(0.0, 1.0, 11)), each=EACH, rounds=5, noise=0.01, seed=len(name), shuffle=True),
        cpus=2,
        watts_noise=0.01,
        seed=len(name),
        shares={"package": SHARE} if name == "partly" else {},
        origin=origin - EACH + 1.0,
    )


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    end = time.time() // 60 * 60 + AHEAD
    start = end - HOURS * 3600 - AHEAD
    texts: list[str] = []
    for name, kinds in KINDS.items():
        texts += open_metrics([machine(name, start)], start=start, end=end, step=SCRAPE, kinds=kinds)
    with Prometheus(tmp_path_factory.mktemp("scopes"), history=texts) as prometheus:
        yield prometheus


# --- fit --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted(history: Prometheus, tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    return fit(history.url, tmp_path_factory.mktemp("fitted"), span=f"{HOURS}h")


def test_a_meter_is_taken_before_the_estimate_that_claims_more_of_the_machine(fitted: Fitted) -> None:
    found = fitted.nodes["metered"]
    assert (found["verdict"], found["scope"], found["confidence"]) == ("good", "wall", "high")
    watts = [fitted.models["metered"].curve.watts(u) for u in (0.0, 0.5, 1.0)]
    assert watts == pytest.approx([200.0, 275.0, 350.0], rel=0.02)
    assert any("ipmi_dcmi_power_consumption_watts" in note for note in found["notes"])


def test_a_measured_part_is_taken_before_an_estimate_of_the_whole(fitted: Fitted) -> None:
    found = fitted.nodes["partly"]
    assert (found["verdict"], found["scope"], found["confidence"]) == ("good", "package", "high")
    watts = [fitted.models["partly"].curve.watts(u) for u in (0.0, 0.5, 1.0)]
    assert watts == pytest.approx([SHARE * whole(u) for u in (0.0, 0.5, 1.0)], rel=0.02)


def test_an_estimate_alone_is_usable_at_best_and_says_why(fitted: Fitted) -> None:
    found = fitted.nodes["virtual"]
    assert (found["verdict"], found["scope"], found["confidence"]) == ("usable", "estimate", "low")
    assert any("trained_power_model" in reason for reason in found["reasons"])


def test_the_model_file_says_of_what_its_watts_are(fitted: Fitted) -> None:
    said = {name: (model.scope, model.measured) for name, model in fitted.models.items()}
    assert said == {"metered": ("wall", True), "partly": ("package", True), "virtual": ("estimate", False)}
    assert "not of the same parts of every machine" in fitted.said


# --- the daemon -------------------------------------------------------------------------------------------------------


def of_file(name: str, idle: float, full: float) -> Object:
    """An entry that does not say of what its watts are: it counts as the whole machine."""
    return {"nodes": [name], "cpu": "ratio", "curve": {"kind": "linear", "idle": idle, "max": full}}


@pytest.fixture
def learning(history: Prometheus, control_plane: ControlPlane) -> Iterator[Daemon]:
    """A scheduler that learns every two seconds; its file has good models of the metered machine and of the one that is
    measured in part."""
    clear(control_plane)
    control_plane.create_nodes([node(name) for name in KINDS])
    settings = {
        "prometheus": {"address": history.url},
        "refit": {"interval": "2s", "range": f"{HOURS}h"},
        "drift": {"interval": "2s"},
    }
    models = [of_file("metered", 200.0, 350.0), of_file("partly", 200.0, 380.0)]
    with beside(control_plane, settings=settings, models=models, options=["--refit"]) as daemon:
        daemon.wait_leading()
        yield daemon


def test_models_of_the_whole_machine_outlive_its_parts_and_estimates(
    learning: Daemon, control_plane: ControlPlane
) -> None:
    def kept() -> float:
        return learning.metric("peaks_refits_total", outcome="kept")

    wait_until(lambda: kept() >= 4, "two rounds over both nodes with models")
    assert learning.metric("peaks_learned_power_models") == 0
    assert learning.metric("peaks_refits_total", outcome="refused") >= 1  # virtual, of which there is an estimate only
    line = learning.wait_for("power is measured of less of the machine than the model is of, the model stays")
    assert (line["node"], line["now"]) == ("partly", "package (package)")

    control_plane.create_pods([pod("web-0", cpu="1")])
    assert wait_placed(control_plane, "web-0") == "metered"  # 150 W from no to full load, 180 W on the other
    record = decision(control_plane.read("Pod", "web-0"))
    assert (record["model"], record["modelFrom"]) == ("metered", "file")


def test_drift_is_told_of_like_watts_only(learning: Daemon) -> None:
    wait_until(lambda: learning.metric("peaks_power_compared_nodes") == 1, "the metered node compared")
    assert learning.metric("peaks_power_model_drift_ratio", stat="worst") < 0.1
    words = ("not comparable", "partly (model of wall, as far as is known, package measured)")
    wait_until(lambda: all(each in learning.health("drift") for each in words), "the other is told")
