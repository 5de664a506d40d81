"""Reads a user of a kubeconfig: token, password, certificate, credential plugin, and impersonation.

Owns which of several credentials is used and which exclude each other, as in client-go: a token file is preferred to a
token; a plugin is used only if nothing else is given. Never asks for a password, never runs the plugin.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.files.reading import read_text
from peaks_scheduler.tls import ClientCertificate, is_encrypted

from .access import ExecPlugin, User, one_line
from .kubeconfig_fields import Fields

API = "client.authentication.k8s.io"
VERSIONS = (f"{API}/v1", f"{API}/v1beta1")
MODES = ("Never", "IfAvailable", "Always")
# bytes allowed in a header's name; all others are percent-encoded
HEADER_BYTES = frozenset(b"!#$&'*+-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ^_`abcdefghijklmnopqrstuvwxyz|~")


class UserAndFiles(NamedTuple):
    """A user, and the files that contain its credentials."""

    user: User
    files: tuple[Path, ...] = ()


def read_user(fields: Fields | None, in_url: tuple[str, str] | None = None) -> UserAndFiles:
    """The user of these fields; None: no credentials.

    Args:
        in_url: (user, password) in the server's URL, used if there are no other credentials.

    Raises:
        ConfigurationError: the credentials cannot be used, or not together.
    """
    if fields is None:
        return UserAndFiles(User(basic=in_url))
    _refuse_auth_provider(fields)
    token, basic, certificate = _token(fields), _basic(fields), _certificate(fields)
    if basic and token:
        raise ConfigurationError(f"{fields.where}: expected either a token or username and password, got both")
    plugin = _plugin(fields)
    if token or basic or certificate:
        plugin = None  # as in kubectl
    elif plugin is None:
        basic = in_url
    named = (fields.path(key) for key in ("tokenFile", "client-certificate", "client-key"))
    user = User(token, basic, certificate, plugin, tuple(_impersonation(fields)))
    return UserAndFiles(user, tuple(path for path in named if path))


def _refuse_auth_provider(fields: Fields) -> None:
    provider = fields.section("auth-provider")
    if provider is None:
        return
    name = provider.text("name")
    instead = {
        "gcp": "gke-gcloud-auth-plugin (gcloud container clusters get-credentials writes it)",
        "azure": "kubelogin (kubelogin convert-kubeconfig writes it)",
        "oidc": "kubelogin (kubectl oidc-login setup shows it)",
    }.get(name, "the provider's credential plugin")
    raise ConfigurationError(
        f"{fields.where}: expected token, certificate or exec, got auth-provider {name!r}, which is not supported: "
        f"use exec with {instead}, or a service account's token"
    )


def _token(fields: Fields) -> str | None:
    """The token of ``tokenFile`` if it can be read, else ``token``."""
    path, inline = fields.path("tokenFile"), fields.text("token").strip()
    if path is None:
        return _sendable(fields, "token", inline)
    try:
        content = read_text(path).strip()
        problem = "" if content else "an empty file"
    except (OSError, UnicodeDecodeError) as error:
        content, problem = "", str(error)
    if problem and not inline:
        raise ConfigurationError(f"{fields.where}: tokenFile {path}: expected a token, got: {problem}")
    return _sendable(fields, "tokenFile", content or inline)


def _sendable(fields: Fields, key: str, token: str) -> str | None:
    try:
        return one_line(token) or None
    except ValueError as error:
        raise fields.wrong(key, "one line of ASCII text") from error


def _basic(fields: Fields) -> tuple[str, str] | None:
    name, password = fields.text("username"), fields.text("password")
    return (name, password) if name or password else None


def _certificate(fields: Fields) -> ClientCertificate | None:
    chain = fields.content("client-certificate")
    if chain is None:
        return None
    key = fields.content("client-key")
    if key is None:
        raise ConfigurationError(f"{fields.where}: expected client-key beside client-certificate, got none")
    if is_encrypted(key):
        which = fields.path("client-key") or "client-key-data"
        raise ConfigurationError(
            f"{fields.where}: expected a client key without a password, got an encrypted one in {which}. kubectl "
            "cannot use it either; decrypt it: openssl pkey -in KEY -out PLAIN"
        )
    return ClientCertificate(chain, key)


def _impersonation(fields: Fields) -> Iterator[tuple[str, str]]:
    user, uid, groups = fields.text("as"), fields.text("as-uid"), fields.texts("as-groups")
    extra = fields.section("as-user-extra")
    if not user:
        if uid or groups or (extra and extra.values):
            raise ConfigurationError(f"{fields.where}: expected `as` with as-uid, as-groups or as-user-extra, got none")
        return
    headers = [("Impersonate-User", user), ("Impersonate-Uid", uid), *(("Impersonate-Group", each) for each in groups)]
    for key in extra.values if extra else ():
        headers += [(f"Impersonate-Extra-{_escaped(key)}", value) for value in extra.texts(key)] if extra else []
    for name, value in headers:
        if any(mark in value for mark in "\r\n\0"):
            raise fields.wrong("as", "names of one line each")
        if value or name.startswith("Impersonate-Extra-"):
            yield name, value


def _escaped(key: str) -> str:
    return "".join(chr(byte) if byte in HEADER_BYTES else f"%{byte:02X}" for byte in str(key).encode())


def _plugin(fields: Fields) -> ExecPlugin | None:
    exec_ = fields.section("exec")
    if exec_ is None:
        return None
    exec_ = exec_.called(f"exec of {fields.where}")
    command, version = exec_.text("command"), exec_.text("apiVersion")
    if not command:
        raise ConfigurationError(f"{exec_.where}: expected a command, got none")
    if version not in VERSIONS:
        raise ConfigurationError(
            f"{exec_.where}: expected apiVersion {' or '.join(VERSIONS)}, got {version or 'none'}: update the plugin "
            "and the kubeconfig"
        )
    if os.sep in command:
        command = str(fields.folder.absolute() / command)
    return ExecPlugin(
        where=exec_.where,
        command=command,
        api_version=version,
        interactive_mode=_mode(exec_, version),
        args=exec_.texts("args"),
        environment=tuple(_variable(each) for each in exec_.sections("env")),
        install_hint=exec_.text("installHint"),
        provide_cluster_info=exec_.switch("provideClusterInfo"),
    )


def _variable(fields: Fields) -> tuple[str, str]:
    if not fields.text("name"):
        raise fields.wrong("env", "a name and a value for every variable")
    return fields.text("name"), fields.text("value")


def _mode(exec_: Fields, version: str) -> str:
    mode = exec_.text("interactiveMode") or ("IfAvailable" if version.endswith("v1beta1") else "")
    if mode not in MODES:
        raise ConfigurationError(
            f"{exec_.where}: expected interactiveMode {', '.join(MODES)}, got {mode or 'none'}: "
            "client.authentication.k8s.io/v1 requires it; Never is right for a plugin that asks nothing"
        )
    return mode
