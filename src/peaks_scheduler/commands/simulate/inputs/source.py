"""The text of an option that names an input: ``nodes.csv``, ``specpower:FILE?count=50&seed=1``.

Owns the form ``PREFIX:PLACE?NAME=VALUE&..`` and the parameters behind the ``?``. Reads no file. An unknown parameter is
an error that names the nearest known one: a misspelt one would change the experiment without a word. Pure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.text.durations import span_of
from peaks_scheduler.text.words import few, nearest

_PREFIX = re.compile(r"([a-z][a-z0-9-]+):(.*)", re.DOTALL)
_MOST_SHOWN = 300  # characters of a text in a message
_LONGEST = 100 * 31_536_000.0  # [s]


@dataclass(frozen=True, slots=True)
class Source:
    """An input as an option names it."""

    option: str
    """``--nodes``, for messages."""
    text: str
    """What was given, for messages."""
    prefix: str
    """Form of the input; empty: a file in a form of ours, or one that its content tells."""
    place: str
    """File, folder or URL; empty where the form needs none."""
    given: Mapping[str, str]
    """Parameters behind the ``?``."""

    @property
    def where(self) -> str:
        """How a message begins."""
        return f"{self.option} {_short(self.text)}"

    def error(self, words: str) -> ConfigurationError:
        """The error with these words behind the input's name."""
        return ConfigurationError(f"{self.where}: {words}")

    def allow(self, *names: str) -> None:
        """Raises ConfigurationError for a parameter that is none of these."""
        for name in self.given:
            if name not in names:
                there = f"one of {few(sorted(names), 30)}" if names else "no parameters"
                raise self.error(f"expected {there}; got {name!r}{nearest(name, names)}")

    def number(self, name: str, default: float, least: float = 0.0, most: float = math.inf) -> float:
        """A parameter as a number from ``least`` to ``most``; ``50%`` is 0.5."""
        if (text := self.given.get(name)) is None:
            return default
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?(%?)", text)
        value = float(text.rstrip("%")) / (100.0 if text.endswith("%") else 1.0) if match else math.nan
        if not least <= value <= most:
            limits = f"from {least:g} to {most:g}" if most < math.inf else f"of at least {least:g}"
            raise self.error(f"expected a number {limits} for {name}; got {text!r}")
        return value

    def whole(self, name: str, default: int, least: int = 0, most: int = 10_000_000) -> int:
        """A parameter as a whole number from ``least`` to ``most``."""
        if (text := self.given.get(name)) is None:
            return default
        if not re.fullmatch("[0-9]{1,12}", text) or not least <= int(text) <= most:
            raise self.error(f"expected a whole number from {least:,} to {most:,} for {name}; got {text!r}")
        return int(text)

    def seconds(self, name: str, default: float) -> float:
        """A parameter as a duration [s]: ``7d``, ``1h30m``, ``60s``; above 0."""
        if (text := self.given.get(name)) is None:
            return default
        span = span_of(text)
        if span is None or not 0.0 < span <= _LONGEST:
            raise self.error(f"expected a duration such as 7d, 12h or 60s for {name}; got {text!r}")
        return span

    def word(self, name: str, known: Sequence[str]) -> str:
        """A parameter that is one of the known words; the first of them where it is not given."""
        text = self.given.get(name, known[0])
        if text not in known:
            raise self.error(f"expected {' or '.join(known)} for {name}; got {text!r}{nearest(text, known)}")
        return text

    def words(self, name: str) -> tuple[str, ...]:
        """A parameter as names with commas between them; empty where it is not given."""
        if (text := self.given.get(name)) is None:
            return ()
        parts = tuple(part.strip() for part in text.split(","))
        if not all(parts):
            raise self.error(f"expected names with commas between them for {name}; got {text!r}")
        return parts

    def numbers(self, name: str, default: tuple[float, ...]) -> tuple[float, ...]:
        """A parameter as numbers above 0 with commas between them."""
        if name not in self.given:
            return default
        try:
            values = tuple(float(part) for part in self.words(name))
        except ValueError:
            values = ()
        if not values or not all(0.0 < value < math.inf for value in values):
            raise self.error(f"expected numbers above 0 with commas between them for {name}; got {self.given[name]!r}")
        return values


def _short(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 3]}..."


def source_of(
    option: str,
    text: str,
    prefixes: Iterable[str],
    is_file: Callable[[str], bool],
    placeless: Collection[str] = (),
) -> Source:
    """The parts of an option's text. Raises ConfigurationError for a prefix that is none of ``prefixes``.

    ``is_file``: is there a file of this name? A file counts before a prefix. ``placeless``: prefixes that are followed
    by parameters only, with or without the ``?``.
    """
    where = f"{option} {_short(text)}"
    if "\0" in text:
        raise ConfigurationError(f"{where}: expected a name without zero bytes")
    if is_file(text):
        return Source(option, text, "", text, {})
    body, _, query = text.partition("?")
    known = sorted(prefixes)
    match = _PREFIX.fullmatch(body) if known else None
    prefix, place = (match[1], match[2]) if match is not None else ("", body)
    if match is not None and prefix not in known:
        forms = ", ".join(f"{each}:" for each in known)
        raise ConfigurationError(f"{where}: expected a file, or one of {forms}; got {prefix!r}{nearest(prefix, known)}")
    if prefix in placeless and place:
        place, query = "", f"{place}&{query}" if query else place
    return Source(option, text, prefix, place, _parameters(where, query))


def _parameters(where: str, query: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in query.split("&") if query else ():
        name, equals, value = part.partition("=")
        if not (name and equals and value):
            raise ConfigurationError(f"{where}: expected NAME=VALUE, with & between them, after the ?; got {part!r}")
        if name in found:
            raise ConfigurationError(f"{where}: expected {name} once; got it twice: leave one out")
        found[name] = value
    return found
