"""Finished runs: one small file each in ``runs/`` of the folder for results, so that a second start skips them.

The name of a file is a hash of everything that the run's result depends on: the words on its axes, what all runs have
in common, the content of the files it reads, and this version of the program. A run is written in one step as soon as
it is finished. A file that cannot be read as one of ours counts as not there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from peaks_scheduler import __version__
from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.files.writing import write_whole

from .scenarios import Axes, Fixed

Kpis = dict[str, float | int | None]
"""Name -> value; None: not counted."""
FORM = 1
"""Of the files. Another form is another hash."""
_DIGITS = 24  # of the hash: two of 100,000 runs are alike by chance with a probability of 1e-19


def name_of(axes: Axes, fixed: Fixed, prints: Mapping[str, str]) -> str:
    """Name of the run. ``prints``: fingerprints of the contents of the files that the axes' words name."""
    words = (axes.nodes, axes.workload, *fixed.carbon)
    everything = {
        "form": FORM,
        "version": __version__,
        "axes": asdict(axes),
        "fixed": {**asdict(fixed), "load_view": ""},  # it is on its axis
        "contents": [prints.get(word, "") for word in words],
    }
    return hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()[:_DIGITS]


class FinishedRuns:
    """The folder ``runs`` below ``out``. Raises ConfigurationError where it cannot be made."""

    def __init__(self, out: Path) -> None:
        self._folder = out / "runs"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"--out {out}: expected a folder that can be made; got: {error}") from error

    def keep(self, name: str, axes: Axes, kpis: Kpis) -> None:
        """Write a finished run in one step."""
        text = json.dumps({"form": FORM, "axes": asdict(axes), "kpis": kpis}, indent=1) + "\n"
        write_whole("--out", str(self._file(name)), text.encode())

    def kpis(self, name: str) -> Kpis | None:
        """What a finished run gave; None where it is not finished."""
        try:
            data = json.loads(self._file(name).read_text("utf-8"))
            if data["form"] != FORM:
                return None
            return {str(key): _number(value) for key, value in data["kpis"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.json"


def _number(value: object) -> float | int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise ValueError(value)
    return value
