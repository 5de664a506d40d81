"""An API server in memory, over HTTP on loopback, with what a scheduler needs of Kubernetes.

It serves pods (with binding and status), nodes, namespaces, volumes, claims, the kinds of storage.k8s.io, events of
both API groups, leases, access reviews and discovery. Lists have pages, selectors and metadata-only responses; watches
have bookmarks and 410.

Owns the start and stop of the server, and the methods by which the same process adds objects and orders faults.
``http_routes`` has the HTTP paths, ``middleware`` the token check and the faults, ``rest`` the verbs, ``watch_streams``
the watches, ``object_store`` the objects. Assumes that its methods are called on its own event loop. Never validates
schemas or namespaces; denies only the rights that it is told to deny.

    async with EmbeddedApiServer() as server:
        server.add_node({"metadata": {"name": "worker-1"}, "status": {"allocatable": {"cpu": "4", "pods": "110"}}})
        server.write_kubeconfig(path)          # http:// on loopback, a token
        server.fail_next(3, status=429, headers={"Retry-After": "1"}, match="binding")
        ...
        server.requests["create", "pods/binding"]
"""

from __future__ import annotations

import asyncio
import email.utils
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import yaml
from aiohttp import web

from .api_resources import BY_NAME, PODS, Resource
from .faults import Cut, Failure
from .http_routes import HttpRoutes
from .middleware import Middleware
from .object_store import Key, Object, Store, StoreChange
from .patching import merge_patch
from .rest import RestApi
from .watch_streams import WatchStreams

_BODY_LIMIT = 3 * 1024 * 1024  # [bytes] as kube-apiserver
ACCEPTING = 5  # turns of the loop after which every connection that was accepted is known


class EmbeddedApiServer:
    """The server.

    Args:
        tokens: accepted bearer tokens; None: no check.
        clock: [s] since the epoch, for the ``Date`` header and the times in objects.
        bookmark_seconds: [s] between two bookmarks of a watch that asked for them.
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

    # ---- start and stop

    async def start(self) -> None:
        """Listen on 127.0.0.1, at a free port; after a ``stop`` at the same port, with the same objects."""
        app = web.Application(client_max_size=_BODY_LIMIT)
        app.add_routes(self._routes.routes())
        app.on_response_prepare.append(self._set_date)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        self._listener = socket.create_server(("127.0.0.1", self._port))
        await web.SockSite(self._runner, self._listener).start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening and end the watches. The objects stay."""
        if self._runner is not None:
            runner, self._runner = self._runner, None
            # asyncio leaves a connection open for ever whose listener is closed while it is being accepted
            asyncio.get_running_loop().remove_reader(self._listener)
            for _ in range(ACCEPTING):
                await asyncio.sleep(0)
            self._watches.end()
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
        """URL of the server, also after ``stop``."""
        return f"http://127.0.0.1:{self._port}"

    def write_kubeconfig(self, path: Path | str, *, token: str | None = None, token_file: str | None = None) -> Path:
        """Write a kubeconfig for this server, with ``token`` (default: an accepted one) or ``token_file``."""
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

    # ---- objects

    def add_node(self, node: Object) -> Object:
        """Create a node and return it as stored. Do not change objects that this server returns."""
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
        """All objects of a kind ("pods"), sorted by namespace and name; events in their events.k8s.io/v1 form."""
        return [record.object for record in self._store.records(BY_NAME[kind])]

    def get(self, kind: str, name: str, namespace: str = "default") -> Object:
        """One object. Raises ApiError."""
        return self._store.get(BY_NAME[kind], _key(BY_NAME[kind], namespace, name)).object

    def change(self, kind: str, name: str, patch: Object, namespace: str = "default") -> Object:
        """Merge ``patch`` into an object, including its status, in one write."""
        resource, key = BY_NAME[kind], _key(BY_NAME[kind], namespace, name)
        return self._store.replace(resource, key, merge_patch(self._store.get(resource, key).object, patch)).object

    def remove(self, kind: str, name: str, namespace: str = "default") -> None:
        """Remove an object at once."""
        self._store.remove(BY_NAME[kind], _key(BY_NAME[kind], namespace, name))

    def bind(self, name: str, node: str, namespace: str = "default") -> Object:
        """Bind a pod, as another scheduler would."""
        return self._rest.bind((namespace, name), {"target": {"kind": "Node", "name": node}}).object

    def subscribe(self, kind: str, subscriber: Callable[[StoreChange], None]) -> Callable[[], None]:
        """Call ``subscriber`` for every change of a kind, in order and before its request is answered. Returns a
        function that ends the subscription."""
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
        """Refuse the next ``n`` requests whose text ``METHOD path?query`` contains ``match``, without applying them."""
        self._middleware.faults.failures.append(Failure(match, n, status, headers or {}, message))

    def drop_next(self, n: int, match: str = "", *, after_applying: bool = False) -> None:
        """Cut the connection of the next ``n`` matching requests without an answer, before or after applying them."""
        self._middleware.faults.cuts.append(Cut(match, n, after_applying))

    def delay(self, match: str, seconds: float) -> None:
        """Delay every matching request by ``seconds`` before it is handled; 0 ends the delay."""
        self._middleware.faults.delays[match] = seconds

    def drop_watches(self) -> int:
        """Break the connection of every open watch. Returns their number."""
        return self._watches.cut()

    def freeze_watches(self, frozen: bool = True) -> None:
        """Keep watches open and send nothing; with False, send what happened meanwhile."""
        self._watches.frozen = frozen

    def compact(self) -> None:
        """Forget the history: watches from an older version and continued lists get 410."""
        self._rest.compact()

    @property
    def expired(self) -> Mapping[str, int]:
        """Kind -> number of watches that were answered with 410."""
        return self._watches.expired

    def clear_faults(self) -> None:
        """Forget all refusals, cuts and delays that have not happened yet."""
        self._middleware.faults.clear()

    # ---- rights and requests

    @property
    def tokens(self) -> set[str] | None:
        """Accepted bearer tokens; None: no check. Assign new ones to rotate them."""
        return self._middleware.tokens

    @tokens.setter
    def tokens(self, tokens: set[str] | None) -> None:
        self._middleware.tokens = tokens

    @property
    def denied(self) -> set[tuple[str, str]]:
        """Forbidden (verb, kind), for example ("create", "pods/binding"). Add to this set."""
        return self._routes.denied

    @property
    def absent(self) -> set[str]:
        """Kinds ("csinodes") that this server does not have. Add to this set."""
        return self._routes.absent

    @property
    def requests(self) -> Counter[tuple[str, str]]:
        """(verb, kind) -> number of requests, refused ones included: ("watch", "pods"), ("create", "pods/binding")."""
        return self._middleware.requests

    @property
    def watching(self) -> int:
        """Number of watches open now."""
        return len(self._watches)

    async def _set_date(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Date"] = email.utils.formatdate(self.clock(), usegmt=True)


def _key(resource: Resource, namespace: str, name: str) -> Key:
    return (namespace if resource.namespaced else "", name)
