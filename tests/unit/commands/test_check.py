"""``peaks-scheduler check``: each problem has its line and its remedy, and hides no other problem.

Most tests judge made-up facts; those at the end ask an embedded API server and a load endpoint, as a person would.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from peaks_scheduler.cli import main
from peaks_scheduler.commands.check.facts import Facts
from peaks_scheduler.commands.check.finding import Finding, as_json, as_lines, summary
from peaks_scheduler.commands.check.rights import Right, rights
from peaks_scheduler.commands.check.run import CHECKS, check, judge
from peaks_scheduler.embedded.apiserver import EmbeddedApiServer
from peaks_scheduler.errors import ConfigurationError, Forbidden, KubeError, LoadError, PeaksError, Unavailable
from peaks_scheduler.kube.kinds import KINDS
from peaks_scheduler.ledger.node_load import LoadReport, NodeLoad
from peaks_scheduler.objects.node import Node, node_from_api
from peaks_scheduler.objects.pod import Pod, pod_from_api
from peaks_scheduler.power.curves import Exponential, Linear
from peaks_scheduler.power.models import EMPTY, PowerModel, PowerModels, Quality
from peaks_scheduler.settings.predictors import PredictorSettings
from peaks_scheduler.settings.sensors import CUSTOM_METRICS, SensorSettings
from peaks_scheduler.settings.settings import CarbonSettings, LeaderElection, LoadSettings, PowerSettings, Settings
from peaks_scheduler.sources.carbon_file import parse_carbon
from tests.e2e.support.load_endpoint import LoadEndpoint, Reply
from tests.support.builders import BENT_DOWN, NOW, Json, node, pod, when

RBAC = Path(__file__).resolve().parents[3] / "manifests" / "rbac.yaml"
MEASURED = Quality(rmse_watts=1.7, r2=0.99, samples=900, cpu_min=0.02, cpu_max=0.93, fitted="2026-11-20T10:00:00Z")
LEASE = LeaderElection(True, "peaks-scheduler-peaks")
SETTINGS = Settings(leader_election=LEASE, power=PowerSettings("models.yaml"))
DOWN = Unavailable("GET /version: expected an answer, got ClientConnectorError: refused")
T1 = Exponential(*BENT_DOWN)


def curve_of(name: str, curve: Any = T1, quality: Quality | None = MEASURED) -> PowerModel:
    return PowerModel(name, curve, None, quality)


def named(*models: PowerModel) -> PowerModels:
    return PowerModels({model.name: model for model in models})


def selecting(*selectors: Mapping[str, str]) -> PowerModels:
    each = ((labels, curve_of(",".join(f"{k}={v}" for k, v in labels.items()))) for labels in selectors)
    return PowerModels({}, tuple(each))


def nodes(*names: str, **more: Any) -> list[Node]:
    return [node_from_api(node(name, **more)) for name in names]


def waiting(name: str = "web-0", minutes: float = 0.0, **more: Any) -> Pod:
    raw = pod(name, **more)
    raw["metadata"]["creationTimestamp"] = when(NOW - 60 * minutes)
    return pod_from_api(raw, 100)


def load(cpu: Mapping[str, float], age: float = 60.0, **more: Any) -> LoadReport:
    """Use as a fraction by name, over the 15 minutes that ended ``age`` seconds ago."""
    loads = {name: NodeLoad(value, NOW - age - 900, NOW - age) for name, value in cpu.items()}
    return LoadReport(loads, NOW - age, NOW, **more)


def facts(**changes: Any) -> Facts:
    """Two nodes with load and models, and nothing wrong with them."""
    fine = Facts(
        settings=SETTINGS,
        now=NOW,
        server="https://10.0.0.1",
        namespace="kube-system",
        version={"major": "1", "minor": "36", "gitVersion": "v1.36.3"},
        user="system:serviceaccount:kube-system:peaks-scheduler",
        clock_offset=0.2,
        rights=dict.fromkeys(rights(SETTINGS, "kube-system"), True),
        not_served=[],
        lease=None,
        nodes=nodes("worker-1", "worker-2"),
        pods=[],
        load=load({"worker-1": 0.2, "worker-2": 0.4}),
        usage=40,
        targets=3,
        models=named(curve_of("worker-1"), curve_of("worker-2")),
    )
    return replace(fine, **changes)


def found(check: str, **changes: Any) -> list[Finding]:
    """What one check says of facts with these changes."""
    return [finding for finding in judge(facts(**changes)) if finding.check == check]


def only(check: str, **changes: Any) -> Finding:
    (finding,) = found(check, **changes)
    return finding


def said(check: str, **changes: Any) -> str:
    """``warning: words -> remedy`` of the one finding."""
    finding = only(check, **changes)
    return f"{finding.status}: {finding.text} -> {finding.remedy}"


# --- carbon ---------------------------------------------------------------------------------------------------------

GRID = Settings(leader_election=LEASE, strategy="carbon", carbon=CarbonSettings("carbon.csv"))
NORTH = "time,region,gco2_per_kwh\n2020-01-01,north,30\n"


def in_regions(*regions: str) -> list[Node]:
    labels = [{"topology.kubernetes.io/region": region} for region in regions]
    return [node_from_api(node(f"worker-{i}", labels=each)) for i, each in enumerate(labels, 1)]


def test_a_file_of_carbon_intensity_that_covers_all_nodes_is_fine() -> None:
    forecast = parse_carbon(NORTH, "carbon.csv")
    assert said("carbon", settings=GRID, carbon=forecast, nodes=in_regions("north")) == (
        "ok: carbon.csv has 1 region: north -> "
    )


def test_nodes_whose_grid_is_not_in_the_file_are_named() -> None:
    forecast = parse_carbon(NORTH, "carbon.csv")
    some = said("carbon", settings=GRID, carbon=forecast, nodes=in_regions("north", "south"))
    assert some.startswith("warning: no intensity is known now for worker-2")
    none = said("carbon", settings=GRID, carbon=forecast, nodes=in_regions("south"))
    assert none.startswith("failed: no intensity is known now for worker-1")


def test_a_file_of_carbon_intensity_that_cannot_be_read_has_failed() -> None:
    wrong = ConfigurationError("carbon.csv, line 2: time: expected a time")
    assert said("carbon", settings=GRID, carbon=wrong) == (
        "failed: carbon.csv, line 2: time: expected a time -> correct carbon.path or its file"
    )


# --- as a whole -------------------------------------------------------------------------------------------------------


def test_where_nothing_is_wrong_every_check_has_one_line_and_all_are_ok() -> None:
    findings = judge(facts())
    assert [finding.check for finding in findings] == [name for name, _ in CHECKS]
    assert {finding.status for finding in findings} == {"ok"}
    assert not any(finding.remedy for finding in findings)


def test_whatever_is_missing_no_check_is_silent() -> None:
    broken = PeaksError("no")
    nothing = facts(
        version=DOWN, rights=DOWN, not_served=DOWN, lease=DOWN, nodes=DOWN, pods=DOWN, load=broken, models=broken
    )
    assert {finding.check for finding in judge(nothing)} == {name for name, _ in CHECKS}


def test_what_is_wrong_has_a_remedy_or_points_to_the_check_that_has_one() -> None:
    nothing = facts(version=DOWN, rights=DOWN, not_served=DOWN, lease=DOWN, nodes=DOWN, pods=DOWN, models=EMPTY)
    worth = [finding for finding in judge(nothing) if finding.status != "ok"]
    assert worth
    assert all(finding.remedy or "not checked" in finding.text for finding in worth)


def test_an_api_server_that_is_down_fails_once_and_load_and_models_are_looked_at_all_the_same() -> None:
    findings = judge(facts(version=DOWN, rights=DOWN, not_served=DOWN, lease=DOWN, nodes=DOWN, pods=DOWN))
    assert [finding.check for finding in findings if finding.status == "failed"] == ["API server"]
    good = {finding.check for finding in findings if finding.status == "ok"}
    assert {"load source", "load age", "power models", "power curves"} <= good


def test_a_check_that_breaks_is_a_failed_line_and_the_others_go_on() -> None:
    findings = judge(facts(lease={"spec": "no mapping"}))
    (lease,) = [finding for finding in findings if finding.check == "lease"]
    assert (lease.status, "could not be judged" in lease.text) == ("failed", True)
    assert sum(finding.status == "ok" for finding in findings) == len(CHECKS) - 1


# --- lines ------------------------------------------------------------------------------------------------------------

TWO = [Finding("clock", "ok", "within 1 s"), Finding("load source", "failed", "it is down, and " * 9, "start it")]


def test_a_line_says_status_check_finding_and_remedy_in_columns() -> None:
    assert as_lines([TWO[0], replace(TWO[1], text="down")]) == [
        "ok       clock        within 1 s",
        "failed   load source  down -> start it",
    ]


def test_on_a_terminal_long_lines_go_on_below_their_column() -> None:
    first, *more = as_lines(TWO, width=70)[1].splitlines()
    assert first.startswith("failed   load source  it is down")
    assert more
    assert all(line.startswith(" " * len("failed   load source  ")) and len(line) <= 70 for line in more)


def test_the_json_has_the_same_four_things() -> None:
    assert as_json(TWO[:1]) == {"checks": [{"check": "clock", "status": "ok", "finding": "within 1 s", "remedy": None}]}


def test_the_sum_is_said_in_a_line() -> None:
    assert summary([*TWO, Finding("x", "warning", "y")]) == "1 ok, 1 warning, 1 failed"


# --- API server -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "status"),
    [
        ({"major": "1", "minor": "36", "gitVersion": "v1.36.3"}, "ok"),
        ({"major": "1", "minor": "27+", "gitVersion": "v1.27.9-eks"}, "ok"),
        ({"major": "1", "minor": "26", "gitVersion": "v1.26.0"}, "warning"),
        ({"major": "1", "minor": "37", "gitVersion": "v1.37.0"}, "warning"),
        ({"major": "2", "minor": "30"}, "warning"),
        ({}, "warning"),
    ],
)
def test_a_version_that_it_was_not_made_for_is_a_warning(version: Json, status: str) -> None:
    assert only("API server", version=version).status == status


def test_a_token_that_is_not_accepted_fails_by_that_name() -> None:
    refused = Forbidden("GET /version: 401 Unauthorized", 401)
    assert said("API server", version=refused).startswith("failed: https://10.0.0.1 does not know us")


def test_clocks_that_differ_are_a_warning_with_the_seconds() -> None:
    assert "clock is -42 s from this machine's" in said("clock", clock_offset=-42.0)


# --- rights -----------------------------------------------------------------------------------------------------------


def without(*verbs_and_objects: tuple[str, str]) -> dict[Right, bool]:
    return {each: (each.verb, each.object) not in verbs_and_objects for each in rights(SETTINGS, "kube-system")}


def test_the_rights_asked_about_are_those_that_the_manifests_give() -> None:
    roles = {each["kind"]: each["rules"] for each in yaml.safe_load_all(RBAC.read_text()) if "rules" in each}
    given = {
        (group, resource, verb, namespace, name)
        for kind, namespace in (("ClusterRole", ""), ("Role", "kube-system"))
        for rule in roles[kind]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for name in rule.get("resourceNames", [""])
    }
    metered = replace(SETTINGS, load=LoadSettings(source="metrics-server"))
    every = (metered, replace(SETTINGS, sensors=SensorSettings(custom_metrics=CUSTOM_METRICS)))
    asked = {
        (each.group, each.resource, each.verb, each.namespace, each.name)
        for settings in every
        for each in rights(settings, "kube-system")
    }
    assert asked == given


def test_without_leader_election_no_right_on_leases_is_asked_for() -> None:
    alone = replace(SETTINGS, leader_election=LeaderElection(False, "any"))
    assert {each.resource for each in rights(alone, "kube-system")}.isdisjoint({"leases"})


def test_only_with_metrics_server_are_its_rights_asked_for() -> None:
    metered = replace(SETTINGS, load=LoadSettings(source="metrics-server"))
    more = set(rights(metered, "kube-system")) - set(rights(SETTINGS, "kube-system"))
    assert {(each.verb, each.object) for each in more} == {
        ("list", "nodes.metrics.k8s.io"),
        ("list", "pods.metrics.k8s.io"),
    }


def test_rights_on_node_configs_and_custom_metrics_are_asked_for_only_where_they_are_used() -> None:
    off = replace(SETTINGS, predictors=PredictorSettings(node_configs=False))
    less = set(rights(SETTINGS, "kube-system")) - set(rights(off, "kube-system"))
    assert {each.resource for each in less} == {"nodeconfigs", "nodeconfigtemplates"}
    assert not any(each.needed for each in less)
    own = replace(SETTINGS, sensors=SensorSettings(custom_metrics={"inlet": "air"}))
    (more,) = set(rights(own, "kube-system")) - set(rights(SETTINGS, "kube-system"))
    assert (more.verb, more.object) == ("get", "nodes/air.custom.metrics.k8s.io")
    assert (more.attributes["resource"], more.attributes["subresource"]) == ("nodes", "air")


def test_a_needed_right_that_is_missing_fails_and_says_what_stops() -> None:
    line = said("rights", rights=without(("create", "pods/binding")))
    assert line.startswith(
        "failed: system:serviceaccount:kube-system:peaks-scheduler may not create pods/binding: no pod"
    )
    assert "ClusterRole peaks-scheduler: kubectl apply -k manifests/" in line


def test_an_optional_right_is_a_warning_and_verbs_of_one_kind_are_one_line() -> None:
    kind = "csinodes.storage.k8s.io"
    line = said("rights", rights=without(("list", kind), ("watch", kind)))
    assert line.startswith("warning: ")
    assert f"may not list and watch {kind}: limits of volumes per node are not checked" in line


def test_rights_on_the_lease_are_to_be_added_to_the_role_of_its_namespace() -> None:
    gaps = [(verb, "leases.coordination.k8s.io") for verb in ("get", "create", "update")]
    line = said("rights", rights=without(*gaps))
    assert line.startswith("failed: ")
    assert "leases.coordination.k8s.io in kube-system" in line
    assert "add it to the Role peaks-scheduler" in line


def test_each_kind_of_missing_right_has_a_line_of_its_own() -> None:
    gaps = without(("create", "pods/binding"), ("list", "nodes"), ("create", "events.events.k8s.io"))
    assert [finding.status for finding in found("rights", rights=gaps)] == ["failed", "failed", "warning"]


def test_an_operators_own_rights_are_not_taken_for_the_accounts() -> None:
    assert "run this there too" in only("rights", user="admin").text
    assert "run this there too" not in only("rights").text


def test_a_kind_that_the_server_does_not_have_is_named_with_what_comes_of_it() -> None:
    (lost,) = [kind for kind in KINDS if kind.plural == "csinodes"]
    assert said("kinds", not_served=[lost]).startswith(
        "warning: this API server has no csinodes.storage.k8s.io in v1: limits"
    )


# --- lease ------------------------------------------------------------------------------------------------------------


def held(seconds_ago: float, holder: str = "host_1") -> Json:
    spec = {"holderIdentity": holder, "renewTime": when(NOW - seconds_ago), "leaseDurationSeconds": 15}
    return {"spec": spec}


@pytest.mark.parametrize(
    ("lease", "words"),
    [
        (None, "is not there yet"),
        (held(3), "is in use: host_1 renewed it 3 s ago"),
        (held(7200), "has expired and is free to take: host_1 renewed it 2 h ago"),
        (held(3, ""), "is free"),
    ],
)
def test_a_lease_is_shown_with_its_holder_and_its_age(lease: Json | None, words: str) -> None:
    finding = only("lease", lease=lease, clock_offset=0.0)
    assert (finding.status, words in finding.text) == ("ok", True)


def electing(**changes: Any) -> Settings:
    return replace(SETTINGS, leader_election=replace(LEASE, **changes))


def test_kube_schedulers_own_lease_fails() -> None:
    first = found("lease", settings=electing(name="kube-scheduler"))[0]
    assert (first.status, first.remedy) == (
        "failed",
        "set leaderElection.name to peaks-scheduler-peaks, or leave it out",
    )


def test_the_lease_of_another_scheduler_name_is_a_warning() -> None:
    first = found("lease", settings=electing(name="peaks-scheduler-green"))[0]
    assert (first.status, "another schedulerName than Peaks" in first.text) == ("warning", True)


def test_without_election_it_says_that_other_replicas_cannot_be_seen() -> None:
    assert "cannot be seen from here" in said("lease", settings=electing(enabled=False))


def test_a_lease_that_may_not_be_read_is_left_to_the_rights() -> None:
    assert "see rights" in said("lease", lease=Forbidden("403", 403))


# --- nodes and pods ---------------------------------------------------------------------------------------------------


def test_a_cluster_without_nodes_fails() -> None:
    assert said("nodes", nodes=[]).startswith("failed: there are none")


def test_nodes_that_cannot_be_listed_fail_and_what_needs_them_says_so() -> None:
    refused = Forbidden("GET /api/v1/nodes: 403 nodes is forbidden", 403)
    assert "403 nodes is forbidden" in said("nodes", nodes=refused)
    for blind in ("load names", "models of nodes", "fitted range"):
        assert "not checked" in only(blind, nodes=refused).text
    assert only("power curves", nodes=refused).status == "ok"


def test_a_pod_of_ours_that_waits_for_long_is_named_with_the_command_that_explains_it() -> None:
    line = said("waiting pods", pods=[waiting("new", 1), waiting("old", 90), waiting("older", 240)])
    assert line.startswith("warning: 2 of Peaks for more than 5 min, default/older for 4 h: ")
    assert line.endswith("-> peaks-scheduler explain default/older")


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"scheduler": "default-scheduler"}, id="another scheduler's"),
        pytest.param({"node": "worker-1"}, id="placed"),
        pytest.param({"schedulingGates": [{"name": "quota"}]}, id="gated"),
        pytest.param({"deleting": True}, id="on its way out"),
        pytest.param({"minutes": 4.0}, id="new"),
    ],
)
def test_other_pods_do_not_wait_for_us_for_long(other: dict[str, Any]) -> None:
    assert only("waiting pods", pods=[waiting(**{"minutes": 90.0, **other})]).status == "ok"


def test_a_scheduler_name_that_differs_by_case_alone_is_named() -> None:
    first = found("waiting pods", pods=[waiting(scheduler="peaks")])[0]
    assert (first.status, first.remedy) == ("warning", "write Peaks in the pods, or peaks in the configuration")


def test_the_name_of_kube_scheduler_is_a_warning() -> None:
    settings = replace(SETTINGS, scheduler_name="default-scheduler")
    assert "kube-scheduler's own" in found("waiting pods", settings=settings)[0].text


# --- load -------------------------------------------------------------------------------------------------------------


def test_a_load_source_that_is_down_fails_in_its_own_words() -> None:
    line = said("load source", load=LoadError("unreachable", "load-watcher at http://x:2020/watcher: no connection"))
    assert line.startswith("failed: load-watcher at http://x:2020/watcher: no connection (the scheduler goes on")


def test_what_the_source_left_out_is_a_warning_each() -> None:
    odd = load({"worker-1": 0.2}, problems=("no CPU metric: db-1", "a CPU value that is no number: db-2"))
    assert [finding.status for finding in found("load source", load=odd)] == ["ok", "warning", "warning"]


def test_a_source_whose_clock_is_elsewhere_is_a_warning() -> None:
    assert "its clock is +30 s" in found("load source", load=load({"worker-1": 0.2}, clock_offset=30.0))[1].text


def test_load_older_than_its_expiry_fails_with_both_numbers() -> None:
    line = said("load age", load=load({"worker-1": 0.2}, age=3600.0))
    assert line.startswith("failed: the newest is 60 min old, load.expiry is 5 min")


def test_load_of_some_nodes_that_is_old_is_a_warning_that_names_them() -> None:
    both = {**load({"worker-1": 0.2}).nodes, **load({"worker-2": 0.2}, age=3600.0).nodes}
    line = said("load age", load=LoadReport(both, NOW, NOW))
    assert line.startswith("warning: older than 5 min (load.expiry), not used: worker-2")


def test_names_that_are_no_node_and_nodes_without_load_are_named() -> None:
    warnings = found("load names", load=load({"worker-1": 0.2, "10.0.0.9:9100": 0.3}))
    assert [finding.status for finding in warnings] == ["warning", "warning"]
    assert "10.0.0.9:9100" in warnings[0].text
    assert warnings[1].text == "1 of 2 nodes without load, estimated: worker-2"


def test_where_no_name_is_a_node_it_fails_and_shows_both_sides() -> None:
    line = said("load names", load=load({"db-1": 0.2}))
    assert line.startswith("failed: none is a node of this cluster")
    assert "the source names db-1; the nodes are worker-1, worker-2" in line


def test_names_that_may_be_several_nodes_or_share_one_are_named() -> None:
    here = nodes("web.north.example", "web.south.example", "db.example")
    texts = " | ".join(
        f.text for f in found("load names", nodes=here, load=load({"web": 0.1, "db": 0.1, "db:9100": 0.1}))
    )
    assert "names that may be any of several nodes, not used: web: web.north.example, web.south.example" in texts
    assert "several load names mean one node, none is used: db.example: db, db:9100" in texts


def test_many_nodes_at_full_load_raise_the_question_of_percent_and_ratio() -> None:
    line = said("load values", load=load({"worker-1": 1.0, "worker-2": 1.0}))
    assert line.startswith("warning: 2 of 2 nodes are at 100 % or above: is a percentage taken for a ratio?")


def test_one_busy_node_raises_no_question() -> None:
    assert only("load values", load=load({"worker-1": 1.0, "worker-2": 0.3})).status == "ok"


def test_idle_nodes_full_of_requests_raise_the_question_the_other_way_round() -> None:
    busy = [waiting(node="worker-1", cpu="6"), waiting("b", node="worker-2", cpu="2")]
    # 8 of 16 CPUs
    line = said("load values", load=load({"worker-1": 0.004, "worker-2": 0.002}), pods=busy)
    assert "below 0.5 % although pods request 50 % of the CPUs: is a ratio taken for a percentage?" in line


def test_an_idle_cluster_raises_no_question() -> None:
    assert only("load values", load=load({"worker-1": 0.004, "worker-2": 0.002})).status == "ok"


def test_load_in_cores_counts_by_the_nodes_own_cpus() -> None:
    cores = {name: NodeLoad(None, NOW - 90, NOW - 60, cores=2.0) for name in ("worker-1", "worker-2")}
    assert only("load values", load=LoadReport(cores, NOW, NOW)).text == "25.0 to 25.0 % of a node's CPUs"


def test_a_prometheus_that_does_not_answer_fails_and_one_without_targets_is_a_warning() -> None:
    down = LoadError("unreachable", "Prometheus at http://prometheus:9090: no connection")
    assert said("Prometheus", targets=down).startswith("failed: Prometheus at http://prometheus:9090: no connection")
    assert only("Prometheus", targets=0).status == "warning"


def test_where_nobody_tells_what_pods_use_requests_count_and_that_is_a_warning() -> None:
    metered = replace(SETTINGS, load=LoadSettings(source="metrics-server"))
    missing = LoadError("not-installed", "metrics-server (metrics.k8s.io): install it")
    assert said("pod usage", settings=metered, usage=missing).startswith("warning: metrics-server (metrics.k8s.io)")
    assert found("pod usage", usage=None) == []


def test_where_no_prometheus_is_configured_nothing_is_said_of_it() -> None:
    assert found("Prometheus", targets=None) == []


# --- models -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("models", "words"),
    [
        (EMPTY, "models.yaml has none: pods are not placed by watts"),
        (ConfigurationError("models.yaml: models[0].cpu: expected `ratio`"), "models.yaml: models[0].cpu: expected"),
    ],
)
def test_without_usable_models_it_fails_and_says_how_to_make_some(models: Any, words: str) -> None:
    line = said("power models", models=models)
    assert line.startswith(f"failed: {words}")
    assert "peaks-scheduler fit" in line


def test_nodes_without_a_model_are_named() -> None:
    line = said("models of nodes", models=named(curve_of("worker-1")))
    assert line.startswith(
        "warning: 1 of 2 nodes without one, they get pods only if no other node is feasible: worker-2"
    )


def test_models_for_other_nodes_only_fail_and_show_both_sides() -> None:
    line = said("models of nodes", models=named(curve_of("worker-1.example")))
    assert line.startswith(
        "failed: no node has one; the file is for worker-1.example, the nodes are worker-1, worker-2"
    )


def test_models_of_nodes_that_are_not_there_are_a_warning() -> None:
    models = named(*map(curve_of, ("worker-1", "worker-2", "gone")))
    assert said("models of nodes", models=models).startswith("warning: for nodes that are not there: gone")


def test_a_node_that_two_selectors_match_is_named_with_them() -> None:
    here = nodes("worker-1", labels={"type": "m5", "zone": "a"}) + nodes("worker-2", labels={"type": "m5"})
    line = said("models of nodes", nodes=here, models=selecting({"type": "m5"}, {"zone": "a"}))
    assert line.startswith("warning: several selectors match worker-1 (type=m5, zone=a): none is used")


def test_where_selectors_claim_every_node_twice_that_alone_is_said() -> None:
    here = nodes("worker-1", "worker-2", labels={"type": "m5", "zone": "a"})
    line = said("models of nodes", nodes=here, models=selecting({"type": "m5"}, {"zone": "a"}))
    assert line.startswith("warning: several selectors match worker-1, worker-2")


@pytest.mark.parametrize(
    ("curve", "words"),
    [
        # the original plugin's documented curve, whose k2 is for percent, read as a ratio: 1.7 % from idle to full
        pytest.param(Exponential(471.7, -91.5, -0.07186), "less than 5 %", id="percent read as ratio"),
        # and the one for a ratio read as percent
        pytest.param(Exponential(471.7, -91.5, -718.6), "with the first 1 % of load", id="ratio read as percent"),
        pytest.param(Linear(0.06, 0.24), "outside of 5 to 5,000 W", id="kilowatts"),
        pytest.param(Linear(60_000.0, 90_000.0), "outside of 5 to 5,000 W", id="milliwatts"),
        pytest.param(Linear(6.0, 900.0), "more than 50 times the idle power", id="idle power missing"),
    ],
)
def test_a_curve_beyond_belief_is_named_with_the_likely_mistake(curve: Any, words: str) -> None:
    line = said("power curves", models=named(curve_of("worker-1", curve), curve_of("worker-2")))
    assert line.startswith("warning: ")
    assert words in line
    assert " for worker-1 -> " in line


def test_curves_of_real_servers_pass() -> None:
    # least and most of SPECpower_ssj2008: 44.7 W, 2,148 W, a ratio of 1.3 and of 11.3
    real = [Linear(10.0, 44.7), Linear(993.0, 2148.0), Linear(100.0, 130.0), Linear(50.0, 563.0), T1]
    models = named(*(curve_of(f"n{number}", curve) for number, curve in enumerate(real)))
    assert only("power curves", models=models).status == "ok"


@pytest.mark.parametrize(
    ("quality", "words"),
    [
        pytest.param(None, "the file does not say how good the fit is", id="none"),
        pytest.param(Quality(confidence="low"), "a first guess, never measured", id="nothing but a word"),
        pytest.param(replace(MEASURED, confidence="low"), "a first guess, never measured", id="guess"),
        pytest.param(replace(MEASURED, r2=0.3), "load explains little", id="R2"),
        pytest.param(replace(MEASURED, cpu_max=0.2), "never measured above 50 % load", id="short range"),
        pytest.param(replace(MEASURED, fitted="2020-01-01T00:00:00Z"), "fitted more than 365 days ago", id="old"),
    ],
)
def test_a_model_that_deserves_little_trust_says_why(quality: Quality | None, words: str) -> None:
    line = said("model quality", models=named(curve_of("worker-1", T1, quality), curve_of("worker-2")))
    assert line.startswith("warning: ")
    assert words in line
    assert " for worker-1 -> " in line


def test_nodes_that_run_where_their_model_was_not_measured_are_named() -> None:
    used = load({"worker-1": 0.99, "worker-2": 0.5})
    finding = only("fitted range", load=used, models=named(*map(curve_of, ("worker-1", "worker-2"))))
    # 93 % is the end, and 5 points beyond it are allowed
    assert finding.text == (
        "1 of 2 nodes have a load at which their model was not measured: worker-1 (at 99 %, fitted on 2 to 93 %)"
    )


def test_models_that_do_not_say_their_range_are_not_judged_by_it() -> None:
    models = named(curve_of("worker-1", T1, None), curve_of("worker-2", T1, None))
    assert "no model has its range" in only("fitted range", models=models).text


# --- asked for real ---------------------------------------------------------------------------------------------------

MODELS = """\
models:
- nodes: [worker-1, worker-2]
  cpu: ratio
  curve: {kind: exponential, k0: 471.7, k1: -91.5, k2: -7.186}
  quality: {rmseWatts: 1.7, r2: 0.99, samples: 900, cpuMin: 0.0, cpuMax: 0.93}
