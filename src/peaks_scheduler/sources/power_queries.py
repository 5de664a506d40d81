"""Which series tell a node's watts, the best first; and what kind a query is that somebody wrote.

Owns the table of exporters: new Kepler (0.10 and later), old Kepler, IPMI, Scaphandre. What measures more of the
machine comes first: the platform (what is paid for), psys, the processor packages with their memory. Zones overlap
(psys holds package, package holds core): one candidate never adds two that do. Never asks anybody.

What is added: power supplies of one chassis; sockets (``path``, ``package``); the modes dynamic and idle; dram to
package. What never is: chassis, Redfish's power controls (a server's holds its processors'), sources of one counter
(acpi, redfish). Of those the largest counts.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge"]


@dataclass(frozen=True, slots=True)
class Zone:
    """One metric: a selector without the braces' end, so that matchers can be added."""

    metric: str
    matchers: tuple[tuple[str, str], ...] = ()

    def selector(self, *more: tuple[str, str]) -> str:
        """PromQL for the metric where these labels have these values, too."""
        inside = ",".join(f'{label}="{escaped(value)}"' for label, value in (*self.matchers, *more))
        return f"{self.metric}{{{inside}}}" if inside else self.metric


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to know a node's power, or its CPU use."""

    scope: str
    """What of the machine is measured, in words."""
    zones: tuple[Zone, ...]
    """The first must be there, the others are added where they are."""
    kind: Kind
    unit: float = 1.0
    """[W or J] of one unit of the series."""
    parts: tuple[str, ...] = ()
    """Labels that tell parts of one node apart, which are added."""
    rivals: tuple[str, ...] = ()
    """Labels of sets of parts that measure the same: the one with the largest mean counts."""

    @property
    def name(self) -> str:
        """What messages call it."""
        return " + ".join(zone.selector() for zone in self.zones)


def _kepler(metric: str, zone: str) -> Zone:
    return Zone(metric, (("zone", zone),))


_PLATFORM = "kepler_platform_watts"
_SUPPLIES = Zone(_PLATFORM, (("source_type", "PowerSupply"),))
_IPMI = Zone("ipmi_dcmi_power_consumption_current_watts")
_JOULES, _WATTS = "kepler_node_cpu_joules_total", "kepler_node_cpu_watts"
_OLD = {zone: Zone(f"kepler_node_{zone}_joules_total") for zone in ("platform", "package", "dram")}
_MODES, _SUPPLY = ("mode", "package"), ("source_id",)
_CHASSIS = ("source", "bmc_id", "chassis_id")
_ONE_OF_REDFISH = (*_CHASSIS, "source_type", "source_id", "power_control_id")

# fmt: off
POWER: tuple[Candidate, ...] = (
    #         of what      series                                                   kind       unit added     largest of
    Candidate("platform", (_SUPPLIES,),                                            "gauge",   1.0, _SUPPLY, _CHASSIS),
    Candidate("platform", (Zone(_PLATFORM),),                                      "gauge",   1.0, (), _ONE_OF_REDFISH),
    Candidate("platform", (_OLD["platform"],),                                     "counter", 1.0, _MODES, ("source",)),
    Candidate("platform", (_IPMI,),                                                "gauge"),
    Candidate("psys",     (_kepler(_JOULES, "psys"),),                             "counter", 1.0, ("path",)),
    Candidate("psys",     (_kepler(_WATTS, "psys"),),                              "gauge",   1.0, ("path",)),
    Candidate("package",  (_kepler(_JOULES, "package"), _kepler(_JOULES, "dram")), "counter", 1.0, ("path",)),
    Candidate("package",  (_kepler(_WATTS, "package"), _kepler(_WATTS, "dram")),   "gauge",   1.0, ("path",)),
    Candidate("package",  (_OLD["package"], _OLD["dram"]),                         "counter", 1.0, _MODES, ("source",)),
    Candidate("host",     (Zone("scaph_host_power_microwatts"),),                  "gauge",   1e-6),
)
# fmt: on

KEPLER_CPU = Candidate("kepler_node_cpu_usage_ratio", (Zone("kepler_node_cpu_usage_ratio"),), "gauge")
NODE_CPU = "node_cpu_seconds_total"
NOT_BUSY = "idle|iowait|steal"

_UNITS: Mapping[str, float] = {"micro": 1e-6, "milli": 1e-3, "kilo": 1e3, "": 1.0}
_DIFFERENCE = re.compile(r"\b(?:rate|irate|increase|delta|idelta|deriv)\s*\(")
_ENERGY = re.compile(r"_(micro|milli|kilo|)joules(?:_total)?\b")
_POWER = re.compile(r"_(micro|milli|kilo|)watts?\b")


def of_query(promql: str) -> tuple[Kind, float]:
    """What a query for power gives: a counter of energy or a gauge of power, and its unit in J or W.

    By the names in it: ``..._joules_total`` without a rate is a counter, ``..._microwatts`` says its unit. Where they
    say nothing it is a gauge in watts.
    """
    energy, power = _ENERGY.search(promql), _POWER.search(promql)
    if energy and not _DIFFERENCE.search(promql):
        return "counter", _UNITS[energy[1]]
    named = energy or power
    return "gauge", _UNITS[named[1]] if named else 1.0


def of_cpu_query(promql: str) -> Kind:
    """What a query for CPU use gives: ``..._seconds_total`` without a rate is a counter of CPU seconds."""
    return "counter" if "_seconds_total" in promql and not _DIFFERENCE.search(promql) else "gauge"


def escaped(value: str) -> str:
    """A label's value as PromQL writes it between quotes."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
