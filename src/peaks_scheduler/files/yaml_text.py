"""YAML text as plain data, built from the events of PyYAML's parser.

A plain ``1e3`` is a number, as in YAML 1.2. Dates, ``12:30`` and ``010`` stay text: YAML 1.1 and 1.2 disagree on them.
PyYAML's own loaders are not safe for any text: they recurse in C, so that 50,000 brackets end the process, and they
build everything that aliases multiply. Here nothing recurses, and each value is counted before it is built; an alias
counts as all its values. Raises yaml.YAMLError or ValueError. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

MOST_DEPTH = 100
"""Most levels of lists and mappings. Our files have fewer than ten, objects of Kubernetes about forty."""
MOST_DIGITS = 1000
"""Most digits of a number; the largest finite number has 309."""
_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"
_KEPT = 64  # characters: longer words hardly repeat


class DepthError(ValueError):
    """Lists or mappings that are nested too deeply."""

    def __str__(self) -> str:
        return f"expected at most {MOST_DEPTH} lists and mappings within one another; it has more"


class SizeError(ValueError):
    """Too many values in a file."""

    def __init__(self, most: int) -> None:
        super().__init__(f"expected at most {most:,} values, aliases counted as what they stand for; it has more")


def integer(text: str, base: int = 10) -> int:
    """The whole number in ``text``, of at most ``MOST_DIGITS`` digits. Raises ValueError."""
    if len(text) > MOST_DIGITS:
        raise ValueError(f"expected numbers of at most {MOST_DIGITS} digits; {text[:20]}... has {len(text)}")
    return int(text, base)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Parser of events; knows the tag of a plain word."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own class attribute
        first: [pair for pair in resolvers if pair[0].removeprefix(_TAG) in ("bool", "merge", "null")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver(
    f"{_TAG}int", re.compile(r"[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|0b[01_]+)$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    f"{_TAG}float",
    re.compile(
        r"[-+]?[0-9][0-9_]*(?:\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)$"
        r"|[-+]?\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?$|[-+]?\.(?:inf|Inf|INF)$|\.(?:nan|NaN|NAN)$"
    ),
    list("-+.0123456789"),
)


def yaml_documents(text: str, most: int) -> Iterator[Any]:
    """The data of each document of a stream; None for an empty one. ``most``: values of all documents together."""
    loader = _Loader(text)
    try:
        builder = _Builder(loader, most)
        while loader.check_event():
            event = loader.get_event()
            if isinstance(event, yaml.DocumentStartEvent):
                yield builder.document()
    finally:
        loader.dispose()


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not come yet."""

    value: list[Any] | dict[Hashable, Any]
    anchor: str | None
    before: int
    """Number of values before it."""
    key: Any = None
    keyed: bool = False
    """Is ``key`` set, and its value still to come?"""
    merged: list[dict[Hashable, Any]] = field(default_factory=list)
    """Mappings that ``<<`` merges in; a later one overrides an earlier one."""


@dataclass(frozen=True, slots=True)
class _Merge:
    """The key ``<<``."""


