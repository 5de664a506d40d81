"""Simulated machines with known power curves, as node_exporter and Kepler, old and new, would show them.

Owns the names under which exporters tell of a machine, one HTTP server for any number of machines, and the same series
as text of a past period. Names and labels are those of the programs' code: node_exporter 1.5, ipmi_exporter 1.6, Kepler
0.9 (``*_joules_total`` in the parts dynamic and idle) and Kepler 0.10 and later. What a machine does is
``machines.py``'s.

    machine = Machine("worker-1", lambda u: 100 + 80 * u, staircase([0, 0.25, 0.5], each=5))
    with Exporter([machine]) as exporter, Prometheus(folder, exporter.targets(NODE_EXPORTER, KEPLER)) as prometheus:
        prometheus.query("kepler_platform_watts")
    open_metrics([machine], start=now - 86400, end=now, step=60)    # Prometheus(history=...)
"""

from __future__ import annotations

import functools
import itertools
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import numpy as np

from tests.e2e.support.machines import Floats, Machine
from tests.e2e.support.processes import free_port
from tests.e2e.support.prometheus import Target

NODE_EXPORTER = "node-exporter"
KEPLER_OLD = "kepler-old"  # 0.9 and before
KEPLER_BLIND = "kepler-blind"  # 0.7 without a sensor of the platform: that is its model's, and so is what RAPL lacks
KEPLER = "kepler"  # 0.10 and later
IPMI = "ipmi"

MEMORY_BYTES = 16 * 2**30
HISTORY_PART = 6 * 3600  # [s] of one OpenMetrics text


@dataclass(frozen=True, slots=True)
class Series:
    """One time series: its name, its labels and how its values come about."""

    name: str
    labels: Mapping[str, str]
    values: Callable[[Floats], Floats]  # (T,) [s since the epoch] -> (T,)

    @property
    def head(self) -> str:
        labels = ",".join(f'{key}="{value}"' for key, value in self.labels.items())
        return f"{self.name}{{{labels}}}" if labels else self.name


def node_exporter_series(machine: Machine) -> Iterator[Series]:
    """CPU time by CPU and mode, all CPUs alike; memory; the machine's name for itself."""
    busy = machine.load.levels
    nothing = np.zeros_like(busy)
    modes = {"idle": 1.0 - busy, "iowait": nothing, "nice": nothing, "system": 0.2 * busy, "user": 0.8 * busy}
    for cpu in range(machine.cpus):
        for mode, share in modes.items():
            yield counter(machine, "node_cpu_seconds_total", {"cpu": str(cpu), "mode": mode}, share)
    yield constant("node_memory_MemTotal_bytes", {}, MEMORY_BYTES)
    yield constant("node_memory_MemAvailable_bytes", {}, MEMORY_BYTES * (1.0 - machine.memory))
    yield constant("node_uname_info", {"nodename": machine.name, "sysname": "Linux"}, 1.0)


def kepler_old_series(machine: Machine) -> Iterator[Series]:
    """Joules in the parts dynamic and idle, by socket where a zone has any. Watts are what their rates add up to."""
    yield constant("kepler_exporter_build_info", {"goversion": "go1.21"}, 1.0)
    for zone in ("package", "core", "uncore", "dram", "platform"):
        per_socket = zone != "platform"
        for socket in range(machine.sockets if per_socket else 1):
            share = machine.shares.get(zone)
            if share is None:
                continue
            idle = np.full(machine.watts.size, machine.idle_watts)
            for mode, watts in (("dynamic", machine.watts - idle), ("idle", idle)):
                labels = {"package": str(socket)} if per_socket else {}
                labels |= {"instance": machine.name, "mode": mode, "source": "rapl-sysfs" if per_socket else "acpi"}
                part = share * watts / (machine.sockets if per_socket else 1)
                yield counter(machine, f"kepler_node_{zone}_joules_total", labels, part)


def ipmi_series(machine: Machine) -> Iterator[Series]:
    """What the BMC says of the whole machine."""
    yield gauge(machine, "ipmi_dcmi_power_consumption_watts", {}, machine.watts)


