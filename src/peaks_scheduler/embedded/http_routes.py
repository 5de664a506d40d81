"""HTTP routes of the embedded API server: maps paths and queries to verbs, and stored objects to responses.

Owns the routes, the parsing of requests and the forms of responses (whole objects, metadata only, lists, core/v1
events). ``rest`` implements the verbs, ``watch_streams`` the watches. Every route goes through the ``middleware``.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from . import api_errors
from .api_resources import ACCESS_REVIEWS, CORE_EVENTS, RESOURCES, Resource, discovery_documents
from .middleware import Handler, Middleware, answer
from .object_store import Key, Object, StoredObject, encode
from .patching import PATCHES
from .query_selectors import Predicate, parse_selectors
from .rest import RestApi, as_served, as_stored
from .watch_streams import Render, WatchOptions, WatchStreams


class HttpRoutes:
    """The routes.

    ``denied``: (verb, kind) that are refused with 403 and by access reviews. ``absent``: kinds that this server does
    not have.
    """

    def __init__(self, rest: RestApi, watches: WatchStreams, middleware: Middleware) -> None:
        self.denied: set[tuple[str, str]] = set()
        self.absent: set[str] = set()
        self._rest = rest
        self._watches = watches
        self._middleware = middleware

    def routes(self) -> list[web.RouteDef]:
        """A route for every served path, and a 404 for all others."""
        routes = [web.get(path, self._discovery(path)) for path in discovery_documents()]
        routes += [web.get(path, self._fixed("ok")) for path in ("/livez", "/readyz", "/healthz")]
        for resource in RESOURCES:
            routes += self._routes_of(resource)
        nowhere = self._middleware.guard(self._nowhere, lambda request: (request.method.lower(), request.path))
        return [*routes, web.route("*", "/{path:.*}", nowhere)]

    def _routes_of(self, resource: Resource) -> list[web.RouteDef]:
        everywhere = f"{resource.base}/{resource.plural}"
        within = f"{resource.base}/namespaces/{{namespace}}/{resource.plural}" if resource.namespaced else everywhere
        if resource is ACCESS_REVIEWS:
            return [web.post(everywhere, self._handler("create", resource, self._review))]
        one = f"{within}/{{name}}"
        routes = [
            web.post(within, self._handler("create", resource, self._create)),
            *(
                web.get(path, self._handler("list", resource, self._list))
                for path in dict.fromkeys((everywhere, within))
            ),
            web.delete(one, self._handler("delete", resource, self._delete)),
        ]
        for sub in ("", *(s for s in resource.subresources if s != "binding")):
            path = f"{one}/{sub}" if sub else one
            routes += [
                web.get(path, self._handler("get", resource, self._get, sub)),
                web.put(path, self._handler("update", resource, self._update, sub)),
                web.patch(path, self._handler("patch", resource, self._patch, sub)),
            ]
        if "binding" in resource.subresources:
            routes.append(web.post(f"{one}/binding", self._handler("create", resource, self._bind, "binding")))
        return routes

    def _fixed(self, text: str) -> Handler:
        async def fixed(request: web.Request) -> web.StreamResponse:
            return answer(text.encode())

        return self._middleware.guard(fixed, lambda request: ("get", request.path))

    def _discovery(self, path: str) -> Handler:
        async def discovery(request: web.Request) -> web.StreamResponse:
            document = discovery_documents(self.absent).get(path)
            if document is None:
                raise api_errors.no_such_path()
            return answer(encode(document))

        return self._middleware.guard(discovery, lambda request: ("get", request.path))

    async def _nowhere(self, request: web.Request) -> web.StreamResponse:
        raise api_errors.no_such_path()

    def _handler(
        self,
        verb: str,
        resource: Resource,
        act: Callable[[web.Request, Resource, str], Awaitable[web.StreamResponse]],
        sub: str = "",
    ) -> Handler:
        """A handler of one verb of a resource: checks absent kinds and denied rights, then calls ``act``."""
        kind = f"{resource.plural}/{sub}" if sub else resource.plural

        def name(request: web.Request) -> tuple[str, str]:
            return ("watch" if verb == "list" and _is_watch(request) else verb), kind

        async def handle(request: web.Request) -> web.StreamResponse:
            if resource.plural in self.absent:
                raise api_errors.no_such_path()
            if (asked := name(request)) in self.denied:
                raise api_errors.forbidden(resource, *asked)
            return await act(request, resource, sub)

        return self._middleware.guard(handle, name)

    async def _list(self, request: web.Request, resource: Resource, sub: str) -> web.StreamResponse:
        query = request.query
        namespace = request.match_info.get("namespace", "")
        selects = _within(
            namespace, parse_selectors(resource, query.get("fieldSelector", ""), query.get("labelSelector", ""))
        )
        if _is_watch(request):
            render = _render(request, resource)
            return await self._watches.serve(request, resource, selects, _watch_options(request), render)
        page = self._rest.page(resource, namespace, selects, _number(query, "limit") or 0, query.get("continue", ""))
        metadata: Object = {"resourceVersion": str(page.version)}
        if page.token:
            metadata |= {"continue": page.token, "remainingItemCount": page.remaining}
        return answer(_list_body(request, resource, metadata, page.records))

    async def _get(self, request: web.Request, resource: Resource, sub: str) -> web.StreamResponse:
        return answer(_render(request, resource)(self._rest.store.get(resource, _named(request))))

    async def _create(self, request: web.Request, resource: Resource, sub: str) -> web.StreamResponse:
        body = as_stored(resource, await _body(request))
        record = self._rest.create(resource, request.match_info.get("namespace", ""), body)
        return answer(_render(request, resource)(record), 201)

    async def _update(self, request: web.Request, resource: Resource, sub: str) -> web.StreamResponse:
        body = as_stored(resource, await _body(request))
        record = self._rest.update(resource, _named(request), body, sub)
        return answer(_render(request, resource)(record))

    async def _patch(self, request: web.Request, resource: Resource, sub: str) -> web.StreamResponse:
        how = PATCHES.get(request.content_type)
        if how is None:
            accepted = ", ".join(PATCHES)
            message = f"the body of the request was in an unknown format - accepted media types include: {accepted}"
            raise api_errors.ApiError(415, "UnsupportedMediaType", message)
        change = as_stored(resource, await _body(request))
        record = self._rest.patch(resource, _named(request), change, how, sub)
        return answer(_render(request, resource)(record))

    async def _delete(self, request: web.Request, resource: Resource, sub: str) -> web.StreamResponse:
        options = await _body(request) if request.can_read_body else {}
        grace = _number(request.query, "gracePeriodSeconds")
        grace = options.get("gracePeriodSeconds") if grace is None else grace
        record = self._rest.delete(resource, _named(request), grace, options.get("preconditions"))
        return answer(_render(request, resource)(record))

    async def _bind(self, request: web.Request, resource: Resource, sub: str) -> web.StreamResponse:
        self._rest.bind(_named(request), await _body(request))
        return answer(_BOUND, 201)

    async def _review(self, request: web.Request, resource: Resource, sub: str) -> web.StreamResponse:
        body = await _body(request)
        asked = body.get("spec", {}).get("resourceAttributes", {})
        kind = "/".join(filter(None, (asked.get("resource"), asked.get("subresource"))))
        allowed = (asked.get("verb"), kind) not in self.denied
        return answer(encode({**body, "status": {"allowed": allowed}}), 201)


_BOUND = encode({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201})


def _is_watch(request: web.Request) -> bool:
    return request.query.get("watch", "") in ("true", "1")


def _watch_options(request: web.Request) -> WatchOptions:
    query = request.query
    return WatchOptions(
        since=query.get("resourceVersion", ""),
        initial_events=query.get("sendInitialEvents") == "true",
        bookmarks=query.get("allowWatchBookmarks") in ("true", "1"),
        seconds=_number(query, "timeoutSeconds"),
    )


def _number(query: Mapping[str, str], name: str) -> int | None:
    if name not in query:
        return None
    try:
        return int(query[name])
    except ValueError as error:
        raise api_errors.bad_request(f'strconv.ParseInt: parsing "{query[name]}": invalid syntax') from error


def _named(request: web.Request) -> Key:
    return (request.match_info.get("namespace", ""), request.match_info["name"])


def _within(namespace: str, selects: Predicate) -> Predicate:
    if not namespace:
        return selects
    return lambda obj: obj["metadata"].get("namespace") == namespace and selects(obj)


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.read())
    except ValueError as error:
        raise api_errors.bad_request(f"the object provided is unrecognized: {error}") from error
    if not isinstance(body, dict):
        raise api_errors.bad_request("the object provided is unrecognized: expected a JSON object")
    return body


def _wants_metadata(request: web.Request) -> bool:
    return "as=PartialObjectMetadata" in request.headers.get("Accept", "")


def _render(request: web.Request, resource: Resource) -> Render:
    """The form of one object in this response: whole, or its metadata only."""
    if _wants_metadata(request):
        return _partial
    if resource is not CORE_EVENTS:
        head = b'{"kind":"%s","apiVersion":"%s",' % (resource.kind.encode(), resource.api_version.encode())
        return lambda record: head + record.encoded[1:]
    head_fields = {"kind": resource.kind, "apiVersion": resource.api_version}
    return lambda record: encode({**head_fields, **as_served(resource, record.object)})


def _partial(record: StoredObject) -> bytes:
    kind = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
    return encode({**kind, "metadata": record.object["metadata"]})


def _list_body(request: web.Request, resource: Resource, metadata: Object, records: list[StoredObject]) -> bytes:
    """A list. Its items have no kind, except if only metadata is asked for (as on the real server)."""
    partial = _wants_metadata(request)
    head = {
        "kind": "PartialObjectMetadataList" if partial else f"{resource.kind}List",
        "apiVersion": "meta.k8s.io/v1" if partial else resource.api_version,
        "metadata": metadata,
    }
    plain = not partial and resource is not CORE_EVENTS
    items = (record.encoded if plain else _render(request, resource)(record) for record in records)
    return encode(head)[:-1] + b',"items":[' + b",".join(items) + b"]}"
