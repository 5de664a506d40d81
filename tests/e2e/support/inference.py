"""A real MLServer on loopback with a model of ours, and where the programs lie that ``make inference`` brought.

Owns the process, its port and its folder. The model predicts a server's watts from CPU use, inlet temperature and
differential pressure (``mlserver_power.py``), either for any number of rows or for one at a time; how many rows it was
asked for, and how often, it writes into a file. Never imports mlserver: that lies in an environment of its own.

    with MlServer(folder, {"batch": BATCH, "single": SINGLE}) as server:
        server.url, server.asked("batch")
"""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tests.e2e.support.api import PLAIN
from tests.e2e.support.processes import PATIENCE, Process, free_port, wait_until
from tests.e2e.support.programs import located

MODEL_FILE = Path(__file__).with_name("mlserver_power.py")
BATCH, SINGLE = -1, 1
"""Dimension 0 of the input: variable, or one row."""


@functools.cache
def programs() -> dict[str, Path]:
    """Path of every program by name: mlserver, sushy-tools, ipmi_sim, prometheus-ipmi-exporter, ipmi-sensors.

    Raises:
        AssertionError: one is not there; says what to run.
    """
    return located("inference.py", "no inference servers, run `make inference`")


def with_libraries() -> dict[str, str]:
    """Environment in which Debian's unpacked programs find the libraries that were unpacked with them."""
    return {"LD_LIBRARY_PATH": str(programs()["libraries"])}


class MlServer:
    """One server. A context manager; its port stays the same over ``stop`` and ``start``.

    Attributes:
        url: to be asked at, without ``/v2``.
    """

    def __init__(self, folder: Path, models: Mapping[str, int]) -> None:
        """``models``: by name, the dimension 0 of the input, BATCH or SINGLE."""
        self._folder = folder
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(MODEL_FILE, folder)
        self._write("settings.json", self._settings())
        for name, rows in models.items():
            (folder / name).mkdir(exist_ok=True)
            self._write(f"{name}/model-settings.json", _model_settings(name, rows))

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self) -> Self:
        """Starts it and waits until its models are loaded."""
        argv = [str(programs()["mlserver"]), "start", "."]
        surroundings = {"PYTHONPATH": str(self._folder), "OTEL_SDK_DISABLED": "true"}
        self._process: Process | None = Process("mlserver", argv, self._folder / "mlserver.log", surroundings)
        wait_until(self._ready, f"MLServer ready (its log: {self._process.log})", PATIENCE)
        return self

    def stop(self) -> None:
        """Ends it as a crash would: connections are refused from now on."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()

    def asked(self, model: str) -> list[int]:
        """Rows of every question to a model, oldest first."""
        file = self._folder / f"{model}.asked"
        return [int(line) for line in file.read_text().split()] if file.is_file() else []

    def change(self, model: str, **how: float) -> None:
        """What the model's formula has from now on: ``factor=10.0`` makes it ten times the truth."""
        whole = self._folder / f"{model}.new"
        whole.write_text(json.dumps(how))
        whole.replace(self._folder / f"{model}.json")

    def _ready(self) -> bool:
        assert self._process is not None
        assert self._process.alive, f"MLServer ended:\n{self._process.output()[-3000:]}"
        try:
            return httpx.get(f"{self.url}/v2/health/ready", trust_env=False, timeout=10, verify=PLAIN).is_success
        except httpx.TransportError:
            return False

    def _settings(self) -> dict[str, Any]:
        ports = {"http_port": self._port, "grpc_port": free_port(), "metrics_port": free_port()}
        return {"host": "127.0.0.1", **ports, "metrics_endpoint": None, "parallel_workers": 0}

    def _write(self, name: str, whole: dict[str, Any]) -> None:
        (self._folder / name).write_text(json.dumps(whole))


def _model_settings(name: str, rows: int) -> dict[str, Any]:
    return {
        "name": name,
        "implementation": "mlserver_power.Power",
        "inputs": [{"name": "predict-prob", "datatype": "FP32", "shape": [rows, 3]}],
        "outputs": [{"name": "watts", "datatype": "FP64", "shape": [rows]}],
        "parameters": {"version": "1", "extra": {"rows": rows}},
    }


def watts(cpu: float, inlet: float, pressure: float) -> float:
    """What the model answers (``mlserver_power.py``), worked out here: fans take more the warmer the air is."""
    return 100.0 + 120.0 * cpu * (1.0 + 0.04 * (inlet - 20.0)) + 0.2 * pressure
