"""Draws a simulation: power over time, energy by strategy, CO2 by strategy, CPU use by node. As SVG and as PNG.

All of it is black, white and grey: lines differ by style, bars by hatches, and numbers stand beside the bars. The same
results give the same bytes. Needs matplotlib, imports it only to draw, and uses no display. Writes no files.
"""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.simulation.case import Replay
from peaks_scheduler.simulation.cluster import SimulatedNode
from peaks_scheduler.simulation.levels import level_watts
from peaks_scheduler.simulation.measurement import Kpis, Measurement

from .seeds import Mean, by_strategy, mean_of
from .series import averages, thinned
from .tables import Results

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_POINTS = 2000
"""Most steps of one line; a longer series is averaged over equal spans of time."""
MOST_PANELS = 15
"""Most strategies in a figure of panels."""
MOST_BANDS = 200
"""Most rows of a map of nodes; more nodes are averaged."""

_SPANS = 240  # columns of a map of nodes
_COLUMNS = 3
_DPI = 144
_STYLE = {
    "svg.hashsalt": "peaks-scheduler",
    "svg.fonttype": "path",
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "hatch.linewidth": 0.6,
}
_NO_METADATA = {"svg": {"Date": None, "Creator": None, "Format": None, "Type": None}, "png": {"Software": None}}


@dataclass(frozen=True, slots=True)
class Picture:
    """One figure in both formats."""

    name: str
    """Of its files, without an ending."""
    title: str
    caption: str
    """What it shows, in sentences."""
    svg: bytes
    png: bytes


@dataclass(frozen=True, slots=True)
class _Unit:
    name: str
    size: float
    """In seconds, watts, kWh or kg."""


def draw(results: Results) -> list[Picture]:
    """The figures of these results. Raises ImportError without matplotlib, OSError where it cannot keep its files."""
    import matplotlib.style

    with matplotlib.style.context(["default", _STYLE]):
        return [_power(results), _energy(results), *_carbon(results), _use(results)]


def _power(results: Results) -> Picture:
    shown = first_seeds(results)
    ends = [measurement.series.end_s for _, measurement in shown]
    peak = max(float(measurement.series.watts.max(initial=0.0)) for _, measurement in shown)
    time, power = _time_unit(max(ends)), _Unit("kW", 1000.0) if peak >= 10_000.0 else _Unit("W", 1.0)
    figure, panels = _panels(len(shown), 2.1)
    keys: list[Artist] = []
    for panel, (replay, measurement) in zip(panels, shown, strict=True):
        keys = _power_panel(panel, measurement, time, power)
        panel.set_title(replay.case.strategy, loc="left")
        panel.set_xlim(0.0, max(ends) / time.size or 1.0)  # no pod ran: there is no time
        panel.set_ylim(0.0, 1.05 * peak / power.size or 1.0)
    _outer_labels(panels, f"time [{time.name}]", f"power [{power.name}]")
    names = ["power drawn", "lower bound", "between them"]
    figure.legend(keys, names, loc="outside upper right", ncols=3, frameon=False)
    caption = (
        "Power of all nodes together, and the least that any placement of the same use could draw at that moment. The "
        "grey area between the two is what better placement could have saved."
    )
    return _picture(figure, "power", "Power over time", caption + _left_out(results, shown))


def _power_panel(panel: Axes, measurement: Measurement, time: _Unit, power: _Unit) -> list[Artist]:
    series = measurement.series
    times, watts = thinned(series.times, series.watts, series.end_s, MOST_POINTS)
    _, bound = thinned(series.times, series.bound, series.end_s, MOST_POINTS)
    x, drawn, least = times / time.size, watts / power.size, bound / power.size
    area = panel.fill_between(x, least, drawn, step="post", color="0.8", linewidth=0.0)
    (line,) = panel.plot(x, drawn, drawstyle="steps-post", color="black", linewidth=1.0)
    (dashes,) = panel.plot(x, least, drawstyle="steps-post", color="0.25", linewidth=1.0, linestyle=(0, (3, 1.5)))
    return [line, dashes, area]


