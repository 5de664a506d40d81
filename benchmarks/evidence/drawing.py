"""How things are drawn: told apart by markers and strokes, so that black and white will do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .statistics import Mean, number

STYLES = (
    {"color": "black", "marker": "o", "linestyle": "-"},
    {"color": "0.35", "marker": "s", "linestyle": "--"},
    {"color": "0.55", "marker": "^", "linestyle": "-."},
    {"color": "0.2", "marker": "D", "linestyle": ":"},
    {"color": "0.6", "marker": "v", "linestyle": "-"},
    {"color": "0.45", "marker": "x", "linestyle": "--"},
    {"color": "0.7", "marker": "P", "linestyle": ":"},
)
OF_STRATEGY = {"envelope": 0, "jump": 1, "least-allocated": 2, "jump-upstream": 3}
"""The place of its style: a strategy looks alike in all figures."""


def lines(axes: Any, xs: Sequence[float], found: Mapping[str, Sequence[Mean]]) -> None:
    """One line a name, with 95 % intervals."""
    for place, (name, means) in enumerate(found.items()):
        style: dict[str, Any] = dict(STYLES[OF_STRATEGY.get(name, place)])
        ys, halves = [each.value for each in means], [each.half for each in means]
        axes.errorbar(xs, ys, yerr=halves, label=name, capsize=2, markersize=4, linewidth=1.2, **style)


def bars(axes: Any, found: Mapping[str, Mean], unit: str, digits: int = 1) -> None:
    """Bars from left to right, the first name at the top, each with its number."""
    names, means = list(found), list(found.values())
    places = range(len(names))
    axes.barh(
        places,
        [each.value for each in means],
        xerr=[each.half for each in means],
        color="0.75",
        edgecolor="black",
        linewidth=0.8,
        capsize=2,
    )
    for place, each in zip(places, means, strict=True):
        axes.annotate(
            number(each.value, digits),
            (max(each.value + each.half, 0.0), place),
            (4, 0),
            textcoords="offset points",
            va="center",
        )
    axes.set_yticks(list(places), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlabel(unit)
    axes.set_xlim(0.0, 1.2 * max(each.value + each.half for each in means))
