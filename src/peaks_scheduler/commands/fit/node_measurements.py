"""The measurements of one node, from any source: two series over time, or samples without times."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from peaks_scheduler.fitting.alignment import Aligned, align
from peaks_scheduler.fitting.celsius import celsius_at, missing
from peaks_scheduler.fitting.readings import Reading
from peaks_scheduler.fitting.samples import Samples
from peaks_scheduler.power.scope import ESTIMATE, WALL, Scope


@dataclass(frozen=True, slots=True, eq=False)
class NodeMeasurements:
    """One node's measurements: ``series``, ``samples``, or ``trouble``."""

    node: str
    series: tuple[Reading, Reading] | None = None
    """(CPU, power): fractions and watts, or fraction-seconds and joules for counters."""
    samples: Samples | None = None
    """Pairs of CPU and power, if there are no times."""
    celsius: Reading | None = None
    """The temperature of the node's air beside the ``series``; None: not asked for. ``samples`` have their own."""
    cpu_unit: str | None = None
    """The unit that CPU was given in."""
    notes: tuple[str, ...] = ()
    """What was found out or left out, in words."""
    scope: Scope = WALL
    """The part of the machine that the watts are of."""
    doubt: str = ""
    """Why the watts may be no measurement; empty for no doubt."""
    trouble: str = ""
    """Why there are neither series nor samples."""

    def with_scope(self, scope: Scope, why: str) -> NodeMeasurements:
        """The same measurements with this scope. An estimate is no measurement: ``why`` becomes the doubt."""
        return replace(self, scope=scope, doubt=why if scope == ESTIMATE else "")

    def aligned(self) -> Aligned | None:
        """The joined samples; None if there are no measurements."""
        if self.series is not None:
            joined = align(*self.series)
            return joined if self.celsius is None else _with_celsius(joined, self.celsius)
        return None if self.samples is None else Aligned(self.samples, 0.0, ())


def _with_celsius(joined: Aligned, reading: Reading) -> Aligned:
    assert joined.samples.time is not None
    celsius = celsius_at(reading, joined.samples.time)
    return replace(joined, samples=replace(joined.samples, celsius=celsius), notes=(*joined.notes, *missing(celsius)))


def natural_order(name: str) -> tuple[tuple[int, int, str], ...]:
    """The sort key of a name in natural order: worker-2 before worker-10."""
    parts = re.findall(r"\d+|\D+", name)
    return tuple((0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts)
