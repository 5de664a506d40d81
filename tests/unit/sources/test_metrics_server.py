"""The nodes' load from metrics-server's NodeMetrics, as the API server passes them on, or the error."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from peaks_scheduler.errors import Forbidden, KubeError, LoadError, NotFound, Unavailable
from peaks_scheduler.ledger.node_load import LoadReport, NodeLoad
from peaks_scheduler.sources.metrics_server import MetricsServer

NOW = 1_795_394_835.0


def stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def item(name: str, cpu: Any = "250m", memory: Any = "1048576Ki", age: float = 15.0, window: Any = "20s") -> Any:
    usage = {key: value for key, value in (("cpu", cpu), ("memory", memory)) if value is not None}
    return {"metadata": {"name": name}, "timestamp": stamp(NOW - age), "window": window, "usage": usage}


def listed(*items: Any, token: str = "") -> dict[str, Any]:
    return {"kind": "NodeMetricsList", "metadata": {"continue": token} if token else {}, "items": list(items)}


class ApiServer:
    """Gives the answers in turn, then the last one for ever; records what it was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, dict[str, str]]] = []

    async def get_json(self, path: str, query: Mapping[str, str]) -> Mapping[str, Any]:
        self.asked.append((path, dict(query)))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]


async def fetch(*answers: Any, ahead: float = 0.0) -> LoadReport:
    source = MetricsServer(ApiServer(*answers).get_json, 5.0, lambda: NOW, lambda: ahead)
    try:
        return await source.fetch()
    finally:
        await source.aclose()


async def trouble(answer: Any) -> tuple[str, str]:
    with pytest.raises(LoadError) as caught:
        await fetch(answer)
    return caught.value.kind, str(caught.value)


@pytest.mark.parametrize(
    ("quantity", "cores"),
    [("1501m", 1.501), ("123456789n", 0.123456789), ("2", 2.0), ("0", 0.0), ("1500000u", 1.5), (3, 3.0)],
)
async def test_a_quantity_is_cores(quantity: Any, cores: float) -> None:
    assert (await fetch(listed(item("a", cpu=quantity)))).nodes["a"].cores == pytest.approx(cores)


async def test_a_node_has_its_cores_and_bytes_over_the_window_that_was_measured() -> None:
    report = await fetch(listed(item("a", cpu="250m", memory="1048576Ki", age=15.0, window="20.04s")))
    load = report.nodes["a"]
    assert (load.cpu, load.cores, load.memory) == (None, 0.25, 2**30)
    assert (load.window_start, load.window_end) == (pytest.approx(NOW - 35.04), NOW - 15.0)
    assert (report.timestamp, report.fetched_at, report.clock_offset) == (NOW - 15.0, NOW, None)
    assert report.problems == ()


async def test_a_node_in_cores_uses_at_most_what_it_has() -> None:
    load = (await fetch(listed(item("a", cpu="1501m")))).nodes["a"]
    assert load.used(8.0) == pytest.approx(1.501)
    assert load.used(1.0) == 1.0


async def test_it_asks_the_api_server_for_all_nodes() -> None:
    server = ApiServer(listed(item("a")))
    await MetricsServer(server.get_json).fetch()
    assert server.asked == [("/apis/metrics.k8s.io/v1beta1/nodes", {"limit": "500"})]


async def test_an_answer_in_pages_is_read_to_the_end() -> None:
    server = ApiServer(listed(item("a"), token="more"), listed(item("b")))
    report = await MetricsServer(server.get_json, clock=lambda: NOW).fetch()
    assert set(report.nodes) == {"a", "b"}
    assert server.asked[1][1] == {"limit": "500", "continue": "more"}


async def test_many_nodes_are_all_there() -> None:
    report = await fetch(listed(*(item(f"node-{i}", cpu=f"{i}m") for i in range(5000))))
    assert len(report.nodes) == 5000
    assert report.nodes["node-4242"].cores == pytest.approx(4.242)


