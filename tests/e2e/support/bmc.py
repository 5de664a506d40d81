"""Simulated BMCs of some nodes, each behind a real ipmi_exporter on the node's own loopback address.

Owns the processes, their ports and their sensor records. The chain is the real one: OpenIPMI's ``ipmi_sim`` answers
IPMI over UDP, FreeIPMI's ``ipmi-sensors`` asks it, Debian's ``prometheus-ipmi-exporter`` serves ``/metrics``. A scrape
there is of the exporter's own machine; that its BMC is reached over the network is said by the exporter's
configuration. Readings have half a degree, as the record says (M 5, exponent -1). Assumes that the whole of
127.0.0.0/8 is loopback, and that one scrape follows another: FreeIPMI's cache of sensor records is a file that two of
them would share, and ipmi_sim stops answering when sessions are broken off.

    with Room(folder, {"worker-0": "127.0.0.2"}, port) as room:
        room.set("worker-0", inlet=31.5)
        room.take_away("worker-0", "cpu1")
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import yaml

from tests.e2e.support.api import PLAIN
from tests.e2e.support.inference import programs, with_libraries
from tests.e2e.support.processes import PATIENCE, Process, free_port, wait_until
from tests.e2e.support.prometheus import Target

USER, PASSWORD = "reader", "reads-only"
BMC_ADDRESS = 0x20
FULL_RECORD, DEGREES_C, TEMPERATURE, THRESHOLD = 0x01, 0x01, 0x01, 0x01  # as IPMI numbers them
SENSORS = {"inlet": (1, "Inlet Temp", 0x37), "cpu1": (2, "CPU1 Temp", 0x03), "cpu2": (3, "CPU2 Temp", 0x03)}
"""Signal -> number, name and entity of its sensor (0x37: air inlet, 0x03: processor)."""
POLL = 100  # [ms] between two looks at the file of a reading
_NO_EVENTS = " ".join(["0" * 15] * 4)


def _record(number: int, name: str, entity: int) -> str:
    """A full sensor record (IPMI 2.0, table 43-1) as bytes for ``main_sdr_add``."""
    key = [BMC_ADDRESS, 0, number]
    body = [entity, 1, 0x7F, 0x68, TEMPERATURE, THRESHOLD, *[0] * 6]
    units = [0x00, DEGREES_C, 0x00, 0x00]
    factors = [0x05, 0x00, 0x00, 0x00, 0x00, 0xF0]  # M 5, B 0, exponent of the result -1
    limits = [0x00, 0, 0, 0, 0xFF, 0x00, *[0] * 11]  # largest and least raw reading; no thresholds
    rest = [*key, *body, *units, *factors, *limits, 0xC0 | len(name), *name.encode("ascii")]
    return " ".join(f"0x{each:02x}" for each in (number, 0, 0x51, FULL_RECORD, len(rest), *rest))


class Bmc:
    """One simulated BMC. A context manager that starts it and ends it."""

    def __init__(self, folder: Path, host: str) -> None:
        """``host``: a loopback address other than 127.0.0.1, where ``free_port`` itself holds UDP's port."""
        folder.mkdir(parents=True)
        self._folder, self._host, self._port, self._console = folder, host, free_port(), free_port()
        self.address = f"{host}:{self._port}"
        (folder / "state").mkdir()
        self.set(**dict.fromkeys(SENSORS, 25.0))
        (folder / "lan.conf").write_text(self._lan())
        (folder / "bmc.emu").write_text(self._commands())

    def __enter__(self) -> Self:
        argv = [str(programs()["ipmi_sim"]), "-c", "lan.conf", "-f", "bmc.emu", "-s", "state", "-n"]
        self.process = Process("ipmi_sim", argv, self._folder / "ipmi_sim.log", with_libraries())
        try:
            wait_until(self._listens, f"a BMC (its log: {self.process.log})", PATIENCE)
        except BaseException:
            self.process.kill()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.process.kill()

    def set(self, **celsius: float) -> None:
        """What its sensors measure from now on, to half a degree."""
        for signal, value in celsius.items():
            file = self._reading(signal)
            whole = file.with_suffix(".new")
            whole.write_text(f"{round(2.0 * value)}\n")
            whole.replace(file)

    def take_away(self, signal: str) -> None:
        """The sensor is not scanned any more: it has no reading."""
        self._tell(f"sensor_set_event_support 0x20 0 {SENSORS[signal][0]} enable no-scanning per-state {_NO_EVENTS}")

    def bring_back(self, signal: str) -> None:
        self._tell(f"sensor_set_event_support 0x20 0 {SENSORS[signal][0]} enable scanning per-state {_NO_EVENTS}")

    def _tell(self, command: str) -> None:
        """A command at the simulator's console; AssertionError where it takes it for none."""
        with socket.create_connection(("127.0.0.1", self._console), timeout=PATIENCE) as console:
            console.sendall(command.encode() + b"\r\n")
            said, end = b"", time.monotonic() + PATIENCE
            while said.count(b"> ") < 2 and time.monotonic() < end:  # one prompt before it, one after
                said += console.recv(4096)
        assert b"**" not in said, said

    def _listens(self) -> bool:
        """Looks at the kernel's list: the console of ipmi_sim does not survive a connection that is closed at once."""
        assert self.process.alive, f"ipmi_sim ended:\n{self.process.output()[-3000:]}"
        return f":{self._port:04X} " in Path("/proc/net/udp").read_text()

    def _reading(self, signal: str) -> Path:
        return self._folder / f"{signal}.reading"

    def _lan(self) -> str:
        return f"""name "bmc"
set_working_mc 0x20
startlan 1
  addr {self._host} {self._port}
  priv_limit admin
  allowed_auths_user none md5
  allowed_auths_admin none md5
  guid a123456789abcdefa123456789abcdef
endlan
user 2 true "{USER}" "{PASSWORD}" admin 60 none md5
console 127.0.0.1 {self._console}
"""

    def _commands(self) -> str:
        lines = [
            "mc_setbmc 0x20",
            "mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02",
            "sel_enable 0x20 100 0x0a",
        ]
        lines.append("sensor_add 0x20 0 0 35 0x6f event-only")  # the watchdog, which has to be sensor 0
        for signal, (number, name, entity) in SENSORS.items():
            poll = f'poll {POLL} file "{self._reading(signal)}"'
            lines.append(f"sensor_add 0x20 0 {number} 0x01 0x01 {poll}")
            lines.append(f"sensor_set_event_support 0x20 0 {number} enable scanning per-state {_NO_EVENTS}")
            lines.append(f"main_sdr_add 0x20 {_record(number, name, entity)}")
        return "\n".join([*lines, "mc_enable 0x20", ""])


