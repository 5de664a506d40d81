"""The control plane that both schedulers are measured on: the tests' own, with an account for each of them.

Owns who they are: ours is the service account of the manifests with the rights they give it, kube-scheduler a service
account with the roles that Kubernetes gives it (``system:kube-scheduler``, ``system:volume-scheduler``). No kubelets
run: a pod is done when it is bound, and two cores have enough to do.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks import ROOT
from tests.e2e.support.controlplane import ControlPlane, service_account_kubeconfig

OURS, THEIRS = "peaks-scheduler", "benchmarked-kube-scheduler"
NAMESPACE = "kube-system"
_THEIR_ROLES = ("system:kube-scheduler", "system:volume-scheduler")


class BenchPlane(ControlPlane):
    """A control plane that tells its processes' ids and has both accounts."""

    def pid(self, name: str) -> int:
        """Process id of ``kube-apiserver``, ``etcd`` or another that was started here."""
        return self._processes[name].pid

    def add_accounts(self) -> None:
        """Both accounts and their rights."""
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
