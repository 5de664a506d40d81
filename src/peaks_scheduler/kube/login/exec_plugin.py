"""Runs credential plugins (``exec`` of a kubeconfig's user) as kubectl runs them, and reads their credentials.

Owns the protocol (client.authentication.k8s.io/v1 and v1beta1), the plugin's streams and its time limit. The plugin
inherits standard input if the kubeconfig allows it and it is a terminal. Its standard error goes to the terminal; if
there is none, it is copied to the log (or to our standard error), and an error message quotes its end. With a terminal,
where a person may have to answer, a plugin has 5 minutes, else one minute. Its output, and what is copied of its
standard error, have 1 MiB at most. Never runs a shell, never stores credentials.
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
from peaks_scheduler.text.printable import visible, visible_lines
from peaks_scheduler.tls import ClientCertificate

from .access import ClusterEndpoint, ExecPlugin

logger = logging.getLogger(__name__)

UNATTENDED, ATTENDED = 60.0, 300.0  # [s] time limit of a plugin without and with a terminal
ENDING = 2.0  # [s] wait for a killed plugin to end
LAST_WORDS = 500  # [characters] of its standard error in an error message
CHUNK = 1 << 16
MOST = 1 << 20  # [bytes] of output or standard error: a token and a certificate chain have some 10 kB


class _UnusableError(ValueError):
    """The plugin's output cannot be used; the text says what it contained."""


@dataclass(frozen=True, slots=True)
class PluginCredentials:
    """The credentials that a plugin returned."""

    token: str | None = field(default=None, repr=False)
    certificate: ClientCertificate | None = None
    expires: float | None = None
    """[s] since the epoch; None: unknown."""


async def ask(
    plugin: ExecPlugin, cluster: ClusterEndpoint, environ: Mapping[str, str] = os.environ
) -> PluginCredentials:
    """Run ``plugin`` once and return its credentials.

    Raises ConfigurationError that says how it failed and quotes the end of its standard error.
    """
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
            f"{plugin.where}: interactiveMode is Always: expected a terminal as standard input, it is not a terminal"
        )
    return terminal and plugin.interactive_mode != "Never"


def _info(plugin: ExecPlugin, cluster: ClusterEndpoint, interactive: bool) -> str:
    spec: dict[str, Any] = {"interactive": interactive}
    if plugin.provide_cluster_info:
        spec = {"cluster": _cluster(cluster), **spec}
    return json.dumps({"kind": "ExecCredential", "apiVersion": plugin.api_version, "spec": spec})


def _cluster(cluster: ClusterEndpoint) -> dict[str, Any]:
    """``spec.cluster`` of the ExecCredential; empty fields are left out."""
    fields = {
        "server": cluster.written,
        "tls-server-name": cluster.tls_server_name,
        "insecure-skip-tls-verify": cluster.insecure,
        "certificate-authority-data": base64.b64encode(cluster.authorities or b"").decode(),
        "proxy-url": cluster.proxy,
        "disable-compression": cluster.disable_compression,
    }
    return {**{key: value for key, value in fields.items() if value}, "config": cluster.plugin_config}


# --- running it -------------------------------------------------------------------------------------------------------


async def _run(plugin: ExecPlugin, environ: Mapping[str, str], interactive: bool) -> bytes:
    shown = sys.stderr is not None and sys.stderr.isatty()
    attended = interactive or shown
    process = await _start(plugin, environ, interactive, shown)
    limit, errors = ATTENDED if attended else UNATTENDED, _ErrorOutput()
    try:
        async with asyncio.timeout(limit):
            answer, _, code = await asyncio.gather(
                _read_all(process.stdout, lambda: _kill(process, not attended)),
                errors.follow(process.stderr),
                process.wait(),
            )
    except TimeoutError as error:
        raise ConfigurationError(
            f"{plugin.where}: {plugin.command} did not end within {limit:g} s{errors.last_words()}"
        ) from error
    finally:
        await _end(process, not attended)
    if len(answer) > MOST:
        raise ConfigurationError(
            f"{plugin.where}: {plugin.command} was stopped: expected output of at most {MOST >> 20} MiB, got more"
        )
    if code:
        raise ConfigurationError(f"{plugin.where}: {plugin.command} ended with code {code}{errors.last_words()}")
    return answer


