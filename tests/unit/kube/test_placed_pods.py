"""Pods on nodes, and nodes, read in a typed form: the ledger keeps the same of them as of the whole object."""

from __future__ import annotations

import copy
import dataclasses
import json

import msgspec
import pytest

from peaks_scheduler.errors import ObjectError
from peaks_scheduler.kube.schemas.placed_pods import node_fields, placed_pod
from peaks_scheduler.objects.node import node_from_api
from peaks_scheduler.objects.pod import placed_part, pod_from_api
from tests.parity.generate import GROUP_NAMES, scenario
from tests.support.builders import Json, node, pod


def raw(obj: Json) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(obj).encode())


def generated(kind: str = "Pod") -> list[Json]:
    """Pods, or nodes, as the comparison with kube-scheduler makes them."""
    objects = [each for group in GROUP_NAMES for seed in range(10) for each in scenario(group, seed)]
    return [each for each in objects if each["kind"] == kind]


def kept(obj: Json, *, placed_alone: bool = False) -> dict[str, object]:
    """What the ledger keeps of a pod on a node. Fields that are not supported, and tolerations, matter for waiting pods
    alone."""
    of = placed_part(pod_from_api(obj, 100, placed_alone=placed_alone))
    unread = ("unsupported", "tolerations")
    return {field.name: getattr(of, field.name) for field in dataclasses.fields(of) if field.name not in unread}


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
        assert kept(found.fields(), placed_alone=True) == kept(there)


def test_a_pod_that_waits_is_read_whole_though_only_placed_ones_are_cut() -> None:
    waiting = pod()
    waiting["spec"] |= {"nodeSelector": {"disk": "ssd"}, "tolerations": [{"key": "a", "operator": "Exists"}]}
    read = pod_from_api(waiting, 100, placed_alone=True)
    assert read.where.selector == (("disk", "ssd"),)
    assert len(read.tolerations) == 1


def test_the_same_is_kept_of_every_generated_node() -> None:
    nodes = generated("Node")
    assert len(nodes) > 100
    for each in nodes:
        there = copy.deepcopy(each)
        there["metadata"] |= {"managedFields": [{"manager": "kubelet"}], "resourceVersion": "7"}
        there.setdefault("status", {})["images"] = [{"names": ["registry.example/app:1.0"], "sizeBytes": 10}]
        found = node_fields(raw(there))
        assert found is not None
        assert "images" not in found["status"]
        assert dataclasses.asdict(node_from_api(found)) == dataclasses.asdict(node_from_api(there))


def test_a_node_with_a_field_of_a_wrong_type_is_not_read() -> None:
    there = node("worker-1")
    there["metadata"]["labels"] = {"zone": 7}
    assert node_fields(raw(there)) is None


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
