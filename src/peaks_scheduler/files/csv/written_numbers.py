"""Numbers as people write them: ``1541.3``, ``1,541.3``, ``1.541,3``, ``1 541,3``, ``1'541.3``, ``187.4 W``.

Finds the decimal mark of a number from its digits, and the number once the mark is known. ``1,541`` has no certain
mark: it is 1541 where commas group digits, and 1.541 where they are decimal. ``number_columns`` decides for a column.
Pure.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MISSING = frozenset(
    ("", "na", "n/a", "nan", "null", "none", "nil", "undefined", "no data", "missing", "-", "--", "---", "—", "–", "?")
) | frozenset(("(null)", "#n/a", "#na", "#value!", "#div/0!", "#ref!", "..."))
"""Texts of a cell without a value, in lower case."""

_BLANKS = "'’\u2009\u00a0\u202f "  # characters that group digits and are never a decimal mark
_NUMBER = re.compile(
    rf"([-+\u2212]?)\s*([.,]?[0-9](?:[0-9.,{_BLANKS}]*[0-9])?[.,]?)([eE][-+]?[0-9]+)?(?![0-9])\s*(.*)", re.DOTALL
)
_SPACED = re.compile(rf"[0-9]{{1,3}}([{_BLANKS}])[0-9]{{3}}(?:\1[0-9]{{3}})*(?:[.,][0-9]*)?")
_BLANK = re.compile(f"[{_BLANKS}]")
_OTHER = {".": ",", ",": "."}


class Written(NamedTuple):
    """A number as a cell has it."""

    sign: str
    body: str
    """Digits with the marks between them."""
    power: str
    """``e3``, or empty."""
    unit: str
    """Text behind the number."""


def written(cell: str) -> Written:
    """The parts of a number in a cell. Raises ValueError for a cell that does not begin with a number."""
    if (match := _NUMBER.fullmatch(cell)) is None:
        raise ValueError(cell)
    sign, body, power, unit = match.groups()
    return Written("-" if sign in ("-", "\u2212") else "", body, power or "", unit.strip())


def told(body: str) -> tuple[str, str]:
    """(certain decimal mark, mark that is decimal or groups digits); each is empty where there is none.

    Raises ValueError for digits that are grouped in an unknown way.
    """
    if body.isdigit():
        return "", ""
    marks = re.sub(r"[^.,]", "", body)
    if _BLANK.search(body) is not None:
        if _SPACED.fullmatch(body) is None:
            raise ValueError(body)
        return marks[-1:], ""
    last = marks[-1]
    if len(set(marks)) == 2:
        return last, ""
    if len(marks) > 1:
        return _OTHER[last], ""
    before, after = body.split(last)
    open_to_both = len(after) == 3 and 1 <= len(before) <= 3 and before[0] != "0"
    return ("", last) if open_to_both else (last, "")


def value(number: Written, mark: str) -> float:
    """The number, read with this decimal mark. Raises ValueError where it cannot have this mark."""
    body, group = _BLANK.sub("", number.body), _OTHER[mark]
    whole, _, fraction = body.partition(mark)
    if not number.power and body.isdigit():
        return float(number.sign + body)
    if group in whole and re.fullmatch(rf"[0-9]{{1,3}}(?:{re.escape(group)}[0-9]{{3}})+", whole) is None:
        raise ValueError(number.body)
    whole = whole.replace(group, "")
    if not (whole + fraction).isdigit():
        raise ValueError(number.body)
    return float(f"{number.sign}{whole or 0}.{fraction or 0}{number.power}")
