"""A control plane whose nodes report what their pods use: the real metrics-server over kwok's kubelets.

Owns what joins the two: kwok's metrics endpoints, the certificates by which the API server and metrics-server know each
other, and the APIService ``v1beta1.metrics.k8s.io``. A pod's use is what its annotation declares (1m without one) from
the moment it runs; a node's is the sum of its pods'. A node without any pod is never measured (kwok has nothing to tell
of it): ``system_pod`` keeps one in use. Assumes the programs of ``make control-plane`` and ``make monitoring``. A first
answer takes two scrapes of a pod, a change one more: about 30 s.

    with MeteredControlPlane(folder) as plane:
        plane.create_nodes([{"metadata": {"name": "node-0", "annotations": metered("node-0")}, "status": {...}}])
        plane.create_pods([system_pod("node-0"), {"metadata": {"name": "pod-0", "annotations": uses("1500m")}, ...}])
        plane.wait_measured({"node-0": 1.51})
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from peaks_scheduler.objects.quantity import parse_quantity
from tests.e2e.support import controlplane, monitoring
from tests.e2e.support.api import ApiError, Object
from tests.e2e.support.controlplane import ControlPlane
from tests.e2e.support.monitoring import Authority, Certificate
from tests.e2e.support.processes import PATIENCE, Process, free_port, wait_until

API = "/apis/metrics.k8s.io/v1beta1"
RESOLUTION = 10  # [s] between two scrapes, the least that metrics-server accepts
MEASURED_LIMIT = 2 * PATIENCE  # [s] of scrapes that are 10 s apart


def metered(node: str) -> dict[str, str]:
    """Annotations of a node whose use is to be measured: where its kubelet tells of it."""
    return {"metrics.k8s.io/resource-metrics-path": f"/metrics/nodes/{node}/metrics/resource"}


def uses(cpu: str, memory: str | None = None) -> dict[str, str]:
    """Annotations of a pod that uses so much (quantities)."""
    declared = {"kwok.x-k8s.io/usage-cpu": cpu}
    return declared if memory is None else {**declared, "kwok.x-k8s.io/usage-memory": memory}


def system_pod(node: str, cpu: str = "10m") -> Object:
    """A pod on a node from the start, as daemon sets put there: with it an otherwise empty node is measured."""
    spec = {"nodeName": node, "containers": [{"name": "main", "image": "none"}]}
    return {"metadata": {"name": f"system-{node}", "namespace": "kube-system", "annotations": uses(cpu)}, "spec": spec}


class MeteredControlPlane(ControlPlane):
    """etcd, kube-apiserver with aggregation, kwok and metrics-server. Entering it takes about 8 s."""

    def __init__(self, folder: Path) -> None:
        authority = Authority(folder / "front-proxy")
        self._proxy_client = authority.issue("front-proxy")
        flags = [
            # who may speak for a user to an aggregated server, and what the API server shows to be that
            f"--requestheader-client-ca-file={authority.ca_file}",
            "--requestheader-allowed-names=front-proxy",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={self._proxy_client.certificate}",
            f"--proxy-client-key-file={self._proxy_client.key}",
            f"--client-ca-file={authority.ca_file}",  # metrics-server wants to find one
        ]
        super().__init__(folder, apiserver_flags=flags)
        self._certificate: Certificate = authority.issue("kubelet")
        self._kubelet_port, self._metrics_port = free_port(), free_port()

    def start(self) -> Self:
        """All of it, ready; nothing is measured yet."""
        super().start()
        self.start_kwok()
        self.start_metrics_server()
        self._register()
        return self

    def start_kwok(self) -> Process:
        """As everywhere, and with what a kubelet serves of its pods' use, under one port for all nodes."""
        kwok = self.run(
            "kwok",
            controlplane.programs()["kwok"],
            f"--kubeconfig={self.admin_kubeconfig}",
            f"--config={controlplane.programs()['kwok-stages.yaml']}",
            f"--config={monitoring.programs()['kwok-metrics.yaml']}",
            "--manage-all-nodes=true",
            "--node-lease-duration-seconds=0",
            "--node-ip=127.0.0.1",
            f"--node-port={self._kubelet_port}",
            f"--server-address=127.0.0.1:{self._kubelet_port}",
            f"--tls-cert-file={self._certificate.certificate}",
            f"--tls-private-key-file={self._certificate.key}",
        )
        self.wait_ready(kwok, f"https://127.0.0.1:{self._kubelet_port}/healthz")
        return kwok

    def start_metrics_server(self) -> Process:
        """metrics-server; it is alive before it has measured anything."""
        kinds = ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
        server = self.run(
            "metrics-server",
            monitoring.programs()["metrics-server"],
            *(f"--{kind}={self.admin_kubeconfig}" for kind in kinds),
            "--bind-address=127.0.0.1",
            f"--secure-port={self._metrics_port}",
            f"--cert-dir={self.folder / 'metrics-server'}",
            f"--metric-resolution={RESOLUTION}s",
            f"--kubelet-request-timeout={RESOLUTION - 2}s",
            "--kubelet-insecure-tls",
            "--kubelet-use-node-status-port",
            "--kubelet-preferred-address-types=InternalIP",
        )
        self.wait_ready(server, f"https://127.0.0.1:{self._metrics_port}/livez")
        return server

    def stop_metrics_server(self) -> None:
        """As a crash would: the API server then answers 503 for what is measured."""
        self.process("metrics-server").kill()

    def _register(self) -> None:
        """The way from the API server to metrics-server: a Service that is a name, since no cluster network exists."""
        port = self._metrics_port
        service = {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]}
        self.api.post("/api/v1/namespaces/kube-system/services", {"metadata": {"name": "metrics"}, "spec": service})
        spec = {
            "group": "metrics.k8s.io",
            "version": "v1beta1",
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "insecureSkipTLSVerify": True,
            "service": {"name": "metrics", "namespace": "kube-system", "port": port},
        }
        registered = {"metadata": {"name": "v1beta1.metrics.k8s.io"}, "spec": spec}
        self.api.post("/apis/apiregistration.k8s.io/v1/apiservices", registered)

    # --- what is measured -----------------------------------------------------------------------------------------

    def node_metrics(self) -> list[Object]:
        """NodeMetrics as metrics-server gives them now; none while it cannot be asked."""
        return self._measured(f"{API}/nodes")

    def pod_metrics(self, namespace: str = "default") -> list[Object]:
        """PodMetrics of a namespace; none while metrics-server cannot be asked."""
        return self._measured(f"{API}/namespaces/{namespace}/pods")

    def node_cores(self) -> dict[str, float]:
        """CPU use [cores] of every node that was measured."""
        usages = {each["metadata"]["name"]: each["usage"]["cpu"] for each in self.node_metrics()}
        return {name: float(parse_quantity(cpu)) for name, cpu in usages.items()}

    def wait_measured(
        self, cores: Mapping[str, float], *, within: float = 0.05, timeout: float = MEASURED_LIMIT
    ) -> None:
        """Until each of these nodes was measured at so many cores, give or take the fraction ``within``."""

        def near() -> bool:
            seen = self.node_cores()
            return all(abs(seen.get(name, -1.0) - want) <= within * max(want, 0.01) for name, want in cores.items())

        try:
            wait_until(near, f"CPU use of {dict(cores)} measured", timeout, every=0.5)
        except AssertionError as error:
            raise AssertionError(f"{error}; measured: {self.node_cores()}") from None

    def _measured(self, path: str) -> list[Object]:
        try:
            return list(self.api.get(path)["items"])
        except ApiError as error:
            if error.code in (404, 503):  # not registered yet, not reachable
                return []
            raise
