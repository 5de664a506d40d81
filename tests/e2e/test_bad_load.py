"""A load source that is away, broken or wrong: scheduling goes on; the log says it once, health and gauges always."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support.controlplane import ControlPlane
from tests.e2e.support.daemon import Daemon, beside, clear
from tests.e2e.support.load_endpoint import LoadEndpoint, Reply, answer
from tests.e2e.support.processes import wait_until
from tests.e2e.support.workload import decision, model, node, ours, pod, wait_placed
from tests.support.builders import BENT_UP

GOOD = {"worker-0": 20.0, "worker-1": 30.0, "worker-2": 40.0}
FAILED = "no load, going on with estimates"
LEFT_OUT = "load left out"
UNMATCHED = "load names that are no node of this cluster"
LOOKS = 3  # fetches after which a thing that is said once has had its chances to be said again


def source_up(daemon: Daemon) -> bool:
    return daemon.metric("peaks_load_source_up") == 1


def goes_on(plane: ControlPlane) -> None:
    plane.create_pods([pod("web-0", cpu="100m")])
    wait_placed(plane, "web-0")


def test_a_name_that_cannot_be_resolved(control_plane: ControlPlane) -> None:
    clear(control_plane)
    control_plane.create_nodes([node("worker-0")])
    with beside(control_plane, "http://load-watcher.invalid:2020") as daemon:
        wait_until(lambda: daemon.health("load").startswith("[!]load: dns: "), "the name not found")
        assert not source_up(daemon)
        goes_on(control_plane)
        assert decision(ours(control_plane)[0])["loadAgeSeconds"] is None
        daemon.wait_for(FAILED)
        assert len(daemon.lines(FAILED)) == 1


@dataclass(frozen=True)
class Shared:
    """One daemon and its load source for all cases: to them a case is only another answer."""

    daemon: Daemon
    load: LoadEndpoint


@pytest.fixture(scope="module")
def shared(control_plane: ControlPlane) -> Iterator[Shared]:
    clear(control_plane)
    known_by_address = node("worker-2")
    # both families of one interface, as a dual-stack kubelet reports them
    kinds = (("Hostname", "worker-2"), ("InternalIP", "10.0.0.1"), ("InternalIP", "fd00::1"))
    known_by_address["status"]["addresses"] = [{"type": kind, "address": address} for kind, address in kinds]
    control_plane.create_nodes([node("worker-0"), node("worker-1"), known_by_address])
    models = [model(BENT_UP, nodes=["worker-0", "worker-1", "worker-2"])]
    settings = {"load": {"interval": "100ms", "timeout": "3s"}}  # a busy machine answers within it
    with (
        LoadEndpoint(GOOD) as load,
        beside(control_plane, load.url, models=models, settings=settings) as daemon,
    ):
        daemon.wait_leading()
        yield Shared(daemon, load)


@pytest.fixture
def healthy(shared: Shared, control_plane: ControlPlane) -> Shared:
    """The shared daemon with good load and no pods."""
    control_plane.delete_all_pods()
    wait_until(lambda: shared.daemon.metric("scheduler_cache_size", type="pods") == 0, "no pods known")
    shared.load.up()
    shared.load.say(GOOD)
    wait_until(lambda: shared.daemon.health("load") == "[+]load ok", "good load again")
    return shared


def said(text: str) -> Reply:
    return Reply(text.encode())


def values(**percent: Any) -> Reply:
    """A whole answer; ``worker_0`` is worker-0."""
    return said(json.dumps(answer({name.replace("_", "-"): value for name, value in percent.items()})))


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        pytest.param(None, "unreachable", id="down"),
        pytest.param(Reply(silent=True), "timeout", id="no answer in time"),
        pytest.param(Reply(b"No metrics found", status=404), "http-404", id="404"),
        pytest.param(Reply(status=500), "http-500", id="500"),
        pytest.param(said('{"timestamp": 17'), "malformed", id="JSON cut short"),
        pytest.param(Reply(values(worker_0=1.0).body, cut_at=60), "malformed", id="an answer cut short"),
        pytest.param(said("<html>Bad gateway</html>"), "malformed", id="no JSON at all"),
        pytest.param(said("[]"), "malformed", id="JSON of another kind"),
        pytest.param(said('{"data": {"NodeMetricsMap": {"worker-0": {}}}}'), "malformed", id="JSON without its window"),
        pytest.param(values(worker_0=float("nan"), worker_1=-3.0), "empty", id="no value that can be used"),
    ],
)
def test_a_source_that_fails_is_named_and_scheduling_goes_on(
    healthy: Shared, control_plane: ControlPlane, reply: Reply | None, kind: str
) -> None:
    daemon, load = healthy.daemon, healthy.load
    before = len(daemon.lines(FAILED))
    errors = daemon.metric("peaks_source_errors_total")
    if reply is None:
        load.down()
    else:
        load.reply = reply
    wait_until(lambda: daemon.metric("peaks_source_errors_total") >= errors + LOOKS, "some looks")
    wait_until(lambda: len(daemon.lines(FAILED)) > before, "it is logged")
    assert len(daemon.lines(FAILED)) == before + 1
    assert daemon.health("load").startswith(f"[!]load: {kind}: ")
    assert not source_up(daemon)
    assert daemon.get("/readyz").status_code == 200
    goes_on(control_plane)


def test_an_empty_answer_as_prometheus_without_recording_rules_gives_it(
    healthy: Shared, control_plane: ControlPlane, test_data: Path
) -> None:
    daemon, before = healthy.daemon, len(healthy.daemon.lines(FAILED))
    healthy.load.reply = Reply((test_data / "exporters" / "load_watcher_empty.json").read_bytes())
    wait_until(lambda: not source_up(daemon), "the emptiness noticed")
    healthy.load.wait_asked(LOOKS)
    wait_until(lambda: len(daemon.lines(FAILED)) > before, "it is logged")
    assert len(daemon.lines(FAILED)) == before + 1
    assert "recording rule instance:node_cpu:ratio" in daemon.health("load")
    goes_on(control_plane)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        pytest.param(float("nan"), "no number", id="NaN"),
        pytest.param("12.5", "no number", id="text"),
        pytest.param(-1.0, "outside 0..", id="negative"),
        pytest.param(2500.0, "outside 0..", id="far above 100"),
        pytest.param(104.0, "above 100 %, taken as 100 %", id="a little above 100"),
    ],
)
def test_a_value_that_cannot_be_true_costs_one_node_its_load_and_no_other(
    healthy: Shared, control_plane: ControlPlane, value: Any, words: str
) -> None:
    daemon, before = healthy.daemon, len(healthy.daemon.lines(LEFT_OUT))
    healthy.load.reply = values(worker_0=value, worker_1=30.0)
    wait_until(lambda: len(daemon.lines(LEFT_OUT)) > before, "the value noticed")
    healthy.load.wait_asked(LOOKS)
    assert len(daemon.lines(LEFT_OUT)) == before + 1
    assert words in daemon.lines(LEFT_OUT)[-1]["problems"]
    assert words in daemon.health("load")
    assert "worker-0" in daemon.health("load")
    assert daemon.metric("peaks_load_problems") == 1
    assert source_up(daemon)
    goes_on(control_plane)


@pytest.mark.parametrize("name", ["192.0.2.7:9100", "[2001:db8::7]:9100", "somebody-else"])
def test_a_name_that_is_no_node_is_told(healthy: Shared, control_plane: ControlPlane, name: str) -> None:
    daemon, before = healthy.daemon, len(healthy.daemon.lines(UNMATCHED))
    healthy.load.say({**GOOD, name: 50.0})
    wait_until(lambda: daemon.metric("peaks_load_unmatched_keys") == 1, "the name noticed")
    healthy.load.wait_asked(LOOKS)
    wait_until(lambda: len(daemon.lines(UNMATCHED)) > before, "it is logged")
    assert [line["names"] for line in daemon.lines(UNMATCHED)[before:]] == [name]
    assert name in daemon.health("load")
    goes_on(control_plane)


@pytest.mark.parametrize(
    ("name", "means"),
    [
        pytest.param("10.0.0.1:9100", "worker-2", id="an address with a port"),
        pytest.param("[fd00::1]:9100", "worker-2", id="an IPv6 address with a port"),
        pytest.param("worker-0.example.com", "worker-0", id="a full name for a short one"),
    ],
)
def test_another_name_of_a_node_is_understood(
    healthy: Shared, control_plane: ControlPlane, name: str, means: str
) -> None:
    healthy.load.say({name: 42.0})
    healthy.load.wait_asked(2)
    control_plane.create_pods([pod("web-0", cpu="100m", nodeSelector={"kubernetes.io/hostname": means})])
    wait_placed(control_plane, "web-0")
    record = decision(ours(control_plane)[0])
    assert (record["node"], record["standing"]) == (means, "measured")
    # a pod of the case before lived for seconds of the window's 15 minutes: hardly anything of its 0.1 cores is left
    assert record["cpuBefore"] == pytest.approx(0.42, abs=0.001)
    assert healthy.daemon.health("load") == "[+]load ok"


def test_load_that_is_an_hour_old_is_stale_and_the_nodes_are_estimated(
    healthy: Shared, control_plane: ControlPlane
) -> None:
    daemon, before = healthy.daemon, len(healthy.daemon.lines("load is stale"))
    healthy.load.say(GOOD, age=3600)
    wait_until(lambda: daemon.metric("peaks_load_age_seconds") >= 3600, "the age noticed")
    healthy.load.wait_asked(LOOKS)
    wait_until(lambda: len(daemon.lines("load is stale")) > before, "it is logged")
    assert len(daemon.lines("load is stale")) == before + 1
    assert "s old; scheduling goes on by estimates" in daemon.health("load")
    assert daemon.metric("peaks_nodes", standing="measured") == 0
    control_plane.create_pods([pod("web-0", nodeSelector={"kubernetes.io/hostname": "worker-0"})])
    wait_placed(control_plane, "web-0")
    record = decision(ours(control_plane)[0])
    assert record["standing"] == "estimated"
    assert record["loadAgeSeconds"] >= 3600


def test_every_change_is_told_the_recovery_too(healthy: Shared) -> None:
    daemon, load = healthy.daemon, healthy.load
    failures, recoveries = len(daemon.lines(FAILED)), len(daemon.lines("load received"))

    for change in (404, 500):
        load.reply = Reply(status=change)
        wait_until(lambda change=change: f"http-{change}" in daemon.health("load"), f"{change} noticed")
    load.say(GOOD)
    wait_until(lambda: len(daemon.lines("load received")) > recoveries, "good load again")
    assert source_up(daemon)
    assert len(daemon.lines(FAILED)) == failures + 2
    assert len(daemon.lines("load received")) == recoveries + 1
