"""Pictures that commands write: their formats, and a grid of panels of power over CPU use.

Needs matplotlib, an optional dependency, and imports it only when a picture is drawn. Does not use pyplot, so it needs
no display. Does not write files.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from peaks_scheduler.errors import ConfigurationError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

T = TypeVar("T")

FORMATS = ("png", "svg", "pdf")
_DPI = 120
_COLUMNS = 4


def picture_format(option: str, path: str) -> str:
    """The format that the file's name asks for. Raises ConfigurationError for another one, or without matplotlib."""
    ending = PurePath(path).suffix.removeprefix(".").lower()
    if ending not in FORMATS:
        raise ConfigurationError(f"{option} {path}: expected a file that ends in {', '.join('.' + e for e in FORMATS)}")
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(
            f"{option} needs matplotlib, which is not there ({error}): install it by pip install "
            "'peaks-scheduler[plot]'"
        ) from error
    except OSError as error:  # neither a home nor a temporary folder
        raise ConfigurationError(
            f"{option} {path}: expected a folder in which matplotlib can keep its list of fonts; got: {error}. "
            "Set MPLCONFIGDIR to a folder that can be written to."
        ) from error
    return ending


@dataclass(frozen=True, slots=True)
class PanelGrid(Generic[T]):
    """A panel for each node, and one legend below them all."""

    draw: Callable[[Axes, T, bool], None]
    """Draws one node's panel; the last argument: is it the only one?"""
    labels: Sequence[str]
    """What may be in the legend, in its order."""
    most: int
    """Most nodes in one picture: more would be too small to read."""
    row_height: float
    """[inches]"""
    narrow_legend: int
    """Columns of the legend where there are at most two of panels."""

    def picture(self, nodes: Sequence[T], form: str) -> bytes:
        """The content of an image file of this format, with the first ``most`` nodes."""
        file = io.BytesIO()
        self.figure(nodes[: self.most], len(nodes)).savefig(file, format=form, dpi=_DPI)
        return file.getvalue()

    def figure(self, nodes: Sequence[T], of: int) -> Figure:
        """The figure of these nodes, the first ones of so many."""
        from matplotlib.figure import Figure

        columns = min(_COLUMNS, max(1, math.ceil(math.sqrt(len(nodes)))))
        rows = max(1, math.ceil(len(nodes) / columns))
        size = (8.0, 5.6) if len(nodes) <= 1 else (4.0 * columns, self.row_height * rows + 0.7)
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False)
        seen: dict[str, Any] = {}
        for panel, node in zip(panels.flat, nodes, strict=False):
            self.draw(panel, node, len(nodes) == 1)
            seen |= {label: line for line, label in zip(*panel.get_legend_handles_labels(), strict=True)}
        for panel in panels.flat[len(nodes) :]:
            panel.set_visible(False)
        for panel in panels[:, 0]:
            panel.set_ylabel("power [W]")
        for panel in panels.flat[max(0, len(nodes) - columns) : len(nodes)]:
            panel.set_xlabel("CPU use [% of all cores]")
        if order := [label for label in self.labels if label in seen]:
            wide = 5 if columns > 2 else self.narrow_legend
            handles = [seen[label] for label in order]
            figure.legend(handles, order, loc="outside lower center", ncols=wide, frameon=False)
        if of > len(nodes):
            figure.suptitle(f"the first {len(nodes)} of {of} nodes")
        return figure
