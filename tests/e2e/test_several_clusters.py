"""One real Prometheus with more in it than one cluster: what is learned, what counts as load, and what is said.

Two clusters have a node of one name; a pair of replicas tells everything twice, one 20 s after the other; one exporter
asks the controllers of three machines; counters step back. Expected are the watts and loads that the machines were
given. Histories end beyond now, so that now is in them for as long as the tests take.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from peaks_scheduler.errors import LoadError
from peaks_scheduler.ledger.node_load import LoadReport
from peaks_scheduler.settings.http_headers import Header
from peaks_scheduler.settings.promql_matchers import EVERYTHING, parse_matchers
from peaks_scheduler.sources.pod_usage import PrometheusPods
from peaks_scheduler.sources.prometheus.api import PrometheusApi
from peaks_scheduler.sources.prometheus.load import PrometheusLoad
from tests.e2e.support.controlplane import ControlPlane
from tests.e2e.support.daemon import beside, clear
from tests.e2e.support.processes import wait_until
from tests.e2e.support.prometheus import Prometheus
from tests.e2e.support.reverse_proxy import ReverseProxy
from tests.e2e.support.workload import node
from tests.e2e.test_fit_prometheus import fit

HOURS, EVERY, AHEAD = 8, 60.0, 1800.0
PERIOD = 5400.0  # [s] of a machine's load, 5 to 92 %
MEAN, SWING = 0.485, 0.435

Labels = Mapping[str, str]


@dataclass(frozen=True)
class Wave:
    """A machine's load, and its integral."""

    phase: float
    origin: float

    def at(self, t: float) -> float:
        return MEAN + SWING * math.sin(2 * math.pi * (t - self.origin) / PERIOD + self.phase)

    def until(self, t: float) -> float:
        turn = 2 * math.pi / PERIOD
        swung = math.cos(self.phase) - math.cos(turn * (t - self.origin) + self.phase)
        return MEAN * (t - self.origin) + SWING * swung / turn


class History:
    """Series as they are written for promtool."""

    def __init__(self) -> None:
        now = time.time() // 60 * 60
        self.now, self.start, self.end = now, now - HOURS * 3600, now + AHEAD
        self._lines: dict[str, list[str]] = {}

    def add(
        self,
        metric: str,
        labels: Labels,
        value: Callable[[float], float],
        lag: float = 0.0,
        since: float = 0.0,
        until: float = math.inf,
    ) -> None:
        head = metric + "{" + ",".join(f'{key}="{its}"' for key, its in labels.items()) + "}"
        times = [self.start + lag + EVERY * i for i in range(int((self.end - self.start) / EVERY))]
        times = [t for t in times if since <= t < until]
        # what a replica scrapes later is what is so then
        self._lines.setdefault(metric, []).extend(f"{head} {value(t):.6f} {t:.3f}" for t in times)

    def cpu(self, labels: Labels, load: Wave, lag: float = 0.0, back: Mapping[str, float] | None = None) -> None:
        """Two CPUs. ``back``: by how much the counter of a mode is lower from a minute before now on."""
        modes: dict[str, Callable[[float], float]] = {
            "user": lambda t: 1e5 + load.until(t),
            "idle": lambda t: 9e5 + (t - self.start) - load.until(t),
            "iowait": lambda t: 5e4,
            "steal": lambda t: 4e4,
        }
        for mode, value in modes.items():
            for cpu in "01":
                self.add(
                    "node_cpu_seconds_total", {**labels, "cpu": cpu, "mode": mode}, self._lower(value, mode, back), lag
                )

    def _lower(
        self, value: Callable[[float], float], mode: str, back: Mapping[str, float] | None
    ) -> Callable[[float], float]:
        by = (back or {}).get(mode, 0.0)
        return lambda t: value(t) - (by if t >= self.now - 60.0 else 0.0)

    def text(self) -> str:
        lines = []
        for metric, its in self._lines.items():
            kind = "counter" if metric.endswith("_total") else "gauge"
            lines += [f"# TYPE {metric.removesuffix('_total')} {kind}", *its]
        return "\n".join([*lines, "# EOF", ""])


