"""The connection to an inference server: who asks, how often, for how long, and what its errors say."""

import asyncio
from base64 import b64encode
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from peaks_scheduler.errors import PredictorError
from peaks_scheduler.settings.http_headers import Header
from peaks_scheduler.settings.predictors import Access
from peaks_scheduler.sources.predictors.connection import Connection
from tests.support.served_models import Model, V2Server
from tests.support.virtual_time import now, run_virtually

Handler = Callable[[httpx.Request], httpx.Response | Coroutine[Any, Any, httpx.Response]]
URL = "http://inference:8080"
OPEN = Access()


class Server:
    """Answers as ``answers`` say, one after another, the last one for ever; notes requests and when they came."""

    def __init__(self, *answers: httpx.Response | Exception | float) -> None:
        self.answers = list(answers) or [httpx.Response(200, json={})]
        self.asked: list[httpx.Request] = []
        self.times: list[float] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        self.times.append(now())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, float):
            await asyncio.sleep(answer)
            return httpx.Response(200, json={})
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, content=answer.content, headers=answer.headers)


def said(status: int, error: str = "no", **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"error": error}, headers=headers)


def connection(server: Handler, access: Access = OPEN, url: str = URL, timeout: float = 5.0) -> Connection:
    return Connection(url, access, timeout, now, httpx.MockTransport(server))


def asked(server: Server, access: Access = OPEN, path: str = "/v2/models/m", **how: Any) -> list[httpx.Request]:
    run_virtually(connection(server, access).ask(path, **how))
    return server.asked


def trouble(server: Handler, access: Access = OPEN, url: str = URL, timeout: float = 5.0) -> PredictorError:
    with pytest.raises(PredictorError) as caught:
        run_virtually(connection(server, access, url, timeout).ask("/v2/models/m"))
    return caught.value


# --- what is sent -----------------------------------------------------------------------------------------------------


def test_a_question_is_json_that_is_posted() -> None:
    (request,) = asked(Server(), content=b'{"inputs": []}')
    assert (request.method, request.headers["Content-Type"]) == ("POST", "application/json")
    assert request.content == b'{"inputs": []}'


def test_a_question_without_a_body_is_a_get() -> None:
    (request,) = asked(Server())
    assert request.method == "GET"


def test_a_server_behind_a_prefix_is_asked_below_it() -> None:
    server = Server()
    run_virtually(connection(server, url="http://gateway/site-a/").ask("/v2/models/m"))
    assert server.asked[0].url.path == "/site-a/v2/models/m"


def test_the_token_is_read_at_each_request(tmp_path: Path) -> None:
    token = tmp_path / "token"
    server = Server()

    async def twice() -> None:
        one = connection(server, Access(token_file=str(token)))
        for text in ("old\n", "new\n"):
            token.write_text(text)
            await one.ask("/")

    run_virtually(twice())
    assert [each.headers["Authorization"] for each in server.asked] == ["Bearer old", "Bearer new"]


def test_user_and_password_come_from_a_file_or_from_a_secret(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hush\n")
    wanted = "Basic " + b64encode(b"wao:hush").decode()
    by_file = Access(username="wao", password_file=str(tmp_path / "password"))
    for access in (by_file, Access(basic=("wao", "hush")), replace(by_file, username="x", basic=("wao", "hush"))):
        (request,) = asked(Server(), access)
        assert request.headers["Authorization"] == wanted


def test_headers_are_sent_with_every_request(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("secret\n")
    headers = (Header("X-Tenant", "a"), Header("X-Key", file=str(tmp_path / "key")))
    (request,) = asked(Server(), Access(headers=headers))
    assert (request.headers["X-Tenant"], request.headers["X-Key"]) == ("a", "secret")


def test_a_secret_file_that_is_missing_is_named_and_nothing_is_asked() -> None:
    server = Server()
    error = trouble(server, Access(token_file="/nowhere/token"))
    assert (error.kind, server.asked) == ("unauthorized", [])
    assert "token file /nowhere/token" in str(error)


def test_a_server_that_repeats_the_secret_does_not_bring_it_into_a_message(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret")
    error = trouble(Server(said(400, "bad token s3cret")), Access(token_file=str(tmp_path / "token")))
    assert "s3cret" not in str(error)


def test_nobody_sees_a_password_in_a_url() -> None:
    error = trouble(Server(said(400)), url="http://wao:hush@inference:8080")
    assert "hush" not in str(error)


def test_the_credentials_of_a_secret_are_not_shown() -> None:
    assert "hush" not in repr(Access(basic=("wao", "hush")))


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (said(400, "expected FP32"), "http-400", "got 400: expected FP32"),
        (said(401), "unauthorized", "401: no"),
        (said(403), "forbidden", "may not use /v2/models/m: no"),
        (said(404, "Model m not found"), "http-404", "Model m not found: does it serve this model"),
        (said(500, "a\nb\x00c"), "http-500", "got 500: a b c: see its log"),
        (said(503), "http-503", "got 503"),
        (httpx.Response(302, headers={"Location": "/login"}), "http-302", "does it want a login?"),
        (httpx.Response(500, text="<html><title>Oops</title>"), "http-500", "got 500: Oops"),
        (httpx.ConnectError("refused"), "unreachable", "is it running?"),
        (httpx.Response(200, content=b"x" * (2**20 + 1)), "malformed", "at most 1 MiB"),
        (60.0, "timeout", "no whole answer within 5 s"),
    ],
)
def test_an_error_says_what_came_and_what_to_do(answer: Any, kind: str, words: str) -> None:
    error = trouble(Server(answer))
    assert error.kind == kind
    assert str(error).startswith("inference server at http://inference:8080: ")
    assert words in str(error)


def test_the_words_of_a_server_are_bounded() -> None:
    assert len(str(trouble(Server(said(500, "x" * 60_000))))) < 500


def test_a_wrong_address_is_an_error_of_the_question() -> None:
    assert trouble(Server(), url="http://inference:port").kind == "configuration"


# --- again, and not too often -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "first", [said(502), said(503), said(504), said(429), httpx.ConnectError("refused"), httpx.ReadError("reset")]
)
def test_what_may_pass_is_asked_again(first: Any) -> None:
    assert len(asked(Server(first, first, httpx.Response(200, json={})))) == 3


