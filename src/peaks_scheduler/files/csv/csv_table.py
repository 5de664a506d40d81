"""The table of a CSV file: a header and rows of text cells. Knows nothing of their meaning. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.text.words import few, nearest


@dataclass(frozen=True, slots=True)
class CsvTable:
    """The cells of a CSV file; their text has no blanks around it."""

    origin: str
    header: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    """Each as long as the header. Cells that a row lacks are empty."""
    lines: Sequence[int]
    """Line number of each row in the file, from 1."""
    notes: tuple[str, ...] = ()
    delimiter: str = ","
    apart: bool = False
    """Has each row the value of one series only? Values of several series then belong together by their times."""

    def column(self, option: str, name: str) -> tuple[str, ...]:
        """The cells of a column. Raises ConfigurationError that lists the columns."""
        i = self._index(option, name)
        return tuple(row[i] for row in self.rows)

    def has(self, name: str) -> bool:
        """Is there a column of this name?"""
        return folded(name) in map(folded, self.header)

    def _index(self, option: str, name: str) -> int:
        found = [i for i, each in enumerate(self.header) if each == name.strip()]
        found = found or [i for i, each in enumerate(self.header) if folded(each) == folded(name)]
        if len(found) == 1:
            return found[0]
        if found:
            places = ", ".join(str(i + 1) for i in found)
            raise ConfigurationError(
                f"{self.origin}: {option} {name!r}: expected one such column; got {len(found)} (columns {places}): "
                "rename all but one"
            )
        there = few([repr(each) for each in self.header], 20)
        raise ConfigurationError(
            f"{self.origin}: {option} {name!r}: expected a column of the file{nearest(name, self.header, 0.4)}; "
            f"it has {there}"
        )


def folded(name: str) -> str:
    """The name for comparison: in lower case, with single blanks."""
    return " ".join(name.split()).casefold()
