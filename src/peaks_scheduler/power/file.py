"""The power model file, YAML or JSON, read.

Assumes nothing about the cluster: a file is valid or not whatever nodes there are. Pure: text comes in, models go out;
the caller reads the file, watches it and keeps the last good one. Never guesses a unit and never gives a node a model
that two entries claim: a node without a model ranks behind, a wrong one would win.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import Any, NoReturn

from peaks_scheduler.errors import ConfigurationError, PowerModelError
from peaks_scheduler.files.documents import parse_document
from peaks_scheduler.text.words import nearest

from .curves import Curve, Exponential, IdleExponential, Linear, Piecewise, flaw
from .models import PowerModel, PowerModels, Quality
from .scope import SCOPES, Scope

# a curve's parameters are per unit of u; the file says what its u runs over
_PER_FRACTION = {"ratio": 1.0, "percent": 100.0}
ENTRY_FIELDS = ("nodes", "nodeSelector", "scope", "cpu", "curve", "standbyWatts", "quality")
QUALITY_FIELDS = (
    "rmseWatts",
    "r2",
    "samples",
    "cpuMin",
    "cpuMax",
    "cvRmseWatts",
    "fitted",
    "covariance",
    "confidence",
)
_NUMBERS_OF_QUALITY = QUALITY_FIELDS[:6]
_CURVE_FIELDS: Mapping[str, tuple[str, ...]] = {
    "exponential": ("k0", "k1", "k2"),
    "idle-exponential": ("idle", "k0", "k1", "k2", "from"),
    "piecewise": ("cpu", "watts"),
    "linear": ("idle", "max"),
}
MOST_POINTS = 101
"""Of a curve through points, one a percent: every node's row in the arrays is as wide as the longest curve."""
_FROM = 0.1  # of full load: the lowest level above idle that is usually measured


def parse_models(text: str, origin: str) -> PowerModels:
    """The models of a power model file, YAML or JSON; the original plugin's ``{node: {k0, k1, k2}}`` (percent) too.

    ``origin`` is the file's name for messages. Raises PowerModelError that says where, what was expected, what came and
    what to do: one bad entry refuses the whole file, for half a file would rank the other nodes behind without a word.
    """
    try:
        document = parse_document(text, origin)
    except ConfigurationError as error:
        raise PowerModelError(str(error)) from error
    if not isinstance(document, dict):
        _refuse(origin, "a mapping with `models:`, or {node: {k0, k1, k2}} of the original plugin", document)
    if isinstance(kind := document.get("kind"), str):
        _refuse_wrapped(kind, document, origin)
    if isinstance(document.get("models", {}), dict):
        return plugin_models(document, origin)
    return _listed_models(document, origin)


def _refuse_wrapped(kind: str, document: Mapping[str, Any], origin: str) -> NoReturn:
    """An object of Kubernetes that may hold models is none itself."""
    remedy = f"take its models over: peaks-scheduler import-models plugin {origin} -o models.yaml"
    if kind == "ConfigMap":
        data = document.get("data")
        keys = ", ".join(map(str, data)) if isinstance(data, dict) and data else "nothing"
        remedy = f"mount its key as a file, or {remedy}"
        kind = f"ConfigMap with {keys} in its data"
    elif kind == "KubeSchedulerConfiguration":
        remedy = f"pass it to --config, or {remedy}"
    raise PowerModelError(f"{origin}: expected power models; this is a {kind}: {remedy}")


def plugin_models(document: Mapping[str, Any], origin: str) -> PowerModels:
    """The models of the original plugin's ``NodePowerModel``: node name -> k0, k1, k2, for CPU in percent.

    As in Go the field names' case does not matter and unknown fields are refused; unlike in Go a missing one is refused
    too, where it would count as 0. Raises PowerModelError.
    """
    models = {}
    for node, parameters in document.items():
        where = f"{origin}: {node}"
        if not isinstance(parameters, dict):
            _refuse(where, "an object with k0, k1 and k2", parameters)
        folded = {str(key).lower(): value for key, value in parameters.items()}
        _known(where, folded, _CURVE_FIELDS["exponential"])
        curve = _checked(where, _exponential(where, folded, _PER_FRACTION["percent"]))
        models[str(node)] = PowerModel(str(node), curve)
    return PowerModels(MappingProxyType(models))


def _listed_models(document: Mapping[str, Any], origin: str) -> PowerModels:
    _known(origin, document, ("models",))
    entries = document["models"] or []
    if not isinstance(entries, list):
        _refuse(f"{origin}: models", "a list", entries)
    by_name: dict[str, PowerModel] = {}
    by_selector: dict[str, tuple[Mapping[str, str], PowerModel]] = {}
    for index, entry in enumerate(entries):
        where = f"{origin}: models[{index}]"
        for selector, model in _entry(where, entry):
            if model.name in by_name or model.name in by_selector:
                raise PowerModelError(
                    f"{where}: expected one model for {model.name!r}; an entry before has one too: remove one of them"
                )
            if selector is None:
                by_name[model.name] = model
            else:
                by_selector[model.name] = (selector, model)
    return PowerModels(MappingProxyType(by_name), tuple(by_selector.values()))


