"""Of what the watts of a model are: the whole machine, a part of it, or nothing that anybody has measured.

Owns the four scopes and their order. A narrower scope has fewer watts of the same machine, so that in a comparison it
would always look cheaper: that is why only the same or a wider one may take a model's place, and why watts of two
scopes are never compared as if they were alike. Pure.

    wall        what an outlet, a PDU or the BMC sees: IPMI, Redfish
    platform    sensors on the board: psys, the ACPI power meter
    package     processors and their memory: RAPL
    estimate    worked out of CPU use by somebody's model
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
"""The widest first."""

# fmt: off
_WORDS: tuple[tuple[Scope, re.Pattern[str]], ...] = (
    (ESTIMATE, re.compile(r"trained_power_model|estimat", re.IGNORECASE)),
    (PLATFORM, re.compile(r"psys|kepler_node_platform|hwmon_power", re.IGNORECASE)),
    (PACKAGE,  re.compile(r"rapl|pkg|package|dram|scaph_|kepler_node_cpu|(?<![a-z])(?:un)?core(?![a-z])|cpu.?power|"
                          r"cpu.?watt", re.IGNORECASE)),
)
# fmt: on


def scope_or_wall(scope: Scope | None) -> Scope:
    """What a scope counts as: a model that does not say is taken to be of the whole machine."""
    return scope or WALL


def at_least_as_wide(scope: Scope, than: Scope | None) -> bool:
    """Is it the same scope as the other, or a wider one?"""
    return SCOPES.index(scope) <= SCOPES.index(scope_or_wall(than))


def comparable(model: Scope | None, measured: Scope) -> bool:
    """May watts of a model be held against these? Where it does not say of what they are: against a whole machine's."""
    return measured in (WALL, PLATFORM) if model is None else model == measured


def scope_named_in(text: str) -> Scope | None:
    """The scope that the names in a query, or a column's, tell; None: they tell nothing."""
    return next((scope for scope, words in _WORDS if words.search(text)), None)
