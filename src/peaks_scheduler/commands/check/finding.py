"""What a check found, and how a list of findings is printed: a line for each, or JSON.

Owns the three statuses, their rendering, and words that several checks share. Judges nothing. Pure.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from peaks_scheduler.text.printable import visible
from peaks_scheduler.text.table import column_widths, padded
from peaks_scheduler.text.words import few

Status = Literal["ok", "warning", "failed"]
STATUSES: tuple[Status, ...] = ("ok", "warning", "failed")
COLOURS: dict[Status, str] = {"ok": "green", "warning": "yellow", "failed": "red"}
"""On a terminal."""
_STATUS_WIDTH = max(map(len, STATUSES))
_LEAST_WIDTH = 60  # [characters] on a narrower terminal lines are not wrapped
CLOCKS_APART = 5.0  # [s] the daemon warns from the same difference on
UNREACHED = "the API server did not answer"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line."""

    check: str
    """Name of the check: ``rights``."""
    status: Status
    """``warning``: it works, but not as well as it could. ``failed``: pods would not be placed, or not by watts."""
    text: str
    remedy: str = ""
    """What to do; empty: nothing."""

    def as_json(self) -> dict[str, Any]:
        return {"check": self.check, "status": self.status, "finding": self.text, "remedy": self.remedy or None}


def ok(check: str, text: str) -> Finding:
    return Finding(check, "ok", _one_line(text))


def warning(check: str, text: str, remedy: str = "") -> Finding:
    return Finding(check, "warning", _one_line(text), _one_line(remedy))


def failed(check: str, text: str, remedy: str = "") -> Finding:
    return Finding(check, "failed", _one_line(text), _one_line(remedy))


def not_checked(check: str, why: str) -> Finding:
    """A warning that this check had nothing to look at; the check that says ``why`` has the remedy."""
    return warning(check, f"not checked: {why}")


def _one_line(text: str) -> str:
    return visible(" ".join(text.split()))


def as_json(findings: Sequence[Finding]) -> dict[str, Any]:
    return {"checks": [finding.as_json() for finding in findings]}


def as_lines(findings: Sequence[Finding], width: int | None = None) -> list[str]:
    """``failed   rights   no right to create pods/binding: ... -> add it``, in columns.

    With ``width`` [characters] long lines are wrapped below their column; None: one line for each finding.
    """
    columns = column_widths([(finding.status, finding.check) for finding in findings], (_STATUS_WIDTH,))
    return [_line(finding, columns, width) for finding in findings]


def _line(finding: Finding, columns: Sequence[int], width: int | None) -> str:
    head = padded((finding.status, finding.check, ""), (*columns, 0))
    text = finding.text + (f" -> {finding.remedy}" if finding.remedy else "")
    if width is None or width < _LEAST_WIDTH:
        return head + text
    # people copy addresses and commands: they are not broken
    return textwrap.fill(
        text,
        width,
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    )


def summary(findings: Iterable[Finding]) -> str:
    """``12 ok, 2 warnings, 1 failed``."""
    found = [finding.status for finding in findings]
    warnings = found.count("warning")
    return f"{found.count('ok')} ok, {warnings} warning{'' if warnings == 1 else 's'}, {found.count('failed')} failed"


def span(seconds: float) -> str:
    """A time for people: ``40 s``, ``12 min``, ``5 h``, ``3 days``."""
    for size, unit in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size or (unit == "min" and seconds >= size):
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def names(each: Iterable[str]) -> str:
    """The first few names in alphabetical order, and how many more there are."""
    return few(sorted(each))
