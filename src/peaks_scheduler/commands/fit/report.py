"""The results as text: a table with a line for each node, and below it the parameters and reasons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from peaks_scheduler.power.curves import Curve, Piecewise
from peaks_scheduler.text.printable import cell, cells, visible
from peaks_scheduler.text.table import aligned
from peaks_scheduler.text.words import few, plural

from .node_fit import NodeFit, number

MOST = 8192
"""Most characters of a line below the table."""
MOST_POINTS = 12
"""Most points of a piecewise curve below the table."""
_WORDS = ("node", "verdict", "confidence", "power of", "curve")
_NUMBERS = ("idle", "full", "RMSE", "CV RMSE", "R²", "samples", "CPU measured")
_HEADER = (*_WORDS, *_NUMBERS)
_WARM = "a kelvin warmer"


def as_table(nodes: Sequence[NodeFit]) -> str:
    """The table with a line for each node, and below it each node's parameters, reasons and notes."""
    warm = any(node.heat is not None for node in nodes)  # a column only where it was asked for
    header = (*_HEADER, _WARM) if warm else _HEADER
    rows = [header, *(cells((*_row(node), _per_kelvin(node)) if warm else _row(node)) for node in nodes)]
    lines = aligned(rows, range(len(_WORDS), len(header)))
    for node in nodes:
        about = [*_parameters(node), *_heat(node), *(f"{node.verdict}: {reason}" for reason in node.reasons)]
        about += [f"note: {note}" for note in node.notes]
        lines += ["", cell(node.node), *(f"  {cell(line, MOST)}" for line in about)]
    return "\n".join(lines)


def summary(nodes: Sequence[NodeFit]) -> str:
    """``3 nodes: 1 good, 1 usable, 1 refused (worker-3)``; of kinds of nodes behind one meter ``2 kinds: ..``."""
    counts = Counter(node.verdict for node in nodes)
    refused = [node.node for node in nodes if node.verdict == "refused"]
    parts = [f"{counts[verdict]} {verdict}" for verdict in ("good", "usable", "refused") if counts[verdict]]
    names = f" ({visible(few(refused))})" if refused else ""
    what = "kind" if any(node.members for node in nodes) else "node"
    return f"{plural(len(nodes), what)}: {', '.join(parts)}{names}"


def _row(node: NodeFit) -> tuple[str, ...]:
    quality, curve = node.quality, node.fit.curve if node.fit else None
    low, high = number(quality.cpu_min), number(quality.cpu_max)
    return (
        node.node,
        node.verdict,
        node.confidence,
        node.scope or "-",
        curve.kind if curve else "-",
        _watts(curve.watts(0.0) if curve else None),
        _watts(curve.watts(1.0) if curve else None),
        _watts(quality.rmse_watts, 2),
        _watts(quality.cv_rmse_watts, 2),
        "-" if (r2 := number(quality.r2)) is None else f"{round(r2, 3) + 0.0:.3f}",
        str(quality.samples or 0),
        "-" if low is None or high is None else f"{100 * low:.0f}-{100 * high:.0f} %",
    )


def _per_kelvin(node: NodeFit) -> str:
    """``0.41-1.62 W``: what a kelvin costs at no load and at full load."""
    if node.heat is None or (term := node.heat.term) is None:
        return "refused"
    return f"{term.idle:.2f}-{term.full:.2f} W"


def _heat(node: NodeFit) -> list[str]:
    """The term of temperature with its errors, or why there is none."""
    if node.heat is None:
        return []
    if (term := node.heat.term) is None or node.heat.errors is None:
        return [f"temperature refused: {reason}" for reason in node.heat.reasons]
    idle, full = (_known(value, error) for value, error in zip((term.idle, term.full), node.heat.errors, strict=True))
    reference = _known(term.reference, node.heat.reference_error)
    seen = (
        "" if term.coolest is None or term.hottest is None else f" ({term.coolest:.1f} to {term.hottest:.1f} measured)"
    )
    return [
        f"each kelvin of {term.signal} above {reference} celsius{seen}: + {idle} W at no load, "
        f"+ {full} W at full load; the curve is the one at that temperature"
    ]


def _watts(value: float | None, digits: int = 1) -> str:
    return "-" if (known := number(value)) is None else f"{known:.{digits}f} W"


def _parameters(node: NodeFit) -> list[str]:
    """``watts = k0 + k1*exp(k2*u): k0 = 179.6 ± 1.2 W, ...``, u the fraction of CPU in use."""
    if node.fit is None or (curve := node.fit.curve) is None:
        return []
    errors = node.standard_errors() or (None,) * len(curve.parameters)
    if isinstance(curve, Piecewise):
        points = _told(list(zip(curve.cpu, curve.power, errors, strict=True)))
        return ["straight lines through " + ", ".join(f"{100 * u:.0f} %: {_known(w, e)} W" for u, w, e in points)]
    values = [
        f"{name} = {_known(getattr(curve, name), error)}{'' if name == 'k2' else ' W'}"
        for name, error in zip(curve.parameters, errors, strict=True)
    ]
    return [f"{_formula(curve)}: {', '.join(values)}"]


def _told(points: list[tuple[float, float, float | None]]) -> list[tuple[float, float, float | None]]:
    """All points of a curve; of many those next to whole tenths of full load, and to 5 %."""
    if len(points) <= MOST_POINTS:
        return points
    near = [
        min(points, key=lambda point: abs(point[0] - level)) for level in (0.0, 0.05, *(k / 10 for k in range(1, 11)))
    ]
    return list(dict.fromkeys(near))


def _formula(curve: Curve) -> str:
    match curve.kind:
        case "exponential":
            return "watts = k0 + k1*exp(k2*u)"
        case "idle-exponential":
            return f"a line from idle to u = {getattr(curve, 'knee', 0.1):g}, beyond it k0 + k1*exp(k2*u)"
    return "a line from idle to max"


def _known(value: float, error: float | None) -> str:
    known = number(error)
    return f"{value:.4g}" if known is None else f"{value:.4g} ± {known:.2g}"
