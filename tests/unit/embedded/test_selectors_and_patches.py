"""Selectors and patches of the embedded API server, without HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from peaks_scheduler.embedded.api_errors import ApiError
from peaks_scheduler.embedded.api_resources import NODES, PODS
from peaks_scheduler.embedded.patching import merge_patch, strategic_merge_patch
from peaks_scheduler.embedded.query_selectors import parse_selectors


def labelled(**labels: str) -> dict[str, Any]:
    return {"metadata": {"name": "x", "labels": labels}, "spec": {}}


@pytest.mark.parametrize(
    ("text", "labels", "chosen"),
    [
        ("app=web", {"app": "web"}, True),
        ("app==web", {"app": "db"}, False),
        ("app!=web", {}, True),
        ("app", {"app": ""}, True),
        ("!app", {"app": ""}, False),
        ("app in (web, db)", {"app": "db"}, True),
        ("app in (web, db)", {}, False),
        ("app notin (web, db)", {}, True),
        ("app in (web,db),tier=front", {"app": "web", "tier": "front"}, True),
        ("app in (web,db),tier=front", {"app": "web", "tier": "back"}, False),
    ],
)
def test_label_selectors_choose_as_kubernetes_does(text: str, labels: dict[str, str], chosen: bool) -> None:
    assert parse_selectors(PODS, "", text)(labelled(**labels)) is chosen


@pytest.mark.parametrize(("value", "chosen"), [(True, False), (False, True), (None, True)])
def test_an_absent_switch_is_false_to_a_field_selector(value: bool | None, chosen: bool) -> None:
    node = {"metadata": {"name": "n"}, "spec": {} if value is None else {"unschedulable": value}}
    assert parse_selectors(NODES, "spec.unschedulable=false", "")(node) is chosen


@pytest.mark.parametrize(("fields", "labels"), [("spec.nodeName", ""), ("", "a b"), ("", "app in web")])
def test_a_selector_that_cannot_be_read_is_a_bad_request(fields: str, labels: str) -> None:
    with pytest.raises(ApiError, match="Unable to find") as refusal:
        parse_selectors(PODS, fields, labels)
    assert refusal.value.code == 400


@pytest.mark.parametrize(
    ("target", "patch", "merged"),
    [  # from RFC 7386, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patches_follow_the_rfc(target: Any, patch: Any, merged: Any) -> None:
    assert merge_patch(target, patch) == merged


def test_a_strategic_patch_merges_keyed_lists_and_replaces_the_others() -> None:
    old = {"conditions": [{"type": "A", "status": "True"}, {"type": "B", "status": "True"}], "containerStatuses": [1]}
    new = strategic_merge_patch(
        old,
        {"conditions": [{"type": "B", "status": "False"}, {"type": "C", "status": "True"}], "containerStatuses": [2]},
    )
    assert [(c["type"], c["status"]) for c in new["conditions"]] == [("A", "True"), ("B", "False"), ("C", "True")]
    assert new["containerStatuses"] == [2]
    assert old["conditions"][1]["status"] == "True"  # what was stored before is untouched


def test_directives_of_a_strategic_patch_delete_and_replace() -> None:
    old = {"conditions": [{"type": "A"}, {"type": "B"}], "map": {"x": 1}}
    deleted = strategic_merge_patch(old, {"conditions": [{"type": "A", "$patch": "delete"}]})
    replaced = strategic_merge_patch(old, {"map": {"$patch": "replace", "y": 2}})
    assert deleted["conditions"] == [{"type": "B"}]
    assert replaced["map"] == {"y": 2}
