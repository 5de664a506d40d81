"""The stage itself: what the other end-to-end tests and the benchmark rely on is really there and really breaks."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.support.api import Api, ApiError
from tests.e2e.support.controlplane import ControlPlane, service_account_kubeconfig
from tests.e2e.support.processes import Process, wait_until
from tests.e2e.support.proxy import Proxy
from tests.e2e.support.rights import service_account, wait_allowed

Object = dict[str, Any]
RESOURCES = {"cpu": "8", "memory": "16Gi", "pods": "110"}


def node(name: str) -> Object:
    return {"metadata": {"name": name}, "status": {"capacity": RESOURCES, "allocatable": RESOURCES}}


def pod(name: str, scheduler: str = "nobody") -> Object:
    return {
        "metadata": {"name": name},
        "spec": {"schedulerName": scheduler, "containers": [{"name": "main", "image": "none"}]},
    }


def is_ready(plane: ControlPlane, name: str) -> bool:
    conditions = plane.api.get(f"/api/v1/nodes/{name}")["status"].get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def newest_version(plane: ControlPlane) -> str:
    return str(plane.api.get("/api/v1/pods?limit=1")["metadata"]["resourceVersion"])


def watch_code(plane: ControlPlane, version: str) -> int | None:
    """The error code with which a watch from ``version`` ends at once, None if it does not."""
    try:
        events = list(plane.api.watch("/api/v1/pods", version, seconds=1))
    except ApiError as error:
        return error.code
    return next((int(event["object"]["code"]) for event in events if event["type"] == "ERROR"), None)


def phases(plane: ControlPlane) -> list[str]:
    return [each["status"]["phase"] for each in plane.list_pods("default")]


@pytest.fixture(autouse=True)
def _empty(control_plane: ControlPlane) -> None:
    control_plane.reset()


def test_the_server_is_the_kubernetes_that_the_project_is_made_for(control_plane: ControlPlane) -> None:
    assert control_plane.api.get("/version")["gitVersion"] == "v1.36.3"


def test_a_bound_pod_runs_on_a_node_that_became_ready(control_plane: ControlPlane) -> None:
    control_plane.create_nodes([node("node-a")])
    wait_until(lambda: is_ready(control_plane, "node-a"), "node-a ready")
    control_plane.create_pods([pod("bound"), pod("waiting")])
    control_plane.bind("bound", "node-a")
    wait_until(lambda: sorted(phases(control_plane)) == ["Pending", "Running"], "one pod running")


def test_a_name_can_be_used_again_at_once(control_plane: ControlPlane) -> None:
    control_plane.create_nodes([node("node-a")])
    for _ in range(2):
        control_plane.create_pods([pod(f"again-{number}") for number in range(50)])
        for number in range(50):
            control_plane.bind(f"again-{number}", "node-a")
        wait_until(lambda: phases(control_plane) == ["Running"] * 50, "50 pods running")
        assert control_plane.delete_all_pods() == 50


def test_kube_scheduler_places_pods_beside_ours(control_plane: ControlPlane) -> None:
    control_plane.create_nodes([node("node-a")])
    scheduler = control_plane.start_kube_scheduler()
    control_plane.create_pods([pod("theirs", "default-scheduler"), pod("ours", "Peaks")])
    wait_until(lambda: control_plane.list_events(fieldSelector="reason=Scheduled"), "a Scheduled event")
    placed = {each["metadata"]["name"]: each["spec"].get("nodeName") for each in control_plane.list_pods()}
    scheduler.stop()
    assert placed == {"theirs": "node-a", "ours": None}


def test_a_service_account_has_the_rights_of_its_manifest_and_no_more(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    manifest = tmp_path / "rbac.yaml"
    manifest.write_text(
        textwrap.dedent("""
            apiVersion: rbac.authorization.k8s.io/v1
            kind: ClusterRole
            metadata: {name: reads-nodes}
            rules: [{apiGroups: [""], resources: [nodes], verbs: [list]}]
            ---
            apiVersion: rbac.authorization.k8s.io/v1
            kind: ClusterRoleBinding
            metadata: {name: reads-nodes}
            roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: reads-nodes}
            subjects: [{kind: ServiceAccount, name: reader, namespace: kube-system}]
            """)
    )
    kubeconfig = service_account_kubeconfig(control_plane, "reader", manifests=[manifest])
    wait_allowed(control_plane.api, service_account("reader"), "list", "nodes")
    control_plane.create_nodes([node("node-a")])
    assert "node-a" in control_plane.kubectl("get", "nodes", kubeconfig=kubeconfig)
    with pytest.raises(AssertionError, match="pods is forbidden"):
        control_plane.kubectl("get", "pods", kubeconfig=kubeconfig)


def test_the_server_comes_back_on_its_port_with_what_it_knew(control_plane: ControlPlane) -> None:
    control_plane.create_pods([pod("survivor")])
    control_plane.stop_apiserver()
    with pytest.raises(Exception, match="refused"):
        control_plane.api.get("/version")
    control_plane.start_apiserver()
    assert [each["metadata"]["name"] for each in control_plane.list_pods()] == ["survivor"]


def test_a_watch_from_before_it_was_expired_is_gone(control_plane: ControlPlane) -> None:
    version = newest_version(control_plane)
    assert watch_code(control_plane, version) is None
    control_plane.expire_watches()
    assert watch_code(control_plane, version) == 410


def test_compaction_shows_only_without_the_watch_cache(control_plane: ControlPlane, tmp_path: Path) -> None:
    with ControlPlane(tmp_path, watch_cache=False) as bare:
        codes = {}
        for name, plane in (("cached", control_plane), ("bare", bare)):
            version = newest_version(plane)
            plane.compact_etcd()
            codes[name] = watch_code(plane, version)
    assert codes == {"cached": None, "bare": 410}


def test_a_token_whose_secret_is_deleted_stops_working(control_plane: ControlPlane) -> None:
    secrets = "/api/v1/namespaces/kube-system/secrets"
    control_plane.api.post(secrets, {"metadata": {"name": "leash"}})
    service_account_kubeconfig(control_plane, "short-lived")
    client = control_plane.client(control_plane.service_account_token("short-lived", secret="leash"))
    client.get("/version")
    control_plane.api.delete(f"{secrets}/leash")

    def code() -> int:
        try:
            client.get("/version")
        except ApiError as error:
            return error.code
        return 200

    wait_until(lambda: code() == 401, "the token refused")
    client.close()


@pytest.mark.parametrize(
    ("fault", "answers_after"),
    [
        pytest.param(Proxy.cut, True, id="cut: connections break, new ones are made"),
        pytest.param(Proxy.refuse, False, id="refused: nobody is there"),
        pytest.param(Proxy.freeze, False, id="frozen: accepted, never answered"),
    ],
)
def test_a_proxy_breaks_the_way_to_the_server(
    control_plane: ControlPlane, fault: Callable[[Proxy], None], answers_after: bool
) -> None:
    with Proxy(control_plane.url) as proxy:
        through = control_plane.kubeconfig(control_plane.admin_token, url=proxy.url)
        control_plane.kubectl("version", kubeconfig=through)
        fault(proxy)
        if not answers_after:
            with pytest.raises(AssertionError):
                control_plane.kubectl("--request-timeout=2s", "version", kubeconfig=through)
            proxy.heal()
        control_plane.kubectl("version", kubeconfig=through)


def test_a_cut_breaks_a_watch_that_is_open(control_plane: ControlPlane) -> None:
    version = newest_version(control_plane)
    control_plane.create_pods([pod("seen")])
    with Proxy(control_plane.url) as proxy:
        client = Api(proxy.url, control_plane.admin_token, control_plane.ca_file)
        watch = client.watch("/api/v1/pods", version, seconds=30)
        assert next(watch)["object"]["metadata"]["name"] == "seen"
        proxy.cut()
        with pytest.raises(httpx.TransportError):
            next(watch)
        client.close()


def test_nothing_outlives_a_run_that_was_killed(tmp_path: Path) -> None:
    """A runner that starts a process by our means and is then killed, so that it can clean up nothing."""
    code = f"""
        import os, signal, sys
        from pathlib import Path
        from tests.e2e.support.processes import Process
        print(Process("sleeper", ["sleep", "600"], Path({str(tmp_path)!r}) / "log").pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        """
    root = Path(__file__).resolve().parents[2]
    argv = [sys.executable, "-c", textwrap.dedent(code)]
    ran = subprocess.run(argv, cwd=root, capture_output=True, text=True, timeout=300, check=False)
    sleeper = Path("/proc") / ran.stdout.strip()
    wait_until(lambda: not (sleeper / "cmdline").exists() or not (sleeper / "cmdline").read_bytes(), "sleeper ended")


def test_a_process_that_ends_early_is_named_with_its_last_words(control_plane: ControlPlane, tmp_path: Path) -> None:
    process = Process("failing", [sys.executable, "-c", "raise SystemExit('no such flag')"], tmp_path / "log")
    process.wait()
    with pytest.raises(AssertionError, match=r"failing ended with 1:\nno such flag"):
        control_plane.wait_ready(process, control_plane.url)
