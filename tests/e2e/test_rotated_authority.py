"""A cluster whose authority is replaced under a running scheduler: the API server comes back with another certificate.

Owns the proof on a real API server that the new authority, wherever it is written, is trusted without a restart. What
is in its place too early, too late or by halves is told by the unit tests of rotation.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.support.controlplane import ControlPlane
from tests.e2e.support.daemon import Daemon, credentials
from tests.e2e.support.monitoring import Authority
from tests.e2e.support.workload import node, pod, wait_placed


class Reissued(ControlPlane):
    """A control plane whose API server shows a certificate of an authority of ours."""

    def __init__(self, folder: Path) -> None:
        flags = [f"--tls-cert-file={folder / 'serving.crt'}", f"--tls-private-key-file={folder / 'serving.key'}"]
        super().__init__(folder, apiserver_flags=flags)
        self.authorities = 0
        self.certify()

    def certify(self) -> None:
        """A new authority, and a certificate of it that counts from the next start of the API server on."""
        self.authorities += 1
        authority = Authority(self.folder / f"authority-{self.authorities}")
        issued = authority.issue("apiserver")
        (self.folder / "serving.crt").write_bytes(issued.certificate.read_bytes())
        (self.folder / "serving.key").write_bytes(issued.key.read_bytes())
        self.ca_file = authority.ca_file

    def move(self) -> None:
        """To another authority, as a cluster does that lost its first one."""
        self.stop_apiserver()
        self.certify()
        self.start_apiserver()
        self.api.close()
        self.api = self.client(self.admin_token)


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reissued]:
    with Reissued(tmp_path_factory.mktemp("reissued")) as running:
        running.create_nodes([node("worker-0")])
        yield running


def in_place(path: Path, content: bytes) -> None:
    """Replace a file at once, as whoever rotates it should."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.replace(path)


def as_a_file(plane: Reissued, kubeconfig: Path) -> None:
    """Write the present authority into the file that the kubeconfig names."""
    in_place(kubeconfig.with_suffix(".crt"), plane.ca_file.read_bytes())


def as_data(plane: Reissued, kubeconfig: Path) -> None:
    """Write the present authority into the kubeconfig itself."""
    whole = yaml.safe_load(kubeconfig.read_text())
    cluster = whole["clusters"][0]["cluster"]
    cluster.pop("certificate-authority", None)
    cluster["certificate-authority-data"] = base64.b64encode(plane.ca_file.read_bytes()).decode()
    in_place(kubeconfig, yaml.safe_dump(whole).encode())


@pytest.mark.parametrize("put", [as_a_file, as_data])
def test_binding_goes_on_when_the_api_server_comes_back_under_another_authority(
    plane: Reissued, tmp_path: Path, put: Callable[[Reissued, Path], None]
) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    whole = yaml.safe_load(credentials(plane).read_text())
    whole["clusters"][0]["cluster"]["certificate-authority"] = "kubeconfig.crt"
    in_place(kubeconfig, yaml.safe_dump(whole).encode())
    as_a_file(plane, kubeconfig)
    put(plane, kubeconfig)
    name = put.__name__.replace("_", "-")
    with Daemon(tmp_path, kubeconfig) as daemon:
        plane.create_pods([pod(f"{name}-before")])
        wait_placed(plane, f"{name}-before")
        plane.move()
        plane.create_pods([pod(f"{name}-after")])
        # not before it is in place: nobody else vouches for this server
        daemon.wait_for("lease not renewed")
        put(plane, kubeconfig)
        assert wait_placed(plane, f"{name}-after") == "worker-0"
        daemon.wait_for("certificates renewed")
        assert daemon.alive
