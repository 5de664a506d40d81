"""What the API server sends, and what a kubeconfig says: any of it is read, passed over, or refused in words."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st
from multidict import CIMultiDict

from peaks_scheduler.errors import ConfigurationError, KubeError, PeaksError
from peaks_scheduler.kube.clock import FARTHEST, ServerClock
from peaks_scheduler.kube.decoding import decode_as, decode_names, decode_objects
from peaks_scheduler.kube.http import kopf_responses
from peaks_scheduler.kube.http.response_limits import LONGEST_WAIT, retry_after_seconds
from peaks_scheduler.kube.http.transport import error_of
from peaks_scheduler.kube.lease import LONGEST, duration_of, holder_of, require_lease, spec_of, transitions_of
from peaks_scheduler.kube.login.exec_plugin import _read as read_credential
from peaks_scheduler.kube.login.kubeconfig import read_access, read_files
from peaks_scheduler.kube.schemas.validation import SCHEMAS, check_schema
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.scheduling.batching import BATCH_STRATEGIES, any_strategy, plan_for_one
from peaks_scheduler.scheduling.cycle import schedule
from peaks_scheduler.scheduling.scoring.strategies import STRATEGIES
from tests.fuzz.profile import fuzzed
from tests.fuzz.strategies import json_texts, mutated, mutated_bytes, odd_numbers, odd_texts, scalars
from tests.support.builders import NOW, node, pod

GOOD = {"metadata": {"name": "web-0", "uid": "u-0", "namespace": "default", "resourceVersion": "7"}}
LINE = {"type": "MODIFIED", "object": GOOD}
ERROR = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}}
LIST = {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "7", "continue": ""}, "items": [GOOD]}
LEASE = {
    "kind": "Lease",
    "metadata": {"name": "x", "resourceVersion": "7"},
    "spec": {"holderIdentity": "a", "leaseDurationSeconds": 15, "leaseTransitions": 3, "renewTime": "2026-01-01"},
}
STATUS = {"kind": "Status", "message": "no", "reason": "Conflict", "details": {"retryAfterSeconds": 1}, "code": 429}
CREDENTIAL = {
    "kind": "ExecCredential",
    "apiVersion": "client.authentication.k8s.io/v1",
    "status": {"token": "abc", "expirationTimestamp": "2026-01-01T00:00:00Z"},
}
CONFIG = {
    "current-context": "x",
    "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
    "clusters": [{"name": "x", "cluster": {"server": "https://127.0.0.1:6443", "tls-server-name": "a"}}],
    "users": [{"name": "x", "user": {"token": "abc", "as": "jane", "as-groups": ["a"], "as-user-extra": {"b": ["c"]}}}],
}


def rich_pod() -> dict[str, Any]:
    """A pod with something in most of the fields that placing reads."""
    term = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"a": "b"}}, "namespaces": ["default"]}
    expression = {"key": "zone", "operator": "In", "values": ["a"]}
    raw: dict[str, Any] = pod("web-0", cpu="500m", memory="1Gi")
    required, preferred = (f"{how}DuringSchedulingIgnoredDuringExecution" for how in ("required", "preferred"))
    raw["metadata"] |= {
        "labels": {"a": "b"},
        "ownerReferences": [{"kind": "ReplicaSet", "name": "w", "controller": True}],
    }
    raw["spec"] |= {
        "nodeSelector": {"zone": "a"},
        "tolerations": [{"key": "k", "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {
            "nodeAffinity": {
                required: {"nodeSelectorTerms": [{"matchExpressions": [expression]}]},
                preferred: [{"weight": 1, "preference": {"matchExpressions": [expression]}}],
            },
            "podAffinity": {preferred: [{"weight": 1, "podAffinityTerm": term}]},
            "podAntiAffinity": {required: [term]},
        },
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}
        ],
        "initContainers": [{"name": "i", "restartPolicy": "Always", "ports": [{"hostPort": 80, "protocol": "TCP"}]}],
        "volumes": [{"name": "v", "iscsi": {"iqn": "a", "readOnly": True}}, {"name": "e", "emptyDir": {}}],
        "overhead": {"cpu": "1m"},
        "priority": 5,
    }
    raw["status"] |= {
        "phase": "Pending",
        "conditions": [{"type": "PodScheduled", "status": "False", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        "containerStatuses": [{"name": "c", "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}],
    }
    return raw


def rich_node() -> dict[str, Any]:
    raw: dict[str, Any] = node("worker-1", cpu="4")
    raw["metadata"]["labels"] = {"zone": "a", "kubernetes.io/hostname": "worker-1"}
    raw["spec"] = {"taints": [{"key": "k", "value": "v", "effect": "PreferNoSchedule"}], "unschedulable": False}
    raw["status"] |= {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}], "declaredFeatures": ["a"]}
    return raw


# --- objects ----------------------------------------------------------------------------------------------------------


@fuzzed(mutated(rich_pod(), deep=False), st.sampled_from([*STRATEGIES, *BATCH_STRATEGIES]), examples=200)
def test_any_pod_is_refused_at_the_door_or_decided(raw: Any, name: str) -> None:
    ledger = Ledger()
    ledger.observe_node(rich_node())
    with contextlib.suppress(PeaksError):
        check_schema("pods", raw)
        ledger.observe_pod(raw)
        for each, _ in list(ledger.pods()):
            if not each.node_name:
                strategy = plan_for_one(any_strategy(name), each, ledger.snapshot())
                schedule(each, ledger.snapshot(), strategy, now=NOW)


@fuzzed(mutated(rich_node(), deep=False), st.sampled_from([*STRATEGIES, *BATCH_STRATEGIES]))
def test_any_node_is_refused_at_the_door_or_decided_on(raw: Any, name: str) -> None:
    ledger = Ledger()
    with contextlib.suppress(PeaksError):
        check_schema("nodes", raw)
        ledger.observe_node(raw)
    ledger.observe_pod(pod())
    (waiting,) = (each for each, _ in ledger.pods())
    strategy = plan_for_one(any_strategy(name), waiting, ledger.snapshot())
    schedule(waiting, ledger.snapshot(), strategy, now=NOW)


@fuzzed(st.sampled_from(sorted(SCHEMAS)), mutated(GOOD, deep=False) | scalars)
def test_any_object_of_any_kind_has_its_shape_or_is_told(plural: str, raw: Any) -> None:
    with contextlib.suppress(PeaksError):
        check_schema(plural, raw)


# --- lists and watches ------------------------------------------------------------------------------------------------


@fuzzed(json_texts(LIST) | mutated_bytes(json.dumps(LIST).encode()).map(lambda data: data.decode("latin-1")))
def test_any_list_is_read_or_an_error(text: str) -> None:
    body = text.encode("utf-8", "surrogatepass")
    with contextlib.suppress(KubeError):
        assert all(each.metadata.name for each in decode_as(body, decode_names).items or () if each.metadata.name)
    with contextlib.suppress(KubeError):
        assert all(type(each["metadata"]) is dict for each in decode_as(body, decode_objects).objects())


class Content:
    """Bytes that come in two pieces."""

    def __init__(self, data: bytes, cut: int) -> None:
        self._parts = [data[:cut], data[cut:]]

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        for part in self._parts:
            yield part


@fuzzed(json_texts(LINE) | json_texts(ERROR), st.integers(0, 300))
def test_after_any_line_kopf_gets_only_what_it_takes(text: str, cut: int) -> None:
    async def read() -> list[Any]:
        data = "\n".join([json.dumps(LINE), text, json.dumps(LINE), ""]).encode("utf-8", "surrogatepass")
        lines = kopf_responses.WatchLines(Content(data, cut), lambda what, why: None)  # type: ignore[arg-type]
        return [json.loads(each) async for each in lines.iter_chunked(1 << 20)]

    pause, kopf_responses.PAUSE = kopf_responses.PAUSE, 0.0
    try:
        got = asyncio.run(read())
    finally:
        kopf_responses.PAUSE = pause
    assert got[0] == got[-1] == LINE
    for event in got:
        assert event["type"] in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR")
        if event["type"] == "ERROR":
            assert event["object"]["code"] == 410
        else:
            assert type(event["object"]["metadata"]) is dict


# --- refusals, clocks, Leases -----------------------------------------------------------------------------------------


@fuzzed(
    odd_texts | odd_numbers.map(str),
    mutated(STATUS, deep=False),
    st.sampled_from(["GET", "POST"]),
    st.integers(100, 999),
)
def test_any_refusal_is_an_error_with_a_bounded_wait(told: str, status: Any, method: str, code: int) -> None:
    headers = CIMultiDict({"Retry-After": told})
    body = json.dumps(status).encode("utf-8", "surrogatepass")
    error = error_of(method, "/api/v1/pods", code, headers, body)
    assert isinstance(error, KubeError)
    assert 0.0 <= getattr(error, "retry_after", 0.0) <= LONGEST_WAIT
    assert 0.0 <= retry_after_seconds({}, status.get("details") if isinstance(status, dict) else status) <= LONGEST_WAIT
    error.said.encode()


@fuzzed(odd_texts | st.text(max_size=60) | st.datetimes().map(lambda each: each.strftime("%a, %d %b %Y %H:%M:%S GMT")))
def test_any_date_leaves_an_offset_that_can_be_counted_with(date: str) -> None:
    clock = ServerClock()
    clock.note(date, NOW, NOW + 0.02)
    assert clock.offset is None or (math.isfinite(clock.offset) and abs(clock.offset) <= FARTHEST + 1.0)


@fuzzed(mutated(LEASE, deep=False) | scalars)
def test_any_lease_can_be_competed_for_or_is_an_error(lease: Any) -> None:
    with contextlib.suppress(KubeError):
        fine = require_lease(lease)
        assert 0.0 <= duration_of(fine, 15.0) <= LONGEST
        assert len(holder_of(fine)) <= 256
        assert 0 <= transitions_of(spec_of(fine)) < 2**31


# --- credentials ------------------------------------------------------------------------------------------------------


@fuzzed(json_texts(CREDENTIAL))
def test_any_answer_of_a_plugin_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ValueError, OverflowError, ConfigurationError):
        read_credential(text.encode("utf-8", "surrogatepass"), CREDENTIAL["apiVersion"])  # type: ignore[arg-type]


@fuzzed(mutated(CONFIG, deep=False).map(lambda tree: yaml.safe_dump(tree)) | json_texts(CONFIG))
def test_any_kubeconfig_is_read_or_refused_in_words(text: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        with contextlib.suppress(ConfigurationError):
            read_access(read_files([path], all_needed=True))
