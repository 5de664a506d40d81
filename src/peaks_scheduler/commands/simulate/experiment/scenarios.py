"""The experiment of a file, and its runs: every combination of the values on its axes, once for each seed.

Owns the keys of the file. Reads the mapping only; the words on the axes are checked here, and the files that they name
are read by the runs. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.objects.ceilings import NO_CEILING, Ceiling, parse_ceiling
from peaks_scheduler.simulation.belief_words import parse_beliefs
from peaks_scheduler.simulation.faults import parse_faults
from peaks_scheduler.simulation.load_views import parse_load_view
from peaks_scheduler.text.words import nearest

MOST_RUNS = 100_000
MOST_SEED = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Fixed:
    """What all runs of an experiment have in common; the defaults are those of the configuration."""

    ceiling: Ceiling = NO_CEILING
    default_cpu: int = 100
    """[mCPU] expected use of a pod that requests none."""
    tolerance_watts: float = 0.0
    batch_wait_s: float = 1.0
    price: float | None = None
    """Of a kWh."""
    load_view: str = "load-watcher"
    """Of a file without ``loadViews``."""
    carbon: tuple[str, ...] = ()
    """Carbon intensity, ``FILE`` or ``REGION=FILE`` each; empty: carbon is not counted."""


@dataclass(frozen=True, slots=True)
class Axes:
    """One value on each axis, in the words of the file: what tells a run from another."""

    nodes: str
    workload: str
    models: str
    load_view: str
    faults: str
    strategy: str
    seed: int


@dataclass(frozen=True, slots=True)
class Experiment:
    """An experiment as its file has it."""

    name: str
    nodes: tuple[str, ...]
    workloads: tuple[str, ...]
    strategies: tuple[str, ...]
    models: tuple[str, ...]
    load_views: tuple[str, ...]
    faults: tuple[str, ...]
    seeds: tuple[int, ...]
    fixed: Fixed

    def runs(self) -> Iterator[Axes]:
        """All runs; seeds vary fastest, then strategies."""
        axes = (self.nodes, self.workloads, self.models, self.load_views, self.faults, self.strategies, self.seeds)
        yield from (Axes(*values) for values in product(*axes))


def labels(axes: Axes) -> dict[str, str]:
    """Axis -> value as text."""
    return {name: str(value) for name, value in asdict(axes).items()}


def told(axes: Axes) -> str:
    """The run in one line, for messages; an axis without a word is left out."""
    return ", ".join(f"{name} {value}" for name, value in labels(axes).items() if value)


# --- the file ---------------------------------------------------------------------------------------------------------

_AXES = ("nodes", "workloads", "strategies", "models", "loadViews", "faults")
_KEYS = ("name", *_AXES, "seeds", "ceiling", "carbon", "price")


def read_experiment(data: object, origin: str, known: Collection[str] | None, fixed: Fixed) -> Experiment:
    """The experiment of a file's ``data``.

    origin   name of the file, for errors
    known    names of the strategies; None: any name will do
    fixed    what counts where the file is silent

    Raises ConfigurationError: an unknown key or word, with the nearest known one.
    """
    if not isinstance(data, Mapping):
        raise ConfigurationError(
            f"{origin}: expected a mapping with `nodes`, `workloads` and `strategies`; got {data!r:.80}"
        )
    for key in data:
        if key not in _KEYS:
            raise ConfigurationError(
                f"{origin}: expected keys among {', '.join(_KEYS)}; got {str(key)!r:.80}{nearest(str(key), _KEYS)}"
            )
    file = _File(data, origin)
    experiment = Experiment(
        name=file.text("name", "experiment"),
        nodes=file.axis("nodes", _anything),
        workloads=file.axis("workloads", _anything),
        strategies=file.axis("strategies", _among(known)),
        models=file.axis("models", parse_beliefs, "fitted"),
        load_views=file.axis("loadViews", parse_load_view, fixed.load_view),
        faults=file.axis("faults", parse_faults, ""),
        seeds=file.seeds(),
        fixed=file.fixed(fixed),
    )
    _refuse_many(experiment, origin)
    return experiment


def _anything(word: str) -> None:
    if not word:
        raise ValueError("text that is not empty")


def _among(known: Collection[str] | None) -> Callable[[str], None]:
    def check(word: str) -> None:
        if not word or (known is not None and word not in known):
            raise ValueError(f"the name of a strategy: {', '.join(known or ())}{nearest(word, known or ())}")

    return check


def _refuse_many(experiment: Experiment, origin: str) -> None:
    axes = (experiment.nodes, experiment.workloads, experiment.strategies, experiment.models, experiment.load_views)
    count = math.prod(map(len, (*axes, experiment.faults, experiment.seeds)))
    if count > MOST_RUNS:
        raise ConfigurationError(f"{origin}: expected at most {MOST_RUNS:,} runs; these axes make {count:,}")


@dataclass(frozen=True, slots=True)
class _File:
    data: Mapping[str, Any]
    origin: str

    def wrong(self, place: str, expected: str, got: object) -> ConfigurationError:
        return ConfigurationError(f"{self.origin}: {place}: expected {expected}; got {got!r:.80}")

    def text(self, key: str, default: str) -> str:
        value = self.data.get(key)
        if value is not None and (not isinstance(value, str) or not value.strip()):
            raise self.wrong(key, "text (in quotes where it looks like a number)", value)
        return default if value is None else value.strip()

    def axis(self, key: str, check: Callable[[str], object], default: str | None = None) -> tuple[str, ...]:
        """The words of one axis; a single word may stand without a list."""
        given = self.data.get(key)
        if given is None and default is not None:
            return (default,)
        words = [_word(each) for each in given] if isinstance(given, list) else [_word(given)]
        if given is None or not words:
            raise self.wrong(
                key, f"a list of at least one value{'' if given is not None else ', since it is required'}", given
            )
        found: list[str] = []
        for i, each in enumerate(words):
            word = self._checked(f"{key}[{i}]", each, check)
            if word in found:
                raise self.wrong(f"{key}[{i}]", "every value once", word)
            found.append(word)
        return tuple(found)

    def _checked(self, place: str, word: object, check: Callable[[str], object]) -> str:
        if not isinstance(word, str):
            raise self.wrong(place, "text (in quotes where it looks like a number)", word)
        try:
            check(word.strip())
        except ValueError as error:
            raise self.wrong(place, str(error), word) from error
        return word.strip()

    def seeds(self) -> tuple[int, ...]:
        """The seeds: a list, or 1, 2, ... up to their number."""
        given = self.data.get("seeds", 1)
        if isinstance(given, int) and not isinstance(given, bool) and 1 <= given <= MOST_RUNS:
            return tuple(range(1, given + 1))
        listed = given if isinstance(given, list) else [None]
        if not listed or not all(_is_seed(each) for each in listed) or len(set(listed)) < len(listed):
            raise self.wrong(
                "seeds", "how many (5 stands for 1 to 5), or a list of different whole numbers, 0 or more", given
            )
        return tuple(listed)

    def fixed(self, fixed: Fixed) -> Fixed:
        """``fixed`` with what the file says."""
        price = self.data.get("price", fixed.price)
        if price is not None and (
            isinstance(price, bool) or not isinstance(price, (int, float)) or not 0 <= price < 1e6
        ):
            raise self.wrong("price", "the price of a kWh, 0 or more", price)
        carbon = self.axis("carbon", _anything) if self.data.get("carbon") is not None else fixed.carbon
        return replace(fixed, ceiling=self._ceiling(fixed.ceiling), price=price, carbon=carbon)

    def _ceiling(self, default: Ceiling) -> Ceiling:
        given = self.data.get("ceiling")
        if given is None:
            return default
        text = ",".join(f"{key}={value}" for key, value in given.items()) if isinstance(given, Mapping) else str(given)
        if text == "none":
            return NO_CEILING
        try:
            found = parse_ceiling(text)
        except ValueError as error:
            raise self.wrong("ceiling", f"{error}, or none", given) from error
        return Ceiling(
            default.cpu if found.cpu is None else found.cpu, default.memory if found.memory is None else found.memory
        )


def _word(value: object) -> object:
    """The value; a switch as its word: YAML reads the models ``true`` as one."""
    return str(value).lower() if isinstance(value, bool) else value


def _is_seed(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_SEED


def counted(experiment: Experiment) -> str:
    """The size of the experiment in words."""
    axes = {
        "nodes": experiment.nodes,
        "workloads": experiment.workloads,
        "models": experiment.models,
        "loadViews": experiment.load_views,
        "faults": experiment.faults,
        "strategies": experiment.strategies,
        "seeds": experiment.seeds,
    }
    return ", ".join(f"{len(values)} {name}" for name, values in axes.items() if len(values) > 1) or "1 run"