STEPS_BACK: dict[str, dict[str, float]] = {
    "iowait": {"iowait": 0.03},
    "steal": {"steal": 0.02},
    "user": {"user": 0.01},
    "idle": {"idle": 0.05},
    "idle-far": {"idle": 5000.0},
    "idle-some": {"idle": 90.0},
    "all": {"iowait": 3.0, "idle": 0.5, "user": 0.02, "steal": 0.01},
}
IDLE, RISE = 200.0, 150.0


def told() -> History:
    history = History()
    start = history.start
    for cluster, phase, idle, rise in (("prod", 0.0, IDLE, RISE), ("lab", 2.6, 80.0, 40.0)):
        load, labels = Wave(phase, start), {"cluster": cluster, "node": "worker-1"}
        history.cpu({**labels, "instance": "10.7.0.1:9100"}, load)
        for metric, unit in (("bmc_watts", 1.0), ("scaph_host_power_microwatts", 1e6)):
            history.add(metric, labels, lambda t, a=idle, b=rise, u=load, w=unit: w * (a + b * u.at(t)))  # type: ignore[misc]
    for i, (phase, idle, rise) in enumerate(((0.3, 200.0, 150.0), (1.7, 300.0, 200.0), (3.1, 90.0, 60.0)), 1):
        load = Wave(phase, start)
        history.cpu({"node": f"rack-{i}", "instance": f"10.8.0.{i}:9100"}, load)
        where = {"instance": f"rack-{i}", "node": "rack-3", "pod": "ipmi-exporter-0"}
        history.add("remote_bmc_watts", where, lambda t, a=idle, b=rise, u=load: a + b * u.at(t))  # type: ignore[misc]
    pair = Wave(0.9, start)
    for lag, replica in ((0.0, "a"), (20.0, "b")):
        labels = {"prometheus_replica": replica, "node": "ha-1"}
        history.cpu({**labels, "instance": "10.9.0.1:9100"}, pair, lag)
        for metric, unit in (("pdu_watts", 1.0), ("scaph_host_power_microwatts", 1e6)):
            history.add(metric, labels, lambda t, w=unit: w * (IDLE + RISE * pair.at(t)), lag)  # type: ignore[misc]
        for pod in ("ha-web", f"web-{replica}"):
            where = {"prometheus_replica": replica, "namespace": "default", "pod": pod, "container": "app", "id": "/x"}
            history.add("container_cpu_usage_seconds_total", where, lambda t: 0.5 * (t - start), lag)
    for cluster, cores in (("prod", 0.5), ("lab", 2.0)):
        where = {"cluster": cluster, "namespace": "default", "pod": "etcd-0", "container": "etcd", "id": f"/{cluster}"}
        history.add("container_cpu_usage_seconds_total", where, lambda t, c=cores: c * (t - start))  # type: ignore[misc]
    for name, back in STEPS_BACK.items():
        history.cpu({"node": f"back-{name}", "instance": f"back-{name}:9100"}, Wave(1.1, start), back=back)
        watts = {"node": f"back-{name}"}
        history.add("scaph_host_power_microwatts", watts, lambda t: 1e6 * (IDLE + RISE * Wave(1.1, start).at(t)))
    for name, before in (("fresh", None), ("rebooted", (1e5, 9e5))):
        began = history.now - 150.0
        for mode, share, much in (("user", 0.6, 0), ("idle", 0.4, 1)):
            where = {"node": name, "instance": f"{name}:9100", "cpu": "0", "mode": mode}
            history.add("node_cpu_seconds_total", where, lambda t, s=share, b=began: s * (t - b + 30.0), since=began)  # type: ignore[misc]
            if before:
                old = before[much]
                value = lambda t, s=share, o=old: o + s * (t - start)  # type: ignore[misc] # noqa: E731
                history.add("node_cpu_seconds_total", where, value, until=began - 30.0)
    return history


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Prometheus, History]]:
    history = told()
    with Prometheus(tmp_path_factory.mktemp("several"), history=[history.text()]) as prometheus:
        yield prometheus, history


@pytest.fixture
def prometheus(there: tuple[Prometheus, History]) -> Prometheus:
    return there[0]


async def loads(url: str, match: str = "", at: float | None = None) -> LoadReport:
    """``at``: the time that is asked about instead of now."""
    api = PrometheusApi(url, match=parse_matchers(match) if match else EVERYTHING)
    if at is not None:
        now, when = api.query, at
        api.query = lambda promql, _=None: now(promql, when)  # type: ignore[method-assign,assignment,misc]
    source = PrometheusLoad(api)
    try:
        return await source.fetch()
    finally:
        await source.aclose()


