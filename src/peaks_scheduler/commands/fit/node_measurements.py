"""What was measured on one node, wherever it came from: two series over time, or samples that need no time."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from peaks_scheduler.fitting.alignment import Aligned, align
from peaks_scheduler.fitting.readings import Reading
from peaks_scheduler.fitting.samples import Samples
from peaks_scheduler.power.scope import ESTIMATE, WALL, Scope


@dataclass(frozen=True, slots=True, eq=False)
class NodeMeasurements:
    """One node before anything is fitted."""

    node: str
    series: tuple[Reading, Reading] | None = None
    """CPU as a fraction and power in watts, or fraction-seconds and joules where they count."""
    samples: Samples | None = None
    """Where there are no times: pairs as they stand."""
    cpu_unit: str | None = None
    """What CPU was given in."""
    notes: tuple[str, ...] = ()
    """What was found out, left out or passed over, in words."""
    scope: Scope = WALL
    """Of what the watts are."""
    doubt: str = ""
    """Why they are no measurement; empty: they are one, as far as anybody knows."""
    trouble: str = ""
    """Why nothing can be learned; then there is neither of the two above."""

    def of(self, scope: Scope, why: str) -> NodeMeasurements:
        """The same as watts of this scope; an estimate by somebody's word, for ``why``, is no measurement either."""
        return replace(self, scope=scope, doubt=why if scope == ESTIMATE else "")

    def aligned(self) -> Aligned | None:
        """Samples of both at the same time; None where nothing was measured."""
        if self.series is not None:
            return align(*self.series)
        return None if self.samples is None else Aligned(self.samples, 0.0, ())


def rank(name: str) -> tuple[tuple[int, int, str], ...]:
    """By which nodes are in order for a person: worker-2 before worker-10."""
    parts = re.findall(r"\d+|\D+", name)
    return tuple((0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts)
