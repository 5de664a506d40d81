"""The scheduler under test as a process of its own, and what it says of itself: health, telemetry, log.

Owns the start (a configuration file, ``run --config``), the port that it chose, and its end. It gets the rights of the
manifests' service account and nothing more. Assumes the control plane of ``controlplane.py``, or any API server that a
kubeconfig names. Never looks inside the process: what a test sees here is what an operator sees.

    with LoadEndpoint() as load, beside(plane, load.url) as daemon:
        plane.create_pods([pod("web-0", cpu="500m")])
        daemon.wait_for("bound", pod="default/web-0")
"""

from __future__ import annotations

import base64
import functools
import itertools
import json
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.support.api import PLAIN, ApiError, Object
from tests.e2e.support.controlplane import ControlPlane, service_account_kubeconfig
from tests.e2e.support.processes import PATIENCE, Process, wait_until
from tests.e2e.support.rights import service_account, wait_allowed

MANIFESTS = Path(__file__).resolve().parents[3] / "manifests"
ACCOUNT = "peaks-scheduler"
USER = service_account(ACCOUNT)
LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/peaks-scheduler-peaks"
NOBODY = "http://127.0.0.1:9"
"""A load source that nobody serves: every node is estimated."""

ANEW = 15.0  # [s] a page may be reused for ten times the time that computing it took

_numbers = itertools.count(1)


class Daemon:
    """One process of the scheduler. A context manager that starts it, waits until it is ready, and ends it by SIGTERM.

    Attributes:
        url: where it serves its health and telemetry, once it is up.
    """

    program: Sequence[str] = (sys.executable, "-m", "peaks_scheduler")

    def __init__(
        self,
        folder: Path,
        kubeconfig: Path,
        *,
        load: str = NOBODY,
        models: Sequence[Object] = (),
        settings: Mapping[str, Any] | None = None,
        options: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        """``models`` is the list of a power model file; ``settings`` go over those of every test, key by key."""
        self.name = f"scheduler-{next(_numbers)}"
        self._folder, self._options, self._env = folder, list(options), dict(env or {})
        self._models = folder / f"{self.name}-models.yaml"
        self.write_models(models)
        whole: dict[str, Any] = {
            "kubeconfig": str(kubeconfig),
            "listen": "127.0.0.1:0",
            "powerModels": str(self._models),
            "load": {"address": load, "interval": "500ms", "timeout": "2s"},
        }
        for key, value in (settings or {}).items():
            whole[key] = {**whole[key], **value} if isinstance(whole.get(key), dict) else value
        self._config = folder / f"{self.name}.yaml"
        self._config.write_text(yaml.safe_dump(whole))
        self._process: Process | None = None
        self._starts = 0
        self.url = ""

    def __enter__(self) -> Self:
        try:
            self.start()
            self.wait_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.resume()
        self.stop()

    def write_models(self, models: Sequence[Object]) -> None:
        """Its power model file, now with this list."""
        whole = self._models.with_suffix(".new")
        whole.write_text(yaml.safe_dump({"models": list(models)}))
        whole.replace(self._models)

    # --- life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """A new process with the same configuration, its log in a file of its own."""
        self._starts += 1
        argv = [*self.program, "run", "--config", str(self._config), *self._options]
        surroundings = {"HOME": str(self._folder), "KUBECONFIG": "", "NODE_POWER_MODEL": "", **self._env}
        self._process = Process(self.name, argv, self._folder / f"{self.name}-{self._starts}.log", surroundings)
        self.url = ""

    def wait_ready(self, timeout: float = PATIENCE) -> None:
        """Until /readyz answers 200: the first lists are in and the load source was asked once."""
        wait_until(self.ready, f"{self.name} ready", timeout)

    def ready(self) -> bool:
        """Does /readyz answer 200? Fails with the last words of a process that has ended."""
        assert self.alive, f"{self.name} ended with {self.returncode}:\n{self.output()[-3000:]}"
        self._find_port()
        return bool(self.url) and self.get("/readyz").status_code == 200

    def wait_leading(self, timeout: float = PATIENCE) -> None:
        wait_until(lambda: self.metric("peaks_leader") == 1, f"{self.name} leading", timeout)

    def _find_port(self) -> None:
        if not self.url:
            for line in self.lines("serving"):
                self.url = f"http://{line['address'].rpartition(':')[0]}:{line['port']}"

    @property
    def process(self) -> Process:
        assert self._process is not None, "not started"
        return self._process

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.alive

    @property
    def returncode(self) -> int | None:
        return self.process.returncode

    def stop(self, timeout: float = PATIENCE) -> int:
        """SIGTERM; the exit code."""
        return self.process.stop(timeout)

    def kill(self) -> int:
        """SIGKILL, as a crash would be."""
        return self.process.kill()

    def freeze(self) -> None:
        """The process stands still, as on a machine that is paused or out of memory."""
        self.process.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.signal(signal.SIGCONT)

    # --- what it says of itself -------------------------------------------------------------------------------------

    def get(self, path: str) -> httpx.Response:
        """Any of its pages; status 0 where it does not answer."""
        try:
            return httpx.get(self.url + path, timeout=10, trust_env=False, verify=PLAIN)
        except httpx.TransportError:
            return httpx.Response(0)

    def _get_anew(self, path: str) -> httpx.Response:
        """The page of a computation that began after the call, which another ETag than the first one shows."""
        shown = first = self.get(path)
        end = time.monotonic() + ANEW
        while shown.status_code and time.monotonic() < end:
            if shown.headers.get("ETag") not in (None, first.headers.get("ETag")):
                return shown
            time.sleep(0.03)
            shown = self.get(path)
        return shown

    def metric(self, name: str, **labels: str) -> float:
        """Sum of the samples of a series that have these labels; 0 where there is none."""
        lines = self._get_anew("/metrics").text.splitlines(keepends=True)
        # to read the whole page costs ten times as much
        families = text_string_to_metric_families("".join(line for line in lines if line.startswith(name)))
        samples = (sample for family in families for sample in family.samples if sample.name == name)
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())

    def scheduled(self) -> int:
        """Pods that this process has bound since it started."""
        return int(self.metric("scheduler_schedule_attempts_total", result="scheduled"))

    def health(self, check: str) -> str:
        """The line of one check of ``/readyz?verbose``."""
        lines = self._get_anew("/readyz?verbose").text.splitlines()
        return next((line for line in lines if line.split("]", 1)[-1].startswith(check)), "")

    def output(self) -> str:
        return self.process.output()

    def lines(self, message: str | None = None, **fields: object) -> list[dict[str, Any]]:
        """Its log lines, oldest first: those with this message and these fields."""
        whole = (json.loads(line) for line in self.output().splitlines() if line.endswith("}") and line[0] == "{")
        return [
            line
            for line in whole
            if message in (None, line["message"]) and all(line.get(key) == value for key, value in fields.items())
        ]

    def wait_for(self, message: str, timeout: float = PATIENCE, **fields: object) -> dict[str, Any]:
        """The first log line with this message and these fields, once it is there."""
        return wait_until(lambda: self.lines(message, **fields), f"{self.name}: {message} {fields}", timeout)[0]


