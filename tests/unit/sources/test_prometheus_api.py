"""The requests to Prometheus, what is read from its answers, and the errors."""

import asyncio
import json
import math
import socket
import ssl
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peaks_scheduler.errors import ConfigurationError, LoadError
from peaks_scheduler.settings.http_headers import Header
from peaks_scheduler.sources.prometheus.answers import Matrix, Sample, Vector, read_matrix, read_vector
from peaks_scheduler.sources.prometheus.api import MOST_POINTS, PrometheusApi

NOW = 1_795_394_835.0

Handler = Callable[[httpx.Request], httpx.Response]


def body(kind: str, result: Any, **fields: Any) -> dict[str, Any]:
    return {"status": "success", "data": {"resultType": kind, "result": result}, **fields}


def series(value: str, **labels: str) -> dict[str, Any]:
    return {"metric": labels, "value": [NOW, value]}


def api(handler: Handler, address: str = "http://prometheus:9090", **how: Any) -> PrometheusApi:
    return PrometheusApi(address, clock=lambda: NOW, transport=httpx.MockTransport(handler), **how)


def answering(body: Any, status: int = 200, **headers: str) -> Handler:
    return lambda request: httpx.Response(status, json=body, headers=headers)


async def query(handler: Handler, promql: str = "up", **how: Any) -> Vector:
    asked = api(handler, **how)
    try:
        return await asked.query(promql)
    finally:
        await asked.aclose()


async def trouble(handler: Handler, **how: Any) -> tuple[str, str]:
    with pytest.raises(LoadError) as caught:
        await query(handler, **how)
    return caught.value.kind, str(caught.value)


# --- instant queries --------------------------------------------------------------------------------------------------


async def test_a_vector_has_every_series_with_its_labels_and_value() -> None:
    vector = await query(answering(body("vector", [series("0.25", node="a"), series("1e3", node="b")])))
    assert vector.samples == (Sample({"node": "a"}, NOW, 0.25), Sample({"node": "b"}, NOW, 1000.0))
    assert vector.problems == ()


@pytest.mark.parametrize(("text", "value"), [("NaN", math.nan), ("+Inf", math.inf), ("-Inf", -math.inf), ("-0", 0.0)])
async def test_a_value_that_is_no_finite_number_comes_out_as_it_is(text: str, value: float) -> None:
    vector = await query(answering(body("vector", [series(text)])))
    assert vector.samples[0].value == pytest.approx(value, nan_ok=True)


async def test_a_scalar_is_one_sample_without_labels() -> None:
    assert (await query(answering(body("scalar", [NOW, "3"])))).samples == (Sample({}, NOW, 3.0),)


async def test_no_series_is_an_empty_answer_and_no_error() -> None:
    assert (await query(answering(body("vector", [])))).samples == ()


async def test_what_prometheus_warns_of_is_a_problem_of_the_answer() -> None:
    partial = body("vector", [series("1")], warnings=["store-1 is away"], infos=["might not be a counter"])
    vector = await query(answering(partial))
    assert vector.problems == ("Prometheus says: store-1 is away", "Prometheus says: might not be a counter")
    assert len(vector.samples) == 1


async def test_a_histogram_is_left_out_and_said_so() -> None:
    vector = await query(answering(body("vector", [{"metric": {}, "histogram": [NOW, {"count": "1"}]}, series("1")])))
    assert len(vector.samples) == 1
    assert vector.problems == ("histograms, which are no numbers, were left out",)


async def test_the_query_is_sent_as_it_stands_with_its_time_and_our_time_limit() -> None:
    asked = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append((request.method, request.url.path, dict(request.url.params)))
        return httpx.Response(200, json=body("vector", []))

    one = api(handler, "http://prometheus:9090/prefix/", timeout=7.0)
    await one.query('up{job="a b&c"} > 0', at=1000.5)
    await one.aclose()
    parameters = {"query": 'up{job="a b&c"} > 0', "time": "1000.500", "timeout": "7s"}
    assert asked == [("GET", "/prefix/api/v1/query", parameters)]


