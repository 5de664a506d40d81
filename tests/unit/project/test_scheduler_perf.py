"""The reader of scheduler_perf's configurations, on small ones written here. The real ones: ``tests/e2e``."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import BenchmarkError
from benchmarks.scheduler_perf import objects, operations, reading, templates, throughput
from benchmarks.scheduler_perf.creating import path_of
from benchmarks.scheduler_perf.part import power_models
from benchmarks.scheduler_perf.steps import Barrier, Churn, CreateNodes, CreatePods, DeletePods, Sleep, Step

CONFIGURATION = """
- name: Spreading
  defaultPodTemplatePath: ../templates/pod.yaml
  workloadTemplate:
  - opcode: createNodes
    countParam: $initNodes
    labelNodePrepareStrategy:
      labelKey: zone
      labelValues: [a, b]
  - opcode: createPodSets
    countParam: $sets
    namespacePrefix: init
    createPodsOp:
      opcode: createPods
      count: 3
  - opcode: createPods
    countParam: $measurePods
    collectMetrics: true
  workloads:
  - name: small
    labels: [integration-test]
    params: {initNodes: 5, sets: 2, measurePods: 10}
  - name: large
    labels: [performance]
    threshold: 85
    featureGates: {Hints: true}
    params: {initNodes: 5000, sets: 2, measurePods: 4000}
  - name: gated
    labels: [performance]
    featureGates: {Hints: false}
    params: {initNodes: 5000, sets: 2, measurePods: 4000}
  - name: few
    labels: [performance]
    params: {initNodes: 1000, sets: 2, measurePods: 4000}
  - name: unused
    labels: [performance]
    params: {initNodes: 5000, sets: 2, measurePods: 4000, declared: 20}
- name: PreemptionBasic
  workloadTemplate:
  - opcode: createNodes
    count: 5000
  workloads:
  - name: large
    labels: [performance]
- name: Claims
  workloadTemplate:
  - opcode: createResourceDriver
  workloads:
  - name: large
    labels: [performance]
