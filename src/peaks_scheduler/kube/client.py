"""What a scheduler says to the API server: bind, volumes, status, events, lease, and the few lists that it needs.

Owns the paths and bodies of our requests, written as kube-scheduler writes them. Assumes a Connection; raw JSON, no
models: a Binding costs some 0.2 ms of CPU in all, a generated model alone would cost more. An answer of another shape
than asked for is a KubeError. Never retries and never decides: each call is one request (a list: one per page) and
raises the error tree of ``peaks_scheduler.errors``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from peaks_scheduler.errors import Conflict, Forbidden, KubeError, NotFound, TooLarge

from .connection import Connection
from .decoding import (
    Json,
    NamePage,
    ObjectPage,
    decode,
    decode_as,
    decode_names,
    decode_objects,
    decode_resources,
    decode_review,
    require_name,
)
from .transport import MERGE, STRATEGIC_MERGE, TIMEOUT, Transport, encode

P = TypeVar("P", NamePage, ObjectPage)

PAGE = 500  # objects in one answer of a list: a page of pods decodes in some 10 ms
SMALLER = 8  # times fewer in a page where one has too many bytes
MOST_PAGES = 10_000  # of one list: five million objects
MOST_OF_OTHERS = 128 << 20  # [bytes] of what another API answers at once: the use of 100,000 pods has some 60 MB
INVALID = 422
GONE = 410  # the list's continue token is older than what the server keeps
METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
PENDING_PODS = "status.phase=Pending"
UNFINISHED_PODS = "status.phase!=Succeeded,status.phase!=Failed"
LEASES = "/apis/coordination.k8s.io/v1/namespaces"
EVENTS = "/apis/events.k8s.io/v1/namespaces"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


@dataclass(frozen=True, slots=True)
class Listing:
    """Who is there, at one resource version."""

    resource_version: str
    objects: dict[str, tuple[str, str]]
    """uid: (namespace, name); the namespace is empty for nodes."""


class KubeClient:
    """Requests of one scheduler. ``identity`` names this process in the Lease and as the events' instance."""

    def __init__(self, connection: Connection, scheduler_name: str, identity: str, timeout: float = TIMEOUT) -> None:
        self.connection, self._transport = connection, Transport(connection, timeout)
        self.scheduler_name, self.identity = scheduler_name, identity

    async def bind(
        self,
        namespace: str,
        name: str,
        uid: str,
        node: str,
        annotations: Mapping[str, str],
        fence: Callable[[], bool] | None = None,
    ) -> None:
        """Bind the pod with this uid to ``node``; ``annotations`` come onto the pod in the same write. ``fence`` is
        asked in the moment of sending, and where it says no nothing is sent.

        Raises:
            Conflict: bound already, being deleted, or another pod of that name.
            NotFound: the pod is gone.
            KubeError: anything else; after Ambiguous the pod may be bound, after Unavailable (held back by the fence,
                say) it is not.
        """
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name, "namespace": namespace, "uid": uid, "annotations": annotations},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        await self._transport.write("POST", f"{_pod(namespace, name)}/binding", encode(body), fence=fence)

    async def patch_pod_scheduled(
        self,
        namespace: str,
        name: str,
        uid: str,
        reason: str,
        message: str,
        transition_time: str | None = None,
        observed_generation: int | None = None,
        version: str | None = None,
    ) -> None:
        """Set the condition PodScheduled=False. ``transition_time`` (``whole_time``) where the pod had no such
        condition or another status; None keeps the time it has, as kube-scheduler does. ``version``: only if the pod
        has not changed since.

        Raises:
            Conflict: another pod has that name now, or the pod has another version.
            NotFound: the pod is gone.
            KubeError: anything else.
        """
        condition: Json = {
            "type": "PodScheduled",
            "status": "False",
            "reason": reason,
            "message": message,
            "lastProbeTime": None,
        }
        if transition_time is not None:
            condition["lastTransitionTime"] = transition_time
        if observed_generation is not None:
            condition["observedGeneration"] = observed_generation
        # conditions merge by type; the uid keeps it from another pod that has the name by now
        meta = {"uid": uid} if version is None else {"uid": uid, "resourceVersion": version}
        body = {"metadata": meta, "status": {"conditions": [condition]}}
        await self._patch(f"{_pod(namespace, name)}/status", body, STRATEGIC_MERGE)

    async def nominate(self, namespace: str, name: str, uid: str, node: str | None) -> None:
        """Set ``status.nominatedNodeName``: whoever removes nodes spares this one; None: take it away.

        Raises:
            Conflict: another pod has that name now.
            NotFound: the pod is gone.
            KubeError: anything else.
        """
        body = {"metadata": {"uid": uid}, "status": {"nominatedNodeName": node}}
        await self._patch(f"{_pod(namespace, name)}/status", body, STRATEGIC_MERGE)

    async def patch_volume(self, name: str, change: Json, fence: Callable[[], bool] | None = None) -> Json:
        """Merge ``change`` into a PersistentVolume; its ``uid`` and ``resourceVersion`` are preconditions. The volume
        as stored; empty where the answer broke off after it was taken. ``fence``: see ``bind``.

        Raises:
            Conflict: it has another version, or is another one of that name.
            NotFound: it is gone.
            KubeError: anything else; after Ambiguous it may be done, after Unavailable it is not.
        """
        return await self._patch(f"/api/v1/persistentvolumes/{name}", change, MERGE, fence)

    async def patch_claim(
        self, namespace: str, name: str, change: Json, fence: Callable[[], bool] | None = None
    ) -> Json:
        """``patch_volume`` for a PersistentVolumeClaim."""
        return await self._patch(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}", change, MERGE, fence)

    async def _patch(self, path: str, change: Json, content_type: str, fence: Callable[[], bool] | None = None) -> Json:
        try:
            answer = await self._transport.write("PATCH", path, encode(change), content_type, fence)
        except KubeError as error:
            # Kubernetes 1.36 calls it "metadata.uid: Invalid value: field is immutable"
            if error.status == INVALID and "metadata.uid" in str(error):
                raise Conflict(str(error), error.status) from error
            raise
        return decode(answer) if answer else {}

    async def create_event(self, namespace: str, body: bytes) -> None:
        """Post an encoded events.k8s.io/v1 Event.

        Raises:
            Conflict: there is one of that name already.
            KubeError: anything else.
        """
        await self._transport.write("POST", f"{EVENTS}/{namespace}/events", body)

    async def get_pod(self, namespace: str, name: str) -> Json | None:
        """The pod; None where there is none.

        Raises:
            KubeError: no such answer.
        """
        try:
            return require_name(decode(await self._transport.get(_pod(namespace, name))))
        except NotFound:
            return None

    async def list_pending(self) -> Listing:
        """All pods that wait for us, none of them bound or finished, by uid and without their contents: whoever makes
        a thousand of them, or large ones, hides none of the others.

        Raises:
            KubeError: no such answer.
        """
        return await self._listing("pods", f"spec.schedulerName={self.scheduler_name},spec.nodeName=,{PENDING_PODS}")

    async def list_metadata(self, resource: str) -> Listing:
        """All ``pods`` (those that the watch shows: not finished) or ``nodes``, by uid, without their contents.

        Raises:
            KubeError: no such answer.
        """
        return await self._listing(resource, UNFINISHED_PODS if resource == "pods" else "")

    async def _listing(self, resource: str, selector: str) -> Listing:
        query = {"fieldSelector": selector} if selector else {}
        pages = await self._list(f"/api/v1/{resource}", query, METADATA, decode_names)
        names = (item.metadata for page in pages for item in page.items or ())
        return Listing(pages[-1].metadata.resource_version, {meta.uid: (meta.namespace, meta.name) for meta in names})

    async def list_keys(self, path: str) -> frozenset[str]:
        """Names, or ``namespace/name``, of all objects under ``path``, without their contents.

        Raises:
            NotFound: no such resource on this server.
            KubeError: no such answer.
        """
        pages = await self._list(path, {}, METADATA, decode_names)
        found = (item.metadata for page in pages for item in page.items or ())
        return frozenset(f"{meta.namespace}/{meta.name}" if meta.namespace else meta.name for meta in found)

    async def list_objects(self, path: str, field_selector: str = "") -> list[Json]:
        """Every object under ``path`` (``/api/v1/nodes``), each with the ``apiVersion`` and ``kind`` that lists omit.

        Raises:
            NotFound: no such resource on this server.
            KubeError: no such answer.
        """
        query = {"fieldSelector": field_selector} if field_selector else {}
        pages = await self._list(path, query, "application/json", decode_objects)
        return [item for page in pages for item in page.objects()]

    async def get_node(self, name: str) -> Json:
        """The node.

        Raises:
            NotFound: there is none of that name.
            KubeError: no such answer.
        """
        return require_name(decode(await self._transport.get(f"/api/v1/nodes/{name}")))

    async def get_json(self, path: str, query: Mapping[str, str]) -> Json:
        """The object under ``path``, whatever it is: for APIs that others serve behind the API server.

        Raises:
            NotFound: nobody serves it.
            Forbidden: no right to it.
            KubeError: no such answer.
        """
        return decode(await self._transport.get(path, query, most=MOST_OF_OTHERS))

    async def version(self) -> Json:
        """The server's ``/version``.

        Raises:
            KubeError: no such answer.
        """
        return decode(await self._transport.get("/version"))

    # -- what there is, and what we may

    async def served(self, base: str) -> frozenset[str]:
        """Plural names of the resources of ``/api/v1`` or ``/apis/GROUP/VERSION``; none where there is no such group.

        Raises:
            KubeError: no such answer.
        """
        try:
            answer = decode_as(await self._transport.get(base), decode_resources)
        except NotFound:
            return frozenset()
        return frozenset(each.name for each in answer.resources or ())

    async def peek(self, path: str) -> None:
        """Ask for one object under ``path``, to see whether that is answered.

        Raises:
            NotFound: no such resource on this server.
            Forbidden: no right to list it.
            KubeError: no such answer.
        """
        await self._transport.get(path, {"limit": "1"})

    async def may(self, verb: str, group: str, resource: str) -> bool:
        """Do we have this right in the whole cluster? Yes where the server does not say.

        Raises:
            KubeError: no answer.
        """
        asked = {"verb": verb, "group": group, "resource": resource}
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
        try:
            answer = await self._transport.write(
                "POST", REVIEWS, encode({**body, "spec": {"resourceAttributes": asked}})
            )
        except (Forbidden, NotFound):
            return True
        verdict = decode_as(answer, decode_review).status
        return verdict is None or verdict.allowed

    # -- the Lease

    async def get_lease(self, namespace: str, name: str) -> Json:
        """Raises KubeError; NotFound where there is no such Lease."""
        return decode(await self._transport.get(f"{LEASES}/{namespace}/leases/{name}"))

    async def create_lease(self, namespace: str, lease: Json) -> Json:
        """The Lease as stored. Raises KubeError; Conflict where there is one."""
        return decode(await self._transport.write("POST", f"{LEASES}/{namespace}/leases", encode(lease)))

    async def replace_lease(self, namespace: str, name: str, lease: Json) -> Json:
        """The Lease as stored. Raises KubeError; Conflict where its resourceVersion is not the present one."""
        path = f"{LEASES}/{namespace}/leases/{name}"
        return decode(await self._transport.write("PUT", path, encode(lease)))

    async def _list(self, path: str, query: dict[str, str], accept: str, decode: Callable[[bytes], P]) -> list[P]:
        """All pages of a list. One that expired between two pages is begun again, once."""
        try:
            return await self._pages(path, query, accept, decode)
        except KubeError as error:
            if error.status != GONE:
                raise
            return await self._pages(path, query, accept, decode)

    async def _pages(self, path: str, query: dict[str, str], accept: str, decode: Callable[[bytes], P]) -> list[P]:
        query = {"limit": str(PAGE), **query}
        pages: list[P] = []
        while len(pages) < MOST_PAGES:
            try:
                page = decode_as(await self._transport.get(path, query, accept), decode)
            except TooLarge:
                if query["limit"] == "1":
                    raise
                query["limit"] = str(max(1, int(query["limit"]) // SMALLER))
                continue
            pages.append(page)
            if not page.metadata.token:
                return pages
            if page.metadata.token == query.get("continue"):
                break
            query["continue"] = page.metadata.token
        raise KubeError(f"GET {path}: expected a list that ends, got page after page")


def _pod(namespace: str, name: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods/{name}"
