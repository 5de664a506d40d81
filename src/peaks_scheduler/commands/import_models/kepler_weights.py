"""Reads the weights of Kepler's model server and gives the power of each component over CPU utilisation.

Owns the meaning of the weights (kepler-model-server 0.7, ``train/trainer``, and Kepler 0.9, ``regressor``). A
component's power is a function of x = counter / scale. The counter is what the node's workloads use a second, the scale
its highest value where the model was learned.

    trainer                          its weights          power of a component [W]
    SGDRegressorTrainer              Bias_Weight, weight  bias + sum of weight*x over all counters
    ExponentialRegressionTrainer     a, b, c              a*exp(b*x) + c      x of one counter alone
    LogarithmicRegressionTrainer     a, b, c              a*ln(b*x + 1) + c
    LogisticRegressionTrainer        a, m, k, c           a/(1 + exp(-k*(x - m))) + c

Three weights look the same for two trainers, so the trainer's name must be known. x is not a utilisation: the CPU time
of a node at utilisation u is u * cores * 1000 ms a second. A counter that does not follow from CPU use (instructions,
cache misses) is an error. But if a counter never moved where the model was learned, the server leaves its scale at 1,
and it counts as 0 here. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, NoReturn

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.files.documents import parse_document
from peaks_scheduler.text.words import nearest

COMPONENTS = ("platform", "package", "core", "uncore", "dram")
EXPONENTIAL = "ExponentialRegressionTrainer"
_LINEAR = "SGDRegressorTrainer"
_UNMOVED = 1.0


@dataclass(frozen=True, slots=True)
class TargetMachine:
    """The kind of node that the model will be for."""

    cores: float  # hardware threads, as Kubernetes counts CPUs
    mhz: float | None = None  # [MHz] for models that count cycles


_FULL_LOAD: Mapping[str, Callable[[TargetMachine], float | None]] = {
    # counter: its growth at full load [1/s]; None: the frequency is needed and not known
    "bpf_cpu_time_ms": lambda machine: 1e3 * machine.cores,
    "cpu_cycles": lambda machine: None if machine.mhz is None else 1e6 * machine.mhz * machine.cores,
}
# a fitted curve depends on one counter: the first of these that the component has
_MAIN = ("cpu_instructions", "bpf_cpu_time_ms")
_MAIN_OF_DRAM = ("cache_miss", "bpf_page_cache_hit")


@dataclass(frozen=True, slots=True)
class Form:
    """A function that a trainer of the server fits."""

    trainer: str
    parameters: int
    watts: Callable[..., Floats]


FORMS = {
    form.trainer: form
    for form in (
        Form(EXPONENTIAL, 3, lambda x, a, b, c: a * np.exp(b * x) + c),
        Form("LogarithmicRegressionTrainer", 3, lambda x, a, b, c: a * np.log(b * x + 1.0) + c),
        Form("LogisticRegressionTrainer", 4, lambda x, a, middle, k, c: a / (1.0 + np.exp(-k * (x - middle))) + c),
    )
}
TRAINERS = (*FORMS, _LINEAR)


@dataclass(frozen=True, slots=True)
class Counter:
    """A counter that a component's power depends on."""

    name: str
    scale: float  # [1/s] its highest value where the model was learned
    weight: float = 0.0  # [W] in a linear model

    def reach(self, where: str, machine: TargetMachine) -> float:
        """x at full load of this machine (at utilisation u it is u times that). Raises ConfigurationError."""
        if self.name in _FULL_LOAD:
            if (full := _FULL_LOAD[self.name](machine)) is None:
                raise ConfigurationError(f"{where} depends on {self.name}: expected --cpu-frequency MHZ; got none")
            return full / self.scale if self.scale else 0.0
        if self.scale in (0.0, _UNMOVED):
            return 0.0
        raise ConfigurationError(
            f"{where} depends on {self.name}, which CPU use does not tell: expected {' or '.join(_FULL_LOAD)} alone: "
            f"take {_LINEAR} or {EXPONENTIAL} of the feature group BPFOnly, as --url asks for"
            + (", or leave memory out: --without-dram" if where.endswith(" dram") else "")
        )


@dataclass(frozen=True, slots=True)
class Component:
    """The power of one part of a node, as a sum of three terms (most models have two of them):

    P(u) = constant + slope*u + form(reach*u)
    """

    name: str
    constant: float = 0.0  # [W]
    slope: float = 0.0  # [W] per unit of u
    form: Form | None = None
    weights: tuple[float, ...] = ()
    reach: float = 0.0  # [1] x at full load

    def watts(self, u: Floats) -> Floats:
        """(M,) [W] at M utilisations; not finite where the function is not."""
        power: Floats = self.constant + self.slope * u
        if self.form is None:
            return power
        with np.errstate(all="ignore"):
            return power + self.form.watts(self.reach * u, *self.weights)


