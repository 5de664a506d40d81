"""Memory that tenants and device plugins can take: it follows the objects that there are, and goes with them."""

from __future__ import annotations

import gc
import itertools
import string
import tracemalloc
from collections.abc import Mapping
from typing import Any

import pytest

from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.objects import requests
from peaks_scheduler.objects.memo import BUDGET
from peaks_scheduler.objects.pod import Pod
from tests.support.builders import (
    NOW,
    PEAKS,
    anti_affinity,
    container,
    ledger,
    node,
    node_affinity,
    pod,
    schedule,
    spread,
)

Json = dict[str, Any]

CACHES = 4  # of requests, requirements, tolerations and volumes


def words(count: int, start: str = "") -> list[str]:
    return [
        start + "".join(each) for each in itertools.islice(itertools.product(string.ascii_lowercase, repeat=4), count)
    ]


def devices(count: int, start: str = "") -> dict[str, str]:
    return {f"a.b/{word}": "1" for word in words(count, start)}


# --- what nobody offers ---------------------------------------------------------------------------------------------


def test_a_running_pod_of_thousands_of_resources_adds_no_row() -> None:
    known = ledger(node("worker-1"), pod(node="worker-1", requests=devices(5_000)))
    assert len(known.snapshot().rows) == 4


def test_nor_does_a_device_plugin_that_lists_thousands_on_one_of_many_nodes() -> None:
    known = ledger(*(node(f"worker-{i}") for i in range(100)), node("odd", more=devices(5_000)))
    assert len(known.snapshot().rows) == 4


def test_a_resource_that_many_nodes_offer_has_a_row_until_they_offer_it_no_more() -> None:
    names = [f"worker-{i}" for i in range(8)]
    known = ledger(*(node(name, more={"a.b/gpu": "2"}) for name in names))
    rows = [len(known.snapshot().rows)]
    for name in names:
        known.observe_node(node(name))
    assert [*rows, len(known.snapshot().rows)] == [5, 4]


def test_rows_are_taken_back_with_the_nodes() -> None:
    names = [f"worker-{i}" for i in range(8)]
    known = ledger(*(node(name, more=devices(200)) for name in names), node("plain"))
    before = known.snapshot().free.shape[0]
    for name in names:
        known.drop_node(name)
    assert (before, known.snapshot().free.shape[0]) == (204, 4)


@pytest.mark.parametrize("others", [1, 100], ids=["that most nodes offer", "that one of many offers"])
def test_pods_find_and_exhaust_a_resource(others: int) -> None:
    known = ledger(node("gpus", more={"a.b/gpu": "3"}), *(node(f"worker-{i}") for i in range(others)))
    known.observe_pod(pod("first", requests={"a.b/gpu": "2"}, node="gpus"))
    chosen = [_decided(known, pod(f"asks-{n}", requests={"a.b/gpu": str(n)})).node for n in (1, 2)]
    known.drop("uid-default-first")
    assert [*chosen, _decided(known, pod("again", requests={"a.b/gpu": "2"})).node] == ["gpus", None, "gpus"]


@pytest.mark.parametrize(
    "asks",
    [
        {"containers": [container("a", devices(3))]},
        {"containers": [container("a")], "initContainers": [container("i", devices(3))]},
        {"containers": [container("a")], "overhead": devices(3)},
        {
            "containers": [container("a")],
            "resources": {"requests": {f"hugepages-{each}Mi": "1Mi" for each in (1, 2, 3)}},
        },
        {"containers": [container("a", {f"attachable-volumes-{each}": "1" for each in "abc"})]},
    ],
    ids=["containers", "init containers", "overhead", "pod level", "attachable volumes"],
)
def test_what_no_node_offers_is_refused_in_kube_schedulers_words(asks: Json) -> None:
    refused = _decided(ledger(node("worker-1"), node("worker-2")), pod(**asks))
    resources = [name for name, _ in refused.pod.requests]
    assert refused.diagnosis is not None
    wanted = ", ".join(f"2 Insufficient {name}" for name in sorted(resources))
    assert (len(resources), refused.diagnosis.message) == (3, f"0/2 nodes are available: {wanted}.")


def test_thousands_of_refusals_share_their_masks() -> None:
    known = ledger(*(node(f"worker-{i}") for i in range(50)), node("odd", more=devices(500)))
    wanted = pod(requests=devices(500) | devices(500, "absent"))
    known.observe_pod(wanted)
    found = list(known.snapshot().resources.short(known.pod(wanted["metadata"]["uid"]).requests))  # type: ignore[union-attr]
    assert len(found) == 1000
    assert len({id(mask) for _, mask in found}) <= 3


def test_two_pods_that_ask_for_everything_leave_nothing() -> None:
    # 2^63 - 1 twice would wrap around to more than nothing
    known = ledger(node("worker-1"), *(pod(f"greedy-{i}", memory="8Ei", node="worker-1") for i in range(2)))
    assert _decided(known, pod("asks", memory="1Gi")).node is None