"""
GATES = {"Hints": True}


@pytest.fixture
def cases(tmp_path: Path) -> dict[str, reading.Case]:
    """The cases of the configuration above, by name."""
    (tmp_path / "misc").mkdir()
    file = tmp_path / "misc" / reading.CONFIGURATION
    file.write_text(CONFIGURATION)
    return {case.name: case for case in reading.read_file(file, "misc")}


def parse(*written: dict[str, object], **params: object) -> tuple[Step, ...]:
    return operations.parse(written, params, Path("/cases"), None)[0]


def template(folder: Path, text: str) -> Path:
    file = folder / "template.yaml"
    file.write_text(text)
    return file


# --- cases ------------------------------------------------------------------------------------------------------------


def test_a_case_is_named_after_its_folder_its_test_and_its_workload(cases: dict[str, reading.Case]) -> None:
    assert list(cases)[:2] == ["misc/Spreading/small", "misc/Spreading/large"]
    assert cases["misc/Spreading/large"].threshold == 85


def test_only_performance_cases_that_need_nothing_special_are_chosen(cases: dict[str, reading.Case]) -> None:
    chosen, left_out = reading.select(list(cases.values()), GATES)
    assert [case.name for case in chosen] == ["misc/Spreading/large"]
    assert left_out == {
        "misc/Spreading/gated": "needs a feature gate: Hints=false",
        "misc/Spreading/few": "has 1,000 nodes",
        "misc/Spreading/unused": "its Go program changes nodes or scheduler by declared",
        "misc/PreemptionBasic/large": "needs preemption",
        "misc/Claims/large": "needs dynamic resource allocation",
    }


def test_a_case_is_chosen_by_a_part_of_its_name(cases: dict[str, reading.Case]) -> None:
    chosen, _ = reading.select(list(cases.values()), GATES, ["ading/la"])
    assert [case.name for case in chosen] == ["misc/Spreading/large"]


def test_who_asks_for_a_case_that_is_left_out_is_told_why(cases: dict[str, reading.Case]) -> None:
    with pytest.raises(BenchmarkError, match="needs preemption"):
        reading.select(list(cases.values()), GATES, ["PreemptionBasic"])


def test_who_asks_for_a_case_that_there_is_not_is_told_which_there_are(cases: dict[str, reading.Case]) -> None:
    with pytest.raises(BenchmarkError, match="misc/Spreading/large"):
        reading.select(list(cases.values()), GATES, ["Sprading"])


def test_a_threshold_for_each_topic_is_taken_by_the_folder(tmp_path: Path) -> None:
    workload = "{name: b, threshold: {dra: 40, misc: 7.5}}"
    file = template(tmp_path, f"- {{name: A, workloadTemplate: [], workloads: [{workload}]}}")
    assert [reading.read_file(file, topic)[0].threshold for topic in ("misc", "dra", "volumes")] == [7.5, 40, None]


def test_a_threshold_for_another_figure_is_none_for_the_throughput(tmp_path: Path) -> None:
    selector = "thresholdMetricSelector: {name: memory, dataBucket: Average}"
    file = template(
        tmp_path, f"- {{name: A, workloadTemplate: [], workloads: [{{name: b, threshold: 5, {selector}}}]}}"
    )
    assert reading.read_file(file, "misc")[0].threshold is None


def test_a_smaller_run_has_fewer_of_everything_and_one_at_least(cases: dict[str, reading.Case]) -> None:
    steps, _ = cases["misc/Spreading/large"].parse(0.01)
    counts = [step.count for step in steps if isinstance(step, CreateNodes | CreatePods)]
    assert counts == [50, 3, 40]


def test_the_default_of_a_gate_is_that_of_its_newest_version(tmp_path: Path) -> None:
    source = tmp_path / reading.GATES
    source.parent.mkdir(parents=True)
    source.write_text(
        "var gates = map[Feature]Specs{\n"
        '\tHints: {\n\t\t{Version: v("1.28"), Default: false},\n\t\t{Version: v("1.32"), Default: true},\n\t},\n\n'
        '\tCalls: {\n\t\t{Version: v("1.34"), Default: false},\n\t},\n}\n'
    )
    assert reading.gate_defaults(tmp_path) == {"Hints": True, "Calls": False}


# --- steps ------------------------------------------------------------------------------------------------------------


def test_sets_of_pods_become_a_step_for_each_namespace(cases: dict[str, reading.Case]) -> None:
    steps, used = cases["misc/Spreading/large"].parse()
    assert [step.namespace for step in steps if isinstance(step, CreatePods)] == ["init-0", "init-1", ""]
    assert used == {"initNodes", "sets", "measurePods"}


def test_pods_without_a_template_get_that_of_the_test(cases: dict[str, reading.Case]) -> None:
    case = cases["misc/Spreading/large"]
    pods = [step for step in case.parse()[0] if isinstance(step, CreatePods)]
    assert {each.template for each in pods} == {case.folder.parent / "templates" / "pod.yaml"}


def test_pods_of_a_claim_know_its_templates_relative_to_the_configuration() -> None:
    step = {
        "opcode": "createPods",
        "count": 1,
        "persistentVolumeTemplatePath": "../templates/pv.yaml",
        "persistentVolumeClaimTemplatePath": "pvc.yaml",
        "skipWaitToCompletion": True,
    }
    expected = CreatePods(1, wait=False, volume=Path("/templates/pv.yaml"), claim=Path("/cases/pvc.yaml"))
    assert parse(step) == (expected,)


def test_a_cycle_of_churn_takes_half_a_second_unless_it_is_told() -> None:
    churn = {"opcode": "churn", "mode": "recreate", "number": 1, "templatePaths": ["n.yaml"]}
    told = {**churn, "intervalMilliseconds": 200}
    expected = [Churn("recreate", (Path("/cases/n.yaml"),), 1, each) for each in (0.5, 0.2)]
    assert list(parse(churn, told)) == expected


def test_a_barrier_waits_for_bound_pods_unless_an_attempt_is_enough() -> None:
    attempted = {"opcode": "barrier", "stageRequirement": "Attempted", "labelSelector": {"type": "unsched"}}
    assert parse({"opcode": "barrier"}, attempted) == (Barrier(), Barrier((), {"type": "unsched"}, True))


def test_a_slow_deletion_goes_on_beside_the_next_steps() -> None:
    deletion = {"opcode": "deletePods", "namespace": "a", "deletePodsPerSecond": 50, "skipWaitToCompletion": True}
    assert parse(deletion) == (DeletePods("a", {}, False, 50),)


def test_a_duration_may_be_a_parameter() -> None:
    assert parse({"opcode": "sleep", "durationParam": "$pause"}, pause="1m30s") == (Sleep(90.0),)


@pytest.mark.parametrize(
    ("step", "complaint"),
    [
        ({"opcode": "deleteNodes"}, "deleteNodes"),
        ({"opcode": "createPods", "countParam": "$many"}, r"\$many is not defined"),
        ({"opcode": "createPods", "count": 1, "colour": "red"}, "unknown field colour"),
        ({"opcode": "sleep", "duration": "soon"}, "soon"),
    ],
    ids=["opcode", "parameter", "field", "duration"],
)
def test_a_step_that_is_not_understood_is_an_error(step: dict[str, object], complaint: str) -> None:
    with pytest.raises(BenchmarkError, match=complaint):
        parse(step)


# --- templates --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("bar-{{.Index}}: 1", "bar-27: 1"),
        ("{{ .Index }} of {{ .Count }}", "27 of 50"),
        ("{{Mod .Index 25}}", "2"),
        ("{{DivideInt .Index 5}}", "5"),  # 27 / 5 = 5.4
        ("{{ DivideInt 30000 .Count }}", "600"),
        ("{{ DivideFloat .Index 2 }}", "13.5"),
        ("{{ AddInt (MultiplyInt .Index 2) 1 }}", "55"),
        ("{{ SubtractInt .Index .Count }}", "-23"),
    ],
)
def test_an_action_is_replaced_by_its_value(text: str, rendered: str) -> None:
    assert templates.render(text, 27, 50) == rendered


@pytest.mark.parametrize("text", ["{{ if .Index }}", "{{ .Name }}", "{{ DivideInt .Index 0 }}", "{{ Mod .Index }}"])
def test_an_action_that_is_not_understood_is_an_error(text: str) -> None:
    with pytest.raises(BenchmarkError, match=r"\.Index"):
        templates.render(text, 1, 2)


def test_field_names_are_spelled_as_the_api_server_wants_them_and_labels_as_they_are(tmp_path: Path) -> None:
    text = "spec: {spread: [{NodeTaintsPolicy: Honor, labelSelector: {matchLabels: {Tier: Web}}}]}"
    made = templates.make(template(tmp_path, text))
    expected = {"nodeTaintsPolicy": "Honor", "labelSelector": {"matchLabels": {"Tier": "Web"}}}
    assert made["spec"]["spread"] == [expected]


def test_a_file_that_holds_no_object_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="expected a Kubernetes object, got list"):
        templates.make(template(tmp_path, "- a"))


# --- objects ----------------------------------------------------------------------------------------------------------


def test_nodes_have_their_labels_in_turn_and_their_name_as_hostname() -> None:
    made = objects.nodes(CreateNodes(3, label_key="zone", label_values=("a", "b")), 0, seed=1)
    assert [node["metadata"]["labels"]["zone"] for node in made] == ["a", "b", "a"]
    assert all(node["metadata"]["labels"][objects.HOSTNAME] == node["metadata"]["name"] for node in made)


def test_the_names_of_all_nodes_are_known_before_they_are_made() -> None:
    steps = (Sleep(1.0), CreateNodes(3), CreateNodes(2))
    made = [*objects.nodes(CreateNodes(3), 1, 7), *objects.nodes(CreateNodes(2), 2, 7)]
    assert objects.node_names(steps, 7) == [node["metadata"]["name"] for node in made]
    assert len(set(objects.node_names(steps, 7))) == 5


def test_a_node_offers_its_capacity_and_what_the_step_adds(tmp_path: Path) -> None:
    file = template(tmp_path, "{kind: Node, metadata: {generateName: n-}, status: {capacity: {cpu: '4'}}}")
    step = CreateNodes(1, file, allocatable={"volumes": "39"}, csi_drivers={"ebs": {"count": 39}}, migrated=("aws",))
    (node,) = objects.nodes(step, 0, 1)
    (csi,) = objects.csi_nodes(step, [node])
    assert node["status"]["allocatable"] == {"cpu": "4", "volumes": "39"}
    assert csi["spec"]["drivers"] == [{"name": "ebs", "nodeID": node["metadata"]["name"], "allocatable": {"count": 39}}]


def test_pods_wait_for_the_scheduler_that_is_measured_each_with_its_claim() -> None:
    specs = [pod["spec"] for pod in objects.pods(CreatePods(2, claim=Path("pvc.yaml")), "Peaks")]
    assert [spec["schedulerName"] for spec in specs] == ["Peaks", "Peaks"]
    assert [spec["volumes"][0]["persistentVolumeClaim"]["claimName"] for spec in specs] == ["pvc-0", "pvc-1"]


def test_a_volume_and_its_claim_name_each_other() -> None:
    volume, claim = objects.volume_and_claim({"spec": {"csi": {"driver": "ebs"}}}, {"spec": {}}, "here", 4)
    assert claim["spec"]["volumeName"] == volume["metadata"]["name"] == "here-vol-4"
    assert (volume["spec"]["claimRef"]["name"], volume["spec"]["claimRef"]["namespace"]) == ("pvc-4", "here")


def test_objects_are_created_where_their_kind_lives() -> None:
    assert path_of({"kind": "Service"}, "here") == "/api/v1/namespaces/here/services"
    assert path_of({"kind": "Node"}, "here") == "/api/v1/nodes"
    with pytest.raises(BenchmarkError, match="Gateway"):
        path_of({"kind": "Gateway"})


def test_every_node_has_one_power_model() -> None:
    models = power_models(["a", "b", "c", "d"])["models"]
    assert [entry["nodes"] for entry in models] == [["a", "d"], ["b"], ["c"]]


# --- the figure -------------------------------------------------------------------------------------------------------


def test_the_first_second_with_a_binding_is_left_out() -> None:
    # looked at 1, 2 and 3 s after the start: 1, then 3, then 6 pods
    assert throughput.samples([10.5, 11.2, 11.4, 12.1, 12.2, 12.3], 10.0, 13.0) == [2.0, 3.0]


def test_a_second_without_a_binding_shares_the_next_sample() -> None:
    # 1 pod after 1 s, still 1 after 2 s, 5 after 3 s: 4 pods in two seconds, which count as two samples
    assert throughput.samples([0.5, 2.1, 2.2, 2.3, 2.4], 0.0, 3.0) == [2.0, 2.0]


def test_seconds_after_the_last_binding_do_not_count() -> None:
    assert throughput.average([0.5, 1.5, 1.6], 0.0, 60.0) == 2.0


def test_what_is_over_within_the_first_sample_has_no_average() -> None:
    assert throughput.average([0.1, 0.2, 0.3], 0.0, 5.0) is None
    assert throughput.first_to_last([0.1, 0.2, 0.3]) == pytest.approx(10.0)
