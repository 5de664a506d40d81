"""Writes everything that a simulation gave into one folder, and says what it wrote.

Every file is written whole or not at all. What needs an optional package is left out without it, and the CSV files, the
report's words and its table always come.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.files.writing import write_whole
from peaks_scheduler.simulation.api_objects import EPOCH
from peaks_scheduler.text.words import plural

from .csv_files import write_tables
from .figures import Picture, draw
from .opendc import INTERVAL, write_opendc
from .parquet import write_parquet
from .report import report
from .sqlite import append
from .tables import Results, Table, all_tables

INSTALL = "pip install 'peaks-scheduler[simulate]'"
_SOMETIMES = (
    *("usage.csv", "parquet/usage.parquet", "outages.csv", "parquet/outages.parquet"),
    *("figures/co2.png", "figures/co2.svg"),
)


def check_folder(folder: Path) -> None:
    """Make the folder. Raises ConfigurationError where it cannot be made or written to. For use before long work."""
    _make(folder)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigurationError(f"--out {folder}: expected a folder to write to; this one is read-only for us")


def write_all(
    folder: Path,
    results: Results,
    *,
    notes: Sequence[str],
    seed: int,
    sqlite: Path | None = None,
    start: float = EPOCH,
) -> list[str]:
    """Write all forms of the results. What was written, or why not, a line each.

    ``notes``: what was assumed or left out, for the report. ``start`` [s since the epoch]: time 0. Raises
    ConfigurationError where the folder or the SQLite file cannot be written.
    """
    check_folder(folder)
    try:
        return _written(folder, results, list(notes), seed, sqlite, start)
    except OSError as error:
        raise ConfigurationError(f"--out {folder}: expected a folder to write to; got: {error}") from error


def _written(
    folder: Path, results: Results, notes: Sequence[str], seed: int, sqlite: Path | None, start: float
) -> list[str]:
    tables = all_tables(results, start)
    for name in _SOMETIMES:  # of an earlier run: this one may not have them
        (folder / name).unlink(missing_ok=True)
    csvs = write_tables(folder, tables)
    said = [f"{folder}: {', '.join(path.name for path in csvs)}"]
    said += _parquet(folder, tables, results, start)
    said += _report(folder, results, notes, seed)
    if sqlite is not None:
        run = append(sqlite, tables, seed=seed, notes=notes)
        said.append(f"{sqlite}: all tables, as run {run}")
    return said


def _parquet(folder: Path, tables: Sequence[Table], results: Results, start: float) -> list[str]:
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        return [f"no Parquet files: they need pyarrow, which is not there ({error}): {INSTALL}"]
    _make(folder / "parquet")
    files = write_parquet(folder / "parquet", tables)
    interval = write_opendc(folder / "opendc", results, start)
    coarse = f", a sample every {interval:g} s: more often there would be too many" if interval > INTERVAL else ""
    return [
        f"{folder / 'parquet'}: the same tables as Parquet, {plural(len(files), 'file')}",
        f"{folder / 'opendc'}: OpenDC's tables host, task, powerSource and service{coarse}",
    ]


def _report(folder: Path, results: Results, notes: Sequence[str], seed: int) -> list[str]:
    pictures, missing = _pictures(results)
    if pictures:
        _make(folder / "figures")
    for picture in pictures:
        write_whole("--out", str(folder / "figures" / f"{picture.name}.svg"), picture.svg)
        write_whole("--out", str(folder / "figures" / f"{picture.name}.png"), picture.png)
    page = report(results, pictures, seed=seed, notes=notes, missing=missing)
    write_whole("--out", str(folder / "report.html"), page.encode())
    shown = f"with {plural(len(pictures), 'figure')}, also in figures as SVG and PNG" if pictures else missing
    return [f"{folder / 'report.html'}: {shown}"]


def _pictures(results: Results) -> tuple[list[Picture], str]:
    """(the figures, why there are none)."""
    try:
        import matplotlib.style  # noqa: F401
    except ImportError as error:
        return [], f"no figures: they need matplotlib, which is not there ({error}): {INSTALL}"
    except OSError as error:  # neither a home nor a temporary folder
        return [], f"no figures: matplotlib finds no folder for its list of fonts ({error}): set MPLCONFIGDIR to one"
    return draw(results), ""


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"--out {folder}: expected a folder that can be made; got: {error}") from error
