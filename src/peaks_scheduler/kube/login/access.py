"""The address of the API server and our credentials, as plain values read from a kubeconfig or a service account.

Owns the types that both are read into, and the reading of a service account as the kubelet mounts it. Certificates and
tokens are copies of their files at the time of reading; ``Access.files`` must be read again when they change. Never
runs a plugin and never connects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yarl import URL

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.files.reading import read_bytes, read_text
from peaks_scheduler.tls import ClientCertificate

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")
HOST, PORT = "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"


@dataclass(frozen=True, slots=True)
class ClusterEndpoint:
    """The API server's address, and how to verify that it is the right server."""

    server: URL
    """Without user and password, query and trailing slash."""
    written: str = ""
    """The server's address as written in the kubeconfig; credential plugins get it."""
    tls_server_name: str | None = None
    """The name in its certificate, if that is not the server's host."""
    authorities: bytes | None = None
    """PEM of the trusted CAs; None: those of this machine."""
    insecure: bool = False
    """Its certificate is not verified."""
    proxy: str | None = None
    """URL as written in the kubeconfig; it may contain a password."""
    disable_compression: bool = False
    """Passed to credential plugins; we never ask for compression."""
    plugin_config: Any = None
    """The cluster's extension ``client.authentication.k8s.io/exec``, passed to credential plugins."""


@dataclass(frozen=True, slots=True)
class ExecPlugin:
    """A credential plugin: the ``exec`` of a kubeconfig's user."""

    where: str
    """The kubeconfig entry, for messages."""
    command: str
    """A path, or a name that is searched in PATH."""
    api_version: str
    interactive_mode: str
    """``Never``, ``IfAvailable`` or ``Always``: whether it reads from a terminal."""
    args: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    install_hint: str = ""
    provide_cluster_info: bool = False


@dataclass(frozen=True, slots=True)
class User:
    """Our credentials. At most one of token, basic and plugin is used; a certificate may be used beside any of them."""

    token: str | None = field(default=None, repr=False)
    basic: tuple[str, str] | None = field(default=None, repr=False)
    certificate: ClientCertificate | None = None
    plugin: ExecPlugin | None = None
    impersonation: tuple[tuple[str, str], ...] = ()
    """Headers that make the API server treat us as another user."""


@dataclass(frozen=True, slots=True)
class Access:
    """The content of a kubeconfig or of a service account at one time."""

    where: str
    """The file and its context, for messages."""
    cluster: ClusterEndpoint
    user: User
    context: str | None = None
    """Name of the kubeconfig's context; None for a service account."""
    files: tuple[Path, ...] = ()
    namespace: str | None = None
    """The namespace of our pod; None outside a pod."""


def is_in_a_pod(environ: Mapping[str, str], folder: Path) -> bool:
    """Do we run in a pod that has a service account's token?"""
    return bool(environ.get(HOST) and environ.get(PORT)) and (folder / "token").is_file()


def read_service_account(folder: Path, environ: Mapping[str, str]) -> Access:
    """The pod's service account. Raises ConfigurationError if a file is missing or empty."""
    token, authority = folder / "token", folder / "ca.crt"
    host, port = environ[HOST], environ[PORT]
    try:
        server = URL.build(scheme="https", host=host, port=int(port))
        cluster = ClusterEndpoint(server, authorities=_content(authority))
        user = User(token=one_line(_content(token).decode().strip()))
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"service account in {folder}: expected token and ca.crt, got: {error}. "
            "Check that automountServiceAccountToken is on"
        ) from error
    return Access(f"service account in {folder}", cluster, user, None, (token, authority), _namespace(folder))


def one_line(token: str) -> str:
    """The token, which can be sent in a header. Raises ValueError for another."""
    if not (token.isascii() and token.isprintable()):
        raise ValueError("expected a token of one line of ASCII text")
    return token


def _content(path: Path) -> bytes:
    content = read_bytes(path)
    if not content.strip():
        raise ValueError(f"{path} is empty")
    return content


def _namespace(folder: Path) -> str | None:
    try:
        return read_text(folder / "namespace").strip() or None
    except (OSError, ValueError):
        return None