@pytest.mark.parametrize("first", [said(400), said(401), said(404), said(500)])
def test_what_will_not_pass_is_not_asked_again(first: Any) -> None:
    server = Server(first)
    trouble(server)
    assert len(server.asked) == 1


def test_a_connection_that_was_closed_while_it_was_idle_is_opened_again() -> None:
    gone = httpx.RemoteProtocolError("Server disconnected without sending a response.")
    assert len(asked(Server(gone, httpx.Response(200, json={})))) == 2


def test_it_is_asked_three_times_at_most_with_growing_pauses() -> None:
    server = Server(said(503))
    trouble(server)
    first, second, third = server.times
    assert 0.2 <= second - first <= 0.3
    assert 0.4 <= third - second <= 0.6


def test_a_server_that_says_when_is_asked_then() -> None:
    server = Server(said(429, **{"Retry-After": "2"}), httpx.Response(200, json={}))
    asked(server)
    assert 2.0 <= server.times[1] - server.times[0] <= 3.0


def test_a_server_that_wants_to_be_left_alone_for_long_is() -> None:
    server = Server(said(503, **{"Retry-After": "3600"}))
    trouble(server)
    assert len(server.asked) == 1


def test_retries_are_within_the_time_limit() -> None:
    server = Server(said(503), 60.0)
    error = trouble(server, timeout=2.0)
    assert error.kind == "timeout"
    # virtual time: the limit to the digit
    assert len(server.asked) == 2


def test_a_server_that_never_answers_is_given_up_after_the_time_limit() -> None:
    async def scenario() -> float:
        begun = now()
        with pytest.raises(PredictorError):
            await connection(Server(3600.0), timeout=2.0).ask("/")
        return now() - begun

    assert run_virtually(scenario()) == pytest.approx(2.0)


async def failures(one: Connection, path: str, times: int) -> str:
    text = ""
    for _ in range(times):
        with pytest.raises(PredictorError) as caught:
            await one.ask(path)
        text = str(caught.value)
    return text


def test_a_model_that_hangs_is_asked_less_often() -> None:
    server = Server(3600.0)
    text = run_virtually(failures(connection(server), "/v2/models/a", 20))
    assert "asked less often" in text
    assert len(server.asked) == 3


def test_a_server_of_which_three_models_hang_is_asked_less_often_whatever_the_model() -> None:
    server = Server(3600.0)

    async def scenario() -> None:
        one = connection(server)
        for name in "abcdefgh":
            await failures(one, f"/v2/models/{name}", 1)

    run_virtually(scenario())
    assert len(server.asked) == 3