def _entry(where: str, entry: Any) -> list[tuple[Mapping[str, str] | None, PowerModel]]:
    """One entry of the list as (selector or None, model), a model for each node that it names."""
    if not isinstance(entry, dict):
        _refuse(where, "a mapping with `nodes` or `nodeSelector`, `cpu` and `curve`", entry)
    _known(where, entry, ENTRY_FIELDS)
    names, selector = _names(where, entry.get("nodes")), _selector(where, entry.get("nodeSelector"))
    if (names is None) == (selector is None):
        both = "both" if names is not None else "neither"
        raise PowerModelError(
            f"{where}: expected `nodes` or `nodeSelector`; got {both}: say which nodes the model is for"
        )
    label = ",".join(f"{key}={value}" for key, value in sorted((selector or {}).items())) or "*"
    where = f"{where} ({', '.join(names) if names is not None else label})"
    curve = _curve(where, entry)
    standby, quality = _standby(where, entry, curve), _quality(where, entry.get("quality"), curve)
    scope = _scope(where, entry)
    if selector is not None:
        return [(selector, PowerModel(label, curve, standby, quality, scope))]
    return [(None, PowerModel(name, curve, standby, quality, scope)) for name in names or ()]


def _names(where: str, names: Any) -> tuple[str, ...] | None:
    if names is None:
        return None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        _refuse(f"{where}.nodes", "a list of node names (quoted where they look like numbers)", names)
    return tuple(names)


def _selector(where: str, selector: Any) -> Mapping[str, str] | None:
    if selector is None:
        return None
    if not isinstance(selector, dict) or not all(isinstance(x, str) for pair in selector.items() for x in pair):
        _refuse(f"{where}.nodeSelector", 'labels as text (quote "true" and numbers)', selector)
    return MappingProxyType(dict(selector))


def _scope(where: str, entry: Mapping[str, Any]) -> Scope | None:
    """Of what the watts are; a key without a value is an error, for leaving it out means the whole machine."""
    if "scope" not in entry:
        return None
    scope = next((each for each in SCOPES if each == entry["scope"]), None)
    if scope is None:
        hint = nearest(str(entry["scope"]), SCOPES)
        words = "of what its watts are (left out, it counts as wall, the whole machine)"
        _refuse(f"{where}.scope", f"one of {', '.join(SCOPES)}{hint}, {words}", entry["scope"])
    return scope


def _curve(where: str, entry: Mapping[str, Any]) -> Curve:
    unit = entry.get("cpu")
    if not isinstance(unit, str) or unit not in _PER_FRACTION:
        _refuse(f"{where}.cpu", "`ratio` (the curve is for CPU 0..1) or `percent` (0..100), never guessed", unit)
    curve = entry.get("curve")
    if not isinstance(curve, dict):
        _refuse(f"{where}.curve", "{kind: exponential, k0: .., k1: .., k2: ..} or another kind", curve)
    kind: Any = curve.get("kind")
    if not isinstance(kind, str) or kind not in _CURVE_FIELDS:
        hint = nearest(str(kind), _CURVE_FIELDS)
        _refuse(f"{where}.curve.kind", f"one of {', '.join(_CURVE_FIELDS)}{hint}", kind)
    where = f"{where}.curve"
    _known(where, curve, ("kind", *_CURVE_FIELDS[kind]))
    return _checked(where, _READERS[kind](where, curve, _PER_FRACTION[unit]))


def _exponential(where: str, parameters: Mapping[str, Any], per_fraction: float) -> Exponential:
    k0, k1, k2 = (_number(f"{where}.{name}", parameters.get(name)) for name in ("k0", "k1", "k2"))
    # the slope k1*k2*exp(k2*u) has one sign everywhere
    if k1 * k2 < 0:
        raise PowerModelError(
            f"{where}: expected a curve that never falls; k1*exp(k2*u) with k1={k1:g}, k2={k2:g} falls: "
            "k1 and k2 want the same sign (fit again, or look for a lost minus)"
        )
    return Exponential(k0, k1, k2 * per_fraction)


def _idle_exponential(where: str, parameters: Mapping[str, Any], per_fraction: float) -> IdleExponential:
    idle = _number(f"{where}.idle", parameters.get("idle"))
    knee = _FROM
    if parameters.get("from") is not None:
        knee = _number(f"{where}.from", parameters["from"]) / per_fraction
    if not 0.0 < knee <= 1.0:
        _refuse(
            f"{where}.from", f"more than 0 and at most {per_fraction:g}, the unit that `cpu` says", parameters["from"]
        )
    rest = _exponential(where, parameters, per_fraction)
    return IdleExponential(idle, rest.k0, rest.k1, rest.k2, knee)


