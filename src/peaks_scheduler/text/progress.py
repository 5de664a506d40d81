"""Progress of a command on standard error: a bar on a terminal, a few plain lines or nothing elsewhere.

Never writes to standard output, which has the result alone.
"""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

import click
from click._termui_impl import ProgressBar as Bar

from .terminal import say


class ProgressBar:
    """Shows progress from the first ``update`` to the end of the ``with`` block.

    Args:
        label: what is counted, in front of the bar.
        lines: how many lines to write where standard error is no terminal.
        least: a total below this is not shown on a terminal.
    """

    def __init__(self, label: str, *, lines: int = 0, least: int = 1) -> None:
        self._label, self._lines, self._least = label, lines, least
        self._done = 0
        self._bar: Bar[int] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.__exit__(kind, error, trace)

    def update(self, done: int, total: int) -> None:
        """``done`` of ``total`` are done by now. The total of the first call holds."""
        before, self._done = self._done, done
        if not sys.stderr.isatty():
            if total > 0 and done * self._lines // total > before * self._lines // total:
                say(f"{self._label}: {done} of {total}")
        elif total >= self._least:
            if self._bar is None:
                self._bar = click.progressbar(length=total, label=self._label, file=sys.stderr)
                self._bar.__enter__()
            self._bar.update(done - self._bar.pos)
