"""The shared connection to the API server: credentials, renewed tokens, clock, kopf's requests."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import ssl
from collections.abc import AsyncIterator
from email.utils import formatdate
from pathlib import Path

import pytest
from aiohttp import web

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.kube.http.connection import Connection, as_kopf_login, connect
from peaks_scheduler.kube.http.outgoing import Answer, NoAnswerError, failure_words
from peaks_scheduler.kube.login import credentials
from peaks_scheduler.kube.login.credentials import Identity
from tests.support.both_ways import METHODS, WAYS, read
from tests.support.recording_server import Asked, RecordingServer, status, write_kubeconfig


@pytest.fixture
async def server() -> AsyncIterator[RecordingServer]:
    async with RecordingServer() as running:
        yield running


@pytest.fixture(autouse=True)
def nothing_found_by_chance(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No kubeconfig or service account of the machine that runs the tests; no pauses."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr("peaks_scheduler.kube.http.connection.REFUSED_PAUSE", 0.0)
    monkeypatch.setattr(credentials, "LOOK_EVERY", 0.0)


@contextlib.asynccontextmanager
async def connected(kubeconfig: str | None = None, **options: object) -> AsyncIterator[Connection]:
    connection = await connect(kubeconfig, **options)  # type: ignore[arg-type]
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture(autouse=True, params=WAYS.values(), ids=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test asks in either way."""
    monkeypatch.setattr(f"{__name__}.asking", request.param)


asking = read


async def ask(connection: Connection, path: str = "/version") -> int:
    return await asking(connection, path)


def authorizations(server: RecordingServer) -> list[str | None]:
    return [asked.headers.get("Authorization") for asked in server.asked]


def accepts(*tokens: str) -> object:
    """An answer: 200 for these bearer tokens, 401 for any other."""

    async def answer(asked: Asked) -> web.StreamResponse:
        scheme, _, token = asked.headers.get("Authorization", "").partition(" ")
        return status(200 if scheme.lower() == "bearer" and token in tokens else 401)

    return answer


def service_account(folder: Path, token: str = "token-1") -> Path:
    """A service account folder as the kubelet mounts it."""
    folder.mkdir(exist_ok=True)
    (folder / "token").write_text(token + "\n")
    (folder / "namespace").write_text("kube-system\n")
    system = ssl.get_default_verify_paths().cafile or ssl.get_default_verify_paths().openssl_cafile
    (folder / "ca.crt").write_bytes(Path(system).read_bytes() if Path(system).exists() else b"")
    return folder


def counting_plugin(folder: Path) -> dict[str, object]:
    """A credential plugin that returns token-0, token-1, ... and counts its runs in the file ``count``."""
    (folder / "count").write_text("0")
    status = {"token": "token-NUMBER"}
    answer = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
    script = f"cd {folder}; n=$(cat count); echo $((n+1)) > count; echo '{json.dumps(answer)}' | sed s/NUMBER/$n/"
    plugin = {"apiVersion": answer["apiVersion"], "interactiveMode": "Never"}
    return {**plugin, "command": "sh", "args": ["-c", script]}


class TestWhichConfiguration:
    async def test_an_explicit_kubeconfig_wins_over_the_service_account(
        self, server: RecordingServer, tmp_path: Path
    ) -> None:
        account = service_account(tmp_path / "account")
        environ = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
        kubeconfig = write_kubeconfig(tmp_path, server.url, token="abc")
        async with connected(kubeconfig, environ=environ, service_account=account) as connection:
            assert (connection.server, connection.namespace) == (server.url, None)

    async def test_inside_a_pod_it_is_the_service_account(self, tmp_path: Path) -> None:
        account = service_account(tmp_path / "account")
        environ = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443", "KUBECONFIG": "/nowhere"}
        found = await credentials.load_credentials(None, None, environ, account)
        assert (found.server, found.namespace) == ("https://[fd00::1]", "kube-system")
        assert (await found.identity()).authorization == "Bearer token-1"

    async def test_elsewhere_it_is_the_kubeconfig_of_the_environment(
        self, server: RecordingServer, tmp_path: Path
    ) -> None:
        environ = {"KUBECONFIG": f"/nowhere{os.pathsep}{write_kubeconfig(tmp_path, server.url)}"}
        async with connected(environ=environ) as connection:
            assert connection.server == server.url

    @pytest.mark.parametrize(
        ("content", "says"),
        [
            pytest.param(None, "expected a file at", id="missing"),
            pytest.param("", "it has no current-context", id="empty"),
            pytest.param("- a list", "expected clusters, users and contexts", id="a list"),
            pytest.param("{broken: [", "it cannot be read", id="no YAML"),
            pytest.param("current-context: x\ncontexts: []\n", "got current-context 'x'", id="no such context"),
        ],
    )
    async def test_a_kubeconfig_that_cannot_be_used_is_named(
        self, tmp_path: Path, content: str | None, says: str
    ) -> None:
        path = tmp_path / "config"
        if content is not None:
            path.write_text(content)
        with pytest.raises(ConfigurationError, match=says) as caught:
            await connect(str(path))
        assert str(path) in str(caught.value)

    async def test_a_client_certificate_that_is_none_is_named(self, tmp_path: Path) -> None:
        rubbish = base64.b64encode(b"no certificate").decode()
        user = {"client-certificate-data": rubbish, "client-key-data": rubbish}
        with pytest.raises(ConfigurationError, match="expected readable PEM certificates"):
            await connect(write_kubeconfig(tmp_path, "https://127.0.0.1:1", **user))

    async def test_a_credential_plugin_that_fails_is_an_error_at_start(self, tmp_path: Path) -> None:
        plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "false", "interactiveMode": "Never"}
        with pytest.raises(ConfigurationError, match="false ended with code 1"):
            await connect(write_kubeconfig(tmp_path, "http://127.0.0.1:1", exec=plugin))

    async def test_a_service_account_whose_token_cannot_be_sent_is_named(self, tmp_path: Path) -> None:
        account = service_account(tmp_path / "account", token="one\ntwo")
        environ = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
        with pytest.raises(ConfigurationError, match="one line of ASCII"):
            await connect(environ=environ, service_account=account)