def estimated_watts(machine: Machine) -> Floats:
    """(L,) what Kepler's own model makes of CPU use, whatever machine it is: 30 to 55 W."""
    watts: Floats = 30.0 + 25.0 * machine.load.levels
    return watts


def kepler_blind_series(machine: Machine) -> Iterator[Series]:
    """The platform by Kepler's model; the packages by RAPL where the machine has shares of them, else by the model."""
    measured = "package" in machine.shares
    told = {"components_power_source": "rapl-sysfs" if measured else "estimator", "platform_power_source": "none"}
    yield constant("kepler_node_info", {"cpu_architecture": "Skylake", "source": "os", **told}, 1.0)
    parts = {"platform": (estimated_watts(machine), "trained_power_model")}
    if measured:
        parts["package"] = (machine.shares["package"] * machine.watts, "rapl-sysfs")
    else:
        parts["package"] = (0.4 * estimated_watts(machine), "trained_power_model")
    for part, (watts, source) in parts.items():
        idle = np.full(watts.size, 0.8 * float(watts.min()))
        for mode, these in (("dynamic", watts - idle), ("idle", idle)):
            labels = {"instance": machine.name, "mode": mode, "source": source, "package": "0"}
            yield counter(machine, f"kepler_node_{part}_joules_total", labels, these)


def kepler_series(machine: Machine) -> Iterator[Series]:
    """Use as a ratio, watts and joules by zone (which overlap) and path, and the platform's watts from Redfish."""
    node = {"node_name": machine.name}
    yield gauge(machine, "kepler_node_cpu_usage_ratio", node, machine.load.levels)
    yield constant("kepler_node_cpu_info", {"model_name": "Simulated", **node}, 1.0)
    for zone in ("psys", "package", "core", "uncore", "dram"):
        if zone not in machine.shares:
            continue
        sockets = 1 if zone == "psys" else machine.sockets
        for socket in range(sockets):
            labels = {"zone": zone, "path": f"/sys/class/powercap/intel-rapl:{socket}/{zone}", **node}
            part = machine.shares[zone] * machine.watts / sockets
            idle = np.full(part.size, machine.shares[zone] * machine.idle_watts / sockets)
            for state, watts in (("", part), ("active_", part - idle), ("idle_", idle)):
                yield gauge(machine, f"kepler_node_cpu_{state}watts", labels, watts)
                yield counter(machine, f"kepler_node_cpu_{state}joules_total", labels, watts)
    if "platform" in machine.shares:
        labels = {"source": "redfish", **node, "bmc_id": "bmc-1", "chassis_id": "1", "source_id": "PSU1"}
        labels |= {"source_name": "Power Supply 1", "source_type": "PowerSupply"}
        yield gauge(machine, "kepler_platform_watts", labels, machine.shares["platform"] * machine.watts)


KINDS: Mapping[str, Callable[[Machine], Iterable[Series]]] = {
    NODE_EXPORTER: node_exporter_series,
    KEPLER_OLD: kepler_old_series,
    KEPLER_BLIND: kepler_blind_series,
    IPMI: ipmi_series,
    KEPLER: kepler_series,
}


def counter(machine: Machine, name: str, labels: Mapping[str, str], rate: Floats) -> Series:
    """A counter that grows by ``rate`` (L,) [1/s]."""
    return Series(name, labels, functools.partial(machine.since_origin, rate))


def gauge(machine: Machine, name: str, labels: Mapping[str, str], values: Floats) -> Series:
    return Series(name, labels, functools.partial(machine.at, values))


def constant(name: str, labels: Mapping[str, str], value: float) -> Series:
    return Series(name, labels, lambda times: np.full(times.size, float(value)))


def _name(series: Series) -> str:
    return series.name


def _type_of(name: str) -> str:
    return "counter" if name.endswith("_total") else "gauge"


