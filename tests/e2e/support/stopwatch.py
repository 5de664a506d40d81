"""Time that processes took on a machine that does other things, too: less the time for which it let them wait.

A promise of seconds is one for a machine with room. Where five programs share two processors, whoever is ready to run
waits for its turn, and the kernel counts for how long: that much is taken off. On a machine with room it is next to
nothing, and the promise is held to as it stands.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.e2e.support.processes import Process

_PROC = Path("/proc")


class Stopwatch:
    """Runs from its making on.

    Attributes:
        begun: [s since the epoch].
    """

    def __init__(self, *processes: Process) -> None:
        """``processes``: those that do what is timed, one after the other, with all that they have started."""
        self._groups = {process.pid for process in processes}
        self._first = _waits(self._groups)
        self._last = dict(self._first)
        self.begun = time.time()

    def look(self) -> None:
        """Takes down how long each thread has waited: of one that has ended nobody can tell any more."""
        self._last |= _waits(self._groups)

    def took(self, until: float | None = None) -> float:
        """[s] to ``until`` [s since the epoch] or now, less what the processes have waited for a processor."""
        end = time.time() if until is None else until
        return end - self.begun - self.waited()

    def waited(self) -> float:
        """[s] that the threads of these processes were ready to run and did not, one added to the other."""
        self.look()
        return sum(value - self._first.get(thread, 0.0) for thread, value in self._last.items())


def _waits(groups: set[int]) -> dict[tuple[int, int], float]:
    """[s] by process and thread of these groups that it was ready to run and did not, since it began."""
    found = {}
    for pid in (int(each.name) for each in _PROC.iterdir() if each.name.isdigit()):
        try:
            if os.getpgid(pid) not in groups:
                continue
            for thread in (_PROC / str(pid) / "task").iterdir():
                found[pid, int(thread.name)] = int((thread / "schedstat").read_text().split()[1]) / 1e9
        except OSError:  # it has ended meanwhile, or this kernel does not count
            continue
    return found
