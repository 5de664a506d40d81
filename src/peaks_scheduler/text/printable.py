"""Makes text from outside safe for a terminal, a log line, a label or an event.

No character of it moves the cursor, changes the reading direction, is invisible, or begins a new line: such characters
are written as JSON escapes (``\\u001b``). Too long text is cut. All foreign text (names, annotations, files, answers)
has to go through here before a person sees it. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

FIELD_LIMIT = 2048
"""Most characters of one field, cell or note."""

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
# invisible characters that str.isprintable() calls printable: fillers, joiners, variation selectors (Unicode's
# Default_Ignorable)
_BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")


def visible(text: str) -> str:
    """``text`` in one line of visible characters; others are escaped."""
    return text if is_visible(text) else "".join(map(_shown, text))


def visible_lines(text: str) -> str:
    """The same for text of several lines: line feeds stay."""
    return "\n".join(map(visible, text.split("\n"))) if "\n" in text else visible(text)


def is_visible(text: str) -> bool:
    """Are all characters visible, in one line?"""
    return text.isprintable() and (text.isascii() or not _BLANK.search(text))


def cut(text: str, limit: int = FIELD_LIMIT) -> str:
    """``text``, cut after ``limit`` characters; a cut text ends with its length."""
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


def cell(text: str, limit: int = FIELD_LIMIT) -> str:
    """``text`` for a part of a line: visible, and cut."""
    return visible(cut(text, limit))


def indented(text: str, prefix: str) -> str:
    """``text`` with ``prefix`` before every line, so that no line looks like a log line of its own."""
    return "\n".join(f"{prefix}{visible(line)}" for line in text.split("\n"))


def _shown(char: str) -> str:
    if char.isprintable() and not _BLANK.match(char):
        return char
    return _SHORT.get(char) or _escaped(ord(char))


def _escaped(code: int) -> str:
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000  # as JSON has it: a pair
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"


def cells(row: Iterable[str], limit: int = 256) -> tuple[str, ...]:
    """A row of a table: every cell visible, and cut to fit a column."""
    return tuple(cell(text, limit) for text in row)
