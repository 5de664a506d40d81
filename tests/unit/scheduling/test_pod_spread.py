"""WAO's annotation podspread-rate on a pod: how much it wants to be apart from its owner's other pods.

Areas are those of WAO's plugin PodSpread (waok8s, wao-scheduler/pkg/plugins/podspread): regions where there are two or
more, else zones, else nodes. Its cases 3 regions, 2 zones and nodes are among these.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.objects.annotations import SPREAD_RATES
from peaks_scheduler.scheduling.decision import Decision
from peaks_scheduler.scheduling.scoring.preferences import OTHERS, PREFERENCES, may_prefer, pod_spread
from tests.support.builders import BENT_UP, Json, decide, ledger, node, owned, pod, read

NEW, OLD = SPREAD_RATES
ZONE, REGION = "topology.kubernetes.io/zone", "topology.kubernetes.io/region"


def web(name: str = "web", rate: str | None = "1", on: str | None = None, **more: Any) -> Json:
    """A pod of the ReplicaSet web-7d4."""
    annotations = None if rate is None else {NEW: rate}
    raw = pod(name, cpu="100m", labels={"app": "web"}, node=on, annotations=annotations, **more)
    return owned(raw, "web", revision="7d4")


def cluster(there: dict[str, int], labels: dict[str, dict[str, str]] | None = None) -> Ledger:
    """Nodes, each with that many pods of the ReplicaSet."""
    nodes = [node(name, labels=(labels or {}).get(name)) for name in there]
    pods = [web(f"{name}-{i}", on=name, started=0.0) for name, count in there.items() for i in range(count)]
    return ledger(*nodes, *pods, power=BENT_UP, loads=dict.fromkeys(there, 0.2))


def scores(raw: Json, known: Ledger) -> dict[str, int] | None:
    nodes = known.snapshot()
    found = pod_spread(read(raw), nodes, np.arange(len(nodes)))
    return None if found is None else dict(zip(nodes.names, found.tolist(), strict=True))


def test_without_areas_the_node_with_the_fewest_of_its_pods_is_best() -> None:
    assert scores(web(), cluster({"n1": 2, "n2": 1, "n3": 0})) == {"n1": 0, "n2": 50, "n3": 100}


def test_where_all_nodes_have_as_many_there_is_nothing_to_tell() -> None:
    assert scores(web(), cluster({"n1": 2, "n2": 2})) == {"n1": 0, "n2": 0}


def test_the_rate_is_the_weight() -> None:
    assert scores(web(rate="0.6"), cluster({"n1": 2, "n2": 1, "n3": 0})) == {"n1": 0, "n2": 30, "n3": 60}


def test_with_two_zones_the_zone_with_the_fewest_is_best() -> None:
    """WAO's case: zone z0 has 0, 1 and 2 pods on its nodes, z1 has 1, 1 and 0: each node of z1 is allowed."""
    zones = {f"n{zone}{i}": {ZONE: f"z{zone}"} for zone in (0, 1) for i in range(3)}
    known = cluster({"n00": 0, "n01": 1, "n02": 2, "n10": 1, "n11": 1, "n12": 0}, zones)
    assert scores(web(), known) == {"n00": 0, "n01": 0, "n02": 0, "n10": 100, "n11": 100, "n12": 100}


def test_with_two_regions_zones_do_not_count() -> None:
    labels = {"n1": {REGION: "r0", ZONE: "a"}, "n2": {REGION: "r0", ZONE: "b"}, "n3": {REGION: "r1", ZONE: "c"}}
    assert scores(web(), cluster({"n1": 1, "n2": 0, "n3": 0}, labels)) == {"n1": 0, "n2": 0, "n3": 100}


def test_a_single_zone_is_no_area() -> None:
    labels = {"n1": {ZONE: "a"}, "n2": {ZONE: "a"}}
    assert scores(web(), cluster({"n1": 1, "n2": 0}, labels)) == {"n1": 0, "n2": 100}


