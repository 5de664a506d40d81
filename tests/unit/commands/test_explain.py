"""``peaks-scheduler explain`` and ``strategies`` as a person types them: JSON, table, and errors in words."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peaks_scheduler.cli import main
from peaks_scheduler.commands.explain.answer import explain
from peaks_scheduler.commands.explain.cluster import from_files
from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.power.curves import Exponential
from peaks_scheduler.power.models import PowerModel, PowerModels
from peaks_scheduler.settings.settings import PowerSettings, Settings
from tests.support.builders import (
    BENT_DOWN,
    HOSTNAME,
    NOW,
    Json,
    decide,
    expression,
    ledger,
    models,
    namespace,
    node,
    node_affinity,
    pod,
    pod_affinity,
    pod_term,
    taint,
)
from tests.support.examples import examples
from tests.support.recording_server import Answer, Asked, RecordingServer, status, write_kubeconfig

K0, K1, K2 = BENT_DOWN
MODELS = {"worker-2": {"k0": K0, "k1": K1, "k2": K2 / 100}}  # the original plugin's form, in percent
NODES = [node("worker-1", cpu="250m", capacity="8"), node("worker-2")]
WEB = pod(cpu="480m")


def answer(end: float = NOW, **percent: float) -> Json:
    """A load-watcher answer; ``worker_2=22.0`` is 22 % on worker-2."""
    metrics = {
        name.replace("_", "-"): {"metrics": [{"type": "CPU", "operator": "AVG", "value": v}]}
        for name, v in percent.items()
    }
    window = {"duration": "15m", "start": int(end) - 900, "end": int(end)}
    return {"timestamp": int(end) + 1, "window": window, "data": {"NodeMetricsMap": metrics}}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command runs: a cluster, its load and its models."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NODE_POWER_MODEL", raising=False)
    write("cluster.yaml", [*NODES, WEB])
    Path("load.json").write_text(json.dumps(answer(worker_1=10.0, worker_2=22.0)))
    Path("models.json").write_text(json.dumps(MODELS))
    return tmp_path


def write(path: str, objects: Sequence[Json]) -> None:
    Path(path).write_text(yaml.safe_dump_all(objects))


def run(*args: str, given: str | None = None) -> Result:
    result = CliRunner().invoke(main, ["explain", *args], input=given)
    assert "Traceback" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def answers(*args: str, given: str | None = None) -> dict[str, Any]:
    result = run(*args, "--output", "json", given=given)
    assert result.exit_code == 0, result.output
    read: dict[str, Any] = json.loads(result.stdout)
    return read


def told(*objects: Json, args: Sequence[str] = ("--all-pending",)) -> dict[str, Any]:
    """The answers for a cluster of these objects."""
    write("objects.yaml", objects)
    return answers(*args, "--from", "objects.yaml")


ALL = ("--from", "cluster.yaml", "--load", "load.json", "--power-models", "models.json")


# --- the answer -----------------------------------------------------------------------------------


def test_the_answer_is_the_contracts_json(folder: Path) -> None:
    # the envelope of a concave curve is the chord: 91.5 * (1 - exp(-7.186)) * 0.06 = 5.486
    assert answers("default/web-0", *ALL) == {
        "default/web-0": {
            "node": "worker-2",
            "message": None,
            "gated": False,
            "unsupported": [],
            "podCpu": 0.48,
            "podCpuFrom": "request",
            "nodes": {
                "worker-1": {"feasible": False, "reasons": ["Insufficient cpu"], "standing": None, "jumpWatts": None},
                "worker-2": {
                    "feasible": True,
                    "reasons": [],
                    "standing": "measured",
                    "jumpWatts": pytest.approx(5.486, abs=0.001),
                    "cpuBefore": pytest.approx(0.22),
                    "cpuAfter": pytest.approx(0.28),
                },
            },
        }
    }


def test_it_is_the_decision_of_the_core(folder: Path) -> None:
    expected = decide(WEB, ledger(*NODES, power=models(worker_2=BENT_DOWN), loads={"worker-1": 0.1, "worker-2": 0.22}))
    seen = answers("default/web-0", *ALL)["default/web-0"]
    assert (seen["node"], seen["nodes"]["worker-2"]["jumpWatts"]) == (expected.node, pytest.approx(expected.jump_watts))


def test_a_pod_that_fits_nowhere_has_kube_schedulers_message_and_nothing_of_preemption(folder: Path) -> None:
    seen = told(node("a", cpu="1"), node("b", unschedulable=True), node("c", taints=[taint()]), pod(cpu="2"))[
        "default/web-0"
    ]
    assert seen["node"] is None
    assert seen["message"] == (
        "0/3 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable."
    )
    assert {name: verdict["reasons"] for name, verdict in seen["nodes"].items()} == {
        "a": ["Insufficient cpu"],
        "b": ["node(s) were unschedulable"],
        "c": ["node(s) had untolerated taint(s)"],
    }


def test_a_gated_pod_waits_and_no_node_is_asked(folder: Path) -> None:
    seen = told(*NODES, pod(schedulingGates=[{"name": "quota"}]))["default/web-0"]
    assert {key: seen[key] for key in ("node", "message", "gated", "nodes")} == {
        "node": None, "message": None, "gated": True, "nodes": {}
    }  # fmt: skip


def test_an_unsupported_pod_names_its_fields_and_fits_nowhere(folder: Path) -> None:
    field = "spec.resourceClaims"
    seen = told(*NODES, pod(resourceClaims=[{"name": "gpu"}]))["default/web-0"]
    assert (seen["node"], seen["unsupported"]) == (None, [field])
    assert seen["message"].startswith(f"{field}: not honoured")
    assert all(
        not v["feasible"] and v["reasons"] == [f"{field}: not honoured by this scheduler"]
        for v in seen["nodes"].values()
    )
    assert set(seen["nodes"]) == {"worker-1", "worker-2"}


def test_a_reason_found_before_any_node_is_looked_at_is_every_nodes_only_reason(folder: Path) -> None:
    both = node_affinity(
        {"matchFields": [expression("metadata.name", "In", name) for name in ("worker-1", "worker-2")]}
    )
    seen = told(*NODES, pod(cpu="99", affinity=both))["default/web-0"]
    assert seen["message"] == "0/2 nodes are available: pod affinity terms conflict."
    assert [v["reasons"] for v in seen["nodes"].values()] == [["pod affinity terms conflict"]] * 2


def test_the_four_standings(folder: Path) -> None:
    Path("models.json").write_text(json.dumps(dict.fromkeys(("measured", "estimated", "full"), MODELS["worker-2"])))
    Path("load.json").write_text(json.dumps(answer(measured=22.0, blind=5.0, full=99.0)))
    write("cluster.yaml", [node(n) for n in ("measured", "estimated", "blind", "full")] + [WEB])
    nodes = answers("web-0", *ALL)["default/web-0"]["nodes"]
    assert {name: v["standing"] for name, v in nodes.items()} == {
        "measured": "measured",
        "estimated": "estimated",
        "blind": "unmodelled",
        "full": "over-full",
    }
    assert all(v["feasible"] for v in nodes.values())
    assert nodes["blind"]["jumpWatts"] is None


def test_each_pod_is_judged_on_its_own(folder: Path) -> None:
    seen = told(node("only", cpu="1"), pod("a", cpu="1"), pod("b", cpu="1"))
    assert {key: one["node"] for key, one in seen.items()} == {"default/a": "only", "default/b": "only"}


def test_all_pending_are_those_of_this_scheduler_name_that_wait(folder: Path) -> None:
    objects = [
        pod("mine"),
        pod("theirs", scheduler="default-scheduler"),
        pod("there", node="worker-2"),
        pod("leaving", deleting=True),
        pod("done", phase="Succeeded"),
        pod("gated", schedulingGates=[{"name": "x"}]),
        pod("mine", namespace="other"),
    ]
    assert set(told(*NODES, *objects)) == {"default/mine", "default/gated", "other/mine"}
    assert set(told(*objects, args=["--all-pending", "--scheduler-name", "default-scheduler"])) == {"default/theirs"}


def test_no_pending_pod_is_an_answer_too(folder: Path) -> None:
    assert told(*NODES) == {}
    assert run("--all-pending", "--from", "objects.yaml").stdout == "no pending pod of Peaks\n"


def test_bound_pods_of_everybody_take_their_room(folder: Path) -> None:
    seen = told(node("only", cpu="1"), pod("there", cpu="1", node="only", scheduler="default-scheduler"), WEB)
    assert seen["default/web-0"]["message"] == "0/1 nodes are available: 1 Insufficient cpu."


# --- files ----------------------------------------------------------------------------------------

WHOLE = [*NODES, WEB]
LIST = {"apiVersion": "v1", "kind": "List", "items": WHOLE}
BARE = [{key: value for key, value in raw.items() if key not in ("kind", "apiVersion")} for raw in NODES]
FORMS: dict[str, list[str]] = {
    "YAML documents": [yaml.safe_dump_all(WHOLE)],
    "with empty ones between": ["---\n" + "\n---\n---\n".join(yaml.safe_dump(raw) for raw in WHOLE) + "\n---\n"],
    "a YAML list": [yaml.safe_dump(LIST)],
    "a JSON list": [json.dumps(LIST, indent=2)],
    "a file each": [json.dumps(raw) for raw in WHOLE],
    "YAML and JSON": [yaml.safe_dump_all(NODES), json.dumps(WEB)],
    "a list within a list": [json.dumps({"kind": "List", "items": [LIST]})],
    "what the API server answers": [
        json.dumps({"kind": "NodeList", "items": BARE}),
        json.dumps({"kind": "PodList", "items": [WEB]}),
    ],
    "JSON, one after the other": ["\n".join(json.dumps(raw) for raw in WHOLE)],
    "a JSON array": [json.dumps(WHOLE)],
    "pods before their nodes": [json.dumps(WEB), yaml.safe_dump_all(NODES)],
    "with its namespaces": [json.dumps({"kind": "NamespaceList", "items": [namespace()]}), yaml.safe_dump_all(WHOLE)],
    "beside other kinds": [
        json.dumps({"kind": "List", "items": [{"kind": "Service"}, *WHOLE, {"kind": "Secret", "spec": 3}]})
    ],
}


@pytest.mark.parametrize("texts", FORMS.values(), ids=FORMS)
def test_a_cluster_is_read_from_any_mix_of_files(texts: list[str], folder: Path) -> None:
    args = []
    for i, text in enumerate(texts):
        Path(f"{i}.txt").write_text(text)
        args += ["--from", f"{i}.txt"]
    seen = answers("default/web-0", *args)["default/web-0"]
    assert (seen["node"], set(seen["nodes"])) == ("worker-2", {"worker-1", "worker-2"})


def test_labels_of_namespaces_decide_whom_an_affinity_means(folder: Path) -> None:
    term = pod_term({"app": "db"}, namespaceSelector={"matchLabels": {"env": "prod"}})
    there = pod("db", node="worker-2", namespace="data", labels={"app": "db"})
    wanting = pod(affinity=pod_affinity(term))
    assert told(*NODES, there, wanting, namespace("data", {"env": "prod"}))["default/web-0"]["node"] == "worker-2"
    assert told(*NODES, there, wanting, namespace("data", {"env": "test"}))["default/web-0"]["message"] == (
        "0/2 nodes are available: 2 node(s) didn't match pod affinity rules."
    )


def test_several_files_may_follow_one_option(folder: Path) -> None:
    write("nodes.yaml", NODES)
    write("pods.yaml", [WEB])
    assert answers("default/web-0", "--from", "nodes.yaml", "pods.yaml")["default/web-0"]["node"] == "worker-2"
    assert answers("--from", "nodes.yaml", "pods.yaml", "default/web-0")["default/web-0"]["node"] == "worker-2"


def test_a_cluster_is_read_from_standard_input(folder: Path) -> None:
    assert answers("web-0", "--from", "-", given=json.dumps(LIST))["default/web-0"]["node"] == "worker-2"


def test_a_pod_without_a_namespace_is_in_default(folder: Path) -> None:
    write(
        "objects.yaml",
        [*NODES, {"kind": "Pod", "metadata": {"name": "mine"}, "spec": {"schedulerName": "Peaks", "containers": []}}],
    )
    assert answers("mine", "--from", "objects.yaml")["default/mine"]["node"] is not None


def test_a_pod_as_a_person_writes_it_gets_what_the_api_server_would_add(folder: Path) -> None:
    # a limit is the request where there is none, and a port on the host's network is the host's
    assert (
        told(node(cpu="1"), pod(limits={"cpu": "2"}))["default/web-0"]["message"]
        == "0/1 nodes are available: 1 Insufficient cpu."
    )
    there = pod("there", node="worker-1", ports=[{"hostPort": 80}])
    on_host = pod(hostNetwork=True, ports=[{"containerPort": 80}])
    assert "free ports" in told(node(), there, on_host)["default/web-0"]["message"]


# --- load and models ------------------------------------------------------------------------------


def standing(*args: str) -> str:
    found: str = answers("web-0", "--from", "cluster.yaml", *args)["default/web-0"]["nodes"]["worker-2"]["standing"]
    return found


def test_a_recorded_load_is_as_fresh_as_when_it_was_recorded(folder: Path) -> None:
    Path("load.json").write_text(json.dumps(answer(end=NOW - 10 * 365 * 86400, worker_2=22.0)))
    assert standing("--load", "load.json", "--power-models", "models.json") == "measured"


def test_one_that_was_stale_when_it_was_recorded_is_stale(folder: Path) -> None:
    Path("load.json").write_text(json.dumps(answer(worker_2=22.0) | {"timestamp": int(NOW) + 3600}))
    assert standing("--load", "load.json", "--power-models", "models.json") == "estimated"


def test_load_names_that_are_no_node_are_told(folder: Path) -> None:
    Path("load.json").write_text(json.dumps(answer(**{"10.9.9.9:9100": 5.0, "worker-2.example.org": 22.0})))
    result = run("web-0", *ALL)
    assert "note: load names that are no node of this cluster: 10.9.9.9:9100\n" in result.stderr
    assert standing("--load", "load.json", "--power-models", "models.json") == "measured"


def test_a_load_name_that_may_be_any_of_two_nodes_is_told_with_both(folder: Path) -> None:
    write("cluster.yaml", [*(node(f"worker-{i}", labels={HOSTNAME: "web"}) for i in (1, 2)), WEB])
    Path("load.json").write_text(json.dumps(answer(**{"web": 5.0})))
    result = run("web-0", *ALL)
    assert "note: load names that may be any of several nodes, not used: web: worker-1, worker-2\n" in result.stderr


def test_an_answer_without_nodes_leaves_estimates(folder: Path, test_data: Path) -> None:
    recorded = str(test_data / "exporters" / "load_watcher_empty.json")
    assert standing("--load", recorded, "--power-models", "models.json") == "estimated"
    assert (
        "note: no load, all nodes are estimated: expected some nodes"
        in run("web-0", "--from", "cluster.yaml", "--load", recorded).stderr
    )


def test_a_recorded_answer_is_read(folder: Path, test_data: Path) -> None:
    write("cluster.yaml", [node("worker-1"), node("worker-2"), WEB])
    recorded = str(test_data / "exporters" / "load_watcher_recorded.json")
    nodes = answers("web-0", "--from", "cluster.yaml", "--load", recorded)["default/web-0"]["nodes"]
    assert nodes["worker-1"]["cpuBefore"] == pytest.approx(0.0866415494791758)


def test_without_models_every_node_is_unmodelled_and_that_is_told(folder: Path) -> None:
    assert standing() == "unmodelled"
    assert "note: no power models, all nodes are unmodelled\n" in run("web-0", "--from", "cluster.yaml").stderr


def test_nodes_that_several_selectors_match_are_named(folder: Path) -> None:
    curve = {"kind": "exponential", "k0": K0, "k1": K1, "k2": K2}
    selectors: list[Json] = [{}, {"kubernetes.io/hostname": "worker-2"}]
    entries = [{"nodeSelector": selector, "cpu": "ratio", "curve": curve} for selector in selectors]
    Path("models.json").write_text(json.dumps({"models": entries}))
    assert standing("--power-models", "models.json") == "unmodelled"
    assert "several selectors" in run("web-0", *ALL).stderr


# --- the table ------------------------------------------------------------------------------------


def test_the_table_says_where_and_at_what_price(folder: Path) -> None:
    Path("models.json").write_text(json.dumps(dict.fromkeys(("worker-2", "worker-3"), MODELS["worker-2"])))
    Path("load.json").write_text(json.dumps(answer(worker_2=28.0, worker_3=22.0)))
    write("cluster.yaml", [*NODES, node("worker-3"), WEB])
    Path("jump.yaml").write_text("strategy: jump")
    assert run("web-0", *ALL, "--config", "jump.yaml").stdout.splitlines() == [
        "default/web-0 -> worker-2, +4.29 W (runner-up worker-3, +6.59 W)",
        "  node      standing     jump  CPU before   after  reason",
        "  worker-2  measured  +4.29 W      28.0 %  34.0 %",
        "  worker-3  measured  +6.59 W      22.0 %  28.0 %",
        "  worker-1  -               -           -       -  Insufficient cpu",
    ]


def test_or_why_not(folder: Path) -> None:
    write("objects.yaml", [node("only", cpu="1"), pod("big", cpu="2"), pod("gated", schedulingGates=[{"name": "x"}])])
    assert run("--all-pending", "--from", "objects.yaml").stdout.splitlines() == [
        "default/big: 0/1 nodes are available: 1 Insufficient cpu.",
        "  node  standing  jump  CPU before  after  reason",
        "  only  -            -           -      -  Insufficient cpu",
        "",
        "default/gated: waits for its scheduling gates",
    ]


def test_a_long_table_is_cut_after_the_best(folder: Path) -> None:
    write("objects.yaml", [*(node(f"n{i}", cpu="1") for i in range(30)), node("big"), pod(cpu="2")])
    lines = run("--all-pending", "--from", "objects.yaml").stdout.splitlines()
    assert lines[2].startswith("  big ")
    assert lines[-1] == "  ... and 11 more (--output json has all)"
    assert len(lines) == 1 + 1 + 20 + 1


# --- trouble, in words ----------------------------------------------------------------------------


def test_a_pod_that_is_not_there_is_exit_1_and_those_that_are_are_named(folder: Path) -> None:
    result = run("default/web-9", "--from", "cluster.yaml")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "pod default/web-9: not found; pending are default/web-0\n" in result.stderr


NOTHING_TO_DECIDE: dict[str, tuple[Json, str]] = {
    "bound": (pod(node="worker-2"), "it is on worker-2 already"),
    "another scheduler's": (pod(scheduler="default-scheduler"), "say --scheduler-name default-scheduler"),
    "being deleted": (pod(deleting=True), "it is being deleted"),
    "finished": (pod(phase="Succeeded"), "it has finished (Succeeded)"),
}


@pytest.mark.parametrize(("raw", "words"), NOTHING_TO_DECIDE.values(), ids=NOTHING_TO_DECIDE)
def test_a_pod_about_which_there_is_nothing_to_decide_is_exit_1(raw: Json, words: str, folder: Path) -> None:
    write("objects.yaml", [*NODES, raw])
    result = run("default/web-0", "--from", "objects.yaml")
    assert result.exit_code == 1
    assert words in result.stderr


@pytest.mark.parametrize(
    "args", [[], ["default/web-0", "--all-pending"], ["a", "b"], ["web-0", "--output", "yaml"]],
    ids=["neither", "both", "two pods", "unknown output"],
)  # fmt: skip
def test_wrong_usage_is_exit_2(args: list[str], folder: Path) -> None:
    assert run(*args, "--from", "cluster.yaml").exit_code == 2


WRONG: dict[str, tuple[str, str]] = {
    "no YAML": ("kind: [Pod", "expected YAML or JSON"),
    "cut short": (json.dumps(LIST)[:200], "expected YAML or JSON"),
    "a key twice": ('{"kind": "Pod", "kind": "Node"}', "given twice"),
    "no objects": ("just text", "expected Kubernetes objects, each with its kind"),
    "no kind": ("metadata: {name: a}", "expected Kubernetes objects, each with its kind"),
    "no name": ("kind: Node\nmetadata: {}", "expected a node with metadata.name"),
    "a quantity that is none": (yaml.safe_dump(node(cpu="lots")), "node worker-1: expected a number"),
    "a list where a mapping belongs": (
        "kind: Pod\nmetadata: {name: a}\nspec: []\nstatus: [1]",
        "Pod a: expected the form",
    ),
    "text where containers belong": (
        "kind: Pod\nmetadata: {name: a}\nspec: {containers: main}",
        "Pod a: expected the form",
    ),
    "a number where labels belong": (
        "kind: Node\nmetadata: {name: a, labels: 3}",
        "Node a: expected the form the API server gives it",
    ),
}


@pytest.mark.parametrize(("text", "words"), WRONG.values(), ids=WRONG)
def test_a_file_that_cannot_be_used_is_exit_2_and_says_which_and_why(text: str, words: str, folder: Path) -> None:
    Path("wrong.yaml").write_text(text)
    result = run("--all-pending", *ALL, "--from", "wrong.yaml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr


UNREADABLE: dict[str, tuple[str, str]] = {
    "--from": ("missing.yaml", "--from missing.yaml: expected a readable file"),
    "--load": ("missing.json", "--load missing.json: expected a readable file"),
    "--power-models": ("missing.json", "--power-models missing.json: expected a readable file"),
    "--config": ("missing.yaml", "--config missing.yaml: expected a readable file"),
}


@pytest.mark.parametrize(("option", "given"), UNREADABLE.items(), ids=UNREADABLE)
def test_a_file_that_is_not_there_is_exit_2(option: str, given: tuple[str, str], folder: Path) -> None:
    result = run("--all-pending", "--from", "cluster.yaml", option, given[0])
    assert result.exit_code == 2
    assert given[1] in result.stderr


@pytest.mark.parametrize(
    ("option", "text", "words"),
    [
        ("--load", "{", "--load wrong: expected JSON"),
        ("--load", "{}", "--load wrong: expected data to be an object"),
        ("--power-models", "models: 3", "wrong: models: expected a list"),
        ("--config", "strategy: cheapest", "max-min, ecsched; got 'cheapest'"),
        ("--config", "stratgy: peaks", "unknown key"),
    ],
)
def test_so_is_a_file_that_is_wrong(option: str, text: str, words: str, folder: Path) -> None:
    Path("wrong").write_text(text)
    result = run("--all-pending", "--from", "cluster.yaml", option, "wrong")
    assert result.exit_code == 2
    assert words in result.stderr


def test_bytes_that_are_no_text_are_told(folder: Path) -> None:
    Path("wrong").write_bytes(b"\xff\xfe\x00")
    result = run("--all-pending", "--from", "wrong")
    assert result.exit_code == 2
    assert "--from wrong: expected a readable file" in result.stderr


shapes = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
POD_FIELDS = [
    "containers",
    "initContainers",
    "affinity",
    "tolerations",
    "nodeSelector",
    "overhead",
    "resources",
    "volumes",
    "nodeName",
    "topologySpreadConstraints",
]
STATE_FIELDS = [
    "phase",
    "conditions",
    "containerStatuses",
    "nominatedNodeName",
    "allocatable",
    "addresses",
    "declaredFeatures",
]
NODE_FIELDS = ["taints", "unschedulable", "providerID"]
CURVE = PowerModel("zone=a", Exponential(*BENT_DOWN))
LABELLED = Settings(power=PowerSettings(inline=PowerModels(by_selector=(({"zone": "a"}, CURVE),))))


@settings(max_examples=examples(150), suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    spec=st.dictionaries(st.sampled_from(POD_FIELDS), shapes, max_size=3),
    more=st.dictionaries(st.sampled_from(NODE_FIELDS), shapes, max_size=2),
    state=st.dictionaries(st.sampled_from(STATE_FIELDS), shapes, max_size=2),
    meta=st.dictionaries(
        st.sampled_from(["labels", "uid", "namespace", "creationTimestamp", "annotations"]), shapes, max_size=2
    ),
)
def test_objects_of_any_shape_are_judged_or_refused_in_words(
    tmp_path: Path, spec: Json, more: Json, state: Json, meta: Json
) -> None:
    raw: list[Json] = [
        {"kind": "Namespace", "metadata": {"name": "default", **meta}},
        {
            "kind": "Node",
            "metadata": {"name": "n", **meta},
            "spec": more,
            "status": {"capacity": {"cpu": "4"}, **state},
        },
        {"kind": "Pod", "metadata": {"name": "p", **meta}, "spec": {"schedulerName": "Peaks", **spec}, "status": state},
    ]
    path, heard = tmp_path / "any.json", tmp_path / "load.json"
    path.write_text(json.dumps(raw))
    heard.write_text(json.dumps(answer(n=22.0, other=5.0)))
    try:
        found = explain(from_files([str(path)], str(heard), LABELLED), LABELLED, None)
    except ConfigurationError as error:
        words = str(error)
    else:
        words = f"{path}: {json.dumps([one.as_json() for one in found])}"
    assert words.startswith((f"{path}: ", "the cluster's objects: "))


# --- live -----------------------------------------------------------------------------------------


async def test_live_it_lists_nodes_and_pods_and_asks_the_load_source(folder: Path) -> None:
    async with RecordingServer() as server:
        server.answer = cluster_of(load=answer(end=time.time(), worker_2=22.0))
        config = write_kubeconfig(folder, server.url, token="abc")
        args = [
            "explain",
            "web-0",
            "--kubeconfig",
            config,
            "--power-models",
            "models.json",
            "--output",
            "json",
        ]
        result = await asyncio.to_thread(CliRunner(env={"PEAKS_LOAD_ADDRESS": server.url}).invoke, main, args)
        assert result.exit_code == 0, result.output
        seen = json.loads(result.stdout)["default/web-0"]
        assert (seen["node"], seen["nodes"]["worker-2"]["cpuBefore"]) == ("worker-2", pytest.approx(0.22))
        assert {asked.method for asked in server.asked} == {"GET"}


async def test_without_a_load_source_it_goes_on_by_estimates(folder: Path) -> None:
    async with RecordingServer() as server:
        server.answer = cluster_of(load=None)
        config = write_kubeconfig(folder, server.url, token="abc")
        args = ["explain", "--all-pending", "--kubeconfig", config, "--power-models", "models.json"]
        env = {"PEAKS_LOAD_ADDRESS": server.url}
        result = await asyncio.to_thread(CliRunner(env=env).invoke, main, args)
        assert result.exit_code == 0, result.output
        assert "note: no load, all nodes are estimated: load-watcher at" in result.stderr
        assert "worker-2  estimated" in result.stdout


async def test_an_api_server_that_refuses_is_exit_1(folder: Path) -> None:
    async with RecordingServer() as server:
        server.answer = refusing
        config = write_kubeconfig(folder, server.url, token="abc")
        result = await asyncio.to_thread(CliRunner().invoke, main, ["explain", "web-0", "--kubeconfig", config])
        assert result.exit_code == 1
        assert "may not list nodes" in result.stderr


async def refusing(_: Asked) -> web.StreamResponse:
    return status(403, "may not list nodes")


async def told_live(folder: Path, **answers: Any) -> Result:
    """The command's result for web-0 on such a cluster."""
    async with RecordingServer() as server:
        server.answer = cluster_of(load=None, **answers)
        args = ["explain", "web-0", "--kubeconfig", write_kubeconfig(folder, server.url, token="abc")]
        return await asyncio.to_thread(CliRunner(env={"PEAKS_LOAD_ADDRESS": server.url}).invoke, main, args)


