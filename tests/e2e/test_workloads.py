"""Deployments that want to be spread, apart or together, on a real API server with real controllers.

Watts work against every one of these wishes: the nodes of one zone are by far the cheapest, and the more a node does
the less the next pod costs. Each placement is judged by kube-scheduler's own filters, and the pods themselves are asked
in plain words where they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.e2e.support.api import Object
from tests.e2e.support.claims import SOON
from tests.e2e.support.controllers import (
    DEFAULT_SCHEDULER,
    deployment,
    in_place,
    pods_of,
    roll_out,
    scale,
    spread,
    wait_bound,
    wait_rolled_out,
)
from tests.e2e.support.controlplane import ControlPlane
from tests.e2e.support.daemon import Daemon, beside, clear
from tests.e2e.support.judging import misplaced, picture, unfit
from tests.e2e.support.load_endpoint import LoadEndpoint
from tests.e2e.support.processes import wait_until
from tests.e2e.support.workload import condition, model, node, pod, told, wait_placed
from tests.parity.oracle import Oracle
from tests.support.builders import anti_affinity, expression, node_affinity, pod_affinity, pod_term

ZONE_OF = {f"worker-{number}": "abc"[number // 3] for number in range(9)}
ZONES = ("a", "b", "c")
MODELS = [
    # k0, k1, k2 of watts = k0 + k1*exp(k2*u): concave, and every zone far dearer than the one before
    model((2000.0, -watts, -5.0), nodes=[name for name, zone in ZONE_OF.items() if zone == which])
    for which, watts in zip(ZONES, (10.0, 100.0, 1000.0), strict=True)
]


@pytest.fixture(scope="module")
def shared(controllers: ControlPlane) -> Iterator[Daemon]:
    clear(controllers)
    with LoadEndpoint(dict.fromkeys(ZONE_OF, 10.0)) as load, beside(controllers, load.url, models=MODELS) as daemon:
        daemon.wait_leading()
        yield daemon
        assert [line for line in daemon.lines() if "exception" in line] == []


@pytest.fixture
def daemon(shared: Daemon, controllers: ControlPlane) -> Daemon:
    """The one daemon, with an empty cluster and a ledger that knows that it is empty."""
    controllers.reset_workloads()
    wait_until(lambda: shared.metric("scheduler_cache_size") == 0, "an empty ledger")
    return shared


@dataclass
class Watched:
    """A cluster whose workloads are scaled one at a time, each placement judged.

    Attributes:
        where: node by pod of every workload, as the pods themselves say.
    """

    plane: ControlPlane
    daemon: Daemon
    oracle: Oracle
    where: dict[str, dict[str, str]] = field(default_factory=dict)

    def scale(self, app: str, replicas: int) -> list[str]:
        """The nodes of the pods that came, in the order in which they were decided."""
        before, said, old = picture(self.plane), len(self.daemon.lines()), self.where.get(app, {})
        scale(self.plane, "Deployment", app, replicas)
        self.where[app] = wait_bound(self.plane, app, replicas)
        new = {f"default/{name}" for name in self.where[app].keys() - old.keys()}
        wait_until(lambda: new <= {line["pod"] for line in self._bound(said)}, f"{len(new)} placements in the log")
        log = self._bound(said)
        assert misplaced(self.oracle, before, picture(self.plane), log) == []
        return [line["node"] for line in sorted(log, key=lambda line: int(line["decision"])) if line["pod"] in new]

    def _bound(self, said: int) -> list[Object]:
        return [line for line in self.daemon.lines()[said:] if line["message"] == "bound"]


@pytest.fixture
def watched(daemon: Daemon, controllers: ControlPlane, oracle: Oracle) -> Watched:
    controllers.create_nodes([node(name, labels={"zone": zone}) for name, zone in ZONE_OF.items()])
    return Watched(controllers, daemon, oracle)


# --- scaled -----------------------------------------------------------------------------------------------------------

STEPS = [(3, 2), (9, 8), (4, 3), (7, 6), (1, 1), (8, 5), (2, 7), (6, 2), (5, 4), (9, 9)]


def test_a_deployment_and_its_neighbour_are_scaled_up_and_down_ten_times(watched: Watched) -> None:
    even_and_apart = {
        "affinity": anti_affinity({"app": "web"}),
        "topologySpreadConstraints": [spread("web", "zone")],
    }
    near_web = {"affinity": pod_affinity(pod_term({"app": "web"}, "zone"))}
    watched.plane.create(deployment("web", 0, **even_and_apart), deployment("cache", 0, **near_web))
    for web, cache in STEPS:
        came = watched.scale("web", web)
        nodes = list(watched.where["web"].values())
        assert len(set(nodes)) == web, "no two on a node"
        assert uneven(came, nodes) == []
        beside = {ZONE_OF[name] for name in watched.scale("cache", cache)}
        assert beside <= {ZONE_OF[name] for name in nodes}
    assert set(told(watched.plane).values()) == {1}, "no pod was placed twice"


def uneven(came: list[str], all_nodes: list[str]) -> list[str]:
    """Which of the nodes were chosen though another zone had fewer pods by more than one, the new one counted."""
    counts = Counter(dict.fromkeys(ZONES, 0))
    counts.update(ZONE_OF[name] for name in all_nodes)
    counts.subtract(ZONE_OF[name] for name in came)
    wrong = []
    for name in came:
        counts[ZONE_OF[name]] += 1
        wrong += [name] if counts[ZONE_OF[name]] - min(counts.values()) > 1 else []
    return wrong


def test_a_rollout_in_place_keeps_the_new_pods_even_and_apart(watched: Watched) -> None:
    even_among_the_new = [spread("web", "zone", matchLabelKeys=["pod-template-hash"])]
    wishes = {"affinity": anti_affinity({"app": "web"}), "topologySpreadConstraints": even_among_the_new}
    watched.plane.create(deployment("web", 0, strategy=in_place(), **wishes))
    watched.scale("web", 6)  # were all nine nodes taken, only the one just left could be even: a dead end
    before = watched.where["web"]
    roll_out(watched.plane, "Deployment", "web", "second")
    wait_rolled_out(watched.plane, "Deployment", "web")
    after = wait_bound(watched.plane, "web", 6)
    assert before.keys().isdisjoint(after)
    assert len(set(after.values())) == 6
    assert Counter(ZONE_OF[name] for name in after.values()) == {"a": 2, "b": 2, "c": 2}
    assert unfit(watched.oracle, picture(watched.plane)) == []


def test_pods_that_would_make_their_zones_uneven_wait_until_the_last_zone_takes_some(
    daemon: Daemon, controllers: ControlPlane
) -> None:
    # a cordoned zone still counts
    controllers.create_nodes(
        [node(name, labels={"zone": zone}, unschedulable=zone == "c") for name, zone in ZONE_OF.items()]
    )
    wait_until(lambda: daemon.metric("scheduler_cache_size", type="nodes") == len(ZONE_OF), "every node known")
    controllers.create(deployment("web", 6, topologySpreadConstraints=[spread("web", "zone")]))
    wait_until(lambda: len(waiting(controllers, "web")) == 4, "four of them told that they wait")
    words = (
        "0/9 nodes are available: 3 node(s) were unschedulable, 6 node(s) didn't match pod topology spread constraints."
    )
    assert {condition(each)["message"] for each in waiting(controllers, "web")} == {words}
    controllers.api.patch("/api/v1/nodes/worker-8", {"spec": {"unschedulable": None}})
    bound = wait_bound(controllers, "web", 6)
    assert Counter(ZONE_OF[name] for name in bound.values()) == {"a": 2, "b": 2, "c": 2}


def waiting(plane: ControlPlane, app: str) -> list[Object]:
    """Pods of a workload that were told that they fit nowhere."""
    return [each for each in pods_of(plane, app) if condition(each).get("reason") == "Unschedulable"]


# --- across namespaces and schedulers ---------------------------------------------------------------------------------


def namespace(plane: ControlPlane, name: str, **labels: str | None) -> str:
    """A namespace with these labels, made where it is not there; None takes one off."""
    if name not in plane.names("/api/v1/namespaces"):
        plane.api.post("/api/v1/namespaces", {"metadata": {"name": name}})
    plane.api.patch(f"/api/v1/namespaces/{name}", {"metadata": {"labels": labels}})
    return name


def resident(plane: ControlPlane, daemon: Daemon, on: str, name: str = "resident", **more: Any) -> None:
    """A pod of nobody's scheduler on a node, known to the daemon."""
    known = daemon.metric("scheduler_cache_size", type="pods")
    plane.create_pods([pod(name, scheduler="nobody", node=on, **more)])
    wait_until(lambda: daemon.metric("scheduler_cache_size", type="pods") == known + 1, f"{name} known")


