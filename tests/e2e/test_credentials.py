"""Credentials of the real world on a real API server: certificates that rotate, acting as somebody else, contexts."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from tests.e2e.support.controlplane import ControlPlane
from tests.e2e.support.daemon import ACCOUNT, Daemon, clear, credentials
from tests.e2e.support.processes import wait_until
from tests.e2e.support.workload import node, pod, wait_placed

SOON = datetime.timedelta(seconds=45)  # a daemon is ready in 3 s, on a busy machine in 20


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Who signs the certificates of the cluster's users."""
    return trustme.CA()


@pytest.fixture(scope="module")
def certified(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane that knows its users by certificates, too."""
    folder = tmp_path_factory.mktemp("certified")
    authority.cert_pem.write_to_path(folder / "users.pem")
    with ControlPlane(folder, apiserver_flags=[f"--client-ca-file={folder / 'users.pem'}"]) as plane:
        plane.start_kwok()
        yield plane


def issue(authority: trustme.CA, folder: Path, name: str, until: datetime.datetime) -> None:
    """Put a certificate for ``name`` in force, as a program that rotates them does: each file replaced at once."""
    leaf = authority.issue_cert(
        f"{name}@example.org", common_name=name, organization_name="system:masters", not_after=until
    )
    for pem, path in ((leaf.cert_chain_pems[0], folder / "client.pem"), (leaf.private_key_pem, folder / "client.key")):
        pem.write_to_path(folder / "new")
        (folder / "new").replace(path)


def rewritten(kubeconfig: Path, path: Path, **user: Any) -> Path:
    """The kubeconfig with another user."""
    whole = yaml.safe_load(kubeconfig.read_text())
    whole["users"][0]["user"] = user
    path.write_text(yaml.safe_dump(whole))
    return path


def test_the_daemon_goes_on_with_a_new_client_certificate_when_the_old_one_has_expired(
    certified: ControlPlane, authority: trustme.CA, tmp_path: Path
) -> None:
    expiry = datetime.datetime.now(datetime.UTC) + SOON
    issue(authority, tmp_path, "short-lived", expiry)
    files = {"client-certificate": "client.pem", "client-key": "client.key"}
    kubeconfig = rewritten(certified.admin_kubeconfig, tmp_path / "kubeconfig", **files)
    certified.create_nodes([node("worker-0")])
    with Daemon(tmp_path, kubeconfig) as daemon:
        certified.create_pods([pod("before")])
        wait_placed(certified, "before")
        wait_until(lambda: datetime.datetime.now(datetime.UTC) > expiry, "the certificate expired")
        certified.create_pods([pod("expired")])  # refused until there is another one
        issue(authority, tmp_path, "renewed", expiry + datetime.timedelta(days=1))
        assert wait_placed(certified, "expired") == "worker-0"
        # the watches have moved, too: what is new is seen
        daemon.wait_for("certificates renewed")
        certified.create_nodes([node("worker-1")])
        certified.create_pods([pod("after", nodeSelector={"kubernetes.io/hostname": "worker-1"})])
        assert wait_placed(certified, "after") == "worker-1"
        assert daemon.alive


def check(kubeconfig: Path, folder: Path, *options: str) -> dict[str, list[list[str]]]:
    """Check -> [status, finding] of its lines."""
    argv = [sys.executable, "-m", "peaks_scheduler", "check", "--output", "json", "--kubeconfig", str(kubeconfig)]
    env = {**{key: value for key, value in os.environ.items() if not key.startswith(("PEAKS_", "KUBE"))}}
    ran = subprocess.run(
        [*argv, "--load-address", "http://127.0.0.1:9", *options],
        capture_output=True,
        text=True,
        timeout=300,
        env={**env, "HOME": str(folder)},
        check=False,
    )
    assert "Traceback" not in ran.stderr
    found: dict[str, list[list[str]]] = {}
    for each in json.loads(ran.stdout)["checks"]:
        found.setdefault(each["check"], []).append([each["status"], each["finding"]])
    return found


def test_check_reports_the_rights_of_whom_the_kubeconfig_acts_as(control_plane: ControlPlane, tmp_path: Path) -> None:
    clear(control_plane)
    credentials(control_plane)  # the manifests are applied
    admin = {"token": control_plane.admin_token}
    path = tmp_path / "kubeconfig"

    account = f"system:serviceaccount:kube-system:{ACCOUNT}"
    found = check(rewritten(control_plane.admin_kubeconfig, path, **admin, **{"as": account}), tmp_path)
    assert found["identity"][0][1].startswith(f"{account}, named by `as` in the kubeconfig")
    assert [status for status, _ in found["rights"]] == ["ok"]

    found = check(rewritten(control_plane.admin_kubeconfig, path, **admin, **{"as": "jane"}), tmp_path)
    assert found["identity"][0][1].startswith("jane, ")
    failed = [finding for status, finding in found["rights"] if status == "failed"]
    assert "jane may not create pods/binding: no pod is placed" in failed

    groups = {"as": "jane", "as-groups": ["system:masters"]}
    found = check(rewritten(control_plane.admin_kubeconfig, path, **admin, **groups), tmp_path)
    assert [status for status, _ in found["rights"]] == ["ok"]


def test_a_daemon_that_acts_as_its_account_binds_with_its_rights_alone(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    clear(control_plane)
    credentials(control_plane)
    control_plane.create_nodes([node("worker-0")])
    user = {"token": control_plane.admin_token, "as": f"system:serviceaccount:kube-system:{ACCOUNT}"}
    kubeconfig = rewritten(control_plane.admin_kubeconfig, tmp_path / "kubeconfig", **user)
    with Daemon(tmp_path, kubeconfig):
        control_plane.create_pods([pod("web-0")])
        assert wait_placed(control_plane, "web-0") == "worker-0"


def test_a_context_is_chosen_by_name(control_plane: ControlPlane, tmp_path: Path) -> None:
    clear(control_plane)
    control_plane.create_nodes([node("worker-0")])
    whole = yaml.safe_load(control_plane.admin_kubeconfig.read_text())
    whole["clusters"].append({"name": "elsewhere", "cluster": {"server": "https://127.0.0.1:9"}})
    whole["contexts"].append({"name": "elsewhere", "context": {"cluster": "elsewhere"}})
    whole["contexts"].append({"name": "nobody", "context": {"cluster": "loopback"}})
    whole["current-context"] = "elsewhere"
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(whole))
    assert check(tmp_path / "kubeconfig", tmp_path)["API server"][0][0] == "failed"
    found = check(tmp_path / "kubeconfig", tmp_path, "--context", "loopback")
    assert found["API server"][0][0] == "ok"
    assert found["identity"] == [["ok", f"admin; kubeconfig {tmp_path}/kubeconfig, context 'loopback'"]]
    ((status, finding),) = check(tmp_path / "kubeconfig", tmp_path, "--context", "nobody")["identity"]
    assert (status, finding.partition(";")[0]) == ("failed", "the API server treats us as anonymous")
