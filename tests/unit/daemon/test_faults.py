"""The whole process against an API server that misbehaves on command.

Bursts of pods meet dozens of refusals, lost answers and broken watches; afterwards each pod is bound and told once.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from peaks_scheduler.embedded.apiserver import EmbeddedApiServer
from tests.e2e.support.daemon import Daemon
from tests.e2e.support.processes import wait_until
from tests.support.builders import node, pod
from tests.support.server_thread import ServerThread

MANY = 200
BINDING = ("create", "pods/binding")

Fault = Callable[[EmbeddedApiServer], object]


@pytest.fixture
def api() -> Iterator[ServerThread]:
    with ServerThread() as thread:
        for number in range(10):
            thread(lambda server, name=f"worker-{number}": server.add_node(node(name)))
        yield thread


@pytest.fixture
def daemon(api: ServerThread, tmp_path: Path) -> Iterator[Daemon]:
    kubeconfig = api(lambda server: server.write_kubeconfig(tmp_path / "kubeconfig"))
    with Daemon(tmp_path, kubeconfig) as running:
        running.wait_leading()
        yield running


def burst(api: ServerThread, prefix: str = "web", count: int = MANY) -> None:
    def add(server: EmbeddedApiServer) -> None:
        for number in range(count):
            server.add_pod(pod(f"{prefix}-{number}", cpu="100m"))

    api(add)


def unbound(api: ServerThread) -> list[str]:
    pods = api(lambda server: server.objects("pods"))
    return [each["metadata"]["name"] for each in pods if "nodeName" not in each["spec"]]


def assert_sound(api: ServerThread, daemon: Daemon, pid: int) -> None:
    wait_until(lambda: not unbound(api), "every pod bound", timeout=60)
    pods = {each["metadata"]["name"]: each for each in api(lambda server: server.objects("pods"))}

    def told() -> Counter[str]:
        events = api(lambda server: server.objects("events"))
        return Counter(event["regarding"]["name"] for event in events if event["reason"] == "Scheduled")

    wait_until(lambda: told().keys() == pods.keys(), "a Scheduled event for every pod", timeout=60)
    assert set(told().values()) == {1}
    records = {name: each["metadata"]["annotations"]["peaks-scheduler/decision"] for name, each in pods.items()}
    assert [name for name, each in pods.items() if json.loads(records[name])["node"] != each["spec"]["nodeName"]] == []
    assert max(Counter(each["spec"]["nodeName"] for each in pods.values()).values()) <= 80  # 8 cores of 100m
    wait_until(lambda: daemon.metric("scheduler_cache_size", type="assumed_pods") == 0, "no assumption left behind")
    assert (daemon.alive, daemon.pid) == (True, pid)
    assert [line for line in daemon.lines() if "exception" in line] == []


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(lambda s: s.fail_next(50, 429, {"Retry-After": "1"}, "binding"), id="429 with Retry-After"),
        pytest.param(lambda s: s.fail_next(50, 429, {"Retry-After": "1e300"}, "binding"), id="429 for ever"),
        pytest.param(lambda s: s.fail_next(50, 429, {"Retry-After": "nan"}, "events"), id="429 for events, no number"),
        pytest.param(
            lambda s: (s.fail_next(3, 429, {"Retry-After": "1e300"}, "nodes"), s.compact(), s.drop_watches()),
            id="429 for ever for lists",
        ),
        pytest.param(lambda s: s.fail_next(100, 500, match="binding"), id="500"),
        pytest.param(lambda s: s.fail_next(100, 503, match="binding"), id="503"),
        pytest.param(lambda s: s.fail_next(50, 409, match="binding"), id="409 for pods that are free"),
        pytest.param(lambda s: s.fail_next(50, 403, match="binding"), id="403 for a moment"),
        pytest.param(lambda s: s.drop_next(50, "binding", after_applying=True), id="answers lost"),
        pytest.param(lambda s: s.drop_next(50, "binding"), id="requests lost"),
        pytest.param(lambda s: s.fail_next(50, 429, {"Retry-After": "1"}, "events"), id="429 for events"),
        pytest.param(lambda s: s.drop_next(50, "events", after_applying=True), id="answers to events lost"),
        pytest.param(EmbeddedApiServer.drop_watches, id="watches broken"),
        pytest.param(lambda s: (s.compact(), s.drop_watches()), id="watches expired"),
    ],
)
def test_a_burst_through_a_storm_ends_well(api: ServerThread, daemon: Daemon, fault: Fault) -> None:
    pid = daemon.pid
    burst(api)
    api(fault)
    burst(api, "more")
    assert_sound(api, daemon, pid)


def test_many_429s_shrink_the_number_of_binds_in_flight_and_it_recovers(api: ServerThread, daemon: Daemon) -> None:
    pid, most = daemon.pid, daemon.metric("peaks_binds_in_flight_limit")
    # more than may be in flight at once: those of one burst halve their number once
    api(lambda server: server.fail_next(120, 429, {"Retry-After": "1"}, "binding"))
    burst(api)
    wait_until(lambda: daemon.metric("peaks_binds_in_flight_limit") < most / 2, "fewer binds in flight")
    assert_sound(api, daemon, pid)
    low = daemon.metric("peaks_binds_in_flight_limit")
    burst(api, "more")
    assert_sound(api, daemon, pid)
    assert low < daemon.metric("peaks_binds_in_flight_limit") <= most


def test_nothing_is_sent_until_retry_after_has_passed(api: ServerThread, daemon: Daemon) -> None:
    api(lambda server: server.fail_next(1, 429, {"Retry-After": "3600"}, "binding"))
    api(lambda server: server.add_pod(pod("first")))
    wait_until(lambda: api(lambda server: server.requests[BINDING]) == 1, "the refusal")
    burst(api, count=20)
    wait_until(lambda: daemon.metric("scheduler_cache_size", type="assumed_pods") == 21, "all of them decided")
    assert api(lambda server: server.requests[BINDING]) == 1
    assert daemon.stop() == 0  # and an hour's pause keeps nobody from ending