async def test_live_it_reads_namespaces_and_storage_too(folder: Path) -> None:
    there = pod("db", node="worker-2", namespace="data", labels={"app": "db"})
    near = pod(affinity=pod_affinity(pod_term({"app": "db"}, namespaceSelector={"matchLabels": {"env": "prod"}})))
    listed = {"pods": [there, near], "namespaces": [namespace("data", {"env": "prod"})]}
    result = await told_live(folder, listed=listed)
    assert result.stdout.startswith("default/web-0 -> worker-2")
    assert "not read" not in result.stderr


async def test_what_the_api_server_does_not_show_is_told_and_refuses_only_who_needs_it(folder: Path) -> None:
    result = await told_live(folder, hidden={"namespaces": 403, "csistoragecapacities": 404})
    assert result.exit_code == 0
    assert result.stdout.startswith("default/web-0 -> worker-2")
    assert "note: namespaces not read, pods whose pod affinity selects namespaces by label are refused" in result.stderr
    assert "note: csistoragecapacities.storage.k8s.io not read" in result.stderr
    claiming = pod(volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}])
    result = await told_live(folder, listed={"pods": [claiming]}, hidden={"persistentvolumes": 403})
    assert "spec.volumes (this scheduler cannot read persistentvolumes): not honoured" in result.stdout


