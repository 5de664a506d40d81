"""What the daemon and the commands can be told, and where: flags, environment, file, in that order of rank.

``subjects`` has the dataclasses, ``keys`` the table of names, ``reading`` makes the ones out of the others,
``combinations`` says what cannot work together, ``plugin`` reads a KubeSchedulerConfiguration.
"""

from peaks_scheduler.values import Listen

from .keys import redacted
from .reading import load
from .subjects import (
    DriftSettings,
    LeaderElection,
    LoadSettings,
    PodFields,
    PodUsageSettings,
    PowerSettings,
    PrometheusSettings,
    RefitSettings,
    Settings,
)

__all__ = [
    "DriftSettings",
    "LeaderElection",
    "Listen",
    "LoadSettings",
    "PodFields",
    "PodUsageSettings",
    "PowerSettings",
    "PrometheusSettings",
    "RefitSettings",
    "Settings",
    "load",
    "redacted",
]