def test_a_model_that_hangs_does_not_hold_up_the_others_of_its_server() -> None:
    async def answer(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(3600.0 if request.url.path == "/bad" else 0.0)
        return httpx.Response(200, json={})

    async def scenario() -> bytes | bytearray:
        one = connection(answer)
        # many at once, as a question in parts
        await asyncio.gather(*(one.ask("/bad") for _ in range(8)), return_exceptions=True)
        return await one.ask("/good")

    assert run_virtually(scenario()) == b"{}"


def test_and_again_when_the_pause_is_over() -> None:
    server = Server(3600.0, 3600.0, 3600.0, httpx.Response(200, json={}))

    async def scenario() -> int:
        one = connection(server)
        await failures(one, "/", 4)
        await asyncio.sleep(30.0)
        await one.ask("/")
        await one.ask("/")
        return len(server.asked)

    assert run_virtually(scenario()) == 5


def test_a_model_that_fails_does_not_hold_up_the_others_of_its_server() -> None:
    async def answer(request: httpx.Request) -> httpx.Response:
        return said(500) if request.url.path == "/bad" else httpx.Response(200, json={})

    async def scenario() -> str:
        one = connection(answer)
        text = await failures(one, "/bad", 4)
        assert await one.ask("/good") == b"{}"
        return text

    assert "asked less often" in run_virtually(scenario())


def test_a_model_that_is_not_there_is_asked_for_every_time() -> None:
    server = Server(said(404))
    run_virtually(failures(connection(server), "/", 6))
    assert len(server.asked) == 6


def test_a_refusal_shows_that_the_server_is_back() -> None:
    server = Server(3600.0, 3600.0, 3600.0, said(404))

    async def scenario() -> None:
        one = connection(server)
        await failures(one, "/", 3)
        await asyncio.sleep(30.0)
        await failures(one, "/", 4)

    run_virtually(scenario())
    assert len(server.asked) == 7


def test_a_model_that_rests_does_not_use_up_the_servers_turn() -> None:
    """After the pause the server may be tried once: not by a question that is not sent anyway."""

    async def answer(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.0 if now() > 1060.0 else 3600.0)
        return httpx.Response(200, json={})

    async def scenario() -> bytes | bytearray:
        one = connection(answer, timeout=1.0)
        await failures(one, "/a", 3)
        await asyncio.sleep(30.0)
        # one more failure: it rests for a minute, and two other models make its server rest for half of one
        for path in ("/a", "/b", "/c"):
            await failures(one, path, 1)
        await asyncio.sleep(31.0)
        await failures(one, "/a", 1)
        return await one.ask("/d")

    assert run_virtually(scenario()) == b"{}"


def test_eight_requests_at_once_are_the_most() -> None:
    at_once = most = 0

    async def answer(_: httpx.Request) -> httpx.Response:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.1)
        at_once -= 1
        return httpx.Response(200, json={})

    async def scenario() -> None:
        one = connection(answer)
        await asyncio.gather(*(one.ask("/") for _ in range(50)))

    run_virtually(scenario())
    assert most == 8


def test_a_closed_connection_asks_nobody() -> None:
    server = Server()

    async def scenario() -> None:
        one = connection(server)
        await one.aclose()
        await failures(one, "/", 1)

    run_virtually(scenario())
    assert server.asked == []


# --- TLS, with a real server ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


async def over_tls(authority: trustme.CA, access: Access) -> bytes | bytearray:
    with V2Server({"m": Model(lambda rows: rows[:, 0])}, ca=authority) as server:
        one = Connection(server.url, access, 10.0, now)
        try:
            return await one.ask("/v2/models/m")
        finally:
            await one.aclose()


async def test_a_server_whose_ca_is_given_is_trusted(authority: trustme.CA, tmp_path: Path) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    assert b'"inputs"' in await over_tls(authority, Access(ca_file=str(tmp_path / "ca.pem")))


async def test_a_server_is_not_trusted_without_its_ca(authority: trustme.CA) -> None:
    with pytest.raises(PredictorError, match="signed by a CA that is not trusted here"):
        await over_tls(authority, Access())


async def test_any_certificate_is_accepted_only_where_the_configuration_says_so(authority: trustme.CA) -> None:
    assert b'"inputs"' in await over_tls(authority, Access(insecure_skip_verify=True))


async def test_a_missing_ca_file_is_an_error_of_the_question(authority: trustme.CA) -> None:
    with pytest.raises(PredictorError, match=r"/nowhere/ca\.pem") as caught:
        await over_tls(authority, Access(ca_file="/nowhere/ca.pem"))
    assert caught.value.kind == "configuration"


async def test_a_ca_file_that_was_renewed_counts_without_a_restart(authority: trustme.CA, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    with V2Server({"m": Model(lambda rows: rows[:, 0])}, ca=authority) as server:
        one = Connection(server.url, Access(ca_file=str(file)), 10.0, now)
        with pytest.raises(PredictorError, match="not trusted"):
            await one.ask("/v2/models/m")
        authority.cert_pem.write_to_path(str(file))
        assert b'"inputs"' in await one.ask("/v2/models/m")
        await one.aclose()
