"""What the process of a daemon imports, from its start to its end."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from tests.support.builders import node, pod
from tests.support.daemon_stage import until
from tests.support.server_thread import ServerThread

NOBODY = "http://127.0.0.1:9"
"""A load source that nobody serves: every node is estimated."""

STARTED = """
import atexit, sys
sys.modules["kubernetes"] = None  # whoever imports it fails as if it were not installed
atexit.register(lambda: open(sys.argv[-1], "w").write("\\n".join(sys.modules)))
from peaks_scheduler.cli import main
main(sys.argv[1:-1])
"""
UNUSED = (
    "scipy",
    "matplotlib",
    "pyarrow",
    "joblib",
    "distributed",
    "peaks_scheduler.embedded",
    "peaks_scheduler.fitting",
    "peaks_scheduler.daemon.keepers.drift",
    "peaks_scheduler.daemon.keepers.refit",
    "peaks_scheduler.sources.carbon_file",
    "peaks_scheduler.sources.metrics_server",
    "peaks_scheduler.sources.pod_usage",
    "peaks_scheduler.sources.power_history",
    "peaks_scheduler.sources.prometheus.api",
    "peaks_scheduler.sources.sensors.ipmi_exporter",
)
"""What no setting of a plain daemon asks for."""


async def test_a_daemon_imports_nothing_that_its_settings_do_not_ask_for(tmp_path: Path) -> None:
    with ServerThread() as api:
        api(lambda server: (server.add_node(node("worker-1", cpu="4")), server.add_pod(pod("waits", cpu="1"))))
        kubeconfig = str(api.server.write_kubeconfig(tmp_path / "kubeconfig"))
        options = ("--kubeconfig", kubeconfig, "--listen", "127.0.0.1:0", "--load-address", NOBODY)
        command = [sys.executable, "-c", STARTED, "run", *options, str(tmp_path / "modules")]
        daemon = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
        try:
            await until(lambda: is_placed(api, "waits") or daemon.returncode is not None, 60.0)
            daemon.send_signal(signal.SIGTERM)
            _, said = await asyncio.wait_for(daemon.communicate(), 30.0)
        finally:
            if daemon.returncode is None:
                daemon.kill()
    assert daemon.returncode == 0, said.decode()
    imported = (tmp_path / "modules").read_text().split()
    assert "peaks_scheduler.daemon.main" in imported
    assert [name for name in imported if f"{name}.".startswith(tuple(f"{each}." for each in UNUSED))] == []


def is_placed(api: ServerThread, name: str) -> bool:
    return bool(api(lambda server: server.get("pods", name))["spec"].get("nodeName"))