@dataclass(frozen=True, slots=True)
class Weights:
    """One answer of the server. Its meaning depends on the target machine: see ``component``."""

    origin: str
    raw: Mapping[str, Mapping[str, Any]]  # component: All_Weights
    trainer: str | None
    model: str | None
    """Name of the model; None if the answer has none."""
    spec: Mapping[str, Any]
    """The machine that it was learned on; empty if the answer has none."""
    mae: float | None
    """[W] mean absolute error on held-back data; None if the answer has none."""

    def component(self, name: str, machine: TargetMachine) -> Component:
        """The power of a component on this machine. Raises ConfigurationError."""
        where = f"{self.origin}: {name}"
        raw, counters = self.raw[name], _counters(f"{self.origin}: {name}", self.raw[name])
        if "CurveFit_Weights" in raw:
            return self._fitted(where, name, counters, machine)
        if "Bias_Weight" not in raw:
            _refuse(where, "Bias_Weight or CurveFit_Weights in All_Weights", ", ".join(raw) or None)
        moving = [counter for counter in counters if counter.weight]
        slope = sum(counter.weight * counter.reach(where, machine) for counter in moving)
        return Component(name, _number(f"{where}.Bias_Weight", raw["Bias_Weight"]), slope)

    def _fitted(self, where: str, name: str, counters: tuple[Counter, ...], machine: TargetMachine) -> Component:
        weights = _list(f"{where}.CurveFit_Weights", self.raw[name]["CurveFit_Weights"])
        form = self._form(where, len(weights))
        main = _MAIN_OF_DRAM if name == "dram" else _MAIN
        counter = next((c for wanted in main for c in counters if c.name == wanted), counters[0])
        reach = counter.reach(where, machine)
        found = Component(name, form=form, weights=weights, reach=reach)
        # it does not depend on CPU use: a constant
        return Component(name, float(found.watts(np.zeros(1))[0])) if reach == 0.0 or weights[0] == 0.0 else found

    def _form(self, where: str, count: int) -> Form:
        fitting = [form for form in FORMS.values() if form.parameters == count]
        if self.trainer is None and len(fitting) == 1:
            return fitting[0]
        form = FORMS.get(self.trainer or "")
        if form is None and self.trainer is None and fitting:
            names = " or ".join(form.trainer for form in fitting)
            raise ConfigurationError(
                f"{where}: {count} weights may come from {names}, and nothing says which: pass --trainer"
            )
        if form is None or form.parameters != count:
            _refuse(where, f"weights of {self.trainer or 'one of ' + ', '.join(FORMS)}", f"{count} CurveFit_Weights")
        return form

    def learned_up_to(self, name: str) -> float | None:
        """Highest number of busy cores where the component was learned; None if it does not depend on CPU time."""
        scales = [c.scale for c in _counters(self.origin, self.raw[name]) if c.name == "bpf_cpu_time_ms"]
        return scales[0] / 1e3 if scales and scales[0] > 0.0 else None


def read_weights(text: str, origin: str, trainer: str | None = None) -> Weights:
    """Read the weights of an answer or a file. ``trainer``: the trainer's name, if the text does not have it.

    Raises ConfigurationError.
    """
    if text.startswith("PK"):
        _refuse(origin, "weights as JSON", "a zip archive: take the .json file beside it, or ask with `weight: true`")
    document = parse_document(text, origin)
    if not isinstance(document, dict):
        _refuse(origin, "an object with weights of `platform`, or of `package` and `dram`", document)
    raw = {name: _all_weights(f"{origin}: {name}", document[name]) for name in COMPONENTS if document.get(name)}
    if not raw:
        _refuse(origin, f"weights of {', '.join(COMPONENTS)}", ", ".join(map(str, document)) or "none")
    model, spec, mae = document.get("model_name"), document.get("machine_spec"), document.get("mae")
    return Weights(
        origin,
        raw,
        _trainer(model) or trainer or _trainer(PurePath(origin).name),
        str(model) if model else None,
        spec if isinstance(spec, dict) else {},
        float(mae) if isinstance(mae, (int, float)) else None,
    )


def _trainer(name: Any) -> str | None:
    """The trainer in the name of a model or a file, such as ExponentialRegressionTrainer_0; None if there is none."""
    return next((trainer for trainer in TRAINERS if str(name).startswith(trainer)), None)


def _all_weights(where: str, component: Any) -> Mapping[str, Any]:
    weights = component.get("All_Weights") if isinstance(component, dict) else None
    if not isinstance(weights, dict):
        _refuse(where, "an object with All_Weights", component)
    if weights.get("Categorical_Variables"):
        _refuse(f"{where}.Categorical_Variables", "none, as every trainer leaves it", weights["Categorical_Variables"])
    return weights


def _counters(where: str, raw: Mapping[str, Any]) -> tuple[Counter, ...]:
    numerical = raw.get("Numerical_Variables")
    if not isinstance(numerical, dict) or not numerical:
        _refuse(f"{where}.Numerical_Variables", "counters, each with its scale", numerical)
    found = []
    for name, given in numerical.items():
        if not isinstance(given, dict) or "scale" not in given:
            _refuse(f"{where}.{name}", f"an object with scale{nearest('scale', given or ())}", given)
        scale, weight = (_number(f"{where}.{name}.{key}", given.get(key, 0.0)) for key in ("scale", "weight"))
        found.append(Counter(str(name), scale, weight))
    return tuple(found)


def _list(where: str, values: Any) -> tuple[float, ...]:
    if not isinstance(values, list) or not values:
        _refuse(where, "a list of numbers", values)
    return tuple(_number(where, value) for value in values)


def _number(where: str, value: Any) -> float:
    try:
        number = math.nan if isinstance(value, (bool, str)) or value is None else float(value)
    except (TypeError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        _refuse(where, "a finite number", value)
    return number


def _refuse(where: str, expected: str, got: Any) -> NoReturn:
    came = "nothing" if got is None else got if isinstance(got, str) else repr(got)
    raise ConfigurationError(f"{where}: expected {expected}; got {came if len(came) <= 80 else came[:77] + '...'}")
