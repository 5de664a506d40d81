"""The table of kubeconfigs, tried with kubectl itself: what the server sees of it is what the table says.

Our own reading is held against the same table in tests/unit/kube/test_kubeconfig.py.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from peaks_scheduler.kube.login.credentials import load_credentials
from tests.e2e.support.controlplane import programs
from tests.support.kubeconfig_cases import CASES, Case, World, options
from tests.support.tls_recorder import TlsRecorder

# kubectl asks at the terminal who we are; a daemon goes as nobody, or says that the user is not there
KUBECTL_ASKS = {"empty token", "context without user", "context whose user is not there"}


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def server(ca: trustme.CA) -> Iterator[TlsRecorder]:
    with TlsRecorder(ca) as running:
        yield running


def kubectl(kubeconfig: Path | None, context: str | None, environ: dict[str, str], home: Path, *, asks: bool) -> int:
    argv = [str(programs()["kubectl"]), "get", "--raw", "/version", "--request-timeout=10s"]
    argv += ["--kubeconfig", str(kubeconfig)] if kubeconfig else []
    argv += ["--context", context] if context else []
    env = {"HOME": str(home), "PATH": os.environ["PATH"], **environ}
    ran = subprocess.run(argv, env=env, input="", capture_output=True, text=True, timeout=300, check=False)
    print(ran.stdout, ran.stderr)
    assert ("Please enter Username" in ran.stdout) == asks
    return ran.returncode


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
@pytest.mark.parametrize("cluster_too", [True, False])
async def test_a_plugin_is_told_by_us_what_kubectl_tells_it(
    version: str, cluster_too: bool, server: TlsRecorder, ca: trustme.CA, tmp_path: Path
) -> None:
    world = World(tmp_path, server.url, ca)
    api = f"client.authentication.k8s.io/{version}"
    script = (
        f'echo "$KUBERNETES_EXEC_INFO" >> {tmp_path}/told; '
        f"echo '{json.dumps({'apiVersion': api, 'kind': 'ExecCredential', 'status': {'token': 'abc'}})}'"
    )
    plugin = {"apiVersion": api, "command": "sh", "args": ["-c", script], "interactiveMode": "IfAvailable"}
    extension = {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "06e3fbd18de8"}}
    cluster = {
        "server": f"{server.url}/",
        "certificate-authority": "ca.pem",
        "tls-server-name": "localhost",
        "disable-compression": True,
        "extensions": [extension],
    }
    user = {"exec": {**plugin, "provideClusterInfo": cluster_too}}
    config = world.write(world.entries(user=user, cluster=cluster))
    assert kubectl(config, None, {}, tmp_path, asks=False) == 0
    loaded = await load_credentials(str(config), None, {"PATH": os.environ["PATH"]})
    await loaded.aclose()
    theirs, ours = (json.loads(line) for line in (tmp_path / "told").read_text().splitlines() if line)
    assert ours == theirs


@pytest.mark.parametrize("each", CASES, ids=[each.name for each in CASES])
def test_the_server_sees_of_kubectl(each: Case, server: TlsRecorder, ca: trustme.CA, tmp_path: Path) -> None:
    server.seen.clear()
    asks = each.name in KUBECTL_ASKS
    code = kubectl(*options(each, World(tmp_path, server.url, ca)), tmp_path, asks=asks)
    if asks:
        return
    if each.sees is None:
        assert code != 0
        assert server.seen == []
    else:
        assert code == 0
        assert server.seen[-1] == each.sees
