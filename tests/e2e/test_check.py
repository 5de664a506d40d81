"""``peaks-scheduler check`` before an installation, on a real API server and with the rights of the manifests alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.support.api import Object
from tests.e2e.support.controlplane import ControlPlane
from tests.e2e.support.daemon import MANIFESTS, NOBODY, beside, clear, credentials
from tests.e2e.support.exporter import NODE_EXPORTER, Exporter
from tests.e2e.support.load_endpoint import LoadEndpoint
from tests.e2e.support.machines import Machine, staircase
from tests.e2e.support.processes import wait_until
from tests.e2e.support.prometheus import Prometheus
from tests.e2e.support.workload import model, node, pod
from tests.support.builders import BENT_DOWN

ROLE = "/apis/rbac.authorization.k8s.io/v1/clusterroles/peaks-scheduler"
METERED = {"rmseWatts": 1.7, "r2": 0.99, "samples": 900, "cpuMin": 0.0, "cpuMax": 0.93}


@dataclass(slots=True)
class Preflight:
    """The command as an operator runs it, with a configuration that the test may change."""

    folder: Path
    kubeconfig: Path
    settings: dict[str, Any] = field(default_factory=dict)
    models: list[Object] = field(default_factory=list)

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        models, config = self.folder / "check-models.yaml", self.folder / "check.yaml"
        models.write_text(yaml.safe_dump({"models": self.models}))
        config.write_text(yaml.safe_dump({"powerModels": str(models), **self.settings}))
        argv = [sys.executable, "-m", "peaks_scheduler", "check", "--config", str(config)]
        usual = ["--kubeconfig", str(self.kubeconfig), *options]
        env = {key: value for key, value in os.environ.items() if not key.startswith(("PEAKS_", "NODE_POWER", "KUBE"))}
        ran = subprocess.run([*argv, *usual], capture_output=True, text=True, timeout=300, env=env, check=False)
        assert "Traceback" not in ran.stderr
        return ran

    def found(self) -> dict[str, list[tuple[str, str]]]:
        """Check -> (status, finding) of each of its lines."""
        lines: dict[str, list[tuple[str, str]]] = {}
        for each in json.loads(self.run("--output", "json").stdout)["checks"]:
            lines.setdefault(each["check"], []).append((each["status"], each["finding"]))
        return lines


@pytest.fixture
def ready(control_plane: ControlPlane) -> Iterator[Preflight]:
    """Three nodes with load and models, and the scheduler's own account."""
    clear(control_plane)
    names = ["worker-0", "worker-1", "worker-2"]
    control_plane.create_nodes([node(name) for name in names])
    with LoadEndpoint(dict.fromkeys(names, 20.0)) as load:
        preflight = Preflight(control_plane.folder, credentials(control_plane))
        preflight.settings = {"load": {"address": load.url}}
        preflight.models = [{**model(BENT_DOWN, nodes=names), "quality": METERED}]
        yield preflight


@pytest.fixture
def role(control_plane: ControlPlane) -> Iterator[Callable[[str], None]]:
    """Takes the rights on a resource away; they are back afterwards."""

    def take(resource: str) -> None:
        rules = control_plane.api.get(ROLE)["rules"]
        kept = [rule for rule in rules if resource not in rule["resources"]]
        assert len(kept) < len(rules)
        control_plane.api.patch(ROLE, {"rules": kept})

    yield take
    control_plane.kubectl("apply", "-k", MANIFESTS)


def test_with_the_rights_of_the_manifests_all_is_well(ready: Preflight) -> None:
    ran = ready.run()
    assert ran.returncode == 0, ran.stdout
    lines = ran.stdout.splitlines()
    assert all(line.startswith("ok ") for line in lines), ran.stdout
    assert "system:serviceaccount:kube-system:peaks-scheduler has all" in ran.stdout
    assert "is Kubernetes 1." in lines[0]


