"""Writes predicted curves as a power model file.

Every model has ``confidence: low``. Nobody measured these watts here: nothing tells on which machine the server's model
was trained. And they hold for the air as it is now, which the file cannot say. So ``check`` names them as a first
guess, and a learned model replaces them. The scope is that of the node's model in the file or configuration, else left
out: then it counts as the whole machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from types import MappingProxyType

from peaks_scheduler.files.writing import write_whole
from peaks_scheduler.power.curves import Curve, Piecewise
from peaks_scheduler.power.file import parse_models
from peaks_scheduler.power.models import PowerModel, PowerModels, Quality
from peaks_scheduler.power.writing import render_models
from peaks_scheduler.settings.sensors import UNITS

from .node_curve import NodeCurve

DIGITS = 3  # of a watt: milliwatts


def models_of(nodes: Sequence[NodeCurve]) -> PowerModels:
    """The power models of the nodes whose predictions count."""
    return PowerModels(MappingProxyType({node.name: _model(node) for node in nodes if node.answer.model is not None}))


def _model(node: NodeCurve) -> PowerModel:
    answer = node.answer
    assert answer.model is not None
    fitted = datetime.fromtimestamp(node.now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    quality = Quality(samples=len(answer.cpu), cpu_min=0.0, cpu_max=1.0, fitted=fitted, confidence="low")
    curve = _rounded(answer.model.curve)
    standby = answer.model.standby_watts
    return PowerModel(
        node.name,
        curve,
        # the file refuses a node that draws more when it is off
        standby if standby is not None and standby <= curve.watts(0.0) else None,
        quality,
        answer.model.scope,
    )


def _rounded(curve: Curve) -> Curve:
    if not isinstance(curve, Piecewise):
        return curve
    return Piecewise(tuple(map(float, curve.cpu)), tuple(round(float(watts), DIGITS) for watts in curve.power))


def write_file(path: str, nodes: Sequence[NodeCurve], words: str) -> int:
    """Write the file, after reading it back as the daemon will; ``words``: the command, for its top. Returns how many
    nodes it has. Raises ConfigurationError."""
    written = [node for node in nodes if node.answer.counts]
    models = models_of(written)
    lines = [words, f"predicted, not measured, for the air as it was: {_air(written)}"]
    text = render_models(models, "\n".join(line for line in lines if line))
    parse_models(text, path)
    write_whole("--out", path, text.encode())
    return len(models.by_name)


def _air(nodes: Sequence[NodeCurve]) -> str:
    """``inlet 21.5 to 24 celsius, deltaP 7.5 pascal``: the signals that were asked with."""
    values: dict[str, list[float]] = {}
    for node in nodes:
        asked = node.answer.assignment.model.signals if node.answer.assignment else ()
        for signal in asked:
            if signal in node.answer.readings:
                values.setdefault(signal, []).append(node.answer.readings[signal].value)
    return ", ".join(_span(signal, known) for signal, known in sorted(values.items())) or "no sensor was asked"


def _span(signal: str, values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    both = f"{low:g}" if low == high else f"{low:g} to {high:g}"
    return f"{signal} {both} {UNITS.get(signal, '')}".rstrip()