async def test_a_query_too_long_for_a_url_goes_in_the_body() -> None:
    long, asked = "up" + " or up" * 1000, []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append((request.method, request.url.query, httpx.QueryParams(request.content.decode())["query"]))
        return httpx.Response(200, json=body("vector", []))

    await query(handler, long)
    assert asked == [("POST", b"", long)]


async def test_prometheus_clock_is_known_from_its_answer() -> None:
    vector = await query(answering(body("vector", []), Date=formatdate(NOW + 100.0, usegmt=True)))
    # the header's second is taken at its middle
    assert vector.clock_offset == vector.correction == pytest.approx(100.5)
    near = await query(answering(body("vector", []), Date=formatdate(NOW, usegmt=True)))
    assert (near.clock_offset, near.correction) == (pytest.approx(0.5), 0.0)


# --- range queries ----------------------------------------------------------------------------------------------------


class Recorded:
    """Answers every range with the series ``of``, a sample at every step; refuses what Prometheus would refuse."""

    def __init__(self, *, most_samples: int = 10**9) -> None:
        self.most_samples = most_samples
        self.points: list[int] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        start, end, step = (float(request.url.params[name]) for name in ("start", "end", "step"))
        if (end - start) / step > MOST_POINTS:
            error = "exceeded maximum resolution of 11,000 points per timeseries"
            return httpx.Response(400, json={"status": "error", "errorType": "bad_data", "error": error})
        times = np.arange(start, end + step / 2, step)
        if len(times) > self.most_samples:
            error = "query processing would load too many samples into memory in query execution"
            return httpx.Response(422, json={"status": "error", "errorType": "execution", "error": error})
        self.points.append(len(times))
        values = [[float(time), f"{time * 2}"] for time in times]
        return httpx.Response(200, json=body("matrix", [{"metric": {"node": "a"}, "values": values}], warnings=["w"]))


async def ranged(handler: Handler, start: float, end: float, step: float, **how: Any) -> Matrix:
    asked = api(handler)
    try:
        return await asked.query_range("watts", start, end, step, **how)
    finally:
        await asked.aclose()


def assert_whole(matrix: Matrix, times: Any) -> None:
    (one,) = matrix.series
    assert one.labels == {"node": "a"}
    assert np.array_equal(one.times, times)
    assert np.array_equal(one.values, one.times * 2)


async def test_a_week_by_the_minute_is_one_request() -> None:
    recorded = Recorded()
    assert_whole(await ranged(recorded, 0.0, 604_740.0, 60.0), np.arange(0, 604_800, 60))
    assert recorded.points == [10_080]


async def test_a_range_beyond_what_prometheus_answers_comes_in_parts_and_out_as_one() -> None:
    recorded, told = Recorded(), list[tuple[int, int]]()
    matrix = await ranged(recorded, 1000.0, 31_000.0, 1.0, progress=lambda done, of: told.append((done, of)))
    assert_whole(matrix, np.arange(1000, 31_001))
    assert recorded.points == [11_000, 11_000, 8_001]
    assert told == [(11_000, 30_001), (22_000, 30_001), (30_001, 30_001)]
    assert matrix.problems == ("Prometheus says: w",)


async def test_a_part_with_too_many_samples_for_the_server_is_halved() -> None:
    recorded = Recorded(most_samples=3000)
    assert_whole(await ranged(recorded, 0.0, 10_999.0, 1.0), np.arange(11_000))
    assert recorded.points == [2750] * 4


async def test_a_single_instant_is_a_range_too() -> None:
    assert_whole(await ranged(Recorded(), 60.0, 60.0, 60.0), [60.0])


