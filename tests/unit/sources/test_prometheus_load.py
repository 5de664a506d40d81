"""The nodes' load from Prometheus' answers: which node a series is of, how old it is, and which values are wrong."""

import json
import re
from collections.abc import Callable, Mapping
from email.utils import formatdate
from typing import Any

import httpx
import pytest

from peaks_scheduler.errors import LoadError
from peaks_scheduler.ledger.node_load import LoadReport, NodeLoad
from peaks_scheduler.settings.promql_matchers import EVERYTHING, Matchers, parse_matchers
from peaks_scheduler.sources.node_identity import NodeAddresses, resolve
from peaks_scheduler.sources.prometheus.api import PrometheusApi
from peaks_scheduler.sources.prometheus.load import PrometheusLoad
from peaks_scheduler.sources.prometheus.load_queries import MEMORY, collectors, custom_collector, promql_duration

NOW = 1_795_394_835.0
WINDOW = 300.0
NODE_EXPORTER, KEPLER = collectors(WINDOW)

Series = Mapping[tuple[str, ...], float | str]
Answers = Mapping[str, Series | httpx.Response]


def labels(pairs: tuple[str, ...]) -> dict[str, str]:
    """Labels of ("node=a", "cpu=0"); a word without = is the label ``instance``."""
    return dict(pair.split("=", 1) if "=" in pair else ("instance", pair) for pair in pairs)


def vector(series: Series, at: float = NOW, **fields: Any) -> dict[str, Any]:
    result = [{"metric": labels(pairs), "value": [at, str(value)]} for pairs, value in series.items()]
    return {"status": "success", "data": {"resultType": "vector", "result": result}, **fields}


def prometheus(answers: Answers, at: float = NOW, **headers: str) -> Callable[[httpx.Request], httpx.Response]:
    """Answers by query; to any other query an empty vector."""

    def handler(request: httpx.Request) -> httpx.Response:
        answer = answers.get(request.url.params["query"], {})
        if isinstance(answer, httpx.Response):
            return answer
        return httpx.Response(200, json=vector(answer, at), headers=headers)

    return handler


async def fetch(
    handler: Callable[[httpx.Request], httpx.Response],
    match: Matchers = EVERYTHING,
    label: str | None = None,
    **how: Any,
) -> LoadReport:
    transport = httpx.MockTransport(handler)
    api = PrometheusApi("http://prometheus:9090", match=match, node_label=label, clock=lambda: NOW, transport=transport)
    source = PrometheusLoad(api, clock=lambda: NOW, **{"window": WINDOW, **how})
    try:
        return await source.fetch()
    finally:
        await source.aclose()


async def trouble(handler: Callable[[httpx.Request], httpx.Response], **how: Any) -> tuple[str, str]:
    with pytest.raises(LoadError) as caught:
        await fetch(handler, **how)
    return caught.value.kind, str(caught.value)


def seen(values: Series, age: float = 0.0) -> dict[str, Series]:
    """node_exporter's answers: these values, measured so long ago."""
    return {NODE_EXPORTER.values: values, NODE_EXPORTER.newest: dict.fromkeys(values, NOW - age)}


def own(query: str, values: Series, age: float = 0.0) -> dict[str, Series]:
    return {query: values, custom_collector(query, "ratio").newest: dict.fromkeys(values, NOW - age)}


def refusal(status: int = 500, error: str = "disk") -> httpx.Response:
    return httpx.Response(status, json={"status": "error", "errorType": "internal", "error": error})


def cpu(report: LoadReport) -> dict[str, float | None]:
    return {key: load.cpu for key, load in report.nodes.items()}


# --- from series to nodes ---------------------------------------------------------------------------------------------


async def test_every_node_has_its_busy_share_over_the_window() -> None:
    report = await fetch(prometheus(seen({("10.0.0.1:9100",): 0.25, ("10.0.0.2:9100",): 1.0}, age=12.0)))
    assert report.nodes == {
        "10.0.0.1:9100": NodeLoad(0.25, NOW - 312.0, NOW - 12.0),
        "10.0.0.2:9100": NodeLoad(1.0, NOW - 312.0, NOW - 12.0),
    }
    assert (report.fetched_at, report.problems, report.spare) == (NOW, (), frozenset())


