"""What the benchmarks compute from samples and from what servers wrote: by hand, and by the servers' own lines."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from benchmarks import bindings_audit, requests
from benchmarks.filling import bound_pods
from benchmarks.machine import started
from benchmarks.slopes import Slope, by_minute, slope
from benchmarks.soak import is_warm, warm_up
from benchmarks.soak_churn import record_fault
from benchmarks.workload import pod

# kube-apiserver 1.36.3, /metrics
PAGE = """\
# HELP apiserver_request_total [STABLE] Counter of apiserver requests broken out for each verb, dry run value, ...
# TYPE apiserver_request_total counter
apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="pods",scope="cluster",\
subresource="",verb="WATCH",version="v1"} 2
apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="",scope="",\
subresource="/readyz",verb="GET",version=""} 7
apiserver_request_total{code="201",component="apiserver",dry_run="",group="",resource="pods",scope="resource",\
subresource="binding",verb="POST",version="v1"} 5000
apiserver_request_total{code="409",component="apiserver",dry_run="",group="",resource="pods",scope="resource",\
subresource="binding",verb="POST",version="v1"} 3
apiserver_request_duration_seconds_count{resource="pods",verb="POST"} 9
"""


def test_a_straight_line_has_its_slope_an_hour() -> None:
    found = slope([0.5, 1.5, 2.5, 3.5, 4.5, 5.5], [10.0, 11.0, 12.0, 13.0, 14.0, 15.0])  # one a minute
    assert (found.value, found.low, found.high) == pytest.approx((60.0, 60.0, 60.0))


def test_one_wild_minute_does_not_change_the_slope() -> None:
    found = slope([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [5.0, 5.0, 5.0, 900.0, 5.0, 5.0, 5.0])
    assert found.value == 0.0
    assert found.flat(1.0)


def test_two_minutes_give_no_interval() -> None:
    with pytest.raises(ValueError, match="three minutes at least, got 2"):
        slope([0.1, 0.9, 1.1], [1.0, 2.0, 3.0])


def test_a_minute_counts_once_with_its_median() -> None:
    assert by_minute([0.1, 0.5, 0.9, 1.2], [3.0, 100.0, 4.0, 8.0]) == ([0.5, 1.2], [4.0, 8.0])


@pytest.mark.parametrize(
    ("growth", "flat"),
    [
        pytest.param(Slope(20.0, -1.0, 40.0), True, id="not shown by the interval"),
        pytest.param(Slope(2.0, 1.0, 3.0), True, id="shown, and too little"),
        pytest.param(Slope(6.0, 1.0, 9.0), False, id="shown"),
        pytest.param(Slope(-9.0, -12.0, -3.0), True, id="less"),
    ],
)
def test_flat_is_what_shows_no_growth_that_counts(growth: Slope, flat: bool) -> None:
    assert growth.flat(5.0) is flat


def test_five_minutes_warm_up_a_long_soak() -> None:
    assert (warm_up(20.0), warm_up(60.0)) == (4.0, 5.0)


def test_a_soak_is_warm_once_the_names_of_ended_pods_push_out_older_ones_or_half_of_it_is_over() -> None:
    assert not is_warm(3.9, 50_000, 20.0)
    assert not is_warm(9.9, 9_999, 20.0)
    assert is_warm(4.0, 10_000, 20.0)
    assert is_warm(10.0, 0, 20.0)


def test_requests_for_objects_count_and_health_does_not() -> None:
    found = requests.read(PAGE)
    assert found == {("WATCH", "pods"): 2, ("POST", "pods/binding"): 5003}


def binding(name: str, code: int) -> str:
    """A line of kube-apiserver 1.36.3's audit log, shortened."""
    about = {"resource": "pods", "namespace": "default", "name": name, "apiVersion": "v1", "subresource": "binding"}
    event = {"kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "stage": "ResponseComplete"}
    return json.dumps({**event, "verb": "create", "objectRef": about, "responseStatus": {"code": code}})


def test_a_pod_that_was_bound_twice_is_named() -> None:
    found = bindings_audit.read([binding("a", 201), binding("b", 201), binding("a", 409), binding("b", 201)])
    assert found.twice == ["b"]
    assert (found.times["a"], found.refused) == (1, 1)


def test_a_line_that_a_killed_server_did_not_finish_is_passed_over() -> None:
    found = bindings_audit.read([binding("a", 201) + "\n", binding("b", 201)[:40]])
    assert found.times == {"a": 1}


@pytest.mark.parametrize(
    ("record", "words"),
    [('{"node": "n1"}', ""), ('{"node": "n2"}', "is on n1, its record says n2"), ("{}", "its record says None")],
)
def test_a_record_must_name_the_node_of_its_pod(record: str, words: str) -> None:
    bound = {"metadata": {"annotations": {"peaks-scheduler/decision": record}}, "spec": {"nodeName": "n1"}}
    assert words in record_fault(bound)
    assert bool(record_fault(bound)) is bool(words)


def test_the_bound_pods_of_a_full_cluster_differ_in_name_uid_and_node() -> None:
    template = {**pod("template", 100, 128, "nobody"), "status": {}}
    made = list(bound_pods(template, 6, 3, seed=1))
    assert len({each["metadata"]["name"] for each in made}) == 6
    assert len({each["metadata"]["uid"] for each in made}) == 6
    assert [each["spec"]["nodeName"] for each in made].count("node-00000") == 2
    assert template["metadata"]["name"] == "template"


def test_this_process_was_started_before_now_and_after_the_boot() -> None:
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    ago = time.monotonic() - started(os.getpid())
    assert 0.0 < ago < uptime