async def test_a_server_that_gives_up_on_everything_is_not_asked_for_ever() -> None:
    asked = []

    def gives_up(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(503, json={"errorType": "timeout", "error": "query timed out in expression evaluation"})

    with pytest.raises(LoadError, match="query timed out in expression evaluation") as caught:
        await ranged(gives_up, 0.0, 100_000.0, 1.0)
    assert caught.value.kind == "timeout"
    assert len(asked) <= 6


@pytest.mark.parametrize(("start", "end", "step"), [(1.0, 0.0, 1.0), (0.0, 1.0, 0.0), (0.0, math.nan, 1.0)])
async def test_a_range_that_is_none_is_refused(start: float, end: float, step: float) -> None:
    with pytest.raises(ValueError, match="expected start <= end"):
        await ranged(Recorded(), start, end, step)


async def test_series_of_other_labels_stay_apart_and_one_may_come_late() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        late = float(request.url.params["start"]) > 0.0
        result = [{"metric": {"node": name}, "values": [[1.0, "1"]]} for name in (("b", "a") if late else ("a",))]
        return httpx.Response(200, json=body("matrix", result))

    matrix = await ranged(handler, 0.0, 12_000.0, 1.0)
    assert {each.labels["node"]: len(each.times) for each in matrix.series} == {"a": 2, "b": 1}


# --- who asks ---------------------------------------------------------------------------------------------------------


async def test_a_token_is_read_at_every_request(tmp_path: Path) -> None:
    asked, token = [], tmp_path / "token"

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers["Authorization"])
        return httpx.Response(200, json=body("vector", []))

    token.write_text("first\n")
    one = api(handler, token_file=str(token))
    await one.query("up")
    token.write_text("second")
    await one.query("up")
    await one.aclose()
    assert asked == ["Bearer first", "Bearer second"]


async def test_user_and_password_of_a_file_are_used(tmp_path: Path) -> None:
    asked, password = [], tmp_path / "password"
    password.write_text("pass word\n")

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers["Authorization"])
        return httpx.Response(200, json=body("vector", []))

    await query(handler, username="me", password_file=str(password))
    assert asked == ["Basic " + b64encode(b"me:pass word").decode()]


@pytest.mark.parametrize(
    "content",
    [None, b"", b"two\nlines", b"\xff\xfe", "naïve".encode()],
    ids=["missing", "empty", "lines", "binary", "no ASCII"],
)
async def test_a_token_file_that_holds_none_is_named_and_nothing_is_sent(content: bytes | None, tmp_path: Path) -> None:
    token = tmp_path / "token"
    if content is not None:
        token.write_bytes(content)
    kind, words = await trouble(answering(body("vector", [])), token_file=str(token))
    assert kind == "unauthorized"
    assert str(token) in words


async def test_a_password_of_the_address_is_used_and_never_told(caplog: pytest.LogCaptureFixture) -> None:
    asked = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers["Authorization"])
        return httpx.Response(401)

    caplog.set_level("INFO")
    _, words = await trouble(handler, address="http://me:secret@prometheus:9090")
    assert asked == ["Basic " + b64encode(b"me:secret").decode()]
    assert "secret" not in words + caplog.text


async def test_headers_are_sent_with_every_request_and_a_file_is_read_each_time(tmp_path: Path) -> None:
    asked, file = [], tmp_path / "tenant"

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append((request.headers["X-Scope-OrgID"], request.headers["X-Name"], request.headers["Authorization"]))
        return httpx.Response(200, json=body("matrix" if "range" in request.url.path else "vector", []))

    (token := tmp_path / "token").write_text("t")
    file.write_text("team-a\n")
    headers = (Header("X-Scope-OrgID", file=str(file)), Header("X-Name", "caf\u00e9"))
    one = api(handler, headers=headers, token_file=str(token))
    await one.query("up")
    file.write_text("team-b")
    await one.query_range("up", 0.0, 60.0, 60.0)
    await one.aclose()
    assert asked == [("team-a", "caf\u00e9", "Bearer t"), ("team-b", "caf\u00e9", "Bearer t")]


async def test_an_authorization_of_ones_own_is_sent_as_it_stands() -> None:
    asked = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers["Authorization"])
        return httpx.Response(200, json=body("vector", []))

    await query(handler, headers=(Header("Authorization", "ApiKey abc"),))
    assert asked == ["ApiKey abc"]


@pytest.mark.parametrize("content", [None, b"", b"two\nlines", b"\xff\xfe\x00", "\u20ac".encode()])
async def test_a_header_file_that_holds_none_is_named_and_nothing_is_sent(
    content: bytes | None, tmp_path: Path
) -> None:
    file = tmp_path / "tenant"
    if content is not None:
        file.write_bytes(content)
    kind, words = await trouble(answering(body("vector", [])), headers=(Header("X-Key", file=str(file)),))
    assert kind == "unauthorized"
    assert str(file) in words
    assert "lines" not in words


