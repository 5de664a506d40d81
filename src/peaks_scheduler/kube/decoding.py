"""JSON of the API server, decoded by msgspec: what is not asked for is passed over, not built.

Owns the shapes of list pages. A page of 500 pods' names takes a tenth of the time that plain ``json`` needs, which
counts when a cluster's ten thousand objects are compared with the ledger while pods wait. Whole objects stay dicts.
``Answer`` gives kopf's own lists the same decoder.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import aiohttp
import msgspec

from ..errors import KubeError

Json = dict[str, Any]
T = TypeVar("T")


class ListMeta(msgspec.Struct):
    """What of a list's metadata is read."""

    resource_version: str = msgspec.field(name="resourceVersion", default="")
    token: str = msgspec.field(name="continue", default="")


class Name(msgspec.Struct):
    """What of an object's metadata is read where only names matter."""

    name: str
    uid: str
    namespace: str = ""


class Named(msgspec.Struct):
    metadata: Name


class NamePage(msgspec.Struct):
    """A page of a PartialObjectMetadataList."""

    metadata: ListMeta = msgspec.field(default_factory=ListMeta)
    items: list[Named] | None = None


class ObjectPage(msgspec.Struct):
    """A page of a list of whole objects."""

    metadata: ListMeta = msgspec.field(default_factory=ListMeta)
    items: list[Json] | None = None
    kind: str = ""
    api_version: str = msgspec.field(name="apiVersion", default="")

    def objects(self) -> list[Json]:
        """The objects, each with the ``apiVersion`` and ``kind`` that lists omit."""
        kind = self.kind.removesuffix("List")
        return [{"apiVersion": self.api_version, "kind": kind, **item} for item in self.items or ()]


_decode_object = msgspec.json.Decoder(Json).decode
decode_names = msgspec.json.Decoder(NamePage).decode
decode_objects = msgspec.json.Decoder(ObjectPage).decode
_decode_any = msgspec.json.Decoder().decode


def decoded(body: bytes, decode: Callable[[bytes], T]) -> T:
    """The answer in its shape. Raises KubeError where it has another."""
    try:
        return decode(body)
    except msgspec.MsgspecError as error:
        raise KubeError(f"expected a JSON object from the API server, got {body[:80]!r}: {error}") from error


def decode(body: bytes) -> Json:
    """One object. Raises KubeError for anything else."""
    return decoded(body, _decode_object)


class Answer(aiohttp.ClientResponse):
    """An HTTP answer whose ``json()`` takes a third of the time: kopf reads its lists by it."""

    async def json(self, **_: Any) -> Any:
        return _decode_any(await self.read())