"""


@dataclass(frozen=True, slots=True)
class Scene:
    """A cluster of two nodes, their load and their models, and the command run against it."""

    server: EmbeddedApiServer
    load: LoadEndpoint
    folder: Path

    async def run(self, *options: str, load: str | None = None) -> Result:
        kubeconfig = self.server.write_kubeconfig(self.folder / "kubeconfig")
        usual = ["--kubeconfig", str(kubeconfig), "--load-address", load or self.load.url]
        given = (
            options if "--power-models" in options else ("--power-models", str(self.folder / "models.yaml"), *options)
        )
        result = await asyncio.to_thread(CliRunner().invoke, main, ["check", *usual, *given])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.output
        return result

    async def statuses(self, *options: str, **more: Any) -> dict[str, list[str]]:
        result = await self.run("--output", "json", *options, **more)
        return grouped(json.loads(result.stdout)["checks"])

    async def impatiently(self) -> dict[str, list[str]]:
        """The same without the command line, and a third of a second for a request."""
        kubeconfig = str(self.server.write_kubeconfig(self.folder / "kubeconfig"))
        power = PowerSettings(str(self.folder / "models.yaml"))
        settings = replace(SETTINGS, kubeconfig=kubeconfig, load=LoadSettings(address=self.load.url), power=power)
        return grouped(as_json(await check(settings, patience=0.3))["checks"])


def grouped(checks: Iterable[Mapping[str, str]]) -> dict[str, list[str]]:
    """Check -> the statuses of its findings."""
    statuses: dict[str, list[str]] = {}
    for each in checks:
        statuses.setdefault(each["check"], []).append(each["status"])
    return statuses


@pytest.fixture
async def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    monkeypatch.delenv("NODE_POWER_MODEL", raising=False)
    (tmp_path / "models.yaml").write_text(MODELS)
    async with EmbeddedApiServer() as server:
        with LoadEndpoint({"worker-1": 20.0, "worker-2": 40.0}) as load:
            for name in ("worker-1", "worker-2"):
                server.add_node(node(name))
            yield Scene(server, load, tmp_path)


async def test_a_cluster_that_is_ready_is_exit_0_with_one_line_a_check(scene: Scene) -> None:
    result = await scene.run()
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["ok"] * (
        len(CHECKS) - 2
    )  # no source of pods' use and no Prometheus are configured
    assert result.stderr == f"{len(CHECKS) - 2} ok, 0 warnings, 0 failed\n"


async def test_it_changes_nothing_on_the_api_server(scene: Scene) -> None:
    await scene.run()
    asked = {
        verb for verb, kind in scene.server.requests if kind != "selfsubjectaccessreviews" and not kind.startswith("/")
    }
    assert asked <= {"get", "list"}


async def test_several_troubles_at_once_have_a_line_each(scene: Scene) -> None:
    scene.server.denied.add(("create", "pods/binding"))
    result = await scene.run("--power-models", str(scene.folder / "none.yaml"), load="http://127.0.0.1:9")
    assert result.exit_code == 1
    failures = [line.split("  ")[1].strip() for line in result.stdout.splitlines() if line.startswith("failed")]
    assert failures == ["rights", "load source", "power models"]
    assert "may not create pods/binding" in result.stdout
    assert "none.yaml: expected a readable power model file" in result.stdout


async def test_an_api_server_that_is_down_hides_neither_load_nor_models(scene: Scene) -> None:
    await scene.server.stop()
    statuses = await scene.statuses()
    assert statuses["API server"] == ["failed"]
    assert statuses["nodes"] == ["warning"]
    assert statuses["load source"] == statuses["power models"] == ["ok"]


async def test_an_api_server_that_hangs_ends_in_time_and_hides_nothing(scene: Scene) -> None:
    scene.server.delay("/", 5.0)
    statuses = await scene.impatiently()
    assert statuses["API server"] == ["failed"]
    assert statuses["load age"] == ["ok"]


async def test_one_list_that_hangs_takes_nothing_from_the_others(scene: Scene) -> None:
    scene.server.delay("GET /api/v1/nodes", 5.0)
    statuses = await scene.impatiently()
    assert statuses["nodes"] == ["failed"]
    assert statuses["API server"] == statuses["rights"] == statuses["lease"] == statuses["waiting pods"] == ["ok"]


async def test_a_load_source_that_never_answers_is_given_up(scene: Scene) -> None:
    scene.load.reply = Reply(silent=True)
    (scene.folder / "config.yaml").write_text("load: {timeout: 300ms}")
    statuses = await scene.statuses("--config", str(scene.folder / "config.yaml"))
    assert statuses["load source"] == ["failed"]
    assert statuses["models of nodes"] == ["ok"]


async def test_a_token_that_is_refused_fails_by_name(scene: Scene) -> None:
    kubeconfig = scene.server.write_kubeconfig(scene.folder / "stale")
    scene.server.tokens = {"another"}
    args = ["check", "--kubeconfig", str(kubeconfig), "--load-address", scene.load.url]
    result = await asyncio.to_thread(CliRunner().invoke, main, args)
    assert result.exit_code == 1
    assert "does not know us" in result.stdout


async def test_a_model_file_that_is_refused_is_a_failed_line_and_hides_nothing(scene: Scene) -> None:
    (scene.folder / "models.yaml").write_text(MODELS.replace("ratio", "fraction"))
    result = await scene.run()
    assert result.exit_code == 1
    assert "expected `ratio`" in result.stdout
    assert result.stdout.count("failed ") == 1


@pytest.mark.parametrize(
    "config",
    [pytest.param("strategy: fastest", id="strategy"), pytest.param("load: {adress: http://x}", id="unknown key")],
)
async def test_a_wrong_configuration_is_exit_2_in_words(scene: Scene, config: str) -> None:
    (scene.folder / "config.yaml").write_text(config)
    result = await scene.run("--config", str(scene.folder / "config.yaml"))
    assert result.exit_code == 2
    assert result.stderr.startswith("peaks-scheduler check: ")
    assert result.stdout == ""


async def test_a_kubeconfig_that_is_not_there_is_exit_2(scene: Scene) -> None:
    result = await asyncio.to_thread(CliRunner().invoke, main, ["check", "--kubeconfig", str(scene.folder / "nowhere")])
    assert result.exit_code == 2
    assert "nowhere" in result.stderr


def test_an_error_that_is_no_answer_and_one_that_is_are_told_apart() -> None:
    assert facts(version=KubeError("500", 500)).reached
    assert not facts(version=DOWN, rights=DOWN, not_served=DOWN, lease=DOWN, nodes=DOWN, pods=DOWN).reached


def test_models_of_other_parts_of_the_machine_are_told() -> None:
    mixed = named(curve_of("worker-1"), replace(curve_of("worker-2"), scope="package"))
    assert "(wall: worker-1; package: worker-2)" in said("model scopes", models=mixed)
    assert said("model scopes", models=mixed).startswith("warning: ")
    alike = named(*(replace(curve_of(name), scope="package") for name in ("worker-1", "worker-2")))
    assert only("model scopes", models=alike).status == "ok"
