"""The two schedulers, each started as its users start it.

Ours: ``peaks-scheduler run`` with the settings of the manifests (Lease, JSON log), its service account, all nodes
modelled and their load measured. Theirs: kube-scheduler with its default profile, a client that is not held back (5,000
requests/s instead of 50) and no Lease, all of which favour it. Both have one process; both log to a file.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks.plane import OURS, THEIRS, BenchPlane
from benchmarks.workload import power_models
from tests.e2e.support.processes import Process, free_port


@dataclass(frozen=True, slots=True)
class Contender:
    """One scheduler.

    ``start`` returns when it says that it is ready: that is later than its first Binding may be.
    """

    name: str
    scheduler_name: str
    """What its pods carry."""
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
    argv = (sys.executable, "-m", "peaks_scheduler", "run", "--config", config)
    daemon = plane.run("peaks-scheduler", *argv, "--kubeconfig", plane.kubeconfig_of(OURS), "--listen", listen)
    plane.wait_ready(daemon, f"http://{listen}/readyz")
    return daemon


def _settings(plane: BenchPlane, load_address: str, models: Path) -> dict[str, object]:
    """Those of the manifests, on this machine."""
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
