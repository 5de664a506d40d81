"""The load in a load-watcher's answer, or the error; the test plays the server."""

import asyncio
import json
import socket
from base64 import b64encode
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peaks_scheduler.errors import ConfigurationError, LoadError
from peaks_scheduler.ledger.node_load import LoadReport, NodeLoad
from peaks_scheduler.sources.http_client import MAX_BODY
from peaks_scheduler.sources.load_watcher import LoadWatcher, read_report

NOW = 1_795_394_835.0
START, END = 1_795_393_929, 1_795_394_829

Handler = Callable[[httpx.Request], httpx.Response]


def metric(value: Any, operator: str | None = "AVG", kind: str = "CPU") -> dict[str, Any]:
    whole = {"name": "n", "type": kind, "operator": operator, "rollup": "15m", "value": value}
    return {key: part for key, part in whole.items() if part is not None or key == "value"}


def answer(nodes: Any, **fields: Any) -> dict[str, Any]:
    window = {"duration": "15m", "start": START, "end": END}
    return {"timestamp": END + 1, "window": window, "source": "Prometheus", "data": {"NodeMetricsMap": nodes}} | fields


def node(*metrics: dict[str, Any]) -> dict[str, Any]:
    return {"metrics": list(metrics), "tags": {}, "metadata": {"dataCenter": ""}}


def read(body: Any) -> LoadReport:
    return read_report(json.dumps(body), NOW)


async def fetch(handler: Handler, clock: Callable[[], float] = lambda: NOW) -> LoadReport:
    source = LoadWatcher("http://lw:2020", 5.0, clock, httpx.MockTransport(handler))
    try:
        return await source.fetch()
    finally:
        await source.aclose()


async def kind_of_failure(handler: Handler) -> str:
    with pytest.raises(LoadError) as caught:
        await fetch(handler)
    assert str(caught.value).startswith("load-watcher at http://lw:2020/watcher: ")
    return caught.value.kind


def serving(body: Any, **headers: str) -> Handler:
    return lambda request: httpx.Response(200, content=json.dumps(body).encode(), headers=headers)


def test_a_recorded_answer_is_read_as_fractions_with_its_window(test_data: Path) -> None:
    report = read_report((test_data / "exporters/load_watcher_recorded.json").read_bytes(), NOW)
    cpu = {key: load.cpu for key, load in report.nodes.items()}
    assert cpu == pytest.approx({"worker-1": 0.0866415494791758, "127.0.0.1:9100": 0.0901597786458255})
    assert {(load.window_start, load.window_end) for load in report.nodes.values()} == {(START, END)}
    assert (report.timestamp, report.fetched_at, report.problems) == (1_795_394_830, NOW, ())


def test_a_recorded_empty_answer_says_that_the_recording_rule_may_be_missing(test_data: Path) -> None:
    with pytest.raises(LoadError, match=r"empty NodeMetricsMap.*recording rule instance:node_cpu:ratio") as caught:
        read_report((test_data / "exporters/load_watcher_empty.json").read_bytes(), NOW)
    assert caught.value.kind == "empty"


def test_the_documented_example_is_told_from_what_a_running_load_watcher_says(test_data: Path) -> None:
    with pytest.raises(LoadError, match=r"under data\.NodeMetricsMap.*example of its documentation") as caught:
        read_report((test_data / "exporters/load_watcher_example.json").read_bytes(), NOW)
    assert caught.value.kind == "malformed"


CHOICE = {
    "AVG before all": ([metric(1, "Latest"), metric(2, ""), metric(30, "AVG")], 0.30),
    "Latest before none": ([metric(2, ""), metric(30, "Latest")], 0.30),
    "no operator, as old servers": ([metric(30, None)], 0.30),
    "STD is no use": ([metric(1, "STD"), metric(30, "AVG")], 0.30),
    "memory is no CPU": ([metric(1, kind="Memory"), metric(30)], 0.30),
    "idle": ([metric(0)], 0.0),
    "full": ([metric(100)], 1.0),
}


