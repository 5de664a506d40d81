"""Which model a node has, said by the cluster: WAO's NodeConfig and NodeConfigTemplate, applied and changed while the
scheduler runs with the rights of the manifests; WAO 1's node labels, and TensorFlow Serving behind them.

The models answer by formulas of this file, so that what a pod costs tells which of them was asked. There is no package
of TensorFlow Serving: a server of ours speaks its REST, with answers of networks of a WAO site.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from peaks_scheduler.arrays import Floats
from tests.e2e.support.api import Object
from tests.e2e.support.controlplane import ControlPlane
from tests.e2e.support.daemon import Daemon, beside, clear
from tests.e2e.support.load_endpoint import LoadEndpoint
from tests.e2e.support.node_configs import GROUPS, define, put, remove, remove_all, spec, term, undefine
from tests.e2e.support.processes import wait_until
from tests.e2e.support.workload import decision, node, pod, wait_placed
from tests.support.served_models import Model, TensorFlowServer, V2Server
from tests.support.wao_models import wao_models

CORES = 8
NODES = ("worker-0", "worker-1")
PACE = {"refresh": "1s", "expiry": "20s", "timeout": "5s"}
_more = itertools.count()
PER_LOAD = {"steep": 160.0, "flat": 80.0}  # [W] from no to full load
FILE = 240.0  # [W] of the model file, between no and full load


def rising(slope: float) -> Callable[[Floats], Floats]:
    """Watts that rise by ``slope`` from no to full load. The first column is in cores, as WAO's default has it."""
    return lambda rows: 60.0 + slope * rows[:, 0] / CORES


@pytest.fixture(scope="module")
def server() -> Iterator[V2Server]:
    with V2Server({name: Model(rising(slope)) for name, slope in PER_LOAD.items()}) as running:
        yield running


def of_file(*names: str) -> list[Object]:
    return [{"nodes": list(names), "cpu": "ratio", "curve": {"kind": "linear", "idle": 90.0, "max": 90.0 + FILE}}]


@pytest.fixture(scope="module")
def kinds(control_plane: ControlPlane) -> Iterator[ControlPlane]:
    """Both kinds in both groups."""
    undefine(control_plane.api)
    for group in GROUPS:
        define(control_plane.api, group)
    yield control_plane
    undefine(control_plane.api)


@pytest.fixture
def defined(kinds: ControlPlane) -> ControlPlane:
    """A cluster with two nodes, and no object of these kinds yet."""
    clear(kinds)
    remove_all(kinds.api)
    kinds.create_nodes([node(name, cpu=str(CORES), labels={"rack": name}) for name in NODES])
    return kinds


def daemon_of(plane: ControlPlane) -> Daemon:
    settings = {"predictors": PACE, "sensors": {"interval": "1s"}}
    return beside(plane, settings=settings, models=of_file(*NODES))


def infer(server: V2Server, model: str) -> str:
    """The full URL, as WAO wants it."""
    return f"{server.url}/v2/models/{model}/versions/1/infer"


def jump_on(plane: ControlPlane, name: str, where: str) -> tuple[str, float]:
    """(where the model came from, jump [W]) of a pod of one core on a node."""
    plane.create_pods([pod(name, cpu="1", nodeSelector={"kubernetes.io/hostname": where})])
    wait_placed(plane, name)
    record = decision(plane.read("Pod", name))
    return record["modelFrom"], record["jumpWatts"]


def next_jump(plane: ControlPlane) -> tuple[str, float]:
    """``jump_on`` of one more pod on worker-0."""
    return jump_on(plane, f"more-{next(_more)}", "worker-0")


def of_rack(rack: str, template: Object) -> Object:
    """The spec of a template for the nodes of a rack."""
    return {"nodeSelector": {"matchLabels": {"rack": rack}}, "template": template}


def of_a_core(watts: float) -> Any:
    """The jump [W] of one core, where the whole node rises by ``watts``."""
    return pytest.approx(watts / CORES, rel=0.01)


def predicted(daemon: Daemon) -> float:
    return daemon.metric("peaks_predicted_nodes")


def test_node_configs_of_both_groups_say_the_models_of_their_nodes_and_are_changed_while_running(
    defined: ControlPlane, server: V2Server
) -> None:
    """The scheduler looks at them every 15 s. A node that no object means any more has the file's model again."""
    api = defined.api
    put(api, GROUPS[0], "NodeConfig", "first", spec(infer(server, "steep"), node="worker-0"))
    put(api, GROUPS[1], "NodeConfigTemplate", "rest", of_rack("worker-1", spec(infer(server, "flat"), node="any")))
    with daemon_of(defined) as daemon:
        daemon.wait_leading()
        wait_until(lambda: predicted(daemon) == 2, "both predicted")
        assert jump_on(defined, "steep", "worker-0") == ("predicted", of_a_core(PER_LOAD["steep"]))
        assert jump_on(defined, "flat", "worker-1") == ("predicted", of_a_core(PER_LOAD["flat"]))

        put(api, GROUPS[0], "NodeConfig", "first", spec(infer(server, "flat"), node="worker-0"))
        remove(api, GROUPS[1], "NodeConfigTemplate", "rest")
        wait_until(lambda: predicted(daemon) == 1, "one predicted")
        assert jump_on(defined, "filed", "worker-1") == ("file", of_a_core(FILE))
        wait_until(lambda: next_jump(defined) == ("predicted", of_a_core(PER_LOAD["flat"])), "the other model")


