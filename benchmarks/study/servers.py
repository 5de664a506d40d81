"""Servers whose power was measured at eleven loads (SPECpower), and the models that a scheduler would have of them.

Owns the reading of the file and the made-up measurements that models are fitted to. Assumes that load is the share of
the CPUs in use, and that power is linear between two measured levels.
"""

from __future__ import annotations

import csv
import gzip
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from peaks_scheduler.power.curves import Piecewise
from peaks_scheduler.power.models import PowerModel, PowerModels

FILE = "specpower/specpower_ssj2008_curves.csv.gz"
LEVELS = tuple(k / 10 for k in range(11))
COLUMNS = ("watts_idle", *(f"watts_{k}" for k in range(10, 101, 10)))

SAMPLES = 30
SAMPLED_AT = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
NOISE = 0.02
"""Standard deviation of a sample, as a share of the true power."""


@dataclass(frozen=True, slots=True)
class Server:
    """One measured machine."""

    name: str
    threads: int
    watts: tuple[float, ...]  # (11,) [W] at ``LEVELS``

    @property
    def curve(self) -> Piecewise:
        """The server's true power curve."""
        return Piecewise(LEVELS, self.watts)


def data_file() -> Path | None:
    """The file of measured servers, below ``PEAKS_TEST_DATA``; None where there is none."""
    folder = os.environ.get("PEAKS_TEST_DATA", "")
    file = Path(folder) / FILE
    return file if folder and file.is_file() else None


def read(file: Path, since: int = 2013) -> list[Server]:
    """The servers of the file that were available ``since`` that year or later, in the file's order."""
    with gzip.open(file, "rt", newline="", encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if int(row["hw_available"].rpartition("-")[2]) >= since]
    return [
        Server(f"server-{i:03}", int(row["hardware_threads"].split()[0]), tuple(float(row[name]) for name in COLUMNS))
        for i, row in enumerate(rows)
    ]


def drawn(servers: Sequence[Server], count: int, seed: int) -> list[Server]:
    """``count`` different servers at random."""
    return random.Random(f"servers {seed}").sample(servers, count)


def fleet(servers: Sequence[Server], kinds: int, count: int, seed: int) -> list[Server]:
    """``count`` servers of ``kinds`` random kinds, each with 32 threads or more."""
    models = drawn([each for each in servers if each.threads >= 32], kinds, seed)
    return [replace(models[i % kinds], name=f"{models[i % kinds].name}-{i:02}") for i in range(count)]


def by_kind(servers: Sequence[Server]) -> PowerModels:
    """The true curves of a fleet, one model for all servers of a kind, as by instance type."""
    models = {each.watts: PowerModel(each.name.rpartition("-")[0], each.curve) for each in servers}
    return PowerModels({each.name: models[each.watts] for each in servers})


def known_exactly(servers: Sequence[Server]) -> PowerModels:
    """Models that are the true curves."""
    return PowerModels({each.name: PowerModel(each.name, each.curve) for each in servers})


def fitted(servers: Sequence[Server], seed: int) -> PowerModels:
    """Models fitted to a few noisy samples of each server, as ``peaks-scheduler fit`` would write them; no model where
    the fit is refused."""
    from peaks_scheduler.fitting.fit import fit
    from peaks_scheduler.fitting.samples import Samples

    models = {}
    for i, server in enumerate(servers):
        found = fit(Samples(*_sampled(server, np.random.default_rng([seed, i]))))
        if found.curve is not None and found.verdict != "refused":
            models[server.name] = PowerModel(server.name, found.curve, quality=found.quality)
    return PowerModels(models)


def _sampled(server: Server, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """``SAMPLES`` pairs of (utilisation, watts)."""
    cpu = np.resize(SAMPLED_AT, SAMPLES)
    true = np.interp(cpu, LEVELS, server.watts)
    return cpu, true * (1.0 + NOISE * rng.standard_normal(SAMPLES))
