"""One gauge: its name, its help and where its numbers come from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

Labels = tuple[str, ...]
Rows = Iterable[tuple[Labels, float]]
"""(values of the labels, number) of each series."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """A number, or one number for each value of its labels.

    Gauges of one name, from several keepers, become one family: their help and labels must be equal.
    """

    name: str
    help: str
    rows: Callable[[], Rows]
    """Called on the event loop at every scrape. The result must not change afterwards."""
    labels: Labels = ()
    per_node: bool = False
    """The first label is a node: exported for all nodes, and only with node metrics. NaN is left out."""


GaugeReading = tuple[Gauge, Rows]
"""A gauge and its rows at one scrape."""


def by_key(mapping: Mapping[str, float]) -> Rows:
    """One row for each key, which is the value of the only label."""
    return [((key,), value) for key, value in mapping.items()]


def single(value: float) -> Rows:
    """The row of a gauge without labels."""
    return [((), value)]
