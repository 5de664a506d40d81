"""How much a pod asks to be looked at: a bound on what deciding about it costs.

Owns one count: of the names, values, terms and amounts in what constrains or prefers its placement. A pod made by hand
or by a chart has some ten; the API server accepts a hundred thousand. Never judges what they mean.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass

from .objects import Pod

LARGE = 200
"""A pod with more is decided about behind others: rightly, but not at their expense."""


def burden(pod: Pod) -> int:
    """Names, values and amounts in the constraints and preferences of the pod."""
    parts = (
        pod.requests,
        pod.where,
        pod.tolerations,
        pod.ports,
        pod.affinity,
        pod.anti_affinity,
        pod.spread,
        pod.preferences,
        pod.volumes,
    )
    return len(pod.labels) + sum(_count(part) for part in parts if part)


def _count(part: object) -> int:
    if isinstance(part, (tuple, frozenset)):
        return sum(_count(each) for each in part)
    if is_dataclass(part):
        return sum(_count(getattr(part, each.name)) for each in fields(part))
    return 1
