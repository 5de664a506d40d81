"""The machine, versions and commit of a run; and the CPU time and memory of a process, from ``/proc``.

Assumes Linux. The figures of a process are without its children: both schedulers and the API server have one process
each. Never changes anything.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

from benchmarks import ROOT

_TICKS = os.sysconf("SC_CLK_TCK")
_PACKAGES = ("peaks-scheduler", "kopf", "aiohttp", "numpy", "httpx")


def cpu_seconds(pid: int) -> float:
    """User and system time [s] that a process has used, to the tick (10 ms)."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / _TICKS


def started(pid: int) -> float:
    """When a process was started [s, monotonic clock], to the tick (10 ms)."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    # the kernel counts from the boot, and the time that the machine slept with it
    slept = time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
    return int(after_name[19]) / _TICKS - slept


def memory(pid: int | str) -> tuple[float, float]:
    """(resident now, highest so far) memory [MB, 10^6 bytes] of a process; ``self``: this one."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    resident, peak = (int(fields[name].split()[0]) * 1024 / 1e6 for name in ("VmRSS", "VmHWM"))
    return resident, peak


def machine() -> dict[str, Any]:
    """The machine, and its load before the run."""
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memoryGB": round(pages * size / 1e9, 1),
        "kernel": platform.release(),
        "loadAverageBefore": [round(each, 2) for each in os.getloadavg()],
    }


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that matter for speed."""
    found = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {"python": platform.python_version(), **found}


def commit() -> str:
    """The measured commit, with ``+changes`` if the checkout differs from it; empty without git."""
    return _git("rev-parse", "--short=12", "HEAD") + ("+changes" if _git("status", "--porcelain") else "")


def _git(*args: str) -> str:
    try:
        ran = subprocess.run(["git", *args], cwd=ROOT, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ran.stdout.strip() if ran.returncode == 0 else ""