def test_a_template_makes_the_address_of_each_nodes_model(defined: ControlPlane, server: V2Server) -> None:
    """``worker-0`` and ``worker-1`` are the names of models here."""
    server.models["worker-0"], server.models["worker-1"] = server.models["steep"], server.models["flat"]
    everywhere = {"matchExpressions": [{"key": "rack", "operator": "Exists"}]}
    content = {"nodeSelector": everywhere, "template": spec(infer(server, "{{ .Hostname }}"), node="any")}
    put(defined.api, GROUPS[0], "NodeConfigTemplate", "all", content)
    with daemon_of(defined) as daemon:
        daemon.wait_leading()
        wait_until(lambda: predicted(daemon) == 2, "both predicted")
        defined.create_pods([pod("web-0", cpu="1")])
        assert wait_placed(defined, "web-0") == "worker-1"
        record = decision(defined.read("Pod", "web-0"))
        assert record["runnerUpJumpWatts"] == of_a_core(PER_LOAD["steep"])


def test_a_node_config_that_cannot_be_used_is_named_and_the_file_counts(
    defined: ControlPlane, server: V2Server
) -> None:
    put(defined.api, GROUPS[0], "NodeConfig", "wrong", spec("not a url", node="worker-0"))
    put(defined.api, GROUPS[0], "NodeConfig", "right", spec(infer(server, "flat"), node="worker-1"))
    with daemon_of(defined) as daemon:
        daemon.wait_leading()
        wait_until(lambda: predicted(daemon) == 1, "the other node predicted")
        words = ("[!]node-configs", "wrong")
        wait_until(lambda: all(each in daemon.health("node-configs") for each in words), "it is named")
        assert jump_on(defined, "web-0", "worker-0") == ("file", of_a_core(FILE))


def test_what_wao_says_of_response_times_is_passed_over(defined: ControlPlane, server: V2Server) -> None:
    """Its definition has fields for them beside those for power."""
    content = spec(infer(server, "flat"), node="worker-0")
    content["predictor"]["responseTime"] = term("V2InferenceProtocol", infer(server, "steep"))
    put(defined.api, GROUPS[1], "NodeConfig", "both", content)
    with daemon_of(defined) as daemon:
        daemon.wait_leading()
        wait_until(lambda: predicted(daemon) == 1, "its node predicted")
        wait_until(lambda: daemon.health("node-configs").startswith("[+]"), "nothing wrong")


# --- WAO 1 ------------------------------------------------------------------------------------------------------------

NETWORK = "101"
RANGE = {"min": "10", "max": "50"}  # [C]
TEMPERATURES = {"worker-0": 20.0, "worker-1": 40.0}  # a quarter and three quarters of the range: points of the grid
USE, POD = 0.2, 0.1  # of a node: from one point of the grid to the next


@pytest.fixture
def labelled(control_plane: ControlPlane, test_data: Path) -> Iterator[tuple[Daemon, TensorFlowServer]]:
    """Two nodes with the labels of WAO 1 and temperatures from the configuration; one is hotter than the other."""
    clear(control_plane)
    model = Model(wao_models(test_data)[NETWORK], columns=4, signatures=("konohana",))
    percent = dict.fromkeys(TEMPERATURES, 100.0 * USE)
    with TensorFlowServer({"konohana": model}) as server, LoadEndpoint(percent) as load:
        labels = labels_of(server)
        control_plane.create_nodes([node(name, cpu=str(CORES), labels=labels) for name in TEMPERATURES])
        values = {name: dict.fromkeys(("inlet", "cpu1", "cpu2"), value) for name, value in TEMPERATURES.items()}
        settings = {"sensors": {"values": values, "interval": "1s"}, "predictors": PACE}
        with beside(control_plane, load.url, settings=settings, models=of_file(*TEMPERATURES)) as daemon:
            daemon.wait_leading()
            yield daemon, server


def labels_of(server: TensorFlowServer) -> dict[str, str]:
    host, _, port = server.url.removeprefix("http://").partition(":")
    ranges = {f"{name}/{end}": value for name in ("ambient", "cpu1", "cpu2") for end, value in RANGE.items()}
    asked = {"host": host, "port": port, "name": "konohana", "version": "1", "signature": "konohana"}
    return {**ranges, **{f"tensorflow/{key}": value for key, value in asked.items()}}


def test_the_labels_of_wao_1_name_a_model_on_tensorflow_serving(
    labelled: tuple[Daemon, TensorFlowServer], control_plane: ControlPlane, test_data: Path
) -> None:
    """A pod of a tenth of a node, from a fifth: what the network itself says at two points of its grid."""
    daemon, server = labelled
    wait_until(lambda: predicted(daemon) == 2, "both predicted")
    control_plane.create_pods([pod("web-0", cpu=f"{round(1000 * POD * CORES)}m")])
    where = wait_placed(control_plane, "web-0")
    record = decision(control_plane.read("Pod", "web-0"))
    rise = {name: network_rise(test_data, celsius) for name, celsius in TEMPERATURES.items()}
    assert where == min(rise, key=rise.__getitem__)
    assert (record["modelFrom"], record["temperature"]) == ("predicted", TEMPERATURES[where])
    assert record["riseWatts"] == pytest.approx(rise[where], rel=0.01)  # the jump is that of the convex envelope
    assert server.predictions[-1].json["signature_name"] == "konohana"


def network_rise(test_data: Path, celsius: float) -> float:
    """[W] that the pod adds at this temperature of air and CPUs."""
    share = (celsius - 10.0) / 40.0
    before, after = wao_models(test_data)[NETWORK](np.array([[use, share, share, share] for use in (USE, USE + POD)]))
    return float(after - before)
