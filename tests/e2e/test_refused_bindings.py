"""Bindings that the API server refuses: a pod's owner sees what kube-scheduler would have shown, and when the cause is
gone the pod runs.

The right words are kube-scheduler's own: it runs beside ours on pods of its own, under the same policy or webhook.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.e2e.support.api import ApiError, Object
from tests.e2e.support.controlplane import ControlPlane
from tests.e2e.support.daemon import USER, Daemon, beside, clear
from tests.e2e.support.processes import free_port, wait_until
from tests.e2e.support.rights import wait_allowed
from tests.e2e.support.workload import condition, events_of, nodes, pod, wait_placed

ADMISSION = "/apis/admissionregistration.k8s.io/v1"
POLICIES, POLICY_BINDINGS = f"{ADMISSION}/validatingadmissionpolicies", f"{ADMISSION}/validatingadmissionpolicybindings"
WEBHOOKS = f"{ADMISSION}/validatingwebhookconfigurations"
MESSAGE = "pods named denied may not run: ask the platform team"
OURS, THEIRS = "denied-ours", "denied-theirs"


@pytest.fixture
def daemon(control_plane: ControlPlane) -> Iterator[Daemon]:
    clear(control_plane)
    control_plane.create_nodes(nodes(2))
    with beside(control_plane) as running:
        running.wait_leading()
        yield running


@pytest.fixture
def kube_scheduler(control_plane: ControlPlane) -> Iterator[None]:
    theirs = control_plane.start_kube_scheduler()
    yield
    theirs.stop()


def rule(resource: str, group: str = "", verb: str = "CREATE") -> Object:
    return {"apiGroups": [group], "apiVersions": ["*"], "operations": [verb], "resources": [resource]}


@contextmanager
def policy(plane: ControlPlane, where: Object, expression: str, **validation: str) -> Iterator[None]:
    """A ValidatingAdmissionPolicy for as long as the block runs."""
    name = f"no-{where['resources'][0].replace('/', '-')}"
    validations = [{"expression": expression, "message": MESSAGE, **validation}]
    spec = {"failurePolicy": "Fail", "matchConstraints": {"resourceRules": [where]}, "validations": validations}
    plane.api.post(POLICIES, {"metadata": {"name": name}, "spec": spec})
    binding = {"policyName": name, "validationActions": ["Deny"]}
    plane.api.post(POLICY_BINDINGS, {"metadata": {"name": name}, "spec": binding})
    try:
        yield
    finally:
        plane.api.delete(f"{POLICY_BINDINGS}/{name}")
        plane.api.delete(f"{POLICIES}/{name}")


@contextmanager
def webhook_that_is_down(plane: ControlPlane) -> Iterator[None]:
    """A webhook for Bindings of pods with a label, failurePolicy Fail, that nobody serves."""
    hook = {
        "name": "bind.example.com",
        "clientConfig": {"url": f"https://127.0.0.1:{free_port()}/"},
        "rules": [rule("pods/binding")],
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "matchConditions": [{"name": "denied", "expression": "object.metadata.name.startsWith('denied')"}],
    }
    plane.api.post(WEBHOOKS, {"metadata": {"name": "down"}, "webhooks": [hook]})
    try:
        yield
    finally:
        plane.api.delete(f"{WEBHOOKS}/down")


def wait_in_force(plane: ControlPlane) -> None:
    """Until Bindings of pods named denied are refused: the API server reads its policies a moment later."""
    plane.create_pods([pod("denied-probe", scheduler="nobody")])
    path = "/api/v1/namespaces/default/pods/denied-probe/binding?dryRun=All"
    binding = {"metadata": {"name": "denied-probe"}, "target": {"kind": "Node", "name": "worker-0"}}

    def refused() -> bool:
        try:
            plane.api.post(path, binding)
        except ApiError:
            return True
        return False

    wait_until(refused, "Bindings refused")


def shown(plane: ControlPlane, name: str) -> Object:
    """What an owner sees of a pod that failed: event and condition, without what is the pod's own."""
    path = f"/api/v1/namespaces/default/pods/{name}"
    event = wait_until(lambda: events_of(plane, name, "FailedScheduling"), f"an event about {name}")[0]
    told = wait_until(lambda: condition(plane.api.get(path)), f"a condition of {name}")
    whole: dict[str, Any] = {
        "event": {key: event[key] for key in ("type", "reason", "action", "note")},
        "condition": {key: told.get(key) for key in ("status", "reason", "message")},
    }
    for part in whole.values():
        for key, value in part.items():
            part[key] = value.replace(name, "POD")
    return whole


