"""Makes one request of the options of ``simulate``: checks which belong together, and reads their words.

Raises ConfigurationError that names the option.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.scheduling.batching import BATCH_STRATEGIES
from peaks_scheduler.scheduling.scoring.strategies import STRATEGIES
from peaks_scheduler.settings.settings import LoadSettings, Settings
from peaks_scheduler.simulation.belief_words import Beliefs, parse_beliefs
from peaks_scheduler.simulation.carbon_policy import CARBON_DELAY
from peaks_scheduler.simulation.case import LoadView
from peaks_scheduler.simulation.faults import Faults, parse_faults
from peaks_scheduler.simulation.load_views import parse_load_view
from peaks_scheduler.text.words import nearest

T = TypeVar("T")
KNOWN_STRATEGIES = (*STRATEGIES, *BATCH_STRATEGIES, CARBON_DELAY)
_ONE_RUN = ("nodes", "workload", "strategies", "models", "load_view", "faults", "assume_watts", "runs", "seed")
"""Options that an experiment's file says itself, and ..."""
_UNUSED = ("power_models", "sqlite", "output")
"""... those that an experiment has no use for."""
_DEFAULTS = {"runs": 1, "seed": 0, "output": "table"}


@dataclass(frozen=True, slots=True)
class SimulateRequest:
    """The options of one simulation."""

    nodes: str
    workload: str
    strategies: tuple[str, ...]
    out: Path
    settings: Settings
    load: LoadView
    beliefs: Beliefs | None
    """What the scheduler believes of the nodes' power; None: not said."""
    faults: Faults
    seed: int = 0
    runs: int = 1
    carbon: tuple[str, ...] = ()
    price: float | None = None
    assumed: tuple[float, float] | None = None
    """[W] per core, idle and full, of nodes of a cluster without a model."""
    jobs: int | None = None
    sqlite: Path | None = None
    output: str = "table"


def request_of(flags: Mapping[str, Any], settings: Settings) -> SimulateRequest:
    """The request of the options. ``flags``: option, with underscores, -> value; None: not given."""
    for name in ("nodes", "workload", "out"):
        if flags[name] is None:
            raise ConfigurationError(f"expected --{name} as well: see peaks-scheduler simulate --help")
    if not flags["strategies"]:
        raise ConfigurationError("expected at least one --strategy NAME; `peaks-scheduler strategies` lists them")
    if flags["dask"] is not None:
        raise ConfigurationError("--dask goes with --experiment FILE")
    _check_strategies(flags["strategies"])
    return SimulateRequest(
        flags["nodes"],
        flags["workload"],
        tuple(dict.fromkeys(flags["strategies"])),
        Path(flags["out"]),
        settings,
        _read("--load-view", flags["load_view"] or view_words(settings.load), parse_load_view),
        _read("--models", flags["models"], parse_beliefs) if flags["models"] else None,
        _read("--faults", flags["faults"], parse_faults),
        flags["seed"],
        flags["runs"],
        tuple(flags["carbon"]),
        _price(flags["price"]),
        _read("--assume-watts", flags["assume_watts"], _assumed) if flags["assume_watts"] else None,
        flags["jobs"],
        Path(flags["sqlite"]) if flags["sqlite"] else None,
        flags["output"],
    )


def _check_strategies(names: Sequence[str]) -> None:
    for name in names:
        if name not in KNOWN_STRATEGIES:
            hint = nearest(name, KNOWN_STRATEGIES)
            raise ConfigurationError(f"--strategy: expected one of {', '.join(KNOWN_STRATEGIES)}; got {name!r}{hint}")


def check_experiment(flags: Mapping[str, Any]) -> None:
    """Which options do not go with ``--experiment``?"""
    for names, remedy in ((_ONE_RUN, "say it in the experiment's file"), (_UNUSED, "leave it out")):
        for name in names:
            if flags[name] and flags[name] != _DEFAULTS.get(name):
                option = "--" + name.replace("_", "-").replace("strategies", "strategy")
                raise ConfigurationError(f"{option} does not go with --experiment: {remedy}")
    if flags["out"] is None:
        raise ConfigurationError("expected --out DIR as well")


def view_words(load: LoadSettings) -> str:
    """The load view of the configured source, in the words of ``--load-view``."""
    interval = f"interval={load.interval:g}s"
    if load.source == "prometheus":
        return f"prometheus:window={load.window:g}s&{interval}"
    return f"{load.source}:{interval}"


def _read(option: str, text: str, read: Callable[[str], T]) -> T:
    try:
        return read(text)
    except ValueError as error:
        raise ConfigurationError(f"{option}: expected {error}; got {text!r}") from error


def _price(price: float | None) -> float | None:
    if price is not None and not (math.isfinite(price) and price >= 0.0):
        raise ConfigurationError(f"--price: expected the price of a kWh, not below 0; got {price:g}")
    return price


def _assumed(text: str) -> tuple[float, float]:
    """``1.5:5``. Raises ValueError: text that completes "expected"."""
    idle, colon, full = text.partition(":")
    try:
        watts = float(idle), float(full)
    except ValueError:
        watts = (math.nan, math.nan)
    if not (colon and 0.0 <= watts[0] <= watts[1] <= 1000.0):
        raise ValueError("watts per core, idle and fully used, such as 1.5:5")
    return watts