def _piecewise(where: str, parameters: Mapping[str, Any], per_fraction: float) -> Piecewise:
    cpu, watts = (_numbers(f"{where}.{name}", parameters.get(name)) for name in ("cpu", "watts"))
    if len(cpu) != len(watts) or not 2 <= len(cpu) <= MOST_POINTS:
        raise PowerModelError(
            f"{where}: expected 2 to {MOST_POINTS} points, and as many watts as cpu; got {len(cpu)} cpu, {len(watts)} "
            "watts"
        )
    cpu = tuple(u / per_fraction for u in cpu)
    if not all(a < b for a, b in pairwise(cpu)) or not 0.0 <= cpu[0] <= cpu[-1] <= 1.0:
        _refuse(
            f"{where}.cpu",
            f"rising numbers between 0 and {per_fraction:g}, the unit that `cpu` says",
            parameters["cpu"],
        )
    return Piecewise(cpu, watts)


def _linear(where: str, parameters: Mapping[str, Any], per_fraction: float) -> Linear:
    return Linear(*(_number(f"{where}.{name}", parameters.get(name)) for name in ("idle", "max")))


_READERS: Mapping[str, Callable[[str, Mapping[str, Any], float], Curve]] = {
    "exponential": _exponential,
    "idle-exponential": _idle_exponential,
    "piecewise": _piecewise,
    "linear": _linear,
}


def _checked(where: str, curve: Curve) -> Curve:
    trouble = flaw(curve)
    if trouble:
        raise PowerModelError(
            f"{where}: expected {trouble}: check the watts, and whether `cpu` says what the curve is for"
        )
    return curve


def _standby(where: str, entry: Mapping[str, Any], curve: Curve) -> float | None:
    if (value := entry.get("standbyWatts")) is None:
        return None
    watts, idle = _number(f"{where}.standbyWatts", value), curve.watts(0.0)
    if not 0.0 <= watts <= idle:
        _refuse(f"{where}.standbyWatts", f"watts between 0 and {idle:g}, what the node draws idle", value)
    return watts


def _quality(where: str, quality: Any, curve: Curve) -> Quality | None:
    if quality is None:
        return None
    if not isinstance(quality, dict):
        _refuse(f"{where}.quality", "a mapping", quality)
    where = f"{where}.quality"
    _known(where, quality, QUALITY_FIELDS)
    rmse, r2, samples, low, high, held_back = (
        None if quality.get(name) is None else _number(f"{where}.{name}", quality[name]) for name in _NUMBERS_OF_QUALITY
    )
    for name, cpu in (("cpuMin", low), ("cpuMax", high)):
        # a little above 1 is measurement; 93 is percent
        if cpu is not None and not 0.0 <= cpu <= 1.5:
            _refuse(f"{where}.{name}", "a fraction 0..1, whatever `cpu` says", cpu)
    fitted, confidence = quality.get("fitted"), quality.get("confidence")
    if confidence not in (None, "low"):
        _refuse(f"{where}.confidence", "`low`, or nothing for a model that was measured", confidence)
    return Quality(
        rmse,
        r2,
        None if samples is None else int(samples),
        low,
        high,
        None if fitted is None else str(fitted),
        held_back,
        _covariance(f"{where}.covariance", quality.get("covariance"), len(curve.parameters)),
        confidence,
    )


def _covariance(where: str, rows: Any, size: int) -> tuple[tuple[float, ...], ...] | None:
    if rows is None:
        return None
    if not isinstance(rows, list) or len(rows) != size:
        _refuse(where, f"{size} rows of {size} numbers, one for each parameter of the curve", rows)
    matrix = tuple(_numbers(where, row) for row in rows)
    if any(len(row) != size for row in matrix) or any(matrix[i][i] < 0.0 for i in range(size)):
        _refuse(where, f"{size} rows of {size} numbers, none below 0 on the diagonal", rows)
    return matrix


def _numbers(where: str, values: Any) -> tuple[float, ...]:
    if not isinstance(values, list):
        _refuse(where, "a list of numbers", values)
    return tuple(_number(f"{where}[{i}]", value) for i, value in enumerate(values))


def _number(where: str, value: Any) -> float:
    if isinstance(value, str):
        _refuse(where, "a number without quotes", value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        _refuse(where, "a number", value)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        _refuse(where, "a finite number", value)
    return number


def _known(where: str, mapping: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for key in mapping:
        if key not in known:
            hint = nearest(str(key), known)
            raise PowerModelError(f"{where}: expected {', '.join(known)}; got the unknown field {_shown(key)}{hint}")


def _refuse(where: str, expected: str, got: Any) -> NoReturn:
    raise PowerModelError(f"{where}: expected {expected}; got {'nothing' if got is None else _shown(got)}")


def _shown(got: Any) -> str:
    came = repr(got)
    return came if len(came) <= 80 else came[:77] + "..."
