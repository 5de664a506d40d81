"""Checks of the sensors: which signals have the nodes, how old are they, and do they count?

No line where no source of sensors is configured and the cluster names none. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from peaks_scheduler.errors import ConfigurationError, PeaksError
from peaks_scheduler.settings.sensors import UNITS
from peaks_scheduler.sources.predictors.answered_nodes import AnsweredNode
from peaks_scheduler.sources.sensors.source import Reading
from peaks_scheduler.text.words import few, plural

from .facts import Facts
from .finding import Finding, failed, ok, warning
from .grouped import alike, of_nodes

CHECK = "sensors"
EACH = 3
"""So many nodes are shown one by one."""
_SENSORS = "correct `sensors` in the configuration, or the sensor"


def sensors(facts: Facts) -> Iterator[Finding]:
    asked = facts.asked
    if asked is None:
        return
    if isinstance(asked, PeaksError):
        judged = failed if isinstance(asked, ConfigurationError) else warning  # the daemon would not start with it
        yield judged(CHECK, f"could not be asked: {asked}", _SENSORS)
        return
    for trouble in asked.troubles:
        yield warning(CHECK, trouble)
    yield from _signals(asked.nodes, asked.now)
    yield from _silent(asked.nodes)
    if facts.settings.sensors.any and asked.nodes and not any(each.readings for each in asked.nodes):
        yield failed(CHECK, "`sensors` is configured, and no node has a reading", _SENSORS)


def _signals(nodes: Sequence[AnsweredNode], now: float) -> Iterator[Finding]:
    """A line for each signal, and lines for its readings that do not count."""
    for signal in sorted({signal for node in nodes for signal in node.readings}):
        having = [node for node in nodes if signal in node.readings]
        fine = [(node.name, node.readings[signal]) for node in having if signal not in node.distrusted]
        if fine:
            yield ok(CHECK, f"{signal}: {_shown(fine, signal, now)}")
        yield from _odd(nodes, signal)


def _shown(readings: Sequence[tuple[str, Reading]], signal: str, now: float) -> str:
    unit = UNITS.get(signal, "")
    if len(readings) <= EACH:
        return "; ".join(
            f"{name} {each.value:g} {unit}".rstrip() + f", {max(0.0, now - each.time):.0f} s old ({each.sensor})"
            for name, each in readings
        )
    values = [each.value for _, each in readings]
    sources = Counter(each.sensor for _, each in readings)
    by_source = few([f"{name} ({count})" for name, count in sources.most_common()], 3)
    oldest = max(0.0, max(now - each.time for _, each in readings))
    span = f"{min(values):g} to {max(values):g} {unit}".rstrip()
    return f"{plural(len(readings), 'node')}, {span}, at most {oldest:.0f} s old, from {by_source}"


def _odd(nodes: Sequence[AnsweredNode], signal: str) -> Iterator[Finding]:
    for example, whose in alike((node.name, node.distrusted[signal]) for node in nodes if signal in node.distrusted):
        yield warning(CHECK, f"{signal} does not count for {of_nodes(example, whose)}", _SENSORS)


def _silent(nodes: Sequence[AnsweredNode]) -> Iterator[Finding]:
    for example, whose in alike((node.name, node.silent) for node in nodes if node.silent):
        yield warning(CHECK, f"no reading of {of_nodes(example, whose)}", _SENSORS)


def needed(facts: Facts) -> Iterator[Finding]:
    """Signals that predictors need and no source gives."""
    if facts.asked is None or isinstance(facts.asked, PeaksError):
        return
    without: dict[str, list[str]] = {}
    for node in facts.asked.nodes:
        for signal in node.missing:
            without.setdefault(signal, []).append(node.name)
    for signal, whose in without.items():
        text = of_nodes(f"the predictor needs {signal}, and no sensor gives it, so it is not asked", whose)
        yield warning(CHECK, text, f"give {signal} a source in `sensors`, or leave it out of the predictor's `inputs`")
