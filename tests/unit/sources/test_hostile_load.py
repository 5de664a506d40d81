"""A broken or hostile load source fails one fetch with one error; it takes no memory and delays nothing else."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from functools import partial
from types import MappingProxyType
from typing import Any

import httpx
import pytest

from peaks_scheduler.commands.import_models.kepler_server import ask
from peaks_scheduler.daemon.keepers.load import LoadKeeper
from peaks_scheduler.errors import LoadError
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.ledger.node_load import LoadReport, NodeLoad
from peaks_scheduler.observability.telemetry import Telemetry
from peaks_scheduler.sources import node_identity as identity
from peaks_scheduler.sources.json_reader import JsonReader
from peaks_scheduler.sources.limits import Limits
from peaks_scheduler.sources.load_watcher import LoadWatcher, read_report
from peaks_scheduler.sources.metrics_server import MetricsServer
from peaks_scheduler.sources.off_loop import off_loop
from peaks_scheduler.sources.prometheus.answers import read_matrix, read_vector
from peaks_scheduler.sources.prometheus.api import PrometheusApi
from peaks_scheduler.sources.prometheus.labels import Labels
from peaks_scheduler.sources.prometheus.load import PrometheusLoad

NOW = 1_795_394_835.0
MIB = 2**20
FEW = 3  # nodes
Handler = Callable[[httpx.Request], httpx.Response]


def watcher(nodes: str) -> bytes:
    window = '{"duration":"15m","start":1795393929,"end":1795394829}'
    return f'{{"timestamp":1795394830,"window":{window},"data":{{"NodeMetricsMap":{nodes}}}}}'.encode()


def vector(result: str) -> bytes:
    return f'{{"status":"success","data":{{"resultType":"vector","result":{result}}}}}'.encode()


def labelled(**labels: str) -> str:
    return json.dumps({"metric": labels, "value": [NOW, "0.5"]})


async def from_watcher(handler: Handler, nodes: int = FEW) -> LoadReport:
    source = LoadWatcher("http://lw:2020", 5.0, lambda: NOW, httpx.MockTransport(handler), lambda: nodes)
    try:
        return await source.fetch()
    finally:
        await source.aclose()


async def from_prometheus(handler: Handler, nodes: int = FEW) -> LoadReport:
    api = PrometheusApi(
        "http://prometheus:9090", clock=lambda: NOW, transport=httpx.MockTransport(handler), nodes=lambda: nodes
    )
    try:
        return await PrometheusLoad(api, clock=lambda: NOW).fetch()
    finally:
        await api.aclose()


SOURCES = pytest.mark.parametrize("fetch", [from_watcher, from_prometheus], ids=["load-watcher", "Prometheus"])


async def refusal(fetch: Any, handler: Handler) -> str:
    with pytest.raises(LoadError) as caught:
        await fetch(handler)
    assert caught.value.kind == "malformed"
    return str(caught.value)


class Peak:
    """The most memory that was in use since ``start``."""

    def start(self) -> None:
        tracemalloc.reset_peak()
        self._before = tracemalloc.get_traced_memory()[0]

    @property
    def size(self) -> int:
        """[bytes]"""
        return tracemalloc.get_traced_memory()[1] - self._before


@pytest.fixture
def peak() -> Iterator[Peak]:
    tracemalloc.start()
    yield Peak()
    tracemalloc.stop()


class Parts(httpx.AsyncByteStream):
    """An endless body, in parts."""

    def __init__(self, part: bytes) -> None:
        self.part, self.sent = part, 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            self.sent += 1
            yield self.part


# --- on the way -------------------------------------------------------------------------------------------------------


@SOURCES
async def test_nothing_is_asked_for_compressed(fetch: Any) -> None:
    asked = set()

    def handler(request: httpx.Request) -> httpx.Response:
        asked.add(request.headers["Accept-Encoding"])
        return httpx.Response(500)

    with suppress(LoadError):
        await fetch(handler)
    assert asked == {"identity"}


@SOURCES
@pytest.mark.parametrize("encoding", ["gzip", "gzip, gzip", "identity, gzip", "deflate", "br", "zstd", "x-own"])
async def test_a_body_that_is_compressed_all_the_same_is_not_unpacked(fetch: Any, encoding: str, peak: Peak) -> None:
    bomb = gzip.compress(gzip.compress(b"0" * (64 * MIB))) if encoding == "gzip, gzip" else gzip.compress(b"0" * MIB)
    peak.start()
    headers = {"Content-Encoding": encoding}
    text = await refusal(fetch, lambda request: httpx.Response(200, headers=headers, stream=httpx.ByteStream(bomb)))
    assert f"Content-Encoding '{encoding}': switch compression off there, or in the proxy in front of it" in text
    assert peak.size < 2 * MIB


@SOURCES
async def test_an_error_page_that_is_compressed_is_known_by_its_status_alone(fetch: Any) -> None:
    page = httpx.ByteStream(gzip.compress(b"0" * MIB))
    with pytest.raises(LoadError) as caught:
        await fetch(lambda request: httpx.Response(502, headers={"Content-Encoding": "gzip"}, stream=page))
    assert caught.value.kind == "http-502"


def test_keplers_model_server_is_asked_for_nothing_compressed_either(peak: Peak) -> None:
    bomb = httpx.ByteStream(gzip.compress(gzip.compress(b"0" * (64 * MIB))))

    def handler(request: httpx.Request) -> httpx.Response:
        assert request.headers["Accept-Encoding"] == "identity"
        return httpx.Response(200, headers={"Content-Encoding": "gzip, gzip"}, stream=bomb)

    peak.start()
    with pytest.raises(LoadError, match="switch compression off"):
        ask("http://kepler:8100", {"source": "x"}, httpx.MockTransport(handler))
    assert peak.size < 2 * MIB


@SOURCES
async def test_of_a_small_cluster_four_mib_are_taken_and_no_more(fetch: Any) -> None:
    endless = Parts(b" " * 2**16)
    text = await refusal(fetch, lambda request: httpx.Response(200, stream=endless))
    assert "expected at most 4 MiB; more came" in text
    assert endless.sent * 2**16 <= 5 * 4 * MIB + 5 * 2**16  # Prometheus is asked five times


@SOURCES
async def test_a_body_that_is_announced_as_too_large_is_not_begun(fetch: Any) -> None:
    body = Parts(b" ")
    headers = {"Content-Length": str(2**40)}
    assert "MiB; more came" in await refusal(fetch, lambda request: httpx.Response(200, headers=headers, stream=body))
    assert body.sent == 0


async def test_a_body_of_single_bytes_is_given_up_and_lets_others_have_their_turns() -> None:
    drips, turns = Parts(b" "), 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    assert "in parts of some size" in await refusal(from_watcher, lambda request: httpx.Response(200, stream=drips))
    task.cancel()
    assert drips.sent < 20_000
    assert turns > drips.sent / 100


@SOURCES
async def test_of_a_failure_only_the_words_are_taken(fetch: Any) -> None:
    endless = Parts(b"x" * 2**14)
    with pytest.raises(LoadError) as caught:
        await fetch(lambda request: httpx.Response(503, stream=endless))
    assert caught.value.kind == "http-503"
    assert endless.sent <= 5 * 4


async def test_what_a_server_sets_as_cookies_is_neither_kept_nor_sent() -> None:
    sent: list[str | None] = []

    def handler(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers.get("Cookie"))
        return httpx.Response(500, headers={"Set-Cookie": f"name-{len(sent)}=value; Path=/"})

    source = LoadWatcher("http://lw.example.org:2020", 5.0, lambda: NOW, httpx.MockTransport(handler))
    for _ in range(3):
        with suppress(LoadError):
            await source.fetch()
    await source.aclose()
    assert sent == [None] * 3


@SOURCES
async def test_a_redirect_is_an_answer_like_any_other(fetch: Any) -> None:
    asked = set()

    def handler(request: httpx.Request) -> httpx.Response:
        asked.add(request.url.host)
        return httpx.Response(302, headers={"Location": "http://elsewhere/"})

    with pytest.raises(LoadError) as caught:
        await fetch(handler)
    assert caught.value.kind == "http-302"
    assert "elsewhere" not in asked


# --- how much is read -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("read", "body"),
    [
        (read_report, watcher("{" + ",".join(f'"n{i}":{{}}' for i in range(200_000)) + "}")),
        (read_report, watcher("[" + ",".join(["{}"] * MIB) + "]")),
        (read_report, b"[" + b",".join([b"{}"] * MIB) + b"]"),
        (read_report, watcher('{"a":{"metrics":[' + ",".join(["{}"] * MIB) + "]}}")),
        (read_vector, vector("[" + ",".join(["{}"] * MIB) + "]")),
        (read_vector, vector("[" + ",".join(["1"] * MIB) + "]")),
        (read_vector, vector('[{"metric":{' + ",".join(f'"l{i}":""' for i in range(200_000)) + "}}]")),
        (read_matrix, vector('[{"values":[' + ",".join(['[1,"1"]'] * MIB) + "]}]")),
        (read_matrix, b'{"data":{},"warnings":[' + b",".join([b'""'] * MIB) + b"]}"),
    ],
    ids=[
        *("many nodes", "no map", "no object", "a large node"),
        *("many series", "numbers", "many labels", "many values", "many warnings"),
    ],
)
def test_more_than_a_cluster_can_have_is_refused_before_it_is_in_memory(read: Any, body: bytes, peak: Peak) -> None:
    peak.start()
    limits = Limits.of_nodes(FEW)
    with pytest.raises(LoadError) as caught:
        read(body, NOW, None, 0.0, limits) if read is read_report else read(body, limits)
    assert caught.value.kind == "malformed"
    # 200,000 nodes or a million objects are 60 MB and more
    assert peak.size < (16 if read is read_matrix else 8) * MIB


def test_labels_take_no_more_memory_than_they_have_bytes(peak: Peak) -> None:
    many = ",".join(
        labelled(instance=f"n{i}", **{f"l{j:04x}": f"v{i * 100 + j:06x}" for j in range(100)}) for i in range(2000)
    )
    body = vector(f"[{many}]")
    peak.start()
    found = read_vector(body)
    assert len(found.samples) == 2000
    assert peak.size < 2 * len(body)


def test_labels_are_equal_whatever_their_order_and_may_be_keys() -> None:
    one, other = Labels({"a": "1", "b": "2"}), Labels({"b": "2", "a": "1"})
    assert one == other == {"a": "1", "b": "2"}
    assert len({one, other}) == 1
    assert one.without(lambda name: name == "a") == {"b": "2"}


async def test_a_cluster_of_unknown_size_may_be_large() -> None:
    body = watcher(
        "{" + ",".join(f'"node-{i}":{{"metrics":[{{"type":"CPU","value":1}}]}}' for i in range(20_000)) + "}"
    )
    report = await from_watcher(lambda request: httpx.Response(200, content=body), nodes=0)
    assert len(report.nodes) == 20_000
    assert "expected at most 10,000 nodes" in await refusal(
        from_watcher, lambda request: httpx.Response(200, content=body)
    )


def test_a_piece_may_cross_every_border_between_two_reads() -> None:
    # letters of one to four bytes around the 65,536th byte
    for shift in range(8):
        text = json.dumps({"a" * shift: "ä€😀x" * 20_000, "n": 12345.5}, ensure_ascii=False)
        reader = JsonReader(text.encode(), most=2**20)
        assert {key: reader.value() for key in reader.members()} == json.loads(text)


async def test_metrics_server_with_pages_without_end_is_given_up() -> None:
    pages = 0

    async def get_json(path: str, query: Any) -> dict[str, Any]:
        nonlocal pages
        pages += 1
        return {"items": [{}] * 500, "metadata": {"continue": f"page-{pages}"}}

    with pytest.raises(LoadError, match="expected at most 10,000 nodes in this cluster; more came"):
        await MetricsServer(get_json, clock=lambda: NOW, nodes=lambda: FEW).fetch()
    assert pages == 21


# --- what cannot be read ----------------------------------------------------------------------------------------------

ODD = {
    "nested": "[" * 50_000,
    "an integer of 5,000 digits": "1" * 5_000,
    "half a character": '"\\ud800"',
    "a megabyte of digits as text": '"' + "1" * MIB + '"',
    "a word that is none": "nil",
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
@pytest.mark.parametrize(
    ("read", "frame"),
    [
        (partial(read_report, fetched_at=NOW), '{"timestamp":%s,"data":{"NodeMetricsMap":{}}}'),
        (read_vector, '{"data":{"resultType":"vector","result":[{"metric":{"a":"b"},"value":[1,%s]}]}}'),
        (read_vector, '{"data":{"resultType":"vector","result":[{"metric":{"node":%s},"value":[1,"1"]}]}}'),
        (read_matrix, '{"data":{"resultType":"matrix","result":[{"metric":{},"values":[[%s,"1"]]}]}}'),
    ],
    ids=["a time", "a value", "a label", "a sample"],
)
def test_what_cannot_be_read_is_one_error_in_a_few_words(read: Any, frame: str, odd: str) -> None:
    with pytest.raises(LoadError) as caught:
        read((frame % odd).encode())
    assert caught.value.kind in ("malformed", "empty")
    assert len(str(caught.value)) < 500
    str(caught.value).encode()


def test_a_name_that_no_node_can_have_is_left_out_and_the_others_count() -> None:
    node = '{"metrics":[{"type":"CPU","value":50}]}'
    names = ("a", "b" * 600, "\\ud800", "\\u001b[31m")
    report = read_report(watcher("{" + ",".join(f'"{name}":{node}' for name in names) + "}"), NOW)
    assert set(report.nodes) == {"a"}
    assert report.problems == ("a name that no node can have",)


def test_a_name_given_twice_counts_once_and_is_said() -> None:
    first, second = (f'{{"metrics":[{{"type":"CPU","value":{value}}}]}}' for value in (10, 20))
    report = read_report(watcher(f'{{"a":{first},"a":{second}}}'), NOW)
    assert report.nodes["a"].cpu == pytest.approx(0.2)
    assert report.problems == ("a name that comes twice, the last one is used",)


async def test_a_sample_of_a_time_that_cannot_be_is_taken_as_of_the_window() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        value = "1e300" if "timestamp(" in request.url.params["query"] else "0.5"
        sample = {"metric": {"node": "a"}, "value": [NOW, value]}
        return httpx.Response(200, json={"data": {"resultType": "vector", "result": [sample]}})

    report = await from_prometheus(handler)
    assert report.nodes["a"].window_end == NOW - 300.0
    assert any("the time of the newest sample is not known" in problem for problem in report.problems)


# --- where it is read -------------------------------------------------------------------------------------------------


async def test_all_that_is_read_off_the_loop_is_read_by_one_thread() -> None:
    threads = set(await asyncio.gather(*(off_loop(threading.get_ident) for _ in range(5))))
    assert len(threads) == 1
    assert threading.get_ident() not in threads


class Noted(dict[str, NodeLoad]):
    """Loads that record which threads read them."""

    def __init__(self, count: int) -> None:
        super().__init__({f"10.0.{i // 250}.{i % 250}:9100": NodeLoad(0.5, NOW - 60.0, NOW) for i in range(count)})
        self.threads: set[int] = set()

    def __iter__(self) -> Iterator[str]:
        self.threads.add(threading.get_ident())
        return super().__iter__()


@pytest.mark.parametrize(("count", "threads"), [(20, 1), (2000, 2)])
async def test_many_names_are_matched_with_nodes_off_the_loop(count: int, threads: int) -> None:
    noted = Noted(count)

    class Source:
        name = "noted"

        async def fetch(self) -> LoadReport:
            return LoadReport(MappingProxyType(noted), NOW, NOW)

        async def aclose(self) -> None:
            pass

    keeper = LoadKeeper(Source(), 15.0, Ledger(), Telemetry("Peaks"), lambda: None, lambda: NOW)
    await keeper.once()
    assert not keeper.failure
    assert len(noted.threads) == threads


def test_a_name_longer_than_any_nodes_is_not_kept() -> None:
    before = len(identity._identity)
    assert identity.identity("x" * 100_000) == "x" * 100_000
    assert len(identity._identity) == before
