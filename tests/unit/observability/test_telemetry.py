"""The series of a scrape after some events, under the names that dashboards use."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Awaitable, Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from peaks_scheduler.observability.sample import NodeMetrics, Sample
from peaks_scheduler.observability.telemetry import CPU_SOURCES, Telemetry

SLI = "scheduler_pod_scheduling_sli_duration_seconds"

# the names of the contract and their labels
EXPORTED = {
    "scheduler_schedule_attempts_total": {"result", "profile"},
    "scheduler_scheduling_attempt_duration_seconds_count": {"result", "profile"},
    "scheduler_scheduling_algorithm_duration_seconds_count": set(),
    "scheduler_pod_scheduling_sli_duration_seconds_count": {"attempts"},
    "scheduler_pod_scheduling_attempts_count": set(),
    "scheduler_pending_pods": {"queue"},
    "scheduler_queue_incoming_pods_total": {"queue", "event"},
    "scheduler_unschedulable_pods": {"plugin", "profile"},
    "scheduler_cache_size": {"type"},
    "peaks_decided_jump_watts_total": set(),
    "peaks_predicted_rise_watts_total": set(),
    "peaks_decided_pods_total": {"cpu_from"},
    "peaks_pod_usage_groups": {"state"},
    "peaks_load_age_seconds": set(),
    "peaks_load_source_up": set(),
    "peaks_load_unmatched_keys": set(),
    "peaks_load_problems": set(),
    "peaks_nodes": {"standing"},
    "peaks_power_model_valid": set(),
    "peaks_binding_conflicts_total": {"reason"},
    "peaks_overbooked_total": set(),
    "peaks_leader": set(),
    "peaks_source_errors_total": {"source"},
    "peaks_clock_offset_seconds": {"peer"},
    "peaks_binds_in_flight": set(),
    "peaks_binds_in_flight_limit": set(),
    "peaks_events_dropped_total": set(),
    "peaks_watch_requests_total": {"resource", "kind"},
    "peaks_watch_restarts_total": {"resource", "reason"},
    "peaks_audit_repairs_total": {"resource", "kind"},
    "peaks_oldest_unseen_pod_seconds": set(),
    "peaks_unread_kinds": {"kind"},
    "peaks_common_unknown_pod_fields": {"field"},
    "peaks_pods_awaiting_volumes": set(),
    "peaks_log_lines_dropped_total": {"reason"},
    "peaks_build_info": {"version", "python"},
}


def repr_short(value: str) -> str:
    return ascii(value)[:12]


BUSY = Sample(
    queues={"active": 3, "backoff": 1, "unschedulable": 2, "gated": 0},
    incoming={("active", "NodeAdd"): 4},
    unschedulable={"NodeResourcesFit": 2},
    cache={"nodes": 5, "pods": 9, "assumed_pods": 1},
    standings={"measured": 4, "unmodelled": 1},
    load_age=12.5,
    load_source_up=True,
    load_unmatched_keys=1,
    load_problems=1,
    pod_usage_groups={"known": 3, "learning": 1},
    power_model_valid=True,
    clock_offsets={"api-server": -0.25},
    leader=True,
    binds_in_flight=7,
    binds_in_flight_limit=32,
    oldest_unseen_pod=1.5,
    unread_kinds={"csinodes": True, "namespaces": False},
    common_unknown_fields={"spec.newField": 0.75},
    pods_awaiting_volumes=3,
    log_lines_dropped={"unread": 12, "repeated": 0},
)


def always(sample: Sample) -> Callable[[], Awaitable[Sample]]:
    return lambda: asyncio.sleep(0, sample)


async def scrape(telemetry: Telemetry) -> dict[tuple[str, ...], float]:
    """(name, label=value, ...) -> value."""
    text, _ = await telemetry.render()
    return {
        (sample.name, *(f"{label}={value}" for label, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def everything_happened(telemetry: Telemetry) -> None:
    telemetry.decided(0.0002)
    telemetry.bound(4.0, 0.02, 0.5, 1)
    telemetry.predicted(3.0, "siblings")
    telemetry.unschedulable(0.001)
    telemetry.failed(0.001)
    telemetry.conflicted("assigned")
    telemetry.overbooked()
    telemetry.source_failed("load-watcher")
    telemetry.event_dropped(2)
    telemetry.watch_requested("pods", "list")
    telemetry.watch_restarted("pods", "gone")
    telemetry.audit_repaired("pods", "vanished", 3)


async def test_every_promised_series_is_exported_with_its_labels() -> None:
    telemetry = Telemetry("Peaks", always(BUSY))
    everything_happened(telemetry)
    labels = {name: {label.partition("=")[0] for label in rest} for name, *rest in await scrape(telemetry)}
    assert {name: labels.get(name) for name in EXPORTED} == EXPORTED


async def test_every_series_says_in_a_sentence_what_it_is() -> None:
    text, _ = await Telemetry("Peaks", node_metrics=True).render()
    helps = {family.name: family.documentation for family in text_string_to_metric_families(text.decode())}
    ours = {name: said for name, said in helps.items() if name.startswith(("peaks_", "scheduler_"))}
    assert [name for name, said in ours.items() if not said.endswith(".") or " " not in said] == []


async def test_counters_start_at_zero_where_their_labels_are_known() -> None:
    seen = await scrape(Telemetry("Peaks"))
    for result in ("scheduled", "unschedulable", "error"):
        assert seen["scheduler_schedule_attempts_total", "profile=Peaks", f"result={result}"] == 0


async def test_placed_pods_are_counted_by_what_their_cpu_was_known_from() -> None:
    telemetry = Telemetry("Peaks")
    for cpu_from in ("request", "siblings", "siblings"):
        telemetry.predicted(1.5, cpu_from)
    seen = await scrape(telemetry)
    counts = {source: seen["peaks_decided_pods_total", f"cpu_from={source}"] for source in CPU_SOURCES}
    assert counts == {"request": 1, "limit": 0, "default": 0, "siblings": 2}
    assert seen["peaks_predicted_rise_watts_total",] == 4.5


async def test_a_placed_pod_is_counted_with_its_watts_and_its_times() -> None:
    telemetry = Telemetry("Peaks")
    telemetry.decided(0.0001)
    telemetry.bound(4.25, 0.02, 3.5, 2)
    telemetry.bound(0.75, 0.04, 0.5, 2)
    seen = await scrape(telemetry)
    assert seen["scheduler_schedule_attempts_total", "profile=Peaks", "result=scheduled"] == 2
    assert seen["peaks_decided_jump_watts_total",] == 5.0
    assert seen["scheduler_pod_scheduling_sli_duration_seconds_sum", "attempts=2"] == 4.0
    assert seen["scheduler_pod_scheduling_attempts_sum",] == 4


@pytest.mark.parametrize(
    "watts",
    [
        pytest.param(None, id="no power model"),
        pytest.param(math.inf, id="infinite"),
        pytest.param(math.nan, id="not a number"),
    ],
)
async def test_a_jump_that_is_not_known_adds_no_watts(watts: float | None) -> None:
    telemetry = Telemetry("Peaks")
    telemetry.bound(watts, 0.02, 0.02, 1)
    telemetry.predicted(watts, "request")
    seen = await scrape(telemetry)
    assert seen["peaks_decided_jump_watts_total",] == 0
    assert seen["peaks_predicted_rise_watts_total",] == 0
    assert seen["scheduler_schedule_attempts_total", "profile=Peaks", "result=scheduled"] == 1


# kube-scheduler's getAttemptsLabel
@pytest.mark.parametrize(("attempts", "label"), [(1, "1"), (14, "14"), (15, "15+"), (400, "15+")])
async def test_many_attempts_share_one_label(attempts: int, label: str) -> None:
    telemetry = Telemetry("Peaks")
    telemetry.bound(1.0, 0.1, 0.1, attempts)
    assert (await scrape(telemetry))[f"{SLI}_count", f"attempts={label}"] == 1


# ExponentialBuckets(start, factor, count) in pkg/scheduler/metrics/metrics.go, 1.36.3: first and last finite bound
@pytest.mark.parametrize(
    ("name", "first", "last", "count"),
    [
        ("scheduler_scheduling_attempt_duration_seconds", "0.001", "16.384", 15),
        (SLI, "0.01", "5242.88", 20),
        ("scheduler_pod_scheduling_attempts", "1.0", "16.0", 5),
    ],
)
async def test_histograms_have_kube_schedulers_buckets(name: str, first: str, last: str, count: int) -> None:
    telemetry = Telemetry("Peaks")
    telemetry.bound(1.0, 0.1, 0.1, 1)
    bounds = sorted(
        {
            float(part[3:])
            for key in await scrape(telemetry)
            if key[0] == f"{name}_bucket"
            for part in key
            if part.startswith("le=")
        }
    )
    assert (bounds[0], bounds[-2], bounds[-1], len(bounds)) == (float(first), float(last), math.inf, count + 1)


async def test_the_state_is_sampled_anew_for_every_scrape() -> None:
    samples = iter([BUSY, Sample(queues={"active": 0})])
    telemetry = Telemetry("Peaks", lambda: asyncio.sleep(0, next(samples)))
    first, second = await scrape(telemetry), await scrape(telemetry)
    assert first["scheduler_pending_pods", "queue=active"] == 3
    assert second["scheduler_pending_pods", "queue=active"] == 0
    assert ("scheduler_pending_pods", "queue=backoff") not in second


async def test_load_never_received_is_older_than_any_limit() -> None:
    assert (await scrape(Telemetry("Peaks")))["peaks_load_age_seconds",] == math.inf


async def test_series_per_node_exist_only_when_asked_for_and_unknown_values_are_left_out() -> None:
    sample = Sample(nodes=NodeMetrics(("a", "b"), (0.25, 0.5), (4.2, math.nan)))
    plain = await scrape(Telemetry("Peaks", always(sample)))
    assert not any("node=" in part for key in plain for part in key)
    seen = await scrape(Telemetry("Peaks", always(sample), node_metrics=True))
    assert {key: value for key, value in seen.items() if key[0].startswith("peaks_node_")} == {
        ("peaks_node_predicted_cpu_ratio", "node=a"): 0.25,
        ("peaks_node_predicted_cpu_ratio", "node=b"): 0.5,
        ("peaks_node_jump_watts", "node=a"): 4.2,
    }


async def test_the_state_is_sampled_on_the_event_loop_and_rendered_off_it() -> None:
    threads: list[threading.Thread] = []

    class Names(tuple[str, ...]):
        def __iter__(self):  # type: ignore[no-untyped-def]
            threads.append(threading.current_thread())
            return super().__iter__()

    async def sample() -> Sample:
        assert asyncio.get_running_loop()
        return Sample(nodes=NodeMetrics(Names("a"), (0.0,), (0.0,)))

    await Telemetry("Peaks", sample, node_metrics=True).render()
    assert threads
    assert threading.main_thread() not in threads


@pytest.mark.parametrize(
    ("accept", "content_type", "last_line"),
    [
        pytest.param("", "text/plain; version=0.0.4", None, id="nothing asked"),
        pytest.param("application/openmetrics-text; version=1.0.0", "application/openmetrics-text", "# EOF", id="open"),
        pytest.param("application/openmetrics-text; version=abc", "text/plain; version=0.0.4", None, id="nonsense"),
        pytest.param("text/html", "text/plain; version=0.0.4", None, id="a browser"),
    ],
)
async def test_the_scraper_gets_the_form_it_asks_for(accept: str, content_type: str, last_line: str | None) -> None:
    text, said = await Telemetry("Peaks").render(accept)
    assert said.startswith(content_type)
    assert text.decode().endswith("# EOF\n") == (last_line is not None)


async def test_no_series_is_spent_on_when_a_counter_was_created() -> None:
    telemetry = Telemetry("Peaks")
    everything_happened(telemetry)
    assert [name for name, *_ in await scrape(telemetry) if name.endswith("_created")] == []


async def test_two_schedulers_in_one_process_count_apart() -> None:
    one, other = Telemetry("Peaks"), Telemetry("Peaks")
    one.overbooked()
    assert (await scrape(one))["peaks_overbooked_total",] == 1
    assert (await scrape(other))["peaks_overbooked_total",] == 0


@pytest.mark.parametrize(
    ("happen", "key"),
    [
        (lambda t: t.conflicted("uid"), ("peaks_binding_conflicts_total", "reason=uid")),
        (lambda t: t.source_failed("load-watcher"), ("peaks_source_errors_total", "source=load-watcher")),
        (lambda t: t.event_dropped(), ("peaks_events_dropped_total",)),
        (lambda t: t.watch_requested("nodes", "watch"), ("peaks_watch_requests_total", "kind=watch", "resource=nodes")),
        (lambda t: t.watch_restarted("pods", "gone"), ("peaks_watch_restarts_total", "reason=gone", "resource=pods")),
        (lambda t: t.audit_repaired("pods", "missing"), ("peaks_audit_repairs_total", "kind=missing", "resource=pods")),
        (lambda t: t.overbooked(), ("peaks_overbooked_total",)),
        (lambda t: t.failed(0.1), ("scheduler_schedule_attempts_total", "profile=Peaks", "result=error")),
        (lambda t: t.decided(0.1), ("scheduler_scheduling_algorithm_duration_seconds_count",)),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
async def test_what_happened_is_counted(happen: Callable[[Telemetry], None], key: tuple[str, ...]) -> None:
    telemetry = Telemetry("Peaks")
    happen(telemetry)
    happen(telemetry)
    assert (await scrape(telemetry))[key] == 2


# --- what others write ------------------------------------------------------------------------------------------------


async def test_a_label_grows_no_series_without_bound_whatever_it_is_told() -> None:
    telemetry = Telemetry("Peaks")
    for i in range(1_000):
        telemetry.conflicted(f"reason {i}")
        telemetry.source_failed(f"source {i}")
        telemetry.watch_requested(f"kind {i}", "list")
        telemetry.audit_repaired(f"kind {i}", "missing")
    seen = await scrape(telemetry)
    assert len(seen) < 1_000
    conflicts = {key: value for key, value in seen.items() if key[0] == "peaks_binding_conflicts_total"}
    assert sum(conflicts.values()) == 1_000  # none is lost
    assert conflicts["peaks_binding_conflicts_total", "reason=other"] == 1_000 - 64


async def test_a_state_with_a_thousand_values_is_a_few_series() -> None:
    fields = {f"spec.field{i}": 0.6 for i in range(1_000)}
    seen = await scrape(Telemetry("Peaks", always(Sample(common_unknown_fields=fields))))
    assert sum(key[0] == "peaks_common_unknown_pod_fields" for key in seen) == 64


@pytest.mark.parametrize("name", ["\ud800", "a\nb", "\u202egnp", "\x1b[2J", "x" * 1_000_000], ids=repr_short)
async def test_no_value_of_a_label_spoils_the_scrape(name: str) -> None:
    nodes = NodeMetrics((name[:253],), (0.5,), (1.0,))
    sample = Sample(common_unknown_fields={name: 0.6}, nodes=nodes)
    telemetry = Telemetry("Peaks", always(sample), node_metrics=True)
    telemetry.conflicted(name)
    text, _ = await telemetry.render()
    assert len(text) < 50_000
    assert all(line.isprintable() for line in text.decode().split("\n"))
    assert text.count(b"peaks_common_unknown_pod_fields{") == 1
