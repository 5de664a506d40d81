"""Kubeconfigs are read as kubectl reads them: what the server receives, and what is refused with which message."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
import trustme

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.kube.http.connection import connect
from peaks_scheduler.kube.login.credentials import load_credentials
from peaks_scheduler.kube.login.kubeconfig import read_access, read_files
from tests.support.kubeconfig_cases import CASES, EXEC_V1, Case, World, options
from tests.support.tls_recorder import Seen, TlsRecorder


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def server(ca: trustme.CA) -> Iterator[TlsRecorder]:
    with TlsRecorder(ca) as running:
        yield running


async def seen_by(server: TlsRecorder, kubeconfig: str | None, context: str | None, environ: dict[str, str]) -> Seen:
    """The credentials that the server receives. Raises ConfigurationError, or what aiohttp raises."""
    server.seen.clear()
    connection = await connect(kubeconfig, context, environ=environ)
    try:
        async with connection.session.get(connection.url("/version")) as answer:
            assert answer.status == 200
            await answer.read()
    finally:
        await connection.close()
    return server.seen[-1]


@pytest.mark.parametrize("each", CASES, ids=[each.name for each in CASES])
async def test_the_server_sees_of_us_what_it_sees_of_kubectl(
    each: Case, server: TlsRecorder, ca: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubeconfig, context, environ = options(each, World(tmp_path, server.url, ca))
    monkeypatch.setenv("PATH", environ.get("PATH", os.environ["PATH"]))
    asked = seen_by(server, str(kubeconfig) if kubeconfig else None, context, {"PATH": os.environ["PATH"], **environ})
    if each.sees is not None:
        assert await asked == each.sees
    elif each.says:
        with pytest.raises(ConfigurationError) as refused:
            await asked
        assert each.says in str(refused.value)
    else:
        with pytest.raises((aiohttp.ClientError, asyncio.TimeoutError)):
            await asked
        assert server.seen == []


# --- what kubectl cannot be asked about -------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
async def test_a_file_that_powershell_wrote_is_read(
    encoding: str, server: TlsRecorder, ca: trustme.CA, tmp_path: Path
) -> None:
    world = World(tmp_path, server.url, ca)
    (tmp_path / "token").write_bytes("abc\r\n".encode(encoding))
    config = world.write(world.entries(user={"tokenFile": "token"}))
    config.write_bytes(config.read_text().encode(encoding))
    assert (await seen_by(server, str(config), None, {})).authorization == "Bearer abc"


@pytest.mark.parametrize(
    ("written", "server"),
    [
        pytest.param("https://[fd00::1]:6443", "https://[fd00::1]:6443", id="IPv6"),
        pytest.param("api.example.org:8080", "http://api.example.org:8080", id="no scheme"),
        pytest.param("https://example.org/k8s/one/?x=1#y", "https://example.org/k8s/one", id="path and query"),
        pytest.param("https://jane:secret@example.org", "https://example.org", id="user and password"),
    ],
)
def test_addresses_of_servers(written: str, server: str, tmp_path: Path) -> None:
    world = World(tmp_path, written, trustme.CA())
    access = read_access(read_files([world.write(world.entries(user={}))]))
    assert str(access.cluster.server).rstrip("/") == server
    assert access.user.basic == (("jane", "secret") if "jane" in written else None)


@pytest.mark.parametrize(
    "written", ["ftp://example.org", "https://", "https://example.org:99999", "example.org/path", "https://u:secret@:1"]
)
def test_an_address_that_cannot_be_used_is_named_without_its_password(written: str, tmp_path: Path) -> None:
    world = World(tmp_path, written, trustme.CA())
    with pytest.raises(ConfigurationError, match="expected a server like") as refused:
        read_access(read_files([world.write(world.entries())]))
    assert "secret" not in str(refused.value)
    assert "cluster 'x' of kubeconfig" in str(refused.value)


async def test_without_a_home_the_start_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", _nobody_has_an_entry)
    with pytest.raises(ConfigurationError, match=r"expected a file at ~/\.kube/config"):
        await connect(None, environ={})


def _nobody_has_an_entry(uid: int) -> None:
    raise KeyError(uid)


async def test_a_named_context_makes_the_kubeconfig_count_inside_a_pod(
    server: TlsRecorder, ca: trustme.CA, tmp_path: Path
) -> None:
    account = tmp_path / "account"
    account.mkdir()
    (account / "token").write_text("of the pod")
    (account / "ca.crt").write_bytes(ca.cert_pem.bytes())
    world = World(tmp_path, server.url, ca)
    world.write(world.entries(user={"token": "of the context"}))
    pod = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(server.port)}
    environ = {**pod, "KUBECONFIG": str(tmp_path / "config")}
    for context, token in ((None, "of the pod"), ("x", "of the context")):
        found = await load_credentials(None, context, environ, account)
        assert (await found.identity()).authorization == f"Bearer {token}"


def test_nothing_that_is_printed_has_a_secret(tmp_path: Path) -> None:
    world = World(tmp_path, "https://example.org", trustme.CA())
    plugin = {**EXEC_V1, "command": "true", "env": [{"name": "PASSWORD", "value": "secret-1"}]}
    data = {"client-certificate": "admin.pem", "client-key": "admin.key"}
    for user in ({"token": "secret-2"}, {"username": "u", "password": "secret-3"}, {"exec": plugin}, data):
        shown = repr(read_access(read_files([world.write(world.entries(user=user))])))
        assert "secret-" not in shown
        assert "PRIVATE KEY" not in shown