@pytest.mark.parametrize(
    "pairs",
    [
        ("node=a", "instance=10.0.0.1:9100"),
        ("node_name=a", "instance=10.0.0.1:9100"),
        ("nodename=a", "kubernetes_node=b"),
        ("kubernetes_node=a", "instance=10.0.0.1:9100"),
        ("node=", "instance=a"),
        ("node=a", "node_name=b", "job=node"),
    ],
)
async def test_the_label_that_names_the_node_is_found(pairs: tuple[str, ...]) -> None:
    assert list((await fetch(prometheus(seen({pairs: 0.5})))).nodes) == ["a"]


async def test_a_label_of_ones_own_counts_alone() -> None:
    answers = seen({("host=a", "node=b"): 0.5, ("node=c",): 0.5})
    report = await fetch(prometheus(answers), node_label="host")
    assert list(report.nodes) == ["a"]
    assert report.problems == ("a series without a label that names its node (host)",)


async def test_a_node_missing_in_the_first_collector_is_looked_for_in_the_second() -> None:
    kepler: Series = {("node_name=a",): 0.9, ("node_name=b",): 0.4}
    answers = seen({("node=a",): 0.2}) | {KEPLER.values: kepler, KEPLER.newest: dict.fromkeys(kepler, NOW)}
    report = await fetch(prometheus(answers))
    assert cpu(report) == {"a": 0.2, "b": 0.4}
    assert report.spare == {"b"}


async def test_kepler_alone_is_enough() -> None:
    kepler: Series = {("node_name=a",): 0.9}
    report = await fetch(prometheus({KEPLER.values: kepler, KEPLER.newest: dict.fromkeys(kepler, NOW)}))
    assert cpu(report) == {"a": 0.9}
    assert report.spare == frozenset()


async def test_memory_in_use_is_kept_in_bytes() -> None:
    answers = seen({("a",): 0.2, ("b",): 0.3}) | {MEMORY: {("a",): 4e9, ("b",): "NaN", ("c",): 1.0}}
    report = await fetch(prometheus(answers))
    assert {key: load.memory for key, load in report.nodes.items()} == {"a": 4e9, "b": None}


async def test_queries_of_ones_own_replace_the_defaults() -> None:
    answers = own("my:cpu", {("node=a",): 0.4}) | {"my:memory": {("node=a",): 2e9}} | seen({("node=b",): 0.9})
    report = await fetch(prometheus(answers), cpu_query="my:cpu", memory_query="my:memory")
    assert report.nodes == {"a": NodeLoad(0.4, NOW - WINDOW, NOW, memory=2e9)}


async def test_many_nodes_are_all_there() -> None:
    report = await fetch(prometheus(seen({(f"10.0.{i // 256}.{i % 256}:9100",): i / 5000 for i in range(5000)})))
    assert len(report.nodes) == 5000
    assert report.nodes["10.0.16.146:9100"].cpu == pytest.approx(4242 / 5000)


# --- age --------------------------------------------------------------------------------------------------------------


async def test_the_average_of_a_target_that_died_four_minutes_ago_is_four_minutes_old() -> None:
    answers = {
        NODE_EXPORTER.values: {("a",): 0.2, ("b",): 0.2},
        NODE_EXPORTER.newest: {("a",): NOW - 240.0, ("b",): NOW - 5.0},
    }
    report = await fetch(prometheus(answers))
    assert [load.window_end for load in report.nodes.values()] == [NOW - 240.0, NOW - 5.0]


@pytest.mark.parametrize("newest", [{}, {("a",): "NaN"}, refusal()], ids=["no time", "NaN", "the query failed"])
async def test_a_value_of_unknown_age_is_taken_to_be_as_old_as_it_can_be(newest: Any) -> None:
    report = await fetch(prometheus({NODE_EXPORTER.values: {("a",): 0.2}, NODE_EXPORTER.newest: newest}))
    assert report.nodes["a"].window_end == NOW - WINDOW
    assert "the time of the newest sample is not known, taken to be 300 s ago: a" in report.problems


async def test_a_sample_from_the_future_is_from_now() -> None:
    assert (await fetch(prometheus(seen({("a",): 0.2}, age=-50.0)))).nodes["a"].window_end == NOW


