"""The rights of the manifests: enough for everything that the other tests do, and no more.

That they are enough is shown by all of them: each daemon of this suite runs with a token of this account.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from peaks_scheduler.kube.kinds import KINDS, Kind
from tests.e2e.support.api import Api, ApiError, Object
from tests.e2e.support.controlplane import ControlPlane
from tests.e2e.support.daemon import ACCOUNT, LEASE, clear, credentials
from tests.e2e.support.workload import node, pod

VOLUMES = "/api/v1/persistentvolumes"
CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"
POD = "/api/v1/namespaces/default/pods/web-0"
EVICTION = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "web-0", "namespace": "default"}}
NODE_CONFIGS = "/apis/node.waok8s.github.io/v1beta1/namespaces/wao-system/nodeconfigs"
OTHERS_LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-scheduler"


@pytest.fixture
def account(control_plane: ControlPlane) -> Iterator[Api]:
    """The API server as the scheduler's service account sees it, with a node and a pod."""
    clear(control_plane)
    credentials(control_plane)
    control_plane.create_nodes([node("worker-0")])
    control_plane.create_pods([pod("web-0")])
    client = control_plane.client(control_plane.service_account_token(ACCOUNT))
    yield client
    client.close()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        pytest.param("DELETE", POD, None, id="delete a pod"),
        pytest.param("PATCH", POD, {"metadata": {"labels": {"a": "b"}}}, id="patch a pod"),
        pytest.param("PUT", POD, {}, id="replace a pod"),
        pytest.param("POST", f"{POD}/eviction", EVICTION, id="evict a pod"),
        pytest.param("POST", "/api/v1/namespaces/default/pods", {}, id="create a pod"),
        pytest.param("GET", "/api/v1/namespaces/kube-system/secrets", None, id="list secrets"),
        pytest.param("GET", "/api/v1/namespaces/default/secrets/any", None, id="read a secret"),
        pytest.param("GET", "/api/v1/namespaces/wao-system/secrets/bmc", None, id="read a secret of WAO"),
        pytest.param("POST", NODE_CONFIGS, {}, id="create a NodeConfig"),
        pytest.param("GET", f"{NODE_CONFIGS}/a", None, id="read one NodeConfig"),
        pytest.param("GET", "/api/v1/namespaces/kube-system/configmaps", None, id="list config maps"),
        pytest.param("PATCH", "/api/v1/nodes/worker-0", {"spec": {"unschedulable": True}}, id="cordon a node"),
        pytest.param("PATCH", "/api/v1/nodes/worker-0/status", {}, id="change the status of a node"),
        pytest.param("GET", f"{CLAIMS}/data", None, id="read one claim"),
        pytest.param("DELETE", f"{CLAIMS}/data", None, id="delete a claim"),
        pytest.param("PATCH", f"{CLAIMS}/data/status", {}, id="change the status of a claim"),
        pytest.param("DELETE", "/api/v1/persistentvolumes/disk", None, id="delete a volume"),
        pytest.param(
            "PATCH", "/api/v1/namespaces/default", {"metadata": {"labels": {"a": "b"}}}, id="label a namespace"
        ),
        pytest.param("PATCH", "/apis/storage.k8s.io/v1/csinodes/worker-0", {}, id="change what a driver says"),
        pytest.param("GET", "/apis/events.k8s.io/v1/namespaces/default/events", None, id="read events"),
        pytest.param("GET", OTHERS_LEASE, None, id="read another lease"),
        pytest.param("DELETE", LEASE, None, id="delete its own lease"),
        pytest.param("POST", "/api/v1/namespaces/kube-system/serviceaccounts/default/token", {}, id="issue a token"),
    ],
)
def test_the_account_may_not(account: Api, method: str, path: str, body: Object | None) -> None:
    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    with pytest.raises(ApiError) as refused:
        account.request(method, path, body, kind)
    assert refused.value.code == 403


@pytest.mark.parametrize("collection", ["/api/v1/pods", "/api/v1/nodes"])
def test_the_account_sees_what_it_places_and_where(account: Api, collection: str) -> None:
    assert len(account.get(collection)["items"]) == 1


@pytest.mark.parametrize("kind", KINDS, ids=[kind.plural for kind in KINDS])
def test_the_account_may_list_and_watch_what_else_placing_reads(account: Api, kind: Kind) -> None:
    version = account.get(f"{kind.path}?limit=1")["metadata"]["resourceVersion"]
    events = account.watch(kind.path, version, seconds=1)
    assert all(event["type"] != "ERROR" for event in events)


def test_the_account_may_tell_a_claim_its_node_and_bind_a_volume_to_it(
    account: Api, control_plane: ControlPlane
) -> None:
    room = {"accessModes": ["ReadWriteOnce"], "storageClassName": "rights"}
    claim = {"metadata": {"name": "rights"}, "spec": {**room, "resources": {"requests": {"storage": "1Gi"}}}}
    disk = {"capacity": {"storage": "1Gi"}, "hostPath": {"path": "/nowhere"}}
    control_plane.api.post(CLAIMS, claim)
    control_plane.api.post(VOLUMES, {"metadata": {"name": "rights"}, "spec": {**room, **disk}})
    try:
        selected = {"volume.kubernetes.io/selected-node": "worker-0"}
        told = account.patch(f"{CLAIMS}/rights", {"metadata": {"annotations": selected}})
        assert told["metadata"]["annotations"] == selected
        kept_for = {"namespace": "default", "name": "rights", "uid": told["metadata"]["uid"]}
        bound = account.patch(f"{VOLUMES}/rights", {"spec": {"claimRef": kept_for}})
        assert bound["spec"]["claimRef"]["name"] == "rights"
    finally:
        control_plane.api.bulk("DELETE", [(f"{CLAIMS}/rights", None), (f"{VOLUMES}/rights", None)], missing_ok=True)
