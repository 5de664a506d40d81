"""An event wakes the pods that it can make schedulable, and of the others only those where telling costs too much."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from peaks_scheduler.objects.selectors import LabelSelector
from peaks_scheduler.scheduling import queueing_hints as hints_module
from peaks_scheduler.scheduling.events import ClusterEvent
from peaks_scheduler.scheduling.queueing_hints import Hints
from tests.support.builders import Json, anti_affinity, expression, pod, pod_affinity, pod_term, read, spread
from tests.support.storage_objects import using

NEIGHBOURS = frozenset({ClusterEvent.POD_PLACED, ClusterEvent.POD_CHANGED})
STORAGE = frozenset({ClusterEvent.STORAGE_CHANGED})
UID = "uid-default-web-0"
NEAR_DB = pod(affinity=pod_affinity(pod_term({"app": "db"})))
DB = pod("db", labels={"app": "db"}, node="worker-1")


def waiting(*pods: Json, for_: frozenset[ClusterEvent] = NEIGHBOURS) -> Hints:
    hints = Hints()
    for raw in pods:
        hints.waits(read(raw), for_)
    return hints


BOTH_TERMS = pod(affinity=pod_affinity(pod_term({"app": "db"}), pod_term({"tier": "gold"}, "zone")))
AMONG = {"labelSelector": {"matchExpressions": [expression("app", "In", "cache", "db")]}}
UNLIKE = {"labelSelector": {"matchExpressions": [expression("app", "NotIn", "web")]}}
BY_NAMESPACE = {"namespaceSelector": {"matchLabels": {"team": "a"}}}


@pytest.mark.parametrize(
    ("waits", "comes", "woken"),
    [
        pytest.param(NEAR_DB, DB, True, id="the one it wants near"),
        pytest.param(NEAR_DB, pod("web-1", labels={"app": "web"}), False, id="another one"),
        pytest.param(NEAR_DB, pod("db", labels={"app": "db"}, namespace="shop"), False, id="in another namespace"),
        pytest.param(BOTH_TERMS, DB, False, id="one that matches one of two terms"),
        pytest.param(BOTH_TERMS, pod("db", labels={"app": "db", "tier": "gold"}), True, id="one that matches both"),
        pytest.param(pod(affinity=pod_affinity(pod_term(None, **AMONG))), DB, True, id="one among several"),
        pytest.param(pod(affinity=pod_affinity(pod_term(None, **UNLIKE))), DB, True, id="any but some"),
        pytest.param(
            pod(affinity=pod_affinity(pod_term({"app": "db"}, namespaces=["shop"]))),
            pod("db", labels={"app": "db"}, namespace="shop"),
            True,
            id="in the namespace that it names",
        ),
        pytest.param(
            pod(affinity=pod_affinity(pod_term({"app": "db"}, **BY_NAMESPACE))),
            pod("db", labels={"app": "db"}, namespace="anywhere"),
            True,
            id="in a namespace whose labels are not looked at here",
        ),
        pytest.param(pod(affinity=pod_affinity(pod_term(None))), DB, False, id="a term that selects nothing"),
        pytest.param(
            pod(labels={"app": "web"}, topologySpreadConstraints=[spread({"app": "web"})]),
            pod("web-1", labels={"app": "web"}),
            True,
            id="one that it is spread with",
        ),
        pytest.param(
            pod(labels={"app": "web"}, topologySpreadConstraints=[spread({"app": "web"})]),
            pod("web-1", labels={"app": "web"}, namespace="shop"),
            False,
            id="its like in another namespace",
        ),
        pytest.param(pod(affinity=anti_affinity({"app": "db"})), DB, False, id="one that it shuns"),
    ],
)
def test_a_pod_that_comes_to_a_node_wakes_those_who_want_it(waits: Json, comes: Json, woken: bool) -> None:
    assert waiting(waits).placed(read(comes)) == ([UID] if woken else [])


@pytest.mark.parametrize(
    ("waits", "before", "after", "woken"),
    [
        pytest.param(NEAR_DB, {}, {"app": "db"}, True, id="it matches the affinity now"),
        pytest.param(pod(affinity=anti_affinity({"app": "db"})), {"app": "db"}, {}, True, id="it is shunned no more"),
        pytest.param(pod(affinity=anti_affinity({"app": "db"})), {}, {"app": "db"}, False, id="it is shunned now"),
        pytest.param(
            pod(topologySpreadConstraints=[spread({"app": "db"})]), {"app": "db"}, {}, True, id="it is spread no more"
        ),
        pytest.param(NEAR_DB, {"app": "web"}, {"app": "cache"}, False, id="it is nobody's business"),
    ],
)
def test_a_pod_that_changes_its_labels_wakes_those_that_may_fit_now(
    waits: Json, before: dict[str, str], after: dict[str, str], woken: bool
) -> None:
    change = (read(pod("db", labels=before)), read(pod("db", labels=after)))
    assert waiting(waits).relabelled(*change) == ([UID] if woken else [])


def test_a_claim_wakes_the_pods_that_use_it() -> None:
    pods = [pod(f"web-{i}", volumes=using(f"data-{i}", "shared")) for i in range(2)]
    hints = waiting(*pods, for_=STORAGE)
    assert hints.using("default/data-1") == ["uid-default-web-1"]
    assert hints.using("default/shared") == ["uid-default-web-0", "uid-default-web-1"]
    assert hints.using("shop/shared") == []


def test_the_claim_of_an_ephemeral_volume_goes_by_the_pods_name() -> None:
    scratch = {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}
    assert waiting(pod(volumes=[scratch]), for_=STORAGE).using("default/web-0-scratch") == [UID]


@pytest.mark.parametrize("events", [frozenset({ClusterEvent.NODE_ADDED}), STORAGE], ids=["nodes", "storage"])
def test_a_pod_that_failed_for_another_reason_is_left_alone(events: frozenset[ClusterEvent]) -> None:
    assert waiting(NEAR_DB, for_=events).placed(read(DB)) == []


def leaves(hints: Hints) -> None:
    hints.leaves(UID)


def fails_anew_for_another_reason(hints: Hints) -> None:
    hints.waits(read(NEAR_DB), frozenset({ClusterEvent.NODE_ADDED}))


@pytest.mark.parametrize("event", [leaves, fails_anew_for_another_reason])
def test_nothing_is_kept_of_a_pod_that_waits_no_more(event: Callable[[Hints], None]) -> None:
    everything = pod(
        affinity=pod_affinity(pod_term({"app": "db"}), pod_term({"app": "db"})) | anti_affinity({"app": "x"}),
        topologySpreadConstraints=[spread({"app": "db"}), spread(None)],
        volumes=using("data"),
    )
    hints = waiting(everything, for_=NEIGHBOURS | STORAGE)
    event(hints)
    assert not any((hints._wants, hints._wanting, hints._by_pair, hints._claims, hints._using))


def test_a_placement_is_compared_once_for_all_pods_that_want_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = 0
    matches = LabelSelector.matches

    def counted(self: LabelSelector, labels: dict[str, str]) -> bool:
        nonlocal compared
        compared += 1
        return matches(self, labels)

    near = [pod(f"near-{i}", affinity=pod_affinity(pod_term({"app": "db"}))) for i in range(1000)]
    others = [pod(f"other-{i}", affinity=pod_affinity(pod_term({"app": f"other-{i}"}))) for i in range(1000)]
    hints = waiting(*near, *others)
    monkeypatch.setattr(hints_module.LabelSelector, "matches", counted)
    assert len(hints.placed(read(DB))) == 1000
    assert compared == 1


def test_a_pod_that_wants_thousands_of_things_is_woken_by_any_and_nothing_is_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terms = (pod_term({"app": f"a{n}"}) for n in range(20_000))
    hints = waiting(pod(affinity=pod_affinity(*terms)))
    monkeypatch.setattr(LabelSelector, "matches", lambda *_: pytest.fail("compared"))
    assert hints.placed(read(DB)) == [UID]
    assert hints.relabelled(read(DB), read(pod("db", labels={"app": "a7"}, node="worker-1"))) == [UID]
    hints.leaves(UID)
    assert hints.placed(read(DB)) == []
