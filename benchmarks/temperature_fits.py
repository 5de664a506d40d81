"""How often the 95 % intervals of a fit with temperature have the truth, and how often a term is taken wrongly.

``python -m benchmarks.temperature_fits [SEEDS]``. Every seed is a machine of its own: a week of five minutes, noise of
2 % of the mean power, air whose temperature goes up and down by 6 K a day and wanders besides, and a load that is
partly high when the air is warm. Curves take turns. Measured: for two kinds of term, how many intervals have the true
watts a kelvin at no load and at full load; without a term, how often one is taken; with 2 K instead of 6 K, how often
it is refused. ``tests/unit/fitting/test_temperature.py`` does the same with fewer seeds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

import numpy as np
from scipy.signal import lfilter

from peaks_scheduler.arrays import Floats
from peaks_scheduler.fitting.samples import Samples
from peaks_scheduler.fitting.temperature import TemperatureFit, fit_with_temperature
from peaks_scheduler.power.temperature import TemperatureTerm

Watts = Callable[[Floats], Floats]

DAY, EACH, COUNT = 86_400.0, 300.0, 2016  # [s], [s], samples of a week
NOISE = 0.02  # of the mean power
MIDDLE, SWING = 22.0, 6.0  # [celsius], [K] from the coolest to the warmest hour of a day

CURVES: Mapping[str, Watts] = {
    "linear": lambda u: 90.0 + 160.0 * u,
    "bends down": lambda u: 250.0 - 160.0 * np.exp(-3.0 * u),
    "bends up": lambda u: 95.0 + 40.0 * np.expm1(1.6 * u),
    "steep first step": lambda u: np.where(u < 0.1, 80.0 + 500.0 * u, 130.0 + 60.0 * np.expm1(1.1 * (u - 0.1))),
}
COOLEST = -100.0
"""Reference of a term that counts from the coolest sample on."""
TERMS: Mapping[str, TemperatureTerm] = {
    "whole range": TemperatureTerm("inlet", COOLEST, 0.6, 1.6),
    "hinge": TemperatureTerm("inlet", MIDDLE, 1.2, 3.2),
}
NONE = TemperatureTerm("inlet", COOLEST, 0.0, 0.0)


def machine(seed: int, curve: Watts, term: TemperatureTerm, swing: float = SWING) -> Samples:
    """A week of one machine."""
    random = np.random.default_rng(seed)
    time = EACH * np.arange(COUNT)
    day = np.sin(2.0 * np.pi * time / DAY + random.uniform(0.0, 2.0 * np.pi))
    wandering = lfilter([0.243], [1.0, -0.97], random.standard_normal(COUNT))  # of variance 1
    celsius = np.round(MIDDLE + swing / 2.0 * (day + 0.15 * wandering), 1)  # a sensor of a tenth of a degree
    jobs = np.convolve(random.standard_normal(COUNT + 4), np.full(5, 0.2), "valid")
    use = np.clip(0.45 + 0.2 * day + 0.55 * jobs, 0.005, 1.0)
    reference = float(celsius.min()) if term.reference == COOLEST else term.reference
    watts = curve(use) + (term.idle + (term.full - term.idle) * use) * np.maximum(celsius - reference, 0.0)
    return Samples(use, watts + NOISE * watts.mean() * random.standard_normal(COUNT), time, celsius)


def found(seed: int, term: TemperatureTerm, swing: float = SWING) -> TemperatureFit:
    """What is learned of the machine of this seed."""
    curve = list(CURVES.values())[seed % len(CURVES)]
    return fit_with_temperature(machine(seed, curve, term, swing))[1]


def inside(heat: TemperatureFit, term: TemperatureTerm) -> tuple[bool, bool]:
    """Do the intervals have the true watts a kelvin at no load, and at full load?"""
    idle, full = heat.interval("idle"), heat.interval("full")
    return _has(idle, term.idle), _has(full, term.full)


def _has(interval: tuple[float, float] | None, value: float) -> bool:
    return interval is not None and interval[0] <= value <= interval[1]


def main(seeds: int) -> None:
    for name, term in TERMS.items():
        every = [found(seed, term) for seed in range(seeds)]
        taken = [heat for heat in every if heat.term is not None]
        idle, full = np.array([inside(heat, term) for heat in taken]).mean(axis=0)
        kind = sum((heat.reference_error is not None) == (name == "hinge") for heat in taken)
        print(
            f"{name}: a term in {len(taken)} of {seeds}, of this kind in {kind}; the true watts a kelvin are in the "
            f"95 % interval of {100.0 * idle:.1f} % at no load, {100.0 * full:.1f} % at full load",
            flush=True,
        )
    wrong = sum(found(seed, NONE).term is not None for seed in range(seeds))
    print(f"no term: one is taken in {wrong} of {seeds}", flush=True)
    few = min(seeds, 200)
    refused = sum("K only" in (found(seed, TERMS["hinge"], 2.0).reasons or ("",))[0] for seed in range(few))
    print(f"2 K: refused for the range in {refused} of {few}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
