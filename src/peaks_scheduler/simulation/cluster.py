"""The nodes of a simulated cluster: what they have, and the power that they truly draw. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from peaks_scheduler.objects.node import Node
from peaks_scheduler.power.curves import Curve


@dataclass(frozen=True, slots=True)
class SimulatedNode:
    """One machine. Its power is ``curve.watts(share of its CPUs in use)`` while it is on."""

    name: str
    cpu_cores: float
    memory_mib: float
    curve: Curve
    """True power [W] by utilisation [fraction]; the scheduler never sees it."""
    standby_watts: float | None = None
    """Power [W] while no pod runs on it; None: it is never switched off."""
    region: str = ""
    """Name of its grid region; empty: the only one."""
    kind: str = ""
    """Nodes of one kind are machines of one model: they share a curve, and one fit serves them all. Empty: its own."""
    node: Node | None = None
    """As the API server has it, with labels and taints; None: a plain node that offers what it has to any number
    of pods."""


@dataclass(frozen=True, slots=True)
class Outage:
    """A node that fails: it draws nothing from ``start_s`` to ``end_s``, and its pods start anew elsewhere."""

    node: str
    start_s: float
    end_s: float
