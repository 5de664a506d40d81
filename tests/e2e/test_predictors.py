"""Power that a real inference server predicts: MLServer with a model of ours, asked for all load at once or row by row.

Two nodes alike but for the air at their inlets, which simulated BMCs tell through real ipmi_exporters. The model's fans
make each percent of CPU dearer by 4 % of it for every degree, so what a pod costs follows by hand from the temperature
(``inference.watts``). The pressure is a constant of the configuration.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.e2e.support.api import Object
from tests.e2e.support.bmc import Room
from tests.e2e.support.cluster import path_of
from tests.e2e.support.controlplane import ControlPlane
from tests.e2e.support.daemon import Daemon, beside, clear
from tests.e2e.support.inference import BATCH, SINGLE, MlServer, watts
from tests.e2e.support.processes import free_port, wait_until
from tests.e2e.support.workload import decision, node, pod, wait_placed, waiting

ADDRESSES = {"worker-0": "127.0.0.2", "worker-1": "127.0.0.3"}
PRESSURE = 7.5  # [Pa]
COOL, WARM = 20.0, 32.0  # [C]
CORES = 8
MODELS = {"batch": BATCH, "single": SINGLE}
REFRESH = 1.0  # [s] from one round of questions to the next
# MLServer answers row by row for seconds where the machine is busy
PACE = {
    "batch": {"refresh": "1s", "expiry": "15s", "timeout": "5s"},
    "single": {"refresh": "1s", "expiry": "60s", "timeout": "10s"},
}
_probes = itertools.count()
INTERVAL = {"interval": "500ms", "timeout": "3s", "expiry": "30s"}


@dataclass(frozen=True)
class Stage:
    """One daemon and what it asks."""

    plane: ControlPlane
    daemon: Daemon
    room: Room
    server: MlServer
    model: str

    def turn(self, **inlet: float) -> None:
        """The air of the nodes (``worker_0=20.0``), until their predictions are of it."""
        found = {name.replace("_", "-"): celsius for name, celsius in inlet.items()}
        for name, celsius in found.items():
            self.room.set(name, inlet=celsius)
        wait_until(lambda: [self._air(name) for name in found] == list(found.values()), f"predictions at {found}")

    def _air(self, name: str) -> float | None:
        """The temperature that counts for a pod on this node now, by the record of one that is too small to matter."""
        probe = f"probe-{next(_probes)}"
        self.plane.create_pods([pod(probe, cpu="1m", nodeSelector={"kubernetes.io/hostname": name})])
        wait_placed(self.plane, probe)
        celsius: float | None = decision(self.plane.read("Pod", probe)).get("temperature")
        self.plane.api.delete(path_of("Pod", probe), {"gracePeriodSeconds": 0})
        return celsius


def at_address(name: str) -> Object:
    """A node whose address is one of loopback, where its exporter listens."""
    whole = node(name, cpu=str(CORES))
    kinds = (("Hostname", name), ("InternalIP", ADDRESSES[name]))  # kwok replaces the list where one is missing
    whole["status"]["addresses"] = [{"type": kind, "address": address} for kind, address in kinds]
    return whole


def of_file() -> Object:
    """The model file's entry for both nodes: linear, 90 to 190 W."""
    return {"nodes": list(ADDRESSES), "cpu": "ratio", "curve": {"kind": "linear", "idle": 90.0, "max": 190.0}}


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Room, int]]:
    port = free_port()
    with Room(tmp_path_factory.mktemp("room"), ADDRESSES, port) as running:
        yield running, port


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlServer]:
    with MlServer(tmp_path_factory.mktemp("mlserver"), MODELS) as running:
        yield running


@pytest.fixture(scope="module", params=MODELS)
def stage(
    request: pytest.FixtureRequest, control_plane: ControlPlane, room: tuple[Room, int], server: MlServer
) -> Iterator[Stage]:
    clear(control_plane)
    control_plane.create_nodes([at_address(name) for name in ADDRESSES])
    running, port = room
    constants = {name: {"deltaP": PRESSURE} for name in ADDRESSES}
    rule = {"nodes": list(ADDRESSES), "protocol": "v2", "url": server.url, "model": request.param}
    settings = {
        "sensors": {"ipmiExporter": {"port": port}, "values": constants, **INTERVAL},
        "predictors": {"servers": [rule], "step": 0.5, **PACE[request.param]},
    }
    options = ["--node-metrics"]
    with beside(control_plane, settings=settings, models=[of_file()], options=options) as daemon:
        daemon.wait_leading()
        wait_until(lambda: daemon.metric("peaks_predicted_nodes") == len(ADDRESSES), "both nodes predicted")
        yield Stage(control_plane, daemon, running, server, request.param)


@pytest.fixture
def healthy(stage: Stage, control_plane: ControlPlane) -> Stage:
    """The stage without pods, with a server that answers."""
    control_plane.delete_all_pods()
    return stage


