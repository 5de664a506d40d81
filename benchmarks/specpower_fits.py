"""Errors of power models that are fitted to few samples of the servers of SPECpower.

``python -m benchmarks.specpower_fits FILE`` with the CSV of SPECpower's curves (plain or .gz, columns ``watts_idle``,
``watts_10`` .. ``watts_100``). Errors are percent of each server's power at full load. Two measurements: 30 samples
with 2 % noise (of the value) at seven levels, judged on all eleven levels; and every level of 20..90 % predicted from
the ten others, with the model chosen anew each time. The tests do the same, the second one for every third server.
"""

from __future__ import annotations

import csv
import gzip
import sys
import time
from pathlib import Path

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.fitting.fit import MODELS, fit
from peaks_scheduler.fitting.result import Fit
from peaks_scheduler.fitting.samples import Samples

LEVELS = ("watts_idle", *(f"watts_{level}" for level in range(10, 101, 10)))
LOADS = np.linspace(0.0, 1.0, len(LEVELS))
MEASURED = np.array([0, 1, 3, 5, 7, 9, 10])  # 0, 10, 30, 50, 70, 90, 100 %
SAMPLES = 30
NOISE = 0.02  # of the value


def errors_from_samples(servers: Floats, seed: int, model: str = "auto") -> Floats:
    """(N,) [%] root mean square error over all levels, of each server's highest power.

    ``servers`` (N, 11) [W]. Server i has the noise of seed ``seed`` + i.
    """
    return np.array([_error_from_samples(true, seed + i, model) for i, true in enumerate(servers)])


def _error_from_samples(true: Floats, seed: int, model: str) -> float:
    at = MEASURED[np.arange(SAMPLES) % len(MEASURED)]
    noise = NOISE * np.random.default_rng(seed).standard_normal(SAMPLES)
    found = fit(Samples(LOADS[at], true[at] * (1.0 + noise)), model)
    return float(np.sqrt(np.mean((_watts(found, LOADS) - true) ** 2)) / true[-1] * 100.0)


def errors_of_levels_left_out(servers: Floats, model: str = "auto") -> Floats:
    """(N * 8,) [%] error at each level of 20..90 % when it is left out, of each server's highest power."""
    return np.array([_error_left_out(true, level, model) for true in servers for level in range(2, 10)])


def _error_left_out(true: Floats, level: int, model: str) -> float:
    others = np.arange(len(LOADS)) != level
    found = fit(Samples(LOADS[others], true[others]), model)
    return float(abs(_watts(found, LOADS[level : level + 1])[0] - true[level]) / true[-1] * 100.0)


def _watts(found: Fit, u: Floats) -> Floats:
    if found.curve is None:
        return np.full(len(u), np.inf)  # no model is the worst one
    return np.array([found.curve.watts(float(each)) for each in u])


def main(path: Path) -> None:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        servers = np.array([[float(row[name]) for name in LEVELS] for row in csv.DictReader(lines)])
    print(f"{len(servers)} servers; % of full power, median and 90th percentile")
    print(f"{'model':18} {'30 samples, 2 % noise':>24} {'level left out':>18} {'ms a fit':>10}")
    for model in MODELS:
        start = time.perf_counter()
        noisy, left_out = errors_from_samples(servers, 0, model), errors_of_levels_left_out(servers, model)
        each = (time.perf_counter() - start) / (len(noisy) + len(left_out)) * 1000.0
        figures = [f"{np.median(errors):.2f} {np.percentile(errors, 90):.2f}" for errors in (noisy, left_out)]
        print(f"{model:18} {figures[0]:>24} {figures[1]:>18} {each:>10.1f}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_file():
        sys.exit("expected one argument, the CSV of SPECpower's curves: python -m benchmarks.specpower_fits FILE")
    main(Path(sys.argv[1]))
