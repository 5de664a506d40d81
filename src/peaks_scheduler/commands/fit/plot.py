"""Draws the fits: one panel for each node with its samples, curve, band and envelope.

Needs matplotlib, an optional dependency, and imports it only when a picture is drawn. Does not use pyplot, so it needs
no display. Does not write files.

With temperatures the samples are coloured by them, and the curve is drawn at three of them too.

The curve is solid where it was measured and dashed beyond. The band contains the curve with 95 % probability. The
envelope is drawn where it differs from the curve; the strategy ``envelope`` computes costs with it.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.files.pictures import PanelGrid
from peaks_scheduler.power.curves import Curve
from peaks_scheduler.power.temperature import TemperatureTerm

from .node_fit import NodeFit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.colors import Colormap

MOST_PANELS = 24
"""Most nodes in one picture: more would be too small to read."""

_MOST_POINTS = 3000  # samples of one panel
_GRID = np.linspace(0.0, 1.0, 201)
# Okabe and Ito's colours, which colour-blind people can tell apart
_POINTS, _CURVE, _ENVELOPE = "#777777", "#0072B2", "#D55E00"
_LABELS = _SAMPLES, _MEASURED, _BEYOND, _BAND, _HULL = (
    "samples",
    "curve",
    "curve beyond what was measured",
    "where it lies with 95 % probability",
    "its convex envelope",
)
_WARM = "curve at the coolest, middle and hottest temperature"
_COLD_TO_HOT = ("#2166AC", "#8A4F9E", "#B2182B")  # no light colour between: lines have these colours too
_VERDICTS = {"good": "#007A53", "usable": "#9A6700", "refused": "#B3261E"}


def picture(nodes: Sequence[NodeFit], form: str = "png") -> bytes:
    """The content of an image file of this format: a panel for each of the first MOST_PANELS nodes."""
    return PanelGrid(_panel, (*_LABELS, _WARM), MOST_PANELS, 3.1, 2).picture(nodes, form)


def _panel(panel: Axes, node: NodeFit, alone: bool) -> None:
    colour = _VERDICTS[node.verdict]
    panel.set_title(f"{node.node}: {node.verdict}", loc="left", color=colour, fontweight="bold", fontsize=11)
    panel.set_xlim(-2, 102)
    panel.grid(color="#DDDDDD", linewidth=0.6)
    panel.spines[["top", "right"]].set_visible(False)
    if node.verdict == "refused":
        panel.set_facecolor("#FBEFEE")
    tops = _points(panel, node)
    if node.fit is not None and node.fit.curve is not None:
        curve = _drawn(panel, node, node.fit.curve)
        if node.verdict == "refused" and tops.size:  # a bad curve must not make the samples small
            curve = np.clip(curve, tops.min() - 2.0 * np.ptp(tops), tops.max() + 2.0 * np.ptp(tops))
        tops = np.concatenate([tops, curve])
    if tops.size:
        low, high = float(tops.min()), float(tops.max())
        margin = 0.08 * (high - low) or 1.0
        panel.set_ylim(low - margin, high + (4.0 if node.verdict == "refused" else 2.5) * margin)
    _caption(panel, node, alone)


def _points(panel: Axes, node: NodeFit) -> Floats:
    """Draw the samples. Returns the powers that the panel must show."""
    if node.samples is None or not len(samples := node.samples.usable()):
        return np.zeros(0)
    every = max(1, math.ceil(len(samples) / _MOST_POINTS))
    cpu, watts = samples.cpu[::every], samples.watts[::every]
    alpha = float(np.clip(6.0 / math.sqrt(len(cpu)), 0.12, 0.8))
    size = 30 if len(cpu) <= 50 else 12
    look: dict[str, Any] = {"s": size, "alpha": alpha, "linewidths": 0, "zorder": 3}
    celsius = None if samples.celsius is None else samples.celsius[::every]
    if celsius is None or not (known := np.isfinite(celsius)).any():
        panel.scatter(100 * cpu, watts, color=_POINTS, label=_SAMPLES, **look)
    else:
        panel.scatter(100 * cpu[~known], watts[~known], color=_POINTS, **look)
        points = panel.scatter(
            100 * cpu[known], watts[known], c=celsius[known], cmap=_colours(), label=_SAMPLES, **look
        )
        _scale(panel, points)
    # a few outliers must not flatten the rest
    low, high = np.quantile(watts, [0.002, 0.998])
    room = 0.5 * (high - low)
    return np.array([max(watts.min(), low - room), min(watts.max(), high + room)])


def _colours() -> Colormap:
    """Of temperatures, from cold to hot."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("temperature", _COLD_TO_HOT)