def rise(inlet: float, cores: float) -> float:
    """[W] a pod that uses so much adds: the model is linear in the use."""
    return watts(cores / CORES, inlet, PRESSURE) - watts(0.0, inlet, PRESSURE)


def test_a_pod_goes_where_the_predictor_says_power_rises_less_and_the_next_one_where_the_air_has_cooled(
    healthy: Stage, control_plane: ControlPlane
) -> None:
    """A pod that was placed is on the cooler node all the same: on straight lines the rise does not depend on it."""
    healthy.turn(worker_0=COOL, worker_1=WARM)
    control_plane.create_pods([pod("web-0", cpu="1")])
    assert wait_placed(control_plane, "web-0") == "worker-0"
    healthy.turn(worker_0=WARM, worker_1=COOL)
    control_plane.create_pods([pod("web-1", cpu="1")])
    assert wait_placed(control_plane, "web-1") == "worker-1"
    for name in ("web-0", "web-1"):
        record = decision(control_plane.read("Pod", name))
        assert (record["modelFrom"], record["temperature"]) == ("predicted", COOL)
        assert record["jumpWatts"] == pytest.approx(rise(COOL, 1.0), rel=0.01)
        assert record["runnerUpJumpWatts"] == pytest.approx(rise(WARM, 1.0), rel=0.01)


def test_small_pods_see_the_difference_too(healthy: Stage, control_plane: ControlPlane) -> None:
    """A pod of 1 % of a node: 1.2 W against 1.78 W, which rounding to tenths of the load or to watts would hide."""
    healthy.turn(worker_0=WARM, worker_1=COOL)
    control_plane.create_pods([pod("small-0", cpu="80m")])
    assert wait_placed(control_plane, "small-0") == "worker-1"
    record = decision(control_plane.read("Pod", "small-0"))
    assert record["jumpWatts"] == pytest.approx(rise(COOL, 0.08), rel=0.01)


def test_no_question_is_asked_because_of_a_pod(healthy: Stage, control_plane: ControlPlane) -> None:
    """Rounds come by the clock, whatever is placed: each asks a node for its whole curve, in one question of many rows
    where the model takes them, else row by row."""
    asked = healthy.server.asked(healthy.model)
    if MODELS[healthy.model] == SINGLE:
        assert set(asked) == {1}
    else:
        assert min(asked) > 1
    begun, rounds = time.monotonic(), len(asked)
    control_plane.create_pods([pod(f"many-{i}", cpu="10m") for i in range(40)])
    wait_until(lambda: not waiting(control_plane), "every pod bound")
    if MODELS[healthy.model] == BATCH:
        more = len(healthy.server.asked(healthy.model)) - rounds
        by_the_clock = len(ADDRESSES) * ((time.monotonic() - begun) / REFRESH + 2.0)
        assert more <= by_the_clock


@pytest.mark.parametrize("stage", ["batch"], indirect=True)
def test_predictions_of_a_server_that_is_stopped_expire_and_the_model_file_counts(
    healthy: Stage, control_plane: ControlPlane
) -> None:
    daemon = healthy.daemon
    wait_until(lambda: daemon.health("predictions").startswith("[+]"), "all is well")
    healthy.server.stop()
    try:
        wait_until(lambda: daemon.metric("peaks_predicted_nodes") == 0, "predictions expired")
        words = ("[!]predictions", healthy.server.url)
        wait_until(lambda: all(each in daemon.health("predictions") for each in words), "the server named")
        assert daemon.get("/readyz").status_code == 200
        control_plane.create_pods([pod("filed-0", cpu="1")])
        wait_placed(control_plane, "filed-0")
        record = decision(control_plane.read("Pod", "filed-0"))
        assert record["modelFrom"] == "file"
        assert record["jumpWatts"] == pytest.approx(100.0 / CORES)
    finally:
        healthy.server.start()
    wait_until(lambda: daemon.metric("peaks_predicted_nodes") == len(ADDRESSES), "predictions are back")
    wait_until(lambda: daemon.health("predictions").startswith("[+]"), "and nothing is wrong")


@pytest.mark.parametrize("stage", ["batch"], indirect=True)
def test_a_model_that_says_ten_times_too_much_does_not_count_and_is_named(
    healthy: Stage, control_plane: ControlPlane
) -> None:
    daemon = healthy.daemon
    healthy.server.change(healthy.model, factor=10.0)
    try:
        wait_until(lambda: daemon.metric("peaks_predictions_refused") == len(ADDRESSES), "both refused")
        wait_until(lambda: daemon.health("predictions").startswith("[!]predictions"), "it is named")
        wait_until(lambda: daemon.metric("peaks_predicted_nodes") == 0, "what was predicted before has expired")
    finally:
        healthy.server.change(healthy.model)
    wait_until(lambda: daemon.metric("peaks_predicted_nodes") == len(ADDRESSES), "predictions are back")
