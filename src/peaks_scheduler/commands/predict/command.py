"""``peaks-scheduler predict``: asks the sensors and predictors of some nodes once, shows the curves and writes them.

Owns the order of the steps: a wrong option fails before a server is asked, and the results are printed before the files
are written.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass

from peaks_scheduler.files.pictures import picture_format
from peaks_scheduler.files.writing import check_place, write_whole
from peaks_scheduler.settings.settings import Settings
from peaks_scheduler.text.terminal import note, say, show

from .asking import from_files, live
from .model_file import write_file
from .node_curve import NodeCurve
from .plot import MOST_PANELS, picture
from .report import as_table, summary


@dataclass(frozen=True, slots=True)
class PredictRequest:
    """The options of the command."""

    settings: Settings
    nodes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    plot: str | None = None
    out: str | None = None
    output: str = "table"
    words: str = ""
    """The command as it was typed, for the top of the model file."""


def run_predict(request: PredictRequest) -> int:
    """Ask, print and write. Returns the exit code: 0 if at least one node has a curve that counts, else 1.

    Raises ConfigurationError, KubeError.
    """
    form = picture_format("--plot", request.plot) if request.plot else ""
    for option, path in (("--plot", request.plot), ("--out", request.out)):
        if path:
            check_place(option, path)
    asked = asyncio.run(
        from_files(request.files, request.nodes, request.settings)
        if request.files
        else live(request.nodes, request.settings)
    )
    for text in asked.notes:
        note(text)
    if request.output == "json":
        show(json.dumps({"nodes": {node.name: node.as_json() for node in asked.nodes}}, indent=2, allow_nan=False))
    else:
        show(as_table(asked.nodes))
    say(summary(asked.nodes))
    _write(request, asked.nodes, form)
    return 0 if any(node.answer.counts for node in asked.nodes) else 1


def _write(request: PredictRequest, nodes: Sequence[NodeCurve], form: str) -> None:
    if request.plot:
        write_whole("--plot", request.plot, picture(_worth_a_panel(nodes), form))
        if len(nodes) > MOST_PANELS:
            note(f"{request.plot} shows {MOST_PANELS} of {len(nodes)} nodes; choose them by --node")
    if not request.out:
        return
    if not any(node.answer.counts for node in nodes):
        note(f"{request.out} is not written: no node's predictions count")
        return
    count = write_file(request.out, nodes, request.words)
    note(f"{request.out}: {count} of {len(nodes)} nodes; predicted, so `confidence: low`")


def _worth_a_panel(nodes: Sequence[NodeCurve]) -> list[NodeCurve]:
    """Nodes with a predictor first."""
    return sorted(nodes, key=lambda node: not node.verdict)
