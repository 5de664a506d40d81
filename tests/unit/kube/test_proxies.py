"""Proxies in front of the API server: which one is used, and that requests, certificates and names pass through it."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from yarl import URL

from peaks_scheduler.errors import ConfigurationError, KubeError
from peaks_scheduler.kube.client import KubeClient
from peaks_scheduler.kube.http.connection import connect
from peaks_scheduler.kube.http.proxies import proxy_of
from peaks_scheduler.kube.login.access import ClusterEndpoint
from tests.support.kubeconfig_cases import World
from tests.support.proxy_server import ProxyServer
from tests.support.recording_server import RecordingServer
from tests.support.tls_recorder import TlsRecorder

NAME = "api.example.org"  # nobody but the proxy knows where that is


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server(ca: trustme.CA) -> Iterator[TlsRecorder]:
    with TlsRecorder(ca, names=(NAME, "127.0.0.1")) as running:
        yield running


def kubeconfig(folder: Path, ca: trustme.CA, server: str, proxy: str, **cluster: Any) -> str:
    world = World(folder, server, ca)
    files = {"client-certificate": "admin.pem", "client-key": "admin.key"}
    whole = {"server": server, "certificate-authority": "ca.pem", "proxy-url": proxy, **cluster}
    return str(world.write(world.entries(user=files, cluster=whole)))


async def version(config: str, environ: dict[str, str] | None = None) -> None:
    connection = await connect(config, environ=environ or {})
    try:
        await KubeClient(connection, "Peaks", "test", timeout=20.0).version()
    finally:
        await connection.close()


@pytest.mark.parametrize("login", ["", "jane:p%40ss"])
@pytest.mark.parametrize("kind", ["http", "https", "socks5", "socks5h"])
async def test_a_proxy_of_the_kubeconfig_is_used_and_the_certificate_arrives(
    kind: str, login: str, server: TlsRecorder, ca: trustme.CA, tmp_path: Path
) -> None:
    tls = None
    if kind == "https":
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        ca.issue_cert("127.0.0.1").configure_cert(tls)
    wanted = login.replace("%40", "@")
    async with ProxyServer(server.port, socks=kind.startswith("socks"), tls=tls, login=wanted) as proxy:
        url = f"{kind}://{login}{'@' if login else ''}127.0.0.1:{proxy.port}"
        await version(kubeconfig(tmp_path, ca, f"https://{NAME}:6443", url))
    assert [asked.removeprefix("CONNECT ") for asked in proxy.asked] == [f"{NAME}:6443"]
    assert [seen.certificate for seen in server.seen] == ["admin"]


@pytest.mark.parametrize("kind", ["http", "socks5"])
async def test_tls_server_name_holds_behind_a_proxy(
    kind: str, server: TlsRecorder, ca: trustme.CA, tmp_path: Path
) -> None:
    async with ProxyServer(server.port, socks=kind == "socks5") as proxy:
        url = f"{kind}://127.0.0.1:{proxy.port}"
        await version(kubeconfig(tmp_path, ca, "https://10.1.2.3:6443", url, **{"tls-server-name": NAME}))
    assert len(server.seen) == 1


@pytest.mark.parametrize("kind", ["http", "socks5"])
async def test_a_plain_http_server_is_reached_too(kind: str, ca: trustme.CA, tmp_path: Path) -> None:
    async with RecordingServer() as plain, ProxyServer(plain.port, socks=kind == "socks5") as proxy:
        config = kubeconfig(tmp_path, ca, f"http://{NAME}:8080", f"{kind}://127.0.0.1:{proxy.port}")
        with pytest.raises(KubeError, match="201"):  # the recorder's answer
            await version(config)
    assert plain.asked[0].headers["Host"] == f"{NAME}:8080"
    assert proxy.asked == [f"GET http://{NAME}:8080/version" if kind == "http" else f"{NAME}:8080"]


@pytest.mark.parametrize("kind", ["http", "socks5"])
@pytest.mark.parametrize("trouble", ["wrong password", "gone"])
async def test_a_proxy_that_fails_is_told_without_its_password(
    kind: str, trouble: str, server: TlsRecorder, ca: trustme.CA, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with ProxyServer(server.port, socks=kind == "socks5", login="jane:right") as proxy:
        port = proxy.port
        config = kubeconfig(tmp_path, ca, f"https://{NAME}:6443", f"{kind}://jane:a-password@127.0.0.1:{port}")
        if trouble == "wrong password":
            with pytest.raises(KubeError) as refused:
                await version(config)
    if trouble == "gone":
        with pytest.raises(KubeError) as refused:
            await version(config)
    assert "a-password" not in str(refused.value) + caplog.text
    assert f"127.0.0.1:{port}" in str(refused.value) or trouble == "gone"
    assert "None" not in str(refused.value)


async def test_a_proxy_of_the_environment_is_used(server: TlsRecorder, ca: trustme.CA, tmp_path: Path) -> None:
    async with ProxyServer(server.port) as proxy:
        config = kubeconfig(tmp_path, ca, f"https://{NAME}:6443", "")
        await version(config, {"https_proxy": f"127.0.0.1:{proxy.port}"})
    assert proxy.asked == [f"CONNECT {NAME}:6443"]


async def test_socks_without_its_package_says_what_to_install(
    ca: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "python_socks.async_.asyncio", None)
    with pytest.raises(ConfigurationError, match="pip install python-socks"):
        await version(kubeconfig(tmp_path, ca, "https://127.0.0.1:1", "socks5://127.0.0.1:1"))


# golang.org/x/net/http/httpproxy, proxy.go and its test: HTTPS_PROXY is set, and ...
@pytest.mark.parametrize(
    ("server", "no_proxy", "by_proxy"),
    [
        ("https://example.org", "", True),
        ("https://localhost:6443", "", False),
        ("https://127.0.0.1:6443", "", False),
        ("https://127.1.2.3", "", False),
        ("https://[::1]:6443", "", False),
        ("https://example.org", "*", False),
        ("https://example.org", "example.org", False),
        ("https://api.example.org", "example.org", False),
        ("https://EXAMPLE.org", " Example.ORG , other", False),
        ("https://notexample.org", "example.org", True),
        ("https://example.org", ".example.org", True),
        ("https://api.example.org", ".example.org", False),
        ("https://example.org", "*.example.org", True),
        ("https://api.example.org", "*.example.org", False),
        ("https://example.org:6443", "example.org:6443", False),
        ("https://example.org", "example.org:443", False),
        ("https://example.org:8443", "example.org:6443", True),
        ("https://10.1.2.3", "10.0.0.0/8", False),
        ("https://11.1.2.3", "10.0.0.0/8", True),
        ("https://10.1.2.3:6443", "10.1.2.3:6443", False),
        ("https://10.1.2.3", "10.1.2.3:6443", True),
        ("https://[fd00::1]:6443", "fd00::/8", False),
        ("https://[fd00::1]:6443", "[fd00::1]:6443", False),
        ("https://[fd00::1]", "fd00::1", False),
        ("https://api.example.org", "10.0.0.0/8,,:80", True),
        ("http://example.org", "", False),  # HTTP_PROXY is not set
    ],
)
def test_no_proxy_means_what_it_means_to_go(server: str, no_proxy: str, by_proxy: bool) -> None:
    found = proxy_of(ClusterEndpoint(URL(server)), {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": no_proxy})
    assert (found is not None) == by_proxy


def test_capitals_come_before_small_letters() -> None:
    environ = {"HTTPS_PROXY": "http://capitals:1", "https_proxy": "http://small:1"}
    assert proxy_of(ClusterEndpoint(URL("https://example.org")), environ) == URL("http://capitals:1")


def test_a_proxy_url_is_used_whatever_no_proxy_says() -> None:
    cluster = ClusterEndpoint(URL("https://127.0.0.1"), proxy="http://proxy:3128")
    assert proxy_of(cluster, {"NO_PROXY": "*"}) == URL("http://proxy:3128")


def test_a_proxy_that_cannot_be_used_is_named_without_its_password() -> None:
    with pytest.raises(ConfigurationError) as refused:
        proxy_of(ClusterEndpoint(URL("https://example.org")), {"HTTPS_PROXY": "ftp://jane:secret@proxy"})
    assert "HTTPS_PROXY" in str(refused.value)
    assert "secret" not in str(refused.value)


def test_aiohttp_is_not_asked_for_proxies_of_its_own() -> None:
    assert aiohttp.ClientSession.__init__.__kwdefaults__["trust_env"] is False