# --- work that grows with the pod -----------------------------------------------------------------------------------


def test_sidecars_are_not_summed_anew_for_each_init_container(monkeypatch: pytest.MonkeyPatch) -> None:
    # 100 sidecars of 10 resources and 300 init containers, each of which needs its own beside all of theirs
    sidecars = [container(f"s{i}", devices(10, f"x{i}"), restartPolicy="Always") for i in range(100)]
    plain = [container(f"i{i}", {"cpu": "1"}) for i in range(300)]
    sums = 0
    add = requests._add

    def counting(total: dict[str, int], more: Mapping[str, int]) -> None:
        nonlocal sums
        sums += len(more)
        add(total, more)

    monkeypatch.setattr(requests, "_add", counting)
    held = requests.pod_requests({"containers": [], "initContainers": sidecars + plain}, {})
    assert (len(held), sums < 5_000) == (1001, True)


# --- given back -----------------------------------------------------------------------------------------------------


def _tenants(turn: int) -> list[Json]:
    """Pods that nobody has seen before, each of tens of kilobytes."""
    own = f"t{turn}"
    many = words(400, own)
    everywhere = {"node": "worker-1"}
    return [
        pod(f"{own}-resources", requests=devices(400, own), **everywhere),
        pod(f"{own}-selector", nodeSelector=dict.fromkeys(many, "x")),
        pod(
            f"{own}-values",
            affinity=node_affinity({"matchExpressions": [{"key": "z", "operator": "In", "values": many}]}),
        ),
        pod(f"{own}-terms", affinity=anti_affinity(dict.fromkeys(many, "x")), **everywhere),
        pod(f"{own}-tolerations", tolerations=[{"key": each, "operator": "Exists"} for each in many], **everywhere),
        pod(f"{own}-claims", volumes=[{"name": each, "persistentVolumeClaim": {"claimName": each}} for each in many]),
        pod(f"{own}-spread", topologySpreadConstraints=[spread({each: "x"}) for each in many[:50]], scheduler="other"),
        pod(
            f"{own}-ports",
            ports=[{"hostPort": 100 * turn + i + 1, "containerPort": 1} for i in range(100)],
            **everywhere,
        ),
        pod(f"{own}-labels", labels=dict.fromkeys(many, "x"), **everywhere),
        pod(f"{own}-ran", labels=dict.fromkeys(many, "x"), started=NOW - 60.0, **everywhere),
    ]


def _emptied_after(known: Ledger, turns: range) -> int:
    """[bytes] in use once the cluster was filled and emptied so many times."""
    for turn in turns:
        tenants = _tenants(turn)
        for each in tenants:
            known.observe_pod(each)
        known.snapshot()
        for each in tenants:
            known.observe_pod(each, gone=True)
    del tenants
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def test_a_cluster_that_was_filled_and_emptied_a_hundred_times_weighs_what_it_did() -> None:
    known = ledger(node("worker-1"), node("worker-2"))
    pods = _pods_alive()
    tracemalloc.start()
    try:
        first = _emptied_after(known, range(1))
        grown = _emptied_after(known, range(1, 101)) - first
    finally:
        tracemalloc.stop()
    assert grown < CACHES * BUDGET  # a hundred of them are ten times as much
    assert _pods_alive() == pods


def _pods_alive() -> int:
    gc.collect()
    return sum(isinstance(each, Pod) for each in gc.get_objects())


@pytest.mark.parametrize("placed", [False, True], ids=["waiting", "on a node"])
def test_of_another_schedulers_pod_only_what_counts_is_kept(placed: bool) -> None:
    known = Ledger(ours="Peaks")
    large = pod(
        scheduler="other",
        annotations={"note": "x" * 100_000},
        nodeSelector=dict.fromkeys(words(100), "x"),
        containers=[container("a", {"cpu": "1"}, env=[{"name": "A", "value": "x" * 100_000}])],
        **({"node": "worker-1"} if placed else {}),
    )
    known.observe_pod(large)
    kept = known.pod(large["metadata"]["uid"])
    assert kept is not None
    assert (bool(kept.where), kept.requests) == (False, (("cpu", 1000),) if placed else ())


def test_of_ours_all_that_decides_is_kept_while_it_waits() -> None:
    known = Ledger(ours="Peaks")
    known.observe_node(node("worker-1", labels={"disk": "ssd"}))
    assert _decided(known, pod(nodeSelector={"disk": "ssd"})).node == "worker-1"
    assert _decided(known, pod("other", nodeSelector={"disk": "hdd"})).node is None


def _decided(known: Ledger, raw: Json) -> Any:
    known.observe_pod(raw)
    waiting = known.pod(raw["metadata"]["uid"])
    assert waiting is not None
    return schedule(waiting, known.snapshot(), PEAKS, now=NOW)
