"""The real kube-state-metrics over a control plane, and a cAdvisor that tells of the pods' use.

Owns their processes and ports. cAdvisor looks at control groups, which simulated kubelets do not have, so ours serves
its one counter under the names and labels of its code (cadvisor 0.56, metrics/prometheus.go, as the kubelet fills
them): a series for each container, one for the pause container and one for the pod's own group, which is their sum.

    with KubeState(plane) as state, Cadvisor() as cadvisor, Prometheus(folder, [state.target, cadvisor.target]): ...
"""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from tests.e2e.support.controlplane import ControlPlane
from tests.e2e.support.monitoring import programs
from tests.e2e.support.processes import free_port
from tests.e2e.support.prometheus import Target

KINDS = ("nodes", "pods", "persistentvolumes", "persistentvolumeclaims")


class KubeState:
    """kube-state-metrics, ready; it ends with its control plane."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._port = free_port()
        self.target = Target("kube-state-metrics", f"127.0.0.1:{self._port}")

    def __enter__(self) -> Self:
        process = self._plane.run(
            "kube-state-metrics",
            programs()["kube-state-metrics"],
            f"--kubeconfig={self._plane.admin_kubeconfig}",
            f"--resources={','.join(KINDS)}",
            "--metric-labels-allowlist=nodes=[*]",
            "--host=127.0.0.1",
            f"--port={self._port}",
            "--telemetry-host=127.0.0.1",
            f"--telemetry-port={free_port()}",
        )
        self._plane.wait_ready(process, f"http://127.0.0.1:{self._port}/healthz")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._plane.process("kube-state-metrics").kill()


class Cadvisor:
    """Serves the CPU use of the pods that it is told of. A context manager."""

    def __init__(self) -> None:
        self._running: dict[tuple[str, str], tuple[float, float]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.target = Target("cadvisor", f"127.0.0.1:{self._server.server_port}", "/metrics/cadvisor")

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def run(self, pod: str, cores: float, namespace: str = "default") -> None:
        """From now on the pod uses so many cores."""
        self._running[namespace, pod] = (cores, time.time())

    def end(self, pod: str, namespace: str = "default") -> None:
        """The pod is gone."""
        self._running.pop((namespace, pod), None)

    def text(self) -> str:
        """What a scrape gets."""
        now, name = time.time(), "container_cpu_usage_seconds_total"
        lines = [f"# HELP {name} Cumulative cpu time consumed in seconds.", f"# TYPE {name} counter"]
        for (namespace, pod), (cores, since) in list(self._running.items()):
            seconds = cores * (now - since)
            for container, share in (("main", 1.0), ("POD", 0.0), ("", 1.0)):
                path = f"/kubepods/pod-{pod}/{container}"
                labels = f'container="{container}",cpu="total",id="{path}",image="none",name="{pod}-{container}"'
                lines.append(f'{name}{{{labels},namespace="{namespace}",pod="{pod}"}} {share * seconds:.6f}')
        return "\n".join(lines) + "\n"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        cadvisor = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = cadvisor.text().encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args: object) -> None:
                """Nothing: a line a scrape would drown what the test says."""

        return Handler