def line(nodes: Mapping[str, Mapping[str, float]], name: str) -> tuple[float, float]:
    """Power at no and at full load."""
    return nodes[name]["idle"], nodes[name]["max"]


# --- two clusters -----------------------------------------------------------------------------------------------------


def test_a_node_of_two_clusters_is_refused_and_the_others_are_learned(prometheus: Prometheus, tmp_path: Path) -> None:
    both = fit(prometheus.url, tmp_path, "--model", "linear")
    (why,) = both.nodes["worker-1"]["reasons"]
    assert both.nodes["worker-1"]["verdict"] == "refused"
    assert "cluster ('lab', 'prod')" in why
    assert "prometheus.match" in why
    assert line(both.nodes, "ha-1") == pytest.approx((IDLE, IDLE + RISE), rel=0.01)


@pytest.mark.parametrize(("cluster", "watts"), [("prod", (200.0, 350.0)), ("lab", (80.0, 120.0))])
@pytest.mark.parametrize("query", [(), ("--power-query", "bmc_watts")], ids=["known series", "own query"])
def test_a_matcher_chooses_one(
    prometheus: Prometheus, tmp_path: Path, cluster: str, watts: tuple[float, float], query: tuple[str, ...]
) -> None:
    one = fit(prometheus.url, tmp_path, "--model", "linear", "--prometheus-match", f'cluster="{cluster}"', *query)
    assert one.nodes.keys() == {"worker-1"}
    assert line(one.nodes, "worker-1") == pytest.approx(watts, rel=0.01)


async def test_load_leaves_that_node_out_and_says_so(there: tuple[Prometheus, History]) -> None:
    prometheus, history = there
    at = history.now - 3600.0  # 13 % here and 66 % there
    report = await loads(prometheus.url, at=at)
    assert "worker-1" not in report.nodes
    assert any("differ in cluster ('lab', 'prod')" in text and "worker-1" in text for text in report.problems)
    for cluster, phase in (("prod", 0.0), ("lab", 2.6)):
        report = await loads(prometheus.url, f'cluster="{cluster}"', at)
        wave = Wave(phase, history.start)
        assert report.nodes["worker-1"].cpu == pytest.approx(
            (wave.until(at) - wave.until(at - 300.0)) / 300.0, abs=0.01
        )


async def test_what_pods_use_is_neither_doubled_by_replicas_nor_added_over_clusters(prometheus: Prometheus) -> None:
    source = PrometheusPods(PrometheusApi(prometheus.url))
    found = {each.name: each.cores for each in await source.fetch()}
    await source.aclose()
    assert found == pytest.approx({"ha-web": 0.5, "web-a": 0.5, "web-b": 0.5}, rel=0.02)
    assert "default/etcd-0" in source.problems[0]
    ours = PrometheusPods(PrometheusApi(prometheus.url, match=parse_matchers('cluster="lab"')))
    assert [(each.name, round(each.cores, 2)) for each in await ours.fetch()] == [("etcd-0", 2.0)]
    await ours.aclose()


def test_the_daemon_learns_from_its_own_cluster(
    prometheus: Prometheus, control_plane: ControlPlane, tmp_path: Path
) -> None:
    clear(control_plane)
    control_plane.create_nodes([node("worker-1")])
    settings = {
        "prometheus": {"address": prometheus.url},
        "refit": {"interval": "2s", "range": "6h"},
        "drift": {"interval": "2s"},
    }
    with beside(control_plane, settings=settings, options=["--refit", "--node-metrics"]) as daemon:
        daemon.wait_leading()
        line = daemon.wait_for("node not read", node="worker-1")
        assert "differ in cluster ('lab', 'prod')" in line["error"]
        assert daemon.metric("peaks_learned_power_models") == 0
    options = ["--refit", "--node-metrics", "--prometheus-match", 'cluster="lab"']
    with beside(control_plane, settings=settings, options=options) as daemon:
        daemon.wait_leading()
        wait_until(lambda: daemon.metric("peaks_learned_power_models") == 1, "the model learned")
        wait_until(lambda: daemon.metric("peaks_power_compared_nodes") == 1, "measured beside predicted")
        assert 78.0 < daemon.metric("peaks_node_power_watts", node="worker-1", kind="measured") < 122.0
        assert daemon.metric("peaks_power_model_drift_ratio", stat="worst") < 0.05