def test_a_node_outside_all_areas_is_not_better_than_one_inside() -> None:
    labels = {"n1": {ZONE: "a"}, "n2": {ZONE: "b"}}
    assert scores(web(), cluster({"n1": 1, "n2": 0, "n3": 0}, labels)) == {"n1": 0, "n2": 100, "n3": 0}


def test_pods_of_other_owners_and_of_other_revisions_do_not_count() -> None:
    older = owned(pod("older", labels={"app": "web"}, node="n1", started=0.0), "web", revision="5c9")
    other = owned(pod("other", labels={"app": "db"}, node="n1", started=0.0), "db", revision="7d4")
    known = ledger(node("n1"), node("n2"), older, other, web("mine", on="n2", started=0.0))
    assert scores(web(), known) == {"n1": 100, "n2": 0}


def test_pods_of_a_stateful_set_are_apart_though_each_has_its_own_label() -> None:
    def db(index: int, on: str | None = None) -> Json:
        labels = {"app": "db", "statefulset.kubernetes.io/pod-name": f"db-{index}"}
        return owned(pod(f"db-{index}", labels=labels, node=on, annotations={NEW: "1"}), "db")

    assert scores(db(1), ledger(node("n1"), node("n2"), db(0, "n1"))) == {"n1": 0, "n2": 100}


def test_the_older_name_of_the_annotation_is_read_too_and_the_newer_one_counts_first() -> None:
    raw = web(rate=None)
    raw["metadata"]["annotations"] = {OLD: "0.5"}
    assert read(raw).spread_rate == 0.5
    raw["metadata"]["annotations"][NEW] = "0.25"
    assert read(raw).spread_rate == 0.25


@pytest.mark.parametrize("text", ["1.1", "-0.5", "half", "", "NaN", "60%", "1_0", "9" * 1000])
def test_a_rate_outside_0_to_1_is_named_and_asks_for_nothing(text: str) -> None:
    found = read(web(rate=text))
    assert found.spread_rate == 0.0
    assert found.oddities == (f'{NEW}: expected a rate from 0 to 1, such as "0.6"; got {text[:80]!r}',)


def test_a_rate_of_a_pod_without_an_owner_is_named() -> None:
    found = read(pod(annotations={NEW: "0.6"}))
    assert found.spread_rate == 0.0
    assert found.oddities[0].startswith(f"{NEW}: expected a pod that an owner")


@pytest.mark.parametrize("rate", [None, "0"])
def test_without_a_rate_or_with_0_the_pod_has_no_such_preference(rate: str | None) -> None:
    known = cluster({"n1": 1, "n2": 0})
    assert scores(web(rate=rate), known) is None
    assert not may_prefer(read(web(rate=rate)), known.snapshot())


def test_among_nodes_of_equal_watts_the_pod_goes_away_from_its_siblings() -> None:
    known = cluster({"n1": 1, "n2": 0, "n3": 1})
    decisions = [decide(web(f"web-{i}"), known) for i in range(20)]
    assert {each.node for each in decisions} == {"n2"}
    assert {name for each in decisions for name in each.preferences} == {"PodSpread"}


def test_it_costs_no_watts_beyond_the_tolerance() -> None:
    busy = ledger(node("n1"), node("n2"), web("w", on="n1", started=0.0), power=BENT_UP, loads={"n1": 0.1, "n2": 0.6})
    assert decide(web(), busy).node == "n1"


def test_a_record_with_every_preference_stays_under_a_kilobyte() -> None:
    names = tuple(each.name for each in (*PREFERENCES, *OTHERS))
    far, model = 1e17 / 3, "k" * 2000
    decision = Decision(
        read(pod()), "peaks", 10**6, 10**6, "n" * 253, far, "r" * 253, far, model=model, preferences=names
    )
    assert len(decision.annotation().encode()) < 1024


def test_a_pod_without_the_annotation_is_placed_as_before() -> None:
    known = cluster({"n1": 3, "n2": 0})
    plain = [decide(web(f"web-{i}", rate=None), known).node for i in range(20)]
    assert {*plain} == {"n1", "n2"}
