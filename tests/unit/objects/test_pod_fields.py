"""Fields that this version does not know: refused, unless the configuration says that they may be passed over."""

from __future__ import annotations

import json

import pytest

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.objects.supported_fields import HARMLESS, REFUSED, SUPPORTED, is_unknown, unsupported_fields
from peaks_scheduler.settings.loading import load_settings
from peaks_scheduler.settings.table import redacted
from tests.support.builders import pod

NEW = {"newField": {"very": "new"}}


def ignoring(*paths: str) -> frozenset[str]:
    """As the configuration file says it."""
    return load_settings(json.dumps({"podFields": {"ignore": list(paths)}}), "config.yaml", {}, {})[0].pod_fields.ignore


def unsupported(ignored: frozenset[str], **spec: object) -> tuple[str, ...]:
    """What of a pod is not honoured by a ledger that passes these over."""
    ledger = Ledger(ignored=ignored)
    ledger.observe_pod(pod(**spec))  # type: ignore[arg-type]
    known = ledger.pod("uid-default-web-0")
    assert known is not None
    return known.unsupported


def test_a_field_that_is_named_is_passed_over_and_no_other() -> None:
    assert unsupported(frozenset(), **NEW) == ("spec.newField",)
    assert unsupported(ignoring("spec.newField"), **NEW) == ()
    assert unsupported(ignoring("spec.other"), **NEW) == ("spec.newField",)


@pytest.mark.parametrize("field", sorted(REFUSED))
def test_what_is_known_to_constrain_placement_is_refused_whatever_the_configuration_says(field: str) -> None:
    assert not is_unknown(f"spec.{field}")
    assert unsupported_fields({field: []}, frozenset({f"spec.{field}"})) == (f"spec.{field}",)
    with pytest.raises(ConfigurationError, match=f"it knows spec.{field}"):
        ignoring(f"spec.{field}")


def test_claims_of_a_container_are_known_and_refused() -> None:
    spec = {"containers": [{"name": "a", "resources": {"claims": [{"name": "gpu"}]}}]}
    path = "spec.containers[0].resources.claims"
    assert not is_unknown(path)
    assert unsupported_fields(spec, frozenset({path})) == (path,)


def test_no_field_stands_in_two_of_the_lists() -> None:
    lists = (*SUPPORTED, *HARMLESS, *REFUSED)
    assert len(set(lists)) == len(lists)


@pytest.mark.parametrize(
    "given", ["spec.newField", ["newField"], ["spec"], ["spec.a.b"], ["spec.containers[0]"], [7], {"spec.a": True}]
)
def test_what_is_no_list_of_paths_is_refused(given: object) -> None:
    text = json.dumps({"podFields": {"ignore": given}})
    with pytest.raises(ConfigurationError, match=r"podFields.*expected|podFields.*unknown key"):
        load_settings(text, "config.yaml", {}, {})


@pytest.mark.parametrize("known", ["spec.containers", "spec.hostname"])
def test_a_field_that_is_known_need_not_be_named_and_that_is_said(known: str) -> None:
    with pytest.raises(ConfigurationError, match="fields that this version does not know"):
        ignoring(known)


def test_what_was_given_is_shown_as_it_was_given() -> None:
    text = json.dumps({"podFields": {"ignore": ["spec.b", "spec.a"]}, "volumeBindTimeout": "1m"})
    given, _ = load_settings(text, "config.yaml", {}, {})
    assert given.volume_bind_timeout == 60.0
    assert redacted(given)["podFields"] == {"ignore": ["spec.a", "spec.b"]}
    assert redacted(given)["volumeBindTimeout"] == "60s"
