"""Power models out of a real Prometheus: the known curves of simulated machines come back, whoever tells of them.

A machine's sensors follow its curve with 1 % of noise on each five minutes. Expected are the curve itself where the
whole machine is measured, and the share of it that a zone has (``machines.SHARES``) where it is not: any sum of
overlapping zones would be off by at least a tenth.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from peaks_scheduler.power.file import parse_models
from peaks_scheduler.power.models import PowerModel
from peaks_scheduler.power.uncertainty import gradient
from tests.e2e.support.controlplane import ControlPlane
from tests.e2e.support.daemon import Daemon, beside, clear
from tests.e2e.support.exporter import KEPLER, KEPLER_OLD, NODE_EXPORTER, Exporter, open_metrics
from tests.e2e.support.machines import SHARES, Machine, staircase
from tests.e2e.support.monitoring import programs
from tests.e2e.support.processes import PATIENCE, wait_until
from tests.e2e.support.prometheus import Prometheus
from tests.e2e.support.reverse_proxy import Fault, ReverseProxy
from tests.e2e.support.workload import decision, node, pod, wait_placed

RULES = Path(__file__).resolve().parents[2] / "manifests" / "samples" / "prometheusrule.yaml"
HOURS = 8
EACH = 300.0  # [s] of one level of load
SCRAPE = 30.0
AHEAD = 1800.0  # [s] of history beyond now, so that now is in it for as long as the tests take
FIT_LIMIT = 300  # [s]
AT = np.linspace(0.05, 0.95, 10)


def curve(u: float) -> float:
    """100 W idle, 180 W at full load, concave."""
    return 184.21 - 84.21 * math.exp(-3.0 * u)


def machine(name: str, origin: float, *, without: Sequence[str] = (), **shares: float) -> Machine:
    return Machine(
        name,
        curve,
        staircase(tuple(np.linspace(0.0, 1.0, 11)), each=EACH, rounds=10, noise=0.01, seed=len(name), shuffle=True),
        cpus=2,
        sockets=2,
        watts_noise=0.01,
        seed=len(name),
        shares={zone: share for zone, share in {**SHARES, **shares}.items() if zone not in without},
        origin=origin - EACH + 1.0,  # what is read at a whole minute is of the time before it
    )


@dataclass(frozen=True, slots=True)
class Case:
    """How a machine is told of, and what is expected to come out."""

    kinds: tuple[str, ...]
    share: float
    """Of the machine's watts that the zones have which count."""
    without: tuple[str, ...] = ()
    zero: tuple[str, ...] = ()
    """Zones whose sensor says 0 all the time."""
    instance: str = "{name}"


