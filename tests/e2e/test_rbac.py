"""The rights of the manifests: enough for everything that the other tests do, and no more.

That they are enough is shown by all of them: each daemon of this suite runs with a token of this account.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.api import Api, ApiError, Object
from tests.e2e.controlplane import ControlPlane
from tests.e2e.daemon import ACCOUNT, LEASE, clear, credentials
from tests.e2e.workload import node, pod

POD = "/api/v1/namespaces/default/pods/web-0"
EVICTION = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "web-0", "namespace": "default"}}
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
        pytest.param("GET", "/api/v1/namespaces/kube-system/configmaps", None, id="list config maps"),
        pytest.param("PATCH", "/api/v1/nodes/worker-0", {"spec": {"unschedulable": True}}, id="cordon a node"),
        pytest.param("PATCH", "/api/v1/nodes/worker-0/status", {}, id="change the status of a node"),
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
