"""Decodes JSON responses of the API server with msgspec, which builds only the fields that are asked for.

Owns the types of our own responses. A page of 500 pod names takes a tenth of the time of plain ``json``: the audit
compares ten thousand objects with the ledger while pods wait. Whole objects stay dicts. A list without ``items`` is an
error and not an empty list, since the audit would drop every object. A malformed item (without a name or uid, or with a
wrong type) is skipped; the other items count. Raises only MalformedResponse.
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
    """The metadata of a list: its version, and the token of its next page."""

    resource_version: str = msgspec.field(name="resourceVersion", default="")
    token: str = msgspec.field(name="continue", default="")


class NameMeta(msgspec.Struct):
    """The metadata of an object in a list of names."""

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
    """What every whole object must have: a name; objects for spec, status and annotations, if given."""

    metadata: WholeObjectMeta
    spec: Json | None = None
    status: Json | None = None


class NamePage(msgspec.Struct):
    """A page of a PartialObjectMetadataList."""

    items: list[NamedObject] | None
    metadata: ListMeta = msgspec.field(default_factory=ListMeta)
    kind: str = "List"


class RawPage(msgspec.Struct):
    """A page whose items are decoded one by one."""

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
        """The objects, each with ``apiVersion`` and ``kind``, which the items of a list do not have."""
        kind = self.kind.removesuffix("List")
        return [{"apiVersion": self.api_version, "kind": kind, **item} for item in self.items]


class ApiResource(msgspec.Struct):
    name: str


class ApiResourceList(msgspec.Struct):
    """The resources of one group and version, as discovery lists them."""

    resources: list[ApiResource] | None = None


class AccessReviewStatus(msgspec.Struct):
    allowed: bool = True


class AccessReview(msgspec.Struct):
    """A SelfSubjectAccessReview; ``status`` None: the server did not decide."""

    status: AccessReviewStatus | None = None


class UserInfo(msgspec.Struct):
    username: str


class SubjectStatus(msgspec.Struct, rename="camel"):
    user_info: UserInfo


class SubjectReview(msgspec.Struct):
    """A SelfSubjectReview: who the API server takes us for."""

    status: SubjectStatus


# a UnicodeError is not a MsgspecError
DECODING_ERRORS = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""What msgspec raises for JSON that is invalid or of another type."""

_decode_json_object = msgspec.json.Decoder(Json).decode
_decode_names = msgspec.json.Decoder(NamePage).decode
_decode_page = msgspec.json.Decoder(RawPage).decode
_decode_named = msgspec.json.Decoder(NamedObject).decode
decode_resources = msgspec.json.Decoder(ApiResourceList).decode
decode_review = msgspec.json.Decoder(AccessReview).decode
decode_subject = msgspec.json.Decoder(SubjectReview).decode


def decode_as(body: bytes, decode: Callable[[bytes], T]) -> T:
    """``body`` decoded by ``decode``. Raises MalformedResponse if that fails."""
    try:
        return decode(body)
    except DECODING_ERRORS as error:
        shown = body[:80]
        raise MalformedResponse(f"expected a JSON object from the API server, got {shown!r}: {error}") from error


def decode_object(body: bytes) -> Json:
    """One JSON object. Raises MalformedResponse for anything else."""
    return decode_as(body, _decode_json_object)


def require_name(answer: Json) -> Json:
    """The same object, if it is what ``WholeObject`` asks for. Raises MalformedResponse if not."""
    try:
        msgspec.convert(answer, WholeObject)
    except msgspec.ValidationError as error:
        raise MalformedResponse(f"expected an object with metadata.name from the API server: {error}") from error
    return answer


def decode_names(body: bytes) -> NamePage:
    """A page of names, without its malformed items."""
    try:
        page = _decode_names(body)
    except msgspec.ValidationError:
        whole = _decode_page(body)
        page = NamePage(_decodable(whole.items or (), _decode_named), whole.metadata, whole.kind)
    _expect_a_list(page.kind)
    return page


def decode_page(body: bytes) -> RawPage:
    """A page whose items are not decoded yet."""
    page = _decode_page(body)
    _expect_a_list(page.kind)
    return page


def decode_objects(body: bytes) -> ObjectPage:
    """A page of whole objects, without its malformed items."""
    page = decode_page(body)
    return ObjectPage(_decodable(page.items or (), _decode_whole), page.metadata, page.kind, page.api_version)


def _decode_whole(raw: msgspec.Raw) -> Json:
    return require_name(_decode_json_object(raw))


def _decodable(items: Iterable[msgspec.Raw], decode: Callable[[msgspec.Raw], T]) -> list[T]:
    """The items that ``decode`` can decode."""
    decoded = []
    for raw in items:
        with contextlib.suppress(*DECODING_ERRORS, MalformedResponse):
            decoded.append(decode(raw))
    return decoded


def _expect_a_list(kind: str) -> None:
    if not kind.endswith("List"):
        raise msgspec.ValidationError(f"expected a list, got an object of kind {kind[:80]}")
