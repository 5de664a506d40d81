"""What a source of sensors gives: readings. The interface of all such sources.

A source asks its servers for these nodes, several at once and each within its time limit, and never judges a number:
NaN and -128 are readings too. A server that fails costs the readings of its nodes alone, and is named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from peaks_scheduler.objects.node import Node


@dataclass(frozen=True, slots=True)
class Reading:
    """One number of one sensor."""

    value: float
    """In the signal's unit (``settings.sensors.UNITS``)."""
    time: float
    """[s] when it was measured, our clock."""
    sensor: str
    """Source and name of the sensor, for people: ``ipmi_exporter Inlet Temp``."""
    constant: bool = False
    """Said by a person, not measured: it never moves and never expires."""


@dataclass(frozen=True, slots=True)
class Readings:
    """What one round over the nodes gave."""

    by_node: Mapping[str, Mapping[str, Reading]] = field(default_factory=dict)
    """Node -> signal -> reading. A sensor that a node does not have is left out."""
    failures: Mapping[str, str] = field(default_factory=dict)
    """Node, or empty for the source as a whole -> why there is no reading, in words that say what to do."""


class SensorSource(Protocol):
    """See the module."""

    @property
    def name(self) -> str:
        """In logs and in ``peaks_source_errors_total``: ``ipmi-exporter``."""

    async def fetch(self, nodes: Sequence[Node]) -> Readings:
        """The readings of these nodes. Raises nothing that a server can cause."""

    async def aclose(self) -> None:
        """Close the connections."""
