"""The demo's progress on standard error: a bar on a terminal, a few plain lines elsewhere.

Never writes to standard output, which has only the result.
"""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

import click

from peaks_scheduler.text.terminal import say

_LINES = 4  # without a terminal


class Progress:
    """Counts up to ``total`` while the block lasts."""

    def __init__(self, label: str, total: int) -> None:
        self._label = label
        self._total = total
        self._done = 0
        self._bar = click.progressbar(length=total, label=label, file=sys.stderr) if sys.stderr.isatty() else None

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.__exit__(kind, error, trace)

    def update(self, done: int) -> None:
        """Show that ``done`` of the total are done."""
        before, self._done = self._done, done
        if self._bar is not None:
            self._bar.update(done - before)
        elif done * _LINES // self._total > before * _LINES // self._total:
            say(f"{self._label}: {done} of {self._total}")