# --- on a control plane -----------------------------------------------------------------------------------------------


@functools.cache
def _apply_manifests(plane: ControlPlane) -> None:
    service_account_kubeconfig(plane, ACCOUNT, manifests=[MANIFESTS])
    wait_allowed(plane.api, USER, "create", "pods/binding")
    wait_allowed(plane.api, USER, "create", "leases", group="coordination.k8s.io", namespace="kube-system")


def credentials(plane: ControlPlane, url: str | None = None) -> Path:
    """A kubeconfig with a token of the manifests' service account; ``url`` where a proxy stands in front."""
    _apply_manifests(plane)
    return plane.kubeconfig(plane.service_account_token(ACCOUNT), url=url)


def beside(plane: ControlPlane, load: str = NOBODY, *, url: str | None = None, **more: Any) -> Daemon:
    """A daemon for this control plane, with the rights that the manifests give and no others."""
    return Daemon(plane.folder, credentials(plane, url), load=load, **more)


def clear(plane: ControlPlane) -> None:
    """No pods, nodes, events, and no Lease that a process of an earlier test still holds."""
    first, end = (base64.b64encode(key).decode() for key in (b"/registry/events/", b"/registry/events0"))
    plane.etcd("/v3/kv/deleterange", {"key": first, "range_end": end})  # thousands at once: nobody watches events
    plane.reset()
    plane.api.bulk("DELETE", [(LEASE, None)], missing_ok=True)


def hold_lease(plane: ControlPlane, holder: str, seconds: int = 600) -> None:
    """Takes the Lease, or gives it back (holder ""), whoever has it."""
    while True:
        lease = plane.api.get(LEASE)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        lease["spec"] |= {"holderIdentity": holder, "leaseDurationSeconds": seconds, "renewTime": now}
        try:
            plane.api.put(LEASE, lease)
        except ApiError as error:
            if error.code != 409:  # renewed in the same moment: look again
                raise
        else:
            return
