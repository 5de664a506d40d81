"""A real Redfish emulator (OpenStack's sushy-tools) on loopback, with one chassis and no machine behind it.

Owns the process and its port. Its readings are fixed: the chassis takes in air of 25 C (``Chassis Intake Temp``), and
it has no tree of sensors and no models under its systems.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from tests.e2e.support.api import PLAIN
from tests.e2e.support.inference import programs
from tests.e2e.support.processes import PATIENCE, Process, free_port, wait_until

INTAKE = 25.0
"""[C] of the air, always."""


class Redfish:
    """One emulator. A context manager.

    Attributes:
        url: of the BMC, without ``/redfish``.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._port = folder, free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        argv = [str(programs()["sushy-tools"]), "--fake", "--interface", "127.0.0.1", "--port", str(self._port)]
        self._process = Process("sushy-emulator", argv, self._folder / "emulator.log", {"HOME": str(self._folder)})
        try:
            wait_until(self._answers, f"a Redfish emulator (its log: {self._process.log})", PATIENCE)
        except BaseException:
            self._process.kill()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, trust_env=False, timeout=10, verify=PLAIN)

    def _answers(self) -> bool:
        assert self._process.alive, f"sushy-emulator ended:\n{self._process.output()[-3000:]}"
        try:
            return self.get("/redfish/v1/").is_success
        except httpx.TransportError:
            return False
