"""Who we are to the API server at this moment: token, certificate and trust, kept fresh.

Owns the choice between kubeconfig and service account (an explicit kubeconfig or context wins, then the service account
inside a pod, then KUBECONFIG or ~/.kube/config) and every renewal. Files are looked at once a second: a token, a
client certificate or an authority that was replaced is in force with the next request. A credential plugin runs again
shortly before its credentials expire; and all is read again when the API server refuses what we have, or we what it
shows. The context and
the server are those of the start: a kubeconfig that is switched to another cluster does not send our token there. What
cannot be read leaves the last good credentials in force. Never logs a secret, never writes a file.
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

LOOK_EVERY = 1.0  # [s] at the files' stamps, and between two forced renewals
AFTER_FAILURE = 10.0  # [s] before a plugin that failed is run again
EARLY, EARLY_SHARE = 10.0, 0.1  # [s], and share of its life, before which a plugin's credentials are renewed
NOTHING = PluginCredentials()

Reader = Callable[[str | None], Access]
"""Reads everything anew; the argument is the context to keep to, None at the first time."""
Stamp = tuple[int, int, int] | None


@dataclass(frozen=True, slots=True)
class Identity:
    """What one request is sent with. Two are equal where a connection of one serves for the other, too."""

    authorization: str | None
    tls: ssl.SSLContext
    """Made anew whenever a certificate, ours or the authority's, changes."""
    certificate: ClientCertificate | None = None
    """Ours, shown where a connection begins."""


