"""Writes the power model file, in the form that ``file.parse_models`` reads. Pure."""

from __future__ import annotations

from typing import Any

import yaml

from peaks_scheduler.text.printable import is_visible, visible

from .file import ENTRY_FIELDS, QUALITY_FIELDS
from .file_curves import curve_fields
from .file_temperature import temperature_fields
from .models import PowerModel, PowerModels, Quality


def render_models(models: PowerModels, comment: str = "") -> str:
    """The text of a power model file with these models: YAML, CPU as a ratio, ``comment`` at the top."""
    entries = _named(models)
    entries += [entry_of(model) | {"nodeSelector": dict(selector)} for selector, model in models.by_selector]
    ordered = [{key: entry[key] for key in ENTRY_FIELDS if key in entry} for entry in entries]
    head = "".join(f"# {visible(line)}\n" for line in comment.splitlines())
    text = _dumped({"models": ordered})
    return head + (text if is_visible(text.replace("\n", "")) else _dumped({"models": ordered}, allow_unicode=False))


def _named(models: PowerModels) -> list[dict[str, Any]]:
    """The entries of the models by name; nodes that share a curve object share an entry."""
    entries: dict[tuple[object, ...], dict[str, Any]] = {}
    for name, model in models.by_name.items():
        same = (id(model.curve), id(model.quality), model.scope, model.standby_watts, model.temperature)
        entries.setdefault(same, entry_of(model) | {"nodes": []})["nodes"].append(name)
    return list(entries.values())


def _dumped(document: dict[str, Any], allow_unicode: bool = True) -> str:
    return yaml.safe_dump(document, sort_keys=False, width=120, allow_unicode=allow_unicode, default_flow_style=None)


def entry_of(model: PowerModel) -> dict[str, Any]:
    """One model as an entry of the file, without ``nodes`` and ``nodeSelector``."""
    entry: dict[str, Any] = {} if model.scope is None else {"scope": model.scope}
    entry |= {"cpu": "ratio", "curve": {"kind": model.curve.kind, **curve_fields(model.curve)}}
    if model.temperature is not None:
        entry["temperature"] = temperature_fields(model.temperature)
    if model.standby_watts is not None:
        entry["standbyWatts"] = model.standby_watts
    if model.quality is not None:
        entry["quality"] = _quality_fields(model.quality)
    return entry


def _quality_fields(quality: Quality) -> dict[str, Any]:
    values = (
        quality.rmse_watts,
        quality.r2,
        quality.samples,
        quality.cpu_min,
        quality.cpu_max,
        quality.cv_rmse_watts,
        quality.fitted,
        quality.covariance and [list(row) for row in quality.covariance],
        quality.confidence,
    )
    return {name: value for name, value in zip(QUALITY_FIELDS, values, strict=True) if value is not None}