async def test_times_come_out_on_our_clock_when_prometheus_runs_ahead() -> None:
    ahead = seen({("a",): 0.2}, age=-90.0)  # by its clock, which is 100.5 s ahead, 10.5 s ago
    report = await fetch(prometheus(ahead, at=NOW + 100.5, Date=formatdate(NOW + 100.0, usegmt=True)))
    assert report.clock_offset == pytest.approx(100.5)
    assert report.nodes["a"].window_end == pytest.approx(NOW - 10.5)
    assert report.timestamp == pytest.approx(NOW)


async def test_a_metrics_name_in_one_of_the_two_answers_only_keeps_them_together() -> None:
    query = "instance:node_cpu_utilisation:rate5m"
    answers = {
        query: {(f"__name__={query}", "instance=a"): 0.4},
        custom_collector(query, "ratio").newest: {("instance=a",): NOW - 30.0},
    }
    report = await fetch(prometheus(answers), cpu_query=query)
    assert report.nodes["a"].window_end == NOW - 30.0


def test_the_age_of_a_query_of_ones_own_is_asked_for_whatever_it_ends_with() -> None:
    assert custom_collector("my:cpu # as agreed", "ratio").newest == "timestamp((\nmy:cpu # as agreed\n))"


# --- what cannot be true ----------------------------------------------------------------------------------------------

ODD: dict[str, tuple[Any, str]] = {
    "NaN": ("NaN", "a CPU value that is no number: bad"),
    "infinite": ("+Inf", "a CPU value that is no number: bad"),
    "negative": (-0.5, "a CPU value outside 0..110 %: bad"),
    "beyond belief": (1.2, "a CPU value outside 0..110 %: bad"),
    "a percentage": (42.0, "a CPU value outside 0..110 %: bad"),
}


@pytest.mark.parametrize(("value", "problem"), ODD.values(), ids=ODD)
async def test_a_value_that_cannot_be_true_is_left_out_and_named(value: Any, problem: str) -> None:
    report = await fetch(prometheus(seen({("bad",): value, ("good",): 0.5})))
    assert list(report.nodes) == ["good"]
    assert report.problems == (problem,)


@pytest.mark.parametrize(
    ("value", "counts", "problems"),
    [(1.04, 1.0, ("a CPU value above 100 %, taken as 100 %: a",)), (-0.01, 0.0, ()), (0.0, 0.0, ()), (1.0, 1.0, ())],
)
async def test_what_is_a_little_outside_is_at_the_edge(value: float, counts: float, problems: tuple[str, ...]) -> None:
    report = await fetch(prometheus(seen({("a",): value})))
    assert (report.nodes["a"].cpu, report.problems) == (counts, problems)


@pytest.mark.parametrize(
    ("unit", "value", "load"),
    [
        ("ratio", 0.25, NodeLoad(0.25, NOW - WINDOW, NOW)),
        ("percent", 25.0, NodeLoad(0.25, NOW - WINDOW, NOW)),
        ("percent", 0.5, NodeLoad(0.005, NOW - WINDOW, NOW)),
        ("cores", 3.5, NodeLoad(None, NOW - WINDOW, NOW, cores=3.5)),
    ],
)
async def test_a_query_of_ones_own_says_its_unit(unit: str, value: float, load: NodeLoad) -> None:
    report = await fetch(prometheus(own("q", {("a",): value})), cpu_query="q", cpu_unit=unit)
    assert report.nodes == {"a": load}


async def test_negative_cores_are_left_out() -> None:
    report = await fetch(prometheus(own("q", {("a",): -1.0, ("b",): 1.0})), cpu_query="q", cpu_unit="cores")
    assert list(report.nodes) == ["b"]
    assert report.problems == ("a negative CPU value: a",)


async def test_percent_given_for_ratio_is_refused_as_a_whole_and_said() -> None:
    """A node at 0.8 % could not be told from one at 80 %."""
    kind, words = await trouble(prometheus(own("q", {("a",): 0.8, ("b",): 37.0})), cpu_query="q")
    assert kind == "unit"
    assert "expected ratios 0..1 (load.cpuUnit: ratio); got 37 for b: set load.cpuUnit to percent or cores" in words


