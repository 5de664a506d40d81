"""The fits of the kinds of nodes behind one meter, as the other steps of ``fit`` take them."""

from __future__ import annotations

import math

import numpy as np

from peaks_scheduler.fitting.samples import Samples
from peaks_scheduler.fitting.shared import SharedFit, fit_shared
from peaks_scheduler.fitting.shared_alignment import Joined, join
from peaks_scheduler.fitting.shared_samples import SharedSamples
from peaks_scheduler.power.scope import ESTIMATE, WALL, Scope
from peaks_scheduler.text.words import plural

from .node_fit import NodeFit
from .shared_csv import SharedColumns, SharedMeasurements


def shared_fits(measured: SharedMeasurements, shared: SharedColumns, model: str, scope: Scope | None) -> list[NodeFit]:
    """A fit for each kind, ordered by name."""
    joined = join(measured.cpus, measured.power)
    samples = _samples(measured, joined)
    doubt = "--scope says so" if scope == ESTIMATE else ""
    found = fit_shared(samples, model, half_life=shared.half_life or math.inf, doubt=doubt)
    return [
        NodeFit(
            kind,
            fit,
            _of_kind(found, k),
            cpu_unit=measured.cpu_unit,
            notes=(_about(measured, kind, found), *joined.notes),
            asked={"sqrt": "piecewise"}.get(model, model),
            scope=scope or WALL,
            members=measured.kinds[kind],
            label=shared.label,
        )
        for k, (kind, fit) in enumerate(found.kinds.items())
    ]


def _samples(measured: SharedMeasurements, joined: Joined) -> SharedSamples:
    place = {name: i for i, name in enumerate(measured.cpus)}
    use = {kind: joined.use[:, [place[name] for name in names]] for kind, names in measured.kinds.items()}
    return SharedSamples(joined.watts, use, joined.time)


def _of_kind(found: SharedFit, k: int) -> Samples | None:
    """Mean use and power of the nodes of a kind, for the picture: what the other kinds draw is taken off."""
    if found.meter is None or found.family is None or found.solution is None:
        return None
    _, others = found.meter.share_of_watts(k, found.family, found.solution.parameters)
    use = list(found.meter.samples.use.values())[k]
    watts = (found.meter.samples.watts - others) / use.shape[1]
    return Samples(np.nanmean(use, axis=1), watts, found.meter.samples.time)


def _about(measured: SharedMeasurements, kind: str, found: SharedFit) -> str:
    own, all_nodes = len(measured.kinds[kind]), len(measured.cpus)
    how = "" if found.family is None else f", {found.family.name} chosen of linear, sqrt and piecewise"
    which = "" if own == all_nodes else f", {own} of this kind"
    return f"from the sum of the power of {plural(all_nodes, 'node')}{which}{how}; errors are those of the sum per node"
