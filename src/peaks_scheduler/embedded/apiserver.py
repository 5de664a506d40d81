"""An API server in memory: enough of Kubernetes, over HTTP on loopback, for a scheduler to believe in it.

Owns its life, the objects put in by the same process and the faults that tests order. Served: pods (with binding and
status), nodes, namespaces, volumes, claims and the kinds of storage.k8s.io, events of both API groups, leases, access
reviews, discovery; lists with pages, selectors and metadata-only answers, watches with bookmarks and 410. ``wire`` is
its HTTP, ``rest`` its verbs, ``watching`` its streams, ``store`` its objects. Assumes that its plain methods are called
on the event loop it runs on. Never checks schemas or namespaces, and no rights but those it is told to deny.

    async with EmbeddedApiServer() as server:
        server.add_node({"metadata": {"name": "worker-1"}, "status": {"allocatable": {"cpu": "4", "pods": "110"}}})
        server.write_kubeconfig(path)          # http:// on loopback, a token
        server.fail_next(3, status=429, headers={"Retry-After": "1"}, match="binding")
        ...
        server.requests["create", "pods/binding"]
"""

from __future__ import annotations

import email.utils
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import yaml
from aiohttp import web

from .faults import Cut, Failure
from .http_routes import HttpRoutes
from .middleware import Middleware
from .object_store import Key, Object, Store, StoreChange
from .patching import merge_patch
from .resources import BY_NAME, PODS, Resource
from .rest import RestApi
from .watch_streams import WatchStreams

_BODY_LIMIT = 3 * 1024 * 1024  # bytes, as the API server's


