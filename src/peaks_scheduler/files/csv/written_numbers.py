"""Numbers as people write them: ``1541.3``, ``1,541.3``, ``1.541,3``, ``1 541,3``, ``1'541.3``, ``187.4 W``.

Owns what a cell tells of its decimal mark, and what it is once the mark is known. A number such as ``1,541`` does not
tell: it is 1541 where commas group digits and 1.541 where they are decimal. Pure; never decides for a column.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MISSING = frozenset(
    ("", "na", "n/a", "nan", "null", "none", "nil", "undefined", "no data", "missing", "-", "--", "---", "—", "–", "?")
) | frozenset(("(null)", "#n/a", "#na", "#value!", "#div/0!", "#ref!", "..."))
"""What a cell without a value says, in small letters."""

_BLANKS = "'’\u2009\u00a0\u202f "  # what groups digits and is never a decimal mark
_NUMBER = re.compile(
    rf"([-+\u2212]?)\s*([.,]?[0-9](?:[0-9.,{_BLANKS}]*[0-9])?[.,]?)([eE][-+]?[0-9]+)?(?![0-9])\s*(.*)", re.DOTALL
)
_SPACED = re.compile(rf"[0-9]{{1,3}}([{_BLANKS}])[0-9]{{3}}(?:\1[0-9]{{3}})*(?:[.,][0-9]*)?")
_BLANK = re.compile(f"[{_BLANKS}]")
_OTHER = {".": ",", ",": "."}


class Written(NamedTuple):
    """A number as it stands in a cell."""

    sign: str
    body: str
    """Digits with marks in between."""
    power: str
    """``e3``, or empty."""
    unit: str
    """What comes behind."""


def written(cell: str) -> Written:
    """The parts of a cell that begins with a number. Raises ValueError for any other."""
    if (match := _NUMBER.fullmatch(cell)) is None:
        raise ValueError(cell)
    sign, body, power, unit = match.groups()
    return Written("-" if sign in ("-", "\u2212") else "", body, power or "", unit.strip())


def told(body: str) -> tuple[str, str]:
    """(decimal mark that these digits can only have, mark that may be decimal or group digits); empty: neither.

    Raises ValueError for digits that are grouped in no known way.
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
    """The number with this decimal mark. Raises ValueError where it cannot have it."""
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
