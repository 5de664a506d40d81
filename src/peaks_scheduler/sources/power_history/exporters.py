"""The metrics that tell a node's watts, the best first; and the type and unit of a custom query.

Owns the table of exporters: Kepler (0.10 and later, and before), ipmi_exporter, node_exporter, Scaphandre. A metric of
a larger part of the machine comes first. Zones overlap (psys contains package, package contains core): overlapping
zones are never added. ``origin.py`` says whether a meter is behind a series. Pure.

Added are: power supplies of one chassis; sockets (``path``, ``package``); the modes dynamic and idle; dram and package.
Never added are: chassis, Redfish's power controls (a server's contains its processors'), sensors of a BMC, sources of
one counter (acpi, redfish), RAPL's two ways to one package (mmio). Of these the largest is used, or one.

Names, labels and values are from the exporters' code, not from their documentation: ipmi_exporter documents
``..._current_watts``, which it has never exported.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from peaks_scheduler.power.scope import PACKAGE, PLATFORM, WALL, Scope, scope_named_in, scope_or_wall
from peaks_scheduler.settings.promql_matchers import escaped

MetricType = Literal["counter", "gauge"]


@dataclass(frozen=True, slots=True)
class Zone:
    """The series of one metric that match; often of one RAPL zone."""

    metric: str
    matchers: tuple[tuple[str, Literal["=", "!=", "=~", "!~"], str], ...] = ()
    """(label, operator, value) as in PromQL."""

    @property
    def conditions(self) -> tuple[str, ...]:
        """The matchers, each in PromQL."""
        return tuple(f'{label}{how}"{escaped(value)}"' for label, how, value in self.matchers)

    def selector(self) -> str:
        """PromQL for its series."""
        return f"{self.metric}{{{','.join(self.conditions)}}}" if self.matchers else self.metric


@dataclass(frozen=True, slots=True)
class NodeMetric:
    """A metric of a node's power or CPU use, or a few that are added."""

    part: str
    """The part of the machine that is measured, in words."""
    zones: tuple[Zone, ...]
    """The first one is required, the others are added if they are there."""
    kind: MetricType
    unit: float = 1.0
    """[W or J] of one unit of the series."""
    parts: tuple[str, ...] = ()
    """Labels in which the parts of one node differ; parts are added."""
    rivals: tuple[str, ...] = ()
    """Labels in which sets of parts that measure the same differ; the set with the largest mean is used."""
    scope: Scope = WALL
    meters: Mapping[str, Scope] = field(default_factory=lambda: MappingProxyType({}))
    """Value of ``source`` of a meter -> the scope that it measures; empty: the exporter has meters only."""
    info_label: str = ""
    """Label of ``kepler_node_info`` that also says where the watts come from."""
    custom: bool = False
    """A custom query: its watts count as measured unless a label of the series says that they are not."""

    @property
    def name(self) -> str:
        """Its name in messages."""
        return " + ".join(zone.selector() for zone in self.zones)


def _joules(zone: str) -> Zone:
    return Zone("kepler_node_cpu_joules_total", (("zone", "=", zone),))


def _watts(zone: str) -> Zone:
    return Zone("kepler_node_cpu_watts", (("zone", "=", zone),))


def _old(zone: str) -> Zone:
    return Zone(f"kepler_node_{zone}_joules_total")


def _rapl(zone: str) -> Zone:
    """node_exporter's. A package that is read by MSR and by MMIO is there twice, with two paths."""
    return Zone(f"node_rapl_{zone}_joules_total", (("path", "!~", ".*mmio.*"),))


def _rapl_labelled(zone: str) -> Zone:
    """node_exporter's with ``--collector.rapl.enable-zone-label``."""
    return Zone("node_rapl_joules_total", (("rapl_zone", "=", zone), ("path", "!~", ".*mmio.*")))


def _with_dram(of: Callable[[str], Zone]) -> tuple[Zone, Zone]:
    return of("package"), of("dram")


PLATFORM_METERS: Mapping[str, Scope] = MappingProxyType({"acpi": PLATFORM, "redfish": WALL})
PART_METERS: Mapping[str, Scope] = MappingProxyType(
    dict.fromkeys(("rapl-sysfs", "rapl-msr", "intel_rapl", "rapl", "ampere-xgene-hwmon", "grace-acpi"), PACKAGE)
)
"""Names of old Kepler's sensors (``GetName`` in pkg/sensors), and names that its versions write instead."""
INFO = "kepler_node_info"
_PLATFORM_INFO, _PART_INFO = "platform_power_source", "components_power_source"
_WHOLE = r"(?i)pwr consumption|power meter|(sys(tem)?|total|sys(tem)?[ _]total)[ _]power"
"""BMC sensors of the whole machine: names of Dell, HPE and others."""

_REDFISH = "kepler_platform_watts"
_SUPPLIES = Zone(_REDFISH, (("source_type", "=", "PowerSupply"),))
_IPMI, _IPMI_DOC = (Zone(f"ipmi_dcmi_power_consumption_{end}") for end in ("watts", "current_watts"))
_IPMI_SENSOR = Zone("ipmi_power_watts", (("name", "=~", _WHOLE),))
_ACPI = Zone("node_hwmon_power_average_watt", (("chip", "=~", "(?i).*acpi000d.*|power_meter.*"),))
_SCAPHANDRE = "scaph_host_power_microwatts"
_SCAPHANDRE_PSYS = Zone(_SCAPHANDRE, (("value_source", "=", "powercap_rapl_psys"),))
_MODES, _SUPPLY = ("mode", "package"), ("source_id",)
_CHASSIS = ("source", "bmc_id", "chassis_id")
_ONE_OF_REDFISH = (*_CHASSIS, "source_type", "source_id", "power_control_id")
_SOURCES = ("source", "exported_source")
_OLD_PLATFORM = (1.0, _MODES, _SOURCES, PLATFORM_METERS, _PLATFORM_INFO)
_OLD_PARTS = (1.0, _MODES, _SOURCES, PART_METERS, _PART_INFO)


