"""Short texts with a grammar of their own: settings, annotations, selectors, times, matchers, headers."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any

from hypothesis import strategies as st

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.objects.ceilings import ANNOTATION, annotated, parse_ceiling
from peaks_scheduler.objects.meta import parse_time
from peaks_scheduler.objects.selectors import (
    NodeSelectorTerm,
    Requirement,
    node_selector_term_from,
    parse_int64,
    requirements_from,
)
from peaks_scheduler.settings import values
from peaks_scheduler.settings.http_headers import parse_headers
from peaks_scheduler.settings.promql_matchers import parse_matchers
from peaks_scheduler.settings.table import TABLE
from tests.fuzz.profile import fuzzed
from tests.fuzz.strategies import json_values, mutated, mutated_text, odd_texts, scalars

PARSERS = tuple(dict.fromkeys(setting.value_type.parse for setting in TABLE))
WORDS = ("1h30m", "[::1]:10261", "http://u:p@load:2020/api/v1?x=1#y", "80%", "peaks-scheduler", "spec.newField", "0.5")
given_words = st.sampled_from(WORDS).flatmap(mutated_text)


@fuzzed(st.sampled_from(PARSERS), scalars | given_words | json_values(4), examples=400)
def test_any_value_of_a_setting_is_read_or_refused_in_words(parse: Any, value: Any) -> None:
    with suppress(ValueError):
        parse(value)
    assert values.shown(value)


@fuzzed(scalars | given_words | st.builds(lambda count, unit: "9" * count + unit, st.integers(1, 400), st.just("h")))
def test_a_duration_is_finite_and_above_nothing(value: Any) -> None:
    with suppress(ValueError):
        assert 0.0 < values.parse_duration(value) < math.inf


@fuzzed(scalars | mutated_text("cpu=70%,memory=85%") | mutated_text(".5 %"))
def test_any_annotation_of_a_ceiling_is_a_share_or_an_oddity(value: Any) -> None:
    ceiling, odd = annotated({ANNOTATION: value})
    assert (ceiling is None) == bool(odd)
    with suppress(ValueError):
        found = parse_ceiling(value)
        assert all(share is None or 0.0 < share <= 1.0 for share in (found.cpu, found.memory))


@fuzzed(scalars.filter(lambda value: value is None or isinstance(value, str)) | mutated_text("2026-11-20T10:00:00.5Z"))
def test_any_time_of_an_object_is_finite_or_none(text: str | None) -> None:
    found = parse_time(text)
    assert found is None or math.isfinite(found)


@fuzzed(odd_texts | st.text("0123456789+-_ ", max_size=25) | st.integers().map(str))
def test_a_whole_number_is_what_go_reads(text: str) -> None:
    found = parse_int64(text)
    digits = text[1:] if text[:1] in "+-" else text
    good = digits != "" and set(digits) <= set("0123456789")
    # the limit of digits that Python reads is its own, no matter of the number
    number = int((text[0] if text[:1] == "-" else "") + (digits.lstrip("0")[:30] or "0")) if good else None
    assert found == (number if number is not None and -(2**63) <= number < 2**63 else None)


TERM = {
    "matchExpressions": [
        {"key": "zone", "operator": "In", "values": ["a", "b"]},
        {"key": "cores", "operator": "Gt", "values": ["8"]},
        {"key": "gpu", "operator": "DoesNotExist"},
    ],
    "matchFields": [{"key": "metadata.name", "operator": "In", "values": ["w"]}],
}
texts = st.sampled_from(("zone", "cores", "a", "8", "w")) | odd_texts


@fuzzed(
    st.builds(
        Requirement,
        texts,
        st.sampled_from(("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt")) | texts,
        st.lists(texts, max_size=3).map(tuple),
    ),
    st.dictionaries(texts, texts, max_size=3),
)
def test_any_requirement_matches_or_does_not(requirement: Requirement, labels: dict[str, str]) -> None:
    assert requirement.valid in (True, False)
    assert requirement.matches(labels) in (True, False)
    assert NodeSelectorTerm((requirement,)).matches("w", labels) in (True, False)


@fuzzed(mutated(TERM, deep=False))
def test_any_term_of_a_file_is_read_or_refused_as_a_wrong_shape(raw: Any) -> None:
    # who reads files turns these into words (files.kubernetes_objects.shaped); objects of an API server never have them
    with suppress(AttributeError, TypeError, ValueError, KeyError):
        term = node_selector_term_from(raw)
        requirements_from(raw)
        term.matches("w", {"zone": "a"})


@fuzzed(mutated_text('cluster="a",job=~"no.*",x!~"\\\\d+"') | scalars | json_values(3), examples=200)
def test_any_matchers_are_read_or_refused(value: Any) -> None:
    with suppress(ValueError, ConfigurationError):
        matchers = parse_matchers(value)
        assert parse_matchers(str(matchers)) == matchers
        matchers.allow({"cluster": "a"})


@fuzzed(mutated({"X-Scope-OrgID": "a", "Authorization": {"file": "/run/token"}}, deep=False) | json_values(3))
def test_any_headers_are_read_or_refused(value: Any) -> None:
    with suppress(ValueError, ConfigurationError):
        parse_headers(value)
