"""The requests of a scheduler to the API server: bindings, volumes, status, events, the Lease, reviews and lists.

Owns the paths and bodies of our requests, written as kube-scheduler writes them. Uses plain JSON and no generated
models: a Binding costs some 0.2 ms of CPU in all, a generated model alone would cost more. A malformed response is a
KubeError. Never retries and never decides. Each call is one request (a list: one for each page) and raises the errors
of ``peaks_scheduler.errors``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from peaks_scheduler.errors import Conflict, Forbidden, KubeError, NotFound

from .decoding import (
    Json,
    decode_as,
    decode_names,
    decode_object,
    decode_objects,
    decode_resources,
    decode_review,
    decode_subject,
    require_name,
)
from .http.connection import Connection
from .http.transport import MERGE, STRATEGIC_MERGE, TIMEOUT, Transport, encode
from .paging import read_pages

MOST_OF_OTHERS = 128 << 20  # [bytes] of a response of another API: the CPU use of 100,000 pods has some 60 MB
INVALID = 422
METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
PENDING_PODS = "status.phase=Pending"
UNFINISHED_PODS = "status.phase!=Succeeded,status.phase!=Failed"
LEASES = "/apis/coordination.k8s.io/v1/namespaces"
EVENTS = "/apis/events.k8s.io/v1/namespaces"
ACCESS_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
SUBJECT_REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


@dataclass(frozen=True, slots=True)
class Listing:
    """The names of all objects of a list, at one resource version."""

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
        """Bind the pod with this uid to ``node``, and put ``annotations`` on it in the same write.

        Args:
            fence: called at the moment of sending; if it returns False nothing is sent.

        Raises:
            Conflict: the pod is bound already or being deleted, or another pod has its name.
            NotFound: the pod is gone.
            Unavailable: not sent (the fence was closed, for example) or turned away: the pod is not bound.
            Ambiguous: the pod may be bound.
            KubeError: anything else; the pod is not bound.
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
        fence: Callable[[], bool] | None = None,
    ) -> None:
        """Set the condition PodScheduled=False.

        Args:
            transition_time: as ``whole_time`` writes it, if the status of the condition changes; None keeps the time
                it has, as kube-scheduler does.
            version: a precondition: the pod has still this resourceVersion.
            fence: see ``bind``.

        Raises:
            Conflict: another pod has that name now, or the pod has another resourceVersion.
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
        # the server merges conditions by type; the uid is a precondition, since another pod may have the name by now
        meta = {"uid": uid} if version is None else {"uid": uid, "resourceVersion": version}
        body = {"metadata": meta, "status": {"conditions": [condition]}}
        await self._patch(f"{_pod(namespace, name)}/status", body, STRATEGIC_MERGE, fence)

    async def nominate(
        self, namespace: str, name: str, uid: str, node: str | None, fence: Callable[[], bool] | None = None
    ) -> None:
        """Set ``status.nominatedNodeName``, so that cluster autoscalers keep this node; None removes it. ``fence``: see
        ``bind``.

        Raises:
            Conflict: another pod has that name now.
            NotFound: the pod is gone.
            KubeError: anything else.
        """
        body = {"metadata": {"uid": uid}, "status": {"nominatedNodeName": node}}
        await self._patch(f"{_pod(namespace, name)}/status", body, STRATEGIC_MERGE, fence)

    async def patch_volume(self, name: str, change: Json, fence: Callable[[], bool] | None = None) -> Json:
        """Merge ``change`` into a PersistentVolume and return the volume as stored.

        Empty if the response broke off after the write was accepted. ``uid`` and ``resourceVersion`` in ``change`` are
        preconditions. ``fence``: see ``bind``.

        Raises:
            Conflict: the volume has another resourceVersion, or another volume has its name.
            NotFound: the volume is gone.
            Unavailable: the volume is not changed.
            Ambiguous: the volume may be changed.
            KubeError: anything else; the volume is not changed.
        """
        return await self._patch(f"/api/v1/persistentvolumes/{name}", change, MERGE, fence)

    async def patch_claim(
        self, namespace: str, name: str, change: Json, fence: Callable[[], bool] | None = None
    ) -> Json:
        """Merge ``change`` into a PersistentVolumeClaim; otherwise as ``patch_volume``."""
        return await self._patch(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}", change, MERGE, fence)

    async def _patch(self, path: str, change: Json, content_type: str, fence: Callable[[], bool] | None = None) -> Json:
        try:
            answer = await self._transport.write("PATCH", path, encode(change), content_type, fence)
        except KubeError as error:
            # another uid: Kubernetes 1.36 answers 422 "metadata.uid: Invalid value: field is immutable"
            if error.status == INVALID and "metadata.uid" in str(error):
                raise Conflict(str(error), error.status) from error
            raise
        return decode_object(answer) if answer else {}

    async def create_event(self, namespace: str, body: bytes) -> None:
        """Post an encoded events.k8s.io/v1 Event.

        Raises:
            Conflict: an Event of that name exists.
            KubeError: anything else.
        """
        await self._transport.write("POST", f"{EVENTS}/{namespace}/events", body)

    async def get_pod(self, namespace: str, name: str) -> Json | None:
        """The pod; None if it does not exist.

        Raises:
            KubeError: the pod could not be read.
        """
        try:
            return require_name(decode_object(await self._transport.get(_pod(namespace, name))))
        except NotFound:
            return None

    async def list_pending(self) -> Listing:
        """Names of all pending pods of this scheduler, by uid.

        Only the metadata is read, in pages: thousands of pods, or very large ones, do not hide the others.

        Raises:
            KubeError: the list could not be read.
        """
        query = {"fieldSelector": f"spec.schedulerName={self.scheduler_name},spec.nodeName=,{PENDING_PODS}"}
        pages = await read_pages(self._transport, "/api/v1/pods", query, METADATA, decode_names)
        names = (item.metadata for page in pages for item in page.items or ())
        return Listing(pages[-1].metadata.resource_version, {meta.uid: (meta.namespace, meta.name) for meta in names})

    async def list_objects(self, path: str, field_selector: str = "") -> list[Json]:
        """Every object under ``path`` (``/api/v1/nodes``), with its ``apiVersion`` and ``kind``.

        Raises:
            NotFound: the server does not have this resource.
            KubeError: the list could not be read.
        """
        query = {"fieldSelector": field_selector} if field_selector else {}
        pages = await read_pages(self._transport, path, query, "application/json", decode_objects)
        return [item for page in pages for item in page.objects()]

    async def get_json(self, path: str, query: Mapping[str, str]) -> Json:
        """The JSON object under ``path``, for APIs that the API server forwards to others (``metrics.k8s.io``).

        Raises:
            NotFound: this path is not served.
            Forbidden: we have no right to read it.
            KubeError: it could not be read.
        """
        return decode_object(await self._transport.get(path, query, most=MOST_OF_OTHERS))

    async def version(self) -> Json:
        """The server's ``/version``.

        Raises:
            KubeError: it could not be read.
        """
        return decode_object(await self._transport.get("/version"))

    # -- discovery and rights

    async def served(self, base: str) -> frozenset[str]:
        """Plural names of the resources of ``base`` (``/api/v1`` or ``/apis/GROUP/VERSION``); empty if the server does
        not have that group and version.

        Raises:
            KubeError: discovery could not be read.
        """
        try:
            answer = decode_as(await self._transport.get(base), decode_resources)
        except NotFound:
            return frozenset()
        return frozenset(each.name for each in answer.resources or ())

    async def peek(self, path: str) -> None:
        """Check that the objects under ``path`` can be listed, by listing at most one.

        Raises:
            NotFound: the server does not have this resource.
            Forbidden: we have no right to list it.
            KubeError: the list could not be read.
        """
        await self._transport.get(path, {"limit": "1"})

    async def may(self, verb: str, group: str, resource: str) -> bool:
        """Do we have this right in the whole cluster? True if the server does not answer access reviews.

        Raises:
            KubeError: the server did not answer.
        """
        try:
            allowed = await self.review({"verb": verb, "group": group, "resource": resource})
        except (Forbidden, NotFound):
            return True
        return allowed is not False

    async def review(self, right: Mapping[str, str]) -> bool | None:
        """Do we have this right? None: the server did not decide.

        Args:
            right: ``resourceAttributes`` of a SelfSubjectAccessReview.

        Raises:
            Forbidden, NotFound: the server does not answer access reviews.
            KubeError: the server did not answer, or not with a review.
        """
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": right},
        }
        status = decode_as(await self._transport.write("POST", ACCESS_REVIEWS, encode(body)), decode_review).status
        return None if status is None else status.allowed

    async def username(self) -> str:
        """Our user name, as the API server authenticates us.

        Raises:
            KubeError: the server did not answer, or not with a name.
        """
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        answer = decode_as(await self._transport.write("POST", SUBJECT_REVIEWS, encode(body)), decode_subject)
        return answer.status.user_info.username

    # -- the Lease

    async def get_lease(self, namespace: str, name: str) -> Json:
        """The Lease. Raises KubeError; NotFound if it does not exist."""
        return decode_object(await self._transport.get(f"{LEASES}/{namespace}/leases/{name}"))

    async def create_lease(self, namespace: str, lease: Json) -> Json:
        """Create a Lease and return it as stored. Raises KubeError; Conflict if it exists."""
        return decode_object(await self._transport.write("POST", f"{LEASES}/{namespace}/leases", encode(lease)))

    async def replace_lease(self, namespace: str, name: str, lease: Json) -> Json:
        """Replace the Lease and return it as stored. Raises KubeError; Conflict if its resourceVersion has changed."""
        path = f"{LEASES}/{namespace}/leases/{name}"
        return decode_object(await self._transport.write("PUT", path, encode(lease)))


def _pod(namespace: str, name: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods/{name}"
