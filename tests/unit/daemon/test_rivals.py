"""A second daemon of our name is noticed by the pods that it binds: counted, shown on /readyz, logged once a minute."""

from __future__ import annotations

import logging

import pytest

from peaks_scheduler.daemon.keepers.rivals import Rivals
from peaks_scheduler.objects.annotations import DECISION
from peaks_scheduler.objects.pod import Pod, pod_from_api
from peaks_scheduler.observability.telemetry import Telemetry
from tests.support.builders import NOW, pod, when


class World:
    """Rivals of Peaks, with clocks that stand still until told otherwise."""

    def __init__(self) -> None:
        self.now = NOW
        self.telemetry = Telemetry("Peaks")
        self.deciding = True
        self.rivals = Rivals("Peaks", self.telemetry, lambda: self.deciding, lambda: self.now, lambda: self.now)

    def counted(self, by: str) -> float:
        return self.telemetry.registry.get_sample_value("peaks_rival_bindings_total", {"by": by}) or 0.0


@pytest.fixture
def world() -> World:
    made = World()
    made.rivals.look()
    made.now += 60.0
    return made


def by_a_daemon(world: World, name: str = "web-0") -> Pod:
    """A pod that another daemon of ours has bound just now."""
    raw = pod(name, node="worker-1")
    raw["metadata"]["annotations"] = {DECISION: "{}"}
    bound = {"type": "PodScheduled", "status": "True", "lastTransitionTime": when(world.now)}
    raw["status"]["conditions"] = [bound]
    return pod_from_api(raw, 100)


def by_hand(name: str = "web-0", **more: str) -> Pod:
    return pod_from_api(pod(name, node="worker-1", **more), 100)


def test_a_pod_with_another_daemons_decision_tells_of_it(world: World) -> None:
    assert world.rivals.health().level == "ok"
    world.rivals.bound_by_another(by_a_daemon(world))
    health = world.rivals.health()
    assert health.level == "degraded"
    assert "another daemon of schedulerName Peaks has bound 1 of our pods" in health.text
    assert "default/web-0 on worker-1" in health.text
    assert "run one replica" in health.text
    assert (world.counted("decision"), world.counted("unknown")) == (1.0, 0.0)


def test_a_person_may_bind_a_pod_or_two(world: World) -> None:
    for number in range(2):
        world.rivals.bound_by_another(by_hand(f"web-{number}"))
    assert world.rivals.health().level == "ok"
    world.rivals.bound_by_another(by_hand("web-2"))
    assert "somebody else has bound 3 of our pods" in world.rivals.health().text
    assert world.counted("unknown") == 3.0


def test_pods_of_another_scheduler_are_its_own_affair(world: World) -> None:
    for number in range(5):
        world.rivals.bound_by_another(by_hand(f"web-{number}", scheduler="default-scheduler"))
    assert world.rivals.health().level == "ok"


def test_what_a_predecessor_bound_last_is_no_rivals(world: World) -> None:
    late = by_a_daemon(world)
    world.deciding = False
    world.rivals.look()
    world.now += 1.0
    world.deciding = True
    world.rivals.look()
    world.now += 2.0
    world.rivals.bound_by_another(late)
    world.rivals.bound_by_another(by_a_daemon(world, "web-1"))  # its Binding was on its way
    assert world.rivals.health().level == "ok"


def test_a_standby_sees_its_leader_bind(world: World) -> None:
    world.deciding = False
    world.rivals.look()
    world.rivals.bound_by_another(by_a_daemon(world))
    assert world.rivals.health().level == "ok"


def test_it_is_forgotten_when_nothing_more_comes(world: World) -> None:
    world.rivals.bound_by_another(by_a_daemon(world))
    world.now += 599.0
    assert world.rivals.health().level == "degraded"
    world.now += 2.0
    assert world.rivals.health().level == "ok"


def test_the_log_says_it_once_a_minute(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    for number in range(90):
        world.rivals.bound_by_another(by_a_daemon(world, f"web-{number}"))
        world.now += 1.0
    assert caplog.messages == ["another scheduler of our name"] * 2
