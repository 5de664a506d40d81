"""Parses the field and label selectors of a query string, as the API server does.

Owns the grammar (``=``, ``==``, ``!=``, and for labels also existence and sets) and the fields by which objects of each
kind can be selected. Other fields are refused, as by the real server. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from . import api_errors
from .api_resources import Resource

Predicate = Callable[[Mapping[str, Any]], bool]

_COMMON = ("metadata.name", "metadata.namespace")
FIELDS: Mapping[str, tuple[str, ...]] = {
    "pods": (
        *_COMMON,
        "spec.hostNetwork",
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "status.nominatedNodeName",
        "status.phase",
        "status.podIP",
    ),
    "nodes": (*_COMMON, "spec.unschedulable"),
    "events": (
        *_COMMON,
        "reason",
        "regarding.kind",
        "regarding.name",
        "regarding.namespace",
        "regarding.uid",
        "reportingController",
        "type",
    ),
}
# core/v1 has other names for the same fields of an event
_ALIASES = {
    "involvedObject.kind": "regarding.kind",
    "involvedObject.name": "regarding.name",
    "involvedObject.namespace": "regarding.namespace",
    "involvedObject.uid": "regarding.uid",
    "reportingComponent": "reportingController",
}

_SET = re.compile(r"^\s*(?P<key>\S+)\s+(?P<not>not)?in\s+\((?P<values>[^)]*)\)\s*$")
_EQUAL = re.compile(r"^\s*(?P<key>[^=!\s]+)\s*(?P<op>==|!=|=)\s*(?P<value>\S*)\s*$")


def parse_selectors(resource: Resource, fields: str, labels: str) -> Predicate:
    """A test for the objects that both selectors select; empty text selects all. Raises ApiError (400) if invalid."""
    try:
        tests = [*_fields(resource, fields), *_labels(labels)]
    except ValueError as error:
        raise api_errors.bad_request(
            f'Unable to find "{resource.group}/{resource.version}, Resource={resource.plural}" that match '
            f'label selector "{labels}", field selector "{fields}": {error}'
        ) from error
    if not tests:
        return lambda obj: True
    return lambda obj: all(test(obj) for test in tests)


def _fields(resource: Resource, text: str) -> list[Predicate]:
    return [_field(resource, term) for term in text.split(",") if term.strip()]


def _field(resource: Resource, term: str) -> Predicate:
    match = _EQUAL.match(term)
    if match is None:
        raise ValueError(f"invalid selector: '{term}'; can't understand '{term}'")
    name = _ALIASES.get(match["key"], match["key"])
    if name not in FIELDS.get(resource.plural, _COMMON):
        raise ValueError(f"field label not supported: {match['key']}")
    path, value, wanted = tuple(name.split(".")), match["value"], match["op"] != "!="
    return lambda obj: (_text(obj, path) == value) is wanted


def _text(obj: Mapping[str, Any], path: tuple[str, ...]) -> str:
    """The value of a field as text. An absent field is the empty text; ``false`` for the two boolean fields."""
    found: Any = obj
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    if isinstance(found, bool) or path[-1] in ("hostNetwork", "unschedulable"):
        return "true" if found else "false"
    return "" if found is None else str(found)


def _labels(text: str) -> list[Predicate]:
    # commas inside the parentheses of a set do not separate terms
    return [_label(term.strip()) for term in re.split(r",(?![^(]*\))", text) if term.strip()]


def _label(term: str) -> Predicate:
    if match := _SET.match(term):
        values = {value.strip() for value in match["values"].split(",")}
        return _label_in(match["key"], values, match["not"] is None)
    if match := _EQUAL.match(term):
        return _label_in(match["key"], {match["value"]}, match["op"] != "!=")
    name = term.lstrip("!").strip()
    if not name or re.search(r"\s|[=()]", name):
        raise ValueError(f"unable to parse requirement: '{term}'")
    wanted = not term.startswith("!")
    return lambda obj: (name in _labels_of(obj)) is wanted


def _label_in(name: str, values: set[str], wanted: bool) -> Predicate:
    # an absent label is in no set: `!=` and `notin` select objects without it
    return lambda obj: (_labels_of(obj).get(name) in values) is wanted


def _labels_of(obj: Mapping[str, Any]) -> Mapping[str, str]:
    return obj.get("metadata", {}).get("labels") or {}
