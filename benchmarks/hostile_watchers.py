"""What runs beside a trial of ``hostile``: the wait for a pod's first event, the probe of /livez, a label that changes.

Each is a thread that ends with its block or within PATIENCE.
"""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import httpx

from benchmarks import workload
from benchmarks.plane import BenchPlane
from tests.e2e.support.processes import Process

PATIENCE = 120.0  # [s] for anything


class FirstEvent:
    """Waits in a thread for the first event of a pod."""

    def __init__(self, plane: BenchPlane, name: str, created: float) -> None:
        self._plane, self._created = plane, created
        self._path = f"/api/v1/namespaces/{workload.NAMESPACE}/events?fieldSelector=involvedObject.name={name}"
        self._found: float | None = None
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def wait(self) -> float:
        """Time from the pod's creation to its first event [s]; PATIENCE if none came by then."""
        self._thread.join(PATIENCE)
        return PATIENCE if self._found is None else self._found - self._created

    def _look(self) -> None:
        while time.monotonic() < self._created + PATIENCE:
            if self._plane.api.get(self._path)["items"]:
                self._found = time.monotonic()
                return
            time.sleep(0.05)


@contextmanager
def flapping_label(plane: BenchPlane) -> Iterator[None]:
    """Change a label of one node ten times a second while the block lasts."""
    end = threading.Event()

    def flap() -> None:
        path = f"/api/v1/nodes/{workload.node_names(1)[0]}"
        for n in itertools.count():
            if end.wait(0.1):
                return
            plane.api.patch(path, {"metadata": {"labels": {"flapping": str(n % 2)}}})

    thread = threading.Thread(target=flap, daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join(PATIENCE)


class LivezProbe:
    """Asks for /livez every 50 ms while the block lasts, if the process has logged its port."""

    def __init__(self, daemon: Process) -> None:
        said = re.search(r'"serving".*"port": ?(\d+)', daemon.output())
        self._url = f"http://127.0.0.1:{said[1]}/livez" if said else ""
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self.longest = 0.0  # [s] longest time of an answer

    def __enter__(self) -> Self:
        if self._url:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        if self._url:
            self._thread.join(PATIENCE)

    def _ask(self) -> None:
        with httpx.Client(trust_env=False, timeout=PATIENCE) as client:
            while not self._end.wait(0.05):
                begun = time.monotonic()
                client.get(self._url).raise_for_status()
                self.longest = max(self.longest, time.monotonic() - begun)


def reset_peak(pid: int) -> None:
    """Reset the peak that Linux records of a process's memory."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")
