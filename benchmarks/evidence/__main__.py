"""``python -m benchmarks.evidence [--only NAME] [--output docs]``: writes ``evidence.md`` and its figures again."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from benchmarks import BenchmarkError

from .cases.cases import CASES
from .document import TEMPLATE, draw, filled
from .fleets import missing
from .measuring import kept, measured, missing_of, save
from .report import FULL, Size, seed_of

RESULTS = Path("build/evidence.json")
"""Figures of every run: ``--only`` measures one case and takes the others from here."""


def main(arguments: list[str]) -> int:
    asked = _parser().parse_args(arguments)
    if reason := missing():
        _say(reason)
        return 0
    try:
        size = replace(FULL, seeds=asked.seeds, few=min(asked.seeds, FULL.few))
        _measure(asked.only or [case.name for case in CASES], size, asked.jobs, asked.resume)
        _write(Path(asked.output), size, asked.png)
    except BenchmarkError as error:
        _say(str(error))
        return 1
    return 0


def _measure(names: list[str], size: Size, jobs: int, resume: bool) -> None:
    # runs of one seed after the other: they share fits
    runs = sorted((run for case in CASES if case.name in names for run in case.runs(size)), key=seed_of)
    measured(missing_of(runs, RESULTS) if resume else runs, _say, jobs, lambda found: save(found, RESULTS))


def _write(output: Path, size: Size, png: bool) -> None:
    found = kept([run for case in CASES for run in case.runs(size)], RESULTS)
    reports = [case.report(found, size) for case in CASES]
    for report in reports:
        for name, drawing in report.drawings.items():
            draw(drawing, output / "evidence" / f"{name}.{'png' if png else 'svg'}")
    texts = {"seeds": str(size.seeds), "few": str(size.few), "draws": str(size.draws), "few-days": f"{size.few_days:g}"}
    texts |= {name: text for report in reports for name, text in report.texts.items()}
    (output / "evidence.md").write_text(filled(TEMPLATE.read_text(encoding="utf-8"), texts), encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evidence", description="make docs/evidence.md again")
    parser.add_argument(
        "--only", action="append", choices=[case.name for case in CASES], help="measure this case alone"
    )
    parser.add_argument("--output", default="docs", help="folder of evidence.md (docs)")
    parser.add_argument("--seeds", type=int, default=FULL.seeds, help=f"clusters of each kind ({FULL.seeds})")
    parser.add_argument("--jobs", type=int, default=-1, help="processes (as many as there are processors)")
    parser.add_argument("--resume", action="store_true", help="measure only runs that were never measured")
    parser.add_argument("--png", action="store_true", help="figures as PNG, to look at")
    return parser


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
