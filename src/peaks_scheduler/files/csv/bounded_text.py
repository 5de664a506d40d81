"""The text of a CSV file and its rows of cells, all of bounded size: no file fills the memory.

``read_csv_text`` reads the file; the other functions are pure. No other module of this package calls ``csv.reader`` but
``long_format``.
"""

from __future__ import annotations

import csv
import zlib
from collections.abc import Iterator, Sequence

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.files.encodings import decoded
from peaks_scheduler.files.reading import MOST_CSV, read_input_bytes, unpacked

_MOST_LINE = 2**20  # characters
_MOST_COLUMNS = 10_000
_MOST_CELLS = 100_000_000  # rows times columns


def read_csv_text(path: str, option: str = "--csv") -> str:
    """The text of the CSV file at ``path`` (``-``: standard input), gzipped or not. Raises ConfigurationError."""
    try:
        data = read_input_bytes(path, MOST_CSV)
        return decoded(unpacked(data, MOST_CSV) if data[:2] == b"\x1f\x8b" else data)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{option} {path}: expected a readable CSV file; got: {error}") from error


def csv_lines(path: str, text: str) -> list[str]:
    """The lines of the text. Raises ConfigurationError for a line that is too long."""
    lines = text.split("\n")
    if (long := next((i for i, line in enumerate(lines, 1) if len(line) > _MOST_LINE), None)) is not None:
        raise ConfigurationError(f"{path}: expected lines of at most {_MOST_LINE:,} characters; line {long} has more")
    return lines


def refuse_wide(path: str, width: int, rows: int) -> None:
    """Raises ConfigurationError for too many columns or cells. A short row counts as wide as the header."""
    if width > _MOST_COLUMNS:
        raise ConfigurationError(
            f"{path}: expected at most {_MOST_COLUMNS:,} columns; it has {width:,}: save only those that are needed"
        )
    if width * rows > _MOST_CELLS:
        raise ConfigurationError(
            f"{path}: expected at most {_MOST_CELLS:,} cells; it has more: save only the columns that are needed"
        )


def csv_rows(lines: Sequence[str], delimiter: str, offset: int) -> Iterator[tuple[int, int, list[str]]]:
    """(index of its first line, index of the line after it, its cells) of each row that is not empty.

    ``offset``: index of ``lines[0]`` in the file. Raises csv.Error.
    """
    tidy = (line.strip() if delimiter == " " else line for line in lines)
    reader, start = csv.reader((f"{line}\n" for line in tidy), delimiter=delimiter, skipinitialspace=True), offset
    for cells in reader:
        if cells and cells[-1].endswith("\n") and reader.line_num == len(lines):
            raise csv.Error(f"the quote that begins in line {start + 1} or below is never closed")
        stripped = [cell.strip() for cell in cells]
        if any(stripped):
            yield start, offset + reader.line_num, stripped
        start = offset + reader.line_num
