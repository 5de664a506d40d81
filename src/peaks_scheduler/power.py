"""What a node's power is as a function of its CPU use, and the file that says so.

Model: P(u) = k0 + k1*exp(k2*u) [W], u = CPU utilisation, a fraction in [0, 1]. The Peaks plugin of scheduler-plugins
takes u in percent: its k2 is ours / 100. Assumes nothing about the cluster: a file is valid or not whatever nodes there
are. Pure: text comes in, models go out; the caller reads the file, watches it and keeps the last good one. Never
guesses a unit and never gives a node a model that two entries claim: a node without a model ranks behind, a wrong one
would win.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NoReturn

from peaks_scheduler.documents import nearest, parse_document
from peaks_scheduler.errors import ConfigurationError, PowerModelError

MAX_WATTS = 100_000.0
# a curve's parameters are per unit of u; the file says what its u runs over
_K2_PER_FRACTION = {"ratio": 1.0, "percent": 100.0}
_LATER_KINDS = ("idle-exponential", "piecewise", "linear")
_ENTRY_FIELDS = ("nodes", "nodeSelector", "cpu", "curve", "standbyWatts", "quality")
_QUALITY_FIELDS = ("rmseWatts", "r2", "samples", "cpuMin", "cpuMax", "fitted")
_CURVE_FIELDS = ("k0", "k1", "k2")


@dataclass(frozen=True, slots=True)
class ExponentialCurve:
    """watts = k0 + k1*exp(k2*u), u a fraction in [0, 1]. k0 and k1 in watts, k2 without a unit."""

    k0: float
    k1: float
    k2: float

    def watts(self, u: float) -> float:
        """Power [W] at utilisation ``u`` [fraction]."""
        return self.k0 + self.k1 * math.exp(self.k2 * u)


@dataclass(frozen=True, slots=True)
class Quality:
    """How well the curve was known where it was fitted. None: the file does not say."""

    rmse_watts: float | None = None
    """Root mean square error of the fit [W]."""
    r2: float | None = None
    samples: int | None = None
    cpu_min: float | None = None
    """Lowest utilisation [fraction] that a sample had; below it the curve is extrapolated."""
    cpu_max: float | None = None
    """Highest utilisation [fraction] that a sample had."""
    fitted: str | None = None
    """When, as the file has it."""


@dataclass(frozen=True, slots=True)
class PowerModel:
    """One node's, or one kind of node's, power."""

    name: str
    """Node name, or the text of the selector (``a=b,c=d``; ``*`` for the empty one): what decision records show."""
    curve: ExponentialCurve
    standby_watts: float | None = None
    """Power [W] when switched off; None: the node is never switched off."""
    quality: Quality | None = None


@dataclass(frozen=True, slots=True)
class PowerModels:
    """All models of one file: by node name, and by labels for the nodes that no entry names."""

    by_name: Mapping[str, PowerModel] = field(default_factory=lambda: MappingProxyType({}))
    by_selector: tuple[tuple[Mapping[str, str], PowerModel], ...] = ()

    def for_node(self, name: str, labels: Mapping[str, str]) -> PowerModel | None:
        """The model of a node; a name beats a selector. None: no entry is for it, or more than one selector is."""
        if (named := self.by_name.get(name)) is not None:
            return named
        matching = self._matching(labels)
        return matching[0] if len(matching) == 1 else None

    def ambiguous(self, name: str, labels: Mapping[str, str]) -> tuple[str, ...]:
        """The selectors that claim a node that no entry names, when they are more than one; else ()."""
        if name in self.by_name:
            return ()
        matching = self._matching(labels)
        return tuple(model.name for model in matching) if len(matching) > 1 else ()

    def _matching(self, labels: Mapping[str, str]) -> list[PowerModel]:
        return [model for selector, model in self.by_selector if selector.items() <= labels.items()]


EMPTY = PowerModels()


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
    if isinstance(document.get("models", {}), dict):
        return plugin_models(document, origin)
    return _listed_models(document, origin)


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
        _known(where, folded, _CURVE_FIELDS)
        models[str(node)] = PowerModel(str(node), _exponential(where, folded, _K2_PER_FRACTION["percent"]))
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
    _known(where, entry, _ENTRY_FIELDS)
    names, selector = _names(where, entry.get("nodes")), _selector(where, entry.get("nodeSelector"))
    if (names is None) == (selector is None):
        both = "both" if names is not None else "neither"
        raise PowerModelError(
            f"{where}: expected `nodes` or `nodeSelector`; got {both}: say which nodes the model is for"
        )
    label = ",".join(f"{key}={value}" for key, value in sorted((selector or {}).items())) or "*"
    where = f"{where} ({', '.join(names) if names is not None else label})"
    curve, standby, quality = _curve(where, entry), _standby(where, entry), _quality(where, entry.get("quality"))
    if selector is not None:
        return [(selector, PowerModel(label, curve, standby, quality))]
    return [(None, PowerModel(name, curve, standby, quality)) for name in names or ()]


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


def _curve(where: str, entry: Mapping[str, Any]) -> ExponentialCurve:
    if (unit := entry.get("cpu")) not in _K2_PER_FRACTION:
        _refuse(f"{where}.cpu", "`ratio` (k2 is for CPU 0..1) or `percent` (0..100), never guessed", unit)
    curve = entry.get("curve")
    if not isinstance(curve, dict):
        _refuse(f"{where}.curve", "{kind: exponential, k0: .., k1: .., k2: ..}", curve)
    kind = curve.get("kind")
    if kind in _LATER_KINDS:
        _refuse(f"{where}.curve.kind", "`exponential`, the one kind that this version reads: fit one to the node", kind)
    if kind != "exponential":
        _refuse(f"{where}.curve.kind", "`exponential`", kind)
    _known(f"{where}.curve", curve, ("kind", *_CURVE_FIELDS))
    return _exponential(f"{where}.curve", curve, _K2_PER_FRACTION[unit])


def _exponential(where: str, parameters: Mapping[str, Any], per_fraction: float) -> ExponentialCurve:
    k0, k1, k2 = (_number(f"{where}.{name}", parameters.get(name)) for name in _CURVE_FIELDS)
    curve = ExponentialCurve(k0, k1, k2 * per_fraction)
    # the slope k1*k2*exp(k2*u) has one sign everywhere: its ends tell all
    if k1 * k2 < 0:
        raise PowerModelError(
            f"{where}: expected a curve that never falls; k1*exp(k2*u) with k1={k1:g}, k2={k2:g} falls: "
            "k1 and k2 want the same sign (fit again, or look for a lost minus)"
        )
    low, high = _watts(curve, 0.0), _watts(curve, 1.0)
    if not 0.0 <= low <= high <= MAX_WATTS or high == 0.0:
        raise PowerModelError(
            f"{where}: expected a power between 0 and {MAX_WATTS:,.0f} W that is not 0 throughout; the curve gives "
            f"{low:g} W at no load and {high:g} W at full load: check the watts, and whether `cpu` says what k2 is for"
        )
    return curve


def _watts(curve: ExponentialCurve, u: float) -> float:
    try:
        return curve.watts(u)
    except OverflowError:
        return math.inf


def _standby(where: str, entry: Mapping[str, Any]) -> float | None:
    if (value := entry.get("standbyWatts")) is None:
        return None
    watts = _number(f"{where}.standbyWatts", value)
    if not 0.0 <= watts <= MAX_WATTS:
        _refuse(f"{where}.standbyWatts", f"watts between 0 and {MAX_WATTS:,.0f}", value)
    return watts


def _quality(where: str, quality: Any) -> Quality | None:
    if quality is None:
        return None
    if not isinstance(quality, dict):
        _refuse(f"{where}.quality", "a mapping", quality)
    where = f"{where}.quality"
    _known(where, quality, _QUALITY_FIELDS)
    rmse, r2, samples, low, high = (
        None if quality.get(name) is None else _number(f"{where}.{name}", quality[name])
        for name in _QUALITY_FIELDS[:-1]
    )
    for name, cpu in (("cpuMin", low), ("cpuMax", high)):
        # a little above 1 is measurement; 93 is percent
        if cpu is not None and not 0.0 <= cpu <= 1.5:
            _refuse(f"{where}.{name}", "a fraction 0..1, whatever `cpu` says", cpu)
    fitted = quality.get("fitted")
    return Quality(
        rmse, r2, None if samples is None else int(samples), low, high, None if fitted is None else str(fitted)
    )


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
            raise PowerModelError(f"{where}: expected {', '.join(known)}; got the unknown field {key!r}{hint}")


def _refuse(where: str, expected: str, got: Any) -> NoReturn:
    came = "nothing" if got is None else repr(got)
    raise PowerModelError(f"{where}: expected {expected}; got {came if len(came) <= 80 else came[:77] + '...'}")
