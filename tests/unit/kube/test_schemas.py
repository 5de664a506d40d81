"""An object with a wrong type in any field that we read is refused before a decision sees it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from peaks_scheduler.errors import ObjectError
from peaks_scheduler.kube.kinds import KINDS
from peaks_scheduler.kube.schemas.validation import SCHEMAS, check_schema
from tests.support.builders import Json, node, pod
from tests.support.storage_objects import claim, volume


def at(path: str, value: Any, obj: Json) -> Json:
    """The object with this value at ``spec.a.b``."""
    changed: Json = copy.deepcopy(obj)
    where: Any = changed
    *parents, last = path.split(".")
    for key in parents:
        where = where.setdefault(key, {})
    where[last] = value
    return changed


def odd_pods() -> Iterator[Any]:
    for path in ("metadata", "spec", "status"):
        yield from (pytest.param(at(path, value, pod()), id=f"{path} {value}") for value in (5, "text", [5], True))
    for path, value in (
        ("metadata.name", 5),
        ("metadata.labels", {"a": 5}),
        ("metadata.annotations", ["a"]),
        ("metadata.ownerReferences", [5]),
        ("metadata.deletionTimestamp", 5),
        ("spec.containers", {}),
        ("spec.containers", [None]),
        ("spec.containers", [{"resources": 5}]),
        ("spec.containers", [{"resources": {"requests": ["cpu"]}}]),
        ("spec.containers", [{"resources": {"requests": {"cpu": []}}}]),
        ("spec.containers", [{"ports": [{"hostPort": "80"}]}]),
        ("spec.containers", [{"ports": [{"hostPort": 10**30}]}]),
        ("spec.nodeName", ["worker-1"]),
        ("spec.priority", 1e300),
        ("spec.priority", 2**31),
        ("spec.nodeSelector", {"a": ["b"]}),
        ("spec.tolerations", [{"key": 5}]),
        ("spec.affinity", []),
        ("spec.affinity", {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {}}}),
        ("spec.topologySpreadConstraints", [{"maxSkew": "1"}]),
        ("spec.volumes", [{"name": "v", "persistentVolumeClaim": 5}]),
        ("spec.volumes", [{"name": "v", "rbd": {"monitors": 5}}]),
        ("spec.volumes", [{"name": "v", "iscsi": {"iqn": 5}}]),
        ("status.phase", 5),
        ("status.conditions", {"type": "PodScheduled"}),
        ("status.containerStatuses", [{"state": {"running": {"startedAt": 5}}}]),
    ):
        yield pytest.param(at(path, value, pod()), id=f"{path} {str(value)[:40]}")


@pytest.mark.parametrize("raw", list(odd_pods()))
def test_a_pod_with_another_type_anywhere_is_told_at_the_door(raw: Json) -> None:
    with pytest.raises(ObjectError, match="pods "):
        check_schema("pods", raw)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec", 5),
        ("spec.taints", {"key": "a"}),
        ("spec.unschedulable", "yes"),
        ("status.allocatable", ["cpu"]),
        ("status.allocatable", {"cpu": {}}),
        ("status.addresses", [5]),
        ("status.declaredFeatures", [5]),
        ("metadata.labels", 5),
    ],
)
def test_a_node_likewise(path: str, value: Any) -> None:
    with pytest.raises(ObjectError, match="nodes "):
        check_schema("nodes", at(path, value, node()))


@pytest.mark.parametrize(
    ("plural", "raw"),
    [
        ("persistentvolumes", at("spec.capacity", 5, volume("disk"))),
        ("persistentvolumes", at("spec.nodeAffinity", {"required": {"nodeSelectorTerms": [5]}}, volume("disk"))),
        ("persistentvolumes", at("spec.rbd", {"image": 5}, volume("disk"))),
        ("persistentvolumeclaims", at("spec.accessModes", "ReadWriteOnce", claim("data"))),
        ("csinodes", {"metadata": {"name": "n"}, "spec": {"drivers": [{"allocatable": {"count": "3"}}]}}),
        ("storageclasses", {"metadata": {"name": "c"}, "allowedTopologies": [{"matchLabelExpressions": [5]}]}),
        ("namespaces", {"metadata": {"name": "n", "labels": {"a": 1}}}),
    ],
)
def test_other_kinds_likewise(plural: str, raw: Json) -> None:
    with pytest.raises(ObjectError, match=plural):
        check_schema(plural, raw)


@pytest.mark.parametrize("raw", [None, 5, [], "pod", {}])
def test_what_is_no_object_is_told_without_its_name(raw: Any) -> None:
    with pytest.raises(ObjectError, match="without a name"):
        check_schema("pods", raw)


def test_null_is_the_same_as_absent_and_fields_that_nobody_reads_may_be_anything() -> None:
    raw = pod()
    raw["spec"] |= {"tolerations": None, "affinity": None, "dnsConfig": 5}
    raw["spec"]["containers"][0] |= {"ports": None, "env": 5}
    raw["status"] = {"conditions": None, "qosClass": 5}
    check_schema("pods", raw)
    check_schema("nodes", {**node(), "status": None})


def test_every_kind_that_is_watched_has_a_shape() -> None:
    assert {"pods", "nodes", *(kind.plural for kind in KINDS)} == SCHEMAS.keys()