def both(plane: ControlPlane) -> None:
    plane.create_pods([pod(OURS, cpu="100m"), pod(THEIRS, cpu="100m", scheduler="default-scheduler")])


def assert_told_alike(plane: ControlPlane, words: str) -> None:
    ours = shown(plane, OURS)
    assert ours == shown(plane, THEIRS)
    assert words in ours["event"]["note"]
    assert ours["condition"] == {"status": "False", "reason": "SchedulerError", "message": ours["event"]["note"]}
    assert words in plane.kubectl("describe", "pod", OURS)


def test_what_a_policy_refuses_is_told_as_kube_scheduler_does_and_runs_when_it_may(
    daemon: Daemon, kube_scheduler: None, control_plane: ControlPlane
) -> None:
    with policy(control_plane, rule("pods/binding"), "!object.metadata.name.startsWith('denied')"):
        wait_in_force(control_plane)
        both(control_plane)
        assert_told_alike(control_plane, MESSAGE)
        # twenty more of them hold up nobody
        control_plane.create_pods([pod(f"denied-{number}", cpu="10m") for number in range(20)])
        control_plane.create_pods([pod("allowed", cpu="100m")])
        wait_placed(control_plane, "allowed")
        wait_until(lambda: daemon.metric("peaks_binding_conflicts_total", reason="refused") >= 60, "three tries each")
        assert len(events_of(control_plane, OURS, "FailedScheduling")) == 1
        daemon.wait_for("not placed", pod=f"default/{OURS}")
        assert len(daemon.lines("not placed", pod=f"default/{OURS}")) == 1
    wait_placed(control_plane, OURS)
    assert condition(control_plane.read("Pod", OURS))["status"] == "True"
    wait_until(lambda: events_of(control_plane, OURS, "Scheduled"), "the event")
    assert len(events_of(control_plane, OURS, "Scheduled")) == 1


def test_a_webhook_that_is_down_is_told_as_kube_scheduler_does_and_holds_up_nobody(
    daemon: Daemon, kube_scheduler: None, control_plane: ControlPlane
) -> None:
    with webhook_that_is_down(control_plane):
        wait_in_force(control_plane)
        both(control_plane)
        assert_told_alike(control_plane, 'failed calling webhook "bind.example.com"')
        # more than there are workers: none may hold one until it is patient no more
        control_plane.create_pods([pod(f"denied-{number}", cpu="10m") for number in range(100)])
        wait_until(lambda: daemon.metric("peaks_binding_conflicts_total", reason="refused") > 100, "all of them tried")
        control_plane.create_pods([pod("allowed", cpu="100m")])
        wait_placed(control_plane, "allowed")
    wait_placed(control_plane, OURS)
    assert daemon.metric("peaks_binding_conflicts_total", reason="unavailable") == 0


@pytest.mark.parametrize("reason", ["Forbidden", "Invalid", "RequestEntityTooLarge"])
def test_whatever_status_a_policy_chooses_it_is_told(daemon: Daemon, control_plane: ControlPlane, reason: str) -> None:
    with policy(control_plane, rule("pods/binding"), "!object.metadata.name.startsWith('denied')", reason=reason):
        wait_in_force(control_plane)
        control_plane.create_pods([pod(OURS)])
        assert MESSAGE in shown(control_plane, OURS)["condition"]["message"]
    wait_placed(control_plane, OURS)