class TestToken:
    async def test_every_request_carries_it_without_the_newline_of_its_file(
        self, server: RecordingServer, tmp_path: Path
    ) -> None:
        (tmp_path / "token").write_text("abc\n")
        async with connected(write_kubeconfig(tmp_path, server.url, tokenFile="token")) as connection:
            await ask(connection)
        assert authorizations(server) == ["Bearer abc"]

    async def test_basic_authentication_works_too(self, server: RecordingServer, tmp_path: Path) -> None:
        async with connected(write_kubeconfig(tmp_path, server.url, username="u", password="p")) as connection:
            await ask(connection)
        assert authorizations(server) == ["Basic dTpw"]

    async def test_a_token_file_that_changed_is_read_before_anybody_is_refused(
        self, server: RecordingServer, tmp_path: Path
    ) -> None:
        (tmp_path / "token").write_text("old")
        async with connected(write_kubeconfig(tmp_path, server.url, tokenFile="token")) as connection:
            await ask(connection)
            (tmp_path / "next").write_text("new-token")
            (tmp_path / "next").replace(tmp_path / "token")
            await ask(connection)
        assert authorizations(server) == ["Bearer old", "Bearer new-token"]

    async def test_a_refused_token_is_read_again_and_the_request_repeated(
        self, server: RecordingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(credentials, "LOOK_EVERY", 3600.0)  # the file's change is not noticed by itself
        (tmp_path / "token").write_text("old")
        async with connected(write_kubeconfig(tmp_path, server.url, tokenFile="token")) as connection:
            (tmp_path / "token").write_text("new")
            server.answer = accepts("new")  # type: ignore[assignment]
            async with connection.session.post(connection.url("/bind"), data=b"the body") as answer:
                assert answer.status == 200
        assert [(asked.headers["Authorization"], asked.body) for asked in server.asked] == [
            ("Bearer old", b"the body"),
            ("Bearer new", b"the body"),
        ]

    async def test_a_service_account_token_is_read_again_when_refused(
        self, server: RecordingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(credentials, "LOOK_EVERY", 3600.0)
        account = service_account(tmp_path / "account", "old")
        environ = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(server.port)}
        found = await credentials.load_credentials(None, None, environ, account)
        (account / "token").write_text("new")
        old = await found.identity()
        assert old.authorization == "Bearer old"
        assert await found.renew(old)
        assert (await found.identity()).authorization == "Bearer new"

    async def test_a_plugin_is_asked_again_when_its_token_is_refused(
        self, server: RecordingServer, tmp_path: Path
    ) -> None:
        plugin = counting_plugin(tmp_path)
        async with connected(write_kubeconfig(tmp_path, server.url, exec=plugin)) as connection:
            server.answer = accepts("token-1")  # type: ignore[assignment]
            assert await ask(connection) == 200
        assert authorizations(server) == ["Bearer token-0", "Bearer token-1"]

    async def test_a_plugin_is_not_asked_for_every_refusal(
        self, server: RecordingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(credentials, "LOOK_EVERY", 3600.0)
        server.answer = accepts()  # type: ignore[assignment]
        async with connected(write_kubeconfig(tmp_path, server.url, exec=counting_plugin(tmp_path))) as connection:
            for _ in range(5):
                assert await ask(connection) == 401
        assert (tmp_path / "count").read_text().strip() == "2"  # at the start, and once more

    async def test_a_token_refused_for_good_is_tried_once_and_the_401_handed_on(
        self, server: RecordingServer, tmp_path: Path
    ) -> None:
        server.answer = accepts()  # type: ignore[assignment]
        async with connected(write_kubeconfig(tmp_path, server.url, token="abc")) as connection:
            assert await ask(connection) == 401
        assert len(server.asked) == 1

    async def test_a_token_file_that_is_gone_leaves_the_last_token_in_force(
        self, server: RecordingServer, tmp_path: Path
    ) -> None:
        (tmp_path / "token").write_text("abc")
        async with connected(write_kubeconfig(tmp_path, server.url, tokenFile="token")) as connection:
            await ask(connection)
            (tmp_path / "token").unlink()
            await ask(connection)
        assert authorizations(server) == ["Bearer abc", "Bearer abc"]

    async def test_it_does_not_follow_a_redirect_to_another_server(
        self, server: RecordingServer, tmp_path: Path
    ) -> None:
        async with RecordingServer() as other:

            async def away(asked: Asked) -> web.StreamResponse:
                return web.Response(status=307, headers={"Location": f"{other.url}/elsewhere"})

            server.answer = away
            async with connected(write_kubeconfig(tmp_path, server.url, token="abc")) as connection:
                await ask(connection)
            assert authorizations(other) == ([None] if asking is read else [])  # a write follows no redirect


class TestConnection:
    async def test_an_observer_sees_every_request(self, server: RecordingServer, tmp_path: Path) -> None:
        seen: list[tuple[str, str, bool, int]] = []
        kubeconfig = write_kubeconfig(tmp_path, server.url)
        async with connected(kubeconfig, on_request=lambda *request: seen.append(request)) as connection:
            await ask(connection, "/api/v1/nodes")
            async with connection.session.get(f"{server.url}/api/v1/pods?watch=true"):
                pass
        assert seen == [
            (METHODS[asking], "/api/v1/nodes", False, 201),
            ("GET", "/api/v1/pods", True, 201),
        ]

    async def test_an_observer_sees_a_request_without_an_answer(self, tmp_path: Path) -> None:
        async with RecordingServer() as gone:
            kubeconfig = write_kubeconfig(tmp_path, gone.url)
        seen: list[tuple[str, str, bool, int]] = []
        async with connected(kubeconfig, on_request=lambda *request: seen.append(request)) as connection:
            with pytest.raises(OSError, match=r"[Cc]annot connect"):
                await ask(connection)
        assert seen == [(METHODS[asking], "/version", False, 0)]

    async def test_a_second_failure_is_told_by_its_own_reason(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Not by that of the first, after which the credentials were read again."""
        refused = ssl.SSLError(1, "alert")
        refused.reason = "TLSV13_ALERT_CERTIFICATE_REQUIRED"
        failures: list[OSError] = [refused, NoAnswerError("no answer within 10 s")]

        async def send(_: Identity) -> Answer:
            raise failures.pop(0)

        async def renewed(*_: object, **__: object) -> bool:
            return True

        async with connected(write_kubeconfig(tmp_path, "https://127.0.0.1:1")) as connection:
            monkeypatch.setattr(connection._credentials, "renew", renewed)
            with pytest.raises(NoAnswerError) as caught:
                await connection._with_credentials(send)
        assert failure_words(caught.value) == "no answer within 10 s"

    async def test_the_servers_clock_is_learnt_from_its_answers(self, server: RecordingServer, tmp_path: Path) -> None:
        async def ahead(_: Asked) -> web.StreamResponse:
            return status(200, headers={"Date": formatdate(2_000_000_000, usegmt=True)})

        server.answer = ahead
        loaded = await credentials.load_credentials(write_kubeconfig(tmp_path, server.url))
        connection = Connection(loaded, wall_clock=lambda: 1_999_999_990.0)
        assert connection.clock_offset == 0.0
        await ask(connection)
        assert connection.clock_offset == pytest.approx(10.5)
        await connection.close()

    async def test_a_server_behind_a_path_is_reached(self, server: RecordingServer, tmp_path: Path) -> None:
        seen: list[str] = []
        kubeconfig = write_kubeconfig(tmp_path, f"{server.url}/k8s/clusters/one/")
        async with connected(kubeconfig, on_request=lambda *request: seen.append(request[1])) as connection:
            await ask(connection, "/api/v1/nodes")
        assert server.asked[0].path == "/k8s/clusters/one/api/v1/nodes"
        assert seen == ["/api/v1/nodes"]

    async def test_kopf_shares_token_and_connections_and_may_close_what_it_got(
        self, server: RecordingServer, tmp_path: Path
    ) -> None:
        (tmp_path / "token").write_text("old")
        async with connected(write_kubeconfig(tmp_path, server.url, tokenFile="token")) as connection:
            login = as_kopf_login(connection)
            (tmp_path / "token").write_text("renewed")
            async with login.aiohttp_session.get(f"{login.server}/api/v1/pods") as answer:
                await answer.read()
            await login.aiohttp_session.close()
            assert await ask(connection) == 201
        assert authorizations(server) == ["Bearer renewed", "Bearer renewed"]
