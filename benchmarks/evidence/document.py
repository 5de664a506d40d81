"""The document: a template whose places are filled with measured texts, and the figures beside it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks import BenchmarkError

TEMPLATE = Path(__file__).with_name("template.md")
_PLACE = re.compile(r"\{\{([a-z0-9_.-]+)\}\}")


def filled(template: str, texts: Mapping[str, str]) -> str:
    """The template with a text in each place ``{{name}}``. Raises BenchmarkError for a place without a text, and for a
    text without a place."""
    places = set(_PLACE.findall(template))
    if wrong := places ^ set(texts):
        raise BenchmarkError(f"evidence: template and texts differ in {', '.join(sorted(wrong))}")
    return _PLACE.sub(lambda place: texts[place.group(1)], template)


def draw(drawing: Callable[[Any], None], file: Path, size: tuple[float, float] = (9.0, 3.6)) -> None:
    """Write one figure; the same bytes for the same figures."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    style = {
        "svg.hashsalt": "evidence",
        "svg.fonttype": "none",
        "font.size": 9,
        "axes.titlesize": 9,
        "axes.spines.top": False,
    }
    with mpl.rc_context(style | {"axes.spines.right": False}):
        figure = Figure(figsize=size, layout="constrained")
        drawing(figure)
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None, dpi=110)
