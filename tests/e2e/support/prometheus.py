"""A real Prometheus on loopback: scrapes what a test names, or holds days of history from the start.

Owns the process, its port and its data folder. Assumes the programs that ``make monitoring`` brought. Queries here are
the test's own look at it, in PromQL; what goes wrong on the way to it is ``reverse_proxy.py``'s. The first scrape comes
about 6 s after the start (targets are discovered every 5 s), and a rate is right when its whole window was scraped.

    with Prometheus(folder, targets) as prometheus:
        prometheus.wait_until("up == 1", series=len(targets))
        prometheus.query("kepler_platform_watts")
    with Prometheus(folder, history=open_metrics([machine], start=..., end=..., step=60)) as prometheus: ...
"""

from __future__ import annotations

import json
import ssl
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

import httpx
import yaml

from tests.e2e.support.api import PLAIN
from tests.e2e.support.monitoring import Certificate, programs
from tests.e2e.support.processes import PATIENCE, Process, free_port, wait_until

READER = ("reader", "steady-hand")
"""User and password for basic authentication."""
_READER_BCRYPT = "$2b$04$peaksSchedulerTests..ORXbxNnWVASyHMLPJev1vjiF8g49adqa"  # of that password, at the least cost
IMPORT_LIMIT = 300  # [s]


@dataclass(frozen=True, slots=True)
class Target:
    """What is scraped. ``labels`` may name ``instance``, which is the address otherwise."""

    job: str
    address: str  # host:port
    path: str = "/metrics"
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Sample:
    """One series of an instant query's answer."""

    labels: Mapping[str, str]
    value: float


def write_history(texts: Sequence[str], folder: Path) -> Path:
    """A data folder for Prometheus made of OpenMetrics texts whose samples carry their times.

    promtool reads a text once for every two hours in it: days go in faster as several texts (``open_metrics``).

    Raises:
        AssertionError: promtool does not take a text; with what it said.
    """
    folder.mkdir(parents=True, exist_ok=True)
    source, data = folder / "history.txt", folder / "data"
    for text in texts:
        source.write_text(text)
        argv = [str(programs()["promtool"]), "tsdb", "create-blocks-from", "openmetrics", "--quiet"]
        argv += [str(source), str(data)]
        ran = subprocess.run(argv, capture_output=True, text=True, timeout=IMPORT_LIMIT, check=False)
        assert ran.returncode == 0, f"promtool: {ran.stderr[-2000:]}"
    source.unlink(missing_ok=True)
    return data