@pytest.mark.parametrize(("metrics", "cpu"), CHOICE.values(), ids=CHOICE)
def test_the_average_counts_else_the_latest_else_what_has_no_operator(
    metrics: list[dict[str, Any]], cpu: float
) -> None:
    report = read(answer({"a": node(*metrics)}))
    assert report.nodes["a"].cpu == pytest.approx(cpu)
    assert report.problems == ()


def test_a_latest_value_is_no_average_over_the_window() -> None:
    report = read(answer({"a": node(metric(30, "Latest"))}))
    assert report.nodes["a"] == NodeLoad(0.3, END - 60.0, END)


DROPPED = {
    "NaN": (node(metric(float("nan"))), "a CPU value that is no number"),
    "infinite": (node(metric(float("inf"))), "a CPU value outside 0..110 %"),
    "negative": (node(metric(-0.1)), "a CPU value outside 0..110 %"),
    "beyond belief": (node(metric(110.1)), "a CPU value outside 0..110 %"),
    "text": (node(metric("12.5")), "a CPU value that is no number"),
    "null": (node(metric(None)), "a CPU value that is no number"),
    "true": (node(metric(True)), "a CPU value that is no number"),
    "an integer beyond floats": (node(metric(10**400)), "a CPU value outside 0..110 %"),
    "no CPU metric": (node(metric(5, kind="Memory")), "no CPU metric"),
    "only STD": (node(metric(5, "STD")), "no CPU metric"),
    "metrics null": ({"metrics": None}, "no CPU metric"),
    "metrics no list": ({"metrics": 3}, "no CPU metric"),
    "no object": (7, "no CPU metric"),
}


@pytest.mark.parametrize(("bad", "problem"), DROPPED.values(), ids=DROPPED)
def test_a_bad_node_is_left_out_and_named_while_the_others_count(bad: Any, problem: str) -> None:
    report = read(answer({"bad": bad, "good": node(metric(50))}))
    assert set(report.nodes) == {"good"}
    assert [text for text in report.problems if text.startswith(problem) and text.endswith(": bad")]


def test_a_little_above_full_is_full_and_said_so() -> None:
    report = read(answer({"a": node(metric(104.2))}))
    assert report.nodes["a"].cpu == 1.0
    assert report.problems == ("a CPU value above 100 %, taken as 100 %: a",)


def test_one_trouble_of_many_nodes_is_one_problem() -> None:
    report = read(answer({f"n{i}": node(metric(-1)) for i in range(9)} | {"good": node(metric(1))}))
    assert report.problems == ("a CPU value outside 0..110 %: n0, n1, n2 and 6 more",)


def test_an_answer_without_any_usable_node_is_empty_and_says_why() -> None:
    with pytest.raises(LoadError, match=r"got none: no CPU metric.*: a, b") as caught:
        read(answer({"a": node(), "b": node()}))
    assert caught.value.kind == "empty"


