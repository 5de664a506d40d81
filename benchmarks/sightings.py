"""Starts the observer process, reads its sightings and ends it.

Owns the sightings so far: the first one of each pod, by kind. Assumes one reader. Waiting is bounded and reads the
observer's file every 50 ms, which costs little; the times in the file are the observer's own.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from benchmarks import ROOT, BenchmarkError
from benchmarks.plane import BenchPlane
from tests.e2e.support.processes import wait_until

EVERY = 0.05  # [s]
_OPEN = 20.0  # [s] for the watches to open


class Sightings:
    """A context manager; while the block lasts, the watches are open.

    Attributes:
        created, bound, event: pod -> time of the first sighting [s, monotonic clock].
        recorded: pods that were bound with a decision record.
        resumed: how often the server ended a watch, which was then resumed.
    """

    def __init__(self, plane: BenchPlane, name: str, watches: Sequence[str] = ("bound", "event")) -> None:
        self._plane, self._name, self._watches = plane, name, watches
        self._file = plane.folder / f"seen-{name}.txt"
        self._at = 0
        self._watching = False
        self.created: dict[str, float] = {}
        self.bound: dict[str, float] = {}
        self.event: dict[str, float] = {}
        self.recorded: set[str] = set()
        self.resumed = 0

    def __enter__(self) -> Self:
        spec = self._plane.folder / f"observe-{self._name}.json"
        api = self._plane.api
        told = {
            "url": api.url,
            "token": api.token,
            "ca": str(api.ca_file),
            "out": str(self._file),
            "watches": self._watches,
        }
        spec.write_text(json.dumps(told), encoding="utf-8")
        self._file.unlink(missing_ok=True)
        argv = (sys.executable, "-m", "benchmarks.observer", spec)
        self._process = self._plane.run("observer", *argv, env={"PYTHONPATH": str(ROOT)})
        wait_until(self._opened, f"the observer's watches (its log: {self._process.log})", _OPEN)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()

    def _opened(self) -> bool:
        self._read()
        return self._watching

    def wait(self, reached: Callable[[Sightings], bool], seconds: float) -> bool:
        """Has ``reached`` become true within ``seconds``?"""
        end = time.monotonic() + seconds
        while True:
            self._read()
            if reached(self):
                return True
            if time.monotonic() > end:
                return False
            time.sleep(EVERY)

    def settle(self, count: int, quiet: float, seconds: float) -> None:
        """Wait for ``count`` events, but not longer than ``quiet`` [s] for the next one, and ``seconds`` in all."""
        end = time.monotonic() + seconds
        while len(self.event) < count and time.monotonic() < end and self._more_events(quiet):
            pass

    def _more_events(self, quiet: float) -> bool:
        before = len(self.event)
        return self.wait(lambda seen: len(seen.event) > before, quiet)

    def _read(self) -> None:
        """Read what the observer has written since the last read."""
        if not self._process.alive:
            raise BenchmarkError(f"the observer ended, its measurement is void:\n{self._process.output()[-2000:]}")
        if not self._file.exists():
            return
        with self._file.open("rb") as file:
            file.seek(self._at)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._at += len(whole)
        for line in whole.decode().splitlines():
            self._take(line)

    def _take(self, line: str) -> None:
        if line == "watching":
            self._watching = True
            return
        kind, name, seen, note = line.split(" ")
        if kind == "resumed":
            self.resumed += 1
            return
        getattr(self, kind).setdefault(name, float(seen))
        if kind == "bound" and note == "1":
            self.recorded.add(name)
