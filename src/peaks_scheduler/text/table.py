"""Tables of text for a terminal: cells in columns, two blanks apart. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import zip_longest

_GAP = "  "


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] = (), least: Sequence[int] = ()) -> list[str]:
    """A line for each row, without blanks at its end. All rows have the same number of cells.

    ``right``: indices of the columns whose cells stand to the right, as numbers do. ``least``: least width of each
    column [characters].
    """
    widths = column_widths(rows, least)
    return [padded(row, widths, right).rstrip() for row in rows]


def column_widths(rows: Sequence[Sequence[str]], least: Sequence[int] = ()) -> list[int]:
    """Width of each column [characters]: its longest cell, or ``least`` where that is more."""
    longest = (max(map(len, column)) for column in zip(*rows, strict=True))
    return [max(pair) for pair in zip_longest(longest, least, fillvalue=0)]


def padded(row: Sequence[str], widths: Sequence[int], right: Collection[int] = ()) -> str:
    """The row's cells in columns of these widths, the last one padded as well."""
    return _GAP.join(
        cell.rjust(width) if i in right else cell.ljust(width)
        for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