def _scale(panel: Axes, points: PathCollection) -> None:
    """A bar beside the panel that says which colour is which temperature."""
    bar = panel.get_figure().colorbar(points, ax=panel, pad=0.02, aspect=30)  # type: ignore[union-attr]
    if bar.solids is not None:
        bar.solids.set_alpha(1.0)
    bar.ax.set_title("°C", fontsize=8)
    bar.ax.tick_params(labelsize=8)


def _warm_curves(panel: Axes, term: TemperatureTerm, watts: Floats) -> Floats:
    """Draw the curve at three temperatures. (M,) [W] at the reference. Returns the powers that the panel must show."""
    low = term.reference if term.coolest is None else term.coolest
    high = term.most if term.hottest is None else term.hottest
    shown = watts
    for place, celsius in zip((0.0, 0.5, 1.0), (low, (low + high) / 2.0, high), strict=True):
        base, slope = term.above(celsius)
        colour = _colours()(place)
        shown = watts + base + slope * _GRID
        panel.plot(100 * _GRID, shown, color=colour, linewidth=1.8, zorder=4, label=_WARM if place == 1.0 else None)
    return shown


def _drawn(panel: Axes, node: NodeFit, curve: Curve) -> Floats:
    """Draw the curve, its band and its envelope. Returns the powers that the panel must show."""
    fit, x = node.fit, 100 * _GRID
    assert fit is not None
    watts = _watts(curve)
    low, high = fit.interval(_GRID)
    first, last = fit.quality.cpu_min or 0.0, fit.quality.cpu_max or 1.0
    measured = np.clip(_GRID, first, last) == _GRID
    if np.isfinite(low).any():
        panel.fill_between(x, low, high, color=_CURVE, alpha=0.1, linewidth=0)
        panel.fill_between(x, low, high, where=measured, color=_CURVE, alpha=0.12, linewidth=0, label=_BAND)
    panel.plot(x, watts, color=_CURVE, linewidth=1.3, linestyle=(0, (4, 2.5)), label=_BEYOND)
    panel.plot(x, np.where(measured, watts, np.nan), color=_CURVE, linewidth=2.2, label=_MEASURED)
    envelope = _watts(curve.envelope())
    if np.max(watts - envelope) > 1e-3 * float(np.ptp(watts)):
        panel.plot(x, envelope, color=_ENVELOPE, linewidth=1.2, linestyle="-.", label=_HULL)
    if node.heat is not None and node.heat.term is not None:
        return np.concatenate([watts, _warm_curves(panel, node.heat.term, watts)])
    return watts


def _watts(curve: Curve) -> Floats:
    return np.array([curve.watts(float(u)) for u in _GRID])


def _caption(panel: Axes, node: NodeFit, alone: bool) -> None:
    """Write the kind of curve and its error in the upper left; for a refused node also the reason."""
    quality = node.quality
    lines = []
    if node.fit is not None and node.fit.curve is not None:
        lines.append(node.fit.curve.kind)
        if quality.rmse_watts is not None:
            lines.append(f"RMSE {quality.rmse_watts:.1f} W, {quality.samples} samples")
    width = 90 if alone else 46
    if node.verdict == "refused" and node.reasons:
        lines += textwrap.wrap(node.reasons[0], width, max_lines=3, placeholder=" …")
    text = panel.text(0.02, 0.97, "\n".join(lines), transform=panel.transAxes, va="top", fontsize=8, color="#333333")
    text.set_in_layout(False)