def test_a_right_that_was_taken_away_is_named_with_what_stops(ready: Preflight, role: Callable[[str], None]) -> None:
    role("pods/binding")
    # the API server's own picture of the roles is a moment late
    lines = wait_until(lambda: [line for line in ready.found()["rights"] if line[0] == "failed"], "the right gone")
    assert len(lines) == 1
    assert lines[0][1].endswith("may not create pods/binding: no pod is placed")
    assert ready.run().returncode == 1


def test_an_optional_right_that_is_missing_is_no_failure(ready: Preflight, role: Callable[[str], None]) -> None:
    role("events")
    lines = wait_until(lambda: [line for line in ready.found()["rights"] if line[0] == "warning"], "the right gone")
    assert "may not create events.events.k8s.io: no Scheduled and FailedScheduling events" in lines[0][1]
    assert ready.run().returncode == 0


def test_load_names_and_models_that_are_wrong_have_a_line_each(ready: Preflight) -> None:
    with LoadEndpoint({"db-1": 20.0, "worker-0": 20.0}) as load:
        ready.settings["load"]["address"] = load.url
        ready.models = []
        found = ready.found()
        assert ready.run().returncode == 1
    (unmatched, without), (models,) = found["load names"], found["power models"]
    assert unmatched == ("warning", "load names that are no node of this cluster: db-1")
    assert without == ("warning", "2 of 3 nodes without load, estimated: worker-1, worker-2")
    assert models[0] == "failed"


def test_a_load_source_that_is_down_fails_alone(ready: Preflight) -> None:
    ready.settings["load"]["address"] = NOBODY
    assert ready.run().returncode == 1
    failures = [check for check, lines in ready.found().items() if any(status == "failed" for status, _ in lines)]
    assert failures == ["load source"]


def test_beside_a_scheduler_at_work_it_shows_who_holds_the_lease(ready: Preflight, control_plane: ControlPlane) -> None:
    with beside(control_plane, ready.settings["load"]["address"]) as daemon:
        daemon.wait_leading()
        control_plane.create_pods([pod("web-0")])
        daemon.wait_for("bound", pod="default/web-0")
        ((status, text),) = ready.found()["lease"]
    assert status == "ok"
    assert "kube-system/peaks-scheduler-peaks is in use: " in text


def test_without_metrics_server_that_source_fails_and_says_what_is_missing(ready: Preflight) -> None:
    ready.settings["load"] = {"source": "metrics-server"}
    found = ready.found()
    ((status, text),) = found["load source"]
    assert (status, "install metrics-server" in text) == ("failed", True)
    assert found["rights"][0][0] == "ok"


def test_prometheus_is_asked_for_load_and_when_it_has_stopped_the_line_says_so(
    ready: Preflight, tmp_path: Path
) -> None:
    machines = [Machine(f"worker-{i}", lambda u: 100 + 80 * u, staircase([0.25], each=10)) for i in range(3)]
    with Exporter(machines) as exporter, Prometheus(tmp_path, exporter.targets(NODE_EXPORTER)) as prometheus:
        prometheus.wait_scraped(3)
        ready.settings = {"load": {"source": "prometheus", "window": "10s"}, "prometheus": {"address": prometheus.url}}
        ready.settings["podUsage"] = {"source": "none"}
        found = ready.found()
        prometheus.stop()
        stopped = ready.found()
    for good in ("load source", "load age", "load names", "load values", "Prometheus"):
        assert [status for status, _ in found[good]] == ["ok"], found[good]
    assert found["Prometheus"][0][1].endswith("answers and scrapes 3 targets")
    for gone in ("load source", "Prometheus"):
        assert "is it running?" in stopped[gone][0][1]
    assert stopped["load source"][0][0] == "failed"


def test_an_api_server_that_is_not_there_is_said_in_time_and_hides_nothing(ready: Preflight, tmp_path: Path) -> None:
    whole = yaml.safe_load(ready.kubeconfig.read_text())
    whole["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:9"
    ready.kubeconfig = tmp_path / "kubeconfig.yaml"
    ready.kubeconfig.write_text(yaml.safe_dump(whole))
    found = ready.found()
    assert found["API server"][0][0] == "failed"
    assert found["load source"] == [("ok", "load-watcher tells the load of 3 nodes")]
    assert found["power models"][0][0] == "ok"