# --- replicas, and exporters that ask others --------------------------------------------------------------------------


@pytest.mark.parametrize("query", [(), ("--power-query", "pdu_watts")], ids=["known series", "own query"])
def test_a_pair_of_replicas_is_one_machine(prometheus: Prometheus, tmp_path: Path, query: tuple[str, ...]) -> None:
    pair = fit(prometheus.url, tmp_path, "--model", "linear", *query)
    assert pair.nodes["ha-1"]["verdict"] == "good"
    assert line(pair.nodes, "ha-1") == pytest.approx((IDLE, IDLE + RISE), rel=0.01)


async def test_and_has_its_load(prometheus: Prometheus) -> None:
    report = await loads(prometheus.url)
    assert "ha-1" in report.nodes
    assert not any("ha-1" in text for text in report.problems)


def test_an_exporter_that_asks_three_controllers_gives_each_machine_its_own_watts(
    prometheus: Prometheus, tmp_path: Path
) -> None:
    rack = fit(prometheus.url, tmp_path, "--model", "linear", "--power-query", "remote_bmc_watts")
    expected = {"rack-1": (200.0, 350.0), "rack-2": (300.0, 500.0), "rack-3": (90.0, 150.0)}
    assert {name: line(rack.nodes, name) for name in expected} == {
        name: pytest.approx(watts, rel=0.01) for name, watts in expected.items()
    }


# --- counters that step back ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STEPS_BACK)
@pytest.mark.parametrize("later", [0.0, 60.0, 180.0], ids=["as it happens", "a minute later", "three minutes later"])
async def test_a_counter_that_steps_back_leaves_the_load_what_it_is(
    there: tuple[Prometheus, History], name: str, later: float
) -> None:
    prometheus, history = there
    at, wave = history.now + later, Wave(1.1, history.start)
    report = await loads(prometheus.url, at=at)
    expected = (wave.until(at) - wave.until(at - 300.0)) / 300.0
    assert report.nodes[f"back-{name}"].cpu == pytest.approx(expected, abs=0.02)


def test_nor_does_it_change_what_is_learned(prometheus: Prometheus, tmp_path: Path) -> None:
    learned = fit(prometheus.url, tmp_path, "--model", "linear")
    for name in STEPS_BACK:
        assert line(learned.nodes, f"back-{name}") == pytest.approx((IDLE, IDLE + RISE), rel=0.01), name


@pytest.mark.parametrize("began", ["fresh", "rebooted"])
async def test_a_target_that_began_within_the_window_has_its_load_too(
    there: tuple[Prometheus, History], began: str
) -> None:
    """Not a share of elapsed time, which would be less."""
    prometheus, history = there
    report = await loads(prometheus.url, at=history.now)
    assert report.nodes[began].cpu == pytest.approx(0.6, abs=0.02)


# --- a tenant ---------------------------------------------------------------------------------------------------------


def test_a_server_with_tenants_is_told_which(prometheus: Prometheus, tmp_path: Path) -> None:
    (file := tmp_path / "tenant").write_text("team-a\n")
    with ReverseProxy(prometheus.url, tenant="team-a") as proxy:
        shut = fit(proxy.url, tmp_path)
        assert (shut.code, shut.nodes) == (1, {})
        assert "401: no org id" in shut.said
        assert "--prometheus-header" in shut.said
        ours = ("--prometheus-match", 'cluster="lab"')
        assert fit(proxy.url, tmp_path, *ours, "--prometheus-header", "X-Scope-OrgID: team-a").code == 0
        assert fit(proxy.url, tmp_path, *ours, "--prometheus-header-file", f"X-Scope-OrgID: {file}").code == 0


async def test_a_tenant_in_a_file_may_change(prometheus: Prometheus, tmp_path: Path) -> None:
    (file := tmp_path / "tenant").write_text("team-b\n")
    with ReverseProxy(prometheus.url, tenant="team-a") as proxy:
        source = PrometheusLoad(PrometheusApi(proxy.url, headers=(Header("X-Scope-OrgID", file=str(file)),)))
        with pytest.raises(LoadError, match="no org id"):
            await source.fetch()
        file.write_text("team-a\n")
        assert "ha-1" in (await source.fetch()).nodes
        await source.aclose()