async def test_times_are_brought_onto_our_clock() -> None:
    report = await fetch(listed(item("a", age=-85.0)), ahead=100.0)
    assert report.nodes["a"].window_end == NOW - 15.0
    assert report.problems == ()


async def test_a_measurement_from_the_future_does_not_stay_fresh_for_ever() -> None:
    report = await fetch(listed(item("a", age=-3600.0)))
    assert report.nodes["a"] == NodeLoad(None, NOW - 20.0, NOW, 0.25, 2**30)
    assert report.problems == ("measured in the future, by that node's clock: taken as measured now: a",)


DROPPED = {
    "no quantity": (item("bad", cpu="much"), "no cpu usage that is a quantity"),
    "a list": (item("bad", cpu=[]), "no cpu usage that is a quantity"),
    "no CPU": (item("bad", cpu=None), "no cpu usage that is a quantity"),
    "negative": (item("bad", cpu="-1"), "a negative cpu usage"),
    "memory no quantity": (item("bad", memory="many"), "no memory usage that is a quantity"),
    "no window": (item("bad", window=None), "no window of its measurement"),
    "window of nothing": (item("bad", window="0s"), "no window of its measurement"),
    "no time": (item("bad") | {"timestamp": None}, "no time of its measurement"),
    "a time that is none": (item("bad") | {"timestamp": "yesterday"}, "no time of its measurement"),
    "usage null": (item("bad") | {"usage": None}, "no cpu usage that is a quantity"),
    "usage a list": (item("bad") | {"usage": [1]}, "no cpu usage that is a quantity"),
}


@pytest.mark.parametrize(("bad", "problem"), DROPPED.values(), ids=DROPPED)
async def test_a_bad_node_is_left_out_and_named_while_the_others_count(bad: Any, problem: str) -> None:
    report = await fetch(listed(bad, item("good")))
    assert set(report.nodes) == {"good"}
    assert report.problems == (f"{problem}: bad",)


async def test_a_node_without_memory_has_its_cpu() -> None:
    load = (await fetch(listed(item("a", memory=None)))).nodes["a"]
    assert (load.cores, load.memory) == (0.25, None)


async def test_no_node_is_empty_and_says_that_it_may_come_yet() -> None:
    kind, words = await trouble(listed())
    assert kind == "empty"
    assert words.endswith("expected the CPU use of some node; got none, as in the first minute after it started")
    assert "no cpu usage that is a quantity: a" in (await trouble(listed(item("a", cpu="x"))))[1]


FAILURES = {
    "not installed": (NotFound("GET: 404 not found", 404), "not-installed", "install metrics-server"),
    "not available": (Unavailable("GET: 503 unavailable", 503), "unavailable", "v1beta1.metrics.k8s.io"),
    "no right": (Forbidden("GET: 403 forbidden", 403), "forbidden", "the right to list nodes of metrics.k8s.io"),
    "no API server": (Unavailable("GET: expected an answer, got refused"), "unreachable", "refused"),
    "anything else": (KubeError("GET: 400 bad", 400), "http-400", "400 bad"),
}


@pytest.mark.parametrize(("error", "kind", "words"), FAILURES.values(), ids=FAILURES)
async def test_a_failure_says_what_to_do(error: Exception, kind: str, words: str) -> None:
    got, text = await trouble(error)
    assert got == kind
    assert text.startswith("metrics-server (metrics.k8s.io): GET: ")
    assert words in text


@pytest.mark.parametrize("answer", [{}, {"items": None}, {"items": {}}, {"items": [1]}, {"kind": "Status"}])
async def test_an_answer_of_another_shape_is_malformed(answer: Any) -> None:
    kind, words = await trouble(answer)
    assert kind == "malformed"
    assert "expected a list of nodes" in words


async def test_an_api_server_that_never_answers_is_given_up() -> None:
    async def never(path: str, query: Mapping[str, str]) -> Mapping[str, Any]:
        await asyncio.Event().wait()
        return {}

    with pytest.raises(LoadError) as caught:
        await MetricsServer(never, timeout=0.01).fetch()
    assert caught.value.kind == "timeout"
