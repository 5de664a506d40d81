"""Draws the predictions: one panel for each node with what its predictor answered, the curve and its envelope.

Where the repair moved a prediction, a bar leads from the answer to the curve. Needs matplotlib, an optional dependency,
and imports it only when a picture is drawn. Does not use pyplot, so it needs no display. Does not write files.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.files.pictures import PanelGrid
from peaks_scheduler.power.curves import Curve
from peaks_scheduler.power.predictions import rising
from peaks_scheduler.settings.sensors import UNITS

from .node_curve import COUNTS, NodeCurve
from .report import SHORT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_PANELS = 12
"""Most nodes in one picture: more would be too small to read."""

_GRID = np.linspace(0.0, 1.0, 201)
_SEEN = 0.002  # of the shown range: a smaller change would be no bar
# Okabe and Ito's colours, which colour-blind people can tell apart
_POINTS, _CURVE, _ENVELOPE, _CHANGED, _NOW = "#555555", "#0072B2", "#D55E00", "#CC79A7", "#009E73"
_LABELS = _ANSWERS, _LINE, _HULL, _MOVED, _USE = (
    "as predicted",
    "curve",
    "its convex envelope",
    "changed, so that it does not fall",
    "present CPU use",
)
_VERDICTS = {COUNTS: "#007A53", "does not count": "#B3261E", "": "#555555"}


def picture(nodes: Sequence[NodeCurve], form: str = "png") -> bytes:
    """The content of an image file of this format: a panel for each of the first MOST_PANELS nodes."""
    return panel_grid().picture(nodes, form)


def panel_grid() -> PanelGrid[NodeCurve]:
    """How the panels are laid out."""
    return PanelGrid(_panel, _LABELS, MOST_PANELS, 3.3, 3)


def _panel(panel: Axes, node: NodeCurve, alone: bool) -> None:
    title = f"{node.name}: {node.verdict or 'no predictor'}"
    panel.set_title(title, loc="left", color=_VERDICTS[node.verdict], fontweight="bold", fontsize=11)
    panel.set_xlim(-2, 102)
    panel.grid(color="#DDDDDD", linewidth=0.6)
    panel.spines[["top", "right"]].set_visible(False)
    if node.verdict and not node.answer.counts:
        panel.set_facecolor("#FBEFEE")
    shown = np.concatenate([_points(panel, node), _drawn(panel, node)])
    lines = _caption(node, 88 if alone else 44)
    if shown.size:
        low, high = float(shown.min()), float(shown.max())
        margin = 0.08 * (high - low) or 1.0
        panel.set_ylim(low - margin, high + (1.0 + (0.7 if alone else 1.25) * len(lines)) * margin)
        _changes(panel, node, high - low)
    else:
        panel.set_yticks([])
    if node.use is not None and node.curve is not None:
        panel.axvline(100 * node.use, color=_NOW, linewidth=1.2, linestyle=":", label=_USE, zorder=1)
    text = panel.text(0.02, 0.98, "\n".join(lines), transform=panel.transAxes, va="top", fontsize=8, color="#333333")
    text.set_in_layout(False)


def _points(panel: Axes, node: NodeCurve) -> Floats:
    """Draw the answers as they came. Returns the powers that the panel must show."""
    cpu, watts = node.answer.cpu, node.answer.watts
    finite = np.isfinite(watts)
    if not finite.any():
        return np.zeros(0)
    panel.scatter(100 * cpu[finite], watts[finite], s=14, color=_POINTS, linewidths=0, label=_ANSWERS, zorder=4)
    return np.asarray(watts[finite])


def _drawn(panel: Axes, node: NodeCurve) -> Floats:
    """Draw the curve and its envelope. Returns the powers that the panel must show."""
    if (curve := node.curve) is None:
        return np.zeros(0)
    watts = _watts(curve)
    panel.plot(100 * _GRID, watts, color=_CURVE, linewidth=2.0, label=_LINE, zorder=3)
    envelope = _watts(curve.envelope())
    if np.max(watts - envelope) > 1e-3 * float(np.ptp(watts)):
        panel.plot(100 * _GRID, envelope, color=_ENVELOPE, linewidth=1.3, linestyle="-.", label=_HULL, zorder=2)
    return watts


def _watts(curve: Curve) -> Floats:
    return np.array([curve.watts(float(u)) for u in _GRID])


def _changes(panel: Axes, node: NodeCurve, height: float) -> None:
    """Draw a bar from each answer that the repair moved to where it was moved."""
    cpu, watts = node.answer.cpu, node.answer.watts
    if not len(watts) or not np.isfinite(watts).all():
        return
    repaired = rising(cpu[None, :], watts[None, :])[0][0]
    moved = np.abs(repaired - watts) > _SEEN * height
    if moved.any():
        panel.vlines(
            100 * cpu[moved], watts[moved], repaired[moved], color=_CHANGED, linewidth=3.0, label=_MOVED, zorder=3.5
        )


def _caption(node: NodeCurve, width: int) -> list[str]:
    """Model, sensors and the jump; for predictions that do not count the reason."""
    lines = [node.predictor.partition(" ")[2]] if node.predictor and width > 60 else []
    sensors = [
        f"{signal} {each.value:.4g} {SHORT.get(UNITS.get(signal, ''), '')}".rstrip()
        for signal, each in sorted(node.answer.readings.items())
    ]
    lines += [", ".join(sensors)] if sensors else []
    if (jump := node.jump()) is not None:
        at = "at most" if node.use is None else f"at {100 * node.use:.0f} % use"
        lines.append(f"a pod of 10 %: {jump:.2f} W {at}")
        lines += [f"changed by up to {node.answer.change:.2g} W"] if node.answer.change else []
    elif node.reasons:
        lines += textwrap.wrap(node.reasons[0], width, max_lines=4, placeholder=" …")
    return [line if len(line) <= width else f"{line[: width - 1]}…" for line in lines]
