"""Applies merge patches, and the part of strategic merge patches that pods, nodes and events need.

Owns which lists are merged by a key. Other lists are replaced as a whole, as the schema says for ``containerStatuses``,
for example. Pure: the result is a new object, and parts that it shares with the old one are not changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MERGE_KEYS: Mapping[str, str] = {"conditions": "type", "addresses": "type", "podIPs": "ip", "taints": "key"}
"""List field -> key by which its entries are merged (``patchMergeKey`` of the Go types)."""


def merge_patch(target: Any, patch: Any) -> Any:
    """``target`` with a merge patch (RFC 7386): null removes, objects are merged, anything else replaces."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def strategic_merge_patch(target: Any, patch: Any) -> Any:
    """``target`` with a strategic merge patch: like a merge patch, but lists with a merge key are merged by entry.

    The directives ``$patch: delete`` and ``$patch: replace`` are applied. ``$setElementOrder`` and ``$retainKeys`` are
    ignored: they only set an order, which nobody here depends on.
    """
    if not isinstance(patch, Mapping):
        return patch
    if patch.get("$patch") == "replace":
        return {name: value for name, value in patch.items() if name != "$patch"}
    merged = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if name.startswith("$"):
            continue
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, list) and name in MERGE_KEYS:
            merged[name] = _merge_list(merged.get(name) or [], value, MERGE_KEYS[name])
        else:
            merged[name] = strategic_merge_patch(merged.get(name), value)
    return merged


def _merge_list(old: list[Any], patch: list[Any], key: str) -> list[Any]:
    if {"$patch": "replace"} in patch:
        return [entry for entry in patch if entry != {"$patch": "replace"}]
    merged = {entry.get(key): entry for entry in old}
    for entry in patch:
        if entry.get("$patch") == "delete":
            merged.pop(entry.get(key), None)
        else:
            merged[entry.get(key)] = strategic_merge_patch(merged.get(entry.get(key)), entry)
    return list(merged.values())


PATCHES = {
    "application/merge-patch+json": merge_patch,
    "application/strategic-merge-patch+json": strategic_merge_patch,
}
"""Content type of a PATCH -> function that applies it."""
