"""The stage of the measuring tests: Prometheus, exporters, faults and metrics-server do what those rely on.

Expected watts are the curve's own value at the load that the machine was given; expected rates are that value, since a
counter's rate over a time of constant load is the power itself.
"""

from __future__ import annotations

import math
import ssl
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.support.exporter import (
    KEPLER,
    KEPLER_OLD,
    NODE_EXPORTER,
    Exporter,
    exposition,
    node_exporter_series,
    open_metrics,
)
from tests.e2e.support.machines import SHARES, Machine, staircase
from tests.e2e.support.metrics_server import MeteredControlPlane, metered, system_pod, uses
from tests.e2e.support.monitoring import Authority
from tests.e2e.support.processes import PATIENCE, wait_until
from tests.e2e.support.prometheus import READER, NodeExporter, Prometheus
from tests.e2e.support.reverse_proxy import Fault, ReverseProxy

LOADS = {"worker-0": 0.1, "worker-1": 0.5, "worker-2": 1.0}
HOUR = 3600.0
RESOURCES = {"cpu": "8", "memory": "16Gi", "pods": "110"}
QUERY = "/api/v1/query"


def curve(u: float) -> float:
    """Concave, as most servers': 100 W idle, 180 W at full load."""
    return 100.0 + 80.0 * math.sqrt(u)


def steady(name: str, u: float) -> Machine:
    return Machine(name, curve, staircase([u], each=10), sockets=2)


WATTS = {name: curve(u) for name, u in LOADS.items()}
# on a busy machine a target answers up to a second after the time that its answer is stamped with: that does not matter
# to a share of two counters of one answer, and little to a rate over a time that is long beside it
BUSY = (
    '1 - sum by (instance) (rate(node_cpu_seconds_total{mode="idle"}[10s]))'
    " / sum by (instance) (rate(node_cpu_seconds_total[10s]))"
)
WINDOW = 15  # [s] of a rate