MALFORMED = {
    "a list": [],
    "no data": {"timestamp": 1, "window": {}},
    "nodes a list": answer([1]),
    "no node map": answer({}, data={"else": 1}),
    "no window": answer({"a": node(metric(1))}, window=None),
    "window backwards": answer({"a": node(metric(1))}, window={"start": END, "end": START}),
    "window in milliseconds": answer({"a": node(metric(1))}, window={"start": START * 1000, "end": END * 1000}),
    "window as text": answer({"a": node(metric(1))}, window={"start": "1", "end": "2"}),
    "no timestamp": answer({"a": node(metric(1))}, timestamp=None),
    "timestamp NaN": answer({"a": node(metric(1))}, timestamp=float("nan")),
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_an_answer_of_another_shape_is_malformed_and_says_what_was_expected(body: Any) -> None:
    with pytest.raises(LoadError, match="expected ") as caught:
        read(body)
    assert caught.value.kind == "malformed"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>not json",
        b"\xff\xfe\x00",
        json.dumps(answer({"a": node(metric(1))})).encode()[:-40],
        b"[" * 100_000,
    ],
    ids=["nothing", "HTML", "no text", "cut short", "nested without end"],
)
def test_what_is_no_json_is_malformed(body: bytes) -> None:
    with pytest.raises(LoadError, match="expected JSON") as caught:
        read_report(body, NOW)
    assert caught.value.kind == "malformed"


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["CPU", "AVG", "Latest", "", "12"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["metrics", "type", "operator", "value", "start", "end"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(
    st.one_of(
        anything, st.builds(answer, anything), st.builds(answer, st.fixed_dictionaries({"a": anything, "b": anything}))
    )
)
def test_any_json_is_load_between_0_and_1_or_a_load_error(body: Any) -> None:
    try:
        report = read(body)
    except LoadError:
        return
    assert all(0.0 <= load.cpu <= 1.0 and load.window_start < load.window_end for load in report.nodes.values())


def test_an_answer_an_hour_old_is_a_report_whose_window_says_so() -> None:
    hour = {"start": START - 3600, "end": END - 3600}
    report = read(answer({"a": node(metric(1))}, timestamp=END - 3599, window=hour))
    assert report.nodes["a"].window_end == END - 3600
    assert report.problems == ()


def test_a_window_that_ends_in_the_future_does_not_stay_fresh_for_ever() -> None:
    later = {"start": NOW + 2700, "end": NOW + 3600}
    report = read(answer({"a": node(metric(1))}, window=later))
    assert report.nodes["a"] == NodeLoad(0.01, NOW - 900, NOW)
    assert report.problems == ("its window ends in the future: taken to end now",)


async def test_it_asks_for_all_nodes_at_once() -> None:
    asked = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append((request.method, str(request.url)))
        return httpx.Response(200, json=answer({"a": node(metric(25))}))

    report = await fetch(handler)
    assert asked == [("GET", "http://lw:2020/watcher")]
    assert report.nodes["a"].cpu == 0.25
    assert report.clock_offset is None


async def test_times_come_out_on_our_clock_when_the_servers_runs_ahead() -> None:
    ahead = serving(answer({"a": node(metric(25))}), Date=formatdate(NOW + 100.0, usegmt=True))
    report = await fetch(ahead)
    # the header's second is taken at its middle
    assert report.clock_offset == pytest.approx(100.5)
    assert report.nodes["a"] == NodeLoad(0.25, START - 100.5, END - 100.5)
    assert report.timestamp == END + 1 - 100.5


async def test_an_offset_below_the_headers_resolution_moves_nothing() -> None:
    report = await fetch(serving(answer({"a": node(metric(25))}), Date=formatdate(NOW, usegmt=True)))
    assert report.clock_offset == pytest.approx(0.5)
    assert report.nodes["a"].window_end == END


async def test_an_offset_that_a_slow_request_can_explain_moves_nothing() -> None:
    ticks: Iterator[float] = iter((NOW, NOW + 20.0))
    slow = serving(answer({"a": node(metric(25))}), Date=formatdate(NOW + 20.0, usegmt=True))
    report = await fetch(slow, clock=lambda: next(ticks))
    assert report.clock_offset == pytest.approx(10.5)
    assert report.nodes["a"].window_end == END


async def test_a_date_that_is_none_is_no_offset() -> None:
    report = await fetch(serving(answer({"a": node(metric(25))}), Date="yesterday"))
    assert report.clock_offset is None


@pytest.mark.parametrize("status", [404, 500, 503, 302])
async def test_a_status_is_its_kind(status: int) -> None:
    assert await kind_of_failure(lambda request: httpx.Response(status, text="")) == f"http-{status}"


def failing(error: Exception, cause: Exception | None = None) -> Handler:
    def handler(request: httpx.Request) -> httpx.Response:
        raise error from cause

    return handler


FAILURES = {
    "refused": (httpx.ConnectError("refused"), None, "unreachable"),
    "unknown host": (httpx.ConnectError("name"), socket.gaierror(-2, "Name or service not known"), "dns"),
    "connect time-out": (httpx.ConnectTimeout("slow"), None, "timeout"),
    "read time-out": (httpx.ReadTimeout("slow"), None, "timeout"),
    "reset": (httpx.ReadError("reset"), None, "unreachable"),
    "broken off": (httpx.RemoteProtocolError("incomplete"), None, "malformed"),
}


@pytest.mark.parametrize(("error", "cause", "kind"), FAILURES.values(), ids=FAILURES)
async def test_a_failure_is_a_load_error_of_its_kind(error: Exception, cause: Exception | None, kind: str) -> None:
    assert await kind_of_failure(failing(error, cause)) == kind


async def test_a_server_that_drips_is_given_up_after_the_time_out() -> None:
    given_up = asyncio.Event()

    async def handler(request: httpx.Request) -> httpx.Response:
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()
        return httpx.Response(200)

    source = LoadWatcher("http://lw:2020", 0.01, lambda: NOW, httpx.MockTransport(handler))
    with pytest.raises(LoadError) as caught:
        await source.fetch()
    await source.aclose()
    assert caught.value.kind == "timeout"
    assert given_up.is_set()


async def test_an_endless_answer_is_cut_off() -> None:
    class Endless(httpx.AsyncByteStream):
        sent = 0

        async def __aiter__(self):  # type: ignore[no-untyped-def]
            while True:
                self.sent += 2**20
                yield b" " * 2**20

    stream = Endless()
    assert await kind_of_failure(lambda request: httpx.Response(200, stream=stream)) == "malformed"
    assert stream.sent <= MAX_BODY + 2**20


async def test_a_body_of_many_nodes_is_read_whole() -> None:
    many = {f"node-{i}": node(metric(i % 100), *[metric(1, kind="Memory")] * 3) for i in range(5000)}
    report = await fetch(serving(answer(many)))
    assert len(report.nodes) == 5000
    assert report.nodes["node-4242"].cpu == pytest.approx(0.42)


async def test_a_password_of_the_address_is_used_and_never_told(caplog: pytest.LogCaptureFixture) -> None:
    asked = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers["Authorization"])
        return httpx.Response(503)

    caplog.set_level("INFO")
    source = LoadWatcher("http://me:secret@lw:2020", 5.0, lambda: NOW, httpx.MockTransport(handler))
    with pytest.raises(LoadError) as caught:
        await source.fetch()
    await source.aclose()
    assert asked == ["Basic " + b64encode(b"me:secret").decode()]
    assert "secret" not in str(caught.value) + caplog.text


async def fetch_from_loopback(port: int) -> LoadReport:
    source = LoadWatcher(f"http://127.0.0.1:{port}", 5.0)
    try:
        return await source.fetch()
    finally:
        await source.aclose()


async def test_over_a_real_connection_a_body_cut_short_is_malformed_and_nobody_there_unreachable() -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{"timestamp":')
        writer.close()

    server = await asyncio.start_server(half, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(LoadError, match="broke off") as cut:
        await fetch_from_loopback(port)
    server.close()
    await server.wait_closed()
    with pytest.raises(LoadError, match="no connection") as nobody:
        await fetch_from_loopback(port)
    assert (cut.value.kind, nobody.value.kind) == ("malformed", "unreachable")


@pytest.mark.parametrize(
    "address", ["", "lw:2020", "ftp://lw", "http://", "http://lw:port", "http://lw?x=1", "http://a b"]
)
def test_a_wrong_address_is_refused_with_an_example(address: str) -> None:
    with pytest.raises(ConfigurationError, match="expected a URL such as http://load-watcher"):
        LoadWatcher(address)
