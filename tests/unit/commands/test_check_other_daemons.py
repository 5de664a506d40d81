"""``check`` finds a second daemon of the same name by Leases, by Deployments, and by events that two post in turn."""

from __future__ import annotations

from typing import Any

import pytest

from peaks_scheduler.commands.check.other_daemons import Traces, judge
from peaks_scheduler.settings.settings import LeaderElection, Settings
from tests.support.builders import NOW, Json, when

ELECTING = Settings(leader_election=LeaderElection(True, "peaks-scheduler-peaks"))
NOT_ELECTING = Settings(leader_election=LeaderElection(False, "peaks-scheduler-peaks"))


def said(settings: Settings = ELECTING, **traces: list[Json]) -> tuple[str, str]:
    (finding,) = judge(Traces(**traces), settings, "kube-system", NOW)
    return finding.status, finding.text


def lease(namespace: str, holder: str, age: float = 1.0, name: str = "peaks-scheduler-peaks") -> Json:
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": when(NOW - age)}
    return {"metadata": {"name": name, "namespace": namespace}, "spec": spec}


def deployment(*args: str, replicas: Any = 2, env: Any = None) -> Json:
    container = {"name": "scheduler", "args": ["run", *args], "env": env}
    return {
        "metadata": {"name": "peaks", "namespace": "kube-system"},
        "spec": {"replicas": replicas, "template": {"spec": {"containers": [container]}}},
    }


def event(instance: str, age: float) -> Json:
    return {"metadata": {"creationTimestamp": when(NOW - age)}, "reportingInstance": instance}


def test_without_a_trace_all_is_well() -> None:
    assert said() == ("ok", "no sign of another daemon of Peaks")


# --- Leases -----------------------------------------------------------------------------------------------------------


def test_two_leases_in_use_are_two_daemons() -> None:
    status, text = said(leases=[lease("kube-system", "a_1"), lease("default", "b_2")])
    assert status == "failed"
    assert "kube-system/peaks-scheduler-peaks by a_1, default/peaks-scheduler-peaks by b_2" in text


def test_a_lease_of_another_name_or_place_is_not_shared_with_ours() -> None:
    status, text = said(leases=[lease("default", "b_2")])
    assert (status, "competes for kube-system/peaks-scheduler-peaks" in text) == ("warning", True)


@pytest.mark.parametrize(
    "other",
    [
        lease("default", ""),
        lease("default", "gone", age=60.0),
        {"metadata": 5, "spec": 5},
        {"metadata": {"name": "x"}, "spec": {"holderIdentity": 5, "renewTime": 7, "leaseDurationSeconds": "x"}},
    ],
    ids=["free", "expired", "no lease", "odd fields"],
)
def test_a_lease_that_nobody_holds_is_nobodys(other: Json) -> None:
    assert said(leases=[lease("kube-system", "a_1"), other])[0] == "ok"


# --- Deployments ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "settings"),
    [
        (deployment("--no-leader-elect"), ELECTING),
        (deployment(env=[{"name": "PEAKS_LEADER_ELECT", "value": "false"}]), ELECTING),
        (deployment("--config", "/etc/peaks/config.yaml"), NOT_ELECTING),
        (deployment("--no-leader-elect", "--scheduler-name", "Peaks"), ELECTING),
        (deployment("--no-leader-elect", "--scheduler-name=Peaks"), ELECTING),
    ],
)
def test_two_replicas_without_leader_election_place_the_same_pods(given: Json, settings: Settings) -> None:
    status, text = said(settings, deployments=[given])
    assert (status, text.startswith("Deployment kube-system/peaks has 2 replicas without leader election")) == (
        "failed",
        True,
    )


@pytest.mark.parametrize(
    "given",
    [
        deployment(),
        deployment("--no-leader-elect", replicas=1),
        deployment("--no-leader-elect", "--scheduler-name", "Other"),
        deployment("--leader-elect", env=[{"name": "PEAKS_LEADER_ELECT", "value": "false"}]),
        deployment("--no-leader-elect", replicas="2"),
        {"metadata": {}, "spec": {"replicas": 2, "template": {"spec": {"containers": [{"args": ["explain"]}]}}}},
        {"metadata": 5, "spec": 5},
        {"spec": {"replicas": 2, "template": {"spec": {"containers": [5, {"args": 5, "env": [5]}]}}}},
    ],
)
def test_a_deployment_that_elects_or_is_alone_is_fine(given: Json) -> None:
    assert said(deployments=[given])[0] == "ok"


# --- events -----------------------------------------------------------------------------------------------------------


def test_two_processes_that_post_in_turn_both_place_pods() -> None:
    events = [event("a_1", 300.0), event("b_2", 290.0), event("a_1", 100.0), event("b_2", 90.0)]
    status, text = said(events=events)
    assert (status, text) == ("failed", "a_1 and b_2 have both placed pods for 190 s, in turn")


@pytest.mark.parametrize(
    "events",
    [
        [event("a_1", 300.0), event("a_1", 200.0), event("b_2", 195.0), event("b_2", 10.0)],
        [event("a_1", 300.0), event("a_1", 191.0), event("b_2", 195.0)],
        [event("a_1", 3000.0), event("b_2", 2900.0), event("a_1", 2000.0)],
        [{}, {"metadata": 5}, {"metadata": {"creationTimestamp": 5}, "reportingInstance": 7}],
    ],
    ids=["one after the other", "a hand-over", "long ago", "odd events"],
)
def test_one_that_took_over_from_another_is_no_rival(events: list[Json]) -> None:
    assert said(events=events)[0] == "ok"


# --- rights -----------------------------------------------------------------------------------------------------------


def test_where_nothing_may_be_read_it_says_that_it_has_not_looked() -> None:
    """No warning: so it is in the pod, with the rights of the manifests."""
    (finding,) = judge(Traces(unread=["leases", "deployments", "events"]), ELECTING, "kube-system", NOW)
    assert finding.status == "ok"
    assert finding.text.startswith("not looked for: ")
    assert "leases, deployments, events" in finding.text


def test_what_could_not_be_read_is_named() -> None:
    (finding,) = judge(Traces(unread=["events"]), ELECTING, "kube-system", NOW)
    assert (finding.status, finding.text) == ("ok", "no sign of another daemon of Peaks; events cannot be read")