@pytest.fixture(scope="module")
def scraping(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Prometheus over three machines at constant load, each behind three exporters."""
    machines = [steady(name, u) for name, u in LOADS.items()]
    with (
        Exporter(machines) as exporter,
        Prometheus(
            tmp_path_factory.mktemp("prometheus"),
            exporter.targets(NODE_EXPORTER, KEPLER_OLD, KEPLER),
            rules={"instance:node_cpu:ratio": BUSY},
        ) as prometheus,
    ):
        prometheus.wait_scraped(WINDOW + 1)
        yield prometheus


def expect(prometheus: Prometheus, expression: str, expected: Mapping[str, float], *, by: str = "instance") -> None:
    """The query gives these values by label, within 3 % (scrapes are stamped some milliseconds off), before long."""

    def values() -> dict[str, float]:
        return {each.labels[by]: each.value for each in prometheus.query(expression)}

    try:
        wait_until(lambda: values() == pytest.approx(expected, rel=0.03), expression, every=0.2)
    except AssertionError as error:
        raise AssertionError(f"{error}; got {values()}, expected {dict(expected)}") from None


def samples(text: str) -> list[tuple[str, dict[str, str]]]:
    """Name and labels of everything in an exporter's answer, as Prometheus' own client library reads it."""
    return [(each.name, each.labels) for family in text_string_to_metric_families(text) for each in family.samples]


# --- Prometheus and our exporter ----------------------------------------------------------------------------------


def test_the_rate_of_old_keplers_joules_is_the_curves_watts(scraping: Prometheus) -> None:
    expect(scraping, f"sum by (instance) (rate(kepler_node_platform_joules_total[{WINDOW}s]))", WATTS)


def test_old_keplers_parts_and_sockets_add_up_to_the_packages_share(scraping: Prometheus) -> None:
    package = {name: SHARES["package"] * watts for name, watts in WATTS.items()}
    assert len(scraping.query("kepler_node_package_joules_total")) == 3 * 2 * 2  # machines, sockets, modes
    expect(
        scraping,
        f"sum by (exported_instance) (rate(kepler_node_package_joules_total[{WINDOW}s]))",
        package,
        by="exported_instance",
    )


def test_new_kepler_tells_the_curves_watts_and_the_load(scraping: Prometheus) -> None:
    expect(scraping, "kepler_platform_watts", WATTS, by="node_name")
    expect(scraping, "kepler_node_cpu_usage_ratio", LOADS, by="node_name")


def test_new_keplers_joules_grow_by_its_watts(scraping: Prometheus) -> None:
    package = {name: SHARES["package"] * watts for name, watts in WATTS.items()}
    expect(scraping, 'sum by (node_name) (kepler_node_cpu_watts{zone="package"})', package, by="node_name")
    rate = f'sum by (node_name) (rate(kepler_node_cpu_joules_total{{zone="package"}}[{WINDOW}s]))'
    expect(scraping, rate, package, by="node_name")


def test_node_exporters_busy_share_is_the_load_and_rules_record_it(scraping: Prometheus) -> None:
    expect(scraping, BUSY, LOADS)
    expect(scraping, "instance:node_cpu:ratio", LOADS)


def test_our_exporter_speaks_as_node_exporter_does(tmp_path: Path) -> None:
    with NodeExporter(tmp_path) as real, Prometheus(tmp_path, [real.target]) as prometheus:
        (up,) = prometheus.wait_until("up == 1")
        theirs = samples(real.text())
    ours = samples(exposition(node_exporter_series(Machine("any", curve, staircase([0.5], each=1))), time.time()))
    assert up.labels["job"] == "node-exporter"
    assert {name for name, _ in ours} <= {name for name, _ in theirs}
    assert {labels["mode"] for name, labels in ours if name == "node_cpu_seconds_total"} <= {
        labels["mode"] for name, labels in theirs if name == "node_cpu_seconds_total"
    }
    keys = {name: set(labels) for name, labels in theirs}
    assert all(set(labels) <= keys[name] for name, labels in ours)


def test_an_exporter_that_does_not_answer_is_down_and_comes_back(tmp_path: Path) -> None:
    with (
        Exporter([steady("worker-0", 0.5), steady("worker-1", 0.5)]) as exporter,
        Prometheus(tmp_path, exporter.targets(KEPLER, instance="10.0.0.{number}:28282")) as prometheus,
    ):
        prometheus.wait_until("up == 1", series=2)
        exporter.offline.add("worker-1")

        def down() -> list[str]:
            return [each.labels["instance"] for each in prometheus.query("up == 0")]

        # a busy machine may miss a scrape of the other, too
        wait_until(lambda: down() == ["10.0.0.1:28282"], "the one is down", every=0.2)
        exporter.offline.clear()
        prometheus.wait_until("up == 1", series=2)


# --- history ------------------------------------------------------------------------------------------------------


def test_history_is_there_at_once_and_tells_the_same_watts(tmp_path: Path) -> None:
    end = time.time() // HOUR * HOUR - 4 * HOUR
    start = end - 24 * HOUR
    climbing = Machine("worker-0", curve, staircase([0.0, 0.25, 0.5, 0.75], each=HOUR), origin=start)
    history = open_metrics([climbing], start=start, end=end, step=60, kinds=(NODE_EXPORTER, KEPLER, KEPLER_OLD))
    with Prometheus(tmp_path, history=history) as prometheus:
        for hour, u in ((1, 0.0), (2, 0.25), (3, 0.5), (20, 0.75)):  # an hour's rate, asked at its end
            at = start + hour * HOUR - 60
            rate = "sum(rate(kepler_node_platform_joules_total[30m]))"
            assert prometheus.value(rate, at) == pytest.approx(curve(u), rel=1e-6)
            assert prometheus.value("kepler_platform_watts", at) == pytest.approx(curve(u), rel=1e-9)
        (series,) = prometheus.query_range("kepler_node_cpu_usage_ratio", start, end - 60, 60)
    assert len(series["values"]) == 24 * 60
    assert {float(value) for _, value in series["values"]} == {0.0, 0.25, 0.5, 0.75}


def test_counters_are_exact_integrals_however_seldom_they_are_read() -> None:
    load = staircase([0.1, 0.9, 0.4], each=7.0, rounds=5, noise=0.05, seed=1)
    machine = Machine("any", curve, load, watts_noise=0.02, origin=100.0)
    times = np.arange(100.0, 1000.0, 0.01)  # many rounds
    summed = np.concatenate([[0.0], np.cumsum(machine.at(machine.watts, times + 0.005)) * 0.01])[:-1]
    np.testing.assert_allclose(machine.since_origin(machine.watts, times), summed, rtol=1e-6, atol=1e-6)


def test_loads_are_the_same_for_the_same_seed_and_stay_fractions() -> None:
    first, again, other = (staircase([0.0, 0.5, 1.0], each=5, rounds=9, noise=0.2, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.levels, again.levels)
    assert (first.levels != other.levels).any()
    assert first.levels.min() >= 0.0
    assert first.levels.max() <= 1.0


# --- who may ask, and what goes wrong -------------------------------------------------------------------------------


def test_basic_authentication_over_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    certificate = authority.issue("prometheus")
    with Prometheus(tmp_path, basic_auth=True, certificate=certificate, ca_file=authority.ca_file) as prometheus:
        assert prometheus.value("vector(1)") == 1.0
        ask = f"{prometheus.url}{QUERY}?query=vector(1)"
        trusting = ssl.create_default_context(cafile=str(authority.ca_file))
        with httpx.Client(verify=trusting, trust_env=False, timeout=PATIENCE) as client:
            assert client.get(ask).status_code == 401
            assert client.get(ask, auth=(READER[0], "wrong")).status_code == 401
            assert client.get(ask, auth=READER).status_code == 200
        with (
            httpx.Client(trust_env=False, timeout=PATIENCE) as client,
            pytest.raises(httpx.ConnectError, match="certificate"),
        ):
            client.get(ask, auth=READER)


def test_a_stopped_prometheus_refuses_connections_and_comes_back_with_its_data(tmp_path: Path) -> None:
    noon = time.time() // HOUR * HOUR - 6 * HOUR
    history = open_metrics(
        [steady("worker-0", 0.5)], start=noon, end=noon + 600, step=60, only=("kepler_platform_watts",)
    )
    with Prometheus(tmp_path, history=history) as prometheus:
        prometheus.stop()
        with pytest.raises(httpx.ConnectError):
            httpx.get(prometheus.url, trust_env=False)
        prometheus.start()
        assert prometheus.value("kepler_platform_watts", noon + 300) == pytest.approx(curve(0.5))


def test_answers_go_wrong_where_a_fault_says_so_and_only_there(scraping: Prometheus) -> None:
    with (
        ReverseProxy(scraping.url) as proxy,
        httpx.Client(base_url=proxy.url, trust_env=False, timeout=PATIENCE) as client,
    ):
        proxy.faults = [
            Fault(query="node_memory", status=500),
            Fault(
                query="platform", warnings=["store-2 is unreachable"], without=lambda it: it["node_name"] == "worker-1"
            ),
            Fault(query="slow", delay=600.0),
            Fault(query="cut", cut_at=20),
        ]
        assert client.get(QUERY, params={"query": "node_memory_MemTotal_bytes"}).status_code == 500
        partial = client.post(QUERY, data={"query": "kepler_platform_watts"}).json()
        assert partial["warnings"] == ["store-2 is unreachable"]
        names = {each["metric"]["node_name"] for each in partial["data"]["result"]}
        assert names == {"worker-0", "worker-2"}
        with pytest.raises(httpx.ReadTimeout):
            client.get(QUERY, params={"query": "slow"}, timeout=httpx.Timeout(PATIENCE, read=0.5))
        with pytest.raises(httpx.RemoteProtocolError):
            client.get(QUERY, params={"query": "cut"})
        assert client.get(QUERY, params={"query": "up"}).json()["status"] == "success"
        assert proxy.requests[1] == ("POST", QUERY, "kepler_platform_watts")


def test_the_proxy_lets_nobody_through_without_its_token(scraping: Prometheus) -> None:
    with ReverseProxy(scraping.url, token="open-sesame") as proxy:
        ask = f"{proxy.url}{QUERY}?query=up"
        assert httpx.get(ask, trust_env=False, timeout=PATIENCE).status_code == 401
        right = {"Authorization": "Bearer open-sesame"}
        assert httpx.get(ask, headers=right, trust_env=False, timeout=PATIENCE).status_code == 200


# --- metrics-server -------------------------------------------------------------------------------------------------


def test_what_pods_declare_to_use_is_what_metrics_server_says_of_their_nodes(
    metered_plane: MeteredControlPlane,
) -> None:
    names = ["node-0", "node-1"]
    status = {"capacity": RESOURCES, "allocatable": RESOURCES}
    metered_plane.create_nodes(
        [{"metadata": {"name": each, "annotations": metered(each)}, "status": status} for each in names]
    )
    spec = {"nodeName": "node-1", "containers": [{"name": "main", "image": "none"}]}
    busy = {"metadata": {"name": "busy", "annotations": uses("1500m", "1Gi")}, "spec": spec}
    metered_plane.create_pods([*map(system_pod, names), busy])
    metered_plane.wait_measured({"node-0": 0.010, "node-1": 1.510})
    (measured,) = wait_until(metered_plane.pod_metrics, "a pod measured, a moment after its node")
    assert measured["metadata"]["name"] == "busy"
    assert measured["containers"][0]["usage"]["memory"] == "1Gi"
    metered_plane.stop_metrics_server()
    wait_until(lambda: not metered_plane.node_metrics(), "no answer without metrics-server")
