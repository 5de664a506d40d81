"""``python -m benchmarks.study.figure RESULTS.json FILE.svg``: the study of strategies as a figure.

Left: how the envelope differs from the curve, on a made-up server. Right: the results of
``benchmarks --only strategies --output RESULTS.json``. Needs matplotlib.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure as Drawing

from benchmarks.figures import Figure, Results, load
from benchmarks.strategies import FILLED, FITTED, PART, TRUE
from benchmarks.study.runs import LOADS
from benchmarks.study.servers import LEVELS
from peaks_scheduler.power.curves import Piecewise

EXAMPLE = Piecewise(LEVELS, (60.0, 105.0, 118.0, 131.0, 145.0, 160.0, 178.0, 200.0, 228.0, 258.0, 290.0))
LINES = (  # subject, which figures, how it is drawn
    ("most-allocated", TRUE, {"color": "tab:gray", "linestyle": "--"}),
    ("least-allocated", TRUE, {"color": "tab:gray"}),
    ("jump", FITTED, {"color": "tab:orange", "linestyle": "--"}),
    ("jump", TRUE, {"color": "tab:orange"}),
    ("envelope", FITTED, {"color": "tab:blue", "linestyle": "--"}),
    ("envelope", TRUE, {"color": "tab:blue"}),
)


def draw(results: Results, file: Path) -> None:
    mpl.rcParams.update({"svg.hashsalt": "strategies", "svg.fonttype": "none", "font.size": 9})
    drawing = Drawing(figsize=(9.0, 4.0), layout="constrained")
    left, right = drawing.subplots(1, 2)
    _curve(left)
    for subject, known, style in LINES:
        label = subject if subject.endswith("allocated") else f"{subject}, {known}"
        _line(right, [_found(results, f"{FILLED}, {known}, {each:.0%} load", subject) for each in LOADS], label, style)
    right.set(xlabel="load [% of all threads]", ylabel="power above the bound [%]", yscale="log", ylim=(0.01, 100))
    right.set_yticks([0.01, 0.1, 1, 10, 100], ["0.01", "0.1", "1", "10", "100"])
    right.legend(fontsize=7.5, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.01))
    drawing.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)


def _curve(axes: Any) -> None:
    envelope = EXAMPLE.envelope()
    percent = [100 * each for each in LEVELS]
    axes.plot(percent, EXAMPLE.power, "o-", color="tab:orange", markersize=3, label="power (made up)")
    axes.plot(percent, [envelope.watts(each) for each in LEVELS], color="tab:blue", label="its lower convex envelope")
    arrow = {"arrowstyle": "-", "color": "gray"}
    axes.annotate(
        "jump: the first step is the dearest,\nso the server is left idle", (4, 79), (22, 62), arrowprops=arrow
    )
    axes.annotate("envelope: what a thread\ncosts here in the end", (38, 135), (50, 105), arrowprops=arrow)
    axes.set(xlabel="CPU use [%]", ylabel="power [W]", ylim=(50, 300))
    axes.legend(fontsize=7.5, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.01))


def _line(axes: Any, found: list[Figure], label: str, style: dict[str, str]) -> None:
    """The median of all clusters, and the range from the least to the most."""
    percent = [100 * each for each in LOADS]
    axes.plot(percent, [each.middle for each in found], marker="o", markersize=3, label=label, **style)
    if style.get("linestyle") is None:
        low, high = ([pick(each.values) for each in found] for pick in (min, max))
        axes.fill_between(percent, low, high, color=style["color"], alpha=0.15, linewidth=0)


def _found(results: Results, name: str, subject: str) -> Figure:
    figure = results.figure(PART, name, subject)
    assert figure is not None, f"the results have no {name!r} of {subject}: --only strategies"
    return figure


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m benchmarks.study.figure RESULTS.json FILE.svg")
    draw(load(Path(sys.argv[1])), Path(sys.argv[2]))
