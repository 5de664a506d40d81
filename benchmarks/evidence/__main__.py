"""``python -m benchmarks.evidence [--only NAME] [--output docs]``: writes ``evidence.md`` and its figures again."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks import BenchmarkError

from .cases.cases import CASES
from .document import TEMPLATE, draw, filled
from .fleets import missing
from .measuring import kept, measured, save
from .report import FULL

RESULTS = Path("build/evidence.json")
"""Figures of every run: ``--only`` measures one case and takes the others from here."""


def main(arguments: list[str]) -> int:
    asked = _parser().parse_args(arguments)
    if reason := missing():
        _say(reason)
        return 0
    try:
        _make(asked.only or [case.name for case in CASES], Path(asked.output), asked.jobs, asked.png)
    except BenchmarkError as error:
        _say(str(error))
        return 1
    return 0


def _make(names: list[str], output: Path, jobs: int, png: bool) -> None:
    save(measured([run for case in CASES if case.name in names for run in case.runs(FULL)], _say, jobs), RESULTS)
    found = kept([run for case in CASES for run in case.runs(FULL)], RESULTS)
    reports = [case.report(found, FULL) for case in CASES]
    for report in reports:
        for name, drawing in report.drawings.items():
            draw(drawing, output / "evidence" / f"{name}.{'png' if png else 'svg'}")
    texts = {name: text for report in reports for name, text in report.texts.items()}
    (output / "evidence.md").write_text(filled(TEMPLATE.read_text(encoding="utf-8"), texts), encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evidence", description="make docs/evidence.md again")
    parser.add_argument(
        "--only", action="append", choices=[case.name for case in CASES], help="measure this case alone"
    )
    parser.add_argument("--output", default="docs", help="folder of evidence.md (docs)")
    parser.add_argument("--jobs", type=int, default=-1, help="processes (as many as there are processors)")
    parser.add_argument("--png", action="store_true", help="figures as PNG, to look at")
    return parser


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