async def _start(
    plugin: ExecPlugin, environ: Mapping[str, str], interactive: bool, shown: bool
) -> asyncio.subprocess.Process:
    program = shutil.which(plugin.command)
    if program is None:
        hint = f"\n{visible_lines(plugin.install_hint)}" if plugin.install_hint else ""
        raise ConfigurationError(f"{plugin.where}: expected the program {plugin.command}, found none.{hint}")
    try:
        return await asyncio.create_subprocess_exec(
            program,
            *plugin.args,
            env=environ,
            stdin=None if interactive else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=None if shown else asyncio.subprocess.PIPE,
            # a session of its own can be killed with its children, but has no terminal
            start_new_session=not (interactive or shown),
        )
    except OSError as error:
        raise ConfigurationError(f"{plugin.where}: {program} cannot be run: {error}") from error


async def _read_all(stream: asyncio.StreamReader | None, stop: Callable[[], None]) -> bytes:
    """The whole stream, at most MOST + 1 bytes. If there is more, calls ``stop`` and discards the rest."""
    output = bytearray()
    while stream is not None and (chunk := await stream.read(CHUNK)):
        if len(output) > MOST:
            stop()
        else:
            output += chunk
    return bytes(output[: MOST + 1])


async def _end(process: asyncio.subprocess.Process, has_session: bool) -> None:
    """Kill the plugin if it still runs."""
    if process.returncode is not None:
        return
    _kill(process, has_session)
    with contextlib.suppress(TimeoutError):  # a child that lives on keeps the pipes open
        async with asyncio.timeout(ENDING):
            await process.wait()


def _kill(process: asyncio.subprocess.Process, has_session: bool) -> None:
    with contextlib.suppress(ProcessLookupError):
        if has_session:
            os.killpg(process.pid, signal.SIGKILL)  # its children too
        else:
            process.kill()


class _ErrorOutput:
    """The standard error of a plugin: copied line by line, its end kept for a message."""

    def __init__(self) -> None:
        self._text, self._size = "", 0

    async def follow(self, stream: asyncio.StreamReader | None) -> None:
        while stream is not None and (chunk := await stream.read(CHUNK)):
            text = chunk.decode("utf-8", "replace")
            self._text = (self._text + text)[-LAST_WORDS:]
            self._size += len(chunk)
            if self._size <= MOST:
                _copy(text)

    def last_words(self) -> str:
        words = " ".join(visible(line) for line in self._text.split())
        return f": {words}" if words else ": its standard error was empty or went to the terminal"


def _copy(text: str) -> None:
    if not logger.hasHandlers():
        print(text, end="", file=sys.stderr, flush=True)
        return
    for line in text.splitlines():
        if line.strip():
            logger.warning("credential plugin says", extra={"text": visible(line.strip())})


# --- reading its output -----------------------------------------------------------------------------------------------


def _read(answer: bytes, version: str) -> PluginCredentials:
    document = parse_document(answer.decode(), "its output")
    if not isinstance(document, dict):
        raise _UnusableError("nothing" if document is None else "something that is not an object")
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
        raise _UnusableError("a token that is not one line of ASCII text")
    certificate = ClientCertificate(chain.encode(), key.encode()) if chain else None
    return PluginCredentials(token or None, certificate, _time(_text(status, "expirationTimestamp")))


def _text(status: Mapping[str, Any], name: str) -> str:
    value = status.get(name)
    if value is not None and not isinstance(value, str):
        raise _UnusableError(f"a {name} that is not text")
    return value or ""


def _time(text: str) -> float | None:
    if not text:
        return None
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
