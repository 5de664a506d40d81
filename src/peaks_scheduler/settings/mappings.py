"""Parts of settings that are mappings, read strictly: an unknown key is an error, each value has its own parser.

Errors are ValueErrors whose text completes "expected ...", as for every value of a setting. Pure.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from peaks_scheduler.text.words import nearest

_MOST = sys.float_info.max  # YAML has whole numbers that no float can hold
Parser = Callable[[Any], Any]


def parse_fields(value: object, parsers: Mapping[str, Parser], required: tuple[str, ...], what: str) -> dict[str, Any]:
    """The parsed fields of a mapping; those without a value are left out. ``what`` says in words what is expected."""
    if not isinstance(value, Mapping):
        raise ValueError(what)  # noqa: TRY004 - as every reader of a setting does
    for key in value:
        if key not in parsers:
            raise ValueError(f"{what}: no key {key}{nearest(str(key), parsers)}; known are {', '.join(parsers)}")
    found = {key: _field(key, each, parsers[key]) for key, each in value.items() if each is not None}
    for key in required:
        if key not in found:
            raise ValueError(f"{what}: {key} is missing")
    return found


def _field(key: str, value: object, parser: Parser) -> Any:
    try:
        return parser(value)
    except ValueError as error:
        raise ValueError(f"{error} as {key}") from error


def parse_number(value: object) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -_MOST <= value <= _MOST:
        raise ValueError("a number")
    return float(value)


def parse_names(value: object) -> tuple[str, ...]:
    """One name, or a list of names."""
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names or not all(isinstance(each, str) and each.strip() for each in names):
        raise ValueError("a name or a list of names (in quotes where they look like numbers)")
    return tuple(each.strip() for each in names)


def parse_labels(value: object) -> Mapping[str, str]:
    """Labels with their values."""
    if not isinstance(value, Mapping) or not all(isinstance(each, str) for pair in value.items() for each in pair):
        raise ValueError('labels as text (quote "true" and numbers)')
    return dict(value)


def parse_port(value: object) -> int:
    """A port, 1 to 65535."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 65535:
        raise ValueError("a port, 1 to 65535")
    return value
