"""Our current credentials for the API server (token, certificate, trusted CAs), renewed when they change or expire.

Owns the choice between kubeconfig and service account: an explicit kubeconfig or context wins, then the service account
inside a pod, then KUBECONFIG or ~/.kube/config. Owns every renewal:

- Files are checked once a second. A new token, client certificate or CA is used from the next request on.
- A credential plugin runs again shortly before its credentials expire.
- Everything is read again when the API server refuses our credentials, or when we do not trust its certificate.

Context and server stay those of the start: if a kubeconfig is switched to another cluster, our token is not sent there.
If something cannot be read, the last good credentials stay in use. Never logs a secret, never writes a file.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.tls import ClientCertificate, client_context

from .access import SERVICE_ACCOUNT, Access, ClusterEndpoint, ExecPlugin, is_in_a_pod, read_service_account
from .exec_plugin import PluginCredentials, ask
from .kubeconfig import read_access, read_files, standard_files

logger = logging.getLogger(__name__)

LOOK_EVERY = 1.0  # [s] between two checks of the files, and between two forced renewals
AFTER_FAILURE = 10.0  # [s] before a plugin that failed is run again
EARLY, EARLY_SHARE = 10.0, 0.1  # a plugin's credentials are renewed so early: [s], and share of their lifetime
NO_PLUGIN = PluginCredentials()

Reader = Callable[[str | None], Access]
"""Reads kubeconfig or service account; the argument is the context, None at the first reading."""
Stamp = tuple[int, int, int] | None


@dataclass(frozen=True, slots=True)
class Identity:
    """The credentials of one request. Requests with equal identities can share a connection."""

    authorization: str | None
    tls: ssl.SSLContext
    """A new context whenever our certificate or the CAs change."""
    certificate: ClientCertificate | None = None
    """Our client certificate, shown when a connection opens."""


class Credentials:
    """The API server's address, and our credentials kept up to date. Made by :func:`load_credentials`."""

    def __init__(
        self,
        reader: Reader,
        access: Access,
        given: PluginCredentials = NO_PLUGIN,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Credentials that ``reader`` reads again when they change.

        Args:
            access: the first result of ``reader``.
            given: what the credential plugin returned.
            clock: monotonic [s].
            wall_clock: [s] since the epoch.

        Raises:
            ConfigurationError: a certificate cannot be used.
        """
        self._reader, self._access, self._given = reader, access, given
        self._clock, self._wall_clock = clock, wall_clock
        self._identity = _identity(access, given, _tls(access, given))
        self._stamps = _stamps(access.files)
        self._looked_at, self._renewed_at, self._failed_at = clock(), float("-inf"), float("-inf")
        self._given_at = wall_clock()
        self._renewal: asyncio.Task[None] | None = None
        self._complaint = ""

    @property
    def cluster(self) -> ClusterEndpoint:
        return self._access.cluster

    @property
    def where(self) -> str:
        """The kubeconfig and context, or the service account, for messages."""
        return self._access.where

    @property
    def server(self) -> str:
        return str(self.cluster.server).rstrip("/")

    @property
    def namespace(self) -> str | None:
        return self._access.namespace

    @property
    def tls(self) -> ssl.SSLContext:
        """The current TLS context."""
        return self._identity.tls

    @property
    def certificate(self) -> ClientCertificate | None:
        """Our current client certificate."""
        return self._identity.certificate

    @property
    def impersonation(self) -> tuple[tuple[str, str], ...]:
        """Headers that make the API server treat us as another user."""
        return self._access.user.impersonation

    @property
    def anonymous(self) -> bool:
        """Are requests sent without credentials?"""
        return self._identity.authorization is None and self._identity.certificate is None

    async def identity(self) -> Identity:
        """The credentials for a request now; renewed first, if a file changed or a plugin's credentials expired."""
        if self._files_changed():
            await self._renewed(plugin=False)
        left = self._seconds_left()
        if left is not None and self._may_try():
            renewal = self._start(plugin=True)
            if left <= 0:  # else the current credentials are still valid
                await _ended(renewal)
        return self._identity

    async def renew(self, refused: Identity, *, plugin: bool = True) -> bool:
        """Read everything again, because a request with ``refused`` failed. True: the credentials are others now.

        When many requests are refused at once, the first one reads and the others wait for its result.

        Args:
            plugin: run the credential plugin, too.
        """
        if await self.identity() != refused:
            return True
        if self._clock() - self._renewed_at >= LOOK_EVERY:
            await self._renewed(plugin)
        elif self._renewal is not None:
            await _ended(self._renewal)
        return self._identity != refused

    async def aclose(self) -> None:
        """Cancel a renewal in progress."""
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.gather(self._renewal, return_exceptions=True)

    # -- when to renew

    def _files_changed(self) -> bool:
        if self._clock() - self._looked_at < LOOK_EVERY:
            return False
        self._looked_at = self._clock()
        return _stamps(self._access.files) != self._stamps

    def _seconds_left(self) -> float | None:
        """Time until the plugin's credentials expire [s], if they must be renewed now; None: not now."""
        expires = self._given.expires
        if expires is None or self._access.user.plugin is None:
            return None
        left, life = expires - self._wall_clock(), expires - self._given_at
        return left if left <= min(EARLY, EARLY_SHARE * max(life, 0.0)) else None

    def _may_try(self) -> bool:
        """May the plugin run? Not again at once: it may fail, or return credentials that have expired."""
        now = self._clock()
        return now - self._failed_at >= AFTER_FAILURE and now - self._renewed_at >= LOOK_EVERY

    # -- how to renew

    async def _renewed(self, plugin: bool) -> None:
        await _ended(self._start(plugin))

    def _start(self, plugin: bool) -> asyncio.Task[None]:
        """The renewal in progress, else a new one. ``plugin``: run the plugin even if nothing else changed."""
        if self._renewal is None:
            self._renewed_at = self._clock()
            self._renewal = asyncio.create_task(self._read_again(plugin), name="credentials")
            self._renewal.add_done_callback(self._done)
        return self._renewal

    def _done(self, renewal: asyncio.Task[None]) -> None:
        self._renewal = None
        if not renewal.cancelled() and (error := renewal.exception()) is not None:
            self._complain(f"{type(error).__name__}: {error}")

    async def _read_again(self, plugin: bool) -> None:
        # taken before reading: a file that changes meanwhile is read again
        self._stamps = _stamps(self._access.files)
        try:
            access = self._reader(self._access.context)
            self._check_same_server(access)
            self._accept(access, await self._plugin_credentials(access, plugin))
        except ConfigurationError as error:
            self._failed_at = self._clock()
            self._complain(str(error))
        else:
            self._failed_at, self._complaint = float("-inf"), ""

    async def _plugin_credentials(self, access: Access, plugin: bool) -> PluginCredentials:
        """The plugin's credentials. It runs only if ``plugin`` is True or the kubeconfig names another plugin."""
        if access.user.plugin is None:
            return NO_PLUGIN
        if plugin or access.user.plugin != self._access.user.plugin:
            return await ask(access.user.plugin, access.cluster)
        return self._given

    def _check_same_server(self, access: Access) -> None:
        if access.cluster.server != self.cluster.server:
            raise ConfigurationError(
                f"{access.where}: expected the server {self.server} as at the start, got {access.cluster.server}: "
                "restart to use another server"
            )

    def _accept(self, access: Access, given: PluginCredentials) -> None:
        tls = self._identity.tls
        if _trust(access, given) != _trust(self._access, self._given) or _system_authorities_changed(access, tls):
            tls = _tls(access, given)
            logger.info("certificates renewed")
        if given is not self._given:
            self._given_at = self._wall_clock()
        self._stamps = self._stamps if access.files == self._access.files else _stamps(access.files)
        self._identity = _identity(access, given, tls)
        self._access, self._given = access, given

    def _complain(self, error: str) -> None:
        """Log an error, unless it is the last one logged: a broken file is read again at every refusal."""
        if error != self._complaint:
            self._complaint = error
            logger.warning("credentials not renewed", extra={"error": error})


async def _ended(renewal: asyncio.Task[None]) -> None:
    """Wait for a renewal. A cancelled request does not cancel it, since others wait for it; and where it is cancelled
    (kopf, ending, cancels every task that is younger than itself) the requests go on with what they have."""
    await asyncio.wait((renewal,))


async def load_credentials(
    kubeconfig: str | None,
    context: str | None = None,
    environ: Mapping[str, str] = os.environ,
    service_account: Path = SERVICE_ACCOUNT,
    **clocks: Callable[[], float],
) -> Credentials:
    """Credentials from ``kubeconfig``, else the service account in a pod, else KUBECONFIG or ~/.kube/config.

    ``clocks`` are those of :class:`Credentials`.

    Raises:
        ConfigurationError: no credentials were found, or they cannot be used.
    """
    reader = _choose(kubeconfig, context, environ, service_account)
    access = reader(None)
    plugin: ExecPlugin | None = access.user.plugin
    given = await ask(plugin, access.cluster, environ) if plugin else NO_PLUGIN
    return Credentials(reader, access, given, **clocks)


def _choose(kubeconfig: str | None, context: str | None, environ: Mapping[str, str], service_account: Path) -> Reader:
    if not kubeconfig and not context and is_in_a_pod(environ, service_account):
        return lambda _: read_service_account(service_account, environ)
    paths = [Path(os.path.expanduser(kubeconfig))] if kubeconfig else standard_files(environ)

    def read(kept: str | None) -> Access:
        return read_access(read_files(paths, all_needed=bool(kubeconfig)), kept or context)

    return read


def _authorization(access: Access, given: PluginCredentials) -> str | None:
    """The Authorization header; None if only a client certificate, or nothing, identifies us."""
    if token := access.user.token or given.token:
        return f"Bearer {token}"
    if access.user.basic:
        return f"Basic {base64.b64encode(':'.join(access.user.basic).encode()).decode()}"
    return None


def _identity(access: Access, given: PluginCredentials, tls: ssl.SSLContext) -> Identity:
    return Identity(_authorization(access, given), tls, access.user.certificate or given.certificate)


def _system_authorities_changed(access: Access, tls: ssl.SSLContext) -> bool:
    """Have this machine's trusted CAs changed? False if the kubeconfig names its own."""
    if access.cluster.authorities is not None or access.cluster.insecure:
        return False
    return client_context().get_ca_certs(binary_form=True) != tls.get_ca_certs(binary_form=True)


def _trust(access: Access, given: PluginCredentials) -> tuple[object, ...]:
    """Everything that a TLS context is made from."""
    return access.cluster.authorities, access.cluster.insecure, access.user.certificate or given.certificate


def _tls(access: Access, given: PluginCredentials) -> ssl.SSLContext:
    cluster, certificate = access.cluster, access.user.certificate or given.certificate
    try:
        return client_context(cluster.authorities, certificate, not cluster.insecure)
    except ValueError as error:
        raise ConfigurationError(
            f"{access.where}: expected readable PEM certificates (and a client key that belongs to them), "
            f"got: {error}. Check certificate-authority, client-certificate and client-key."
        ) from error


def _stamps(paths: Iterable[Path]) -> tuple[Stamp, ...]:
    return tuple(map(_stamp, paths))


def _stamp(path: Path) -> Stamp:
    try:
        status = path.stat()
    except OSError:
        return None
    # with the inode: the kubelet replaces a projected token by changing a symbolic link
    return status.st_mtime_ns, status.st_ino, status.st_size