async def test_live_a_pod_that_has_finished_is_told_to_have(folder: Path) -> None:
    result = await told_live(folder, listed={"pods": []}, pods={"web-0": pod(phase="Failed")})
    assert result.exit_code == 1
    assert "pod default/web-0: expected a pending pod; it has finished (Failed)" in result.stderr


async def test_live_the_name_of_a_workload_leads_to_its_pods(folder: Path) -> None:
    result = await told_live(folder, listed={"pods": [pod("web-0-7d9f-x2x4z", node="worker-2")]})
    assert result.exit_code == 1
    assert "not found; pods that are named after it: default/web-0-7d9f-x2x4z" in result.stderr


def cluster_of(
    load: Json | None,
    listed: Mapping[str, Sequence[Json]] | None = None,
    hidden: Mapping[str, int] | None = None,
    pods: Mapping[str, Json] | None = None,
) -> Answer:
    """An API server with the objects ``listed`` by plural; by default it has the usual nodes and pods.

    A plural in ``hidden`` is refused with that status. ``pods`` can only be read by name.
    """
    whole = {"nodes": BARE, "pods": [WEB], **(listed or {})}

    async def answering(asked: Asked) -> web.StreamResponse:
        plural = asked.path.rpartition("/")[2]
        if asked.path == "/watcher":
            return status(500, "nothing cached") if load is None else web.json_response(load)
        if hidden and plural in hidden:
            return status(hidden[plural], f"may not list {plural}")
        if asked.path.startswith("/api/v1/namespaces/"):
            one = (pods or {}).get(plural)
            return status(404, "no such pod") if one is None else web.json_response(one)
        items = whole.get(plural, [])
        kind = f"{plural.removesuffix('s').capitalize()}List"  # right for nodes, pods and namespaces
        return web.json_response({"kind": kind, "apiVersion": "v1", "metadata": {}, "items": items})

    return answering


