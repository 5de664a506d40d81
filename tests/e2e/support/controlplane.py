"""A real control plane on loopback, for tests and benchmarks: etcd, kube-apiserver, kwok, kube-scheduler, kubectl.

Owns their processes, ports, files and credentials, all inside one folder, and stops them at the end; the objects in the
cluster are ``cluster.py``'s. Assumes the programs that ``make control-plane`` leaves in the cache. The controllers of
workloads and volumes run on request alone, and none of the others ever: pods need no service account, and nodes are
created without taints. Never part of the package: it only stages the world that the scheduler is tried in.

    with ControlPlane(folder) as plane:
        plane.start_kwok()
        plane.create_nodes([{"metadata": {"name": "node-0"}, "status": {"allocatable": {...}, "capacity": {...}}}])
        plane.api.get("/api/v1/nodes")
"""

from __future__ import annotations

import base64
import functools
import itertools
import json
import secrets
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import yaml

from tests.e2e.support.api import PLAIN, Api, Object
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.processes import PATIENCE, Process, free_port, wait_until
from tests.e2e.support.programs import located

ISSUER = "https://kubernetes.default.svc"
CONTROLLERS = (
    "deployment-controller",
    "replicaset-controller",
    "statefulset-controller",
    "job-controller",
    "persistentvolume-binder-controller",
    "ephemeral-volume-controller",
    # what those leave behind: admission puts finalizers on claims and volumes, deleted owners leave dependants
    "persistentvolumeclaim-protection-controller",
    "persistentvolume-protection-controller",
    "garbage-collector-controller",
    "namespace-controller",
)


@functools.cache
def programs() -> dict[str, Path]:
    """Path of every program by name.

    Raises:
        AssertionError: one is not built; says what to run.
    """
    return located("control_plane.py", "no control plane, run `make control-plane`")


def signing_key() -> str:
    """A fresh P-256 private key (RFC 5915, without its optional public half), PEM: signs service account tokens."""
    # below the group's order for certain, since that begins with 32 one-bits
    scalar = secrets.token_bytes(31).rjust(32, b"\0")
    der = bytes.fromhex("30310201010420") + scalar + bytes.fromhex("a00a06082a8648ce3d030107")
    return f"-----BEGIN EC PRIVATE KEY-----\n{base64.b64encode(der).decode()}\n-----END EC PRIVATE KEY-----\n"


