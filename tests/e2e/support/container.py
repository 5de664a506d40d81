"""The image as the Deployment runs it, without a container engine: its root read-only, its user, its environment.

Owns what a kubelet and a container runtime would do on Linux as root: a mount and a process namespace, the mounts that
the Deployment declares, the service account's folder, an environment with nothing but what both give. What is run, by
whom and with what comes from ``manifests/`` and the image, never from here. Assumes the folder that ``make image``
leaves. The network is the machine's: the API server listens on loopback. There is no folder to write to at all, not
even the /dev/shm that most runtimes give.

    container = Container(image, folder / "account", plane.url)
    container.run(["strategies"]).stdout
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import yaml

from tests.e2e.support.controlplane import ControlPlane
from tests.e2e.support.daemon import ACCOUNT, Daemon
from tests.e2e.support.processes import Process

ROOT = Path(__file__).resolve().parents[3]
MANIFESTS = ROOT / "manifests"
SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
DEVICES = ("null", "zero", "full", "random", "urandom")
# $1 the image's root, then pairs of what is mounted and where, then --, then the command
_ENTER = """
set -e
root=$1; shift
mount --bind "$root" "$root"
mount -t proc none "$root/proc"
mount -t tmpfs -o mode=755 none "$root/dev"
for name in DEVICES; do : > "$root/dev/$name"; mount --bind "/dev/$name" "$root/dev/$name"; done
while [ "$1" != -- ]; do mount --bind "$1" "$root/$2"; mount -o remount,bind,ro "$root/$2"; shift 2; done; shift
mount -o remount,ro "$root/dev"
mount -o remount,bind,ro "$root"
exec chroot "$root" "$@"
""".replace("DEVICES", " ".join(DEVICES))

Object = dict[str, Any]
_numbers = itertools.count(1)


def why_no_image() -> str | None:
    """Why there is no image to run, in a line; None where there is one."""
    told = _locate()
    return told.stderr.strip() if told.returncode else None


def image() -> Path:
    """Folder of the image of these sources. AssertionError where there is none."""
    told = _locate()
    assert told.returncode == 0, told.stderr
    return Path(told.stdout.strip())


def _locate() -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, str(ROOT / "tools" / "image.py"), "--where"]
    return subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)


def pod_spec() -> Object:
    """What the Deployment asks for."""
    deployment = yaml.safe_load((MANIFESTS / "deployment.yaml").read_text())
    spec: Object = deployment["spec"]["template"]["spec"]
    return spec


# --- volumes ----------------------------------------------------------------------------------------------------------


def project(folder: Path, files: Mapping[str, bytes], owner: int) -> None:
    """Files as a kubelet projects them: all of them change at once, by turning one symbolic link."""
    version = folder / f"..version-{next(_numbers)}"
    version.mkdir(parents=True)
    for name, data in files.items():
        (version / name).write_bytes(data)
        (version / name).chmod(0o600)  # of a pod whose containers all run as one user
        os.chown(version / name, owner, owner)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    fresh = folder / "..data_tmp"
    fresh.symlink_to(version.name)
    fresh.replace(folder / "..data")
    folder.chmod(0o755)
    version.chmod(0o755)


def config_map(name: str) -> dict[str, bytes]:
    """The files of a ConfigMap that the kustomization makes."""
    kustomization = yaml.safe_load((MANIFESTS / "kustomization.yaml").read_text())
    (files,) = (each["files"] for each in kustomization["configMapGenerator"] if each["name"] == name)
    return {file: (MANIFESTS / file).read_bytes() for file in files}


def volume_files(volume: Object) -> dict[str, bytes]:
    """What a volume of the Deployment holds."""
    sources = volume["projected"]["sources"]
    return {name: data for source in sources for name, data in config_map(source["configMap"]["name"]).items()}


# --- container --------------------------------------------------------------------------------------------------------


class Container:
    """One container of the Deployment, ready to be started any number of times."""

    def __init__(self, image: Path, folder: Path, server: str) -> None:
        """``folder`` takes what is mounted; ``server`` is where the API server listens."""
        self._root, self._server = image / "root", urlsplit(server)
        self._config = json.loads((image / "config.json").read_text())
        self._pod = pod_spec()
        (self._spec,) = self._pod["containers"]
        security = {**self._pod["securityContext"], **self._spec["securityContext"]}
        # what is imitated below, and no more of it
        assert security["readOnlyRootFilesystem"]
        assert security["runAsNonRoot"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        self._user, self._group = security["runAsUser"], security["runAsGroup"]
        self.account = folder / "service-account"
        self._mounts = {SERVICE_ACCOUNT: self.account, **self._volumes(folder)}

    def _volumes(self, folder: Path) -> dict[str, Path]:
        volumes = {volume["name"]: volume for volume in self._pod["volumes"]}
        mounts = {}
        for mount in self._spec["volumeMounts"]:
            assert mount["readOnly"]
            project(folder / mount["name"], volume_files(volumes[mount["name"]]), self._user)
            mounts[mount["mountPath"]] = folder / mount["name"]
        return mounts

    def give_token(self, plane: ControlPlane, token: str) -> None:
        """The service account's folder with this token, as at the start or at a rotation."""
        files = {"token": token.encode(), "ca.crt": plane.ca_file.read_bytes(), "namespace": b"kube-system"}
        project(self.account, files, self._user)

    @property
    def environment(self) -> dict[str, str]:
        """The image's variables, the runtime's (a home for who has none), the kubelet's, and the Deployment's."""
        given = dict(pair.split("=", 1) for pair in self._config["Env"])
        given |= {"HOME": "/", "HOSTNAME": "peaks-scheduler-0"}
        given |= {
            "KUBERNETES_SERVICE_HOST": self._server.hostname or "",
            "KUBERNETES_SERVICE_PORT": str(self._server.port),
        }
        return given | {each["name"]: each["value"] for each in self._spec.get("env", ())}

    def command(self, args: Sequence[str] | None = None, entry: Sequence[str] | None = None) -> list[str]:
        """What starts it: the Deployment's own arguments, or others; ``entry`` in place of the entry point."""
        whole = entry or self._spec.get("command") or self._config["Entrypoint"]
        whole = [*whole, *(self._spec.get("args", self._config["Cmd"]) if args is None else args)]
        self.account.mkdir(parents=True, exist_ok=True)
        mounts = [part for inside, outside in self._mounts.items() for part in (str(outside), self._place(inside))]
        rights = ["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
        user = ["setpriv", f"--reuid={self._user}", f"--regid={self._group}", "--clear-groups", *rights]
        variables = [f"{name}={value}" for name, value in self.environment.items()]
        enter = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", _ENTER, "sh", str(self._root)]
        return [*enter, *mounts, "--", *user, "env", "-i", *variables, *whole]

    def _place(self, inside: str) -> str:
        """Path in the root that a mount goes to, made if need be; links on the way lead within the root."""
        place = PurePosixPath("/")
        for part in PurePosixPath(inside).parts[1:]:
            link = self._root / place.relative_to("/") / part
            place = place / link.readlink() if link.is_symlink() else place / part
        (self._root / place.relative_to("/")).mkdir(parents=True, exist_ok=True)
        return str(place.relative_to("/"))

    def run(
        self, args: Sequence[str], stdin: bytes = b"", entry: Sequence[str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """A command in it, to its end."""
        ran = subprocess.run(
            self.command(args, entry), input=stdin, capture_output=True, timeout=300, check=False, env=_OUTSIDE
        )
        return subprocess.CompletedProcess(ran.args, ran.returncode, ran.stdout.decode(), ran.stderr.decode())


_OUTSIDE = {"PATH": os.environ.get("PATH", os.defpath)}


class ContainedDaemon(Daemon):
    """The Deployment's container, seen from outside as any daemon is. ``with`` starts it, waits and ends it."""

    def __init__(self, container: Container, folder: Path) -> None:
        self.name = f"container-{next(_numbers)}"
        self._container, self._folder, self._starts = container, folder, 0
        self._process: Process | None = None
        self.url = ""

    def start(self) -> None:
        self._starts += 1
        log = self._folder / f"{self.name}-{self._starts}.log"
        self._process, self.url = Process(self.name, self._container.command(), log), ""


def account_token(plane: ControlPlane, secret: str) -> str:
    """A token of the manifests' service account, refused once this secret (which is made) is deleted."""
    body = {"metadata": {"name": secret}}
    plane.api.post("/api/v1/namespaces/kube-system/secrets", body)
    return plane.service_account_token(ACCOUNT, secret=secret)