NO_PLATFORM, PARTS = ("platform",), SHARES["package"] + SHARES["dram"]
CASES = {
    "whole": Case((NODE_EXPORTER, KEPLER), 1.0),
    "only-psys": Case((NODE_EXPORTER, KEPLER), SHARES["psys"], NO_PLATFORM),
    "package": Case((NODE_EXPORTER, KEPLER), PARTS, ("platform", "psys")),
    "dead-sensors": Case((NODE_EXPORTER, KEPLER), PARTS, zero=("platform", "psys")),
    "kepler-alone": Case((KEPLER,), 1.0),
    "old": Case((NODE_EXPORTER, KEPLER_OLD), 1.0, instance="{name}:9100"),
    "old-package": Case((NODE_EXPORTER, KEPLER_OLD), PARTS, NO_PLATFORM),
}
REBOOTED = "rebooted"  # in the middle of the time; else as `package`


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Eight hours of all machines."""
    end = time.time() // 60 * 60 + AHEAD
    start, middle = end - HOURS * 3600 - AHEAD, end - HOURS * 1800
    texts: list[str] = []
    for name, case in CASES.items():
        told = machine(name, start, without=case.without, **dict.fromkeys(case.zero, 0.0))
        texts += open_metrics([told], start=start, end=end, step=SCRAPE, kinds=case.kinds, instance=case.instance)
    before = machine(REBOOTED, start, without=("platform", "psys"))
    after = replace(before, origin=middle - EACH + 1.0)
    for told, begin, until in ((before, start, middle), (after, middle, end)):
        texts += open_metrics([told], start=begin, end=until, step=SCRAPE)
    with Prometheus(tmp_path_factory.mktemp("history"), history=texts) as prometheus:
        yield prometheus


@dataclass(frozen=True, slots=True)
class Fitted:
    """What the command said and wrote."""

    code: int
    said: str
    nodes: Mapping[str, Any]
    models: Mapping[str, PowerModel]


def fit(url: str, folder: Path, *options: str, span: str = f"{HOURS}h", step: str = "60s") -> Fitted:
    """``peaks-scheduler fit --prometheus``."""
    out = folder / "models.yaml"
    argv = [sys.executable, "-m", "peaks_scheduler", "fit", "--prometheus", url, "--range", span, "--step", step]
    argv += ["--output", "json", "-o", str(out), *options]
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=FIT_LIMIT, check=False)
    nodes = json.loads(ran.stdout)["nodes"] if ran.stdout else {}
    models = parse_models(out.read_text(), str(out)).by_name if out.exists() else {}
    return Fitted(ran.returncode, ran.stderr, nodes, models)


def off(model: PowerModel, share: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    """(M,) by how many of its own standard errors the model is from the truth at each of the loads AT."""
    assert model.quality is not None
    covariance = np.asarray(model.quality.covariance)
    g = gradient(model, AT, envelope=False)
    errors = np.sqrt(np.einsum("im,ij,jm->m", g, covariance, g))
    true = np.array([share * curve(float(u)) for u in AT])
    return (np.array([model.curve.watts(float(u)) for u in AT]) - true) / errors


def assert_within_its_interval(model: PowerModel, share: float) -> None:
    """At ten loads: within 95 % (1.96 standard errors) at eight of them or more, and at none beyond 99.9 % (3.3)."""
    far = np.abs(off(model, share))
    assert np.count_nonzero(far <= 1.96) >= 8, far
    assert far.max() <= 3.3


# --- the known curve --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted(history: Prometheus, tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    """The family chosen by the command."""
    return fit(history.url, tmp_path_factory.mktemp("fitted"))


@pytest.fixture(scope="module")
def exponentials(history: Prometheus, tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    """The family that the machines are of: an interval holds the truth only where the truth is of the family."""
    return fit(history.url, tmp_path_factory.mktemp("exponentials"), "--model", "exponential")


def share(name: str) -> float:
    """Of a machine's watts that are expected to be counted."""
    return CASES[name].share if name in CASES else PARTS


def test_every_machine_gets_a_model_that_is_good(fitted: Fitted) -> None:
    assert fitted.code == 0, fitted.said
    assert {name: each["verdict"] for name, each in fitted.nodes.items()} == dict.fromkeys((*CASES, REBOOTED), "good")


@pytest.mark.parametrize("name", [*CASES, REBOOTED])
def test_the_known_curve_comes_back(fitted: Fitted, name: str) -> None:
    watts = [fitted.models[name].curve.watts(float(u)) for u in AT]
    assert watts == pytest.approx([share(name) * curve(float(u)) for u in AT], rel=0.02)


@pytest.mark.parametrize("name", [*CASES, REBOOTED])
def test_the_known_curve_is_within_the_models_own_interval(exponentials: Fitted, name: str) -> None:
    assert_within_its_interval(exponentials.models[name], share(name))


def test_counters_that_began_again_leave_no_trace(fitted: Fitted) -> None:
    assert fitted.nodes[REBOOTED]["rmseWatts"] == pytest.approx(fitted.nodes["package"]["rmseWatts"], rel=0.5)


def test_it_is_said_that_the_nodes_are_not_measured_alike(fitted: Fitted) -> None:
    assert "not of the same parts of every machine" in fitted.said


def test_a_query_of_ones_own_is_taken_instead(history: Prometheus, tmp_path: Path) -> None:
    query = 'sum by (node_name) (kepler_node_cpu_joules_total{zone="core"})'
    own = fit(history.url, tmp_path, "--power-query", query)
    assert own.code == 0, own.said
    middle = own.models["whole"].curve.watts(0.5)
    assert middle == pytest.approx(SHARES["core"] * curve(0.5), rel=0.02)