class ControlPlane(Cluster):
    """etcd and kube-apiserver in ``folder``, more on request. A context manager; every wait in it is bounded.

    Attributes:
        api: JSON client as cluster administrator; ``plane.client(token)`` gives one for another token.
        url: of the API server; the port stays the same over restarts.
        admin_token, admin_kubeconfig: for kubectl and others, as cluster administrator.
    """

    def __init__(self, folder: Path, *, watch_cache: bool = True, apiserver_flags: Sequence[str] = ()) -> None:
        """``watch_cache=False`` makes every watch read etcd: compaction then expires resource versions at once."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._ports = {"etcd": free_port(), "etcd-peer": free_port(), "apiserver": free_port()}
        self._flags = [f"--watch-cache={str(watch_cache).lower()}", *apiserver_flags]
        self._processes: dict[str, Process] = {}
        self._numbers = itertools.count(1)
        self.admin_token = secrets.token_urlsafe(24)
        self.url = f"https://127.0.0.1:{self._ports['apiserver']}"
        self.etcd_url = f"http://127.0.0.1:{self._ports['etcd']}"
        self.ca_file = folder / "certificates" / "apiserver.crt"

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self) -> Self:
        """etcd and the API server, ready to be used, in about 4 s."""
        (self.folder / "tokens.csv").write_text(f"{self.admin_token},admin,admin,system:masters\n")
        (self.folder / "signing-key.pem").write_text(signing_key())
        self._start_etcd()
        self.start_apiserver()
        self.api = self.client(self.admin_token)
        self.admin_kubeconfig = self.kubeconfig(self.admin_token)
        # written by the server itself a moment after it says that it is ready
        wait_until(lambda: {"default", "kube-system"} <= self.names("/api/v1/namespaces"), "the first namespaces")
        return self

    def stop(self) -> None:
        """Ends everything that was started here, the last one first."""
        for process in reversed(self._processes.values()):
            process.kill()
        if hasattr(self, "api"):
            self.api.close()

    # --- processes ------------------------------------------------------------------------------------------------

    def run(self, name: str, *argv: str | Path, env: Mapping[str, str] | None = None) -> Process:
        """Any program, for as long as this control plane runs; its output goes to ``folder/NAME.log``."""
        # a home of its own: what lies in the user's must change no test
        surroundings = {"HOME": str(self.folder), "KUBECONFIG": "", **(env or {})}
        process = Process(name, [str(part) for part in argv], self.folder / f"{name}.log", surroundings)
        self._processes.pop(name, None)
        self._processes[name] = process
        return process

    def process(self, name: str) -> Process:
        """One that runs here, by name: to pause it, say."""
        return self._processes[name]

    def _start_etcd(self) -> None:
        peer = f"http://127.0.0.1:{self._ports['etcd-peer']}"
        etcd = self.run(
            "etcd",
            programs()["etcd"],
            f"--data-dir={self.folder / 'etcd'}",
            "--name=only",
            f"--listen-client-urls={self.etcd_url}",
            f"--advertise-client-urls={self.etcd_url}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=only={peer}",
            "--unsafe-no-fsync",  # a test's data need not survive a power cut
            "--quota-backend-bytes=4294967296",
            "--log-level=warn",
        )
        self.wait_ready(etcd, f"{self.etcd_url}/readyz")

    def start_apiserver(self) -> None:
        """The API server on its port, with whatever etcd holds; returns when it is ready."""
        key = self.folder / "signing-key.pem"
        server = self.run(
            "kube-apiserver",
            programs()["kube-apiserver"],
            f"--etcd-servers={self.etcd_url}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self._ports['apiserver']}",
            f"--cert-dir={self.ca_file.parent}",
            "--authorization-mode=RBAC",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            f"--service-account-issuer={ISSUER}",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            # both wait for controllers that do not run here
            "--disable-admission-plugins=ServiceAccount,TaintNodesByCondition",
            "--endpoint-reconciler-type=none",
            "--delete-collection-workers=8",
            "--service-cluster-ip-range=10.96.0.0/16",
            *self._flags,
        )
        self.wait_ready(server, f"{self.url}/readyz")

    def stop_apiserver(self) -> None:
        """Ends the API server at once: every connection to it breaks, new ones are refused."""
        self._processes["kube-apiserver"].kill()

    def restart_apiserver(self) -> None:
        self.stop_apiserver()
        self.start_apiserver()

    def start_kwok(self) -> Process:
        """What kubelets would do: nodes become Ready, bound pods Running. No heartbeats, no leases.

        A bound pod that is deleted with grace stays Terminating until somebody deletes it without.
        """
        port = free_port()
        kwok = self.run(
            "kwok",
            programs()["kwok"],
            f"--kubeconfig={self.admin_kubeconfig}",
            f"--config={programs()['kwok-stages.yaml']}",
            "--manage-all-nodes=true",
            "--node-lease-duration-seconds=0",
            f"--server-address=127.0.0.1:{port}",
        )
        self.wait_ready(kwok, f"http://127.0.0.1:{port}/healthz")
        return kwok

    def start_kube_scheduler(self, config: Object | None = None, name: str = "kube-scheduler") -> Process:
        """kube-scheduler with a KubeSchedulerConfiguration (its parts; the default profile where None).

        Its client is not held back (5,000 requests/s instead of the default 50) and it elects no leader, unless
        ``config`` says otherwise.
        """
        whole = {
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "leaderElection": {"leaderElect": False},
            **(config or {}),
        }
        connection = {"kubeconfig": str(self.admin_kubeconfig), "qps": 5000, "burst": 5000}
        whole["clientConnection"] = {**connection, **whole.get("clientConnection", {})}
        file = self.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump(whole))
        return self._run_serving(name, "kube-scheduler", f"--config={file}")

    def start_controller_manager(self, controllers: Sequence[str] = CONTROLLERS) -> Process:
        """kube-controller-manager with these controllers: workloads make pods, claims are bound, leftovers collected.

        None of them looks at nodes, adds taints or makes service accounts, so pods and nodes stay as tests write them.
        It is healthy before its informers are filled: what it does comes a moment later, and tests wait for that.
        """
        return self._run_serving(
            "kube-controller-manager",
            "kube-controller-manager",
            f"--kubeconfig={self.admin_kubeconfig}",
            f"--service-account-private-key-file={self.folder / 'signing-key.pem'}",
            f"--root-ca-file={self.ca_file}",
            f"--controllers={','.join(controllers)}",
            "--leader-elect=false",
            "--pvclaimbinder-sync-period=2s",  # 15 s is what a bind that lost a race would wait
            "--kube-api-qps=1000",
            "--kube-api-burst=1000",
            # few workers: the schedulers under test share this machine
            *(f"--concurrent-{kind}-syncs=2" for kind in ("deployment", "replicaset", "statefulset", "job", "gc")),
            *(f"--concurrent-{kind}-syncs=2" for kind in ("ephemeralvolume", "namespace")),
        )

    def _run_serving(self, name: str, program: str, *argv: str) -> Process:
        """A part of Kubernetes with its own port, which it guards by asking the API server; returns when healthy."""
        port = free_port()
        flags = ["--bind-address=127.0.0.1", f"--secure-port={port}"]
        flags.append("--authentication-skip-lookup=true")  # this API server publishes no client CA
        lookups = [f"--{which}-kubeconfig={self.admin_kubeconfig}" for which in ("authentication", "authorization")]
        process = self.run(name, programs()[program], *argv, *flags, *lookups)
        self.wait_ready(process, f"https://127.0.0.1:{port}/healthz")
        return process

    def wait_ready(self, process: Process, url: str, timeout: float = PATIENCE) -> None:
        """Waits until ``url`` answers 200; fails with the end of the log when the process ends first."""
        # a health answer on loopback proves nothing that a certificate could add
        with httpx.Client(verify=False, trust_env=False, timeout=5) as client:

            def healthy() -> bool:
                assert process.alive, f"{process.name} ended with {process.returncode}:\n{process.output()[-3000:]}"
                try:
                    return client.get(url, headers={"Authorization": f"Bearer {self.admin_token}"}).status_code == 200
                except httpx.TransportError:
                    return False

            wait_until(healthy, f"{process.name} ready (its log: {process.log})", timeout)

    # --- credentials ----------------------------------------------------------------------------------------------

    def client(self, token: str) -> Api:
        return Api(self.url, token, self.ca_file)

    def kubeconfig(self, token: str = "", *, token_file: Path | None = None, url: str | None = None) -> Path:
        """A new kubeconfig with a token, or with a file that holds one; ``url`` where a proxy stands in front."""
        user = {"tokenFile": str(token_file)} if token_file else {"token": token}
        cluster = {"server": url or self.url, "certificate-authority": str(self.ca_file)}
        context = {"cluster": "loopback", "user": "user", "namespace": "default"}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "loopback", "cluster": cluster}],
            "users": [{"name": "user", "user": user}],
            "contexts": [{"name": "loopback", "context": context}],
            "current-context": "loopback",
        }
        file = self.folder / f"kubeconfig-{next(self._numbers)}.yaml"
        file.write_text(yaml.safe_dump(config))
        return file

    def service_account_token(
        self, name: str, namespace: str = "kube-system", *, seconds: int = 3600, secret: str | None = None
    ) -> str:
        """A token as ``kubectl create token`` would issue it; the server grants 600 s at least.

        Bound to ``secret`` (which must exist) it can be revoked: delete the secret, and within 10 s the server
        answers 401.
        """
        spec: Object = {"expirationSeconds": seconds, "audiences": [ISSUER]}
        if secret:
            spec["boundObjectRef"] = {"apiVersion": "v1", "kind": "Secret", "name": secret}
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        return str(self.api.post(path, {"spec": spec})["status"]["token"])

    # --- what a test does to it -------------------------------------------------------------------------------------

    def kubectl(self, *args: str | Path, stdin: str | None = None, kubeconfig: Path | None = None) -> str:
        """What kubectl printed. AssertionError with what it complained of where it failed."""
        argv = [str(programs()["kubectl"]), f"--kubeconfig={kubeconfig or self.admin_kubeconfig}", *map(str, args)]
        env = {"HOME": str(self.folder), "PATH": ""}
        ran = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=300, env=env, check=False)
        assert ran.returncode == 0, f"kubectl {' '.join(map(str, args))}: {ran.stderr}"
        return ran.stdout

    # --- faults ----------------------------------------------------------------------------------------------------

    def etcd(self, path: str, body: Mapping[str, Any]) -> Any:
        """One call to etcd's JSON gateway, such as ``/v3/kv/put``."""
        answer = httpx.post(self.etcd_url + path, content=json.dumps(body), trust_env=False, timeout=30, verify=PLAIN)
        answer.raise_for_status()
        return answer.json()

    def advance_revision(self) -> int:
        """Writes a key that no API object lives in: the newest revision is now past every version a client knows."""
        key = base64.b64encode(b"/not-in-the-registry").decode()
        return int(self.etcd("/v3/kv/put", {"key": key, "value": ""})["header"]["revision"])

    def compact_etcd(self) -> int:
        """Drops etcd's history up to now and returns the revision. The watch cache still answers from its own."""
        self.advance_revision()  # a watch from the last version begins one later, and that one must be gone too
        revision = self.advance_revision()
        self.etcd("/v3/kv/compaction", {"revision": str(revision), "physical": True})
        return revision

    def expire_watches(self) -> None:
        """Breaks every watch such that resuming it is answered 410 Gone: whoever watches must list again.

        The server is restarted over a compacted etcd: neither it nor its new, empty watch cache knows what came before.
        """
        self.stop_apiserver()
        self.compact_etcd()
        self.start_apiserver()


def service_account_kubeconfig(
    plane: ControlPlane, name: str, namespace: str = "kube-system", manifests: Sequence[Path] = ()
) -> Path:
    """A kubeconfig with a token of service account ``name`` and nothing more; ``manifests`` (RBAC) are applied first.

    A folder among the manifests is taken as a kustomization. The account is created where no manifest did.
    """
    for manifest in manifests:
        plane.kubectl("apply", "-k" if manifest.is_dir() else "-f", manifest)
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    if name not in plane.names(accounts):
        plane.api.post(accounts, {"metadata": {"name": name}})
    return plane.kubeconfig(plane.service_account_token(name, namespace))
