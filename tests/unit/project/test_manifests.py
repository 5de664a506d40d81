"""The manifests: do they fit together, and do they say to the scheduler what the scheduler understands?

Reads the files as they are, and once what kubectl makes of the kustomization. Whether a real API server takes them, and
whether the rights suffice, the end-to-end tests show.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from peaks_scheduler.daemon.keepers.models import ModelKeeper
from peaks_scheduler.kube.kinds import KINDS
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.objects.supported_fields import unsupported_fields
from peaks_scheduler.power.file import parse_models
from peaks_scheduler.settings.loading import load_settings
from peaks_scheduler.settings.settings import PowerSettings, Settings

ROOT = Path(__file__).resolve().parents[3]
MANIFESTS = ROOT / "manifests"
EXAMPLES = ROOT / "examples"
FILES = sorted([*MANIFESTS.rglob("*.yaml"), *EXAMPLES.rglob("*.yaml")])

Object = dict[str, Any]


def documents(path: Path) -> list[Any]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def one(path: Path) -> Any:
    (document,) = documents(path)
    return document


def kustomized(folder: Path) -> list[Object]:
    """What kubectl makes of a kustomization."""
    argv = [sys.executable, str(ROOT / "tools" / "control_plane.py"), "--where"]
    told = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
    programs = dict(line.split(" ", 1) for line in told.stdout.splitlines())
    if "kubectl" not in programs:
        pytest.skip("no kubectl: make control-plane builds it")
    argv = [programs["kubectl"], "kustomize", str(folder)]
    text = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=True).stdout
    return [each for each in yaml.safe_load_all(text) if each]


@pytest.fixture(scope="module")
def rendered() -> dict[str, Object]:
    """What ``kubectl apply -k`` would send, by kind; a kind of which there are two becomes Kind/name."""
    objects = kustomized(MANIFESTS)
    kinds = [each["kind"] for each in objects]
    return {
        each["kind"] if kinds.count(each["kind"]) == 1 else f"{each['kind']}/{each['metadata']['name']}": each
        for each in objects
    }


def pod_template(rendered: dict[str, Object]) -> Object:
    template: Object = rendered["Deployment"]["spec"]["template"]
    return template


def container() -> Object:
    (only,) = one(MANIFESTS / "deployment.yaml")["spec"]["template"]["spec"]["containers"]
    return dict(only)


def configured() -> Settings:
    settings, warnings = load_settings((MANIFESTS / "config.yaml").read_text(encoding="utf-8"), "config.yaml", {}, {})
    assert warnings == ()
    return settings


# --- the files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(ROOT)) for path in FILES])
def test_every_file_is_yaml_and_says_something(path: Path) -> None:
    assert all(documents(path))


def test_the_kustomization_takes_in_every_manifest_but_the_samples() -> None:
    whole = one(MANIFESTS / "kustomization.yaml")
    named = {*whole["resources"], *(file for each in whole["configMapGenerator"] for file in each["files"])}
    assert named | {"kustomization.yaml"} == {path.name for path in MANIFESTS.glob("*.yaml")}


def test_nothing_is_placed_outside_of_kube_system(rendered: dict[str, Object]) -> None:
    namespaces = {key: each["metadata"].get("namespace") for key, each in rendered.items()}
    assert {key for key, namespace in namespaces.items() if namespace is None} == {"ClusterRole", "ClusterRoleBinding"}
    assert set(namespaces.values()) == {"kube-system", None}


# --- rights -----------------------------------------------------------------------------------------------------------


def rules(kind: str) -> set[tuple[str, str, str, str]]:
    """Every single right that a kind of role gives: (group, resource, name, verb)."""
    (role,) = [each for each in documents(MANIFESTS / "rbac.yaml") if each["kind"] == kind]
    return {
        (group, resource, name, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
        for verb in rule["verbs"]
    }


def test_the_rights_in_the_cluster_are_exactly_these() -> None:
    read = {("", resource, "", verb) for resource in ("pods", "nodes") for verb in ("list", "watch")}
    read |= {("", "pods", "", "get")}
    read |= {(kind.group, kind.plural, "", verb) for kind in KINDS for verb in ("list", "watch")}
    read |= {("metrics.k8s.io", resource, "", "list") for resource in ("nodes", "pods")}
    wao = ("node.waok8s.github.io", "wao.bitmedia.co.jp")
    read |= {(group, resource, "", "list") for group in wao for resource in ("nodeconfigs", "nodeconfigtemplates")}
    read |= {("custom.metrics.k8s.io", f"nodes/{metric}", "", "get") for metric in ("inlet_temp", "delta_p")}
    write = {("", "pods/binding", "", "create"), ("", "pods/status", "", "patch")}
    write |= {("", volumes, "", "patch") for volumes in ("persistentvolumes", "persistentvolumeclaims")}
    assert rules("ClusterRole") == read | write | {("events.k8s.io", "events", "", "create")}


def test_the_rights_on_leases_end_at_our_own() -> None:
    lease = configured().leader_election.name
    group = "coordination.k8s.io"
    assert rules("Role") == {
        (group, "leases", "", "create"),
        (group, "leases", lease, "get"),
        (group, "leases", lease, "update"),
    }


def test_secrets_are_read_only_where_a_sample_names_each_of_them() -> None:
    role, binding = documents(MANIFESTS / "samples" / "wao-secrets.yaml")
    (rule,) = role["rules"]
    assert role["metadata"]["namespace"] == binding["metadata"]["namespace"] == "wao-system"
    assert (rule["resources"], rule["verbs"], bool(rule["resourceNames"])) == (["secrets"], ["get"], True)


def test_the_security_page_says_of_every_right_what_a_thief_could_do_with_it() -> None:
    given = {(resource, verb) for kind in ("ClusterRole", "Role") for _, resource, _, verb in rules(kind)}
    known = {resource for resource, _ in given}
    said = set()
    table = (ROOT / "docs" / "security.md").read_text(encoding="utf-8").partition("| right | why |")[2]
    for line in table.partition("\n\n")[0].splitlines()[2:]:
        right, why, theft, loss = (cell.strip() for cell in line.split("|")[1:-1])
        assert why
        assert theft
        assert loss
        verbs = re.findall(r"`(get|list|watch|create|patch|update)`", right)
        named = known & set(re.split(r"[ ,]+", right.replace("the Lease", "leases")))
        said |= {(resource, verb) for resource in named for verb in verbs}
    assert said == given


def test_the_rights_go_to_the_account_that_the_pods_run_under(rendered: dict[str, Object]) -> None:
    account = rendered["ServiceAccount"]["metadata"]
    subject = {"kind": "ServiceAccount", "name": account["name"], "namespace": account["namespace"]}
    assert pod_template(rendered)["spec"]["serviceAccountName"] == account["name"]
    for role in ("Role", "ClusterRole"):
        binding = rendered[f"{role}Binding"]
        assert binding["subjects"] == [subject]
        assert (binding["roleRef"]["kind"], binding["roleRef"]["name"]) == (role, rendered[role]["metadata"]["name"])


# --- what the scheduler reads -----------------------------------------------------------------------------------------


def test_the_configuration_is_accepted_and_only_names_what_matters() -> None:
    settings = configured()
    assert (settings.scheduler_name, settings.leader_election.enabled) == ("Peaks", True)
    assert settings.power.file == "/etc/peaks/models.yaml"


def test_the_models_are_accepted_and_claim_no_node() -> None:
    models = parse_models((MANIFESTS / "models.yaml").read_text(encoding="utf-8"), "models.yaml")
    assert not models.by_name
    assert not models.by_selector


def test_the_model_in_the_comments_is_one_that_would_be_accepted() -> None:
    lines = (MANIFESTS / "models.yaml").read_text(encoding="utf-8").splitlines()
    example = lines[lines.index("# models:") :]
    models = parse_models("\n".join(line.removeprefix("# ") for line in example), "models.yaml")
    assert len(models.by_selector) == 1


def test_both_files_are_where_the_command_line_and_the_configuration_look_for_them(rendered: dict[str, Object]) -> None:
    command = container()
    assert command["args"] == ["run", "--config", "/etc/peaks/config.yaml"]
    (mount,) = command["volumeMounts"]
    assert mount["mountPath"] == "/etc/peaks"
    assert "subPath" not in mount  # such a mount never sees a change
    (volume,) = pod_template(rendered)["spec"]["volumes"]
    mounted = {source["configMap"]["name"] for source in volume["projected"]["sources"]}
    maps = [each for key, each in rendered.items() if key.startswith("ConfigMap/")]
    assert mounted == {each["metadata"]["name"] for each in maps}
    assert {file for each in maps for file in each["data"]} == {"config.yaml", "models.yaml"}


def test_another_configuration_rolls_the_deployment_and_other_models_do_not(rendered: dict[str, Object]) -> None:
    names = {key.split("/")[1] for key in rendered if key.startswith("ConfigMap/")}
    assert "peaks-scheduler-models" in names  # read again by the scheduler itself
    assert "peaks-scheduler-config" not in names  # a hash of the content follows


def test_a_config_map_that_is_swapped_under_its_mount_is_read_again(tmp_path: Path) -> None:
    # as the kubelet does it: the file links to ..data/FILE, ..data to a folder, and only ..data is turned
    model = "models: [{nodes: [NAME], cpu: ratio, curve: {kind: exponential, k0: 100, k1: 10, k2: 1}}]"
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "models.yaml").write_text(model.replace("NAME", name))
    (tmp_path / "..data").symlink_to("before")
    (tmp_path / "models.yaml").symlink_to(Path("..data", "models.yaml"))
    ledger = Ledger()
    keeper = ModelKeeper(Settings(power=PowerSettings(str(tmp_path / "models.yaml"))), ledger, lambda: None)
    keeper.load()
    assert set(ledger.models.by_name) == {"before"}
    (tmp_path / "..data_tmp").symlink_to("after")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    keeper.look()
    assert set(ledger.models.by_name) == {"after"}


# --- the network ------------------------------------------------------------------------------------------------------


def test_the_policy_finds_the_pods(rendered: dict[str, Object]) -> None:
    wanted = rendered["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"]
    assert wanted
    assert wanted.items() <= pod_template(rendered)["metadata"]["labels"].items()


def test_nobody_gets_in_but_who_scrapes_and_only_to_our_port(rendered: dict[str, Object]) -> None:
    policy = rendered["NetworkPolicy"]["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    (rule,) = policy["ingress"]
    assert rule["ports"] == [{"port": configured().listen.port, "protocol": "TCP"}]
    assert [each["namespaceSelector"]["matchLabels"] for each in rule["from"]] == [
        {"kubernetes.io/metadata.name": "monitoring"},
        {"peaks-scheduler/scrapes": "true"},
    ]


def test_the_scheduler_gets_out_to_what_it_asks_and_to_no_other_port(rendered: dict[str, Object]) -> None:
    rules = rendered["NetworkPolicy"]["spec"]["egress"]
    ports = {(each["port"], each["protocol"]) for rule in rules for each in rule["ports"]}
    load = urlsplit(str(configured().load.address)).port
    prometheus = 9090  # its own default
    api_server = {(443, "TCP"), (6443, "TCP")}  # of the Service, and kube-apiserver's own
    assert ports == {*api_server, (53, "UDP"), (53, "TCP"), (load, "TCP"), (prometheus, "TCP")}


def test_the_patch_in_the_documentation_opens_another_port(tmp_path: Path, rendered: dict[str, Object]) -> None:
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    overlay = text[text.index("```yaml\n# my-cluster/kustomization.yaml") :].split("```")[1].removeprefix("yaml\n")
    assert "../manifests" in overlay
    (tmp_path / "kustomization.yaml").write_text(overlay.replace("../manifests", os.path.relpath(MANIFESTS, tmp_path)))
    (policy,) = [each for each in kustomized(tmp_path) if each["kind"] == "NetworkPolicy"]
    assert policy["spec"]["egress"][:-1] == rendered["NetworkPolicy"]["spec"]["egress"]
    assert policy["spec"]["egress"][-1]["ports"] == [{"port": 8443, "protocol": "TCP"}]


# --- the pods ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("probe", "path"), [("livenessProbe", "/livez"), ("readinessProbe", "/readyz")])
def test_a_probe_asks_the_page_that_is_meant_for_it(probe: str, path: str) -> None:
    asked = container()[probe]["httpGet"]
    assert asked == {"path": path, "port": "http"}


def test_probes_and_service_meet_the_port_that_is_listened_on(rendered: dict[str, Object]) -> None:
    port = configured().listen.port
    assert port == Settings().listen.port
    assert [each["containerPort"] for each in container()["ports"] if each["name"] == "http"] == [port]
    assert [(each["port"], each["targetPort"]) for each in rendered["Service"]["spec"]["ports"]] == [(port, "http")]


@pytest.mark.parametrize("kind", ["Deployment", "Service", "PodDisruptionBudget"])
def test_every_selector_finds_the_pods_and_outlives_a_new_version(kind: str, rendered: dict[str, Object]) -> None:
    selector = rendered[kind]["spec"]["selector"]
    wanted = selector.get("matchLabels", selector)
    assert wanted
    assert wanted.items() <= pod_template(rendered)["metadata"]["labels"].items()
    assert "app.kubernetes.io/version" not in wanted


def test_the_replicas_keep_apart_but_fit_on_one_node(rendered: dict[str, Object]) -> None:
    spec = pod_template(rendered)["spec"]
    anti = spec["affinity"]["podAntiAffinity"]
    assert set(anti) == {"preferredDuringSchedulingIgnoredDuringExecution"}
    terms = [each["podAffinityTerm"] for each in anti["preferredDuringSchedulingIgnoredDuringExecution"]]
    assert [each["topologyKey"] for each in terms] == ["kubernetes.io/hostname"]
    assert {each["whenUnsatisfiable"] for each in spec["topologySpreadConstraints"]} == {"ScheduleAnyway"}
    labels = pod_template(rendered)["metadata"]["labels"].items()
    selectors = [each["labelSelector"]["matchLabels"] for each in (*terms, *spec["topologySpreadConstraints"])]
    assert all(each.items() <= labels for each in selectors)


def test_one_replica_is_always_there(rendered: dict[str, Object]) -> None:
    deployment = rendered["Deployment"]["spec"]
    assert deployment["replicas"] == 2
    assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert rendered["PodDisruptionBudget"]["spec"]["minAvailable"] == 1


def test_the_scheduler_does_not_wait_for_itself(rendered: dict[str, Object]) -> None:
    spec = pod_template(rendered)["spec"]
    assert spec["schedulerName"] == "default-scheduler"
    assert spec["priorityClassName"] == "system-cluster-critical"


def test_a_container_may_do_nothing_that_it_need_not(rendered: dict[str, Object]) -> None:
    spec = pod_template(rendered)["spec"]
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & set(spec)


def test_it_may_run_where_only_restricted_pods_may(rendered: dict[str, Object]) -> None:
    # the Pod Security Standard "restricted": what it asks beyond the fields above
    spec = pod_template(rendered)["spec"]
    assert {kind for volume in spec["volumes"] for kind in volume if kind != "name"} <= {"configMap", "projected"}
    assert all("hostPort" not in each for each in container()["ports"])


def test_a_token_is_only_in_the_pods_that_ask_for_one(rendered: dict[str, Object]) -> None:
    assert rendered["ServiceAccount"]["automountServiceAccountToken"] is False
    assert pod_template(rendered)["spec"]["automountServiceAccountToken"] is True


def test_the_grace_period_outlasts_our_own_end(rendered: dict[str, Object]) -> None:
    assert pod_template(rendered)["spec"]["terminationGracePeriodSeconds"] > 10  # [s] what SIGTERM may take


def test_variables_of_services_cannot_be_taken_for_settings(rendered: dict[str, Object]) -> None:
    assert pod_template(rendered)["spec"]["enableServiceLinks"] is False


# --- the examples -----------------------------------------------------------------------------------------------------


def test_the_example_configuration_holds_the_defaults() -> None:
    text = (EXAMPLES / "config.yaml").read_text(encoding="utf-8")
    settings, warnings = load_settings(text, "config.yaml", {}, {})
    default, _ = load_settings("powerModels: /etc/peaks/models.yaml", "config.yaml", {}, {})
    assert (settings, warnings) == (default, ())


def test_the_example_models_rise_between_no_and_full_load() -> None:
    models = parse_models((EXAMPLES / "models.yaml").read_text(encoding="utf-8"), "models.yaml")
    every = [*models.by_name.values(), *(model for _, model in models.by_selector)]
    assert len(every) == 5
    assert all(0.0 < model.curve.watts(0.0) < model.curve.watts(1.0) for model in every)


def test_the_original_plugins_configuration_is_read_without_a_word() -> None:
    text = (EXAMPLES / "kube-scheduler-config.yaml").read_text(encoding="utf-8")
    settings, warnings = load_settings(text, "kube-scheduler-config.yaml", {}, {})
    assert warnings == ()
    assert set(settings.power.inline.by_name) == {"worker-1", "worker-2"}


def test_the_example_pods_ask_for_this_scheduler_and_for_nothing_it_refuses() -> None:
    spec = one(EXAMPLES / "pod.yaml")["spec"]["template"]["spec"]
    assert spec["schedulerName"] == Settings().scheduler_name
    assert unsupported_fields(spec) == ()
    assert all(each["resources"]["requests"]["cpu"] for each in spec["containers"])
