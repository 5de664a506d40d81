"""What kubectl does with kubeconfigs of many kinds: a table, each row with what the server then sees.

Tried with kubectl itself (tests/e2e/test_kubectl.py) and with our own reading (tests/unit/kube/test_kubeconfig.py), so
that neither the table nor our code is taken on trust.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme

from tests.support.tls_recorder import Seen

EXEC_V1 = {"apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never"}
NOBODY = Seen()
REFUSED = None


@dataclass(slots=True)
class World:
    """A folder for kubeconfigs, and the certificates beside them."""

    folder: Path
    server: str
    ca: trustme.CA
    environ: dict[str, str] = field(default_factory=dict)
    context: str | None = None

    def __post_init__(self) -> None:
        self.ca.cert_pem.write_to_path(self.folder / "ca.pem")
        for name in ("admin", "other"):
            leaf = self.ca.issue_cert(f"{name}@example.org", common_name=name)
            leaf.private_key_pem.write_to_path(self.folder / f"{name}.key")
            for pem in leaf.cert_chain_pems:
                pem.write_to_path(self.folder / f"{name}.pem", append=True)

    def data(self, name: str) -> str:
        return base64.b64encode((self.folder / name).read_bytes()).decode()

    def entries(self, name: str = "x", *, cluster: Any = None, user: Any = None, context: Any = None) -> dict[str, Any]:
        """One context with its cluster and user, all called ``name``."""
        return {
            "clusters": [{"name": name, "cluster": {"server": self.server, "certificate-authority": "ca.pem"}}],
            "users": [{"name": name, "user": {"token": "abc"} if user is None else user}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            **({"clusters": [{"name": name, "cluster": cluster}]} if cluster is not None else {}),
            **({"contexts": [{"name": name, "context": context}]} if context is not None else {}),
        }

    def write(self, content: Mapping[str, Any] | str, name: str = "config", current: str | None = "x") -> Path:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        if isinstance(content, str):
            path.write_text(content)
        else:
            head = {"apiVersion": "v1", "kind": "Config", **({"current-context": current} if current else {})}
            path.write_text(json.dumps({**head, **content}))
        return path

    def several(self, *names: str) -> None:
        """KUBECONFIG names these files."""
        self.environ["KUBECONFIG"] = os.pathsep.join(str(self.folder / name) if name else "" for name in names)

    def plugin(self, token: str, name: str = "bin/plugin") -> None:
        """A program in a folder of its own that gives this token."""
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        answer = {"apiVersion": EXEC_V1["apiVersion"], "kind": "ExecCredential", "status": {"token": token}}
        path.write_text(f"#!/bin/sh\necho '{json.dumps(answer)}'\n")
        path.chmod(0o755)


Prepare = Callable[[World], None]


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    prepare: Prepare
    sees: Seen | None
    """What arrives at the server; None: the kubeconfig is refused, or the server is."""
    says: str = ""
    """With a refusal: words of our message."""


CASES: list[Case] = []


def case(name: str, sees: Seen | None, says: str = "") -> Callable[[Prepare], Prepare]:
    def add(prepare: Prepare) -> Prepare:
        CASES.append(Case(name, prepare, sees, says))
        return prepare

    return add


def user(name: str, sees: Seen | None, says: str = "", **fields: Any) -> None:
    """A case of one file whose user has these fields, - for _."""
    CASES.append(
        Case(name, lambda world: _one(world, user={k.replace("_", "-"): v for k, v in fields.items()}), sees, says)
    )


def _one(world: World, **parts: Any) -> None:
    world.write(world.entries(**parts))


def bearer(token: str) -> Seen:
    return Seen(f"Bearer {token}")


# --- who we are ---------------------------------------------------------------------------------------------------

user("token", bearer("abc"), token="abc")
user("empty token", NOBODY, token="")
user("basic", Seen("Basic dTpw"), username="u", password="p")
user("token and basic", REFUSED, "either a token or username", token="abc", username="u", password="p")
user("token that is a number", REFUSED, "token: expected text", token=12345)
user("certificate files", Seen(None, "admin"), client_certificate="admin.pem", client_key="admin.key")
user(
    "token beside a certificate",
    Seen("Bearer abc", "admin"),
    token="abc",
    client_certificate="admin.pem",
    client_key="admin.key",
)
user("certificate without key", REFUSED, "expected client-key", client_certificate="admin.pem")
user(
    "key of another certificate",
    REFUSED,
    "the key that belongs to it",
    client_certificate="admin.pem",
    client_key="other.key",
)
user(
    "certificate file that is missing",
    REFUSED,
    "client-certificate: expected a readable file",
    client_certificate="none.pem",
    client_key="admin.key",
)
user(
    "certificate-data that is no base64",
    REFUSED,
    "client-certificate-data: expected base64",
    client_certificate_data="%%%",
    client_key="admin.key",
)
user("plugin loses to a token", bearer("abc"), token="abc", exec={**EXEC_V1, "command": "false"})
user("unknown fields", bearer("abc"), token="abc", colour="blue")
user("as", Seen("Bearer abc", None, {"impersonate-user": ["jane"]}), token="abc", **{"as": "jane"})
user(
    "as with all",
    Seen(
        "Bearer abc",
        None,
        {
            "impersonate-extra-example.org%2fscopes": ["view", "edit"],
            "impersonate-group": ["b", "a"],
            "impersonate-uid": ["1234"],
            "impersonate-user": ["jane"],
        },
    ),
    token="abc",
    as_groups=["b", "a"],
    as_uid="1234",
    as_user_extra={"example.org/scopes": ["view", "edit"]},
    **{"as": "jane"},
)
user("groups without as", REFUSED, "expected `as`", token="abc", as_groups=["a"])
user(
    "plugin without interactiveMode",
    REFUSED,
    "interactiveMode",
    exec={"apiVersion": EXEC_V1["apiVersion"], "command": "true"},
)
user(
    "plugin of v1alpha1",
    REFUSED,
    "v1alpha1",
    exec={**EXEC_V1, "apiVersion": "client.authentication.k8s.io/v1alpha1", "command": "true"},
)
user("plugin without command", REFUSED, "expected a command", exec=EXEC_V1)
user(
    "plugin that is not there",
    REFUSED,
    "expected the program no-such-plugin",
    exec={**EXEC_V1, "command": "no-such-plugin"},
)
user("plugin that fails", REFUSED, "ended with code 3", exec={**EXEC_V1, "command": "sh", "args": ["-c", "exit 3"]})
user("plugin that says nothing", REFUSED, "got: nothing", exec={**EXEC_V1, "command": "true"})
user("auth-provider of gcp", REFUSED, "gke-gcloud-auth-plugin", **{"auth-provider": {"name": "gcp"}})


def _answering(version: str, status: Any) -> dict[str, Any]:
    answer = json.dumps(
        {"apiVersion": f"client.authentication.k8s.io/{version}", "kind": "ExecCredential", "status": status}
    )
    return {**EXEC_V1, "command": "sh", "args": ["-c", f"echo '{answer}'"]}


user("plugin that answers in another version", REFUSED, "v1beta1", exec=_answering("v1beta1", {"token": "abc"}))
user("plugin without a status", REFUSED, "no status", exec=_answering("v1", None))
user("plugin without a token", REFUSED, "neither token nor certificate", exec=_answering("v1", {}))
user(
    "plugin with a certificate alone",
    REFUSED,
    "a certificate alone",
    exec=_answering("v1", {"clientCertificateData": "x"}),
)
user(
    "plugin of v1beta1",
    bearer("abc"),
    exec={
        **_answering("v1beta1", {"token": "abc"}),
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "interactiveMode": None,
    },
)
user(
    "plugin with variables",
    bearer("from-env"),
    exec={**EXEC_V1, "command": "bin/env", "env": [{"name": "TOKEN", "value": "from-env"}]},
)


@case("token file before token", bearer("from-file"))
def _(world: World) -> None:
    (world.folder / "token").write_text("from-file\n")
    _one(world, user={"token": "stale", "tokenFile": "token"})


@case("token file that is missing beside a token", bearer("inline"))
def _(world: World) -> None:
    _one(world, user={"token": "inline", "tokenFile": "none"})


@case("token file that is missing", REFUSED, "tokenFile")
def _(world: World) -> None:
    _one(world, user={"tokenFile": "none"})


@case("certificate data", Seen(None, "admin"))
def _(world: World) -> None:
    _one(world, user={"client-certificate-data": world.data("admin.pem"), "client-key-data": world.data("admin.key")})


@case("empty data beside files", Seen(None, "admin"))
def _(world: World) -> None:
    files = {"client-certificate": "admin.pem", "client-key": "admin.key"}
    _one(
        world,
        user={**files, "client-certificate-data": "", "client-key-data": None, "token": ""},
        cluster={"server": world.server, "certificate-authority": "ca.pem", "certificate-authority-data": ""},
    )


@case("data and file of a certificate", REFUSED, "either client-certificate or client-certificate-data")
def _(world: World) -> None:
    both = {"client-certificate": "admin.pem", "client-certificate-data": world.data("admin.pem")}
    _one(world, user={**both, "client-key": "admin.key"})


@case("certificate and key in one file, with its chain", Seen(None, "admin"))
def _(world: World) -> None:
    parts = ("admin.key", "admin.pem", "ca.pem")
    (world.folder / "all.pem").write_bytes(b"text before\n".join((world.folder / part).read_bytes() for part in parts))
    _one(world, user={"client-certificate": "all.pem", "client-key": "all.pem"})


@case("encrypted key", REFUSED, "openssl pkey")
def _(world: World) -> None:
    from cryptography.hazmat.primitives import serialization as kinds

    key = kinds.load_pem_private_key((world.folder / "admin.key").read_bytes(), None)
    secret = key.private_bytes(kinds.Encoding.PEM, kinds.PrivateFormat.PKCS8, kinds.BestAvailableEncryption(b"x"))
    (world.folder / "secret.key").write_bytes(secret)
    _one(world, user={"client-certificate": "admin.pem", "client-key": "secret.key"})


@case("plugin in the kubeconfig's folder", bearer("from-plugin"))
def _(world: World) -> None:
    world.plugin("from-plugin")
    _one(world, user={"exec": {**EXEC_V1, "command": "./bin/plugin"}})


@case("plugin in PATH", bearer("from-path"))
def _(world: World) -> None:
    world.plugin("from-path", "path/plugin-in-path")
    world.environ["PATH"] = f"{world.folder / 'path'}{os.pathsep}{os.environ['PATH']}"
    _one(world, user={"exec": {**EXEC_V1, "command": "plugin-in-path"}})


@case("plugin that gives a certificate", Seen(None, "other"))
def _(world: World) -> None:
    status = {
        "clientCertificateData": (world.folder / "other.pem").read_text(),
        "clientKeyData": (world.folder / "other.key").read_text(),
    }
    answer = {"apiVersion": EXEC_V1["apiVersion"], "kind": "ExecCredential", "status": status}
    (world.folder / "answer.json").write_text(json.dumps(answer))
    _one(world, user={"exec": {**EXEC_V1, "command": "cat", "args": [str(world.folder / "answer.json")]}})


# --- the cluster --------------------------------------------------------------------------------------------------


@case("authority as data", bearer("abc"))
def _(world: World) -> None:
    cluster = {"server": world.server, "certificate-authority-data": world.data("ca.pem")}
    _one(world, user={"token": "abc"}, cluster=cluster)


@case("authority as data and file", REFUSED, "either certificate-authority or certificate-authority-data")
def _(world: World) -> None:
    both = {"certificate-authority": "ca.pem", "certificate-authority-data": world.data("ca.pem")}
    _one(world, cluster={"server": world.server, **both})


@case("no authority", REFUSED)
def _(world: World) -> None:
    _one(world, user={"token": "abc"}, cluster={"server": world.server})


@case("insecure", bearer("abc"))
def _(world: World) -> None:
    _one(world, user={"token": "abc"}, cluster={"server": world.server, "insecure-skip-tls-verify": True})


@case("insecure with an authority", REFUSED, "insecure-skip-tls-verify")
def _(world: World) -> None:
    _one(world, cluster={"server": world.server, "insecure-skip-tls-verify": True, "certificate-authority": "ca.pem"})


@case("authority that is missing", REFUSED, "certificate-authority: expected a readable file")
def _(world: World) -> None:
    _one(world, cluster={"server": world.server, "certificate-authority": "none.pem"})


@case("authority that is empty", REFUSED, "expected CA certificates")
def _(world: World) -> None:
    (world.folder / "empty.pem").write_text("")
    _one(world, cluster={"server": world.server, "certificate-authority": "empty.pem"})


@case("tls-server-name that is not the certificate's", REFUSED)
def _(world: World) -> None:
    cluster = {"server": world.server, "certificate-authority": "ca.pem", "tls-server-name": "other.example.org"}
    _one(world, cluster=cluster)


@case("tls-server-name", bearer("abc"))
def _(world: World) -> None:
    cluster = {"server": world.server, "certificate-authority": "ca.pem", "tls-server-name": "localhost"}
    _one(world, user={"token": "abc"}, cluster=cluster)


@case("server with a slash at its end", bearer("abc"))
def _(world: World) -> None:
    _one(world, user={"token": "abc"}, cluster={"server": f"{world.server}/", "certificate-authority": "ca.pem"})


@case("server without an address", REFUSED, "expected a server like")
def _(world: World) -> None:
    _one(world, cluster={"server": "", "certificate-authority": "ca.pem"})


@case("proxy of a kind that there is not", REFUSED, "proxy-url")
def _(world: World) -> None:
    cluster = {"server": world.server, "certificate-authority": "ca.pem", "proxy-url": "ftp://127.0.0.1:1"}
    _one(world, cluster=cluster)


@case("proxy that is not there", REFUSED)
def _(world: World) -> None:
    cluster = {"server": world.server, "certificate-authority": "ca.pem", "proxy-url": "socks5://127.0.0.1:1"}
    _one(world, cluster=cluster)


@case("proxy of the environment is not for loopback", bearer("abc"))
def _(world: World) -> None:
    world.environ["HTTPS_PROXY"] = "http://127.0.0.1:1"
    _one(world, user={"token": "abc"})


# --- contexts and files -------------------------------------------------------------------------------------------


@case("context by name", bearer("second"))
def _(world: World) -> None:
    first, second = world.entries("x", user={"token": "first"}), world.entries("y", user={"token": "second"})
    world.write({key: first[key] + second[key] for key in first})
    world.context = "y"


@case("context that is not there", REFUSED, "got --context 'z'")
def _(world: World) -> None:
    _one(world)
    world.context = "z"


@case("current context that is not there", REFUSED, "got current-context 'z'")
def _(world: World) -> None:
    world.write(world.entries(), current="z")


@case("no current context", REFUSED, "it has no current-context")
def _(world: World) -> None:
    world.write(world.entries(), current=None)


@case("context whose cluster is not there", REFUSED, "expected a cluster of this kubeconfig, got 'y'")
def _(world: World) -> None:
    _one(world, context={"cluster": "y", "user": "x"})


@case("context whose user is not there", REFUSED, "expected a user of this kubeconfig, got 'y'")
def _(world: World) -> None:
    _one(world, context={"cluster": "x", "user": "y"})


@case("context without user", NOBODY)
def _(world: World) -> None:
    _one(world, context={"cluster": "x"})


@case("two users of one name in one file", REFUSED, "two named 'x'")
def _(world: World) -> None:
    entries = world.entries(user={"token": "abc"})
    world.write({**entries, "users": entries["users"] * 2})


@case("empty file", REFUSED, "it has no current-context")
def _(world: World) -> None:
    world.write("")


@case("no file", REFUSED, "expected a file at")
def _(world: World) -> None:
    pass


@case("several: the first current-context counts", bearer("first"))
def _(world: World) -> None:
    world.write(world.entries("x", user={"token": "first"}), "one")
    world.write(world.entries("y", user={"token": "second"}), "two", current="y")
    world.several("one", "two")


@case("several: current-context of one, its entries of another", bearer("second"))
def _(world: World) -> None:
    world.write({}, "one", current="y")
    world.write(world.entries("y", user={"token": "second"}), "two", current=None)
    world.several("one", "two")


@case("several: an entry is the first file's, whole", Seen("Basic dTpw"))
def _(world: World) -> None:
    world.write({"users": [{"name": "x", "user": {"username": "u", "password": "p"}}]}, "one", current=None)
    world.write(world.entries("x", user={"token": "second"}), "two")
    world.several("one", "two")


@case("several: missing, empty and nameless ones are passed over", bearer("last"))
def _(world: World) -> None:
    world.write("", "empty")
    world.write(world.entries("x", user={"token": "last"}), "last")
    world.several("none", "", "empty", "last", "last")


@case("several: none is there", REFUSED, "expected a file at")
def _(world: World) -> None:
    world.several("none", "neither")


@case("several: one is broken", REFUSED, "it cannot be read")
def _(world: World) -> None:
    world.write("{broken: [", "broken")
    world.write(world.entries("x", user={"token": "abc"}), "two")
    world.several("two", "broken")


@case("several: paths start at each file's folder", Seen(None, "other"))
def _(world: World) -> None:
    for name in ("other.pem", "other.key"):
        (world.folder / "below").mkdir(exist_ok=True)
        (world.folder / name).rename(world.folder / "below" / name)
    files = {"client-certificate": "other.pem", "client-key": "../below/other.key"}
    world.write({"users": [{"name": "x", "user": files}]}, "below/one", current=None)
    world.write(world.entries("x"), "two")
    world.several("below/one", "two")


def options(each: Case, world: World) -> tuple[Path | None, str | None, dict[str, str]]:
    """What the case asks with: the kubeconfig to name, the context, the environment."""
    world.plugin("'$TOKEN'", "bin/env")
    each.prepare(world)
    named = None if "KUBECONFIG" in world.environ else world.folder / "config"
    return named, world.context, world.environ
