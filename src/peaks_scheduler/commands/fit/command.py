"""``peaks-scheduler fit``: learns a power model for every node, shows it and writes it.

Owns the order of the steps: a wrong option fails before the work begins, and the results are printed before the files
are written. Assumes options that the command line has parsed. The verdicts come from ``peaks_scheduler.fitting``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from peaks_scheduler.errors import ModelFitError
from peaks_scheduler.files.pictures import picture_format
from peaks_scheduler.files.writing import check_place, write_whole
from peaks_scheduler.fitting.fit import fit
from peaks_scheduler.fitting.result import Fit
from peaks_scheduler.fitting.samples import Samples
from peaks_scheduler.fitting.temperature import TemperatureFit, fit_with_temperature
from peaks_scheduler.power.scope import Scope, scope_named_in
from peaks_scheduler.text.progress import ProgressBar
from peaks_scheduler.text.terminal import note, say, show

from .from_csv import CsvColumns, GivenUnits, from_csv
from .from_prometheus import PrometheusRequest, from_prometheus
from .node_fit import NodeFit, models_of, write_models
from .node_measurements import NodeMeasurements
from .plot import MOST_PANELS, picture
from .report import as_table, summary
from .shared_csv import SharedColumns, from_shared_csv
from .shared_fit import shared_fits


@dataclass(frozen=True, slots=True)
class FitRequest:
    """The options of the command."""

    source: CsvColumns | SharedColumns | PrometheusRequest
    units: GivenUnits
    model: str = "auto"
    plot: str | None = None
    out: str | None = None
    force: bool = False
    """Write refused nodes into the model file, too."""
    output: str = "table"
    scope: Scope | None = None
    """The scope of the watts; None: by the name of the series or column, else the whole machine."""
    signal: str | None = None
    """The signal that the temperatures are of; None: there are none to learn from."""
    words: str = ""
    """The command as it was typed, for the top of the model file."""


def run_fit(request: FitRequest) -> int:
    """Learn, print and write the models. Returns the exit code: 0 if at least one node is not refused, else 1.

    Raises ConfigurationError, LoadError, and ModelFitError if Prometheus has no node with such series.
    """
    file_format = picture_format("--plot", request.plot) if request.plot else ""
    for option, path in (("--plot", request.plot), ("--out", request.out)):
        if path:
            check_place(option, path)
    if isinstance(request.source, SharedColumns):
        behind = from_shared_csv(request.source, request.units)
        for text in behind.notes:
            note(text)
        scope = request.scope or scope_named_in(request.source.csv.power)
        return _finish(request, shared_fits(behind, request.source, request.model, scope), file_format)
    measured, notes = _measured(request)
    for text in notes:
        note(text)
    if not measured:
        raise ModelFitError(
            "expected at least one node with series of CPU (node_exporter, Kepler) or power (Kepler, IPMI, Scaphandre) "
            f"in that range{_that_match(request.source)}; found none: are they scraped? Or say --cpu-query and "
            "--power-query"
        )
    nodes = _fits(measured, request.model, request.signal)
    return _finish(request, nodes, file_format)


def _finish(request: FitRequest, nodes: Sequence[NodeFit], file_format: str) -> int:
    """Print, draw and write the fits. Returns the exit code."""
    if request.output == "json":
        show(json.dumps({"nodes": {node.node: node.as_json() for node in nodes}}, indent=2, allow_nan=False))
    else:
        show(as_table(nodes))
    say(summary(nodes))
    if request.plot:
        _draw(request.plot, file_format, nodes)
    if request.out:
        _write(request, request.out, nodes)
    return 0 if any(node.verdict != "refused" for node in nodes) else 1


def _that_match(source: CsvColumns | SharedColumns | PrometheusRequest) -> str:
    """The end of a message that names the matchers of ``--prometheus-match``, if there are any."""
    match = source.prometheus.match if isinstance(source, PrometheusRequest) else None
    return f" that match {match}" if match else ""


def _measured(request: FitRequest) -> tuple[list[NodeMeasurements], tuple[str, ...]]:
    """The measurements of every node, and notes on the source."""
    if isinstance(request.source, CsvColumns):
        nodes, notes = from_csv(request.source, request.units)
        column = request.source.power
        if scope := request.scope or scope_named_in(column):
            why = "--scope says so" if request.scope else f"the name of its column, {column!r}, says so"
            nodes = [each.with_scope(scope, why) for each in nodes]
        return nodes, notes
    assert not isinstance(request.source, SharedColumns)
    with ProgressBar("reading", least=2) as progress:
        nodes, notes = from_prometheus(request.source, progress.update)
    if request.scope:
        nodes = [each.with_scope(request.scope, "--scope says so") for each in nodes]
    return nodes, notes


def _fits(measured: Sequence[NodeMeasurements], model: str, signal: str | None) -> list[NodeFit]:
    nodes = []
    with ProgressBar("fitting", least=2) as progress:
        for done, each in enumerate(measured):
            progress.update(done, len(measured))
            nodes.append(fit_node(each, model, signal))
        progress.update(len(measured), len(measured))
    return nodes


def fit_node(measured: NodeMeasurements, model: str, signal: str | None = None) -> NodeFit:
    """Join one node's series and fit the ``model`` to them; with a ``signal`` its temperatures too."""
    aligned = measured.aligned()
    if aligned is None:
        heat = None if signal is None else TemperatureFit(None, (measured.trouble,))
        return NodeFit(
            measured.node, notes=measured.notes, trouble=measured.trouble, asked=model, heat=heat, signal=signal
        )
    found, heat = _fitted(aligned.samples, model, measured.doubt, signal)
    return NodeFit(
        measured.node,
        found,
        aligned.samples,
        aligned.lag,
        measured.cpu_unit,
        (*measured.notes, *aligned.notes),
        asked=model,
        scope=measured.scope,
        heat=heat,
        signal=signal,
    )


def _fitted(samples: Samples, model: str, doubt: str, signal: str | None) -> tuple[Fit, TemperatureFit | None]:
    if signal is None:
        return fit(samples, model, doubt=doubt), None
    return fit_with_temperature(samples, model, signal=signal, doubt=doubt)


def _draw(path: str, file_format: str, nodes: Sequence[NodeFit]) -> None:
    write_whole("--plot", path, picture(nodes, file_format))
    if len(nodes) > MOST_PANELS:
        note(f"{path} shows the first {MOST_PANELS} of {len(nodes)} nodes")


def _write(request: FitRequest, path: str, nodes: Sequence[NodeFit]) -> None:
    """Write the model file of the nodes that are not refused; with ``force`` of all nodes with a curve."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    wanted = [node for node in nodes if request.force or node.verdict != "refused"]
    written = [node for node in wanted if node.fit is not None and node.fit.curve is not None]
    left = [node.node for node in nodes if node not in written]
    if not written:
        note(f"{path} is not written: the models of all nodes are refused")
        return
    lines = [request.words, summary(nodes), f"left out: {', '.join(left)}" if left else ""]
    write_models(path, models_of(written, now), "\n".join(line for line in lines if line))
    note(f"{path}: {len(written)} of {len(nodes)} {_what(nodes)}")


def _what(nodes: Sequence[NodeFit]) -> str:
    return "kinds of nodes" if any(node.members for node in nodes) else "nodes"