class Prometheus:
    """One server. A context manager; its port and its data stay the same over ``stop`` and ``start``.

    Attributes:
        url: to be asked at; https with a ``certificate``.
        process: while it runs, to pause it, say.
    """

    def __init__(
        self,
        folder: Path,
        targets: Sequence[Target] = (),
        *,
        interval: float = 1.0,
        rules: Mapping[str, str] | None = None,
        history: Sequence[str] = (),
        basic_auth: bool = False,
        certificate: Certificate | None = None,
        ca_file: Path | None = None,
        flags: Sequence[str] = (),
    ) -> None:
        """Prepares it; entering starts it.

        Args:
            interval: between two scrapes and between two evaluations of the rules [s].
            rules: recording rules, the expression by the name of the new series.
            history: OpenMetrics texts with timestamps, there from the start.
            basic_auth: only READER gets an answer.
            certificate: serve TLS with it; ``ca_file`` is what the queries here then trust.
        """
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._port = free_port()
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self._port}"
        self._flags = list(flags)
        self._targets = len(targets)
        self._configure(targets, interval, rules or {})
        self._guard(basic_auth, certificate)
        if history:
            write_history(history, folder)
        self._client = httpx.Client(
            base_url=self.url,
            auth=READER if basic_auth else None,
            verify=ssl.create_default_context(cafile=str(ca_file)) if ca_file else PLAIN,
            trust_env=False,
            timeout=30,
        )
        self.process: Process | None = None

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
        self._client.close()

    def start(self) -> Self:
        """Starts the server and waits until it answers queries."""
        argv = [
            str(programs()["prometheus"]),
            f"--config.file={self.folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            "--storage.tsdb.retention.time=10y",  # however old the history of a test is
            f"--web.listen-address=127.0.0.1:{self._port}",
            "--log.level=warn",
            *self._flags,
        ]
        self.process = Process("prometheus", argv, self.folder / "prometheus.log")
        wait_until(self._ready, f"Prometheus ready (its log: {self.process.log})", PATIENCE)
        return self

    def stop(self) -> None:
        """Ends it as a crash would: connections are refused from now on. ``start`` brings it back."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()

    def _ready(self) -> bool:
        assert self.process is not None
        assert self.process.alive, f"Prometheus ended:\n{self.process.output()[-3000:]}"
        try:
            return self._client.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    # --- questions ------------------------------------------------------------------------------------------------

    def query(self, expression: str, at: float | None = None) -> list[Sample]:
        """An instant query's answer, at ``at`` [s since the epoch] or now.

        Raises:
            AssertionError: Prometheus refused it; with its reason.
        """
        data = self._ask("/api/v1/query", {"query": expression, **({} if at is None else {"time": f"{at:.3f}"})})
        return [Sample(each["metric"], float(each["value"][1])) for each in data["result"]]

    def value(self, expression: str, at: float | None = None) -> float:
        """The value of a query that gives one series."""
        (only,) = self.query(expression, at)
        return only.value

    def query_range(self, expression: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """A range query's series as Prometheus writes them: ``{"metric": labels, "values": [[t, "v"], ...]}``."""
        times = {"start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:g}"}
        return list(self._ask("/api/v1/query_range", {"query": expression, **times})["result"])

    def wait_until(self, expression: str, *, series: int = 1, timeout: float = PATIENCE) -> list[Sample]:
        """The query's answer as soon as it has at least that many series."""

        def enough() -> list[Sample]:
            found = self.query(expression)
            return found if len(found) >= series else []

        return wait_until(enough, f"{series} series of {expression}", timeout, every=0.2)

    def wait_scraped(self, times: int = 2, timeout: float = PATIENCE) -> None:
        """Until every target was scraped that often more, and answered: a rate needs two."""
        begun = time.time()

        def enough() -> bool:
            since = max(1, int(time.time() - begun))
            # a target that was not scraped yet has no series
            return len(self.query(f"sum_over_time(up[{since}s]) >= {times}")) >= self._targets

        wait_until(enough, f"{times} scrapes of every target", timeout, every=0.2)

    def _ask(self, path: str, parameters: Mapping[str, str]) -> dict[str, Any]:
        answer = self._client.post(path, data=dict(parameters))
        assert answer.status_code == 200, f"{parameters['query']}: {answer.status_code} {answer.text}"
        data: dict[str, Any] = answer.json()["data"]
        return data

    # --- files ----------------------------------------------------------------------------------------------------

    def _configure(self, targets: Sequence[Target], interval: float, rules: Mapping[str, str]) -> None:
        every = f"{interval * 1000:.0f}ms"
        jobs: dict[str, list[dict[str, Any]]] = {}
        for target in targets:
            labels = {"__metrics_path__": target.path, **target.labels}
            jobs.setdefault(target.job, []).append({"targets": [target.address], "labels": labels})
        configuration = {
            "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
            "rule_files": ["rules.yaml"],
            "scrape_configs": [{"job_name": job, "static_configs": groups} for job, groups in jobs.items()],
        }
        group = {"name": "recorded", "rules": [{"record": name, "expr": rule} for name, rule in rules.items()]}
        (self.folder / "prometheus.yaml").write_text(yaml.safe_dump(configuration))
        (self.folder / "rules.yaml").write_text(yaml.safe_dump({"groups": [group] if rules else []}))

    def _guard(self, basic_auth: bool, certificate: Certificate | None) -> None:
        web: dict[str, Any] = {}
        if basic_auth:
            web["basic_auth_users"] = {READER[0]: _READER_BCRYPT}
        if certificate:
            files = {"cert_file": str(certificate.certificate), "key_file": str(certificate.key)}
            web["tls_server_config"] = files
        if web:
            file = self.folder / "web.json"  # YAML too
            file.write_text(json.dumps(web))
            self._flags.append(f"--web.config.file={file}")


class NodeExporter:
    """The real node_exporter on loopback, which tells of this machine. A context manager."""

    def __init__(self, folder: Path) -> None:
        self._address = f"127.0.0.1:{free_port()}"
        self._folder = folder
        self.target = Target("node-exporter", self._address)

    def __enter__(self) -> Self:
        argv = [str(programs()["prometheus-node-exporter"]), f"--web.listen-address={self._address}"]
        self._process = Process("node-exporter", argv, self._folder / "node-exporter.log")
        wait_until(self._answers, f"node_exporter ready (its log: {self._process.log})", PATIENCE)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()

    def text(self) -> str:
        """What it answers now."""
        answer = httpx.get(f"http://{self._address}/metrics", trust_env=False, timeout=30, verify=PLAIN)
        return answer.raise_for_status().text

    def _answers(self) -> bool:
        assert self._process.alive, f"node_exporter ended:\n{self._process.output()[-3000:]}"
        try:
            return bool(self.text())
        except httpx.TransportError:
            return False