def test_a_term_that_selects_namespaces_by_label_keeps_pods_from_those_alone(watched: Watched) -> None:
    for name, team in (("shop", "a"), ("office", "b")):
        namespace(watched.plane, name, team=team)
    # on the two cheapest nodes there is a database each, of which the pods keep away from the first
    resident(watched.plane, watched.daemon, "worker-0", namespace="shop", labels={"app": "db"})
    resident(watched.plane, watched.daemon, "worker-1", namespace="office", labels={"app": "db"})
    away = anti_affinity({"app": "db"}, "zone", namespaceSelector={"matchLabels": {"team": "a"}})
    watched.plane.create(deployment("web", 0, affinity=away), deployment("any", 0))
    assert {ZONE_OF[name] for name in watched.scale("web", 4)} == {"b"}
    assert {ZONE_OF[name] for name in watched.scale("any", 4)} == {"a"}
    assert unfit(watched.oracle, picture(watched.plane)) == []


@pytest.fixture
def kube_scheduler(controllers: ControlPlane) -> Iterator[None]:
    theirs = controllers.start_kube_scheduler()
    yield
    theirs.stop()


@pytest.mark.parametrize("who", ["ours", "theirs"])
def test_pods_of_two_schedulers_stay_apart_whichever_of_them_asks_for_it(
    kube_scheduler: None, watched: Watched, who: str
) -> None:
    other = {"ours": "theirs", "theirs": "ours"}
    schedulers = {"ours": "Peaks", "theirs": DEFAULT_SCHEDULER}
    for app, scheduler in schedulers.items():
        wish = {"affinity": anti_affinity({"app": other[app]})} if app == who else {}
        watched.plane.create(deployment(app, 0, scheduler=scheduler, **wish))
    for ours, theirs in ((2, 2), (4, 4), (1, 5), (6, 3)):
        watched.scale("ours", ours)
        scale(watched.plane, "Deployment", "theirs", theirs)
        hosts = set(wait_bound(watched.plane, "theirs", theirs).values())
        assert hosts.isdisjoint(watched.where["ours"].values())
        known = ours + theirs
        wait_until(lambda k=known: watched.daemon.metric("scheduler_cache_size", type="pods") == k, "all of them known")
    assert unfit(watched.oracle, picture(watched.plane)) == []


