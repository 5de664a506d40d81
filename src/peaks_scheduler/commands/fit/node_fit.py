"""The result for one node, as JSON and as a power model: what the table, the JSON and the picture share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from peaks_scheduler.files.writing import write_whole
from peaks_scheduler.fitting.result import Fit
from peaks_scheduler.fitting.samples import Samples
from peaks_scheduler.fitting.temperature import TemperatureFit
from peaks_scheduler.power.file import parse_models
from peaks_scheduler.power.file_curves import CURVE_KINDS, curve_fields
from peaks_scheduler.power.models import PowerModel, PowerModels, Quality
from peaks_scheduler.power.scope import Scope
from peaks_scheduler.power.writing import render_models


@dataclass(frozen=True, slots=True, eq=False)
class NodeFit:
    """One node's fit, with its samples."""

    node: str
    fit: Fit | None = None
    """None: there was nothing to fit."""
    samples: Samples | None = None
    lag: float = 0.0
    """[s] by which power was found to follow the CPU."""
    cpu_unit: str | None = None
    notes: tuple[str, ...] = ()
    trouble: str = ""
    """Why there was nothing to fit."""
    asked: str = "auto"
    """The model that was asked for."""
    scope: Scope | None = None
    """The part of the machine that the watts are of; None: nothing was measured."""
    members: tuple[str, ...] = ()
    """The nodes that the curve is for, if ``node`` is the name of their kind."""
    heat: TemperatureFit | None = None
    """What was learned about the temperature of its air; None: it was not asked for."""
    signal: str | None = None
    """The signal that the temperature is of."""
    label: str | None = None
    """Label that has the kind as its value; None: the nodes are named."""

    @property
    def verdict(self) -> str:
        return self.fit.verdict if self.fit else "refused"

    @property
    def reasons(self) -> tuple[str, ...]:
        return self.fit.reasons if self.fit else (self.trouble,)

    @property
    def confidence(self) -> str:
        """``low`` if it is refused or it is doubtful whether the watts were measured; else ``high``."""
        return self.fit.confidence if self.fit else "low"

    @property
    def quality(self) -> Quality:
        return self.fit.quality if self.fit else Quality(samples=0)

    def standard_errors(self) -> tuple[float, ...] | None:
        """Standard errors of the curve's parameters, for watts and fractions; None: not known."""
        covariance = self.quality.covariance
        return None if covariance is None else tuple(math.sqrt(max(row[i], 0.0)) for i, row in enumerate(covariance))

    def model(self, fitted: str) -> PowerModel | None:
        """The node's power model, with ``fitted`` as its time; None without a curve. Low confidence is marked."""
        if self.fit is None or self.fit.curve is None:
            return None
        confidence = "low" if self.confidence == "low" else None
        quality = replace(self.fit.quality, fitted=fitted, confidence=confidence)
        term = self.heat.term if self.heat else None
        return PowerModel(self.node, self.fit.curve, quality=quality, scope=self.scope, temperature=term)

    def as_json(self) -> dict[str, Any]:
        """The node's entry in the JSON output; ``null`` for what is not known."""
        quality = self.quality
        return {
            **self._parameters(),
            "rmseWatts": number(quality.rmse_watts),
            "r2": number(quality.r2),
            "cvRmseWatts": number(quality.cv_rmse_watts),
            "samples": quality.samples or 0,
            "cpuMin": number(quality.cpu_min),
            "cpuMax": number(quality.cpu_max),
            "scope": self.scope,
            "verdict": self.verdict,
            "confidence": self.confidence,
            "reasons": list(self.reasons),
            "standardErrors": self._errors(),
            "noiseWatts": number(self.fit.noise_watts if self.fit else None),
            "lagSeconds": self.lag,
            "cpuUnit": self.cpu_unit,
            "temperature": None if self.heat is None else _heat_as_json(self.heat, self.signal),
            "notes": list(self.notes),
            **({"nodes": list(self.members)} if self.members else {}),
        }

    def _parameters(self) -> dict[str, Any]:
        if self.fit is not None and self.fit.curve is not None:
            return {"kind": self.fit.curve.kind, **curve_fields(self.fit.curve)}
        kind = CURVE_KINDS.get(self.asked, CURVE_KINDS["exponential"])
        return {"kind": None if self.asked == "auto" else self.asked, **dict.fromkeys(kind.fields)}

    def _errors(self) -> dict[str, Any] | None:
        errors = self.standard_errors()
        if errors is None or self.fit is None or self.fit.curve is None:
            return None
        if self.fit.curve.kind == "piecewise":
            return {"watts": [number(error) for error in errors]}
        return dict(zip(self.fit.curve.parameters, map(number, errors), strict=True))


def _heat_as_json(heat: TemperatureFit, signal: str | None) -> dict[str, Any]:
    """``temperature`` of a node's entry; ``null`` for what is not known."""
    term, errors = heat.term, heat.errors
    ends = {load: heat.interval(load) for load in ("idle", "full")}
    return {
        "signal": signal,
        "reference": None if term is None else number(term.reference),
        "wattsPerKelvin": None if term is None else {"idle": term.idle, "full": term.full},
        "standardErrors": None
        if errors is None
        else {
            "idle": number(errors[0]),
            "full": number(errors[1]),
            "reference": number(heat.reference_error),
        },
        "interval95": None
        if errors is None
        else {load: None if end is None else [number(each) for each in end] for load, end in ends.items()},
        "coolest": number(heat.coolest),
        "hottest": number(heat.hottest),
        "samples": heat.samples,
        "verdict": heat.verdict,
        "reasons": list(heat.reasons),
    }


def number(value: float | None) -> float | None:
    """The number if it is finite, else None: JSON has neither NaN nor infinity."""
    return None if value is None or not np.isfinite(value) else float(value)


def models_of(nodes: Iterable[NodeFit], fitted: str) -> PowerModels:
    """The power models of the nodes that have a curve; of a kind by its label, or for each of its nodes."""
    by_name: dict[str, PowerModel] = {}
    by_selector: list[tuple[Mapping[str, str], PowerModel]] = []
    for node in nodes:
        if (model := node.model(fitted)) is None:
            continue
        if node.label is not None:
            by_selector.append(({node.label: node.node}, replace(model, name=f"{node.label}={node.node}")))
        else:
            by_name |= {name: replace(model, name=name) for name in node.members or (node.node,)}
    return PowerModels(MappingProxyType(by_name), tuple(by_selector))


def write_models(path: str, models: PowerModels, comment: str) -> None:
    """Write a power model file, after reading it back as the daemon will. Raises ConfigurationError."""
    text = render_models(models, comment)
    parse_models(text, path)
    write_whole("--out", path, text.encode())
