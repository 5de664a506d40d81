"""Where the API server is and who we are to it, as plain values: what a kubeconfig or a service account says.

Owns the shape that both are read into, and the reading of a service account as the kubelet mounts it. Certificates and
tokens are here as they stood in their files at that moment; ``files`` are those whose change means another value. Never
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
HOST, PORT = "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"


@dataclass(frozen=True, slots=True)
class ClusterEndpoint:
    """The API server, and how to know that it is the one."""

    server: URL
    """Without user and password, query and trailing slash."""
    written: str = ""
    """The server's address as the kubeconfig has it: what plugins are told."""
    tls_server_name: str | None = None
    """The name that its certificate is for, where that is not the server's."""
    authorities: bytes | None = None
    """PEM; None: the machine's."""
    insecure: bool = False
    """Its certificate is not looked at."""
    proxy: str | None = None
    """As the kubeconfig has it; a password may be in it."""
    disable_compression: bool = False
    """Told to plugins; we never ask for compression."""
    plugin_config: Any = None
    """What the cluster has to say to credential plugins: its extension ``client.authentication.k8s.io/exec``."""


@dataclass(frozen=True, slots=True)
class ExecPlugin:
    """A program that gives credentials: the ``exec`` of a kubeconfig's user."""

    where: str
    """Whose plugin this is, in messages."""
    command: str
    """A path, or a name to look for in PATH."""
    api_version: str
    interactive_mode: str
    """``Never``, ``IfAvailable`` or ``Always``: its use of standard input."""
    args: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    install_hint: str = ""
    provide_cluster_info: bool = False


@dataclass(frozen=True, slots=True)
class User:
    """Who we are. At most one of token, basic and plugin counts; a certificate may be there beside any of them."""

    token: str | None = field(default=None, repr=False)
    basic: tuple[str, str] | None = field(default=None, repr=False)
    certificate: ClientCertificate | None = None
    plugin: ExecPlugin | None = None
    impersonation: tuple[tuple[str, str], ...] = ()
    """Headers by which the API server takes us for somebody else."""


@dataclass(frozen=True, slots=True)
class Access:
    """One reading of a kubeconfig or of a service account."""

    where: str
    """The file and its context, in messages."""
    cluster: ClusterEndpoint
    user: User
    context: str | None = None
    """Name of the kubeconfig's context; None for a service account."""
    files: tuple[Path, ...] = ()
    namespace: str | None = None
    """Our own namespace, known inside a pod only."""


def is_in_a_pod(environ: Mapping[str, str], folder: Path) -> bool:
    """Has the kubelet told where the API server is, and given us a token?"""
    return bool(environ.get(HOST) and environ.get(PORT)) and (folder / "token").is_file()


def read_service_account(folder: Path, environ: Mapping[str, str]) -> Access:
    """The pod's own account. Raises ConfigurationError for files that are missing or empty."""
    token, authority = folder / "token", folder / "ca.crt"
    host, port = environ[HOST], environ[PORT]
    try:
        server = URL.build(scheme="https", host=host, port=int(port))
        cluster = ClusterEndpoint(server, authorities=_content(authority))
        user = User(token=_content(token).decode().strip())
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"service account in {folder}: expected token and ca.crt, got: {error}. Is automountServiceAccountToken on?"
        ) from error
    return Access(f"service account in {folder}", cluster, user, None, (token, authority), _namespace(folder))


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