# --- woken ------------------------------------------------------------------------------------------------------------

RESIDENT = "/api/v1/namespaces/default/pods/resident"
NEAR_DB = {"affinity": pod_affinity(pod_term({"app": "db"}))}
AWAY_FROM_DB = {"affinity": anti_affinity({"app": "db"})}
LIVE = {"namespaceSelector": {"matchLabels": {"stage": "live"}}}


@dataclass(frozen=True, slots=True)
class Wait:
    """A pod that fits nowhere on a cluster of one node, and what changes that.

    Attributes:
        wants: what the pod asks for.
        labels: of the pod that is on the node already; None where there is none.
        stage: label of the namespace that this one is in.
        cure: what is done to the cluster.
    """

    wants: Mapping[str, Any]
    cure: Callable[[ControlPlane], Any]
    labels: Mapping[str, str] | None = None
    stage: str | None = None


def label(path: str, **labels: str | None) -> Callable[[ControlPlane], Any]:
    return lambda plane: plane.api.patch(path, {"metadata": {"labels": labels}})


def place_a_database(plane: ControlPlane) -> None:
    plane.create_pods([pod("db", labels={"app": "db"})])


WAITS = {
    "a node gets the label": Wait(
        {"affinity": node_affinity({"matchExpressions": [expression("disk", "In", "ssd")]})},
        label("/api/v1/nodes/worker-0", disk="ssd"),
    ),
    "a node gets the topology": Wait(
        {"topologySpreadConstraints": [spread("web", "rack")]}, label("/api/v1/nodes/worker-0", rack="r1")
    ),
    "a second zone comes": Wait(
        {"labels": {"app": "web"}, "topologySpreadConstraints": [spread("web", "zone", minDomains=2)]},
        lambda plane: plane.create_nodes([node("worker-3", labels={"zone": "b"})]),
        labels={"app": "web"},
    ),
    "the pod that it keeps away from goes": Wait(
        AWAY_FROM_DB, lambda plane: plane.api.delete(RESIDENT, {"gracePeriodSeconds": 0}), labels={"app": "db"}
    ),
    "the pod that it keeps away from is no longer that": Wait(
        AWAY_FROM_DB, label(RESIDENT, app="cache"), labels={"app": "db"}
    ),
    "the pod that it wants to be near comes": Wait(NEAR_DB, place_a_database),
    "a pod becomes one that it wants to be near": Wait(NEAR_DB, label(RESIDENT, app="db"), labels={"app": "cache"}),
    "one pod fewer of its kind": Wait(
        {"labels": {"app": "web"}, "topologySpreadConstraints": [spread("web", "zone", minDomains=2)]},
        lambda plane: plane.api.delete(RESIDENT, {"gracePeriodSeconds": 0}),
        labels={"app": "web"},
    ),
    "a namespace gets the label": Wait(
        {"affinity": pod_affinity(pod_term({"app": "db"}, **LIVE))},
        label("/api/v1/namespaces/shop", stage="live"),
        labels={"app": "db"},
        stage="test",
    ),
    "a namespace loses the label": Wait(
        {"affinity": anti_affinity({"app": "db"}, **LIVE)},
        label("/api/v1/namespaces/shop", stage=None),
        labels={"app": "db"},
        stage="live",
    ),
}


@pytest.mark.parametrize("case", WAITS.values(), ids=WAITS.keys())
def test_a_pod_waits_with_kube_schedulers_words_and_goes_as_soon_as(
    daemon: Daemon, controllers: ControlPlane, oracle: Oracle, case: Wait
) -> None:
    controllers.create_nodes([node("worker-0", labels={"zone": "a"})])
    wait_until(lambda: daemon.metric("scheduler_cache_size", type="nodes") == 1, "the node known")
    if case.labels is not None:
        where = "default" if case.stage is None else namespace(controllers, "shop", stage=case.stage)
        resident(controllers, daemon, "worker-0", namespace=where, labels=case.labels)
    controllers.create_pods([pod("web-0", **case.wants)])
    wait_until(lambda: condition(controllers.read("Pod", "web-0")).get("reason") == "Unschedulable", "told")
    theirs = oracle.judge(picture(controllers))["default/web-0"]["message"]
    assert condition(controllers.read("Pod", "web-0"))["message"] == theirs
    case.cure(controllers)
    wait_placed(controllers, "web-0", timeout=SOON)
    assert unfit(oracle, picture(controllers)) == []