def exposition(series: Iterable[Series], now: float) -> str:
    """What an exporter answers at ``now`` [s since the epoch]: Prometheus' text format 0.0.4."""
    lines = []
    for name, same in itertools.groupby(sorted(series, key=_name), _name):
        lines.append(f"# TYPE {name} {_type_of(name)}")
        lines += [f"{each.head} {each.values(np.array([now]))[0]:.15g}" for each in same]
    return "\n".join(lines) + "\n"


def open_metrics(
    machines: Sequence[Machine],
    *,
    start: float,
    end: float,
    step: float,
    kinds: Sequence[str] = (NODE_EXPORTER, KEPLER),
    only: Collection[str] = (),
    instance: str = "{name}",
) -> list[str]:
    """The machines' series from ``start`` to ``end`` [s since the epoch] every ``step`` seconds, as OpenMetrics texts.

    One text for every six hours (UTC), in the order of time. The series carry the labels that a scrape would give them:
    ``job``, ``instance``, and ``exported_instance`` for an instance that the exporter itself names. ``instance`` as in
    ``Exporter.targets``; ``only`` these metrics, all where none are named.
    """
    series = [
        each
        for number, machine in enumerate(machines)
        for kind in kinds
        for each in _scraped(machine, kind, instance.format(name=machine.name, number=number))
        if not only or each.name in only
    ]
    times = np.arange(start, end, step)
    parts = np.split(times, np.flatnonzero(np.diff(times // HISTORY_PART)) + 1)
    return [_open_metrics_text(series, part) for part in parts]


def _scraped(machine: Machine, kind: str, instance: str) -> Iterator[Series]:
    """A machine's series with the labels that Prometheus adds."""
    for each in KINDS[kind](machine):
        own = {"exported_instance" if key == "instance" else key: value for key, value in each.labels.items()}
        yield Series(each.name, {"job": kind, "instance": instance, **own}, each.values)


def _open_metrics_text(series: Iterable[Series], times: Floats) -> str:
    stamps = [f"{stamp:.3f}" for stamp in times]
    lines = []
    for name, same in itertools.groupby(sorted(series, key=_name), _name):
        lines.append(f"# TYPE {name.removesuffix('_total')} {_type_of(name)}")
        for each in same:
            head, values = each.head, each.values(times)
            lines += [f"{head} {value:.15g} {stamp}" for value, stamp in zip(values, stamps, strict=True)]
    return "\n".join([*lines, "# EOF", ""])


class Exporter:
    """Serves machines on loopback, each under a path of its own. A context manager.

    Attributes:
        port: on 127.0.0.1.
        machines: what is told of, read at every request: a test may exchange one.
        offline: names whose exporters do not answer now (503).
    """

    def __init__(self, machines: Sequence[Machine]) -> None:
        self.port = free_port()
        self.machines = {machine.name: machine for machine in machines}
        self.offline: set[str] = set()
        self._server = _Server(("127.0.0.1", self.port), self._handler())

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def targets(self, *kinds: str, instance: str = "{name}") -> list[Target]:
        """One target for every machine and kind of exporter; the job is the kind.

        ``instance`` is the label as a cluster would have it; ``{name}`` and ``{number}`` are filled in:
        ``"10.0.0.{number}:9100"``.
        """
        return [
            Target(
                job=kind,
                address=f"127.0.0.1:{self.port}",
                path=f"/{name}/{kind}",
                labels={"instance": instance.format(name=name, number=number)},
            )
            for number, name in enumerate(self.machines)
            for kind in kinds
        ]

    def answer(self, path: str) -> tuple[int, str]:
        """Status and text for ``/MACHINE/KIND``."""
        name, _, kind = path.strip("/").partition("/")
        if name not in self.machines or kind not in KINDS:
            return 404, f"no {path} here\n"
        if name in self.offline:
            return 503, "out of order\n"
        return 200, exposition(KINDS[kind](self.machines[name]), time.time())

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        exporter = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, text = exporter.answer(self.path)
                body = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args: object) -> None:
                """Nothing: a line a scrape would drown what the test says."""

        return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""
