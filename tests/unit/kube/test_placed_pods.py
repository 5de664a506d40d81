"""Pods on nodes, read in a typed form: the ledger keeps the same of them as of the whole object."""

from __future__ import annotations

import copy
import dataclasses
import json

import msgspec
import pytest

from peaks_scheduler.errors import ObjectError
from peaks_scheduler.kube.schemas.placed_pods import placed_pod
from peaks_scheduler.objects.pod import placed_part, pod_from_api
from tests.parity.generate import GROUP_NAMES, scenario
from tests.support.builders import Json, pod


def raw(obj: Json) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(obj).encode())


def generated() -> list[Json]:
    """Pods as the comparison with kube-scheduler makes them."""
    objects = [each for group in GROUP_NAMES for seed in range(10) for each in scenario(group, seed)]
    return [each for each in objects if each["kind"] == "Pod"]


def kept(obj: Json) -> dict[str, object]:
    """What the ledger keeps of a pod on a node. Fields that are not supported matter for waiting pods alone."""
    of = placed_part(pod_from_api(obj, 100))
    return {field.name: getattr(of, field.name) for field in dataclasses.fields(of) if field.name != "unsupported"}


def test_the_same_is_kept_of_every_generated_pod() -> None:
    pods = generated()
    assert len(pods) > 100
    for each in pods:
        there = copy.deepcopy(each)
        there["spec"]["nodeName"] = "worker-1"
        there["metadata"] |= {"managedFields": [{"manager": "kubectl"}], "resourceVersion": "7"}
        found = placed_pod(raw(there), "Peaks")
        assert found is not None
        assert kept(found.fields()) == kept(there)


def test_a_waiting_pod_of_ours_is_read_whole() -> None:
    waiting = pod()
    assert placed_pod(raw(waiting), waiting["spec"]["schedulerName"]) is None
    assert placed_pod(raw(waiting), "another") is not None


def test_a_change_of_what_nobody_reads_is_no_change() -> None:
    before = pod(node="worker-1")
    after = copy.deepcopy(before)
    after["metadata"] |= {"resourceVersion": "99", "managedFields": [{"manager": "kubelet"}]}
    after.setdefault("status", {})["podIP"] = "10.0.0.7"
    first, second = placed_pod(raw(before), "Peaks"), placed_pod(raw(after), "Peaks")
    assert first is not None
    assert second is not None
    assert first.digest() == second.digest()
    after["metadata"]["labels"] = {"app": "other"}
    third = placed_pod(raw(after), "Peaks")
    assert third is not None
    assert third.digest() != first.digest()


@pytest.mark.parametrize(
    "odd", [{"nodeName": 7}, {"priority": "high"}, {"containers": {"a": 1}}, {"volumes": [{"name": 3}]}]
)
def test_a_field_of_a_wrong_type_is_refused(odd: Json) -> None:
    there = pod(node="worker-1")
    there["spec"] |= odd
    with pytest.raises(ObjectError, match="Expected"):
        assert placed_pod(raw(there), "Peaks").fields() is None  # type: ignore[union-attr]