class EmbeddedApiServer:
    """The server. ``clock``: seconds since the epoch, for ``Date`` and the times in objects. ``bookmark_seconds``:
    pause after which a watch that asked for bookmarks gets one.
    """

    def __init__(
        self,
        *,
        tokens: set[str] | None = None,
        clock: Callable[[], float] = time.time,
        bookmark_seconds: float = 10.0,
    ) -> None:
        self.clock = clock
        self._store = Store(clock)
        self._rest = RestApi(self._store)
        self._watches = WatchStreams(self._store, bookmark_seconds)
        self._middleware = Middleware(tokens)
        self._routes = HttpRoutes(self._rest, self._watches, self._middleware)
        self._runner: web.AppRunner | None = None
        self._port = 0

    # ---- life

    async def start(self) -> None:
        """Listen on 127.0.0.1: a free port the first time, the same one after a ``stop``. The objects stay."""
        app = web.Application(client_max_size=_BODY_LIMIT)
        app.add_routes(self._routes.routes())
        app.on_response_prepare.append(self._date)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """End the watches and stop listening."""
        if self._runner is not None:
            self._watches.end()
            runner, self._runner = self._runner, None
            await runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def url(self) -> str:
        """Where it listens, or listened."""
        return f"http://127.0.0.1:{self._port}"

    def write_kubeconfig(self, path: Path | str, *, token: str | None = None, token_file: str | None = None) -> Path:
        """Write a kubeconfig for this server: a token (any accepted one), or a file that holds it."""
        token = token or next(iter(sorted(self.tokens or ())), "embedded")
        user = {"tokenFile": token_file} if token_file else {"token": token}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "embedded",
            "clusters": [{"name": "embedded", "cluster": {"server": self.url}}],
            "users": [{"name": "embedded", "user": user}],
            "contexts": [{"name": "embedded", "context": {"cluster": "embedded", "user": "embedded"}}],
        }
        Path(path).write_text(yaml.safe_dump(config), encoding="utf-8")
        return Path(path)

    # ---- objects, from the same process

    def add_node(self, node: Object) -> Object:
        """Create a node. Returns it as stored; like every object handed out here, read it and do not change it."""
        return self._rest.create(BY_NAME["nodes"], "", node).object

    def add_pod(self, pod: Object) -> Object:
        """Create a pod, in its ``metadata.namespace`` or ``default``."""
        return self._rest.create(PODS, pod["metadata"].get("namespace") or "default", pod).object

    def add(self, kind: str, obj: Object) -> Object:
        """Create an object of any kind ("persistentvolumeclaims"), in its ``metadata.namespace`` or ``default``."""
        resource = BY_NAME[kind]
        namespace = obj["metadata"].get("namespace") or "default"
        return self._rest.create(resource, namespace if resource.namespaced else "", obj).object

    def objects(self, kind: str) -> list[Object]:
        """All "pods", "nodes", "events" (as of events.k8s.io/v1) and so on, in order of namespace and name."""
        return [record.object for record in self._store.records(BY_NAME[kind])]

    def get(self, kind: str, name: str, namespace: str = "default") -> Object:
        """One object, or ``ApiError``."""
        return self._store.get(BY_NAME[kind], _key(BY_NAME[kind], namespace, name)).object

    def change(self, kind: str, name: str, patch: Object, namespace: str = "default") -> Object:
        """Merge ``patch`` into an object, its status included, in one write."""
        resource, key = BY_NAME[kind], _key(BY_NAME[kind], namespace, name)
        return self._store.replace(resource, key, merge_patch(self._store.get(resource, key).object, patch)).object

    def remove(self, kind: str, name: str, namespace: str = "default") -> None:
        """Take an object away at once."""
        self._store.remove(BY_NAME[kind], _key(BY_NAME[kind], namespace, name))

    def bind(self, name: str, node: str, namespace: str = "default") -> Object:
        """Bind a pod as another scheduler would."""
        return self._rest.bind((namespace, name), {"target": {"kind": "Node", "name": node}}).object

    def subscribe(self, kind: str, subscriber: Callable[[StoreChange], None]) -> Callable[[], None]:
        """Hear of every change of a kind, in order and before its request is answered. Returns the way to stop."""
        return self._store.subscribe(BY_NAME[kind], subscriber)

    # ---- faults

    def fail_next(
        self,
        n: int,
        status: int = 500,
        headers: Mapping[str, str] | None = None,
        match: str = "",
        message: str | None = None,
    ) -> None:
        """Refuse the next ``n`` requests whose text ``METHOD path?query`` contains ``match``; none is applied."""
        self._middleware.faults.failures.append(Failure(match, n, status, headers or {}, message))

    def drop_next(self, n: int, match: str = "", *, after_applying: bool = False) -> None:
        """Cut the connection of the next ``n`` matching requests without an answer, before or after applying them."""
        self._middleware.faults.cuts.append(Cut(match, n, after_applying))

    def delay(self, match: str, seconds: float) -> None:
        """Hold every matching request back by ``seconds`` before it is looked at; 0 ends that."""
        self._middleware.faults.delays[match] = seconds

    def drop_watches(self) -> int:
        """Break the connection of every open watch. Returns how many there were."""
        return self._watches.cut()

    def freeze_watches(self, frozen: bool = True) -> None:
        """Keep watches open and silent; what happened meanwhile is sent when they thaw."""
        self._watches.frozen = frozen

    def compact(self) -> None:
        """Forget all history: a watch from an older version gets 410, a continued list too."""
        self._rest.compact()

    @property
    def expired(self) -> Mapping[str, int]:
        """Kind -> watches that were answered with 410."""
        return self._watches.expired

    def clear_faults(self) -> None:
        """Forget every refusal, cut and delay not yet carried out."""
        self._middleware.faults.clear()

    # ---- what was asked

    @property
    def tokens(self) -> set[str] | None:
        """Accepted bearer tokens; None accepts everybody. Assign to rotate."""
        return self._middleware.tokens

    @tokens.setter
    def tokens(self, tokens: set[str] | None) -> None:
        self._middleware.tokens = tokens

    @property
    def denied(self) -> set[tuple[str, str]]:
        """(verb, kind) that are forbidden, e.g. ("create", "pods/binding"). Add to it."""
        return self._routes.denied

    @property
    def absent(self) -> set[str]:
        """Kinds ("csinodes") that this server does not have. Add to it."""
        return self._routes.absent

    @property
    def requests(self) -> Counter[tuple[str, str]]:
        """(verb, kind) -> requests that came, refused ones too: ("watch", "pods"), ("create", "pods/binding")."""
        return self._middleware.requests

    @property
    def watching(self) -> int:
        """Number of watches open now."""
        return len(self._watches)

    async def _date(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Date"] = email.utils.formatdate(self.clock(), usegmt=True)


def _key(resource: Resource, namespace: str, name: str) -> Key:
    return (namespace if resource.namespaced else "", name)