# --- strategies -----------------------------------------------------------------------------------


def test_a_strategy_over_batches_is_explained_for_the_pod_alone(folder: Path) -> None:
    for name in ("min-min", "max-min", "ecsched"):
        Path("config.yaml").write_text(f"strategy: {name}")
        assert answers("default/web-0", *ALL, "--config", "config.yaml")["default/web-0"]["node"] == "worker-2"


def test_grams_are_explained_by_the_file_of_the_grid(folder: Path) -> None:
    Path("carbon.csv").write_text("time,gco2_per_kwh\n2020-01-01,300\n")
    Path("config.yaml").write_text("strategy: carbon\ncarbon: {path: carbon.csv}")
    told = answers("default/web-0", *ALL, "--config", "config.yaml")["default/web-0"]["nodes"]["worker-2"]
    # 5.486 W of a thousand, times 300 g/kWh
    assert (told["cost"], told["costUnit"]) == (pytest.approx(1.646, abs=0.001), "gCO2/h")


def test_strategies_are_listed_one_line_each_with_what_they_minimise() -> None:
    result = CliRunner().invoke(main, ["strategies"])
    assert result.exit_code == 0
    by_power = ["peaks", "envelope", "jump", "jump-upstream", "carbon"]
    plain = ["least-allocated", "most-allocated", "round-robin", "random", "first-come"]
    over_batches = ["min-min", "max-min", "ecsched"]
    assert [line.split()[0] for line in result.stdout.splitlines()] == [
        *by_power,
        *plain,
        *over_batches,
        "carbon-delay",
    ]
    assert all(len(line.split(maxsplit=1)[1]) > 20 for line in result.stdout.splitlines())


async def test_live_it_says_that_a_scheduler_may_have_learned_other_models(folder: Path) -> None:
    (folder / "config.yaml").write_text("prometheus: {address: 'http://127.0.0.1:9'}\nrefit: {enabled: true}\n")
    words = "refit is enabled: a running scheduler may have learned other power models"
    async with RecordingServer() as server:
        server.answer = cluster_of(load=None)
        kubeconfig = write_kubeconfig(folder, server.url, token="abc")
        runner = CliRunner(env={"PEAKS_LOAD_ADDRESS": server.url})
        for config, told in ((["--config", "config.yaml"], True), ([], False)):
            args = ["explain", "web-0", "--kubeconfig", kubeconfig, *config]
            table = await asyncio.to_thread(runner.invoke, main, args)
            answer = await asyncio.to_thread(runner.invoke, main, [*args, "--output", "json"])
            assert (words in table.stdout) is told
            assert (words in " ".join(json.loads(answer.stdout)["default/web-0"].get("notes", []))) is told