def _energy(results: Results) -> Picture:
    rows = by_strategy(results)
    caption = (
        "Energy from the start until the strategy's last pod ends, by strategy. The hatched part is the least that any "
        "placement of the same use could have needed, and the percentage what lies above it."
    )
    if any(len(of) > 1 for of in rows.values()):
        caption += " Whiskers: 95 % interval of the mean over the seeds."
    figure = _bars(rows, lambda row: row.energy_kwh, lambda row: row.bound_kwh, "energy [kWh]")
    return _picture(figure, "energy", "Energy by strategy", caption)


def _carbon(results: Results) -> list[Picture]:
    rows = by_strategy(results)
    if any(row.co2_kg is None for of in rows.values() for row in of):
        return []
    caption = "Carbon dioxide of the energy, by strategy."
    if any(row.co2_bound_kg is not None for of in rows.values() for row in of):
        caption += (
            " The hatched part is the least that any placement could have caused with perfect foresight and the same "
            "deadlines."
        )
    figure = _bars(rows, lambda row: row.co2_kg, lambda row: row.co2_bound_kg, "CO2 [kg]")
    return [_picture(figure, "co2", "CO2 by strategy", caption)]


def _bars(
    rows: dict[str, list[Kpis]],
    figure_of: Callable[[Kpis], float | None],
    least_of: Callable[[Kpis], float | None],
    label: str,
) -> Figure:
    """A bar for each strategy, the lowest on top; its lower bound hatched."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    means = {name: (mean_of(of, figure_of) or Mean(0.0, None), mean_of(of, least_of)) for name, of in rows.items()}
    names = sorted(means, key=lambda name: means[name][0].value)
    figure = Figure(figsize=(9.0, 1.2 + 0.36 * len(names)), layout="constrained")
    panel = figure.subplots()
    for place, name in enumerate(names):
        _bar(panel, place, *means[name])
    panel.set_yticks(range(len(names)), names)
    panel.tick_params(axis="y", length=0)
    panel.set_ylim(len(names) - 0.5, -0.5)  # the first on top
    panel.set_xlim(0.0, 1.36 * max(mean.value + (mean.margin or 0.0) for mean, _ in means.values()) or 1.0)
    panel.set_xlabel(label)
    if any(least is not None for _, least in means.values()):
        keys = [Patch(facecolor="white", edgecolor="black", hatch="////"), Patch(facecolor="0.82", edgecolor="black")]
        figure.legend(keys, ["lower bound", "above it"], loc="outside upper right", ncols=2, frameon=False)
    return figure


def _bar(panel: Axes, place: int, mean: Mean, least: Mean | None) -> None:
    panel.barh(place, mean.value, height=0.62, facecolor="0.82", edgecolor="black", linewidth=0.8)
    if least is not None:
        panel.barh(place, least.value, height=0.62, facecolor="white", edgecolor="black", linewidth=0.8, hatch="////")
    text = f"{significant(mean.value)}"
    if mean.margin is not None:
        panel.errorbar(mean.value, place, xerr=mean.margin, color="black", linewidth=1.2, capsize=4)
        text += f" ± {significant(mean.margin, 2)}"
    if least is not None and least.value > 0.0:
        text += f"  (+{100.0 * (mean.value / least.value - 1.0):.1f} %)"
    panel.annotate(text, (mean.value + (mean.margin or 0.0), place), (5, 0), textcoords="offset points", va="center")


def _use(results: Results) -> Picture:
    from matplotlib.ticker import MaxNLocator

    shown = first_seeds(results)
    end = max(measurement.series.end_s for _, measurement in shown)
    time = _time_unit(end)
    order = thrifty_first(shown[0][0].case.nodes)
    figure, panels = _panels(len(shown), 2.3)
    image = None
    for panel, (replay, measurement) in zip(panels, shown, strict=True):
        use = use_map(order, measurement, end)
        extent = (0.0, end / time.size or 1.0, len(order) + 0.5, 0.5)
        image = panel.imshow(
            100.0 * use, cmap="Greys", vmin=0.0, vmax=100.0, aspect="auto", interpolation="nearest", extent=extent
        )
        panel.set_title(replay.case.strategy, loc="left")
        panel.yaxis.set_major_locator(MaxNLocator(integer=True))
        panel.spines[["top", "right"]].set_visible(True)
    _outer_labels(panels, f"time [{time.name}]", "node, thriftiest first")
    assert image is not None
    figure.colorbar(image, ax=panels, label="CPU use [%]", shrink=0.9, aspect=30)
    caption = (
        "Use of each node's CPUs: white is idle, black is full. The nodes are in the same order everywhere: at the top "
        "the one with the fewest watts a core at full load."
    )
    if len(order) > MOST_BANDS:
        caption += f" Each of the {MOST_BANDS} rows is the mean of some of the {len(order)} nodes."
    return _picture(figure, "use", "CPU use by node", caption + _left_out(results, shown))


def use_map(order: Sequence[SimulatedNode], measurement: Measurement, end_s: float) -> Floats:
    """(rows, spans) mean use [fraction] of the nodes in this order over equal spans from 0 to ``end_s``.

    Nothing runs after the strategy's own end. A row is one node, or the mean of several where there are many.
    """
    edges = np.linspace(0.0, end_s or 1.0, _SPANS + 1)
    rows = min(len(order), MOST_BANDS)
    band = np.arange(len(order)) * rows // len(order)
    total = np.zeros((rows, _SPANS))
    for row, node in zip(band, order, strict=True):
        series = measurement.nodes[node.name]
        total[row] += averages(series.times, series.cores, measurement.series.end_s, edges) / node.cpu_cores
    use: Floats = total / np.bincount(band)[:, None]
    return use


def thrifty_first(nodes: Sequence[SimulatedNode]) -> list[SimulatedNode]:
    """The nodes by watts a core at full load, then name."""
    return sorted(nodes, key=lambda node: (level_watts(node)[-1] / node.cpu_cores, node.name))


def first_seeds(results: Results) -> list[tuple[Replay, Measurement]]:
    """The first result of each strategy, of at most ``MOST_PANELS`` strategies."""
    first: dict[str, tuple[Replay, Measurement]] = {}
    for replay, measurement in results:
        first.setdefault(replay.case.strategy, (replay, measurement))
    return list(first.values())[:MOST_PANELS]


def significant(value: float, digits: int = 4) -> str:
    """A number for reading: so many digits, whole thousands with separators, no exponent."""
    if value == 0.0 or not math.isfinite(value):
        return "0" if value == 0.0 else "-"
    rounded = float(f"{value:.{digits}g}")  # 0.99999 counts as 1.000
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    return f"{value:,.{decimals}f}"


def _left_out(results: Results, shown: Sequence[object]) -> str:
    strategies = {replay.case.strategy for replay, _ in results}
    parts = []
    if len(strategies) > len(shown):
        parts.append(f" The first {len(shown)} of {len(strategies)} strategies.")
    if len(results) > len(strategies):
        parts.append(" Of each strategy its first seed.")
    return "".join(parts)


def _panels(count: int, height: float) -> tuple[Figure, list[Axes]]:
    """A figure with so many panels of common axes."""
    from matplotlib.figure import Figure

    columns = _columns(count)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(9.0, 0.9 + height * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for panel in grid.flat[count:]:
        panel.set_visible(False)
    for panel in grid.flat[max(0, count - columns) : count]:
        panel.xaxis.set_tick_params(labelbottom=True)
    return figure, list(grid.flat[:count])


def _outer_labels(panels: Sequence[Axes], x: str, y: str) -> None:
    columns = _columns(len(panels))
    for panel in panels[-columns:]:
        panel.set_xlabel(x)
    for panel in panels[::columns]:
        panel.set_ylabel("\n".join(textwrap.wrap(y, 24)))


def _columns(count: int) -> int:
    return 2 if count == 4 else min(_COLUMNS, count)


def _time_unit(end_s: float) -> _Unit:
    for name, size in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if end_s >= 3.0 * size:
            return _Unit(name, size)
    return _Unit("s", 1.0)


def _picture(figure: Figure, name: str, title: str, caption: str) -> Picture:
    svg = _saved(figure, "svg")
    figure.set_layout_engine("none")  # the places are found; finding them again would take as long as the drawing
    return Picture(name, title, caption, svg, _saved(figure, "png"))


def _saved(figure: Figure, form: str) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format=form, dpi=_DPI, metadata=_NO_METADATA[form])
    return file.getvalue()