async def test_of_several_series_of_a_node_the_newest_counts() -> None:
    """An exporter that was replaced leaves its old series behind for a window."""
    values: Series = {("instance=a", "pod=old"): 0.9, ("instance=a", "pod=new"): 0.3}
    newest = {("instance=a", "pod=old"): NOW - 200.0, ("instance=a", "pod=new"): NOW - 5.0}
    report = await fetch(prometheus({NODE_EXPORTER.values: values, NODE_EXPORTER.newest: newest}))
    assert report.nodes == {"a": NodeLoad(0.3, NOW - 305.0, NOW - 5.0)}
    assert report.problems == ()


async def test_of_two_clusters_in_one_prometheus_a_node_of_both_has_no_load_and_it_is_said() -> None:
    values = {("node=a", "cluster=x"): 0.9, ("node=a", "cluster=y"): 0.3, ("node=b", "cluster=x"): 0.5}
    report = await fetch(prometheus(seen(values)))
    assert cpu(report) == {"b": 0.5}
    assert report.problems == (
        "several series contradict each other about one node's CPU use, none is used: they differ in cluster "
        "('x', 'y'); choose one by prometheus.match, or the label that names a node by load.nodeLabel: a",
    )


async def test_nor_has_it_one_by_the_second_collector() -> None:
    kepler: Series = {("node_name=a",): 0.9}
    answers = seen({("node=a", "cluster=x"): 0.9, ("node=a", "cluster=y"): 0.3, ("node=b",): 0.1})
    answers |= {KEPLER.values: kepler, KEPLER.newest: dict.fromkeys(kepler, NOW)}
    assert cpu(await fetch(prometheus(answers))) == {"b": 0.1}


async def test_replicas_that_agree_are_one_node_and_nothing_is_said() -> None:
    values: Series = {("node=a", "prometheus_replica=0"): 0.46, ("node=a", "prometheus_replica=1"): 0.43}
    report = await fetch(prometheus(seen(values)))
    assert (cpu(report), report.problems) == ({"a": 0.46}, ())


@pytest.mark.parametrize(("other", "loads"), [(3.3, {"a": 3.5}), (7.0, {})], ids=["agree", "contradict"])
async def test_so_it_is_for_cores(other: float, loads: dict[str, float]) -> None:
    values: Series = {("node=a", "cluster=x"): 3.5, ("node=a", "cluster=y"): other}
    if not loads:
        values = {**values, ("node=b",): 1.0}
    report = await fetch(prometheus(own("q", values)), cpu_query="q", cpu_unit="cores")
    assert {key: load.cores for key, load in report.nodes.items() if key != "b"} == loads


async def test_memory_that_contradicts_is_not_known() -> None:
    answers = seen({("a",): 0.2}) | {MEMORY: {("a", "cluster=x"): 4e9, ("a", "cluster=y"): 9e9}}
    report = await fetch(prometheus(answers))
    assert report.nodes["a"].memory is None
    assert report.problems[0].startswith("several series contradict each other about one node's memory")


async def test_two_exporters_on_one_machine_that_agree_are_its_load() -> None:
    """Their keys differ in the port: later they are matched with one node, and then compared."""
    report = await fetch(prometheus(seen({("10.0.0.1:9100",): 0.4, ("10.0.0.1:9101",): 0.42})))
    there = resolve(report.nodes, [NodeAddresses("worker-1", addresses=("10.0.0.1",))])
    assert there.duplicates != {}
    found = there.chosen(report.one_of)
    assert (found.matched, found.duplicates) == ({"worker-1": "10.0.0.1:9101"}, {})
    assert found.superseded == ("10.0.0.1:9100",)

    report = await fetch(prometheus(seen({("10.0.0.1:9100",): 0.4, ("10.0.0.1:9101",): 0.9})))
    assert there.chosen(report.one_of) == there


async def test_two_short_names_that_only_may_mean_one_machine_are_not_chosen_from() -> None:
    report = await fetch(prometheus(seen({("worker-1.east.example.org",): 0.4, ("worker-1.west.example.org",): 0.4})))
    there = resolve(report.nodes, [NodeAddresses("worker-1")])
    assert there.chosen(report.one_of).duplicates != {}


