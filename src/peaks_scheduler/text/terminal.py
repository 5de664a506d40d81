"""Output of commands: results on standard output, everything else on standard error.

All text is made visible first (``printable``); its line feeds stay, so a caller makes foreign parts one line each. A
standard error that takes no text (closed, full, without a reader) does not fail the command: the result counts.
"""

from __future__ import annotations

import sys

import click

from peaks_scheduler.process_setup import discard_output

from .printable import visible_lines


def show(text: str, newline: bool = True) -> None:
    """Print a result. Raises OSError where it cannot be written."""
    click.echo(visible_lines(text), nl=newline)


def say(text: str) -> None:
    """Print a note, a warning or an error."""
    try:
        click.echo(visible_lines(text), err=True)
    except OSError:
        discard_output(sys.__stderr__)


def note(text: str) -> None:
    """Print a note; further lines of its text are indented."""
    say(f"note: {text}".replace("\n", "\n  "))