def _power(
    part: str,
    scope: Scope,
    zones: tuple[Zone, ...],
    kind: MetricType,
    unit: float = 1.0,
    parts: tuple[str, ...] = (),
    rivals: tuple[str, ...] = (),
    meters: Mapping[str, Scope] | None = None,
    info_label: str = "",
) -> NodeMetric:
    return NodeMetric(part, zones, kind, unit, parts, rivals, scope, meters or MappingProxyType({}), info_label)


# fmt: off
POWER: tuple[NodeMetric, ...] = (
    #      of what     scope     series                               kind       unit added     largest of
    _power("platform", WALL,     (_SUPPLIES,),                        "gauge",   1.0, _SUPPLY, _CHASSIS),
    _power("platform", WALL,     (Zone(_REDFISH),),                   "gauge",   1.0, (), _ONE_OF_REDFISH),
    _power("platform", WALL,     (_IPMI,),                            "gauge"),
    _power("platform", WALL,     (_IPMI_DOC,),                        "gauge"),
    _power("platform", WALL,     (_IPMI_SENSOR,),                     "gauge",   1.0, (), ("id", "name")),
    _power("platform", PLATFORM, (_old("platform"),),                 "counter", *_OLD_PLATFORM),
    _power("platform", PLATFORM, (_ACPI,),                            "gauge",   1.0, (), ("chip", "sensor")),
    _power("psys",     PLATFORM, (_joules("psys"),),                  "counter", 1.0, ("path",)),
    _power("psys",     PLATFORM, (_watts("psys"),),                   "gauge",   1.0, ("path",)),
    _power("psys",     PLATFORM, (_rapl("psys"),),                    "counter", 1.0, ("path",)),
    _power("psys",     PLATFORM, (_rapl_labelled("psys"),),           "counter", 1.0, ("path",)),
    _power("psys",     PLATFORM, (_SCAPHANDRE_PSYS,),                 "gauge",   1e-6),
    _power("package",  PACKAGE,  _with_dram(_joules),                 "counter", 1.0, ("path",)),
    _power("package",  PACKAGE,  _with_dram(_watts),                  "gauge",   1.0, ("path",)),
    _power("package",  PACKAGE,  _with_dram(_old),                    "counter", *_OLD_PARTS),
    _power("package",  PACKAGE,  _with_dram(_rapl),                   "counter", 1.0, ("path",)),
    _power("package",  PACKAGE,  _with_dram(_rapl_labelled),          "counter", 1.0, ("path",)),
    _power("host",     PACKAGE,  (Zone(_SCAPHANDRE),),                "gauge",   1e-6),
)
# fmt: on

KEPLER_CPU = NodeMetric("kepler_node_cpu_usage_ratio", (Zone("kepler_node_cpu_usage_ratio"),), "gauge")
NODE_CPU = "node_cpu_seconds_total"
NOT_BUSY = "idle|iowait|steal"

_UNITS: Mapping[str, float] = {"micro": 1e-6, "milli": 1e-3, "kilo": 1e3, "": 1.0}
_DIFFERENCE = re.compile(r"\b(?:rate|irate|increase|delta|idelta|deriv)\s*\(")
_ENERGY = re.compile(r"_(micro|milli|kilo|)joules(?:_total)?\b")
_POWER = re.compile(r"_(micro|milli|kilo|)watts?\b")
_OF_OLD_KEPLER = re.compile(
    r"kepler_node_(platform)_joules_total|kepler_node_(?:package|dram|core|uncore)_joules_total"
)


def custom_power(promql: str) -> NodeMetric:
    """A custom query for power as a metric. The names in it tell type, unit and scope; without known names it counts as
    one of the whole machine."""
    kind, unit = type_of_power_query(promql)
    old = _OF_OLD_KEPLER.search(promql)
    meters, info_label = (PLATFORM_METERS, _PLATFORM_INFO) if old and old[1] else (PART_METERS, _PART_INFO)
    return NodeMetric(
        "query",
        (Zone(promql),),
        kind,
        unit,
        scope=scope_or_wall(scope_named_in(promql)),
        meters=meters if old else MappingProxyType({}),
        info_label=info_label if old else "",
        custom=True,
    )


def type_of_power_query(promql: str) -> tuple[MetricType, float]:
    """What a query for power gives: a counter of energy or a gauge of power, and its unit [J or W].

    The names in it tell: ``..._joules_total`` without a rate is a counter, ``..._microwatts`` has its unit. Otherwise
    it is a gauge in watts.
    """
    energy, power = _ENERGY.search(promql), _POWER.search(promql)
    if energy and not _DIFFERENCE.search(promql):
        return "counter", _UNITS[energy[1]]
    named = energy or power
    return "gauge", _UNITS[named[1]] if named else 1.0


def type_of_cpu_query(promql: str) -> MetricType:
    """What a query for CPU use gives: ``..._seconds_total`` without a rate is a counter of CPU seconds."""
    return "counter" if "_seconds_total" in promql and not _DIFFERENCE.search(promql) else "gauge"