# --- which series are ours --------------------------------------------------------------------------------------------


async def test_a_matcher_goes_into_every_query() -> None:
    asked = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params["query"])
        return httpx.Response(200, json=vector({}))

    with pytest.raises(LoadError):
        await fetch(handler, match=parse_matchers('cluster="a",env=~"x|y"'))
    selectors = [found for query in asked for found in re.findall(r"[a-z]\w+_\w+(?:\{[^}]*\})", query)]
    assert len(selectors) > 10
    assert [each for each in selectors if 'cluster="a",env=~"x|y"}' not in each] == []
    assert [query for query in asked if re.search(r"\b(?:node|kepler)_\w+(?!\w|\{)", query)] == []


async def test_a_query_of_ones_own_stays_as_it_is_and_its_series_are_chosen_from() -> None:
    answers = own("q", {("node=a", "cluster=x"): 0.9, ("node=a", "cluster=y"): 0.3, ("node=b",): 0.5})
    report = await fetch(prometheus(answers), cpu_query="q", match=parse_matchers('cluster="y"'))
    assert cpu(report) == {"a": 0.3, "b": 0.5}


async def test_the_label_that_prometheus_names_nodes_by_comes_before_the_usual_ones() -> None:
    answers = seen({("host=a", "node=b"): 0.5, ("node=c",): 0.5})
    assert list((await fetch(prometheus(answers), label="host")).nodes) == ["a", "c"]


# --- what goes wrong --------------------------------------------------------------------------------------------------


async def test_one_failing_query_never_drops_the_others() -> None:
    kepler: Series = {("node_name=b",): 0.4}
    answers: dict[str, Any] = {
        **seen({("node=a",): 0.2}),
        KEPLER.values: refusal(error="no such store"),
        MEMORY: refusal(error="out of memory"),
    }
    report = await fetch(prometheus(answers))
    assert cpu(report) == {"a": 0.2}
    assert [text.partition(": Prometheus at ")[0] for text in report.problems] == ["Kepler", "memory"]

    first_fails = {NODE_EXPORTER.values: refusal(), KEPLER.values: kepler, KEPLER.newest: dict.fromkeys(kepler, NOW)}
    report = await fetch(prometheus(first_fails))
    assert cpu(report) == {"b": 0.4}
    assert report.problems[0].startswith("node_exporter: Prometheus at http://prometheus:9090: expected 200; got 500")


async def test_when_no_query_is_answered_the_first_trouble_is_told() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        return refusal(401)

    kind, words = await trouble(handler)
    assert kind == "unauthorized"
    assert words.startswith("Prometheus at http://prometheus:9090: 401")


async def test_a_failed_query_beside_an_empty_one_is_the_trouble() -> None:
    assert (await trouble(prometheus({NODE_EXPORTER.values: refusal()})))[0] == "http-500"


async def test_a_prometheus_without_any_of_the_series_says_what_is_missing() -> None:
    kind, words = await trouble(prometheus({}))
    assert kind == "empty"
    assert words.startswith("Prometheus at http://prometheus:9090: expected the CPU use of some node; got none; ")
    assert "node_exporter or Kepler 0.10" in words


async def test_series_that_name_no_node_are_why_there_is_none() -> None:
    kind, words = await trouble(prometheus(seen({("job=node",): 0.5})))
    assert kind == "empty"
    assert "a series without a label that names its node (node, node_name, " in words


async def test_what_prometheus_warns_of_is_kept_with_what_came() -> None:
    def partial(request: httpx.Request) -> httpx.Response:
        series = seen({("a",): 0.2}).get(request.url.params["query"], {})
        return httpx.Response(200, content=json.dumps(vector(series, warnings=["store-1 is away"])))

    report = await fetch(partial)
    assert cpu(report) == {"a": 0.2}
    assert report.problems == ("Prometheus says: store-1 is away",)


@pytest.mark.parametrize(("seconds", "text"), [(300.0, "300s"), (0.5, "500ms"), (90.25, "90250ms")])
def test_a_length_of_time_is_written_as_promql_has_it(seconds: float, text: str) -> None:
    assert promql_duration(seconds) == text
