"""JSON of the API server, decoded by msgspec: what is not asked for is passed over, not built.

Owns the shapes of answers. A page of 500 pods' names takes a tenth of the time that plain ``json`` needs, which counts
when a cluster's ten thousand objects are compared with the ledger while pods wait. Whole objects stay dicts. A list
without ``items`` is no empty list but an error: nothing may be dropped over it. An item without a name or uid, or of
another shape, is passed over; the others count. Never raises anything but MalformedResponse.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from peaks_scheduler.errors import MalformedResponse

Json = dict[str, Any]
T = TypeVar("T")


class ListMeta(msgspec.Struct):
    """What of a list's metadata is read."""

    resource_version: str = msgspec.field(name="resourceVersion", default="")
    token: str = msgspec.field(name="continue", default="")


class NameMeta(msgspec.Struct):
    """What of an object's metadata is read where only names matter."""

    name: str
    uid: str
    namespace: str = ""


class NamedObject(msgspec.Struct):
    metadata: NameMeta


class WholeObjectMeta(msgspec.Struct, rename="camel"):
    name: str
    uid: str = ""
    namespace: str | None = None
    resource_version: str = ""
    annotations: Json | None = None


class WholeObject(msgspec.Struct):
    """What of a whole object is taken for granted."""

    metadata: WholeObjectMeta
    spec: Json | None = None
    status: Json | None = None


class NamePage(msgspec.Struct):
    """A page of a PartialObjectMetadataList."""

    items: list[NamedObject] | None
    metadata: ListMeta = msgspec.field(default_factory=ListMeta)
    kind: str = "List"


class RawPage(msgspec.Struct):
    """A page whose items are looked at one by one."""

    items: list[msgspec.Raw] | None
    metadata: ListMeta = msgspec.field(default_factory=ListMeta)
    kind: str = "List"
    api_version: str = msgspec.field(name="apiVersion", default="")


@dataclass(frozen=True, slots=True)
class ObjectPage:
    """A page of a list of whole objects."""

    items: list[Json]
    metadata: ListMeta
    kind: str
    api_version: str

    def objects(self) -> list[Json]:
        """The objects, each with the ``apiVersion`` and ``kind`` that lists omit."""
        kind = self.kind.removesuffix("List")
        return [{"apiVersion": self.api_version, "kind": kind, **item} for item in self.items]


class ApiResource(msgspec.Struct):
    name: str


class ApiResourceList(msgspec.Struct):
    """What discovery says that a group and version has."""

    resources: list[ApiResource] | None = None


class AccessReviewStatus(msgspec.Struct):
    allowed: bool = True


class AccessReview(msgspec.Struct):
    """The answer to a SelfSubjectAccessReview."""

    status: AccessReviewStatus | None = None


# a UnicodeError is no MsgspecError
_BROKEN = (msgspec.MsgspecError, UnicodeError, RecursionError)
_decode_object = msgspec.json.Decoder(Json).decode
_decode_names = msgspec.json.Decoder(NamePage).decode
_decode_page = msgspec.json.Decoder(RawPage).decode
_decode_named = msgspec.json.Decoder(NamedObject).decode
decode_resources = msgspec.json.Decoder(ApiResourceList).decode
decode_review = msgspec.json.Decoder(AccessReview).decode


def decode_as(body: bytes, decode: Callable[[bytes], T]) -> T:
    """The answer in its shape. Raises MalformedResponse where it has another."""
    try:
        return decode(body)
    except _BROKEN as error:
        shown = body[:80]
        raise MalformedResponse(f"expected a JSON object from the API server, got {shown!r}: {error}") from error


def decode(body: bytes) -> Json:
    """One object. Raises MalformedResponse for anything else."""
    return decode_as(body, _decode_object)


def require_name(answer: Json) -> Json:
    """The object, if it has a name, and spec, status and annotations that are objects where there are any. Raises
    MalformedResponse."""
    try:
        msgspec.convert(answer, WholeObject)
    except msgspec.ValidationError as error:
        raise MalformedResponse(f"expected an object with metadata.name from the API server: {error}") from error
    return answer


def decode_names(body: bytes) -> NamePage:
    """A page of names, without the items that have none."""
    try:
        page = _decode_names(body)
    except msgspec.ValidationError:
        whole = _decode_page(body)
        page = NamePage(_in_shape(whole.items or (), _decode_named), whole.metadata, whole.kind)
    _expect_a_list(page.kind)
    return page


def decode_objects(body: bytes) -> ObjectPage:
    """A page of whole objects, without the items that have no name."""
    page = _decode_page(body)
    _expect_a_list(page.kind)
    return ObjectPage(_in_shape(page.items or (), _decode_thing), page.metadata, page.kind, page.api_version)


def _decode_thing(raw: msgspec.Raw) -> Json:
    return require_name(_decode_object(raw))


def _in_shape(items: Iterable[msgspec.Raw], decode: Callable[[msgspec.Raw], T]) -> list[T]:
    """Those that are what ``decode`` takes."""
    found = []
    for raw in items:
        with contextlib.suppress(*_BROKEN, MalformedResponse):
            found.append(decode(raw))
    return found


def _expect_a_list(kind: str) -> None:
    if not kind.endswith("List"):
        raise msgspec.ValidationError(f"expected a list, got a {kind[:80]}")
