"""Events about pods: their bodies, as kube-scheduler writes them, and a queue that survives outages."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from peaks_scheduler.errors import Ambiguous, Conflict, Forbidden, KubeError, NotFound, TooManyRequests, Unavailable
from peaks_scheduler.kube.events import FORBIDDEN_FOR, TOO_OLD, Event, EventPoster, Reporter, cut
from tests.support.virtual_time import now, run_virtually

REPORTER = Reporter("Peaks", "Peaks-host-1")
DNS_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def scheduled(uid: str = "uid-1", name: str = "web-0") -> Event:
    return REPORTER.scheduled("default", name, uid, "node-1", 1_800_000_000.0)


def failed(message: str = "0/3 nodes are available: 3 Insufficient cpu.", at: float = 1_800_000_000.0) -> Event:
    return REPORTER.failed_scheduling("default", "web-0", "uid-1", message, at)


def body(event: Event) -> Any:
    return json.loads(event.body)


def test_a_scheduled_event_reads_as_kube_schedulers() -> None:
    # the values of kube-scheduler 1.36, schedule_one.go and client-go tools/events/event_recorder.go
    written = body(scheduled())
    assert DNS_SUBDOMAIN.fullmatch(written.pop("metadata")["name"])
    assert written == {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "eventTime": "2027-01-15T08:00:00.000000Z",
        "reportingController": "Peaks",
        "reportingInstance": "Peaks-host-1",
        "action": "Binding",
        "reason": "Scheduled",
        "regarding": {"kind": "Pod", "namespace": "default", "name": "web-0", "uid": "uid-1", "apiVersion": "v1"},
        "note": "Successfully assigned default/web-0 to node-1",
        "type": "Normal",
    }


def test_a_failed_scheduling_event_reads_as_kube_schedulers() -> None:
    written = body(failed())
    assert (written["type"], written["reason"], written["action"]) == ("Warning", "FailedScheduling", "Scheduling")
    assert written["note"] == "0/3 nodes are available: 3 Insufficient cpu."


def test_a_pod_has_one_scheduled_event_name_and_another_pod_of_that_name_another() -> None:
    names = [body(scheduled(uid))["metadata"]["name"] for uid in ("uid-1", "uid-1", "uid-2")]
    assert names[0] == names[1] != names[2]


def test_failures_at_different_times_have_different_names() -> None:
    assert body(failed(at=1.0))["metadata"]["name"] != body(failed(at=2.0))["metadata"]["name"]


@pytest.mark.parametrize("name", ["a" * 253, "a" * 235 + "-" + "b" * 17, "a." * 126 + "a", "web-0"])
def test_every_event_name_is_a_dns_subdomain(name: str) -> None:
    for event in (scheduled(name=name), REPORTER.failed_scheduling("default", name, "uid", "no", 1_800_000_000.0)):
        event_name = body(event)["metadata"]["name"]
        assert len(event_name) <= 253
        assert DNS_SUBDOMAIN.fullmatch(event_name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("a" * 1024, "a" * 1024, id="just fits"),
        pytest.param("a" * 1025, "a" * 1020 + " ...", id="cut as kube-scheduler cuts"),
        pytest.param("é" * 600, "é" * 510 + " ...", id="two-byte characters"),
        pytest.param("x" + "é" * 600, "x" + "é" * 509 + " ...", id="no character is split"),
    ],
)
def test_a_note_is_cut_to_what_the_api_takes(text: str, expected: str) -> None:
    note = body(failed(text))["note"]
    assert note == expected
    assert len(note.encode()) <= 1024


def test_an_instance_is_cut_to_what_the_api_takes() -> None:
    assert cut("h" * 200, 128, "") == "h" * 128


class Sink:
    """An API server for events: ``answer`` may raise; accepted events are in ``stored``."""

    def __init__(self, answer: Callable[[int], KubeError | None] = lambda attempt: None) -> None:
        self.answer, self.attempts = answer, 0
        self.stored: list[tuple[float, str]] = []

    async def create_event(self, namespace: str, body: bytes) -> None:
        self.attempts += 1
        await asyncio.sleep(0.01)
        if (error := self.answer(self.attempts)) is not None:
            raise error
        self.stored.append((now(), json.loads(body)["reason"]))


class OneIsFull(Sink):
    """An API server that takes no events of the namespace ``full``."""

    def __init__(self, error: KubeError) -> None:
        super().__init__()
        self.error = error

    async def create_event(self, namespace: str, body: bytes) -> None:
        if namespace == "full":
            raise self.error
        await super().create_event(namespace, body)


async def posted(sink: Sink, events: list[Event], within: float = 60.0, **options: Any) -> EventPoster:
    """Post ``events`` before the workers start, and let them work until all is done."""
    poster = EventPoster(sink, clock=now, **options)
    for event in events:
        poster.post(event)
    running = asyncio.create_task(poster.run())
    await poster.drain(within)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return poster


def test_events_are_posted_side_by_side() -> None:
    async def scenario() -> None:
        start, sink = now(), Sink()
        poster = await posted(sink, [scheduled(f"uid-{i}") for i in range(80)], workers=8)
        assert (poster.posted, poster.dropped, poster.backlog) == (80, 0, 0)
        assert now() - start == pytest.approx(0.1)  # 80 events, 8 at once, 0.01 s each

    run_virtually(scenario())


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(Unavailable("down", 503), id="server down"),
        pytest.param(Ambiguous("no answer"), id="no answer"),
        pytest.param(TooManyRequests("slow down", 2.0), id="too many requests"),
        pytest.param(Forbidden("token", 401), id="token refused"),
        pytest.param(Forbidden("cannot create resource", 403), id="rights not read yet"),
    ],
)
def test_an_event_is_tried_again_until_it_is_accepted(error: KubeError) -> None:
    async def scenario() -> None:
        sink = Sink(lambda attempt: error if attempt <= 3 else None)
        poster = await posted(sink, [scheduled()])
        assert (poster.posted, sink.attempts) == (1, 4)

    run_virtually(scenario())


def test_retry_after_is_honoured() -> None:
    async def scenario() -> None:
        start, sink = now(), Sink(lambda attempt: TooManyRequests("slow down", 7.0) if attempt == 1 else None)
        await posted(sink, [scheduled()])
        assert sink.stored[0][0] - start == pytest.approx(7.02)

    run_virtually(scenario())


def test_an_event_that_is_there_already_counts_as_posted() -> None:
    async def scenario() -> None:
        poster = await posted(Sink(lambda _: Conflict("already exists", 409)), [scheduled()])
        assert (poster.posted, poster.dropped) == (1, 0)

    run_virtually(scenario())


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(NotFound("no namespace", 404), id="namespace gone"),
        pytest.param(Forbidden("forbidden: the namespace is being terminated", 403), id="namespace terminating"),
        pytest.param(KubeError("invalid", 422), id="refused as invalid"),
    ],
)
def test_an_event_that_nobody_will_ever_take_is_dropped_at_once(error: KubeError) -> None:
    async def scenario() -> None:
        sink = Sink(lambda attempt: error if attempt == 1 else None)
        poster = await posted(sink, [scheduled("uid-1"), scheduled("uid-2")], workers=1)
        assert (poster.dropped, poster.posted, sink.attempts) == (1, 1, 2)

    run_virtually(scenario())


def test_an_event_is_given_up_after_ten_minutes() -> None:
    async def scenario() -> None:
        start = now()
        poster = await posted(Sink(lambda _: Unavailable("down", 503)), [scheduled()], within=3600)
        assert (poster.posted, poster.dropped) == (0, 1)
        assert TOO_OLD - 15 < now() - start <= TOO_OLD

    run_virtually(scenario())


def test_a_right_that_stays_missing_is_not_asked_for_longer_than_a_minute() -> None:
    async def scenario() -> None:
        start = now()
        poster = await posted(Sink(lambda _: Forbidden("cannot create resource", 403)), [scheduled()], within=3600)
        assert (poster.posted, poster.dropped) == (0, 1)
        assert FORBIDDEN_FOR <= now() - start < FORBIDDEN_FOR + 15

    run_virtually(scenario())


def test_a_full_queue_drops_failures_before_any_scheduled() -> None:
    async def scenario() -> None:
        sink = Sink()
        events = [failed(), failed(), scheduled("a"), scheduled("b"), scheduled("c")]
        poster = await posted(sink, events, capacity=3)
        assert [reason for _, reason in sink.stored] == ["Scheduled"] * 3
        assert poster.dropped == 2

    run_virtually(scenario())


def test_a_queue_full_of_scheduled_takes_no_failure_and_drops_the_oldest_scheduled() -> None:
    async def scenario() -> None:
        poster = EventPoster(Sink(), capacity=2, clock=now)
        for event in (scheduled("a"), scheduled("b"), failed()):
            poster.post(event)
        assert (poster.backlog, poster.dropped) == (2, 1)
        poster.post(scheduled("c"))
        assert (poster.backlog, poster.dropped) == (2, 2)

    run_virtually(scenario())


def test_draining_a_server_that_is_down_ends_in_time_and_says_how_many_are_left() -> None:
    async def scenario() -> None:
        start = now()
        poster = EventPoster(Sink(lambda _: Unavailable("down", 503)), clock=now)
        for i in range(20):
            poster.post(scheduled(f"uid-{i}"))
        running = asyncio.create_task(poster.run())
        assert await poster.drain(3.0) == 20
        assert now() - start == pytest.approx(3.0)
        running.cancel()

    run_virtually(scenario())


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(TooManyRequests("limit reached on type Namespace for key full", 1.0), id="a limit of events"),
        pytest.param(Forbidden("cannot create resource", 403), id="a missing right"),
    ],
)
def test_a_namespace_that_takes_no_events_holds_up_no_other(error: KubeError) -> None:
    async def scenario() -> None:
        sink = OneIsFull(error)
        poster = EventPoster(sink, workers=4, clock=now)
        running = asyncio.create_task(poster.run())
        for i in range(100):
            poster.post(REPORTER.failed_scheduling("full", f"web-{i}", f"uid-{i}", "no room", 1.0))
        await asyncio.sleep(5.0)
        start = now()
        poster.post(scheduled())
        await asyncio.sleep(5.0)
        assert [at - start for at, _ in sink.stored] == [pytest.approx(0.01)]
        assert poster.backlog == 100
        await asyncio.sleep(2 * TOO_OLD)
        assert (poster.backlog, poster.dropped) == (0, 100)
        running.cancel()

    run_virtually(scenario())


def test_events_that_waited_with_their_namespace_are_posted_in_order_once_it_takes_them() -> None:
    async def scenario() -> None:
        full = TooManyRequests("limit reached on type Namespace for key default", 3.0)
        sink = Sink(lambda attempt: full if attempt == 1 else None)
        start = now()
        poster = await posted(sink, [scheduled(f"uid-{i}") for i in range(10)], workers=1)
        assert (poster.posted, sink.attempts) == (10, 11)
        assert sink.stored[0][0] - start == pytest.approx(3.02)

    run_virtually(scenario())


def test_a_quota_of_events_that_is_used_up_is_not_asked_again() -> None:
    async def scenario() -> None:
        refusal = Forbidden('events "web-0.1" is forbidden: exceeded quota: small, requested: count/events=1', 403)
        sink = Sink(lambda _: refusal)
        poster = await posted(sink, [failed()])
        assert (poster.dropped, sink.attempts) == (1, 1)

    run_virtually(scenario())


def test_a_server_that_asks_for_no_pause_is_not_asked_in_a_loop() -> None:
    async def scenario() -> None:
        sink = Sink(lambda _: TooManyRequests("slow down", 0.0))
        await posted(sink, [scheduled()], within=60.0)
        assert sink.attempts < 20

    run_virtually(scenario())


def test_an_unforeseen_error_costs_one_event() -> None:
    async def scenario() -> None:
        class Odd(Sink):
            async def create_event(self, namespace: str, body: bytes) -> None:
                if not self.attempts:
                    self.attempts += 1
                    raise ValueError("odd")
                await super().create_event(namespace, body)

        poster = await posted(Odd(), [scheduled("uid-1"), scheduled("uid-2")], workers=1)
        assert (poster.posted, poster.dropped) == (1, 1)

    run_virtually(scenario())


def test_a_full_queue_drops_what_is_held_before_what_can_be_posted() -> None:
    async def scenario() -> None:
        sink = OneIsFull(TooManyRequests("limit reached on type Namespace for key full", 60.0))
        poster = EventPoster(sink, capacity=3, clock=now)
        running = asyncio.create_task(poster.run())
        for i in range(3):
            poster.post(REPORTER.failed_scheduling("full", f"web-{i}", f"uid-{i}", "no room", 1.0))
        await asyncio.sleep(1.0)
        poster.post(failed())
        await asyncio.sleep(1.0)
        assert (poster.posted, poster.dropped, poster.backlog) == (1, 1, 2)
        running.cancel()

    run_virtually(scenario())


def test_a_server_that_is_too_busy_is_not_asked_for_one_namespace_after_another() -> None:
    async def scenario() -> None:
        sink = Sink(lambda _: TooManyRequests("too many requests, please try again later", 1.0))
        events = [REPORTER.scheduled(f"team-{i}", "web", f"uid-{i}", "node-1", 1.0) for i in range(200)]
        poster = EventPoster(sink, workers=4, clock=now)
        running = asyncio.create_task(poster.run())
        for event in events:
            poster.post(event)
        await asyncio.sleep(10.0)
        assert (sink.attempts <= 4 * 11, poster.backlog) == (True, 200)
        running.cancel()

    run_virtually(scenario())


def test_a_queue_that_was_full_for_long_goes_on_as_before() -> None:
    async def scenario() -> None:
        sink = Sink()
        events = [scheduled(f"uid-{i}") for i in range(1000)]
        poster = await posted(sink, events, capacity=10, workers=2)
        assert (poster.posted, poster.dropped, poster.backlog) == (10, 990, 0)

    run_virtually(scenario())
