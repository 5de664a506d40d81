"""Where the API server is and who we are to it: service account or kubeconfig, through kubernetes.aio.config.

Owns the choice between them (an explicit kubeconfig wins, then the service account inside a pod, then KUBECONFIG or
~/.kube/config), the TLS context, and the renewal of the token. kubernetes.aio.config reads a service account's token
again once a minute through ``refresh_api_key_hook``, a kubeconfig's ``tokenFile`` and ``exec`` plugin never; here a
token file is also read again when it changes (looked at once a second), and everything is read again when the API
server refuses what we have. Never logs a token, never writes a kubeconfig; client certificates are read once, at start.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException, load_kube_config
from kubernetes.aio.config.incluster_config import SERVICE_HOST_ENV_NAME, InClusterConfigLoader

from ..errors import ConfigurationError

logger = logging.getLogger(__name__)

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
LOOK_EVERY = 1.0  # [s] a token file's stamp, and between two forced renewals
# what the loaders raise for a file that is not what it should be
BROKEN = (ConfigException, OSError, yaml.YAMLError, ValueError, TypeError, AttributeError, KeyError)


@dataclass(frozen=True, slots=True)
class Reading:
    """What one reading of a service account or a kubeconfig gave."""

    configuration: Configuration
    token_file: Path | None = None
    """The file whose change means a new token; None where the token comes from elsewhere."""
    namespace: str | None = None
    """Our own namespace, known inside a pod only."""


Reader = Callable[[], Awaitable[Reading]]


class Credentials:
    """The API server's address, TLS and Authorization header, the last kept fresh."""

    def __init__(self, reader: Reader, reading: Reading, clock: Callable[[], float] = time.monotonic) -> None:
        self._reader, self._reading, self._clock = reader, reading, clock
        self._renewing = asyncio.Lock()
        self._last: str | None = None
        self._stamp = _stamp(reading.token_file)
        self._looked_at = clock()
        self._renewed_at = float("-inf")

    @property
    def server(self) -> str:
        return str(self._reading.configuration.host).rstrip("/")

    @property
    def namespace(self) -> str | None:
        return self._reading.namespace

    @property
    def tls_server_name(self) -> str | None:
        return self._reading.configuration.tls_server_name or None

    @property
    def proxy(self) -> str | None:
        return self._reading.configuration.proxy or None

    def tls(self) -> ssl.SSLContext | bool:
        """TLS context for the API server; True (aiohttp's default) where it speaks plain HTTP.

        Raises:
            ConfigurationError: a certificate or key that cannot be read.
        """
        if not self.server.startswith("https"):
            return True
        try:
            return _tls_context(self._reading.configuration)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise ConfigurationError(
                f"TLS for {self.server}: expected readable PEM certificates (and a client key that belongs to them), "
                f"got: {error}. Check certificate-authority, client-certificate and client-key."
            ) from error

    async def authorization(self) -> str | None:
        """The Authorization header of this moment; None where a client certificate, or nothing, speaks for us."""
        if self._token_file_changed():
            await self._read_again()
        try:
            key = await self._reading.configuration.get_api_key_with_prefix("BearerToken")
        except (ConfigException, OSError) as error:
            # a token file in the middle of being replaced: what we have serves until the next look
            logger.warning("token not readable", extra={"error": str(error)})
            return self._last
        self._last = key.strip() if key else None
        return self._last

    async def renew(self, refused: str | None) -> bool:
        """Read everything again because the API server refused ``refused``; is there something else to try now?

        Many requests are refused at once: the first one reads, the others find its result.
        """
        async with self._renewing:
            if await self.authorization() != refused:
                return True
            if self._clock() - self._renewed_at < LOOK_EVERY:
                return False
            self._renewed_at = self._clock()
            await self._read_again()
            return await self.authorization() != refused

    async def _read_again(self) -> None:
        self._stamp = _stamp(self._reading.token_file)
        try:
            self._reading = await self._reader()
        except ConfigurationError as error:
            logger.warning("credentials not renewed", extra={"error": str(error)})

    def _token_file_changed(self) -> bool:
        if self._reading.token_file is None or self._clock() - self._looked_at < LOOK_EVERY:
            return False
        self._looked_at = self._clock()
        return _stamp(self._reading.token_file) != self._stamp