class IpmiExporter:
    """Debian's ipmi_exporter at one address, which asks one BMC. A context manager."""

    def __init__(self, folder: Path, bmc: Bmc, address: str) -> None:
        self._folder, self.address = folder, address
        self.url = f"http://{address}/metrics"
        configuration = {"modules": {"default": self._module(bmc, folder)}}
        (folder / "exporter.yaml").write_text(yaml.safe_dump(configuration))

    @staticmethod
    def _module(bmc: Bmc, folder: Path) -> dict[str, Any]:
        return {
            "user": USER,
            "pass": PASSWORD,
            "driver": "LAN_2_0",
            "privilege": "user",
            "workaround_flags": ["opensesspriv"],  # ipmi_sim refuses the privilege in the first message of a session
            "collectors": ["ipmi"],
            "collector_cmd": {"ipmi": "ipmi-sensors"},  # ipmimonitoring is a script around it with a fixed path
            "custom_args": {"ipmi": ["-h", bmc.address, f"--sdr-cache-directory={folder}"]},
        }

    def __enter__(self) -> Self:
        found = programs()
        argv = [str(found["prometheus-ipmi-exporter"]), "--config.file=exporter.yaml"]
        argv += [f"--web.listen-address={self.address}", f"--freeipmi.path={found['ipmi-sensors'].parent}"]
        self.process = Process("ipmi_exporter", argv, self._folder / "exporter.log", with_libraries())
        try:
            wait_until(self._answers, f"ipmi_exporter with temperatures (its log: {self.process.log})", PATIENCE)
        except BaseException:
            self.process.kill()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.process.kill()

    def text(self) -> str:
        """What it answers now."""
        return httpx.get(self.url, trust_env=False, timeout=30, verify=PLAIN).raise_for_status().text

    def _answers(self) -> bool:
        assert self.process.alive, f"ipmi_exporter ended:\n{self.process.output()[-3000:]}"
        try:
            return "ipmi_temperature_celsius{" in self.text()
        except httpx.TransportError:
            return False


class Room:
    """BMC and exporter of each node. A context manager."""

    def __init__(self, folder: Path, addresses: Mapping[str, str], port: int) -> None:
        """``addresses``: of the nodes, each a loopback address of its own; the exporters listen there at ``port``."""
        self._bmcs = {name: Bmc(folder / name, address) for name, address in addresses.items()}
        self.exporters = {
            name: IpmiExporter(folder / name, self._bmcs[name], f"{address}:{port}")
            for name, address in addresses.items()
        }

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for bmc in self._bmcs.values():
                stack.enter_context(bmc)
            for exporter in self.exporters.values():
                stack.enter_context(exporter)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def set(self, node: str, **celsius: float) -> None:
        """What a node's sensors measure from now on."""
        self._bmcs[node].set(**celsius)

    def take_away(self, node: str, signal: str) -> None:
        self._bmcs[node].take_away(signal)

    def bring_back(self, node: str, signal: str) -> None:
        self._bmcs[node].bring_back(signal)

    def targets(self) -> list[Target]:
        """For a Prometheus that scrapes them; ``instance`` is each node's name."""
        return [Target("ipmi", each.address, labels={"instance": name}) for name, each in self.exporters.items()]
