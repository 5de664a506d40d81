"""What a check found, and how a list of findings looks: a line each, or JSON.

Owns the three statuses and their rendering. Assumes texts of one line. Never looks at anything by itself.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from peaks_scheduler.text.printable import visible
from peaks_scheduler.text.table import column_widths, padded

Status = Literal["ok", "warning", "failed"]
STATUSES: tuple[Status, ...] = ("ok", "warning", "failed")
COLOURS: dict[Status, str] = {"ok": "green", "warning": "yellow", "failed": "red"}
"""On a terminal."""
_STATUS_WIDTH = max(map(len, STATUSES))
_LEAST_WIDTH = 60  # [characters] narrower than that no columns are kept


@dataclass(frozen=True, slots=True)
class Finding:
    """One line."""

    check: str
    """What was looked at: ``rights``."""
    status: Status
    """``warning``: it works, though not as well as it could. ``failed``: pods would not be placed, or not by watts."""
    text: str
    remedy: str = ""
    """What to do; empty where nothing is to be done."""

    def as_json(self) -> dict[str, Any]:
        return {"check": self.check, "status": self.status, "finding": self.text, "remedy": self.remedy or None}


def ok(check: str, text: str) -> Finding:
    return Finding(check, "ok", _one_line(text))


def warning(check: str, text: str, remedy: str = "") -> Finding:
    return Finding(check, "warning", _one_line(text), _one_line(remedy))


def failed(check: str, text: str, remedy: str = "") -> Finding:
    return Finding(check, "failed", _one_line(text), _one_line(remedy))


def unseen(check: str, why: str) -> Finding:
    """Another check's trouble leaves nothing to look at here; that one has the remedy."""
    return warning(check, f"not looked at: {why}")


def _one_line(text: str) -> str:
    return visible(" ".join(text.split()))


def as_json(findings: Sequence[Finding]) -> dict[str, Any]:
    return {"checks": [finding.as_json() for finding in findings]}


def as_lines(findings: Sequence[Finding], width: int | None = None) -> list[str]:
    """``failed   rights   no right to create pods/binding: ... -> add it``, in columns. With ``width`` [characters]
    wrapped below their column; None: one line each."""
    columns = column_widths([(finding.status, finding.check) for finding in findings], (_STATUS_WIDTH,))
    return [_line(finding, columns, width) for finding in findings]


def _line(finding: Finding, columns: Sequence[int], width: int | None) -> str:
    head = padded((finding.status, finding.check, ""), (*columns, 0))
    text = finding.text + (f" -> {finding.remedy}" if finding.remedy else "")
    if width is None or width < _LEAST_WIDTH:
        return head + text
    # addresses and commands are copied: they stay whole
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