async def load_credentials(
    kubeconfig: str | None,
    environ: Mapping[str, str] = os.environ,
    service_account: Path = SERVICE_ACCOUNT,
) -> Credentials:
    """Credentials from ``kubeconfig``, else the service account in a pod, else KUBECONFIG or ~/.kube/config.

    Raises:
        ConfigurationError: nothing there, or nothing usable.
    """
    reader = _choose(kubeconfig, environ, service_account)
    return Credentials(reader, await reader())


def _choose(kubeconfig: str | None, environ: Mapping[str, str], service_account: Path) -> Reader:
    if kubeconfig:
        return functools.partial(_read_kubeconfig, os.path.expanduser(kubeconfig))
    if environ.get(SERVICE_HOST_ENV_NAME) and (service_account / "token").is_file():
        return functools.partial(_read_service_account, service_account, environ)
    # not the library's own default: that one is fixed when the module is imported
    # expanduser leaves the ~ where there is neither HOME nor an entry in passwd; Path.home() fails
    paths = environ.get("KUBECONFIG") or os.path.expanduser("~/.kube/config")
    return functools.partial(_read_kubeconfig, paths)


async def _read_service_account(folder: Path, environ: Mapping[str, str]) -> Reading:
    configuration = Configuration()
    try:
        token, authority = str(folder / "token"), str(folder / "ca.crt")
        loader = InClusterConfigLoader(token, authority, environ=environ)  # type: ignore[no-untyped-call]
        loader.load_and_set(configuration)  # type: ignore[no-untyped-call]
    except BROKEN as error:
        raise ConfigurationError(
            f"service account in {folder}: expected token and ca.crt, got: {error}. Is automountServiceAccountToken on?"
        ) from error
    return Reading(configuration, folder / "token", _text(folder / "namespace"))


async def _read_kubeconfig(paths: str) -> Reading:
    if not _any_file(paths):
        raise ConfigurationError(
            f"kubeconfig: expected a file at {paths}, found none. Name one with --kubeconfig or KUBECONFIG."
        )
    configuration = Configuration()
    try:
        # persist_config would write refreshed tokens into a file that is not ours
        loader = await load_kube_config(  # type: ignore[no-untyped-call]
            paths, client_configuration=configuration, persist_config=False
        )
        user = _user_of(loader)
    except BROKEN as error:
        raise ConfigurationError(
            f"kubeconfig {paths}: expected a current context with a cluster and a user, got: {error}"
        ) from error
    _refuse_silent_plugin(paths, user, configuration)
    return Reading(configuration, _token_file(user))


def _any_file(paths: str) -> bool:
    return any(os.path.isfile(os.path.expanduser(path)) for path in paths.split(os.pathsep) if path)


def _user_of(loader: Any) -> Any:
    # the library keeps the chosen user to itself; without it a token is still renewed, on the first refusal
    return getattr(loader, "_user", None)


def _token_file(user: Any) -> Path | None:
    if user is None or "tokenFile" not in user or "token" in user:
        return None
    return Path(os.path.dirname(os.path.abspath(user.path)), user["tokenFile"])


def _refuse_silent_plugin(paths: str, user: Any, configuration: Configuration) -> None:
    # a credential plugin that failed is only logged by the library, and we would go on as nobody
    if user is not None and "exec" in user and not configuration.api_key and not configuration.cert_file:
        raise ConfigurationError(
            f"kubeconfig {paths}: expected credentials from its exec plugin, got none. Run the plugin by hand."
        )


def _tls_context(configuration: Configuration) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    # Python 3.13 turns this on; authorities that clusters make for themselves often lack the key identifiers it wants
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _stamp(path: Path | None) -> tuple[int, int, int] | None:
    if path is None:
        return None
    try:
        status = path.stat()
    except OSError:
        return None
    # the inode too: a projected token is replaced by turning a symbolic link
    return status.st_mtime_ns, status.st_ino, status.st_size


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip() or None
    except OSError:
        return None
