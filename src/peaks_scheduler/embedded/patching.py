"""Merge patches and the part of strategic merge patches that pods, nodes and events need.

Owns which lists merge by a key; other lists are replaced whole, as the schema says for e.g. ``containerStatuses``.
Pure: the patched object is a new one, and what it shares with the old one is unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MERGE_KEYS: Mapping[str, str] = {"conditions": "type", "addresses": "type", "podIPs": "ip", "taints": "key"}
"""List field -> key under which its entries merge (``patchMergeKey`` of the Go types)."""


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7386: null removes, objects merge, anything else replaces."""
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
    """Like a merge patch, but lists with a merge key are merged entry by entry.

    Directives: ``$patch: delete`` and ``$patch: replace`` are followed, ``$setElementOrder`` and ``$retainKeys`` only
    fix an order that nobody here depends on and are dropped.
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
"""Content type of a PATCH -> how it is applied."""