class _Builder:
    def __init__(self, loader: Any, most: int) -> None:
        self._loader, self._most = loader, most
        self._count = 0
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        """(value, number of values in it) by anchor."""
        self._words: dict[str, Any] = {}

    def document(self) -> Any:
        """The data of one document, up to its end."""
        self._anchors = {}
        root = None
        while not isinstance(event := self._loader.get_event(), yaml.DocumentEndEvent):
            root = self._take(event)
        return root

    def _take(self, event: Any) -> Any:
        """Adds one event; returns the value that ends with it."""
        match event:
            case yaml.ScalarEvent():
                value = self._scalar(event)
                self._counted(1, event)
                if event.anchor is not None:
                    self._anchors[event.anchor] = value, 1
            case yaml.AliasEvent():
                value = self._alias(event)
            case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                return self._begin(event)
            case _:
                value = self._end()
        if self._open:
            self._put(self._open[-1], value, event)
        return value

    def _counted(self, more: int, event: Any) -> None:
        self._count += more
        if self._count > self._most:
            raise _wrong(event, str(SizeError(self._most)))

    def _alias(self, event: Any) -> Any:
        if event.anchor not in self._anchors:
            raise _wrong(event, f"the alias *{event.anchor} stands for nothing that has ended above it")
        value, size = self._anchors[event.anchor]
        self._counted(size, event)
        return value

    def _begin(self, event: Any) -> None:
        is_list = isinstance(event, yaml.SequenceStartEvent)
        if event.tag not in (None, "!", f"{_TAG}seq" if is_list else f"{_TAG}map"):
            raise _unknown_tag(event)
        if len(self._open) >= MOST_DEPTH:
            raise _wrong(event, str(DepthError()))
        self._open.append(_Open([] if is_list else {}, event.anchor, self._count))
        self._counted(1, event)

    def _end(self) -> Any:
        ended = self._open.pop()
        if ended.merged and isinstance(ended.value, dict):
            own = dict(ended.value)
            ended.value.clear()
            for each in (*ended.merged, own):
                ended.value.update(each)
        if ended.anchor is not None:
            self._anchors[ended.anchor] = ended.value, self._count - ended.before
        return ended.value

    # -- open lists and mappings

    def _put(self, into: _Open, value: Any, event: Any) -> None:
        if isinstance(into.value, list):
            into.value.append(value)
        elif not into.keyed:
            into.key, into.keyed = self._key(into.value, value, event), True
        else:
            into.keyed = False
            if into.key is _MERGE_KEY:
                into.merged += _mappings(value, event)
            else:
                into.value[into.key] = value

    @staticmethod
    def _key(mapping: dict[Hashable, Any], key: Any, event: Any) -> Any:
        if isinstance(key, (list, dict)):
            raise _wrong(event, "expected a word or a number for a key; got a list or a mapping")
        if key in mapping:
            raise _wrong(event, f"the key {key!r} is given twice")
        return key

    # -- words

    def _scalar(self, event: Any) -> Any:
        plain = event.implicit[0] and event.value != "<<"
        if plain and event.value in self._words:
            return self._words[event.value]
        value = self._converted(event)
        if plain and len(event.value) <= _KEPT:
            self._words[event.value] = value
        return value

    def _converted(self, event: Any) -> Any:
        tag = event.tag
        if tag is None or tag == "!":
            tag = self._loader.resolve(yaml.ScalarNode, event.value, event.implicit)
        if tag == _MERGE:
            # `<<` merges only as a key of a mapping
            into = self._open[-1] if self._open else None
            return _MERGE_KEY if into and isinstance(into.value, dict) and not into.keyed else event.value
        if tag not in _WORDS:
            raise _unknown_tag(event)
        try:
            return _WORDS[tag](event.value)
        except (ValueError, KeyError) as error:
            raise _wrong(event, str(error) if isinstance(error, ValueError) else "no such word") from error


_MERGE_KEY = _Merge()


def _whole(text: str) -> int:
    digits = text.replace("_", "")
    sign, digits = (-1, digits[1:]) if digits[:1] == "-" else (1, digits.removeprefix("+"))
    base = {"0x": 16, "0b": 2}.get(digits[:2], 10)
    return sign * integer(digits if base == 10 else digits[2:], base)


def _fractional(text: str) -> float:
    word = text.replace("_", "").lower()
    return float(word.replace(".inf", "inf").replace(".nan", "nan"))


_BOOLS = {"yes": True, "no": False, "true": True, "false": False, "on": True, "off": False}
_WORDS: Mapping[str, Callable[[str], Any]] = {
    f"{_TAG}str": str,
    f"{_TAG}int": _whole,
    f"{_TAG}float": _fractional,
    f"{_TAG}bool": lambda text: _BOOLS[text.lower()],
    f"{_TAG}null": lambda _: None,
}


def _mappings(value: Any, event: Any) -> list[dict[Hashable, Any]]:
    """The mappings of a merge, the last one first: in YAML the first overrides the others."""
    found = value[::-1] if isinstance(value, list) else [value]
    if not all(isinstance(each, dict) for each in found):
        raise _wrong(event, "expected a mapping, or a list of mappings, to merge")
    return found


def _unknown_tag(event: Any) -> yaml.YAMLError:
    return _wrong(event, f"expected plain YAML; got the tag {event.tag}: leave it out")


def _wrong(event: Any, words: str) -> yaml.YAMLError:
    return yaml.MarkedYAMLError(None, None, words, event.start_mark)
