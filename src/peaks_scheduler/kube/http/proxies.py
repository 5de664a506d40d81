"""The proxy in front of the API server, if any: the kubeconfig's ``proxy-url``, else the environment's.

Owns the rules of Go's http.ProxyFromEnvironment, which kubectl follows. HTTPS_PROXY, HTTP_PROXY and NO_PROXY are read,
upper case before lower case. Loopback addresses never use a proxy of the environment; a ``proxy-url`` is always used.
aiohttp speaks to HTTP and HTTPS proxies. For SOCKS proxies there is a connector here, with python-socks; the proxy
resolves the server's name. No message contains a proxy's password.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import ssl
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import aiohttp
from yarl import URL

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.kube.login.access import PROXY_SCHEMES, ClusterEndpoint

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.tracing import Trace

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def proxy_of(cluster: ClusterEndpoint, environ: Mapping[str, str]) -> URL | None:
    """URL of the proxy for this API server; None: no proxy. Raises ConfigurationError if it cannot be used."""
    if cluster.proxy:
        return _proxy_url(cluster.proxy, "proxy-url")
    name = f"{cluster.server.scheme}_proxy"
    text = environ.get(name.upper()) or environ.get(name)
    if not text or not _uses_proxy(cluster.server, environ.get("NO_PROXY") or environ.get("no_proxy") or ""):
        return None
    return _proxy_url(text if "://" in text else f"http://{text}", name.upper())


def is_socks(proxy: URL | None) -> bool:
    return proxy is not None and proxy.scheme.startswith("socks5")


def without_password(proxy: URL) -> str:
    return str(proxy.with_user(None))


def _proxy_url(text: str, given_by: str) -> URL:
    with contextlib.suppress(ValueError):
        url = URL(text)
        if url.scheme in PROXY_SCHEMES and url.host:
            return url
    shown = text.rpartition("@")[2]
    raise ConfigurationError(f"{given_by}: expected a proxy http://, https:// or socks5://HOST:PORT, got {shown!r}")


# --- NO_PROXY ---------------------------------------------------------------------------------------------------------


def _uses_proxy(server: URL, exceptions: str) -> bool:
    """Is this server reached by the environment's proxy? ``exceptions``: NO_PROXY."""
    host, port = (server.raw_host or "").lower(), server.port
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return False
    return not any(_matches(each, host, port, address) for each in _split_list(exceptions))


def _split_list(exceptions: str) -> Iterator[str]:
    return (each for each in map(str.strip, exceptions.lower().split(",")) if each)


def _matches(exception: str, host: str, port: int | None, address: Address | None) -> bool:
    if exception == "*":
        return True
    with contextlib.suppress(ValueError):
        if "/" in exception:
            return address is not None and address in ipaddress.ip_network(exception, strict=False)
    name, wanted_port = _split_port(exception)
    if wanted_port and wanted_port != str(port):
        return False
    if (wanted_address := _address(name)) is not None:
        return address == wanted_address
    # example.org matches itself and its subdomains; .example.org and *.example.org match only the subdomains
    name = name[1:] if name.startswith("*.") else name
    below = name if name.startswith(".") else f".{name}"
    return bool(name) and address is None and (host.endswith(below) or host == name)


def _split_port(exception: str) -> tuple[str, str]:
    """Host and port of HOST, HOST:PORT, [V6]:PORT or a bare V6; an empty port if none is given."""
    if exception.startswith("["):
        host, _, rest = exception[1:].partition("]")
        return host, rest.removeprefix(":")
    host, colon, port = exception.rpartition(":")
    return (host, port) if colon and ":" not in host else (exception, "")


def _address(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


# --- SOCKS ------------------------------------------------------------------------------------------------------------


class SocksConnector(aiohttp.BaseConnector):
    """Connections through a SOCKS 5 proxy. Raises ConfigurationError if python-socks is not installed."""

    def __init__(self, proxy: URL, tls: ssl.SSLContext, **options: Any) -> None:
        try:
            from python_socks.async_.asyncio import Proxy
        except ImportError as error:
            raise ConfigurationError(
                "socks5 proxies: expected the package python-socks, it is not installed: pip install python-socks"
            ) from error
        super().__init__(**options)
        self._tls, self._shown = tls, without_password(proxy)
        # the proxy resolves the name, for socks5 as for socks5h: we may not be able to
        self._proxy = Proxy.from_url(str(proxy.with_scheme("socks5").with_port(proxy.port or 1080)), rdns=True)

    async def _create_connection(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's own
    ) -> ResponseHandler:
        host = req.url.raw_host or ""
        tls = self._tls if req.url.scheme == "https" else None
        name = (req.server_hostname or host) if tls else None
        try:
            async with asyncio.timeout(timeout.sock_connect):
                socket = await self._socket(host, req.url.port or 0)
                _, protocol = await self._loop.create_connection(
                    self._factory, sock=socket, ssl=tls, server_hostname=name
                )
        except ssl.SSLCertVerificationError as error:
            raise aiohttp.ClientConnectorCertificateError(req.connection_key, error) from error
        except ssl.SSLError as error:
            raise aiohttp.ClientConnectorSSLError(req.connection_key, error) from error
        except TimeoutError:
            raise
        except OSError as error:
            raise aiohttp.ClientProxyConnectionError(req.connection_key, error) from error
        return protocol

    async def _socket(self, host: str, port: int) -> Any:
        from python_socks import ProxyError, ProxyTimeoutError

        try:
            return await self._proxy.connect(host, port)
        except (ProxyError, ProxyTimeoutError, OSError) as error:
            # with an errno: of such errors aiohttp shows only the text
            raise ConnectionError(errno.ECONNREFUSED, f"by the proxy {self._shown}: {error}") from error
