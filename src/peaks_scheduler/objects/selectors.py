"""Selectors and tolerations as Kubernetes evaluates them.

Owns label selectors, node selector terms, taints and tolerations: frozen, hashable values read from API objects, each
with one pure predicate. They are hashable so that the ledger can cache the matching nodes of a constraint that many
pods have. Objects from files may be invalid: a term that Kubernetes could not parse matches nothing, and nothing
raises.

Sources: k8s.io/apimachinery/pkg/labels, k8s.io/component-helpers/scheduling/corev1 (nodeaffinity, helpers).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_INTEGER = re.compile(r"[+-]?0*[0-9]{1,19}")  # 2^63 has 19 digits: a longer number is out of range
_INT64 = range(-(2**63), 2**63)
_WORD = r"[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?"
_VALUE = re.compile(rf"(?:{_WORD})?")
_KEY = re.compile(rf"(?:(?P<prefix>[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?)/)?(?P<name>{_WORD})")


def parse_int64(text: str) -> int | None:
    """Go's ``strconv.ParseInt(text, 10, 64)``; None if it fails. ``08`` is valid; ``1_000``, ``7.5`` and 2^63 are
    not."""
    if not _INTEGER.fullmatch(text):
        return None
    number = int(text)
    return number if number in _INT64 else None


_LONGEST_VALUE, _LONGEST_KEY = 63, 253 + 1 + 63


@functools.lru_cache(maxsize=4096)
def _well_formed_value(value: str) -> bool:
    return _VALUE.fullmatch(value) is not None


@functools.lru_cache(maxsize=4096)
def _well_formed_key(key: str) -> bool:
    found = _KEY.fullmatch(key)
    return found is not None and len(found["name"]) <= 63 and len(found["prefix"] or "") <= 253


def _valid_value(value: str) -> bool:
    return len(value) <= _LONGEST_VALUE and _well_formed_value(value)  # a long one is not cached


def _valid_key(key: str) -> bool:
    return len(key) <= _LONGEST_KEY and _well_formed_key(key)


def _valid_values(values: tuple[str, ...]) -> bool:
    if len(values) <= 64:
        return all(map(_valid_value, values))
    return all(len(value) <= _LONGEST_VALUE and _VALUE.fullmatch(value) for value in values)  # too many for the cache


@dataclass(frozen=True, slots=True)
class Requirement:
    """``key operator values``; see :meth:`matches` for the operators."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    @property
    def valid(self) -> bool:
        """Would Kubernetes accept it? A term with an invalid requirement matches nothing."""
        if not (_valid_key(self.key) and _valid_values(self.values)):
            return False
        if self.operator in ("In", "NotIn"):
            return bool(self.values)
        if self.operator in ("Exists", "DoesNotExist"):
            return not self.values
        if self.operator in ("Gt", "Lt"):
            return len(self.values) == 1 and parse_int64(self.values[0]) is not None
        return False

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "In":
                return value is not None and value in self.values
            case "NotIn":
                return value is None or value not in self.values
            case "Exists":
                return value is not None
            case "DoesNotExist":
                return value is None
            case "Gt" | "Lt":
                return self._compares(value)
        return False

    def _compares(self, value: str | None) -> bool:
        number = None if value is None else parse_int64(value)
        bound = parse_int64(self.values[0]) if len(self.values) == 1 else None
        if number is None or bound is None:
            return False
        return number > bound if self.operator == "Gt" else number < bound


def requirements_from(raw: Any) -> tuple[Requirement, ...]:
    return tuple(
        Requirement(r.get("key", ""), r.get("operator", ""), tuple(r.get("values") or ()))
        for r in raw or ()
        if isinstance(r, dict)
    )


@dataclass(frozen=True, slots=True)
class NodeSelectorTerm:
    """Requirements on labels and on fields (``metadata.name`` only), all of which must hold. An empty term matches
    nothing."""

    expressions: tuple[Requirement, ...] = ()
    fields: tuple[Requirement, ...] = ()

    @property
    def valid(self) -> bool:
        return all(r.valid for r in self.expressions) and all(
            r.key == "metadata.name" and r.operator in ("In", "NotIn") and len(r.values) == 1 for r in self.fields
        )

    @property
    def names(self) -> frozenset[str] | None:
        """Names of the only nodes that its fields allow; None: the fields name no nodes."""
        if not self.fields:
            return None
        named = [frozenset(r.values) for r in self.fields if r.key == "metadata.name" and r.operator == "In"]
        return frozenset.intersection(*named) if named else None

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        if not (self.expressions or self.fields) or not self.valid:
            return False
        return all(r.matches(labels) for r in self.expressions) and all(
            r.matches({"metadata.name": name}) for r in self.fields
        )


