"""The control plane of the tests, with an account for each scheduler.

Ours has the service account and the rights of the manifests. kube-scheduler has a service account with the roles that
Kubernetes gives it (``system:kube-scheduler``, ``system:volume-scheduler``). No kubelets run: a pod is done when it is
bound, and they would take CPU on the two cores.
"""

from __future__ import annotations

import base64
from pathlib import Path

from benchmarks import ROOT
from tests.e2e.support.controlplane import ControlPlane, service_account_kubeconfig
from tests.e2e.support.processes import wait_until

OURS, THEIRS = "peaks-scheduler", "benchmarked-kube-scheduler"
NAMESPACE = "kube-system"
_THEIR_ROLES = ("system:kube-scheduler", "system:volume-scheduler")


class BenchPlane(ControlPlane):
    """A control plane with both accounts, and the process ids of its programs."""

    def pid(self, name: str) -> int:
        """Process id of ``kube-apiserver``, ``etcd`` or another that was started here."""
        return self._processes[name].pid

    def empty(self) -> None:
        """No pods and no events. Straight in etcd: 10,000 deletions take the API server longer than a call may last."""
        for kind in ("pods", "events"):
            first, end = (base64.b64encode(f"/registry/{kind}{mark}".encode()).decode() for mark in "/0")
            self.etcd("/v3/kv/deleterange", {"key": first, "range_end": end})
        wait_until(lambda: not self.names("/api/v1/pods"), "no pods", 60.0)

    def add_accounts(self) -> None:
        """Create both accounts and their rights."""
        manifests = [ROOT / "manifests" / name for name in ("serviceaccount.yaml", "rbac.yaml")]
        service_account_kubeconfig(self, OURS, NAMESPACE, manifests)
        service_account_kubeconfig(self, THEIRS, NAMESPACE)
        for role in _THEIR_ROLES:
            self.api.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", _binding(role))

    def kubeconfig_of(self, account: str) -> Path:
        """A kubeconfig with a new token of the account, good for three hours."""
        return self.kubeconfig(self.service_account_token(account, NAMESPACE, seconds=3 * 3600))


def _binding(role: str) -> dict[str, object]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": f"{THEIRS}-{role.rpartition(':')[2]}"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": THEIRS, "namespace": NAMESPACE}],
    }
