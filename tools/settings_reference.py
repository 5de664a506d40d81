"""Writes the table of settings into docs/configuration.md: ``python -m tools.settings_reference``, or ``make
reference``.

The table stands between two markers. A test compares it with the settings that the program has.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from peaks_scheduler.settings.loading import load_settings
from peaks_scheduler.settings.table import TABLE, Setting
from peaks_scheduler.settings.value_types import DURATION

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"
BEGIN = "<!-- settings: written by `make reference` from src/peaks_scheduler/settings/table.py -->"
END = "<!-- settings: end -->"
HEADER = ("key in the file", "value", "default", "option", "variable", "meaning")


def reference() -> str:
    """The table of all settings in Markdown."""
    rows = [HEADER, ("---",) * len(HEADER), *map(_row, TABLE)]
    return "\n".join(f"| {' | '.join(row)} |".replace("|  |", "| |").replace("|  |", "| |") for row in rows)


def with_reference(page: str) -> str:
    """The page with the table between its markers. Raises ValueError where a marker is missing."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"expected the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{reference()}\n{END}{after}"


def _row(setting: Setting) -> tuple[str, ...]:
    return (
        f"`{setting.path}`",
        setting.value_type.words,
        _default(setting),
        ", ".join(f"`{flag}`" for flag in setting.flag.split("/") if flag),
        f"`{setting.variable}`" if setting.variable else "",
        f"{setting.meaning} {setting.details}".strip(),
    )


def _default(setting: Setting) -> str:
    settings, _ = load_settings(None, "", {}, {})
    if setting.value_type is DURATION:
        return f"`{_duration(setting.value(settings))}`"
    shown = setting.shown(settings)
    return "none" if shown is None else f"`{_in_yaml(shown)}`"


def _duration(seconds: float) -> str:
    """In the largest unit that needs no fraction: ``24h``, ``5m``, ``15s``."""
    for unit, length in (("h", 3600), ("m", 60)):
        if seconds % length == 0:
            return f"{seconds / length:g}{unit}"
    return f"{seconds:g}s"


def _in_yaml(value: Any) -> str:
    """A value as the file would have it, in quotes where YAML would read another value."""
    if isinstance(value, float):
        return f"{value:g}"
    if not isinstance(value, str):
        return json.dumps(value)
    try:
        plain = yaml.safe_load(value) == value
    except yaml.YAMLError:
        plain = False
    return value if plain else json.dumps(value)


if __name__ == "__main__":
    PAGE.write_text(with_reference(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