# --- trouble ----------------------------------------------------------------------------------------------------------


def test_a_token_is_needed_and_given(history: Prometheus, tmp_path: Path) -> None:
    (token := tmp_path / "token").write_text("open-sesame\n")
    with ReverseProxy(history.url, token="open-sesame") as proxy:
        shut = fit(proxy.url, tmp_path)
        assert (shut.code, shut.nodes) == (1, {})
        assert "401" in shut.said
        assert "Traceback" not in shut.said
        assert fit(proxy.url, tmp_path, "--prometheus-token-file", str(token)).code == 0


def test_a_query_that_fails_and_series_that_are_missing_cost_nobody_else_a_model(
    history: Prometheus, tmp_path: Path
) -> None:
    with ReverseProxy(history.url) as proxy:
        proxy.faults = [
            Fault(query="ipmi_dcmi", status=500),
            Fault(query="kepler_node_cpu_", without=lambda labels: labels.get("node_name") == "package"),
        ]
        partial = fit(proxy.url, tmp_path)
    assert partial.code == 0
    assert "ipmi_dcmi_power_consumption_current_watts" in partial.said
    assert partial.nodes["package"]["verdict"] == "refused"
    assert any("no series of its power" in reason for reason in partial.nodes["package"]["reasons"])
    assert partial.nodes["only-psys"]["verdict"] == "good"


def test_partial_results_are_told(history: Prometheus, tmp_path: Path) -> None:
    with ReverseProxy(history.url) as proxy:
        proxy.faults = [Fault(query="node_cpu_seconds_total", warnings=["one of two stores is away"])]
        warned = fit(proxy.url, tmp_path)
    assert warned.code == 0
    assert "one of two stores is away" in warned.said


def test_nobody_at_the_address_is_an_error_in_words(tmp_path: Path) -> None:
    nobody = fit("http://127.0.0.1:9", tmp_path)
    assert nobody.code == 1
    assert "is it running?" in nobody.said
    assert "Traceback" not in nobody.said


# --- scraped as it happens --------------------------------------------------------------------------------------------

LIVE_EACH = 3.0  # [s] of one level of load
LIVE_SPAN = 66  # [s]


def test_machines_that_are_scraped_now_give_their_curve(tmp_path: Path) -> None:
    """A minute of a load generator that goes up and down, scraped twice a second: to within 3 % of the known curve."""
    up = tuple(np.linspace(0.0, 1.0, 11))
    load = staircase((*up, *reversed(up)), each=LIVE_EACH)
    machines = [Machine(name, curve, load, origin=0.0) for name in ("new", "old")]
    with (
        Exporter(machines[:1]) as new,
        Exporter(machines[1:]) as old,
        Prometheus(
            tmp_path,
            [*new.targets(NODE_EXPORTER, KEPLER), *old.targets(NODE_EXPORTER, KEPLER_OLD)],
            interval=0.5,
        ) as prometheus,
    ):
        prometheus.wait_scraped(2)
        begun = time.time()
        wait_until(lambda: time.time() > begun + LIVE_SPAN, "a minute of load", LIVE_SPAN + PATIENCE, every=0.5)
        live = fit(prometheus.url, tmp_path, "--model", "exponential", span="63s", step="3s")
    assert live.code == 0, live.said
    for name in ("new", "old"):
        watts = [live.models[name].curve.watts(u) for u in (0.1, 0.5, 0.9)]
        assert watts == pytest.approx([curve(u) for u in (0.1, 0.5, 0.9)], rel=0.03)
        # the errors at all loads are those of three parameters and go together: how many of ten are beyond 95 % is
        # the chance of one draw, and each run here is another
        assert np.abs(off(live.models[name], 1.0)).max() <= 3.3


# --- the daemon -------------------------------------------------------------------------------------------------------


