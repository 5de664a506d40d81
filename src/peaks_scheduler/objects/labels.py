"""Labels of pods: equal labels of many pods are one object, and equal texts in different labels are one text.

Owns the class ``Labels`` and the two stores behind it: the labels that are in use anywhere, and the texts used last.
Assumes that labels never change once they are read. Safe to call from several threads: at worst two equal labels are
two objects. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import WeakValueDictionary

LONGEST = 128
"""[characters] Longer texts are not looked up: they seldom come twice."""
TEXTS = 8192
"""Texts of each of the two generations, at most about 2 MB together."""


class Labels(dict[str, str]):
    """Labels that never change. They have a hash, so that a group of pods is found by them."""

    __slots__ = ("__weakref__", "_number")
    _number: int

    def __hash__(self) -> int:  # type: ignore[override]
        try:
            return self._number
        except AttributeError:
            self._number = _number_of(self)
            return self._number

    def __reduce__(self) -> tuple[Any, ...]:
        return Labels, (dict(self),)  # another process has other hashes


def _number_of(labels: Mapping[str, str]) -> int:
    """A hash of labels in any order. Their keys are left out: labels with the same values mostly have the same keys."""
    return hash(frozenset(labels.values()))


class Texts:
    """Equal texts become one, the first that came. Keeps those used last, in two generations as ``memo.Memo``."""

    def __init__(self, most: int = TEXTS) -> None:
        self._most = most
        self._young: dict[str, str] = {}
        self._old: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def __call__(self, text: str) -> str:
        if type(text) is not str or len(text) > LONGEST:
            return text
        if len(self._young) >= self._most:
            self._old, self._young = self._young, {}
        return self._young.setdefault(text, self._old.get(text, text))


one_text = Texts()
"""The text, as the object that equal texts of other objects are."""
_known: WeakValueDictionary[int, Labels] = WeakValueDictionary()
NO_LABELS = Labels()


def labels_of(raw: Mapping[str, str] | None) -> Labels:
    """The labels of an object; those of a pod that is kept elsewhere, where they are equal."""
    if not raw:
        return NO_LABELS
    try:
        number = _number_of(raw)
    except TypeError:  # files may hold anything
        return Labels(raw)
    known = _known.get(number)
    if known is not None and known == raw:
        return known
    try:
        labels = Labels({one_text(key): one_text(value) for key, value in raw.items()})
    except TypeError:
        return Labels(raw)
    labels._number = number
    _known[number] = labels
    return labels
