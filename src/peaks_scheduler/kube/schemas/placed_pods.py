"""Pods on nodes, and waiting pods of other schedulers, decoded to the fields that scheduling reads of them.

Most of a pod's JSON (``managedFields`` above all) is never built, and two versions that differ in nothing we read have
one digest. A waiting pod of ours is not decoded here: all of its fields count, also those that we do not know.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from peaks_scheduler.errors import ObjectError

from ..decoding import DECODING_ERRORS
from .pods import PodJson
from .validation import MOST_SHOWN, check_volumes


@dataclass(frozen=True, slots=True)
class PlacedPod:
    """See the module."""

    raw: dict[str, Any]
    """The object, with the fields that scheduling reads."""
    digest: int
    """Equal for equal fields, whatever the version; differs from process to process."""


_decode = msgspec.json.Decoder(PodJson).decode


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
    version, pod.metadata.resource_version = pod.metadata.resource_version, None
    digest = hash(msgspec.json.encode(pod))
    pod.metadata.resource_version = version
    fields = msgspec.to_builtins(pod)
    check_volumes("pods", fields)
    return PlacedPod(fields, digest)