def test_where_events_are_refused_the_condition_tells(daemon: Daemon, control_plane: ControlPlane) -> None:
    about = "!has(object.regarding) || !object.regarding.name.startsWith('denied')"
    events = policy(control_plane, rule("events", "events.k8s.io"), about)
    with events, policy(control_plane, rule("pods/binding"), "!object.metadata.name.startsWith('denied')"):
        wait_in_force(control_plane)
        control_plane.create_pods([pod(OURS)])
        path = f"/api/v1/namespaces/default/pods/{OURS}"
        told = wait_until(lambda: condition(control_plane.api.get(path)), "a condition")
        assert MESSAGE in told["message"]
        wait_until(lambda: daemon.metric("peaks_events_dropped_total") >= 1, "the event refused")
    wait_placed(control_plane, OURS)


def test_where_status_may_not_be_written_one_event_tells(daemon: Daemon, control_plane: ControlPlane) -> None:
    status = policy(control_plane, rule("pods/status", verb="UPDATE"), "!object.metadata.name.startsWith('denied')")
    with status, policy(control_plane, rule("pods/binding"), "!object.metadata.name.startsWith('denied')"):
        wait_in_force(control_plane)
        control_plane.create_pods([pod(OURS)])
        wait_until(lambda: daemon.metric("peaks_binding_conflicts_total", reason="refused") >= 4, "four tries")
        wait_until(lambda: events_of(control_plane, OURS, "FailedScheduling"), "the event")
        daemon.wait_for("condition not written", pod=f"default/{OURS}")
        (event,) = events_of(control_plane, OURS, "FailedScheduling")
        assert MESSAGE in event["note"]
        assert len(daemon.lines("condition not written", pod=f"default/{OURS}")) == 1
    wait_placed(control_plane, OURS)


def test_a_namespace_that_ends_takes_no_event_and_its_pods_have_the_condition(
    daemon: Daemon, control_plane: ControlPlane
) -> None:
    control_plane.api.post("/api/v1/namespaces", {"metadata": {"name": "ending"}})
    waits = pod("held", namespace="ending", schedulingGates=[{"name": "test/gate"}])
    control_plane.create_pods([waits])
    path = "/api/v1/namespaces/ending/pods/held"
    control_plane.api.delete("/api/v1/namespaces/ending")  # nobody finishes it here
    try:
        control_plane.api.patch(path, {"spec": {"schedulingGates": None}})
        told = wait_until(
            lambda: (found := condition(control_plane.api.get(path))).get("reason") == "SchedulerError" and found,
            "a condition",
        )
        assert "being terminated" in told["message"]
    finally:
        control_plane.api.delete(path, {"gracePeriodSeconds": 0})
        ending = control_plane.api.get("/api/v1/namespaces/ending")
        ending["spec"]["finalizers"] = []
        control_plane.api.put("/api/v1/namespaces/ending/finalize", ending)


def test_a_right_that_is_missing_is_told_with_its_name(daemon: Daemon, control_plane: ControlPlane) -> None:
    path = "/apis/rbac.authorization.k8s.io/v1/clusterroles/peaks-scheduler"
    role = control_plane.api.get(path)
    kept = [each for each in role["rules"] if "pods/binding" not in each["resources"]]
    assert len(kept) < len(role["rules"])
    control_plane.api.patch(path, {"rules": kept})
    try:
        wait_allowed(control_plane.api, USER, "create", "pods/binding", allowed=False)
        control_plane.create_pods([pod(OURS)])
        assert 'cannot create resource "pods/binding"' in shown(control_plane, OURS)["event"]["note"]
    finally:
        control_plane.api.patch(path, {"rules": role["rules"]})
    wait_placed(control_plane, OURS)
