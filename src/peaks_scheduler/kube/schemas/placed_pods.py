"""Pods on nodes, waiting pods of other schedulers, and nodes, decoded to the fields that scheduling reads of them.

Most of a pod's JSON (``managedFields`` above all) is never built, and two versions that differ in nothing we read have
one digest. A waiting pod of ours is not decoded here: all of its fields count, also those that we do not know.
"""

from __future__ import annotations

from typing import Any

import msgspec

from peaks_scheduler.errors import ObjectError
from peaks_scheduler.kube.decoding import DECODING_ERRORS

from .pods import NodeJson, PodJson
from .validation import MOST_SHOWN, check_volumes


class PlacedPod:
    """See the module."""

    __slots__ = ("_typed",)

    def __init__(self, typed: PodJson) -> None:
        self._typed = typed

    def digest(self) -> int:
        """Equal for equal fields, whatever the version; differs from process to process."""
        meta = self._typed.metadata
        version, meta.resource_version = meta.resource_version, None
        digest = hash(_encode(self._typed))
        meta.resource_version = version
        return digest

    def fields(self) -> dict[str, Any]:
        """The object, with the fields that scheduling reads. Raises ObjectError for a volume of a wrong type."""
        fields: dict[str, Any] = msgspec.to_builtins(self._typed)
        check_volumes("pods", fields)
        return fields


_decode = msgspec.json.Decoder(PodJson).decode
_decode_node = msgspec.json.Decoder(NodeJson).decode
_encode = msgspec.json.Encoder().encode


def placed_pod(raw: msgspec.Raw, ours: str) -> PlacedPod | None:
    """The pod; None: a waiting pod of the scheduler ``ours``, or one that must be read whole.

    Raises ObjectError for a field of a wrong type.
    """
    try:
        pod = _decode(raw)
    except DECODING_ERRORS as error:
        raise ObjectError(f"pod: {str(error)[:MOST_SHOWN]}") from error
    spec = pod.spec
    if spec is None or (not spec.node_name and (spec.scheduler_name or "") == ours):
        return None
    return PlacedPod(pod)


def node_fields(raw: msgspec.Raw) -> dict[str, Any] | None:
    """A node, with the fields that scheduling reads; None: one of them has a wrong type."""
    try:
        fields: dict[str, Any] = msgspec.to_builtins(_decode_node(raw))
    except DECODING_ERRORS:
        return None
    return fields
