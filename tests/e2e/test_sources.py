"""Load from a real Prometheus and a real metrics-server: it decides where pods go, and trouble with it is seen.

Expected loads are those that the simulated machines were given and that the pods' annotations declare. The daemon is
the real one on the real API server, with the rights of the manifests.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from peaks_scheduler.errors import LoadError
from peaks_scheduler.sources.pod_usage import PodUsage, PrometheusPods
from peaks_scheduler.sources.prometheus.api import PrometheusApi
from peaks_scheduler.sources.prometheus.load import PrometheusLoad
from tests.e2e.support.api import Object
from tests.e2e.support.controlplane import ControlPlane
from tests.e2e.support.daemon import Daemon, beside, clear
from tests.e2e.support.exporter import KEPLER, NODE_EXPORTER, Exporter
from tests.e2e.support.machines import Machine, staircase
from tests.e2e.support.metrics_server import MeteredControlPlane, metered, system_pod, uses
from tests.e2e.support.monitoring import Authority
from tests.e2e.support.processes import wait_until
from tests.e2e.support.prometheus import READER, Prometheus
from tests.e2e.support.reverse_proxy import Fault, ReverseProxy
from tests.e2e.support.workload import decision, model, node, ours, pod, wait_placed
from tests.support.builders import BENT_UP

LOADS = {"worker-0": 0.6, "worker-1": 0.2, "worker-2": 0.4}
KEPLER_ONLY = "worker-2"
PREDICTED = "peaks_node_predicted_cpu_ratio"
WINDOW = 10.0  # [s]; scraped every second, and a busy machine may miss some of the scrapes
TIMEOUT = 4.0  # [s] of a query: a busy machine answers within it
FAILED = "no load, going on with estimates"


def machine(name: str, u: float) -> Machine:
    return Machine(name, lambda u: 100.0 + 80.0 * u, staircase([u], each=10))


@dataclass(frozen=True)
class Stage:
    """One daemon, one Prometheus and what stands between them, for all cases: to them a case is only another fault."""

    daemon: Daemon
    prometheus: Prometheus
    proxy: ReverseProxy
    exporter: Exporter
    token: Path


@pytest.fixture(scope="module")
def stage(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """node_exporter knows two machines by their addresses, Kepler all three by their names."""
    clear(control_plane)
    control_plane.create_nodes([at_address(name, number) for number, name in enumerate(LOADS)])
    folder = tmp_path_factory.mktemp("sources")
    token = folder / "token"
    token.write_text("right\n")
    models = [model(BENT_UP, nodes=list(LOADS))]
    with Exporter([machine(name, u) for name, u in LOADS.items()]) as exporter:
        targets = exporter.targets(NODE_EXPORTER, instance="10.0.0.{number}:9100")
        targets = [each for each in targets if KEPLER_ONLY not in each.path] + exporter.targets(KEPLER)
        with Prometheus(folder / "prometheus", targets) as prometheus, ReverseProxy(prometheus.url) as proxy:
            prometheus.wait_scraped(int(WINDOW) + 1)
            load = {"source": "prometheus", "window": f"{WINDOW:g}s", "interval": "200ms", "timeout": f"{TIMEOUT:g}s"}
            settings = {"load": load, "prometheus": {"tokenFile": str(token)}}
            with beside(control_plane, proxy.url, models=models, settings=settings) as daemon:
                daemon.wait_leading()
                yield Stage(daemon, prometheus, proxy, exporter, token)


@pytest.fixture
def healthy(stage: Stage, control_plane: ControlPlane) -> Stage:
    """The stage without faults and without pods."""
    control_plane.delete_all_pods()
    if stage.prometheus.process is None:
        stage.prometheus.start()
    stage.proxy.faults, stage.proxy.token = (), None
    wait_until(lambda: stage.daemon.health("load") == "[+]load ok", "good load again")
    return stage


def at_address(name: str, number: int) -> Object:
    whole = node(name)
    kinds = (("Hostname", name), ("InternalIP", f"10.0.0.{number}"))  # kwok replaces the list where one is missing
    whole["status"]["addresses"] = [{"type": kind, "address": address} for kind, address in kinds]
    return whole


def goes_on(plane: ControlPlane) -> None:
    plane.create_pods([pod("web-0", cpu="100m")])
    wait_placed(plane, "web-0")


# --- Prometheus -------------------------------------------------------------------------------------------------------


def test_a_pod_goes_where_prometheus_shows_the_load_that_costs_least(
    healthy: Stage, control_plane: ControlPlane
) -> None:
    """On curves that bend up, equal but for their load, the least loaded node rises least."""
    control_plane.create_pods([pod("web-0", cpu="100m")])
    assert wait_placed(control_plane, "web-0") == "worker-1"
    record = decision(ours(control_plane)[0])
    assert record["standing"] == "measured"
    assert record["cpuBefore"] == pytest.approx(LOADS["worker-1"], abs=0.01)
    wait_until(lambda: healthy.daemon.metric("peaks_nodes", standing="measured") == 3, "every node measured")
    # the newest scrape's age, not that of the window
    wait_until(lambda: healthy.daemon.metric("peaks_load_age_seconds") < 4, "load as young as a scrape")


def test_a_node_that_only_kepler_knows_has_its_load_too(healthy: Stage, control_plane: ControlPlane) -> None:
    control_plane.create_pods([pod("web-0", cpu="100m", nodeSelector={"kubernetes.io/hostname": KEPLER_ONLY})])
    wait_placed(control_plane, "web-0")
    record = decision(ours(control_plane)[0])
    assert (record["standing"], record["cpuBefore"]) == ("measured", pytest.approx(LOADS[KEPLER_ONLY], abs=0.01))


FAULTS = {
    "slow": (Fault(delay=5 * TIMEOUT), "timeout"),
    "out of order": (Fault(status=503), "http-503"),
    "without the right": (Fault(status=403), "forbidden"),
    "an answer cut short": (Fault(cut_at=40), "malformed"),
    "a page to sign in": (Fault(body=b"<html>Sign in</html>"), "malformed"),
    "no series": (Fault(without=lambda labels: True), "empty"),
}


@pytest.mark.parametrize(("fault", "kind"), FAULTS.values(), ids=FAULTS)
def test_trouble_with_prometheus_is_seen_and_scheduling_goes_on(
    healthy: Stage, control_plane: ControlPlane, fault: Fault, kind: str
) -> None:
    daemon = healthy.daemon
    told, errors = len(daemon.lines(FAILED)), source_errors(daemon)
    healthy.proxy.faults = [fault]
    begun, end = f"[!]load: {kind}: Prometheus at {healthy.proxy.url}", "; scheduling goes on by estimates"
    wait_until(lambda: (said := daemon.health("load")).startswith(begun) and said.endswith(end), "it is named")
    wait_until(lambda: source_errors(daemon) >= errors + 2, "two looks")
    assert daemon.get("/readyz").status_code == 200
    assert daemon.metric("peaks_load_source_up") == 0
    wait_until(lambda: len(daemon.lines(FAILED)) > told, "it is logged")
    assert len(daemon.lines(FAILED)) == told + 1
    goes_on(control_plane)


def source_errors(daemon: Daemon) -> float:
    return daemon.metric("peaks_source_errors_total", source="prometheus")


def test_a_prometheus_that_is_stopped_is_unreachable_until_it_is_back(
    healthy: Stage, control_plane: ControlPlane
) -> None:
    load = {"source": "prometheus", "interval": "200ms", "window": f"{WINDOW:g}s"}
    options = ["--scheduler-name", "Direct", "--no-leader-elect"]  # beside the one that all others share
    with beside(control_plane, healthy.prometheus.url, settings={"load": load}, options=options) as daemon:
        wait_until(lambda: daemon.health("load") == "[+]load ok", "load")
        healthy.prometheus.stop()
        wait_until(lambda: daemon.health("load").startswith("[!]load: unreachable: Prometheus at"), "it is missed")
        wait_until(lambda: source_errors(daemon) >= 1, "it is counted")
        control_plane.create_pods([pod("direct-0", cpu="100m", schedulerName="Direct")])
        wait_placed(control_plane, "direct-0")
        healthy.prometheus.start()
        wait_until(lambda: daemon.metric("peaks_load_source_up") == 1, "it is back")


def test_one_failing_query_never_drops_the_others(healthy: Stage, control_plane: ControlPlane) -> None:
    daemon = healthy.daemon
    errors = source_errors(daemon)
    healthy.proxy.faults = [Fault(query="node_memory", status=500), Fault(query="kepler", delay=5 * TIMEOUT)]
    where = f"Prometheus at {healthy.proxy.url}"
    both = (f"memory: {where}: expected 200; got 500", f"Kepler: {where}: no whole answer within {TIMEOUT:g} s")
    # the faults come in the middle of a round: the first that tells of any need not tell of both
    wait_until(lambda: all(each in daemon.health("load") for each in ("left out", *both)), "two queries failing")
    assert daemon.metric("peaks_load_source_up") == 1
    assert source_errors(daemon) == errors
    goes_on(control_plane)
    assert decision(ours(control_plane)[0])["standing"] == "measured"


def test_a_partial_answer_is_used_as_far_as_it_goes_and_said_to_be_one(
    healthy: Stage, control_plane: ControlPlane
) -> None:
    """As Thanos answers when one of its stores is away."""
    daemon = healthy.daemon
    away = Fault(warnings=["store-1 is away"], without=lambda labels: "worker-1" in labels.values())
    healthy.proxy.faults = [away]
    words = ("left out", "Prometheus says: store-1 is away")
    wait_until(lambda: all(each in daemon.health("load") for each in words), "the warning")
    assert daemon.metric("peaks_load_source_up") == 1
    goes_on(control_plane)


def test_a_token_is_needed_and_read_again_when_it_changes(healthy: Stage, control_plane: ControlPlane) -> None:
    daemon = healthy.daemon
    healthy.proxy.token = "right"
    begun, refused = len(healthy.proxy.requests), healthy.proxy.unauthorized
    wait_until(lambda: len(healthy.proxy.requests) > begun + 10, "two looks with the right token")
    assert healthy.proxy.unauthorized == refused
    wait_until(lambda: daemon.health("load") == "[+]load ok", "load")
    healthy.proxy.token = "renewed"
    wait_until(lambda: daemon.health("load").startswith("[!]load: unauthorized: "), "it is refused")
    goes_on(control_plane)
    healthy.token.write_text("renewed\n")
    wait_until(lambda: daemon.health("load") == "[+]load ok", "the renewed one is taken")
    healthy.token.write_text("right\n")
    told = daemon.output() + daemon.get("/configz").text
    assert "renewed" not in told


async def load_of(prometheus: Prometheus, **how: Any) -> Mapping[str, float]:
    """CPU use by name, as fetched once."""
    api = PrometheusApi(prometheus.url, timeout=10.0, **how)
    source = PrometheusLoad(api, window=WINDOW)
    try:
        return {key: load.used(1.0) for key, load in (await source.fetch()).nodes.items()}
    finally:
        await source.aclose()


async def refusal(prometheus: Prometheus, **how: Any) -> str:
    with pytest.raises(LoadError) as caught:
        await load_of(prometheus, **how)
    return f"{caught.value.kind}: {caught.value}"


async def test_certificates_and_passwords_of_a_real_server_are_checked(stage: Stage, tmp_path: Path) -> None:
    authority, other = Authority(tmp_path / "ca"), Authority(tmp_path / "other")
    targets = stage.exporter.targets(KEPLER)
    certificate, ca = authority.issue("prometheus"), str(authority.ca_file)
    with Prometheus(
        tmp_path / "data", targets, basic_auth=True, certificate=certificate, ca_file=authority.ca_file
    ) as prometheus:
        prometheus.wait_scraped(2)
        (password := tmp_path / "password").write_text(READER[1])
        reader = {"username": READER[0], "password_file": str(password)}
        assert await load_of(prometheus, ca_file=ca, **reader) == pytest.approx(LOADS)
        assert await load_of(prometheus, insecure_skip_verify=True, **reader) == pytest.approx(LOADS)
        untrusted = await refusal(prometheus, ca_file=str(other.ca_file), **reader)
        assert untrusted.startswith("unreachable: ")
        assert "its certificate was signed by a CA that is not trusted" in untrusted
        assert (await refusal(prometheus, ca_file=ca)).startswith("unauthorized: ")
        password.write_text("another")
        assert (await refusal(prometheus, ca_file=ca, **reader)).startswith("unauthorized: ")


async def test_the_load_of_a_node_whose_exporter_died_is_as_old_as_its_last_scrape(tmp_path: Path) -> None:
    """Prometheus goes on giving its average for a whole window."""
    with (
        Exporter([machine("alive", 0.5), machine("dead", 0.5)]) as exporter,
        Prometheus(tmp_path, exporter.targets(NODE_EXPORTER)) as prometheus,
    ):
        prometheus.wait_scraped(3)
        source = PrometheusLoad(PrometheusApi(prometheus.url), window=30.0)
        exporter.offline.add("dead")
        died = time.time()
        prometheus.wait_until("up == 0")
        prometheus.wait_until(f'timestamp(node_cpu_seconds_total{{instance="alive"}}) > {died + 6:.0f}')
        report = await source.fetch()
        await source.aclose()
    assert report.nodes["dead"].cpu == pytest.approx(0.5, abs=0.01)
    assert report.nodes["dead"].window_end <= died + 0.1
    assert report.nodes["alive"].window_end > died + 5


# --- pods -------------------------------------------------------------------------------------------------------------


SCRAPE = 15  # [s]


def cadvisor(start: int, seconds: int) -> str:
    """What kubelets tell of two pods, one of them scraped by two jobs; as OpenMetrics."""
    rates = {
        ("web-0", "app", "/pod0/app", "kubelet"): 0.5,
        ("web-0", "app", "/pod0/app", "cadvisor"): 0.5,
        ("web-0", "proxy", "/pod0/proxy", "kubelet"): 0.25,
        ("web-0", "POD", "/pod0/pause", "kubelet"): 1.0,
        ("web-0", "", "/pod0", "kubelet"): 1.75,
        ("web-1", "app", "/pod1/app", "kubelet"): 2.0,
        ("", "", "/", "kubelet"): 8.0,
    }
    lines = ["# TYPE container_cpu_usage_seconds counter"]
    for (name, container, identity, job), rate in rates.items():
        labels = f'namespace="default",pod="{name}",container="{container}",id="{identity}",job="{job}"'
        series = f"container_cpu_usage_seconds_total{{{labels}}}"
        lines += [f"{series} {rate * age:g} {start + age}" for age in range(0, seconds, SCRAPE)]
    return "\n".join([*lines, "# EOF", ""])


async def test_pods_use_what_their_containers_were_scraped_at(tmp_path: Path) -> None:
    """The history ends beyond now: now is in it however long the server takes to start."""
    start = int(time.time()) - 600
    with Prometheus(tmp_path, history=[cadvisor(start, 1500)]) as prometheus:
        source = PrometheusPods(PrometheusApi(prometheus.url), window=120.0)
        before = time.time()
        found = {each.name: each for each in await source.fetch()}
        after = time.time()
        await source.aclose()
    assert {name: usage.cores for name, usage in found.items()} == {
        "web-0": pytest.approx(0.75, rel=0.01),
        "web-1": pytest.approx(2.0, rel=0.01),
    }
    newest = found["web-1"].window_end
    assert newest in [pytest.approx(start + age, abs=0.01) for age in range(0, 1500, SCRAPE)]
    assert before - SCRAPE - 1.0 <= newest <= after + 0.01
    assert found["web-1"] == PodUsage(
        "default", "web-1", found["web-1"].cores, pytest.approx(newest - 120.0, abs=0.01), newest
    )


# --- metrics-server ---------------------------------------------------------------------------------------------------


def pinned(name: str, where: str, cpu: str) -> Object:
    """A pod that is on a node already and uses ``cpu``, whatever it asked for."""
    whole = pod(name, cpu="100m", nodeName=where)
    whole["metadata"]["annotations"] = uses(cpu)
    return whole


def using(name: str, cpu: str) -> Object:
    whole = pod(name, cpu="100m")
    whole["metadata"]["annotations"] = uses(cpu)
    return whole


def metered_node(name: str) -> Object:
    whole = node(name)
    whole["metadata"]["annotations"] = metered(name)
    return whole


def test_what_pods_use_becomes_load_becomes_the_next_decision(metered_plane: MeteredControlPlane) -> None:
    """Requests are alike on both nodes all the time: only what metrics-server measured tells them apart."""
    plane, names = metered_plane, ["node-0", "node-1"]
    plane.create_nodes([metered_node(name) for name in names])
    plane.create_pods([*map(system_pod, names), pinned("busy", "node-0", "3")])
    plane.wait_measured({"node-0": 3.01, "node-1": 0.01})
    settings = {"load": {"source": "metrics-server", "address": None}, "nodeMetrics": True}
    with beside(plane, models=[model(BENT_UP, nodes=names)], settings=settings) as daemon:
        wait_until(lambda: daemon.health("load") == "[+]load ok", "load")
        plane.create_pods([using("web-0", "5")])
        assert wait_placed(plane, "web-0") == "node-1"
        record = decision(plane.read("Pod", "web-0"))
        assert (record["standing"], record["cpuBefore"]) == ("measured", pytest.approx(0.01 / 8, abs=0.002))

        plane.wait_measured({"node-0": 3.01, "node-1": 5.01})
        wait_until(lambda: daemon.metric(PREDICTED, node="node-1") > 5 / 8, "the daemon has seen it")
        plane.create_pods([using("web-1", "1")])
        assert wait_placed(plane, "web-1") == "node-0"
        assert decision(plane.read("Pod", "web-1"))["cpuBefore"] == pytest.approx(3.01 / 8, abs=0.02)

        plane.stop_metrics_server()
        words = ("[!]load: unavailable: metrics-server", "install metrics-server, or find out why its APIService")
        wait_until(lambda: all(each in daemon.health("load") for each in words), "it is missed")
        wait_until(lambda: daemon.metric("peaks_source_errors_total", source="metrics-server") >= 1, "it is counted")
        plane.create_pods([using("web-2", "1")])
        wait_placed(plane, "web-2")