def test_the_scheduler_learns_models_places_by_them_and_outlives_prometheus(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    end = time.time() // 60 * 60 + AHEAD
    start = end - 2 * 3600 - AHEAD
    names = ("worker-0", "worker-1")
    told = [machine(name, start) for name in names]
    dear = replace(told[1], curve=lambda u: 3.0 * curve(u))
    texts = open_metrics([told[0], dear], start=start, end=end, step=SCRAPE)
    clear(control_plane)
    control_plane.create_nodes([node(name) for name in names])
    with Prometheus(tmp_path, history=texts) as prometheus:
        settings = {
            "prometheus": {"address": prometheus.url},
            "refit": {"interval": "2s", "range": "2h"},
            "drift": {"interval": "2s"},
        }
        with beside(control_plane, settings=settings, options=["--refit", "--node-metrics"]) as daemon:
            daemon.wait_leading()
            wait_until(lambda: daemon.metric("peaks_learned_power_models") == 2, "both models learned")
            control_plane.create_pods([pod("web-0", cpu="1")])
            assert wait_placed(control_plane, "web-0") == "worker-0"
            record = decision(control_plane.read("Pod", "web-0"))
            assert record["model"] == "worker-0"
            assert record["standing"] == "estimated"  # nobody tells the load here
            line = daemon.wait_for("power model learned", node="worker-1")
            assert line["rmse_after_watts"] < 0.02 * 3.0 * curve(1.0)
            wait_until(lambda: daemon.metric("peaks_power_compared_nodes") == 2, "measured beside predicted")
            assert 0.0 < daemon.metric("peaks_power_model_drift_ratio", stat="worst") < 0.1
            # from two pages: between them the load may change
            wait_until(lambda: power(daemon, "predicted") == pytest.approx(power(daemon, "measured"), rel=0.1), "alike")
            wait_until(lambda: daemon.health("refit") == "[+]refit ok", "nothing wrong")

            prometheus.stop()
            wait_until(lambda: daemon.health("refit").startswith("[!]refit: unreachable: "), "it is missed")
            assert daemon.get("/readyz").status_code == 200
            assert daemon.metric("peaks_learned_power_models") == 2
            control_plane.create_pods([pod("web-1", cpu="100m")])
            assert wait_placed(control_plane, "web-1") == "worker-0"


def power(daemon: Daemon, kind: str) -> float:
    return daemon.metric("peaks_node_power_watts", node="worker-1", kind=kind)


# --- alerts -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """The alert rules, as a Prometheus without an operator reads them."""
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(yaml.safe_load(RULES.read_text())["spec"]))
    return tmp_path / "rules.yaml"


def promtool(*arguments: object) -> str:
    argv = [str(programs()["promtool"]), *map(str, arguments)]
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_the_alert_rules_are_rules(rules: Path) -> None:
    assert "4 rules found" in promtool("check", "rules", rules)


def test_drift_is_an_alert_after_half_an_hour_and_not_before(rules: Path, tmp_path: Path) -> None:
    """Two replicas that tell the same are one alert."""
    ratio = 'peaks_power_model_drift_ratio{stat="median",instance="%s"}'
    alert = {"alertname": "PeaksPowerModelsDrift", "exp_alerts": []}
    annotations = next(
        rule["annotations"]
        for rule in yaml.safe_load(rules.read_text())["groups"][0]["rules"]
        if rule["alert"] == "PeaksPowerModelsDrift"
    )
    told = {key: text.replace("{{ $value | humanizePercentage }}", "12%") for key, text in annotations.items()}
    fires = {"exp_labels": {"severity": "warning"}, "exp_annotations": told}
    case = {
        "interval": "1m",
        "input_series": [{"series": ratio % name, "values": "0.05x9 0.12x60"} for name in ("a", "b")],
        "alert_rule_test": [{**alert, "eval_time": "35m"}, {**alert, "eval_time": "45m", "exp_alerts": [fires]}],
    }
    (tmp_path / "test.yaml").write_text(yaml.safe_dump({"rule_files": [str(rules)], "tests": [case]}))
    assert "SUCCESS" in promtool("test", "rules", tmp_path / "test.yaml")