class Credentials:
    """The API server's address and our identity, the latter kept fresh. Made by :func:`load_credentials`."""

    def __init__(
        self,
        reader: Reader,
        access: Access,
        given: PluginCredentials = NOTHING,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Raises ConfigurationError for certificates that cannot be used."""
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
        """Which file and context this is, in messages."""
        return self._access.where

    @property
    def server(self) -> str:
        return str(self.cluster.server).rstrip("/")

    @property
    def namespace(self) -> str | None:
        return self._access.namespace

    @property
    def tls(self) -> ssl.SSLContext:
        """The context of this moment."""
        return self._identity.tls

    @property
    def certificate(self) -> ClientCertificate | None:
        """Our own of this moment."""
        return self._identity.certificate

    @property
    def impersonation(self) -> tuple[tuple[str, str], ...]:
        """Headers by which the API server takes us for somebody else."""
        return self._access.user.impersonation

    @property
    def anonymous(self) -> bool:
        """Is there nothing that says who we are?"""
        return self._identity.authorization is None and self._identity.certificate is None

    async def identity(self) -> Identity:
        """Who we are now."""
        if self._files_changed():
            await self._renewed(plugin=False)
        left = self._seconds_left()
        if left is not None and self._may_try():
            renewal = self._start(plugin=True)
            if left <= 0:  # else what we have serves meanwhile
                await asyncio.shield(renewal)
        return self._identity

    async def renew(self, refused: Identity, *, plugin: bool = True) -> bool:
        """Read everything again because a request with ``refused`` failed over it; is there something else to try now?
        ``plugin``: run the plugin, too.

        Many requests are refused at once: the first one reads, the others find its result.
        """
        if await self.identity() != refused:
            return True
        if self._clock() - self._renewed_at >= LOOK_EVERY:
            await self._renewed(plugin)
        elif self._renewal is not None:
            await asyncio.shield(self._renewal)
        return self._identity != refused

    async def aclose(self) -> None:
        """End a renewal that is under way."""
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.gather(self._renewal, return_exceptions=True)

    # -- when

    def _files_changed(self) -> bool:
        if self._clock() - self._looked_at < LOOK_EVERY:
            return False
        self._looked_at = self._clock()
        return _stamps(self._access.files) != self._stamps

    def _seconds_left(self) -> float | None:
        """[s] until a plugin's credentials expire, if they are to be renewed now; None: they are not."""
        expires = self._given.expires
        if expires is None or self._access.user.plugin is None:
            return None
        left, life = expires - self._wall_clock(), expires - self._given_at
        return left if left <= min(EARLY, EARLY_SHARE * max(life, 0.0)) else None

    def _may_try(self) -> bool:
        """Not at once again: a plugin may give what has expired already, or fail."""
        now = self._clock()
        return now - self._failed_at >= AFTER_FAILURE and now - self._renewed_at >= LOOK_EVERY

    # -- how

    async def _renewed(self, plugin: bool) -> None:
        # a request that gives up must not end a renewal that others wait for
        await asyncio.shield(self._start(plugin))

    def _start(self, plugin: bool) -> asyncio.Task[None]:
        """The renewal under way, else a new one; with ``plugin`` the plugin is run even where nothing else changed."""
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
        # before reading: a file that changes meanwhile is read once more
        self._stamps = _stamps(self._access.files)
        try:
            access = self._reader(self._access.context)
            self._refuse_another_server(access)
            self._accept(access, await self._asked(access, plugin))
        except ConfigurationError as error:
            self._failed_at = self._clock()
            self._complain(str(error))
        else:
            self._failed_at, self._complaint = float("-inf"), ""

    async def _asked(self, access: Access, plugin: bool) -> PluginCredentials:
        """What the plugin gives, or gave: it runs again only if that is asked for, or it is another one."""
        if access.user.plugin is None:
            return NOTHING
        if plugin or access.user.plugin != self._access.user.plugin:
            return await ask(access.user.plugin, access.cluster)
        return self._given

    def _refuse_another_server(self, access: Access) -> None:
        if access.cluster.server != self.cluster.server:
            raise ConfigurationError(
                f"{access.where}: expected the server {self.server} as at the start, got {access.cluster.server}: "
                "restart to use another one"
            )

    def _accept(self, access: Access, given: PluginCredentials) -> None:
        tls = self._identity.tls
        if _trust(access, given) != _trust(self._access, self._given) or _machines_changed(access, tls):
            tls = _tls(access, given)
            logger.info("certificates renewed")
        if given is not self._given:
            self._given_at = self._wall_clock()
        self._stamps = self._stamps if access.files == self._access.files else _stamps(access.files)
        self._identity = _identity(access, given, tls)
        self._access, self._given = access, given

    def _complain(self, error: str) -> None:
        """Once about the same: a broken file is looked at with every refusal."""
        if error != self._complaint:
            self._complaint = error
            logger.warning("credentials not renewed", extra={"error": error})


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
        ConfigurationError: nothing there, or nothing usable.
    """
    reader = _choose(kubeconfig, context, environ, service_account)
    access = reader(None)
    plugin: ExecPlugin | None = access.user.plugin
    given = await ask(plugin, access.cluster, environ) if plugin else NOTHING
    return Credentials(reader, access, given, **clocks)


def _choose(kubeconfig: str | None, context: str | None, environ: Mapping[str, str], service_account: Path) -> Reader:
    if not kubeconfig and not context and is_in_a_pod(environ, service_account):
        return lambda _: read_service_account(service_account, environ)
    paths = [Path(os.path.expanduser(kubeconfig))] if kubeconfig else standard_files(environ)

    def read(kept: str | None) -> Access:
        return read_access(read_files(paths, all_needed=bool(kubeconfig)), kept or context)

    return read


def _authorization(access: Access, given: PluginCredentials) -> str | None:
    """The Authorization header; None where a client certificate, or nothing, speaks for us."""
    if token := access.user.token or given.token:
        return f"Bearer {token}"
    if access.user.basic:
        return f"Basic {base64.b64encode(':'.join(access.user.basic).encode()).decode()}"
    return None


def _identity(access: Access, given: PluginCredentials, tls: ssl.SSLContext) -> Identity:
    return Identity(_authorization(access, given), tls, access.user.certificate or given.certificate)


def _machines_changed(access: Access, tls: ssl.SSLContext) -> bool:
    """Does the machine itself trust other authorities than it did, where it is the one that counts?"""
    if access.cluster.authorities is not None or access.cluster.insecure:
        return False
    return client_context().get_ca_certs(binary_form=True) != tls.get_ca_certs(binary_form=True)


def _trust(access: Access, given: PluginCredentials) -> tuple[object, ...]:
    """All that a TLS context is made of."""
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
    # the inode too: a projected token is replaced by turning a symbolic link
    return status.st_mtime_ns, status.st_ino, status.st_size
