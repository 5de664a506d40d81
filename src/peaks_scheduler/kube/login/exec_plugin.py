"""Credentials from a program: kubectl's credential plugins (``exec`` of a kubeconfig's user), run as kubectl runs them.

Owns the protocol (client.authentication.k8s.io/v1 and v1beta1), who sees what a plugin says, and when it is given up.
Its standard error goes to the terminal as it is; without one it is passed on as it comes, into the log where there is
one, and its end stands in the error. It gets standard input where the kubeconfig allows it and that is a terminal. With
a terminal, where somebody may have to answer, it has 5 minutes, else one; an answer has 1 MiB at most, and so has what
is passed on of its standard error. Never runs a shell, never keeps what came.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import os
import shutil
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.files.documents import parse_document
from peaks_scheduler.tls import ClientCertificate

from .access import ClusterEndpoint, ExecPlugin

logger = logging.getLogger(__name__)

ALONE, ATTENDED = 60.0, 300.0  # [s] until a plugin is given up: without and with a terminal
ENDING = 2.0  # [s] for a plugin that was killed to be gone
LAST_WORDS = 500  # characters of what it said, in an error
CHUNK = 1 << 16
MOST = 1 << 20  # [bytes] of an answer, or of what is passed on: a token and a certificate chain have some 10 kB


class _UnusableError(ValueError):
    """What is wrong with an answer."""


@dataclass(frozen=True, slots=True)
class PluginCredentials:
    """What a plugin gave."""

    token: str | None = field(default=None, repr=False)
    certificate: ClientCertificate | None = None
    expires: float | None = None
    """[s] since the epoch; None: it did not say."""


async def ask(
    plugin: ExecPlugin, cluster: ClusterEndpoint, environ: Mapping[str, str] = os.environ
) -> PluginCredentials:
    """Run ``plugin`` once. Raises ConfigurationError that says how it failed, with its last words."""
    interactive = _is_interactive(plugin)
    given_environ = {**environ, **dict(plugin.environment), "KUBERNETES_EXEC_INFO": _info(plugin, cluster, interactive)}
    answer = await _run(plugin, given_environ, interactive)
    try:
        return _read(answer, plugin.api_version)
    except (ValueError, OverflowError, ConfigurationError) as error:
        raise ConfigurationError(
            f"{plugin.where}: expected an ExecCredential of {plugin.api_version} with a token or a certificate, "
            f"got: {error}"
        ) from error


def _is_interactive(plugin: ExecPlugin) -> bool:
    terminal = sys.stdin is not None and sys.stdin.isatty()
    if plugin.interactive_mode == "Always" and not terminal:
        raise ConfigurationError(
            f"{plugin.where}: expected a terminal, since its interactiveMode is Always; standard input is none"
        )
    return terminal and plugin.interactive_mode != "Never"


def _info(plugin: ExecPlugin, cluster: ClusterEndpoint, interactive: bool) -> str:
    spec: dict[str, Any] = {"interactive": interactive}
    if plugin.provide_cluster_info:
        spec = {"cluster": _cluster(cluster), **spec}
    return json.dumps({"kind": "ExecCredential", "apiVersion": plugin.api_version, "spec": spec})


def _cluster(cluster: ClusterEndpoint) -> dict[str, Any]:
    """The cluster in the words of ExecCredential; what is empty is left out."""
    said = {
        "server": cluster.written,
        "tls-server-name": cluster.tls_server_name,
        "insecure-skip-tls-verify": cluster.insecure,
        "certificate-authority-data": base64.b64encode(cluster.authorities or b"").decode(),
        "proxy-url": cluster.proxy,
        "disable-compression": cluster.disable_compression,
    }
    return {**{key: value for key, value in said.items() if value}, "config": cluster.plugin_config}


# --- running it -------------------------------------------------------------------------------------------------------


async def _run(plugin: ExecPlugin, environ: Mapping[str, str], interactive: bool) -> bytes:
    shown = sys.stderr is not None and sys.stderr.isatty()
    attended = interactive or shown
    process = await _start(plugin, environ, interactive, shown)
    limit, said = ATTENDED if attended else ALONE, _ErrorOutput()
    try:
        async with asyncio.timeout(limit):
            answer, _, code = await asyncio.gather(
                _all(process.stdout, lambda: _kill(process, not attended)), said.follow(process.stderr), process.wait()
            )
    except TimeoutError as error:
        raise ConfigurationError(
            f"{plugin.where}: {plugin.command} was given up after {limit:g} s{said.last_words()}"
        ) from error
    finally:
        await _end(process, not attended)
    if len(answer) > MOST:
        raise ConfigurationError(
            f"{plugin.where}: {plugin.command} was given up: expected an answer of at most {MOST >> 20} MiB, got more"
        )
    if code:
        raise ConfigurationError(f"{plugin.where}: {plugin.command} ended with code {code}{said.last_words()}")
    return answer


async def _start(
    plugin: ExecPlugin, environ: Mapping[str, str], interactive: bool, shown: bool
) -> asyncio.subprocess.Process:
    program = shutil.which(plugin.command)
    if program is None:
        hint = f"\n{_printable(plugin.install_hint)}" if plugin.install_hint else ""
        raise ConfigurationError(f"{plugin.where}: expected the program {plugin.command}, found none.{hint}")
    try:
        return await asyncio.create_subprocess_exec(
            program,
            *plugin.args,
            env=environ,
            stdin=None if interactive else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=None if shown else asyncio.subprocess.PIPE,
            # a session of its own can be ended whole, but has no terminal to ask at
            start_new_session=not (interactive or shown),
        )
    except OSError as error:
        raise ConfigurationError(f"{plugin.where}: {program} cannot be run: {error}") from error


async def _all(stream: asyncio.StreamReader | None, stop: Callable[[], None]) -> bytes:
    """All of it, or its first MOST bytes and one; then ``stop`` is called, and the rest passed over to its end."""
    answer = bytearray()
    while stream is not None and (chunk := await stream.read(CHUNK)):
        if len(answer) > MOST:
            stop()
        else:
            answer += chunk
    return bytes(answer[: MOST + 1])


async def _end(process: asyncio.subprocess.Process, has_session: bool) -> None:
    """Nothing of it is left running, whatever the reason that we stop waiting."""
    if process.returncode is not None:
        return
    _kill(process, has_session)
    with contextlib.suppress(TimeoutError):  # a child of its that lives on keeps the pipes open
        async with asyncio.timeout(ENDING):
            await process.wait()


def _kill(process: asyncio.subprocess.Process, has_session: bool) -> None:
    with contextlib.suppress(ProcessLookupError):
        if has_session:
            os.killpg(process.pid, signal.SIGKILL)  # its children too
        else:
            process.kill()


class _ErrorOutput:
    """What a plugin says on standard error: passed on as it comes, the end kept."""

    def __init__(self) -> None:
        self._text, self._size = "", 0

    async def follow(self, stream: asyncio.StreamReader | None) -> None:
        while stream is not None and (chunk := await stream.read(CHUNK)):
            text = chunk.decode("utf-8", "replace")
            self._text = (self._text + text)[-LAST_WORDS:]
            self._size += len(chunk)
            if self._size <= MOST:
                _pass_on(text)

    def last_words(self) -> str:
        words = " ".join(_printable(self._text).split())
        return f": {words}" if words else ": it said nothing that was seen here"


def _pass_on(text: str) -> None:
    if not logger.hasHandlers():
        print(text, end="", file=sys.stderr, flush=True)
        return
    for line in text.splitlines():
        if line.strip():
            logger.warning("credential plugin says", extra={"text": _printable(line.strip())})


def _printable(text: str) -> str:
    """Without escape sequences that would set the terminal."""
    return "".join(each if each.isprintable() or each in "\n\t" else f"U+{ord(each):04X}" for each in text)


# --- its answer -------------------------------------------------------------------------------------------------------


def _read(answer: bytes, version: str) -> PluginCredentials:
    document = parse_document(answer.decode(), "its output")
    if not isinstance(document, dict):
        raise _UnusableError("nothing" if document is None else "something else than an object")
    if document.get("kind") != "ExecCredential" or document.get("apiVersion") != version:
        raise _UnusableError(f"{document.get('kind') or 'no kind'} of {document.get('apiVersion') or 'no apiVersion'}")
    status = document.get("status")
    if not isinstance(status, dict):
        raise _UnusableError("no status")
    token, chain, key = (_text(status, name) for name in ("token", "clientCertificateData", "clientKeyData"))
    if bool(chain) != bool(key):
        raise _UnusableError(f"a {'certificate' if chain else 'key'} alone")
    if not token and not chain:
        raise _UnusableError("neither token nor certificate")
    if not (token.isascii() and token.isprintable()):
        raise _UnusableError("a token that is more than one line of ASCII text")
    certificate = ClientCertificate(chain.encode(), key.encode()) if chain else None
    return PluginCredentials(token or None, certificate, _time(_text(status, "expirationTimestamp")))


def _text(status: Mapping[str, Any], name: str) -> str:
    value = status.get(name)
    if value is not None and not isinstance(value, str):
        raise _UnusableError(f"a {name} that is no text")
    return value or ""


def _time(text: str) -> float | None:
    if not text:
        return None
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
