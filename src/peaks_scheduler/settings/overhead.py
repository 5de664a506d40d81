"""Setting ``power.overhead``: what cooling and supply cost on top of a node's own watts.

A constant factor (PUE), or a table of cooling watts by inlet temperature and rack power (``power.cooling``). Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from peaks_scheduler.power.cooling import RACK, CoolingTable

from .mappings import parse_fields, parse_number
from .values import parse_text

_EXPECTED = (
    "a factor of 1 or more (PUE), or {rackLabel: topology.kubernetes.io/rack, inlet: [18, 30], rackWatts: [0, 10000], "
    "coolingWatts: [[0, 2000], [0, 5000]]}: a row for each inlet temperature, a column for each rack power"
)


def parse_overhead(value: object) -> float | CoolingTable:
    """The factor, or the table."""
    if isinstance(value, Mapping):
        return _table(value)
    try:
        factor = parse_number(value)
    except ValueError as error:
        raise ValueError(_EXPECTED) from error
    if not 1.0 <= factor <= 10.0:
        raise ValueError(_EXPECTED)
    return factor


def _table(value: Mapping[Any, Any]) -> CoolingTable:
    found = parse_fields(
        value,
        {"rackLabel": parse_text, "inlet": _rising, "rackWatts": _rising, "coolingWatts": _rows},
        ("inlet", "rackWatts", "coolingWatts"),
        _EXPECTED,
    )
    inlet, rack, rows = found["inlet"], found["rackWatts"], found["coolingWatts"]
    if len(rows) != len(inlet) or any(len(row) != len(rack) for row in rows) or len(rack) < 2:
        raise ValueError(_EXPECTED)
    if any(low > high for row in rows for low, high in pairwise(row)) or any(row[0] < 0.0 for row in rows):
        raise ValueError(f"{_EXPECTED}; cooling watts do not fall as the rack's power rises")
    return CoolingTable(inlet, rack, rows, found.get("rackLabel", RACK))


def _rising(value: object) -> tuple[float, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError(_EXPECTED)
    numbers = tuple(parse_number(each) for each in value)
    if any(low >= high for low, high in pairwise(numbers)):
        raise ValueError(f"{_EXPECTED}; rising numbers")
    return numbers


def _rows(value: object) -> tuple[tuple[float, ...], ...]:
    if not isinstance(value, list) or not all(isinstance(row, list) for row in value):
        raise ValueError(_EXPECTED)
    return tuple(tuple(parse_number(each) for each in row) for row in value)


def shown_overhead(overhead: float | CoolingTable) -> Any:
    """As the file has it."""
    if isinstance(overhead, float):
        return overhead
    return {
        "rackLabel": overhead.rack_label,
        "inlet": list(overhead.inlet),
        "rackWatts": list(overhead.rack_watts),
        "coolingWatts": [list(row) for row in overhead.cooling_watts],
    }
