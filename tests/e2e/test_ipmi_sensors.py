"""Temperatures from simulated BMCs: scraped at each node's own ipmi_exporter, and through a real Prometheus.

The power model of the file knows the temperature (``temperature:``), so that it decides where pods go. Every program on
the way is the one that a site has: ipmi_sim, FreeIPMI, ipmi_exporter, Prometheus.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.e2e.support.api import Object
from tests.e2e.support.bmc import Room
from tests.e2e.support.controlplane import ControlPlane
from tests.e2e.support.daemon import Daemon, beside, clear
from tests.e2e.support.processes import free_port, wait_until
from tests.e2e.support.prometheus import Prometheus
from tests.e2e.support.redfish import INTAKE, Redfish
from tests.e2e.support.workload import decision, node, pod, wait_placed

ADDRESSES = {"worker-0": "127.0.0.4", "worker-1": "127.0.0.5"}
COOL, WARM = 21.0, 33.5  # [C]
SHARED: Mapping[str, Any] = {"interval": "500ms", "timeout": "3s", "expiry": "15s"}
QUERIES = {
    "inlet": 'max by (instance) (ipmi_temperature_celsius{name="Inlet Temp"})',
    "cpu1": 'max by (instance) (ipmi_temperature_celsius{name="CPU1 Temp"})',
}
TEMPERATURE = "peaks_node_temperature_celsius"


def at_address(name: str) -> Object:
    whole = node(name)
    kinds = (("Hostname", name), ("InternalIP", ADDRESSES[name]))  # kwok replaces the list where one is missing
    whole["status"]["addresses"] = [{"type": kind, "address": address} for kind, address in kinds]
    return whole


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Room, int]]:
    port = free_port()
    with Room(tmp_path_factory.mktemp("room"), ADDRESSES, port) as running:
        yield running, port


@pytest.fixture(scope="module")
def prometheus(room: tuple[Room, int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with Prometheus(tmp_path_factory.mktemp("prometheus"), room[0].targets(), interval=2.0) as running:
        running.wait_until("ipmi_temperature_celsius", series=6)
        yield running


@pytest.fixture(scope="module", params=["each exporter", "prometheus"])
def daemon(request: pytest.FixtureRequest, control_plane: ControlPlane, room: tuple[Room, int]) -> Iterator[Daemon]:
    """A scheduler that scrapes each exporter, or asks a Prometheus that does: never both."""
    clear(control_plane)
    control_plane.create_nodes([at_address(name) for name in ADDRESSES])
    settings: dict[str, Any] = {"sensors": {**SHARED, "ipmiExporter": {"port": room[1]}}}
    if request.param == "prometheus":
        url = request.getfixturevalue("prometheus").url
        settings = {"sensors": {**SHARED, "queries": QUERIES}, "prometheus": {"address": url}}
    curve = {"kind": "linear", "idle": 90.0, "max": 190.0}
    term = {"signal": "inlet", "reference": 22, "wattsPerKelvin": 1.0}
    models = [{"nodes": list(ADDRESSES), "cpu": "ratio", "curve": curve, "temperature": term}]
    options = ["--node-metrics"]
    with beside(control_plane, settings=settings, models=models, options=options) as running:
        running.wait_leading()
        yield running


def inlet(daemon: Daemon, name: str) -> float:
    return daemon.metric(TEMPERATURE, node=name, signal="inlet")


def test_temperatures_are_followed_while_pods_are_placed(
    daemon: Daemon, control_plane: ControlPlane, room: tuple[Room, int]
) -> None:
    room[0].set("worker-0", inlet=COOL)
    room[0].set("worker-1", inlet=WARM)
    wait_until(lambda: (inlet(daemon, "worker-0"), inlet(daemon, "worker-1")) == (COOL, WARM), "temperatures")
    for step, celsius in enumerate((24.0, 27.5, 31.0)):
        room[0].set("worker-0", inlet=celsius)
        wait_until(lambda celsius=celsius: inlet(daemon, "worker-0") == celsius, f"{celsius} C")
        where = {"kubernetes.io/hostname": "worker-0"}
        control_plane.create_pods([pod(f"warm-{step}", cpu="100m", nodeSelector=where)])
        wait_placed(control_plane, f"warm-{step}")
        assert decision(control_plane.read("Pod", f"warm-{step}"))["temperature"] == celsius
    wait_until(lambda: inlet(daemon, "worker-1") == WARM, "the other one's temperature")
    wait_until(lambda: daemon.health("sensors") == "[+]sensors ok", "all is well")
    control_plane.delete_all_pods()


def test_a_sensor_that_goes_away_is_named_and_does_not_count_until_it_is_back(
    daemon: Daemon, control_plane: ControlPlane, room: tuple[Room, int]
) -> None:
    room[0].set("worker-1", inlet=WARM)
    wait_until(lambda: inlet(daemon, "worker-1") == WARM, "its temperature")
    room[0].take_away("worker-1", "inlet")
    try:

        def missed(said: str) -> bool:
            return said.startswith("[!]sensors") and "worker-1" in said and "worker-0" not in said

        wait_until(lambda: missed(daemon.health("sensors")), "it is missed, and no other")
        wait_until(lambda: daemon.metric("peaks_sensor_nodes", signal="inlet") == 1, "its last value has expired")
        assert daemon.get("/readyz").status_code == 200
        control_plane.create_pods([pod("web-0", cpu="100m")])
        wait_placed(control_plane, "web-0")
    finally:
        room[0].bring_back("worker-1", "inlet")
    wait_until(lambda: daemon.metric("peaks_sensor_nodes", signal="inlet") == 2, "it is back")
    wait_until(lambda: daemon.health("sensors") == "[+]sensors ok", "and nothing is wrong")
    control_plane.delete_all_pods()


def test_a_bmc_that_speaks_redfish_tells_the_air_that_its_chassis_takes_in(
    control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The emulator has one fixed reading, in the standard's own place: ``Thermal`` of a chassis, context Intake."""
    clear(control_plane)
    control_plane.create_nodes([at_address("worker-0")])
    with Redfish(tmp_path_factory.mktemp("redfish")) as bmc:
        settings = {"sensors": {**SHARED, "redfish": {"url": bmc.url}}}
        with beside(control_plane, settings=settings, options=["--node-metrics"]) as daemon:
            wait_until(lambda: inlet(daemon, "worker-0") == INTAKE, "the temperature of the emulator")
            wait_until(lambda: daemon.health("sensors") == "[+]sensors ok", "all is well")
