"""Reads kubeconfig files as kubectl does: which files, how they are merged, what a context names.

Owns the rules of client-go's clientcmd. Of several files, the first that has a cluster, user or context of a name
provides that whole entry. Relative paths start at the folder of their own file. ``tokenFile`` is preferred to
``token``. What kubectl refuses is refused, with a message that names file and entry. Two things differ from kubectl:
credentials are sent over plain http too, and ``auth-provider`` is refused, since its plugins no longer exist or need a
browser. Unknown fields are ignored. Never runs a plugin, never writes a file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yarl import URL

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.files.documents import parse_document
from peaks_scheduler.files.reading import read_text
from peaks_scheduler.text.masking import mask_url
from peaks_scheduler.text.words import few, nearest

from .access import PROXY_SCHEMES, Access, ClusterEndpoint
from .kubeconfig_fields import Fields
from .kubeconfig_user import read_user

PLUGIN_EXTENSION = "client.authentication.k8s.io/exec"


@dataclass(slots=True)
class Kubeconfig:
    """One or several merged files: entries by kind and name."""

    files: list[Path] = field(default_factory=list)
    entries: dict[str, dict[str, Fields]] = field(default_factory=lambda: {"clusters": {}, "users": {}, "contexts": {}})
    current: str = ""

    @property
    def where(self) -> str:
        return f"kubeconfig {os.pathsep.join(map(str, self.files))}"


def standard_files(environ: Mapping[str, str]) -> list[Path]:
    """The files of KUBECONFIG, each once, else ~/.kube/config; they may not exist."""
    named = environ.get("KUBECONFIG")
    # expanduser keeps the ~ if there is neither HOME nor an entry in passwd
    return [
        Path(os.path.expanduser(each)) for each in dict.fromkeys((named or "~/.kube/config").split(os.pathsep)) if each
    ]


def read_files(paths: list[Path], *, all_needed: bool = False) -> Kubeconfig:
    """These files, merged. Missing files are skipped, unless ``all_needed``.

    Raises ConfigurationError: no file exists, or one cannot be read.
    """
    merged = Kubeconfig()
    for path in paths:
        try:
            text = read_text(path)
        except FileNotFoundError as error:
            if all_needed:
                raise _no_file([path]) from error
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"kubeconfig {path}: expected a readable file, got: {error}") from error
        _merge(merged, parse_document(text, f"kubeconfig {path}"), path)
    if not merged.files:
        raise _no_file(paths)
    return merged


def read_access(config: Kubeconfig, context: str | None = None) -> Access:
    """The cluster and the credentials of ``context``; None: the current context. Raises ConfigurationError."""
    name = context or config.current
    fields = _context(config, name, "--context" if context else "current-context")
    where = f"{config.where}, context {name!r}"
    cluster = _named(config, fields, "cluster")
    if cluster is None:
        raise ConfigurationError(f"{where}: expected the name of a cluster, got none")
    server, in_url = _cluster(cluster)
    user_fields = _named(config, fields, "user")
    user, files = read_user(user_fields, in_url)
    authority = cluster.path("certificate-authority")
    watched = (*config.files, *([authority] if authority else []), *files)
    return Access(where, server, user, name, watched)


def _no_file(paths: list[Path]) -> ConfigurationError:
    wanted = few([str(path) for path in paths]) or "nothing: KUBECONFIG names no file"
    several = ""
    if len(paths) == 1 and os.pathsep in str(paths[0]):
        several = " Several files can be given in KUBECONFIG, not here."
    return ConfigurationError(
        f"kubeconfig: expected a file at {wanted}, found none. Name one with --kubeconfig or KUBECONFIG.{several}"
    )


def _merge(merged: Kubeconfig, document: Any, path: Path) -> None:
    merged.files.append(path)
    if document is None:
        return
    if not isinstance(document, dict):
        raise ConfigurationError(f"kubeconfig {path}: expected clusters, users and contexts, got: a {_kind(document)}")
    whole = Fields(document, f"kubeconfig {path}", path.parent)
    merged.current = merged.current or whole.text("current-context")
    for kind, known in merged.entries.items():
        for name, fields in _entries(whole, kind):
            known.setdefault(name, fields)


def _entries(whole: Fields, kind: str) -> Iterator[tuple[str, Fields]]:
    """(name, fields) of each entry of this kind in the file."""
    seen: set[str] = set()
    for entry in whole.sections(kind):
        name, one = entry.text("name"), kind.removesuffix("s")
        if name in seen:
            raise ConfigurationError(f"{whole.where}: expected {kind} with different names, got two named {name!r}")
        seen.add(name)
        inner = entry.section(one) or entry.within({})
        yield name, inner.called(f"{one} {name!r} of {whole.where}")


def _context(config: Kubeconfig, name: str, given_by: str) -> Fields:
    known = sorted(config.entries["contexts"])
    if name in config.entries["contexts"]:
        return config.entries["contexts"][name]
    got = f"{given_by} {name!r}{nearest(name, known)}" if name else "none: it has no current-context"
    choice = f"Its contexts: {few(known, 10)}. Choose one with --context." if known else "It has no contexts."
    raise ConfigurationError(f"{config.where}: expected the name of a context, got {got}. {choice}")


def _named(config: Kubeconfig, context: Fields, kind: str) -> Fields | None:
    """The cluster or user that the context names; None if it names none."""
    name, known = context.text(kind), config.entries[f"{kind}s"]
    if name and name not in known:
        got = f"{name!r}{nearest(name, known)}"
        raise ConfigurationError(f"{context.where}: expected a {kind} of this kubeconfig, got {got}")
    return known.get(name)


def _cluster(fields: Fields) -> tuple[ClusterEndpoint, tuple[str, str] | None]:
    """The cluster, and (user, password) of its URL."""
    server, in_url = _server(fields)
    insecure, authorities = fields.switch("insecure-skip-tls-verify"), fields.content("certificate-authority")
    if insecure and authorities:
        raise ConfigurationError(
            f"{fields.where}: expected either insecure-skip-tls-verify or a certificate-authority, got both"
        )
    return (
        ClusterEndpoint(
            server,
            fields.text("server"),
            fields.text("tls-server-name") or None,
            authorities,
            insecure,
            _proxy(fields),
            fields.switch("disable-compression"),
            _plugin_config(fields),
        ),
        in_url,
    )


def _server(fields: Fields) -> tuple[URL, tuple[str, str] | None]:
    text = fields.text("server")
    with_scheme = text if "://" in text else f"http://{text}"
    try:
        url = URL(with_scheme)
        usable = url.scheme in ("http", "https") and url.host and (url.port or 0) > 0
    except ValueError:
        usable = False
    if not usable or ("://" not in text and url.path not in ("", "/")):
        raise ConfigurationError(f"{fields.where}: expected a server like https://HOST:PORT, got {mask_url(text)!r}")
    in_url = (url.user, url.password or "") if url.user else None
    return url.with_user(None).with_path(url.raw_path.rstrip("/"), encoded=True), in_url


def _proxy(fields: Fields) -> str | None:
    text = fields.text("proxy-url")
    if text and (text.partition("://")[0].lower() not in PROXY_SCHEMES or not text.partition("://")[2]):
        raise ConfigurationError(
            f"{fields.where}: expected a proxy-url of http://, https:// or socks5://, got {mask_url(text)!r}"
        )
    return text or None


def _plugin_config(fields: Fields) -> Any:
    for extension in fields.sections("extensions"):
        if extension.text("name") == PLUGIN_EXTENSION:
            return extension.values.get("extension")
    return None


def _kind(value: Any) -> str:
    return "list" if isinstance(value, list) else "text" if isinstance(value, str) else type(value).__name__
