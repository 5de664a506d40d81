"""The process as its operator meets it: pages, start with wrong settings, end, power models that change under way."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.e2e.support.controlplane import ControlPlane
from tests.e2e.support.daemon import beside, clear, credentials
from tests.e2e.support.load_endpoint import LoadEndpoint
from tests.e2e.support.processes import Process, wait_until
from tests.e2e.support.stopwatch import Stopwatch
from tests.e2e.support.workload import (
    assert_sound,
    decision,
    model,
    node,
    nodes,
    ours,
    placed,
    pod,
    pods,
    wait_placed,
    wait_some_bound,
)
from tests.support.builders import BENT_UP

EXIT_WITHIN = 10.0  # [s] after SIGTERM, as promised


@pytest.fixture(autouse=True)
def _empty(control_plane: ControlPlane) -> None:
    clear(control_plane)


# --- pages ------------------------------------------------------------------------------------------------------------


def test_all_pages_answer_on_the_ipv6_loopback(control_plane: ControlPlane) -> None:
    with (
        LoadEndpoint({"worker-0": 5.0}) as load,
        beside(control_plane, load.url, settings={"listen": "[::1]:0"}) as daemon,
    ):
        assert daemon.url.startswith("http://[::1]:")
        pages = {path: daemon.get(path) for path in ("/livez", "/readyz", "/readyz?verbose", "/metrics", "/configz")}
        assert {path: page.status_code for path, page in pages.items()} == dict.fromkeys(pages, 200)
        assert "scheduler_schedule_attempts_total" in pages["/metrics"].text
        assert pages["/configz"].json()["load"]["address"] == load.url


def test_no_token_is_shown_anywhere(control_plane: ControlPlane) -> None:
    kubeconfig = credentials(control_plane)
    token = yaml.safe_load(kubeconfig.read_text())["users"][0]["user"]["token"]
    source = "http://user:a-password@127.0.0.1:9"
    with beside(control_plane, source, env={"PEAKS_LOG_LEVEL": "DEBUG"}) as daemon:
        control_plane.create_nodes([node("worker-0")])
        control_plane.create_pods([pod("web-0")])
        wait_placed(control_plane, "web-0")
        shown = [daemon.get(path).text for path in ("/configz", "/readyz?verbose", "/metrics")] + [daemon.output()]
    assert [text for text in shown if token in text or "a-password" in text] == []


def test_liveness_and_readiness_outlast_the_load_source(control_plane: ControlPlane) -> None:
    with LoadEndpoint({"worker-0": 5.0}) as load, beside(control_plane, load.url) as daemon:
        load.down()
        wait_until(lambda: daemon.metric("peaks_source_errors_total") > 0, "the failure noticed")
        assert (daemon.get("/livez").status_code, daemon.get("/readyz").status_code) == (200, 200)


# --- the end ----------------------------------------------------------------------------------------------------------


def nothing(plane: ControlPlane) -> None:
    """Nothing happens."""


def burst(plane: ControlPlane) -> None:
    plane.create_pods(pods(500))


@pytest.mark.parametrize(
    "meanwhile",
    [
        pytest.param(nothing, id="at rest"),
        pytest.param(burst, id="in a burst"),
        pytest.param(ControlPlane.stop_apiserver, id="with the API server away"),
    ],
)
def test_sigterm_ends_it_with_exit_code_0_within_ten_seconds(
    control_plane: ControlPlane, meanwhile: Callable[[ControlPlane], None]
) -> None:
    control_plane.create_nodes(nodes(6))
    with beside(control_plane) as daemon:
        daemon.wait_leading()
        meanwhile(control_plane)
        watch = Stopwatch(daemon.process, control_plane.process("kube-apiserver"), control_plane.process("etcd"))
        daemon.process.signal(signal.SIGTERM)
        try:
            wait_until(lambda: watch.look() or not daemon.alive, "its end", every=0.02)
            took = watch.took()
        finally:
            if meanwhile is ControlPlane.stop_apiserver:
                control_plane.start_apiserver()
    assert daemon.returncode == 0
    assert took <= EXIT_WITHIN
    assert daemon.lines()[-1]["message"] == "stopped"


def test_what_was_bound_before_sigterm_was_told_before_the_end(control_plane: ControlPlane) -> None:
    control_plane.create_nodes(nodes(6))
    with beside(control_plane) as daemon:
        control_plane.create_pods(pods(500))
        wait_some_bound(daemon, 50)
        daemon.stop()
        bound = set(placed(control_plane))
        events = control_plane.list_events(fieldSelector="reason=Scheduled")
        assert bound == {event["regarding"]["name"] for event in events}
        assert bound == {line["pod"].removeprefix("default/") for line in daemon.lines("bound")}
        daemon.start()
        daemon.wait_ready()
        assert_sound(control_plane, daemon)


# --- wrong settings ---------------------------------------------------------------------------------------------------

FALLING = {"models": [model((100.0, -20.0, 2.0), nodes=["worker-0"])]}


def refused(folder: Path, config: str | None, *options: str) -> list[str]:
    """Starts with these settings and expects exit code 2; what it printed beside its log."""
    argv = [sys.executable, "-m", "peaks_scheduler", "run", *options]
    if config is not None:
        (folder / "config.yaml").write_text(config)
        argv += ["--config", str(folder / "config.yaml")]
    process = Process("refused", argv, folder / "refused.log", {"KUBECONFIG": "", "HOME": str(folder)})
    assert process.wait() == 2, process.output()
    return [line for line in process.output().splitlines() if not line.startswith("{")]


@pytest.mark.parametrize(
    ("config", "options", "words"),
    [
        pytest.param("schedulerNam: Peaks", [], "schedulerName", id="a misspelt key"),
        pytest.param("load: {interval: 15}", [], "15s", id="a duration without a unit"),
        pytest.param("strategy: cheapest", [], "peaks", id="an unknown strategy"),
        pytest.param("a: [", [], "config.yaml", id="no YAML"),
        pytest.param(None, ["--config", "missing.yaml"], "missing.yaml", id="a configuration that is not there"),
        pytest.param(None, ["--kubeconfig", "missing.conf"], "missing.conf", id="a kubeconfig that is not there"),
        pytest.param(None, ["--listen", "127.0.0.1:99999"], "--listen", id="a port that cannot be"),
        pytest.param(json.dumps({"powerModels": "falling.yaml"}), [], "falling.yaml", id="a power curve that falls"),
    ],
)
def test_wrong_settings_end_it_with_exit_code_2_and_one_clear_line(
    tmp_path: Path, config: str | None, options: list[str], words: str
) -> None:
    (tmp_path / "falling.yaml").write_text(yaml.safe_dump(FALLING))
    lines = refused(tmp_path, config, *options)
    assert len(lines) == 1, lines
    assert lines[0].startswith("peaks-scheduler run: ")
    assert words in lines[0]


def test_a_port_that_is_taken_ends_it_with_exit_code_2(control_plane: ControlPlane, tmp_path: Path) -> None:
    with LoadEndpoint() as other:
        listen = other.url.removeprefix("http://")
        lines = refused(tmp_path, None, "--kubeconfig", str(credentials(control_plane)), "--listen", listen)
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"peaks-scheduler run: cannot listen on {listen}: the port is taken")


# --- power models that change -----------------------------------------------------------------------------------------


def test_a_wrong_power_model_file_leaves_the_last_good_one_in_force(control_plane: ControlPlane) -> None:
    control_plane.create_nodes([node("worker-0")])
    with LoadEndpoint({"worker-0": 0.0}) as load, beside(control_plane, load.url) as daemon:
        daemon.write_models([model(BENT_UP, nodes=["worker-0"])])
        wait_until(lambda: daemon.metric("peaks_nodes", standing="measured") == 1, "the new model in force")
        daemon.write_models(FALLING["models"])
        wait_until(lambda: daemon.metric("peaks_power_model_valid") == 0, "the wrong one noticed")
        assert "models.yaml" in daemon.health("power-models")
        daemon.wait_for("power model file not used, the last good one stays in force")
        assert len(daemon.lines("power model file not used, the last good one stays in force")) == 1
        control_plane.create_pods([pod("web-0", cpu="8")])
        wait_placed(control_plane, "web-0")
        # 20 * (exp(2) - 1) W: from idle to full
        assert decision(ours(control_plane)[0])["jumpWatts"] == pytest.approx(127.781122, abs=1e-3)
        daemon.write_models([model(BENT_UP, nodes=["worker-0"])])
        wait_until(lambda: daemon.metric("peaks_power_model_valid") == 1, "a good one again")
