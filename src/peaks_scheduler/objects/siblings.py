"""Siblings: pods that one owner made from the same images. They are expected to use the same CPU. Pure."""

from __future__ import annotations

import hashlib
import sys

from .requests import Json, is_sidecar

LONGEST_NAME = 1024  # [characters] of a group's name

TEMPLATE_HASH = "pod-template-hash"
"""Label that a Deployment gives the pods of each of its ReplicaSets."""


def siblings_of(spec: Json, meta: Json, namespace: str) -> str:
    """The name of a pod's group of siblings: namespace, owner and images; empty if the pod has no owner.

    A ReplicaSet that a Deployment made is called ``<deployment>-<hash>``, with the hash in a label of its pods. The
    Deployment counts as the owner, so that a rollout with the same images keeps what is known.
    """
    owner = next((each for each in meta.get("ownerReferences") or () if each.get("controller")), None)
    if owner is None:
        return ""
    kind, name = owner.get("kind") or "", owner.get("name") or ""
    suffix = f"-{(meta.get('labels') or {}).get(TEMPLATE_HASH)}"
    if kind == "ReplicaSet" and name.endswith(suffix):
        kind, name = "Deployment", name.removesuffix(suffix)
    sidecars = (each for each in spec.get("initContainers") or () if is_sidecar(each))
    images = (each.get("image") or "" for each in (*(spec.get("containers") or ()), *sidecars))
    group = (owner.get("apiVersion") or "").rpartition("/")[0]
    return sys.intern(_short(f"{namespace}/{kind}.{group}/{name} {' '.join(images)}"))


def _short(name: str) -> str:
    """The name, or a hash of a long one: image names can be of any length, and the name is kept after the pod."""
    return name if len(name) <= LONGEST_NAME else hashlib.blake2b(name.encode(errors="replace")).hexdigest()
