"""The scope of power: whether watts are of the whole machine, of a part of it, or only an estimate.

Owns the four scopes and their order. A narrower scope has fewer watts of the same machine, so in a comparison it would
always look cheaper. Therefore only a model of the same or a wider scope may replace a model, and watts of two scopes
are never compared. Pure.

    wall        the whole machine, measured at an outlet, a PDU or the BMC: IPMI, Redfish
    platform    sensors on the board: psys, the ACPI power meter
    package     processors and their memory: RAPL
    estimate    computed from CPU use, by another program's model
"""

from __future__ import annotations

import re
from typing import Final, Literal

Scope = Literal["wall", "platform", "package", "estimate"]

WALL: Final = "wall"
PLATFORM: Final = "platform"
PACKAGE: Final = "package"
ESTIMATE: Final = "estimate"
SCOPES: tuple[Scope, ...] = (WALL, PLATFORM, PACKAGE, ESTIMATE)
"""From the widest to the narrowest."""

# fmt: off
_WORDS: tuple[tuple[Scope, re.Pattern[str]], ...] = (
    (ESTIMATE, re.compile(r"trained_power_model|estimat", re.IGNORECASE)),
    (PLATFORM, re.compile(r"psys|kepler_node_platform|hwmon_power", re.IGNORECASE)),
    (PACKAGE,  re.compile(r"rapl|pkg|package|dram|scaph_|kepler_node_cpu|(?<![a-z])(?:un)?core(?![a-z])|cpu.?power|"
                          r"cpu.?watt", re.IGNORECASE)),
)
# fmt: on


def scope_or_wall(scope: Scope | None) -> Scope:
    """The scope to assume: a model without one counts as a model of the whole machine."""
    return scope or WALL


def at_least_as_wide(scope: Scope, than: Scope | None) -> bool:
    """Is ``scope`` the same as ``than``, or wider?"""
    return SCOPES.index(scope) <= SCOPES.index(scope_or_wall(than))


def comparable(model: Scope | None, measured: Scope) -> bool:
    """May a model's watts be compared with measured ones? A model without a scope: with a whole machine's only."""
    return measured in (WALL, PLATFORM) if model is None else model == measured


def scope_named_in(text: str) -> Scope | None:
    """The scope that the name of a column, or of a series in a query, tells; None if it tells none."""
    return next((scope for scope, words in _WORDS if words.search(text)), None)
