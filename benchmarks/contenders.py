"""The two schedulers, each started as its users start it.

Ours: ``peaks-scheduler run`` with the settings of the manifests (Lease, JSON log) and its service account. All nodes
have a power model and measured load. Theirs: kube-scheduler with its default profile. Its client limit is raised (5,000
requests/s instead of 50) and it has no Lease, which both favour it. Both have one process and log to a file.
"""

from __future__ import annotations

import compileall
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks import ROOT
from benchmarks.plane import OURS, THEIRS, BenchPlane
from benchmarks.workload import power_models
from tests.e2e.support.processes import Process, free_port


@dataclass(frozen=True, slots=True)
class Contender:
    """One scheduler.

    ``start`` returns when the scheduler reports that it is ready, which may be after its first Binding.
    """

    name: str
    scheduler_name: str
    """``schedulerName`` of its pods."""
    records: bool
    """Does it write decision records?"""
    start: Callable[[BenchPlane], Process]


def peaks(load_address: str) -> Contender:
    """This scheduler, with its load from ``load_address``."""
    return Contender("peaks", "Peaks", True, lambda plane: _start_peaks(plane, load_address))


def kube_scheduler() -> Contender:
    return Contender("kube-scheduler", "default-scheduler", False, _start_kube_scheduler)


def _start_peaks(plane: BenchPlane, load_address: str) -> Process:
    models = plane.folder / "models.yaml"
    models.write_text(yaml.safe_dump(power_models()), encoding="utf-8")
    config = plane.folder / "config.yaml"
    config.write_text(yaml.safe_dump(_settings(plane, load_address, models)), encoding="utf-8")
    listen = f"127.0.0.1:{free_port()}"
    compileall.compile_dir(ROOT / "src", quiet=1)  # as in an installed package
    argv = (sys.executable, "-m", "peaks_scheduler", "run", "--config", config)
    daemon = plane.run("peaks-scheduler", *argv, "--kubeconfig", plane.kubeconfig_of(OURS), "--listen", listen)
    plane.wait_ready(daemon, f"http://{listen}/readyz")
    return daemon


def _settings(plane: BenchPlane, load_address: str, models: Path) -> dict[str, object]:
    """The settings of the manifests, with the addresses of this machine."""
    return {
        "schedulerName": "Peaks",
        "load": {"source": "load-watcher", "address": load_address},
        "powerModels": str(models),
        "logFormat": "json",
        "leaderElection": {"enabled": True, "name": "peaks-scheduler-peaks"},
    }


def _start_kube_scheduler(plane: BenchPlane) -> Process:
    # the harness lifts the client's limits and turns the Lease off
    return plane.start_kube_scheduler({"clientConnection": {"kubeconfig": str(plane.kubeconfig_of(THEIRS))}})