SAID: dict[str, tuple[int, bytes, str, str]] = {
    "Mimir without a tenant": (
        401,
        b"no org id\n",
        "unauthorized",
        "401: no org id (a tenant is a header: prometheus.",
    ),
    "a proxy's JSON": (401, b'{"message": "token expired"}', "unauthorized", "401: token expired"),
    "an oauth proxy": (401, b'{"error": "x", "error_description": "no"}', "unauthorized", "401: x"),
    "a nested message": (
        403,
        b'{"error": {"code": 7, "message": "no role"}}',
        "forbidden",
        "may not query it: no role",
    ),
    "Kubernetes": (403, b'{"kind": "Status", "message": "forbidden: User x"}', "forbidden", "forbidden: User x"),
    "plain text": (403, b"RBAC: access denied", "forbidden", "RBAC: access denied"),
    "a page": (502, b"<html><title>502 Bad\n Gateway</title>..", "http-502", "got 502: 502 Bad Gateway: see its log"),
    "too much": (429, b"too many outstanding requests", "http-429", "got 429: too many outstanding requests"),
    "a limit": (422, b"the query hit the max number of chunks", "http-422", "the query hit the max number of chunks"),
    "several lines": (500, b"one\ntwo\x1b[31m\tthree", "http-500", "one two [31m three"),
    "no text": (500, b"\xff\xfe\x00", "http-500", "expected 200; got 500: see its log"),
    "what we sent": (401, b"unknown key open-sesame!", "unauthorized", "401: unknown key ***!"),
    "a tenant": (404, b"tenant not found", "http-404", "tenant not found (a tenant is a header"),
}


@pytest.mark.parametrize(("status", "content", "kind", "words"), SAID.values(), ids=list(SAID))
async def test_what_the_server_says_is_shown(status: int, content: bytes, kind: str, words: str) -> None:
    headers = (Header("X-Key", "open-sesame"),)
    got, text = await trouble(lambda request: httpx.Response(status, content=content), headers=headers)
    assert got == kind
    assert words in text
    assert "open-sesame" not in text
    assert text.isprintable()


async def test_a_server_that_says_much_is_cut_short() -> None:
    _, text = await trouble(lambda request: httpx.Response(500, content=b"word " * 10_000))
    assert len(text) < 500


@pytest.mark.parametrize("content", [None, "no certificate"], ids=["missing", "no certificate"])
def test_a_ca_file_that_is_none_is_refused_at_once(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigurationError, match=r"ca\.pem: expected certificates in PEM form"):
        PrometheusApi("https://prometheus:9090", ca_file=str(file))


@pytest.mark.parametrize("address", ["", "prometheus:9090", "ftp://prometheus", "http://prometheus?x=1"])
def test_a_wrong_address_is_refused_with_an_example(address: str) -> None:
    with pytest.raises(ConfigurationError, match="expected a URL such as http://prometheus"):
        PrometheusApi(address)


# --- what goes wrong --------------------------------------------------------------------------------------------------

ERROR = {"status": "error", "errorType": "bad_data", "error": "1:4: parse error: unclosed left brace"}

REFUSED = {
    "no token": (401, {}, "unauthorized", "401: the token, or user and password, are not accepted"),
    "no right": (403, {}, "forbidden", "403: the token or user may not query it"),
    "a wrong query": (400, ERROR, "query", "it refused 'up': 1:4: parse error: unclosed left brace"),
    "a query that cannot be run": (422, ERROR | {"errorType": "execution"}, "query", "it refused 'up'"),
    "given up": (503, ERROR | {"errorType": "timeout"}, "timeout", "it gave up on 'up'"),
    "another server": (404, None, "http-404", "is this the address of a Prometheus, without /api/v1?"),
    "a login page": (302, None, "http-302", "does it want a login?"),
    "out of order": (500, {"errorType": "internal", "error": "disk"}, "http-500", "expected 200; got 500: disk"),
    "a gateway's page": (502, None, "http-502", "expected 200; got 502: see its log"),
    "a list": (500, [], "http-500", "expected 200; got 500"),
}


