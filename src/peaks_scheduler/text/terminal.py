"""What commands print: results on standard output, everything else on standard error.

Owns that nothing from outside reaches a terminal raw (``printable``), and that a standard error which takes nothing
(closed, full, nobody reads) is no reason to fail: the result is what counts. Assumes a text whose own line feeds are
meant; a part of it that came from outside is made one line by whoever puts it in.
"""

from __future__ import annotations

import sys

import click

from peaks_scheduler.process_setup import discard_output

from .printable import visible_lines


def show(text: str, newline: bool = True) -> None:
    """A result. Raises OSError where it cannot be written."""
    click.echo(visible_lines(text), nl=newline)


def say(text: str) -> None:
    """Anything else: a note, a warning, an error."""
    try:
        click.echo(visible_lines(text), err=True)
    except OSError:
        discard_output(sys.__stderr__)


def note(text: str) -> None:
    """A note; lines that its text has are kept apart from other notes."""
    say(f"note: {text}".replace("\n", "\n  "))