_EMPTY = NodeSelectorTerm()


def node_selector_term_from(raw: Mapping[str, Any]) -> NodeSelectorTerm:
    if not raw:  # half a million empty terms fit into a pod
        return _EMPTY
    return NodeSelectorTerm(requirements_from(raw.get("matchExpressions")), requirements_from(raw.get("matchFields")))


@dataclass(frozen=True, slots=True)
class NodeRequirement:
    """``nodeSelector`` and required node affinity of a pod; a node must match both."""

    selector: tuple[tuple[str, str], ...] = ()
    terms: tuple[NodeSelectorTerm, ...] | None = None
    """ORed; None: the pod has no required node affinity."""

    def __bool__(self) -> bool:
        return bool(self.selector) or self.terms is not None

    @property
    def names(self) -> frozenset[str] | None:
        """Names of the only nodes allowed, if every term names some; empty if the names conflict; else None."""
        known: list[frozenset[str]] = []
        for term in self.terms or ():
            names = term.names
            if names is None:
                return None
            known.append(names)
        return frozenset[str]().union(*known) if known else None

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        if any(labels.get(key) != value for key, value in self.selector):
            return False
        return self.terms is None or any(term.matches(name, labels) for term in self.terms)


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """``matchLabels`` and ``matchExpressions``, all of which must hold. An empty selector matches everything."""

    labels: tuple[tuple[str, str], ...] = ()
    expressions: tuple[Requirement, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.labels or self.expressions)

    def matches(self, labels: Mapping[str, str]) -> bool:
        if any(labels.get(key) != value for key, value in self.labels):
            return False
        return all(r.valid and r.matches(labels) for r in self.expressions)


def label_selector_from(raw: Any) -> LabelSelector | None:
    """Read a selector; None, which matches nothing, if there is none."""
    if not isinstance(raw, dict):
        return None
    return LabelSelector(
        tuple(sorted((raw.get("matchLabels") or {}).items())), requirements_from(raw.get("matchExpressions"))
    )


@dataclass(frozen=True, slots=True)
class Taint:
    key: str
    value: str
    effect: str


@dataclass(frozen=True, slots=True)
class Toleration:
    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""

    def tolerates(self, taint: Taint) -> bool:
        """Is the taint tolerated? An empty key with ``Exists`` tolerates all; an empty effect means every effect."""
        if self.effect and self.effect != taint.effect:
            return False
        if self.key and self.key != taint.key:
            return False
        if self.operator == "Exists":
            return True
        return self.operator == "Equal" and self.value == taint.value


class Tolerated:
    """A pod's tolerations by key and value: a taint takes four lookups, however many tolerations there are."""

    __slots__ = ("_effects",)

    def __init__(self, tolerations: Iterable[Toleration]) -> None:
        self._effects: dict[tuple[str, str | None], set[str]] = {}
        for each in tolerations:
            if each.operator in ("Exists", "Equal"):
                value = None if each.operator == "Exists" else each.value
                self._effects.setdefault((each.key, value), set()).add(each.effect)

    def includes(self, taint: Taint) -> bool:
        """Does a toleration tolerate the taint? See ``Toleration.tolerates``."""
        for place in ((taint.key, taint.value), (taint.key, None), ("", taint.value), ("", None)):
            effects = self._effects.get(place, ())
            if taint.effect in effects or "" in effects:
                return True
        return False


def toleration_from(raw: Mapping[str, Any]) -> Toleration:
    return Toleration(
        raw.get("key") or "", raw.get("operator") or "Equal", raw.get("value") or "", raw.get("effect") or ""
    )


def taint_from(raw: Mapping[str, Any]) -> Taint:
    return Taint(raw.get("key") or "", raw.get("value") or "", raw.get("effect") or "")