@pytest.mark.parametrize(("status", "said", "kind", "words"), REFUSED.values(), ids=REFUSED)
async def test_a_refusal_says_what_to_do(status: int, said: Any, kind: str, words: str) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, content=b"<html>" if said is None else json.dumps(said).encode())

    got, text = await trouble(handler)
    assert got == kind
    assert text.startswith("Prometheus at http://prometheus:9090: ")
    assert words in text


def failing(error: Exception, cause: Exception | None = None) -> Handler:
    def handler(request: httpx.Request) -> httpx.Response:
        raise error from cause

    return handler


UNTRUSTED = ssl.SSLCertVerificationError("self-signed certificate")
FAILURES = {
    "refused": (httpx.ConnectError("refused"), None, "unreachable", "is it running?"),
    "unknown host": (httpx.ConnectError("name"), socket.gaierror(-2, "Name not known"), "dns", "check the address"),
    "untrusted": (httpx.ConnectError("tls"), UNTRUSTED, "unreachable", "its certificate is not trusted"),
    "time-out": (httpx.ReadTimeout("slow"), None, "timeout", "no whole answer within 30 s"),
    "broken off": (httpx.RemoteProtocolError("incomplete"), None, "malformed", "it broke off"),
}


@pytest.mark.parametrize(("error", "cause", "kind", "words"), FAILURES.values(), ids=FAILURES)
async def test_a_connection_that_fails_is_told_in_words(
    error: Exception, cause: Exception | None, kind: str, words: str
) -> None:
    got, text = await trouble(failing(error, cause))
    assert got == kind
    assert words in text


async def test_a_server_that_drips_is_given_up_after_the_time_out() -> None:
    async def handler(request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        return httpx.Response(200)

    kind, _ = await trouble(handler, timeout=0.01)  # type: ignore[arg-type]
    assert kind == "timeout"


MALFORMED = {
    "nothing": b"",
    "HTML": b"<html>",
    "no text": b"\xff\xfe",
    "a list": b"[]",
    "no data": b'{"status": "success"}',
    "data null": b'{"status": "success", "data": null}',
    "a result that is none": json.dumps(body("vector", 7)).encode(),
    "a value as number": json.dumps(body("vector", [{"metric": {}, "value": [NOW, 0.5]}])).encode(),
    "a value that is none": json.dumps(body("vector", [series("much")])).encode(),
    "labels a list": json.dumps(body("vector", [{"metric": [], "value": [NOW, "1"]}])).encode(),
    "cut short": json.dumps(body("vector", [series("1")])).encode()[:-10],
    "nested without end": b"[" * 100_000,
}


@pytest.mark.parametrize("content", MALFORMED.values(), ids=MALFORMED)
async def test_what_is_no_answer_of_prometheus_is_malformed(content: bytes) -> None:
    kind, words = await trouble(lambda request: httpx.Response(200, content=content))
    assert kind == "malformed"
    assert "expected " in words


@pytest.mark.parametrize("kind", ["matrix", "string"])
async def test_a_query_that_gives_no_value_a_series_is_named(kind: str) -> None:
    got, words = await trouble(answering(body(kind, [])))
    assert got == "query"
    assert f"to 'up': expected one value a series; it gives a {kind}" in words


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["NaN", "1", "vector", ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["metric", "value", "values", "warnings", "data"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.one_of(anything, st.builds(body, st.sampled_from(["vector", "matrix", "scalar"]), st.lists(anything))))
def test_any_json_is_an_answer_or_a_load_error(whole: Any) -> None:
    for read in (read_vector, read_matrix):
        with suppress(LoadError):
            read(json.dumps(whole).encode())


async def test_a_large_answer_is_read_whole() -> None:
    many = [series(str(i), node=f"node-{i}", pad="x" * 100) for i in range(20_000)]
    vector = await query(answering(body("vector", many)))
    assert [sample.value for sample in vector.samples] == list(range(20_000))
